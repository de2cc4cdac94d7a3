/* jq_pool.c - the pool of jq workers: jobs are queued fairly and given to whoever is free; one
 * thread, "plait-jq", hears the workers, keeps time, and starts, ends and replaces them. Not one
 * worker's affairs (jq_crew.c). Called through jq_pool.h.
 *
 * A job that finds a worker free is sent by the thread that submits it, which saves a wake-up. The
 * pool's thread sleeps without end only after a quiet while, so that jobs in a row do not wake it
 * either. */
#include "service/expr/jq_pool.h"

#include "base/log.h"
#include "service/expr/jq_pool_private.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    DEFAULT_WORKERS_MAX = 4,
    STUCK_US = 20000,   /* work longer than this holds up what waits: another worker helps out */
    SPARE_US = 1000000, /* workers over the usual number stay so long; less than the quiet ticks */
    TICK_US = 250000,   /* longest sleep while there may be work */
    QUIET_TICKS = 8,    /* then it sleeps until it is woken */
    PAUSE_US = 1000000,
    FAILURES_MAX = 3, /* workers in a row that do not come up */
    ANSWER_BYTES = 256 << 20,
    DOCUMENT_MAX = 1 << 30, /* bytes; more: expression_limit */
};

static const uint64_t WAKE_DATA = UINT64_MAX;

struct jq_pool {
    unsigned size; /* set once: workers as a rule */
    int epoll, wake;
    pthread_t thread;
    struct pl_mutex lock;
    struct jq_queue queue;                /* guarded by lock */
    struct jq_crew crews[JQ_WORKERS_MAX]; /* see jq_pool_private.h */
    bool stopping;                        /* guarded by lock */
    bool asleep;                          /* guarded by lock: the thread waits without end */
    unsigned target;                      /* pool's thread only: workers that should be there */
    int64_t pause_until_us;               /* pool's thread only: none is started before */
    int64_t stuck_us;                     /* pool's thread only: when one was stuck last */
    unsigned failures;                    /* pool's thread only: in a row */
    unsigned quiet;                       /* pool's thread only: ticks without work */
};

uint64_t jq_program_new_id(void)
{
    static _Atomic uint64_t last;

    return atomic_fetch_add(&last, 1) + 1;
}

/* ---- ends of jobs ---- */

static void deliver_done(struct loop *loop, struct loop_mail *mail)
{
    struct jq_job *job = pl_container_of(mail, struct jq_job, mail);

    job->done(job);
    loop_release(loop);
}

static void finish_job(struct jq_job *job)
{
    if (!job->loop) { /* a check: its thread waits */
        job->done(job);
        return;
    }
    job->mail.deliver = deliver_done;
    loop_post(job->loop, &job->mail);
}

/* The answers that are missing are all this one. */
static void fail_job(struct jq_job *job, enum pl_code code, const char *message)
{
    while (job->answers && job->answered < job->n_indexes)
        pl_err_set(&job->answers[job->answered++].err, code, "%s", message);
    finish_job(job);
}

/* All that wait now; whoever is told may submit the next at once, which is none of them. */
static void fail_queue(struct jq_pool *pool, const char *message)
{
    struct pl_list waiting, *link;
    struct jq_job *job;

    pl_list_init(&waiting);
    pl_mutex_lock(&pool->lock);
    while ((job = jq_queue_drain(&pool->queue)) != NULL)
        pl_list_append(&waiting, &job->link);
    pl_mutex_unlock(&pool->lock);
    while ((link = pl_list_pop(&waiting)) != NULL)
        fail_job(pl_container_of(link, struct jq_job, link), PL_ERR_INTERNAL, message);
}

/* ---- who gets what ---- */

