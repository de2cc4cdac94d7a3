/* schema_members.c - the keywords of objects and lists, read into a compiled schema. Not their
 * meaning (schema_object.c, schema_array.c). Called by way of the table in schema_keywords.c. */
#include "service/schema/schema_compile.h"

/* ---- objects ---- */

/* The property of a name, added when it is new. NULL when the arena failed. */
static struct schema_property *property_of(struct schema_compiler *compiler, struct schema *schema,
                                           struct pl_str name)
{
    struct schema_property *property, **more;
    size_t n = schema->n_properties;

    if (!schema->by_name)
        schema->by_name = pl_map_create(compiler->arena, 8);
    if (!schema->by_name)
        return NULL;
    property = pl_map_get(schema->by_name, name);
    if (property)
        return property;
    property = pl_arena_alloc(compiler->arena, sizeof(*property));
    if (!property || !pl_map_put(schema->by_name, name, property, NULL))
        return NULL;
    if ((n & (n - 1)) == 0) { /* 0 and the powers of two are where it is full */
        more = pl_arena_alloc_array(compiler->arena, n ? 2 * n : 1, sizeof(*more));
        if (!more)
            return NULL;
        if (n)
            memcpy(more, schema->properties, n * sizeof(*more));
        schema->properties = more;
    }
    property->name = name;
    property->index = n;
    schema->properties[schema->n_properties++] = property;
    return property;
}

void schema_read_properties(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    if (!schema_expect(compiler, value, DOC_OBJECT, "an object of schemas"))
        return;
    schema->names =
        pl_arena_alloc_array(compiler->arena, value->count + 1, sizeof(schema->names[0]));
    if (!schema->names)
        return;
    for (size_t i = 0; i < value->count; i++) {
        const struct doc_node *member = value->items[i];
        struct schema_property *property = property_of(compiler, schema, member->key);

        if (!property)
            return;
        property->schema = schema_compile_node(compiler, member);
        schema->names[i] = pl_arena_str(compiler->arena, member->key).ptr;
    }
}

/* Reads the names in a list; each is handed to `take`. */
static void each_name(struct schema_compiler *compiler, struct schema *schema,
                      const struct doc_node *list, const char *keyword,
                      void take(struct schema_property *property, void *arg), void *arg)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct doc_node *name = list->items[i];
        struct schema_property *property;

        if (name->type != DOC_STRING) {
            doc_problem_at(compiler->problems, name, false, "%s: expected a name, got %s", keyword,
                           doc_type_name(name->type));
            continue;
        }
        property = property_of(compiler, schema, name->text);
        if (property)
            take(property, arg);
    }
}

static void require(struct schema_property *property, void *arg)
{
    (void)arg;
    property->required = true;
}

void schema_read_required(struct schema_compiler *compiler, struct schema *schema,
                          const struct doc_node *value)
{
    if (value->type == DOC_BOOL)
        doc_problem_at(compiler->problems, value, false,
                       "required: expected a list of names; it stands beside 'properties', not "
                       "inside a property");
    else if (schema_expect(compiler, value, DOC_LIST, "a list of names"))
        each_name(compiler, schema, value, "required", require, NULL);
}

void schema_read_additional(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    schema->additional = schema_compile_node(compiler, value);
}

void schema_read_pattern_properties(struct schema_compiler *compiler, struct schema *schema,
                                    const struct doc_node *value)
{
    if (!schema_expect(compiler, value, DOC_OBJECT, "an object of patterns with schemas"))
        return;
    schema->patterns =
        pl_arena_alloc_array(compiler->arena, value->count + 1, sizeof(schema->patterns[0]));
    for (size_t i = 0; schema->patterns && i < value->count; i++) {
        const struct doc_node *member = value->items[i];
        struct schema_pattern_property *pattern = &schema->patterns[schema->n_patterns];

        pattern->pattern = schema_take_pattern(compiler, member, member->key);
        pattern->schema = schema_compile_node(compiler, member);
        schema->n_patterns += pattern->pattern && pattern->schema;
    }
}

void schema_read_property_names(struct schema_compiler *compiler, struct schema *schema,
                                const struct doc_node *value)
{
    schema->property_names = schema_compile_node(compiler, value);
}

static void demand(struct schema_property *property, void *arg)
{
    struct schema_property *trigger = arg;

    trigger->demands[trigger->n_demands++] = property;
}

void schema_read_dependent_required(struct schema_compiler *compiler, struct schema *schema,
                                    const struct doc_node *value)
{
    if (!schema_expect(compiler, value, DOC_OBJECT, "an object of lists of names"))
        return;
    for (size_t i = 0; i < value->count; i++) {
        const struct doc_node *list = value->items[i];
        struct schema_property *property = property_of(compiler, schema, list->key);

        if (!property || !schema_expect(compiler, list, DOC_LIST, "a list of names"))
            continue;
        property->demands =
            pl_arena_alloc_array(compiler->arena, list->count + 1, sizeof(property->demands[0]));
        if (property->demands)
            each_name(compiler, schema, list, "dependentRequired", demand, property);
        schema->depends = true;
    }
}

void schema_read_dependent_schemas(struct schema_compiler *compiler, struct schema *schema,
                                   const struct doc_node *value)
{
    if (!schema_expect(compiler, value, DOC_OBJECT, "an object of schemas"))
        return;
    for (size_t i = 0; i < value->count; i++) {
        struct schema_property *property = property_of(compiler, schema, value->items[i]->key);

        if (property)
            property->dependent = schema_compile_node(compiler, value->items[i]);
        schema->depends = true;
    }
}

void schema_read_unevaluated_properties(struct schema_compiler *compiler, struct schema *schema,
                                        const struct doc_node *value)
{
    schema->unevaluated = schema_compile_node(compiler, value);
}

void schema_read_min_properties(struct schema_compiler *compiler, struct schema *schema,
                                const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->min_properties);
}

void schema_read_max_properties(struct schema_compiler *compiler, struct schema *schema,
                                const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->max_properties);
}

/* ---- lists ---- */

void schema_read_prefix_items(struct schema_compiler *compiler, struct schema *schema,
                              const struct doc_node *value)
{
    schema_take_list(compiler, value, &schema->prefix);
}

void schema_read_items(struct schema_compiler *compiler, struct schema *schema,
                       const struct doc_node *value)
{
    if (value->type == DOC_LIST)
        doc_problem_at(compiler->problems, value, false,
                       "items: expected a schema, got a list; one schema for each position is "
                       "prefixItems");
    else
        schema->items = schema_compile_node(compiler, value);
}

void schema_read_contains(struct schema_compiler *compiler, struct schema *schema,
                          const struct doc_node *value)
{
    schema->contains = schema_compile_node(compiler, value);
}

void schema_read_min_contains(struct schema_compiler *compiler, struct schema *schema,
                              const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->min_contains);
}

void schema_read_max_contains(struct schema_compiler *compiler, struct schema *schema,
                              const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->max_contains);
}

void schema_read_unevaluated_items(struct schema_compiler *compiler, struct schema *schema,
                                   const struct doc_node *value)
{
    schema->unevaluated_items = schema_compile_node(compiler, value);
}

void schema_read_min_items(struct schema_compiler *compiler, struct schema *schema,
                           const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->min_items);
}

void schema_read_max_items(struct schema_compiler *compiler, struct schema *schema,
                           const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->max_items);
}

void schema_read_unique_items(struct schema_compiler *compiler, struct schema *schema,
                              const struct doc_node *value)
{
    if (schema_expect(compiler, value, DOC_BOOL, "true or false"))
        schema->unique_items = pl_str_is(value->text, "true");
}
