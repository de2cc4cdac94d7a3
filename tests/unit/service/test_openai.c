/* test_openai.c - requests to OpenAI-compatible servers as JSON, and their answers as recorded from
 * several servers: whole and streamed, cut at every byte. Not the connection (test_llm_step). Run
 * by ctest. */
#include "base/json.h"
#include "service/llm/openai.h"
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

/* ---- answers ---- */

/* The result as text: the code, or "ok" and the output; then usage, upstream and flags that are
 * set. */
static void write_result(const struct answer_probe *probe, struct step_result *result,
                         const void *parser, struct pl_buf *out)
{
    answer_write_outcome(probe, result, parser, out);
    if (result->usage.input_tokens || result->usage.output_tokens)
        pl_buf_printf(out, " usage=%d+%d/%d", (int)result->usage.input_tokens,
                      (int)result->usage.cached_input_tokens, (int)result->usage.output_tokens);
    if (result->upstream)
        pl_buf_printf(out, " upstream=%.*s", PL_STR_ARG(pl_value_text(result->upstream)));
    if (result->no_retry)
        pl_buf_text(out, " no_retry");
}

struct answer {
    const char *type; /* content-type */
    bool stream;      /* the request asked for one */
    const char *body;
    const char *result; /* as write_result says */
    const char *deltas; /* each followed by ^; NULL: not compared */
    int64_t max_tokens;
};

/* Estimated usage where the server counted none is no news in these tests. */
static bool same_result(const char *got, const char *want)
{
    const size_t len = strlen(want);

    if (strcmp(got, want) == 0)
        return true;
    return strncmp(got, want, len) == 0 && strncmp(got + len, " usage=0+0/", 11) == 0;
}

static void probe_init(struct answer_probe *probe, const char *type, bool stream)
{
    answer_probe_init(probe, &openai_ops, type);
    probe->request.stream = stream;
    probe->write = write_result;
    probe->same = same_result;
}

#define JSON_TYPE   "application/json"
#define STREAM_TYPE "text/event-stream; charset=utf-8"
#define CHOICE(message, finish)                                                                   \
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":" message \
    ",\"finish_reason\":" finish "}]}"
#define CHUNK(delta, finish)                                                                 \
    "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":" delta \
    ",\"finish_reason\":" finish "}]}\n\n"

