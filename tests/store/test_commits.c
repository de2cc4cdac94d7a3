/* test_commits.c - contract suite: what a completion means. Runs on every driver. */
#include "tests/store/conformance.h"

#include <semaphore.h>
#include <stdatomic.h>

/* Counts how often each batch completed, and in which order. */
struct tally {
    atomic_int next;
    struct tally_row {
        struct tally *tally;
        atomic_int calls, order;
        enum pl_code code;
    } * rows;
};

static void tally_init(struct tally *tally, size_t count)
{
    atomic_init(&tally->next, 0);
    tally->rows = calloc(count, sizeof(*tally->rows));
    ck_assert_ptr_nonnull(tally->rows);
    for (size_t i = 0; i < count; i++)
        tally->rows[i].tally = tally;
}

static void tally_done(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct tally_row *row = arg;

    row->code = err->code == code ? code : PL_ERR_INTERNAL;
    row->order = atomic_fetch_add(&row->tally->next, 1);
    atomic_fetch_add(&row->calls, 1);
}

static void tally_check(struct tally *tally, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(tally->rows[i].calls, 1);
        ck_assert_int_eq(tally->rows[i].code, PL_OK);
    }
}

static void submit_step(struct store *store, const char *run, const char *path, int64_t attempts,
                        store_done_fn done, void *arg)
{
    struct store_batch *batch = new_batch("t", run);
    struct store_step step = {.path = pl_str(path), .attempts = attempts};

    store_batch_put_step(batch, &step);
    store_submit(store, &batch, done, arg);
    ck_assert_ptr_null(batch);
}

START_TEST(what_is_read_after_a_completion_is_what_was_committed)
{
    struct conformance c;
    struct store_step *steps;

    begin(&c, _i);
    for (int i = 0; i < 200; i++) {
        struct store_batch *batch = new_batch("t", "r");
        struct store_step step = {.path = PL_STR("a"), .attempts = i};

        store_batch_put_step(batch, &step);
        commit(&c, batch);
        ck_assert_uint_eq(get_steps(&c, "t", "r", "", 2, &steps), 1);
        ck_assert_int_eq(steps[0].attempts, i);
    }
    end(&c);
}
END_TEST

START_TEST(batches_of_a_run_commit_in_the_order_they_were_submitted)
{
    enum { BATCHES = 3000 };
    struct conformance c;
    struct tally tally;
    struct store_step *steps;

    begin(&c, _i);
    tally_init(&tally, BATCHES);
    for (int i = 0; i < BATCHES; i++)
        submit_step(c.store, "r", "a", i, tally_done, &tally.rows[i]);
    reopen(&c);
    tally_check(&tally, BATCHES);
    for (int i = 0; i < BATCHES; i++)
        ck_assert_int_eq(tally.rows[i].order, i);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 2, &steps), 1);
    ck_assert_int_eq(steps[0].attempts, BATCHES - 1);
    free(tally.rows);
    end(&c);
}
END_TEST

struct gate {
    sem_t reached, open;
};

static void hold_writer(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct gate *gate = arg;

    (void)code;
    (void)err;
    sem_post(&gate->reached);
    sem_wait(&gate->open);
}

START_TEST(what_is_queued_while_the_writer_is_away_is_one_commit)
{
    enum { BATCHES = 500 };
    struct conformance c;
    struct gate gate;
    struct store_waiter waiter;
    struct store_stats stats;

    begin(&c, _i);
    sem_init(&gate.reached, 0, 0);
    sem_init(&gate.open, 0, 0);
    store_waiter_init(&waiter);
    submit_step(c.store, "r", "first", 1, hold_writer, &gate);
    sem_wait(&gate.reached);
    for (int i = 0; i < BATCHES; i++) {
        char run[16];

        snprintf(run, sizeof(run), "run_%d", i);
        submit_step(c.store, run, "a", i, store_waiter_done, &waiter);
    }
    sem_post(&gate.open);
    store_waiter_wait(&waiter, BATCHES);
    ck_assert_uint_eq(waiter.failed, 0);
    store_stats(c.store, &stats);
    ck_assert_uint_eq(stats.batches, BATCHES + 1);
    ck_assert_uint_eq(stats.rows, BATCHES + 1);
    ck_assert_uint_eq(stats.commits, 2);
    store_waiter_finish(&waiter);
    end(&c);
}
END_TEST

