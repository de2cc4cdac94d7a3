/* test_rows.c - contract suite: what is put is what is got. Runs on every driver. */
#include "tests/store/conformance.h"

#include <math.h>

START_TEST(a_run_comes_back_with_every_field)
{
    struct conformance c;
    struct store_run run = full_run("acme", "run_1"), got;

    begin(&c, _i);
    commit_run(&c, &run);
    got = get_run(&c, "acme", "run_1");
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    reopen(&c);
    got = get_run(&c, "acme", "run_1");
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    store_run_finish(&run);
    end(&c);
}
END_TEST

START_TEST(a_run_with_nothing_in_it_comes_back_empty)
{
    struct conformance c;
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r")}, got;

    begin(&c, _i);
    commit_run(&c, &run);
    got = get_run(&c, "t", "r");
    assert_run_eq(&got, &run);
    ck_assert_ptr_null(got.input);
    store_run_finish(&got);
    end(&c);
}
END_TEST

START_TEST(a_step_comes_back_with_every_field)
{
    struct conformance c;
    struct store_step step = full_step("plan.hotel"), bare = {.path = PL_STR("plan")}, *got;
    struct store_batch *batch = new_batch("acme", "run_1");

    begin(&c, _i);
    store_batch_put_step(batch, &step);
    store_batch_put_step(batch, &bare);
    commit(&c, batch);
    ck_assert_uint_eq(get_steps(&c, "acme", "run_1", "", 10, &got), 2);
    assert_step_eq(&got[0], &bare);
    assert_step_eq(&got[1], &step);
    finish_steps(got, 2);
    store_step_finish(&step);
    end(&c);
}
END_TEST

START_TEST(a_definition_comes_back_and_may_be_put_again)
{
    struct conformance c;
    struct pl_str text = {0};
    struct pl_err err;

    begin(&c, _i);
    for (int i = 0; i < 2; i++) {
        struct store_batch *batch = new_batch("acme", "run_1");

        store_batch_put_definition(batch, PL_STR("sha256:1"), PL_STR("steps: []\n"));
        store_batch_put_definition(batch, PL_STR("sha256:2"), PL_STR("other"));
        commit(&c, batch);
    }
    ck_assert_int_eq(
        store_get_definition(c.store, c.arena, PL_STR("acme"), PL_STR("sha256:1"), &text, &err),
        PL_OK);
    assert_str_eq(text, PL_STR("steps: []\n"));
    ck_assert_int_eq(
        store_get_definition(c.store, c.arena, PL_STR("acme"), PL_STR("sha256:3"), &text, &err),
        PL_ERR_NOT_FOUND);
    end(&c);
}
END_TEST

START_TEST(a_run_that_is_not_there_is_not_found)
{
    struct conformance c;
    struct store_run run = {.last_seq = 77};
    struct store_step *steps;
    struct pl_err err = {.message = ""};

    begin(&c, _i);
    ck_assert_int_eq(store_get_run(c.store, c.arena, PL_STR("t"), PL_STR("run_none"), &run, &err),
                     PL_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "run_none"));
    ck_assert_int_eq(run.last_seq, 77);
    ck_assert_uint_eq(get_steps(&c, "t", "run_none", "", 10, &steps), 0);
    end(&c);
}
END_TEST

