/* fuzz_mcp.c - what an MCP server may answer, in any bytes, whole and cut: as JSON or as an event
 * stream, read as a list of tools and as the result of a call; then put among an agent's tools and
 * told to a model. The first byte says which and where it is cut. */
#include "base/json.h"
#include "base/limits.h"
#include "service/mcp/mcp_message.h"
#include "service/run/run_agent_tools.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static bool is_json(struct pl_str text)
{
    struct pl_err err;

    return json_check(text, PL_LIMIT_VALUE_DEPTH, NULL, &err) == PL_OK;
}

static enum pl_code read_reply(struct mcp_reply *reply, struct pl_str body, size_t cut, bool stream)
{
    struct pl_err err = {0};
    enum pl_code code;

    mcp_reply_init(reply, 1, stream ? PL_STR("text/event-stream") : PL_STR("application/json"),
                   NULL, 1 << 20);
    code = mcp_reply_feed(reply, pl_str_n(body.ptr, cut), &err);
    if (code == PL_OK)
        code = mcp_reply_feed(reply, pl_str_n(body.ptr + cut, body.len - cut), &err);
    if (code == PL_OK)
        code = mcp_reply_end(reply, &err);
    must(code == PL_OK ? reply->found : err.code == code);
    return code;
}

/* What a listing comes to for an agent: names that every provider takes, each once. */
static void merge(struct pl_str tools)
{
    struct agent_mcp server = {0};
    struct agent_tool own = {.id = PL_STR("search")};
    const struct agent_config config = {.tools = &own, .n_tools = 1, .mcp = &server, .n_mcp = 1};
    struct agent_listing listing = {.done = true, .tools = pl_value_new(tools)};
    struct pl_str memo = PL_STR("{\"messages\":[],\"mcp\":[\"http://a/\"]}"), list, name;
    struct pl_value *made = NULL;
    struct pl_err err = {0};
    struct json_iter it;
    uint32_t at = 0, found;

    if (agent_tools_memo(&config, memo, &listing, &made, &err) == PL_OK) {
        must(is_json(pl_value_text(made)));
        must(json_get(pl_value_text(made), PL_STR("tools"), &list));
        for (json_iter_init(&it, list); json_iter_next(&it); at++) {
            must(json_get(it.value, PL_STR("name"), &name) && name.len >= 3 && name.len <= 66);
            must(!pl_str_is(name, "\"search\""));
            must(agent_tools_find(list, pl_str_n(name.ptr + 1, name.len - 2), &found));
            must(found == at);
        }
    }
    pl_value_unref(&made);
    pl_value_unref(&listing.tools);
}

static void take(struct pl_str result)
{
    struct pl_value *output = NULL, *told;
    struct pl_str cursor;
    struct pl_err err = {0};
    unsigned n = 0;
    struct pl_buf list;

    pl_buf_init(&list, 1 << 20);
    json_array_begin(&list);
    if (mcp_take_tools(result, true, &list, &n, &cursor, &err) == PL_OK) {
        json_array_end(&list);
        must(is_json(pl_buf_view(&list)));
        merge(pl_buf_view(&list));
    }
    pl_buf_finish(&list);
    if (mcp_take_result(result, 1 << 20, &output, &err) == PL_OK) {
        must(is_json(pl_value_text(output)));
        told = agent_tools_answer(pl_value_text(output));
        must(told && is_json(pl_value_text(told)));
        pl_value_unref(&told);
    }
    pl_value_unref(&output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mcp_reply whole, cut;
    struct pl_str body;
    enum pl_code code;
    bool stream;

    if (size < 2 || size > 65536)
        return 0;
    stream = data[0] & 1;
    body = pl_str_n((const char *)data + 1, size - 1);
    code = read_reply(&whole, body, body.len, stream);
    must(read_reply(&cut, body, (data[0] >> 1) % (body.len + 1), stream) == code);
    must(pl_str_eq(whole.result, cut.result) && whole.error == cut.error);
    if (code == PL_OK && whole.result.len)
        take(whole.result);
    (void)mcp_supports_sessions(whole.data);
    mcp_reply_finish(&whole);
    mcp_reply_finish(&cut);
    return 0;
}
