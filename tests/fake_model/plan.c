/* plan.c - makes the answers of the stand-in model: whole, streamed, broken. Not the sending.
 * Called by serve.c. */
#include "tests/fake_model/plan.h"

#include "base/json.h"
#include "base/utf8.h"
#include "tests/fake_model/calls.h"
#include "tests/fake_model/messages.h"

#include <stdlib.h>

enum { PLAN_MAX_BYTES = 64 << 20, PROMPT_SHOWN = 60, WORDS_MAX = 100000 };

static const char *const words[] = {"plan", "fly",  "stay", "eat",  "walk", "rest",
                                    "swim", "read", "ride", "cook", "sing", "meet"};

/* The answer's words are at [0, n_words), then comes the id and what was asked. */
static void write_word(struct pl_buf *out, int i)
{
    if (i)
        pl_buf_char(out, ' ');
    pl_buf_text(out, words[(size_t)i % PL_ARRAY_LEN(words)]);
}

static void write_signature(struct pl_buf *out, const struct fake_request *request)
{
    size_t shown = request->prompt.len;

    if (shown > PROMPT_SHOWN)
        shown = pl_utf8_cut(request->prompt.ptr, PROMPT_SHOWN);
    pl_buf_printf(out, " [%08x] ", request->id);
    pl_buf_append(out, request->prompt.ptr, shown);
}

static int word_count(const struct behaviour *behaviour)
{
    if (behaviour->fault == FAULT_EMPTY || behaviour->words < 0)
        return 0;
    return behaviour->words < WORDS_MAX ? behaviour->words : WORDS_MAX;
}

static void write_text(struct pl_buf *out, const struct fake_request *request,
                       const struct behaviour *behaviour)
{
    if (behaviour->fault == FAULT_EMPTY)
        return;
    if (behaviour->text[0]) {
        pl_buf_text(out, behaviour->text);
        return;
    }
    for (int i = 0; i < word_count(behaviour); i++)
        write_word(out, i);
    write_signature(out, request);
}

static const char *finish_reason(const struct behaviour *behaviour)
{
    if (behaviour->fault == FAULT_LENGTH)
        return "length";
    if (behaviour->calls[0])
        return "tool_calls";
    return behaviour->fault == FAULT_FILTER ? "content_filter" : "stop";
}

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 529:
        return "Overloaded";
    default:
        return "Status";
    }
}

static const char *default_code(int status)
{
    switch (status) {
    case 400:
        return "invalid_request_error";
    case 401:
    case 403:
        return "invalid_api_key";
    case 402:
        return "insufficient_quota";
    case 404:
        return "model_not_found";
    case 429:
        return "rate_limit_exceeded";
    default:
        return "server_error";
    }
}

static void write_error(struct pl_buf *out, int status, const struct behaviour *behaviour)
{
    const char *code = behaviour->code[0] ? behaviour->code : default_code(status);

    if (behaviour->anthropic) {
        messages_write_error(out, status, behaviour);
        return;
    }
    pl_buf_text(out, "{\"error\":{");
    pl_buf_printf(out, "\"message\":\"fake model answers %d (%s)\",\"type\":\"%s\",\"param\":null,",
                  status, code, code);
    json_add_string(out, "code", pl_str(code));
    pl_buf_text(out, "}}");
}

static void write_usage(struct pl_buf *out, const struct fake_request *request, int n)
{
    const size_t input = request->body_len / 4;

    pl_buf_printf(out,
                  "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%d,\"total_tokens\":%zu}",
                  input, n, input + (size_t)n);
}

/* ---- one whole answer ---- */

