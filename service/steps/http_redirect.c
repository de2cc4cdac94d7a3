/* http_redirect.c - redirects of an http step, followed by hand: where to, with what method and
 * which headers. Not the address of the next hop: the policy judges that when it is connected to,
 * as it does the first one's. Called by http.c.
 *
 * What a redirect may not do: choose another scheme than http and https, go from https back to
 * http, carry a secret or a credential of the workflow's along (not even to the same origin: it is
 * the answer that says where it goes), or take the workflow's own headers to another origin. */
#include "base/limits.h"
#include "service/net/http_url.h"
#include "service/steps/http_step.h"

#include <strings.h>

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool same_name(struct pl_str name, const char *other)
{
    return name.len == strlen(other) && strncasecmp(name.ptr, other, name.len) == 0;
}

static bool is_one_of(struct pl_str name, const char *const *names)
{
    for (size_t i = 0; names[i]; i++)
        if (same_name(name, names[i]))
            return true;
    return false;
}

/* What goes to an origin that the workflow did not name: nothing a key could be in. */
static bool may_go_elsewhere(struct pl_str name)
{
    static const char *const harmless[] = {"accept",
                                           "accept-language",
                                           "content-type",
                                           "content-language",
                                           "user-agent",
                                           "idempotency-key",
                                           NULL};

    return is_one_of(name, harmless);
}

static void keep_headers(struct http_step *step, bool same_origin, bool body_dropped)
{
    static const char *const credentials[] = {"authorization", "cookie", NULL};
    static const char *const of_body[] = {"content-type",     "content-language",
                                          "content-encoding", "content-location",
                                          "idempotency-key",  NULL};
    struct http_header *headers = step->headers;
    size_t n = 0;

    step->http.n_headers -= step->secret;
    step->secret = false;
    for (size_t i = 0; i < step->http.n_headers; i++) {
        const struct pl_str name = headers[i].name;

        if (is_one_of(name, credentials) || (!same_origin && !may_go_elsewhere(name)) ||
            (body_dropped && is_one_of(name, of_body)))
            continue;
        headers[n++] = headers[i];
    }
    step->http.n_headers = n;
}

/* As browsers do: 303 turns all into GET, 301 and 302 a POST; 307 and 308 nothing. */
static bool turns_into_get(int status, struct pl_str method)
{
    if (status == 303)
        return !pl_str_is(method, "GET") && !pl_str_is(method, "HEAD");
    return (status == 301 || status == 302) && pl_str_is(method, "POST");
}

static enum pl_code refuse(const struct http_step *step, const char *why, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_UNEXPECTED_STATUS,
                      "the server answered %d with a redirect that is not followed: %s",
                      step->status, why);
}

/* Where to; fills the two origins. */
static enum pl_code find_target(const struct http_step *step, struct pl_str location,
                                struct pl_str *ret_url, bool *ret_same, struct pl_err *err)
{
    struct pl_arena *arena = step->call->arena;
    struct http_origin from = {0}, to = {0};
    enum pl_code code = http_url_resolve(arena, step->http.url, location, ret_url, err);

    if (code == PL_OK)
        code = http_url_origin(arena, step->http.url, &from, err);
    if (code == PL_OK)
        code = http_url_origin(arena, *ret_url, &to, err);
    if (code == PL_ERR_INVALID_ARGUMENT) {
        struct pl_err why = *err;

        return refuse(step, why.message, err);
    }
    if (code != PL_OK)
        return code;
    if (pl_str_is(from.scheme, "https") && !pl_str_is(to.scheme, "https"))
        return refuse(step, "it leads from https to http", err);
    *ret_same = http_origin_same(&from, &to);
    return PL_OK;
}

bool http_step_redirect(struct http_step *step, const struct http_call *http_call, pl_ms now,
                        struct pl_err *err)
{
    const struct pl_str location = http_call_header(http_call, "location");
    struct pl_str url = {0};
    bool same = false, to_get = turns_into_get(step->status, step->http.method);

    if (!is_redirect(step->status) || !location.len ||
        http_step_expects(step->call->def->config.http, step->status))
        return false;
    if (step->redirects == PL_LIMIT_REDIRECTS) {
        (void)pl_err_set(err, PL_ERR_UNEXPECTED_STATUS,
                         "the server answered %d after %d redirects; more are not followed",
                         step->status, PL_LIMIT_REDIRECTS);
        return false;
    }
    if (find_target(step, location, &url, &same, err) != PL_OK)
        return false;
    if (now >= step->deadline) {
        (void)pl_err_set(err, PL_ERR_TIMEOUT, "total timeout: no time was left after %u redirects",
                         step->redirects);
        return false;
    }
    keep_headers(step, same, to_get);
    if (to_get) {
        step->http.method = PL_STR("GET");
        step->http.has_body = false;
        step->http.body = (struct pl_str){0};
    }
    step->http.url = url;
    step->http.total_timeout = step->deadline - now;
    step->redirects++;
    pl_buf_reset(&step->body);
    return true;
}
