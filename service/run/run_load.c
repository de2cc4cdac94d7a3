/* run_load.c - a run read back from its rows. Not the store's reading (storage/), not what follows
 * a crash (RUN_EV_RECOVER). Called through run_core_load.
 *
 * Rows hold what cannot be derived; counters, deadlines, joins' counts and the ends of steps that
 * have no row follow from them. run_core_check then judges the whole: rows that contradict each
 * other break an invariant. */
#include "base/json.h"
#include "service/run/run_core_private.h"

#include <stdlib.h>

struct loader {
    struct run_core *core;
    struct pl_err *err;
};

static enum pl_code corrupt(struct loader *load, const struct store_step *row, const char *what)
{
    return pl_err_set(load->err, PL_ERR_STORE_CORRUPT, "the row of step %.*s %s",
                      PL_STR_ARG(row->path), what);
}

/* ---- one step ---- */

static bool state_fits_kind(enum node_state state, enum step_kind kind)
{
    if (state == NODE_ASKING)
        return kind == STEP_HUMAN;
    if (state == NODE_SLEEPING)
        return kind == STEP_SLEEP;
    if (state == NODE_JOINING)
        return step_kind_has_inside(kind);
    if (state == NODE_HELD || state == NODE_CALLING || state == NODE_BACKOFF ||
        state == NODE_STOPPING)
        return step_kind_is_leaf(kind);
    return true;
}

static bool in_flight(const struct run_node *node)
{
    return node->state == NODE_CALLING || node->state == NODE_STOPPING;
}

static enum pl_code load_counts(struct loader *load, struct run_node *node,
                                const struct store_step *row)
{
    int64_t over = row->attempts - in_flight(node);

    if (row->tries < 0 || row->tries > over || row->attempts > UINT32_MAX)
        return corrupt(load, row, "has counts of attempts that contradict each other");
    node->attempts = (unsigned)row->attempts;
    node->tries = (unsigned)row->tries;
    node->free_tries = (unsigned)(over - row->tries);
    return PL_OK;
}

static enum pl_code load_reason(struct loader *load, struct run_node *node,
                                const struct store_step *row)
{
    struct run_core *core = load->core;

    if (node->state == NODE_HELD) {
        if (row->reason.len == 0)
            return corrupt(load, row, "waits for no reason");
        if (!core->texts)
            core->texts = pl_arena_create(0);
        node->held_reason = core->texts ? pl_arena_str(core->texts, row->reason).ptr : NULL;
        return node->held_reason ? PL_OK : pl_err_set(load->err, PL_ERR_NO_MEMORY, "out of memory");
    }
    if (node->state == NODE_SKIPPED && pl_str_is(row->reason, "dependency_failed")) {
        node->dependency_failed = true;
        return PL_OK;
    }
    if (!cancel_reason_from_text(row->reason, &node->reason))
        return corrupt(load, row, "has an unknown reason");
    return PL_OK;
}

/* The code of an error that waits for something else to end. */
static enum pl_code waiting_failure(const struct run_node *node)
{
    bool waits = node->state == NODE_STOPPING || node->state == NODE_DEFAULTING ||
                 node->state == NODE_HANDLING || node->state == NODE_CLOSING;

    return waits && node->error ? run_problem_code(node->error) : PL_OK;
}

/* A call's usage is its own and that of everything it stands in, whose rows have it only when they
 * are over. */
static void add_usage(struct run_node *node, const struct store_usage *usage)
{
    if (!step_kind_is_leaf(node->def->kind))
        return;
    store_usage_add(&node->usage, usage);
    while ((node = run_node_up(node)))
        if (!step_kind_is_leaf(node->def->kind))
            store_usage_add(&node->usage, usage);
}

/* Which of the models it was at. */
static void load_model(struct run_node *node, struct pl_str model)
{
    const struct llm_config *llm = node->def->kind == STEP_LLM ? node->def->config.llm : NULL;

    for (size_t i = 0; llm && model.len && i < llm->n_fallback; i++)
        if (pl_str_eq(llm->fallback[i], model) && !pl_str_eq(llm->model, model))
            node->fallback = (uint16_t)(i + 1);
}

