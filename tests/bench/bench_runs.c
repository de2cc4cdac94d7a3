/* bench_runs.c - the whole engine in one process against an OpenAI-compatible server: what a user
 * waits for and what it costs. Not a test: it prints one JSON line a workload, for
 * tests/bench/run.sh to set beside the floor.
 *
 * bench_runs travel URL MODEL REPS: 3 branches, then an aggregator; wall time of one run.
 *
 * bench_runs wide URL MODEL WIDTH REPS: WIDTH branches in one run.
 *
 * bench_runs small URL MODEL CLIENTS SECONDS: 3 + 1 calls a run, CLIENTS runs at a time, every
 * branch durable.
 *
 * LOOPS=n in the environment sets the number of loops, DB=sqlite:FILE the database (default: a new
 * file in /tmp). */
#include "base/buf.h"
#include "base/sync.h"
#include "service/engine.h"
#include "service/llm/provider.h"
#include "service/net/net_policy.h"
#include "storage/store.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct bench {
    struct engine *engine;
    struct workflow *workflow;
    struct pl_mutex lock;
    struct pl_cond changed;
    unsigned open; /* guarded by lock, as below */
    unsigned long ended, failed;
    double *latencies;
    size_t n_latencies, max_latencies;
    double idle_mb; /* resident before the workflow was made */
    double stop_at; /* ms; a run that ends later starts no other */
};

struct client {
    struct bench *bench;
    double began;
    bool ended;
};

static double now_ms(void)
{
    return (double)pl_monotonic_us() / 1000.0;
}

static void client_start(struct client *client);

/* A loop's thread. The next run is started from the main thread: engine calls are not for loops. */
static void client_ended(void *arg, const struct engine_end *end)
{
    struct client *client = arg;
    struct bench *bench = client->bench;

    pl_mutex_lock(&bench->lock);
    if (!pl_str_is(end->status, "succeeded")) {
        if (bench->failed++ == 0)
            fprintf(stderr, "a run %.*s: %.*s\n", PL_STR_ARG(end->status),
                    PL_STR_ARG(pl_value_text(end->error)));
    }
    bench->ended++;
    if (bench->n_latencies < bench->max_latencies)
        bench->latencies[bench->n_latencies++] = now_ms() - client->began;
    client->ended = true;
    pl_cond_signal(&bench->changed);
    pl_mutex_unlock(&bench->lock);
}

static void die(const char *what, const struct pl_err *err)
{
    fprintf(stderr, "bench_runs: %s: %s\n", what, err->message);
    exit(1);
}

static void client_start(struct client *client)
{
    struct engine_run_request request = {
        .tenant = PL_STR("default"),
        .workflow = client->bench->workflow,
        .input = PL_STR("{}"),
        .on_end = client_ended,
        .arg = client,
    };
    struct doc_problems problems = {0};
    struct pl_err err = {0};
    char id[PL_ID_TEXT];

    client->began = now_ms();
    client->ended = false;
    if (engine_start_run(client->bench->engine, &request, id, &problems, &err) != PL_OK)
        die("cannot start a run", &err);
}

/* Keeps `count` clients busy until stop_at, then waits for the last. */
static void run_clients(struct bench *bench, struct client *clients, unsigned count)
{
    unsigned open = count;

    for (unsigned i = 0; i < count; i++) {
        clients[i].bench = bench;
        client_start(&clients[i]);
    }
    while (open) {
        pl_mutex_lock(&bench->lock);
        for (bool any = false; !any;) {
            for (unsigned i = 0; i < count; i++)
                any = any || clients[i].ended;
            if (!any)
                pl_cond_wait(&bench->changed, &bench->lock);
        }
        pl_mutex_unlock(&bench->lock);
        for (unsigned i = 0; i < count; i++) {
            bool ended;

            pl_mutex_lock(&bench->lock);
            ended = clients[i].ended;
            clients[i].ended = false;
            pl_mutex_unlock(&bench->lock);
            if (!ended)
                continue;
            if (now_ms() < bench->stop_at)
                client_start(&clients[i]);
            else
                open--;
        }
    }
}

/* ---- the workflows ---- */

static void write_branch(struct pl_buf *out, unsigned index)
{
    pl_buf_printf(out,
                  "%s\"b%u\":{\"llm\":{\"prompt\":\"You plan part %u of a three day trip to "
                  "Lisbon. Answer in one line.\"}}",
                  index ? "," : "", index, index);
}

static struct workflow *make_workflow(const char *model, unsigned width, bool aggregate)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    struct pl_buf text;

    doc_problems_init(&problems, arena);
    pl_buf_init(&text, 64u << 20);
    pl_buf_printf(&text,
                  "{\"defaults\":{\"model\":\"openai/"
                  "%s\"},\"steps\":{\"research\":{\"parallel\":{\"branches\":{",
                  model);
    for (unsigned i = 0; i < width; i++)
        write_branch(&text, i);
    pl_buf_text(&text, "}}}");
    if (aggregate)
        pl_buf_text(&text, ",\"plan\":{\"llm\":{\"prompt\":\"Join these into one plan:\\n${ "
                           ".steps.research.output }\"}}");
    pl_buf_text(&text, "}}");
    if (workflow_compile(pl_buf_view(&text), DOC_JSON, NULL, &workflow, &problems) != PL_OK) {
        fprintf(stderr, "bench_runs: %s\n",
                problems.count ? problems.items[0].message : "no workflow");
        exit(1);
    }
    pl_buf_finish(&text);
    pl_arena_destroy(&arena);
    return workflow;
}

