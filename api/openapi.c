/* openapi.c - writes the OpenAPI document from the table. See openapi.h. A row that changes changes
 * the document; nothing is written twice. */
#include "api/openapi.h"

#include "api/routes.h"
#include "base/json.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The build makes it of openapi_schemas.json. */
extern const char openapi_schemas[];

/* The next word of a list, which loses it; empty at the end. */
static struct pl_str next_word(struct pl_str *list)
{
    const char *space = list->len ? memchr(list->ptr, ' ', list->len) : NULL;
    struct pl_str word = pl_str_n(list->ptr, space ? (size_t)(space - list->ptr) : list->len);
    size_t used = word.len + (space ? 1 : 0);

    list->ptr += used;
    list->len -= used;
    return word;
}

static void write_schema_ref(struct pl_buf *out, const char *name)
{
    json_key(out, "schema");
    json_object_begin(out);
    json_key(out, "$ref");
    pl_buf_printf(out, "\"#/components/schemas/%s\"", name);
    json_object_end(out);
}

static void write_content(struct pl_buf *out, const char *type, const char *schema)
{
    json_key(out, type);
    json_object_begin(out);
    write_schema_ref(out, schema);
    json_object_end(out);
}

static void write_parameter(struct pl_buf *out, struct pl_str name, const char *in)
{
    bool path = strcmp(in, "path") == 0;

    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "name", name);
    json_add_string(out, "in", pl_str(in));
    json_add_bool(out, "required", path);
    json_add_raw(out, "schema", PL_STR("{\"type\":\"string\"}"));
    json_object_end(out);
}

static void write_parameters(struct pl_buf *out, const struct api_route *route)
{
    struct pl_str query = pl_str(route->query);

    json_key(out, "parameters");
    json_array_begin(out);
    for (const char *at = strchr(route->pattern, '{'); at; at = strchr(at + 1, '{'))
        write_parameter(out, pl_str_n(at + 1, strcspn(at + 1, "}")), "path");
    while (query.len)
        write_parameter(out, next_word(&query), "query");
    json_array_end(out);
}

static void write_request(struct pl_buf *out, const struct api_route *route)
{
    if (!route->request_schema)
        return;
    json_key(out, "requestBody");
    json_object_begin(out);
    json_add_bool(out, "required", true);
    json_key(out, "content");
    json_object_begin(out);
    write_content(out, "application/json", route->request_schema);
    if (route->body == API_BODY_WORKFLOW)
        write_content(out, "application/yaml", route->request_schema);
    json_object_end(out);
    json_object_end(out);
}

static void write_types(struct pl_buf *out, const struct api_route *route, bool problem)
{
    json_key(out, "content");
    json_object_begin(out);
    if (problem) {
        write_content(out, "application/problem+json", "Problem");
    } else if (strcmp(route->response_schema, "Event") == 0) {
        write_content(out, "text/event-stream", "Event");
        write_content(out, "application/x-ndjson", "Event");
    } else {
        write_content(out, "application/json", route->response_schema);
        if (route->request_schema && strcmp(route->request_schema, "RunRequest") == 0)
            write_content(out, "text/event-stream", "Event");
    }
    json_object_end(out);
}

static void write_responses(struct pl_buf *out, const struct api_route *route)
{
    struct pl_str statuses = pl_str(route->statuses);

    json_key(out, "responses");
    json_object_begin(out);
    while (statuses.len) {
        struct pl_str status = next_word(&statuses);
        bool problem = status.ptr[0] >= '4';
        char key[8];

        snprintf(key, sizeof key, "%.*s", PL_STR_ARG(status));
        json_key(out, key);
        json_object_begin(out);
        json_add_string(out, "description",
                        pl_str(MHD_get_reason_phrase_for((unsigned)strtoul(key, NULL, 10))));
        if (problem || (route->response_schema && strcmp(key, "204") != 0))
            write_types(out, route, problem);
        json_object_end(out);
    }
    json_object_end(out);
}

static void write_operation(struct pl_buf *out, const struct api_route *route)
{
    char method[16];
    size_t n = 0;

    for (; route->method[n] && n + 1 < sizeof method; n++)
        method[n] = (char)(route->method[n] | 0x20);
    method[n] = '\0';
    json_key(out, method);
    json_object_begin(out);
    json_add_string(out, "summary", pl_str(route->summary));
    write_parameters(out, route);
    write_request(out, route);
    write_responses(out, route);
    json_object_end(out);
}

/* The rows of one pattern make one path item, where its first row stands. */
static bool is_first_of_pattern(size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (strcmp(api_routes[i].pattern, api_routes[row].pattern) == 0)
            return false;
    return true;
}

static void write_paths(struct pl_buf *out)
{
    json_key(out, "paths");
    json_object_begin(out);
    for (size_t i = 0; i < api_routes_count; i++) {
        if (!is_first_of_pattern(i))
            continue;
        json_key(out, api_routes[i].pattern);
        json_object_begin(out);
        for (size_t k = i; k < api_routes_count; k++)
            if (strcmp(api_routes[k].pattern, api_routes[i].pattern) == 0)
                write_operation(out, &api_routes[k]);
        json_object_end(out);
    }
    json_object_end(out);
}

void openapi_write(struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "openapi", PL_STR("3.1.0"));
    json_key(out, "info");
    json_object_begin(out);
    json_add_string(out, "title", PL_STR("Plait"));
    json_add_string(out, "version", PL_STR(PLAIT_VERSION));
    json_add_string(out, "summary",
                    PL_STR("Weaves parallel calls to models and tools into one durable answer."));
    json_object_end(out);
    write_paths(out);
    json_key(out, "components");
    json_object_begin(out);
    json_key(out, "schemas");
    json_write_compact(out, pl_str(openapi_schemas));
    json_object_end(out);
    json_object_end(out);
}
