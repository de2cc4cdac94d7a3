/* reply.c - answers: JSON, other types, problems. See request.h. An answer is made here and queued
 * by server_connection.c when the handler has returned. Not streams (stream.c). */
#include "api/server_private.h"

#include "base/json.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PROBLEM_MAX = 1 << 20, RETRY_SECONDS = 1, RETRY_DRAIN_SECONDS = 5 };

void api_add_header(struct api_request *request, const char *name, const char *fmt, ...)
{
    struct http_request *http = http_request_of(request);
    struct added_header *header;
    char text[512];
    va_list args;
    int length;

    if (!http->added)
        http->added =
            pl_arena_alloc_array(request->arena, SERVER_ADDED_HEADERS, sizeof *http->added);
    if (!http->added || http->n_added == SERVER_ADDED_HEADERS)
        return;
    header = &http->added[http->n_added];
    va_start(args, fmt);
    length = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof text)
        return; /* half a value would be a wrong one */
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return;
    header->name = pl_arena_strdup(request->arena, name);
    header->value = pl_arena_strdup(request->arena, text);
    if (header->name && header->value)
        http->n_added++;
}

bool reply_finish(struct http_request *request, int status, const char *content_type,
                  struct MHD_Response *response)
{
    bool closing = request->close || atomic_load(&request->public.server->draining);

    if (!response) {
        request->out_of_memory = true;
        return false;
    }
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "X-Request-Id", request->public.id);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (closing)
        MHD_add_response_header(response, "Connection", "close");
    for (size_t i = 0; i < request->n_added; i++)
        MHD_add_response_header(response, request->added[i].name, request->added[i].value);
    if (request->response) /* a handler that answers twice: the first one stands */
        MHD_destroy_response(response);
    else
        request->response = response;
    request->status = request->status ? request->status : status;
    return true;
}

static void write_date(struct pl_buf *out)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm tm;

    if (gmtime_r(&now, &tm))
        pl_buf_printf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
                      tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                      tm.tm_sec);
}

void reply_head(const struct http_request *request, const char *content_type, bool chunked,
                struct pl_buf *out)
{
    pl_buf_text(out, "HTTP/1.1 200 OK\r\n");
    write_date(out);
    pl_buf_printf(out,
                  "Content-Type: %s\r\nX-Request-Id: %s\r\nCache-Control: no-store\r\n"
                  "X-Content-Type-Options: nosniff\r\nConnection: close\r\n%s",
                  content_type, request->public.id,
                  chunked ? "Transfer-Encoding: chunked\r\n" : "");
    for (size_t i = 0; i < request->n_added; i++)
        pl_buf_printf(out, "%s: %s\r\n", request->added[i].name, request->added[i].value);
    pl_buf_text(out, "\r\n");
}

void api_reply(struct api_request *request, int status, const char *content_type,
               struct pl_buf *body)
{
    struct http_request *http = http_request_of(request);
    struct MHD_Response *response;
    size_t len;
    char *bytes = pl_buf_take(body, &len);

    if (!bytes) {
        struct pl_err err;

        pl_buf_finish(body);
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
        if (strcmp(content_type, "application/problem+json") == 0)
            http->out_of_memory = true;
        else
            api_reply_problem(request, &err, NULL);
        return;
    }
    response = MHD_create_response_from_buffer(len, bytes, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(bytes);
    reply_finish(http, status, content_type, response);
}

void api_reply_json(struct api_request *request, int status, struct pl_buf *body)
{
    api_reply(request, status, "application/json", body);
}

void api_reply_empty(struct api_request *request, int status)
{
    reply_finish(
        http_request_of(request), status, NULL,
        MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT));
}

/* ---- problems ---- */

int reply_status(const struct pl_err *err)
{
    int status = pl_code_http_status(err->code);

    return status >= 400 ? status : 500;
}

int reply_retry_after(const struct pl_err *err)
{
    int status = reply_status(err);

    if (status != 429 && status != 503)
        return 0;
    return err->code == PL_ERR_SHUTTING_DOWN ? RETRY_DRAIN_SECONDS : RETRY_SECONDS;
}

static void write_errors(const struct doc_problems *problems, struct pl_buf *out)
{
    json_key(out, "errors");
    json_array_begin(out);
    for (size_t i = 0; i < problems->count; i++) {
        const struct doc_problem *problem = &problems->items[i];

        json_comma(out);
        json_object_begin(out);
        json_add_string(out, "pointer", pl_str(problem->pointer));
        json_add_string(out, "detail", pl_str(problem->message));
        if (problem->line) {
            json_add_int(out, "line", problem->line);
            json_add_int(out, "column", problem->column);
        }
        json_object_end(out);
    }
    json_array_end(out);
}

void reply_write_problem(const struct http_request *request, const struct pl_err *err,
                         const struct doc_problems *problems, struct pl_buf *out)
{
    char type[96];

    snprintf(type, sizeof type, "urn:plait:error:%s", pl_code_text(err->code));
    json_object_begin(out);
    json_add_string(out, "type", pl_str(type));
    json_add_string(out, "title", pl_str(pl_code_title(err->code)));
    json_add_int(out, "status", reply_status(err));
    json_add_string(out, "detail", pl_str(err->message));
    if (problems && problems->count)
        write_errors(problems, out);
    json_add_string(out, "request_id", pl_str(request->public.id));
    json_object_end(out);
}

static void log_problem(const struct http_request *request, const struct pl_err *err)
{
    struct log_context context = {.request = request->public.id};
    int status = reply_status(err);

    if (status >= 500 && err->code != PL_ERR_SHUTTING_DOWN && err->code != PL_ERR_OVER_CAPACITY)
        log_warn(&context, "HTTP-PROBLEM", "%.*s %.*s: %s: %s", PL_STR_ARG(request->public.method),
                 PL_STR_ARG(request->public.path), pl_code_text(err->code), err->message);
}

void api_reply_problem(struct api_request *request, const struct pl_err *err,
                       const struct doc_problems *problems)
{
    struct http_request *http = http_request_of(request);
    struct pl_buf out;

    log_problem(http, err);
    pl_buf_init(&out, PROBLEM_MAX);
    reply_write_problem(http, err, problems, &out);
    if (reply_retry_after(err))
        api_add_header(request, "Retry-After", "%d", reply_retry_after(err));
    if (err->code == PL_ERR_NOT_ALLOWED && http->allow)
        api_add_header(request, "Allow", "%s", http->allow);
    api_reply(request, reply_status(err), "application/problem+json", &out);
}

void reply_raw(struct http_request *request, const struct pl_err *err)
{
    struct pl_buf body, out;

    request->status = reply_status(err);
    pl_buf_init(&body, PROBLEM_MAX);
    pl_buf_init(&out, PROBLEM_MAX);
    reply_write_problem(request, err, NULL, &body);
    pl_buf_printf(&out,
                  "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
                  "Content-Length: %zu\r\nX-Request-Id: %s\r\nConnection: close\r\n\r\n",
                  request->status, MHD_get_reason_phrase_for((unsigned)request->status), body.len,
                  request->public.id);
    pl_buf_str(&out, pl_buf_view(&body));
    /* the socket's buffer is empty: nothing else has been answered on it that is not sent */
    if (!pl_buf_failed(&out) && !pl_buf_failed(&body) &&
        send(request->conn->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        shutdown(request->conn->fd, SHUT_RDWR);
    else
        shutdown(request->conn->fd, SHUT_WR);
    pl_buf_finish(&body);
    pl_buf_finish(&out);
}
