/* ref_join.c - the second opinion on joins: from the order in which branches ended, what must each
 * join have come to? Written from the contract ("Join policies") and service/run/run_join.h, not
 * from the implementation. Called by reference.c at the end of a run. */
#include "tests/sim/judge.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct opinion {
    const struct sim_step *step;
    const struct step_def *def;
    struct sim_step **branches; /* NULL: one that was never seen */
    unsigned total, succeeded, failed, skipped, cancelled;
    bool started, decided, satisfied, by_deadline;
    enum pl_code code;
    int winner;
    size_t at;     /* place in the history */
    bool *counted; /* by branch */
    bool *late;    /* by branch: ended after the decision */
    bool fixed;    /* a vote that was over early */
    bool either;   /* two timers of one tick: both ways are right */
};

bool sim_is_success(const struct sim_entry *entry)
{
    return entry->state == NODE_SUCCEEDED || (entry->state == NODE_FAILED && entry->handled);
}

static unsigned needed(const struct opinion *o)
{
    unsigned n = o->total - o->skipped;

    switch (o->def->join.kind) {
    case JOIN_ANY:
        return 1;
    case JOIN_QUORUM:
        return o->def->join.quorum;
    case JOIN_FRACTION:
        return (unsigned)fmax(1, ceil(o->def->join.fraction * n - 1e-9));
    case JOIN_ALL:
    case JOIN_SETTLED:
        break;
    }
    return n;
}

static void conclude(struct opinion *o, bool satisfied, enum pl_code code, size_t at)
{
    o->decided = true;
    o->satisfied = satisfied;
    o->code = satisfied ? PL_OK : code;
    o->at = at;
}

static void consider(struct opinion *o, size_t at)
{
    unsigned open = o->total - o->succeeded - o->failed - o->skipped - o->cancelled;
    const struct join_policy *join = &o->def->join;

    if (join->kind == JOIN_ALL) {
        if (o->failed + o->cancelled > 0)
            conclude(o, false, PL_ERR_BRANCH_FAILED, at);
        else if (open == 0)
            conclude(o, true, PL_OK, at);
    } else if (join->kind == JOIN_SETTLED) {
        if (join->min_given && o->succeeded + open < join->min && o->total > o->skipped)
            conclude(o, false, PL_ERR_QUORUM_UNREACHABLE, at);
        else if (open == 0)
            conclude(o, true, PL_OK, at);
    } else if (o->total == o->skipped) {
        conclude(o, false, PL_ERR_QUORUM_UNREACHABLE, at);
    } else if (o->succeeded >= needed(o)) {
        conclude(o, true, PL_OK, at);
    } else if (o->succeeded + open < needed(o)) {
        conclude(o, false, PL_ERR_QUORUM_UNREACHABLE, at);
    }
}

static bool enough_at_deadline(const struct opinion *o, unsigned succeeded)
{
    const struct join_policy *join = &o->def->join;

    if (join->kind == JOIN_ALL || join->kind == JOIN_SETTLED)
        return succeeded >= (join->min_given ? join->min : 1);
    return succeeded >= needed(o);
}

static int branch_of(const struct opinion *o, const struct sim_run *run, int32_t index)
{
    const struct sim_step *step = index < 0 ? NULL : run->steps[index];

    if (!step || step->up != o->step || !sim_is_branch(step))
        return -1;
    if (o->def->kind != STEP_PARALLEL)
        return (int)step->number;
    for (size_t i = 0; i < o->def->n_children; i++)
        if (o->def->children[i] == step->def)
            return (int)i;
    return -1;
}

static void count_branch(struct opinion *o, const struct sim_entry *entry, int branch, size_t at)
{
    /* Only a user stops a branch while its join is open: any other reason means that it no longer
     * is. */
    if (o->decided || (entry->state == NODE_CANCELLED && entry->reason != CANCEL_USER)) {
        o->late[branch] = true;
        return;
    }
    if (sim_is_success(entry)) {
        o->succeeded++;
        o->counted[branch] = true;
    } else if (entry->state == NODE_FAILED) {
        o->failed++;
    } else if (entry->state == NODE_SKIPPED) {
        o->skipped++;
    } else {
        o->cancelled++;
    }
    if (o->started) /* else a user stopped the branch before the step began */
        consider(o, at);
    if (o->decided)
        o->winner = branch;
}

