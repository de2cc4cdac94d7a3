/* expr_scan.h - finding `${ ... }` in text, nothing more. Not what is inside: expr_parse.c. Called
 * by template.c and by the YAML reader, which explains expressions that YAML cut. */
#ifndef PLAIT_SERVICE_EXPR_EXPR_SCAN_H
#define PLAIT_SERVICE_EXPR_EXPR_SCAN_H

#include "base/str.h"

/* The next `${` at or after `from`, or an escaped one (`$${`, *ret_escaped; the offset is that of
 * its first `$`). False when there is none. */
bool expr_scan_open(struct pl_str text, size_t from, size_t *ret_at, bool *ret_escaped);

/* The offset of the brace that ends the expression whose `${` is at `open`; strings are skipped,
 * with the programs in their `\( )`, comments are not. False when there is none. */
bool expr_scan_close(struct pl_str text, size_t open, size_t *ret_at);

#endif
