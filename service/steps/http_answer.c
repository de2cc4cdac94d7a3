/* http_answer.c - the answer of an http step as its output, or as an error when its status was not
 * expected. Not the request. Called by http.c. */
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "service/secrets.h"
#include "service/steps/http_step.h"

#include <strings.h>

enum { UPSTREAM_MAX = 2048, SHOWN = 200, HEADERS_MAX = 200 };

/* ---- headers ---- */

struct line {
    struct pl_str name, value;
};

/* Takes the next header off `*lines`; false at the end. */
static bool next_line(struct pl_str *lines, struct line *ret_line)
{
    while (lines->len) {
        const char *end = memchr(lines->ptr, '\n', lines->len);
        const size_t len = end ? (size_t)(end - lines->ptr) : lines->len;
        const struct pl_str line = pl_str_n(lines->ptr, len);
        const char *colon = len ? memchr(line.ptr, ':', len) : NULL;
        struct pl_str value;

        *lines = pl_str_n(lines->ptr + len + (end ? 1 : 0), lines->len - len - (end ? 1 : 0));
        if (!colon || colon == line.ptr)
            continue;
        value = pl_str_n(colon + 1, len - (size_t)(colon + 1 - line.ptr));
        while (value.len && (value.ptr[0] == ' ' || value.ptr[0] == '\t')) {
            value.ptr++;
            value.len--;
        }
        while (value.len && strchr(" \t\r", value.ptr[value.len - 1]))
            value.len--;
        *ret_line =
            (struct line){.name = pl_str_n(line.ptr, (size_t)(colon - line.ptr)), .value = value};
        return true;
    }
    return false;
}

static bool same_name(const struct line *a, const struct line *b)
{
    return a->name.len == b->name.len && strncasecmp(a->name.ptr, b->name.ptr, a->name.len) == 0;
}

/* Names in lower case; what came several times is joined with commas, at the place of the first. */
static void write_headers(struct pl_str lines, struct pl_buf *out)
{
    struct line all[HEADERS_MAX];
    size_t n = 0;
    struct pl_buf value, name;

    while (n < HEADERS_MAX && next_line(&lines, &all[n]))
        n++;
    pl_buf_init(&value, PL_LIMIT_HEADER_BYTES);
    pl_buf_init(&name, PL_LIMIT_HEADER_BYTES);
    json_object_begin(out);
    for (size_t i = 0; i < n; i++) {
        bool seen = false;

        for (size_t j = 0; j < i && !seen; j++)
            seen = same_name(&all[i], &all[j]);
        if (seen)
            continue;
        pl_buf_reset(&value);
        pl_buf_str(&value, all[i].value);
        for (size_t j = i + 1; j < n; j++) {
            if (same_name(&all[i], &all[j])) {
                pl_buf_text(&value, ", ");
                pl_buf_str(&value, all[j].value);
            }
        }
        pl_buf_reset(&name);
        for (size_t k = 0; k < all[i].name.len; k++) {
            const char c = all[i].name.ptr[k];

            pl_buf_char(&name, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
        }
        json_comma(out);
        json_write_string(out, pl_buf_view(&name));
        pl_buf_char(out, ':');
        json_write_string(out, pl_buf_view(&value));
    }
    json_object_end(out);
    pl_buf_finish(&value);
    pl_buf_finish(&name);
}

/* ---- output ---- */

/* application/json and whatever ends in +json, parameters aside. */
static bool is_json(struct pl_str type)
{
    const char *semicolon = type.len ? memchr(type.ptr, ';', type.len) : NULL;

    if (semicolon)
        type.len = (size_t)(semicolon - type.ptr);
    while (type.len && type.ptr[type.len - 1] == ' ')
        type.len--;
    if (type.len == 16 && strncasecmp(type.ptr, "application/json", 16) == 0)
        return true;
    return type.len > 5 && strncasecmp(type.ptr + type.len - 5, "+json", 5) == 0;
}

void http_step_write_output(int status, struct pl_str lines, struct pl_str content_type,
                            struct pl_str body, struct pl_buf *out)
{
    const bool json = is_json(content_type);

    json_object_begin(out);
    json_add_int(out, "status", status);
    json_key(out, "headers");
    write_headers(lines, out);
    json_key(out, "body");
    if (json && body.len == 0)
        pl_buf_text(out, "null");
    else if (json && json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK)
        json_write_compact(out, body);
    else
        json_write_string(out, body);
    json_object_end(out);
}

bool http_step_expects(const struct http_config *config, int status)
{
    for (size_t i = 0; i < config->n_expect; i++) {
        if ((unsigned)status >= config->expect[i].low && (unsigned)status <= config->expect[i].high)
            return true;
    }
    return config->n_expect == 0 && status >= 200 && status <= 299;
}

/* What another try could mend has the code of its kind; the rest is final. */
static enum pl_code code_of_status(int status)
{
    switch (status) {
    case 408:
        return PL_ERR_TIMEOUT;
    case 429:
        return PL_ERR_RATE_LIMITED;
    case 503:
        return PL_ERR_OVERLOADED;
    default:
        return status >= 500 ? PL_ERR_PROVIDER_ERROR : PL_ERR_UNEXPECTED_STATUS;
    }
}

static void unexpected(const struct http_step *step, struct step_result *result)
{
    const struct pl_str body = pl_buf_view(&step->body);
    const enum pl_code code = code_of_status(step->status);
    size_t shown = body.len < SHOWN ? body.len : SHOWN, kept;

    shown = pl_utf8_cut(body.ptr, shown);
    kept = body.len < UPSTREAM_MAX ? body.len : pl_utf8_cut(body.ptr, UPSTREAM_MAX);
    pl_err_set(&result->err, code, "the server answered %d, which 'expect' does not list%s%.*s",
               step->status, shown ? ": " : "", (int)shown, body.len ? body.ptr : "");
    result->no_retry = code == PL_ERR_UNEXPECTED_STATUS;
    if (kept)
        result->upstream = pl_value_string(pl_str_n(body.ptr, kept));
}

void http_step_answer(struct http_step *step, const struct http_call *http_call,
                      struct step_result *result)
{
    const struct secrets *secrets = step->call->env->secrets;
    struct pl_str lines = http_call_header_lines(http_call);
    struct pl_str type = http_call_header(http_call, "content-type");
    struct pl_buf out;

    /* a server may repeat what it was sent, this one or another */
    if (secrets && step->body.len) {
        step->body.len = secrets_hide(secrets, step->body.data, step->body.len);
        step->body.data[step->body.len] = '\0';
    }
    if (secrets && lines.len) {
        struct pl_str copy = pl_arena_str(step->call->arena, lines);

        lines = pl_str_n(
            copy.ptr, copy.ptr ? secrets_hide(secrets, (char *)(uintptr_t)copy.ptr, copy.len) : 0);
    }

    if (!http_step_expects(step->call->def->config.http, step->status)) {
        unexpected(step, result);
        return;
    }
    pl_buf_init(&out, step->max_output);
    http_step_write_output(step->status, lines, type, pl_buf_view(&step->body), &out);
    result->output = pl_arena_failed(step->call->arena) ? NULL : pl_value_take(&out);
    if (!result->output && out.too_large)
        pl_err_set(&result->err, PL_ERR_RESPONSE_TOO_LARGE,
                   "the answer is larger than %zu bytes as a step's output", step->max_output);
    else if (!result->output)
        pl_err_set(&result->err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    pl_buf_finish(&out);
}
