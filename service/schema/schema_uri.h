/* schema_uri.h - references in schemas: one URI resolved against another (RFC 3986, section 5.2),
 * and fragments undone. Nothing is ever fetched. Private to service/schema/schema*. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_URI_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_URI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/* What stands before the '#' of a reference; *ret_fragment is what stands behind it, absent when
 * there is no '#'. */
struct pl_str schema_uri_split(struct pl_str reference, struct pl_str *ret_fragment);

/* `reference` (without fragment) as seen from `base`, in the arena; empty when the arena failed. */
struct pl_str schema_uri_resolve(struct pl_arena *arena, struct pl_str base,
                                 struct pl_str reference);

/* A fragment with its percent signs undone, in the arena; false when they are not followed by two
 * hexadecimal digits, or stand for NUL. */
bool schema_uri_decode(struct pl_arena *arena, struct pl_str fragment, struct pl_str *ret);

/* Appends the key of a JSON Pointer as it stands in a fragment: ~0, ~1, and percent signs for what
 * no fragment may hold. */
void schema_uri_write_key(struct pl_buf *out, struct pl_str key);

#endif
