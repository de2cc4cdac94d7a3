/* providers.c - the table of provider kinds, and the set this process is configured with. Not the
 * kinds themselves (openai.c, sim.c). Built once at start; afterwards any thread reads it. */
#include "service/llm/provider.h"

#include "service/llm/anthropic.h"
#include "service/llm/gemini.h"
#include "service/llm/key_mask.h"
#include "service/llm/llm_latency.h"
#include "service/llm/llm_totals.h"
#include "service/llm/openai.h"
#include "service/llm/sim.h"
#include "service/net/http_url.h"
#include "service/workflow/doc.h"

#include <stdlib.h>

/* A new kind is one row here, its file, and its line in the configuration's reference. */
static const struct {
    const struct provider_ops *ops;
    const char *base_url;           /* NULL: none */
    const char *key_env, *base_env; /* NULL: does not appear by itself */
} kinds[] = {
    {&openai_ops, "https://api.openai.com/v1", "OPENAI_API_KEY", "OPENAI_BASE_URL"},
    {&anthropic_ops, "https://api.anthropic.com", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"},
    {&gemini_ops, "https://generativelanguage.googleapis.com", "GEMINI_API_KEY", "GEMINI_BASE_URL"},
    {&sim_ops, NULL, NULL, NULL},
};

struct providers {
    struct pl_arena *arena;
    struct provider **items;
    size_t count, capacity;
    struct price_list prices;
};

/* ---- the set ---- */

static struct provider *find_named(const struct providers *providers, struct pl_str name)
{
    for (size_t i = 0; i < providers->count; i++) {
        if (pl_str_eq(providers->items[i]->name, name))
            return providers->items[i];
    }
    return NULL;
}

static bool make_room(struct providers *providers)
{
    const size_t capacity = providers->capacity ? 2 * providers->capacity : 8;
    struct provider **items;

    if (providers->count < providers->capacity)
        return true;
    items = realloc(providers->items, capacity * sizeof(struct provider *));
    if (!items)
        return false;
    providers->items = items;
    providers->capacity = capacity;
    return true;
}

/* Puts it in, in the place of one of the same name if there is one. */
static bool put(struct providers *providers, struct provider *provider)
{
    for (size_t i = 0; i < providers->count; i++) {
        if (pl_str_eq(providers->items[i]->name, provider->name)) {
            lane_destroy(&providers->items[i]->lane);
            llm_latency_destroy(&providers->items[i]->latency);
            providers->items[i] = provider;
            return true;
        }
    }
    if (!make_room(providers))
        return false;
    providers->items[providers->count++] = provider;
    return true;
}

/* An absolute http(s) URL without credentials, query or fragment; *ret is it without slashes at the
 * end. */
static enum pl_code check_base_url(struct pl_arena *arena, const char *name, const char *url,
                                   struct pl_str *ret, struct pl_err *err)
{
    struct pl_str text = pl_str(url);
    const char *host, *slash;
    struct http_origin origin;
    struct pl_err why;
    enum pl_code code;

    if (pl_str_starts(text, PL_STR("https://")))
        host = url + 8;
    else if (pl_str_starts(text, PL_STR("http://")))
        host = url + 7;
    else
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "the base URL of '%s' must begin with http:// or https://, not '%s'",
                          name, url);
    slash = strchr(host, '/');
    if (*host == '\0' || *host == '/' || *host == ':')
        return pl_err_set(err, PL_ERR_INVALID_CONFIG, "the base URL of '%s' has no host: '%s'",
                          name, url);
    if (memchr(host, '@', slash ? (size_t)(slash - host) : strlen(host)))
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "the base URL of '%s' has credentials in it; set its api_key instead",
                          name);
    for (const char *p = url; *p; p++) {
        if (*p <= ' ' || *p == 0x7F || *p == '?' || *p == '#')
            return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                              "the base URL of '%s' may not have spaces, '?' or '#' in it", name);
    }
    while (text.len && text.ptr[text.len - 1] == '/')
        text.len--;
    code = http_url_origin(arena, text, &origin, &why);
    if (code != PL_OK)
        return pl_err_set(err, code == PL_ERR_NO_MEMORY ? code : PL_ERR_INVALID_CONFIG,
                          "the base URL of '%s': %s", name, why.message);
    *ret = text;
    return PL_OK;
}

static enum pl_code check_name(const char *name, struct pl_err *err)
{
    const size_t len = name ? strlen(name) : 0;

    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] == '/' || name[i] == 0x7F)
            return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                              "a provider's name has no spaces and no slash, unlike '%s'", name);
    }
    if (!len)
        return pl_err_set(err, PL_ERR_INVALID_CONFIG, "a provider needs a name");
    return PL_OK;
}

