/* llm_hints.c - headers that say when to ask again. Called by llm_http.c. */
#include "service/llm/llm_hints.h"

#include "base/json.h"
#include "service/net/http_headers.h"

static const pl_ms LONGEST = (pl_ms)10 * 366 * 86400 * 1000;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A decimal number times `unit`, rounded up; *ret_used: its length. False where there is none, or
 * it is over ten years. */
static bool take_number(struct pl_str text, double unit, pl_ms *ret_ms, size_t *ret_used)
{
    double number = 0, scale = 1;
    size_t i = 0;
    bool fraction = false;

    for (; i < text.len && (is_digit(text.ptr[i]) || (text.ptr[i] == '.' && !fraction)); i++) {
        if (text.ptr[i] == '.') {
            fraction = true;
            continue;
        }
        number = number * 10 + (text.ptr[i] - '0');
        if (fraction)
            scale *= 10;
    }
    number = number / scale * unit;
    if (i == 0 || text.ptr[0] == '.' || !(number <= (double)LONGEST))
        return false;
    *ret_ms = (pl_ms)number + (number > (double)(pl_ms)number);
    *ret_used = i;
    return true;
}

/* "1h2m3.5s", "12ms" */
static bool take_duration(struct pl_str text, pl_ms *ret_ms)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
    pl_ms sum = 0;

    while (text.len) {
        pl_ms part;
        size_t digits = 0, unit = 0, used;

        while (digits < text.len && (is_digit(text.ptr[digits]) || text.ptr[digits] == '.'))
            digits++;
        while (unit < PL_ARRAY_LEN(units) &&
               !pl_str_starts(pl_str_n(text.ptr + digits, text.len - digits),
                              pl_str(units[unit].name)))
            unit++;
        if (unit == PL_ARRAY_LEN(units) || !take_number(text, units[unit].ms, &part, &used) ||
            used != digits)
            return false;
        used += strlen(units[unit].name);
        text = pl_str_n(text.ptr + used, text.len - used);
        sum += part;
        if (sum > LONGEST)
            return false;
    }
    *ret_ms = sum;
    return true;
}

/* Seconds, or since 1970 in seconds or milliseconds: nobody's window is thirty years long. */
static bool take_plain(struct pl_str text, pl_ms now, pl_ms *ret_ms)
{
    const pl_ms since_1970 = 1000000000;
    pl_ms number;
    size_t used;

    if (!take_number(text, 1, &number, &used) || used != text.len) {
        /* milliseconds since 1970 are over ten years */
        if (!json_int(text, &number) || number < since_1970 * 1000)
            return false;
        *ret_ms = number - now;
        return true;
    }
    if (number >= since_1970)
        *ret_ms = number * 1000 - now;
    else if (!take_number(text, 1000, ret_ms, &used))
        return false;
    return true;
}

/* -1: it is none. */
static pl_ms reset_in(struct pl_str text, pl_ms now)
{
    pl_ms wait, at;

    if (!text.len)
        return -1;
    if (pl_time_parse(text, &at))
        wait = at - now;
    else if (!take_plain(text, now, &wait) && !take_duration(text, &wait))
        return -1;
    if (wait > LONGEST)
        return -1;
    return wait > 0 ? wait : 0;
}

static pl_ms by_resets(struct pl_str lines, pl_ms now)
{
    static const char *const limits[][2] = {
        {"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"},
        {"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"},
        {"x-ratelimit-remaining-project-tokens", "x-ratelimit-reset-project-tokens"},
        {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
        {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
        {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
        {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
        {"x-ratelimit-remaining", "x-ratelimit-reset"},
        {"ratelimit-remaining", "ratelimit-reset"},
    };
    pl_ms used_up = -1, earliest = -1;

    for (size_t i = 0; i < PL_ARRAY_LEN(limits); i++) {
        const pl_ms wait = reset_in(http_headers_find(lines, limits[i][1]), now);

        if (wait < 0)
            continue;
        if (pl_str_is(http_headers_find(lines, limits[i][0]), "0") && wait > used_up)
            used_up = wait;
        if (earliest < 0 || wait < earliest)
            earliest = wait;
    }
    return used_up >= 0 ? used_up : earliest;
}

pl_ms llm_hints_wait(struct pl_str lines, bool limited, pl_ms now)
{
    const pl_ms wait = http_headers_retry_after(http_headers_find(lines, "retry-after-ms"),
                                                http_headers_find(lines, "retry-after"), now);

    return wait < 0 && limited ? by_resets(lines, now) : wait;
}
