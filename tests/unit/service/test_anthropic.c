/* test_anthropic.c - requests to Anthropic's Messages API as JSON, and its answers and errors. How
 * streams are cut is in test_recorded.c, the connection in test_llm_step. Run by ctest. */
#include "base/json.h"
#include "service/llm/anthropic.h"
#include "service/workflow/workflow.h"
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static struct pl_arena *arena;
static struct provider provider;

static void set_up(void)
{
    arena = pl_arena_create(0);
    provider = (struct provider){.ops = &anthropic_ops,
                                 .name = PL_STR("anthropic"),
                                 .base_url = PL_STR("http://127.0.0.1:1")};
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

/* ---- requests ---- */

static const char *build(const struct llm_request *request, struct http_request *ret_http)
{
    return test_build_request(&provider, request, arena, ret_http);
}

#define HI       "{\"role\":\"user\",\"content\":\"hi\"}"
#define HI_BLOCK "{\"type\":\"text\",\"text\":\"hi\"}"
#define HI_OUT   "\"messages\":[{\"role\":\"user\",\"content\":[" HI_BLOCK "]}]"

/* The messages as they go out, with `system` before them if there is one. */
static const char *build_messages(const char *messages)
{
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = pl_str(messages), .max_tokens = 1};
    const char *body = build(&request, NULL);
    const char *start = strstr(body, "\"max_tokens\":1,");

    return body[0] == '!' ? body : start + strlen("\"max_tokens\":1,");
}

START_TEST(a_request_holds_what_the_step_says)
{
    const struct llm_request request = {
        .model = PL_STR("claude-x"),
        .system = PL_STR("be \"kind\""),
        .messages = PL_STR("[" HI "]"),
        .temperature = PL_STR("0.50"),
        .max_tokens = 7,
        .stop = PL_STR("[\"x\"]"),
        .extra = PL_STR("{\"top_k\":5,\"metadata\":{\"user_id\":\"u\"}}"),
        .stream = true,
    };
    struct http_request http;

    ck_assert_str_eq(build(&request, &http),
                     "{\"model\":\"claude-x\",\"max_tokens\":7,\"system\":\"be "
                     "\\\"kind\\\"\"," HI_OUT ",\"temperature\":0.50,\"stop_sequences\":[\"x\"],"
                     "\"stream\":true,\"top_k\":5,\"metadata\":{\"user_id\":\"u\"}}");
    ck_assert(http.stream);
    ck_assert_str_eq(test_str(http.url), "http://127.0.0.1:1/v1/messages");
}
END_TEST

START_TEST(max_tokens_is_always_sent)
{
    struct llm_request request = {.model = PL_STR("m"), .messages = PL_STR("[" HI "]")};
    struct http_request http;

    ck_assert_str_eq(build(&request, &http), "{\"model\":\"m\",\"max_tokens\":8192," HI_OUT "}");
    ck_assert(!http.stream);
    request.extra = PL_STR("{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}}");
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "\"max_tokens\":10192,"));
    request.extra = PL_STR("{\"max_tokens\":3}");
    request.max_tokens = 7;
    ck_assert_str_eq(build(&request, NULL), "{\"model\":\"m\"," HI_OUT ",\"max_tokens\":3}");
}
END_TEST

START_TEST(a_long_answer_is_streamed_even_when_nobody_watches)
{
    struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[" HI "]"), .max_tokens = 32000};
    struct http_request http;

    ck_assert_ptr_nonnull(strstr(build(&request, &http), "\"stream\":true"));
    ck_assert(http.stream);
}
END_TEST

START_TEST(a_parameter_the_api_does_not_have_is_an_error_and_not_dropped)
{
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[" HI "]"), .seed = PL_STR("1")};

    ck_assert_msg(strstr(build(&request, NULL), "!bad_request anthropic models take no 'seed'") !=
                      NULL,
                  "%s", build(&request, NULL));
}
END_TEST