/* The entries of one event: from its SIM_EVENT up to the next. */
static size_t group_end(const struct sim_run *run, size_t from)
{
    size_t end = from + 1;

    while (end < run->n_history && run->history[end].what != SIM_EVENT)
        end++;
    return end;
}

/* Did it close in this group, and was that its join's doing? */
static const struct sim_entry *closed_in(const struct sim_run *run, const struct opinion *o,
                                         size_t from, size_t end)
{
    for (size_t i = from; i < end; i++)
        if (run->history[i].what == SIM_CLOSED && run->history[i].index == (int32_t)o->step->id)
            return &run->history[i];
    return NULL;
}

/* Has its deadline come by the time of this event? */
static bool is_due(const struct sim_run *run, const struct opinion *o, size_t from)
{
    enum run_event_type type = run->history[from].event;

    return o->started && !o->decided && o->def->join.deadline > 0 &&
           run->history[from].now >= sim_started_at(o->step) + o->def->join.deadline &&
           (type == RUN_EV_TICK || type == RUN_EV_RECOVER);
}

/* Several times may have come at once, and what ended in this event ended before or after the
 * decision: where that makes a difference, both ways are right. */
static void conclude_by_deadline(const struct sim_run *run, struct opinion *o, size_t from,
                                 size_t end)
{
    conclude(o, enough_at_deadline(o, o->succeeded), PL_ERR_JOIN_DEADLINE, from);
    o->by_deadline = true;
    for (size_t i = from; i < end; i++)
        if (run->history[i].what == SIM_FINAL && branch_of(o, run, run->history[i].index) >= 0 &&
            sim_is_success(&run->history[i]))
            o->either = true;
}

/* After one event: did the product close the step when it should have? False: from here on there is
 * nothing to say (it was cancelled or timed out from outside). */
static bool after_group(struct sim_run *run, struct opinion *o, size_t from,
                        const struct sim_entry *closed)
{
    if (o->decided && closed && !closed->decided && o->at >= from) {
        o->decided = o->satisfied = false; /* stopped from outside by the same event */
        return false;
    }
    if (closed && !closed->decided)
        return false;
    if (!o->decided && closed)
        sim_breach(run, "%s: its join was decided too early", o->step->path.ptr);
    else if (o->decided && !closed && o->at >= from)
        sim_breach(run, "%s: its join was decided and nothing happened", o->step->path.ptr);
    else if (is_due(run, o, from))
        sim_breach(run, "%s: its join's deadline passed and nothing happened", o->step->path.ptr);
    return true;
}

static void take_entry(struct opinion *o, const struct sim_run *run, size_t at)
{
    const struct sim_entry *entry = &run->history[at];
    int branch = entry->what == SIM_FINAL ? branch_of(o, run, entry->index) : -1;

    if (branch >= 0)
        count_branch(o, entry, branch, at);
    if (entry->what == SIM_STARTED && entry->index == (int32_t)o->step->id) {
        o->started = true;
        consider(o, at);
    }
}

/* Whether a vote was over early is looked at when it happens (ref_votes.c); which of several
 * branches that ended at once decided it is not known. */
static void conclude_early(const struct sim_run *run, struct opinion *o, size_t at)
{
    const struct sim_entry *entry = &run->history[at];

    if (entry->what != SIM_FINAL || branch_of(o, run, entry->index) < 0)
        return;
    o->either |= o->fixed;
    if (!o->decided) {
        conclude(o, true, PL_OK, at);
        o->fixed = true;
    }
}

static void form_opinion(struct sim_run *run, struct opinion *o)
{
    size_t end;

    o->winner = -1;
    for (size_t from = 0; from < run->n_history && !run->broken; from = end) {
        const struct sim_entry *closed;

        end = group_end(run, from);
        closed = closed_in(run, o, from, end);
        if (closed && closed->by_deadline && is_due(run, o, from))
            conclude_by_deadline(run, o, from, end);
        for (size_t i = from; i < end; i++) {
            take_entry(o, run, i);
            if (closed && closed->fixed)
                conclude_early(run, o, i);
        }
        if (o->started && !after_group(run, o, from, closed))
            return;
    }
}

/* ---- against what the product said ---- */

static long long report_number(struct pl_str report, const char *key)
{
    struct pl_str value;
    int64_t number;

    if (!json_get(report, pl_str(key), &value) || !json_int(value, &number))
        return -1;
    return number;
}

