/* expr_path.c - the grammar of plain paths: root, names, indexes, `?`. Whatever is more than that
 * is a jq program; nothing is a mistake here. Not what the names mean (expr_roots.c). Called by
 * expr_parse.c. */
#include "base/json.h"
#include "service/expr/expr_parse.h"

enum { INDEX_DIGITS = 15 }; /* more: jq takes it, as a double */

struct reader {
    struct pl_arena *arena;
    const char *p, *end;
    struct expr_path *path;
    struct expr_path **last_inner; /* NULL: this is an index itself, which has none */
};

struct pl_str expr_name_at(const char *p, const char *end)
{
    const char *start = p;

    if (p < end && expr_is_name_start(*p))
        while (p < end && expr_is_name(*p))
            p++;
    return pl_str_n(start, (size_t)(p - start));
}

/* The quote that ends the string beginning at `p`, or NULL. */
static const char *string_end(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && ++p < end && *p == '(')
            return NULL;
    return p < end ? p : NULL;
}

const char *expr_string_at(const char *p, const char *end, struct pl_arena *arena,
                           struct pl_str *ret)
{
    const char *close = string_end(p, end);
    struct pl_str token;

    if (!close)
        return NULL;
    token = pl_str_n(p, (size_t)(close - p) + 1);
    if (json_check(token, 1, NULL, NULL) != PL_OK)
        return NULL;
    *ret = json_decode_string_arena(token, arena);
    return close + 1;
}

static void skip_space(struct reader *reader)
{
    reader->p = expr_skip_space(reader->p, reader->end);
}

static struct expr_segment *add_segment(struct reader *reader)
{
    return &reader->path->segments[reader->path->count++];
}

static bool take_number(struct reader *reader, int64_t *ret)
{
    bool negative = *reader->p == '-';
    const char *start;
    int64_t index = 0;

    if (negative)
        reader->p++;
    start = reader->p;
    for (; reader->p < reader->end && expr_is_digit(*reader->p); reader->p++) {
        if (reader->p - start == INDEX_DIGITS)
            return false;
        index = index * 10 + (*reader->p - '0');
    }
    *ret = negative ? -index : index;
    return reader->p > start;
}

/* The bracket that closes the one before `p`, strings skipped; NULL when none does. */
static const char *bracket_end(const char *p, const char *end)
{
    size_t depth = 1;

    for (; p < end; p++) {
        if (*p == '"') {
            p = string_end(p, end);
            if (!p)
                return NULL;
        } else if (*p == '[') {
            depth++;
        } else if (*p == ']' && --depth == 0) {
            return p;
        }
    }
    return NULL;
}

static bool read_path(struct reader *reader);

/* [.index]: a path of its own, up to the bracket. */
static bool take_inner(struct reader *reader, struct expr **ret)
{
    const char *close = reader->last_inner ? bracket_end(reader->p, reader->end) : NULL;
    struct expr_path *inner;
    struct reader inside;

    if (!close)
        return false;
    inner = pl_arena_alloc(reader->arena, sizeof(*inner));
    if (!inner)
        return false;
    inner->text = pl_str_n(reader->p, (size_t)(close - reader->p));
    while (inner->text.len && expr_is_space(inner->text.ptr[inner->text.len - 1]))
        inner->text.len--;
    inner->expr = *ret = pl_arena_alloc(reader->arena, sizeof(*inner->expr));
    inside = (struct reader){.arena = reader->arena, .path = inner};
    *reader->last_inner = inner;
    reader->last_inner = &inner->next;
    reader->path->n_inner++;
    reader->p = close;
    return read_path(&inside);
}

/* ["name"], [n] or [.path]; the bracket is the next character. */
static bool take_bracket(struct reader *reader)
{
    struct expr_segment segment = {0};
    bool taken = true;

    reader->p++;
    skip_space(reader);
    if (reader->p == reader->end)
        return false;
    if (*reader->p == '"') {
        reader->p = expr_string_at(reader->p, reader->end, reader->arena, &segment.name);
        taken = reader->p != NULL;
    } else if (*reader->p == '.' || *reader->p == '$') {
        taken = take_inner(reader, &segment.dynamic);
    } else {
        taken = take_number(reader, &segment.index);
    }
    if (!taken)
        return false;
    skip_space(reader);
    if (reader->p == reader->end || *reader->p != ']')
        return false;
    reader->p++;
    *add_segment(reader) = segment;
    return true;
}

/* What follows a '.', which has been read. */
static bool take_member(struct reader *reader)
{
    struct pl_str name;

    if (reader->p == reader->end)
        return false;
    if (*reader->p == '[')
        return take_bracket(reader);
    if (*reader->p == '"') {
        reader->p = expr_string_at(reader->p, reader->end, reader->arena, &name);
        if (!reader->p)
            return false;
    } else {
        name = expr_name_at(reader->p, reader->end);
        if (name.len == 0)
            return false;
        reader->p += name.len;
    }
    add_segment(reader)->name = name;
    return true;
}

static bool take_root(struct reader *reader)
{
    struct pl_str name;

    if (reader->p == reader->end || *reader->p == '.')
        return reader->p < reader->end;
    if (*reader->p != '$')
        return false;
    name = expr_name_at(reader->p + 1, reader->end);
    if (name.len == 0 || pl_str_is(name, "__loc__")) /* which is a value of jq's own */
        return false;
    reader->p += 1 + name.len;
    reader->path->variable = true;
    add_segment(reader)->name = name;
    return true;
}

/* The whole of path->text. */
static bool read_path(struct reader *reader)
{
    struct expr_path *path = reader->path;

    reader->p = path->text.ptr;
    reader->end = reader->p + path->text.len;
    /* Each segment takes two characters at the least. */
    path->segments =
        pl_arena_alloc_array(reader->arena, path->text.len / 2 + 1, sizeof(*path->segments));
    if (!path->segments || !take_root(reader))
        return false;
    for (skip_space(reader); reader->p < reader->end; skip_space(reader)) {
        bool taken = true;

        if (*reader->p == '.') {
            reader->p++;
            taken = take_member(reader);
        } else if (*reader->p == '[' && path->count > 0) {
            taken = take_bracket(reader);
        } else if (*reader->p == '?' && path->count > 0) {
            reader->p++;
            path->segments[path->count - 1].optional = true;
        } else {
            return false;
        }
        if (!taken)
            return false;
    }
    return path->count > 0 && !pl_arena_failed(reader->arena);
}

bool expr_path_read(struct pl_arena *arena, struct pl_str text, struct expr_path *ret)
{
    struct reader reader = {.arena = arena, .path = ret, .last_inner = &ret->inner};

    *ret = (struct expr_path){.text = text};
    return read_path(&reader);
}
