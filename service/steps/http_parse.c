/* http_parse.c - reads what stands under `http`. Not the request itself (steps/http.c) and not
 * which addresses are allowed. Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_parse.h"

#include "base/limits.h"
#include "service/net/http_call.h"

#include <stdlib.h>
#include <strings.h>

static void http_method(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const methods[] = {"GET",   "HEAD",   "POST",    "PUT",
                                          "PATCH", "DELETE", "OPTIONS", NULL};
    struct http_config *http = target;

    if (!wf_literal(ctx, node))
        return;
    for (size_t i = 0; methods[i]; i++)
        if (node->text.len == strlen(methods[i]) &&
            strncasecmp(node->text.ptr, methods[i], node->text.len) == 0) {
            http->method = pl_str(methods[i]);
            return;
        }
    wf_problem(ctx, node,
               "'%s' is no HTTP method; write one of GET, HEAD, POST, PUT, PATCH, "
               "DELETE, OPTIONS",
               wf_show(ctx, node->text));
}

/* The literal text a template starts with; empty when it starts with an expression. */
static struct pl_str literal_start(const struct template *template, const struct doc_node *node)
{
    if (template->kind == TEMPLATE_CONST)
        return node->text;
    if (template->kind == TEMPLATE_TEXT && template->count > 0 && !template->parts[0].expr)
        return template->parts[0].literal;
    return (struct pl_str){0};
}

static void http_url(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const schemes[] = {"http://", "https://"};
    struct http_config *http = target;

    http->url = wf_template(ctx, node);
    if (!http->url)
        return;
    struct pl_str start = literal_start(http->url, node);
    bool ok = start.len == 0 && http->url->kind != TEMPLATE_CONST;
    for (size_t i = 0; i < PL_ARRAY_LEN(schemes) && !ok; i++) {
        size_t len = strlen(schemes[i]);
        bool whole = http->url->kind == TEMPLATE_CONST;
        size_t compare = start.len < len && !whole ? start.len : len;
        ok = start.len >= compare && strncasecmp(start.ptr, schemes[i], compare) == 0 &&
             (!whole || start.len > len);
    }
    if (!ok)
        wf_problem(ctx, node, "a url begins with http:// or https:// and a host");
}

/* ---- headers and query ---- */

static bool is_token(struct pl_str name)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == 0 || !strchr(others, c)))
            return false;
    }
    return name.len > 0;
}

static void check_header(struct wf_ctx *ctx, const struct doc_node *headers, size_t position)
{
    const struct doc_node *node = headers->items[position];

    if (!is_token(node->key)) {
        wf_problem_key(ctx, node, "'%s' is no header name; use letters, digits and -",
                       wf_show(ctx, node->key));
        return;
    }
    if (!http_header_ok(node->key, PL_STR("x")))
        wf_problem_key(ctx, node, "'%s' is set by Plait itself; remove it",
                       wf_show(ctx, node->key));
    for (size_t i = 0; i < position; i++)
        if (headers->items[i]->key.len == node->key.len &&
            strncasecmp(headers->items[i]->key.ptr, node->key.ptr, node->key.len) == 0)
            wf_problem_key(ctx, node, "'%s' is there already as '%s'; keep one",
                           wf_show(ctx, node->key), wf_show(ctx, headers->items[i]->key));
    for (size_t i = 0; node->type == DOC_STRING && i < node->text.len; i++)
        if (node->text.ptr[i] == '\r' || node->text.ptr[i] == '\n') {
            wf_problem(ctx, node, "a header is one line; remove the line break");
            break;
        }
}

/* The named templates of `headers` and `query`. */
static struct http_header_template *pairs(struct wf_ctx *ctx, const struct doc_node *node,
                                          const char *what, size_t *ret_count)
{
    struct http_header_template *list =
        pl_arena_alloc_array(ctx->p->arena, node->count ? node->count : 1, sizeof(*list));

    if (!list)
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        const struct doc_node *value = node->items[i];
        list[i].name = value->key;
        if (wf_type(ctx, value, wf_show(ctx, value->key), WF_SCALAR, what))
            list[i].value = wf_template(ctx, value);
    }
    *ret_count = node->count;
    return list;
}

enum { HEADERS_MAX = 100 };

static void http_headers(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct http_config *http = target;

    if (node->count > HEADERS_MAX) {
        wf_problem(ctx, node, "a request has at most %d headers of its own", HEADERS_MAX);
        return;
    }
    http->headers = pairs(ctx, node, "a string", &http->n_headers);
    for (size_t i = 0; i < node->count; i++)
        check_header(ctx, node, i);
}

static void http_query(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct http_config *http = target;

    http->query = pairs(ctx, node, "a string, a number, true, false or null", &http->n_query);
}

/* ---- body and answer ---- */

static void http_json(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct http_config *)target)->json = wf_template(ctx, node);
}

static void http_body(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct http_config *)target)->body = wf_template(ctx, node);
}

/* "204", "2xx" or "200-204"; false when it is none of them. */
static bool status_range(const struct doc_node *node, unsigned *ret_low, unsigned *ret_high)
{
    char text[8] = {0};
    char *end;

    if ((node->type != DOC_NUMBER && node->type != DOC_STRING) || node->text.len < 3 ||
        node->text.len >= sizeof(text))
        return false;
    memcpy(text, node->text.ptr, node->text.len);
    if (text[0] < '1' || text[0] > '5')
        return false;
    if (strcasecmp(text + 1, "xx") == 0) {
        *ret_low = (unsigned)(text[0] - '0') * 100;
        *ret_high = *ret_low + 99;
        return true;
    }
    unsigned long low = strtoul(text, &end, 10), high = low;
    if (end != text + 3)
        return false;
    if (*end == '-') {
        high = strtoul(text + 4, &end, 10);
        if (end != text + 7)
            return false;
    }
    *ret_low = (unsigned)low;
    *ret_high = (unsigned)high;
    return *end == '\0' && low <= high && high <= 599;
}