START_TEST(the_last_put_of_a_row_wins_within_a_batch)
{
    struct conformance c;
    struct store_run run = full_run("t", "r"), got;
    struct store_step step = full_step("a"), *steps;
    struct store_event event = {.seq = 5, .type = PL_STR("first")}, *events;
    struct store_batch *batch = new_batch("t", "r");
    struct store_stats stats;

    begin(&c, _i);
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    store_batch_put_event(batch, &event);
    store_run_finish(&run);
    store_step_finish(&step);
    run = full_run("t", "r");
    run.status = PL_STR("succeeded");
    store_batch_put_run(batch, &run);
    step = (struct store_step){.path = PL_STR("a"), .status = PL_STR("running"), .attempts = 9};
    store_batch_put_step(batch, &step);
    event.type = PL_STR("second");
    store_batch_put_event(batch, &event);
    commit(&c, batch);

    got = get_run(&c, "t", "r");
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    store_run_finish(&run);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 10, &steps), 1);
    store_step_finish(&(struct store_step){.memo = steps[0].memo, .writes = steps[0].writes});
    steps[0].memo = steps[0].writes = NULL; /* they stay: see below */
    assert_step_eq(&steps[0], &step);
    ck_assert_uint_eq(get_events(&c, "t", "r", 0, 10, &events), 1);
    assert_str_eq(events[0].type, PL_STR("second"));
    store_stats(c.store, &stats);
    ck_assert_uint_eq(stats.rows, 3);
    end(&c);
}
END_TEST

START_TEST(the_last_put_of_a_row_wins_over_batches)
{
    struct conformance c;
    struct store_run run = full_run("t", "r"), got;
    struct store_step step = full_step("a"), *steps;
    struct store_event event = {.seq = 5, .type = PL_STR("first")}, *events;

    begin(&c, _i);
    for (int i = 0; i < 3; i++) {
        struct store_batch *batch = new_batch("t", "r");

        step.attempts = 10 + i;
        run.last_seq = 20 + i;
        run.ended_at = i == 1 ? 99 : 0;
        event.attempt = 30 + i;
        store_batch_put_run(batch, &run);
        store_batch_put_step(batch, &step);
        store_batch_put_event(batch, &event);
        commit(&c, batch);
    }
    got = get_run(&c, "t", "r");
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 10, &steps), 1);
    assert_step_eq(&steps[0], &step);
    finish_steps(steps, 1);
    ck_assert_uint_eq(get_events(&c, "t", "r", 0, 10, &events), 1);
    ck_assert_int_eq(events[0].attempt, 32);
    store_run_finish(&run);
    store_step_finish(&step);
    end(&c);
}
END_TEST

START_TEST(many_steps_put_twice_in_one_batch_are_written_once)
{
    enum { STEPS = 500 };
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct store_stats stats;
    struct store_step *got;

    begin(&c, _i);
    for (int i = 0; i < STEPS * 3; i++) {
        char path[32];
        struct store_step step = {.attempts = i};

        snprintf(path, sizeof(path), "b.%d", i % STEPS);
        step.path = pl_str(path);
        store_batch_put_step(batch, &step);
    }
    commit(&c, batch);
    store_stats(c.store, &stats);
    ck_assert_uint_eq(stats.rows, STEPS);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", STEPS * 2, &got), STEPS);
    for (int i = 0; i < STEPS; i++)
        ck_assert_int_eq(got[i].attempts, STEPS * 2 + i);
    end(&c);
}
END_TEST

/* Controls, quotes, SQL, every length of UTF-8, the ends of the planes, a byte order mark. */
static const char odd[] = "\x01\x02\t\n\r\x1f\x7f '\"; DROP TABLE runs; -- %s \\ ? $1 :a "
                          "\xc2\x80\xc3\xa9\xdf\xbf\xe0\xa0\x80\xe2\x82\xac\xef\xbb\xbf\xef\xbf\xbf"
                          "\xf0\x9f\x90\xb3\xf4\x8f\xbf\xbf  ";

