/* schema_compile.c - from a document to a compiled schema: one table of keywords, a problem for
 * everything that is not in it. Not validation (schema.c). Called by workflow_parse. */
#include "base/json.h"
#include "base/map.h"
#include "service/schema_node.h"
#include "service/schema_pattern.h"

struct compiler {
    struct pl_arena *arena;
    struct doc_problems *problems;
    size_t before; /* problems that were there */
    size_t n_patterns;
    struct fallback { /* every `default`, to be checked at the end */
        const struct schema *schema;
        const struct doc_node *node;
        struct fallback *next;
    } * fallbacks;
};

typedef void compile_keyword(struct compiler *compiler, struct schema *schema,
                             const struct doc_node *value);

static struct schema *compile(struct compiler *compiler, const struct doc_node *node);

/* ---- values of keywords ---- */

static const char *const type_words[] = {"null",   "boolean", "integer", "number",
                                         "string", "array",   "object",  NULL};

static bool expect(struct compiler *compiler, const struct doc_node *value, enum doc_type type,
                   const char *what)
{
    if (value->type == type)
        return true;
    if (!value->refused)
        doc_problem_at(compiler->problems, value, false, "%.*s: expected %s, got %s",
                       PL_STR_ARG(value->key), what, doc_type_name(value->type));
    return false;
}

static void take_count(struct compiler *compiler, const struct doc_node *value, size_t *ret)
{
    char shown[DOC_EXCERPT];
    int64_t count;

    if (!expect(compiler, value, DOC_NUMBER, "a count"))
        return;
    if (json_int(value->text, &count) && count >= 0)
        *ret = (size_t)count;
    else
        doc_problem_at(compiler->problems, value, false,
                       "%.*s: expected a whole number from 0, got %s", PL_STR_ARG(value->key),
                       doc_excerpt(value->text, shown));
}

static void take_number(struct compiler *compiler, const struct doc_node *value, struct pl_str *ret)
{
    if (expect(compiler, value, DOC_NUMBER, "a number"))
        *ret = value->text;
}

static void take_list(struct compiler *compiler, const struct doc_node *value,
                      struct schema_list *ret)
{
    if (!expect(compiler, value, DOC_LIST, "a list of schemas"))
        return;
    if (value->count == 0) {
        doc_problem_at(compiler->problems, value, false, "%.*s: needs at least one schema",
                       PL_STR_ARG(value->key));
        return;
    }
    ret->items = pl_arena_alloc_array(compiler->arena, value->count, sizeof(ret->items[0]));
    if (!ret->items)
        return;
    for (size_t i = 0; i < value->count; i++)
        ret->items[i] = compile(compiler, value->items[i]);
    ret->count = value->count;
}

/* ---- keywords for any value ---- */

static void add_type(struct compiler *compiler, struct schema *schema, const struct doc_node *word)
{
    char shown[DOC_EXCERPT];
    const char *nearest;

    if (word->type != DOC_STRING) {
        doc_problem_at(compiler->problems, word, false,
                       "type: expected the name of a type, such as string, got %s",
                       doc_type_name(word->type));
        return;
    }
    for (unsigned i = 0; type_words[i]; i++) {
        if (pl_str_is(word->text, type_words[i])) {
            schema->types |= 1u << i;
            return;
        }
    }
    nearest = doc_nearest(word->text, type_words);
    if (pl_str_is(word->text, "list"))
        nearest = "array";
    doc_problem_at(compiler->problems, word, false, "type: there is no type '%s'%s%s%s",
                   doc_excerpt(word->text, shown),
                   nearest ? "; did you mean '"
                           : " (null, boolean, integer, number, string, array, object)",
                   nearest ? nearest : "", nearest ? "'?" : "");
}

static void compile_type(struct compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    if (value->type != DOC_LIST) {
        add_type(compiler, schema, value);
        return;
    }
    if (value->count == 0)
        doc_problem_at(compiler->problems, value, false, "type: needs at least one type");
    for (size_t i = 0; i < value->count; i++)
        add_type(compiler, schema, value->items[i]);
}

static void compile_enum(struct compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    if (!expect(compiler, value, DOC_LIST, "a list of values"))
        return;
    if (value->count == 0)
        doc_problem_at(compiler->problems, value, false, "enum: needs at least one value");
    schema->enumeration =
        pl_arena_alloc_array(compiler->arena, value->count + 1, sizeof(schema->enumeration[0]));
    if (!schema->enumeration)
        return;
    for (size_t i = 0; i < value->count; i++)
        schema->enumeration[i] = doc_json(compiler->arena, value->items[i]);
    schema->n_enumeration = value->count;
}

