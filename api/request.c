/* request.c - a request as a handler sees it, and the checks before one is called: head, Host,
 * route, query, type. See request.h. Not libmicrohttpd's callbacks (server_connection.c). */
#include "api/server_private.h"

#include "base/id.h"
#include "service/workflow/doc.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { QUERY_MAX = 64 };

/* ---- the head ---- */

struct head_walk {
    struct framing_header headers[FRAMING_HEADERS_MAX];
    size_t count;
};

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t value_len)
{
    struct head_walk *walk = cls;

    (void)kind;
    if (walk->count < FRAMING_HEADERS_MAX)
        walk->headers[walk->count] =
            (struct framing_header){pl_str_n(name, name_len), pl_str_n(value, value_len)};
    walk->count++;
    return MHD_YES;
}

static void make_id(struct http_request *request)
{
    struct pl_str given = api_header(&request->public, "x-request-id");
    bool sane = given.len > 0 && given.len < sizeof request->public.id;

    for (size_t i = 0; i < given.len && sane; i++) {
        char c = given.ptr[i];

        sane = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '_' || c == '.' || c == ':';
    }
    if (sane)
        snprintf(request->public.id, sizeof request->public.id, "%.*s", PL_STR_ARG(given));
    else
        pl_id_new("req", pl_clock_now(pl_clock_real()), request->public.id);
}

static enum pl_code check_head(struct http_request *request, const char *version,
                               struct pl_err *err)
{
    struct head_walk walk;
    struct framing_head head = {.method = request->public.method,
                                .target = request->target,
                                .version = pl_str(version),
                                .headers = walk.headers};

    walk.count = 0;
    MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND, take_header, &walk);
    head.count = walk.count;
    return framing_check(&head, &request->facts, err);
}

/* Without keys whoever reaches the port may do everything; so a page of another site that resolves
 * its own name to this machine (DNS rebinding), or posts to it, must not. */
static enum pl_code check_host(const struct http_request *request, struct pl_err *err)
{
    if (request->public.server->any_host)
        return PL_OK;
    if (!framing_host_is_loopback(request->facts.host))
        return pl_err_set(err, PL_ERR_FORBIDDEN,
                          "without API keys only loopback Host names such as localhost are "
                          "answered; --no-auth lifts that");
    if (request->facts.origin.len && !framing_origin_is_loopback(request->facts.origin))
        return pl_err_set(err, PL_ERR_FORBIDDEN,
                          "without API keys pages of other sites are not answered");
    return PL_OK;
}

/* ---- the query ---- */

static enum pl_code read_query(struct http_request *request, struct pl_str raw, struct pl_err *err)
{
    struct pl_arena *arena = request->public.arena;
    size_t count = 1;

    if (raw.len == 0)
        return PL_OK;
    for (size_t i = 0; i < raw.len; i++)
        count += raw.ptr[i] == '&';
    if (count > QUERY_MAX)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "there are more than %d query parameters",
                          QUERY_MAX);
    request->query = pl_arena_alloc_array(arena, count, sizeof *request->query);
    while (raw.len && request->query) {
        const char *end = memchr(raw.ptr, '&', raw.len), *equals;
        struct pl_str part = pl_str_n(raw.ptr, end ? (size_t)(end - raw.ptr) : raw.len),
                      value = {0};
        struct query_pair *pair = &request->query[request->n_query];
        enum pl_code code;

        raw.ptr += part.len + (end ? 1 : 0);
        raw.len -= part.len + (end ? 1 : 0);
        if (part.len == 0)
            continue;
        equals = memchr(part.ptr, '=', part.len);
        if (equals) {
            value = pl_str_n(equals + 1, part.len - (size_t)(equals - part.ptr) - 1);
            part.len = (size_t)(equals - part.ptr);
        }
        code = framing_decode(arena, part, true, &pair->name, err);
        if (code == PL_OK)
            code = framing_decode(arena, value, true, &pair->value, err);
        if (code != PL_OK)
            return code;
        request->n_query++;
    }
    return request->query ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static bool name_is_known(struct pl_str name, struct pl_str word)
{
    if (word.len > 2 && word.ptr[word.len - 1] == '*' && word.ptr[word.len - 2] == '.')
        return name.len >= word.len && pl_str_starts(name, pl_str_n(word.ptr, word.len - 1));
    return pl_str_eq(name, word);
}

