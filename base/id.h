/* id.h - ids that sort by time. Not secrets: an id is unguessable enough not to collide, keys are
 * made elsewhere. */
#ifndef PLAIT_BASE_ID_H
#define PLAIT_BASE_ID_H

#include "base/clock.h"
#include "base/compiler.h"

enum { PL_ID_TEXT = 40 }; /* room for any prefix up to 8 bytes, '_', 26 characters and NUL */

/* prefix_ and 26 characters of Crockford base 32 in lower case: 48 bits of `now`, 80 random bits;
 * of two ids made in this process the later sorts after the earlier. Any thread. Returns `out`. */
char *pl_id_new(const char *prefix, pl_ms now, char out[PL_ID_TEXT]);
/* True when `text` has that form. */
bool pl_id_valid(const char *prefix, const char *text);

#endif
