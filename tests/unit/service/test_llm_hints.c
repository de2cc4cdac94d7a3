/* test_llm_hints.c - headers that say when to ask again, and what a refusal stands for. Run by
 * ctest. */
#include "service/llm/llm_errors.h"
#include "service/llm/llm_hints.h"

#include <check.h>
#include <stdlib.h>

static const pl_ms NOW = 1800000000000; /* 2027-01-15T08:00:00Z */

static const struct {
    const char *lines;
    pl_ms wait;
} limited[] = {
    {"", -1},
    {"Content-Type: x\n", -1},
    /* one kind after the other */
    {"retry-after-ms: 1500\nRetry-After: 9\nx-ratelimit-reset-requests: 7s\n", 1500},
    {"Retry-After: 9\nx-ratelimit-reset-requests: 7s\n", 9000},
    {"Retry-After: 0.5\n", 500},
    {"Retry-After: Fri, 15 Jan 2027 08:00:03 GMT\n", 3000},
    {"Retry-After: Fri, 15 Jan 2027 07:59:03 GMT\n", 0},
    {"Retry-After: soon\nx-ratelimit-reset-requests: 7s\n", 7000},
    /* durations */
    {"x-ratelimit-reset-requests: 12ms\n", 12},
    {"x-ratelimit-reset-requests: 1s\n", 1000},
    {"x-ratelimit-reset-requests: 6m0s\n", 360000},
    {"x-ratelimit-reset-requests: 1h2m3.5s\n", 3723500},
    {"x-ratelimit-reset-requests: 2m59.56s\n", 179560},
    {"x-ratelimit-reset-requests: 7.6601s\n", 7661},
    {"x-ratelimit-reset-requests: 0s\n", 0},
    /* times */
    {"anthropic-ratelimit-requests-reset: 2027-01-15T08:00:05Z\n", 5000},
    {"anthropic-ratelimit-requests-reset: 2027-01-15T07:00:05Z\n", 0},
    {"x-ratelimit-reset: 1800000004000\n", 4000},
    {"x-ratelimit-reset: 1800000004\n", 4000},
    {"ratelimit-reset: 30\n", 30000},
    /* no times at all */
    {"x-ratelimit-reset-requests: 5\x01s\n", -1},
    {"x-ratelimit-reset-requests: 5y\n", -1},
    {"x-ratelimit-reset-requests: s\n", -1},
    {"x-ratelimit-reset-requests: -5s\n", -1},
    {"x-ratelimit-reset-requests: 1s2\n", -1},
    {"x-ratelimit-reset-requests: .5s\n", -1},
    {"x-ratelimit-reset-requests: 1.2.3s\n", -1},
    {"x-ratelimit-reset-requests: 999999999999999999999s\n", -1},
    {"x-ratelimit-reset-requests: 99999999999h\n", -1},
    {"x-ratelimit-reset: 99999999999999999\n", -1},
    /* several: what is used up counts, the latest of it */
    {"x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 5s\n"
     "x-ratelimit-remaining-tokens: 100\nx-ratelimit-reset-tokens: 1s\n",
     5000},
    {"x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 5s\n"
     "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 6s\n",
     6000},
    {"x-ratelimit-remaining-requests: 3\nx-ratelimit-reset-requests: 5s\n"
     "x-ratelimit-remaining-tokens: 100\nx-ratelimit-reset-tokens: 1s\n",
     1000},
};

START_TEST(each_kind_of_hint_is_understood)
{
    ck_assert_int_eq(llm_hints_wait(pl_str(limited[_i].lines), true, NOW), limited[_i].wait);
}
END_TEST

START_TEST(resets_are_no_hints_of_other_answers)
{
    const struct pl_str resets = PL_STR("x-ratelimit-reset-requests: 7s\n");

    ck_assert_int_eq(llm_hints_wait(resets, false, NOW), -1);
    ck_assert_int_eq(llm_hints_wait(PL_STR("Retry-After: 2\n"), false, NOW), 2000);
}
END_TEST

static const struct {
    int status;
    const char *code, *type, *message;
    enum pl_code is;
    bool no_retry;
} faults[] = {
    {429, "insufficient_quota", "insufficient_quota", "x", PL_ERR_QUOTA_EXCEEDED, true},
    {429, "", "tokens", "slow down", PL_ERR_RATE_LIMITED, false},
    {402, "", "billing_error", "x", PL_ERR_QUOTA_EXCEEDED, true},
    {400, "", "invalid_request_error", "Your credit balance is too low to access the API.",
     PL_ERR_QUOTA_EXCEEDED, true},
    {400, "", "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum",
     PL_ERR_CONTEXT_TOO_LONG, false},
    {400, "", "BadRequestError", "This model's Maximum Context Length is 4096 tokens.",
     PL_ERR_CONTEXT_TOO_LONG, false},
    {400, "", "exceed_context_size_error", "x", PL_ERR_CONTEXT_TOO_LONG, false},
    {400, "", "", "The input token count (2000000) exceeds the maximum number of tokens allowed",
     PL_ERR_CONTEXT_TOO_LONG, false},
    {400, "", "", "API key not valid. Please pass a valid API key.", PL_ERR_AUTH_FAILED, false},
    {400, "", "", "no such field", PL_ERR_BAD_REQUEST, false},
    {500, "", "", "prompt is too long for us to say", PL_ERR_PROVIDER_ERROR, false},
    {529, "", "overloaded_error", "Overloaded", PL_ERR_OVERLOADED, false},
    {0, "", "overloaded_error", "Overloaded", PL_ERR_OVERLOADED, false},
    {0, "", "api_error", "x", PL_ERR_STREAM_ERROR, false},
};

START_TEST(each_refusal_stands_for_one_error)
{
    const struct llm_fault fault = {.status = faults[_i].status,
                                    .code = pl_str(faults[_i].code),
                                    .type = pl_str(faults[_i].type),
                                    .message = pl_str(faults[_i].message)};
    struct step_result result;

    step_result_init(&result);
    llm_fault_result(&fault, PL_ERR_STREAM_ERROR, &result);
    ck_assert_str_eq(pl_code_text(result.err.code), pl_code_text(faults[_i].is));
    ck_assert_int_eq(result.no_retry, faults[_i].no_retry);
    step_result_finish(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_hints");
    TCase *tcase = tcase_create("llm_hints");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, each_kind_of_hint_is_understood, 0, PL_ARRAY_LEN(limited));
    tcase_add_test(tcase, resets_are_no_hints_of_other_answers);
    tcase_add_loop_test(tcase, each_refusal_stands_for_one_error, 0, PL_ARRAY_LEN(faults));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