static const struct answer answers[] = {
    /* whole */
    {JSON_TYPE, false,
     "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"gpt-"
     "4o-mini\","
     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello "
     "\\u00e9\\n\","
     "\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
     "\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29,"
     "\"prompt_tokens_details\":{\"cached_tokens\":7,\"audio_tokens\":0}},\"service_tier\":"
     "\"default\"}",
     "ok \"Hello \\u00e9\\n\" usage=19+7/10", "", 0},
    {"Application/JSON", false, CHOICE("{\"content\":\"a\"}", "\"stop\""), "ok \"a\"", NULL, 0},
    {"", false, "\r\n " CHOICE("{\"content\":\"a\"}", "\"stop\"") "\n", "ok \"a\"", NULL, 0},
    {"text/plain", true, CHOICE("{\"content\":\"a b\"}", "null"), "ok \"a b\"", "a b^", 0},
    {STREAM_TYPE, true, CHOICE("{\"content\":\"a b\"}", "null"), "ok \"a b\"", "a b^", 0},
    {JSON_TYPE, false,
     CHOICE("{\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"},{\"type\":"
            "\"text\",\"text\":\"b\"}]}",
            "\"stop\""),
     "ok \"ab\"", NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":null,\"refusal\":\"I can't\"}", "\"stop\""),
     "refused upstream=\"I can't\"", NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":\"half\"}", "\"content_filter\""), "content_filtered",
     NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":\"half\"}", "\"length\""), "output_truncated", NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":\"half\"}", "\"length\""), "ok \"half\"", NULL, 5},
    {JSON_TYPE, false, CHOICE("{\"content\":\"\"}", "\"length\""), "output_truncated", NULL, 5},
    {JSON_TYPE, false, CHOICE("{\"content\":\"\"}", "\"stop\""), "empty_response", NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":null,\"tool_calls\":[]}", "\"tool_calls\""),
     "empty_response", NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":[]}", "\"stop\""), "empty_response", NULL, 0},
    {JSON_TYPE, false, "", "empty_response", NULL, 0},
    {JSON_TYPE, false, "{\"choices\":[]}", "bad_response", NULL, 0},
    {JSON_TYPE, false, CHOICE("{\"content\":5}", "\"stop\""), "bad_response", NULL, 0},
    {JSON_TYPE, false,
     "{\"choices\":[{\"message\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":"
     "9223372036854775807,\"completion_tokens\":1e308,\"cost\":1e999}}",
     "ok \"a\"", NULL, 0},
    {JSON_TYPE, false, "{\"choices\":[{}]}", "bad_response", NULL, 0},
    {JSON_TYPE, false, "{\"choices\":[{\"message\":\"x\"}]}", "bad_response", NULL, 0},
    {JSON_TYPE, false, "{\"id\":\"c\",\"choices\":[{\"mess", "bad_response", NULL, 0},
    {JSON_TYPE, false, "\x01\x02\x03", "bad_response", NULL, 0},
    {JSON_TYPE, false, "null", "bad_response", NULL, 0},
    {JSON_TYPE, false, "[1,2]", "bad_response", NULL, 0},
    {"text/html", false, "<!DOCTYPE html><title>Welcome</title>", "bad_response", NULL, 0},
    {"text/html", true, "default backend", "bad_response", NULL, 0},
    {"", true, "id est", "bad_response", NULL, 0},
    {JSON_TYPE, false,
     "{\"error\":{\"message\":\"no\",\"type\":\"server_error\",\"param\":null,\"code\":null}}",
     "stream_error upstream=\"no\"", NULL, 0},
    {JSON_TYPE, false, "{\"error\":\"just text\"}", "stream_error upstream=\"just text\"", NULL, 0},
    {JSON_TYPE, false, "{\"error\":null,\"choices\":[{\"message\":{\"content\":\"a\"}}]}",
     "ok \"a\"", NULL, 0},
    {JSON_TYPE, false,
     "[{\"error\":{\"code\":429,\"message\":\"later\",\"status\":\"RESOURCE_EXHAUSTED\"}}]",
     "rate_limited upstream=\"later\"", NULL, 0},
    {JSON_TYPE, false,
     "{\"object\":\"error\",\"message\":\"too long\",\"type\":\"context_length_exceeded\"}",
     "context_too_long upstream=\"too long\"", NULL, 0},
    {JSON_TYPE, false, "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}",
     "quota_exceeded upstream=\"pay\" no_retry", NULL, 0},

    /* streams */
    {STREAM_TYPE, true,
     CHUNK("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null") CHUNK(
         "{\"content\":\"Hel\"}", "null") CHUNK("{\"content\":\"lo \xE2\x82\xAC\"}", "null")
         CHUNK("{}",
               "\"stop\"") "data: "
                           "{\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,"
                           "\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\ndata: [DONE]\n\n",
     "ok \"Hello \xE2\x82\xAC\" usage=5+1/2", "Hel^lo \xE2\x82\xAC^", 0},
    {STREAM_TYPE, false, CHUNK("{\"content\":\"a\"}", "\"stop\"") "data: [DONE]", "ok \"a\"", "a^",
     0},
    {"", true, CHUNK("{\"content\":\"a\"}", "\"stop\"") "data: [DONE]\r\n", "ok \"a\"", "a^", 0},
    {"text/plain", true,
     ": OPENROUTER PROCESSING\n\n" CHUNK("{\"content\":\"a\"}", "null") "data:[DONE]\n\n",
     "ok \"a\"", "a^", 0},
    /* finish_reason and a clean end will do */
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "null") CHUNK("{}", "\"stop\""), "ok \"a\"",
     "a^", 0},
    {STREAM_TYPE, true,
     CHUNK("{\"content\":\"a\"}",
           "null") "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}",
     "ok \"a\"", "a^", 0},
    /* one of the two must be there */
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "null") CHUNK("{\"content\":\"b\"}", "null"),
     "truncated_response usage=0+0/1", "a^b^", 0},
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "null") "data: {\"choices\":[{\"ind",
     "truncated_response usage=0+0/1", "a^", 0},
    {STREAM_TYPE, true, "", "truncated_response", "", 0},
    {STREAM_TYPE, true, ": ping\n\n", "truncated_response", "", 0},
    /* other choices and other shapes of chunks */
    {STREAM_TYPE, true,
     "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n"
     "data: "
     "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"},\"finish_reason\":\"stop\"}]}\n\n"
     "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"}}]}\n\ndata: [DONE]\n\n",
     "ok \"yes\"", "yes^", 0},
    {STREAM_TYPE, true,
     CHUNK("{\"content\":\"a\"}", "\"stop\"") "data: "
                                              "{\"choices\":[],\"x_groq\":{\"usage\":{\"prompt_"
                                              "tokens\":3,\"completion_tokens\":4}}}\n\n"
                                              "data: [DONE]\n\ndata: not read any more\n\n",
     "ok \"a\" usage=3+0/4", "a^", 0},
    {STREAM_TYPE, true,
     CHUNK("{\"refusal\":\"I \"}", "null")
         CHUNK("{\"refusal\":\"won't\"}", "\"stop\"") "data: [DONE]\n\n",
     "refused upstream=\"I won't\"", "", 0},
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "\"length\"") "data: [DONE]\n\n",
     "output_truncated usage=0+0/1", "a^", 0},
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "\"length\"") "data: [DONE]\n\n",
     "ok \"a\" usage=0+0/1", "a^", 9},
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "\"content_filter\""),
     "content_filtered usage=0+0/1", "a^", 0},
    {STREAM_TYPE, true, CHUNK("{}", "\"stop\"") "data: [DONE]\n\n", "empty_response", "", 0},
    /* errors, first and late */
    {STREAM_TYPE, true, "data: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n",
     "stream_error upstream=\"no\"", "", 0},
    {STREAM_TYPE, true, "event: error\ndata: {\"message\":\"no\"}\n\n", "stream_error", "", 0},
    {STREAM_TYPE, true,
     CHUNK("{\"content\":\"a\"}",
           "null") "data: {\"error\":{\"message\":\"slow "
                   "down\",\"code\":\"rate_limit_exceeded\"}}\n\ndata: [DONE]\n\n",
     "rate_limited usage=0+0/1 upstream=\"slow down\"", "a^", 0},
    {STREAM_TYPE, true,
     CHUNK("{\"content\":\"a\"}", "null") "data: "
                                          "{\"error\":{\"code\":502,\"message\":\"down\"},"
                                          "\"choices\":[{\"index\":0,\"delta\":{},"
                                          "\"finish_reason\":\"error\"}]}\n\n",
     "provider_error usage=0+0/1 upstream=\"down\"", "a^", 0},
    {STREAM_TYPE, true, CHUNK("{\"content\":\"a\"}", "\"error\"") "data: [DONE]\n\n",
     "stream_error usage=0+0/1", "a^", 0},
    {STREAM_TYPE, true, "data: {nonsense}\n\ndata: [DONE]\n\n", "bad_response", "", 0},
    {STREAM_TYPE, true, "data: 7\n\ndata: [DONE]\n\n", "bad_response", "", 0},
    {STREAM_TYPE, true, "data: {\"choices\":[{\"delta\":{\"content\":\"\xFF\"}}]}\n\n",
     "bad_response", "", 0},
};