static enum pl_code find_kind(const struct provider_options *options, size_t *ret_kind,
                              struct pl_err *err)
{
    const char *kind = options->kind ? options->kind : options->name;
    const char *names[PL_ARRAY_LEN(kinds) + 1] = {NULL};
    const char *near;

    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++) {
        names[i] = kinds[i].ops->kind;
        if (strcmp(kind, names[i]) == 0) {
            *ret_kind = i;
            return PL_OK;
        }
    }
    near = doc_nearest(pl_str(kind), names);
    if (strcmp(kind, options->name) == 0) /* what it is when nothing is said */
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "provider '%s' needs a 'kind': openai (any compatible server), "
                          "anthropic, gemini or sim%s%s%s",
                          options->name, near ? " (or did you mean to call it '" : "",
                          near ? near : "", near ? "'?)" : "");
    return pl_err_set(
        err, PL_ERR_INVALID_CONFIG,
        "provider '%s' is of kind '%s', which this version does not have%s%s%s; it has "
        "openai (any compatible server), anthropic, gemini and sim",
        options->name, kind, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

static enum pl_code fill(struct providers *providers, const struct provider_options *options,
                         size_t kind, struct provider *provider, struct pl_err *err)
{
    const char *url =
        options->base_url && *options->base_url ? options->base_url : kinds[kind].base_url;
    struct pl_str base = {0};

    if (url) {
        enum pl_code code = check_base_url(providers->arena, options->name, url, &base, err);

        if (code != PL_OK)
            return code;
    }
    if ((options->dialect || options->api_version) && kinds[kind].ops != &openai_ops)
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "dialect and api_version are for the kind openai; '%s' is of kind %s",
                          options->name, kinds[kind].ops->kind);
    provider->ops = kinds[kind].ops;
    provider->name = pl_arena_str(providers->arena, pl_str(options->name));
    provider->base_url = pl_arena_str(providers->arena, base);
    if (options->api_key && *options->api_key)
        provider->api_key = pl_arena_str(providers->arena, pl_str(options->api_key));
    if (options->ca_file)
        provider->ca_file = pl_arena_str(providers->arena, pl_str(options->ca_file)).ptr;
    provider->dialect_name = pl_arena_str(providers->arena, pl_str(options->dialect));
    provider->api_version = pl_arena_str(providers->arena, pl_str(options->api_version));
    provider->first_byte_timeout = options->first_byte_timeout;
    provider->idle_timeout = options->idle_timeout;
    if (pl_arena_failed(providers->arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return provider->ops->configure ? provider->ops->configure(provider, providers->arena, err)
                                    : PL_OK;
}

enum pl_code providers_add(struct providers *providers, const struct provider_options *options,
                           struct pl_err *err)
{
    struct provider *provider;
    size_t kind = 0;
    enum pl_code code = check_name(options->name, err);

    if (code == PL_OK)
        code = find_kind(options, &kind, err);
    if (code != PL_OK)
        return code;
    provider = pl_arena_alloc(providers->arena, sizeof(*provider));
    if (!provider)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = fill(providers, options, kind, provider, err);
    if (code != PL_OK)
        return code;
    provider->lane = lane_create();
    provider->latency = llm_latency_create();
    provider->totals = pl_arena_alloc(providers->arena, sizeof(*provider->totals));
    if (!provider->lane || !provider->latency || !provider->totals || !put(providers, provider)) {
        lane_destroy(&provider->lane);
        llm_latency_destroy(&provider->latency);
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    return PL_OK;
}

struct providers *providers_create(void)
{
    static const struct provider_options sim = {.name = "sim", .kind = "sim"};
    struct providers *providers = calloc(1, sizeof(*providers));

    if (!providers)
        return NULL;
    providers->arena = pl_arena_create(0);
    if (!providers->arena || providers_add(providers, &sim, NULL) != PL_OK)
        providers_destroy(&providers);
    return providers;
}

void providers_destroy(struct providers **providers)
{
    struct providers *p = *providers;

    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++) {
        lane_destroy(&p->items[i]->lane);
        llm_latency_destroy(&p->items[i]->latency);
    }
    free(p->items);
    prices_finish(&p->prices);
    pl_arena_destroy(&p->arena);
    free(p);
    *providers = NULL;
}

static const char *from_env(const char *name)
{
    const char *value = name ? getenv(name) : NULL;

    return value && *value ? value : NULL;
}

enum pl_code providers_add_environment(struct providers *providers, struct pl_err *err)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++) {
        const struct provider_options options = {.name = kinds[i].ops->kind,
                                                 .kind = kinds[i].ops->kind,
                                                 .base_url = from_env(kinds[i].base_env),
                                                 .api_key = from_env(kinds[i].key_env)};
        enum pl_code code;

        if (!options.base_url && !options.api_key)
            continue;
        code = providers_add(providers, &options, err);
        if (code != PL_OK) {
            pl_err_prefix(err, "%s", options.base_url ? kinds[i].base_env : kinds[i].key_env);
            return code;
        }
    }
    return PL_OK;
}

