/* run_follow.c - `plait run` while the run goes on: news is drawn, people are asked, signals end it
 * gently. Not its start (run_start.c) nor its report (cmd_run.c). Called by cmd_run.c on the main
 * thread, which sleeps in poll: a signal, news of the run, or (on a terminal) the next redraw. */
#include "api/cli/run_session.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { REDRAW_MS = 100 };

/* ---- told by other threads ---- */

void run_follow_ring(void *arg)
{
    struct run_session *session = arg;
    uint64_t one = 1;
    ssize_t done = write(session->news, &one, sizeof one);

    (void)done; /* a full counter has rung already */
}

void run_follow_recorded(void *arg, const char *run_id)
{
    struct run_session *session = arg;

    (void)run_id;
    pl_mutex_lock(&session->lock);
    session->recorded = true;
    pl_mutex_unlock(&session->lock);
    run_follow_ring(session);
}

void run_follow_ended(void *arg, const struct engine_end *end)
{
    struct run_session *session = arg;

    pl_mutex_lock(&session->lock);
    session->ended = true;
    snprintf(session->status, sizeof session->status, "%.*s", PL_STR_ARG(end->status));
    session->output = pl_value_ref(end->output);
    session->error = pl_value_ref(end->error);
    session->store_err = end->store_err;
    pl_mutex_unlock(&session->lock);
    run_follow_ring(session);
}

/* ---- while it runs ---- */

/* The line that lets a user find the run again; only once the run is on disk. */
static void tell_id(struct run_session *session)
{
    if (session->mode != PROGRESS_QUIET && !session->special)
        fprintf(stderr, "run %s\n", session->id);
}

static void take_signals(struct run_session *session)
{
    struct signalfd_siginfo info;

    while (read(session->signals, &info, sizeof info) == (ssize_t)sizeof info)
        session->interrupts++;
}

static void take_events(struct run_session *session)
{
    struct bus_event event;
    bool gap = false;
    uint64_t rung;
    ssize_t got = read(session->news, &rung, sizeof rung);

    (void)got;
    while (session->subscriber && bus_take(session->subscriber, &event, &gap)) {
        progress_event(session->progress, &event);
        prompt_event(session->prompt, &event);
    }
    if (gap)
        prompt_look(session->prompt);
}

static bool session_over(struct run_session *session, bool *told)
{
    bool ended, recorded;

    pl_mutex_lock(&session->lock);
    ended = session->ended;
    recorded = session->recorded;
    pl_mutex_unlock(&session->lock);
    if (recorded && !*told) {
        tell_id(session);
        *told = true;
    }
    return ended;
}

static void wait_for_news(struct run_session *session)
{
    struct pollfd fds[] = {{.fd = session->signals, .events = POLLIN},
                           {.fd = session->news, .events = POLLIN},
                           {.fd = prompt_fd(session->prompt), .events = POLLIN}};
    bool draws = session->mode == PROGRESS_LIVE && !prompt_asks(session->prompt);

    poll(fds, PL_ARRAY_LEN(fds), draws ? REDRAW_MS : -1);
    take_signals(session);
}

/* What is drawn is finished before something is asked below it. */
static void ask(struct run_session *session)
{
    if (prompt_wants(session->prompt) && !prompt_asks(session->prompt))
        progress_end(session->progress, pl_clock_now(pl_clock_real()));
    prompt_work(session->prompt);
}

void run_follow(struct run_session *session)
{
    bool told = false;
    pl_ms drawn = 0;

    while (!session_over(session, &told) && session->interrupts == 0 &&
           !prompt_is_stuck(session->prompt)) {
        pl_ms now;

        wait_for_news(session);
        session_over(session, &told); /* the id comes before any line of a step */
        take_events(session);
        now = pl_clock_now(pl_clock_real());
        if (told)
            ask(session);
        if (told && now - drawn >= REDRAW_MS && !prompt_asks(session->prompt)) {
            progress_draw(session->progress, now);
            drawn = now;
        }
    }
    take_events(session);
    progress_end(session->progress, pl_clock_now(pl_clock_real()));
}

void run_follow_others(struct run_session *session)
{
    size_t others = engine_going(session->engine);

    if (others && session->mode != PROGRESS_QUIET)
        fprintf(
            stderr,
            "also finishing %zu unfinished runs of this database (Ctrl-C leaves them for later)\n",
            others);
    while (session->interrupts == 0 && engine_going(session->engine)) {
        struct pollfd fd = {.fd = session->signals, .events = POLLIN};

        poll(&fd, 1, REDRAW_MS);
        take_signals(session);
    }
}

/* ---- stopping ---- */

/* A second signal ends the drain at once. A thread of its own, since engine_destroy blocks. */
static void *drain_watch(void *arg)
{
    struct run_session *session = arg;
    struct signalfd_siginfo info;
    uint64_t rung;

    while (!atomic_load(&session->drained)) {
        struct pollfd fds[] = {{.fd = session->signals, .events = POLLIN},
                               {.fd = session->news, .events = POLLIN}};

        poll(fds, PL_ARRAY_LEN(fds), -1);
        if (read(session->signals, &info, sizeof info) == (ssize_t)sizeof info)
            engine_stop_draining(session->engine);
        if (read(session->news, &rung, sizeof rung) < 0)
            continue;
    }
    return NULL;
}

/* The end of a run that is gone may still be on its way from its loop. */
static void await_end(struct run_session *session)
{
    struct pollfd news = {.fd = session->news, .events = POLLIN};
    bool told = true;

    while (!session_over(session, &told)) {
        poll(&news, 1, -1);
        take_events(session);
    }
}

void run_follow_interrupt(struct run_session *session)
{
    struct engine *engine = session->engine;
    pthread_t watcher;
    bool watched;

    if (session->mode != PROGRESS_QUIET && session->interrupts)
        fprintf(stderr, "interrupted: finishing the calls in flight (again to stop at once)\n");
    watched = pl_thread_start(&watcher, "plait-drain", drain_watch, session);
    engine_drain(engine, session->drain);
    atomic_store(&session->drained, true);
    run_follow_ring(session);
    if (watched)
        pthread_join(watcher, NULL);
    await_end(session);
}
