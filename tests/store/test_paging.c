/* test_paging.c - contract suite: lists come in order and in pages. Runs on every driver. */
#include "storage/step_path.h"
#include "tests/store/conformance.h"

/* In the order of steps: numbers count, a step comes right before what is inside it. The last few
 * are no paths of ours, but keys all the same. */
static const char *const ordered[] = {
    "agent",
    "agent.1",
    "agent.1.search",
    "agent.1.search.0",
    "agent.1.search-2",
    "agent.1.search-2.0",
    "agent.1.search-10",
    "agent.1.search-10.1",
    "agent.1.search-02",
    "agent.1.search-2-1",
    "agent.1.search-a",
    "agent.2",
    "agent.10",
    "agent.10.a",
    "agent2",
    "reviews",
    "reviews.0",
    "reviews.2",
    "reviews.2.summary",
    "reviews.9.summary",
    "reviews.10",
    "reviews.10.summary",
    "reviews.99999",
    "reviews.100000",
    "reviews.999999999999999",
    "reviews.0999",
    "reviews.1000000000000000",
    "reviews.9lives",
    "reviews.@",
    "reviews.collapse",
    "reviews.collapse.0.3",
    "reviews.collapse.0.12",
    "reviews.collapse.1.0",
    "reviews a",
    "reviews!2",
    "reviews\"2",
    "reviewsB",
    "reviews[10]",
    "reviewsb",
    "verdict",
    "verdict.3",
    "verdict.judge",
    "verdict.score.3",
    "verdict.web",
    "\xc3\xa9",
};
enum { ORDERED = PL_ARRAY_LEN(ordered) };

static void commit_ordered(struct conformance *c)
{
    struct store_batch *batch = new_batch("t", "r");

    for (size_t i = 0; i < ORDERED; i++) {
        struct store_step step = {.path = pl_str(ordered[i * 17 % ORDERED]),
                                  .status = i % 3 ? PL_STR("succeeded") : PL_STR("waiting")};

        store_batch_put_step(batch, &step);
    }
    commit(c, batch);
}

static size_t find_steps(struct conformance *c, struct store_step_filter filter, size_t limit,
                         struct store_step **steps)
{
    size_t count = 0;
    struct pl_err err = {.message = ""};
    enum pl_code code = store_find_steps(c->store, c->arena, PL_STR("t"), PL_STR("r"), &filter,
                                         limit, steps, &count, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    return count;
}

START_TEST(steps_come_in_the_order_in_which_people_count)
{
    struct conformance c;
    struct store_step *steps;

    begin(&c, _i);
    ck_assert_uint_ne(ORDERED % 17, 0);
    commit_ordered(&c);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 100, &steps), ORDERED);
    for (size_t i = 0; i < ORDERED; i++)
        assert_str_eq(steps[i].path, pl_str(ordered[i]));
    for (size_t i = 0; i < ORDERED; i++) {
        size_t rest = get_steps(&c, "t", "r", ordered[i], 100, &steps);

        ck_assert_uint_eq(rest, ORDERED - 1 - i);
        if (rest)
            assert_str_eq(steps[0].path, pl_str(ordered[i + 1]));
    }
    ck_assert_uint_eq(get_steps(&c, "t", "r", "reviews.50", 100, &steps), ORDERED - 22);
    assert_str_eq(steps[0].path, PL_STR("reviews.99999"));
    end(&c);
}
END_TEST

START_TEST(the_order_of_steps_is_that_of_store_path_compare)
{
    (void)_i;
    for (size_t i = 0; i < ORDERED; i++)
        for (size_t k = 0; k < ORDERED; k++) {
            int order = store_path_compare(pl_str(ordered[i]), pl_str(ordered[k]));

            ck_assert_int_eq(order < 0, i < k);
            ck_assert_int_eq(order > 0, i > k);
        }
}
END_TEST

START_TEST(a_prefix_holds_a_step_and_what_is_inside_it)
{
    static const char *const prefixes[] = {"agent",
                                           "agent.1",
                                           "agent.1.search",
                                           "reviews",
                                           "reviews.",
                                           "reviews.2",
                                           "reviews.collapse.0",
                                           "verdict",
                                           "none",
                                           "review",
                                           "\xc3\xa9"};
    struct conformance c;
    struct store_step *steps;

    begin(&c, _i);
    commit_ordered(&c);
    for (size_t p = 0; p < PL_ARRAY_LEN(prefixes); p++)
        for (size_t after = 0; after <= ORDERED; after++) {
            struct store_step_filter filter = {.prefix = pl_str(prefixes[p])};
            size_t count, at = 0;

            if (after > 0)
                filter.after = pl_str(ordered[after - 1]);
            count = find_steps(&c, filter, 100, &steps);
            for (size_t i = after; i < ORDERED; i++)
                if (store_path_under(pl_str(ordered[i]), filter.prefix)) {
                    ck_assert_uint_lt(at, count);
                    assert_str_eq(steps[at++].path, pl_str(ordered[i]));
                }
            ck_assert_uint_eq(at, count);
        }
    end(&c);
}
END_TEST

