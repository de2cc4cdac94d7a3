/* run_notes.c - rows and events of a run: into the batch, and onto the bus once they are durable.
 * Not what they mean (run_core). Called by run_exec.c on the home loop. */
#include "base/json.h"
#include "service/events/bus.h"
#include "service/run/run_exec_private.h"
#include "service/run/run_join.h"
#include "service/run/run_view.h"

#include <stdlib.h>

struct store_batch *run_notes_batch(struct run_exec *exec)
{
    if (!exec->batch && !exec->dropped)
        exec->batch = store_batch_create(exec->row.tenant, exec->row.id);
    if (!exec->batch)
        run_exec_no_memory(exec);
    return exec->batch;
}

struct pl_str run_notes_join(struct run_exec *exec, const struct run_node *node)
{
    struct pl_str report = run_join_report(node, exec->scratch);

    if (report.len)
        return report;
    run_exec_no_memory(exec);
    return PL_STR("null");
}

/* ---- rows ---- */

static void notes_run_row(struct run_exec *exec)
{
    struct store_run row = exec->row;

    row.status = row.phase = (struct pl_str){0};
    run_core_run_row(exec->core, exec->scratch, &row);
    store_batch_put_run(exec->batch, &row);
    exec->row.again = true;
}

/* Members of what the thread remembered that this run's workflow does not know stay. */
static void write_memory(struct run_exec *exec, struct pl_str state, struct pl_buf *out)
{
    struct json_iter it;

    json_object_begin(out);
    if (exec->memory)
        for (json_iter_init(&it, pl_value_text(exec->memory)); json_iter_next(&it);) {
            struct pl_str key = json_decode_string_arena(it.key, exec->scratch), value;

            if (!json_get(state, key, &value))
                json_add_raw(out, key.ptr ? key.ptr : "", it.value);
        }
    for (json_iter_init(&it, state); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    json_object_end(out);
}

/* A run that succeeds leaves its state to its thread, in the batch of its end. */
static void notes_thread(struct run_exec *exec)
{
    struct pl_value *state = run_core_final_state(exec->core);
    struct store_thread row = {.id = exec->row.thread, .updated_at = loop_now(exec->home)};
    struct pl_buf buf;

    if (run_core_state(exec->core) != RUN_SUCCEEDED || !state || exec->left)
        return;
    pl_buf_init(&buf, SIZE_MAX / 2);
    write_memory(exec, pl_value_text(state), &buf);
    if (!pl_buf_failed(&buf))
        exec->left = pl_value_new(pl_buf_view(&buf));
    pl_buf_finish(&buf);
    if (!exec->left) {
        run_exec_no_memory(exec);
        return;
    }
    row.state = exec->left;
    store_batch_put_thread(exec->batch, &row);
}

void run_notes_rows(struct run_exec *exec)
{
    struct run_node *node;
    bool run_dirty = run_core_take_run_dirty(exec->core);

    while ((node = run_core_take_dirty(exec->core))) {
        struct store_step row = {0};

        if (!run_notes_batch(exec))
            return;
        run_core_step_row(exec->core, node, exec->scratch, &row);
        if (row.join.len == 0 && node->join && node->state != NODE_JOINING) {
            run_exec_no_memory(exec); /* the report is missing */
            return;
        }
        store_batch_put_step(exec->batch, &row);
    }
    /* the run's row goes with every batch: it carries last_seq, usage and status of the same moment
     */
    if ((run_dirty || exec->batch) && run_notes_batch(exec)) {
        notes_run_row(exec);
        if (exec->row.thread.len)
            notes_thread(exec);
    }
}

/* ---- events ---- */

static void data_step(struct run_exec *exec, const struct run_node *node, const char *type,
                      struct pl_buf *out)
{
    if (strcmp(type, "step.started") == 0) {
        json_add_string(out, "kind", pl_str(step_kind_name(node->def->kind)));
        if (node->def->kind == STEP_LLM)
            json_add_string(out, "model", run_node_model(node));
        if (node->join)
            json_add_int(out, "branches", node->join->total);
    } else if (strcmp(type, "step.waiting") == 0) {
        json_key(out, "waiting");
        run_view_waiting(node->memo, node->wake_at, out);
    } else if (strcmp(type, "step.retrying") == 0) {
        json_add_raw(out, "error", pl_value_text(node->error));
        if (node->def->kind == STEP_LLM)
            json_add_string(out, "model", run_node_model(node));
        if (node->wake_at)
            json_add_int(out, "delay_ms", node->wake_at - loop_now(exec->home));
    } else if (strcmp(type, "step.succeeded") == 0) {
        json_key(out, "usage");
        run_view_usage(&node->usage, out);
        if (node->join)
            json_add_raw(out, "join", run_notes_join(exec, node));
    } else if (strcmp(type, "step.failed") == 0) {
        json_add_raw(out, "error", pl_value_text(node->error));
        json_add_bool(out, "handled", node->handled);
        if (node->join)
            json_add_raw(out, "join", run_notes_join(exec, node));
    } else if (strcmp(type, "step.cancelled") == 0) {
        json_add_string(out, "reason", pl_str(cancel_reason_text(node->reason)));
    } else if (strcmp(type, "step.skipped") == 0 && node->dependency_failed) {
        json_add_string(out, "reason", PL_STR("dependency_failed"));
    }
}

static struct pl_str note_data(struct run_exec *exec, const struct run_note *note)
{
    struct pl_buf buf;
    struct pl_str copy;

    if (!note->node)
        return (struct pl_str){0};
    pl_buf_init(&buf, SIZE_MAX / 2); /* its parts are bounded, and half of it would be no JSON */
    json_object_begin(&buf);
    data_step(exec, note->node, note->type, &buf);
    json_object_end(&buf);
    if (pl_buf_failed(&buf))
        run_exec_no_memory(exec);
    copy = buf.len > 2 ? pl_arena_str(exec->scratch, pl_buf_view(&buf)) : (struct pl_str){0};
    pl_buf_finish(&buf);
    return copy;
}

static struct pl_value *note_output(const struct run_exec *exec, const struct run_note *note)
{
    struct store_run row = {0};

    if (note->node)
        return strcmp(note->type, "step.succeeded") == 0 ? note->node->output : NULL;
    run_core_run_row(exec->core, exec->scratch, &row);
    return row.output;
}

/* A copy that outlives the activation: one block, the strings behind it. */
static void notice_add(struct run_exec *exec, const struct bus_event *event)
{
    size_t size = sizeof(struct exec_notice) + event->type.len + event->path.len + event->data.len;
    struct exec_notice *notice = calloc(1, size);
    char *at;

    if (!notice) {
        exec->unnoticed = true;
        return;
    }
    notice->event = *event;
    at = (char *)(notice + 1);
    memcpy(at, event->type.ptr, event->type.len);
    notice->event.type.ptr = at;
    at += event->type.len;
    if (event->path.len)
        memcpy(at, event->path.ptr, event->path.len);
    notice->event.path.ptr = at;
    at += event->path.len;
    if (event->data.len)
        memcpy(at, event->data.ptr, event->data.len);
    notice->event.data.ptr = at;
    notice->event.output = pl_value_ref(event->output);
    pl_list_append(&exec->notices, &notice->link);
}

void run_notes_add(struct run_exec *exec, const struct run_note *note)
{
    struct store_event row = {
        .seq = note->seq,
        .at = loop_now(exec->home),
        .type = pl_str(note->type),
        .path = note->node ? note->node->path : (struct pl_str){0},
        .attempt = note->node ? note->node->attempts : 0,
        .data = note_data(exec, note),
    };
    struct bus_event event;

    if (!run_notes_batch(exec))
        return;
    store_batch_put_event(exec->batch, &row);
    if (!bus_watched(exec->env->bus, exec->row.id, false)) {
        exec->unnoticed = true; /* who begins to watch before the commit must read the store */
        return;
    }
    event = (struct bus_event){
        .seq = row.seq,
        .at = row.at,
        .type = row.type,
        .path = row.path,
        .attempt = row.attempt,
        .data = row.data,
        .output = note_output(exec, note),
    };
    notice_add(exec, &event);
}

void run_notes_text(struct run_exec *exec, const struct exec_call *call)
{
    const struct bus_event event = {
        .at = loop_now(exec->home),
        .type = PL_STR("step.delta"),
        .path = call->call.path,
        .attempt = call->call.attempt,
        .data = pl_buf_view(&call->held),
    };

    if (bus_watched(exec->env->bus, exec->row.id, true))
        notice_add(exec, &event);
}

static void publish(struct run_exec *exec, const struct bus_event *event)
{
    bus_publish(exec->env->bus, exec->row.id, event);
    if (!event->seq)
        bus_text_end(exec->env->bus, exec->row.id, event->path); /* it is all there was */
}

void run_notes_publish(struct run_exec *exec, struct pl_list *notices, bool wanted)
{
    for (struct pl_list *link; (link = pl_list_pop(notices));) {
        struct exec_notice *notice = pl_container_of(link, struct exec_notice, link);

        if (wanted)
            publish(exec, &notice->event);
        pl_value_unref(&notice->event.output);
        free(notice);
    }
}
