/* test_openai_dialects.c - servers that speak like OpenAI, but not quite: where calls go, what keys
 * and limits are called, and answers as Azure, vLLM, llama.cpp, Ollama, OpenRouter, Groq and
 * Mistral give them. Not the API itself (test_openai). Run by ctest. */
#include "base/json.h"
#include "service/llm/openai.h"
#include "service/llm/openai_dialect.h"
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static struct pl_arena *arena;

static void set_up(void)
{
    arena = pl_arena_create(0);
    ck_assert_ptr_nonnull(arena);
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static enum pl_code configure(struct provider *provider, const char *base, const char *dialect,
                              const char *version, struct pl_err *err)
{
    *provider = (struct provider){.ops = &openai_ops,
                                  .name = PL_STR("p"),
                                  .base_url = pl_str(base),
                                  .dialect_name = pl_str(dialect),
                                  .api_version = pl_str(version),
                                  .api_key = PL_STR("secret")};
    return openai_ops.configure(provider, arena, err);
}

/* ---- requests ---- */

static const struct {
    const char *base, *dialect, *version, *model, *url, *key, *limit;
} places[] = {
    {"https://api.openai.com/v1", NULL, NULL, "gpt-4o-mini",
     "https://api.openai.com/v1/chat/completions", "authorization: Bearer secret",
     "max_completion_tokens"},
    {"https://API.openai.com:443/v1", NULL, NULL, "m",
     "https://API.openai.com:443/v1/chat/completions", "authorization: Bearer secret",
     "max_completion_tokens"},
    {"http://127.0.0.1:11434/v1", NULL, NULL, "llama3.1",
     "http://127.0.0.1:11434/v1/chat/completions", "authorization: Bearer secret", "max_tokens"},
    {"https://api.openai.com.example.org/v1", NULL, NULL, "m",
     "https://api.openai.com.example.org/v1/chat/completions", "authorization: Bearer secret",
     "max_tokens"},
    {"http://127.0.0.1:1/v1", "openai", NULL, "m", "http://127.0.0.1:1/v1/chat/completions",
     "authorization: Bearer secret", "max_completion_tokens"},
    {"https://api.openai.com/v1", "compatible", NULL, "m",
     "https://api.openai.com/v1/chat/completions", "authorization: Bearer secret", "max_tokens"},
    /* models that refuse max_tokens, whoever passes them on */
    {"https://openrouter.ai/api/v1", NULL, NULL, "openai/o3-mini",
     "https://openrouter.ai/api/v1/chat/completions", "authorization: Bearer secret",
     "max_completion_tokens"},
    {"http://127.0.0.1:1/v1", NULL, NULL, "gpt-5.1-mini", "http://127.0.0.1:1/v1/chat/completions",
     "authorization: Bearer secret", "max_completion_tokens"},
    {"http://127.0.0.1:1/v1", NULL, NULL, "o1", "http://127.0.0.1:1/v1/chat/completions",
     "authorization: Bearer secret", "max_completion_tokens"},
    {"http://127.0.0.1:1/v1", NULL, NULL, "gpt-oss-20b", "http://127.0.0.1:1/v1/chat/completions",
     "authorization: Bearer secret", "max_tokens"},
    {"http://127.0.0.1:1/v1", NULL, NULL, "olmo-2", "http://127.0.0.1:1/v1/chat/completions",
     "authorization: Bearer secret", "max_tokens"},
    /* Azure, new and classic */
    {"https://me.openai.azure.com/openai/v1", NULL, NULL, "prod",
     "https://me.openai.azure.com/openai/v1/chat/completions", "api-key: secret",
     "max_completion_tokens"},
    {"https://me.openai.azure.com", NULL, "2024-10-21", "prod-4o",
     "https://me.openai.azure.com/openai/deployments/prod-4o/chat/"
     "completions?api-version=2024-10-21",
     "api-key: secret", "max_completion_tokens"},
    {"http://127.0.0.1:1/openai", "azure", "2025-01-01-preview", "d",
     "http://127.0.0.1:1/openai/deployments/d/chat/completions?api-version=2025-01-01-preview",
     "api-key: secret", "max_completion_tokens"},
};

START_TEST(each_server_is_called_as_it_wants_to_be)
{
    const struct llm_request request = {
        .model = pl_str(places[_i].model), .messages = PL_STR("[]"), .max_tokens = 3};
    struct provider provider;
    struct http_request http = {0};
    struct pl_err err;
    struct pl_str value;

    ck_assert_msg(configure(&provider, places[_i].base, places[_i].dialect, places[_i].version,
                            &err) == PL_OK,
                  "%s", err.message);
    ck_assert_int_eq(openai_ops.build(&provider, &request, arena, &http, &err), PL_OK);
    ck_assert_str_eq(http.url.ptr, places[_i].url);
    ck_assert_uint_eq(http.n_headers, 3);
    ck_assert_str_eq(pl_arena_printf(arena, "%s: %s", test_str(http.headers[2].name),
                                     test_str(http.headers[2].value)),
                     places[_i].key);
    ck_assert_msg(json_get(http.body, pl_str(places[_i].limit), &value), "%s", test_str(http.body));
    ck_assert_str_eq(test_str(value), "3");
    ck_assert_uint_eq(json_count(http.body), 3);
}
END_TEST

static const struct {
    const char *base, *dialect, *version, *words;
} bad_places[] = {
    {"http://127.0.0.1:1/v1", "vllm", NULL, "'vllm' is no dialect"},
    {"http://127.0.0.1:1/v1", NULL, "2024-10-21", "no place for an api_version"},
    {"https://me.openai.azure.com/openai/v1", NULL, "2024-10-21", "no place for an api_version"},
    {"https://me.openai.azure.com", NULL, NULL, "must end in /openai/v1"},
    {"https://me.openai.azure.com", NULL, "1&x=2", "is no version"},
};

START_TEST(a_place_that_cannot_be_is_refused)
{
    struct provider provider;
    struct pl_err err;

    ck_assert_int_eq(configure(&provider, bad_places[_i].base, bad_places[_i].dialect,
                               bad_places[_i].version, &err),
                     PL_ERR_INVALID_CONFIG);
    ck_assert_msg(strstr(err.message, bad_places[_i].words) != NULL, "%s", err.message);
}
END_TEST

START_TEST(a_deployment_that_is_no_name_is_refused)
{
    static const char *const bad[] = {"a/b", "a?b", "..", "a b", "a#b"};
    struct provider provider;
    struct http_request http;
    struct pl_err err;

    ck_assert_int_eq(configure(&provider, "https://me.openai.azure.com", NULL, "2024-10-21", &err),
                     PL_OK);
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        const struct llm_request request = {.model = pl_str(bad[i]), .messages = PL_STR("[]")};

        ck_assert(!openai_ops.model_ok(&provider, pl_str(bad[i]), &err));
        ck_assert_int_eq(openai_ops.build(&provider, &request, arena, &http, &err),
                         PL_ERR_INVALID_ARGUMENT);
    }
    ck_assert(openai_ops.model_ok(&provider, PL_STR("gpt-4o_2.prod"), &err));
}
END_TEST

