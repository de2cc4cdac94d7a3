/* test_llm_delay.c - how long errors say to wait, as several providers write it. Run by ctest. */
#include "service/llm/llm_delay.h"

#include <check.h>
#include <stdlib.h>

static const struct {
    const char *text;
    pl_ms ms;
} durations[] = {
    {"34.074824224s", 34075},
    {"60s", 60000},
    {"900ms", 900},
    {"0s", 0},
    {"0.4s.", 400},
    {"1m30s", 90000},
    {"1h", 3600000},
    {"6 seconds.", 6000},
    {"1 second", 1000},
    {"520ms. Visit", 520},
    {"2 minutes", 120000},
    {"12.5s.", 12500},
    {"", -1},
    {"soon", -1},
    {"s", -1},
    {"7", -1},
    {"-3s", -1},
    {".5s", -1},
    {"99999999999s", -1},
    {"25h", -1},
    {"1..5s", -1},
};

START_TEST(a_duration_is_read_with_its_unit)
{
    ck_assert_msg(llm_delay_read(pl_str(durations[_i].text)) == durations[_i].ms, "%s: %lld",
                  durations[_i].text, (long long)llm_delay_read(pl_str(durations[_i].text)));
}
END_TEST

static const struct {
    const char *message;
    pl_ms ms;
} messages[] = {
    {"Quota exceeded.\nPlease retry in 34.07s.", 34070},
    {"exceeded token rate limit. Please retry after 6 seconds.", 6000},
    {"Rate limit reached for gpt-4o: Limit 3, Used 3. Please try again in 1.2s.", 1200},
    {"Please try again in 6m0s. Visit https://x", 360000},
    {"please retry in a while", -1},
    {"you may retry", -1},
    {"retry in ", -1},
    {"", -1},
};

START_TEST(a_message_is_searched_for_one)
{
    ck_assert_msg(llm_delay_of_message(pl_str(messages[_i].message)) == messages[_i].ms, "%s",
                  messages[_i].message);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_delay");
    TCase *tcase = tcase_create("llm_delay");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, a_duration_is_read_with_its_unit, 0, (int)PL_ARRAY_LEN(durations));
    tcase_add_loop_test(tcase, a_message_is_searched_for_one, 0, (int)PL_ARRAY_LEN(messages));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
