/* test_llm_parts.c - conversations in the OpenAI shape taken apart, and what is said of those that
 * cannot be read. Run by ctest. */
#include "base/json.h"
#include "service/llm/llm_parts.h"

#include <check.h>

static void write_part(const struct llm_part *part, struct pl_buf *out)
{
    static const char *const sources[] = {"", "data", "url", "id"};

    if (part->type == LLM_PART_TEXT) {
        pl_buf_printf(out, " %.*s", PL_STR_ARG(part->text));
        return;
    }
    pl_buf_printf(out, " <%s %s %.*s|%.*s", llm_part_name(part->type), sources[part->source],
                  PL_STR_ARG(part->media_type), PL_STR_ARG(part->value));
    if (part->filename.len)
        pl_buf_printf(out, " %.*s", PL_STR_ARG(part->filename));
    pl_buf_char(out, '>');
}

/* A line a turn: its role, parts, calls, the name of the call it answers. */
static void write_turns(const struct llm_turns *turns, struct pl_buf *out)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};

    for (size_t i = 0; i < turns->count; i++) {
        const struct llm_turn *turn = &turns->items[i];

        ck_assert_uint_eq(turn->index, i);
        pl_buf_printf(out, "%s%s", i ? "\n" : "", roles[turn->role]);
        for (size_t j = 0; j < turn->n_parts; j++)
            write_part(&turn->parts[j], out);
        for (size_t j = 0; j < turn->n_calls; j++)
            pl_buf_printf(out, " [%.*s %.*s %.*s]", PL_STR_ARG(turn->calls[j].id),
                          PL_STR_ARG(turn->calls[j].name), PL_STR_ARG(turn->calls[j].arguments));
        if (turn->answers)
            pl_buf_printf(out, " to %.*s", PL_STR_ARG(turn->answers->name));
    }
}

struct conversation {
    const char *messages;
    const char *read; /* what write_turns says, or the beginning of the error after "!" */
};

#define USER(content) "[{\"role\":\"user\",\"content\":" content "}]"
#define PART(part)    USER("[" part "]")
#define CALLS(calls)  "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":" calls "}"
#define CALL(id, arguments) \
    "{\"id\":\"" id         \
    "\",\"type\":\"function\",\"function\":{\"name\":\"look\",\"arguments\":" arguments "}}"

static const struct conversation conversations[] = {
    {"[]", ""},
    {"[{\"role\":\"system\",\"content\":\"Be \\\"kind\\\".\"},{\"role\":\"developer\",\"content\":"
     "\"b\"},{\"role\":\"user\",\"content\":\"\"}, {\"content\": \"c\", \"role\":\"assistant\"}]",
     "system \"Be \\\"kind\\\".\"\nsystem \"b\"\nuser \"\"\nassistant \"c\""},
    {USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]"),
     "user \"a\" \"b\""},
    {"[{\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]",
     "assistant \"no\""},
    /* images */
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.org/"
          "a.png\",\"detail\":\"low\"}}"),
     "user <an image url |https://example.org/a.png>"},
    {PART("{\"type\":\"image_url\",\"image_url\":\"http://x/a\"}"),
     "user <an image url |http://x/a>"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/PNG;base64,aGk=\"}}"),
     "user <an image data image/png|aGk=>"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"DATA:image\\/jpeg;q=1;BASE64,a\\/"
          "+b\"}}"),
     "user <an image data image/jpeg|a/+b>"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png,abc\"}}"),
     "!'messages' element 0, part 0, has a data: URL that is not base64"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64\"}}"),
     "!'messages' element 0, part 0, has a data: URL without a comma"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:;base64,abc\"}}"),
     "!'messages' element 0, part 0, has a data: URL without a media type"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,a b\"}}"),
     "!'messages' element 0, part 0, has data that is not base64"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,\"}}"),
     "!'messages' element 0, part 0, has data that is not base64"},
    {PART("{\"type\":\"image_url\",\"image_url\":{\"url\":\"/tmp/a.png\"}}"),
     "!'messages' element 0, part 0, has a URL that is neither"},
    {PART("{\"type\":\"image_url\",\"image_url\":{}}"),
     "!'messages' element 0, part 0, needs image_url: {url: ...}"},
    /* audio and files */
    {PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"aGk=\",\"format\":\"wav\"}}"),
     "user <audio data audio/wav|aGk=>"},
    {PART("{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"aGk=\"}}"),
     "!'messages' element 0, part 0, needs input_audio"},
    {PART("{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/"
          "pdf;base64,JVBE\",\"filename\":\"a.pdf\"}}"),
     "user <a file data application/pdf|JVBE a.pdf>"},
    {PART("{\"type\":\"file\",\"file\":{\"file_data\":\"JVBE\",\"filename\":\"a.PDF\"}}"),
     "user <a file data application/pdf|JVBE a.PDF>"},
    {PART("{\"type\":\"file\",\"file\":{\"file_data\":\"JVBE\"}}"),
     "!'messages' element 0, part 0, has a file whose type is not told"},
    {PART("{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}}"), "user <a file id |file-1>"},
    {PART("{\"type\":\"file\",\"file\":{\"file_url\":\"https://example.org/a.pdf\"}}"),
     "user <a file url |https://example.org/a.pdf>"},
    {PART("{\"type\":\"file\",\"file\":{}}"), "!'messages' element 0, part 0, needs file"},
    {USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"video\"}]"),
     "!'messages' element 0, part 1, is of no type that can be read here"},
    {PART("{\"type\":\"text\"}"), "!'messages' element 0, part 0, needs a string"},
    {PART("7"), "!'messages' element 0, part 0, is of no type"},
    /* tools */
    {"[" CALLS("[" CALL("c1", "\"{\\\"q\\\":1}\"") "," CALL(
         "c2", "\"\"") "]") ",{\"role\":"
                            "\"tool\",\"tool_call_id\":\"c2\",\"content\":\"two\"},{\"role\":"
                            "\"tool\",\"tool_call_id\":"
                            "\"c1\",\"content\":null}]",
     "assistant [c1 look {\"q\":1}] [c2 look {}]\ntool \"two\" to look\ntool to look"},
    {"[" CALLS("[" CALL("c1", "{\"q\": 1}") "," CALL("c2", "\" null\"") "," CALL(
         "c3", "\"not \\\"JSON\\\"\"") "," CALL("c4", "\"[1]\"") "]") "]",
     "assistant [c1 look {\"q\": 1}] [c2 look {}] [c3 look {\"arguments\":\"not \\\"JSON\\\"\"}] "
     "[c4 look {\"arguments\":\"[1]\"}]"},
    {"[" CALLS("[{\"id\":\"c\",\"function\":{}}]") "]",
     "!'messages' element 0 has a tool call without function.name"},
    {"[" CALLS("[{\"function\":{\"name\":\"f\"}}]") "]",
     "!'messages' element 0 has a tool call without an id"},
    {"[" CALLS("7") "]", "!'messages' element 0 has tool_calls that are no list"},
    {"[" CALLS("[" CALL("c1", "\"{}\"") "]") ",{\"role\":\"tool\",\"tool_call_id\":\"c9\","
                                             "\"content\":\"x\"}]",
     "!'messages' element 1 answers the tool call 'c9', which no message before it makes"},
    {"[{\"role\":\"tool\",\"content\":\"x\"}]",
     "!'messages' element 0 is a tool's answer without tool_call_id"},
    /* what is no conversation */
    {"{}", "!'messages' must give a list"},
    {"[7]", "!'messages' element 0 is no object"},
    {"[{\"role\":\"robot\",\"content\":\"x\"}]", "!'messages' element 0 has no role of"},
    {"[{\"role\":\"user\"}]", "!'messages' element 0 says nothing"},
    {"[{\"role\":\"user\",\"content\":[]}]", "!'messages' element 0 says nothing"},
    {"[{\"role\":\"user\",\"content\":7}]", "!'messages' element 0 has a content that is neither"},
    {"[" CALLS("[]") "]", "!'messages' element 0 says nothing"},
};

