/* fuzz.h - what every fuzz target defines. Not for the product. Included by fuzz_*.c and
 * replay_main.c. */
#ifndef PLAIT_TESTS_FUZZ_FUZZ_H
#define PLAIT_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Runs one input; returns 0. Finds a fault by ending the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
