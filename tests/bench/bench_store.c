/* bench_store.c - what the store writes a second. Not a test: it prints figures and judges nothing.
 *
 *   bench_store [ROWS [BYTES [LINE]]]   rows written by each line (400000), length of an output
 * (256), the one line wanted
 *
 * Each line keeps a number of batches in flight, so a commit carries up to that many. "steps": a
 * step row a batch, put twice (begun, ended with an output); "spread": the same, 512 runs
 * taking turns; "wide": 64 step rows of one run a batch; "runs": what small runs write, three
 * branches and an aggregator in four batches of run row, step rows and events; "map": one run with
 * an item for every four rows (begun, ended, an event for each), in batches of what 128 items that
 * come back together change, with the rows of the run and of the map, which has a list to remember;
 * "load": reading those rows back, as a run that goes on is. */
#include "base/clock.h"
#include "base/sync.h"
#include "storage/store.h"
#include "tests/support/store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static size_t output_bytes = 256;

/* As many batches in flight as the line asks for. */
struct window {
    struct pl_mutex lock;
    struct pl_cond freed;
    size_t open;    /* guarded by lock */
    size_t waiting; /* guarded by lock: the submitter sleeps until `open` is at most this */
    size_t failed;  /* guarded by lock */
};

static void done(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct window *window = arg;

    (void)err;
    pl_mutex_lock(&window->lock);
    window->open--;
    window->failed += code != PL_OK;
    if (window->open == window->waiting)
        pl_cond_signal(&window->freed);
    pl_mutex_unlock(&window->lock);
}

/* Waits until the window is full no longer; then lets it drain by half, as runs come back in groups
 * too. */
static void enter(struct window *window, size_t size)
{
    pl_mutex_lock(&window->lock);
    if (window->open >= size) {
        window->waiting = size / 2;
        while (window->open > window->waiting)
            pl_cond_wait(&window->freed, &window->lock);
        window->waiting = SIZE_MAX;
    }
    window->open++;
    pl_mutex_unlock(&window->lock);
}

static void drain(struct window *window)
{
    pl_mutex_lock(&window->lock);
    window->waiting = 0;
    while (window->open > 0)
        pl_cond_wait(&window->freed, &window->lock);
    window->waiting = SIZE_MAX;
    pl_mutex_unlock(&window->lock);
}

static struct pl_value *sample_value(void)
{
    struct pl_buf buf;

    pl_buf_init(&buf, SIZE_MAX / 2);
    pl_buf_char(&buf, '"');
    for (size_t i = 0; i < output_bytes; i++)
        pl_buf_char(&buf, 'x');
    pl_buf_char(&buf, '"');
    return pl_value_take(&buf);
}

static struct store_step sample_step(const char *path, struct pl_value *output)
{
    return (struct store_step){
        .path = pl_str(path),
        .kind = PL_STR("llm"),
        .status = output ? PL_STR("succeeded") : PL_STR("running"),
        .phase = output ? PL_STR("done") : PL_STR("calling"),
        .attempts = 1,
        .tries = 1,
        .model = PL_STR("gpt-4o-mini"),
        .output = output,
        .usage = {.calls = 1, .input_tokens = 120, .output_tokens = 80, .cost_usd = 0.0001},
        .created_at = 1790000000000,
        .started_at = 1790000000001,
        .ended_at = output ? 1790000000200 : 0,
        .sent_at = 1790000000001,
    };
}

static struct store_batch *new_batch(const char *run)
{
    struct store_batch *batch = store_batch_create(PL_STR("default"), pl_str(run));

    if (!batch)
        abort();
    return batch;
}

static void run_name(char out[40], size_t i)
{
    snprintf(out, 40, "run_01kz%022zu", i);
}

/* One step row a batch, twice each: begun and ended. `spread` is how many runs take turns. */
static void steps(struct store *store, struct window *window, size_t rows, size_t size,
                  size_t spread)
{
    struct pl_value *output = sample_value();
    const size_t branches = 4, turn = spread * branches * 2;

    for (size_t i = 0; i < rows; i++) {
        size_t in_turn = i % turn, branch = in_turn / 2 / spread;
        char run[40], path[40];
        struct store_step step;
        struct store_batch *batch;

        run_name(run, i / turn * spread + in_turn / 2 % spread);
        snprintf(path, sizeof(path), "branches.b%zu", branch);
        step = sample_step(path, i % 2 ? output : NULL);
        batch = new_batch(run);
        store_batch_put_step(batch, &step);
        enter(window, size);
        store_submit(store, &batch, done, window);
    }
    pl_value_unref(&output);
}

