/* llm_lane.c - see llm_lane.h. Headers are hints: what cannot be read is not told. */
#include "service/llm/llm_lane.h"

#include "base/json.h"

#include <stdlib.h>

typedef struct pl_str (*header_fn)(void *arg, const char *name);

/* ---- headers ---- */

static int64_t number_of(struct pl_str text)
{
    int64_t number;

    return text.len && json_int(text, &number) && number >= 0 ? number : -1;
}

/* A duration ("6m0s", "12ms") or a time: from now on, at least 1; -1: neither. */
static pl_ms time_left(struct pl_str text, pl_ms now)
{
    pl_ms time;

    if (pl_duration_parse(text, &time))
        return time > 0 ? time : 1;
    if (pl_time_parse(text, &time))
        return time > now ? time - now : 1;
    return -1;
}

static void read_quota(header_fn header, void *arg, const char *const names[static 3], pl_ms now,
                       struct lane_quota_news *ret_news)
{
    struct lane_quota_news news = {.limit = number_of(header(arg, names[0]))};

    if (news.limit <= 0)
        return; /* most servers say nothing */
    news.remaining = number_of(header(arg, names[1]));
    news.reset = time_left(header(arg, names[2]), now);
    if (news.remaining >= 0 && news.reset >= 0)
        *ret_news = news;
}

void llm_lane_read_quotas(header_fn header, void *arg, pl_ms now,
                          struct lane_quota_news *ret_requests, struct lane_quota_news *ret_tokens)
{
    static const char *const names[2][2][3] = {
        {{"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
          "x-ratelimit-reset-requests"},
         {"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"}},
        {{"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
          "anthropic-ratelimit-requests-reset"},
         {"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining",
          "anthropic-ratelimit-tokens-reset"}},
    };

    *ret_requests = *ret_tokens = (struct lane_quota_news){0};
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++) {
        read_quota(header, arg, names[i][0], now, ret_requests);
        read_quota(header, arg, names[i][1], now, ret_tokens);
    }
}

/* ---- how it ended ---- */

static struct pl_str header_of(void *arg, const char *name)
{
    return http_call_header(*(const struct http_call *const *)arg, name);
}

static enum lane_event event_of(const struct http_outcome *outcome,
                                const struct step_result *result)
{
    const enum pl_code code = result->err.code;

    if (code == PL_ERR_RATE_LIMITED && !result->no_retry)
        return LANE_LIMITED;
    if (!outcome->status && !outcome->connected &&
        (code == PL_ERR_UNREACHABLE || code == PL_ERR_TIMEOUT))
        return LANE_UNREACHABLE;
    if (outcome->status >= 500 || (!outcome->status && code != PL_OK))
        return LANE_FAILED;
    return LANE_ANSWERED;
}

void llm_lane_hears(const struct llm_call *call, int status)
{
    const struct lane_news news = {.what = LANE_ANSWERED, .hint = -1};

    if (call->ticket && call->ticket->probe && status < 400)
        (void)lane_tell(call->provider->lane, call->ticket, loop_now(call->loop), &news);
}

void llm_lane_tell(struct llm_call *call, const struct http_call *http_call,
                   const struct http_outcome *outcome, struct step_result *result)
{
    const pl_ms now = loop_now(call->loop);
    struct lane_news news = {
        .what = event_of(outcome, result),
        .hint = result->retry_after,
        .spoke = outcome->status > 0,
    };
    const struct http_call *headers = http_call;

    if (!outcome->status &&
        (result->err.code == PL_ERR_CANCELLED || result->err.code == PL_ERR_NO_MEMORY ||
         result->err.code == PL_ERR_INVALID_ARGUMENT))
        return; /* it says nothing of the server */
    if (outcome->status)
        llm_lane_read_quotas(header_of, &headers, now, &news.requests, &news.tokens);
    if (lane_tell(call->provider->lane, call->ticket, now, &news))
        result->free = true;
}
