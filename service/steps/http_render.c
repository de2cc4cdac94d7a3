/* http_render.c - the templates of an http step into a request: URL and query, headers, body. What
 * came from expressions is checked like what a stranger sent. Not the sending. Called by http.c. */
#include "base/json.h"
#include "base/limits.h"
#include "service/secrets.h"
#include "service/steps/http_step.h"

#include <strings.h>

enum { URL_MAX = 64 << 10, HEADER_MAX = 16 << 10, OWN_HEADERS = 3 };

/* The value of a template as text. *ret_null: it gave null, which leaves a member out. */
static enum pl_code write_scalar(const struct template *template, const struct expr_scope *scope,
                                 struct pl_buf *out, bool *ret_null, struct pl_err *err)
{
    struct pl_buf json;
    struct pl_str value;
    enum pl_code code;

    pl_buf_init(&json, PL_LIMIT_PROMPT_BYTES);
    code = template_write_json(template, scope, &json, err);
    value = pl_buf_view(&json);
    *ret_null = code == PL_OK && json_type(value) == JSON_NULL;
    if (code == PL_OK && json_type(value) == JSON_STRING)
        json_decode_string(value, out);
    else if (code == PL_OK && !*ret_null)
        json_write_compact(out, value);
    pl_buf_finish(&json);
    return code;
}

static enum pl_code check_buf(const struct pl_buf *buf, const char *what, struct pl_err *err)
{
    if (!pl_buf_failed(buf))
        return PL_OK;
    if (buf->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "%s is larger than %zu bytes", what, buf->max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

/* ---- URL ---- */

/* The scheme and what may be a host: an expression that gave null leaves "https:///path". */
static bool has_scheme(struct pl_str url, const char *scheme)
{
    const size_t len = strlen(scheme);

    return url.len > len && strncasecmp(url.ptr, scheme, len) == 0 &&
           !memchr("/?#:", url.ptr[len], 4);
}

static enum pl_code check_url(struct pl_str url, struct pl_err *err)
{
    if (!has_scheme(url, "http://") && !has_scheme(url, "https://"))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "the URL must begin with http:// or https:// and a host, not '%.*s'",
                          (int)(url.len < 80 ? url.len : 80), url.len ? url.ptr : "");
    for (size_t i = 0; i < url.len; i++) {
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7F)
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "the URL has a space or control character in it; put values that may "
                              "have any under 'query'");
    }
    return PL_OK;
}

static void percent_encode(struct pl_str text, struct pl_buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];

        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' ||
            c == '.' || c == '_' || c == '~') {
            pl_buf_char(out, (char)c);
        } else {
            pl_buf_char(out, '%');
            pl_buf_char(out, digits[c >> 4]);
            pl_buf_char(out, digits[c & 15]);
        }
    }
}

static enum pl_code add_query(const struct http_config *config, const struct expr_scope *scope,
                              struct pl_buf *url, struct pl_err *err)
{
    const char *fragment = url->len ? memchr(url->data, '#', url->len) : NULL;
    bool first;

    if (fragment) /* it is never sent */
        url->len = (size_t)(fragment - url->data);
    first = !url->len || !memchr(url->data, '?', url->len);
    for (size_t i = 0; i < config->n_query; i++) {
        struct pl_buf value;
        bool is_null;
        enum pl_code code;

        pl_buf_init(&value, URL_MAX);
        code = write_scalar(config->query[i].value, scope, &value, &is_null, err);
        if (code == PL_OK && !is_null) {
            code = check_buf(&value, "a value of the query", err);
            pl_buf_char(url, first ? '?' : '&');
            percent_encode(config->query[i].name, url);
            pl_buf_char(url, '=');
            percent_encode(pl_buf_view(&value), url);
            first = false;
        }
        pl_buf_finish(&value);
        if (code != PL_OK)
            return code;
    }
    return PL_OK;
}

static enum pl_code render_url(struct http_step *step, const struct http_config *config,
                               const struct expr_scope *scope, struct pl_err *err)
{
    struct pl_buf url;
    enum pl_code code;

    pl_buf_init(&url, URL_MAX);
    code = template_write_text(config->url, scope, &url, err);
    if (code == PL_OK)
        code = check_url(pl_buf_view(&url), err);
    if (code == PL_OK)
        code = add_query(config, scope, &url, err);
    if (code == PL_OK)
        code = check_buf(&url, "the URL", err);
    if (code == PL_OK)
        step->http.url = pl_arena_str(step->call->arena, pl_buf_view(&url));
    pl_buf_finish(&url);
    return code;
}

/* ---- headers ---- */

static bool has_header(const struct http_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name.len == strlen(name) &&
            strncasecmp(headers[i].name.ptr, name, headers[i].name.len) == 0)
            return true;
    }
    return false;
}

static enum pl_code render_header(const struct http_header_template *template,
                                  const struct expr_scope *scope, struct pl_arena *arena,
                                  struct http_header *header, bool *ret_null, struct pl_err *err)
{
    struct pl_buf value;
    enum pl_code code;

