/* test_arena.c - memory that is freed at once. Run by ctest, also with PLAIT_ARENA_MALLOC. */
#include "base/arena.h"

#include <check.h>
#include <stdalign.h>
#include <stdlib.h>

START_TEST(allocations_are_zeroed_aligned_and_apart)
{
    struct pl_arena *arena = pl_arena_create(0);
    unsigned char *pieces[200];

    for (size_t i = 0; i < PL_ARRAY_LEN(pieces); i++) {
        const size_t size = i * 37 % 301 + 1;

        pieces[i] = pl_arena_alloc(arena, size);
        ck_assert_ptr_nonnull(pieces[i]);
        ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t k = 0; k < size; k++)
            ck_assert_uint_eq(pieces[i][k], 0);
        memset(pieces[i], (int)(i & 0xFF), size);
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(pieces); i++) {
        for (size_t k = 0; k < i * 37 % 301 + 1; k++)
            ck_assert_uint_eq(pieces[i][k], i & 0xFF);
    }
    pl_arena_destroy(&arena);
    ck_assert_ptr_null(arena);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(memory_is_zeroed_again_after_a_reset)
{
    struct pl_arena *arena = pl_arena_create(0);
    size_t before;

    for (int round = 0; round < 3; round++) {
        unsigned char *small = pl_arena_alloc(arena, 100);

        for (int k = 0; k < 100; k++)
            ck_assert_uint_eq(small[k], 0);
        memset(small, 0xFF, 100);
        for (int k = 0; k < 100; k++)
            memset(pl_arena_alloc(arena, 5000), 0xFF, 5000);
        before = pl_arena_bytes(arena);
        pl_arena_reset(arena);
        ck_assert_uint_lt(pl_arena_bytes(arena), before);
        ck_assert_uint_lt(pl_arena_bytes(arena), 8192);
    }
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(many_small_allocations_do_not_cost_much_more_than_they_hold)
{
#ifndef PLAIT_ARENA_MALLOC
    struct pl_arena *arena = pl_arena_create(0);

    for (int i = 0; i < 10000; i++)
        pl_arena_alloc(arena, 32);
    ck_assert_uint_lt(pl_arena_bytes(arena), 10000 * 32 + 2 * 65536);
    pl_arena_destroy(&arena);
#endif
}
END_TEST

START_TEST(the_cap_makes_a_failure_that_stays_until_reset)
{
    struct pl_arena *arena = pl_arena_create(1000);

    ck_assert_ptr_nonnull(pl_arena_alloc(arena, 900));
    ck_assert(!pl_arena_failed(arena));
    ck_assert_ptr_null(pl_arena_alloc(arena, 200));
    ck_assert(pl_arena_failed(arena));
    ck_assert_ptr_null(pl_arena_alloc(arena, 1));
    ck_assert_uint_eq(pl_arena_str(arena, PL_STR("x")).len, 0);
    ck_assert_ptr_null(pl_arena_strdup(arena, "x"));
    ck_assert_ptr_null(pl_arena_printf(arena, "%d", 1));
    pl_arena_reset(arena);
    ck_assert(!pl_arena_failed(arena));
    ck_assert_ptr_nonnull(pl_arena_alloc(arena, 900));
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(sizes_that_overflow_fail)
{
    struct pl_arena *arena = pl_arena_create(0);

    ck_assert_ptr_null(pl_arena_alloc_array(arena, SIZE_MAX / 2, 3));
    ck_assert(pl_arena_failed(arena));
    pl_arena_reset(arena);
    ck_assert_ptr_null(pl_arena_alloc(arena, SIZE_MAX));
    pl_arena_reset(arena);
    ck_assert_ptr_null(pl_arena_alloc(arena, SIZE_MAX - 8));
    pl_arena_reset(arena);
    ck_assert_ptr_nonnull(pl_arena_alloc_array(arena, 0, 8));
    ck_assert_ptr_nonnull(pl_arena_alloc(arena, 0));
    ck_assert(!pl_arena_failed(arena));
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(copies_of_text_have_a_nul_behind)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str copy = pl_arena_str(arena, pl_str_n("abcdef", 3));

    ck_assert_uint_eq(copy.len, 3);
    ck_assert_str_eq(copy.ptr, "abc");
    ck_assert_str_eq(pl_arena_str(arena, (struct pl_str){0}).ptr, "");
    ck_assert_str_eq(pl_arena_strdup(arena, "hello"), "hello");
    ck_assert_str_eq(pl_arena_printf(arena, "%s-%05d", "a", 42), "a-00042");
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_large_first_allocation_does_not_stop_small_ones)
{
    struct pl_arena *arena = pl_arena_create(0);
    char *large = pl_arena_alloc(arena, 1 << 20), *small = pl_arena_alloc(arena, 8);

    ck_assert_ptr_nonnull(large);
    ck_assert_ptr_nonnull(small);
    large[(1 << 20) - 1] = 1;
    ck_assert_int_eq(small[0], 0);
    pl_arena_reset(arena);
    ck_assert_uint_lt(pl_arena_bytes(arena), 8192);
    ck_assert_ptr_nonnull(pl_arena_alloc(arena, 8));
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/arena");
    TCase *tcase = tcase_create("arena");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, allocations_are_zeroed_aligned_and_apart);
    tcase_add_test(tcase, memory_is_zeroed_again_after_a_reset);
    tcase_add_test(tcase, many_small_allocations_do_not_cost_much_more_than_they_hold);
    tcase_add_test(tcase, the_cap_makes_a_failure_that_stays_until_reset);
    tcase_add_test(tcase, sizes_that_overflow_fail);
    tcase_add_test(tcase, copies_of_text_have_a_nul_behind);
    tcase_add_test(tcase, a_large_first_allocation_does_not_stop_small_ones);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
