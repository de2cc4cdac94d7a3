/* schema_compile.c - from documents to compiled schemas: the walk over them, libraries, and what
 * can only be checked at the end (references, circles, defaults). Not the keywords
 * (schema_keywords.c) and not validation (schema.c). Called by workflow_parse. */
#include "service/schema/schema_compile.h"

/* ---- the walk ---- */

/* The schema true or false, or a problem. */
static void compile_simple(struct schema_compiler *compiler, struct schema *schema,
                           const struct doc_node *node)
{
    if (node->type == DOC_BOOL)
        schema->never = pl_str_is(node->text, "false");
    else if (!node->refused)
        doc_problem_at(compiler->problems, node, false,
                       "expected a schema (an object, true or false), got %s",
                       doc_type_name(node->type));
}

static void compile_members(struct schema_compiler *compiler, struct schema *schema,
                            const struct doc_node *node)
{
    struct schema_resource *around = compiler->resource;
    const struct doc_node *properties = doc_get(node, "properties");

    compiler->resource = schema_resource_at(compiler, node);
    if (properties) /* first, so that they are numbered before names that are only required */
        schema_read_keyword(compiler, schema, properties);
    for (size_t i = 0; i < node->count && !pl_arena_failed(compiler->arena); i++)
        if (node->items[i] != properties)
            schema_read_keyword(compiler, schema, node->items[i]);
    compiler->resource = around;
}

struct schema *schema_compile_node(struct schema_compiler *compiler, const struct doc_node *node)
{
    struct schema *schema = pl_arena_alloc(compiler->arena, sizeof(*schema));

    if (!schema)
        return NULL;
    schema->node = node;
    schema->document = compiler->document;
    schema->max_properties = schema->max_items = schema->max_length = SIZE_MAX;
    schema->max_contains = SIZE_MAX;
    schema->min_contains = 1;
    schema->next = compiler->schemas;
    compiler->schemas = schema;
    if (++compiler->count > SCHEMA_COUNT) {
        if (compiler->count == SCHEMA_COUNT + 1)
            doc_problem_at(compiler->problems, node, false, "a schema of more than %d schemas",
                           SCHEMA_COUNT);
        return schema;
    }
    if (!pl_map_put(compiler->index->nodes,
                    pl_str_n((const char *)&schema->node, sizeof(schema->node)), schema, NULL))
        return NULL;
    if (node->type == DOC_OBJECT)
        compile_members(compiler, schema, node);
    else
        compile_simple(compiler, schema, node);
    return pl_arena_failed(compiler->arena) ? NULL : schema;
}

/* ---- a document ---- */

/* The schema of a whole document; its references have no targets yet. */
static struct schema *compile_document(struct schema_compiler *compiler,
                                       struct schema_document *document,
                                       const struct schema_resource **ret_resource)
{
    compiler->document = document;
    document->nodes = compiler->index->nodes;
    compiler->resource = NULL;
    compiler->resource = schema_resource_at(compiler, document->root);
    *ret_resource = compiler->resource;
    return compiler->resource ? schema_compile_node(compiler, document->root) : NULL;
}

static bool compiler_init(struct schema_compiler *compiler, struct schema_index *index)
{
    compiler->before = compiler->problems->total;
    compiler->last_pending = &compiler->pending;
    compiler->limits = schema_limits_for((struct pl_str){0});
    compiler->limits.work *= 4;
    compiler->index = index;
    index->nodes = pl_map_create(compiler->arena, 8);
    return index->nodes != NULL;
}

static bool is_sound(const struct schema_compiler *compiler)
{
    return compiler->problems->total == compiler->before && !pl_arena_failed(compiler->arena);
}

/* A default that its own schema refuses would fail every run that needs it. */
static void check_default(struct schema_compiler *compiler, const struct schema_fallback *fallback)
{
    struct doc_problems found;
    struct pl_str filled;
    const char *why = NULL;

    doc_problems_init(&found, compiler->arena);
    filled = schema_fill(fallback->schema, compiler->arena, fallback->schema->fallback,
                         &compiler->limits, &why);
    if (why)
        doc_problem_at(compiler->problems, fallback->node, false, "default: %s", why);
    if (!filled.ptr)
        return;
    if (schema_validate(fallback->schema, compiler->arena, filled, &compiler->limits, &found) ==
            PL_ERR_INVALID_INPUT &&
        found.count)
        doc_problem_at(compiler->problems, fallback->node, false,
                       "default: does not fit the schema it stands in: %s", found.items[0].message);
}

static bool has_default(const struct schema *schema)
{
    while (schema && !schema->fallback.ptr)
        schema = schema->ref;
    return schema != NULL;
}

/* What filling has to know; references must not go in circles. */
static void note_defaults(struct schema_compiler *compiler)
{
    for (struct schema *schema = compiler->schemas; schema; schema = schema->next) {
        schema->fills = compiler->fallbacks || (compiler->library && compiler->library->fills);
        for (size_t i = 0; i < schema->n_properties && schema->fills; i++)
            schema->defaults |= has_default(schema->properties[i]->schema);
    }
}

