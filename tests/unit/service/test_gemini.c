/* test_gemini.c - answers of the Gemini API: whole and streamed, cut at every byte, with tool
 * calls, and errors in all their shapes. Not requests (test_gemini_request) and not the connection
 * (test_llm_step). Run by ctest. */
#include "service/llm/gemini.h"
#include "service/workflow/workflow.h"
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"search\"}}]"

static const struct schema_use any_schema = {.json = {"{}", 2}};

/* ---- reading ---- */

enum with { STREAM = 1, TOOL = 2, SCHEMA = 4 };

struct answer {
    unsigned with;
    const char *type; /* content-type */
    const char *body;
    const char *result; /* as write_result says */
    const char *deltas; /* each followed by ^; NULL: not compared */
    int64_t max_tokens;
};

/* The outcome; then usage (input+cached/output:reasoning), the hint, flags and facts that are
 * set. */
static void write_result(const struct answer_probe *probe, struct step_result *result,
                         const void *parser, struct pl_buf *out)
{
    const struct gemini_parser *state = parser;
    const struct store_usage *usage = &result->usage;
    struct pl_value *facts = step_result_take_facts(result);

    answer_write_outcome(probe, result, parser, out);
    if (state && state->has_usage)
        pl_buf_printf(out, " usage=%d+%d/%d:%d", (int)usage->input_tokens,
                      (int)usage->cached_input_tokens, (int)usage->output_tokens,
                      (int)usage->reasoning_tokens);
    if (result->retry_after >= 0)
        pl_buf_printf(out, " after=%d", (int)result->retry_after);
    if (result->no_retry)
        pl_buf_text(out, " no_retry");
    if (facts)
        pl_buf_printf(out, " %.*s", PL_STR_ARG(pl_value_text(facts)));
    pl_value_unref(&facts);
}

static void probe_init(struct answer_probe *probe, const char *type, unsigned with)
{
    answer_probe_init(probe, &gemini_ops, type);
    probe->request.stream = with & STREAM;
    probe->request.tools = with & TOOL ? PL_STR(TOOLS) : PL_STR("");
    probe->request.schema = with & SCHEMA ? &any_schema : NULL;
    probe->request.identity = PL_STR("agent.2");
    probe->write = write_result;
    probe->hang_up = true;
}

/* ---- answers ---- */

#define JSON_TYPE   "application/json; charset=UTF-8"
#define EVENTS_TYPE "text/event-stream"
/* An answer whose candidate has these parts; `more` are further members, each with a comma before.
 */
#define ANSWER(parts, more)                                                                      \
    "{\"candidates\":[{\"content\":{\"parts\":[" parts "],\"role\":\"model\"}" more ",\"index\"" \
    ":0}]"
#define FINISH(word) ",\"finishReason\":\"" word "\""
#define USAGE(prompt, candidates) \
    ",\"usageMetadata\":{\"promptTokenCount\":" prompt ",\"candidatesTokenCount\":" candidates "}"
#define TEXT(text)   "{\"text\":\"" text "\"}"
#define EVENT(json)  "data: " json "\r\n\r\n"
#define FACT(finish) " {\"finish_reason\":\"" finish "\"}"

