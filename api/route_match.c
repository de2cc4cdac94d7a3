/* route_match.c - finds the row of a method and a path. See routes.h. A linear walk: the table is
 * short and its rows differ early. Not the table. */
#include "api/routes.h"

#include <string.h>

/* The next segment of *rest, which loses it and its slash. */
static struct pl_str next_segment(struct pl_str *rest)
{
    const char *slash = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
    struct pl_str segment = pl_str_n(rest->ptr, slash ? (size_t)(slash - rest->ptr) : rest->len);
    size_t used = segment.len + (slash ? 1 : 0);

    rest->ptr += used;
    rest->len -= used;
    return segment;
}

static size_t count_slashes(struct pl_str text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += text.ptr[i] == '/';
    return count;
}

static bool matches(struct pl_str pattern, struct pl_str path, struct pl_str *params)
{
    size_t n = 0, segments = count_slashes(pattern);

    if (segments != count_slashes(path))
        return false;
    for (size_t i = 0; i <= segments; i++) {
        struct pl_str want = next_segment(&pattern), got = next_segment(&path);

        if (want.len && want.ptr[0] == '{') {
            if (got.len == 0 || n == API_PARAMS_MAX)
                return false;
            params[n++] = got;
        } else if (!pl_str_eq(want, got)) {
            return false;
        }
    }
    return true;
}

static bool same_method(const struct api_route *route, struct pl_str method)
{
    return pl_str_is(method, route->method) ||
           (pl_str_is(method, "HEAD") && strcmp(route->method, "GET") == 0);
}

/* The methods of a path, for Allow. NULL: no row has the path. */
static const char *allowed(struct api_request *request)
{
    struct pl_str params[API_PARAMS_MAX];
    const char *list = NULL;

    for (size_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];
        bool get = strcmp(route->method, "GET") == 0;

        if (!matches(pl_str(route->pattern), request->path, params))
            continue;
        list = pl_arena_printf(request->arena, "%s%s%s%s", list ? list : "", list ? ", " : "",
                               route->method, get ? ", HEAD" : "");
        if (!list)
            return "";
    }
    return list;
}

enum pl_code api_route_match(struct api_request *request, const struct api_route **ret_route,
                             const char **ret_allow, struct pl_err *err)
{
    const char *allow;

    for (size_t i = 0; i < api_routes_count; i++) {
        const struct api_route *route = &api_routes[i];

        if (same_method(route, request->method) &&
            matches(pl_str(route->pattern), request->path, request->params)) {
            *ret_route = route;
            return PL_OK;
        }
    }
    memset(request->params, 0, sizeof request->params);
    allow = allowed(request);
    if (!allow)
        return pl_err_set(err, PL_ERR_NOT_FOUND,
                          "there is no %.*s; GET /openapi.json lists what there is",
                          PL_STR_ARG(request->path));
    *ret_allow = allow;
    return pl_err_set(err, PL_ERR_NOT_ALLOWED, "%.*s does not take %.*s; it takes %s",
                      PL_STR_ARG(request->path), PL_STR_ARG(request->method), allow);
}
