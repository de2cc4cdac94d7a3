/* expr_scan.c - where expressions begin and end in a text. Called by template.c and doc_yaml.c. */
#include "service/expr/expr_scan.h"

enum { INTERPOLATIONS_MAX = 32 }; /* strings in `\( )` of strings; deeper has no end */

bool expr_scan_open(struct pl_str text, size_t from, size_t *ret_at, bool *ret_escaped)
{
    while (from < text.len) {
        const char *dollar = memchr(text.ptr + from, '$', text.len - from);

        if (!dollar)
            return false;
        from = (size_t)(dollar - text.ptr);
        if (pl_str_starts(pl_str_n(dollar, text.len - from), PL_STR("$${"))) {
            *ret_escaped = true;
            *ret_at = from;
            return true;
        }
        if (pl_str_starts(pl_str_n(dollar, text.len - from), PL_STR("${"))) {
            *ret_escaped = false;
            *ret_at = from;
            return true;
        }
        from++;
    }
    return false;
}

/* A place inside an expression. In a string `\( )` holds a program again, with strings of its own.
 */
struct place {
    size_t parens[INTERPOLATIONS_MAX]; /* open in each `\( )`, its own included */
    size_t depth;                      /* of `\( )` in `\( )` */
    size_t braces;
    bool in_string;
};

/* Takes a character of a string; false when it cannot go on. */
static bool in_string(struct place *place, const char **p, const char *end)
{
    if (**p == '"') {
        place->in_string = false;
    } else if (**p == '\\') {
        if (++*p == end)
            return false;
        if (**p != '(')
            return true;
        if (place->depth == INTERPOLATIONS_MAX)
            return false;
        place->parens[place->depth++] = 1;
        place->in_string = false;
    }
    return true;
}

static void in_program(struct place *place, char c)
{
    size_t *parens = place->depth ? &place->parens[place->depth - 1] : NULL;

    if (c == '"') {
        place->in_string = true;
    } else if (c == '{') {
        place->braces++;
    } else if (c == '}') {
        place->braces--;
    } else if (parens && c == '(') {
        ++*parens;
    } else if (parens && c == ')' && --*parens == 0) {
        place->depth--;
        place->in_string = true;
    }
}

bool expr_scan_close(struct pl_str text, size_t open, size_t *ret_at)
{
    const char *end = text.ptr + text.len;
    struct place place = {.depth = 0};

    for (const char *p = text.ptr + open + 1; p < end; p++) {
        if (place.in_string) {
            if (!in_string(&place, &p, end))
                return false;
            continue;
        }
        in_program(&place, *p);
        if (place.braces == 0) {
            *ret_at = (size_t)(p - text.ptr);
            return true;
        }
    }
    return false;
}
