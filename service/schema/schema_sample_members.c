/* schema_sample_members.c - objects and lists made up for a schema: with what is optional as well,
 * and if that does not fit with what must be there only. Called by schema_sample.c. */
#include "base/json.h"
#include "base/map.h"
#include "service/schema/schema_sample_node.h"

/* ---- objects ---- */

/* The names an object may get. */
struct name {
    struct pl_str text;
    bool required;
    struct name *next;
};

struct names {
    struct sampler *sampler;
    struct pl_map *map;
    struct name *first, **last;
    unsigned open; /* names whose demands are being followed */
};

static struct name *add_name(struct names *names, struct pl_str text)
{
    struct name *name = pl_map_get(names->map, text);

    if (name)
        return name;
    name = pl_arena_alloc(names->sampler->arena, sizeof(*name));
    if (!name || !pl_map_put(names->map, text, name, NULL))
        return NULL;
    name->text = text;
    *names->last = name;
    names->last = &name->next;
    return name;
}

/* Marks a name as required. */
static void require(struct names *names, const struct sample_layers *layers, struct pl_str text);

/* Marks the names that the presence of one demands. */
static void require_beside(struct names *names, const struct sample_layers *layers,
                           struct pl_str text)
{
    for (size_t i = 0; i < layers->count; i++) {
        const struct schema_property *property = schema_property_of(layers->items[i], text);

        for (size_t d = 0; property && d < property->n_demands; d++)
            require(names, layers, property->demands[d]->name);
    }
}

static void require(struct names *names, const struct sample_layers *layers, struct pl_str text)
{
    struct name *name = add_name(names, text);

    if (!name || name->required || names->open == SAMPLE_CHAIN)
        return;
    name->required = true;
    names->open++;
    require_beside(names, layers, text);
    names->open--;
}

static bool collect(struct names *names, struct sampler *sampler,
                    const struct sample_layers *layers, bool generous)
{
    *names = (struct names){.sampler = sampler, .map = pl_map_create(sampler->arena, 8)};
    names->last = &names->first;
    if (!names->map)
        return false;
    for (size_t i = 0; i < layers->count; i++)
        for (size_t p = 0; p < layers->items[i]->n_properties; p++)
            if (layers->items[i]->properties[p]->schema)
                (void)add_name(names, layers->items[i]->properties[p]->name);
    for (const struct name *name = names->first; generous && name; name = name->next)
        require_beside(names, layers, name->text);
    for (size_t i = 0; i < layers->count; i++)
        for (size_t p = 0; p < layers->items[i]->n_properties; p++)
            if (layers->items[i]->properties[p]->required)
                require(names, layers, layers->items[i]->properties[p]->name);
    return true;
}

/* What the layers say of the member of this name. */
static void member_layers(struct sampler *sampler, const struct sample_layers *layers,
                          struct pl_str name, struct sample_layers *ret)
{
    struct schema_check check = {.arena = sampler->arena, .shared = &sampler->shared};
    bool covered = false;

    *ret = (struct sample_layers){0};
    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];
        const struct schema_property *property = schema_property_of(layer, name);
        bool known = property && property->schema;

        if (known)
            sample_give(ret, property->schema);
        for (size_t p = 0; p < layer->n_patterns; p++) {
            if (!schema_matches(&check, layer->patterns[p].pattern, name))
                continue;
            sample_give(ret, layer->patterns[p].schema);
            known = true;
        }
        if (!known && layer->additional)
            sample_give(ret, layer->additional);
        covered |= known || layer->additional;
    }
    for (size_t i = 0; !covered && i < layers->count; i++)
        if (layers->items[i]->unevaluated)
            sample_give(ret, layers->items[i]->unevaluated);
}

/* Writes one member; false, and nothing written, when none is found. */
static bool add_member(struct sampler *sampler, const struct sample_layers *layers,
                       struct pl_str name, unsigned depth, sample_nth nth)
{
    const size_t start = sampler->out->len;
    struct sample_layers inner;

