/* str.h - a borrowed piece of text: pointer and length, not NUL-terminated unless said. Not an
 * owner: whoever made the bytes keeps them alive. Used everywhere. */
#ifndef PLAIT_BASE_STR_H
#define PLAIT_BASE_STR_H

#include "base/compiler.h"

#include <string.h>

struct pl_str {
    const char *ptr; /* NULL only when len is 0: "absent" */
    size_t len;      /* bytes */
};

/* PL_STR("literal"): a literal as a pl_str. */
#define PL_STR(literal) ((struct pl_str){.ptr = (literal), .len = sizeof(literal) - 1})
/* For printf's "%.*s". */
#define PL_STR_ARG(s) (int)(s).len, ((s).len ? (s).ptr : "")

static inline struct pl_str pl_str(const char *text)
{
    return (struct pl_str){.ptr = text, .len = text ? strlen(text) : 0};
}

static inline struct pl_str pl_str_n(const char *ptr, size_t len)
{
    return (struct pl_str){.ptr = ptr, .len = len};
}

static inline bool pl_str_eq(struct pl_str a, struct pl_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool pl_str_is(struct pl_str a, const char *text)
{
    return pl_str_eq(a, pl_str(text));
}

static inline bool pl_str_starts(struct pl_str a, struct pl_str prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.ptr, prefix.ptr, prefix.len) == 0);
}

#endif
