/* run_view.c - rows as public JSON. See run_view.h. */
#include "service/run/run_view.h"

#include "base/json.h"

#include <math.h>

/* Without the last digits that sums of binary fractions grow: 0.42, not 0.4200000000000002. */
static double dollars(double amount)
{
    return amount < 9000 ? round(amount * 1e12) / 1e12 : amount;
}

void run_view_usage(const struct store_usage *usage, struct pl_buf *out)
{
    json_object_begin(out);
    json_add_int(out, "calls", usage->calls);
    json_add_int(out, "input_tokens", usage->input_tokens);
    json_add_int(out, "cached_input_tokens", usage->cached_input_tokens);
    if (usage->cache_write_input_tokens > 0)
        json_add_int(out, "cache_write_input_tokens", usage->cache_write_input_tokens);
    json_add_int(out, "output_tokens", usage->output_tokens);
    if (usage->reasoning_tokens > 0)
        json_add_int(out, "reasoning_tokens", usage->reasoning_tokens);
    if (usage->cost_usd > 0)
        json_add_double(out, "cost_usd", dollars(usage->cost_usd));
    else
        json_add_null(out, "cost_usd");
    json_object_end(out);
}

static void add_text_or_null(struct pl_buf *out, const char *key, struct pl_str text)
{
    if (text.len)
        json_add_string(out, key, text);
    else
        json_add_null(out, key);
}

static void add_time(struct pl_buf *out, const char *key, pl_ms time)
{
    char text[PL_TIME_TEXT];

    if (time)
        json_add_string(out, key, pl_str(pl_time_format(time, text)));
    else
        json_add_null(out, key);
}

static void add_times(struct pl_buf *out, pl_ms created, pl_ms started, pl_ms ended)
{
    add_time(out, "created_at", created);
    add_time(out, "started_at", started);
    add_time(out, "ended_at", ended);
    if (started && ended)
        json_add_int(out, "duration_ms", ended - started);
    else
        json_add_null(out, "duration_ms");
}

void run_view_progress(const struct run_progress *progress, struct pl_buf *out)
{
    json_key(out, "progress");
    json_object_begin(out);
    json_add_int(out, "total", progress->total);
    json_add_int(out, "pending", progress->pending);
    json_add_int(out, "running", progress->running);
    json_add_int(out, "waiting", progress->waiting);
    json_add_int(out, "succeeded", progress->succeeded);
    json_add_int(out, "failed", progress->failed);
    json_add_int(out, "skipped", progress->skipped);
    json_add_int(out, "cancelled", progress->cancelled);
    json_object_end(out);
}

static void add_workflow(const struct store_run *run, struct pl_buf *out)
{
    json_key(out, "workflow");
    json_object_begin(out);
    add_text_or_null(out, "name", run->workflow_name);
    if (run->workflow_version)
        json_add_int(out, "version", run->workflow_version);
    else
        json_add_null(out, "version");
    json_object_end(out);
}

void run_view_run_open(const struct store_run *run, const struct run_progress *progress,
                       struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "id", run->id);
    json_add_string(out, "object", PL_STR("run"));
    json_add_string(out, "status", run->status);
    json_add_bool(out, "paused", run->paused);
    add_workflow(run, out);
    json_add_raw(out, "input", pl_value_text(run->input));
    json_add_raw(out, "output", pl_value_text(run->output));
    json_add_raw(out, "error", pl_value_text(run->error));
    add_times(out, run->created_at, run->started_at, run->ended_at);
    json_key(out, "usage");
    run_view_usage(&run->usage, out);
    run_view_progress(progress, out);
    add_text_or_null(out, "thread", run->thread);
    json_add_raw(out, "metadata", run->metadata.len ? run->metadata : PL_STR("{}"));
}

static void add_member(struct pl_buf *out, struct pl_str object, const char *key)
{
    struct pl_str value;

    json_add_raw(out, key, json_get(object, pl_str(key), &value) ? value : PL_STR("null"));
}

void run_view_waiting(const struct pl_value *memo, pl_ms until, struct pl_buf *out)
{
    struct pl_str question = pl_value_text(memo);

    if (!memo || json_type(question) != JSON_OBJECT) {
        pl_buf_text(out, "null");
        return;
    }
    json_object_begin(out);
    add_member(out, question, "ask");
    add_member(out, question, "schema");
    add_member(out, question, "data");
    add_time(out, "expires_at", until);
    json_object_end(out);
}

static void run_view_call(const struct pl_value *call, struct pl_buf *out)
{
    struct pl_str facts = pl_value_text(call), cached;

    json_add_bool(out, "cached",
                  call && json_get(facts, PL_STR("cached"), &cached) && pl_str_is(cached, "true"));
    json_add_raw(out, "call", call ? facts : PL_STR("null"));
}

/* While its branches run the row keeps of the join only what they do not say. */
static bool has_report(const struct store_step *step)
{
    return step->join.len && !pl_str_is(step->phase, node_state_phase(NODE_JOINING));
}

void run_view_step(const struct store_step *step, const struct run_progress *progress,
                   struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "path", step->path);
    json_add_string(out, "kind", step->kind);
    json_add_string(out, "status", step->status);
    json_add_int(out, "attempts", step->attempts);
    add_text_or_null(out, "model", step->model);
    json_add_raw(out, "output", pl_value_text(step->output));
    json_add_raw(out, "error", pl_value_text(step->error));
    json_add_bool(out, "handled", step->handled);
    add_text_or_null(out, "reason", step->reason);
    json_add_raw(out, "join", has_report(step) ? step->join : PL_STR("null"));
    json_key(out, "waiting");
    run_view_waiting(pl_str_is(step->status, "waiting") ? step->memo : NULL, step->wake_at, out);
    json_key(out, "usage");
    run_view_usage(&step->usage, out);
    run_view_call(step->call, out);
    if (progress)
        run_view_progress(progress, out);
    else
        json_add_null(out, "progress");
    add_times(out, step->created_at, step->started_at, step->ended_at);
    json_object_end(out);
}
