/* http_easy.c - easy handles: what is set once, what is set for each request, the pool. Not
 * transfers. Called by http_call.c.
 *
 * curl_easy_reset and setting all options again costs more than the rest of a small call, so a
 * handle remembers what it is set to and only what differs is set. */
#include "service/net/http_easy.h"

#include "service/net/http_multi.h"

#include <stdlib.h>

static const long CONNECTION_IDLE_S =
    60; /* below the idle timeouts of the load balancers in front of providers */
static const long KEEPALIVE_S = 45;
/* A call holds its receive buffer from start to end, and most of that time waits. The send buffer's
 * least. */
static const long RECEIVE_BYTES = 2048, SEND_BYTES = 16384;

static bool set_options(struct http_easy *easy, const struct http_easy_hooks *hooks,
                        struct http_multis *multis)
{
    CURL *c = easy->curl;
    int bad = 0;

#define SET(option, value) bad |= curl_easy_setopt(c, CURLOPT_##option, value) != CURLE_OK
    SET(PRIVATE, easy);
    SET(ERRORBUFFER, easy->error);
    SET(HEADERFUNCTION, hooks->header);
    SET(HEADERDATA, easy);
    SET(WRITEFUNCTION, hooks->write);
    SET(WRITEDATA, easy);
    SET(OPENSOCKETFUNCTION, hooks->open_socket);
    SET(OPENSOCKETDATA, easy);
    SET(CLOSESOCKETFUNCTION, http_multis_close_socket);
    SET(CLOSESOCKETDATA, multis);
    SET(XFERINFOFUNCTION, hooks->progress);
    SET(XFERINFODATA, easy);
    SET(PREREQFUNCTION, hooks->ready);
    SET(PREREQDATA, easy);
    /* 7.88's HTTP/2 tells cut answers as whole */
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(NOSIGNAL, 1L);
    SET(QUICK_EXIT, 1L); /* aborting must not wait for a name being resolved */
    SET(PROTOCOLS_STR, "http,https");
    SET(FOLLOWLOCATION, 0L);
    SET(DISALLOW_USERNAME_IN_URL, 1L);
    SET(PROXY, ""); /* not the environment's: it would get round the policy */
    SET(NOPROXY, "*");
    SET(TCP_NODELAY, 1L);
    SET(TCP_KEEPALIVE, 1L);
    SET(TCP_KEEPIDLE, KEEPALIVE_S);
    SET(TCP_KEEPINTVL, KEEPALIVE_S);
    SET(MAXAGE_CONN, CONNECTION_IDLE_S);
    SET(BUFFERSIZE, RECEIVE_BYTES);
    SET(UPLOAD_BUFFERSIZE, SEND_BYTES);
    SET(USERAGENT, "plait/" PLAIT_VERSION);
#undef SET
    return !bad;
}

static void destroy(struct http_easy *easy)
{
    curl_easy_cleanup(easy->curl);
    free(easy->url);
    free(easy);
}

struct http_easy *http_easy_take(struct http_easy_pool *pool, const struct http_easy_hooks *hooks,
                                 struct http_multis *multis)
{
    struct http_easy *easy = pool->idle;

    if (easy) {
        pool->idle = easy->next;
        pool->count--;
        easy->next = NULL;
        return easy;
    }
    easy = calloc(1, sizeof *easy);
    if (!easy)
        return NULL;
    easy->curl = curl_easy_init();
    if (!easy->curl || !set_options(easy, hooks, multis)) {
        destroy(easy);
        return NULL;
    }
    return easy;
}

void http_easy_give_back(struct http_easy_pool *pool, struct http_easy *easy)
{
    easy->call = NULL;
    easy->next = pool->idle;
    pool->idle = easy;
    pool->count++;
}

void http_easy_trim(struct http_easy_pool *pool, unsigned keep)
{
    while (pool->count > keep) {
        struct http_easy *easy = pool->idle;

        pool->idle = easy->next;
        pool->count--;
        destroy(easy);
    }
}

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "no memory for a request");
}

static enum pl_code set_url(struct http_easy *easy, struct pl_str url, struct pl_err *err)
{
    char *copy;