static void load_values(struct run_node *node, const struct store_step *row)
{
    pl_ms from = step_kind_is_leaf(node->def->kind) ? row->sent_at : row->started_at;

    node->handled = row->handled;
    node->counted = row->counted;
    node->output = pl_value_ref(row->output);
    node->error = pl_value_ref(row->error);
    node->memo = pl_value_ref(row->memo);
    node->writes = pl_value_ref(row->writes);
    node->call = pl_value_ref(row->call);
    node->failure = waiting_failure(node);
    add_usage(node, &row->usage);
    node->created_at = row->created_at;
    node->started_at = row->started_at;
    node->ended_at = row->ended_at;
    node->wake_at = row->wake_at;
    node->sent_at = row->sent_at;
    node->deadline_at = from > 0 && node->def->deadline > 0 ? from + node->def->deadline : 0;
    node->recorded = true;
    load_model(node, row->model);
}

/* A string member of a report; empty when it is null. They are names: nothing in them is escaped.
 */
static struct pl_str report_word(struct pl_str report, const char *key)
{
    struct pl_str token;

    if (!json_get(report, pl_str(key), &token) || json_type(token) != JSON_STRING)
        return pl_str_n(NULL, 0);
    return pl_str_n(token.ptr + 1, token.len - 2);
}

static enum pl_code code_of_word(struct pl_str word)
{
    char text[64] = "";

    if (word.len < sizeof(text))
        memcpy(text, word.ptr, word.len);
    return pl_code_from_text(text);
}

/* The branch that won: a number, or the id of one. */
static int load_winner(const struct step_def *def, struct pl_str report)
{
    struct pl_str winner = report_word(report, "winner"), token;
    int64_t number;

    for (size_t i = 0; winner.len && i < def->n_children; i++)
        if (pl_str_eq(def->children[i]->id, winner))
            return (int)i;
    for (size_t i = 0; winner.len && i < def->n_bodies; i++)
        if (pl_str_eq(def->bodies[i]->id, winner))
            return (int)i;
    if (json_get(report, PL_STR("winner"), &token) && json_int(token, &number) && number >= 0)
        return (int)number;
    return -1;
}

/* How the decision stood is in the report; the counts are found again from the branches. */
static void load_decision(const struct step_def *def, struct node_join *join, struct pl_str report)
{
    struct pl_str by = report_word(report, "satisfied_by"), code = report_word(report, "code");

    if (by.len) {
        join->decided = join->satisfied = true;
        join->by_deadline = pl_str_is(by, "deadline");
        join->fixed = pl_str_is(by, "outcome_fixed");
    } else if (code.len) {
        join->decided = true;
        join->code = code_of_word(code);
        join->by_deadline = join->code == PL_ERR_JOIN_DEADLINE;
    }
    join->winner = load_winner(def, report);
}

static void load_warm_up(struct node_join *join, struct pl_str report)
{
    struct pl_str warm_up, waited;
    int64_t ms;

    if (!json_get(report, PL_STR("warm_up"), &warm_up) ||
        !json_get(warm_up, PL_STR("waited_ms"), &waited) || !json_int(waited, &ms) || ms < 0)
        return;
    join->warmed = true;
    join->waited = ms;
}

static enum pl_code load_join(struct loader *load, struct run_node *node,
                              const struct store_step *row)
{
    const struct step_def *def = node->def;

    if (!step_kind_joins(def->kind) || !node->started_at)
        return PL_OK;
    node->join = calloc(1, sizeof(*node->join));
    if (!node->join)
        return pl_err_set(load->err, PL_ERR_NO_MEMORY, "out of memory");
    node->join->total = (unsigned)def->n_children;
    node->join->winner = -1;
    if (row->join.len) {
        load_decision(def, node->join, row->join);
        load_warm_up(node->join, row->join);
    }
    return PL_OK;
}

