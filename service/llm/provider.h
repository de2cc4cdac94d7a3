/* provider.h - model providers: what one is, the table of kinds, and the configured set. Not the
 * llm step (steps/llm.c renders the request) and not retries (run_core). A new provider is one row
 * in providers.c and one file.
 *
 * Most providers speak HTTP: they fill the codec slots and llm_http.c carries the request. `sim`
 * answers from the loop's timers and fills start and abort instead. */
#ifndef PLAIT_SERVICE_LLM_PROVIDER_H
#define PLAIT_SERVICE_LLM_PROVIDER_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "service/limits/limits.h"
#include "service/llm/prices.h"
#include "service/net/http_call.h"
#include "service/steps/step_result.h"

struct llm_call;
struct provider;
struct schema_use;
struct agent_config;
struct openai_dialect;
struct llm_totals;

/* One model call, rendered. Lives in the step call's arena. */
struct llm_request {
    struct pl_str model;  /* without "provider/", options of sim included */
    struct pl_str system; /* text; empty ptr: none */
    struct pl_str
        messages; /* JSON list in the OpenAI shape, the prompt as last user turn included */
    struct pl_str temperature; /* JSON number or empty */
    int64_t max_tokens;        /* 0: not given */
    struct pl_str seed, stop;  /* JSON or empty; a sample's index is in the seed already */
    struct pl_str extra;       /* JSON object whose members go into the request body, or empty */
    const struct schema_use *schema; /* the answer is to be JSON that fits it; NULL: any text. The
                                        step judges the answer, the provider only asks for it */
    /* JSON list of the tools the model may call, in the OpenAI shape; empty: none. With tools the
     * output is an object as tool_calls_write makes it, not the text. */
    struct pl_str tools;
    struct pl_str tool_choice;        /* JSON or empty: the model's choice */
    const struct agent_config *agent; /* whose tools they are, for sim; NULL: none */
    bool stream;
    unsigned attempt; /* from 1, for sim's fail=...&times=n */
    unsigned answer;  /* how many answers of this step were bad before; for sim's bad_json */
    unsigned hedge;   /* which of several equal calls at once it is, from 0; for sim's draws */
    int sample;       /* of a vote, from 0; -1: none */
    struct pl_str identity; /* the step's path: what makes two equal calls of one run differ, and
                               the same from run to run (not used for the answer's text) */
    pl_ms timeout;          /* of the attempt, 0: PL_LIMIT_ATTEMPT_MS */
    size_t max_output;      /* bytes of text the answer may have, 0: PL_LIMIT_STEP_OUTPUT_BYTES */
};

/* Where a provider's parser reports. */
struct llm_sink {
    void *arg;
    void (*delta)(void *arg, struct pl_str text);
};

/* The vtable, one row a kind in providers.c. */
struct provider_ops {
    const char *kind;   /* "openai" */
    size_t parser_size; /* bytes of parser state, zeroed before use; 0 with start */

    /* Optional. Before threads. Makes what is the same for every request (url, headers) from
     * base_url and api_key; memory from `arena`. Errors: INVALID_CONFIG. */
    enum pl_code (*configure)(struct provider *provider, struct pl_arena *arena,
                              struct pl_err *err);
    /* HTTP providers: mandatory. Loop thread. Fills method, url, headers, body from the request;
     * memory from `arena`. */
    enum pl_code (*build)(const struct provider *provider, const struct llm_request *request,
                          struct pl_arena *arena, struct http_request *ret_http,
                          struct pl_err *err);
    /* HTTP providers: mandatory. The head of a 2xx answer is there: is it a stream? Pieces follow.
     */
    void (*begin)(void *parser, const struct llm_request *request, struct pl_str content_type);
    enum pl_code (*feed)(void *parser, struct pl_str piece, const struct llm_sink *sink,
                         struct pl_err *err);
    /* The end marker, or an error in the answer itself, was seen: nothing that may follow counts,
     * finish can be called. */
    bool (*ended)(const void *parser);
    /* The whole 2xx answer arrived: fills output, usage, or the error (TRUNCATED when the end
     * marker is missing, ...). */
    void (*finish)(void *parser, const struct llm_sink *sink, struct step_result *result);
    /* Usage seen so far by an answer that did not end. */
    void (*usage)(const void *parser, struct store_usage *usage);
    void (*cleanup)(void *parser);
    /* Classifies an answer that is not 2xx: code, upstream message, no_retry. retry_after is filled
     * already. */
    void (*error)(int status, struct pl_str body, struct step_result *result);

