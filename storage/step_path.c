/* step_path.c - the order of paths. See step_path.h. No I/O, no memory of its own. */
#include "storage/step_path.h"

/* A place is made of a path from left to right:
 * - a dot becomes `!`, the lowest byte there is: what is inside comes before what is beside;
 * - a number is led by how many digits it has, 17 becomes 217 (15 digits: `?`), also behind a
 *   dash: search-2 becomes search-12;
 * - what only begins like a number is set apart behind all of them: 007 becomes @007;
 * - the bytes up to `"` become `"` and another, so that `!` and `"` mean one thing.
 * Ids begin with a letter or `_`, so in practice only dots and numbers change. */
enum {
    DIGITS_MAX = 15,
    APART = '@',
    ESCAPE = STORE_PLACE_BEHIND,
    PLAIN = '#', /* from this byte on they stand for themselves */
};

/* The bytes of a place, one after the other. */
struct walk {
    struct pl_str path;
    size_t at;
    bool inside;           /* not where a number may begin */
    unsigned char pending; /* behind an escape; 0: none */
};

/* How many digits the rest of the segment has when it is a number as they are written; 0: none. */
static int digits_at(struct pl_str path, size_t at)
{
    size_t end = at;

    while (end < path.len && end - at <= DIGITS_MAX && path.ptr[end] >= '0' && path.ptr[end] <= '9')
        end++;
    if (end - at > DIGITS_MAX || (end < path.len && path.ptr[end] != '.'))
        return 0;
    return path.ptr[at] == '0' && end - at > 1 ? 0 : (int)(end - at);
}

/* What leads the rest of the segment; 0: nothing. */
static int lead_at(struct pl_str path, size_t at)
{
    int digits;

    if (at == path.len || path.ptr[at] < '0' || path.ptr[at] > APART)
        return 0;
    digits = digits_at(path, at);
    return digits ? '0' + digits : APART;
}

/* The next byte, -1 at the end. */
static int walk_next(struct walk *walk)
{
    unsigned char byte = walk->pending;
    int lead;

    if (byte) {
        walk->pending = 0;
        return byte;
    }
    if (!walk->inside) {
        walk->inside = true;
        lead = lead_at(walk->path, walk->at);
        if (lead)
            return lead;
    }
    if (walk->at == walk->path.len)
        return -1;
    byte = (unsigned char)walk->path.ptr[walk->at++];
    walk->inside = byte != '.' && byte != '-';
    if (byte == '.')
        return STORE_PLACE_INSIDE;
    if (byte < PLAIN) {
        walk->pending = (unsigned char)(byte + PLAIN);
        return ESCAPE;
    }
    return byte;
}

int store_path_compare(struct pl_str a, struct pl_str b)
{
    struct walk left = {.path = a}, right = {.path = b};
    int x, y;

    do {
        x = walk_next(&left);
        y = walk_next(&right);
    } while (x == y && x >= 0);
    return x - y;
}

bool store_path_under(struct pl_str path, struct pl_str prefix)
{
    return prefix.len == 0 ||
           (pl_str_starts(path, prefix) && (path.len == prefix.len || path.ptr[prefix.len] == '.'));
}

void store_path_place(struct pl_str path, struct pl_buf *out)
{
    struct walk walk = {.path = path};
    int byte;

    while ((byte = walk_next(&walk)) >= 0)
        pl_buf_char(out, (char)byte);
}
