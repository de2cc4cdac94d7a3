/* play.c - the world around one played run: what the script says, when; time. Not the trace
 * (show.c). Called by main.c.
 *
 * What comes at one time comes in the order it was set: first what the script does (it was set
 * before the start), then answers in the order of their calls, then the tick. */
#include "base/json.h"
#include "base/limits.h"
#include "tests/scenario/scenario.h"

#include <stdarg.h>
#include <stdio.h>

enum { PLAY_EVENTS_MAX = 5000 };

void play_breach(struct play *play, const char *fmt, ...)
{
    va_list args;

    if (play->breach[0])
        return;
    va_start(args, fmt);
    vsnprintf(play->breach, sizeof(play->breach), fmt, args);
    va_end(args);
}

/* ---- what is coming ---- */

static void expect(struct play *play, struct coming coming)
{
    struct coming **at = &play->coming, *copy = pl_arena_alloc(play->arena, sizeof(*copy));

    if (!copy) {
        play_breach(play, "out of memory");
        return;
    }
    while (*at && (*at)->at <= coming.at)
        at = &(*at)->next;
    *copy = coming;
    copy->next = *at;
    *at = copy;
}

/* Takes off what answers; `def` NULL: everything that does. */
static void forget_answers(struct play *play, const struct step_def *def)
{
    struct coming **at = &play->coming;

    while (*at) {
        bool answer = (*at)->type == RUN_EV_RESULT || (*at)->type == RUN_EV_DEFERRED ||
                      ((*at)->type == RUN_EV_EVALUATED && !def);

        if (answer && !(*at)->crash && (!def || (*at)->def == def))
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

static const struct script_line *find_line(const struct play *play, enum script_type type,
                                           const struct step_def *def, enum run_eval_what what,
                                           unsigned call)
{
    const struct script_line *any = NULL;
    struct pl_str path = def ? def->path : pl_str_n(NULL, 0);

    for (const struct script_line *line = play->scenario->lines; line; line = line->next) {
        if (line->type != type || !pl_str_eq(line->path, path) ||
            (type == SCRIPT_EVAL && line->what != what))
            continue;
        if (line->call == call && call)
            return line;
        if (line->call == 0 && !any)
            any = line;
    }
    return any;
}

static void expect_answer(struct play *play, const struct step_def *def)
{
    unsigned call = ++play->calls[def->index];
    const struct script_line *line = find_line(play, SCRIPT_RESULT, def, 0, call);
    struct coming coming = {.type = RUN_EV_RESULT, .def = def, .line = line, .call = call};

    coming.at = play->now + (line ? line->after : 10);
    if (line && line->defer) {
        coming.type = RUN_EV_DEFERRED;
        coming.at = play->now;
    }
    if (play->paid[def->index])
        play_breach(play, "step %s succeeded before and is called again", def->path.ptr);
    expect(play, coming);
}

static void expect_stop(struct play *play, const struct step_def *def)
{
    const struct script_line *line = find_line(play, SCRIPT_ABORTED, def, 0, 0);

    forget_answers(play, def);
    expect(play, (struct coming){.at = play->now + (line ? line->after : 1),
                                 .type = RUN_EV_RESULT,
                                 .def = def,
                                 .line = line,
                                 .aborted = true,
                                 .call = play->calls[def->index]});
}

static void expect_value(struct play *play, const struct step_def *def, enum run_eval_what what)
{
    const struct script_line *line = find_line(play, SCRIPT_EVAL, def, what, 0);

    expect(play, (struct coming){.at = play->now + (line ? line->after : 0),
                                 .type = RUN_EV_EVALUATED,
                                 .def = def,
                                 .what = what,
                                 .line = line});
}

/* ---- one event ---- */

static void take_effects(struct play *play, const struct run_update *update)
{
    for (size_t i = 0; i < update->n_effects; i++) {
        const struct run_effect *effect = &update->effects[i];
        const struct step_def *def = effect->node ? effect->node->def : NULL;

        if (effect->type == RUN_FX_CALL)
            expect_answer(play, def);
        else if (effect->type == RUN_FX_ABORT)
            expect_stop(play, def);
        else
            expect_value(play, def, effect->what);
    }
}

static void crash(struct play *play, pl_ms down);

static void check(struct play *play)
{
    const char *breach = run_core_check(play->core);

    if (breach)
        play_breach(play, "%s", breach);
    if (!play->quick)
        disk_check(play);
}

static void step(struct play *play, struct run_event *event, unsigned call)
{
    struct run_update update;
    enum pl_code code;

    event->now = play->now;
    show_event(play, event, call);
    memory_arm(true);
    code = run_core_step(play->core, event, &update);
    memory_arm(false);
    if (code != PL_OK && !memory_refused()) {
        play_breach(play, "out of memory");
    } else if (code != PL_OK) {
        crash(play, 0); /* as the executor does: the run goes on from its rows */
    } else {
        show_update(play, &update);
        take_effects(play, &update);
        disk_commit(play);
        check(play);
        play->events++;
    }
}

static void crash(struct play *play, pl_ms down)
{
    struct run_event event = {.type = RUN_EV_RECOVER};

    if (run_core_take_dirty(play->core))
        play_breach(play, "a row is left over");
    forget_answers(play, NULL);
    pl_buf_printf(&play->out, "%lld CRASH\n", (long long)(play->now - PLAY_START));
    play->now += down;
    disk_crash(play);
    if (!play->breach[0])
        step(play, &event, 0);
}

/* ---- what it brings ---- */

static struct pl_value *value_of(struct pl_str text, struct pl_str otherwise)
{
    if (text.len)
        return pl_value_new(text);
    return otherwise.len ? pl_value_string(otherwise) : pl_value_null();
}

static void fill_result(const struct coming *coming, struct step_result *result)
{
    const struct script_line *line = coming->line;

    step_result_init(result);
    result->usage.calls = 1;
    if (coming->aborted && !line) {
        pl_err_set(&result->err, PL_ERR_CANCELLED, "aborted");
    } else if (line && line->fails) {
        pl_err_set(&result->err, line->code, "%.*s", PL_STR_ARG(line->text));
        result->free = line->free;
        result->no_retry = line->no_retry;
        result->retry_after = line->hint;
        result->upstream_status = line->status;
        if (line->status)
            result->upstream = pl_value_string(PL_STR("the server's words"));
    } else {
        result->output = value_of(line ? line->text : pl_str_n(NULL, 0), coming->def->path);
    }
}

static void fill_value(const struct coming *coming, struct run_event *event)
{
    const struct script_line *line = coming->line;

    event->what = coming->what;
    event->truth = !line || line->truth;
    if (line && line->fails)
        pl_err_set(&event->err, line->code, "%.*s", PL_STR_ARG(line->text));
    else if (coming->what == RUN_EVAL_DEFAULT || coming->what == RUN_EVAL_OUTPUT)
        event->value = value_of(line ? line->text : pl_str_n(NULL, 0), pl_str_n(NULL, 0));
}

static void deliver(struct play *play, const struct coming *coming)
{
    struct run_event event = {.type = coming->type};
    struct step_result result;

    if (coming->crash) {
        crash(play, coming->line->after);
        return;
    }
    event.node = coming->def ? run_core_node(play->core, coming->def) : NULL;
    if (coming->type == RUN_EV_RESULT) {
        fill_result(coming, &result);
        event.result = &result;
    } else if (coming->type == RUN_EV_EVALUATED) {
        fill_value(coming, &event);
    } else if (coming->type == RUN_EV_DEFERRED) {
        event.until = play->now + coming->line->after;
        event.reason =
            pl_str_is(coming->line->text, "unreachable") ? "unreachable" : "rate_limited";
    }
    step(play, &event, coming->call);
}

/* ---- time ---- */

static pl_ms late_by(const struct play *play)
{
    for (const struct script_line *line = play->scenario->lines; line; line = line->next)
        if (line->type == SCRIPT_LATE)
            return line->after;
    return 0;
}

/* The next thing happens; false when there is none. */
static bool happen(struct play *play)
{
    pl_ms wake = run_core_next_wake(play->core);
    struct coming *next = play->coming;
    struct run_event tick = {.type = RUN_EV_TICK};

    if (play->crash_after && play->events == play->crash_after) {
        play->crash_after = 0;
        crash(play, 0);
        return true;
    }
    if (wake)
        wake += late_by(play);
    if (next && (wake == 0 || next->at <= wake)) {
        play->coming = next->next;
        if (next->at > play->now)
            play->now = next->at;
        deliver(play, next);
        return true;
    }
    if (wake == 0)
        return false;
    if (wake > play->now)
        play->now = wake;
    step(play, &tick, 0);
    return true;
}

/* ---- the whole ---- */

static void take_actions(struct play *play)
{
    for (const struct script_line *line = play->scenario->lines; line; line = line->next) {
        struct coming coming = {.at = PLAY_START + line->at, .line = line};

        if (line->type != SCRIPT_CANCEL && line->type != SCRIPT_CRASH)
            continue;
        coming.def = line->path.len ? workflow_find(play->workflow, line->path) : NULL;
        if (line->path.len && !coming.def)
            play_breach(play, "the script names a step there is not: %.*s", PL_STR_ARG(line->path));
        coming.type = coming.def ? RUN_EV_CANCEL_STEP : RUN_EV_CANCEL;
        coming.crash = line->type == SCRIPT_CRASH;
        if (line->before)
            deliver(play, &coming);
        else
            expect(play, coming);
    }
}

static bool prepare(struct play *play)
{
    struct doc_problems problems;
    size_t n;

    play->arena = pl_arena_create(0);
    play->disk.arena = pl_arena_create(0);
    if (!play->arena || !play->disk.arena)
        return false;
    doc_problems_init(&problems, play->arena);
    if (workflow_compile(play->scenario->workflow, DOC_YAML, NULL, &play->workflow, &problems) !=
        PL_OK) {
        for (size_t i = 0; i < problems.count; i++)
            play_breach(play, "line %u: %s: %s", problems.items[i].line, problems.items[i].pointer,
                        problems.items[i].message);
        return false;
    }
    n = play->workflow->n_steps;
    play->calls = pl_arena_alloc_array(play->arena, n + 1, sizeof(*play->calls));
    play->paid = pl_arena_alloc_array(play->arena, n + 1, sizeof(*play->paid));
    play->disk.rows = pl_arena_alloc_array(play->disk.arena, n + 1, sizeof(*play->disk.rows));
    play->core = run_core_create(play->workflow, 7, PLAY_START);
    return play->core && !pl_arena_failed(play->arena);
}

bool play_scenario(struct play *play, const struct scenario *scenario, unsigned crash_after,
                   bool quick)
{
    struct run_event start = {.type = RUN_EV_START};

    *play = (struct play){
        .scenario = scenario, .now = PLAY_START, .crash_after = crash_after, .quick = quick};
    pl_buf_init(&play->out, 16 << 20);
    if (!prepare(play)) {
        play_breach(play, "the workflow cannot be prepared");
        return false;
    }
    run_core_set_trace(play->core, show_move, play);
    disk_commit(play);
    take_actions(play);
    step(play, &start, 0);
    while (!play->breach[0] && happen(play)) {
        if (play->events > PLAY_EVENTS_MAX)
            play_breach(play, "it does not end");
    }
    if (!run_state_is_final(run_core_state(play->core)))
        play_breach(play, "nothing is left to happen and the run is not over");
    show_end(play);
    return !play->breach[0];
}

void play_finish(struct play *play)
{
    run_core_destroy(&play->core);
    if (play->workflow)
        disk_finish(play);
    workflow_unref(&play->workflow);
    pl_buf_finish(&play->out);
    pl_arena_destroy(&play->arena);
}
