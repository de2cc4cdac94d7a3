/* schema_report.c - where a value stands and what is wrong with it, in words. Not the rules
 * (schema.c). */
#include "base/json.h"
#include "base/limits.h"
#include "service/schema/schema_check.h"

#include <stdarg.h>
#include <stdio.h>

enum { LABEL = 160 };

/* The places from the root down to `place`, in the arena. */
static const struct schema_place **way_to(struct pl_arena *arena, const struct schema_place *place,
                                          size_t *ret_count)
{
    const struct schema_place **way;
    size_t count = 0;

    for (const struct schema_place *p = place; p; p = p->up)
        count++;
    way = pl_arena_alloc_array(arena, count + 1, sizeof(struct schema_place *));
    *ret_count = count;
    for (; way && place; place = place->up)
        way[--count] = place;
    return way;
}

static bool is_bare_name(struct pl_str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '-')
            return false;
    }
    return key.len > 0;
}

/* "a.b[0]": how people name a place; empty at the root. Long ones end in "...". Gives the bytes
 * that a label without an end would have so far. */
static size_t write_label(struct pl_arena *arena, const struct schema_place *place,
                          char label[LABEL])
{
    char shown[DOC_EXCERPT];
    struct pl_str key;
    size_t used;
    int wrote;

    if (!place)
        return 0;
    used = write_label(arena, place->up, label);
    if (used >= LABEL)
        return used;
    if (!place->key.ptr) {
        wrote = snprintf(label + used, LABEL - used, "[%zu]", place->index);
    } else {
        key = schema_text(place->key, arena);
        doc_excerpt(key, shown);
        if (is_bare_name(key))
            wrote = snprintf(label + used, LABEL - used, "%s%s", place->up ? "." : "", shown);
        else
            wrote = snprintf(label + used, LABEL - used, "[\"%s\"]", shown);
    }
    used += wrote > 0 ? (size_t)wrote : 0;
    if (used >= LABEL)
        memcpy(label + LABEL - 4, "...", 4);
    return used;
}

/* The JSON Pointer of a place, as doc_pointer writes it: through nodes that stand for the places.
 */
static const char *pointer_of(struct pl_arena *arena, const struct schema_place *place)
{
    size_t count;
    const struct schema_place **way = way_to(arena, place, &count);
    struct doc_node *nodes = pl_arena_alloc_array(arena, count + 1, sizeof(*nodes));

    if (!way || !nodes)
        return "";
    for (size_t i = 0; i < count; i++) {
        nodes[i].type = way[i]->key.ptr ? DOC_OBJECT : DOC_LIST;
        nodes[i + 1].parent = &nodes[i];
        nodes[i + 1].position = way[i]->index;
        if (way[i]->key.ptr)
            nodes[i + 1].key = json_decode_string_arena(way[i]->key, arena);
    }
    return doc_pointer(arena, &nodes[count]);
}

bool schema_report(struct schema_check *check, const struct schema_place *place, const char *fmt,
                   ...)
{
    struct doc_problems *problems = check->problems;
    char label[LABEL] = "", message[400];
    va_list args;

    if (!schema_wants_words(check) || check->shared->stopped || check->shared->no_memory)
        return false;
    if (problems && problems->count == PL_LIMIT_PROBLEMS) {
        problems->total++;
        return false;
    }
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    (void)write_label(check->arena, place, label);
    if (problems)
        doc_problem_add(problems, 0, 0, pointer_of(check->arena, place), "%s%s%s", label,
                        label[0] ? ": " : "", message);
    else
        (void)snprintf(check->reason, SCHEMA_REASON, "%s%s%s", label, label[0] ? ": " : "",
                       message);
    return false;
}
