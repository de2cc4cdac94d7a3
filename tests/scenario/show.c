/* show.c - the trace of a scenario as text. Not the playing (play.c). Times count from the run's
 * creation, in milliseconds. */
#include "base/json.h"
#include "service/run/run_agent.h"
#include "tests/scenario/scenario.h"

static const char *path_of(const struct run_node *node)
{
    return node ? node->path.ptr : "run";
}

static void show_answer(struct play *play, const struct run_event *event)
{
    struct pl_buf *out = &play->out;

    pl_buf_printf(out, "EVALUATED %s %s ", path_of(event->node), scenario_eval_name(event->what));
    if (event->err.code != PL_OK)
        pl_buf_text(out, pl_code_text(event->err.code));
    else if (event->what == RUN_EVAL_WHEN || event->what == RUN_EVAL_ACCEPT ||
             event->what == RUN_EVAL_UNTIL)
        pl_buf_text(out, event->truth ? "true" : "false");
    else
        pl_buf_str(out, pl_value_text(event->value));
    if (event->state) {
        pl_buf_text(out, " state ");
        pl_buf_str(out, pl_value_text(event->state));
    }
}

static void show_person(struct play *play, const struct run_event *event,
                        const struct coming *coming)
{
    pl_buf_printf(&play->out, "ANSWER %.*s ", PL_STR_ARG(coming->path));
    if (event->err.code != PL_OK)
        pl_buf_text(&play->out, pl_code_text(event->err.code));
    else
        pl_buf_str(&play->out, pl_value_text(event->value));
}

static void show_deferred(struct pl_buf *out, const struct run_event *event,
                          const struct coming *coming)
{
    pl_buf_printf(out, "DEFERRED %s#%u until ", path_of(event->node), coming->call);
    if (event->until)
        pl_buf_printf(out, "%lld", (long long)(event->until - PLAY_START));
    else
        pl_buf_text(out, "told");
}

void show_event(struct play *play, const struct run_event *event, const struct coming *coming)
{
    static const char *const names[] = {
        [RUN_EV_START] = "START",
        [RUN_EV_RECOVER] = "RECOVER",
        [RUN_EV_TICK] = "TICK",
        [RUN_EV_CANCEL] = "CANCEL the run",
    };
    struct pl_buf *out = &play->out;

    pl_buf_printf(out, "%lld ", (long long)(play->now - PLAY_START));
    if (event->type == RUN_EV_EVALUATED)
        show_answer(play, event);
    else if (event->type == RUN_EV_RESULT)
        pl_buf_printf(out, "RESULT %s#%u %s", path_of(event->node), coming->call,
                      pl_code_text(event->result->err.code));
    else if (event->type == RUN_EV_DEFERRED)
        show_deferred(out, event, coming);
    else if (event->type == RUN_EV_ADMITTED)
        pl_buf_printf(out, "ADMITTED %s", path_of(event->node));
    else if (event->type == RUN_EV_ANSWERING)
        pl_buf_printf(out, "ANSWERING %s#%u", path_of(event->node), coming->call);
    else if (event->type == RUN_EV_ANSWER)
        show_person(play, event, coming);
    else if (event->type == RUN_EV_CANCEL_STEP)
        pl_buf_printf(out, "CANCEL %s", path_of(event->node));
    else
        pl_buf_text(out, names[event->type]);
    pl_buf_char(out, '\n');
}

static bool waits_for_time(const char *state)
{
    return strcmp(state, "held") == 0 || strcmp(state, "backoff") == 0 ||
           strcmp(state, "asking") == 0 || strcmp(state, "sleeping") == 0;
}

void show_move(void *arg, const struct run_node *node, const char *from, const char *to)
{
    struct play *play = arg;

    pl_buf_printf(&play->out, "    %s: %s -> %s", path_of(node), from, to);
    if (waits_for_time(to) && node->wake_at)
        pl_buf_printf(&play->out, " until %lld", (long long)(node->wake_at - PLAY_START));
    if (node && node->reason != CANCEL_NONE)
        pl_buf_printf(&play->out, " (%s)", cancel_reason_text(node->reason));
    pl_buf_char(&play->out, '\n');
}

