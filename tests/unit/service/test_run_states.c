/* test_run_states.c - the tables of states: whole, reachable, and the same as docs/states.md. */
#include "base/buf.h"
#include "service/run/run_states.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(a_stored_phase_names_its_state_and_only_that)
{
    enum node_state node;
    enum run_state run;
    enum cancel_reason reason;

    for (unsigned i = 0; i < NODE__STATES; i++) {
        ck_assert(node_state_from_phase(pl_str(node_state_phase((enum node_state)i)), &node));
        ck_assert_uint_eq(node, i);
    }
    for (unsigned i = 0; i < RUN__STATES; i++) {
        ck_assert(run_state_from_phase(pl_str(run_state_phase((enum run_state)i)), &run));
        ck_assert_uint_eq(run, i);
    }
    for (unsigned i = 0; i < CANCEL__REASONS; i++) {
        ck_assert(
            cancel_reason_from_text(pl_str(cancel_reason_text((enum cancel_reason)i)), &reason));
        ck_assert_uint_eq(reason, i);
    }
    ck_assert(!node_state_from_phase(PL_STR("call"), &node));
    ck_assert(!node_state_from_phase(pl_str_n(NULL, 0), &node));
    ck_assert(!run_state_from_phase(PL_STR("Running"), &run));
    ck_assert(!cancel_reason_from_text(PL_STR("whim"), &reason));
}
END_TEST

START_TEST(a_status_is_one_that_clients_know)
{
    static const char *const known[] = {"pending", "running",   "retrying", "waiting", "succeeded",
                                        "failed",  "cancelled", "skipped",  "queued"};

    for (unsigned i = 0; i < (unsigned)NODE__STATES + (unsigned)RUN__STATES; i++) {
        const char *status = i < NODE__STATES
                                 ? node_state_status((enum node_state)i)
                                 : run_state_status((enum run_state)(i - NODE__STATES));
        bool found = false;

        for (unsigned k = 0; k < PL_ARRAY_LEN(known); k++)
            found |= strcmp(status, known[k]) == 0;
        ck_assert_msg(found, "%s", status);
    }
}
END_TEST

START_TEST(a_final_state_is_never_left_and_every_other_one_can_be)
{
    for (unsigned from = 0; from < NODE__STATES; from++) {
        unsigned ways = 0;

        for (unsigned to = 0; to < NODE__STATES; to++)
            ways += node_state_allows((enum node_state)from, (enum node_state)to);
        ck_assert_int_eq(ways == 0, node_state_is_final((enum node_state)from));
    }
    for (unsigned from = 0; from < RUN__STATES; from++) {
        unsigned ways = 0;

        for (unsigned to = 0; to < RUN__STATES; to++)
            ways += run_state_allows((enum run_state)from, (enum run_state)to);
        ck_assert_int_eq(ways == 0, run_state_is_final((enum run_state)from));
    }
}
END_TEST

START_TEST(every_state_can_be_reached_from_the_first)
{
    bool node[NODE__STATES] = {[NODE_WAITING] = true}, run[RUN__STATES] = {[RUN_QUEUED] = true};

    for (unsigned round = 0; round < NODE__STATES; round++) {
        for (unsigned i = 0; i < NODE__STATES * NODE__STATES; i++)
            node[i % NODE__STATES] |=
                node[i / NODE__STATES] && node_state_allows((enum node_state)(i / NODE__STATES),
                                                            (enum node_state)(i % NODE__STATES));
        for (unsigned i = 0; i < RUN__STATES * RUN__STATES; i++)
            run[i % RUN__STATES] |=
                run[i / RUN__STATES] && run_state_allows((enum run_state)(i / RUN__STATES),
                                                         (enum run_state)(i % RUN__STATES));
    }
    for (unsigned i = 0; i < NODE__STATES; i++)
        ck_assert_msg(node[i], "%s", node_state_phase((enum node_state)i));
    for (unsigned i = 0; i < RUN__STATES; i++)
        ck_assert_msg(run[i], "%s", run_state_phase((enum run_state)i));
}
END_TEST

START_TEST(a_move_that_is_allowed_says_why)
{
    ck_assert_str_eq(node_state_move_text(NODE_DECIDING, NODE_SKIPPED), "`when` is false");
    ck_assert_ptr_null(node_state_move_text(NODE_SUCCEEDED, NODE_FAILED));
    ck_assert(!node_state_allows(NODE_CALLING, NODE_CANCELLED)); /* only by way of STOPPING */
    ck_assert(!node_state_allows(NODE_CALLING, NODE_CANCELLED)); /* only by way of CLOSING */
    ck_assert_ptr_null(run_state_move_text(RUN_RUNNING, RUN_SUCCEEDED));
}
END_TEST

static void write_file(const char *path, const struct pl_buf *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text->data, 1, text->len, file), text->len);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(docs_states_md_is_what_the_tables_say)
{
    struct pl_buf text;
    char *stored;

    pl_buf_init(&text, 1 << 20);
    run_states_write_markdown(&text);
    ck_assert(!pl_buf_failed(&text));
    if (getenv("PLAIT_UPDATE_DOCS"))
        write_file("docs/states.md", &text);
    stored = test_read_file("docs/states.md", NULL);
    ck_assert_msg(stored != NULL, "docs/states.md cannot be read");
    ck_assert_msg(strcmp(stored, test_text(&text)) == 0,
                  "docs/states.md is out of date: run this test with PLAIT_UPDATE_DOCS=1");
    free(stored);
    pl_buf_finish(&text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_states");
    TCase *tests = tcase_create("run_states");
    SRunner *runner;
    int failed;

    tcase_add_test(tests, a_stored_phase_names_its_state_and_only_that);
    tcase_add_test(tests, a_status_is_one_that_clients_know);
    tcase_add_test(tests, a_final_state_is_never_left_and_every_other_one_can_be);
    tcase_add_test(tests, every_state_can_be_reached_from_the_first);
    tcase_add_test(tests, a_move_that_is_allowed_says_why);
    tcase_add_test(tests, docs_states_md_is_what_the_tables_say);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
