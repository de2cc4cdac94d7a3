/* conformance.h - what the tests of the contract suite share: a store of the kind under test,
 * sample rows, and comparing what comes back. Not a test. Each test of tests/store/test_*.c runs
 * once for every row of tests/support/store_fixture.c, in a new database. */
#ifndef PLAIT_TESTS_STORE_CONFORMANCE_H
#define PLAIT_TESTS_STORE_CONFORMANCE_H

#include "storage/store.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

/* One test's world. */
struct conformance {
    struct store_fixture fixture;
    struct store *store;
    struct pl_arena *arena; /* for what is read */
};

PL_UNUSED static void begin(struct conformance *c, int kind)
{
    store_fixture_init(&c->fixture, (size_t)kind);
    c->store = store_fixture_open(&c->fixture, true);
    c->arena = pl_arena_create(0);
    ck_assert_ptr_nonnull(c->arena);
}

PL_UNUSED static void reopen(struct conformance *c)
{
    store_close(&c->store);
    c->store = store_fixture_open(&c->fixture, true);
}

PL_UNUSED static void end(struct conformance *c)
{
    store_close(&c->store);
    pl_arena_destroy(&c->arena);
    store_fixture_finish(&c->fixture);
}

/* Runs each test once for every kind of database. */
PL_UNUSED static int conformance_main(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 100);
    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tcase, tests[i], 0, (int)store_fixture_count());
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- sample rows ---- */

PL_UNUSED static struct pl_value *value_of(const char *json)
{
    struct pl_value *value = pl_value_new(pl_str(json));

    ck_assert_ptr_nonnull(value);
    return value;
}

/* Every field set to something of its own. The caller releases it with store_run_finish. */
PL_UNUSED static struct store_run full_run(const char *tenant, const char *id)
{
    return (struct store_run){
        .tenant = pl_str(tenant),
        .id = pl_str(id),
        .definition = PL_STR("sha256:abc"),
        .workflow_name = PL_STR("travel-plan"),
        .workflow_version = 7,
        .status = PL_STR("running"),
        .phase = PL_STR("going"),
        .paused = true,
        .input = value_of("{\"city\":\"Genova\"}"),
        .output = value_of("[1,2.50,9007199254740993]"),
        .error = value_of("{\"code\":\"timeout\"}"),
        .reason = PL_STR("the deadline passed"),
        .thread = PL_STR("thr_1"),
        .metadata = PL_STR("{\"a\":\"b\"}"),
        .options = PL_STR("{\"timeout\":30}"),
        .created_at = 1790000000001,
        .started_at = 1790000000002,
        .ended_at = 1790000000003,
        .usage = {11, 12, 13, 15, 14, 16, 0.12345678901234567},
        .last_seq = 9007199254740993,
    };
}

/* The same of a step, released with store_step_finish. */
PL_UNUSED static struct store_step full_step(const char *path)
{
    return (struct store_step){
        .path = pl_str(path),
        .kind = PL_STR("llm"),
        .status = PL_STR("succeeded"),
        .phase = PL_STR("over"),
        .attempts = 3,
        .tries = 2,
        .handled = true,
        .counted = true,
        .model = PL_STR("openai/gpt-4o"),
        .output = value_of("\"two days in Nervi\""),
        .error = value_of("{\"code\":\"rate_limited\"}"),
        .memo = value_of("{\"ask\":\"well?\"}"),
        .writes = value_of("{\"notes\":[1]}"),
        .reason = PL_STR("a sentence"),
        .join = PL_STR("{\"policy\":\"all\"}"),
        .call = value_of("{\"finish_reason\":\"stop\"}"),
        .usage = {21, 22, 23, 25, 24, 26, 1e-7},
        .created_at = 31,
        .started_at = 32,
        .ended_at = 33,
        .wake_at = 34,
        .sent_at = 35,
    };
}

/* ---- comparing ---- */

PL_UNUSED static void assert_str_eq(struct pl_str a, struct pl_str b)
{
    ck_assert_msg(pl_str_eq(a, b), "\"%.*s\" is not \"%.*s\"", PL_STR_ARG(a), PL_STR_ARG(b));
}

PL_UNUSED static void assert_value_eq(const struct pl_value *a, const struct pl_value *b)
{
    ck_assert_int_eq(a != NULL, b != NULL);
    if (a)
        assert_str_eq(pl_value_text(a), pl_value_text(b));
}

PL_UNUSED static void assert_usage_eq(const struct store_usage *a, const struct store_usage *b)
{
    ck_assert_int_eq(a->calls, b->calls);
    ck_assert_int_eq(a->input_tokens, b->input_tokens);
    ck_assert_int_eq(a->cached_input_tokens, b->cached_input_tokens);
    ck_assert_int_eq(a->cache_write_input_tokens, b->cache_write_input_tokens);
    ck_assert_int_eq(a->output_tokens, b->output_tokens);
    ck_assert_int_eq(a->reasoning_tokens, b->reasoning_tokens);
    ck_assert(a->cost_usd == b->cost_usd);
}