static bool report_is(struct pl_str report, const char *key, const char *json)
{
    struct pl_str value;

    return json_get(report, pl_str(key), &value) && pl_str_is(value, json);
}

static unsigned expected_counted(const struct opinion *o)
{
    unsigned counted = 0;

    for (unsigned i = 0; i < o->total; i++)
        counted += o->counted[i];
    return o->satisfied && o->def->join.kind == JOIN_ANY && counted > 1 ? 1 : counted;
}

static void judge_report(struct sim_run *run, const struct opinion *o, struct pl_str report)
{
    char by[32];

    snprintf(by, sizeof(by), "\"%s\"",
             o->by_deadline ? "deadline"
             : o->fixed     ? "outcome_fixed"
                            : join_kind_name(o->def->join.kind));
    if (!report.len)
        sim_breach(run, "%s: has no join report", o->step->path.ptr);
    else if (report_number(report, "total") != (long long)o->total)
        sim_breach(run, "%s: report: total is not %u: %.*s", o->step->path.ptr, o->total,
                   PL_STR_ARG(report));
    else if (!report_is(report, "satisfied_by", o->satisfied ? by : "null"))
        sim_breach(run, "%s: report: satisfied_by is not %s: %.*s", o->step->path.ptr,
                   o->satisfied ? by : "null", PL_STR_ARG(report));
    else if (o->satisfied && report_number(report, "counted") != (long long)expected_counted(o))
        sim_breach(run, "%s: report: counted is not %u: %.*s", o->step->path.ptr,
                   expected_counted(o), PL_STR_ARG(report));
}

/* When everything of it has ended, each branch is in exactly one of the numbers. */
static void judge_report_counts(struct sim_run *run, const struct opinion *o, struct pl_str report)
{
    unsigned failed = 0, cancelled = 0;

    for (unsigned i = 0; i < o->total; i++) {
        const struct sim_step *branch = o->branches[i];

        if (!branch || !branch->last) { /* with the decision it is as good as stopped */
            cancelled += o->decided && o->def->kind != STEP_PARALLEL;
            continue;
        }
        failed += branch->mirror.state == NODE_FAILED && !sim_handled(branch);
        cancelled += branch->mirror.state == NODE_CANCELLED;
    }
    if (o->def->join.drain)
        return;
    if (report_number(report, "missing") != (long long)o->total - report_number(report, "counted") -
                                                report_number(report, "failed") -
                                                report_number(report, "cancelled"))
        sim_breach(run, "%s: report: its numbers do not add up: %.*s", o->step->path.ptr,
                   PL_STR_ARG(report));
    if (report_number(report, "failed") != (long long)failed ||
        report_number(report, "cancelled") != (long long)cancelled)
        sim_breach(run, "%s: report: %u failed, %u cancelled, and it says %.*s", o->step->path.ptr,
                   failed, cancelled, PL_STR_ARG(report));
}

/* Is a budget at the bottom of it? */
static bool is_for_budget(struct pl_str error)
{
    struct pl_str cause;

    while (json_get(error, PL_STR("after"), &cause)) /* its handler failed; this is its own */
        error = cause;
    while (json_get(error, PL_STR("cause"), &cause))
        error = cause;
    return sim_error_code(error) == PL_ERR_BUDGET_EXCEEDED;
}

static enum cancel_reason loser_reason(const struct opinion *o)
{
    struct pl_str error = sim_error(o->step);

    if (o->fixed)
        return CANCEL_OUTCOME_FIXED;
    if (!o->decided || o->by_deadline) /* its own time ran out, or its join's */
        return CANCEL_DEADLINE;
    if (!o->satisfied)
        return is_for_budget(error) ? CANCEL_BUDGET : CANCEL_SIBLING_FAILED;
    return o->def->join.kind == JOIN_ANY ? CANCEL_LOST_RACE : CANCEL_QUORUM_MET;
}

/* Where a handler failed as well, its error stands in front of the join's own. */
static bool is_loser_reason(const struct opinion *o, enum cancel_reason reason)
{
    struct pl_str after;
    enum cancel_reason should = loser_reason(o);
    bool similar = (should == CANCEL_SIBLING_FAILED && reason == CANCEL_BUDGET) ||
                   (should == CANCEL_BUDGET && reason == CANCEL_SIBLING_FAILED);

    return reason == should || (similar && json_get(sim_error(o->step), PL_STR("after"), &after));
}