    /* Providers without HTTP: both mandatory. As step_kind_ops start and abort. */
    void (*start)(struct llm_call *call);
    void (*abort)(struct llm_call *call);
    /* Optional: is this model name one the provider can understand? Used by check. */
    bool (*model_ok)(const struct provider *provider, struct pl_str model, struct pl_err *err);
    /* Optional. Parameters of an llm step that the API has no place for ("seed"), NULL behind. Used
     * by check; build refuses them too. */
    const char *const *refuses;
};

enum { PROVIDER_HEADERS = 4 };

/* One configured provider. Set once, read by all threads. */
struct provider {
    const struct provider_ops *ops;
    struct pl_str name;     /* "openai": what stands before the slash */
    struct pl_str base_url; /* no slash at the end */
    const char *ca_file;    /* NULL: the system's */
    struct pl_str api_key;  /* a secret: only configure may read it (and llm_http, to keep it out of
                               errors); may be empty */
    struct pl_str dialect_name, api_version; /* of the kind openai; may be empty */
    const struct openai_dialect *dialect;    /* made by configure, of the kind openai */
    struct pl_str url;                       /* made by configure: where calls go, NUL behind */
    struct pl_str url_tail; /* made by configure: what follows the model, if that is in the URL */
    struct http_header headers[PROVIDER_HEADERS]; /* made by configure: sent with every call */
    size_t n_headers;
    struct lane *lane;                      /* its admission; see limits.h */
    struct llm_latency *latency;            /* what its calls took; see llm_latency.h */
    struct llm_totals *totals;              /* what its calls came to; see llm_totals.h */
    pl_ms first_byte_timeout, idle_timeout; /* 0: defaults */
};

struct providers;

/* What configuration says of one provider. */
struct provider_options {
    const char *name, *kind, *base_url, *api_key; /* copied; base_url NULL: the kind's own */
    const char *ca_file;               /* copied: PEM of whom to trust; NULL: the system's */
    const char *dialect, *api_version; /* of the kind openai; NULL: by the host; none */
    pl_ms first_byte_timeout, idle_timeout;
};

/* The set with `sim` alone. NULL when out of memory. */
struct providers *providers_create(void);
void providers_destroy(struct providers **providers);
/* Adds one, replacing one of the same name. Errors: INVALID_CONFIG (kind, URL), NO_MEMORY. Before
 * threads. */
enum pl_code providers_add(struct providers *providers, const struct provider_options *options,
                           struct pl_err *err) PL_MUST_CHECK;
/* Adds what the environment names: OPENAI_API_KEY (+ OPENAI_BASE_URL; a base URL alone suffices),
 * ANTHROPIC_API_KEY and so on. Errors: as providers_add. */
enum pl_code providers_add_environment(struct providers *providers,
                                       struct pl_err *err) PL_MUST_CHECK;

/* Splits "provider/model" and finds the provider; *ret_model is the rest. Errors: PROVIDER_UNKNOWN
 * with what to set
 * ("set OPENAI_API_KEY ..., or try sim/echo"), INVALID_ARGUMENT. */
enum pl_code providers_find(const struct providers *providers, struct pl_str name,
                            const struct provider **ret_provider, struct pl_str *ret_model,
                            struct pl_err *err) PL_MUST_CHECK;
/* The index-th of the set, NULL: there are no more. */
const struct provider *providers_at(const struct providers *providers, size_t index);
/* Puts asterisks in the place of every key of theirs in a text. */
void providers_hide_keys(const struct providers *providers, char *text, size_t len);
/* For workflow_env: can this model be called? Never touches the network. */
bool providers_model_ok(void *providers, struct pl_str model, struct pl_err *err);
/* For workflow_env: does this model take the parameter of an llm step ("seed")? A model that is not
 * there takes it: that is said elsewhere. */
bool providers_takes(void *providers, struct pl_str model, const char *parameter,
                     struct pl_err *err);

/* Says what "provider/model" costs; the name must outlive the set. Before threads. Errors:
 * NO_MEMORY.
 */
enum pl_code providers_set_price(struct providers *providers, struct pl_str model,
                                 const struct price *price, struct pl_err *err) PL_MUST_CHECK;
/* NULL: nobody said what it costs. `providers` may be NULL. */
const struct price *providers_price(const struct providers *providers, struct pl_str model);
/* For workflow_env. */
bool providers_priced(void *providers, struct pl_str model);

#endif