START_TEST(extra_may_not_replace_what_the_step_has)
{
    static const char *const extras[] = {"{\"model\":\"x\"}", "{\"messages\":[]}",
                                         "{\"stream\":true}", "{\"system\":\"x\"}",
                                         "{\"tools\":[]}"};
    struct llm_request request = {.model = PL_STR("m"),
                                  .messages = PL_STR("[" HI "]"),
                                  .system = PL_STR("s"),
                                  .tools = PL_STR("[]"),
                                  .max_tokens = 1};

    for (size_t i = 0; i < PL_ARRAY_LEN(extras); i++) {
        request.extra = pl_str(extras[i]);
        ck_assert_msg(strncmp(build(&request, NULL), "!invalid_argument 'extra' may not set", 37) ==
                          0,
                      "%s", build(&request, NULL));
    }
    request.system = (struct pl_str){0};
    request.tools = (struct pl_str){0};
    request.extra = PL_STR("{\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{"
                           "\"type\":\"ephemeral\"}}],\"tools\":[{\"type\":\"web_search_20250305\","
                           "\"name\":\"web_search\"}]}");
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "\"cache_control\""));
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "web_search_20250305"));
}
END_TEST

START_TEST(tools_go_out_in_the_shape_of_the_api)
{
    struct llm_request request = {
        .model = PL_STR("m"),
        .messages = PL_STR("[" HI "]"),
        .max_tokens = 1,
        .tools = PL_STR("[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"description\":\"d "
                        "\\\"e\\\"\",\"parameters\":{\"type\":\"object\",\"properties\":{\"n\":{"
                        "\"type\":\"integer\",\"minimum\":1}}}}},{\"type\":\"function\","
                        "\"function\":{\"name\":\"b\",\"parameters\":{\"required\":[]}}},{"
                        "\"type\":\"function\",\"function\":{\"name\":\"c\"}}]")};
    static const struct {
        const char *given, *sent;
    } choices[] = {
        {"\"auto\"", "{\"type\":\"auto\"}"},
        {"\"none\"", "{\"type\":\"none\"}"},
        {"\"required\"", "{\"type\":\"any\"}"},
        {"{\"type\":\"function\",\"function\":{\"name\":\"b\"}}",
         "{\"type\":\"tool\",\"name\":\"b\"}"},
        {"{\"type\":\"any\",\"disable_parallel_tool_use\":true}",
         "{\"type\":\"any\",\"disable_parallel_tool_use\":true}"},
    };

    ck_assert_str_eq(build(&request, NULL),
                     "{\"model\":\"m\",\"max_tokens\":1," HI_OUT ",\"tools\":[{\"name\":\"a\","
                     "\"description\":\"d \\\"e\\\"\",\"input_schema\":{\"type\":\"object\","
                     "\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":1}}}},{\"name\":"
                     "\"b\",\"input_schema\":{\"type\":\"object\",\"required\":[]}},{\"name\":"
                     "\"c\",\"input_schema\":{\"type\":\"object\"}}]}");
    for (size_t i = 0; i < PL_ARRAY_LEN(choices); i++) {
        const char *want = pl_arena_printf(arena, ",\"tool_choice\":%s", choices[i].sent);

        request.tool_choice = pl_str(choices[i].given);
        request.extra = (struct pl_str){0};
        ck_assert_msg(strstr(build(&request, NULL), want) != NULL, "%s", build(&request, NULL));
        request.tool_choice = (struct pl_str){0};
        request.extra = pl_str(pl_arena_printf(arena, "{\"tool_choice\":%s}", choices[i].given));
        ck_assert_msg(strstr(build(&request, NULL), want) != NULL, "%s", build(&request, NULL));
    }
    request.tool_choice = PL_STR("\"some\"");
    request.extra = (struct pl_str){0};
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "!invalid_argument 'tool_choice' is"));
}
END_TEST

#define USER(blocks)      "{\"role\":\"user\",\"content\":[" blocks "]}"
#define ASSISTANT(blocks) "{\"role\":\"assistant\",\"content\":[" blocks "]}"
#define SAYS(text)        "{\"type\":\"text\",\"text\":\"" text "\"}"
#define PART(part)        "[{\"role\":\"user\",\"content\":[" part "]}]"
#define FILE_PART(members) \
    "[{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{" members "}}]}]"
#define CALL(id, arguments) \
    "{\"id\":\"" id         \
    "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" arguments "\"}}"