PL_UNUSED static void assert_run_eq(const struct store_run *a, const struct store_run *b)
{
    assert_str_eq(a->tenant, b->tenant);
    assert_str_eq(a->id, b->id);
    assert_str_eq(a->definition, b->definition);
    assert_str_eq(a->workflow_name, b->workflow_name);
    ck_assert_int_eq(a->workflow_version, b->workflow_version);
    assert_str_eq(a->status, b->status);
    assert_str_eq(a->phase, b->phase);
    ck_assert_int_eq(a->paused, b->paused);
    assert_value_eq(a->input, b->input);
    assert_value_eq(a->output, b->output);
    assert_value_eq(a->error, b->error);
    assert_str_eq(a->reason, b->reason);
    assert_str_eq(a->thread, b->thread);
    assert_str_eq(a->metadata, b->metadata);
    assert_str_eq(a->options, b->options);
    ck_assert_int_eq(a->created_at, b->created_at);
    ck_assert_int_eq(a->started_at, b->started_at);
    ck_assert_int_eq(a->ended_at, b->ended_at);
    assert_usage_eq(&a->usage, &b->usage);
    ck_assert_int_eq(a->last_seq, b->last_seq);
}

PL_UNUSED static void assert_step_eq(const struct store_step *a, const struct store_step *b)
{
    assert_str_eq(a->path, b->path);
    assert_str_eq(a->kind, b->kind);
    assert_str_eq(a->status, b->status);
    assert_str_eq(a->phase, b->phase);
    ck_assert_int_eq(a->attempts, b->attempts);
    ck_assert_int_eq(a->tries, b->tries);
    ck_assert_int_eq(a->handled, b->handled);
    ck_assert_int_eq(a->counted, b->counted);
    assert_str_eq(a->model, b->model);
    assert_value_eq(a->output, b->output);
    assert_value_eq(a->error, b->error);
    assert_value_eq(a->memo, b->memo);
    assert_value_eq(a->writes, b->writes);
    assert_str_eq(a->reason, b->reason);
    assert_str_eq(a->join, b->join);
    assert_value_eq(a->call, b->call);
    assert_usage_eq(&a->usage, &b->usage);
    ck_assert_int_eq(a->created_at, b->created_at);
    ck_assert_int_eq(a->started_at, b->started_at);
    ck_assert_int_eq(a->ended_at, b->ended_at);
    ck_assert_int_eq(a->wake_at, b->wake_at);
    ck_assert_int_eq(a->sent_at, b->sent_at);
}

/* ---- writing and reading in one line ---- */

PL_UNUSED static struct store_batch *new_batch(const char *tenant, const char *run)
{
    struct store_batch *batch = store_batch_create(pl_str(tenant), pl_str(run));

    ck_assert_ptr_nonnull(batch);
    return batch;
}

PL_UNUSED static void commit(struct conformance *c, struct store_batch *batch)
{
    struct pl_err err = {.message = ""};
    enum pl_code code = store_submit_wait(c->store, &batch, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    ck_assert_ptr_null(batch);
}

PL_UNUSED static void commit_run(struct conformance *c, const struct store_run *run)
{
    struct store_batch *batch = store_batch_create(run->tenant, run->id);

    store_batch_put_run(batch, run);
    commit(c, batch);
}

/* A run with little in it. */
PL_UNUSED static void commit_small_run(struct conformance *c, const char *tenant, const char *id,
                                       pl_ms created_at, pl_ms ended_at)
{
    struct store_run run = {.tenant = pl_str(tenant),
                            .id = pl_str(id),
                            .status = PL_STR("running"),
                            .created_at = created_at,
                            .ended_at = ended_at};

    commit_run(c, &run);
}

PL_UNUSED static struct store_run get_run(struct conformance *c, const char *tenant, const char *id)
{
    struct store_run run;
    struct pl_err err = {.message = ""};
    enum pl_code code = store_get_run(c->store, c->arena, pl_str(tenant), pl_str(id), &run, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    return run;
}

PL_UNUSED static size_t get_steps(struct conformance *c, const char *tenant, const char *run,
                                  const char *after, size_t limit, struct store_step **steps)
{
    size_t count = 0;
    struct pl_err err = {.message = ""};
    enum pl_code code = store_list_steps(c->store, c->arena, pl_str(tenant), pl_str(run),
                                         pl_str(after), limit, steps, &count, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    return count;
}

PL_UNUSED static size_t get_events(struct conformance *c, const char *tenant, const char *run,
                                   int64_t after, size_t limit, struct store_event **events)
{
    size_t count = 0;
    struct pl_err err = {.message = ""};
    enum pl_code code = store_list_events(c->store, c->arena, pl_str(tenant), pl_str(run), after,
                                          limit, events, &count, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    return count;
}

PL_UNUSED static void finish_steps(struct store_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        store_step_finish(&steps[i]);
}

#endif
