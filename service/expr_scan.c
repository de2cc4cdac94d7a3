/* expr_scan.c - where expressions begin and end in a text. Called by template.c and doc_yaml.c. */
#include "service/expr_scan.h"

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

/* The quote that ends the string which begins at `open`; `end` when none does. */
static const char *skip_string(const char *open, const char *end)
{
    const char *p = open + 1;

    while (p < end && *p != '"')
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    return p;
}

bool expr_scan_close(struct pl_str text, size_t open, size_t *ret_at)
{
    const char *end = text.ptr + text.len;
    size_t depth = 0;

    for (const char *p = text.ptr + open + 1; p < end; p++) {
        if (*p == '"') {
            p = skip_string(p, end);
            if (p == end)
                return false;
        } else if (*p == '{') {
            depth++;
        } else if (*p == '}' && --depth == 0) {
            *ret_at = (size_t)(p - text.ptr);
            return true;
        }
    }
    return false;
}