/* ---- figures ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double peak_mb(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

static double resident_mb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0, resident = 0;

    if (file) {
        if (fscanf(file, "%ld %ld", &pages, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static void one_at_a_time(struct bench *bench, const char *name, unsigned width, unsigned reps)
{
    struct client client = {0};
    double cold;

    run_clients(bench, &client, 1); /* opens the connections */
    cold = bench->latencies[0];
    bench->n_latencies = 0;
    for (unsigned i = 0; i < reps; i++)
        run_clients(bench, &client, 1);
    qsort(bench->latencies, bench->n_latencies, sizeof *bench->latencies, compare);
    printf("{\"bench\":\"%s\",\"width\":%u,\"wall_ms\":%.1f,\"min_ms\":%.1f,\"max_ms\":%.1f,\"cold_"
           "ms\":%.1f,"
           "\"idle_mb\":%.1f,\"peak_mb\":%.1f,\"kib_per_branch\":%.1f,\"failed\":%lu}\n",
           name, width, bench->latencies[reps / 2], bench->latencies[0], bench->latencies[reps - 1],
           cold, bench->idle_mb, peak_mb(), (peak_mb() - bench->idle_mb) * 1024.0 / width,
           bench->failed);
}

static void many(struct bench *bench, unsigned clients, double seconds)
{
    struct client *list = calloc(clients, sizeof *list);
    struct store_stats before, after;
    double began, cpu, wall;

    bench->stop_at = now_ms() + 1000; /* warm up */
    run_clients(bench, list, clients);
    bench->ended = 0;
    bench->n_latencies = 0;
    engine_store_stats(bench->engine, &before);
    cpu = cpu_seconds();
    began = now_ms();
    bench->stop_at = began + seconds * 1000;
    run_clients(bench, list, clients);
    wall = (now_ms() - began) / 1000;
    cpu = cpu_seconds() - cpu;
    engine_store_stats(bench->engine, &after);
    qsort(bench->latencies, bench->n_latencies, sizeof *bench->latencies, compare);
    printf("{\"bench\":\"small\",\"clients\":%u,\"runs_per_s\":%.0f,\"p50_ms\":%.2f,\"p99_ms\":%."
           "2f,\"cpu_ms_per_run\":%.3f,"
           "\"commits_per_run\":%.3f,\"rows_per_run\":%.1f,\"peak_mb\":%.1f,\"failed\":%lu}\n",
           clients, (double)bench->ended / wall, bench->latencies[bench->n_latencies / 2],
           bench->latencies[bench->n_latencies * 99 / 100], cpu * 1000 / (double)bench->ended,
           (double)(after.commits - before.commits) / (double)bench->ended,
           (double)(after.rows - before.rows) / (double)bench->ended, peak_mb(), bench->failed);
    free(list);
}

int main(int argc, char **argv)
{
    struct bench bench = {.max_latencies = 4000000};
    struct provider_options provider = {.name = "openai", .kind = "openai", .api_key = "bench"};
    struct engine_options options = {.retry_writes_for = 1000};
    char path[64];
    struct pl_err err = {0};
    bool small = argc == 6 && strcmp(argv[1], "small") == 0;
    bool wide = argc == 6 && strcmp(argv[1], "wide") == 0,
         travel = argc == 5 && strcmp(argv[1], "travel") == 0;

    if (!small && !wide && !travel) {
        fprintf(stderr, "usage: see the head of tests/bench/bench_runs.c\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    snprintf(path, sizeof path, "sqlite:/tmp/plait-bench-%d.db", (int)getpid());
    provider.base_url = argv[2];
    options.providers = providers_create();
    options.db = getenv("DB") ? getenv("DB") : path;
    options.loops = getenv("LOOPS") ? (unsigned)strtoul(getenv("LOOPS"), NULL, 10) : 0;
    if (providers_add(options.providers, &provider, &err) != PL_OK ||
        engine_create(&options, &bench.engine, &err) != PL_OK)
        die("cannot start", &err);
    pl_mutex_init(&bench.lock);
    pl_cond_init(&bench.changed);
    bench.latencies = malloc(bench.max_latencies * sizeof *bench.latencies);
    bench.idle_mb = resident_mb();
    bench.workflow = make_workflow(argv[3], wide ? (unsigned)strtoul(argv[4], NULL, 10) : 3, !wide);
    if (small)
        many(&bench, (unsigned)strtoul(argv[4], NULL, 10), strtod(argv[5], NULL));
    else
        one_at_a_time(&bench, argv[1], wide ? (unsigned)strtoul(argv[4], NULL, 10) : 3,
                      (unsigned)strtoul(argv[argc - 1], NULL, 10));
    workflow_unref(&bench.workflow);
    engine_destroy(&bench.engine, 0);
    providers_destroy(&options.providers);
    free(bench.latencies);
    if (!getenv("DB")) {
        unlink(path + 7);
        snprintf(path, sizeof path, "/tmp/plait-bench-%d.db-engine", (int)getpid());
        unlink(path);
    }
    return bench.failed != 0;
}