/* Once everything has been read. */
static void finish(struct schema_compiler *compiler)
{
    const struct schema_fallback *fallback = compiler->fallbacks;

    schema_link_refs(compiler);
    if (is_sound(compiler))
        schema_check_circles(compiler);
    if (!is_sound(compiler) || (compiler->library && compiler->library->broken))
        return;
    note_defaults(compiler);
    for (; fallback && is_sound(compiler); fallback = fallback->next)
        check_default(compiler, fallback);
}

/* ---- libraries ---- */

static bool name_ok(struct pl_str name)
{
    bool good = name.len > 0 && name.len <= 64;

    for (size_t i = 0; good && i < name.len; i++) {
        char c = name.ptr[i];

        good = ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9');
    }
    return good;
}

static void add_entry(struct schema_compiler *compiler, struct schema_library *library,
                      const struct doc_node *node)
{
    struct schema_entry *entry = pl_arena_alloc(compiler->arena, sizeof(*entry));
    char shown[DOC_EXCERPT];

    if (!entry)
        return;
    if (!name_ok(node->key))
        doc_problem_at(compiler->problems, node, true,
                       "'%s' is no name for a schema; a letter or _ first, then letters, digits "
                       "and _, at most 64",
                       doc_excerpt(node->key, shown));
    entry->document = (struct schema_document){.root = node, .name = node->key};
    entry->schema = compile_document(compiler, &entry->document, &entry->resource);
    if (entry->schema)
        (void)pl_map_put(library->names, node->key, entry, NULL);
}

struct schema_library *schema_library_create(struct pl_arena *arena, const struct doc_node *node,
                                             struct doc_problems *problems)
{
    struct schema_library *library = pl_arena_alloc(arena, sizeof(*library));
    struct schema_compiler compiler = {.arena = arena, .problems = problems, .library = library};
    size_t count = node && node->type == DOC_OBJECT ? node->count : 0;

    if (!library || !compiler_init(&compiler, &library->index))
        return NULL;
    library->names = pl_map_create(arena, count);
    library->words = pl_arena_alloc_array(arena, count + 1, sizeof(library->words[0]));
    if (!library->names || !library->words)
        return NULL;
    if (node && node->type != DOC_OBJECT && !node->refused)
        doc_problem_at(problems, node, false, "schemas: expected an object of schemas, got %s",
                       doc_type_name(node->type));
    for (size_t i = 0; i < count; i++) {
        library->words[i] = pl_arena_str(arena, node->items[i]->key).ptr;
        add_entry(&compiler, library, node->items[i]);
    }
    library->fills = compiler.fallbacks != NULL;
    finish(&compiler);
    library->broken = !is_sound(&compiler);
    return pl_arena_failed(arena) ? NULL : library;
}

/* ---- one schema ---- */

/* The schema that a name stands for. */
static struct schema *named(const struct schema_library *library, const struct doc_node *node,
                            struct doc_problems *problems)
{
    const struct schema_entry *entry = pl_map_get(library->names, node->text);
    static const char *const types[] = {"boolean", "integer", "number",
                                        "string",  "array",   "object"};
    const char *nearest, *type = NULL;
    char shown[DOC_EXCERPT];

    if (entry)
        return entry->schema;
    nearest = doc_nearest(node->text, library->words);
    for (size_t k = 0; k < PL_ARRAY_LEN(types); k++)
        type = pl_str_is(node->text, types[k]) ? types[k] : type;
    if (type && !nearest)
        doc_problem_at(problems, node, false,
                       "there is no schema '%s' under 'schemas'; for a type write {type: %s}", type,
                       type);
    else
        doc_problem_at(problems, node, false, "there is no schema '%s' under 'schemas'%s%s%s",
                       doc_excerpt(node->text, shown), nearest ? "; did you mean '" : "",
                       nearest ? nearest : "", nearest ? "'?" : "");
    return NULL;
}

struct schema *schema_compile_in(struct pl_arena *arena, const struct doc_node *node,
                                 const struct schema_library *library,
                                 struct doc_problems *problems)
{
    struct schema_compiler compiler = {.arena = arena, .problems = problems, .library = library};
    struct schema_document *document;
    const struct schema_resource *resource;
    struct schema_index index = {0};
    struct schema *root;

    if (library && node->type == DOC_STRING && !node->refused)
        return named(library, node, problems);
    document = pl_arena_alloc(arena, sizeof(*document));
    if (!document || !compiler_init(&compiler, &index))
        return NULL;
    document->root = node;
    root = compile_document(&compiler, document, &resource);
    if (!root || node->refused)
        return NULL;
    finish(&compiler);
    return is_sound(&compiler) ? root : NULL;
}

struct schema *schema_compile(struct pl_arena *arena, const struct doc_node *node,
                              struct doc_problems *problems)
{
    return schema_compile_in(arena, node, NULL, problems);
}