static void compile_const(struct compiler *compiler, struct schema *schema,
                          const struct doc_node *value)
{
    schema->constant = doc_json(compiler->arena, value);
}

static void compile_default(struct compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    struct fallback *fallback = pl_arena_alloc(compiler->arena, sizeof(*fallback));

    schema->fallback = doc_json(compiler->arena, value);
    if (!fallback)
        return;
    *fallback = (struct fallback){.schema = schema, .node = value, .next = compiler->fallbacks};
    compiler->fallbacks = fallback;
}

static void compile_all_of(struct compiler *compiler, struct schema *schema,
                           const struct doc_node *value)
{
    take_list(compiler, value, &schema->all);
}

static void compile_any_of(struct compiler *compiler, struct schema *schema,
                           const struct doc_node *value)
{
    take_list(compiler, value, &schema->any);
}

static void compile_one_of(struct compiler *compiler, struct schema *schema,
                           const struct doc_node *value)
{
    take_list(compiler, value, &schema->one);
}

static void compile_not(struct compiler *compiler, struct schema *schema,
                        const struct doc_node *value)
{
    schema->not = compile(compiler, value);
}

static void compile_annotation(struct compiler *compiler, struct schema *schema,
                               const struct doc_node *value)
{
    (void)compiler;
    (void)schema;
    (void)value;
}

/* ---- keywords for objects ---- */

/* The property of a name, added when it is new. NULL when the arena failed. */
static struct schema_property *property_of(struct compiler *compiler, struct schema *schema,
                                           struct pl_str name)
{
    struct schema_property *property;

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
    property->name = name;
    return property;
}

static void compile_properties(struct compiler *compiler, struct schema *schema,
                               const struct doc_node *value)
{
    if (!expect(compiler, value, DOC_OBJECT, "an object of schemas"))
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
        property->schema = compile(compiler, member);
        schema->names[i] = pl_arena_str(compiler->arena, member->key).ptr;
    }
}

static void compile_required(struct compiler *compiler, struct schema *schema,
                             const struct doc_node *value)
{
    if (value->type == DOC_BOOL) {
        doc_problem_at(compiler->problems, value, false,
                       "required: expected a list of names; it stands beside 'properties', not "
                       "inside a property");
        return;
    }
    if (!expect(compiler, value, DOC_LIST, "a list of names"))
        return;
    for (size_t i = 0; i < value->count; i++) {
        const struct doc_node *name = value->items[i];
        struct schema_property *property;

        if (name->type != DOC_STRING) {
            doc_problem_at(compiler->problems, name, false, "required: expected a name, got %s",
                           doc_type_name(name->type));
            continue;
        }
        property = property_of(compiler, schema, name->text);
        if (property)
            property->required = true;
    }
}

static void compile_additional(struct compiler *compiler, struct schema *schema,
                               const struct doc_node *value)
{
    schema->additional = compile(compiler, value);
}

static void compile_min_properties(struct compiler *compiler, struct schema *schema,
                                   const struct doc_node *value)
{
    take_count(compiler, value, &schema->min_properties);
}

static void compile_max_properties(struct compiler *compiler, struct schema *schema,
                                   const struct doc_node *value)
{
    take_count(compiler, value, &schema->max_properties);
}

/* ---- keywords for lists ---- */

static void compile_items(struct compiler *compiler, struct schema *schema,
                          const struct doc_node *value)
{
    schema->items = compile(compiler, value);
}

static void compile_min_items(struct compiler *compiler, struct schema *schema,
                              const struct doc_node *value)
{
    take_count(compiler, value, &schema->min_items);
}

static void compile_max_items(struct compiler *compiler, struct schema *schema,
                              const struct doc_node *value)
{
    take_count(compiler, value, &schema->max_items);
}

static void compile_unique_items(struct compiler *compiler, struct schema *schema,
                                 const struct doc_node *value)
{
    if (expect(compiler, value, DOC_BOOL, "true or false"))
        schema->unique_items = pl_str_is(value->text, "true");
}

/* ---- keywords for strings and numbers ---- */

static void compile_min_length(struct compiler *compiler, struct schema *schema,
                               const struct doc_node *value)
{
    take_count(compiler, value, &schema->min_length);
}

static void compile_max_length(struct compiler *compiler, struct schema *schema,
                               const struct doc_node *value)
{
    take_count(compiler, value, &schema->max_length);
}

static void compile_pattern(struct compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    char shown[DOC_EXCERPT];
    const char *why;

    if (!expect(compiler, value, DOC_STRING, "a regular expression"))
        return;
    schema->pattern = schema_pattern_translate(compiler->arena, value->text, &why);
    schema->pattern_text = value->text;
    schema->pattern_index = compiler->n_patterns++;
    if (why)
        doc_problem_at(compiler->problems, value, false, "pattern: '%s' cannot be used: %s",
                       doc_excerpt(value->text, shown), why);
}