START_TEST(closing_commits_what_is_queued_and_tells_each_owner_once)
{
    enum { BATCHES = 2000 };
    struct conformance c;
    struct tally tally;
    struct store_step *steps;

    begin(&c, _i);
    tally_init(&tally, BATCHES);
    for (int i = 0; i < BATCHES; i++) {
        char path[16];

        snprintf(path, sizeof(path), "s%04d", i);
        submit_step(c.store, "r", path, i, tally_done, &tally.rows[i]);
    }
    reopen(&c);
    tally_check(&tally, BATCHES);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", BATCHES * 2, &steps), BATCHES);
    for (int i = 0; i < BATCHES; i++)
        ck_assert_int_eq(steps[i].attempts, i);
    free(tally.rows);
    end(&c);
}
END_TEST

START_TEST(an_empty_batch_completes)
{
    struct conformance c;

    begin(&c, _i);
    commit(&c, new_batch("t", "r"));
    end(&c);
}
END_TEST

START_TEST(a_batch_that_was_not_submitted_leaves_nothing)
{
    struct conformance c;
    struct store_step step = full_step("a"), *steps;
    struct store_run run = full_run("t", "r");
    struct store_batch *batch = new_batch("t", "r"), *none = NULL;

    begin(&c, _i);
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    store_step_finish(&step);
    store_run_finish(&run);
    store_batch_destroy(&batch);
    ck_assert_ptr_null(batch);
    store_batch_destroy(&none);
    store_batch_destroy(NULL);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 10, &steps), 0);
    end(&c);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 8, PER_THREAD = 250 };

struct submitter {
    pthread_t thread;
    struct store *store;
    struct tally tally;
    int number;
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    char run[16];

    snprintf(run, sizeof(run), "run_%d", s->number);
    for (int i = 0; i < PER_THREAD; i++) {
        struct store_batch *batch = store_batch_create(PL_STR("t"), pl_str(run));
        struct store_step latest = {.path = PL_STR("latest"), .attempts = i};
        struct store_event event = {.seq = i + 1};

        store_batch_put_step(batch, &latest);
        store_batch_put_event(batch, &event);
        store_submit(s->store, &batch, tally_done, &s->tally.rows[i]);
    }
    return NULL;
}