START_TEST(an_answer_reads_the_same_wherever_it_is_cut)
{
    const struct answer *answer = &answers[_i];
    struct answer_probe probe;

    probe_init(&probe, answer->type, answer->stream);
    probe.request.max_tokens = answer->max_tokens;
    answer_probe_assert_cuts(&probe, answer->body, answer->result, answer->deltas);
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(a_cut_stream_is_not_a_whole_one)
{
    static const char whole[] = CHUNK("{\"content\":\"one \"}", "null")
        CHUNK("{\"content\":\"two\"}", "null") CHUNK("{}", "\"stop\"") "data: [DONE]\n\n";
    /* from here on the finish_reason is there */
    const size_t told = (size_t)(strstr(whole, "\"stop\"") - whole);
    struct answer_probe probe;

    probe_init(&probe, STREAM_TYPE, true);
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        const char *text;
        bool ok;

        answer_probe_read(&probe, pl_str_n(whole, len), len, 1);
        text = test_text(&probe.text);
        ok = strncmp(text, "ok \"one two\"", 12) == 0;
        ck_assert_msg(ok || strncmp(text, "truncated_response", 18) == 0, "%zu bytes: %s", len,
                      text);
        ck_assert_msg(!ok || len > told, "%zu bytes pass for whole", len);
    }
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(text_over_the_limit_is_refused)
{
    char *words = test_repeat("0123456789abcdef", 4097);
    struct answer_probe whole, stream;
    struct pl_buf body;

    pl_buf_init(&body, 1 << 20);
    probe_init(&whole, JSON_TYPE, false);
    pl_buf_printf(&body, "{\"choices\":[{\"message\":{\"content\":\"%s\"}}]}", words);
    ck_assert_str_eq(answer_probe_whole(&whole, body.data), "response_too_large");
    pl_buf_reset(&body);
    probe_init(&stream, STREAM_TYPE, true);
    pl_buf_printf(
        &body, "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\ndata: [DONE]\n\n", words);
    ck_assert_str_eq(answer_probe_whole(&stream, body.data), "response_too_large");
    answer_probe_finish(&whole);
    answer_probe_finish(&stream);
    pl_buf_finish(&body);
    free(words);
}
END_TEST

START_TEST(blanks_before_an_answer_are_looked_at_once_however_many_come)
{
    enum { PIECES = 200000, PIECE = 16 };
    const struct llm_request request = {.messages = PL_STR("[]"), .max_output = 4 << 20};
    struct openai_parser parser = {0};
    struct pl_err err = {0};

    openai_ops.begin(&parser, &request, PL_STR(JSON_TYPE));
    /* looking at all of them for each piece would take minutes, and the test has seconds */
    for (size_t i = 0; i < PIECES; i++)
        ck_assert_int_eq(openai_ops.feed(&parser, PL_STR("  \n  \n  \n  \n\t\t\r\n"), NULL, &err),
                         PL_OK);
    ck_assert_uint_eq(parser.blanks, (size_t)PIECES * PIECE);
    ck_assert_int_eq(openai_ops.feed(&parser, PL_STR(" {"), NULL, &err), PL_OK);
    ck_assert_int_eq(parser.mode, ANSWER_WHOLE);
    openai_ops.cleanup(&parser);
}
END_TEST

START_TEST(the_end_of_a_stream_is_known_before_the_connection_ends)
{
    const struct llm_request request = {.messages = PL_STR("[]"), .stream = true};
    const struct llm_sink sink = {0};
    struct openai_parser parser = {0};
    struct pl_err err;

    openai_ops.begin(&parser, &request, pl_str(STREAM_TYPE));
    ck_assert_int_eq(
        openai_ops.feed(&parser, PL_STR(CHUNK("{\"content\":\"a\"}", "\"stop\"")), &sink, &err),
        PL_OK);
    ck_assert(!openai_ops.ended(&parser));
    ck_assert_int_eq(openai_ops.feed(&parser, PL_STR("data: [DONE]\n\n"), &sink, &err), PL_OK);
    ck_assert(openai_ops.ended(&parser));
    openai_ops.cleanup(&parser);
}
END_TEST

/* ---- errors ---- */

static const struct {
    int status;
    const char *body, *result;
} errors[] = {
    {401,
     "{\"error\":{\"message\":\"Incorrect "
     "key\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}",
     "auth_failed upstream=\"Incorrect key\""},
    {403, "{}", "auth_failed upstream=\"{}\""},
    {402, "", "quota_exceeded no_retry"},
    {429,
     "{\"error\":{\"message\":\"Rate "
     "limit\",\"type\":\"tokens\",\"code\":\"rate_limit_exceeded\"}}",
     "rate_limited upstream=\"Rate limit\""},
    {429, "", "rate_limited"},
    {429, "{\"error\":{\"message\":\"Quota\",\"type\":\"insufficient_quota\",\"code\":null}}",
     "quota_exceeded upstream=\"Quota\" no_retry"},
    {404, "{\"error\":{\"message\":\"The model x does not exist\",\"code\":\"model_not_found\"}}",
     "model_not_found upstream=\"The model x does not exist\""},
    {404, "<html>nginx</html>", "model_not_found upstream=\"<html>nginx</html>\""},
    {400, "{\"error\":{\"message\":\"too long\",\"code\":\"context_length_exceeded\"}}",
     "context_too_long upstream=\"too long\""},
    {400, "{\"error\":{\"message\":\"blocked\",\"code\":\"content_filter\",\"innererror\":{}}}",
     "content_filtered upstream=\"blocked\""},
    {400, "{\"error\":{\"message\":\"bad\"}}", "bad_request upstream=\"bad\""},
    {422, "{\"detail\":\"x\"}", "bad_request upstream=\"{\\\"detail\\\":\\\"x\\\"}\""},
    {408, "", "timeout"},
    {409, "", "provider_error"},
    {498, "", "overloaded"},
    {500, "oops", "provider_error upstream=\"oops\""},
    {502, "", "provider_error"},
    {503, "", "overloaded"},
    {529, "", "overloaded"},
    {301, "", "bad_response no_retry"},
};

START_TEST(an_error_answer_has_the_right_code)
{
    struct answer_probe probe;

    probe_init(&probe, "", false);
    ck_assert_str_eq(answer_probe_error(&probe, errors[_i].status, errors[_i].body),
                     errors[_i].result);
    ck_assert_int_eq(probe.result.upstream_status, errors[_i].status);
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(a_long_upstream_message_is_cut_at_a_character)
{
    char *euros = test_repeat("\xE2\x82\xAC", 2000);
    struct step_result result;

    step_result_init(&result);
    openai_ops.error(500, pl_str(euros), &result);
    ck_assert_uint_eq(pl_value_text(result.upstream).len, 2 + 2046);
    ck_assert_int_eq(json_check(pl_value_text(result.upstream), 4, NULL, NULL), PL_OK);
    step_result_finish(&result);
    free(euros);
}
END_TEST

/* ---- requests ---- */

static struct pl_arena *arena;
static struct provider provider;

static void set_up(void)
{
    arena = pl_arena_create(0);
    provider = (struct provider){
        .ops = &openai_ops, .name = PL_STR("local"), .base_url = PL_STR("http://127.0.0.1:1/v1")};
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static const char *build_body(const struct llm_request *request)
{
    return test_build_request(&provider, request, arena, NULL);
}

START_TEST(a_request_holds_what_the_step_says)
{
    const struct llm_request request = {
        .model = PL_STR("a/b\"c"),
        .system = PL_STR("be \"kind\""),
        .messages = PL_STR("[{\"role\":\"user\",\"content\":\"hi\"}]"),
        .temperature = PL_STR("0.50"),
        .max_tokens = 7,
        .seed = PL_STR("12"),
        .stop = PL_STR("[\"x\"]"),
        .extra = PL_STR("{\"top_p\":0.1,\"user\":\"u\"}"),
        .stream = true,
    };

    ck_assert_str_eq(build_body(&request),
                     "{\"model\":\"a/b\\\"c\",\"messages\":[{\"role\":\"system\",\"content\":\"be "
                     "\\\"kind\\\"\"},{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":0.50,"
                     "\"max_tokens\":7,\"seed\":12,\"stop\":[\"x\"],\"stream\":true,"
                     "\"stream_options\":{\"include_usage\":true},\"top_p\":0.1,\"user\":\"u\"}");
}
END_TEST

START_TEST(a_request_without_options_is_small)
{
    const struct llm_request request = {.model = PL_STR("m"), .messages = PL_STR("[]")};
    const struct llm_request system = {
        .model = PL_STR("m"), .system = PL_STR(""), .messages = PL_STR(" [ ] ")};

    ck_assert_str_eq(build_body(&request), "{\"model\":\"m\",\"messages\":[]}");
    ck_assert_str_eq(build_body(&system),
                     "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"\"}]}");
}
END_TEST

START_TEST(what_another_provider_wants_back_is_not_sent)
{
    struct llm_request request = {
        .model = PL_STR("m"),
        .messages = PL_STR("[{\"role\":\"user\",\"content\":\"say \\\"replay\\\"\"},{\"role\":"
                           "\"assistant\",\"content\":\"a\",\"replay\":{\"anthropic\":[{\"type\":"
                           "\"thinking\"}]},\"name\":\"n\"}]")};

    ck_assert_str_eq(build_body(&request),
                     "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"say "
                     "\\\"replay\\\"\"},{\"role\":\"assistant\",\"content\":\"a\",\"name\":\"n\"}"
                     "]}");
    request.system = PL_STR("s");
    ck_assert_str_eq(build_body(&request),
                     "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                     "{\"role\":\"user\",\"content\":\"say \\\"replay\\\"\"},{\"role\":"
                     "\"assistant\",\"content\":\"a\",\"name\":\"n\"}]}");
}
END_TEST

START_TEST(openai_itself_gets_the_new_name_of_max_tokens)
{
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[]"), .max_tokens = 3};

    provider.base_url = PL_STR("https://api.openai.com/v1");
    ck_assert_str_eq(build_body(&request),
                     "{\"model\":\"m\",\"messages\":[],\"max_completion_tokens\":3}");
}
END_TEST

START_TEST(extra_wins_over_the_step_but_not_over_the_messages)
{
    const struct llm_request wins = {
        .model = PL_STR("m"),
        .messages = PL_STR("[]"),
        .temperature = PL_STR("1"),
        .max_tokens = 3,
        .stream = true,
        .extra = PL_STR("{\"temperature\":0,\"max_completion_tokens\":9,\"stream_options\":{}}")};
    const char *const refused[] = {"{\"model\":\"x\"}", "{\"messages\":[]}", "{\"stream\":true}"};

    ck_assert_str_eq(build_body(&wins),
                     "{\"model\":\"m\",\"messages\":[],\"stream\":true,\"temperature\":0,"
                     "\"max_completion_tokens\":9,\"stream_options\":{}}");
    for (size_t i = 0; i < PL_ARRAY_LEN(refused); i++) {
        const struct llm_request request = {
            .model = PL_STR("m"), .messages = PL_STR("[]"), .extra = pl_str(refused[i])};

        ck_assert_ptr_nonnull(strstr(build_body(&request), "!invalid_argument "));
    }
}
END_TEST

START_TEST(authorization_is_sent_only_when_there_is_a_key)
{
    struct pl_err err;

    ck_assert_int_eq(openai_ops.configure(&provider, arena, &err), PL_OK);
    ck_assert_uint_eq(provider.n_headers, 2);
    ck_assert_str_eq(provider.url.ptr, "http://127.0.0.1:1/v1/chat/completions");
    provider.api_key = PL_STR("sk-1");
    ck_assert_int_eq(openai_ops.configure(&provider, arena, &err), PL_OK);
    ck_assert_uint_eq(provider.n_headers, 3);
    ck_assert_str_eq(test_str(provider.headers[2].name), "authorization");
    ck_assert_str_eq(test_str(provider.headers[2].value), "Bearer sk-1");
    provider.api_key = PL_STR("sk-1\n");
    ck_assert_int_eq(openai_ops.configure(&provider, arena, &err), PL_ERR_INVALID_CONFIG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("openai");
    TCase *tcase = tcase_create("openai");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, an_answer_reads_the_same_wherever_it_is_cut, 0,
                        (int)PL_ARRAY_LEN(answers));
    tcase_add_test(tcase, a_cut_stream_is_not_a_whole_one);
    tcase_add_test(tcase, text_over_the_limit_is_refused);
    tcase_add_test(tcase, blanks_before_an_answer_are_looked_at_once_however_many_come);
    tcase_add_test(tcase, the_end_of_a_stream_is_known_before_the_connection_ends);
    tcase_add_loop_test(tcase, an_error_answer_has_the_right_code, 0, (int)PL_ARRAY_LEN(errors));
    tcase_add_test(tcase, a_long_upstream_message_is_cut_at_a_character);
    tcase_add_test(tcase, a_request_holds_what_the_step_says);
    tcase_add_test(tcase, a_request_without_options_is_small);
    tcase_add_test(tcase, what_another_provider_wants_back_is_not_sent);
    tcase_add_test(tcase, openai_itself_gets_the_new_name_of_max_tokens);
    tcase_add_test(tcase, extra_wins_over_the_step_but_not_over_the_messages);
    tcase_add_test(tcase, authorization_is_sent_only_when_there_is_a_key);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