static enum pl_code unknown_parameter(const struct http_request *request, struct pl_str name,
                                      const char *const *names, struct pl_err *err)
{
    const char *nearest = doc_nearest(name, names);
    char shown[DOC_EXCERPT];

    doc_excerpt(name, shown);
    if (nearest)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "there is no query parameter '%s' here; did you mean '%s'?", shown,
                          nearest);
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      request->public.route->query
                          ? "there is no query parameter '%s' here; there are: %s"
                          : "there is no query parameter '%s' here%s",
                      shown, request->public.route->query ? request->public.route->query : "");
}

/* The row's words, each with a NUL behind, for doc_nearest. */
static size_t split_words(struct pl_arena *arena, struct pl_str list, const char **names)
{
    size_t n = 0;

    while (list.len && n + 1 < QUERY_MAX) {
        const char *space = memchr(list.ptr, ' ', list.len);
        struct pl_str word = pl_str_n(list.ptr, space ? (size_t)(space - list.ptr) : list.len);

        list.ptr += word.len + (space ? 1 : 0);
        list.len -= word.len + (space ? 1 : 0);
        names[n] = pl_arena_str(arena, word).ptr;
        n += names[n] != NULL;
    }
    return n;
}

/* Every parameter is one of the row's words, once. */
static enum pl_code check_query(const struct http_request *request, struct pl_err *err)
{
    const char *names[QUERY_MAX] = {0};
    size_t n = split_words(request->public.arena, pl_str(request->public.route->query), names);

    for (size_t i = 0; i < request->n_query; i++) {
        struct pl_str name = request->query[i].name;
        bool known = false;

        for (size_t k = 0; k < n && !known; k++)
            known = name_is_known(name, pl_str(names[k]));
        if (!known)
            return unknown_parameter(request, name, names, err);
        for (size_t k = 0; k < i; k++)
            if (pl_str_eq(name, request->query[k].name))
                return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                                  "the query parameter '%.*s' is given twice", PL_STR_ARG(name));
    }
    return PL_OK;
}

/* ---- the type ---- */

static bool type_is(struct pl_str type, const char *want)
{
    size_t len = strlen(want);

    if (type.len < len || strncasecmp(type.ptr, want, len) != 0)
        return false;
    return type.len == len || type.ptr[len] == ';' || type.ptr[len] == ' ' || type.ptr[len] == '\t';
}

static enum pl_code check_type(const struct http_request *request, struct pl_err *err)
{
    static const char *const yaml[] = {"application/yaml", "application/x-yaml", "text/yaml"};
    enum api_body body = request->public.route->body;
    struct pl_str type = api_header(&request->public, "content-type");
    struct pl_str encoding = api_header(&request->public, "content-encoding");

    if ((!request->facts.chunked && request->facts.length == 0) || body == API_BODY_NONE)
        return PL_OK;
    if (encoding.len && !type_is(encoding, "identity"))
        return pl_err_set(err, PL_ERR_UNSUPPORTED_TYPE, "send the body without Content-Encoding");
    if (type_is(type, "application/json"))
        return PL_OK;
    for (size_t i = 0; i < PL_ARRAY_LEN(yaml) && body == API_BODY_WORKFLOW; i++)
        if (type_is(type, yaml[i]))
            return PL_OK;
    return pl_err_set(err, PL_ERR_UNSUPPORTED_TYPE,
                      body == API_BODY_WORKFLOW
                          ? "send the workflow as Content-Type: application/json or "
                            "application/yaml"
                          : "send the body as Content-Type: application/json");
}

/* A route without a body takes an empty one, or {}: what clients send that always send something.
 */
enum pl_code request_check_body(struct http_request *request, struct pl_err *err)
{
    struct pl_str body = pl_buf_view(&request->body);

