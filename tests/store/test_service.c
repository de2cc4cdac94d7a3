/* test_service.c - contract suite: what the service keeps beside runs (keys, stored workflows), how
 * it lists and deletes runs, and single operations in the order of the queue. Runs on every driver.
 */
#include "tests/store/conformance.h"

/* ---- operations ---- */

struct op_waiter {
    struct store_waiter waiter;
    struct store_op_result result;
};

static void op_done(void *arg, enum pl_code code, const struct store_op_result *result,
                    const struct pl_err *err)
{
    struct op_waiter *waiter = arg;

    waiter->result = *result;
    store_waiter_done(&waiter->waiter, code, err);
}

static enum pl_code operate(struct conformance *c, const struct store_op *op,
                            struct store_op_result *ret_result)
{
    struct op_waiter waiter;

    store_waiter_init(&waiter.waiter);
    store_submit_op(c->store, op, op_done, &waiter);
    store_waiter_wait(&waiter.waiter, 1);
    store_waiter_finish(&waiter.waiter);
    if (ret_result)
        *ret_result = waiter.result;
    return waiter.waiter.code;
}

static struct store_op put_op(const char *name, const char *content, int64_t if_version)
{
    return (struct store_op){.kind = STORE_OP_PUT_WORKFLOW,
                             .tenant = PL_STR("t"),
                             .name = pl_str(name),
                             .text = pl_str(content),
                             .hash = pl_str(content),
                             .if_version = if_version,
                             .now = 1234};
}

static enum pl_code put(struct conformance *c, const char *name, const char *content,
                        int64_t if_version, struct store_op_result *ret_result)
{
    struct store_op op = put_op(name, content, if_version);

    return operate(c, &op, ret_result);
}

static enum pl_code delete_workflow(struct conformance *c, const char *tenant, const char *name,
                                    int64_t if_version)
{
    struct store_op op = {.kind = STORE_OP_DELETE_WORKFLOW,
                          .tenant = pl_str(tenant),
                          .name = pl_str(name),
                          .if_version = if_version};

    return operate(c, &op, NULL);
}

static enum pl_code delete_run(struct conformance *c, const char *tenant, const char *id)
{
    struct store_op op = {.kind = STORE_OP_DELETE_RUN, .tenant = pl_str(tenant), .id = pl_str(id)};

    return operate(c, &op, NULL);
}

static enum pl_code get_workflow(struct conformance *c, const char *name, int64_t version,
                                 struct store_workflow *ret_workflow)
{
    return store_get_workflow(c->store, c->arena, PL_STR("t"), pl_str(name), version, ret_workflow,
                              NULL);
}

START_TEST(a_stored_workflow_comes_back_by_version_and_newest)
{
    struct conformance c;
    struct store_op_result result;
    struct store_workflow got = {0};

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "plan", "{\"a\":1}", -1, &result), PL_OK);
    ck_assert_int_eq(result.version, 1);
    ck_assert(result.created);
    ck_assert_int_eq(put(&c, "plan", "{\"a\":2}", -1, &result), PL_OK);
    ck_assert_int_eq(result.version, 2);
    reopen(&c);
    ck_assert_int_eq(get_workflow(&c, "plan", 0, &got), PL_OK);
    ck_assert_int_eq(got.version, 2);
    ck_assert(pl_str_is(got.text, "{\"a\":2}") && pl_str_is(got.hash, "{\"a\":2}"));
    ck_assert(pl_str_is(got.name, "plan"));
    ck_assert_int_eq(got.created_at, 1234);
    ck_assert_int_eq(get_workflow(&c, "plan", 1, &got), PL_OK);
    ck_assert_int_eq(got.version, 1);
    ck_assert(pl_str_is(got.text, "{\"a\":1}"));
    ck_assert_int_eq(get_workflow(&c, "plan", 3, &got), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(get_workflow(&c, "other", 0, &got), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(
        store_get_workflow(c.store, c.arena, PL_STR("u"), PL_STR("plan"), 0, &got, NULL),
        PL_ERR_NOT_FOUND);
    end(&c);
}
END_TEST

START_TEST(the_same_content_as_the_newest_makes_no_version)
{
    struct conformance c;
    struct store_op_result result;

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "plan", "one", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "plan", "one", -1, &result), PL_OK);
    ck_assert_int_eq(result.version, 1);
    ck_assert(!result.created);
    ck_assert_int_eq(put(&c, "plan", "two", -1, &result), PL_OK);
    ck_assert_int_eq(result.version, 2);
    /* an older content again is a new version: the newest is the one in force */
    ck_assert_int_eq(put(&c, "plan", "one", -1, &result), PL_OK);
    ck_assert_int_eq(result.version, 3);
    ck_assert(result.created);
    end(&c);
}
END_TEST

