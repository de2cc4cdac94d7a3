/* clock.c - the real time line and a fake one. Not for measuring. Called by everything that stamps
 * or waits. Reading and writing times as text is in time_text.c. */
#include "base/clock.h"

#include <pthread.h>
#include <time.h>

static pthread_once_t origin_once = PTHREAD_ONCE_INIT;
static int64_t
    origin_ns; /* wall clock minus CLOCK_BOOTTIME when the process first asked; set once */

static int64_t read_ns(clockid_t id)
{
    struct timespec at;

    clock_gettime(id, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static void set_origin(void)
{
    origin_ns = read_ns(CLOCK_REALTIME) - read_ns(CLOCK_BOOTTIME);
}

/* CLOCK_BOOTTIME, not CLOCK_MONOTONIC: the time a machine sleeps passes for its timers too. */
static pl_ms real_now(const struct pl_clock *clock)
{
    (void)clock;
    pthread_once(&origin_once, set_origin);
    return (origin_ns + read_ns(CLOCK_BOOTTIME)) / 1000000;
}

static const struct pl_clock real_clock = {.now = real_now};

const struct pl_clock *pl_clock_real(void)
{
    return &real_clock;
}

static pl_ms fake_now(const struct pl_clock *clock)
{
    const struct pl_clock_fake *fake = (const struct pl_clock_fake *)(const void *)clock;

    return fake->time;
}

void pl_clock_fake_init(struct pl_clock_fake *fake, pl_ms start)
{
    fake->clock.now = fake_now;
    fake->time = start;
}

int64_t pl_monotonic_us(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000;
}
