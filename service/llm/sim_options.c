/* sim_options.c - reads the options of simulated models. Not the answering. Called by sim.c, for
 * every call and by check. */
#include "service/llm/sim_options.h"

#include "base/utf8.h"
#include "service/workflow/doc.h"

#include <stdlib.h>

enum {
    VALUE_MAX = 64,
    MAX_TOKENS = 10000000,
    MAX_TIMES = 1000000,
    MAX_WEIGHT = 1000000,
    MAX_SLOW = 1000
};

typedef enum pl_code (*option_fn)(struct pl_str value, struct sim_options *options,
                                  struct pl_err *err);

/* ---- values ---- */

static bool digit_value(char c, unsigned *ret_value)
{
    if (c >= '0' && c <= '9')
        *ret_value = (unsigned)(c - '0');
    else if ((c | 32) >= 'a' && (c | 32) <= 'f')
        *ret_value = (unsigned)((c | 32) - 'a' + 10);
    else
        return false;
    return true;
}

/* The byte of "%XX" at `i`; false when there is none. */
static bool escape_at(struct pl_str text, size_t i, char *ret_byte)
{
    unsigned high, low;

    if (text.ptr[i] != '%' || i + 2 >= text.len || !digit_value(text.ptr[i + 1], &high) ||
        !digit_value(text.ptr[i + 2], &low))
        return false;
    *ret_byte = (char)(high * 16 + low);
    return true;
}

void sim_decode(struct pl_str encoded, struct pl_buf *out)
{
    for (size_t i = 0; i < encoded.len; i++) {
        char byte;

        if (escape_at(encoded, i, &byte)) {
            pl_buf_char(out, byte);
            i += 2;
        } else {
            pl_buf_char(out, encoded.ptr[i]);
        }
    }
}

/* Every % begins an escape, and what comes out is UTF-8 without NUL. */
static enum pl_code check_encoded(const char *name, struct pl_str value, struct pl_err *err)
{
    struct pl_buf text;
    enum pl_code code = PL_OK;
    char byte;

    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '%' && !escape_at(value, i, &byte))
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                              "'%s' has a %% that is not followed by two hexadecimal digits; write "
                              "%%25 for a %%",
                              name);
    }
    pl_buf_init(&text, value.len + 1);
    sim_decode(value, &text);
    if (pl_buf_failed(&text))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0, n; code == PL_OK && i < text.len; i += n) {
        n = text.data[i] ? pl_utf8_length(text.data + i, text.len - i) : 0;
        if (n == 0)
            code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'%s' is not UTF-8", name);
    }
    pl_buf_finish(&text);
    return code;
}

static enum pl_code take_duration(const char *name, struct pl_str value, pl_ms *ret,
                                  struct pl_err *err)
{
    if (pl_duration_parse(value, ret))
        return PL_OK;
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "'%s' is a duration such as 200ms or 2s, not '%.*s'", name,
                      PL_STR_ARG(value));
}

static enum pl_code take_count(const char *name, struct pl_str value, int64_t max, int64_t *ret,
                               struct pl_err *err)
{
    int64_t number = 0;
    bool ok = value.len > 0 && value.len < 10;

    for (size_t i = 0; ok && i < value.len; i++) {
        ok = value.ptr[i] >= '0' && value.ptr[i] <= '9';
        number = number * 10 + (value.ptr[i] - '0');
    }
    if (!ok || number > max)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'%s' is a whole number up to %lld, not '%.*s'", name, (long long)max,
                          PL_STR_ARG(value));
    *ret = number;
    return PL_OK;
}

/* ---- options ---- */

static enum pl_code option_latency(struct pl_str value, struct sim_options *options,
                                   struct pl_err *err)
{
    return take_duration("latency", value, &options->latency, err);
}

static enum pl_code option_jitter(struct pl_str value, struct sim_options *options,
                                  struct pl_err *err)
{
    return take_duration("jitter", value, &options->jitter, err);
}

static enum pl_code option_retry_after(struct pl_str value, struct sim_options *options,
                                       struct pl_err *err)
{
    return take_duration("retry_after", value, &options->retry_after, err);
}

static enum pl_code option_tokens(struct pl_str value, struct sim_options *options,
                                  struct pl_err *err)
{
    return take_count("tokens", value, MAX_TOKENS, &options->tokens, err);
}

static enum pl_code option_times(struct pl_str value, struct sim_options *options,
                                 struct pl_err *err)
{
    enum pl_code code = take_count("times", value, MAX_TIMES, &options->times, err);