/* A run after the other, as they end. */
static void steps_line(struct store *store, struct window *window, size_t rows, size_t size)
{
    steps(store, window, rows, size, 1);
}

/* 512 runs taking turns: each row lands on a page of its own. */
static void spread_line(struct store *store, struct window *window, size_t rows, size_t size)
{
    steps(store, window, rows, size, 512);
}

/* Wide runs: batches of 64 branches that ended together. */
static void wide_line(struct store *store, struct window *window, size_t rows, size_t size)
{
    struct pl_value *output = sample_value();

    for (size_t i = 0; i < rows / 64; i++) {
        char run[40], path[40];
        struct store_batch *batch;

        run_name(run, i / 32);
        batch = new_batch(run);
        for (size_t k = 0; k < 64; k++) {
            struct store_step step;

            snprintf(path, sizeof(path), "branches.b%04zu", (i % 16) * 64 + k);
            step = sample_step(path, i % 32 < 16 ? NULL : output);
            store_batch_put_step(batch, &step);
        }
        enter(window, size);
        store_submit(store, &batch, done, window);
    }
    pl_value_unref(&output);
}

static void put_run(struct store_batch *batch, const char *run, int64_t seq, bool again, bool over)
{
    struct store_run row = {
        .tenant = PL_STR("default"),
        .id = pl_str(run),
        .definition =
            PL_STR("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        .workflow_name = PL_STR("travel-plan"),
        .status = over ? PL_STR("succeeded") : PL_STR("running"),
        .phase = over ? PL_STR("over") : PL_STR("running"),
        .created_at = 1790000000000,
        .started_at = 1790000000000,
        .ended_at = over ? 1790000001000 : 0,
        .last_seq = seq,
        .again = again,
    };

    store_batch_put_run(batch, &row);
}

/* Four batches a run: begun, three branches back (in two batches), the aggregator back. */
static size_t small_run(struct store *store, struct window *window, size_t i, size_t size,
                        struct pl_value *output)
{
    static const char *const paths[] = {"plan", "plan.a", "plan.b", "plan.c", "merge"};
    size_t rows = 0;
    int64_t seq = 0;
    char run[40];

    run_name(run, i);
    for (size_t part = 0; part < 4; part++) {
        struct store_batch *batch = new_batch(run);
        size_t steps = part == 0 ? 4 : 2;

        for (size_t k = 0; k < steps; k++) {
            size_t which = part == 3 ? 4 : part + k;
            struct store_step step = sample_step(paths[which], part ? output : NULL);
            struct store_event event = {.seq = ++seq,
                                        .at = 1790000000000,
                                        .type = PL_STR("step.succeeded"),
                                        .path = pl_str(paths[which]),
                                        .attempt = 1};

            step.again = part > 0 && which < 4;
            store_batch_put_step(batch, &step);
            store_batch_put_event(batch, &event);
        }
        put_run(batch, run, seq, part > 0, part == 3);
        rows += 1 + steps * 2;
        enter(window, size);
        store_submit(store, &batch, done, window);
    }
    return rows;
}

static void runs_line(struct store *store, struct window *window, size_t rows, size_t size)
{
    struct pl_value *output = sample_value();
    size_t written = 0;

    for (size_t i = 0; written < rows; i++)
        written += small_run(store, window, i, size, output);
    pl_value_unref(&output);
}

static void put_item(struct store_batch *batch, size_t i, int64_t seq, struct pl_value *output)
{
    char path[40];
    struct store_step step;
    struct store_event event = {.seq = seq, .at = 1790000000000, .attempt = 1};

    snprintf(path, sizeof(path), "reviews.%zu", i);
    step = sample_step(path, output);
    step.again = output != NULL;
    event.path = step.path;
    event.type = output ? PL_STR("step.succeeded") : PL_STR("step.started");
    store_batch_put_step(batch, &step);
    store_batch_put_event(batch, &event);
}

/* What the map works on: long enough to be looked after. */
static struct pl_value *sample_list(size_t items)
{
    struct pl_buf buf;

    pl_buf_init(&buf, SIZE_MAX / 2);
    for (size_t i = 0; i < items; i++)
        pl_buf_printf(&buf, "%c\"item %zu\"", i ? ',' : '[', i);
    pl_buf_text(&buf, items ? "]" : "[]");
    return pl_value_take(&buf);
}

/* A map of rows/4 items, 512 of them going on at a time, coming back 128 at a time. */
static void map_line(struct store *store, struct window *window, size_t rows, size_t size)
{
    const size_t items = rows / 4, together = 128, ahead = 512;
    struct pl_value *output = sample_value(), *list = sample_list(items);
    int64_t seq = 0;

    for (size_t at = 0; at < items + ahead; at += together) {
        struct store_batch *batch = new_batch("run_map");
        struct store_step map = sample_step("reviews", NULL);

        map.memo = at == 0 ? list : NULL;
        store_batch_put_step(batch, &map);
        for (size_t i = at; i < at + together; i++) {
            if (i >= ahead)
                put_item(batch, i - ahead, ++seq, output);
            if (i < items)
                put_item(batch, i, ++seq, NULL);
        }
        put_run(batch, "run_map", seq, at > 0, false);
        enter(window, size);
        store_submit(store, &batch, done, window);
    }
    pl_value_unref(&output);
    pl_value_unref(&list);
}

/* Of all threads: says more than the clock where others use the machine too. */
static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* All rows of the map's run in pages. */
static void load(struct store *store)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str after = {0};
    struct store_step *steps;
    size_t count = 1, all = 0;
    int64_t began = pl_monotonic_us();
    double seconds;

    while (count) {
        if (store_list_steps(store, arena, PL_STR("default"), PL_STR("run_map"), after, 1000,
                             &steps, &count, NULL) != PL_OK)
            abort();
        if (count)
            after = steps[count - 1].path;
        for (size_t i = 0; i < count; i++)
            store_step_finish(&steps[i]);
        all += count;
    }
    seconds = (double)(pl_monotonic_us() - began) / 1e6;
    printf("load   rows %zu rows_per_s %8.0f arena_bytes_per_row %zu\n", all, (double)all / seconds,
           pl_arena_bytes(arena) / (all ? all : 1));
    pl_arena_destroy(&arena);
}

