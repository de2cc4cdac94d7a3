/* tape_file.c - a recording as JSON: written with its calls in the order of their paths, so that
 * two recordings compare well; read with every member checked. Not what it is used for (tape.c).
 * See tape.h. */
#include "service/tape/tape_private.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/provider.h"
#include "service/secrets.h"

#include <stdlib.h>

/* Counts, sizes, milliseconds, dollars: sums of so much, over all calls of a run, stay exact. */
static const int64_t NUMBER_MAX = 1000000000000;
static const double COST_MAX = 1e12;

enum { VERSION = 1 };

/* ---- writing ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Paths as people count: reviews.9 before reviews.10. */
static int compare_paths(struct pl_str a, struct pl_str b)
{
    size_t i = 0, j = 0;

    while (i < a.len && j < b.len) {
        if (is_digit(a.ptr[i]) && is_digit(b.ptr[j])) {
            unsigned long long x = 0, y = 0;

            for (; i < a.len && is_digit(a.ptr[i]); i++)
                x = x * 10 + (unsigned)(a.ptr[i] - '0');
            for (; j < b.len && is_digit(b.ptr[j]); j++)
                y = y * 10 + (unsigned)(b.ptr[j] - '0');
            if (x != y)
                return x < y ? -1 : 1;
            continue;
        }
        if (a.ptr[i] != b.ptr[j])
            return (unsigned char)a.ptr[i] < (unsigned char)b.ptr[j] ? -1 : 1;
        i++;
        j++;
    }
    return (i < a.len) - (j < b.len);
}

/* Of calls at one path the one that ended first, one that never did last. */
static int compare_calls(const void *a, const void *b)
{
    const struct tape_call *x = *(struct tape_call *const *)a, *y = *(struct tape_call *const *)b;
    int order = compare_paths(x->path, y->path);

    if (order)
        return order;
    return (x->order - 1u > y->order - 1u) - (x->order - 1u < y->order - 1u);
}

static void add_raw(struct pl_buf *out, const char *key, struct pl_str json)
{
    if (!json.len)
        return;
    json_key(out, key);
    json_write_compact(out, json);
}

static void add_count(struct pl_buf *out, const char *key, int64_t number)
{
    if (number)
        json_add_int(out, key, number);
}

static void write_usage(const struct store_usage *usage, struct pl_buf *out)
{
    json_key(out, "usage");
    json_object_begin(out);
    add_count(out, "calls", usage->calls);
    add_count(out, "input_tokens", usage->input_tokens);
    add_count(out, "cached_input_tokens", usage->cached_input_tokens);
    add_count(out, "cache_write_input_tokens", usage->cache_write_input_tokens);
    add_count(out, "output_tokens", usage->output_tokens);
    add_count(out, "reasoning_tokens", usage->reasoning_tokens);
    if (usage->cost_usd > 0)
        json_add_double(out, "cost_usd", usage->cost_usd);
    json_object_end(out);
}

static void write_error(const struct tape_call *call, struct pl_buf *out)
{
    json_key(out, "error");
    json_object_begin(out);
    json_add_string(out, "code", pl_str(pl_code_text(call->err.code)));
    json_add_string(out, "detail", pl_str(call->err.message));
    if (call->upstream_status)
        json_add_int(out, "upstream_status", call->upstream_status);
    add_raw(out, "upstream", call->upstream);
    if (call->retry_after >= 0)
        json_add_int(out, "retry_after_ms", call->retry_after);
    if (call->no_retry)
        json_add_bool(out, "no_retry", true);
    if (call->free)
        json_add_bool(out, "uses_no_attempt", true);
    json_object_end(out);
}

static void write_call(const struct tape_call *call, struct pl_buf *out)
{
    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "path", call->path);
    if (!pl_str_eq(call->path, call->step))
        json_add_string(out, "step", call->step);
    json_add_string(out, "kind", call->kind);
    add_raw(out, "request", call->request);
    json_add_string(out, "sha256", pl_str(call->digest));
    add_count(out, "ended", call->order);
    if (call->cancelled)
        json_add_bool(out, call->unsent ? "unsent" : "cancelled", true);
    else if (call->failed)
        write_error(call, out);
    else
        add_raw(out, "output", call->output);
    write_usage(&call->usage, out);
    add_raw(out, "call", call->facts);
    json_object_end(out);
}

