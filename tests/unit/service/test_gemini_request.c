/* test_gemini_request.c - requests to the Gemini API: URL and headers, the conversation, tools, the
 * form of the answer, what `extra` changes. Not answers (test_gemini). Run by ctest. */
#include "service/llm/gemini.h"
#include "service/workflow/workflow.h"
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

#define USER "[{\"role\":\"user\",\"content\":\"hi\"}]"
#define HI   "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]"

static struct pl_arena *arena;
static struct provider provider;

static void set_up(void)
{
    arena = pl_arena_create(0);
    ck_assert_ptr_nonnull(arena);
    provider = (struct provider){.ops = &gemini_ops,
                                 .name = PL_STR("gemini"),
                                 .base_url = PL_STR("https://generativelanguage.googleapis.com"),
                                 .api_key = PL_STR("AIza-test")};
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static const char *body_of(const struct llm_request *request)
{
    return test_build_request(&provider, request, arena, NULL);
}

static struct http_request build(const struct llm_request *request)
{
    struct http_request http = {0};
    const char *body = test_build_request(&provider, request, arena, &http);

    ck_assert_msg(body[0] != '!', "%s", body);
    return http;
}

static void assert_refused(const struct llm_request *request, const char *words)
{
    const char *said = body_of(request);

    ck_assert_msg(strstr(said, "!invalid_argument ") == said && strstr(said, words), "%s", said);
}

/* ---- URL and headers ---- */

static const struct {
    const char *base, *model, *url;
} urls[] = {
    {"https://generativelanguage.googleapis.com", "gemini-2.5-flash",
     "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"},
    {"http://127.0.0.1:1", "models/gemini-2.5-flash",
     "http://127.0.0.1:1/v1beta/models/gemini-2.5-flash:generateContent"},
    {"http://127.0.0.1:1", "tunedModels/mine",
     "http://127.0.0.1:1/v1beta/tunedModels/mine:generateContent"},
    {"http://127.0.0.1:1/proxy/v1beta", "m",
     "http://127.0.0.1:1/proxy/v1beta/models/m:generateContent"},
    {"http://127.0.0.1:1/v1", "m", "http://127.0.0.1:1/v1/models/m:generateContent"},
};

START_TEST(the_model_is_a_part_of_the_url)
{
    struct llm_request request = {.model = pl_str(urls[_i].model), .messages = PL_STR(USER)};
    struct http_request http;

    provider.base_url = pl_str(urls[_i].base);
    http = build(&request);
    ck_assert_str_eq(http.url.ptr, urls[_i].url);
    ck_assert_str_eq(test_str(http.method), "POST");
    request.stream = true;
    http = build(&request);
    ck_assert_ptr_nonnull(strstr(http.url.ptr, ":streamGenerateContent?alt=sse"));
}
END_TEST

START_TEST(the_key_goes_into_its_header_and_not_into_the_url)
{
    const struct llm_request request = {.model = PL_STR("m"), .messages = PL_STR(USER)};
    const struct http_request http = build(&request);

    ck_assert_ptr_null(strstr(http.url.ptr, "AIza"));
    ck_assert_uint_eq(http.n_headers, 3);
    ck_assert_str_eq(test_str(http.headers[2].name), "x-goog-api-key");
    ck_assert_str_eq(test_str(http.headers[2].value), "AIza-test");
}
END_TEST

START_TEST(a_model_that_is_no_name_is_refused)
{
    static const char *const bad[] = {"a?key=b", "a b", "../../files", "a#b", "a%2e", "a:b"};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        const struct llm_request request = {.model = pl_str(bad[i]), .messages = PL_STR(USER)};

        assert_refused(&request, "can be no model");
    }
}
END_TEST

/* ---- the conversation ---- */