START_TEST(a_version_number_is_never_given_twice_not_even_after_a_delete)
{
    struct conformance c;
    struct store_op_result result;
    struct store_workflow got;

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "plan", "one", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "plan", "two", -1, NULL), PL_OK);
    ck_assert_int_eq(delete_workflow(&c, "t", "plan", -1), PL_OK);
    ck_assert_int_eq(get_workflow(&c, "plan", 0, &got), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(get_workflow(&c, "plan", 1, &got), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(delete_workflow(&c, "t", "plan", -1), PL_ERR_NOT_FOUND);
    reopen(&c);
    ck_assert_int_eq(put(&c, "plan", "two", -1, &result), PL_OK);
    ck_assert_int_eq(result.version, 3);
    ck_assert(result.created);
    end(&c);
}
END_TEST

START_TEST(a_version_that_is_named_must_be_the_newest)
{
    struct conformance c;
    struct store_op_result result = {.version = 77};

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "plan", "one", 1, NULL), PL_ERR_PRECONDITION);
    ck_assert_int_eq(put(&c, "plan", "one", 0, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "plan", "two", 0, NULL), PL_ERR_PRECONDITION);
    ck_assert_int_eq(put(&c, "plan", "two", 1, &result), PL_OK);
    ck_assert_int_eq(result.version, 2);
    ck_assert_int_eq(put(&c, "plan", "three", 1, NULL), PL_ERR_PRECONDITION);
    ck_assert_int_eq(delete_workflow(&c, "t", "plan", 1), PL_ERR_PRECONDITION);
    ck_assert_int_eq(delete_workflow(&c, "u", "plan", -1), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(delete_workflow(&c, "t", "plan", 2), PL_OK);
    ck_assert_int_eq(put(&c, "plan", "one", 0, &result), PL_OK);
    ck_assert_int_eq(result.version, 3);
    end(&c);
}
END_TEST

START_TEST(workflows_are_listed_by_name_with_their_newest_version)
{
    struct conformance c;
    struct store_workflow *list;
    size_t count;

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "b", "one", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "a", "one", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "a", "two", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "gone", "one", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "z", "one", -1, NULL), PL_OK);
    ck_assert_int_eq(delete_workflow(&c, "t", "gone", -1), PL_OK);
    ck_assert_int_eq(
        store_list_workflows(c.store, c.arena, PL_STR("t"), PL_STR(""), 10, &list, &count, NULL),
        PL_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert(pl_str_is(list[0].name, "a") && list[0].version == 2);
    ck_assert(pl_str_is(list[0].hash, "two") && list[0].text.len == 0);
    ck_assert(pl_str_is(list[1].name, "b") && pl_str_is(list[2].name, "z"));
    ck_assert_int_eq(
        store_list_workflows(c.store, c.arena, PL_STR("t"), PL_STR("a"), 1, &list, &count, NULL),
        PL_OK);
    ck_assert_uint_eq(count, 1);
    ck_assert(pl_str_is(list[0].name, "b"));
    ck_assert_int_eq(
        store_list_workflows(c.store, c.arena, PL_STR("u"), PL_STR(""), 10, &list, &count, NULL),
        PL_OK);
    ck_assert_uint_eq(count, 0);
    end(&c);
}
END_TEST