static const struct answer answers[] = {
    /* whole */
    {0, JSON_TYPE,
     "{\n  \"candidates\": [\n    {\n      \"content\": {\n        \"parts\": [\n          {\n     "
     "       \"text\": \"Hello \\u00e9\\n\"\n          },{\"text\":\"you\"}\n        ],\n        "
     "\"role\": \"model\"\n      },\n      \"finishReason\": \"STOP\",\n      \"avgLogprobs\": "
     "-0.03\n    }\n  ],\n  \"usageMetadata\": {\n    \"promptTokenCount\": 40,\n    "
     "\"cachedContentTokenCount\": 30,\n    \"candidatesTokenCount\": 7,\n    "
     "\"totalTokenCount\": 147,\n    \"thoughtsTokenCount\": 100,\n \"promptTokensDetails\": [{"
     "\"modality\":\"TEXT\",\"tokenCount\":40}]\n  },\n  \"modelVersion\": \"gemini-2.5-flash\",\n "
     " \"responseId\": \"abc-1\"\n}\n",
     "ok \"Hello \xC3\xA9\\nyou\" usage=40+30/107:100 "
     "{\"finish_reason\":\"stop\",\"response_id\":\"abc-1\"}",
     "", 0},
    {STREAM, JSON_TYPE, ANSWER(TEXT("a b"), FINISH("STOP")) "}", "ok \"a b\"" FACT("stop"), "a b^",
     0},
    {0, "", ANSWER(TEXT("a"), "") "}", "ok \"a\"", NULL, 0},
    {0, JSON_TYPE,
     ANSWER("{\"text\":\"I think\",\"thought\":true}," TEXT("so") ",{\"executableCode\":{}},{"
                                                                  "\"inlineData\":{}}",
            FINISH("STOP")) "}",
     "ok \"so\"" FACT("stop"), NULL, 0},
    {0, JSON_TYPE,
     "{\"candidates\":[{\"index\":1,\"content\":{\"parts\":[" TEXT(
         "no") "]}},{\"content\":{\"parts\":[" TEXT("yes") "]}}]}",
     "ok \"yes\"", NULL, 0},
    /* what is no plain success */
    {TOOL, JSON_TYPE,
     ANSWER("{\"text\":{\"a\":null}},{\"functionCall\":{\"id\":\"1\",\"name\":\"s\"}}",
            FINISH("STOP")) "}",
     "bad_response", NULL, 0},
    {0, JSON_TYPE,
     ANSWER(TEXT("a"),
            FINISH("STOP")) ",\"usageMetadata\":{\"promptTokenCount\":9223372036854775807,"
                            "\"toolUsePromptTokenCount\":9223372036854775807,"
                            "\"candidatesTokenCount\":-1}}",
     "ok \"a\" usage=0+0/0:0" FACT("stop"), NULL, 0},
    {0, JSON_TYPE, ANSWER(TEXT("half"), FINISH("MAX_TOKENS")) "}",
     "output_truncated" FACT("length"), NULL, 0},
    {0, JSON_TYPE, ANSWER(TEXT("half"), FINISH("MAX_TOKENS")) "}", "ok \"half\"" FACT("length"),
     NULL, 5},
    {SCHEMA, JSON_TYPE, ANSWER(TEXT("{"), FINISH("MAX_TOKENS")) "}",
     "output_truncated" FACT("length"), NULL, 5},
    {0, JSON_TYPE,
     "{\"candidates\":[{\"content\":{\"role\":\"model\"},\"finishReason\":\"MAX_TOKENS\"}],"
     "\"usageMetadata\":{\"promptTokenCount\":4,\"thoughtsTokenCount\":50}}",
     "output_truncated usage=4+0/50:50" FACT("length"), NULL, 50},
    {0, JSON_TYPE, ANSWER(TEXT("ha"), FINISH("SAFETY")) "}",
     "content_filtered" FACT("content_filter"), NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[{\"finishReason\":\"RECITATION\",\"index\":0}]}",
     "content_filtered" FACT("content_filter"), NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[{\"finishReason\":\"PROHIBITED_CONTENT\"}]}",
     "content_filtered" FACT("content_filter"), NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[{\"finishReason\":\"SPII\"}]}",
     "content_filtered" FACT("content_filter"), NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[{\"finishReason\":\"BLOCKLIST\"}]}",
     "content_filtered" FACT("content_filter"), NULL, 0},
    {0, JSON_TYPE,
     "{\"promptFeedback\":{\"blockReason\":\"SAFETY\",\"safetyRatings\":[]},\"usageMetadata\":{"
     "\"promptTokenCount\":4}}",
     "content_filtered usage=4+0/0:0" FACT("content_filter"), NULL, 0},
    {TOOL, JSON_TYPE,
     "{\"candidates\":[{\"finishReason\":\"MALFORMED_FUNCTION_CALL\",\"finishMessage\":"
     "\"Malformed function call: search(\"}]}",
     "bad_response" FACT("error"), NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[{\"finishReason\":\"OTHER\"}]}",
     "provider_error" FACT("error"), NULL, 0},
    {0, JSON_TYPE, ANSWER(TEXT(""), FINISH("STOP")) "}", "empty_response" FACT("stop"), NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[]}", "empty_response", NULL, 0},
    {0, JSON_TYPE, "", "empty_response", NULL, 0},
    {0, JSON_TYPE, "{\"choices\":[]}", "bad_response", NULL, 0},
    {0, JSON_TYPE, "{\"candidates\":[{\"con", "bad_response", NULL, 0},
    {STREAM, "text/html", "<!DOCTYPE html><title>Hello</title>", "bad_response", NULL, 0},
    {STREAM, "text/html", "default backend - 404", "bad_response", NULL, 0},
    {STREAM, "", "id", "bad_response", NULL, 0},
    {STREAM, "", "retry: 5\n\ndata: " ANSWER(TEXT("a"), FINISH("STOP")) "}\n\n",
     "ok \"a\"" FACT("stop"), "a^", 0},
    {STREAM, JSON_TYPE, "null", "bad_response", NULL, 0},
    {0, JSON_TYPE,
     "{\"error\":{\"code\":503,\"message\":\"The model is overloaded.\",\"status\":"
     "\"UNAVAILABLE\"}}",
     "overloaded", NULL, 0},
    {STREAM, JSON_TYPE,
     "[{\"error\":{\"code\":429,\"message\":\"later\",\"status\":\"RESOURCE_EXHAUSTED\"}}]",
     "rate_limited", NULL, 0},

    /* streams */
    {STREAM, EVENTS_TYPE,
     EVENT(ANSWER(TEXT("Hel"), "") USAGE("9", "1") "}")
         EVENT(ANSWER(TEXT("lo \xE2\x82\xAC"), "") USAGE("9", "3") "}")
             EVENT(ANSWER(TEXT("!"), FINISH("STOP")) USAGE("9", "4") ",\"responseId\":\"r\"}"),
     "ok \"Hello \xE2\x82\xAC!\" usage=9+0/4:0 {\"finish_reason\":\"stop\",\"response_id\":\"r\"}",
     "Hel^lo \xE2\x82\xAC^!^", 0},
    {STREAM, "",
     ": hello\n\ndata:" ANSWER(TEXT("a"), "") "}\n\ndata: " ANSWER(TEXT(""), FINISH("STOP")) "}\n",
     "ok \"a\"" FACT("stop"), "a^", 0},
    /* thoughts are not the answer; the count may come behind the end */
    {STREAM, EVENTS_TYPE,
     EVENT(ANSWER("{\"text\":\"**Thinking**\",\"thought\":true}", "") "}")
         EVENT(ANSWER(TEXT("a"), FINISH("STOP")) "}")
             EVENT("{\"usageMetadata\":{\"promptTokenCount\":3,\"candidatesTokenCount\":1,"
                   "\"thoughtsTokenCount\":20}}"),
     "ok \"a\" usage=3+0/21:20" FACT("stop"), "a^", 0},
    /* the list that a stream is without alt=sse */
    {STREAM, JSON_TYPE,
     "[" ANSWER(TEXT("a"), "") "}\n,\r\n" ANSWER(TEXT("b"), FINISH("STOP")) USAGE("1", "2") "}\n]",
     "ok \"ab\" usage=1+0/2:0" FACT("stop"), "a^b^", 0},
    {STREAM, JSON_TYPE, "[" ANSWER(TEXT("a"), "") "}]", "truncated_response", NULL, 0},
    {STREAM, EVENTS_TYPE,
     EVENT("{\"promptFeedback\":{\"blockReason\":\"PROHIBITED_CONTENT\"}}") EVENT("{}"),
     "content_filtered" FACT("content_filter"), "", 0},
    {STREAM, EVENTS_TYPE,
     EVENT(ANSWER(TEXT("a"), "") "}")
         EVENT("{\"candidates\":[{\"finishReason\":\"SAFETY\"}]" USAGE("1", "2") "}"),
     "content_filtered usage=1+0/2:0" FACT("content_filter"), "a^", 0},
    /* no finishReason: cut */
    {STREAM, EVENTS_TYPE, EVENT(ANSWER(TEXT("a"), "") "}"), "truncated_response", "a^", 0},
    {STREAM, EVENTS_TYPE, EVENT(ANSWER(TEXT("a"), "") "}") "data: {\"candidates\":[{\"con",
     "truncated_response", "a^", 0},
    {STREAM, EVENTS_TYPE, "", "truncated_response", "", 0},
    /* errors: as an event, bare, bare in a list, bare behind an event without its empty line */
    {STREAM, EVENTS_TYPE,
     EVENT("{\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}"),
     "overloaded", "", 0},
    {STREAM, EVENTS_TYPE,
     EVENT(ANSWER(TEXT("a"), "") "}") "{\n  \"error\": {\n    \"code\": 429,\n    \"message\": "
                                      "\"Please retry in 1.5s.\",\n    \"status\": "
                                      "\"RESOURCE_EXHAUSTED\"\n  }\n}\n",
     "rate_limited after=1500", "a^", 0},
    {STREAM, EVENTS_TYPE,
     EVENT(ANSWER(TEXT("a"), "") "}") "[{\n\"error\":{\"code\":500,\"message\":\"[x]\"}}\n]\r\n",
     "provider_error", "a^", 0},
    {STREAM, EVENTS_TYPE,
     "data: " ANSWER(TEXT("a"), "") "}\n{\"error\":{\"code\":400,\"message\":\"no\"}}",
     "bad_request", "a^", 0},
    {STREAM, EVENTS_TYPE, EVENT(ANSWER(TEXT("a"), "") "}") "{\"err", "truncated_response", "a^", 0},
    {STREAM, EVENTS_TYPE, EVENT(ANSWER(TEXT("a"), "") "}") "{\"what\":1}\n", "bad_response", "a^",
     0},
    {STREAM, EVENTS_TYPE, "data: {nonsense}\n\n", "bad_response", "", 0},
    {STREAM, EVENTS_TYPE, "data: 7\n\n", "bad_response", "", 0},

    /* tool calls: STOP is how they end */
    {TOOL, JSON_TYPE,
     ANSWER("{\"functionCall\":{\"name\":\"search\",\"args\":{\"q\": \"caf\\u00e9\"}}},{"
            "\"functionCall\":{\"name\":\"read\"}}",
            FINISH("STOP")) "}",
     "ok {\"content\":null,\"tool_calls\":[{\"id\":\"call_2_0\",\"name\":\"search\",\"arguments\":"
     "\"{\\\"q\\\":\\\"caf\\\\u00e9\\\"}\"},{\"id\":\"call_2_1\",\"name\":\"read\",\"arguments\":"
     "\"{}\"}]}" FACT("tool_calls"),
     "", 0},
    {STREAM | TOOL, EVENTS_TYPE,
     EVENT(ANSWER("{\"text\":\"hm\",\"thought\":true}", "") "}") EVENT(ANSWER(TEXT("Let "), "") "}")
         EVENT(ANSWER(TEXT("me."), "") "}") EVENT(
             ANSWER("{\"functionCall\":{\"id\":\"c1\",\"name\":\"search\",\"args\":{\"q\":1}},"
                    "\"thoughtSignature\":\"c2ln\\/\"}",
                    "") "}") EVENT(ANSWER("{\"functionCall\":{\"name\":\"read\",\"args\":{}}}",
                                          FINISH("STOP")) USAGE("1", "2") "}"),
     "ok {\"content\":\"Let me.\",\"tool_calls\":[{\"id\":\"c1\",\"name\":\"search\",\"arguments\":"
     "\"{\\\"q\\\":1}\"},{\"id\":\"call_2_1\",\"name\":\"read\",\"arguments\":\"{}\"}],\"replay\":{"
     "\"gemini\":[{\"text\":\"Let me.\"},{\"functionCall\":{\"id\":\"c1\",\"name\":\"search\","
     "\"args\":{\"q\":1}},\"thoughtSignature\":\"c2ln\\/\"},{\"functionCall\":{\"name\":\"read\","
     "\"args\":{}}}]}} usage=1+0/2:0" FACT("tool_calls"),
     "Let ^me.^", 0},
    /* a signature on a text of its own stays there; text may be the last part */
    {STREAM | TOOL, EVENTS_TYPE,
     EVENT(ANSWER("{\"functionCall\":{\"name\":\"search\",\"args\":{}},\"thoughtSignature\":"
                  "\"QQ==\"}",
                  "") "}") EVENT(ANSWER("{\"text\":\"\",\"thoughtSignature\":\"Qg==\"}," TEXT("x"),
                                        FINISH("STOP")) USAGE("1", "2") "}"),
     "ok {\"content\":\"x\",\"tool_calls\":[{\"id\":\"call_2_0\",\"name\":\"search\",\"arguments\":"
     "\"{}\"}],\"replay\":{\"gemini\":[{\"functionCall\":{\"name\":\"search\",\"args\":{}},"
     "\"thoughtSignature\":\"QQ==\"},{\"text\":\"\",\"thoughtSignature\":\"Qg==\"},{\"text\":"
     "\"x\"}]}} usage=1+0/2:0" FACT("tool_calls"),
     "x^", 0},
    {TOOL, JSON_TYPE,
     ANSWER("{\"text\":\"done\",\"thoughtSignature\":\"QQ==\"}", FINISH("STOP")) "}",
     "ok {\"content\":\"done\",\"tool_calls\":[]}" FACT("stop"), "", 0},
    {TOOL, JSON_TYPE, ANSWER("{\"functionCall\":{}}", FINISH("STOP")) "}",
     "bad_response" FACT("tool_calls"), NULL, 0},
    {TOOL, JSON_TYPE, ANSWER("{\"functionCall\":{\"name\":\"search\"}}", FINISH("MAX_TOKENS")) "}",
     "output_truncated" FACT("length"), NULL, 5},
    {0, JSON_TYPE, ANSWER("{\"functionCall\":{\"name\":\"search\"}}", FINISH("STOP")) "}",
     "empty_response" FACT("stop"), NULL, 0},
};

START_TEST(an_answer_reads_the_same_wherever_it_is_cut)
{
    const struct answer *answer = &answers[_i];
    struct answer_probe probe;

    probe_init(&probe, answer->type, answer->with);
    probe.request.max_tokens = answer->max_tokens;
    answer_probe_assert_cuts(&probe, answer->body, answer->result, answer->deltas);
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(a_cut_stream_is_not_a_whole_one)
{
    static const char whole[] =
        EVENT(ANSWER(TEXT("one "), "") "}") EVENT(ANSWER(TEXT("two"), FINISH("STOP")) "}");
    /* from here on the last object is whole, if not its event */
    const size_t told = sizeof(whole) - 1 - 4;
    struct answer_probe probe;

    probe_init(&probe, EVENTS_TYPE, STREAM);
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        const char *text;
        bool ok;

        answer_probe_read(&probe, pl_str_n(whole, len), len, 1);
        text = test_text(&probe.text);
        ok = strncmp(text, "ok \"one two\"", 12) == 0;
        ck_assert_msg(ok == (len >= told), "%zu bytes: %s", len, text);
        ck_assert_msg(ok || strcmp(text, "truncated_response") == 0, "%zu bytes: %s", len, text);
    }
    answer_probe_finish(&probe);
}
END_TEST

START_TEST(text_and_parts_over_the_limit_are_refused)
{
    char *words = test_repeat("0123456789abcdef", 4097);
    struct answer_probe text, parts;
    struct pl_buf body;

    pl_buf_init(&body, 1 << 20);
    probe_init(&text, JSON_TYPE, 0);
    pl_buf_printf(&body, ANSWER("{\"text\":\"%s\"}", "") "}", words);
    ck_assert_str_eq(answer_probe_whole(&text, body.data), "response_too_large");
    pl_buf_reset(&body);
    probe_init(&parts, JSON_TYPE, TOOL);
    pl_buf_printf(&body,
                  ANSWER("{\"functionCall\":{\"name\":\"f\",\"args\":{\"a\":\"%s\"}}}", "") "}",
                  words);
    ck_assert_str_eq(answer_probe_whole(&parts, body.data), "response_too_large");
    answer_probe_finish(&text);
    answer_probe_finish(&parts);
    pl_buf_finish(&body);
    free(words);
}
END_TEST

START_TEST(the_end_of_a_stream_is_known_before_the_connection_ends)
{
    const struct llm_request request = {.messages = PL_STR("[]"), .stream = true};
    const struct llm_sink sink = {0};
    struct gemini_parser parser = {0};
    struct pl_err err;

    gemini_ops.begin(&parser, &request, PL_STR(EVENTS_TYPE));
    ck_assert_int_eq(gemini_ops.feed(&parser,
                                     PL_STR(EVENT(ANSWER(TEXT("a"), "") USAGE("1", "1") "}")),
                                     &sink, &err),
                     PL_OK);
    ck_assert(!gemini_ops.ended(&parser));
    ck_assert_int_eq(
        gemini_ops.feed(&parser, PL_STR(EVENT(ANSWER(TEXT("a"), FINISH("STOP")) "}")), &sink, &err),
        PL_OK);
    ck_assert_msg(!gemini_ops.ended(&parser), "its tokens are not counted yet");
    ck_assert_int_eq(gemini_ops.feed(&parser,
                                     PL_STR(EVENT("{\"usageMetadata\":{\"promptTokenCount\":1}}")),
                                     &sink, &err),
                     PL_OK);
    ck_assert(gemini_ops.ended(&parser));
    gemini_ops.cleanup(&parser);
}
END_TEST

START_TEST(json_without_an_end_in_a_stream_is_not_kept_for_ever)
{
    const struct llm_request request = {.messages = PL_STR("[]"), .stream = true};
    const struct llm_sink sink = {0};
    struct gemini_parser parser = {0};
    struct pl_err err;

    gemini_ops.begin(&parser, &request, PL_STR(EVENTS_TYPE));
    ck_assert_int_eq(gemini_ops.feed(&parser, PL_STR(": a\n{\n"), &sink, &err), PL_OK);
    for (int i = 0; i < 1 << 20 && !gemini_ops.ended(&parser); i++)
        ck_assert_int_eq(gemini_ops.feed(&parser, PL_STR("{}"), &sink, &err), PL_OK);
    ck_assert(gemini_ops.ended(&parser));
    ck_assert_uint_le(parser.body.len, 128 << 10);
    gemini_ops.cleanup(&parser);
}
END_TEST

/* ---- errors ---- */

#define ERROR(code, message, status, details)                                         \
    "{\"error\":{\"code\":" #code ",\"message\":\"" message "\",\"status\":\"" status \
    "\",\"details\":[" details "]}}"
#define RETRY(delay) \
    "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
#define QUOTA(id)                                                                                  \
    "{\"@type\":\"type.googleapis.com/google.rpc.QuotaFailure\",\"violations\":[{\"quotaMetric\":" \
    "\"m\",\"quotaId\":\"" id "\",\"quotaValue\":\"15\"}]}"

static const struct {
    int status;
    const char *body, *result;
} errors[] = {
    {429,
     ERROR(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED",
           QUOTA("GenerateRequestsPerMinutePerProjectPerModel-FreeTier") "," RETRY("34.07s")),
     "rate_limited after=34070"},
    {429, "[" ERROR(429, "later", "RESOURCE_EXHAUSTED", RETRY("900ms")) "]",
     "rate_limited after=900"},
    {429, ERROR(429, "later", "RESOURCE_EXHAUSTED", RETRY("60s")), "rate_limited after=60000"},
    {429, ERROR(429, "Please retry in 12.5s.", "RESOURCE_EXHAUSTED", ""),
     "rate_limited after=12500"},
    {429,
     ERROR(429, "slowly", "RESOURCE_EXHAUSTED",
           QUOTA("GenerateRequestsPerMinutePerProjectPerModel-FreeTier")),
     "rate_limited after=60000"},
    {429, ERROR(429, "slowly", "RESOURCE_EXHAUSTED", RETRY("soon")), "rate_limited"},
    {429,
     ERROR(429, "enough for today", "RESOURCE_EXHAUSTED",
           QUOTA("GenerateRequestsPerDayPerProjectPerModel-FreeTier") "," RETRY("34s")),
     "quota_exceeded after=34000 no_retry"},
    {400,
     ERROR(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT",
           "{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"API_KEY_INVALID\","
           "\"domain\":\"googleapis.com\"}"),
     "auth_failed"},
    {400, ERROR(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT", ""),
     "auth_failed"},
    {403, ERROR(403, "denied", "PERMISSION_DENIED", ""), "auth_failed"},
    {401, ERROR(401, "who?", "UNAUTHENTICATED", ""), "auth_failed"},
    {400,
     ERROR(400,
           "The input token count (2000000) exceeds the maximum number of tokens allowed "
           "(1048576).",
           "INVALID_ARGUMENT", ""),
     "context_too_long"},
    {400, ERROR(400, "Unknown name \\\"x\\\"", "INVALID_ARGUMENT", ""), "bad_request"},
    {404, ERROR(404, "models/x is not found", "NOT_FOUND", ""), "model_not_found"},
    {499, ERROR(499, "The operation was cancelled.", "CANCELLED", ""), "overloaded"},
    {500, ERROR(500, "An internal error has occurred.", "INTERNAL", ""), "provider_error"},
    {503, ERROR(503, "The model is overloaded.", "UNAVAILABLE", ""), "overloaded"},
    {504, ERROR(504, "too late", "DEADLINE_EXCEEDED", ""), "provider_error"},
    {502, "<html>bad gateway</html>", "provider_error"},
    {404, "", "model_not_found"},
    {400, "{\"error\":\"just words\"}", "bad_request"},
    {302, "", "bad_response no_retry"},
};

START_TEST(an_error_answer_has_the_right_code)
{
    struct answer_probe probe;

    probe_init(&probe, "", 0);
    ck_assert_str_eq(answer_probe_error(&probe, errors[_i].status, errors[_i].body),
                     errors[_i].result);
    ck_assert_int_eq(probe.result.upstream_status, errors[_i].status);
    answer_probe_finish(&probe);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gemini");
    TCase *tcase = tcase_create("gemini");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, an_answer_reads_the_same_wherever_it_is_cut, 0,
                        (int)PL_ARRAY_LEN(answers));
    tcase_add_test(tcase, a_cut_stream_is_not_a_whole_one);
    tcase_add_test(tcase, text_and_parts_over_the_limit_are_refused);
    tcase_add_test(tcase, the_end_of_a_stream_is_known_before_the_connection_ends);
    tcase_add_test(tcase, json_without_an_end_in_a_stream_is_not_kept_for_ever);
    tcase_add_loop_test(tcase, an_error_answer_has_the_right_code, 0, (int)PL_ARRAY_LEN(errors));
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
