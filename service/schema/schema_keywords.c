/* schema_keywords.c - the keywords of schemas: one table, with a reader for each, and a problem for
 * everything that is not in it. Keywords of objects and lists are read in schema_members.c,
 * references in schema_refs.c. Called by schema_compile.c. */
#include "base/json.h"
#include "service/schema/schema_compile.h"

/* ---- values of keywords ---- */

bool schema_expect(struct schema_compiler *compiler, const struct doc_node *value,
                   enum doc_type type, const char *what)
{
    if (value->type == type)
        return true;
    if (!value->refused)
        doc_problem_at(compiler->problems, value, false, "%.*s: expected %s, got %s",
                       PL_STR_ARG(value->key), what, doc_type_name(value->type));
    return false;
}

void schema_take_count(struct schema_compiler *compiler, const struct doc_node *value, size_t *ret)
{
    char shown[DOC_EXCERPT];
    int64_t count;

    if (!schema_expect(compiler, value, DOC_NUMBER, "a count"))
        return;
    if (json_int(value->text, &count) && count >= 0)
        *ret = (size_t)count;
    else
        doc_problem_at(compiler->problems, value, false,
                       "%.*s: expected a whole number from 0, got %s", PL_STR_ARG(value->key),
                       doc_excerpt(value->text, shown));
}

static void take_number(struct schema_compiler *compiler, const struct doc_node *value,
                        struct pl_str *ret)
{
    if (schema_expect(compiler, value, DOC_NUMBER, "a number"))
        *ret = value->text;
}

void schema_take_list(struct schema_compiler *compiler, const struct doc_node *value,
                      struct schema_list *ret)
{
    if (!schema_expect(compiler, value, DOC_LIST, "a list of schemas"))
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
        ret->items[i] = schema_compile_node(compiler, value->items[i]);
    ret->count = value->count;
}

const struct schema_pattern *schema_take_pattern(struct schema_compiler *compiler,
                                                 const struct doc_node *value, struct pl_str text)
{
    char shown[DOC_EXCERPT];
    const char *why;
    const struct schema_pattern *pattern = schema_pattern_compile(compiler->arena, text, &why);

    if (why)
        doc_problem_at(compiler->problems, value, false, "pattern: '%s' cannot be used: %s",
                       doc_excerpt(text, shown), why);
    return pattern;
}

/* ---- keywords for any value ---- */

static const char *const type_words[] = {"null",   "boolean", "integer", "number",
                                         "string", "array",   "object",  NULL};

/* What types are called elsewhere. */
static const struct {
    const char *said, *meant;
} other_types[] = {
    {"list", "array"},   {"bool", "boolean"},  {"int", "integer"},
    {"float", "number"}, {"double", "number"}, {"str", "string"},
    {"text", "string"},  {"dict", "object"},   {"map", "object"},
};

static void add_type(struct schema_compiler *compiler, struct schema *schema,
                     const struct doc_node *word)
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
    for (size_t i = 0; i < PL_ARRAY_LEN(other_types); i++)
        if (pl_str_is(word->text, other_types[i].said))
            nearest = other_types[i].meant;
    doc_problem_at(compiler->problems, word, false, "type: there is no type '%s'%s%s%s",
                   doc_excerpt(word->text, shown),
                   nearest ? "; did you mean '"
                           : " (null, boolean, integer, number, string, array, object)",
                   nearest ? nearest : "", nearest ? "'?" : "");
}