static const struct {
    const char *given, *sent;
} conversations[] = {
    {"[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"developer\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"b\\n\"}]}," HI "]",
     "\"system\":\"a\\n\\nb\\n\",\"messages\":[" USER(SAYS("hi")) "]}"},
    /* neighbours of one side become one message, empty texts go, system stands in no way */
    {"[" HI "," HI ",{\"role\":\"assistant\",\"content\":\"x\"},{\"role\":\"system\",\"content\":"
     "\"s\"},{\"role\":\"assistant\",\"content\":\"y\"},{\"role\":\"user\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"\"},{\"type\":\"text\",\"text\":\"z\"}]}]",
     "\"system\":\"s\",\"messages\":[" USER(SAYS("hi") "," SAYS("hi")) "," ASSISTANT(
         SAYS("x") "," SAYS("y")) "," USER(SAYS("z")) "]}"},
    /* results of tools come first in the user's turn, each with its call */
    {"[" HI ",{\"role\":\"assistant\",\"content\":\"w\",\"tool_calls\":[" CALL(
         "c1", "{\\\"q\\\":1}") "," CALL("c2", "oh no") "]},{\"role\":\"user\",\"content\":\"and\"}"
                                                        ",{\"role\":\"tool\",\"tool_call_id\":"
                                                        "\"c2\",\"content\":\"r\"},{\"role\":"
                                                        "\"tool\",\"tool_call_id\":\"c1\","
                                                        "\"content\":[{\"type\":\"text\",\"text\":"
                                                        "\"p\"},{\"type\":\"image_url\",\"image_"
                                                        "url\":{\"url\":\"http://x/i\"}}]}]",
     "\"messages\":[" USER(SAYS("hi")) "," ASSISTANT(SAYS(
         "w") ",{\"type\":\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{\"q\":1}},{"
              "\"type\":\"tool_use\",\"id\":\"c2\",\"name\":\"f\",\"input\":{\"arguments\":"
              "\"oh no\"}}") "," USER("{\"type\":\"tool_result\",\"tool_use_id\":\"c2\","
                                      "\"content\":\"r\"},{\"type\":\"tool_result\",\"tool_"
                                      "use_id\":\"c1\",\"content\":[" SAYS(
                                          "p") ",{\"type\":"
                                               "\"image\",\"source\":{\"type\":\"url\",\"url\":"
                                               "\"http://x/i\"}}]}," SAYS("and")) "]}"},
    /* what the model signed goes back byte by byte, its calls in their places */
    {"[" HI ",{\"role\":\"assistant\",\"content\":\"w\",\"tool_calls\":[" CALL("c1", "{}") "," CALL(
         "c2", "{}") "],\"replay\":{\"gemini\":[1],\"anthropic\":[{\"type\":\"thinking\","
                     "\"thinking\" : \"h\\u006dm\",\"signature\":\"a\\/b==\"},{\"type\":\"tool_"
                     "use\"},{\"type\":\"text\",\"text\":\"w\"},{\"type\":\"tool_use\"}]}},{"
                     "\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":null},{\"role\":"
                     "\"tool\",\"tool_call_id\":\"c2\",\"content\":\"r\"}]",
     "\"messages\":[" USER(SAYS("hi")) "," ASSISTANT(
         "{\"type\":\"thinking\",\"thinking\" : "
         "\"h\\u006dm\",\"signature\":\"a\\/b==\"},{\"type\":"
         "\"tool_use\",\"id\":\"c1\",\"name\":\"f\",\"input\":{}}," SAYS(
             "w") ",{\"type\":\"tool_use\",\"id\":\"c2\",\"name\":\"f\","
                  "\"input\":{}}") "," USER("{\"type\":\"tool_result\","
                                            "\"tool_use_id\":\"c1\"},{"
                                            "\"type\":\"tool_result\","
                                            "\"tool_use_"
                                            "id\":\"c2\",\"content\":"
                                            "\"r\"}") "]}"},
    /* marks for the API's cache */
    {"[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\\n\",\"cache_control\":{"
     "\"type\":\"ephemeral\"}},{\"type\":\"text\",\"text\":\"b\"}]},{\"role\":\"user\",\"content\":"
     "[{"
     "\"type\":\"text\",\"text\":\"hi\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]",
     "\"system\":[{\"type\":\"text\",\"text\":\"a\\n\",\"cache_control\":{\"type\":\"ephemeral\"}}"
     "," SAYS("b") "],\"messages\":[" USER("{\"type\":\"text\",\"text\":\"hi\",\"cache_control\":{"
                                           "\"type\":\"ephemeral\"}}") "]}"},
    /* another provider's replay is none of ours */
    {"[" HI ",{\"role\":\"assistant\",\"content\":\"w\",\"replay\":{\"gemini\":[1]}}]",
     "\"messages\":[" USER(SAYS("hi")) "," ASSISTANT(SAYS("w")) "]}"},
    /* images and documents */
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aGk=\"}}"),
     "\"messages\":[" USER("{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":"
                           "\"image/png\",\"data\":\"aGk=\"}}") "]}"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/tiff;base64,aGk=\"}}"),
     "!invalid_argument 'messages' element 0 has an image of a type anthropic does not take"},
    {FILE_PART("\"filename\":\"a.pdf\",\"file_data\":\"data:application/pdf;base64,JVBE\""),
     "\"messages\":[" USER("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":"
                           "\"application/pdf\",\"data\":\"JVBE\"},\"title\":\"a.pdf\"}") "]}"},
    {FILE_PART("\"file_url\":\"https://x/a\""),
     "\"messages\":[" USER("{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":"
                           "\"https://x/a\"}}") "]}"},
    {FILE_PART("\"file_url\":\"https://x/a\",\"filename\":\"a.png\""),
     "\"messages\":[" USER("{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/"
                           "a\"}}") "]}"},
    {FILE_PART("\"file_data\":\"w6nDqSE=\",\"filename\":\"a.txt\""),
     "\"messages\":[" USER(
         "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":"
         "\"text/plain\",\"data\":\"\xC3\xA9\xC3\xA9!\"},\"title\":\"a.txt\"}") "]"
                                                                                "}"},
    {FILE_PART("\"file_data\":\"w6k\",\"filename\":\"a.md\""),
     "\"messages\":[" USER("{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":"
                           "\"text/plain\",\"data\":\"\xC3\xA9\"},\"title\":\"a.md\"}") "]}"},
    {FILE_PART("\"file_data\":\"w6nD\",\"filename\":\"a.txt\""),
     "!invalid_argument 'messages' element 0 has a file of text that is not UTF-8"},
    {FILE_PART("\"file_data\":\"data:application/zip;base64,UEs=\""),
     "!invalid_argument 'messages' element 0 has a file that is neither a PDF nor text"},
    {FILE_PART("\"file_id\":\"file-1\""),
     "!invalid_argument 'messages' element 0 has a file by its id"},
    {PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"aGk=\",\"format\":\"wav\"}}"),
     "!invalid_argument 'messages' element 0 has audio (input_audio), which anthropic does not "
     "take"},
    {PART("{\"type\":\"video\"}"), "!invalid_argument 'messages' element 0, part 0, is of no type"},
    {"[{\"role\":\"system\",\"content\":\"a\"}]", "!invalid_argument there is no message but"},
    {"[{\"role\":\"user\",\"content\":\"\"}]", "!invalid_argument 'messages' element 0 is empty"},
};

