/* openai_dialect.h - how servers of the OpenAI API differ before an answer is read: what they call
 * the key and the limit of tokens, and where a call goes. Not how their answers differ: the readers
 * understand them all. Called by openai.c and providers.c. */
#ifndef PLAIT_SERVICE_LLM_OPENAI_DIALECT_H
#define PLAIT_SERVICE_LLM_OPENAI_DIALECT_H

#include "service/llm/provider.h"

enum openai_limit {
    OPENAI_LIMIT_NEW,      /* max_completion_tokens */
    OPENAI_LIMIT_BY_MODEL, /* that for OpenAI's reasoning models, which refuse the other; else
                              max_tokens, which all servers know */
};

enum { OPENAI_DIALECT_HOSTS = 3 };

struct openai_dialect {
    const char *name;                        /* as the configuration's `dialect` says it */
    const char *hosts[OPENAI_DIALECT_HOSTS]; /* whose dialect it is unless something else is said;
                                                ".x.com": every host below x.com */
    const char *key_header;                  /* that holds the key; NULL: Authorization: Bearer */
    enum openai_limit limit;
    bool deployments; /* has URLs with the model and the version of the API in them */
};

/* Fills the provider's dialect, url, url_tail and headers from base_url, api_key, dialect_name and
 * api_version. Errors: INVALID_CONFIG, NO_MEMORY. */
enum pl_code openai_dialect_configure(struct provider *provider, struct pl_arena *arena,
                                      struct pl_err *err) PL_MUST_CHECK;
/* Can this model be named in the URL, if it has to be? Errors: INVALID_ARGUMENT. */
bool openai_dialect_model_ok(const struct provider *provider, struct pl_str model,
                             struct pl_err *err);
/* Where a call of the model goes; empty when out of memory. */
struct pl_str openai_dialect_url(const struct provider *provider, struct pl_str model,
                                 struct pl_arena *arena);
/* The name of the parameter that limits the tokens of the answer. */
const char *openai_dialect_limit(const struct provider *provider, struct pl_str model);

#endif
