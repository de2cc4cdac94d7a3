/* test_llm_estimate.c - tokens of a call before it is sent. Not budgets (the scenarios) and not
 * whole workflows (tests/cli/money.test.mjs). Run by ctest. */
#include "base/limits.h"
#include "service/steps/llm_estimate.h"

#include <check.h>
#include <stdlib.h>

START_TEST(text_counts_a_token_for_four_bytes_and_one_at_least)
{
    ck_assert_int_eq(llm_text_tokens(0), 1);
    ck_assert_int_eq(llm_text_tokens(4), 1);
    ck_assert_int_eq(llm_text_tokens(5), 2);
    ck_assert_int_eq(llm_messages_tokens(PL_STR("[{\"role\":\"user\",\"content\":\"Hello\"}]")), 9);
}
END_TEST

START_TEST(media_count_by_what_they_are_and_not_by_their_bytes)
{
    struct pl_buf text;

    pl_buf_init(&text, 1 << 20);
    pl_buf_text(&text, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
                       "{\"url\":\"data:image/png;base64,");
    for (unsigned i = 0; i < 100000; i++)
        pl_buf_char(&text, 'A');
    pl_buf_text(&text, "\"}},{\"type\":\"text\",\"text\":\"What is this?\"}]}]");
    ck_assert_int_ge(llm_messages_tokens(pl_buf_view(&text)), LLM_IMAGE_TOKENS);
    ck_assert_int_le(llm_messages_tokens(pl_buf_view(&text)), LLM_IMAGE_TOKENS + 40);
    pl_buf_finish(&text);
}
END_TEST

START_TEST(an_answer_counts_max_tokens_else_the_default)
{
    const struct price price = {.input = 1, .cached_input = 1, .cache_write = 2, .output = 10};
    struct llm_request request = {.messages = PL_STR("[{\"role\":\"user\",\"content\":\"Hello\"}]"),
                                  .max_tokens = 100};
    struct llm_config config = {.repair = 3};
    struct call_estimate estimate;

    llm_estimate_call(&request, &config, &price, &estimate);
    ck_assert_int_eq(estimate.one.tokens, 109);
    ck_assert_int_eq(estimate.all.tokens, 109); /* nothing is judged, so nothing is repaired */
    ck_assert_double_eq_tol(estimate.one.cost_usd, (9 * 2 + 100 * 10) / 1e6, 1e-12);
    ck_assert(!estimate.unpriced);
    request.max_tokens = 0;
    llm_estimate_call(&request, &config, NULL, &estimate);
    ck_assert_int_eq(estimate.one.tokens, 9 + PL_DEFAULT_OUTPUT_TOKENS);
    ck_assert(estimate.unpriced);
}
END_TEST

START_TEST(repairs_and_hedges_are_calls_of_the_same_attempt)
{
    struct budget one = llm_estimate_one(10, 100, NULL),
                  all = llm_estimate_all(10, 100, 0, 0, NULL);

    ck_assert_int_eq(one.tokens, all.tokens);
    all = llm_estimate_all(10, 100, 0, 2, NULL);
    ck_assert_int_eq(all.tokens, 3 * one.tokens);
    all = llm_estimate_all(10, 100, 1, 0, NULL);
    ck_assert_int_ge(all.tokens, 2 * one.tokens + 100); /* the second has the first one's answer */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_estimate");
    TCase *tcase = tcase_create("llm_estimate");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, text_counts_a_token_for_four_bytes_and_one_at_least);
    tcase_add_test(tcase, media_count_by_what_they_are_and_not_by_their_bytes);
    tcase_add_test(tcase, an_answer_counts_max_tokens_else_the_default);
    tcase_add_test(tcase, repairs_and_hedges_are_calls_of_the_same_attempt);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