START_TEST(odd_text_comes_back_byte_for_byte)
{
    struct conformance c;
    struct pl_value *value = pl_value_string(PL_STR(odd));
    struct store_run run, got;
    struct store_step step, *steps;
    struct store_batch *batch = new_batch(odd, odd);
    struct pl_str members;

    begin(&c, _i);
    members = pl_str(pl_arena_printf(c.arena, "{\"odd\":%.*s}", PL_STR_ARG(pl_value_text(value))));
    run = (struct store_run){.tenant = PL_STR(odd),
                             .id = PL_STR(odd),
                             .workflow_name = PL_STR(odd),
                             .reason = PL_STR(odd),
                             .metadata = members,
                             .options = members,
                             .input = value};
    step = (struct store_step){
        .path = PL_STR(odd), .reason = PL_STR(odd), .join = members, .output = value};
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    store_batch_put_definition(batch, PL_STR(odd), PL_STR(odd));
    commit(&c, batch);
    got = get_run(&c, odd, odd);
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    ck_assert_uint_eq(get_steps(&c, odd, odd, "", 10, &steps), 1);
    assert_step_eq(&steps[0], &step);
    finish_steps(steps, 1);
    pl_value_unref(&value);
    end(&c);
}
END_TEST

static struct pl_value *big_value(size_t len, unsigned seed)
{
    struct pl_buf buf;
    struct pl_value *value;

    pl_buf_init(&buf, len + 2);
    pl_buf_char(&buf, '"');
    for (size_t i = 0; i < len; i++)
        pl_buf_char(&buf, (char)('a' + (i * 7 + i / 4099 + seed) % 26));
    pl_buf_char(&buf, '"');
    value = pl_value_take(&buf);
    ck_assert_ptr_nonnull(value);
    return value;
}

START_TEST(a_row_is_written_that_was_wrongly_said_to_be_there)
{
    struct conformance c;
    struct store_run run = full_run("t", "r"), going = {.tenant = PL_STR("t"), .id = PL_STR("q")};
    struct store_run got;
    struct store_step step = full_step("a"), *steps;
    struct store_batch *batch = new_batch("t", "r");

    begin(&c, _i);
    run.again = going.again = step.again = true;
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    commit(&c, batch);
    commit_run(&c, &going);
    got = get_run(&c, "t", "r");
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    got = get_run(&c, "t", "q");
    assert_run_eq(&got, &going);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 10, &steps), 1);
    assert_step_eq(&steps[0], &step);
    finish_steps(steps, 1);
    store_run_finish(&run);
    store_step_finish(&step);
    end(&c);
}
END_TEST

/* As a run goes on: what it is stays, all else changes, its status not each time. */
START_TEST(a_run_that_is_put_again_changes_in_all_that_may)
{
    static const char *const statuses[] = {"queued",  "running", "running", "running",
                                           "waiting", "waiting", "running", "succeeded"};
    struct conformance c;
    struct store_run run = full_run("t", "r"), got;
    struct pl_value *output = big_value(5000, 1), *own = run.output, *error = run.error;
    struct pl_str reason = run.reason;

    begin(&c, _i);
    for (unsigned i = 0; i < PL_ARRAY_LEN(statuses); i++) {
        const bool over = i + 1 == PL_ARRAY_LEN(statuses);
        struct store_run_key *unfinished;
        size_t count;

        run.again = i > 0;
        run.status = run.phase = pl_str(statuses[i]);
        run.paused = i % 2;
        run.options = i % 3 ? PL_STR("{}") : PL_STR("{\"a\":1}");
        run.started_at = i;
        run.ended_at = over ? 12 : 0;
        run.output = over ? output : NULL;
        run.error = over ? error : NULL;
        run.reason = over ? reason : (struct pl_str){0};
        run.usage = (struct store_usage){i, i + 1, i + 2, i + 3, i + 4, i + 5, i * 0.5};
        run.last_seq = 10 + i;
        commit_run(&c, &run);
        got = get_run(&c, "t", "r");
        assert_run_eq(&got, &run);
        store_run_finish(&got);
        ck_assert_int_eq(store_list_unfinished(c.store, c.arena, PL_STR(""), PL_STR(""), 5,
                                               &unfinished, &count, NULL),
                         PL_OK);
        ck_assert_uint_eq(count, !over);
    }
    run.output = own;
    run.error = error;
    store_run_finish(&run);
    pl_value_unref(&output);
    end(&c);
}
END_TEST