    member_layers(sampler, layers, name, &inner);
    if (inner.impossible)
        return false;
    json_comma(sampler->out);
    json_write_string(sampler->out, name);
    pl_buf_char(sampler->out, ':');
    if (sample_value(sampler, &inner, depth + 1, nth))
        return true;
    sample_take_back(sampler, start);
    return false;
}

/* A name that no property has, as propertyNames or patternProperties want it. */
static struct pl_str other_name(struct sampler *sampler, const struct sample_layers *layers,
                                sample_nth nth)
{
    const size_t start = sampler->out->len;
    struct sample_layers rules = {0};
    struct pl_str name = {0};
    struct pl_buf text;

    for (size_t i = 0; i < layers->count; i++)
        if (layers->items[i]->property_names)
            sample_give(&rules, layers->items[i]->property_names);
    if (rules.given > 0) {
        if (rules.impossible || !sample_value(sampler, &rules, 0, nth) ||
            sampler->out->data[start] != '"')
            return name;
        name = json_decode_string_arena(
            pl_str_n(sampler->out->data + start, sampler->out->len - start), sampler->arena);
        sample_take_back(sampler, start);
        return name;
    }
    pl_buf_init(&text, 1 << 16);
    for (size_t i = 0; i < layers->count && text.len == 0; i++)
        if (layers->items[i]->n_patterns)
            sample_pattern(layers->items[i]->patterns[nth % layers->items[i]->n_patterns].pattern,
                           nth, nth, false, &text);
    if (text.len == 0)
        pl_buf_printf(&text, "key%u", nth + 1);
    sampler->shared.no_memory |= pl_buf_failed(&text) && !text.too_large;
    name = pl_arena_str(sampler->arena, pl_buf_view(&text));
    pl_buf_finish(&text);
    return name;
}

/* Members of any name, until there are `wanted`. */
static void add_others(struct sampler *sampler, struct names *names,
                       const struct sample_layers *layers, size_t count, size_t wanted,
                       unsigned depth)
{
    for (sample_nth nth = 0; count < wanted && nth < 2 * wanted + 8; nth++) {
        struct pl_str name = other_name(sampler, layers, nth);

        sampler->tries++;
        if (!sample_goes_on(sampler))
            return;
        if (!name.ptr || pl_map_get(names->map, name))
            continue;
        (void)add_name(names, name);
        count += add_member(sampler, layers, name, depth, nth);
    }
}

/* What the presence of properties brings in (dependentSchemas), added to `more`; whether there was
 * any. */
static bool add_dependents(const struct names *names, const struct sample_layers *layers,
                           bool generous, struct sample_layers *more)
{
    *more = *layers;
    for (const struct name *name = names->first; name; name = name->next)
        for (size_t i = 0; i < layers->count && (name->required || generous); i++) {
            const struct schema_property *property =
                schema_property_of(layers->items[i], name->text);

            if (property && property->dependent)
                sample_add(more, property->dependent);
        }
    return more->count > layers->count || more->impossible;
}

static bool try_object(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                       sample_nth nth, bool generous)
{
    const size_t start = sampler->out->len;
    size_t least = 0, most = SIZE_MAX, count = 0, required = 0;
    struct sample_layers more;
    struct names names;

    if (!collect(&names, sampler, layers, generous))
        return false;
    if (add_dependents(&names, layers, generous, &more))
        return sample_choices(sampler, &more, depth, nth);
    for (size_t i = 0; i < layers->count; i++) {
        if (layers->items[i]->min_properties > least)
            least = layers->items[i]->min_properties;
        if (layers->items[i]->max_properties < most)
            most = layers->items[i]->max_properties;
    }
    for (const struct name *name = names.first; name; name = name->next)
        required += name->required;
    json_object_begin(sampler->out);
    for (const struct name *name = names.first; name; name = name->next) {
        if (!name->required &&
            (count + required >= most || (!generous && count + required >= least)))
            continue;
        required -= name->required;
        if (add_member(sampler, layers, name->text, depth, nth)) {
            count++;
        } else if (name->required) {
            sample_take_back(sampler, start);
            return false;
        }
    }
    add_others(sampler, &names, layers, count, least, depth);
    json_object_end(sampler->out);
    return sample_check(sampler, layers, start);
}