/* ---- answers ---- */

struct answer {
    bool stream;
    const char *body;
    const char *result; /* as write_result says */
};

#define CHUNK(delta, finish, more)                                                           \
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":" delta \
    ",\"finish_reason\":" finish "}]" more "}\n\n"
#define DONE "data: [DONE]\n\n"

static const struct answer answers[] = {
    /* Azure: the prompt's filter first, the filter's notes in between and behind, the end */
    {true,
     "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\","
     "\"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n" CHUNK(
         "{\"content\":\"\",\"role\":\"assistant\"}", "null", "")
         CHUNK(
             "{\"content\":\"yes\"}", "null",
             "") "data: {\"choices\":[{\"content_filter_offsets\":{},\"content_filter_results\":{},"
                 "\"finish_reason\":null,\"index\":0}]}\n\n" CHUNK("{}", "\"stop\"", "") DONE,
     "ok \"yes\""},
    {true,
     "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n"
     "data: {\"error\":{\"code\":\"429\",\"message\":\"Requests have exceeded the call rate "
     "limit. Please retry after 6 seconds.\"}}\n\n",
     "rate_limited after=6000 \"Requests have exceeded the call rate limit. Please retry after 6 "
     "seconds.\""},
    {true, CHUNK("{\"content\":\"so\"}", "null", "") CHUNK("{}", "\"content_filter\"", "") DONE,
     "content_filtered"},
    /* vLLM: thoughts apart, the tokens counted with every chunk: the last count stands */
    {true,
     CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null",
           ",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":0}")
         CHUNK("{\"reasoning_content\":\"hm\",\"reasoning\":\"hm\"}", "null",
               ",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1}")
             CHUNK("{\"content\":\"yes\"}", "\"stop\"",
                   ",\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}") DONE,
     "ok \"yes\" 9/2"},
    {false,
     "{\"object\":\"error\",\"message\":\"Invalid value\",\"type\":\"BadRequestError\",\"param\":"
     "null,\"code\":400}",
     "bad_request \"Invalid value\""},
    /* llama.cpp: its timings in the last chunk, which has no mark behind it in old versions */
    {true,
     CHUNK("{\"reasoning_content\":\"hm\"}", "null", "") CHUNK("{\"content\":\"yes\"}", "null", "")
         CHUNK(
             "{}", "\"stop\"",
             ",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1},\"timings\":{\"prompt_n\":3,"
             "\"predicted_per_second\":41.5}"),
     "ok \"yes\" 3/1"},
    /* Ollama: a role and an empty text in the last chunk */
    {true,
     CHUNK("{\"role\":\"assistant\",\"content\":\"yes\"}", "null", "")
         CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "\"stop\"", "") DONE,
     "ok \"yes\""},
    /* OpenRouter: comments, errors in the answer with the number of a status */
    {true,
     ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" CHUNK("{\"content\":\"yes\"}",
                                                                    "\"stop\"", "") DONE,
     "ok \"yes\""},
    {true,
     CHUNK("{\"content\":\"y\"}", "null", "")
         CHUNK("{\"content\":\"\"}", "\"error\"",
               ",\"error\":{\"code\":502,\"message\":\"Provider disconnected\"}"),
     "provider_error \"Provider disconnected\""},
    {true,
     "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"error\",\"error\":{\"code\":429,"
     "\"message\":\"slowly\"}}]}\n\n",
     "rate_limited \"slowly\""},
    {false, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}",
     "quota_exceeded \"Insufficient credits\""},
    {false,
     "{\"error\":{\"code\":503,\"message\":\"Provider returned error\",\"metadata\":{\"raw\":\"no "
     "room\",\"provider_name\":\"x\"}}}",
     "overloaded \"Provider returned error: no room\""},
    {false,
     "{\"error\":{\"code\":403,\"message\":\"flagged\",\"metadata\":{\"reasons\":[\"hate\"],"
     "\"flagged_input\":\"...\"}}}",
     "content_filtered \"flagged\""},
    {false,
     "{\"choices\":[{\"finish_reason\":\"error\",\"message\":{\"content\":\"\"},\"error\":{"
     "\"code\":502,\"message\":\"gone\"}}]}",
     "provider_error \"gone\""},
    {false, "{\"choices\":[{\"finish_reason\":\"error\",\"message\":{\"content\":\"half\"}}]}",
     "provider_error"},
    /* Groq: the tokens in a place of its own */
    {true,
     CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null", ",\"x_groq\":{\"id\":\"req_1\"}")
         CHUNK("{\"content\":\"yes\"}", "null", "")
             CHUNK("{}", "\"stop\"",
                   ",\"x_groq\":{\"id\":\"req_1\",\"usage\":{\"prompt_tokens\":18,"
                   "\"completion_tokens\":5,\"queue_time\":0.04}}") DONE,
     "ok \"yes\" 18/5"},
    /* Mistral */
    {false, "{\"choices\":[{\"finish_reason\":\"model_length\",\"message\":{\"content\":\"y\"}}]}",
     "output_truncated"},
};

