/* scarce_memory.h - the allocation that fails, counted in one thread. Not for programs whose work
 * is done by several threads: they count across all (test_engine_memory). Included by fault tests
 * that are linked with --wrap=malloc,--wrap=calloc,--wrap=realloc (tests/CMakeLists.txt); in any
 * other program nothing ever fails. */
#ifndef PLAIT_TESTS_SUPPORT_SCARCE_MEMORY_H
#define PLAIT_TESTS_SUPPORT_SCARCE_MEMORY_H

#include <stdbool.h>

extern _Thread_local long scarce_countdown; /* this thread's allocation that fails; below 1: none */
extern _Thread_local bool scarce_refused;   /* one has failed; for the test to clear */

#endif
