/* anthropic_blocks.c - the content blocks of an answer: text, tool calls, thoughts and what is not
 * known, whole or as the events of a stream; and how they go back in the next turn of a tool loop.
 * Not what an answer says besides (anthropic_answer.c). Called by anthropic_answer.c and
 * anthropic_stream.c.
 *
 * Thoughts are signed and have to return byte by byte, where they stood. So where a turn has any,
 * all its blocks are kept: as they came; texts as their text; a tool call as its place alone, since
 * the conversation has the call itself. */
#include "service/llm/anthropic.h"

#include "base/json.h"
#include "base/limits.h"

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return object.len && json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool is_string(struct pl_str json)
{
    return json.len && json_type(json) == JSON_STRING;
}

static enum anthropic_block_type type_of(struct pl_str block)
{
    const struct pl_str type = member(block, "type");

    if (pl_str_is(type, "\"text\""))
        return ANTHROPIC_BLOCK_TEXT;
    if (pl_str_is(type, "\"tool_use\""))
        return ANTHROPIC_BLOCK_TOOL;
    if (pl_str_is(type, "\"thinking\""))
        return ANTHROPIC_BLOCK_THINKING;
    return ANTHROPIC_BLOCK_OTHER;
}

/* What the text has become since it was so long. */
static struct pl_str text_since(const struct anthropic_parser *parser, size_t before)
{
    const struct pl_buf *text = &parser->text;

    if (pl_buf_failed(text) || text->len <= before)
        return (struct pl_str){0};
    return pl_str_n(text->data + before, text->len - before);
}

/* A text that may be missing or null. */
static void read_text(struct pl_str object, struct anthropic_parser *parser)
{
    const struct pl_str text = member(object, "text");

    if (is_string(text))
        json_decode_string(text, &parser->text);
    else
        parser->bad_text |= text.len && json_type(text) != JSON_NULL;
}

/* ---- tool calls ---- */

/* A call with its id and name; NULL: nobody offered tools, or there are too many. */
static struct tool_call *add_call(struct anthropic_parser *parser, struct pl_str block,
                                  int64_t index)
{
    struct tool_call *call;

    parser->ignored_calls |= !parser->request->tools.len;
    if (!parser->request->tools.len)
        return NULL;
    call = tool_calls_add(&parser->calls, index, parser->text.max);
    if (!call)
        return NULL;
    if (is_string(member(block, "id")))
        json_decode_string(member(block, "id"), &call->id);
    if (is_string(member(block, "name")))
        json_decode_string(member(block, "name"), &call->name);
    return call;
}

/* ---- what goes back ---- */

static bool keeps_replay(const struct anthropic_parser *parser)
{
    return parser->request->tools.len > 0;
}

static void open_replay(struct anthropic_parser *parser)
{
    if (!parser->replay.len)
        json_array_begin(&parser->replay);
    json_comma(&parser->replay);
}

static void replay_call(struct anthropic_parser *parser)
{
    open_replay(parser);
    pl_buf_text(&parser->replay, "{\"type\":\"tool_use\"}");
}

static void replay_text(struct anthropic_parser *parser, struct pl_str text)
{
    if (!text.len)
        return; /* the API takes none back */
    open_replay(parser);
    json_object_begin(&parser->replay);
    json_add_string(&parser->replay, "type", PL_STR("text"));
    json_add_string(&parser->replay, "text", text);
    json_object_end(&parser->replay);
}

/* ---- whole blocks ---- */

static void take_text(struct pl_str block, struct anthropic_parser *parser)
{
    const size_t before = parser->text.len;

    read_text(block, parser);
    if (keeps_replay(parser))
        replay_text(parser, text_since(parser, before));
}

static void take_call(struct pl_str block, struct anthropic_parser *parser)
{
    struct tool_call *call = add_call(parser, block, -1);

    if (!call)
        return;
    if (member(block, "input").len)
        pl_buf_str(&call->arguments, member(block, "input"));
    replay_call(parser);
}

void anthropic_take_block(struct pl_str block, struct anthropic_parser *parser)
{
    const enum anthropic_block_type type = type_of(block);

    if (type == ANTHROPIC_BLOCK_TEXT) {
        take_text(block, parser);
    } else if (type == ANTHROPIC_BLOCK_TOOL) {
        take_call(block, parser);
    } else if (keeps_replay(parser)) {
        parser->needs_replay = true;
        open_replay(parser);
        pl_buf_str(&parser->replay, block);
    }
}

/* ---- blocks of a stream ---- */

static int64_t index_of(struct pl_str event)
{
    const struct pl_str index = member(event, "index");
    int64_t number;

    return index.len && json_int(index, &number) && number >= 0 ? number : -1;
}

void anthropic_block_start(struct pl_str event, struct anthropic_parser *parser)
{
    const struct pl_str start = member(event, "content_block");
    struct anthropic_block *block = &parser->block;

    anthropic_block_stop(parser); /* of one before that was not ended */
    if (!start.len || json_type(start) != JSON_OBJECT)
        return;
    block->type = type_of(start);
    block->index = index_of(event);
    if (block->type == ANTHROPIC_BLOCK_TOOL) {
        if (add_call(parser, start, block->index))
            pl_buf_str(&block->start, start);
        return;
    }
    if (block->type == ANTHROPIC_BLOCK_TEXT) {
        const size_t before = parser->text.len;

        read_text(start, parser);
        if (keeps_replay(parser))
            pl_buf_str(&block->body, text_since(parser, before));
        return;
    }
    if (!keeps_replay(parser))
        return;
    pl_buf_str(&block->start, start);
    if (block->type == ANTHROPIC_BLOCK_THINKING && is_string(member(start, "thinking")))
        json_decode_string(member(start, "thinking"), &block->body);
    if (is_string(member(start, "signature")))
        json_decode_string(member(start, "signature"), &block->signature);
}

