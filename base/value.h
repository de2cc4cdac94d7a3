/* value.h - an immutable JSON text shared by reference count: how outputs travel between steps,
 * threads and the store without being parsed or copied. Not a tree: base/json looks inside. The
 * count is atomic, the text never changes, so any thread may read it. */
#ifndef PLAIT_BASE_VALUE_H
#define PLAIT_BASE_VALUE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

struct pl_value;

/* Copies `json`, which must be one valid JSON text. NULL when out of memory. Count 1, yours. */
struct pl_value *pl_value_new(struct pl_str json);
/* Takes the bytes of a buffer without copying; the buffer is empty afterwards. NULL when the buffer
 * had failed or memory is out. */
struct pl_value *pl_value_take(struct pl_buf *buf);
/* The JSON string that holds `text` (UTF-8; escapes are added). NULL when out of memory. */
struct pl_value *pl_value_string(struct pl_str text);
/* The value null: static, never freed, ref and unref do nothing to it. */
struct pl_value *pl_value_null(void);

struct pl_value *pl_value_ref(struct pl_value *value); /* NULL gives NULL */
void pl_value_unref(struct pl_value **value);          /* nulls; accepts NULL */

/* The JSON text, NUL-terminated, borrowed while a reference is held. NULL reads as `null`. */
struct pl_str pl_value_text(const struct pl_value *value);

#endif