static void read_type(struct schema_compiler *compiler, struct schema *schema,
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

static void read_enum(struct schema_compiler *compiler, struct schema *schema,
                      const struct doc_node *value)
{
    if (!schema_expect(compiler, value, DOC_LIST, "a list of values"))
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

static void read_const(struct schema_compiler *compiler, struct schema *schema,
                       const struct doc_node *value)
{
    schema->constant = doc_json(compiler->arena, value);
}

static void read_default(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    struct schema_fallback *fallback = pl_arena_alloc(compiler->arena, sizeof(*fallback));

    schema->fallback = doc_json(compiler->arena, value);
    if (!fallback)
        return;
    *fallback =
        (struct schema_fallback){.schema = schema, .node = value, .next = compiler->fallbacks};
    compiler->fallbacks = fallback;
}

static void read_all_of(struct schema_compiler *compiler, struct schema *schema,
                        const struct doc_node *value)
{
    schema_take_list(compiler, value, &schema->all);
}

static void read_any_of(struct schema_compiler *compiler, struct schema *schema,
                        const struct doc_node *value)
{
    schema_take_list(compiler, value, &schema->any);
}

static void read_one_of(struct schema_compiler *compiler, struct schema *schema,
                        const struct doc_node *value)
{
    schema_take_list(compiler, value, &schema->one);
}

static void read_not(struct schema_compiler *compiler, struct schema *schema,
                     const struct doc_node *value)
{
    schema->not = schema_compile_node(compiler, value);
}

static void read_if(struct schema_compiler *compiler, struct schema *schema,
                    const struct doc_node *value)
{
    schema->condition = schema_compile_node(compiler, value);
}

static void read_then(struct schema_compiler *compiler, struct schema *schema,
                      const struct doc_node *value)
{
    schema->then = schema_compile_node(compiler, value);
}

static void read_else(struct schema_compiler *compiler, struct schema *schema,
                      const struct doc_node *value)
{
    schema->otherwise = schema_compile_node(compiler, value);
}

/* Schemas that apply to nothing until they are referred to. */
static void read_defs(struct schema_compiler *compiler, struct schema *schema,
                      const struct doc_node *value)
{
    (void)schema;
    if (!schema_expect(compiler, value, DOC_OBJECT, "an object of schemas"))
        return;
    for (size_t i = 0; i < value->count; i++)
        (void)schema_compile_node(compiler, value->items[i]);
}

static void read_format(struct schema_compiler *compiler, struct schema *schema,
                        const struct doc_node *value)
{
    if (schema_expect(compiler, value, DOC_STRING, "the name of a format"))
        schema->format = value->text;
}

static void read_dialect(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    static const char *const known[] = {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft-07/schema",
        "https://json-schema.org/draft-06/schema",
    };
    struct pl_str uri = value->text;
    char shown[DOC_EXCERPT];

    (void)schema;
    if (!schema_expect(compiler, value, DOC_STRING, "a URI"))
        return;
    if (uri.len && uri.ptr[uri.len - 1] == '#')
        uri.len--;
    for (size_t i = 0; i < PL_ARRAY_LEN(known); i++)
        if (pl_str_is(uri, known[i]) ||
            (pl_str_starts(uri, PL_STR("http://")) &&
             pl_str_is(pl_str_n(uri.ptr + 7, uri.len - 7), known[i] + 8)))
            return;
    doc_problem_at(compiler->problems, value, false,
                   "$schema: '%s' is not known here; leave it out, or name %s",
                   doc_excerpt(value->text, shown), known[0]);
}

static void read_annotation(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    (void)compiler;
    (void)schema;
    (void)value;
}

/* ---- keywords for strings and numbers ---- */

static void read_min_length(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->min_length);
}

static void read_max_length(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *value)
{
    schema_take_count(compiler, value, &schema->max_length);
}

static void read_pattern(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    if (!schema_expect(compiler, value, DOC_STRING, "a regular expression"))
        return;
    schema->pattern = schema_take_pattern(compiler, value, value->text);
    schema->pattern_text = value->text;
}

static void read_minimum(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    take_number(compiler, value, &schema->minimum);
}

static void read_maximum(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *value)
{
    take_number(compiler, value, &schema->maximum);
}

static void read_above(struct schema_compiler *compiler, struct schema *schema,
                       const struct doc_node *value)
{
    take_number(compiler, value, &schema->above);
}

static void read_below(struct schema_compiler *compiler, struct schema *schema,
                       const struct doc_node *value)
{
    take_number(compiler, value, &schema->below);
}

static void read_multiple_of(struct schema_compiler *compiler, struct schema *schema,
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
    schema_keyword *read; /* NULL: of this draft or another one, but not taken */
    const char *instead;  /* then: what to do, or NULL */
} keywords[] = {
    {"type", read_type, NULL},
    {"enum", read_enum, NULL},
    {"const", read_const, NULL},
    {"default", read_default, NULL},
    {"properties", schema_read_properties, NULL},
    {"required", schema_read_required, NULL},
    {"additionalProperties", schema_read_additional, NULL},
    {"patternProperties", schema_read_pattern_properties, NULL},
    {"propertyNames", schema_read_property_names, NULL},
    {"dependentRequired", schema_read_dependent_required, NULL},
    {"dependentSchemas", schema_read_dependent_schemas, NULL},
    {"unevaluatedProperties", schema_read_unevaluated_properties, NULL},
    {"minProperties", schema_read_min_properties, NULL},
    {"maxProperties", schema_read_max_properties, NULL},
    {"prefixItems", schema_read_prefix_items, NULL},
    {"items", schema_read_items, NULL},
    {"contains", schema_read_contains, NULL},
    {"minContains", schema_read_min_contains, NULL},
    {"maxContains", schema_read_max_contains, NULL},
    {"unevaluatedItems", schema_read_unevaluated_items, NULL},
    {"minItems", schema_read_min_items, NULL},
    {"maxItems", schema_read_max_items, NULL},
    {"uniqueItems", schema_read_unique_items, NULL},
    {"minLength", read_min_length, NULL},
    {"maxLength", read_max_length, NULL},
    {"pattern", read_pattern, NULL},
    {"minimum", read_minimum, NULL},
    {"maximum", read_maximum, NULL},
    {"exclusiveMinimum", read_above, NULL},
    {"exclusiveMaximum", read_below, NULL},
    {"multipleOf", read_multiple_of, NULL},
    {"allOf", read_all_of, NULL},
    {"anyOf", read_any_of, NULL},
    {"oneOf", read_one_of, NULL},
    {"not", read_not, NULL},
    {"if", read_if, NULL},
    {"then", read_then, NULL},
    {"else", read_else, NULL},
    {"$id", schema_read_id, NULL},
    {"$anchor", schema_read_anchor, NULL},
    {"$ref", schema_read_ref, NULL},
    {"$defs", read_defs, NULL},
    {"definitions", read_defs, NULL},
    {"title", read_annotation, NULL},
    {"description", read_annotation, NULL},
    {"examples", read_annotation, NULL},
    {"deprecated", read_annotation, NULL},
    {"readOnly", read_annotation, NULL},
    {"writeOnly", read_annotation, NULL},
    {"format", read_format, NULL},
    {"$comment", read_annotation, NULL},
    {"$schema", read_dialect, NULL},
    {"$dynamicRef", NULL, "use $ref"},
    {"$dynamicAnchor", NULL, "use $anchor"},
    {"$vocabulary", NULL, NULL},
    {"$recursiveRef", NULL, "use $ref"},
    {"$recursiveAnchor", NULL, NULL},
    {"contentEncoding", NULL, NULL},
    {"contentMediaType", NULL, NULL},
    {"contentSchema", NULL, NULL},
    {"dependencies", NULL, "use dependentRequired or dependentSchemas"},
    {"additionalItems", NULL, "use prefixItems and items"},
    {"id", NULL, "use $id"},
    {"nullable", NULL, "use a list of types, such as [string, 'null']"},
};

static void unknown_keyword(struct schema_compiler *compiler, const struct doc_node *member)
{
    const char *names[PL_ARRAY_LEN(keywords) + 1], *nearest;
    char shown[DOC_EXCERPT];
    size_t count = 0;

    for (size_t i = 0; i < PL_ARRAY_LEN(keywords); i++)
        if (keywords[i].read)
            names[count++] = keywords[i].name;
    names[count] = NULL;
    nearest = doc_nearest(member->key, names);
    if (!nearest && (member->type == DOC_OBJECT || !doc_get(member->parent, "type")))
        doc_problem_at(compiler->problems, member, true,
                       "unknown keyword '%s' in a schema; is it a property? Then it goes under "
                       "'properties': {type: object, properties: {...}}",
                       doc_excerpt(member->key, shown));
    else
        doc_problem_at(compiler->problems, member, true, "unknown keyword '%s'%s%s%s",
                       doc_excerpt(member->key, shown),
                       nearest ? "; did you mean '" : " in a schema", nearest ? nearest : "",
                       nearest ? "'?" : "");
}

void schema_read_keyword(struct schema_compiler *compiler, struct schema *schema,
                         const struct doc_node *member)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(keywords); i++) {
        const char *instead = keywords[i].instead;

        if (!pl_str_is(member->key, keywords[i].name))
            continue;
        if (keywords[i].read)
            keywords[i].read(compiler, schema, member);
        else
            doc_problem_at(compiler->problems, member, true,
                           "keyword '%s' is not supported by this version%s%s", keywords[i].name,
                           instead ? "; " : "", instead ? instead : "");
        return;
    }
    unknown_keyword(compiler, member);
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