static void write_chat(struct pl_buf *out, const struct fake_request *request,
                       const struct behaviour *behaviour)
{
    struct pl_buf text;

    pl_buf_init(&text, PLAN_MAX_BYTES);
    write_text(&text, request, behaviour);
    if (behaviour->anthropic) {
        messages_write(out, request, behaviour, pl_buf_view(&text), word_count(behaviour));
        out->failed |= pl_buf_failed(&text);
        pl_buf_finish(&text);
        return;
    }
    pl_buf_printf(
        out, "{\"id\":\"chatcmpl-%08x\",\"object\":\"chat.completion\",\"created\":1700000000,",
        request->id);
    json_add_string(out, "model", request->model);
    pl_buf_text(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"");
    if (behaviour->fault == FAULT_REFUSE) {
        pl_buf_text(out, ",\"content\":null,\"refusal\":\"I cannot help with that.\"");
    } else if (behaviour->calls[0]) {
        json_key(out, "content");
        if (behaviour->text[0])
            json_write_string(out, pl_str(behaviour->text));
        else
            pl_buf_text(out, "null");
        json_key(out, "tool_calls");
        calls_write(pl_str(behaviour->calls), request->id, out);
    } else {
        json_add_string(out, "content", pl_buf_view(&text));
    }
    pl_buf_printf(out, "},\"logprobs\":null,\"finish_reason\":\"%s\"}],", finish_reason(behaviour));
    write_usage(out, request, word_count(behaviour));
    pl_buf_char(out, '}');
    if (pl_buf_failed(&text))
        out->failed = true;
    pl_buf_finish(&text);
}

static void write_body(struct pl_buf *out, const struct fake_request *request,
                       const struct behaviour *behaviour)
{
    switch ((int)behaviour->fault) {
    case FAULT_NOTJSON:
        pl_buf_text(out,
                    "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works!"
                    "</h1></body></html>");
        break;
    case FAULT_BADJSON:
        pl_buf_text(out, "{\"id\":\"chatcmpl-1\",\"choices\":[{\"message\":{\"content\":\"broken");
        break;
    case FAULT_NOBODY:
        break;
    case FAULT_ERR200:
    case FAULT_ERRLATE:
        write_error(out, behaviour->anthropic ? 529 : 500, behaviour);
        break;
    case FAULT_STATUS:
        if (behaviour->status >= 400) {
            write_error(out, behaviour->status, behaviour);
            break;
        } /* fall through */
    default:
        if (request->echo.len)
            pl_buf_str(out, request->echo);
        else
            write_chat(out, request, behaviour);
        break;
    }
}

static void head_begin(struct pl_buf *out, int status, const struct behaviour *behaviour,
                       const char *type)
{
    pl_buf_printf(out, "HTTP/1.1 %d %s\r\nserver: fake-model\r\n%s: req-%d\r\n", status,
                  reason_phrase(status), behaviour->anthropic ? "request-id" : "x-request-id",
                  status);
    if (!behaviour->no_type)
        pl_buf_printf(out, "content-type: %s\r\n", type);
    if (behaviour->retry_after >= 0 && status >= 400)
        pl_buf_printf(out, "retry-after: %d\r\n", behaviour->retry_after);
    if (behaviour->retry_after_ms >= 0 && status >= 400)
        pl_buf_printf(out, "retry-after-ms: %d\r\n", behaviour->retry_after_ms);
    if (behaviour->should_retry >= 0 && status >= 400)
        pl_buf_printf(out, "x-should-retry: %s\r\n", behaviour->should_retry ? "true" : "false");
}

static void head_end(struct pl_buf *out, bool close)
{
    pl_buf_text(out, close ? "connection: close\r\n\r\n" : "\r\n");
}

static bool add_piece(struct plan *plan, double at_ms)
{
    struct plan_piece *pieces =
        realloc(plan->pieces, (plan->n_pieces + 1) * sizeof(plan->pieces[0]));

    if (!pieces)
        return false;
    plan->pieces = pieces;
    pieces[plan->n_pieces++] = (struct plan_piece){.end = plan->bytes.len, .at_ms = at_ms};
    return true;
}

