/* err.h - every error Plait knows, in one table, and the value that carries one outward. Not for
 * logging and not an exception: functions return an enum pl_code and fill a struct pl_err. Used by
 * all layers; replies, retries and step errors read the table. */
#ifndef PLAIT_BASE_ERR_H
#define PLAIT_BASE_ERR_H

#include "base/compiler.h"

/* Which `retry.on` word covers an error. PL_RETRY_NEVER: trying again cannot help. */
enum pl_retry_class {
    PL_RETRY_NEVER,
    PL_RETRY_RATE_LIMIT,
    PL_RETRY_TIMEOUT,
    PL_RETRY_SERVER,
    PL_RETRY_NETWORK,
    PL_RETRY_SCHEMA,
};

/* X(enum suffix, code text, title, HTTP status, retry class). The code text is public and never
 * changes: it is `error.code` of a step and the end of a problem's `type`. */
#define PL_ERR_TABLE(X)                                                                            \
    X(OK, "ok", "No error", 200, NEVER)                                                            \
    /* what a caller got wrong */                                                                  \
    X(INVALID_ARGUMENT, "invalid_argument", "Invalid argument", 400, NEVER)                        \
    X(INVALID_JSON, "invalid_json", "Not valid JSON", 400, NEVER)                                  \
    X(INVALID_YAML, "invalid_yaml", "Not valid YAML", 400, NEVER)                                  \
    X(INVALID_WORKFLOW, "invalid_workflow", "The workflow is not valid", 422, NEVER)               \
    X(INVALID_INPUT, "invalid_input", "The input does not fit the workflow's schema", 422, NEVER)  \
    X(INVALID_CONFIG, "invalid_config", "The configuration is not valid", 422, NEVER)              \
    X(UNSUPPORTED, "unsupported", "Not supported by this version", 422, NEVER)                     \
    X(NOT_FOUND, "not_found", "Not found", 404, NEVER)                                             \
    X(CONFLICT, "conflict", "In conflict with the present state", 409, NEVER)                      \
    X(PRECONDITION, "precondition_failed", "Not the version that was named", 412, NEVER)           \
    X(KEY_REUSED, "idempotency_key_reused", "The idempotency key belongs to another request", 422, \
      NEVER)                                                                                       \
    X(NOT_ALLOWED, "method_not_allowed", "The resource does not know this method", 405, NEVER)     \
    X(NOT_ACCEPTABLE, "not_acceptable", "None of the accepted types can be made", 406, NEVER)      \
    X(UNSUPPORTED_TYPE, "unsupported_media_type", "The body's type is not taken here", 415, NEVER) \
    X(FORBIDDEN, "forbidden", "Not allowed", 403, NEVER)                                           \
    X(TOO_LARGE, "too_large", "Larger than the limit", 413, NEVER)                                 \
    X(TARGET_TOO_LONG, "target_too_long", "The request target is too long", 414, NEVER)            \
    X(HEADERS_TOO_LARGE, "headers_too_large", "The request headers are too large", 431, NEVER)     \
    X(LIMIT_EXCEEDED, "limit_exceeded", "A limit was reached", 429, NEVER)                         \
    /* this process and its store */                                                               \
    X(NO_MEMORY, "no_memory", "Out of memory", 503, NEVER)                                         \
    X(INTERNAL, "internal", "Internal error", 500, NEVER)                                          \
    X(IO, "io_error", "Input or output failed", 500, NEVER)                                        \
    X(NO_SPACE, "no_space", "The disk is full", 507, NEVER)                                        \
    X(STORE_BUSY, "store_busy", "The store is busy", 503, NEVER)                                   \
    X(STORE_LOCKED, "store_locked", "Another engine holds this store", 503, NEVER)                 \
    X(STORE_FOREIGN, "store_foreign", "Not a database of Plait", 500, NEVER)                       \
    X(STORE_NEWER, "store_newer", "The database is of a newer version", 500, NEVER)                \
    X(STORE_CORRUPT, "store_corrupt", "The database is damaged", 500, NEVER)                       \
    X(OVER_CAPACITY, "over_capacity", "The server is at its limit", 503, NEVER)                    \
    X(SHUTTING_DOWN, "shutting_down", "Shutting down", 503, NEVER)                                 \
    /* expressions */                                                                              \
    X(EXPRESSION_ERROR, "expression_error", "An expression failed", 422, NEVER)                    \
    X(EXPRESSION_LIMIT, "expression_limit", "An expression ran over its limits", 422, NEVER)       \
    /* calls to models and tools */                                                                \
    X(UNREACHABLE, "unreachable", "The server could not be reached", 502, NETWORK)                 \
    X(CONNECTION_LOST, "connection_lost", "The connection broke", 502, NETWORK)                    \
    X(TLS, "tls_error", "The TLS connection failed", 502, NEVER)                                   \
    X(TIMEOUT, "timeout", "Timed out", 504, TIMEOUT)                                               \
    X(RATE_LIMITED, "rate_limited", "Rate limited by the provider", 429, RATE_LIMIT)               \
    X(QUOTA_EXCEEDED, "quota_exceeded", "The provider's quota is used up", 402, NEVER)             \
    X(PROVIDER_ERROR, "provider_error", "The provider failed", 502, SERVER)                        \
    X(OVERLOADED, "overloaded", "The provider is overloaded", 503, SERVER)                         \
    X(STREAM_ERROR, "stream_error", "The provider reported an error in its stream", 502, SERVER)   \
    X(TRUNCATED, "truncated_response", "The answer was cut off", 502, NETWORK)                     \
    X(BAD_RESPONSE, "bad_response", "The answer could not be understood", 502, SERVER)             \
    X(EMPTY_RESPONSE, "empty_response", "The answer was empty", 502, SERVER)                       \
    X(RESPONSE_TOO_LARGE, "response_too_large", "The answer is larger than the limit", 502, NEVER) \
    X(AUTH_FAILED, "auth_failed", "The provider refused the key", 502, NEVER)                      \
    X(MODEL_NOT_FOUND, "model_not_found", "The provider does not know the model", 502, NEVER)      \
    X(CONTEXT_TOO_LONG, "context_too_long", "The prompt is too long for the model", 502, NEVER)    \
    X(BAD_REQUEST, "bad_request", "The server refused the request", 502, NEVER)                    \
    X(CONTENT_FILTERED, "content_filtered", "The provider filtered the content", 502, NEVER)       \
    X(REFUSED, "refused", "The model refused to answer", 502, NEVER)                               \
    X(OUTPUT_TRUNCATED, "output_truncated", "The model stopped at its length limit", 502, NEVER)   \
    X(UNEXPECTED_STATUS, "unexpected_status", "The server answered another status", 502, NEVER)    \
    X(ADDRESS_DENIED, "address_denied", "The address is not allowed", 502, NEVER)                  \
    X(PROVIDER_UNKNOWN, "provider_unknown", "No such provider is configured", 422, NEVER)          \
    X(SECRET_UNKNOWN, "secret_unknown", "No such secret is configured", 422, NEVER)                \
    X(SECRET_DENIED, "secret_denied", "The secret may not be sent there", 502, NEVER)              \
    X(NOT_RECORDED, "not_recorded", "The call is not in the recording", 500, NEVER)                \
    X(AMBIGUOUS, "ambiguous_attempt", "In flight when the process died", 500, NEVER)               \
    /* joins, time and people */                                                                   \
    X(BRANCH_FAILED, "branch_failed", "A branch failed", 500, NEVER)                               \
    X(NOT_ACCEPTED, "not_accepted", "The result was not accepted", 500, NEVER)                     \
    X(QUORUM_UNREACHABLE, "quorum_unreachable", "The join can no longer be met", 500, NEVER)       \
    X(NO_MAJORITY, "no_majority", "No answer has the majority", 500, NEVER)                        \
    X(NO_DECISION, "no_decision", "The vote has no winner", 500, NEVER)                            \
    X(MAX_TURNS, "max_turns", "All turns were used up", 500, NEVER)                                \
    X(REJECTED, "rejected", "A person said no", 500, NEVER)                                        \
    X(JOIN_DEADLINE, "join_deadline", "The join was not met in time", 504, NEVER)                  \
    X(DEADLINE, "deadline_exceeded", "The step's deadline passed", 504, NEVER)                     \
    X(BUDGET_EXCEEDED, "budget_exceeded", "A call could pass the budget", 402, NEVER)              \
    X(RUN_TIMEOUT, "run_timeout", "The run's timeout passed", 504, NEVER)                          \
    X(CANCELLED, "cancelled", "Cancelled", 499, NEVER)                                             \
    X(INVALID_OUTPUT, "invalid_output", "The output does not fit its schema", 500, SCHEMA)