START_TEST(a_conversation_goes_out_in_the_shape_of_the_api)
{
    const char *want = conversations[_i].sent, *got = build_messages(conversations[_i].given);

    if (want[0] == '!')
        ck_assert_msg(strncmp(got, want, strlen(want)) == 0, "%s", got);
    else
        ck_assert_str_eq(got, want);
}
END_TEST

/* ---- schemas ---- */

static const struct {
    const char *given, *sent; /* NULL: it is asked for in words */
} schemas[] = {
    {"{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":9,"
     "\"description\":\"how many\"},\"s\":{\"type\":\"string\",\"format\":\"date\",\"minLength\":1}"
     "},\"required\":[\"n\"]}",
     "{\"type\":\"object\",\"required\":[\"n\"],\"properties\":{\"n\":{\"type\":\"integer\","
     "\"description\":\"how many\\n\\n{minimum: 0, maximum: 9}\"},\"s\":{\"type\":\"string\","
     "\"format\":\"date\",\"description\":\"{minLength: 1}\"}},\"additionalProperties\":false}"},
    {"{\"enum\":[\"yes\",\"no\"]}", "{\"type\":\"string\",\"enum\":[\"yes\",\"no\"]}"},
    {"{\"const\":null}", "{\"type\":\"null\",\"const\":null}"},
    {"{\"enum\":[\"a\",1]}", "{\"enum\":[\"a\",1]}"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"string\",\"format\":\"regex\"},\"minItems\":1,"
     "\"maxItems\":3,\"uniqueItems\":true}",
     "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"description\":\"{format: \\\"regex\\\"}"
     "\"},\"minItems\":1,\"description\":\"{maxItems: 3, uniqueItems: true}\"}"},
    {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2}",
     "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"description\":\"{minItems: 2}\"}"},
    {"{\"oneOf\":[{\"type\":\"string\"},{\"type\":[\"number\",\"null\"]}],\"title\":\"t\"}",
     "{\"title\":\"t\",\"anyOf\":[{\"type\":\"string\"},{\"type\":[\"number\",\"null\"]}]}"},
    {"{\"allOf\":[{\"type\":\"string\"}]}", "{\"anyOf\":[{\"type\":\"string\"}]}"},
    {"{\"$schema\":\"x\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/d\"}},\"$defs\":{\"d\":{"
     "\"type\":\"boolean\"}},\"additionalProperties\":true}",
     "{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/d\"}},"
     "\"additionalProperties\":false,\"$defs\":{\"d\":{\"type\":\"boolean\"}}}"},
    {"{\"type\":\"object\",\"additionalProperties\":false}",
     "{\"type\":\"object\",\"additionalProperties\":false}"},
    /* would mean something else */
    {"true", NULL},
    {"{}", NULL},
    {"{\"type\":\"object\"}", NULL},
    {"{\"type\":\"object\",\"properties\":{},\"additionalProperties\":{\"type\":\"string\"}}",
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"patternProperties\":{}}",
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":true}}", NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"required\":[\"b\"]}", NULL},
    {"{\"type\":\"array\"}", NULL},
    {"{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"prefixItems\":[{\"type\":\"null\"}]}",
     NULL},
    {"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"string\"}]}", NULL},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"}},\"anyOf\":[{\"type\":"
     "\"object\",\"properties\":{}}]}",
     NULL},
    {"{\"enum\":[[]]}", NULL},
    {"{\"$ref\":\"#/$defs/d\",\"$defs\":{\"d\":{\"type\":\"null\"}}}", NULL},
    {"{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/d\"}},\"$defs\":{\"d\":{"
     "\"type\":\"object\",\"properties\":{\"d\":{\"$ref\":\"#/$defs/d\"}}}}}",
     NULL},
    {"{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#\"}}}", NULL},
    {"{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/$defs/none\"}},\"$defs\":{}}", NULL},
};

