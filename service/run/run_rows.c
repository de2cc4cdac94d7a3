/* run_rows.c - the rows of a run as its core knows them. Not the reading back (run_load.c) nor the
 * storing (storage/). Called by the executor, the scenarios and the simulator. */
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"

struct run_node *run_core_take_dirty(struct run_core *core)
{
    struct pl_list *link = core->out_of_memory ? NULL : pl_list_pop(&core->dirty_nodes);
    struct run_node *node;

    if (!link)
        return NULL;
    node = pl_container_of(link, struct run_node, dirty);
    node->again = node->recorded;
    node->recorded = true;
    return node;
}

bool run_core_take_run_dirty(struct run_core *core)
{
    bool dirty = core->dirty && !core->out_of_memory;

    core->dirty = false;
    return dirty;
}

static const char *step_reason(const struct run_node *node)
{
    if (node->state == NODE_HELD)
        return node->held_reason;
    if (node->state == NODE_SKIPPED && node->dependency_failed)
        return "dependency_failed";
    return cancel_reason_text(node->reason);
}

struct pl_str run_node_model(const struct run_node *node)
{
    const struct step_def *def = node->def;

    if (def->kind != STEP_LLM || !def->config.llm)
        return pl_str_n(NULL, 0);
    return node->fallback ? def->config.llm->fallback[node->fallback - 1] : def->config.llm->model;
}

void run_core_step_row(const struct run_core *core, const struct run_node *node,
                       struct pl_arena *arena, struct store_step *ret_row)
{
    (void)core;
    *ret_row = (struct store_step){
        .path = node->path,
        .kind = pl_str(step_kind_name(node->def->kind)),
        .status = pl_str(node_state_status(node->state)),
        .phase = pl_str(node_state_phase(node->state)),
        .attempts = node->attempts,
        .tries = node->tries,
        .handled = node->handled,
        .counted = node->counted,
        .again = node->again,
        .model = run_node_model(node),
        .output = node->output,
        .memo = node->memo,
        .writes = node->writes,
        .error = node->error,
        .call = node->call,
        .reason = pl_str(step_reason(node)),
        .usage = node->usage,
        .created_at = node->created_at,
        .started_at = node->started_at,
        .ended_at = node->ended_at,
        .wake_at = node->wake_at,
        .sent_at = node->sent_at,
    };
    if (!step_kind_is_leaf(node->def->kind) && !run_node_is_final(node))
        ret_row->usage = (struct store_usage){0}; /* the rows of those inside it say it */
    if (node->join)
        ret_row->join = node->state == NODE_JOINING ? run_join_open_report(node, arena)
                                                    : run_join_report(node, arena);
}

void run_core_run_row(const struct run_core *core, struct pl_arena *arena,
                      struct store_run *ret_row)
{
    ret_row->status = core->waiting ? PL_STR("waiting") : pl_str(run_state_status(core->state));
    ret_row->options = run_waiting_options(core, arena, ret_row->options);
    ret_row->phase = pl_str(run_state_phase(core->state));
    ret_row->output = core->output;
    ret_row->error = core->error;
    ret_row->reason = pl_str(core->reason);
    ret_row->created_at = core->created_at;
    ret_row->started_at = core->started_at;
    ret_row->ended_at = core->ended_at;
    ret_row->usage = core->usage;
    ret_row->last_seq = core->seq;
}