static void wake(struct jq_pool *pool)
{
    static const uint64_t one = 1;

    /* it can only fail when the counter is full, and then the thread is woken anyway */
    while (write(pool->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void listen_for(struct jq_pool *pool, struct jq_crew *crew, int operation)
{
    struct epoll_event event = {
        .events = EPOLLIN | (crew->sending ? (uint32_t)EPOLLOUT : 0u),
        .data.u64 = crew->index,
    };

    if (epoll_ctl(pool->epoll, operation, crew->child.fd, &event) != 0)
        jq_child_kill(&crew->child); /* no memory for it: unheard it is of no use */
}

/* Gives `job` to an idle (or its own) worker. False when there is no memory. */
static bool give_locked(struct jq_pool *pool, struct jq_crew *crew, struct jq_job *job)
{
    if (!jq_crew_give_locked(crew, job))
        return false;
    if (crew->sending)
        listen_for(pool, crew, EPOLL_CTL_MOD);
    return true;
}

static struct jq_crew *find_locked(struct jq_pool *pool, enum jq_crew_state state)
{
    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++)
        if (pool->crews[i].state == state)
            return &pool->crews[i];
    return NULL;
}

/* Somebody free: one that has compiled the program, else the one with the least to lose. */
static struct jq_crew *find_idle_locked(struct jq_pool *pool, const struct jq_job *job)
{
    struct jq_crew *least = NULL;

    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++) {
        struct jq_crew *crew = &pool->crews[i];

        if (crew->state != JQ_IDLE)
            continue;
        if (jq_crew_knows_locked(crew, job))
            return crew;
        if (!least || crew->uses < least->uses)
            least = crew;
    }
    return least;
}

/* Answers where nothing was sent: `answers` when the job begins. */
static const char *prepare(struct jq_job *job, enum pl_code *ret_code)
{
    job->answered = 0;
    job->alone = job->killed_once = false;
    if (!job->answers)
        job->answers = pl_arena_alloc_array(job->arena, job->n_indexes, sizeof *job->answers);
    *ret_code = PL_ERR_EXPRESSION_LIMIT;
    if (job->document.len > DOCUMENT_MAX)
        return "what it looks at is larger than 1 GiB";
    return NULL;
}

/* The lock is held: takes the job, or says why not. */
static const char *take_job_locked(struct jq_pool *pool, struct jq_job *job, enum pl_code *ret_code)
{
    struct jq_crew *crew = find_idle_locked(pool, job);
    bool rouse = pool->asleep;

    *ret_code = PL_ERR_INTERNAL;
    if (pool->stopping)
        return "the engine is stopping";
    if (!crew || !jq_queue_pass(&pool->queue, job)) {
        rouse = rouse || !jq_queue_has_turn(&pool->queue); /* else it knows that somebody waits */
        jq_queue_put(&pool->queue, job, false);
    } else if (!give_locked(pool, crew, job)) {
        jq_queue_leave(&pool->queue, job);
        *ret_code = PL_ERR_NO_MEMORY;
        return "no memory to evaluate an expression";
    }
    if (rouse) {
        pool->asleep = false;
        wake(pool);
    }
    return NULL;
}

void jq_pool_submit(struct jq_pool *pool, struct jq_job *job)
{
    enum pl_code code;
    const char *problem = prepare(job, &code);

    if (job->loop)
        loop_hold(job->loop);
    if (!problem && job->answers && job->n_indexes > 0) {
        pl_mutex_lock(&pool->lock);
        problem = take_job_locked(pool, job, &code);
        pl_mutex_unlock(&pool->lock);
        if (!problem)
            return;
    }
    fail_job(job, code, problem ? problem : "");
}

void jq_pool_withdraw(struct jq_pool *pool, uint64_t queue)
{
    struct pl_list over, *link;
    struct jq_job *job;

    pl_list_init(&over);
    pl_mutex_lock(&pool->lock);
    while ((job = jq_queue_withdraw(&pool->queue, queue)) != NULL)
        pl_list_append(&over, &job->link);
    pl_mutex_unlock(&pool->lock);
    while ((link = pl_list_pop(&over)) != NULL)
        fail_job(pl_container_of(link, struct jq_job, link), PL_ERR_INTERNAL,
                 "nobody waits for it any more");
}

/* The pool's thread: as long as somebody is free and somebody waits. */
static void serve_queue(struct jq_pool *pool)
{
    struct jq_job *unlucky;

    do {
        unlucky = NULL;
        pl_mutex_lock(&pool->lock);
        while (!unlucky && jq_queue_has_turn(&pool->queue) && find_locked(pool, JQ_IDLE)) {
            struct jq_job *job = jq_queue_take(&pool->queue);

            if (give_locked(pool, find_idle_locked(pool, job), job))
                continue;
            jq_queue_leave(&pool->queue, job);
            unlucky = job;
        }
        pl_mutex_unlock(&pool->lock);
        if (unlucky)
            fail_job(unlucky, PL_ERR_NO_MEMORY, "no memory to evaluate an expression");
    } while (unlucky);
}

/* ---- workers come and go ---- */

static unsigned present(struct jq_pool *pool)
{
    unsigned count = 0;

    pl_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++)
        count += pool->crews[i].state != JQ_ABSENT;
    pl_mutex_unlock(&pool->lock);
    return count;
}

