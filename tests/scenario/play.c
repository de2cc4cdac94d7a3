/* play.c - the world around one played run: what the script says, when; time. Not the trace
 * (show.c). Called by main.c.
 *
 * What comes at one time comes in the order it was set: first what the script does (it was set
 * before the start), then answers in the order of their calls, then the tick. */
#include "service/run/run_budget.h"
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

/* Takes off what answers; `path` empty: everything that does. */
static void forget_answers(struct play *play, struct pl_str path)
{
    struct coming **at = &play->coming;

    while (*at) {
        bool answer = (*at)->type == RUN_EV_RESULT || (*at)->type == RUN_EV_DEFERRED ||
                      (*at)->type == RUN_EV_ANSWERING ||
                      ((*at)->type == RUN_EV_EVALUATED && !path.len);

        if (answer && !(*at)->crash && (!path.len || pl_str_eq((*at)->path, path)))
            *at = (*at)->next;
        else
            at = &(*at)->next;
    }
}

static void expect_answer(struct play *play, struct run_node *node)
{
    struct track *track = disk_track(play, node);
    struct coming coming = {.type = RUN_EV_RESULT};

    if (!track)
        return;
    coming.path = track->path;
    coming.call = ++track->calls;
    coming.line = answer_find_line(play, SCRIPT_RESULT, track->path, 0, coming.call);
    coming.at = play->now + (coming.line ? coming.line->after : 10);
    if (coming.line && coming.line->defer) {
        coming.type = RUN_EV_DEFERRED;
        coming.at = play->now;
    } else if (!answer_cost(play, node)) {
        coming.type = RUN_EV_DEFERRED;
        coming.line = NULL;
        coming.at = play->now;
        track->calls--; /* nothing is sent */
    } else if (coming.line && coming.line->begins) {
        struct coming begins = coming;

        begins.type = RUN_EV_ANSWERING;
        begins.at = play->now + coming.line->begins;
        expect(play, begins);
    }
    if (track->paid)
        play_breach(play, "step %s succeeded before and is called again", track->path.ptr);
    expect(play, coming);
}

static void expect_stop(struct play *play, const struct run_node *node)
{
    const struct script_line *line = answer_find_line(play, SCRIPT_ABORTED, node->path, 0, 0);
    struct track *track = disk_track(play, node);

    if (!track)
        return;
    forget_answers(play, track->path);
    expect(play, (struct coming){.at = play->now + (line ? line->after : 1),
                                 .type = RUN_EV_RESULT,
                                 .path = track->path,
                                 .line = line,
                                 .aborted = true,
                                 .call = track->calls});
}

/* Of one that is about a frame the script may name the turn, or the step. */
static void expect_value(struct play *play, const struct run_effect *effect)
{
    struct coming coming = {.type = RUN_EV_EVALUATED, .what = effect->what};

    if (effect->node)
        coming.path = pl_arena_str(play->arena, effect->node->path);
    if (effect->frame) {
        coming.frame = pl_arena_str(play->arena, effect->frame->nodes[0].path);
        coming.line = answer_find_line(play, SCRIPT_EVAL, effect->frame->path, effect->what, 0);
    }
    if (!coming.line)
        coming.line = answer_find_line(play, SCRIPT_EVAL, coming.path, effect->what, 0);
    coming.at = play->now + (coming.line ? coming.line->after : 0);
    expect(play, coming);
}

/* ---- one event ---- */

