/* clock.h - time behind an interface, so that tests can drive it. Not for measuring the process: it
 * is the one time line of runs, steps and timers.
 *
 * The time line is milliseconds since the Unix epoch, but it advances with the monotonic clock from
 * where the wall clock stood when the process began: it never jumps when the wall clock is set, so
 * a duration is always a difference of two readings, and a reading can be stored and compared after
 * a restart. */
#ifndef PLAIT_BASE_CLOCK_H
#define PLAIT_BASE_CLOCK_H

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

/* Milliseconds since 1970-01-01T00:00:00Z, or a duration in milliseconds. */
typedef int64_t pl_ms;

struct pl_clock {
    /* Now, on the time line. Any thread. */
    pl_ms (*now)(const struct pl_clock *clock);
};

/* The real clock: static, any thread. */
const struct pl_clock *pl_clock_real(void);

/* A clock a test sets by hand; `now` of it is read and written by one thread. */
struct pl_clock_fake {
    struct pl_clock clock;
    pl_ms time;
};
void pl_clock_fake_init(struct pl_clock_fake *fake, pl_ms start);

static inline pl_ms pl_clock_now(const struct pl_clock *clock)
{
    return clock->now(clock);
}

/* Microseconds of CLOCK_MONOTONIC, for measuring only. */
int64_t pl_monotonic_us(void);

enum { PL_TIME_TEXT = 25 }; /* "2026-11-20T15:04:05.123Z" and NUL */
/* RFC 3339 UTC with milliseconds. Returns `out`. */
char *pl_time_format(pl_ms time, char out[PL_TIME_TEXT]);
/* The inverse, also without milliseconds or with an offset. False when it is no RFC 3339 time. */
bool pl_time_parse(struct pl_str text, pl_ms *ret_time);
/* "250ms", "30s", "5m", "1h", "1h30m", "1.5s", or a plain number of seconds. False when it is none,
 * negative or over 10 years. */
bool pl_duration_parse(struct pl_str text, pl_ms *ret_duration);
/* "850 ms", "12.3 s", "4m 05s": for people. Returns `out`. */
char *pl_duration_format(pl_ms duration, char out[24]);

#endif
