/* test_threads.c - contract suite: what threads remember, and who may change it when. Runs on every
 * driver. */
#include "tests/store/conformance.h"

static void op_done(void *arg, enum pl_code code, const struct store_op_result *result,
                    const struct pl_err *err)
{
    (void)result;
    store_waiter_done(arg, code, err);
}

static enum pl_code operate(struct conformance *c, enum store_op_kind kind, const char *tenant,
                            const char *id, const char *state)
{
    struct store_op op = {.kind = kind,
                          .tenant = pl_str(tenant),
                          .id = pl_str(id),
                          .text = pl_str(state),
                          .now = 4321};
    struct store_waiter waiter;

    store_waiter_init(&waiter);
    store_submit_op(c->store, &op, op_done, &waiter);
    store_waiter_wait(&waiter, 1);
    store_waiter_finish(&waiter);
    return waiter.code;
}

static enum pl_code put(struct conformance *c, const char *id, const char *state)
{
    return operate(c, STORE_OP_PUT_THREAD, "t", id, state);
}

static enum pl_code forget(struct conformance *c, const char *id)
{
    return operate(c, STORE_OP_DELETE_THREAD, "t", id, "");
}

/* What the thread remembers; NULL: nothing. */
static const char *state_of(struct conformance *c, const char *tenant, const char *id)
{
    static char text[200];
    struct store_thread thread;
    enum pl_code code =
        store_get_thread(c->store, c->arena, pl_str(tenant), pl_str(id), &thread, NULL);

    if (code == PL_ERR_NOT_FOUND)
        return NULL;
    ck_assert_int_eq(code, PL_OK);
    assert_str_eq(thread.id, pl_str(id));
    snprintf(text, sizeof(text), "%.*s at %lld", PL_STR_ARG(pl_value_text(thread.state)),
             (long long)thread.updated_at);
    store_thread_finish(&thread);
    return text;
}

/* What a run of the thread writes at its end, or (ended_at 0) while it goes on without a state. */
static struct store_batch *run_batch(const char *run, const char *thread, pl_ms ended_at,
                                     const char *state)
{
    struct store_batch *batch = new_batch("t", run);
    struct store_run row = {.tenant = PL_STR("t"),
                            .id = pl_str(run),
                            .thread = pl_str(thread),
                            .created_at = 1,
                            .ended_at = ended_at};

    store_batch_put_run(batch, &row);
    if (state) {
        struct store_thread memory = {
            .id = pl_str(thread), .state = value_of(state), .updated_at = ended_at};

        store_batch_put_thread(batch, &memory);
        store_thread_finish(&memory);
    }
    return batch;
}

START_TEST(a_run_saves_the_state_of_its_thread_with_its_end)
{
    struct conformance c;

    begin(&c, _i);
    ck_assert_ptr_null(state_of(&c, "t", "thr"));
    commit(&c, run_batch("run_1", "thr", 10, "{\"n\":1}"));
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"n\":1} at 10");
    commit(&c, run_batch("run_2", "thr", 20, "{\"n\":2}"));
    commit(&c, run_batch("run_3", "other", 30, "{\"n\":3}"));
    commit(&c, run_batch("run_4", "thr", 40, NULL)); /* one that failed saves nothing */
    reopen(&c);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"n\":2} at 20");
    ck_assert_str_eq(state_of(&c, "t", "other"), "{\"n\":3} at 30");
    ck_assert_ptr_null(state_of(&c, "u", "thr"));
    end(&c);
}
END_TEST

START_TEST(a_state_put_twice_in_a_batch_is_written_once_as_put_last)
{
    struct conformance c;
    struct store_batch *batch = run_batch("run_1", "thr", 10, "{\"n\":1}");
    struct store_thread memory = {
        .id = PL_STR("thr"), .state = value_of("{\"n\":9}"), .updated_at = 11};
    struct store_stats stats;

    begin(&c, _i);
    store_batch_put_thread(batch, &memory);
    store_batch_put_thread(batch, &memory);
    store_thread_finish(&memory);
    commit(&c, batch);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"n\":9} at 11");
    store_stats(c.store, &stats);
    ck_assert_uint_eq(stats.rows, 2);
    end(&c);
}
END_TEST

START_TEST(a_batch_with_a_state_that_is_not_submitted_leaves_nothing)
{
    struct conformance c;
    struct store_batch *batch = run_batch("run_1", "thr", 10, "{\"n\":1}");

    begin(&c, _i);
    store_batch_destroy(&batch);
    ck_assert_ptr_null(state_of(&c, "t", "thr"));
    end(&c);
}
END_TEST