/* What a call goes out with: what its instance was made for, the state it sees, the conversation.
 */
static void show_sight(struct play *play, const struct run_node *node)
{
    const struct run_node *owner = node->frame->owner;
    struct pl_str state = answer_state(play, play->core, node, NULL);
    struct pl_buf *out = &play->out;

    if (node->frame->value) {
        pl_buf_text(out, " with ");
        pl_buf_str(out, pl_value_text(node->frame->value));
    }
    if (owner && owner->def->kind == STEP_AGENT && node->frame->body->role == BODY_TURN) {
        pl_buf_text(out, " messages ");
        pl_buf_str(out, run_agent_messages(node));
    }
    if (state.len) {
        pl_buf_text(out, " state ");
        pl_buf_str(out, state);
    }
}

static void show_effect(struct play *play, const struct run_effect *effect)
{
    static const char *const names[] = {
        [RUN_FX_EVAL] = "eval",   [RUN_FX_CALL] = "call",       [RUN_FX_ABORT] = "abort",
        [RUN_FX_LEAVE] = "leave", [RUN_FX_REFUSED] = "refused",
    };
    struct pl_buf *out = &play->out;

    pl_buf_printf(out, "    > %s %s", names[effect->type], path_of(effect->node));
    if (effect->type == RUN_FX_CALL) {
        pl_buf_printf(out, " attempt %u", effect->node->attempts);
        show_sight(play, effect->node);
    } else if (effect->type == RUN_FX_EVAL) {
        pl_buf_printf(out, " %s", scenario_eval_name(effect->what));
        if (effect->frame && !pl_str_eq(effect->frame->path, effect->node->path))
            pl_buf_printf(out, " of %s", effect->frame->path.ptr);
    }
    pl_buf_char(out, '\n');
}

void show_update(struct play *play, const struct run_update *update)
{
    for (size_t i = 0; i < update->n_notes; i++) {
        const struct run_note *note = &update->notes[i];

        pl_buf_printf(&play->out, "    note %lld %s", (long long)note->seq, note->type);
        if (note->node)
            pl_buf_printf(&play->out, " %s", path_of(note->node));
        pl_buf_char(&play->out, '\n');
    }
    for (size_t i = 0; i < update->n_effects; i++)
        show_effect(play, &update->effects[i]);
}

/* ---- the end ---- */

static void show_error(const struct pl_value *error, struct pl_buf *out)
{
    static const char *const keys[] = {"status", "message", "branch", "step", "cause"};
    struct pl_str text = pl_value_text(error), token;

    if (!error)
        return;
    pl_buf_text(out, " error ");
    if (json_get(text, PL_STR("code"), &token))
        json_decode_string(token, out);
    if (json_get(text, PL_STR("detail"), &token)) {
        pl_buf_text(out, " ");
        pl_buf_str(out, token);
    }
    for (unsigned i = 0; i < PL_ARRAY_LEN(keys); i++) {
        if (!json_get(text, pl_str(keys[i]), &token))
            continue;
        pl_buf_printf(out, " %s ", keys[i]);
        if (json_type(token) == JSON_OBJECT)
            json_get(token, PL_STR("code"), &token);
        pl_buf_str(out, token);
    }
    while (json_get(text, PL_STR("after"), &text)) { /* the errors it was to handle */
        pl_buf_text(out, " after ");
        if (json_get(text, PL_STR("code"), &token))
            pl_buf_str(out, token);
    }
}