static void take_effects(struct play *play, const struct run_update *update)
{
    for (size_t i = 0; i < update->n_effects; i++) {
        const struct run_effect *effect = &update->effects[i];

        if (effect->type == RUN_FX_CALL)
            expect_answer(play, effect->node);
        else if (effect->type == RUN_FX_ABORT)
            expect_stop(play, effect->node);
        else if (effect->type == RUN_FX_EVAL)
            expect_value(play, effect);
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

static void step(struct play *play, struct run_event *event, const struct coming *coming)
{
    struct run_update update;
    enum pl_code code;

    event->now = play->now;
    show_event(play, event, coming);
    memory_arm(true);
    code = run_core_step(play->core, event, &update);
    memory_arm(false);
    if (code != PL_OK && !memory_refused()) {
        play_breach(play, "out of memory");
    } else if (code != PL_OK) {
        if (coming && coming->type == RUN_EV_ANSWER)
            expect(play, *coming); /* they are told, and answer again */
        crash(play, 0);            /* as the executor does: the run goes on from its rows */
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
    forget_answers(play, pl_str_n(NULL, 0));
    pl_buf_printf(&play->out, "%lld CRASH\n", (long long)(play->now - PLAY_START));
    play->now += down;
    disk_crash(play);
    if (!play->breach[0])
        step(play, &event, NULL);
}

/* ---- what it brings ---- */

/* It answers what was asked for; false when there is nothing it could answer. */
static bool fill(struct play *play, const struct coming *coming, struct run_event *event,
                 struct step_result *result)
{
    bool answers = coming->type == RUN_EV_RESULT || coming->type == RUN_EV_DEFERRED ||
                   coming->type == RUN_EV_ANSWERING || coming->type == RUN_EV_EVALUATED;

    if (!event->node && coming->path.len && answers) {
        play_breach(play, "step %s is gone and was to be answered", coming->path.ptr);
        return false;
    }
    if (coming->type == RUN_EV_RESULT) {
        answer_call(coming, event->node, result);
        answer_used(play, coming, result);
        event->result = result;
    } else if (coming->type == RUN_EV_EVALUATED) {
        answer_evaluation(play, coming, event);
    } else if (coming->type == RUN_EV_ANSWER) {
        answer_person(coming, event);
    } else if (coming->type == RUN_EV_DEFERRED) {
        bool budget = !coming->line, told = budget || coming->line->until_told;

        event->until = told ? 0 : play->now + coming->line->after;
        event->reason = budget                                         ? RUN_BUDGET_REASON
                        : pl_str_is(coming->line->text, "unreachable") ? "unreachable"
                        : pl_str_is(coming->line->text, "concurrency") ? "concurrency"
                                                                       : "rate_limited";
    } else if ((coming->type == RUN_EV_CANCEL_STEP || coming->type == RUN_EV_ADMITTED) &&
               !event->node) {
        pl_buf_printf(
            &play->out, "%lld %s %.*s: there is none\n", (long long)(play->now - PLAY_START),
            coming->type == RUN_EV_ADMITTED ? "ADMITTED" : "CANCEL", PL_STR_ARG(coming->path));
        return false;
    }
    return true;
}

static void deliver(struct play *play, const struct coming *coming)
{
    struct run_event event = {.type = coming->type};
    struct step_result result;

    if (coming->crash) {
        crash(play, coming->line->after);
        return;
    }
    event.node = coming->path.len ? run_core_find(play->core, coming->path) : NULL;
    if (fill(play, coming, &event, &result))
        step(play, &event, coming);
}

/* ---- time ---- */

static pl_ms late_by(const struct play *play)
{
    for (const struct script_line *line = play->scenario->lines; line; line = line->next)
        if (line->type == SCRIPT_LATE)
            return line->after;
    return 0;
}

/* What the caller of the play wants now, whatever the script says. */
static bool interfere(struct play *play)
{
    struct coming cancel = {.type = RUN_EV_CANCEL};
    const struct track *track = play->tracks;

    if (play->crash_after && play->events == play->crash_after) {
        play->crash_after = 0;
        crash(play, 0);
        return true;
    }
    if (!play->cancel_after || play->events != play->cancel_after)
        return false;
    for (unsigned i = 1; track && i < play->cancel_nth; i++)
        track = track->next;
    if (play->cancel_nth && !track)
        return false;
    play->cancel_after = 0;
    if (play->cancel_nth) {
        cancel.type = RUN_EV_CANCEL_STEP;
        cancel.path = track->path;
    }
    deliver(play, &cancel);
    return true;
}

/* The next thing happens; false when there is none. */
static bool happen(struct play *play)
{
    pl_ms wake = run_core_next_wake(play->core);
    struct coming *next = play->coming;
    struct run_event tick = {.type = RUN_EV_TICK};

    if (interfere(play))
        return true;
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
    step(play, &tick, NULL);
    return true;
}

/* ---- the whole ---- */

static void take_action(struct play *play, const struct script_line *line)
{
    struct coming coming = {.at = PLAY_START + line->at, .line = line, .path = line->path};

    if (line->type == SCRIPT_ANSWER)
        coming.type = RUN_EV_ANSWER;
    else if (line->type == SCRIPT_ADMIT)
        coming.type = RUN_EV_ADMITTED;
    else
        coming.type = line->path.len ? RUN_EV_CANCEL_STEP : RUN_EV_CANCEL;
    coming.crash = line->type == SCRIPT_CRASH;
    if (line->before)
        deliver(play, &coming);
    else
        expect(play, coming);
}

static void take_actions(struct play *play)
{
    for (const struct script_line *line = play->scenario->lines; line; line = line->next)
        if (line->type == SCRIPT_CANCEL || line->type == SCRIPT_ANSWER ||
            line->type == SCRIPT_ADMIT || line->type == SCRIPT_CRASH)
            take_action(play, line);
}

static bool prepare(struct play *play)
{
    struct doc_problems problems;

    play->arena = pl_arena_create(0);
    if (!play->arena)
        return false;
    doc_problems_init(&problems, play->arena);
    if (workflow_compile(play->scenario->workflow, DOC_YAML, NULL, &play->workflow, &problems) !=
        PL_OK) {
        for (size_t i = 0; i < problems.count; i++)
            play_breach(play, "line %u: %s: %s", problems.items[i].line, problems.items[i].pointer,
                        problems.items[i].message);
        return false;
    }
    play->by_path = pl_map_create(play->arena, play->workflow->n_steps);
    play->core = run_core_create(play->workflow, 7, PLAY_START);
    return play->core && !pl_arena_failed(play->arena);
}

bool play_scenario(struct play *play, const struct scenario *scenario)
{
    struct run_event start = {.type = RUN_EV_START};

    play->scenario = scenario;
    play->now = PLAY_START;
    pl_buf_init(&play->out, 16 << 20);
    if (!prepare(play)) {
        play_breach(play, "the workflow cannot be prepared");
        return false;
    }
    run_core_set_trace(play->core, show_move, play);
    disk_commit(play);
    take_actions(play);
    step(play, &start, NULL);
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
    disk_finish(play);
    workflow_unref(&play->workflow);
    pl_buf_finish(&play->out);
    pl_arena_destroy(&play->arena);
}