START_TEST(steps_new_and_put_again_go_together_in_any_number)
{
    enum { STEPS = 23, ROUNDS = 40 };
    unsigned last[STEPS] = {0}; /* the round it was put in */
    struct conformance c;
    struct store_step *got;

    begin(&c, _i);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct store_batch *batch = new_batch("t", "r");

        for (unsigned i = 0; i < STEPS; i++) {
            char path[32];
            struct store_step step = {.attempts = round, .status = PL_STR("running")};

            if (i > round || (i * 7 + round) % 3 == 0) /* some begin later, and not all change */
                continue;
            snprintf(path, sizeof(path), "b.%u", i);
            step.path = pl_str(path);
            step.again = last[i] > 0;
            last[i] = round;
            step.output = pl_value_string(step.path);
            store_batch_put_step(batch, &step);
            pl_value_unref(&step.output);
        }
        commit(&c, batch);
    }
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", STEPS * 2, &got), STEPS);
    for (unsigned i = 0; i < STEPS; i++) {
        ck_assert_int_eq(got[i].attempts, last[i]);
        ck_assert_uint_eq(pl_value_text(got[i].output).len, got[i].path.len + 2);
        assert_str_eq(got[i].status, PL_STR("running"));
    }
    finish_steps(got, STEPS);
    end(&c);
}
END_TEST

START_TEST(large_values_come_back_whole)
{
    struct conformance c;
    struct pl_value *large = big_value(4 << 20, 1);
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r")}, got;
    struct store_step step = {.path = PL_STR("a"), .output = large}, *steps;
    struct store_batch *batch = new_batch("t", "r");

    begin(&c, _i);
    run.input = large;
    run.output = large;
    store_batch_put_run(batch, &run);
    store_batch_put_step(batch, &step);
    commit(&c, batch);
    got = get_run(&c, "t", "r");
    assert_run_eq(&got, &run);
    store_run_finish(&got);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 10, &steps), 1);
    assert_step_eq(&steps[0], &step);
    finish_steps(steps, 1);
    pl_value_unref(&large);
    end(&c);
}
END_TEST

/* A large one may be stored apart from its row: each change must show all the same. */
START_TEST(an_input_and_an_output_may_change_between_large_and_small)
{
    static const size_t lengths[] = {100000, 3, 100000, 200000, 0, 1022, 1023, 50000};
    struct conformance c;

    begin(&c, _i);
    for (unsigned i = 0; i < PL_ARRAY_LEN(lengths); i++) {
        struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r")}, got, *listed;
        size_t count;

        run.input = lengths[i] ? big_value(lengths[i], i) : NULL;
        run.output = i % 3 ? big_value(lengths[i] + 1, i) : NULL;
        commit_run(&c, &run);
        got = get_run(&c, "t", "r");
        assert_run_eq(&got, &run);
        store_run_finish(&got);
        ck_assert_int_eq(store_list_runs(c.store, c.arena, PL_STR("t"),
                                         &(struct store_run_filter){0}, 5, &listed, &count, NULL),
                         PL_OK);
        ck_assert_uint_eq(count, 1);
        assert_run_eq(&listed[0], &run);
        store_run_finish(&listed[0]);
        store_run_finish(&run);
    }
    end(&c);
}
END_TEST

static void put_kept(struct store_batch *batch, struct pl_value *memo, struct pl_value *writes)
{
    struct store_step step = {.path = PL_STR("map.7"), .memo = memo, .writes = writes};

    store_batch_put_step(batch, &step);
}

/* Read by both ways. */
static void assert_kept(struct conformance *c, struct pl_value *memo, struct pl_value *writes)
{
    struct store_step *steps, step;

    ck_assert_uint_eq(get_steps(c, "t", "r", "", 10, &steps), 1);
    assert_value_eq(steps[0].memo, memo);
    assert_value_eq(steps[0].writes, writes);
    finish_steps(steps, 1);
    ck_assert_int_eq(
        store_get_step(c->store, c->arena, PL_STR("t"), PL_STR("r"), PL_STR("map.7"), &step, NULL),
        PL_OK);
    assert_value_eq(step.memo, memo);
    assert_value_eq(step.writes, writes);
    store_step_finish(&step);
}

