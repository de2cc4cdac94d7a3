/* test_reuse_memory.c - which answers stay in memory. Run by ctest. */
#include "service/reuse_memory.h"

#include "storage/store.h"

#include <check.h>
#include <stdlib.h>

static struct reuse_key key_of(unsigned char number)
{
    return (struct reuse_key){.bytes = {number}};
}

static void put(struct reuse_memory *memory, unsigned char number, const char *json,
                pl_ms expires_at)
{
    const struct reuse_key key = key_of(number);
    struct store_cached answer = {.output = pl_value_new(pl_str(json)), .expires_at = expires_at};

    reuse_memory_put(memory, &key, &answer);
    store_cached_finish(&answer);
}

static bool has(struct reuse_memory *memory, unsigned char number, const char *json, pl_ms now)
{
    const struct reuse_key key = key_of(number);
    struct store_cached answer;
    bool same;

    if (!reuse_memory_get(memory, &key, now, &answer))
        return false;
    same = pl_str_is(pl_value_text(answer.output), json);
    store_cached_finish(&answer);
    return same;
}

/* Room for about `n` small answers. */
static struct reuse_memory *room_for(size_t n)
{
    struct reuse_memory *probe = reuse_memory_create(1 << 20), *memory;
    size_t each = 1 << 20;

    put(probe, 1, "1", 10);
    ck_assert_uint_eq(reuse_memory_count(probe), 1);
    reuse_memory_destroy(&probe);
    for (size_t bytes = 64; bytes < each; bytes += 8) { /* what one takes is its own business */
        memory = reuse_memory_create(bytes);
        put(memory, 1, "1", 10);
        if (reuse_memory_count(memory))
            each = bytes;
        reuse_memory_destroy(&memory);
    }
    return reuse_memory_create(n * each);
}

START_TEST(an_answer_is_found_until_its_time_is_over_and_then_gone)
{
    struct reuse_memory *memory = reuse_memory_create(1 << 20);

    put(memory, 1, "1", 100);
    ck_assert(has(memory, 1, "1", 99));
    ck_assert(!has(memory, 2, "1", 99));
    ck_assert(!has(memory, 1, "1", 100));
    ck_assert_uint_eq(reuse_memory_count(memory), 0);
    reuse_memory_destroy(&memory);
}
END_TEST

START_TEST(a_newer_answer_takes_the_place_of_an_older_one)
{
    struct reuse_memory *memory = reuse_memory_create(1 << 20);

    put(memory, 1, "1", 100);
    put(memory, 1, "2", 100);
    ck_assert(has(memory, 1, "2", 0));
    ck_assert_uint_eq(reuse_memory_count(memory), 1);
    reuse_memory_destroy(&memory);
}
END_TEST

START_TEST(those_not_used_for_longest_go_first)
{
    struct reuse_memory *memory = room_for(3);

    for (unsigned char i = 1; i <= 3; i++)
        put(memory, i, "1", 100);
    ck_assert(has(memory, 1, "1", 0)); /* used: now 2 is the oldest */
    put(memory, 4, "1", 100);
    ck_assert(!has(memory, 2, "1", 0));
    ck_assert(has(memory, 1, "1", 0));
    ck_assert(has(memory, 3, "1", 0));
    ck_assert(has(memory, 4, "1", 0));
    reuse_memory_destroy(&memory);
}
END_TEST

START_TEST(an_answer_larger_than_all_the_room_is_not_kept_and_throws_nobody_out)
{
    struct reuse_memory *memory = room_for(2);
    char large[4096] = "\"";

    memset(large + 1, 'x', sizeof large - 3);
    large[sizeof large - 2] = '"';
    put(memory, 1, "1", 100);
    put(memory, 2, large, 100);
    ck_assert(has(memory, 1, "1", 0));
    ck_assert_uint_eq(reuse_memory_count(memory), 1);
    reuse_memory_destroy(&memory);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reuse memory");
    TCase *tcase = tcase_create("reuse memory");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, an_answer_is_found_until_its_time_is_over_and_then_gone);
    tcase_add_test(tcase, a_newer_answer_takes_the_place_of_an_older_one);
    tcase_add_test(tcase, those_not_used_for_longest_go_first);
    tcase_add_test(tcase, an_answer_larger_than_all_the_room_is_not_kept_and_throws_nobody_out);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