static void measure(const char *name, size_t rows, size_t size,
                    void (*line)(struct store *, struct window *, size_t, size_t))
{
    struct store_fixture fixture;
    struct window window = {.waiting = SIZE_MAX};
    struct store_stats stats;
    struct store *store;
    int64_t began;
    double seconds, cpu;

    store_fixture_init(&fixture, 0);
    store = store_fixture_open(&fixture, true);
    pl_mutex_init(&window.lock);
    pl_cond_init(&window.freed);
    began = pl_monotonic_us();
    cpu = cpu_seconds();
    line(store, &window, rows, size);
    drain(&window);
    seconds = (double)(pl_monotonic_us() - began) / 1e6;
    cpu = cpu_seconds() - cpu;
    store_stats(store, &stats);
    printf("%-6s in_flight %5zu rows_per_s %8.0f commits_per_s %6.0f rows_per_commit %6.1f "
           "cpu_us_per_row %6.2f failed %zu\n",
           name, size, (double)stats.rows / seconds, (double)stats.commits / seconds,
           (double)stats.rows / (double)(stats.commits ? stats.commits : 1),
           cpu * 1e6 / (double)(stats.rows ? stats.rows : 1), window.failed);
    fflush(stdout);
    if (line == map_line)
        load(store);
    store_close(&store);
    pl_cond_finish(&window.freed);
    pl_mutex_finish(&window.lock);
    store_fixture_finish(&fixture);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        size_t size;
        void (*line)(struct store *, struct window *, size_t, size_t);
    } lines[] = {
        {"steps", 128, steps_line},    {"steps", 1024, steps_line}, {"spread", 128, spread_line},
        {"spread", 1024, spread_line}, {"wide", 2, wide_line},      {"wide", 16, wide_line},
        {"runs", 64, runs_line},       {"runs", 512, runs_line},    {"map", 2, map_line},
        {"map", 16, map_line},
    };
    size_t rows = argc > 1 ? (size_t)strtoull(argv[1], NULL, 10) : 400000;

    if (argc > 2)
        output_bytes = (size_t)strtoull(argv[2], NULL, 10);
    if (argc <= 3)
        measure("steps", rows / 20, 1, steps_line);
    for (size_t i = 0; i < PL_ARRAY_LEN(lines); i++)
        if (argc <= 3 || strcmp(argv[3], lines[i].name) == 0)
            measure(lines[i].name, rows, lines[i].size, lines[i].line);
    return 0;
}
