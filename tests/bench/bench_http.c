/* bench_http.c - how fast the loops carry calls: WIDTH at a time, over LOOPS loops, next to bare
 * curl (the floor) on the same machine. Not a load generator for servers. Run by hand against a
 * local mock server.
 *
 *   bench_http wide URL MODEL-MS WIDTH REPS LOOPS   WIDTH calls at once, REPS times after a
 * warm-up: the median wall time bench_http small URL SECONDS CLIENTS LOOPS      CLIENTS calls at a
 * time, each followed by the next: calls a second */
#include "base/clock.h"
#include "service/net/http_call.h"
#include "service/pool.h"

#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const struct http_header headers[] = {
    {{"Content-Type", 12}, {"application/json", 16}},
    {{"Authorization", 13}, {"Bearer x", 8}},
};

struct call {
    struct loop_mail mail;
    struct bench *bench;
    struct http_request request;
    char body[256];
    size_t got;
};

struct bench {
    struct pool *pool;
    struct call *calls;
    unsigned width;
    atomic_uint left;
    atomic_ulong done, errors;
    atomic_bool again; /* a call that ends is followed by the next */
    sem_t all;
};

static enum pl_code on_data(void *arg, struct http_call *http, struct pl_str piece,
                            struct pl_err *err)
{
    (void)http;
    (void)err;
    ((struct call *)arg)->got += piece.len;
    return PL_OK;
}

static void on_done(void *arg, struct http_call *http, const struct http_outcome *outcome);
static const struct http_call_handler handler = {.data = on_data, .done = on_done};

static void start(struct loop *loop, struct loop_mail *mail)
{
    struct call *call = pl_container_of(mail, struct call, mail);

    if (!http_call_start(loop, &call->request, &handler, call))
        abort();
}

static void on_done(void *arg, struct http_call *http, const struct http_outcome *outcome)
{
    struct call *call = arg;
    struct bench *bench = call->bench;

    (void)http;
    atomic_fetch_add_explicit(&bench->done, 1, memory_order_relaxed);
    if (outcome->err.code != PL_OK || outcome->status != 200) {
        if (atomic_fetch_add(&bench->errors, 1) == 0)
            fprintf(stderr, "first error: %d %s\n", outcome->status, outcome->err.message);
    }
    if (atomic_load_explicit(&bench->again, memory_order_relaxed))
        loop_post(pool_loop(bench->pool, (unsigned)(call - bench->calls) % pool_size(bench->pool)),
                  &call->mail);
    else if (atomic_fetch_sub(&bench->left, 1) == 1)
        sem_post(&bench->all);
}

static int64_t run(struct bench *bench)
{
    int64_t from = pl_monotonic_us();

    atomic_store(&bench->left, bench->width);
    for (unsigned i = 0; i < bench->width; i++)
        loop_post(pool_loop(bench->pool, i % pool_size(bench->pool)), &bench->calls[i].mail);
    while (sem_wait(&bench->all) != 0)
        ;
    return pl_monotonic_us() - from;
}

static void prepare(struct bench *bench, const char *url, const char *model, unsigned width)
{
    bench->width = width;
    bench->calls = calloc(width, sizeof *bench->calls);
    if (!bench->calls)
        abort();
    for (unsigned i = 0; i < width; i++) {
        struct call *call = &bench->calls[i];
        int len =
            snprintf(call->body, sizeof call->body,
                     "{\"model\":\"mock-%sms\",\"messages\":[{\"role\":\"user\",\"content\":"
                     "\"You plan part %u of a three day trip to Lisbon. Answer in one line.\"}]}",
                     model, i);

        call->bench = bench;
        call->mail.deliver = start;
        call->request = (struct http_request){.method = PL_STR("POST"),
                                              .url = pl_str(url),
                                              .headers = headers,
                                              .n_headers = PL_ARRAY_LEN(headers),
                                              .body = pl_str_n(call->body, (size_t)len),
                                              .has_body = true};
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void report(const struct bench *bench, const char *what, double wall_ms, double calls_per_s)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf("{\"peer\":\"plait-http-%u\",\"workload\":\"%s\",\"wall_ms\":%.1f,\"calls_per_s\":%.0f,"
           "\"peak_rss_mb\":%.1f,\"cpu_s\":%.2f,\"errors\":%lu}\n",
           pool_size(bench->pool), what, wall_ms, calls_per_s, (double)usage.ru_maxrss / 1024.0,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
           atomic_load(&bench->errors));
}

static void wide(struct bench *bench, unsigned reps, const char *model)
{
    int64_t times[64];
    char what[64];

    if (reps < 1 || reps > PL_ARRAY_LEN(times))
        reps = 5;
    fprintf(stderr, "cold (no connection open yet): %.1f ms\n", (double)run(bench) / 1e3);
    for (unsigned i = 0; i < reps; i++)
        times[i] = run(bench);
    qsort(times, reps, sizeof times[0], compare);
    snprintf(what, sizeof what, "http-%u@%sms", bench->width, model);
    report(bench, what, (double)times[reps / 2] / 1e3,
           bench->width / ((double)times[reps / 2] / 1e6));
}

static void small(struct bench *bench, unsigned seconds)
{
    int64_t from = pl_monotonic_us();
    struct timespec wait = {.tv_sec = (time_t)seconds};
    double took;

    atomic_store(&bench->again, true);
    atomic_store(&bench->left, bench->width);
    for (unsigned i = 0; i < bench->width; i++)
        loop_post(pool_loop(bench->pool, i % pool_size(bench->pool)), &bench->calls[i].mail);
    nanosleep(&wait, NULL);
    atomic_store(&bench->again, false);
    while (sem_wait(&bench->all) != 0)
        ;
    took = (double)(pl_monotonic_us() - from) / 1e6;
    report(bench, "small", took * 1e3, (double)atomic_load(&bench->done) / took);
}

static unsigned number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
    bool is_wide = argc == 7 && strcmp(argv[1], "wide") == 0;
    struct bench bench = {0};
    struct pl_err err;

    if (!is_wide && (argc != 6 || strcmp(argv[1], "small") != 0)) {
        fprintf(stderr, "usage: bench_http wide URL MODEL-MS WIDTH REPS LOOPS\n"
                        "       bench_http small URL SECONDS CLIENTS LOOPS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    sem_init(&bench.all, 0, 0);
    if (pool_create(number(argv[argc - 1]), pl_clock_real(), &bench.pool, &err) != PL_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    prepare(&bench, argv[2], is_wide ? argv[3] : "0", number(argv[4]));
    if (is_wide)
        wide(&bench, number(argv[5]), argv[3]);
    else
        small(&bench, number(argv[3]));
    pool_destroy(&bench.pool);
    free(bench.calls);
    sem_destroy(&bench.all);
    return atomic_load(&bench.errors) != 0;
}