START_TEST(many_threads_may_submit_at_once)
{
    struct conformance c;
    struct submitter submitters[THREADS];

    begin(&c, _i);
    for (int i = 0; i < THREADS; i++) {
        submitters[i].store = c.store;
        submitters[i].number = i;
        tally_init(&submitters[i].tally, PER_THREAD);
        ck_assert(pl_thread_start(&submitters[i].thread, "submit", submit_many, &submitters[i]));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(submitters[i].thread, NULL);
    reopen(&c);
    for (int i = 0; i < THREADS; i++) {
        struct store_step *steps;
        struct store_event *events;
        char run[16];

        snprintf(run, sizeof(run), "run_%d", i);
        tally_check(&submitters[i].tally, PER_THREAD);
        for (int k = 1; k < PER_THREAD; k++)
            ck_assert_int_lt(submitters[i].tally.rows[k - 1].order,
                             submitters[i].tally.rows[k].order);
        ck_assert_uint_eq(get_steps(&c, "t", run, "", 10, &steps), 1);
        ck_assert_int_eq(steps[0].attempts, PER_THREAD - 1);
        ck_assert_uint_eq(get_events(&c, "t", run, 0, PER_THREAD * 2, &events), PER_THREAD);
        free(submitters[i].tally.rows);
    }
    end(&c);
}
END_TEST

struct watcher {
    pthread_t thread;
    struct store *store;
    atomic_bool stop;
    atomic_int torn, backwards, failed, reads;
};

/* A batch writes two rows alike: they are alike whenever they are read, and never older than
 * before. */
static void *watch(void *arg)
{
    struct watcher *w = arg;
    struct pl_arena *arena = pl_arena_create(0);
    int64_t last = -1;

    while (!w->stop) {
        struct store_step *steps;
        size_t count;

        pl_arena_reset(arena);
        if (store_list_steps(w->store, arena, PL_STR("t"), PL_STR("r"), PL_STR(""), 10, &steps,
                             &count, NULL) != PL_OK) {
            w->failed++;
            continue;
        }
        w->reads++;
        if (count == 0)
            continue;
        if (count != 2 || steps[0].attempts != steps[1].attempts)
            w->torn++;
        if (steps[0].attempts < last)
            w->backwards++;
        last = steps[0].attempts;
    }
    pl_arena_destroy(&arena);
    return NULL;
}

START_TEST(a_batch_is_seen_whole_or_not_at_all)
{
    enum { WATCHERS = 3, BATCHES = 1500 }; /* more watchers than reader connections */
    struct conformance c;
    struct watcher watchers[WATCHERS] = {0};
    struct store_waiter waiter;

    begin(&c, _i);
    store_waiter_init(&waiter);
    for (int i = 0; i < WATCHERS; i++) {
        watchers[i].store = c.store;
        ck_assert(pl_thread_start(&watchers[i].thread, "watch", watch, &watchers[i]));
    }
    for (int i = 0; i < BATCHES; i++) {
        struct store_batch *batch = new_batch("t", "r");
        struct store_step a = {.path = PL_STR("a"), .attempts = i};
        struct store_step b = {.path = PL_STR("b"), .attempts = i};

        store_batch_put_step(batch, &a);
        store_batch_put_step(batch, &b);
        store_submit(c.store, &batch, store_waiter_done, &waiter);
        if (i % 50 == 0)
            store_waiter_wait(&waiter, (size_t)i);
    }
    store_waiter_wait(&waiter, BATCHES);
    for (int i = 0; i < WATCHERS; i++) {
        watchers[i].stop = true;
        pthread_join(watchers[i].thread, NULL);
        ck_assert_int_eq(watchers[i].torn, 0);
        ck_assert_int_eq(watchers[i].backwards, 0);
        ck_assert_int_eq(watchers[i].failed, 0);
    }
    ck_assert_uint_eq(waiter.failed, 0);
    store_waiter_finish(&waiter);
    end(&c);
}
END_TEST

/* ---- several stores on one database ---- */

START_TEST(a_second_engine_is_kept_out_where_only_one_may_run)
{
    struct conformance c;
    struct store *other = NULL;
    struct pl_err err = {.message = ""};

    begin(&c, _i);
    if (c.fixture.kind->caps & STORE_CAP_ONE_ENGINE) {
        ck_assert_int_eq(store_fixture_try(&c.fixture, true, &other, &err), PL_ERR_STORE_LOCKED);
        ck_assert_ptr_null(other);
        commit_small_run(&c, "t", "r", 1, 0); /* the first is none the worse */
        store_close(&c.store);
        c.store = store_fixture_open(&c.fixture, true);
    }
    end(&c);
}
END_TEST

START_TEST(two_stores_on_one_database_see_each_others_commits)
{
    struct conformance c;
    struct conformance other;

    begin(&c, _i);
    other = c;
    other.store = store_fixture_open(&c.fixture, false);
    for (int i = 0; i < 50; i++) {
        struct conformance *writer = i % 2 ? &c : &other, *reader = i % 2 ? &other : &c;
        struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r"), .last_seq = i}, got;

        commit_run(writer, &run);
        got = get_run(reader, "t", "r");
        ck_assert_int_eq(got.last_seq, i);
    }
    store_close(&other.store);
    commit_small_run(&c, "t", "r2", 1, 0);
    end(&c);
}
END_TEST

START_TEST(a_healthy_store_says_so)
{
    struct conformance c;
    struct pl_err err;

    begin(&c, _i);
    ck_assert_int_eq(store_health(c.store, &err), PL_OK);
    commit_small_run(&c, "t", "r", 1, 0);
    ck_assert_int_eq(store_health(c.store, NULL), PL_OK);
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_read_after_a_completion_is_what_was_committed,
        batches_of_a_run_commit_in_the_order_they_were_submitted,
        what_is_queued_while_the_writer_is_away_is_one_commit,
        closing_commits_what_is_queued_and_tells_each_owner_once,
        an_empty_batch_completes,
        a_batch_that_was_not_submitted_leaves_nothing,
        many_threads_may_submit_at_once,
        a_batch_is_seen_whole_or_not_at_all,
        a_second_engine_is_kept_out_where_only_one_may_run,
        two_stores_on_one_database_see_each_others_commits,
        a_healthy_store_says_so,
    };

    return conformance_main("store commits", tests, PL_ARRAY_LEN(tests));
}