static enum pl_code load_step(struct loader *load, struct run_node *node,
                              const struct store_step *row)
{
    enum pl_code code;

    if (node->recorded)
        return corrupt(load, row, "is there twice");
    if (!pl_str_is(row->kind, step_kind_name(node->def->kind)))
        return corrupt(load, row, "is of another kind than the step in the workflow");
    if (!node_state_from_phase(row->phase, &node->state))
        return corrupt(load, row, "has an unknown phase");
    if (!state_fits_kind(node->state, node->def->kind))
        return corrupt(load, row, "has a phase that no step of its kind has");
    code = load_counts(load, node, row);
    if (code == PL_OK)
        code = load_reason(load, node, row);
    load_values(node, row);
    if (code == PL_OK)
        code = load_join(load, node, row);
    if (code == PL_OK && run_kind_of(node->def->kind)->load)
        code = run_kind_of(node->def->kind)->load(load->core, node, load->err);
    return code;
}

/* ---- all steps ---- */

/* The step of a row. Frames are made as their first row comes. */
static enum pl_code place_row(struct loader *load, const struct store_step *row,
                              struct run_node **ret_node)
{
    struct run_core *core = load->core;
    struct run_place place;

    while (!run_frame_find(core, row->path, &place)) {
        const struct run_kind *kind;
        struct pl_value *value = NULL;
        struct run_frame *frame;

        if (!place.owner)
            return corrupt(load, row, "is of a step that the workflow does not have");
        if (!place.owner->inner)
            return corrupt(load, row, "is inside a step that has not started");
        kind = run_kind_of(place.owner->def->kind);
        if (!kind->fits(core, place.owner, place.body, place.level, place.number, &value))
            return corrupt(load, row, "is of an instance that the step around it does not have");
        frame = run_frame_create(core, place.body, place.owner, place.level, place.number, value);
        if (frame && kind->placed)
            kind->placed(core, frame);
        if (core->out_of_memory)
            return pl_err_set(load->err, PL_ERR_NO_MEMORY, "out of memory");
    }
    *ret_node = place.node;
    return PL_OK;
}

/* A step's path is shorter than those of the steps inside it, so in this order it comes first; and
 * of two turns the earlier one, whatever order the rows come in. */
static int by_length(const void *a, const void *b)
{
    const struct store_step *const *x = a, *const *y = b;

    if ((*x)->path.len != (*y)->path.len)
        return (*x)->path.len < (*y)->path.len ? -1 : 1;
    return memcmp((*x)->path.ptr, (*y)->path.ptr, (*x)->path.len);
}

static enum pl_code load_steps(struct loader *load, const struct store_step *steps, size_t n_steps)
{
    const struct store_step **order = malloc((n_steps + 1) * sizeof(*order));
    enum pl_code code = PL_OK;
    struct run_node *node = NULL;

    if (!order)
        return pl_err_set(load->err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < n_steps; i++)
        order[i] = &steps[i];
    qsort(order, n_steps, sizeof(*order), by_length);
    for (size_t i = 0; code == PL_OK && i < n_steps; i++) {
        code = place_row(load, order[i], &node);
        if (code == PL_OK)
            code = load_step(load, node, order[i]);
    }
    free(order);
    return code;
}

static bool was_entered(const struct run_core *core, const struct run_node *node)
{
    const struct run_node *parent = node->parent;

    if (!parent)
        return node->frame->owner || core->started_at > 0;
    if (!node->def->is_handler)
        return parent->started_at > 0;
    if (parent->state == NODE_HANDLING)
        return true;
    /* one that a user cancelled before it was needed has a row too */
    return node->recorded && ((parent->state == NODE_CLOSING && parent->reason != CANCEL_NONE) ||
                              run_node_is_final(parent));
}

/* A step without a row inside one that is over, or in a run that never began, ended with it. */
static void end_with_parent(const struct run_core *core, struct run_node *node)
{
    const struct run_node *parent = node->parent;
    bool run_gone = !core->started_at && run_state_is_final(core->state);

    if (node->entered || node->recorded || !(run_gone || (parent && run_node_is_final(parent))))
        return;
    node->silent = true;
    node->state = NODE_SKIPPED;
    if (run_gone || parent->state == NODE_CANCELLED) {
        node->state = NODE_CANCELLED;
        node->reason = run_gone ? CANCEL_USER : parent->reason;
    }
}

static void count_dependencies(struct run_node *node)
{
    for (size_t i = 0; i < node->def->n_deps; i++) {
        const struct run_node *dep = run_node_at(node->frame, node->def->deps[i]);

        if (!run_node_is_final(dep) || dep->silent)
            continue;
        node->open_deps--;
        node->skipped_deps += dep->state == NODE_SKIPPED;
        node->dependency_failed |= run_node_let_down(dep);
    }
}