START_TEST(a_schema_is_adapted_or_asked_for_in_words)
{
    const struct schema_use use = {.json = pl_str(schemas[_i].given)};
    const struct llm_request request = {
        .model = PL_STR("m"), .messages = PL_STR("[" HI "]"), .max_tokens = 1, .schema = &use};
    const char *body = build(&request, NULL), *want;
    struct pl_str system;

    if (schemas[_i].sent) {
        want = pl_arena_printf(arena,
                               "{\"model\":\"m\",\"max_tokens\":1," HI_OUT
                               ",\"output_config\":{\"format\":{\"type\":\"json_schema\","
                               "\"schema\":%s}}}",
                               schemas[_i].sent);
        ck_assert_str_eq(body, want);
        return;
    }
    ck_assert_ptr_null(strstr(body, "output_config"));
    ck_assert_msg(json_get(pl_str(body), PL_STR("system"), &system), "%s", body);
    system = json_decode_string_arena(system, arena);
    ck_assert_ptr_nonnull(strstr(system.ptr, "It must fit this JSON Schema:\n"));
    ck_assert_ptr_nonnull(strstr(system.ptr, schemas[_i].given));
}
END_TEST

START_TEST(a_schema_and_extra_share_output_config)
{
    const struct schema_use use = {.json = PL_STR("{\"type\":\"null\"}")};
    struct llm_request request = {.model = PL_STR("m"),
                                  .messages = PL_STR("[" HI "]"),
                                  .max_tokens = 1,
                                  .schema = &use,
                                  .extra = PL_STR("{\"output_config\":{\"effort\":\"low\"}}")};

    ck_assert_ptr_nonnull(strstr(
        build(&request, NULL), "\"output_config\":{\"effort\":\"low\",\"format\":{\"type\":\"json_"
                               "schema\",\"schema\":{\"type\":\"null\"}}}}"));
    request.extra = PL_STR("{\"output_config\":{\"format\":{\"type\":\"x\"}}}");
    ck_assert_ptr_nonnull(
        strstr(build(&request, NULL), "\"output_config\":{\"format\":{\"type\":\"x\"}}}"));
    request.extra = PL_STR("{\"output_config\":{\"format\":null}}");
    ck_assert_ptr_null(strstr(build(&request, NULL), "output_config"));
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "It must fit this JSON Schema:\\n"));
    request.extra = PL_STR("{\"output_config\":{\"format\":null,\"effort\":\"low\"}}");
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "\"output_config\":{\"effort\":\"low\"}}"));
    request.schema = NULL;
    request.extra = PL_STR("{\"output_config\":{\"effort\":\"low\"}}");
    ck_assert_ptr_nonnull(strstr(build(&request, NULL), "\"output_config\":{\"effort\":\"low\"}}"));
}
END_TEST