/* After some in a row there is a pause, and whoever waits is told unless others still work. */
static void count_failure(struct jq_pool *pool, const struct pl_err *err)
{
    unsigned left;

    log_warn(NULL, "JQ-WORKER", "%s", err->message);
    if (++pool->failures < FAILURES_MAX)
        return;
    pool->failures = 0;
    pool->pause_until_us = pl_monotonic_us() + PAUSE_US;
    left = present(pool);
    if (left == 0)
        fail_queue(pool, err->message);
}

static void start_worker(struct jq_pool *pool, struct jq_crew *crew)
{
    struct pl_err err = {.code = PL_OK};
    struct jq_child child;

    if (!jq_worker_possible())
        (void)pl_err_set(&err, PL_ERR_INTERNAL, "this program cannot be started as a jq worker");
    if (err.code != PL_OK || jq_child_start(&child, &err) != PL_OK) {
        count_failure(pool, &err);
        return;
    }
    pl_buf_init(&crew->in, ANSWER_BYTES);
    pl_mutex_lock(&pool->lock);
    crew->child = child;
    crew->state = JQ_STARTING;
    jq_crew_touch_locked(crew);
    listen_for(pool, crew, EPOLL_CTL_ADD);
    pl_mutex_unlock(&pool->lock);
}

/* A worker that is over, or not wanted any more. */
static void end_worker(struct jq_pool *pool, struct jq_crew *crew)
{
    struct jq_job *job;
    bool over;

    /* closing is not enough: a worker just spawned may hold a copy until its exec is through, and
     * what it keeps open would be heard of as long */
    (void)epoll_ctl(pool->epoll, EPOLL_CTL_DEL, crew->child.fd, NULL);
    job = jq_crew_bury(crew, &pool->lock);
    if (!job)
        return;
    over = job->answered == job->n_indexes;
    pl_mutex_lock(&pool->lock);
    jq_queue_leave(&pool->queue, job);
    if (!over)
        jq_queue_put(&pool->queue, job, true);
    pl_mutex_unlock(&pool->lock);
    if (over)
        finish_job(job);
}

struct census {
    unsigned present, starting, busy, stuck;
    bool waiting;
};

static struct census count_locked(const struct jq_pool *pool, int64_t now_us)
{
    struct census census = {.waiting = jq_queue_has_turn(&pool->queue)};

    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++) {
        const struct jq_crew *crew = &pool->crews[i];

        census.present += crew->state != JQ_ABSENT;
        census.starting += crew->state == JQ_STARTING;
        census.busy += crew->state == JQ_BUSY;
        census.stuck += crew->state == JQ_BUSY && now_us - crew->since_us >= STUCK_US;
    }
    return census;
}

/* How many there should be: one more when somebody waits and nobody is coming, over the usual
 * number only while some are stuck. For each of those there is a spare one before it is wanted: a
 * stuck one may have to be replaced soon, and nobody else should wait for that. Spares stay for a
 * while: what got one stuck comes again. */
static void adjust_target(struct jq_pool *pool, const struct census *census, int64_t now_us)
{
    unsigned spares = census->stuck < JQ_EXTRA_WORKERS ? census->stuck : JQ_EXTRA_WORKERS;

    if (census->stuck > 0) {
        pool->stuck_us = now_us;
        if (pool->target < pool->size + spares)
            pool->target = pool->size + spares;
    } else if (!census->waiting && census->busy <= pool->size && pool->target > pool->size &&
               now_us - pool->stuck_us > SPARE_US) {
        pool->target = pool->size;
    }
    if (census->waiting && census->starting == 0 && census->present >= pool->target &&
        census->present < pool->size)
        pool->target = census->present + 1;
}