/* How an answer of this fault goes on after half of its body; PLAN_KEEP: it is sent whole. */
static enum plan_end half_end(enum fault fault)
{
    switch ((int)fault) {
    case FAULT_CUT:
        return PLAN_BREAK_FIN;
    case FAULT_MIDRESET:
        return PLAN_BREAK_RST;
    case FAULT_MIDSTALL:
        return PLAN_HANG;
    default:
        return PLAN_KEEP;
    }
}

static bool plan_whole(const struct fake_request *request, const struct behaviour *behaviour,
                       double latency_ms, struct plan *plan)
{
    const enum plan_end half = half_end(behaviour->fault);
    struct pl_buf body;
    size_t send;

    pl_buf_init(&body, PLAN_MAX_BYTES);
    write_body(&body, request, behaviour);
    send = half == PLAN_KEEP ? body.len : body.len / 2;
    head_begin(&plan->bytes, plan->status, behaviour,
               behaviour->fault == FAULT_NOTJSON ? "text/html" : "application/json");
    pl_buf_printf(&plan->bytes, "content-length: %zu\r\n", body.len);
    head_end(&plan->bytes, request->close);
    plan->end = half != PLAN_KEEP ? half : request->close ? PLAN_FIN : PLAN_KEEP;
    if (behaviour->fault == FAULT_STALL) {
        send = 0;
        plan->end = PLAN_HANG;
    }
    pl_buf_append(&plan->bytes, body.data, send);
    if (pl_buf_failed(&body))
        plan->bytes.failed = true;
    pl_buf_finish(&body);
    return add_piece(plan, latency_ms);
}

/* ---- a stream ---- */

static void write_chunk(struct pl_buf *out, const struct pl_buf *data)
{
    pl_buf_printf(out, "%zx\r\n", data->len);
    pl_buf_append(out, data->data, data->len);
    pl_buf_text(out, "\r\n");
}

/* One event whose delta holds `json` under `key`; NULL key: an empty delta. */
static void write_json_delta(struct pl_buf *out, const struct fake_request *request,
                             const char *key, struct pl_str json, const char *finish)
{
    struct pl_buf data;

    pl_buf_init(&data, PLAN_MAX_BYTES);
    pl_buf_printf(&data,
                  "data: {\"id\":\"chatcmpl-%08x\",\"object\":\"chat.completion.chunk\","
                  "\"created\":1700000000,",
                  request->id);
    json_add_string(&data, "model", request->model);
    pl_buf_text(&data, ",\"choices\":[{\"index\":0,\"delta\":{");
    if (key)
        json_add_raw(&data, key, json);
    pl_buf_text(&data, "},\"finish_reason\":");
    if (finish)
        json_write_string(&data, pl_str(finish));
    else
        pl_buf_text(&data, "null");
    pl_buf_text(&data, "}]}\n\n");
    write_chunk(out, &data);
    pl_buf_finish(&data);
}

/* The same with a text. */
static void write_delta(struct pl_buf *out, const struct fake_request *request, const char *key,
                        struct pl_str text, const char *finish)
{
    struct pl_buf json;

    pl_buf_init(&json, PLAN_MAX_BYTES);
    json_write_string(&json, text);
    write_json_delta(out, request, key, pl_buf_view(&json), finish);
    pl_buf_finish(&json);
}

/* All fragments at once, each an event. */
static void write_calls(struct pl_buf *out, const struct fake_request *request,
                        const struct behaviour *behaviour)
{
    const struct pl_str script = pl_str(behaviour->calls);
    struct pl_buf list;

    pl_buf_init(&list, PLAN_MAX_BYTES);
    for (size_t i = 0; i < calls_fragments(script); i++) {
        pl_buf_reset(&list);
        calls_write_fragment(script, request->id, i, &list);
        write_json_delta(out, request, "tool_calls", pl_buf_view(&list), NULL);
    }
    pl_buf_finish(&list);
}

static void write_error_event(struct pl_buf *out, const struct behaviour *behaviour)
{
    struct pl_buf data;

    pl_buf_init(&data, PLAN_MAX_BYTES);
    pl_buf_text(&data, "data: ");
    write_error(&data, 500, behaviour);
    pl_buf_text(&data, "\n\n");
    write_chunk(out, &data);
    pl_buf_finish(&data);
}