static void judge_branches(struct sim_run *run, const struct opinion *o)
{
    for (unsigned i = 0; i < o->total; i++) {
        const struct sim_step *branch = o->branches[i];
        enum node_state state = branch ? branch->mirror.state : NODE_WAITING;

        if (!branch || !branch->last)
            continue;
        if (sim_counted(branch) && !sim_is_good(branch))
            sim_breach(run, "%s: is %s and counted", branch->path.ptr, node_state_phase(state));
        if (o->satisfied && !o->either && sim_counted(branch) != o->counted[i])
            sim_breach(run, "%s: counted is %d, should be %d", branch->path.ptr,
                       sim_counted(branch), o->counted[i]);
        if (state == NODE_CANCELLED && o->late[i] && !o->def->join.drain && o->decided &&
            !is_loser_reason(o, branch->mirror.reason) && !sim_user_cancelled(run, branch, false))
            sim_breach(run, "%s: was cancelled as %s, should be %s", branch->path.ptr,
                       cancel_reason_text(branch->mirror.reason),
                       cancel_reason_text(loser_reason(o)));
    }
}

static void add_result(struct pl_buf *out, const struct opinion *o, unsigned i)
{
    const struct sim_step *branch = o->branches[i];

    if (o->counted[i]) {
        pl_buf_str(out, sim_output(branch));
    } else if (o->def->join.kind == JOIN_SETTLED && branch && branch->mirror.state == NODE_FAILED &&
               !o->late[i]) {
        pl_buf_text(out, "{\"error\":");
        pl_buf_str(out, sim_error(branch));
        pl_buf_char(out, '}');
    } else {
        pl_buf_text(out, "null");
    }
}

/* How many items a branch has; 1 without `batch`. */
static size_t items_of(const struct sim_run *run, const struct sim_step *map, size_t branch)
{
    size_t each = map->def->config.map->batch, left = sim_items(run, map) - branch * each;

    return each == 0 ? 1 : left < each ? left : each;
}

void sim_write_outputs(struct pl_buf *out, const struct sim_run *run, const struct sim_step *map,
                       size_t branch)
{
    struct pl_str output = sim_output(sim_branch(run, map, branch));
    size_t items = items_of(run, map, branch);
    bool spread = map->def->config.map->batch && json_type(output) == JSON_ARRAY &&
                  json_count(output) == items;

    if (spread) {
        pl_buf_str(out, pl_str_n(output.ptr + 1, output.len - 2));
        return;
    }
    for (size_t i = 0; i < items; i++) { /* what on_error gave is that of each */
        pl_buf_text(out, i > 0 ? "," : "");
        pl_buf_str(out, output);
    }
}

/* One branch of a map with `batch`: a result for each of its items. */
static void add_batch(struct pl_buf *out, const struct sim_run *run, const struct opinion *o,
                      unsigned i)
{
    if (i > 0)
        pl_buf_char(out, ',');
    if (o->counted[i]) {
        sim_write_outputs(out, run, o->step, i);
        return;
    }
    for (size_t k = 0; k < items_of(run, o->step, i); k++) {
        pl_buf_text(out, k > 0 ? "," : "");
        add_result(out, o, i);
    }
}

static void write_value(struct pl_buf *out, const struct sim_run *run, const struct opinion *o)
{
    bool list = o->def->kind == STEP_MAP;

    if (o->def->join.kind == JOIN_ANY) {
        pl_buf_str(out, sim_output(o->branches[o->winner]));
        return;
    }
    pl_buf_char(out, list ? '[' : '{');
    for (unsigned i = 0; i < o->total; i++) {
        if (list && o->def->config.map->batch) {
            add_batch(out, run, o, i);
            continue;
        }
        pl_buf_text(out, i > 0 ? "," : "");
        if (!list) {
            json_write_string(out, o->def->children[i]->id);
            pl_buf_char(out, ':');
        }
        add_result(out, o, i);
    }
    pl_buf_char(out, list ? ']' : '}');
}

