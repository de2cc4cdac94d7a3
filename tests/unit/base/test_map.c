/* test_map.c - the hash table of borrowed keys, and the list beside it. Run by ctest. */
#include "base/list.h"
#include "base/map.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

START_TEST(what_is_put_is_found_and_nothing_else)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_map *map = pl_map_create(arena, 0);
    static int numbers[5000];
    bool replaced;

    for (size_t i = 0; i < PL_ARRAY_LEN(numbers); i++) {
        const char *key = pl_arena_printf(arena, "key-%zu", i);

        ck_assert(pl_map_put(map, pl_str(key), &numbers[i], &replaced));
        ck_assert(!replaced);
    }
    ck_assert_uint_eq(pl_map_count(map), PL_ARRAY_LEN(numbers));
    for (size_t i = 0; i < PL_ARRAY_LEN(numbers) + 100; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key-%zu", i);
        ck_assert_ptr_eq(pl_map_get(map, pl_str(key)),
                         i < PL_ARRAY_LEN(numbers) ? &numbers[i] : NULL);
    }
    ck_assert_ptr_null(pl_map_get(map, (struct pl_str){0}));
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(putting_a_key_again_replaces_its_value)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_map *map = pl_map_create(arena, 1000);
    int a, b;
    bool replaced = false;

    ck_assert(pl_map_put(map, PL_STR("k"), &a, NULL));
    ck_assert(pl_map_put(map, PL_STR("k"), &b, &replaced));
    ck_assert(replaced);
    ck_assert_uint_eq(pl_map_count(map), 1);
    ck_assert_ptr_eq(pl_map_get(map, PL_STR("k")), &b);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(the_empty_key_and_keys_with_nul_are_keys)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_map *map = pl_map_create(arena, 0);
    int a, b, c;

    ck_assert(pl_map_put(map, PL_STR(""), &a, NULL));
    ck_assert(pl_map_put(map, PL_STR("x\0y"), &b, NULL));
    ck_assert(pl_map_put(map, PL_STR("x\0z"), &c, NULL));
    ck_assert_ptr_eq(pl_map_get(map, (struct pl_str){0}), &a);
    ck_assert_ptr_eq(pl_map_get(map, PL_STR("x\0y")), &b);
    ck_assert_ptr_eq(pl_map_get(map, PL_STR("x\0z")), &c);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_full_arena_fails_the_put_and_keeps_the_map)
{
    struct pl_arena *arena = pl_arena_create(4096);
    struct pl_map *map = pl_map_create(arena, 0);
    static char keys[200][8];
    size_t put = 0;

    for (; put < PL_ARRAY_LEN(keys); put++) {
        snprintf(keys[put], sizeof(keys[put]), "%zu", put);
        if (!pl_map_put(map, pl_str(keys[put]), keys[put], NULL))
            break;
    }
    ck_assert_uint_lt(put, PL_ARRAY_LEN(keys));
    ck_assert_uint_eq(pl_map_count(map), put);
    for (size_t i = 0; i < put; i++)
        ck_assert_ptr_eq(pl_map_get(map, pl_str(keys[i])), keys[i]);
    ck_assert_ptr_null(pl_map_create(arena, 10));
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(the_hash_is_of_the_bytes)
{
    char copy[] = "name";

    ck_assert_uint_eq(pl_hash(PL_STR("name")), pl_hash(pl_str(copy)));
    ck_assert_uint_ne(pl_hash(PL_STR("name")), pl_hash(PL_STR("Name")));
    ck_assert_uint_eq(pl_hash(PL_STR("")), pl_hash((struct pl_str){0}));
}
END_TEST

START_TEST(a_list_keeps_order_and_forgets_what_is_removed)
{
    struct item {
        int number;
        struct pl_list link;
    } items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    struct pl_list head;
    int sum = 0;

    pl_list_init(&head);
    ck_assert_ptr_null(pl_list_pop(&head));
    for (int i = 0; i < 4; i++)
        pl_list_append(&head, &items[i].link);
    pl_list_remove(&items[1].link);
    pl_list_remove(&items[1].link);
    ck_assert(!pl_list_linked(&items[1].link));
    PL_LIST_EACH(node, &head)
    {
        sum = sum * 10 + pl_container_of(node, struct item, link)->number;
    }
    ck_assert_int_eq(sum, 23); /* 0, 2, 3 */
    ck_assert_ptr_eq(pl_list_pop(&head), &items[0].link);
    ck_assert(!pl_list_empty(&head));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/map");
    TCase *tcase = tcase_create("map");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, what_is_put_is_found_and_nothing_else);
    tcase_add_test(tcase, putting_a_key_again_replaces_its_value);
    tcase_add_test(tcase, the_empty_key_and_keys_with_nul_are_keys);
    tcase_add_test(tcase, a_full_arena_fails_the_put_and_keeps_the_map);
    tcase_add_test(tcase, the_hash_is_of_the_bytes);
    tcase_add_test(tcase, a_list_keeps_order_and_forgets_what_is_removed);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