START_TEST(a_state_is_put_and_deleted_from_outside)
{
    struct conformance c;

    begin(&c, _i);
    ck_assert_int_eq(forget(&c, "thr"), PL_ERR_NOT_FOUND);
    ck_assert_int_eq(put(&c, "thr", "{\"a\":1}"), PL_OK);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"a\":1} at 4321");
    ck_assert_int_eq(put(&c, "thr", "{\"a\":2}"), PL_OK);
    ck_assert_int_eq(operate(&c, STORE_OP_DELETE_THREAD, "u", "thr", ""), PL_ERR_NOT_FOUND);
    reopen(&c);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"a\":2} at 4321");
    ck_assert_int_eq(forget(&c, "thr"), PL_OK);
    ck_assert_ptr_null(state_of(&c, "t", "thr"));
    ck_assert_int_eq(forget(&c, "thr"), PL_ERR_NOT_FOUND);
    end(&c);
}
END_TEST

START_TEST(a_state_is_not_changed_while_a_run_has_the_turn)
{
    struct conformance c;

    begin(&c, _i);
    ck_assert_int_eq(put(&c, "thr", "{\"a\":1}"), PL_OK);
    commit(&c, run_batch("run_1", "thr", 0, NULL));
    commit(&c, run_batch("run_2", "other", 0, NULL));
    commit(&c, run_batch("run_3", "", 0, NULL));
    ck_assert_int_eq(put(&c, "thr", "{\"a\":2}"), PL_ERR_CONFLICT);
    ck_assert_int_eq(forget(&c, "thr"), PL_ERR_CONFLICT);
    ck_assert_int_eq(operate(&c, STORE_OP_PUT_THREAD, "u", "thr", "{}"), PL_OK);
    ck_assert_int_eq(put(&c, "free", "{\"a\":3}"), PL_OK);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"a\":1} at 4321");
    commit(&c, run_batch("run_1", "thr", 10, "{\"n\":1}"));
    ck_assert_int_eq(put(&c, "thr", "{\"a\":2}"), PL_OK);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"a\":2} at 4321");
    end(&c);
}
END_TEST

/* The turn is asked in the order of the queue: a run that was submitted before has it. */
START_TEST(a_run_that_is_queued_for_the_store_has_the_turn)
{
    enum { ROUNDS = 50 };
    struct conformance c;
    struct store_waiter waiter;
    struct store_op op = {.kind = STORE_OP_PUT_THREAD,
                          .tenant = PL_STR("t"),
                          .id = PL_STR("thr"),
                          .text = PL_STR("{}")};

    begin(&c, _i);
    store_waiter_init(&waiter);
    for (int i = 0; i < ROUNDS; i++) {
        struct store_batch *batch = run_batch("run_1", "thr", 0, NULL);

        store_submit(c.store, &batch, store_waiter_done, &waiter);
        store_submit_op(c.store, &op, op_done, &waiter);
        batch = run_batch("run_1", "thr", 10, "{\"n\":1}");
        store_submit(c.store, &batch, store_waiter_done, &waiter);
    }
    store_waiter_wait(&waiter, ROUNDS * 3);
    ck_assert_uint_eq(waiter.failed, ROUNDS);
    ck_assert_int_eq(waiter.code, PL_ERR_CONFLICT);
    store_waiter_finish(&waiter);
    ck_assert_str_eq(state_of(&c, "t", "thr"), "{\"n\":1} at 10");
    end(&c);
}
END_TEST

START_TEST(runs_of_a_thread_that_are_not_over_come_in_the_order_of_their_turns)
{
    struct conformance c;
    struct store_run_key *runs;
    size_t count;

    begin(&c, _i);
    for (int i = 9; i >= 1; i--) {
        char run[16];

        snprintf(run, sizeof(run), "run_%d", i);
        commit(&c, run_batch(run, i % 2 ? "odd" : "even", i == 5 ? 10 : 0, NULL));
    }
    ck_assert_int_eq(
        store_list_unfinished(c.store, c.arena, PL_STR(""), PL_STR(""), 100, &runs, &count, NULL),
        PL_OK);
    ck_assert_uint_eq(count, 8);
    for (size_t i = 1; i < count; i++)
        ck_assert_int_lt(strcmp(runs[i - 1].id.ptr, runs[i].id.ptr), 0);
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_run_saves_the_state_of_its_thread_with_its_end,
        a_state_put_twice_in_a_batch_is_written_once_as_put_last,
        a_batch_with_a_state_that_is_not_submitted_leaves_nothing,
        a_state_is_put_and_deleted_from_outside,
        a_state_is_not_changed_while_a_run_has_the_turn,
        a_run_that_is_queued_for_the_store_has_the_turn,
        runs_of_a_thread_that_are_not_over_come_in_the_order_of_their_turns,
    };

    return conformance_main("store threads", tests, PL_ARRAY_LEN(tests));
}