    if (easy->url && strlen(easy->url) == url.len && memcmp(easy->url, url.ptr, url.len) == 0)
        return PL_OK;
    if (url.len == 0 || memchr(url.ptr, '\0', url.len))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the URL is empty or has a NUL in it");
    copy = strndup(url.ptr, url.len);
    free(easy->url);
    easy->url = copy;
    if (!copy || curl_easy_setopt(easy->curl, CURLOPT_URL, copy) != CURLE_OK) {
        free(copy); /* unknown what it is set to */
        easy->url = NULL;
        return no_memory(err);
    }
    return PL_OK;
}

static bool method_ok(struct pl_str method)
{
    for (size_t i = 0; i < method.len; i++) {
        if (method.ptr[i] < 'A' || method.ptr[i] > 'Z')
            return false;
    }
    return method.len > 0 && method.len < sizeof((struct http_easy *)0)->method;
}

/* POST, PUT and PATCH say how long their body is, also when it is empty. */
static bool sends_body(const struct http_request *request)
{
    return request->has_body || pl_str_is(request->method, "POST") ||
           pl_str_is(request->method, "PUT") || pl_str_is(request->method, "PATCH");
}

static bool set_method(struct http_easy *easy, struct pl_str method, bool body)
{
    CURL *c = easy->curl;
    const char *custom = NULL;
    bool head = pl_str_is(method, "HEAD") && !body;

    if (pl_str_is(method, easy->method) && easy->sends_body == body)
        return true;
    memcpy(easy->method, method.ptr, method.len);
    easy->method[method.len] = '\0';
    easy->sends_body = body;
    if (!pl_str_is(method, body ? "POST" : head ? "HEAD" : "GET"))
        custom = easy->method;
    if (curl_easy_setopt(c, CURLOPT_NOBODY, (long)head) == CURLE_OK &&
        (head || curl_easy_setopt(c, body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L) == CURLE_OK) &&
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, custom) == CURLE_OK)
        return true;
    easy->method[0] = '\0';
    return false;
}

/* A stream is not asked for compressed: compressors hold pieces back. */
static bool set_decoding(struct http_easy *easy, bool decode)
{
    if (easy->decodes == decode)
        return true;
    if (curl_easy_setopt(easy->curl, CURLOPT_ACCEPT_ENCODING, decode ? "gzip, deflate" : NULL) ||
        curl_easy_setopt(easy->curl, CURLOPT_NOPROGRESS, (long)!decode))
        return false;
    easy->decodes = decode;
    return true;
}

/* Connections are kept apart by it: that is curl's. */
static bool set_ca_file(struct http_easy *easy, const char *ca_file)
{
    const char *path;

    if (easy->ca_file == ca_file)
        return true;
    path = ca_file ? ca_file : curl_version_info(CURLVERSION_NOW)->cainfo;
    if (curl_easy_setopt(easy->curl, CURLOPT_CAINFO, path) != CURLE_OK)
        return false;
    easy->ca_file = ca_file;
    return true;
}

enum pl_code http_easy_set(struct http_easy *easy, const struct http_request *request,
                           struct curl_slist *headers, struct pl_err *err)
{
    CURL *c = easy->curl;
    bool body = sends_body(request);
    curl_off_t length = request->has_body ? (curl_off_t)request->body.len : 0;
    enum pl_code code;

    if (!method_ok(request->method))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "\"%.*s\" is no HTTP method",
                          PL_STR_ARG(request->method));
    code = set_url(easy, request->url, err);
    if (code != PL_OK)
        return code;
    if (!set_method(easy, request->method, body) || !set_decoding(easy, !request->stream) ||
        !set_ca_file(easy, request->ca_file) ||
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) != CURLE_OK)
        return no_memory(err);
    if (body && (curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, length) != CURLE_OK ||
                 curl_easy_setopt(c, CURLOPT_POSTFIELDS, length ? request->body.ptr : "")))
        return no_memory(err);
    if (easy->fresh) {
        curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 0L);
        easy->fresh = false;
    }
    easy->error[0] = '\0';
    return PL_OK;
}

void http_easy_set_fresh(struct http_easy *easy)
{
    curl_easy_setopt(easy->curl, CURLOPT_FRESH_CONNECT, 1L);
    easy->fresh = true;
}