static void show_step(const struct store_step *row, struct pl_buf *out)
{
    pl_buf_printf(out, "%.*s %.*s", PL_STR_ARG(row->path), PL_STR_ARG(row->status));
    if (!pl_str_eq(row->status, row->phase))
        pl_buf_printf(out, " (%.*s)", PL_STR_ARG(row->phase));
    if (row->attempts)
        pl_buf_printf(out, " attempts %lld tries %lld", (long long)row->attempts,
                      (long long)row->tries);
    if (row->handled)
        pl_buf_text(out, " handled");
    if (row->counted)
        pl_buf_text(out, " counted");
    if (row->reason.len)
        pl_buf_printf(out, " reason %.*s", PL_STR_ARG(row->reason));
    if (row->output)
        pl_buf_printf(out, " output %.*s", PL_STR_ARG(pl_value_text(row->output)));
    show_error(row->error, out);
    if (row->memo)
        pl_buf_printf(out, " memo %.*s", PL_STR_ARG(pl_value_text(row->memo)));
    if (row->writes)
        pl_buf_printf(out, " writes %.*s", PL_STR_ARG(pl_value_text(row->writes)));
    if (row->join.len)
        pl_buf_printf(out, " join %.*s", PL_STR_ARG(row->join));
    pl_buf_char(out, '\n');
}

void show_end(struct play *play)
{
    struct run_progress progress = run_core_progress(play->core);
    const struct store_run *run = &play->run;
    struct pl_buf *out = &play->out;

    pl_buf_printf(out, "= run %.*s after %lld", PL_STR_ARG(run->status),
                  (long long)(run->ended_at - run->created_at));
    if (run->output)
        pl_buf_printf(out, " output %.*s", PL_STR_ARG(pl_value_text(run->output)));
    show_error(run->error, out);
    if (run->reason.len)
        pl_buf_printf(out, " reason %.*s", PL_STR_ARG(run->reason));
    if (run_core_dropped(play->core))
        pl_buf_printf(out, " dropped %u", run_core_dropped(play->core));
    pl_buf_printf(out, "\n= progress %u: succeeded %u failed %u skipped %u cancelled %u\n",
                  progress.total, progress.succeeded, progress.failed, progress.skipped,
                  progress.cancelled);
    for (const struct track *track = play->tracks; track; track = track->next) {
        if (!track->there)
            continue;
        pl_buf_text(out, "= ");
        show_step(&track->row, out);
    }
}

/* Without the number of attempts that problems inside it have. */
static void show_output(const struct pl_value *output, struct pl_buf *out)
{
    static const char mark[] = "\"attempts\":";
    struct pl_str text = pl_value_text(output);
    size_t len = sizeof(mark) - 1;

    for (size_t i = 0; i < text.len; i++) {
        if (i >= len && memcmp(text.ptr + i - len, mark, len) == 0)
            pl_buf_char(out, 'N');
        else
            pl_buf_char(out, text.ptr[i]);
    }
}

static void show_code(const struct pl_value *error, struct pl_buf *out)
{
    struct pl_str code;

    if (error && json_get(pl_value_text(error), PL_STR("code"), &code))
        pl_buf_printf(out, " error %.*s", PL_STR_ARG(code));
}

void show_outcome(const struct play *play, struct pl_buf *out)
{
    pl_buf_printf(out, "run %.*s ", PL_STR_ARG(play->run.status));
    show_output(play->run.output, out);
    show_code(play->run.error, out);
    pl_buf_char(out, '\n');
    for (const struct track *track = play->tracks; track; track = track->next) {
        const struct store_step *row = &track->row;

        if (!track->there)
            continue;
        pl_buf_printf(out, "%s %.*s (%.*s) ", track->path.ptr, PL_STR_ARG(row->status),
                      PL_STR_ARG(row->reason));
        show_output(row->output, out);
        pl_buf_text(out, " memo ");
        show_output(row->memo, out);
        pl_buf_printf(out, " writes %.*s", PL_STR_ARG(pl_value_text(row->writes)));
        show_code(row->error, out);
        pl_buf_char(out, '\n');
    }
}