static void judge_value(struct sim_run *run, const struct opinion *o)
{
    struct pl_buf expected;
    struct pl_str is = sim_output(o->step);

    if (o->def->kind == STEP_VOTE || (o->def->kind == STEP_MAP && o->def->config.map->fan_in))
        return; /* ref_kinds.c */
    pl_buf_init(&expected, 64u << 20);
    write_value(&expected, run, o);
    if (!pl_str_eq(pl_buf_view(&expected), is) && !json_equal(pl_buf_view(&expected), is))
        sim_breach(run, "%s: its value is %.*s, should be %.*s", o->step->path.ptr, PL_STR_ARG(is),
                   PL_STR_ARG(pl_buf_view(&expected)));
    pl_buf_finish(&expected);
}

static bool has_late_failure(const struct opinion *o)
{
    for (unsigned i = 0; i < o->total; i++)
        if (o->late[i] && o->branches[i] && o->branches[i]->mirror.state == NODE_FAILED)
            return true;
    return false;
}

/* Can a step whose join is satisfied fail all the same: by `accept`, by an expression, by what
 * comes after the join? */
static bool may_fail_satisfied(const struct sim_run *run, const struct opinion *o,
                               enum pl_code code)
{
    const struct sim_step *step = o->step;

    if (code == PL_ERR_NOT_ACCEPTED || code == PL_ERR_INVALID_OUTPUT || o->def->kind == STEP_VOTE)
        return true;
    if (code == PL_ERR_EXPRESSION_ERROR)
        return sim_eval_fails(run, step, RUN_EVAL_ACCEPT, 0) ||
               sim_eval_fails(run, step, RUN_EVAL_DEFAULT, 0) ||
               sim_eval_fails(run, step, RUN_EVAL_KEY, 0) ||
               sim_eval_fails(run, step, RUN_EVAL_WRITES, 0);
    return o->def->kind == STEP_MAP && o->def->config.map->fan_in && /* its collapse, or its time */
           (code == PL_ERR_BRANCH_FAILED || code == PL_ERR_DEADLINE || code == PL_ERR_TIMEOUT);
}

static void judge_failure(struct sim_run *run, const struct opinion *o)
{
    enum pl_code code = sim_error_code(sim_error(o->step));

    if (o->satisfied && !may_fail_satisfied(run, o, code) && !o->def->handler)
        sim_breach(run, "%s: its join is satisfied and it failed: %.*s", o->step->path.ptr,
                   PL_STR_ARG(sim_error(o->step)));
    if (!o->satisfied && !o->def->handler && o->def->on_error != ON_ERROR_DEFAULT &&
        code != o->code)
        sim_breach(run, "%s: its error is %.*s, should be %s", o->step->path.ptr,
                   PL_STR_ARG(sim_error(o->step)), pl_code_text(o->code));
}

static void judge(struct sim_run *run, const struct opinion *o)
{
    enum node_state state = o->step->mirror.state;
    struct pl_str report = o->step->last->row.join;

    if (state == NODE_CANCELLED) {
        /* whatever its join had come to is void, unless it failed behind it and was handling that
         */
        if (o->def->kind == STEP_PARALLEL && !o->def->n_writes &&
            !report_is(report, "satisfied_by", "null"))
            sim_breach(run, "%s: was cancelled and says %.*s", o->step->path.ptr,
                       PL_STR_ARG(report));
        return;
    }
    if (!o->either)
        judge_report(run, o, report);
    judge_report_counts(run, o, report);
    judge_branches(run, o);
    if (o->either || !o->decided)
        return;
    if (!o->satisfied && state == NODE_SUCCEEDED)
        sim_breach(run, "%s: its join is not satisfied (%s) and it succeeded", o->step->path.ptr,
                   pl_code_text(o->code));
    if (state == NODE_FAILED)
        judge_failure(run, o);
    if (state == NODE_SUCCEEDED && o->satisfied && !has_late_failure(o))
        judge_value(run, o);
}

void sim_judge_join(struct sim_run *run, const struct sim_step *step)
{
    struct opinion o = {.step = step, .def = step->def};

    if (sim_started_at(step) == 0)
        return;
    o.total = (unsigned)sim_branches(run, step);
    o.counted = sim_alloc(o.total, sizeof(bool));
    o.late = sim_alloc(o.total, sizeof(bool));
    o.branches = sim_alloc(o.total, sizeof(struct sim_step *));
    for (size_t i = 0; i < o.total; i++)
        o.branches[i] = sim_branch(run, step, i);
    form_opinion(run, &o);
    if (!run->broken)
        judge(run, &o);
    free(o.counted);
    free(o.late);
    free(o.branches);
}
