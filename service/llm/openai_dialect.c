/* openai_dialect.c - the table of dialects; see openai_dialect.h. A server that differs is a row
 * here, not a branch elsewhere. Called by openai.c. */
#include "service/llm/openai_dialect.h"

#include <strings.h>

static const struct openai_dialect dialects[] = {
    /* the first is that of hosts nobody names: vLLM, Ollama, llama.cpp, OpenRouter, Groq, ... */
    {.name = "compatible", .limit = OPENAI_LIMIT_BY_MODEL},
    {.name = "openai", .hosts = {"api.openai.com"}, .limit = OPENAI_LIMIT_NEW},
    {.name = "azure",
     .hosts = {".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"},
     .key_header = "api-key",
     .limit = OPENAI_LIMIT_NEW,
     .deployments = true},
};

/* ---- which ---- */

static struct pl_str host_of(struct pl_str url)
{
    const char *begin = url.len ? memmem(url.ptr, url.len, "://", 3) : NULL;
    size_t len = 0;

    if (!begin)
        return (struct pl_str){0};
    begin += 3;
    while (begin + len < url.ptr + url.len && begin[len] != '/' && begin[len] != ':')
        len++;
    return pl_str_n(begin, len);
}

static bool is_host(struct pl_str host, const char *name)
{
    const size_t len = strlen(name);

    if (*name == '.')
        return host.len > len && strncasecmp(host.ptr + host.len - len, name, len) == 0;
    return host.len == len && strncasecmp(host.ptr, name, len) == 0;
}

static bool speaks_at(const struct openai_dialect *dialect, struct pl_str host)
{
    for (size_t i = 0; i < OPENAI_DIALECT_HOSTS && dialect->hosts[i]; i++) {
        if (is_host(host, dialect->hosts[i]))
            return true;
    }
    return false;
}

static const struct openai_dialect *find(const struct provider *provider)
{
    const struct pl_str host = host_of(provider->base_url), name = provider->dialect_name;

    for (size_t i = 0; i < PL_ARRAY_LEN(dialects); i++) {
        if (name.len ? pl_str_is(name, dialects[i].name) : speaks_at(&dialects[i], host))
            return &dialects[i];
    }
    return name.len ? NULL : &dialects[0];
}

/* ---- the URL ---- */

static bool ends_in(struct pl_str text, const char *end)
{
    const size_t len = strlen(end);

    return text.len >= len && memcmp(text.ptr + text.len - len, end, len) == 0;
}

/* Of a deployment, or a version of the API: it needs no escapes in a URL. */
static bool is_plain(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              memchr("-._", c, 3)))
            return false;
    }
    return text.len > 0 && !pl_str_is(text, ".") && !pl_str_is(text, "..");
}

static enum pl_code set_url(struct provider *provider, struct pl_arena *arena, struct pl_err *err)
{
    const struct pl_str base = provider->base_url, version = provider->api_version;
    const bool plain = !provider->dialect->deployments || ends_in(base, "/v1");

    if (version.len && (plain || !is_plain(version)))
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          plain ? "the URL of '%.*s' has no place for an api_version; it is for "
                                  "azure, with a base_url that does not end in /openai/v1"
                                : "the api_version of '%.*s' is no version such as 2024-10-21",
                          PL_STR_ARG(provider->name));
    if (!plain && !version.len)
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "'%.*s' is at Azure: its base URL must end in /openai/v1, or it needs an "
                          "api_version in the configuration",
                          PL_STR_ARG(provider->name));
    if (plain) {
        provider->url = pl_str(pl_arena_printf(arena, "%.*s/chat/completions", PL_STR_ARG(base)));
        return PL_OK;
    }
    provider->url = pl_str(pl_arena_printf(arena, "%.*s%s/deployments/", PL_STR_ARG(base),
                                           ends_in(base, "/openai") ? "" : "/openai"));
    provider->url_tail =
        pl_str(pl_arena_printf(arena, "/chat/completions?api-version=%.*s", PL_STR_ARG(version)));
    return PL_OK;
}

struct pl_str openai_dialect_url(const struct provider *provider, struct pl_str model,
                                 struct pl_arena *arena)
{
    if (!provider->url_tail.len)
        return provider->url;
    return pl_str(pl_arena_printf(arena, "%.*s%.*s%.*s", PL_STR_ARG(provider->url),
                                  PL_STR_ARG(model), PL_STR_ARG(provider->url_tail)));
}

bool openai_dialect_model_ok(const struct provider *provider, struct pl_str model,
                             struct pl_err *err)
{
    if (!provider->url_tail.len || is_plain(model))
        return true;
    pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
               "'%.*s' can be no deployment of %.*s: a name has letters, digits and - . _",
               PL_STR_ARG(model), PL_STR_ARG(provider->name));
    return false;
}

/* ---- headers ---- */

static enum pl_code set_headers(struct provider *provider, struct pl_arena *arena,
                                struct pl_err *err)
{
    const char *name = provider->dialect->key_header;
    struct http_header *headers = provider->headers;

    headers[0] = (struct http_header){PL_STR("content-type"), PL_STR("application/json")};
    headers[1] =
        (struct http_header){PL_STR("accept"), PL_STR("application/json, text/event-stream")};
    provider->n_headers = 2;
    if (!provider->api_key.len)
        return PL_OK;
    headers[2].name = pl_str(name ? name : "authorization");
    headers[2].value =
        name ? provider->api_key
             : pl_str(pl_arena_printf(arena, "Bearer %.*s", PL_STR_ARG(provider->api_key)));
    provider->n_headers = 3;
    if (headers[2].value.len && !http_header_ok(headers[2].name, headers[2].value))
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "the API key of '%.*s' has characters no header can hold; is there a "
                          "line break in it?",
                          PL_STR_ARG(provider->name));
    return PL_OK;
}

enum pl_code openai_dialect_configure(struct provider *provider, struct pl_arena *arena,
                                      struct pl_err *err)
{
    enum pl_code code;

    provider->dialect = find(provider);
    if (!provider->dialect)
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "'%.*s' is no dialect of the OpenAI API that is known here; openai, "
                          "azure and compatible are",
                          PL_STR_ARG(provider->dialect_name));
    code = set_url(provider, arena, err);
    if (code == PL_OK)
        code = set_headers(provider, arena, err);
    if (code == PL_OK && pl_arena_failed(arena))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}

/* ---- parameters ---- */

/* o1, o3-mini, gpt-5.1, openai/o4-mini: behind the last slash, as routers write it. */
static bool is_reasoning_model(struct pl_str model)
{
    const char *slash = model.len ? memrchr(model.ptr, '/', model.len) : NULL;

    if (slash)
        model = pl_str_n(slash + 1, model.len - (size_t)(slash + 1 - model.ptr));
    if (pl_str_starts(model, PL_STR("gpt-5")))
        return true;
    return model.len >= 2 && model.ptr[0] == 'o' && model.ptr[1] >= '1' && model.ptr[1] <= '9' &&
           (model.len == 2 || model.ptr[2] == '-');
}

const char *openai_dialect_limit(const struct provider *provider, struct pl_str model)
{
    const bool is_new = provider->dialect->limit == OPENAI_LIMIT_NEW || is_reasoning_model(model);

    return is_new ? "max_completion_tokens" : "max_tokens";
}