static void compile_minimum(struct compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    take_number(compiler, value, &schema->minimum);
}

static void compile_maximum(struct compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    take_number(compiler, value, &schema->maximum);
}

static void compile_above(struct compiler *compiler, struct schema *schema,
                          const struct doc_node *value)
{
    take_number(compiler, value, &schema->above);
}

static void compile_below(struct compiler *compiler, struct schema *schema,
                          const struct doc_node *value)
{
    take_number(compiler, value, &schema->below);
}

static void compile_multiple_of(struct compiler *compiler, struct schema *schema,
                                const struct doc_node *value)
{
    take_number(compiler, value, &schema->multiple_of);
    if (!schema->multiple_of.ptr)
        return;
    if (json_number_compare(schema->multiple_of, PL_STR("0")) <= 0)
        doc_problem_at(compiler->problems, value, false, "multipleOf: must be greater than 0");
    else if (!json_number_is_multiple(schema->multiple_of, schema->multiple_of))
        doc_problem_at(compiler->problems, value, false, "multipleOf: at most 18 digits count");
}

/* ---- the table ---- */

static const struct {
    const char *name;
    compile_keyword *compile; /* NULL: of the draft, but not in this version */
} keywords[] = {
    {"type", compile_type},
    {"enum", compile_enum},
    {"const", compile_const},
    {"default", compile_default},
    {"properties", compile_properties},
    {"required", compile_required},
    {"additionalProperties", compile_additional},
    {"minProperties", compile_min_properties},
    {"maxProperties", compile_max_properties},
    {"items", compile_items},
    {"minItems", compile_min_items},
    {"maxItems", compile_max_items},
    {"uniqueItems", compile_unique_items},
    {"minLength", compile_min_length},
    {"maxLength", compile_max_length},
    {"pattern", compile_pattern},
    {"minimum", compile_minimum},
    {"maximum", compile_maximum},
    {"exclusiveMinimum", compile_above},
    {"exclusiveMaximum", compile_below},
    {"multipleOf", compile_multiple_of},
    {"allOf", compile_all_of},
    {"anyOf", compile_any_of},
    {"oneOf", compile_one_of},
    {"not", compile_not},
    {"title", compile_annotation},
    {"description", compile_annotation},
    {"examples", compile_annotation},
    {"deprecated", compile_annotation},
    {"readOnly", compile_annotation},
    {"writeOnly", compile_annotation},
    {"format", compile_annotation},
    {"$comment", compile_annotation},
    {"$schema", compile_annotation},
    {"$id", NULL},
    {"$ref", NULL},
    {"$defs", NULL},
    {"$anchor", NULL},
    {"$dynamicRef", NULL},
    {"$dynamicAnchor", NULL},
    {"$vocabulary", NULL},
    {"definitions", NULL},
    {"dependencies", NULL},
    {"additionalItems", NULL},
    {"prefixItems", NULL},
    {"contains", NULL},
    {"minContains", NULL},
    {"maxContains", NULL},
    {"unevaluatedItems", NULL},
    {"unevaluatedProperties", NULL},
    {"patternProperties", NULL},
    {"propertyNames", NULL},
    {"dependentRequired", NULL},
    {"dependentSchemas", NULL},
    {"if", NULL},
    {"then", NULL},
    {"else", NULL},
    {"contentEncoding", NULL},
    {"contentMediaType", NULL},
    {"contentSchema", NULL},
};

static void unknown_keyword(struct compiler *compiler, const struct doc_node *member)
{
    const char *names[PL_ARRAY_LEN(keywords) + 1], *nearest;
    char shown[DOC_EXCERPT];
    size_t count = 0;

    for (size_t i = 0; i < PL_ARRAY_LEN(keywords); i++)
        if (keywords[i].compile)
            names[count++] = keywords[i].name;
    names[count] = NULL;
    nearest = doc_nearest(member->key, names);
    doc_problem_at(compiler->problems, member, true, "unknown keyword '%s'%s%s%s",
                   doc_excerpt(member->key, shown), nearest ? "; did you mean '" : " in a schema",
                   nearest ? nearest : "", nearest ? "'?" : "");
}

static void keyword(struct compiler *compiler, struct schema *schema, const struct doc_node *member)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(keywords); i++) {
        if (!pl_str_is(member->key, keywords[i].name))
            continue;
        if (keywords[i].compile)
            keywords[i].compile(compiler, schema, member);
        else
            doc_problem_at(compiler->problems, member, true,
                           "keyword '%s' is not supported by this version", keywords[i].name);
        return;
    }
    unknown_keyword(compiler, member);
}

