/* test_llm_lane.c - what headers of rate limits say: durations, times, nothing. Run by ctest. */
#include "service/llm/llm_lane.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct headers {
    const char *lines[8][2];
};

static struct pl_str find(void *arg, const char *name)
{
    const struct headers *headers = arg;

    for (size_t i = 0; i < PL_ARRAY_LEN(headers->lines) && headers->lines[i][0]; i++)
        if (strcmp(headers->lines[i][0], name) == 0)
            return pl_str(headers->lines[i][1]);
    return (struct pl_str){0};
}

static struct lane_quota_news requests, tokens;

static void read_them(struct headers *headers, pl_ms now)
{
    llm_lane_read_quotas(find, headers, now, &requests, &tokens);
}

START_TEST(durations_are_read_as_they_are_written)
{
    static const struct {
        const char *text;
        pl_ms is;
    } cases[] = {
        {"12ms", 12}, {"1s", 1000}, {"6m0s", 360000}, {"1h2m3.5s", 3723500}, {"0s", 1},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
        struct headers headers = {{{"x-ratelimit-limit-requests", "600"},
                                   {"x-ratelimit-remaining-requests", "17"},
                                   {"x-ratelimit-reset-requests", cases[i].text}}};

        read_them(&headers, 1000000);
        ck_assert_int_eq(requests.limit, 600);
        ck_assert_int_eq(requests.remaining, 17);
        ck_assert_msg(requests.reset == cases[i].is, "%s: %lld", cases[i].text,
                      (long long)requests.reset);
        ck_assert_int_eq(tokens.limit, 0);
    }
}
END_TEST

START_TEST(times_are_counted_from_now)
{
    struct headers headers = {{{"anthropic-ratelimit-requests-limit", "50"},
                               {"anthropic-ratelimit-requests-remaining", "49"},
                               {"anthropic-ratelimit-requests-reset", "1970-01-01T00:20:00Z"},
                               {"anthropic-ratelimit-tokens-limit", "40000"},
                               {"anthropic-ratelimit-tokens-remaining", "0"},
                               {"anthropic-ratelimit-tokens-reset", "1970-01-01T00:00:10Z"}}};

    read_them(&headers, 1000000);
    ck_assert_int_eq(requests.reset, 200000);
    ck_assert_int_eq(tokens.limit, 40000);
    ck_assert_int_eq(tokens.remaining, 0);
    ck_assert_int_eq(tokens.reset, 1); /* it has passed */
}
END_TEST

START_TEST(what_cannot_be_read_is_not_told)
{
    static const char *const words[] = {"", "soon", "-1", "1e9999", "99999999999999999999"};

    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++) {
        struct headers headers = {{{"x-ratelimit-limit-requests", words[i]},
                                   {"x-ratelimit-remaining-requests", "1"},
                                   {"x-ratelimit-reset-requests", "1s"},
                                   {"x-ratelimit-limit-tokens", "100"},
                                   {"x-ratelimit-remaining-tokens", words[i]},
                                   {"x-ratelimit-reset-tokens", "1s"}}};

        read_them(&headers, 1000000);
        ck_assert_int_eq(requests.limit, 0);
        ck_assert_int_eq(tokens.limit, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/llm_lane");
    TCase *tcase = tcase_create("headers");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, durations_are_read_as_they_are_written);
    tcase_add_test(tcase, times_are_counted_from_now);
    tcase_add_test(tcase, what_cannot_be_read_is_not_told);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
