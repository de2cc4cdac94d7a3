/* step_path.h - paths of steps as things that have an order: numbers count (reviews.2 comes before
 * reviews.10), a step comes right before what is inside it. Not what a path means (service/). Used
 * by drivers for keys and by service/ to merge lists of its own with the store's.
 *
 * The order: segment by segment; numbers come before names, by value; names by bytes, where a
 * number behind a dash counts too (search-2 before search-10). It is total: every two paths that
 * differ have an order, whatever their bytes. */
#ifndef PLAIT_STORAGE_STEP_PATH_H
#define PLAIT_STORAGE_STEP_PATH_H

#include "base/buf.h"
#include "base/str.h"

/* Below zero, 0 or above, as strcmp. Lists of steps come in this order. */
int store_path_compare(struct pl_str a, struct pl_str b);

/* Is `path` the step `prefix`, or inside it? Whole segments; an empty prefix holds everything. */
bool store_path_under(struct pl_str path, struct pl_str prefix);

/* Appends the place of a path: a text whose bytes, compared as bytes, have the order above; no two
 * paths have the same. The place of what is inside a step is the step's own, STORE_PLACE_INSIDE and
 * more; every other place behind the step's is at or behind its own and STORE_PLACE_BEHIND. */
void store_path_place(struct pl_str path, struct pl_buf *out);

#define STORE_PLACE_INSIDE '!'
#define STORE_PLACE_BEHIND '"'

#endif