static void write_stream_end(struct pl_buf *out, const struct fake_request *request,
                             const struct behaviour *behaviour, int n)
{
    struct pl_buf data;

    if (behaviour->fault != FAULT_NOFINISH) {
        write_delta(out, request, NULL, (struct pl_str){0}, finish_reason(behaviour));
        pl_buf_init(&data, PLAN_MAX_BYTES);
        pl_buf_printf(&data, "data: {\"id\":\"chatcmpl-%08x\",\"choices\":[],", request->id);
        write_usage(&data, request, n);
        pl_buf_text(&data, behaviour->fault == FAULT_NODONE ? "}\n\n" : "}\n\ndata: [DONE]\n\n");
        write_chunk(out, &data);
        pl_buf_finish(&data);
    }
    pl_buf_text(out, "0\r\n\r\n");
}

/* The words one by one, spread over the latency. */
static bool write_words(struct plan *plan, const struct fake_request *request,
                        const struct behaviour *behaviour, int n, int last, double latency_ms)
{
    struct pl_buf word;
    bool ok = true;

    pl_buf_init(&word, 4096);
    for (int i = 0; i < last && ok; i++) {
        pl_buf_reset(&word);
        if (behaviour->text[0])
            pl_buf_text(&word, behaviour->text);
        else
            write_word(&word, i);
        write_delta(&plan->bytes, request, "content", pl_buf_view(&word), NULL);
        if (i < last - 1 || last < n)
            ok = add_piece(plan, latency_ms * (i + 1) / n);
    }
    pl_buf_finish(&word);
    return ok;
}

/* The same by the Messages API, after the head; all of it comes when the latency is over. */
static bool plan_messages(const struct fake_request *request, const struct behaviour *behaviour,
                          double latency_ms, struct plan *plan)
{
    const enum plan_end half = half_end(behaviour->fault);
    const bool broken = half != PLAN_KEEP || behaviour->fault == FAULT_ERRLATE;
    const bool texts = !behaviour->calls[0] || behaviour->text[0];
    struct pl_buf text, events;

    pl_buf_init(&text, PLAN_MAX_BYTES);
    pl_buf_init(&events, PLAN_MAX_BYTES);
    if (texts)
        write_text(&text, request, behaviour);
    if (behaviour->fault == FAULT_ERR200) {
        messages_write_error_event(&events, behaviour);
    } else {
        const size_t first = pl_utf8_cut(text.data ? text.data : "", text.len / 2);

        messages_write_start(&events, request, behaviour, texts);
        if (first)
            messages_write_text(&events, behaviour, pl_str_n(text.data, first));
        if (behaviour->fault == FAULT_ERRLATE)
            messages_write_error_event(&events, behaviour);
        if (!broken) {
            if (text.len > first)
                messages_write_text(&events, behaviour,
                                    pl_str_n(text.data + first, text.len - first));
            messages_write_end(&events, request, behaviour, texts, word_count(behaviour));
        }
    }
    write_chunk(&plan->bytes, &events);
    if (half == PLAN_KEEP)
        pl_buf_text(&plan->bytes, "0\r\n\r\n");
    plan->bytes.failed |= pl_buf_failed(&text) || pl_buf_failed(&events);
    pl_buf_finish(&text);
    pl_buf_finish(&events);
    return add_piece(plan, latency_ms);
}