static const struct {
    const char *model, *system, *messages, *body;
} conversations[] = {
    {"m", NULL, USER, "{" HI "}"},
    {"m", "be \"brief\"", USER,
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"be \\\"brief\\\"\"}]}," HI "}"},
    /* system texts from anywhere */
    {"m", NULL,
     "[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"hi\"},{\"role\":"
     "\"assistant\",\"content\":\"ho\"},{\"role\":\"developer\",\"content\":\"b\"},{\"role\":"
     "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\\n\"},{\"type\":\"text\",\"text\":"
     "\"\"}]}]",
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"a\"},{\"text\":\"b\"}]},\"contents\":[{"
     "\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]},{\"role\":\"model\",\"parts\":[{\"text\":"
     "\"ho\"}]},{\"role\":\"user\",\"parts\":[{\"text\":\"x\\n\"}]}]}"},
    /* images, audio, files */
    {"m", NULL,
     "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what?\"},{\"type\":"
     "\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}},{\"type\":"
     "\"input_audio\",\"input_audio\":{\"data\":\"BBBB\",\"format\":\"wav\"}},{\"type\":\"file\","
     "\"file\":{\"filename\":\"a.pdf\",\"file_data\":\"data:application/pdf;base64,CCCC\"}}]}]",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"what?\"},{\"inlineData\":{"
     "\"mimeType\":\"image/png\",\"data\":\"AAAA\"}},{\"inlineData\":{\"mimeType\":\"audio/wav\","
     "\"data\":\"BBBB\"}},{\"inlineData\":{\"mimeType\":\"application/pdf\",\"data\":\"CCCC\"}}]}"
     "]}"},
    {"m", NULL,
     "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
     "\"https://x/a.JPG?size=1\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/a\"}}"
     ",{\"type\":\"file\",\"file\":{\"file_id\":\"files/abc\"}}]}]",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"fileData\":{\"mimeType\":\"image/jpeg\","
     "\"fileUri\":\"https://x/a.JPG?size=1\"}},{\"fileData\":{\"fileUri\":\"https://x/a\"}},{"
     "\"fileData\":{\"fileUri\":"
     "\"https://generativelanguage.googleapis.com/v1beta/files/abc\"}}]}]}"},
};

START_TEST(a_conversation_has_the_shape_of_the_api)
{
    const struct llm_request request = {.model = pl_str(conversations[_i].model),
                                        .system = pl_str(conversations[_i].system),
                                        .messages = pl_str(conversations[_i].messages)};

    ck_assert_str_eq(body_of(&request), conversations[_i].body);
}
END_TEST

#define CALLS(more)                                                                                \
    "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":null,"            \
    "\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"search\","      \
    "\"arguments\":\"{\\\"q\\\":1}\"}},{\"id\":\"call_0_1\",\"type\":\"function\",\"function\":{"  \
    "\"name\":\"read\",\"arguments\":\"{}\"}}]" more                                               \
    "},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"plain\"},{\"role\":\"tool\","      \
    "\"tool_call_id\":\"call_0_1\",\"content\":\"{\\\"error\\\":\\\"no\\\"}\"},{\"role\":\"user\"" \
    ",\"content\":\"and?\"}]"
#define HI_TURN  "{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}"
#define AND_TURN "{\"role\":\"user\",\"parts\":[{\"text\":\"and?\"}]}"
#define ANSWERS(id)                                                                             \
    "{\"role\":\"user\",\"parts\":[{\"functionResponse\":{" id                                  \
    "\"name\":\"search\",\"response\":{"                                                        \
    "\"output\":\"plain\"}}},{\"functionResponse\":{\"name\":\"read\",\"response\":{\"error\":" \
    "\"no\"}}}]}"

START_TEST(answers_of_tools_go_by_name_in_one_content)
{
    const struct llm_request request = {.model = PL_STR("gemini-2.5-pro"),
                                        .messages = PL_STR(CALLS(""))};

    ck_assert_str_eq(
        body_of(&request),
        "{\"contents\":[" HI_TURN
        ",{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"search\",\"args\":{\"q\":1}}"
        "},{\"functionCall\":{\"name\":\"read\",\"args\":{}}}]}," ANSWERS("") "," AND_TURN "]}");
}
END_TEST

START_TEST(what_the_model_signed_goes_back_as_it_came)
{
    const struct llm_request request = {
        .model = PL_STR("gemini-3-pro-preview"),
        .messages = PL_STR(CALLS(
            ",\"replay\":{\"gemini\":[{\"text\":\"hm\"},{\"functionCall\":{\"id\":\"c1\",\"name\":"
            "\"search\",\"args\":{\"q\":1}},\"thoughtSignature\":\"c2ln\\/\"},{\"functionCall\":{"
            "\"name\":\"read\",\"args\":{}}}]}"))};

    ck_assert_str_eq(
        body_of(&request),
        "{\"contents\":[" HI_TURN
        ",{\"role\":\"model\",\"parts\":[{\"text\":\"hm\"},{\"functionCall\":{\"id\":\"c1\","
        "\"name\":\"search\",\"args\":{\"q\":1}},\"thoughtSignature\":\"c2ln\\/\"},{"
        "\"functionCall\":{\"name\":\"read\",\"args\":{}}}]}," ANSWERS(
            "\"id\":\"c1\",") "," AND_TURN "]}");
}
END_TEST

