/* run_join.c - see run_join.h. */
#include "service/run/run_join.h"

#include "service/run/run_vote.h"

#include "base/json.h"
#include "base/limits.h"

#include <math.h>

static unsigned join_open(const struct node_join *join)
{
    return join->total - join->succeeded - join->failed - join->skipped - join->cancelled;
}

/* Successes that will do at the deadline, or to go on, where the policy waits for all. */
static unsigned least(const struct join_policy *policy)
{
    return policy->min_given ? policy->min : 1;
}

unsigned run_join_needed(const struct run_node *node)
{
    const struct join_policy *policy = &node->def->join;
    unsigned n = node->join->total - node->join->skipped;
    double share;

    switch (policy->kind) {
    case JOIN_ANY:
        return 1;
    case JOIN_QUORUM:
        return policy->quorum;
    case JOIN_FRACTION:
        /* the product of two doubles may be a hair over the whole number it stands for */
        share = ceil(policy->fraction * n - 1e-9);
        return share < 1 ? 1 : (unsigned)share;
    case JOIN_ALL:
    case JOIN_SETTLED:
        break;
    }
    if (node->join->by_deadline || node->join->code == PL_ERR_QUORUM_UNREACHABLE)
        return least(policy);
    return n;
}

static bool decide(struct node_join *join, bool satisfied, enum pl_code code, bool at_deadline)
{
    join->decided = true;
    join->satisfied = satisfied;
    join->code = satisfied ? PL_OK : code;
    join->by_deadline = at_deadline;
    return true;
}

static bool waits_for_all(const struct join_policy *policy)
{
    return policy->kind == JOIN_ALL || policy->kind == JOIN_SETTLED;
}

static bool decide_all(struct node_join *join)
{
    if (join->failed + join->cancelled > 0)
        return decide(join, false, PL_ERR_BRANCH_FAILED, false);
    return join_open(join) == 0 && decide(join, true, PL_OK, false);
}

static bool decide_settled(struct node_join *join, const struct join_policy *policy)
{
    unsigned open = join_open(join);

    if (policy->min_given && join->total > join->skipped && join->succeeded + open < policy->min)
        return decide(join, false, PL_ERR_QUORUM_UNREACHABLE, false);
    return open == 0 && decide(join, true, PL_OK, false);
}

bool run_join_decide(struct run_node *node, bool at_deadline)
{
    const struct join_policy *policy = &node->def->join;
    struct node_join *join = node->join;
    unsigned needed = run_join_needed(node);

    if (join->decided)
        return false;
    if (at_deadline) {
        if (waits_for_all(policy))
            needed = least(policy);
        return decide(join, join->succeeded >= needed, PL_ERR_JOIN_DEADLINE, true);
    }
    if (policy->kind == JOIN_ALL)
        return decide_all(join);
    if (policy->kind == JOIN_SETTLED)
        return decide_settled(join, policy);
    if (join->succeeded >= needed)
        return decide(join, true, PL_OK, false);
    if (join->succeeded + join_open(join) < needed)
        return decide(join, false, PL_ERR_QUORUM_UNREACHABLE, false);
    return false;
}

enum cancel_reason run_join_reason(const struct run_node *node)
{
    if (node->join->fixed)
        return CANCEL_OUTCOME_FIXED;
    if (node->join->by_deadline)
        return CANCEL_DEADLINE;
    if (!node->join->satisfied)
        return CANCEL_SIBLING_FAILED;
    return node->def->join.kind == JOIN_ANY ? CANCEL_LOST_RACE : CANCEL_QUORUM_MET;
}

/* ---- the value ---- */

static void add_branch(struct pl_buf *out, const struct join_branch *branch, bool settled)
{
    if (branch->counted) {
        pl_buf_str(out, pl_value_text(branch->output));
    } else if (settled && branch->state == NODE_FAILED) {
        json_object_begin(out);
        json_add_raw(out, "error", pl_value_text(branch->error));
        json_object_end(out);
    } else {
        pl_buf_text(out, "null");
    }
}

static void add_branches(struct pl_buf *out, const struct run_node *node, size_t count,
                         join_branch_fn branch_at, bool as_list)
{
    bool settled = node->def->join.kind == JOIN_SETTLED;

    for (size_t i = 0; i < count; i++) {
        struct join_branch branch = branch_at(node, i);

        json_comma(out);
        if (!as_list) {
            json_write_string(out, branch.id);
            pl_buf_char(out, ':');
        }
        add_branch(out, &branch, settled);
    }
}