static bool plan_stream(const struct fake_request *request, const struct behaviour *behaviour,
                        double latency_ms, struct plan *plan)
{
    const enum plan_end half = half_end(behaviour->fault);
    const int n = behaviour->text[0] ? 1 : behaviour->calls[0] ? 0 : word_count(behaviour);
    const bool broken = half != PLAN_KEEP || behaviour->fault == FAULT_ERRLATE;
    struct pl_buf text;

    head_begin(&plan->bytes, plan->status, behaviour, "text/event-stream");
    pl_buf_text(&plan->bytes, "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n");
    head_end(&plan->bytes, request->close);
    plan->end = half != PLAN_KEEP ? half : request->close ? PLAN_FIN : PLAN_KEEP;
    if (behaviour->fault == FAULT_STALL) {
        plan->end = PLAN_HANG;
        return add_piece(plan, latency_ms);
    }
    if (behaviour->anthropic)
        return plan_messages(request, behaviour, latency_ms, plan);
    if (behaviour->fault == FAULT_ERR200) {
        write_error_event(&plan->bytes, behaviour);
        pl_buf_text(&plan->bytes, "0\r\n\r\n");
        return add_piece(plan, latency_ms);
    }
    if (behaviour->fault == FAULT_REFUSE)
        write_delta(&plan->bytes, request, "refusal", PL_STR("I cannot help with that."), NULL);
    else if (!write_words(plan, request, behaviour, n, broken ? n / 2 : n, latency_ms))
        return false;
    if (behaviour->fault == FAULT_ERRLATE) {
        write_error_event(&plan->bytes, behaviour);
        pl_buf_text(&plan->bytes, "0\r\n\r\n");
    } else if (half == PLAN_KEEP) {
        pl_buf_init(&text, PLAN_MAX_BYTES);
        write_signature(&text, request);
        if (n > 0 && behaviour->fault != FAULT_REFUSE && !behaviour->text[0])
            write_delta(&plan->bytes, request, "content", pl_buf_view(&text), NULL);
        if (behaviour->calls[0])
            write_calls(&plan->bytes, request, behaviour);
        pl_buf_finish(&text);
        write_stream_end(&plan->bytes, request, behaviour, n);
    }
    return add_piece(plan, broken ? latency_ms / 2 : latency_ms);
}

/* ---- answers of another kind ---- */

static bool plan_big(const struct fake_request *request, const struct behaviour *behaviour,
                     double latency_ms, struct plan *plan)
{
    static char block[65536];
    const uint64_t bytes = (uint64_t)behaviour->big_mb << 20;

    head_begin(&plan->bytes, 200, behaviour,
               request->stream ? "text/event-stream" : "application/json");
    head_end(&plan->bytes, true);
    plan->end = PLAN_FIN;
    if (request->stream) {
        /* 64 bytes a delta, so that every block ends between events */
        static const char event[] =
            "data: {\"choices\":[{\"delta\":{\"content\":\"abcdefghijklmnopq\"}}]} \n\n";
        _Static_assert(sizeof(event) == 65, "blocks end between events");

        for (size_t i = 0; i + 64 <= sizeof(block); i += 64)
            memcpy(block + i, event, 64);
        pl_buf_text(&plan->tail, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                                 "\"stop\"}]}\n\ndata: [DONE]\n\n");
    } else {
        memset(block, 'x', sizeof(block));
        pl_buf_text(&plan->bytes, "{\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"message\":{"
                                  "\"role\":\"assistant\",\"content\":\"");
        pl_buf_text(&plan->tail, "\"},\"finish_reason\":\"stop\"}]}");
    }
    plan->block = pl_str_n(block, sizeof(block));
    plan->filler = bytes;
    return add_piece(plan, latency_ms);
}

/* One deflate block of fixed codes: a zero, then 8 matches of 258 bytes over and over. 8 matches
 * are 13 bytes (each 8 + 5 bits), so the same 13 bytes repeat. */
