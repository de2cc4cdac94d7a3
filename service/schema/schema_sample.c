/* schema_sample.c - values that fit a schema, made up: which schemas speak of a value, which
 * alternatives to try, which type to take. Every value is checked before it is kept. Not the types
 * themselves (schema_sample_values.c, schema_sample_members.c). Called by llm/sim. */
#include "service/schema/schema_sample.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/schema/schema_sample_node.h"

bool sample_goes_on(struct sampler *sampler)
{
    return sampler->tries < SAMPLE_TRIES && !sampler->shared.stopped &&
           !sampler->shared.no_memory && !pl_buf_failed(sampler->out) &&
           !pl_arena_failed(sampler->arena);
}

void sample_take_back(struct sampler *sampler, size_t start)
{
    if (sampler->out->len > start) {
        sampler->out->len = start;
        sampler->out->data[start] = '\0';
    }
}

bool sample_check(struct sampler *sampler, const struct sample_layers *layers, size_t start)
{
    struct schema_check check = {.arena = sampler->arena, .shared = &sampler->shared};
    struct pl_str json;

    sampler->tries++;
    if (sampler->out->len == start)
        return false;
    json = pl_str_n(sampler->out->data + start, sampler->out->len - start);
    for (size_t i = 0; i < layers->given; i++) {
        if (sample_goes_on(sampler) && schema_fits(&check, layers->items[i], json, NULL, NULL))
            continue;
        sample_take_back(sampler, start);
        return false;
    }
    return sample_goes_on(sampler);
}

/* ---- layers ---- */

void sample_add(struct sample_layers *layers, const struct schema *schema)
{
    for (size_t i = 0; i < layers->count; i++)
        if (layers->items[i] == schema)
            return;
    if (schema->never || layers->count == SAMPLE_LAYERS) {
        layers->impossible = true;
        return;
    }
    layers->items[layers->count++] = schema;
    if (schema->ref)
        sample_add(layers, schema->ref);
    for (size_t i = 0; i < schema->all.count; i++)
        sample_add(layers, schema->all.items[i]);
}

void sample_give(struct sample_layers *layers, const struct schema *schema)
{
    const struct sample_layers before = *layers;

    *layers = (struct sample_layers){.impossible = before.impossible};
    for (size_t i = 0; i < before.given; i++)
        if (before.items[i] == schema)
            schema = NULL;
    memcpy(layers->items, before.items, before.given * sizeof(before.items[0]));
    layers->given = layers->count = before.given;
    if (schema && (schema->never || layers->given == SAMPLE_LAYERS))
        layers->impossible = true;
    else if (schema)
        layers->items[layers->given++] = schema;
    layers->count = layers->given;
}

/* ---- values ---- */

/* The values that enum and const leave; *ret_any is false when there are none of these keywords. */
static bool sample_listed(struct sampler *sampler, const struct sample_layers *layers,
                          sample_nth nth, bool *ret_any)
{
    const size_t start = sampler->out->len;

    *ret_any = false;
    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];
        const struct pl_str *values = layer->constant.ptr ? &layer->constant : layer->enumeration;
        size_t count = layer->constant.ptr ? 1 : layer->n_enumeration;

        if (!values)
            continue;
        *ret_any = true;
        for (size_t v = 0; v < count && sample_goes_on(sampler); v++) {
            pl_buf_str(sampler->out, values[(v + nth) % count]);
            if (sample_check(sampler, layers, start))
                return true;
        }
        return false;
    }
    return false;
}

static bool is_number(enum schema_type type)
{
    return type == SCHEMA_NUMBER || type == SCHEMA_INTEGER;
}

/* The types that all layers allow, as bits. */
static unsigned allowed_types(const struct sample_layers *layers)
{
    const unsigned integer = 1u << SCHEMA_INTEGER, number = 1u << SCHEMA_NUMBER;
    unsigned allowed = (1u << SCHEMA_TYPES) - 1;

    for (size_t i = 0; i < layers->count; i++) {
        unsigned types = layers->items[i]->types;

        if (types & number)
            types |= integer;
        if (types)
            allowed &= types;
    }
    return allowed;
}

/* The types that keywords speak of, as bits. */
static unsigned hinted_types(const struct sample_layers *layers)
{
    unsigned hinted = 0;

    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];

        if (layer->n_properties || layer->n_patterns || layer->min_properties ||
            layer->property_names || layer->additional || layer->unevaluated)
            hinted |= 1u << SCHEMA_OBJECT;
        if (layer->items || layer->prefix.count || layer->contains || layer->min_items)
            hinted |= 1u << SCHEMA_ARRAY;
        if (layer->minimum.ptr || layer->maximum.ptr || layer->above.ptr || layer->below.ptr ||
            layer->multiple_of.ptr)
            hinted |= 1u << SCHEMA_NUMBER | 1u << SCHEMA_INTEGER;
        if (layer->pattern || layer->min_length || layer->format.ptr)
            hinted |= 1u << SCHEMA_STRING;
    }
    return hinted;
}