START_TEST(operations_are_done_in_the_order_of_the_queue_with_batches)
{
    enum { ROUNDS = 50 };
    struct conformance c;
    struct op_waiter waiter;
    struct store_op op = {.kind = STORE_OP_DELETE_RUN, .tenant = PL_STR("t"), .id = PL_STR("r")};
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r"), .ended_at = 5};

    begin(&c, _i);
    store_waiter_init(&waiter.waiter);
    for (int i = 0; i < ROUNDS; i++) {
        struct store_batch *batch = new_batch("t", "r");

        store_batch_put_run(batch, &run);
        store_submit(c.store, &batch, store_waiter_done, &waiter.waiter);
        store_submit_op(c.store, &op, op_done, &waiter); /* finds the run the batch has put */
    }
    store_waiter_wait(&waiter.waiter, ROUNDS * 2);
    ck_assert_uint_eq(waiter.waiter.failed, 0);
    store_waiter_finish(&waiter.waiter);
    ck_assert_int_eq(store_get_run(c.store, c.arena, PL_STR("t"), PL_STR("r"), &run, NULL),
                     PL_ERR_NOT_FOUND);
    end(&c);
}
END_TEST

START_TEST(an_operation_that_is_refused_takes_nothing_else_with_it)
{
    struct conformance c;
    struct op_waiter waiter;
    struct store_op op = put_op("plan", "one", 7);
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r"), .created_at = 1};
    struct store_batch *batch = new_batch("t", "r");

    begin(&c, _i);
    store_waiter_init(&waiter.waiter);
    store_batch_put_run(batch, &run);
    store_submit(c.store, &batch, store_waiter_done, &waiter.waiter);
    store_submit_op(c.store, &op, op_done, &waiter);
    batch = new_batch("t", "s");
    run.id = PL_STR("s");
    store_batch_put_run(batch, &run);
    store_submit(c.store, &batch, store_waiter_done, &waiter.waiter);
    store_waiter_wait(&waiter.waiter, 3);
    ck_assert_uint_eq(waiter.waiter.failed, 1);
    ck_assert_int_eq(waiter.waiter.code, PL_ERR_PRECONDITION);
    store_waiter_finish(&waiter.waiter);
    ck_assert_int_eq(get_run(&c, "t", "r").created_at, 1);
    ck_assert_int_eq(get_run(&c, "t", "s").created_at, 1);
    ck_assert_int_eq(store_health(c.store, NULL), PL_OK);
    end(&c);
}
END_TEST

/* ---- keys ---- */

static enum pl_code get_key(struct conformance *c, const char *tenant, const char *route,
                            const char *key, struct pl_str *run, struct pl_str *fingerprint)
{
    return store_get_key(c->store, c->arena, pl_str(tenant), pl_str(route), pl_str(key), run,
                         fingerprint, NULL);
}

static void commit_keyed_run(struct conformance *c, const char *id, const char *key, pl_ms ended_at)
{
    struct store_run run = {
        .tenant = PL_STR("t"), .id = pl_str(id), .created_at = 1, .ended_at = ended_at};
    struct store_batch *batch = new_batch("t", id);

    store_batch_put_run(batch, &run);
    store_batch_put_key(batch, PL_STR("POST /v1/runs"), pl_str(key), PL_STR("print"));
    commit(c, batch);
}