    if (code == PL_OK && options->times == 0)
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'times' is at least 1; leave 'fail' out for no failure");
    return code;
}

static enum pl_code option_bad_json(struct pl_str value, struct sim_options *options,
                                    struct pl_err *err)
{
    return take_count("bad_json", value, MAX_TIMES, &options->bad_json, err);
}

static enum pl_code option_tools(struct pl_str value, struct sim_options *options,
                                 struct pl_err *err)
{
    options->no_tools = pl_str_is(value, "0");
    if (options->no_tools || pl_str_is(value, "1"))
        return PL_OK;
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "'tools' is 0 (it calls no tool) or 1 (it calls each one once), not '%.*s'",
                      PL_STR_ARG(value));
}

static enum pl_code option_text(struct pl_str value, struct sim_options *options,
                                struct pl_err *err)
{
    options->text = value;
    return check_encoded("text", value, err);
}

static enum pl_code take_share(const char *name, struct pl_str value, double *ret,
                               struct pl_err *err)
{
    char text[VALUE_MAX] = "";
    char *end = text;
    double rate = -1;

    if (value.len && value.len < sizeof(text) && value.ptr[0] != '-' && value.ptr[0] != '+') {
        memcpy(text, value.ptr, value.len);
        rate = strtod(text, &end);
    }
    if (end == text || *end || !(rate >= 0 && rate <= 1))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'%s' is a share from 0 to 1 such as 0.1, not '%.*s'", name,
                          PL_STR_ARG(value));
    *ret = rate;
    return PL_OK;
}

static enum pl_code option_fail_rate(struct pl_str value, struct sim_options *options,
                                     struct pl_err *err)
{
    return take_share("fail_rate", value, &options->fail_rate, err);
}

static enum pl_code option_slow(struct pl_str value, struct sim_options *options,
                                struct pl_err *err)
{
    enum pl_code code = take_count("slow", value, MAX_SLOW, &options->slow, err);

    if (code == PL_OK && options->slow == 0)
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'slow' is at least 1: how many times as long a slow attempt takes");
    return code;
}

static enum pl_code option_slow_rate(struct pl_str value, struct sim_options *options,
                                     struct pl_err *err)
{
    return take_share("slow_rate", value, &options->slow_rate, err);
}

static const enum pl_code fail_codes[] = {
    PL_ERR_UNREACHABLE,     PL_ERR_CONNECTION_LOST,  PL_ERR_TIMEOUT,        PL_ERR_RATE_LIMITED,
    PL_ERR_QUOTA_EXCEEDED,  PL_ERR_PROVIDER_ERROR,   PL_ERR_OVERLOADED,     PL_ERR_STREAM_ERROR,
    PL_ERR_TRUNCATED,       PL_ERR_BAD_RESPONSE,     PL_ERR_EMPTY_RESPONSE, PL_ERR_AUTH_FAILED,
    PL_ERR_MODEL_NOT_FOUND, PL_ERR_CONTEXT_TOO_LONG, PL_ERR_BAD_REQUEST,    PL_ERR_CONTENT_FILTERED,
    PL_ERR_REFUSED,         PL_ERR_OUTPUT_TRUNCATED};

static enum pl_code option_fail(struct pl_str value, struct sim_options *options,
                                struct pl_err *err)
{
    const char *names[PL_ARRAY_LEN(fail_codes) + 2] = {"hang"};
    const char *near;
    int64_t status = 0;

    options->fails = true;
    if (take_count("fail", value, 599, &status, NULL) == PL_OK && status >= 400) {
        options->fail_status = (int)status;
        return PL_OK;
    }
    if (pl_str_is(value, "hang")) {
        options->hangs = true;
        return PL_OK;
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(fail_codes); i++) {
        names[i + 1] = pl_code_text(fail_codes[i]);
        if (pl_str_is(value, names[i + 1])) {
            options->fail_code = fail_codes[i];
            return PL_OK;
        }
    }
    near = doc_nearest(value, names);
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "'fail' is a status from 400 to 599, an error code such as timeout, or hang, "
                      "not '%.*s'%s%s%s",
                      PL_STR_ARG(value), near ? "; did you mean '" : "", near ? near : "",
                      near ? "'?" : "");
}

static enum pl_code add_vote(struct pl_str item, struct sim_options *options, struct pl_err *err)
{
    const char *colon = item.len ? memrchr(item.ptr, ':', item.len) : NULL;
    struct sim_vote vote = {.answer = item, .weight = 1};
    int64_t weight = 1;
    enum pl_code code = PL_OK;