static bool sample_type(struct sampler *sampler, const struct sample_layers *layers,
                        enum schema_type type, unsigned depth, sample_nth nth)
{
    const size_t start = sampler->out->len;

    if (is_number(type))
        return sample_number(sampler, layers, nth);
    if (type == SCHEMA_STRING)
        return sample_string(sampler, layers, nth);
    if (type == SCHEMA_ARRAY)
        return sample_array(sampler, layers, depth, nth);
    if (type == SCHEMA_OBJECT)
        return sample_object(sampler, layers, depth, nth);
    if (type == SCHEMA_NULL) {
        pl_buf_text(sampler->out, "null");
        return sample_check(sampler, layers, start);
    }
    for (unsigned i = 0; i < 2; i++) {
        pl_buf_text(sampler->out, (i + nth) % 2 ? "false" : "true");
        if (sample_check(sampler, layers, start))
            return true;
    }
    return false;
}

/* What `not` and `oneOf` may want, when nothing else does. */
static bool sample_anything(struct sampler *sampler, const struct sample_layers *layers)
{
    static const char *const values[] = {"{}",   "[]",   "0",     "-1",    "0.5",         "null",
                                         "\"\"", "true", "false", "\"x\"", "{\"key\":1}", "[1]"};
    const size_t start = sampler->out->len;

    for (size_t i = 0; i < PL_ARRAY_LEN(values) && sample_goes_on(sampler); i++) {
        pl_buf_text(sampler->out, values[i]);
        if (sample_check(sampler, layers, start))
            return true;
    }
    return false;
}

static bool sample_plain(struct sampler *sampler, const struct sample_layers *layers,
                         unsigned depth, sample_nth nth)
{
    static const enum schema_type order[] = {SCHEMA_OBJECT,  SCHEMA_ARRAY,  SCHEMA_STRING,
                                             SCHEMA_INTEGER, SCHEMA_NUMBER, SCHEMA_BOOLEAN,
                                             SCHEMA_NULL};
    static const enum schema_type free_order[] = {SCHEMA_STRING, SCHEMA_INTEGER, SCHEMA_NUMBER,
                                                  SCHEMA_OBJECT, SCHEMA_ARRAY,   SCHEMA_BOOLEAN,
                                                  SCHEMA_NULL};
    unsigned allowed = allowed_types(layers), hinted = hinted_types(layers) & allowed;
    bool listed;

    if (sample_listed(sampler, layers, nth, &listed))
        return true;
    if (listed)
        return false;
    for (size_t i = 0; i < PL_ARRAY_LEN(order) && hinted; i++)
        if (hinted >> order[i] & 1 && sample_type(sampler, layers, order[i], depth, nth))
            return true;
    for (size_t i = 0; i < PL_ARRAY_LEN(free_order) && sample_goes_on(sampler); i++)
        if ((allowed & ~hinted) >> free_order[i] & 1 &&
            sample_type(sampler, layers, free_order[i], depth, nth))
            return true;
    return sample_anything(sampler, layers);
}

/* ---- alternatives ---- */

/* With each alternative of one list, until a value is found. */
static bool sample_list(struct sampler *sampler, const struct sample_layers *layers,
                        const struct schema_list *list, unsigned depth, sample_nth nth)
{
    for (size_t i = 0; i < list->count && sample_goes_on(sampler); i++) {
        struct sample_layers more = *layers;

        sampler->tries++;
        sample_add(&more, list->items[i]);
        if (sample_choices(sampler, &more, depth, nth))
            return true;
    }
    return false;
}

/* With what `if` asks for and `then`, else with `else`. */
static bool sample_condition(struct sampler *sampler, const struct sample_layers *layers,
                             const struct schema *schema, unsigned depth, sample_nth nth)
{
    struct sample_layers more = *layers;

    sampler->tries++;
    sample_add(&more, schema->condition);
    if (schema->then)
        sample_add(&more, schema->then);
    if (sample_choices(sampler, &more, depth, nth))
        return true;
    more = *layers;
    if (schema->otherwise)
        sample_add(&more, schema->otherwise);
    return sample_choices(sampler, &more, depth, nth);
}

