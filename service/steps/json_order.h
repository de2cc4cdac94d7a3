/* json_order.h - a total order over JSON values. Not a parser: the text has been checked; and not
 * equality, which base/json has. Used by reduce. Any thread. */
#ifndef PLAIT_SERVICE_STEPS_JSON_ORDER_H
#define PLAIT_SERVICE_STEPS_JSON_ORDER_H

#include "base/arena.h"
#include "base/str.h"

/* Below, at or above 0. null < false < true < numbers < strings < lists < objects; strings by code
 * point; lists element by element; objects first by their sorted names, then by the values in that
 * order: jq's order. Scratch memory from `arena`; when it fails the answer is 0 (ask
 * pl_arena_failed). */
int json_compare(struct pl_str a, struct pl_str b, struct pl_arena *arena);

#endif
