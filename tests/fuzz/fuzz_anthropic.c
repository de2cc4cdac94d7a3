/* fuzz_anthropic.c - answers of any bytes to a call of Anthropic's API, whole and cut: the result
 * must be the same, valid JSON when it is one, and an error otherwise; also as the body of an error
 * status. And conversations of any JSON as requests: the body is JSON, or there is an error. The
 * first byte says how it is asked for and typed, the second where it is cut. */
#include "base/json.h"
#include "service/llm/anthropic.h"
#include "service/workflow/workflow.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { HOW_STREAM = 4, HOW_MAX = 8, HOW_TOOLS = 16, HOW_SCHEMA = 32, HOW_REQUEST = 64 };

static void must(bool fact)
{
    if (!fact)
        abort();
}

static void take_delta(void *arg, struct pl_str text)
{
    pl_buf_str(arg, text);
}

static struct llm_request request_of(uint8_t how)
{
    return (struct llm_request){.messages = PL_STR("[]"),
                                .stream = how & HOW_STREAM,
                                .max_tokens = how & HOW_MAX,
                                .tools = how & HOW_TOOLS ? PL_STR("[{}]") : PL_STR(""),
                                .identity = PL_STR("agent.1"),
                                .max_output = 32768};
}

/* ---- answers ---- */

static void read_answer(struct pl_str body, size_t cut, uint8_t how, struct step_result *result,
                        struct pl_buf *deltas)
{
    static const char *const types[] = {"", "application/json", "text/event-stream", "text/html"};
    const struct llm_request request = request_of(how);
    const struct llm_sink sink = {.arg = deltas, .delta = take_delta};
    struct anthropic_parser parser = {0};
    enum pl_code code;

    step_result_init(result);
    anthropic_ops.begin(&parser, &request, pl_str(types[how & 3]));
    code = anthropic_ops.feed(&parser, pl_str_n(body.ptr, cut), &sink, &result->err);
    if (code == PL_OK)
        code = anthropic_ops.feed(&parser, pl_str_n(body.ptr + cut, body.len - cut), &sink,
                                  &result->err);
    (void)anthropic_ops.ended(&parser);
    if (code == PL_OK)
        anthropic_ops.finish(&parser, &sink, result);
    must(code == PL_OK || result->err.code == code);
    must(result->usage.input_tokens >= 0 && result->usage.output_tokens >= 0);
    anthropic_ops.cleanup(&parser);
}

/* A turn has a text or calls, every call an id of its own, and what goes back is a list. */
static void check_turn(struct pl_str turn)
{
    struct pl_str content, calls, id, other, replay;
    struct json_iter it;

    must(json_get(turn, PL_STR("content"), &content));
    must(json_get(turn, PL_STR("tool_calls"), &calls));
    must(json_type(content) == JSON_STRING || json_count(calls) > 0);
    if (json_get(turn, PL_STR(LLM_REPLAY_KEY), &replay))
        must(json_get(replay, PL_STR("anthropic"), &replay) && json_type(replay) == JSON_ARRAY &&
             json_count(replay) > json_count(calls));
    for (json_iter_init(&it, calls); json_iter_next(&it);) {
        unsigned same = 0;

        must(json_get(it.value, PL_STR("id"), &id));
        for (int64_t i = 0; json_at(calls, i, &other); i++) {
            must(json_get(other, PL_STR("id"), &other));
            same += json_equal(other, id);
        }
        must(same == 1);
    }
}

/* Exactly one of output and error; both are texts that others can read. */
static void check_result(const struct step_result *result, uint8_t how)
{
    const struct pl_str output = pl_value_text(result->output);

    must((result->err.code == PL_OK) == (result->output != NULL));
    if (result->output)
        must(json_check(output, 128, NULL, NULL) == PL_OK);
    if (result->output && how & HOW_TOOLS)
        check_turn(output);
    else if (result->output)
        must(json_type(output) == JSON_STRING);
    if (result->upstream)
        must(json_check(pl_value_text(result->upstream), 4, NULL, NULL) == PL_OK);
}

static void check_error(int status, struct pl_str body)
{
    struct step_result result;

    step_result_init(&result);
    anthropic_ops.error(status, body, &result);
    must(result.err.code != PL_OK);
    check_result(&result, 0);
    step_result_finish(&result);
}

static void check_answer(const uint8_t *data, struct pl_str body)
{
    struct step_result whole, cut;
    struct pl_buf whole_deltas, cut_deltas;

    pl_buf_init(&whole_deltas, (size_t)64 << 20);
    pl_buf_init(&cut_deltas, (size_t)64 << 20);
    read_answer(body, 0, data[0], &whole, &whole_deltas);
    read_answer(body, body.len ? data[1] % (body.len + 1) : 0, data[0], &cut, &cut_deltas);
    check_result(&whole, data[0]);
    check_result(&cut, data[0]);
    must(whole.err.code == cut.err.code);
    must(pl_str_eq(pl_value_text(whole.output), pl_value_text(cut.output)));
    must(pl_str_eq(pl_buf_view(&whole_deltas), pl_buf_view(&cut_deltas)));
    step_result_finish(&whole);
    step_result_finish(&cut);
    pl_buf_finish(&whole_deltas);
    pl_buf_finish(&cut_deltas);
    check_error(300 + data[1], body);
}

/* ---- requests ---- */

/* A list is a conversation; an object is a schema, or with HOW_MAX what stands under `extra`. */
static void check_request(uint8_t how, struct pl_str json)
{
    struct llm_request request = request_of(how);
    struct schema_use schema = {.json = json};
    struct pl_arena *arena = pl_arena_create(0);
    struct provider provider = {.ops = &anthropic_ops, .base_url = PL_STR("http://h")};
    struct http_request http;
    struct pl_err err;
    enum pl_code code;

    if (!arena || json_check(json, 64, NULL, NULL) != PL_OK) {
        pl_arena_destroy(&arena);
        return;
    }
    request.messages = PL_STR("[{\"role\":\"user\",\"content\":\"hi\"}]");
    if (json_type(json) == JSON_ARRAY)
        request.messages = json;
    else if (how & HOW_MAX && json_type(json) == JSON_OBJECT)
        request.extra = json;
    if (how & HOW_SCHEMA)
        request.schema = &schema;
    code = anthropic_ops.configure(&provider, arena, &err);
    if (code == PL_OK)
        code = anthropic_ops.build(&provider, &request, arena, &http, &err);
    must(code == PL_OK || code == PL_ERR_INVALID_ARGUMENT || code == PL_ERR_TOO_LARGE);
    if (code == PL_OK && !request.extra.len) /* which may repeat a name in other letters */
        must(json_check(http.body, 200, NULL, NULL) == PL_OK);
    pl_arena_destroy(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pl_str body;

    if (size < 2 || size > 65536)
        return 0;
    body = pl_str_n((const char *)data + 2, size - 2);
    if (data[0] & HOW_REQUEST)
        check_request(data[0], body);
    else
        check_answer(data, body);
    return 0;
}
