/* timers.h - a heap of due times. Not a clock. Called by serve.c; one thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_TIMERS_H
#define PLAIT_TESTS_FAKE_MODEL_TIMERS_H

#include "base/compiler.h"

/* Embedded in what waits; zeroed before its first use. */
struct due {
    int64_t at;  /* microseconds of pl_monotonic_us */
    size_t slot; /* private: 1 + its place, 0 when not set */
};

struct timers {
    struct due **heap;
    size_t len, capacity;
};

/* Sets or moves. Ends the process when out of memory. */
void timers_set(struct timers *timers, struct due *due, int64_t at);
void timers_clear(struct timers *timers, struct due *due);
/* The earliest, NULL when there is none. */
struct due *timers_first(const struct timers *timers);
void timers_finish(struct timers *timers);

#endif