    pl_buf_init(&value, HEADER_MAX);
    code = write_scalar(template->value, scope, &value, ret_null, err);
    if (code == PL_OK)
        code = check_buf(&value, "a header", err);
    if (code == PL_OK) {
        header->name = template->name;
        header->value = pl_arena_str(arena, pl_buf_view(&value));
        if (!http_header_ok(header->name, header->value))
            code =
                pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                           "header '%.*s' may not be set, or its value has a line break or control "
                           "character in it",
                           PL_STR_ARG(template->name));
    }
    pl_buf_finish(&value);
    return code;
}

static bool is_safe_method(struct pl_str method)
{
    return pl_str_is(method, "GET") || pl_str_is(method, "HEAD") || pl_str_is(method, "OPTIONS");
}

/* What the step did not set itself: the body's type, and a key that is the same for every attempt,
 * so that a server can tell a repetition from a second wish. */
static size_t add_own_headers(struct http_step *step, const struct http_config *config,
                              struct http_header *headers, size_t n)
{
    const struct step_call *call = step->call;

    if (step->http.has_body && !has_header(headers, n, "content-type"))
        headers[n++] = (struct http_header){PL_STR("content-type"),
                                            config->json ? PL_STR("application/json")
                                                         : PL_STR("text/plain; charset=utf-8")};
    if (!is_safe_method(config->method) && !has_header(headers, n, "idempotency-key"))
        headers[n++] = (struct http_header){
            PL_STR("idempotency-key"),
            pl_str(pl_arena_printf(call->arena, "%.*s:%.*s", PL_STR_ARG(call->run_id),
                                   PL_STR_ARG(call->path)))};
    return n;
}

static enum pl_code render_headers(struct http_step *step, const struct http_config *config,
                                   const struct expr_scope *scope, struct pl_err *err)
{
    struct pl_arena *arena = step->call->arena;
    struct http_header *headers =
        pl_arena_alloc_array(arena, config->n_headers + OWN_HEADERS, sizeof(*headers));
    size_t n = 0;

    if (!headers)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < config->n_headers; i++) {
        bool is_null;
        enum pl_code code =
            render_header(&config->headers[i], scope, arena, &headers[n], &is_null, err);

        if (code != PL_OK)
            return code;
        n += !is_null;
    }
    step->http.headers = step->headers = headers;
    step->http.n_headers = add_own_headers(step, config, headers, n);
    return PL_OK;
}

/* The secret, in the last header: what follows a redirect finds it there to drop it. It is bound to
 * where the URL leads, so a URL that came from an expression cannot take it elsewhere. */
static enum pl_code add_secret(struct http_step *step, const struct http_config *config,
                               struct pl_err *err)
{
    const struct step_call *call = step->call;
    struct http_header *header = &step->headers[step->http.n_headers];
    struct pl_str value = {0};
    enum pl_code code;

    if (!config->auth_secret.len || call->env->offline)
        return PL_OK;
    code = secrets_take(call->env->secrets, config->auth_secret, step->http.url, call->arena,
                        &value, err);
    if (code != PL_OK)
        return code;
    if (config->auth_header.len)
        *header = (struct http_header){config->auth_header, value};
    else
        *header = (struct http_header){
            PL_STR("Authorization"),
            pl_str(pl_arena_printf(call->arena, "Bearer %.*s", PL_STR_ARG(value)))};
    step->secret = true;
    step->http.n_headers++;
    return PL_OK;
}

/* ---- body ---- */

static enum pl_code render_body(struct http_step *step, const struct http_config *config,
                                const struct expr_scope *scope, struct pl_err *err)
{
    struct pl_buf body;
    enum pl_code code = PL_OK;

    if (!config->json && !config->body)
        return PL_OK;
    pl_buf_init(&body, PL_LIMIT_PROMPT_BYTES);
    if (config->json)
        code = template_write_json(config->json, scope, &body, err);
    else
        code = template_write_text(config->body, scope, &body, err);
    if (code == PL_OK)
        code = check_buf(&body, "the request's body", err);
    if (code == PL_OK) {
        step->http.has_body = true;
        step->http.body = pl_arena_str(step->call->arena, pl_buf_view(&body));
    }
    pl_buf_finish(&body);
    return code;
}

enum pl_code http_step_render(struct http_step *step, const struct expr_scope *scope,
                              struct pl_err *err)
{
    const struct step_call *call = step->call;
    const struct http_config *config = call->def->config.http;
    enum pl_code code;

    step->http.method = config->method;
    step->http.total_timeout = call->def->timeout;
    step->http.max_body = step->max_output;
    /* Without a policy of the engine's only public addresses may be called: no policy at all would
     * mean trust. */
    step->http.policy = call->env->policy ? call->env->policy : net_policy_create(call->arena);
    code = render_url(step, config, scope, err);
    if (code == PL_OK)
        code = render_body(step, config, scope, err);
    if (code == PL_OK)
        code = render_headers(step, config, scope, err);
    if (code == PL_OK)
        code = add_secret(step, config, err);
    if (code == PL_OK && (!step->http.policy || pl_arena_failed(call->arena)))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}