START_TEST(the_key_goes_into_its_own_header)
{
    struct pl_err err;

    ck_assert_int_eq(anthropic_ops.configure(&provider, arena, &err), PL_OK);
    ck_assert_uint_eq(provider.n_headers, 3);
    ck_assert_str_eq(test_str(provider.headers[2].name), "anthropic-version");
    ck_assert_str_eq(test_str(provider.headers[2].value), "2023-06-01");
    provider.api_key = PL_STR("sk-ant-1");
    provider.base_url = PL_STR("http://127.0.0.1:1/v1");
    ck_assert_int_eq(anthropic_ops.configure(&provider, arena, &err), PL_OK);
    ck_assert_str_eq(provider.url.ptr, "http://127.0.0.1:1/v1/messages");
    ck_assert_uint_eq(provider.n_headers, 4);
    ck_assert_str_eq(test_str(provider.headers[3].name), "x-api-key");
    ck_assert_str_eq(test_str(provider.headers[3].value), "sk-ant-1");
    provider.api_key = PL_STR("sk-1\n");
    ck_assert_int_eq(anthropic_ops.configure(&provider, arena, &err), PL_ERR_INVALID_CONFIG);
}
END_TEST

/* ---- answers ---- */

struct answer {
    const char *body;
    const char
        *result; /* "ok" and the output, or the code; then a part of the message after " | " */
    int64_t max_tokens;
    bool tools, schema;
};

#define MESSAGE(content, stop) \
    "{\"type\":\"message\",\"content\":[" content "],\"stop_reason\":\"" stop "\"}"
#define USE "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}"

static const struct answer answers[] = {
    {MESSAGE(SAYS("a") "," SAYS("b"), "end_turn"), "ok \"ab\"", 0, false, false},
    {MESSAGE(SAYS("a"), "stop_sequence"), "ok \"a\"", 0, false, false},
    {MESSAGE(SAYS("a"), "something_new"), "ok \"a\"", 0, false, false},
    {MESSAGE("{\"type\":\"thinking\",\"thinking\":\"t\"}," SAYS("a"), "end_turn"), "ok \"a\"", 0,
     false, false},
    {MESSAGE(SAYS("a"), "end_turn"), "ok {\"content\":\"a\",\"tool_calls\":[]}", 0, true, false},
    {MESSAGE("{\"type\":\"thinking\",\"thinking\":\"t\"}," SAYS("a"), "end_turn"),
     "ok {\"content\":\"a\",\"tool_calls\":[]}", 0, true, false},
    {MESSAGE(USE, "tool_use"),
     "ok {\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"name\":\"f\",\"arguments\":\"{}\"}]}", 0,
     true, false},
    {MESSAGE("{\"type\":\"tool_use\",\"id\":\"t\",\"input\":{}}", "tool_use"),
     "bad_response | tool call 0 has no name", 0, true, false},
    {MESSAGE(USE, "tool_use"), "empty_response | it asks to call tools", 0, false, false},
    {MESSAGE("", "end_turn"), "empty_response", 0, false, false},
    {MESSAGE(SAYS("a") ",{\"type\":\"text\",\"text\":5}", "end_turn"), "bad_response | no string",
     0, false, false},
    {MESSAGE(SAYS("a") ",{\"type\":\"text\",\"text\":null}", "end_turn"), "ok \"a\"", 0, false,
     false},
    {MESSAGE("7,null,\"x\"", "end_turn"), "empty_response", 0, false, false},
    /* cut */
    {MESSAGE(SAYS("a"), "max_tokens"), "output_truncated | cut at 8192 tokens", 0, false, false},
    {MESSAGE(SAYS("a"), "max_tokens"), "ok \"a\"", 5, false, false},
    {MESSAGE(SAYS("a"), "max_tokens"), "output_truncated | JSON is not whole", 5, false, true},
    {MESSAGE(USE, "max_tokens"), "output_truncated | JSON is not whole", 5, true, false},
    {MESSAGE("", "max_tokens"), "output_truncated | before it said anything", 5, false, false},
    {MESSAGE(SAYS("a"), "model_context_window_exceeded"), "output_truncated | context window", 5,
     false, false},
    {MESSAGE(SAYS("a"), "pause_turn"), "output_truncated | pause_turn", 5, false, false},
    /* refused */
    {MESSAGE(SAYS("no"), "refusal"), "refused | refused: no", 0, false, false},
    {"{\"content\":[],\"stop_reason\":\"refusal\",\"stop_details\":{\"category\":\"cyber\"}}",
     "refused | refused (cyber)", 0, false, false},
    /* errors in the place of an answer */
    {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}",
     "overloaded | Overloaded", 0, false, false},
    {"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"}}",
     "bad_request", 0, false, false},
    {"{\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\"no\"}}", "timeout", 0,
     false, false},
    {"{\"type\":\"error\",\"error\":{\"type\":\"billing_error\",\"message\":\"no\"}}",
     "quota_exceeded", 0, false, false},
    {"{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"no\"}}",
     "model_not_found", 0, false, false},
    {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"no\"}}", "stream_error",
     0, false, false},
    {"{\"type\":\"error\"}", "stream_error", 0, false, false},
    {"{\"error\":\"just text\"}", "stream_error | just text", 0, false, false},
    {"{\"error\":null,\"content\":[" SAYS("a") "]}", "ok \"a\"", 0, false, false},
    /* what is no answer */
    {"", "empty_response | no body", 0, false, false},
    {"{\"choices\":[{\"message\":{\"content\":\"hi\"}}]}", "bad_response | has no content", 0,
     false, false},
    {"{\"content\":\"text\"}", "bad_response", 0, false, false},
    {"[1]", "bad_response", 0, false, false},
    {"null", "bad_response", 0, false, false},
    {"{\"content\":[{\"type\":\"te", "bad_response | not valid JSON", 0, false, false},
    {"<!DOCTYPE html>", "bad_response | not JSON; check the base URL", 0, false, false},
};