static bool plan_gzip_bomb(const struct behaviour *behaviour, double latency_ms, struct plan *plan)
{
    static const unsigned char gzip_head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    static char block[13 * 4096];
    unsigned bit = 0;

    memset(block, 0, sizeof(block));
    for (unsigned i = 0; i < sizeof(block) / 13 * 8; i++) {
        for (unsigned k = 0; k < 8; k++, bit++) /* symbol 285: 11000101, first bit first */
            block[bit / 8] = (char)(block[bit / 8] | (((0xC5 >> (7 - k)) & 1) << (bit % 8)));
        bit += 5; /* distance 1: 00000 */
    }
    head_begin(&plan->bytes, 200, behaviour, "application/json");
    pl_buf_text(&plan->bytes, "content-encoding: gzip\r\n");
    head_end(&plan->bytes, true);
    pl_buf_append(&plan->bytes, gzip_head, sizeof(gzip_head));
    /* A block of its own that ends byte-aligned: stored, 1 byte '0'. Then the fixed block begins:
     * its 3 header bits and the first literal (8 bits) are 11 bits, and a match of 13 bits fills up
     * three bytes. */
    pl_buf_append(&plan->bytes,
                  "\0\1\0\xfe\xff"
                  "0",
                  6);
    {
        /* bits: 0 (not last), 1,0 (fixed); literal '0' is 0x60 = 01100000; then 285 and distance 0
         */
        static const char bits[] = "010"
                                   "01100000"
                                   "11000101"
                                   "00000";
        char first[3] = {0, 0, 0};

        for (unsigned i = 0; i < 24; i++)
            first[i / 8] = (char)(first[i / 8] | ((bits[i] - '0') << (i % 8)));
        pl_buf_append(&plan->bytes, first, sizeof(first));
    }
    plan->block = pl_str_n(block, sizeof(block));
    plan->filler = ((uint64_t)behaviour->big_mb << 20) / 258 / 8 * 13;
    plan->end = PLAN_FIN;
    return add_piece(plan, latency_ms);
}

static bool plan_break(struct plan *plan, double latency_ms, const char *bytes, enum plan_end end)
{
    plan->status = 0;
    plan->end = end;
    pl_buf_text(&plan->bytes, bytes);
    return add_piece(plan, latency_ms);
}

static bool plan_fill(const struct fake_request *request, const struct behaviour *behaviour,
                      double latency_ms, struct plan *plan)
{
    bool stream = request->stream && !request->echo.len;

    switch ((int)behaviour->fault) {
    case FAULT_HANG:
        return plan_break(plan, latency_ms, "", PLAN_HANG);
    case FAULT_RESET:
        return plan_break(plan, latency_ms, "", PLAN_BREAK_RST);
    case FAULT_CLOSE:
        return plan_break(plan, latency_ms, "", PLAN_BREAK_FIN);
    case FAULT_GARBAGE:
        return plan_break(plan, latency_ms, "\x01\x02 this is not HTTP at all\r\n\r\n\xff\xfe",
                          PLAN_BREAK_FIN);
    case FAULT_BIG:
        return plan_big(request, behaviour, latency_ms, plan);
    case FAULT_GZIPBOMB:
        return plan_gzip_bomb(behaviour, latency_ms, plan);
    case FAULT_STATUS:
        plan->status = behaviour->status;
        stream = stream && plan->status < 300;
        break;
    case FAULT_NOTJSON:
    case FAULT_BADJSON:
    case FAULT_NOBODY:
        stream = false;
        break;
    default:
        break;
    }
    if (behaviour->flip && !request->echo.len)
        stream = !stream;
    return stream ? plan_stream(request, behaviour, latency_ms, plan)
                  : plan_whole(request, behaviour, latency_ms, plan);
}

bool plan_make(const struct fake_request *request, const struct behaviour *behaviour,
               double latency_ms, struct plan *ret_plan)
{
    *ret_plan = (struct plan){.status = 200};
    pl_buf_init(&ret_plan->bytes, PLAN_MAX_BYTES);
    pl_buf_init(&ret_plan->tail, 4096);
    if (plan_fill(request, behaviour, latency_ms, ret_plan) && !pl_buf_failed(&ret_plan->bytes) &&
        !pl_buf_failed(&ret_plan->tail))
        return true;
    plan_finish(ret_plan);
    return false;
}

void plan_finish(struct plan *plan)
{
    pl_buf_finish(&plan->bytes);
    pl_buf_finish(&plan->tail);
    free(plan->pieces);
    *plan = (struct plan){0};
}
