/* fuzz_anthropic.c - answers of any bytes to a call of Anthropic's API; what must hold of them is
 * in answer_harness.h. And conversations of any JSON as requests: the body is JSON, or there is an
 * error. The first byte says how it is asked for and typed, the second where it is cut. */
#include "base/json.h"
#include "service/llm/anthropic.h"
#include "service/workflow/workflow.h"
#include "tests/fuzz/answer_harness.h"
#include "tests/fuzz/fuzz.h"

enum { HOW_SCHEMA = 32, HOW_REQUEST = 64 };

/* What goes back is a list, with something beside the calls. */
static void check_replay(struct pl_str turn)
{
    struct pl_str calls, replay;

    if (!json_get(turn, PL_STR(LLM_REPLAY_KEY), &replay))
        return;
    must(json_get(turn, PL_STR("tool_calls"), &calls));
    must(json_get(replay, PL_STR("anthropic"), &replay) && json_type(replay) == JSON_ARRAY &&
         json_count(replay) > json_count(calls));
}

static const struct answer_target target = {
    .ops = &anthropic_ops, .output_depth = 128, .check_turn = check_replay};

/* A list is a conversation; an object is a schema, or with HOW_MAX what stands under `extra`. */
static void check_request(uint8_t how, struct pl_str json)
{
    struct llm_request request = answer_request(how);
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
        answer_fuzz(&target, data[0], data[1], body);
    return 0;
}