static bool is_generous(const struct sampler *sampler, unsigned depth)
{
    return depth < SAMPLE_GENEROUS && sampler->tries < SAMPLE_PARTS;
}

bool sample_object(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                   sample_nth nth)
{
    if (is_generous(sampler, depth) && try_object(sampler, layers, depth, nth, true))
        return true;
    return sample_goes_on(sampler) && try_object(sampler, layers, depth, nth, false);
}

/* ---- lists ---- */

/* What all layers together ask of a list. */
struct shape {
    size_t least, most, prefix;
    size_t contained; /* elements that must fit `contains` */
    bool unique, items;
};

static struct shape shape_of(const struct sample_layers *layers)
{
    struct shape shape = {.most = SIZE_MAX};

    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];

        if (layer->min_items > shape.least)
            shape.least = layer->min_items;
        if (layer->max_items < shape.most)
            shape.most = layer->max_items;
        if (layer->prefix.count > shape.prefix)
            shape.prefix = layer->prefix.count;
        if (layer->contains && layer->min_contains > shape.contained)
            shape.contained = layer->min_contains;
        shape.unique |= layer->unique_items;
        shape.items |= layer->items || layer->contains;
    }
    return shape;
}

static void element_layers(const struct sample_layers *layers, size_t index, bool contained,
                           struct sample_layers *ret)
{
    bool covered = false;

    *ret = (struct sample_layers){0};
    for (size_t i = 0; i < layers->count; i++) {
        const struct schema *layer = layers->items[i];
        const struct schema *rule =
            index < layer->prefix.count ? layer->prefix.items[index] : layer->items;

        if (rule)
            sample_give(ret, rule);
        if (contained && layer->contains)
            sample_give(ret, layer->contains);
        covered |= rule || (contained && layer->contains);
    }
    for (size_t i = 0; !covered && i < layers->count; i++)
        if (layers->items[i]->unevaluated_items)
            sample_give(ret, layers->items[i]->unevaluated_items);
}

static bool add_element(struct sampler *sampler, const struct sample_layers *layers, size_t index,
                        bool contained, unsigned depth, sample_nth nth)
{
    const size_t start = sampler->out->len;
    struct sample_layers inner;

    element_layers(layers, index, contained, &inner);
    if (inner.impossible)
        return false;
    json_comma(sampler->out);
    if (sample_value(sampler, &inner, depth + 1, nth))
        return true;
    sample_take_back(sampler, start);
    return false;
}

/* Elements that must fit `contains` stand behind the prefix, or with `early` before everything. */
static bool try_array(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                      sample_nth nth, bool generous, bool early)
{
    const struct shape shape = shape_of(layers);
    const size_t start = sampler->out->len, from = early ? 0 : shape.prefix;
    size_t count = shape.contained ? from + shape.contained : 0;

    if (generous && count < shape.prefix)
        count = shape.prefix;
    if (generous && count == 0 && shape.items)
        count = 1;
    if (count < shape.least)
        count = shape.least;
    if (count > shape.most)
        count = shape.most;
    if (count > SAMPLE_ELEMENTS)
        return false;
    json_array_begin(sampler->out);
    for (size_t i = 0; i < count; i++) {
        bool contained = i >= from && i < from + shape.contained;
        sample_nth next = shape.unique ? nth + (sample_nth)i : nth;

        if (add_element(sampler, layers, i, contained, depth, next))
            continue;
        if (i >= shape.least && !contained)
            break;
        sample_take_back(sampler, start);
        return false;
    }
    json_array_end(sampler->out);
    return sample_check(sampler, layers, start);
}

bool sample_array(struct sampler *sampler, const struct sample_layers *layers, unsigned depth,
                  sample_nth nth)
{
    if (is_generous(sampler, depth) && try_array(sampler, layers, depth, nth, true, false))
        return true;
    return (sample_goes_on(sampler) && try_array(sampler, layers, depth, nth, false, false)) ||
           (sample_goes_on(sampler) && try_array(sampler, layers, depth, nth, false, true));
}
