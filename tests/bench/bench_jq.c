/* bench_jq.c - what a jq expression costs beside evaluating it: from a loop to a worker and back.
 * Not a test: it prints its figures.
 *
 *   bench_jq [JOBS]     one job after another, then 1, 2 and 8 at a time, then beside an attack */
#include "base/sync.h"
#include "service/expr/jq_pool.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXTS = 4, CHAINS_MAX = 8 };

static struct pl_str texts[TEXTS] = {
    {".input.a + 1", 12},
    {"[.steps.x.output[] | select(.n > 1)] | length", 45},
    {"def f: f; f", 11},
    {"[.steps.x.output[].n] | add", 27},
};
static struct jq_program program = {.texts = texts, .count = TEXTS};

/* One client: the next job when one is done, on the loop. */
struct chain {
    struct jq_pool *pool;
    struct loop *loop;
    struct loop_mail begin;
    struct jq_job job;
    uint32_t index;
    struct pl_arena *arena;
    double *took;
    size_t done, count;
    double began;
    struct pl_mutex *lock;
    struct pl_cond *changed;
    unsigned *running; /* guarded by lock */
};

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void next(struct chain *chain);

static void job_done(struct jq_job *job)
{
    struct chain *chain = pl_container_of(job, struct chain, job);

    if (job->answers[0].err.code != PL_OK && chain->index != 2) {
        fprintf(stderr, "bench_jq: %s\n", job->answers[0].err.message);
        exit(1);
    }
    chain->took[chain->done++] = now_us() - chain->began;
    if (chain->done < chain->count) {
        next(chain);
        return;
    }
    pl_mutex_lock(chain->lock);
    (*chain->running)--;
    pl_cond_signal(chain->changed);
    pl_mutex_unlock(chain->lock);
}

static void next(struct chain *chain)
{
    static const char document[] =
        "{\"input\":{\"a\":1},\"steps\":{\"x\":{\"output\":[{\"n\":1},{\"n\":2},{\"n\":3}]}}}";

    pl_arena_reset(chain->arena);
    chain->job = (struct jq_job){
        .program = &program,
        .indexes = &chain->index,
        .n_indexes = 1,
        .document = pl_str(document),
        .queue = (uint64_t)(uintptr_t)chain,
        .arena = chain->arena,
        .done = job_done,
        .loop = chain->loop,
    };
    chain->began = now_us();
    jq_pool_submit(chain->pool, &chain->job);
}

static void begin(struct loop *loop, struct loop_mail *mail)
{
    (void)loop;
    next(pl_container_of(mail, struct chain, begin));
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* `clients` at a time, `count` jobs each, of the expression `index`; with `attack`, one client more
 * that runs for ever. */
static void measure(struct jq_pool *pool, struct loop *loop, const char *title, uint32_t index,
                    unsigned clients, size_t count, bool attack)
{
    struct chain chains[CHAINS_MAX + 1] = {0};
    double *all = calloc(clients * count + 1, sizeof *all), began = now_us(), wall;
    unsigned running, total = clients + attack;
    struct pl_mutex lock;
    struct pl_cond changed;

    pl_mutex_init(&lock);
    pl_cond_init(&changed);
    running = total;
    for (unsigned i = 0; i < total; i++) {
        bool bad = i == clients;

        chains[i] = (struct chain){
            .pool = pool,
            .loop = loop,
            .begin.deliver = begin,
            .index = bad ? 2 : index,
            .arena = pl_arena_create(0),
            .took = all + i * count,
            .count = bad ? 1 : count,
            .lock = &lock,
            .changed = &changed,
            .running = &running,
        };
        loop_post(loop, &chains[i].begin);
    }
    pl_mutex_lock(&lock);
    while (running > 0)
        pl_cond_wait(&changed, &lock);
    pl_mutex_unlock(&lock);
    wall = now_us() - began;
    qsort(all, clients * count, sizeof *all, by_size);
    printf("%-44s p50 %7.1f us  p99 %8.1f us  max %9.1f us  %8.0f/s\n", title,
           all[clients * count / 2], all[clients * count * 99 / 100], all[clients * count - 1],
           (double)(clients * count) / wall * 1e6);
    for (unsigned i = 0; i < total; i++)
        pl_arena_destroy(&chains[i].arena);
    pl_cond_finish(&changed);
    pl_mutex_finish(&lock);
    free(all);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 10000;
    struct jq_pool *pool = NULL;
    struct loop *loop = NULL;
    struct pl_err err;

    jq_worker_main_if_asked(argc, argv);
    program.id = jq_program_new_id();
    if (jq_pool_create(0, &pool, &err) != PL_OK ||
        loop_create(0, pl_clock_real(), &loop, &err) != PL_OK || loop_start(loop, &err) != PL_OK) {
        fprintf(stderr, "bench_jq: %s\n", err.message);
        return 1;
    }
    measure(pool, loop, "the first: start and compile", 0, 1, 1, false);
    measure(pool, loop, "one after another, .input.a + 1", 0, 1, count, false);
    measure(pool, loop, "one after another, select and length", 1, 1, count, false);
    measure(pool, loop, "2 at a time", 0, 2, count / 2, false);
    measure(pool, loop, "8 at a time", 0, 8, count / 8, false);
    measure(pool, loop, "one after another beside an endless one", 0, 1, count, true);
    measure(pool, loop, "8 at a time beside an endless one", 0, 8, count / 8, true);
    loop_stop(loop);
    loop_destroy(&loop);
    jq_pool_destroy(&pool);
    return 0;
}
