/* test_batch.c - what a batch holds after rows were put into it. */
#include "storage/batch.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(strings_are_copied_and_values_referenced)
{
    char path[] = "plan.hotel", hash[] = "sha", type[] = "step.failed";
    struct pl_value *output = pl_value_new(PL_STR("[1]"));
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));
    struct store_step step = {.path = pl_str(path), .output = output};
    struct store_event event = {.seq = 1, .type = pl_str(type)};

    store_batch_put_step(batch, &step);
    store_batch_put_definition(batch, pl_str(hash), pl_str(path));
    store_batch_put_event(batch, &event);
    memset(path, 'x', sizeof(path) - 1);
    memset(hash, 'x', sizeof(hash) - 1);
    memset(type, 'x', sizeof(type) - 1);
    pl_value_unref(&output);
    ck_assert(pl_str_is(batch->steps->row.path, "plan.hotel"));
    ck_assert(pl_str_is(pl_value_text(batch->steps->row.output), "[1]"));
    ck_assert(pl_str_is(batch->definitions.first->name, "sha"));
    ck_assert(pl_str_is(batch->definitions.first->value, "plan.hotel"));
    ck_assert(pl_str_is(batch->events->row.type, "step.failed"));
    ck_assert_uint_eq(batch->rows, 3);
    store_batch_destroy(&batch);
}
END_TEST

START_TEST(rows_keep_the_order_in_which_they_were_first_put)
{
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));
    static const char *const paths[] = {"c", "a", "b", "a", "c"};
    const struct batch_step *at;

    for (size_t i = 0; i < PL_ARRAY_LEN(paths); i++) {
        struct store_step step = {.path = pl_str(paths[i]), .attempts = (int64_t)i};

        store_batch_put_step(batch, &step);
    }
    at = batch->steps;
    ck_assert(pl_str_is(at->row.path, "c"));
    ck_assert_int_eq(at->row.attempts, 4);
    at = at->next;
    ck_assert(pl_str_is(at->row.path, "a"));
    ck_assert_int_eq(at->row.attempts, 3);
    at = at->next;
    ck_assert(pl_str_is(at->row.path, "b"));
    ck_assert_ptr_null(at->next);
    store_batch_destroy(&batch);
}
END_TEST

/* Around every size at which the table of paths is built or grown. */
START_TEST(a_row_is_found_again_however_many_there_are)
{
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));

    for (size_t count = 1; count <= 300; count++) {
        for (size_t i = 0; i < count; i += count < 40 ? 1 : 13) {
            char path[16];
            struct store_step step = {0};

            snprintf(path, sizeof(path), "s%zu", i);
            step.path = pl_str(path);
            store_batch_put_step(batch, &step);
        }
    }
    ck_assert(!store_batch_failed(batch));
    for (const struct batch_step *a = batch->steps; a; a = a->next)
        for (const struct batch_step *b = a->next; b; b = b->next)
            ck_assert(!pl_str_eq(a->row.path, b->row.path));
    ck_assert_uint_eq(batch->rows, batch->step_count);
    store_batch_destroy(&batch);
}
END_TEST

START_TEST(putting_a_row_over_itself_keeps_its_value_alive)
{
    struct pl_value *output = pl_value_new(PL_STR("\"text\""));
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));
    struct store_step step = {.path = PL_STR("a"), .output = output};
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r"), .output = output};

    for (int i = 0; i < 3; i++) {
        store_batch_put_step(batch, &step);
        store_batch_put_run(batch, &run);
    }
    pl_value_unref(&output);
    ck_assert(pl_str_is(pl_value_text(batch->steps->row.output), "\"text\""));
    ck_assert(pl_str_is(pl_value_text(batch->run_row.output), "\"text\""));
    ck_assert_uint_eq(batch->rows, 2);
    store_batch_destroy(&batch);
}
END_TEST

START_TEST(a_memo_and_writes_that_are_not_put_again_stay)
{
    struct pl_value *memo = pl_value_new(PL_STR("[1]")), *other = pl_value_new(PL_STR("[2]"));
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));
    struct store_step step = {.path = PL_STR("a"), .memo = memo, .writes = memo};
    size_t bytes;

    store_batch_put_step(batch, &step);
    bytes = batch->bytes;
    step.memo = step.writes = NULL;
    step.status = PL_STR("succeeded");
    store_batch_put_step(batch, &step);
    ck_assert_uint_eq(batch->bytes, bytes + strlen("a") + strlen("succeeded"));
    pl_value_unref(&memo);
    ck_assert(pl_str_is(pl_value_text(batch->steps->row.memo), "[1]"));
    ck_assert(pl_str_is(pl_value_text(batch->steps->row.writes), "[1]"));
    step.memo = other;
    store_batch_put_step(batch, &step);
    pl_value_unref(&other);
    ck_assert(pl_str_is(pl_value_text(batch->steps->row.memo), "[2]"));
    ck_assert(pl_str_is(pl_value_text(batch->steps->row.writes), "[1]"));
    ck_assert_uint_eq(batch->rows, 1);
    store_batch_destroy(&batch);
}
END_TEST

START_TEST(the_state_of_a_thread_is_held_once_as_put_last)
{
    struct pl_value *state = pl_value_new(PL_STR("{\"a\":1}"));
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));
    struct store_thread thread = {.id = PL_STR("thr"), .state = state};

    for (int i = 0; i < 3; i++) {
        thread.updated_at = i;
        store_batch_put_thread(batch, &thread);
    }
    pl_value_unref(&state);
    ck_assert(pl_str_is(pl_value_text(batch->thread_row.state), "{\"a\":1}"));
    ck_assert_int_eq(batch->thread_row.updated_at, 2);
    ck_assert_uint_eq(batch->rows, 1);
    store_batch_destroy(&batch);
}
END_TEST

START_TEST(memory_that_ran_out_is_remembered_and_leaks_nothing)
{
    struct pl_value *output = pl_value_new(PL_STR("[1]"));
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("r"));
    struct store_step step = {.path = PL_STR("a"), .output = output, .memo = output};
    struct store_run run = {.tenant = PL_STR("t"), .id = PL_STR("r"), .input = output};
    struct store_event event = {.seq = 1};
    struct store_thread thread = {.id = PL_STR("thr"), .state = output};

    store_batch_put_step(batch, &step);
    ck_assert(!store_batch_failed(batch));
    ck_assert_ptr_null(pl_arena_alloc(batch->arena, SIZE_MAX));
    store_batch_put_step(batch, &step);
    store_batch_put_run(batch, &run);
    store_batch_put_event(batch, &event);
    store_batch_put_thread(batch, &thread);
    store_batch_put_definition(batch, PL_STR("h"), PL_STR("t"));
    ck_assert(store_batch_failed(batch));
    store_batch_destroy(&batch);
    pl_value_unref(&output);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        strings_are_copied_and_values_referenced,
        rows_keep_the_order_in_which_they_were_first_put,
        a_row_is_found_again_however_many_there_are,
        putting_a_row_over_itself_keeps_its_value_alive,
        a_memo_and_writes_that_are_not_put_again_stay,
        the_state_of_a_thread_is_held_once_as_put_last,
        memory_that_ran_out_is_remembered_and_leaks_nothing,
    };
    Suite *suite = suite_create("batch");
    TCase *tcase = tcase_create("batch");
    SRunner *runner;
    int failed;

    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