START_TEST(calls_of_another_provider_are_marked_where_signatures_are_demanded)
{
    const struct llm_request request = {
        .model = PL_STR("gemini-3-pro-preview"),
        .messages = PL_STR(CALLS(",\"replay\":{\"anthropic\":[{\"type\":\"thinking\"}]}"))};

    ck_assert_str_eq(
        body_of(&request),
        "{\"contents\":[" HI_TURN
        ",{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"search\",\"args\":{\"q\":1}}"
        ",\"thoughtSignature\":\"skip_thought_signature_validator\"},{\"functionCall\":{\"name\":"
        "\"read\",\"args\":{}}}]}," ANSWERS("") "," AND_TURN "]}");
}
END_TEST

START_TEST(a_tool_gives_any_json_or_a_text)
{
    const struct llm_request request = {
        .model = PL_STR("m"),
        .messages = PL_STR(
            "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"a\","
            "\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{"
            "\"id\":\"2\",\"function\":{\"name\":\"f\",\"arguments\":\"[1\"}}]},{\"role\":\"tool\","
            "\"tool_call_id\":\"1\",\"content\":\"[1,2]\"},{\"role\":\"tool\",\"tool_call_id\":"
            "\"2\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image_url\","
            "\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}]}]")};

    ck_assert_str_eq(
        body_of(&request),
        "{\"contents\":[" HI_TURN ",{\"role\":\"model\",\"parts\":[{\"text\":\"a\"},{"
        "\"functionCall\":{\"name\":\"f\",\"args\":{}}},{\"functionCall\":{\"name\":\"f\",\"args\":"
        "{\"arguments\":\"[1\"}}}]},{\"role\":\"user\",\"parts\":[{\"functionResponse\":{\"name\":"
        "\"f\",\"response\":{\"output\":[1,2]}}},{\"functionResponse\":{\"name\":\"f\","
        "\"response\":{\"output\":\"see\"}}},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":"
        "\"AAAA\"}}]}]}");
}
END_TEST

START_TEST(a_conversation_needs_somebody_to_answer)
{
    struct llm_request request = {.model = PL_STR("m"),
                                  .messages = PL_STR("[{\"role\":\"system\",\"content\":\"a\"}]")};

    assert_refused(&request, "there is nothing to answer");
    request.messages = PL_STR("[{\"role\":\"user\",\"content\":[{\"type\":\"video\"}]}]");
    assert_refused(&request, "element 0");
}
END_TEST

/* ---- parameters ---- */

#define PERSON                                                                                     \
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"type\":\"object\","           \
    "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1},\"kind\":{\"const\":\"p\"},"   \
    "\"pet\":{\"$ref\":\"#/$defs/pet\",\"description\":\"d\"},\"age\":{\"type\":[\"integer\",\""   \
    "null\"],\"minimum\":0},\"x\":{\"oneOf\":[{\"type\":\"string\"},{\"enum\":[1,null]}]},\"any\"" \
    ":true},\"required\":[\"name\"],\"additionalProperties\":false,\"allOf\":[{}],\"$defs\":{"     \
    "\"pet\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"a\"}}}}"
#define PERSON_SENT                                                                               \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"kind\":{\"enum\":["    \
    "\"p\"]},\"pet\":{\"$ref\":\"#/$defs/pet\"},\"age\":{\"type\":[\"integer\",\"null\"],"        \
    "\"minimum\":0},\"x\":{\"anyOf\":[{\"type\":\"string\"},{}]},\"any\":{}},\"required\":["      \
    "\"name\"],\"additionalProperties\":false,\"$defs\":{\"pet\":{\"type\":\"array\",\"items\":{" \
    "\"type\":\"string\"}}}}"

static const struct schema_use person = {.json = {PERSON, sizeof(PERSON) - 1}};