static void http_expect(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct http_config *http = target;

    if (node->count == 0) {
        wf_problem(ctx, node, "'expect' is empty; leave it out for [2xx]");
        return;
    }
    http->expect = pl_arena_alloc_array(ctx->p->arena, node->count, sizeof(*http->expect));
    for (size_t i = 0; http->expect && i < node->count; i++)
        if (!status_range(node->items[i], &http->expect[i].low, &http->expect[i].high))
            wf_problem(ctx, node->items[i], "'%s' is no status; write 204, 2xx or 200-204",
                       wf_show(ctx, node->items[i]->text));
    http->n_expect = node->count;
}

/* ---- auth ---- */

static void auth_secret(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct http_config *http = target;

    /* literal: what a model wrote must never choose a secret */
    if (!wf_literal(ctx, node))
        return;
    if (node->text.len == 0)
        wf_problem(ctx, node, "this is empty; write the name of a secret");
    http->auth_secret = node->text;
    http->auth_node = node;
}

static void auth_header(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct http_config *http = target;

    if (!wf_literal(ctx, node))
        return;
    if (!http_header_ok(node->text, PL_STR("x")))
        wf_problem(ctx, node, "'%s' is no header that may be set; write a name such as X-Api-Key",
                   wf_show(ctx, node->text));
    http->auth_header = node->text;
}

static const struct wf_field auth_fields[] = {
    {.key = "header", .types = WF_STRING, .help = "a header's name", .parse = auth_header},
    {.key = "secret", .types = WF_STRING, .help = "a secret's name", .parse = auth_secret},
};

static const struct wf_object auth_object = {
    .what = "auth",
    .fields = auth_fields,
    .n_fields = PL_ARRAY_LEN(auth_fields),
};

void wf_parse_auth(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    if (node->type == DOC_STRING) {
        auth_secret(ctx, node, target);
        return;
    }
    wf_object(ctx, node, &auth_object, target);
    if (!doc_get(node, "header") || !doc_get(node, "secret"))
        wf_problem(ctx, node,
                   "'auth' is a secret's name (sent as Authorization: Bearer) or {header, secret}");
}

static const struct wf_field http_fields[] = {
    {.key = "method", .types = WF_STRING, .help = "an HTTP method", .parse = http_method},
    {.key = "url", .types = WF_STRING, .help = "a text", .parse = http_url},
    {.key = "headers",
     .types = WF_OBJECT,
     .help = "an object of names and values",
     .parse = http_headers},
    {.key = "query",
     .types = WF_OBJECT,
     .help = "an object of names and values",
     .parse = http_query},
    {.key = "json", .types = WF_ANY, .help = "a value", .parse = http_json},
    {.key = "body",
     .types = WF_TEXT,
     .help = "a text; a JSON value goes under 'json'",
     .parse = http_body},
    {.key = "expect",
     .types = WF_LIST,
     .help = "a list of statuses such as [2xx, 404]",
     .parse = http_expect},
    {.key = "auth",
     .types = WF_STRING | WF_OBJECT,
     .help = "the name of a secret, or {header, secret}",
     .parse = wf_parse_auth},
};

static const char *http_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step, beside 'http'" : NULL;
}

static const struct wf_object http_object = {
    .what = "http",
    .fields = http_fields,
    .n_fields = PL_ARRAY_LEN(http_fields),
    .elsewhere = http_elsewhere,
};

bool wf_is_http_key(struct pl_str key)
{
    return wf_has_field(&http_object, key);
}

/* The header that a secret goes in belongs to it alone. */
static void check_auth(struct wf_ctx *ctx, const struct http_config *http)
{
    const struct pl_str name = http->auth_header.len ? http->auth_header : PL_STR("Authorization");

    for (size_t i = 0; http->auth_secret.len && i < http->n_headers; i++)
        if (http->headers[i].name.len == name.len &&
            strncasecmp(http->headers[i].name.ptr, name.ptr, name.len) == 0)
            wf_problem(ctx, http->auth_node,
                       "'headers' sets %s too; remove it there, the secret goes in it",
                       wf_show(ctx, name));
}

static void fill_defaults(struct wf_ctx *ctx, struct http_config *http, bool has_body)
{
    if (http->method.len == 0)
        http->method = has_body ? PL_STR("POST") : PL_STR("GET");
    if (http->n_expect)
        return;
    http->expect = pl_arena_alloc_array(ctx->p->arena, 1, sizeof(*http->expect));
    if (!http->expect)
        return;
    http->expect[0].low = 200;
    http->expect[0].high = 299;
    http->n_expect = 1;
}

void wf_parse_http(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct http_config *http = pl_arena_alloc(ctx->p->arena, sizeof(*http));
    const struct doc_node *body = doc_get(node, "body"), *json = doc_get(node, "json");

    if (!http)
        return;
    ctx->step->config.http = http;
    wf_object(ctx, node, &http_object, http);
    if (node->type != DOC_OBJECT)
        return;
    if (!doc_get(node, "url"))
        wf_problem_key(ctx, node, "an http step needs 'url'");
    if (body && json)
        wf_problem_key(ctx, body, "'body' stands beside 'json'; keep one of them");
    check_auth(ctx, http);
    fill_defaults(ctx, http, body || json);
}