static void probe_init(struct answer_probe *probe, const struct answer *answer)
{
    static const struct schema_use any_schema = {.json = {"{}", 2}};

    answer_probe_init(probe, &anthropic_ops, "");
    probe->deaf = true;
    probe->request.tools = answer->tools ? PL_STR("[{}]") : PL_STR("");
    probe->request.schema = answer->schema ? &any_schema : NULL;
    probe->request.max_tokens = answer->max_tokens;
}

START_TEST(an_answer_stands_or_is_the_right_error)
{
    const char *want = answers[_i].result, *words = strstr(want, " | "), *got;
    struct answer_probe probe;
    size_t len;

    probe_init(&probe, &answers[_i]);
    got = answer_probe_whole(&probe, answers[_i].body);
    ck_assert_int_eq(probe.fed, PL_OK);
    len = strlen(got);
    ck_assert_uint_eq(len, words ? (size_t)(words - want) : strlen(want));
    ck_assert_msg(strncmp(got, want, len) == 0, "%s: %s", got, probe.result.err.message);
    if (words)
        ck_assert_msg(strstr(probe.result.err.message, words + 3) != NULL, "%s",
                      probe.result.err.message);
    answer_probe_finish(&probe);
}
END_TEST

#define ERROR(type, message) \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"

static const struct {
    int status;
    const char *body;
    enum pl_code code;
    bool no_retry;
} errors[] = {
    {400, ERROR("invalid_request_error", "max_tokens: required"), PL_ERR_BAD_REQUEST, false},
    {400, ERROR("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
     PL_ERR_CONTEXT_TOO_LONG, false},
    {400,
     ERROR("invalid_request_error",
           "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
     PL_ERR_CONTEXT_TOO_LONG, false},
    {400, ERROR("invalid_request_error", "Your credit balance is too low to access the API."),
     PL_ERR_QUOTA_EXCEEDED, true},
    {400, ERROR("invalid_request_error", "Output blocked by content filtering policy"),
     PL_ERR_CONTENT_FILTERED, false},
    {401, ERROR("authentication_error", "invalid x-api-key"), PL_ERR_AUTH_FAILED, false},
    {402, ERROR("billing_error", "no"), PL_ERR_QUOTA_EXCEEDED, true},
    {403, ERROR("permission_error", "no"), PL_ERR_AUTH_FAILED, false},
    {404, ERROR("not_found_error", "model: claude-9"), PL_ERR_MODEL_NOT_FOUND, false},
    {413, ERROR("request_too_large", "Request exceeds the maximum size"), PL_ERR_CONTEXT_TOO_LONG,
     false},
    {429, ERROR("rate_limit_error", "slow down"), PL_ERR_RATE_LIMITED, false},
    {500, ERROR("api_error", "Internal server error"), PL_ERR_PROVIDER_ERROR, false},
    {504, ERROR("timeout_error", "took too long"), PL_ERR_TIMEOUT, false},
    {529, ERROR("overloaded_error", "Overloaded"), PL_ERR_OVERLOADED, false},
    {529, "<html>busy</html>", PL_ERR_OVERLOADED, false},
    {502, "", PL_ERR_PROVIDER_ERROR, false},
};

START_TEST(an_error_status_has_the_right_code)
{
    struct step_result result;

    step_result_init(&result);
    anthropic_ops.error(errors[_i].status, pl_str(errors[_i].body), &result);
    ck_assert_msg(result.err.code == errors[_i].code, "%s", result.err.message);
    ck_assert_int_eq(result.upstream_status, errors[_i].status);
    ck_assert(result.no_retry == errors[_i].no_retry);
    step_result_finish(&result);
}
END_TEST

START_TEST(text_over_the_limit_is_refused)
{
    static const char stream[] =
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
        "\"text\":\"\"}}\n\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
        "\"text\":\"four\"}}\n\n";
    const struct llm_request request = {.messages = PL_STR("[]"), .stream = true, .max_output = 6};
    const struct llm_sink sink = {0};
    struct anthropic_parser parser = {0};
    struct pl_err err;

    anthropic_ops.begin(&parser, &request, PL_STR("text/event-stream"));
    ck_assert_int_eq(anthropic_ops.feed(&parser, pl_str(stream), &sink, &err), PL_OK);
    ck_assert_int_eq(anthropic_ops.feed(&parser, pl_str(stream), &sink, &err),
                     PL_ERR_RESPONSE_TOO_LARGE);
    anthropic_ops.cleanup(&parser);
}
END_TEST

START_TEST(a_call_whose_input_comes_with_its_start_is_whole)
{
    static const char stream[] =
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_"
        "use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"q\": 1}}}\n\n"
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"}}\n\n"
        "data: {\"type\":\"message_stop\"}\n\n"
        "data: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n";
    const struct answer answer = {.tools = true};
    struct answer_probe probe;

    probe_init(&probe, &answer);
    ck_assert_str_eq(
        answer_probe_whole(&probe, stream),
        "ok {\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"name\":\"f\",\"arguments\":"
        "\"{\\\"q\\\": 1}\"}]}");
    answer_probe_finish(&probe);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("anthropic");
    TCase *tcase = tcase_create("anthropic");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_request_holds_what_the_step_says);
    tcase_add_test(tcase, max_tokens_is_always_sent);
    tcase_add_test(tcase, a_long_answer_is_streamed_even_when_nobody_watches);
    tcase_add_test(tcase, a_parameter_the_api_does_not_have_is_an_error_and_not_dropped);
    tcase_add_test(tcase, extra_may_not_replace_what_the_step_has);
    tcase_add_test(tcase, tools_go_out_in_the_shape_of_the_api);
    tcase_add_loop_test(tcase, a_conversation_goes_out_in_the_shape_of_the_api, 0,
                        (int)PL_ARRAY_LEN(conversations));
    tcase_add_loop_test(tcase, a_schema_is_adapted_or_asked_for_in_words, 0,
                        (int)PL_ARRAY_LEN(schemas));
    tcase_add_test(tcase, a_schema_and_extra_share_output_config);
    tcase_add_test(tcase, the_key_goes_into_its_own_header);
    tcase_add_loop_test(tcase, an_answer_stands_or_is_the_right_error, 0,
                        (int)PL_ARRAY_LEN(answers));
    tcase_add_loop_test(tcase, an_error_status_has_the_right_code, 0, (int)PL_ARRAY_LEN(errors));
    tcase_add_test(tcase, text_over_the_limit_is_refused);
    tcase_add_test(tcase, a_call_whose_input_comes_with_its_start_is_whole);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