/* One worker more or less, towards what it should be; false when nothing is to be done. */
static bool man_one(struct jq_pool *pool)
{
    int64_t now_us = pl_monotonic_us();
    struct jq_crew *crew = NULL;
    struct census census;
    bool surplus;

    pl_mutex_lock(&pool->lock);
    census = count_locked(pool, now_us);
    adjust_target(pool, &census, now_us);
    surplus = census.present > pool->target;
    if (surplus)
        crew = find_locked(pool, JQ_IDLE);
    else if (census.present < pool->target && now_us >= pool->pause_until_us)
        crew = find_locked(pool, JQ_ABSENT);
    if (crew && surplus)
        crew->state = JQ_STARTING; /* nobody gives it work any more */
    pl_mutex_unlock(&pool->lock);
    if (!crew)
        return false;
    if (surplus)
        end_worker(pool, crew);
    else
        start_worker(pool, crew);
    return true;
}

/* ---- the thread ---- */

static enum jq_crew_state state_of(struct jq_pool *pool, const struct jq_crew *crew)
{
    enum jq_crew_state state;

    pl_mutex_lock(&pool->lock);
    state = crew->state;
    pl_mutex_unlock(&pool->lock);
    return state;
}

/* Its request is answered: the job is over or goes on, and the worker is free, or done with. */
static void next_for(struct jq_pool *pool, struct jq_crew *crew)
{
    struct jq_job *job = crew->job;
    bool over = job->answered == job->n_indexes, retire = crew->tired || crew->heavy;
    bool given = false;

    if (retire) {
        end_worker(pool, crew);
        return;
    }
    pl_mutex_lock(&pool->lock);
    if (!over)
        given = give_locked(pool, crew, job);
    if (!given) {
        crew->job = NULL;
        crew->state = JQ_IDLE;
        jq_queue_leave(&pool->queue, job);
    }
    pl_mutex_unlock(&pool->lock);
    if (over)
        finish_job(job);
    else if (!given)
        fail_job(job, PL_ERR_NO_MEMORY, "no memory to evaluate an expression");
}

static void hear(struct jq_pool *pool, struct jq_crew *crew)
{
    struct pl_err unfit = {.code = PL_OK};
    bool starting = state_of(pool, crew) == JQ_STARTING;

    switch (jq_crew_hear(crew, &pool->lock, &unfit)) {
    case JQ_HEARD_NOTHING:
        break;
    case JQ_HEARD_READY:
        pool->failures = 0;
        pl_mutex_lock(&pool->lock);
        crew->state = JQ_IDLE;
        pl_mutex_unlock(&pool->lock);
        break;
    case JQ_HEARD_BATCH:
        next_for(pool, crew);
        break;
    case JQ_HEARD_END:
        end_worker(pool, crew);
        if (starting) {
            if (unfit.code == PL_OK)
                pl_err_set(&unfit, PL_ERR_INTERNAL, "a jq worker ended while it started");
            count_failure(pool, &unfit);
        }
        break;
    }
}

