/* gemini_errors.c - what errors of the Gemini API mean: {"error": {"code", "message", "status",
 * "details"}}, alone or as the one element of a list. Which code an error of ours has is
 * llm_errors.c's. Called by gemini.c for answers that are not 2xx, and by gemini_answer.c. */
#include "service/llm/gemini.h"

#include "base/json.h"
#include "service/llm/llm_delay.h"
#include "service/llm/llm_errors.h"

enum {
    MESSAGE_MAX = 64 << 10,
    A_MINUTE_MS = 60000,    /* where a limit by the minute comes without a hint */
    STATUS_CANCELLED = 499, /* by the server, which has too much to do */
};

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    return json_get(object, pl_str(key), &value) ? value : (struct pl_str){0};
}

static bool contains(struct pl_str text, const char *words)
{
    return text.len && memmem(text.ptr, text.len, words, strlen(words)) != NULL;
}

/* ---- details ---- */

/* What the details tell, beyond status and message. */
struct details {
    pl_ms delay;          /* -1: none */
    bool a_day, a_minute; /* which quota is used up */
    bool bad_key;         /* the key is none, or none any more */
};

static void take_violations(struct details *ret, struct pl_str list)
{
    struct json_iter it;

    if (!list.len || json_type(list) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        const struct pl_str id = member(it.value, "quotaId");

        ret->a_day |= contains(id, "PerDay") || contains(id, "Daily");
        ret->a_minute |= contains(id, "PerMinute");
    }
}

static void read_details(struct details *ret, struct pl_str list)
{
    struct json_iter it;

    *ret = (struct details){.delay = -1};
    if (!list.len || json_type(list) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        const struct pl_str delay = member(it.value, "retryDelay"),
                            reason = member(it.value, "reason");

        if (delay.len > 2 && json_type(delay) == JSON_STRING)
            ret->delay = llm_delay_read(pl_str_n(delay.ptr + 1, delay.len - 2));
        take_violations(ret, member(it.value, "violations"));
        ret->bad_key |= contains(reason, "API_KEY_INVALID") ||
                        contains(reason, "API_KEY_EXPIRED") ||
                        contains(reason, "API_KEY_SERVICE_BLOCKED");
    }
}

/* ---- what it is ---- */

/* A word of the table in llm_errors.c for what status and message alone do not say. */
static struct pl_str word_of(const struct details *details, int status, struct pl_str message)
{
    if (details->bad_key || (status == 400 && contains(message, "API key expired")))
        return PL_STR("invalid_api_key");
    if (status == 429 && details->a_day)
        return PL_STR("insufficient_quota");
    if (status == STATUS_CANCELLED)
        return PL_STR("overloaded_error");
    return (struct pl_str){0};
}

static int status_of(struct pl_str error, int http_status)
{
    const struct pl_str code = member(error, "code");
    int64_t number;

    if (!http_status && code.len && json_int(code, &number) && number >= 300 && number < 600)
        return (int)number;
    return http_status;
}

static void set_hint(const struct details *details, struct pl_str message,
                     struct step_result *result)
{
    result->retry_after = details->delay >= 0 ? details->delay : llm_delay_of_message(message);
    if (result->retry_after < 0 && result->err.code == PL_ERR_RATE_LIMITED && details->a_minute)
        result->retry_after = A_MINUTE_MS;
}

bool gemini_read_error(struct pl_str object, int status, enum pl_code fallback,
                       struct step_result *result)
{
    struct llm_fault fault = {0};
    struct details details;
    struct pl_str error, text;
    struct pl_buf message;

    if (json_type(object) == JSON_ARRAY && json_at(object, 0, &error))
        object = error;
    error = member(object, "error");
    if (!error.len || !json_truthy(error))
        return false;
    pl_buf_init(&message, MESSAGE_MAX);
    text = json_type(error) == JSON_STRING ? error : member(error, "message");
    if (text.len && json_type(text) == JSON_STRING)
        json_decode_string(text, &message);
    read_details(&details, member(error, "details"));
    fault.status = status_of(error, status);
    fault.message = pl_buf_view(&message);
    fault.code = word_of(&details, fault.status, fault.message);
    llm_fault_result(&fault, fallback, result);
    set_hint(&details, fault.message, result);
    pl_buf_finish(&message);
    return true;
}