START_TEST(a_key_names_its_run_for_one_tenant_and_one_route)
{
    struct conformance c;
    struct pl_str run = {0}, print = {0};

    begin(&c, _i);
    commit_keyed_run(&c, "run_1", "k", 0);
    reopen(&c);
    ck_assert_int_eq(get_key(&c, "t", "POST /v1/runs", "k", &run, &print), PL_OK);
    ck_assert(pl_str_is(run, "run_1") && pl_str_is(print, "print"));
    ck_assert_int_eq(get_key(&c, "u", "POST /v1/runs", "k", &run, &print), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(get_key(&c, "t", "POST /v1/x", "k", &run, &print), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(get_key(&c, "t", "POST /v1/runs", "K", &run, &print), PL_ERR_NOT_FOUND);
    end(&c);
}
END_TEST

/* ---- deleting runs ---- */

START_TEST(a_run_that_is_over_is_deleted_with_all_it_has)
{
    struct conformance c;
    struct store_run run = full_run("t", "run_1"), got;
    struct store_step step = full_step("a"), *steps;
    struct store_event event = {.seq = 1, .type = PL_STR("run.started")}, *events;
    struct store_batch *batch = new_batch("t", "run_1");
    struct pl_str name, print;
    char *large = malloc(5000);

    begin(&c, _i);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 5000);
    large[0] = large[4998] = '"';
    large[4999] = '\0';
    pl_value_unref(&run.input);
    run.input = value_of(large);
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    store_batch_put_event(batch, &event);
    store_batch_put_key(batch, PL_STR("r"), PL_STR("k"), PL_STR("f"));
    commit(&c, batch);
    commit_keyed_run(&c, "run_2", "k2", 5);

    ck_assert_int_eq(delete_run(&c, "u", "run_1"), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(delete_run(&c, "t", "run_1"), PL_OK);
    ck_assert_int_eq(store_get_run(c.store, c.arena, PL_STR("t"), PL_STR("run_1"), &got, NULL),
                     PL_ERR_NOT_FOUND);
    ck_assert_uint_eq(get_steps(&c, "t", "run_1", "", 10, &steps), 0);
    ck_assert_uint_eq(get_events(&c, "t", "run_1", 0, 10, &events), 0);
    ck_assert_int_eq(get_key(&c, "t", "r", "k", &name, &print), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(get_key(&c, "t", "POST /v1/runs", "k2", &name, &print), PL_OK);
    ck_assert_int_eq(delete_run(&c, "t", "run_1"), PL_ERR_NOT_FOUND);
    /* the id again: nothing of the old one shows */
    pl_value_unref(&run.input);
    commit_run(&c, &run);
    got = get_run(&c, "t", "run_1");
    ck_assert_ptr_null(got.input);
    store_run_finish(&got);
    store_run_finish(&run);
    store_step_finish(&step);
    free(large);
    end(&c);
}
END_TEST

START_TEST(a_run_that_is_not_over_is_not_deleted)
{
    struct conformance c;

    begin(&c, _i);
    commit_keyed_run(&c, "run_1", "k", 0);
    ck_assert_int_eq(delete_run(&c, "t", "run_1"), PL_ERR_CONFLICT);
    ck_assert_int_eq(get_run(&c, "t", "run_1").created_at, 1);
    end(&c);
}
END_TEST

/* ---- lists ---- */

static void commit_listed(struct conformance *c, const char *tenant, int number)
{
    char id[16], metadata[80];
    struct store_run run = {
        .tenant = pl_str(tenant),
        .status = number % 2 ? PL_STR("failed") : PL_STR("succeeded"),
        .workflow_name = number % 3 ? PL_STR("plan") : PL_STR(""),
        .thread = number % 5 ? PL_STR("") : PL_STR("thr"),
        .created_at = 1000 - number,
        .ended_at = 1,
    };

    snprintf(id, sizeof(id), "run_%03d", number);
    snprintf(metadata, sizeof(metadata),
             "{\"n\":%d,\"user\":\"u%d\",\"on\":%s,\"no\":null,\"deep\":{\"user\":\"u9\"}}",
             number % 4, number % 7, number % 2 ? "true" : "false");
    run.id = pl_str(id);
    run.metadata = number == 10 ? PL_STR("") : pl_str(metadata);
    commit_run(c, &run);
}

static size_t list(struct conformance *c, struct store_run_filter filter, size_t limit,
                   struct store_run **runs)
{
    size_t count = 0;
    struct pl_err err = {.message = ""};
    enum pl_code code =
        store_list_runs(c->store, c->arena, PL_STR("t"), &filter, limit, runs, &count, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    return count;
}

START_TEST(runs_are_listed_newest_first_in_pages_and_of_one_tenant)
{
    enum { RUNS = 30, PAGE = 7 };
    struct conformance c;
    struct store_run *runs;
    struct store_run_filter filter = {0};
    int expect = RUNS;
    char after[16];

    begin(&c, _i);
    for (int i = 1; i <= RUNS; i++)
        commit_listed(&c, "t", i);
    commit_listed(&c, "u", 99);
    for (;;) {
        size_t count = list(&c, filter, PAGE, &runs);

        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++) {
            char id[16];

            snprintf(id, sizeof(id), "run_%03d", expect--);
            ck_assert(pl_str_is(runs[i].id, id));
            ck_assert(pl_str_is(runs[i].tenant, "t"));
        }
        snprintf(after, sizeof(after), "%.*s", PL_STR_ARG(runs[count - 1].id));
        filter.after = pl_str(after);
    }
    ck_assert_int_eq(expect, 0);
    end(&c);
}
END_TEST

START_TEST(runs_are_filtered_by_status_workflow_and_thread_together)
{
    enum { RUNS = 60 };
    struct conformance c;
    struct store_run *runs;

    begin(&c, _i);
    for (int i = 1; i <= RUNS; i++)
        commit_listed(&c, "t", i);
    for (unsigned mask = 0; mask < 8; mask++) {
        struct store_run_filter filter = {
            .status = mask & 1 ? PL_STR("failed") : PL_STR(""),
            .workflow = mask & 2 ? PL_STR("plan") : PL_STR(""),
            .thread = mask & 4 ? PL_STR("thr") : PL_STR(""),
            .after = PL_STR("run_058"),
        };
        size_t count = list(&c, filter, 100, &runs), at = 0;

        for (int i = 57; i >= 1; i--) {
            char id[16];

            if (((mask & 1) && i % 2 == 0) || ((mask & 2) && i % 3 == 0) ||
                ((mask & 4) && i % 5 != 0))
                continue;
            snprintf(id, sizeof(id), "run_%03d", i);
            ck_assert_uint_lt(at, count);
            ck_assert(pl_str_is(runs[at++].id, id));
        }
        ck_assert_uint_eq(at, count);
    }
    end(&c);
}
END_TEST

static size_t list_by_metadata(struct conformance *c, const char *key, const char *value,
                               const char *key2, const char *value2)
{
    struct pl_str keys[] = {pl_str(key), pl_str(key2)}, values[] = {pl_str(value), pl_str(value2)};
    struct store_run_filter filter = {
        .metadata_keys = keys, .metadata_values = values, .n_metadata = key2 ? 2 : 1};
    struct store_run *runs;

    return list(c, filter, 1000, &runs);
}

START_TEST(runs_are_filtered_by_members_of_their_metadata)
{
    enum { RUNS = 28 };
    struct conformance c;

    begin(&c, _i);
    for (int i = 1; i <= RUNS; i++)
        commit_listed(&c, "t", i);
    /* run 10 (n 2, user u3, on false) has no metadata */
    ck_assert_uint_eq(list_by_metadata(&c, "user", "u1", NULL, NULL), 4);
    ck_assert_uint_eq(list_by_metadata(&c, "user", "u3", NULL, NULL), 3);
    ck_assert_uint_eq(list_by_metadata(&c, "n", "3", NULL, NULL), 7);
    ck_assert_uint_eq(list_by_metadata(&c, "on", "true", NULL, NULL), 14);
    ck_assert_uint_eq(list_by_metadata(&c, "on", "1", NULL, NULL), 0);
    ck_assert_uint_eq(list_by_metadata(&c, "no", "null", NULL, NULL), RUNS - 1);
    ck_assert_uint_eq(list_by_metadata(&c, "n", "1", "user", "u1"), 1);
    ck_assert_uint_eq(list_by_metadata(&c, "user", "u9", NULL, NULL), 0);
    ck_assert_uint_eq(list_by_metadata(&c, "deep", "{\"user\":\"u9\"}", NULL, NULL), 0);
    ck_assert_uint_eq(list_by_metadata(&c, "us%r", "u1", NULL, NULL), 0);
    ck_assert_uint_eq(list_by_metadata(&c, "user' OR '1'='1", "\"u1", NULL, NULL), 0);
    ck_assert_uint_eq(list_by_metadata(&c, "$.user", "u1", NULL, NULL), 0);
    end(&c);
}
END_TEST

static void commit_step(struct conformance *c, const char *tenant, int run, const char *status)
{
    struct store_step step = {.path = PL_STR("ask.1"), .status = pl_str(status)};
    char id[16];
    struct store_batch *batch;

    snprintf(id, sizeof(id), "run_%03d", run);
    batch = new_batch(tenant, id);
    store_batch_put_step(batch, &step);
    commit(c, batch);
}

START_TEST(runs_with_a_step_that_waits_are_found)
{
    enum { RUNS = 30 };
    struct conformance c;
    struct store_run_filter filter = {.waiting = true}, failed = {.waiting = true};
    struct store_run *runs;

    begin(&c, _i);
    failed.status = PL_STR("failed");
    for (int i = 1; i <= RUNS; i++)
        commit_listed(&c, "t", i);
    commit_listed(&c, "u", 9);
    ck_assert_uint_eq(list(&c, filter, 100, &runs), 0);
    commit_step(&c, "t", 7, "waiting");
    commit_step(&c, "t", 9, "running");
    commit_step(&c, "t", 12, "waiting");
    commit_step(&c, "t", 20, "waiting");
    commit_step(&c, "u", 9, "waiting");
    commit_step(&c, "t", 20, "succeeded");
    ck_assert_uint_eq(list(&c, filter, 100, &runs), 2);
    ck_assert(pl_str_is(runs[0].id, "run_012") && pl_str_is(runs[1].id, "run_007"));
    ck_assert_uint_eq(list(&c, failed, 100, &runs), 1);
    filter.after = PL_STR("run_012");
    ck_assert_uint_eq(list(&c, filter, 100, &runs), 1);
    ck_assert(pl_str_is(runs[0].id, "run_007"));
    end(&c);
}
END_TEST

START_TEST(a_workflow_that_another_one_calls_is_not_deleted)
{
    static const char calls[] = "{\"steps\":{\"a\":{\"workflow\":{\"name\":\"child\"}}}}";
    static const char pins[] = "{\"steps\":{\"p\":{\"parallel\":{\"branches\":{\"a\":{\"workflow\":"
                               "{\"name\":\"child@2\"}}}}}}}";
    static const char others[] = "{\"name\":\"child\",\"steps\":{\"a\":{\"workflow\":{\"name\":"
                                 "\"children\"}},\"child\":{\"reduce\":{\"name\":\"child\"}}}}";
    struct conformance c;

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "child", "{}", -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "other", others, -1, NULL), PL_OK);
    ck_assert_int_eq(put(&c, "parent", calls, -1, NULL), PL_OK);
    ck_assert_int_eq(delete_workflow(&c, "t", "child", -1), PL_ERR_CONFLICT);
    ck_assert_int_eq(put(&c, "parent", pins, -1, NULL), PL_OK);
    ck_assert_int_eq(delete_workflow(&c, "t", "child", -1), PL_ERR_CONFLICT);
    ck_assert_int_eq(put(&c, "parent", "{}", -1, NULL), PL_OK); /* it did once */
    ck_assert_int_eq(delete_workflow(&c, "t", "child", -1), PL_OK);
    end(&c);
}
END_TEST

/* A row as a call leaves it. */
static void put_called(struct store_batch *batch, const char *path, const char *kind,
                       const char *status, int64_t calls)
{
    struct store_step step = {.path = pl_str(path),
                              .kind = pl_str(kind),
                              .status = pl_str(status),
                              .usage = {.calls = calls, .output_tokens = calls * 10}};

    store_batch_put_step(batch, &step);
}

START_TEST(what_is_inside_a_step_is_counted)
{
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct store_step map = {
        .path = PL_STR("m"), .kind = PL_STR("map"), .status = PL_STR("running")};
    struct store_inside inside;

    begin(&c, _i);
    map.memo = pl_value_new(PL_STR("[1,2,3,4,5,6,7,8,9,10,11,12,13]"));
    store_batch_put_step(batch, &map);
    put_called(batch, "m.1", "workflow", "succeeded", 3); /* the sum of what is inside it */
    put_called(batch, "m.1.a", "llm", "succeeded", 1);
    put_called(batch, "m.1.b", "llm", "failed", 2);
    put_called(batch, "m.2", "llm", "running", 1);
    put_called(batch, "m.10", "llm", "running", 1);
    put_called(batch, "m.collapse.0.0", "llm", "succeeded", 4);
    put_called(batch, "m2", "llm", "succeeded", 100);
    put_called(batch, "mm.1", "llm", "succeeded", 100);
    commit(&c, batch);
    ck_assert_int_eq(
        store_look_inside(c.store, PL_STR("t"), PL_STR("r"), PL_STR("m"), &inside, NULL), PL_OK);
    ck_assert_int_eq(inside.items, 13);
    ck_assert_int_eq(inside.counts[1], 2);
    ck_assert_int_eq(inside.counts[4], 1);
    ck_assert_int_eq(inside.counts[5], 0);
    ck_assert_int_eq(inside.usage.calls, 9);
    ck_assert_int_eq(inside.usage.output_tokens, 90);
    ck_assert_int_eq(
        store_look_inside(c.store, PL_STR("t"), PL_STR("r"), PL_STR("m.1"), &inside, NULL), PL_OK);
    ck_assert_int_eq(inside.items, 0);
    ck_assert_int_eq(inside.usage.calls, 3);
    ck_assert_int_eq(
        store_look_inside(c.store, PL_STR("u"), PL_STR("r"), PL_STR("m"), &inside, NULL), PL_OK);
    ck_assert_int_eq(inside.usage.calls + inside.items, 0);
    pl_value_unref(&map.memo);
    end(&c);
}
END_TEST

START_TEST(steps_are_counted_by_status)
{
    static const char *const words[8] = {"pending",   "running", "retrying", "waiting",
                                         "succeeded", "failed",  "skipped",  "cancelled"};
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    int64_t counts[8];

    begin(&c, _i);
    for (int i = 0; i < 36; i++) {
        char path[16];
        struct store_step step = {0};

        snprintf(path, sizeof(path), "s%d", i);
        step.path = pl_str(path);
        for (int word = 0, at = 0; word < 8; at += ++word)
            if (i >= at)
                step.status = pl_str(words[word]);
        store_batch_put_step(batch, &step);
    }
    commit(&c, batch);
    ck_assert_int_eq(store_count_steps(c.store, PL_STR("t"), PL_STR("r"), counts, NULL), PL_OK);
    for (int word = 0; word < 8; word++)
        ck_assert_int_eq(counts[word], word + 1);
    ck_assert_int_eq(store_count_steps(c.store, PL_STR("u"), PL_STR("r"), counts, NULL), PL_OK);
    for (int word = 0; word < 8; word++)
        ck_assert_int_eq(counts[word], 0);
    end(&c);
}
END_TEST

START_TEST(one_step_comes_back_by_its_path)
{
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct store_step step = full_step("a.b"), got;

    begin(&c, _i);
    store_batch_put_step(batch, &step);
    commit(&c, batch);
    ck_assert_int_eq(
        store_get_step(c.store, c.arena, PL_STR("t"), PL_STR("r"), PL_STR("a.b"), &got, NULL),
        PL_OK);
    assert_step_eq(&got, &step);
    store_step_finish(&got);
    ck_assert_int_eq(
        store_get_step(c.store, c.arena, PL_STR("t"), PL_STR("r"), PL_STR("a"), &got, NULL),
        PL_ERR_NOT_FOUND);
    store_step_finish(&step);
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_stored_workflow_comes_back_by_version_and_newest,
        the_same_content_as_the_newest_makes_no_version,
        a_version_number_is_never_given_twice_not_even_after_a_delete,
        a_version_that_is_named_must_be_the_newest,
        workflows_are_listed_by_name_with_their_newest_version,
        operations_are_done_in_the_order_of_the_queue_with_batches,
        an_operation_that_is_refused_takes_nothing_else_with_it,
        a_key_names_its_run_for_one_tenant_and_one_route,
        a_run_that_is_over_is_deleted_with_all_it_has,
        a_run_that_is_not_over_is_not_deleted,
        runs_are_listed_newest_first_in_pages_and_of_one_tenant,
        runs_are_filtered_by_status_workflow_and_thread_together,
        runs_are_filtered_by_members_of_their_metadata,
        runs_with_a_step_that_waits_are_found,
        steps_are_counted_by_status,
        what_is_inside_a_step_is_counted,
        a_workflow_that_another_one_calls_is_not_deleted,
        one_step_comes_back_by_its_path,
    };

    return conformance_main("store service", tests, PL_ARRAY_LEN(tests));
}