/* ---- the whole ---- */

/* Numbers the properties, those of `properties` first and in its order. */
static void number_properties(struct compiler *compiler, struct schema *schema)
{
    const struct doc_node *declared = doc_get(schema->node, "properties");
    const struct doc_node *required = doc_get(schema->node, "required");
    size_t count = schema->by_name ? pl_map_count(schema->by_name) : 0;

    if (count == 0)
        return;
    schema->properties =
        pl_arena_alloc_array(compiler->arena, count, sizeof(schema->properties[0]));
    for (int pass = 0; schema->properties && pass < 2; pass++) {
        const struct doc_node *names = pass == 0 ? declared : required;

        for (size_t i = 0; names && i < names->count; i++) {
            struct pl_str name = pass == 0 ? names->items[i]->key : names->items[i]->text;
            struct schema_property *property = pl_map_get(schema->by_name, name);
            size_t next = schema->n_properties;

            if (!property ||
                (property->index < next && schema->properties[property->index] == property))
                continue;
            property->index = next;
            schema->properties[schema->n_properties++] = property;
        }
    }
}

/* Whether filling has anything to do here or below. */
static bool has_defaults(const struct schema *schema)
{
    if (schema->items && schema->items->fills)
        return true;
    for (size_t i = 0; i < schema->n_properties; i++) {
        const struct schema *property = schema->properties[i]->schema;

        if (property && (property->fallback.ptr || property->fills))
            return true;
    }
    return false;
}

/* Always gives a schema, so that what is around it can be looked at too; NULL when the arena
 * failed. */
static struct schema *compile(struct compiler *compiler, const struct doc_node *node)
{
    struct schema *schema = pl_arena_alloc(compiler->arena, sizeof(*schema));

    if (!schema)
        return NULL;
    schema->node = node;
    schema->max_properties = schema->max_items = schema->max_length = SIZE_MAX;
    if (node->type == DOC_BOOL) {
        schema->never = pl_str_is(node->text, "false");
        return schema;
    }
    if (node->type != DOC_OBJECT) {
        if (!node->refused)
            doc_problem_at(compiler->problems, node, false,
                           "expected a schema (an object, true or false), got %s",
                           doc_type_name(node->type));
        return schema;
    }
    for (size_t i = 0; i < node->count && !pl_arena_failed(compiler->arena); i++)
        keyword(compiler, schema, node->items[i]);
    if (pl_arena_failed(compiler->arena))
        return NULL;
    number_properties(compiler, schema);
    schema->fills = has_defaults(schema);
    return schema;
}

/* A default that its own schema refuses would fail every run that needs it. */
static void check_default(struct compiler *compiler, const struct fallback *fallback)
{
    struct schema_check check;
    struct doc_problems found;
    struct pl_str filled;

    doc_problems_init(&found, compiler->arena);
    filled = schema_fill(fallback->schema, compiler->arena, fallback->schema->fallback);
    if (!filled.ptr || !schema_check_init(&check, compiler->arena, &found, compiler->n_patterns))
        return;
    if (!schema_fits(&check, fallback->schema, filled, NULL) && found.count)
        doc_problem_at(compiler->problems, fallback->node, false,
                       "default: does not fit the schema it stands in: %s", found.items[0].message);
    if (check.no_memory) /* the arena carries it to the caller */
        (void)pl_arena_alloc_array(compiler->arena, SIZE_MAX, 2);
    schema_check_finish(&check);
}

struct schema *schema_compile(struct pl_arena *arena, const struct doc_node *node,
                              struct doc_problems *problems)
{
    struct compiler compiler = {.arena = arena, .problems = problems, .before = problems->total};
    struct schema *root = compile(&compiler, node);

    if (!root || node->refused)
        return NULL;
    root->n_patterns = compiler.n_patterns;
    for (const struct fallback *f = compiler.fallbacks; f && problems->total == compiler.before;
         f = f->next)
        check_default(&compiler, f);
    return problems->total == compiler.before && !pl_arena_failed(arena) ? root : NULL;
}

const char *schema_property_type(const struct schema *schema, struct pl_str property)
{
    const struct schema_property *found;
    unsigned types;

    found = schema->by_name ? pl_map_get(schema->by_name, property) : NULL;
    types = found && found->schema ? found->schema->types & ~(1u << SCHEMA_NULL) : 0;
    for (unsigned i = 0; i < SCHEMA_TYPES; i++)
        if (types == 1u << i)
            return type_words[i];
    return NULL;
}