START_TEST(parameters_stand_in_the_generation_config)
{
    struct llm_request request = {.model = PL_STR("m"),
                                  .messages = PL_STR(USER),
                                  .temperature = PL_STR("0.50"),
                                  .max_tokens = 100,
                                  .seed = PL_STR("7"),
                                  .stop = PL_STR("\"END\"")};

    ck_assert_str_eq(body_of(&request),
                     "{" HI ",\"generationConfig\":{\"temperature\":0.50,\"maxOutputTokens\":100,"
                     "\"seed\":7,\"stopSequences\":[\"END\"]}}");
    request = (struct llm_request){
        .model = PL_STR("m"), .messages = PL_STR(USER), .stop = PL_STR("[\"a\",\"b\"]")};
    ck_assert_str_eq(body_of(&request),
                     "{" HI ",\"generationConfig\":{\"stopSequences\":[\"a\",\"b\"]}}");
}
END_TEST

START_TEST(a_schema_is_asked_for_in_the_words_the_api_knows)
{
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR(USER), .schema = &person};

    ck_assert_str_eq(body_of(&request),
                     "{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
                     "\"responseJsonSchema\":" PERSON_SENT "}}");
}
END_TEST

#define TOOLS                                                                                     \
    "[{\"type\":\"function\",\"function\":{\"name\":\"search\",\"description\":\"finds\","        \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"string\","             \
    "\"minLength\":1}}}}},{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{" \
    "\"type\":\"object\",\"properties\":{}}}}]"
#define FUNCTIONS                                                                                  \
    "{\"functionDeclarations\":[{\"name\":\"search\",\"description\":\"finds\","                   \
    "\"parametersJsonSchema\":{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"string\"}}}}" \
    ",{\"name\":\"now\"}]}"

