/* http_describe.c - an http request as JSON, for recordings. Not what is sent (http_render.c).
 * Called by run_tape.c through the table of kinds. */
#include "base/json.h"
#include "base/limits.h"
#include "service/steps/http_step.h"

#include <strings.h>

/* Keys are often written into headers by hand: none of them has to be in a file that is shared. */
static bool may_be_secret(struct pl_str name)
{
    static const char *const words[] = {"auth", "cookie", "key", "token", "secret", "password"};
    char text[64];

    if (name.len >= sizeof text)
        return true;
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
        if (strcasestr(text, words[i]))
            return true;
    return false;
}

static bool is(struct pl_str name, const char *other)
{
    return name.len == strlen(other) && strncasecmp(name.ptr, other, name.len) == 0;
}

static void write_headers(const struct http_step *step, struct pl_buf *out)
{
    const size_t n = step->http.n_headers - step->secret;

    json_key(out, "headers");
    json_object_begin(out);
    for (size_t i = 0; i < n; i++) {
        const struct http_header *header = &step->headers[i];

        if (is(header->name, "idempotency-key")) /* it has the run's id in it */
            continue;
        json_comma(out);
        json_write_string(out, header->name);
        pl_buf_char(out, ':');
        json_write_string(out, may_be_secret(header->name) ? PL_STR("***") : header->value);
    }
    json_object_end(out);
}

static void write_body(const struct http_step *step, struct pl_buf *out)
{
    const struct pl_str body = step->http.body;

    if (!step->http.has_body)
        return;
    if (step->call->def->config.http->json &&
        json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK) {
        json_key(out, "json");
        json_write_compact(out, body);
    } else {
        json_add_string(out, "body", body);
    }
}

void http_step_describe(const struct step_call *call, struct pl_buf *out)
{
    const struct http_step *step = call->request;
    const struct http_config *config = call->def->config.http;

    json_object_begin(out);
    json_add_string(out, "method", step->http.method);
    json_add_string(out, "url", step->http.url);
    write_headers(step, out);
    if (config->auth_secret.len)
        json_add_string(out, "auth", config->auth_secret);
    if (config->auth_header.len)
        json_add_string(out, "auth_header", config->auth_header);
    write_body(step, out);
    json_object_end(out);
}