static void ready(struct jq_pool *pool, struct jq_crew *crew, uint32_t events)
{
    if (events & EPOLLOUT) {
        pl_mutex_lock(&pool->lock);
        jq_crew_send_locked(crew);
        if (!crew->sending)
            listen_for(pool, crew, EPOLL_CTL_MOD);
        pl_mutex_unlock(&pool->lock);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        hear(pool, crew);
}

static void swallow_wake(struct jq_pool *pool)
{
    uint64_t count;

    while (read(pool->wake, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

/* Looks at everybody's time. Milliseconds to sleep, -1: until woken. */
static int sleep_time(struct jq_pool *pool)
{
    int64_t now_us = pl_monotonic_us(), left = TICK_US;
    bool work = false;

    pl_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++) {
        struct jq_crew *crew = &pool->crews[i];

        if (crew->state == JQ_BUSY || crew->state == JQ_STARTING) {
            int64_t its = jq_crew_watch_locked(crew, now_us);

            work = true;
            left = its < left ? its : left;
        }
    }
    if (pool->queue.count > 0) {
        work = true;
        left = left < STUCK_US ? left : STUCK_US;
    }
    pool->quiet = work ? 0 : pool->quiet + 1;
    pool->asleep = pool->quiet > QUIET_TICKS && !pool->stopping;
    pl_mutex_unlock(&pool->lock);
    return pool->quiet > QUIET_TICKS ? -1 : (int)(left / 1000) + 1;
}

static bool is_stopping(struct jq_pool *pool)
{
    bool stopping;

    pl_mutex_lock(&pool->lock);
    stopping = pool->stopping;
    pl_mutex_unlock(&pool->lock);
    return stopping;
}

/* What is under way is unfinished business like what waits. */
static void end_all(struct jq_pool *pool)
{
    pl_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++) {
        struct jq_crew *crew = &pool->crews[i];

        if (crew->state == JQ_BUSY)
            crew->job->killed_once = false;
        if (crew->state != JQ_ABSENT)
            jq_child_kill(&crew->child); /* all at once, then one by one */
    }
    pl_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++)
        if (state_of(pool, &pool->crews[i]) != JQ_ABSENT)
            end_worker(pool, &pool->crews[i]);
    fail_queue(pool, "the engine is stopping");
}

static void *pool_main(void *arg)
{
    struct jq_pool *pool = arg;
    struct epoll_event events[JQ_WORKERS_MAX + 1];

    while (!is_stopping(pool)) {
        int n = epoll_wait(pool->epoll, events, PL_ARRAY_LEN(events), sleep_time(pool));

        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == WAKE_DATA)
                swallow_wake(pool);
            else
                ready(pool, &pool->crews[events[i].data.u64], events[i].events);
        }
        serve_queue(pool);
        while (man_one(pool))
            ;
    }
    end_all(pool);
    return NULL;
}

/* ---- from cradle to grave ---- */

static unsigned usual_size(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : cores > DEFAULT_WORKERS_MAX ? DEFAULT_WORKERS_MAX : (unsigned)cores;
}

static void pool_free(struct jq_pool *pool)
{
    if (pool->epoll >= 0)
        close(pool->epoll);
    if (pool->wake >= 0)
        close(pool->wake);
    pl_mutex_finish(&pool->lock);
    free(pool);
}

enum pl_code jq_pool_create(unsigned workers, struct jq_pool **ret_pool, struct pl_err *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_DATA};
    struct jq_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "no memory for a pool of jq workers");
    if (workers > JQ_WORKERS_MAX - JQ_EXTRA_WORKERS)
        workers = JQ_WORKERS_MAX - JQ_EXTRA_WORKERS;
    pool->size = workers ? workers : usual_size();
    pl_mutex_init(&pool->lock);
    jq_queue_init(&pool->queue, pool->size);
    for (unsigned i = 0; i < JQ_WORKERS_MAX; i++)
        pool->crews[i].index = i;
    pool->epoll = epoll_create1(EPOLL_CLOEXEC);
    pool->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->epoll < 0 || pool->wake < 0 ||
        epoll_ctl(pool->epoll, EPOLL_CTL_ADD, pool->wake, &event) != 0) {
        pl_err_set(err, PL_ERR_INTERNAL, "cannot create a pool of jq workers: %s",
                   strerrordesc_np(errno));
        pool_free(pool);
        return PL_ERR_INTERNAL;
    }
    if (!pl_thread_start(&pool->thread, "plait-jq", pool_main, pool)) {
        pool_free(pool);
        return pl_err_set(err, PL_ERR_INTERNAL, "cannot start a thread for jq workers");
    }
    *ret_pool = pool;
    return PL_OK;
}

void jq_pool_destroy(struct jq_pool **pool)
{
    struct jq_pool *p = *pool;

    if (!p)
        return;
    pl_mutex_lock(&p->lock);
    p->stopping = true;
    pl_mutex_unlock(&p->lock);
    wake(p);
    pthread_join(p->thread, NULL);
    pool_free(p);
    *pool = NULL;
}