/* The first choice that is open, or a value when none is. */
static bool try_choices(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                        sample_nth nth)
{
    struct sample_layers more = *layers;

    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];
        const uint64_t bit = (uint64_t)1 << i;

        if (layer->any.count && !(layers->any & bit)) {
            more.any |= bit;
            return sample_list(sampler, &more, &layer->any, depth, nth);
        }
        if (layer->one.count && !(layers->one & bit)) {
            more.one |= bit;
            return sample_list(sampler, &more, &layer->one, depth, nth);
        }
        if (layer->condition && !(layers->condition & bit)) {
            more.condition |= bit;
            return sample_condition(sampler, &more, layer, depth, nth);
        }
    }
    return sample_plain(sampler, layers, depth, nth);
}

bool sample_choices(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                    sample_nth nth)
{
    bool found;

    if (layers->impossible || !sample_goes_on(sampler) || sampler->open == SAMPLE_CHAIN)
        return false;
    sampler->open++;
    found = try_choices(sampler, layers, depth, nth);
    sampler->open--;
    return found;
}

bool sample_value(struct sampler *sampler, struct sample_layers *layers, unsigned depth,
                  sample_nth nth)
{
    if (depth > sampler->max_depth)
        return false;
    for (size_t i = 0; i < layers->given; i++) {
        const struct schema *schema = layers->items[i];

        if (schema->ref)
            sample_add(layers, schema->ref);
        for (size_t a = 0; a < schema->all.count; a++)
            sample_add(layers, schema->all.items[a]);
    }
    return sample_choices(sampler, layers, depth, nth);
}

/* ---- the whole ---- */

/* Shallow values first: among alternatives the one that ends is found without going all the way
 * down the one that does not. */
static bool search(struct sampler *sampler, const struct schema *schema)
{
    for (unsigned depth = 4; depth <= SAMPLE_DEPTH; depth *= 2) {
        struct sample_layers layers = {0};

        sampler->max_depth = depth;
        sampler->tries = 0;
        sampler->shared.stopped = NULL;
        sampler->shared.work = SCHEMA_WORK + (uint64_t)sampler->echo.len * SCHEMA_WORK_PER_BYTE;
        sample_give(&layers, schema);
        if (!layers.impossible && sample_value(sampler, &layers, 0, 0))
            return true;
        if (!sample_goes_on(sampler) && sampler->tries < SAMPLE_TRIES && !sampler->shared.stopped)
            return false; /* memory, or the buffer */
        sample_take_back(sampler, 0);
    }
    return false;
}

static enum pl_code verdict(struct sampler *sampler, const struct schema *schema, bool found,
                            struct pl_err *err)
{
    const struct pl_str json = pl_buf_view(sampler->out);
    struct doc_problems problems;
    struct pl_str filled;
    enum pl_code code;

    if (sampler->out->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "a value that fits the schema is too large");
    if (pl_buf_failed(sampler->out) || sampler->shared.no_memory || pl_arena_failed(sampler->arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while a value was made up");
    if (!found || json_check(json, PL_LIMIT_JSON_DEPTH, NULL, NULL) != PL_OK)
        return pl_err_set(err, PL_ERR_INVALID_INPUT,
                          "no value was found that fits the schema; it may ask for something rare "
                          "(pattern, not, oneOf) or for a value without an end");
    doc_problems_init(&problems, sampler->arena);
    code = schema_apply(schema, sampler->arena, json, &filled, &problems); /* with its defaults */
    if (code == PL_OK)
        return PL_OK;
    return pl_err_set(err, code, "no value was found that fits the schema with its defaults");
}

enum pl_code schema_sample_write(const struct schema *schema, struct pl_str echo,
                                 struct pl_buf *out, struct pl_err *err)
{
    const char *nul = memchr(echo.len ? echo.ptr : "", '\0', echo.len);
    struct pl_buf made;
    struct sampler sampler = {.arena = pl_arena_create(0), .echo = echo, .out = &made};
    enum pl_code code;

    if (!sampler.arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while a value was made up");
    if (nul) /* no JSON string of ours has one */
        sampler.echo.len = (size_t)(nul - echo.ptr);
    pl_buf_init(&made, out->max - out->len);
    pl_buf_init(&sampler.shared.text, out->max);
    code = verdict(&sampler, schema, search(&sampler, schema), err);
    if (code == PL_OK && !pl_buf_reserve(out, made.len))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while a value was made up");
    if (code == PL_OK)
        pl_buf_str(out, pl_buf_view(&made));
    schema_matcher_finish(&sampler.shared.matcher);
    pl_buf_finish(&sampler.shared.text);
    pl_buf_finish(&made);
    pl_arena_destroy(&sampler.arena);
    return code;
}