/* ---- finding ---- */

/* What to set, so that the provider is there. */
static enum pl_code unknown(const struct providers *providers, struct pl_str name,
                            struct pl_err *err)
{
    const char *names[64] = {NULL};
    const char *near;

    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++) {
        if (pl_str_is(name, kinds[i].ops->kind) && kinds[i].key_env)
            return pl_err_set(
                err, PL_ERR_PROVIDER_UNKNOWN,
                "no provider '%s' is configured; set %s (and %s for another server), or "
                "try sim/echo",
                kinds[i].ops->kind, kinds[i].key_env, kinds[i].base_env);
    }
    for (size_t i = 0; i < providers->count && i + 1 < PL_ARRAY_LEN(names); i++)
        names[i] = providers->items[i]->name.ptr;
    near = doc_nearest(name, names);
    return pl_err_set(
        err, PL_ERR_PROVIDER_UNKNOWN,
        "no provider '%.*s' is configured%s%s%s; add it to the configuration, write the model as "
        "openai/..., anthropic/... or gemini/... and set that provider's key, or try sim/echo",
        PL_STR_ARG(name), near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

enum pl_code providers_find(const struct providers *providers, struct pl_str name,
                            const struct provider **ret_provider, struct pl_str *ret_model,
                            struct pl_err *err)
{
    const char *slash = name.len ? memchr(name.ptr, '/', name.len) : NULL;
    const struct provider *provider;
    struct pl_str first = name;

    if (!slash || slash == name.ptr || slash + 1 == name.ptr + name.len)
        return pl_err_set(
            err, PL_ERR_INVALID_ARGUMENT,
            "a model is written provider/model, such as openai/gpt-4o-mini or sim/echo, "
            "not '%.*s'",
            PL_STR_ARG(name));
    first.len = (size_t)(slash - name.ptr);
    provider = find_named(providers, first);
    if (!provider)
        return unknown(providers, first, err);
    *ret_provider = provider;
    *ret_model = pl_str_n(slash + 1, name.len - first.len - 1);
    return PL_OK;
}

const struct provider *providers_at(const struct providers *providers, size_t index)
{
    return index < providers->count ? providers->items[index] : NULL;
}

void providers_hide_keys(const struct providers *providers, char *text, size_t len)
{
    for (size_t i = 0; i < providers->count; i++)
        key_mask_text(providers->items[i]->api_key, text, len);
}

bool providers_model_ok(void *providers, struct pl_str model, struct pl_err *err)
{
    const struct provider *provider = NULL;
    struct pl_str rest;

    if (providers_find(providers, model, &provider, &rest, err) != PL_OK)
        return false;
    return !provider->ops->model_ok || provider->ops->model_ok(provider, rest, err);
}

bool providers_takes(void *providers, struct pl_str model, const char *parameter,
                     struct pl_err *err)
{
    const struct provider *provider = NULL;
    const char *const *refused;
    struct pl_str rest;

    if (providers_find(providers, model, &provider, &rest, NULL) != PL_OK)
        return true;
    for (refused = provider->ops->refuses; refused && *refused; refused++) {
        if (strcmp(*refused, parameter) != 0)
            continue;
        pl_err_set(err, PL_ERR_BAD_REQUEST,
                   "models of the kind %s, such as '%.*s', take no '%s'; take it out, or choose a "
                   "model of another kind",
                   provider->ops->kind, PL_STR_ARG(model), parameter);
        return false;
    }
    return true;
}

/* ---- prices ---- */

enum pl_code providers_set_price(struct providers *providers, struct pl_str model,
                                 const struct price *price, struct pl_err *err)
{
    return prices_add(&providers->prices, model, price, err);
}

const struct price *providers_price(const struct providers *providers, struct pl_str model)
{
    return providers ? prices_find(&providers->prices, model) : NULL;
}

bool providers_priced(void *providers, struct pl_str model)
{
    return providers_price(providers, model) != NULL;
}