START_TEST(a_conversation_is_taken_apart_or_refused_with_its_place)
{
    const struct conversation *given = &conversations[_i];
    struct pl_arena *arena = pl_arena_create(0);
    struct llm_turns turns = {0};
    struct pl_err err = {0};
    struct pl_buf text;
    enum pl_code code;

    ck_assert_int_eq(json_check(pl_str(given->messages), 64, NULL, NULL), PL_OK);
    pl_buf_init(&text, 65536);
    code = llm_parts_read(pl_str(given->messages), arena, &turns, &err);
    if (given->read[0] == '!') {
        ck_assert_int_eq(code, PL_ERR_INVALID_ARGUMENT);
        err.message[strlen(given->read + 1) < sizeof(err.message) ? strlen(given->read + 1) : 0] =
            '\0';
        ck_assert_str_eq(err.message, given->read + 1);
    } else {
        ck_assert_msg(code == PL_OK, "%s", err.message);
        write_turns(&turns, &text);
        ck_assert_str_eq(text.data ? text.data : "", given->read);
    }
    pl_buf_finish(&text);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(what_a_provider_wants_back_is_found_by_its_kind_alone)
{
    const struct pl_str messages =
        PL_STR("[{\"role\":\"assistant\",\"content\":\"a\",\"replay\":{\"anthropic\":[1 , 2]}}]");
    struct pl_arena *arena = pl_arena_create(0);
    struct llm_turns turns = {0};
    struct pl_str json;

    ck_assert_int_eq(llm_parts_read(messages, arena, &turns, NULL), PL_OK);
    ck_assert(llm_turn_replay(&turns.items[0], "anthropic", &json));
    ck_assert(pl_str_is(json, "[1 , 2]"));
    ck_assert(!llm_turn_replay(&turns.items[0], "gemini", &json));
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(an_arena_that_is_full_at_any_point_is_out_of_memory)
{
    const struct pl_str messages = PL_STR("[" CALLS("[" CALL("c\\t1", "\"{\\\"q\\\":1}\"") "," CALL(
        "c2", "\"x\"") "]") ","
                            "{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{\"file_"
                            "data\":\"data:"
                            "application\\/pdf;base64,JVBE\",\"filename\":\"a\\t.pdf\"}}]}]");
    enum pl_code code = PL_ERR_NO_MEMORY;

    for (size_t max = 16; code != PL_OK; max += 16) {
        struct pl_arena *arena = pl_arena_create(max);
        struct llm_turns turns = {0};

        ck_assert_uint_lt(max, 65536);
        if (!arena)
            continue;
        code = llm_parts_read(messages, arena, &turns, NULL);
        ck_assert(code == PL_OK || code == PL_ERR_NO_MEMORY);
        pl_arena_destroy(&arena);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_parts");
    TCase *tcase = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(tcase, a_conversation_is_taken_apart_or_refused_with_its_place, 0,
                        (int)PL_ARRAY_LEN(conversations));
    tcase_add_test(tcase, what_a_provider_wants_back_is_found_by_its_kind_alone);
    tcase_add_test(tcase, an_arena_that_is_full_at_any_point_is_out_of_memory);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
