/* compiler.h - attributes and small macros. Not a place for types or functions with a meaning of
 * their own. Included by every header of Plait. */
#ifndef PLAIT_BASE_COMPILER_H
#define PLAIT_BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PL_MUST_CHECK         __attribute__((warn_unused_result))
#define PL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define PL_UNUSED             __attribute__((unused))
#define PL_ARRAY_LEN(a)       (sizeof(a) / sizeof((a)[0]))

/* The struct that embeds `member` at `ptr`. */
#define pl_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