/* The outcome, the usage where it was counted, the hint, upstream. */
static void write_result(const struct answer_probe *probe, struct step_result *result,
                         const void *parser, struct pl_buf *out)
{
    const struct openai_parser *state = parser;

    answer_write_outcome(probe, result, parser, out);
    if (state->has_usage)
        pl_buf_printf(out, " %d/%d", (int)result->usage.input_tokens,
                      (int)result->usage.output_tokens);
    if (result->retry_after >= 0)
        pl_buf_printf(out, " after=%d", (int)result->retry_after);
    if (result->upstream)
        pl_buf_printf(out, " %.*s", PL_STR_ARG(pl_value_text(result->upstream)));
}

START_TEST(each_server_is_understood_wherever_its_answer_is_cut)
{
    struct answer_probe probe;

    answer_probe_init(&probe, &openai_ops, "");
    probe.deaf = true;
    probe.request.stream = answers[_i].stream;
    probe.write = write_result;
    answer_probe_assert_cuts(&probe, answers[_i].body, answers[_i].result, NULL);
    answer_probe_finish(&probe);
}
END_TEST

/* ---- errors ---- */

static const struct {
    int status;
    const char *body;
    enum pl_code code;
    enum pl_retry_class retry;
} errors[] = {
    /* Azure refuses a prompt */
    {400,
     "{\"error\":{\"message\":\"The response was filtered\",\"type\":null,\"param\":\"prompt\","
     "\"code\":\"content_filter\",\"status\":400,\"innererror\":{\"code\":"
     "\"ResponsibleAIPolicyViolation\"}}}",
     PL_ERR_CONTENT_FILTERED, PL_RETRY_NEVER},
    {404, "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The API deployment\"}}",
     PL_ERR_MODEL_NOT_FOUND, PL_RETRY_NEVER},
    {429, "{\"error\":{\"code\":\"429\",\"message\":\"Please retry after 6 seconds.\"}}",
     PL_ERR_RATE_LIMITED, PL_RETRY_RATE_LIMIT},
    /* llama.cpp loads its model */
    {503, "{\"error\":{\"code\":503,\"message\":\"Loading model\",\"type\":\"unavailable_error\"}}",
     PL_ERR_OVERLOADED, PL_RETRY_SERVER},
    /* Ollama has no such model */
    {404, "{\"error\":{\"message\":\"model \\\"x\\\" not found\",\"type\":\"api_error\"}}",
     PL_ERR_MODEL_NOT_FOUND, PL_RETRY_NEVER},
    /* OpenRouter */
    {402, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}", PL_ERR_QUOTA_EXCEEDED,
     PL_RETRY_NEVER},
    {502, "{\"error\":{\"code\":502,\"message\":\"Provider returned error\"}}",
     PL_ERR_PROVIDER_ERROR, PL_RETRY_SERVER},
    /* Groq has no room for flex calls */
    {498, "{\"error\":{\"message\":\"capacity exceeded\",\"type\":\"capacity\"}}",
     PL_ERR_OVERLOADED, PL_RETRY_SERVER},
};

START_TEST(each_servers_errors_have_the_right_code)
{
    struct step_result result;

    step_result_init(&result);
    openai_ops.error(errors[_i].status, pl_str(errors[_i].body), &result);
    ck_assert_str_eq(pl_code_text(result.err.code), pl_code_text(errors[_i].code));
    ck_assert_int_eq(pl_code_retry_class(result.err.code), errors[_i].retry);
    step_result_finish(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("openai_dialects");
    TCase *tcase = tcase_create("openai_dialects");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, each_server_is_called_as_it_wants_to_be, 0,
                        (int)PL_ARRAY_LEN(places));
    tcase_add_loop_test(tcase, a_place_that_cannot_be_is_refused, 0, (int)PL_ARRAY_LEN(bad_places));
    tcase_add_test(tcase, a_deployment_that_is_no_name_is_refused);
    tcase_add_loop_test(tcase, each_server_is_understood_wherever_its_answer_is_cut, 0,
                        (int)PL_ARRAY_LEN(answers));
    tcase_add_loop_test(tcase, each_servers_errors_have_the_right_code, 0,
                        (int)PL_ARRAY_LEN(errors));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
