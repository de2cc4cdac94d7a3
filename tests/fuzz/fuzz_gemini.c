/* fuzz_gemini.c - answers of any bytes to a call of the Gemini API; what must hold of them is in
 * answer_harness.h. A turn that was read must go into the next request. The first byte says how it
 * is asked for and typed, the second where it is cut. */
#include "base/json.h"
#include "base/limits.h"
#include "service/llm/gemini.h"
#include "service/steps/llm_messages.h"
#include "tests/fuzz/answer_harness.h"
#include "tests/fuzz/fuzz.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct answer_target target = {
        .ops = &gemini_ops, .output_depth = PL_LIMIT_JSON_DEPTH, .check_turn = send_back};

    if (size < 2 || size > 65536)
        return 0;
    answer_fuzz(&target, data[0], data[1], pl_str_n((const char *)data + 2, size - 2));
    return 0;
}