    if (colon) {
        vote.answer.len = (size_t)(colon - item.ptr);
        code = take_count("vote", pl_str_n(colon + 1, item.len - vote.answer.len - 1), MAX_WEIGHT,
                          &weight, err);
    }
    if (code == PL_OK)
        code = check_encoded("vote", vote.answer, err);
    if (code != PL_OK)
        return code;
    if (!vote.answer.len || weight == 0 || options->n_votes == SIM_VOTES)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'vote' is a list of up to %d answers with their weights such as a:3,b:2",
                          SIM_VOTES);
    vote.weight = (unsigned)weight;
    options->votes[options->n_votes++] = vote;
    options->total_votes += vote.weight;
    return PL_OK;
}

static enum pl_code option_vote(struct pl_str value, struct sim_options *options,
                                struct pl_err *err)
{
    size_t start = 0;

    for (size_t i = 0; i <= value.len; i++) {
        enum pl_code code;

        if (i < value.len && value.ptr[i] != ',')
            continue;
        code = add_vote(pl_str_n(value.ptr + start, i - start), options, err);
        if (code != PL_OK)
            return code;
        start = i + 1;
    }
    return PL_OK;
}

/* ---- the name ---- */

static const char *const option_names[] = {
    "latency",   "jitter",      "tokens", "text",     "vote", "fail",      "times",
    "fail_rate", "retry_after", "tools",  "bad_json", "slow", "slow_rate", NULL};
static const option_fn option_fns[] = {
    option_latency,  option_jitter, option_tokens,    option_text,        option_vote,
    option_fail,     option_times,  option_fail_rate, option_retry_after, option_tools,
    option_bad_json, option_slow,   option_slow_rate};

static enum pl_code take_option(struct pl_str option, unsigned *seen, struct sim_options *options,
                                struct pl_err *err)
{
    const char *equals = option.len ? memchr(option.ptr, '=', option.len) : NULL;
    struct pl_str name = option, value = {0};
    const char *near;

    if (equals) {
        name.len = (size_t)(equals - option.ptr);
        value = pl_str_n(equals + 1, option.len - name.len - 1);
    }
    for (size_t i = 0; option_names[i]; i++) {
        if (!pl_str_is(name, option_names[i]))
            continue;
        if (*seen & (1u << i))
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "option '%s' is there twice; keep one",
                              option_names[i]);
        *seen |= 1u << i;
        return option_fns[i](value, options, err);
    }
    near = doc_nearest(name, option_names);
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "sim has no option '%.*s'; %s%s%s",
                      PL_STR_ARG(name), near ? "did you mean '" : "it has ",
                      near ? near
                           : "latency, jitter, slow, slow_rate, tokens, text, vote, tools, "
                             "bad_json, fail, times, fail_rate, retry_after",
                      near ? "'?" : "");
}

static enum pl_code check_together(struct sim_options *options, struct pl_err *err)
{
    if (options->n_votes && options->text.ptr)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'text' and 'vote' both fix the answer; keep one");
    if (options->fail_rate < 1 && !options->fails) {
        options->fails = true;
        options->fail_status = 500;
    }
    if ((options->slow_rate < 0) != (options->slow == 0))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'slow' and 'slow_rate' go together: slow_rate=0.05&slow=20");
    if (!options->fails && (options->times || options->retry_after >= 0))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'%s' says nothing without 'fail', such as fail=429",
                          options->times ? "times" : "retry_after");
    return PL_OK;
}

enum pl_code sim_options_parse(struct pl_str model, struct sim_options *ret_options,
                               struct pl_err *err)
{
    const char *mark = model.len ? memchr(model.ptr, '?', model.len) : NULL;
    struct pl_str name = model, rest = {0};
    unsigned seen = 0;

    *ret_options =
        (struct sim_options){.slow_rate = -1, .tokens = -1, .fail_rate = 1, .retry_after = -1};
    if (mark) {
        name.len = (size_t)(mark - model.ptr);
        rest = pl_str_n(mark + 1, model.len - name.len - 1);
    }
    if (!pl_str_is(name, "echo"))
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "sim has no model '%.*s'; it has one: sim/echo", PL_STR_ARG(name));
    while (rest.len) {
        const char *amp = memchr(rest.ptr, '&', rest.len);
        const size_t len = amp ? (size_t)(amp - rest.ptr) : rest.len;
        enum pl_code code = take_option(pl_str_n(rest.ptr, len), &seen, ret_options, err);

        if (code != PL_OK)
            return code;
        rest = amp ? pl_str_n(amp + 1, rest.len - len - 1) : (struct pl_str){0};
    }
    return check_together(ret_options, err);
}