static void write_run(const struct tape_run *run, struct pl_buf *out)
{
    char at[PL_TIME_TEXT];

    json_add_int(out, "plait_recording", VERSION);
    if (run->workflow.len)
        json_add_string(out, "workflow", run->workflow);
    if (run->model.len)
        json_add_string(out, "model", run->model);
    json_add_string(out, "run", run->id);
    json_add_string(out, "started_at", pl_str(pl_time_format(run->started_at, at)));
    add_raw(out, "input", run->input);
}

static void write_all(const struct tape *tape, struct tape_call *const *calls, struct pl_buf *out)
{
    const struct pl_str answers = pl_buf_view(&tape->answers);

    json_object_begin(out);
    write_run(&tape->run, out);
    if (answers.len) {
        json_key(out, "answers");
        pl_buf_printf(out, "{%.*s}", PL_STR_ARG(answers));
    }
    json_key(out, "calls");
    json_array_begin(out);
    for (size_t i = 0; i < tape->count; i++)
        if (calls[i]->order || calls[i]->unsent) /* one that never came home tells nothing */
            write_call(calls[i], out);
    json_array_end(out);
    json_add_string(out, "status", tape->run.status);
    add_raw(out, "output", tape->run.output);
    if (tape->run.error.len)
        json_add_string(out, "error", tape->run.error);
    json_key(out, "timeline");
    tape_log_write(tape, out);
    json_object_end(out);
}

void tape_write(const struct tape *tape, const struct providers *providers,
                const struct secrets *secrets, struct pl_buf *out)
{
    const size_t bytes = (tape->count ? tape->count : 1) * sizeof(struct tape_call *);
    struct tape_call **sorted = malloc(bytes);
    struct pl_buf compact;

    if (!sorted) {
        out->failed = true;
        return;
    }
    pl_buf_init(&compact, out->max);
    if (tape->count) {
        memcpy(sorted, tape->calls, tape->count * sizeof(struct tape_call *));
        qsort(sorted, tape->count, sizeof *sorted, compare_calls);
    }
    write_all(tape, sorted, &compact);
    free(sorted);
    if (pl_buf_failed(&compact)) {
        out->failed = true;
    } else {
        if (providers)
            providers_hide_keys(providers, compact.data, compact.len);
        compact.len = secrets_hide(secrets, compact.data, compact.len);
        json_write_pretty(out, pl_buf_view(&compact));
        pl_buf_char(out, '\n');
    }
    pl_buf_finish(&compact);
}

/* ---- reading ---- */

static enum pl_code no_memory(struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static enum pl_code bad(const char *what, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "%s; record it anew with --record", what);
}

/* A string member, decoded; empty when it is not there. */
static struct pl_str get_text(struct tape *tape, struct pl_str object, const char *key)
{
    struct pl_str token;

    if (!json_get(object, pl_str(key), &token) || json_type(token) != JSON_STRING)
        return (struct pl_str){0};
    return json_decode_string_arena(token, tape->arena);
}

static struct pl_str get_raw(struct tape *tape, struct pl_str object, const char *key)
{
    struct pl_str value;
    struct pl_buf buf;

    if (!json_get(object, pl_str(key), &value))
        return (struct pl_str){0};
    pl_buf_init(&buf, value.len);
    json_write_compact(&buf, value);
    tape->no_memory |= pl_buf_failed(&buf);
    value = pl_arena_str(tape->arena, pl_buf_view(&buf));
    pl_buf_finish(&buf);
    return value;
}

/* The same of an object; empty when it is another thing. */
static struct pl_str get_object(struct tape *tape, struct pl_str object, const char *key)
{
    struct pl_str value = get_raw(tape, object, key);

    return value.len && json_type(value) == JSON_OBJECT ? value : (struct pl_str){0};
}

/* A file may have been edited: what none of ours can be is taken as not there. */
static int64_t get_int(struct pl_str object, const char *key, int64_t fallback)
{
    struct pl_str token;
    int64_t number;

    return json_get(object, pl_str(key), &token) && json_type(token) == JSON_NUMBER &&
                   json_int(token, &number) && number >= 0 && number <= NUMBER_MAX
               ? number
               : fallback;
}

static bool get_bool(struct pl_str object, const char *key)
{
    struct pl_str token;

    return json_get(object, pl_str(key), &token) && json_type(token) == JSON_TRUE;
}

static void read_usage(struct pl_str call, struct store_usage *usage)
{
    struct pl_str object, cost;

    if (!json_get(call, PL_STR("usage"), &object))
        return;
    usage->calls = get_int(object, "calls", 0);
    usage->input_tokens = get_int(object, "input_tokens", 0);
    usage->cached_input_tokens = get_int(object, "cached_input_tokens", 0);
    usage->cache_write_input_tokens = get_int(object, "cache_write_input_tokens", 0);
    usage->output_tokens = get_int(object, "output_tokens", 0);
    usage->reasoning_tokens = get_int(object, "reasoning_tokens", 0);
    if (json_get(object, PL_STR("cost_usd"), &cost) && json_type(cost) == JSON_NUMBER)
        usage->cost_usd = json_number(cost);
    if (!(usage->cost_usd >= 0 && usage->cost_usd <= COST_MAX))
        usage->cost_usd = 0;
}