START_TEST(steps_are_filtered_by_status_in_pages)
{
    struct conformance c;
    struct store_step *steps;
    struct store_step_filter filter = {.status = PL_STR("waiting"), .prefix = PL_STR("reviews")};
    size_t seen = 0, all;

    begin(&c, _i);
    commit_ordered(&c);
    all = find_steps(&c, filter, 100, &steps);
    ck_assert_uint_gt(all, 3);
    while (find_steps(&c, filter, 1, &steps) == 1) {
        ck_assert(pl_str_is(steps[0].status, "waiting"));
        filter.after = steps[0].path;
        seen++;
    }
    ck_assert_uint_eq(seen, all);
    end(&c);
}
END_TEST

START_TEST(steps_come_in_pages_without_gap_or_repetition)
{
    enum { STEPS = 1000, PAGE = 37 };
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    char after[32] = "";
    int seen = 0;

    begin(&c, _i);
    for (int i = STEPS - 1; i >= 0; i--) {
        char path[32];
        struct store_step step = {.attempts = i};

        snprintf(path, sizeof(path), "b.%d", i);
        step.path = pl_str(path);
        store_batch_put_step(batch, &step);
    }
    commit(&c, batch);
    for (;;) {
        struct store_step *steps;
        size_t count = get_steps(&c, "t", "r", after, PAGE, &steps);

        ck_assert_uint_eq(count, STEPS - seen < PAGE ? (size_t)(STEPS - seen) : PAGE);
        if (count == 0)
            break;
        for (size_t i = 0; i < count; i++)
            ck_assert_int_eq(steps[i].attempts, seen++);
        snprintf(after, sizeof(after), "%.*s", PL_STR_ARG(steps[count - 1].path));
    }
    ck_assert_int_eq(seen, STEPS);
    end(&c);
}
END_TEST

START_TEST(a_limit_of_none_gives_none_and_a_huge_one_gives_all)
{
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct store_step step = {.path = PL_STR("a")}, *steps;
    struct store_event event = {.seq = 1}, *events;

    begin(&c, _i);
    store_batch_put_step(batch, &step);
    store_batch_put_event(batch, &event);
    commit(&c, batch);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", 0, &steps), 0);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", SIZE_MAX, &steps), 1);
    ck_assert_uint_eq(get_events(&c, "t", "r", 0, 0, &events), 0);
    ck_assert_uint_eq(get_events(&c, "t", "r", 0, SIZE_MAX, &events), 1);
    end(&c);
}
END_TEST

static size_t unfinished(struct conformance *c, const char *after_tenant, const char *after_id,
                         size_t limit, struct store_run_key **runs)
{
    size_t count = 0;
    struct pl_err err = {.message = ""};
    enum pl_code code = store_list_unfinished(c->store, c->arena, pl_str(after_tenant),
                                              pl_str(after_id), limit, runs, &count, &err);

    ck_assert_msg(code == PL_OK, "%s", err.message);
    return count;
}

/* A thread's turns are given in this order: the clock may have gone backwards between two runs. */
START_TEST(unfinished_runs_come_by_id_over_all_tenants)
{
    struct conformance c;
    struct store_run_key *runs;

    begin(&c, _i);
    commit_small_run(&c, "z", "run_1", 900, 0);
    commit_small_run(&c, "a", "run_3", 300, 0);
    commit_small_run(&c, "m", "run_2", 200, 0);
    commit_small_run(&c, "m", "run_over", 150, 160);
    commit_small_run(&c, "b", "run_3", 300, 0);
    ck_assert_uint_eq(unfinished(&c, "", "", 10, &runs), 4);
    ck_assert(pl_str_is(runs[0].tenant, "z"));
    ck_assert(pl_str_is(runs[1].tenant, "m") && pl_str_is(runs[1].id, "run_2"));
    ck_assert(pl_str_is(runs[2].tenant, "a"));
    ck_assert(pl_str_is(runs[3].tenant, "b"));
    end(&c);
}
END_TEST