    if (request->public.route->body != API_BODY_NONE) {
        request->public.body = body;
        return PL_OK;
    }
    for (size_t i = 0, braces = 0; i < body.len; i++) {
        char c = body.ptr[i];

        if (c == ' ' || c == '\n' || c == '\r' || c == '\t' || (c == '{' && braces == 0) ||
            (c == '}' && braces == 1)) {
            braces += c == '{' || c == '}';
            continue;
        }
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "this call takes no body");
    }
    return PL_OK;
}

static enum pl_code begin(struct http_request *request, const char *version, struct pl_err *err)
{
    struct pl_str query = {0};
    enum pl_code code = check_head(request, version, err);

    request->close = code != PL_OK; /* nobody knows where the next request would begin */
    if (code == PL_OK)
        code = framing_split_target(request->public.arena, request->target, &request->public.path,
                                    &query, err);
    request->close = request->close || code != PL_OK;
    if (code == PL_OK)
        code = check_host(request, err);
    if (code == PL_OK)
        code = api_route_match(&request->public, &request->public.route, &request->allow, err);
    if (code == PL_OK)
        code = read_query(request, query, err);
    if (code == PL_OK)
        code = check_query(request, err);
    if (code == PL_OK)
        code = check_type(request, err);
    return code;
}

void request_begin(struct http_request *request, const char *method, const char *version)
{
    struct pl_err err = {0};

    request->public.method = pl_arena_str(request->public.arena, pl_str(method));
    make_id(request);
    if (begin(request, version, &err) != PL_OK)
        request_fail(request, &err);
    else if (pl_arena_failed(request->public.arena))
        request->out_of_memory = true;
}

void request_fail(struct http_request *request, const struct pl_err *err)
{
    request->early = pl_arena_alloc(request->public.arena, sizeof *request->early);
    if (request->early)
        *request->early = *err;
    else
        request->out_of_memory = true;
}

/* ---- what handlers ask ---- */

struct pl_str api_header(const struct api_request *request, const char *name)
{
    const struct http_request *http = (const struct http_request *)(const void *)request;
    const char *value = NULL;
    size_t len = 0;

    if (MHD_lookup_connection_value_n(http->connection, MHD_HEADER_KIND, name, strlen(name), &value,
                                      &len) != MHD_YES)
        return (struct pl_str){0};
    return pl_str_n(value ? value : "", len);
}

struct pl_str api_query(const struct api_request *request, const char *name)
{
    const struct http_request *http = (const struct http_request *)(const void *)request;

    for (size_t i = 0; i < http->n_query; i++)
        if (pl_str_is(http->query[i].name, name))
            return http->query[i].value;
    return (struct pl_str){0};
}

bool api_query_next(const struct api_request *request, size_t *at, struct pl_str *ret_name,
                    struct pl_str *ret_value)
{
    const struct http_request *http = (const struct http_request *)(const void *)request;

    if (*at >= http->n_query)
        return false;
    *ret_name = http->query[*at].name;
    *ret_value = http->query[*at].value;
    (*at)++;
    return true;
}

/* ---- waiting ---- */

static void suspend(struct http_request *request, int64_t until, bool expirable,
                    void (*resumed)(struct api_request *request),
                    void (*gone)(struct api_request *request))
{
    request->resumed = resumed;
    request->gone = gone;
    request->wait_until = until;
    request->expirable = expirable;
    request->asked = true;
    atomic_store(&request->wait, WAIT_MARKED);
}

void api_suspend(struct api_request *request, void (*resumed)(struct api_request *request),
                 void (*gone)(struct api_request *request))
{
    suspend(http_request_of(request), -1, false, resumed, gone);
}

void api_suspend_for(struct api_request *request, int64_t wait,
                     void (*resumed)(struct api_request *request),
                     void (*gone)(struct api_request *request))
{
    int64_t now = server_now_ms();

    suspend(http_request_of(request), wait < 0 || wait > INT64_MAX - now ? -1 : now + wait, true,
            resumed, gone);
}

void api_resume(struct api_request *request)
{
    server_wake(http_request_of(request));
}

bool api_expired(const struct api_request *request)
{
    return ((const struct http_request *)(const void *)request)->expired;
}
