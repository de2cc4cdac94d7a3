/* fuzz_gemini.c - answers of any bytes to a call of the Gemini API, whole and cut: the result must
 * be the same, valid JSON when it is one, and an error otherwise; also as the body of an error
 * status. A turn that was read must go into the next request. The first byte says how it is asked
 * for and typed, the second where it is cut. */
#include "base/json.h"
#include "base/limits.h"
#include "service/llm/gemini.h"
#include "service/steps/llm_messages.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static void take_delta(void *arg, struct pl_str text)
{
    pl_buf_str(arg, text);
}

static void read_answer(struct pl_str body, size_t cut, uint8_t how, struct step_result *result,
                        struct pl_buf *deltas)
{
    static const char *const types[] = {"", "application/json", "text/event-stream", "text/html"};
    const struct llm_request request = {.messages = PL_STR("[]"),
                                        .stream = how & 4,
                                        .max_tokens = how & 8,
                                        .tools = how & 16 ? PL_STR("[{}]") : PL_STR(""),
                                        .identity = PL_STR("agent.1"),
                                        .max_output = 32768};
    const struct llm_sink sink = {.arg = deltas, .delta = take_delta};
    struct gemini_parser parser = {0};
    enum pl_code code;

    step_result_init(result);
    gemini_ops.begin(&parser, &request, pl_str(types[how & 3]));
    code = gemini_ops.feed(&parser, pl_str_n(body.ptr, cut), &sink, &result->err);
    if (code == PL_OK)
        code =
            gemini_ops.feed(&parser, pl_str_n(body.ptr + cut, body.len - cut), &sink, &result->err);
    (void)gemini_ops.ended(&parser);
    if (code == PL_OK)
        gemini_ops.finish(&parser, &sink, result);
    must(code == PL_OK || result->err.code == code);
    gemini_ops.cleanup(&parser);
}

/* A turn has a text or calls, and every call an id of its own. */
static void check_turn(struct pl_str turn)
{
    struct pl_str content, calls, id, other;
    struct json_iter it;

    must(json_get(turn, PL_STR("content"), &content));
    must(json_get(turn, PL_STR("tool_calls"), &calls));
    must(json_type(content) == JSON_STRING || json_count(calls) > 0);
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
        must(json_check(output, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK);
    if (result->output && how & 16)
        check_turn(output);
    else if (result->output)
        must(json_type(output) == JSON_STRING);
    if (result->upstream)
        must(json_check(pl_value_text(result->upstream), 4, NULL, NULL) == PL_OK);
}

/* The conversation goes on with the turn: what the model said goes back, and whatever it was, the
 * request is JSON. */
static void send_back(struct pl_str turn)
{
    const struct provider provider = {.ops = &gemini_ops, .url = PL_STR("http://127.0.0.1/v1beta")};
    struct pl_arena *arena = pl_arena_create(0);
    struct llm_request request = {.model = PL_STR("gemini-3-pro")};
    struct pl_buf messages, body;
    struct pl_err err;

    must(arena != NULL);
    pl_buf_init(&messages, PL_LIMIT_STREAM_BYTES);
    pl_buf_init(&body, PL_LIMIT_STREAM_BYTES);
    json_array_begin(&messages);
    llm_messages_add_text(&messages, "user", PL_STR("x"));
    llm_messages_add_turn(&messages, turn);
    json_array_end(&messages);
    request.messages = pl_buf_view(&messages);
    if (gemini_write_body(&provider, &request, arena, &body, &err) == PL_OK)
        must(json_check(pl_buf_view(&body), 2 * PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK);
    pl_buf_finish(&messages);
    pl_buf_finish(&body);
    pl_arena_destroy(&arena);
}

static void check_error(int status, struct pl_str body)
{
    struct step_result result;

    step_result_init(&result);
    gemini_ops.error(status, body, &result);
    must(result.err.code != PL_OK);
    check_result(&result, 0);
    step_result_finish(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct step_result whole, cut;
    struct pl_buf whole_deltas, cut_deltas;
    struct pl_str body;

    if (size < 2 || size > 65536)
        return 0;
    body = pl_str_n((const char *)data + 2, size - 2);
    pl_buf_init(&whole_deltas, (size_t)64 << 20);
    pl_buf_init(&cut_deltas, (size_t)64 << 20);
    read_answer(body, 0, data[0], &whole, &whole_deltas);
    read_answer(body, body.len ? data[1] % (body.len + 1) : 0, data[0], &cut, &cut_deltas);
    check_result(&whole, data[0]);
    check_result(&cut, data[0]);
    if (whole.output && data[0] & 16)
        send_back(pl_value_text(whole.output));
    must(whole.err.code == cut.err.code);
    must(pl_str_eq(pl_value_text(whole.output), pl_value_text(cut.output)));
    must(pl_str_eq(pl_buf_view(&whole_deltas), pl_buf_view(&cut_deltas)));
    step_result_finish(&whole);
    step_result_finish(&cut);
    pl_buf_finish(&whole_deltas);
    pl_buf_finish(&cut_deltas);
    check_error(300 + data[1], body);
    return 0;
}