static void read_error(struct tape *tape, struct pl_str error, struct tape_call *call)
{
    struct pl_str code = get_text(tape, error, "code");
    struct pl_str detail = get_text(tape, error, "detail");

    pl_err_set(&call->err, pl_code_from_text(code.len ? code.ptr : ""), "%.*s", PL_STR_ARG(detail));
    call->failed = true;
    call->upstream_status = (int)get_int(error, "upstream_status", 0);
    call->upstream = get_raw(tape, error, "upstream");
    call->retry_after = get_int(error, "retry_after_ms", -1);
    call->no_retry = get_bool(error, "no_retry");
    call->free = get_bool(error, "uses_no_attempt");
}

static enum pl_code read_call(struct tape *tape, struct pl_str object, struct pl_err *err)
{
    struct tape_call *call = tape_add(tape);
    struct pl_str digest, error;

    if (!call)
        return no_memory(err);
    call->path = get_text(tape, object, "path");
    call->step = get_text(tape, object, "step");
    if (!call->step.len)
        call->step = call->path;
    call->kind = get_text(tape, object, "kind");
    call->request = get_raw(tape, object, "request");
    call->order = (unsigned)get_int(object, "ended", 0);
    call->unsent = get_bool(object, "unsent");
    call->cancelled = call->unsent || get_bool(object, "cancelled");
    call->output = get_raw(tape, object, "output");
    call->facts = get_object(tape, object, "call");
    read_usage(object, &call->usage);
    if (json_get(object, PL_STR("error"), &error) && json_type(error) == JSON_OBJECT)
        read_error(tape, error, call);
    digest = get_text(tape, object, "sha256");
    if (tape->no_memory || pl_arena_failed(tape->arena))
        return no_memory(err);
    if (digest.len != sizeof call->digest - 1 || !call->path.len ||
        call->cancelled + call->failed + (call->output.len > 0) != 1)
        return bad("a call of the recording is not whole", err);
    memcpy(call->digest, digest.ptr, digest.len);
    if (call->order)
        call->number = tape_count_one(tape, TAPE_RESULT, NULL, call->path);
    return call->order && !call->number ? no_memory(err) : PL_OK;
}

static enum pl_code read_calls(struct tape *tape, struct pl_str root, struct pl_err *err)
{
    struct pl_str list;
    struct json_iter it;

    if (!json_get(root, PL_STR("calls"), &list) || json_type(list) != JSON_ARRAY)
        return bad("the recording has no list of calls", err);
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        enum pl_code code = read_call(tape, it.value, err);

        if (code != PL_OK)
            return code;
    }
    return tape_index(tape) ? PL_OK : no_memory(err);
}

enum pl_code tape_read(struct tape *tape, struct pl_str text, struct pl_err *err)
{
    enum pl_code code = json_check(text, PL_LIMIT_JSON_DEPTH, NULL, err);
    struct tape_run run = {0};
    struct pl_str started, timeline;

    if (code != PL_OK)
        return code;
    if (get_int(text, "plait_recording", 0) != VERSION)
        return bad(get_int(text, "plait_recording", 0) ? "the recording is of another version"
                                                       : "this is no recording",
                   err);
    run.workflow = get_text(tape, text, "workflow");
    run.id = get_text(tape, text, "run");
    run.model = get_text(tape, text, "model");
    run.input = get_raw(tape, text, "input");
    run.answers = get_object(tape, text, "answers");
    run.status = get_text(tape, text, "status");
    run.output = get_raw(tape, text, "output");
    run.error = get_text(tape, text, "error");
    started = get_text(tape, text, "started_at");
    if (tape->no_memory || pl_arena_failed(tape->arena))
        return no_memory(err);
    if (!run.status.len || !pl_time_parse(started, &run.started_at))
        return bad("the recording does not say when it began or how it ended", err);
    if (!tape_set_run(tape, &run))
        return no_memory(err);
    atomic_store(&tape->time, run.started_at);
    code = read_calls(tape, text, err);
    if (code == PL_OK && json_get(text, PL_STR("timeline"), &timeline))
        code = tape_log_read(tape, timeline, err);
    return code;
}
