/* llm_errors.c - the tables of statuses, error words and phrases. Not the reading of error bodies.
 * Called by providers. */
#include "service/llm/llm_errors.h"

#include "base/utf8.h"

#include <strings.h>

enum { UPSTREAM_MAX = 2048, MESSAGE_SHOWN = 300 };

/* Words win over statuses: they are the finer statement. */
static const struct {
    const char *word;
    enum pl_code code;
} words[] = {
    {"insufficient_quota", PL_ERR_QUOTA_EXCEEDED},
    {"billing_hard_limit_reached", PL_ERR_QUOTA_EXCEEDED},
    {"billing_not_active", PL_ERR_QUOTA_EXCEEDED},
    {"billing_error", PL_ERR_QUOTA_EXCEEDED},
    {"context_length_exceeded", PL_ERR_CONTEXT_TOO_LONG},
    {"string_above_max_length", PL_ERR_CONTEXT_TOO_LONG},
    {"exceed_context_size_error", PL_ERR_CONTEXT_TOO_LONG}, /* llama.cpp */
    {"content_filter", PL_ERR_CONTENT_FILTERED},
    {"content_policy_violation", PL_ERR_CONTENT_FILTERED},
    {"model_not_found", PL_ERR_MODEL_NOT_FOUND},
    {"invalid_api_key", PL_ERR_AUTH_FAILED},
    {"authentication_error", PL_ERR_AUTH_FAILED},
    {"permission_error", PL_ERR_AUTH_FAILED},
    {"rate_limit_exceeded", PL_ERR_RATE_LIMITED},
    {"rate_limit_error", PL_ERR_RATE_LIMITED},
    {"overloaded_error", PL_ERR_OVERLOADED},
    {"engine_overloaded", PL_ERR_OVERLOADED},
    {"request_too_large", PL_ERR_CONTEXT_TOO_LONG},
    {"timeout_error", PL_ERR_TIMEOUT},
};

/* Where a 400 has no word of its own for it. In lower case. */
static const struct {
    const char *phrase;
    enum pl_code code;
} phrases[] = {
    {"maximum context length", PL_ERR_CONTEXT_TOO_LONG},        /* vLLM and others */
    {"prompt is too long", PL_ERR_CONTEXT_TOO_LONG},            /* Anthropic */
    {"input token count", PL_ERR_CONTEXT_TOO_LONG},             /* Gemini */
    {"exceeds the available context", PL_ERR_CONTEXT_TOO_LONG}, /* llama.cpp */
    {"exceed context limit", PL_ERR_CONTEXT_TOO_LONG},          /* Anthropic, max_tokens included */
    {"credit balance is too low", PL_ERR_QUOTA_EXCEEDED},       /* Anthropic */
    {"content filtering policy", PL_ERR_CONTENT_FILTERED},      /* Anthropic */
    {"api key not valid", PL_ERR_AUTH_FAILED},                  /* Gemini */
};

static bool has_phrase(struct pl_str text, const char *phrase)
{
    const size_t len = strlen(phrase);

    for (size_t i = 0; i + len <= text.len; i++)
        if (strncasecmp(text.ptr + i, phrase, len) == 0)
            return true;
    return false;
}

static enum pl_code of_phrase(struct pl_str message, enum pl_code fallback)
{
    for (size_t i = 0; i < PL_ARRAY_LEN(phrases); i++)
        if (has_phrase(message, phrases[i].phrase))
            return phrases[i].code;
    return fallback;
}

static bool find_word(struct pl_str word, enum pl_code *ret_code)
{
    for (size_t i = 0; word.len && i < PL_ARRAY_LEN(words); i++) {
        if (pl_str_is(word, words[i].word)) {
            *ret_code = words[i].code;
            return true;
        }
    }
    return false;
}

static enum pl_code of_status(int status, enum pl_code fallback)
{
    switch (status) {
    case 401:
    case 403:
        return PL_ERR_AUTH_FAILED;
    case 402:
        return PL_ERR_QUOTA_EXCEEDED;
    case 404:
        return PL_ERR_MODEL_NOT_FOUND;
    case 408:
        return PL_ERR_TIMEOUT;
    case 409:
        return PL_ERR_PROVIDER_ERROR;
    case 429:
        return PL_ERR_RATE_LIMITED;
    case 498: /* Groq: no capacity left for flex calls */
    case 503:
    case 529:
        return PL_ERR_OVERLOADED;
    default:
        break;
    }
    if (status >= 500)
        return PL_ERR_PROVIDER_ERROR;
    if (status >= 400)
        return PL_ERR_BAD_REQUEST;
    return status >= 300 ? PL_ERR_BAD_RESPONSE : fallback;
}

/* What the person who reads it can do; empty when there is nothing but waiting. */
static const char *advice(enum pl_code code, int status)
{
    switch ((int)code) {
    case PL_ERR_AUTH_FAILED:
        return "; check the API key";
    case PL_ERR_QUOTA_EXCEEDED:
        return "; check the plan and billing of the account";
    case PL_ERR_MODEL_NOT_FOUND:
        return "; check the model's name and the base URL";
    case PL_ERR_CONTEXT_TOO_LONG:
        return "; shorten the prompt or choose a model with a longer context";
    case PL_ERR_BAD_RESPONSE:
        return status >= 300 ? "; redirects are not followed, set the base URL it points to" : "";
    default:
        return "";
    }
}

static struct pl_str cut(struct pl_str text, size_t max)
{
    if (text.len > max)
        text.len = pl_utf8_cut(text.ptr, max);
    return text;
}

static void write_message(const struct llm_fault *fault, enum pl_code code, struct pl_err *err)
{
    const struct pl_str said = cut(fault->message, MESSAGE_SHOWN);
    const char *more = advice(code, fault->status);

    if (fault->status && said.len)
        pl_err_set(err, code, "answered %d: %.*s%s", fault->status, PL_STR_ARG(said), more);
    else if (fault->status)
        pl_err_set(err, code, "answered %d%s", fault->status, more);
    else if (said.len)
        pl_err_set(err, code, "reported an error: %.*s%s", PL_STR_ARG(said), more);
    else
        pl_err_set(err, code, "reported an error without saying which%s", more);
}

void llm_fault_result(const struct llm_fault *fault, enum pl_code fallback,
                      struct step_result *result)
{
    enum pl_code code;

    if (!find_word(fault->code, &code) && !find_word(fault->type, &code))
        code = of_status(fault->status, fallback);
    if (code == PL_ERR_BAD_REQUEST)
        code = of_phrase(cut(fault->message, UPSTREAM_MAX), code);
    write_message(fault, code, &result->err);
    if (fault->status)
        result->upstream_status = fault->status;
    result->no_retry = code == PL_ERR_QUOTA_EXCEEDED ||
                       (code == PL_ERR_BAD_RESPONSE && fault->status >= 300 && fault->status < 400);
    pl_value_unref(&result->upstream);
    if (fault->message.len)
        result->upstream = pl_value_string(cut(fault->message, UPSTREAM_MAX));
}
