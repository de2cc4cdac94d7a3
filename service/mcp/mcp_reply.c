/* mcp_reply.c - the answer of an MCP server: one JSON text, or an event stream with the response
 * somewhere in it. Declared in mcp_message.h. Called by mcp_client.c as bytes come. */
#include "base/json.h"
#include "base/limits.h"
#include "service/mcp/mcp_message.h"

#include <strings.h>

void mcp_reply_init(struct mcp_reply *reply, int64_t id, struct pl_str content_type,
                    const struct secrets *secrets, size_t max)
{
    *reply = (struct mcp_reply){.id = id, .secrets = secrets};
    reply->stream =
        content_type.len >= 17 && strncasecmp(content_type.ptr, "text/event-stream", 17) == 0;
    pl_buf_init(&reply->text, max);
    sse_init(&reply->sse);
}

void mcp_reply_finish(struct mcp_reply *reply)
{
    pl_buf_finish(&reply->text);
    sse_finish(&reply->sse);
    *reply = (struct mcp_reply){0};
}

static enum pl_code text_problem(const struct mcp_reply *reply, struct pl_err *err)
{
    if (!pl_buf_failed(&reply->text))
        return PL_OK;
    if (reply->text.too_large)
        return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE,
                          "the MCP server's answer is larger than %zu bytes", reply->text.max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
}

/* A server may repeat what it was sent, this one or another. */
static void hide_secrets(struct mcp_reply *reply)
{
    struct pl_buf *text = &reply->text;

    if (!reply->secrets || !text->len)
        return;
    text->len = secrets_hide(reply->secrets, text->data, text->len);
    text->data[text->len] = '\0';
}

/* Is it the response to the request? An error may come without an id, when the server could not
 * read one. */
static bool is_response(const struct mcp_reply *reply, struct pl_str message)
{
    struct pl_str id, value;
    int64_t number;

    if (json_type(message) != JSON_OBJECT || json_get(message, PL_STR("method"), &value))
        return false;
    if (!json_get(message, PL_STR("id"), &id) || json_type(id) == JSON_NULL)
        return !reply->stream && json_get(message, PL_STR("error"), &value);
    return json_int(id, &number) && number == reply->id &&
           (json_get(message, PL_STR("result"), &value) ||
            json_get(message, PL_STR("error"), &value));
}

/* `message` is kept by reply->text. */
static enum pl_code take_response(struct mcp_reply *reply, struct pl_str message,
                                  struct pl_err *err)
{
    struct pl_str error = {0}, value;

    if (json_get(message, PL_STR("result"), &value)) {
        if (json_type(value) != JSON_OBJECT)
            return pl_err_set(err, PL_ERR_BAD_RESPONSE,
                              "the MCP server's answer has a result that is no object");
        reply->result = value;
    } else {
        json_get(message, PL_STR("error"), &error);
        if (json_get(error, PL_STR("code"), &value))
            (void)json_int(value, &reply->error);
        if (json_get(error, PL_STR("message"), &value) && json_type(value) == JSON_STRING)
            reply->message = value;
        if (json_get(error, PL_STR("data"), &value))
            reply->data = value;
    }
    reply->found = true;
    return PL_OK;
}

/* ---- event streams ---- */

static enum pl_code on_event(void *arg, const struct sse_event *event, struct pl_err *err)
{
    struct mcp_reply *reply = arg;

    if (reply->found || event->data.len == 0)
        return PL_OK;
    if (json_check(event->data, PL_LIMIT_JSON_DEPTH, NULL, err) != PL_OK) {
        if (err->code == PL_ERR_NO_MEMORY)
            return err->code;
        if (!event->unterminated)
            return pl_err_set(err, PL_ERR_BAD_RESPONSE,
                              "the MCP server sent an event that is not valid JSON");
        *err = (struct pl_err){0}; /* it was cut */
        return PL_OK;
    }
    if (!is_response(reply, event->data))
        return PL_OK;
    pl_buf_str(&reply->text, event->data);
    if (pl_buf_failed(&reply->text))
        return text_problem(reply, err);
    hide_secrets(reply);
    return take_response(reply, pl_buf_view(&reply->text), err);
}

enum pl_code mcp_reply_feed(struct mcp_reply *reply, struct pl_str piece, struct pl_err *err)
{
    if (reply->stream)
        return sse_feed(&reply->sse, piece, on_event, reply, err);
    pl_buf_str(&reply->text, piece);
    return text_problem(reply, err);
}

/* ---- JSON bodies ---- */

/* One message, or a list of them as the revision of March 2025 allowed. */
static enum pl_code take_body(struct mcp_reply *reply, struct pl_err *err)
{
    struct json_iter it;
    struct pl_str body;

    hide_secrets(reply);
    body = pl_buf_view(&reply->text);
    if (json_check(body, PL_LIMIT_JSON_DEPTH, NULL, err) != PL_OK)
        return err->code == PL_ERR_NO_MEMORY
                   ? err->code
                   : pl_err_set(err, PL_ERR_BAD_RESPONSE,
                                "what the MCP server answered is not valid JSON");
    if (is_response(reply, body))
        return take_response(reply, body, err);
    if (json_type(body) == JSON_ARRAY) {
        for (json_iter_init(&it, body); json_iter_next(&it);)
            if (is_response(reply, it.value))
                return take_response(reply, it.value, err);
    }
    return pl_err_set(err, PL_ERR_BAD_RESPONSE,
                      "what the MCP server answered is no response to the request");
}

enum pl_code mcp_reply_end(struct mcp_reply *reply, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    if (!reply->stream)
        return take_body(reply, err);
    if (!reply->found)
        code = sse_end(&reply->sse, on_event, reply, err);
    if (code == PL_OK && !reply->found)
        code = pl_err_set(err, PL_ERR_TRUNCATED,
                          "the MCP server's event stream ended without the answer");
    return code;
}

bool mcp_supports_sessions(struct pl_str data)
{
    static const char *const versions[] = {"\"2025-11-25\"", "\"2025-06-18\"", "\"2025-03-26\""};
    struct pl_str supported;
    struct json_iter it;

    if (!json_get(data, PL_STR("supported"), &supported))
        return false;
    for (json_iter_init(&it, supported); json_iter_next(&it);)
        for (size_t i = 0; i < PL_ARRAY_LEN(versions); i++)
            if (pl_str_is(it.value, versions[i]))
                return true;
    return false;
}