START_TEST(tools_are_function_declarations)
{
    static const struct {
        const char *choice, *config;
    } choices[] = {
        {"", ""},
        {"\"auto\"", "{\"mode\":\"AUTO\"}"},
        {"\"none\"", "{\"mode\":\"NONE\"}"},
        {"\"required\"", "{\"mode\":\"ANY\"}"},
        {"{\"type\":\"function\",\"function\":{\"name\":\"now\"}}",
         "{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"now\"]}"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(choices); i++) {
        const struct llm_request request = {.model = PL_STR("m"),
                                            .messages = PL_STR(USER),
                                            .tools = PL_STR(TOOLS),
                                            .tool_choice = pl_str(choices[i].choice)};
        const char *config = *choices[i].config ? pl_arena_printf(arena,
                                                                  ",\"toolConfig\":{"
                                                                  "\"functionCallingConfig\":%s}",
                                                                  choices[i].config)
                                                : "";

        ck_assert_str_eq(body_of(&request),
                         pl_arena_printf(arena, "{" HI ",\"tools\":[" FUNCTIONS "]%s}", config));
    }
}
END_TEST

START_TEST(a_choice_of_tools_may_stand_in_extra_as_for_other_providers)
{
    const struct llm_request request = {.model = PL_STR("m"),
                                        .messages = PL_STR(USER),
                                        .tools = PL_STR(TOOLS),
                                        .extra = PL_STR("{\"tool_choice\":\"required\"}")};

    ck_assert_str_eq(body_of(&request), "{" HI ",\"tools\":[" FUNCTIONS
                                        "],\"toolConfig\":{\"functionCallingConfig\":{\"mode\":"
                                        "\"ANY\"}}}");
}
END_TEST

START_TEST(older_models_are_told_the_schema_in_words_when_there_are_tools)
{
    struct llm_request request = {.model = PL_STR("gemini-2.5-pro"),
                                  .messages = PL_STR(USER),
                                  .tools = PL_STR(TOOLS),
                                  .schema = &person};

    ck_assert_ptr_null(strstr(body_of(&request), "responseJsonSchema"));
    ck_assert_ptr_nonnull(strstr(body_of(&request), "It must fit this JSON Schema"));
    request.model = PL_STR("gemini-3-flash");
    ck_assert_ptr_nonnull(strstr(body_of(&request), "responseJsonSchema"));
    ck_assert_ptr_null(strstr(body_of(&request), "systemInstruction"));
}
END_TEST

/* ---- extra ---- */

START_TEST(extra_wins_and_is_merged_member_by_member)
{
    const struct llm_request request = {
        .model = PL_STR("m"),
        .messages = PL_STR(USER),
        .temperature = PL_STR("1"),
        .max_tokens = 5,
        .tools = PL_STR(TOOLS),
        .tool_choice = PL_STR("\"auto\""),
        .extra = PL_STR("{\"safetySettings\":[],\"generationConfig\":{\"temperature\":0,"
                        "\"thinkingConfig\":{\"thinkingBudget\":0}},\"tools\":[{\"googleSearch\":"
                        "{}}],\"toolConfig\":{\"retrievalConfig\":{}}}")};

    ck_assert_str_eq(
        body_of(&request),
        "{" HI ",\"generationConfig\":{\"maxOutputTokens\":5,\"temperature\":0,\"thinkingConfig\":{"
        "\"thinkingBudget\":0}},\"tools\":[" FUNCTIONS ",{\"googleSearch\":{}}],\"toolConfig\":{"
        "\"functionCallingConfig\":{\"mode\":\"AUTO\"},\"retrievalConfig\":{}},\"safetySettings\":"
        "[]}");
}
END_TEST

START_TEST(a_form_that_extra_asks_for_is_the_one_that_counts)
{
    struct llm_request request = {
        .model = PL_STR("m"),
        .messages = PL_STR(USER),
        .schema = &person,
        .extra = PL_STR("{\"generationConfig\":{\"responseSchema\":{\"type\":\"STRING\"}}}")};

    ck_assert_str_eq(body_of(&request),
                     "{" HI ",\"generationConfig\":{\"responseMimeType\":\"application/json\","
                     "\"responseSchema\":{\"type\":\"STRING\"}}}");
    request.extra = PL_STR("{\"generationConfig\":{\"responseMimeType\":\"text/plain\"}}");
    ck_assert_str_eq(body_of(&request),
                     "{" HI ",\"generationConfig\":{\"responseMimeType\":\"text/plain\"}}");
}
END_TEST

START_TEST(extra_may_not_take_the_place_of_the_step)
{
    static const struct {
        const char *extra, *words;
    } bad[] = {
        {"{\"contents\":[]}", "may not set \"contents\""},
        {"{\"systemInstruction\":{}}", "may not set \"systemInstruction\""},
        {"{\"generationConfig\":7}", "must be an object"},
        {"{\"tools\":{}}", "must be a list"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        const struct llm_request request = {
            .model = PL_STR("m"), .messages = PL_STR(USER), .extra = pl_str(bad[i].extra)};

        assert_refused(&request, bad[i].words);
    }
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_loop_test(tcase, the_model_is_a_part_of_the_url, 0, (int)PL_ARRAY_LEN(urls));
    tcase_add_test(tcase, the_key_goes_into_its_header_and_not_into_the_url);
    tcase_add_test(tcase, a_model_that_is_no_name_is_refused);
    tcase_add_loop_test(tcase, a_conversation_has_the_shape_of_the_api, 0,
                        (int)PL_ARRAY_LEN(conversations));
    tcase_add_test(tcase, answers_of_tools_go_by_name_in_one_content);
    tcase_add_test(tcase, what_the_model_signed_goes_back_as_it_came);
    tcase_add_test(tcase, calls_of_another_provider_are_marked_where_signatures_are_demanded);
    tcase_add_test(tcase, a_tool_gives_any_json_or_a_text);
    tcase_add_test(tcase, a_conversation_needs_somebody_to_answer);
    tcase_add_test(tcase, parameters_stand_in_the_generation_config);
    tcase_add_test(tcase, a_schema_is_asked_for_in_the_words_the_api_knows);
    tcase_add_test(tcase, tools_are_function_declarations);
    tcase_add_test(tcase, a_choice_of_tools_may_stand_in_extra_as_for_other_providers);
    tcase_add_test(tcase, older_models_are_told_the_schema_in_words_when_there_are_tools);
    tcase_add_test(tcase, extra_wins_and_is_merged_member_by_member);
    tcase_add_test(tcase, a_form_that_extra_asks_for_is_the_one_that_counts);
    tcase_add_test(tcase, extra_may_not_take_the_place_of_the_step);
}

int main(void)
{
    Suite *suite = suite_create("gemini_request");
    TCase *tcase = tcase_create("gemini_request");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