/* Short ones and long ones may be stored in different ways: each change must show all the same. */
START_TEST(a_memo_and_writes_stay_until_others_are_put)
{
    static const size_t lengths[] = {0,    5,    0, 100000, 0,     0, 7, 0,
                                     1022, 1023, 0, 50000,  50000, 3, 0};
    struct conformance c;
    struct pl_value *memo = NULL, *writes = NULL;

    begin(&c, _i);
    for (unsigned i = 0; i < PL_ARRAY_LEN(lengths); i++) {
        struct store_batch *batch = new_batch("t", "r");
        struct pl_value *next = lengths[i] ? big_value(lengths[i], i) : NULL;

        put_kept(batch, next, i % 4 ? NULL : next);
        commit(&c, batch);
        if (next && i % 4 == 0) {
            pl_value_unref(&writes);
            writes = pl_value_ref(next);
        }
        if (next) {
            pl_value_unref(&memo);
            memo = next;
        }
        assert_kept(&c, memo, writes);
    }
    pl_value_unref(&memo);
    pl_value_unref(&writes);
    end(&c);
}
END_TEST

START_TEST(a_memo_and_writes_stay_within_a_batch_too)
{
    struct conformance c;
    struct pl_value *first = big_value(20, 1), *second = big_value(3000, 2);
    struct store_batch *batch = new_batch("t", "r");

    begin(&c, _i);
    put_kept(batch, second, NULL);
    put_kept(batch, NULL, first);
    put_kept(batch, NULL, NULL);
    put_kept(batch, first, NULL);
    put_kept(batch, NULL, NULL);
    commit(&c, batch);
    assert_kept(&c, first, first);
    batch = new_batch("t", "r");
    put_kept(batch, second, second);
    commit(&c, batch);
    reopen(&c);
    assert_kept(&c, second, second);
    pl_value_unref(&first);
    pl_value_unref(&second);
    end(&c);
}
END_TEST