static void decode_member(struct pl_str delta, const char *key, struct pl_buf *out)
{
    const struct pl_str value = member(delta, key);

    if (is_string(value))
        json_decode_string(value, out);
}

static void take_text_delta(struct pl_str delta, struct anthropic_parser *parser)
{
    const size_t before = parser->text.len;

    read_text(delta, parser);
    if (keeps_replay(parser) && parser->block.type == ANTHROPIC_BLOCK_TEXT)
        pl_buf_str(&parser->block.body, text_since(parser, before));
}

/* The arguments of a call, or the input of a server's own tool. */
static void take_json_delta(struct pl_str event, struct pl_str delta,
                            struct anthropic_parser *parser)
{
    struct tool_call *call;

    if (parser->block.type == ANTHROPIC_BLOCK_TOOL || parser->block.index != index_of(event)) {
        call = tool_calls_find(&parser->calls, index_of(event));
        if (call)
            decode_member(delta, "partial_json", &call->arguments);
    } else if (keeps_replay(parser)) {
        decode_member(delta, "partial_json", &parser->block.body);
    }
}

void anthropic_block_delta(struct pl_str event, struct anthropic_parser *parser)
{
    const struct pl_str delta = member(event, "delta");
    const struct pl_str type = delta.len ? member(delta, "type") : (struct pl_str){0};

    if (!type.len)
        return;
    if (pl_str_is(type, "\"text_delta\""))
        take_text_delta(delta, parser);
    else if (pl_str_is(type, "\"input_json_delta\""))
        take_json_delta(event, delta, parser);
    else if (parser->block.type != ANTHROPIC_BLOCK_THINKING || !keeps_replay(parser))
        return; /* also what is not known: citations_delta, ... */
    else if (pl_str_is(type, "\"thinking_delta\""))
        decode_member(delta, "thinking", &parser->block.body);
    else if (pl_str_is(type, "\"signature_delta\""))
        decode_member(delta, "signature", &parser->block.signature);
}

/* Gateways may give the whole input with the start, and no fragments. */
static void end_call(struct anthropic_parser *parser)
{
    const struct anthropic_block *block = &parser->block;
    struct tool_call *call = tool_calls_find(&parser->calls, block->index);
    const struct pl_str start = pl_buf_view(&block->start);

    if (call && !call->arguments.len && start.len && member(start, "input").len &&
        json_count(member(start, "input")))
        pl_buf_str(&call->arguments, member(start, "input"));
    replay_call(parser);
}

/* The start's members, with what the deltas made of those that grow. */
static void replay_start(struct anthropic_parser *parser)
{
    const struct anthropic_block *block = &parser->block;
    const bool thinking = block->type == ANTHROPIC_BLOCK_THINKING;
    const struct pl_str body = pl_buf_view(&block->body);
    struct pl_buf *out = &parser->replay;
    struct json_iter it;

    open_replay(parser);
    json_object_begin(out);
    for (json_iter_init(&it, pl_buf_view(&block->start)); json_iter_next(&it);) {
        if (thinking && (pl_str_is(it.key, "\"thinking\"") || pl_str_is(it.key, "\"signature\"")))
            continue;
        if (!thinking && body.len && pl_str_is(it.key, "\"input\"") &&
            json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK)
            it.value = body;
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    if (thinking) {
        json_add_string(out, "thinking", body);
        json_add_string(out, "signature", pl_buf_view(&block->signature));
    }
    json_object_end(out);
}

void anthropic_block_stop(struct anthropic_parser *parser)
{
    struct anthropic_block *block = &parser->block;
    bool failed;

    if (keeps_replay(parser) && block->type == ANTHROPIC_BLOCK_TEXT)
        replay_text(parser, pl_buf_view(&block->body));
    else if (keeps_replay(parser) && block->type == ANTHROPIC_BLOCK_TOOL)
        end_call(parser);
    else if (keeps_replay(parser) && block->type != ANTHROPIC_BLOCK_NONE) {
        parser->needs_replay = true;
        replay_start(parser);
    }
    failed = pl_buf_failed(&block->start) || pl_buf_failed(&block->body) ||
             pl_buf_failed(&block->signature);
    parser->replay.too_large |=
        block->start.too_large || block->body.too_large || block->signature.too_large;
    parser->replay.failed |= failed;
    pl_buf_reset(&block->start);
    pl_buf_reset(&block->body);
    pl_buf_reset(&block->signature);
    block->type = ANTHROPIC_BLOCK_NONE;
}

enum pl_code anthropic_blocks_check(const struct anthropic_parser *parser, struct pl_err *err)
{
    const struct pl_buf *const bufs[] = {&parser->text, &parser->replay, &parser->block.start,
                                         &parser->block.body, &parser->block.signature};

    if (parser->bad_text)
        return pl_err_set(err, PL_ERR_BAD_RESPONSE, "a text of the answer is no string");
    for (size_t i = 0; i < PL_ARRAY_LEN(bufs); i++) {
        if (!pl_buf_failed(bufs[i]))
            continue;
        if (!bufs[i]->too_large)
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
        return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the answer's %s larger than %zu bytes",
                          i == 0 ? "text is" : "thoughts are", bufs[i]->max);
    }
    return PL_OK;
}