enum pl_code {
#define X(suffix, text, title, http, retry) PL_ERR_##suffix,
    PL_ERR_TABLE(X)
#undef X
        PL_ERR__COUNT,
    PL_OK = PL_ERR_OK,
};

enum { PL_ERR_MESSAGE_MAX = 480 }; /* bytes, with the NUL; longer text is cut at a UTF-8 boundary */

/* An error on its way out: no allocation, copied by value, crosses threads with the work it belongs
 * to. `message` is one sentence for the person who can mend it: what, and what to do. */
struct pl_err {
    enum pl_code code;
    char message[PL_ERR_MESSAGE_MAX];
};

/* Sets code and message and returns `code`, so that failing is one line:
 * `return pl_err_set(err, PL_ERR_IO, "cannot open %s", path);`. `err` may be NULL. */
enum pl_code pl_err_set(struct pl_err *err, enum pl_code code, const char *fmt, ...)
    PL_PRINTF(3, 4);

/* Puts "text: " before the message that is there. Returns err->code. `err` may be NULL
 * (PL_ERR_INTERNAL). */
enum pl_code pl_err_prefix(struct pl_err *err, const char *fmt, ...) PL_PRINTF(2, 3);

/* The table, by code. All return static text or numbers; an unknown code reads as INTERNAL. */
const char *pl_code_text(enum pl_code code);  /* "rate_limited" */
const char *pl_code_title(enum pl_code code); /* "Rate limited by the provider" */
int pl_code_http_status(enum pl_code code);
enum pl_retry_class pl_code_retry_class(enum pl_code code);
/* The word of `retry.on` ("rate_limit", "timeout", "server", "network", "schema"), "never" for
 * NEVER. */
const char *pl_retry_class_name(enum pl_retry_class retry);
/* The code of a public text, PL_ERR_INTERNAL when there is none. Used when rows are loaded. */
enum pl_code pl_code_from_text(const char *text);

#endif