START_TEST(a_list_reads_as_much_of_a_step_as_it_is_asked_for)
{
    struct conformance c;
    struct store_step step = full_step("a"), *got;
    struct store_step_filter filter = {.part = STORE_STEP_SHOWN};
    struct pl_value *large = big_value(5000, 3);
    struct store_batch *batch = new_batch("t", "r");
    size_t count;

    begin(&c, _i);
    store_batch_put_step(batch, &step);
    step.path = PL_STR("b");
    step.status = PL_STR("waiting");
    pl_value_unref(&step.memo);
    step.memo = large;
    store_batch_put_step(batch, &step);
    commit(&c, batch);
    ck_assert_int_eq(store_find_steps(c.store, c.arena, PL_STR("t"), PL_STR("r"), &filter, 9, &got,
                                      &count, NULL),
                     PL_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_ptr_null(got[0].memo);
    ck_assert_ptr_null(got[0].writes);
    ck_assert_ptr_null(got[1].writes);
    assert_value_eq(got[0].output, step.output);
    assert_value_eq(got[1].error, step.error);
    assert_value_eq(got[1].memo, large);
    assert_value_eq(got[1].call, step.call);
    finish_steps(got, count);
    filter.part = STORE_STEP_BARE;
    ck_assert_int_eq(store_find_steps(c.store, c.arena, PL_STR("t"), PL_STR("r"), &filter, 9, &got,
                                      &count, NULL),
                     PL_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert(!got[1].output && !got[1].error && !got[1].memo && !got[1].writes && !got[1].call);
    pl_value_unref(&step.call);
    pl_value_unref(&step.output);
    pl_value_unref(&step.error);
    pl_value_unref(&step.writes);
    step.memo = NULL;
    assert_step_eq(&got[1], &step);
    pl_value_unref(&large);
    end(&c);
}
END_TEST

START_TEST(tenants_do_not_see_each_other)
{
    struct conformance c;
    struct store_run got;
    struct store_step *steps;
    struct store_event *events;
    struct pl_str text;

    begin(&c, _i);
    for (int i = 0; i < 2; i++) {
        const char *tenant = i ? "b" : "a";
        struct store_run run = {.tenant = pl_str(tenant), .id = PL_STR("r"), .last_seq = i};
        struct store_step step = {.path = PL_STR("s"), .attempts = i};
        struct store_event event = {.seq = 1, .attempt = i};
        struct store_batch *batch = new_batch(tenant, "r");

        store_batch_put_run(batch, &run);
        store_batch_put_step(batch, &step);
        store_batch_put_event(batch, &event);
        store_batch_put_definition(batch, PL_STR("h"), pl_str(tenant));
        commit(&c, batch);
    }
    for (int i = 0; i < 2; i++) {
        const char *tenant = i ? "b" : "a";

        got = get_run(&c, tenant, "r");
        ck_assert_int_eq(got.last_seq, i);
        ck_assert_uint_eq(get_steps(&c, tenant, "r", "", 9, &steps), 1);
        ck_assert_int_eq(steps[0].attempts, i);
        ck_assert_uint_eq(get_events(&c, tenant, "r", 0, 9, &events), 1);
        ck_assert_int_eq(events[0].attempt, i);
        ck_assert_int_eq(
            store_get_definition(c.store, c.arena, pl_str(tenant), PL_STR("h"), &text, NULL),
            PL_OK);
        ck_assert(pl_str_is(text, tenant));
    }
    ck_assert_int_eq(store_get_run(c.store, c.arena, PL_STR("c"), PL_STR("r"), &got, NULL),
                     PL_ERR_NOT_FOUND);
    ck_assert_uint_eq(get_steps(&c, "c", "r", "", 9, &steps), 0);
    ck_assert_uint_eq(get_events(&c, "c", "r", 0, 9, &events), 0);
    ck_assert_int_eq(store_get_definition(c.store, c.arena, PL_STR("c"), PL_STR("h"), &text, NULL),
                     PL_ERR_NOT_FOUND);
    end(&c);
}
END_TEST

START_TEST(a_cost_that_is_no_number_does_not_stop_the_store)
{
    struct conformance c;
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r")}, got;

    begin(&c, _i);
    run.usage.cost_usd = NAN;
    commit_run(&c, &run);
    got = get_run(&c, "t", "r");
    ck_assert(got.usage.cost_usd == 0);
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_run_comes_back_with_every_field,
        a_run_with_nothing_in_it_comes_back_empty,
        a_step_comes_back_with_every_field,
        a_definition_comes_back_and_may_be_put_again,
        a_run_that_is_not_there_is_not_found,
        the_last_put_of_a_row_wins_within_a_batch,
        the_last_put_of_a_row_wins_over_batches,
        many_steps_put_twice_in_one_batch_are_written_once,
        a_row_is_written_that_was_wrongly_said_to_be_there,
        a_run_that_is_put_again_changes_in_all_that_may,
        steps_new_and_put_again_go_together_in_any_number,
        odd_text_comes_back_byte_for_byte,
        large_values_come_back_whole,
        an_input_and_an_output_may_change_between_large_and_small,
        a_memo_and_writes_stay_until_others_are_put,
        a_memo_and_writes_stay_within_a_batch_too,
        a_list_reads_as_much_of_a_step_as_it_is_asked_for,
        tenants_do_not_see_each_other,
        a_cost_that_is_no_number_does_not_stop_the_store,
    };

    return conformance_main("store rows", tests, PL_ARRAY_LEN(tests));
}
