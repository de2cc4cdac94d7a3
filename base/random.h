/* random.h - random bytes from the system's generator. Not reproducible: what a test must be able
 * to repeat takes its numbers from elsewhere. Used by id and map. Any thread. */
#ifndef PLAIT_BASE_RANDOM_H
#define PLAIT_BASE_RANDOM_H

#include "base/compiler.h"

/* Fills `out` with `len` bytes; cannot fail (the process ends when the system has no randomness).
 */
void pl_random_bytes(void *out, size_t len);

#endif
