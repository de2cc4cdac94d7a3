/* test_engine_turns.c - whose turn it is in a thread. Not the runs themselves
 * (tests/http/threads.test.mjs). Run by ctest. */
#include "service/engine_turns.h"

#include <check.h>

#define T  PL_STR("tenant")
#define TH PL_STR("thread")

static struct engine_turns *turns;

static void enter(const char *run, bool began)
{
    struct pl_err err = {0};

    ck_assert_int_eq(engine_turns_enter(turns, T, TH, pl_str(run), began, &err), PL_OK);
}

/* Has the run the turn? Then with this memory ("": it is not known, "-": nothing is kept). */
static bool has(const char *run, const char *memory)
{
    struct engine_turn *turn = engine_turn_create(T, TH, pl_str(run));
    bool mine;

    ck_assert_ptr_nonnull(turn);
    mine = engine_turns_claim(turns, turn);
    if (mine && memory[0] == '\0')
        ck_assert(!turn->known);
    else if (mine && memory[0] == '-')
        ck_assert(turn->known && !turn->state);
    else if (mine)
        ck_assert(turn->known && pl_str_is(pl_value_text(turn->state), memory));
    engine_turn_free(turn);
    return mine;
}

/* Whose turn is it when this run leaves? "": nobody's. */
static void leaves(const char *run, enum turn_end end, const char *state, const char *next)
{
    struct pl_value *value = state ? pl_value_new(pl_str(state)) : NULL;
    struct engine_turn *turn = engine_turns_leave(turns, T, TH, pl_str(run), end, value);

    ck_assert_str_eq(turn ? turn->run : "", next);
    if (turn)
        engine_turn_free(turn);
    pl_value_unref(&value);
}

START_TEST(the_first_has_the_turn_and_the_others_get_it_in_order)
{
    enter("a", false);
    enter("b", false);
    enter("c", false);
    ck_assert(has("a", ""));
    ck_assert(!has("b", "") && !has("c", ""));
    engine_turns_remember(turns, T, TH, NULL);
    leaves("a", TURN_OVER, "{\"n\":1}", "b");
    ck_assert(has("b", "{\"n\":1}"));
    leaves("b", TURN_OVER, NULL, "c");
    ck_assert(has("c", "{\"n\":1}"));
    leaves("c", TURN_OVER, NULL, "");
    enter("d", false);
    ck_assert(has("d", "")); /* nobody wanted it: the store knows */
}
END_TEST

START_TEST(one_that_waits_may_go)
{
    enter("a", false);
    enter("b", false);
    enter("c", false);
    leaves("b", TURN_OVER, NULL, "");
    leaves("a", TURN_OVER, NULL, "c");
}
END_TEST

START_TEST(one_that_was_dropped_keeps_the_turn)
{
    enter("a", false);
    enter("b", false);
    leaves("a", TURN_DROPPED, NULL, "");
    ck_assert(!has("b", ""));
    enter("a", true);
    ck_assert(has("a", ""));
    leaves("a", TURN_OVER, NULL, "b");
}
END_TEST

START_TEST(one_of_the_store_has_the_turn_before_it_is_loaded)
{
    struct pl_err err = {0};

    ck_assert_int_eq(engine_turns_reserve(turns, T, TH, PL_STR("a"), &err), PL_OK);
    enter("b", false);
    ck_assert(!has("b", ""));
    enter("a", true);
    ck_assert(has("a", ""));
    leaves("a", TURN_OVER, NULL, "b");
}
END_TEST

START_TEST(a_write_from_outside_takes_a_turn)
{
    struct pl_value *state = pl_value_new(PL_STR("{}"));
    struct pl_err err = {0};
    struct engine_turn *turn;

    ck_assert_int_eq(engine_turns_begin_write(turns, T, TH, &err), PL_OK);
    ck_assert_int_eq(engine_turns_begin_write(turns, T, TH, &err), PL_ERR_CONFLICT);
    enter("a", false);
    ck_assert(!has("a", ""));
    turn = engine_turns_end_write(turns, T, TH, true, state);
    ck_assert(turn && turn->known && turn->state == state);
    engine_turn_free(turn);
    ck_assert_int_eq(engine_turns_begin_write(turns, T, TH, &err), PL_ERR_CONFLICT);
    leaves("a", TURN_OVER, NULL, "");
    ck_assert_int_eq(engine_turns_begin_write(turns, T, TH, &err), PL_OK);
    ck_assert_ptr_null(engine_turns_end_write(turns, T, TH, true, NULL));
    pl_value_unref(&state);
}
END_TEST

START_TEST(threads_and_tenants_do_not_meet)
{
    struct pl_err err = {0};

    enter("a", false);
    ck_assert_int_eq(engine_turns_enter(turns, PL_STR("other"), TH, PL_STR("b"), false, &err),
                     PL_OK);
    ck_assert_int_eq(engine_turns_begin_write(turns, T, PL_STR("elsewhere"), &err), PL_OK);
    ck_assert_int_eq(engine_turns_begin_write(turns, PL_STR("other"), TH, &err), PL_ERR_CONFLICT);
}
END_TEST

static void setup(void)
{
    turns = engine_turns_create();
    ck_assert_ptr_nonnull(turns);
}

static void teardown(void)
{
    engine_turns_destroy(&turns);
}

int main(void)
{
    Suite *suite = suite_create("service/engine_turns");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, the_first_has_the_turn_and_the_others_get_it_in_order);
    tcase_add_test(tcase, one_that_waits_may_go);
    tcase_add_test(tcase, one_that_was_dropped_keeps_the_turn);
    tcase_add_test(tcase, one_of_the_store_has_the_turn_before_it_is_loaded);
    tcase_add_test(tcase, a_write_from_outside_takes_a_turn);
    tcase_add_test(tcase, threads_and_tenants_do_not_meet);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