static void derive_frame(struct run_core *core, struct run_frame *frame)
{
    for (size_t i = 0; i < frame->n_nodes; i++) {
        struct run_node *node = &frame->nodes[i];

        node->entered = was_entered(core, node);
        end_with_parent(core, node);
        frame->open += node->entered && !run_node_is_final(node);
        core->in_flight += in_flight(node);
        run_waiting_moved(core, NODE_WAITING, node->state);
    }
    core->open += frame->open;
    for (size_t i = 0; i < frame->n_nodes; i++)
        count_dependencies(&frame->nodes[i]);
    if (frame->open > 0 || !frame->owner)
        return;
    frame->over = true;
    frame->owner->inner->open--;
    pl_list_append(&core->over_frames, &frame->over_link);
}

static enum pl_code derive_kinds(struct run_core *core, struct run_frame *frame, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    for (size_t i = 0; code == PL_OK && i < frame->n_nodes; i++) {
        struct run_node *node = &frame->nodes[i];

        if (run_kind_of(node->def->kind)->derive)
            code = run_kind_of(node->def->kind)->derive(core, node, err);
        run_timers_update(core, node);
    }
    return code;
}

static enum pl_code derive(struct run_core *core, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    for (struct run_frame *frame = core->root; frame; frame = run_frame_next(core, frame))
        derive_frame(core, frame);
    for (struct run_frame *frame = core->root; code == PL_OK && frame;
         frame = run_frame_next(core, frame))
        code = derive_kinds(core, frame, err);
    if (code == PL_OK && core->out_of_memory)
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}

/* ---- the run ---- */

static enum pl_code load_run(struct loader *load, const struct store_run *run)
{
    struct run_core *core = load->core;
    struct pl_err text = {0};
    struct pl_str timeout, budget_json;
    struct budget budget;
    int64_t ms;

    if (!run_state_from_phase(run->phase, &core->state))
        return pl_err_set(load->err, PL_ERR_STORE_CORRUPT,
                          "the run's row has an unknown phase, %.*s", PL_STR_ARG(run->phase));
    core->output = pl_value_ref(run->output);
    core->error = pl_value_ref(run->error);
    pl_err_set(&text, PL_OK, "%.*s", PL_STR_ARG(run->reason));
    memcpy(core->reason, text.message, sizeof(core->reason));
    core->created_at = run->created_at;
    core->started_at = run->started_at;
    core->ended_at = run->ended_at;
    core->usage = run->usage;
    core->seq = run->last_seq;
    core->dirty = false;
    if (run->options.len && json_get(run->options, PL_STR("timeout_ms"), &timeout) &&
        json_int(timeout, &ms) && ms > 0)
        core->timeout = ms;
    if (run->options.len && json_get(run->options, PL_STR("budget"), &budget_json)) {
        budget = run_budget_read(budget_json);
        run_core_set_budget(core, &budget);
    }
    if (core->state == RUN_RUNNING && core->timeout > 0)
        core->timeout_at = core->started_at + core->timeout;
    return PL_OK;
}

enum pl_code run_core_load(struct workflow *workflow, uint64_t seed, const struct store_run *run,
                           const struct store_step *steps, size_t n_steps,
                           struct run_core **ret_core, struct pl_err *err)
{
    struct run_core *core = run_core_new(workflow, seed);
    struct loader load = {.core = core, .err = err};
    const char *breach;
    enum pl_code code;

    if (!core)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = load_run(&load, run);
    core->loading = true;
    if (code == PL_OK)
        code = load_steps(&load, steps, n_steps);
    core->loading = false;
    if (code == PL_OK) {
        code = derive(core, err);
        run_waiting_load(core, run->options);
        breach = code == PL_OK ? run_core_check(core) : NULL;
        if (breach)
            code = pl_err_set(err, PL_ERR_STORE_CORRUPT, "the run's rows contradict: %s", breach);
    }
    if (code == PL_OK)
        *ret_core = core;
    else
        run_core_destroy(&core);
    return code;
}