START_TEST(unfinished_runs_come_in_pages_while_they_end)
{
    enum { RUNS = 50, PAGE = 7 };
    struct conformance c;
    char tenant[8] = "", id[16] = "";
    int seen = 0;

    begin(&c, _i);
    for (int i = 0; i < RUNS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "run_%02d", i);
        commit_small_run(&c, i % 2 ? "a" : "b", name, 1000 + i / 3, 0);
    }
    for (;;) {
        struct store_run_key *runs;
        size_t count = unfinished(&c, tenant, id, PAGE, &runs);

        if (count == 0)
            break;
        seen += (int)count;
        snprintf(tenant, sizeof(tenant), "%.*s", PL_STR_ARG(runs[count - 1].tenant));
        snprintf(id, sizeof(id), "%.*s", PL_STR_ARG(runs[count - 1].id));
        /* The run the next page goes on after ends meanwhile. */
        commit_small_run(&c, tenant, id, 1, 5000);
    }
    ck_assert_int_eq(seen, RUNS);
    end(&c);
}
END_TEST

START_TEST(a_run_that_ended_is_unfinished_no_more_and_may_be_again)
{
    struct conformance c;
    struct store_run_key *runs;

    begin(&c, _i);
    commit_small_run(&c, "t", "r", 1, 0);
    ck_assert_uint_eq(unfinished(&c, "", "", 10, &runs), 1);
    commit_small_run(&c, "t", "r", 1, 2);
    ck_assert_uint_eq(unfinished(&c, "", "", 10, &runs), 0);
    commit_small_run(&c, "t", "r", 1, 0);
    ck_assert_uint_eq(unfinished(&c, "", "", 10, &runs), 1);
    reopen(&c);
    ck_assert_uint_eq(unfinished(&c, "", "", 10, &runs), 1);
    end(&c);
}
END_TEST

START_TEST(unfinished_runs_go_on_behind_a_run_that_is_gone)
{
    struct conformance c;
    struct store_run_key *runs = NULL;

    begin(&c, _i);
    commit_small_run(&c, "t", "run_1", 1, 0);
    commit_small_run(&c, "t", "run_3", 3, 0);
    ck_assert_uint_eq(unfinished(&c, "t", "run_2", 10, &runs), 1);
    ck_assert(pl_str_is(runs[0].id, "run_3"));
    ck_assert_uint_eq(unfinished(&c, "t", "run_3", 10, &runs), 0);
    end(&c);
}
END_TEST

START_TEST(an_arena_that_is_too_small_is_out_of_memory_not_a_short_list)
{
    enum { STEPS = 200 };
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct pl_value *output = value_of("\"some output\"");
    struct pl_arena *small = pl_arena_create(8192);
    struct store_step *steps = NULL;
    size_t count = 77;

    begin(&c, _i);
    for (int i = 0; i < STEPS; i++) {
        char path[16];
        struct store_step step = {.output = output};

        snprintf(path, sizeof(path), "s%d", i);
        step.path = pl_str(path);
        store_batch_put_step(batch, &step);
    }
    commit(&c, batch);
    ck_assert_int_eq(store_list_steps(c.store, small, PL_STR("t"), PL_STR("r"), PL_STR(""), STEPS,
                                      &steps, &count, NULL),
                     PL_ERR_NO_MEMORY);
    ck_assert_uint_eq(count, 77);
    ck_assert_uint_eq(get_steps(&c, "t", "r", "", STEPS, &steps), STEPS);
    finish_steps(steps, STEPS);
    pl_value_unref(&output);
    pl_arena_destroy(&small);
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        steps_come_in_the_order_in_which_people_count,
        the_order_of_steps_is_that_of_store_path_compare,
        a_prefix_holds_a_step_and_what_is_inside_it,
        steps_are_filtered_by_status_in_pages,
        steps_come_in_pages_without_gap_or_repetition,
        a_limit_of_none_gives_none_and_a_huge_one_gives_all,
        unfinished_runs_come_by_id_over_all_tenants,
        unfinished_runs_come_in_pages_while_they_end,
        a_run_that_ended_is_unfinished_no_more_and_may_be_again,
        unfinished_runs_go_on_behind_a_run_that_is_gone,
        an_arena_that_is_too_small_is_out_of_memory_not_a_short_list,
    };

    return conformance_main("store paging", tests, PL_ARRAY_LEN(tests));
}
