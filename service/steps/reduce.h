/* reduce.h - what {from, with} computes, over JSON text. Not the step (reduce.c). Pure; called by
 * reduce.c and tests. */
#ifndef PLAIT_SERVICE_STEPS_REDUCE_H
#define PLAIT_SERVICE_STEPS_REDUCE_H

#include "base/buf.h"
#include "service/workflow/workflow.h"

/* Appends the value of `with` over the elements of `from`, a checked JSON list, or an object whose
 * member values are taken in order. null elements (branches that were skipped or failed) count for
 * nothing in merge, concat, sum, min and max. append: the elements as a list; merge: objects into
 * one, later members win; concat: lists into one; sum: integers stay integers as long as they fit
 * in 64 bits; min, max: null when there is none; unique: the first of equal elements; sort: null,
 * false, true, numbers, strings, lists, objects, as jq orders them; count: how many. Errors:
 * EXPRESSION_ERROR with the element's index; TOO_LARGE (the buffer's cap); NO_MEMORY. */
enum pl_code reduce_write(enum reduce_with with, struct pl_str from, struct pl_buf *out,
                          struct pl_err *err) PL_MUST_CHECK;

#endif