struct pl_value *run_join_value(const struct run_node *node, size_t count, join_branch_fn branch_at,
                                bool as_list, bool *ret_too_large)
{
    struct pl_value *value;
    struct pl_buf out;

    *ret_too_large = false;
    if (node->def->join.kind == JOIN_ANY && node->join->winner >= 0)
        return pl_value_ref(branch_at(node, (size_t)node->join->winner).output);
    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    pl_buf_char(&out, as_list ? '[' : '{');
    add_branches(&out, node, count, branch_at, as_list);
    pl_buf_char(&out, as_list ? ']' : '}');
    *ret_too_large = out.too_large;
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

/* ---- the report ---- */

static void add_decision(struct pl_buf *out, const struct run_node *node)
{
    const struct node_join *join = node->join;
    const struct step_def *def = node->def;
    const char *by = join->by_deadline ? "deadline"
                     : join->fixed     ? "outcome_fixed"
                                       : join_kind_name(def->join.kind);

    if (join->decided && join->satisfied)
        json_add_string(out, "satisfied_by", pl_str(by));
    else
        json_add_null(out, "satisfied_by");
    json_add_int(out, "needed", run_join_needed(node));
}

/* The branch that won: its id, or its number. */
static void add_winner(struct pl_buf *out, const struct run_node *node)
{
    const struct step_def *def = node->def;
    int winner = node->join->winner;

    if (winner < 0)
        json_add_null(out, "winner");
    else if (def->kind == STEP_PARALLEL)
        json_add_string(out, "winner", def->children[winner]->id);
    else if (def->kind == STEP_VOTE && def->config.vote->n_among)
        json_add_string(out, "winner", def->bodies[winner]->id);
    else
        json_add_int(out, "winner", winner);
}

/* What waiting for the first branch took, and what of the input the provider had read before. */
static void add_warm_up(struct pl_buf *out, const struct run_node *node)
{
    if (!node->join->warmed)
        return;
    json_key(out, "warm_up");
    json_object_begin(out);
    json_add_int(out, "waited_ms", node->join->waited);
    json_add_int(out, "cached_input_tokens", node->usage.cached_input_tokens);
    json_object_end(out);
}

static struct pl_str keep_report(struct pl_buf *out, struct pl_arena *arena)
{
    struct pl_str report =
        pl_buf_failed(out) ? pl_str_n(NULL, 0) : pl_arena_str(arena, pl_buf_view(out));

    pl_buf_finish(out);
    return report;
}

struct pl_str run_join_open_report(const struct run_node *node, struct pl_arena *arena)
{
    struct pl_buf out;

    if (!node->join->warmed)
        return pl_str_n(NULL, 0);
    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    json_object_begin(&out);
    json_add_string(&out, "policy", pl_str(join_kind_name(node->def->join.kind)));
    add_warm_up(&out, node);
    json_object_end(&out);
    return keep_report(&out, arena);
}

struct pl_str run_join_report(const struct run_node *node, struct pl_arena *arena)
{
    const struct node_join *join = node->join;
    const struct step_def *def = node->def;
    struct pl_buf out;

    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    json_object_begin(&out);
    json_add_string(&out, "policy", pl_str(join_kind_name(def->join.kind)));
    add_decision(&out, node);
    json_add_int(&out, "total", join->total);
    json_add_int(&out, "counted", join->counted);
    json_add_int(&out, "failed", join->failed);
    json_add_int(&out, "cancelled", join->cancelled);
    json_add_int(&out, "missing", join->total - join->counted - join->failed - join->cancelled);
    add_winner(&out, node);
    if (join->decided && !join->satisfied)
        json_add_string(&out, "code", pl_str(pl_code_text(join->code)));
    else
        json_add_null(&out, "code");
    /* while it is closing its scores may still come in, one by one */
    if (def->kind == STEP_VOTE && join->decided && node->inner && node->state != NODE_CLOSING)
        run_tally_write(node, arena, &out);
    add_warm_up(&out, node);
    json_object_end(&out);
    return keep_report(&out, arena);
}
