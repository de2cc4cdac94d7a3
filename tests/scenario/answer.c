/* answer.c - what the world answers in a played run: what the script says, else what is usual. Not
 * when (play.c). Called by play.c, and by show.c and disk.c for the state a step sees. */
#include "base/json.h"
#include "service/run/run_budget.h"
#include "service/run/run_state.h"
#include "tests/scenario/scenario.h"

#include <stdlib.h>

/* ---- lines of the script ---- */

static struct pl_str first_word(struct pl_str *rest)
{
    const char *dot = rest->len ? memchr(rest->ptr, '.', rest->len) : NULL;
    size_t len = dot ? (size_t)(dot - rest->ptr) : rest->len;
    struct pl_str word = pl_str_n(rest->ptr, len);

    *rest = dot ? pl_str_n(dot + 1, rest->len - len - 1) : pl_str_n(NULL, 0);
    return word;
}

/* A `*` stands for one word. */
static bool matches(struct pl_str pattern, struct pl_str path)
{
    while (pattern.len && path.len) {
        struct pl_str want = first_word(&pattern), have = first_word(&path);

        if (!pl_str_is(want, "*") && !pl_str_eq(want, have))
            return false;
    }
    return pattern.len == 0 && path.len == 0;
}

/* The better one is the more exact: the path itself before a pattern, a call before every call. */
static int rank(const struct script_line *line, struct pl_str path, unsigned call)
{
    bool same = pl_str_eq(line->path, path);

    if ((line->call && line->call != call) || (!same && !matches(line->path, path)))
        return 0;
    return 1 + 2 * same + (line->call > 0);
}

const struct script_line *answer_find_line(const struct play *play, enum script_type type,
                                           struct pl_str path, enum run_eval_what what,
                                           unsigned call)
{
    const struct script_line *best = NULL;
    int most = 0;

    for (const struct script_line *line = play->scenario->lines; line; line = line->next) {
        int its;

        if (line->type != type || (type == SCRIPT_EVAL && line->what != what))
            continue;
        its = rank(line, path, call);
        if (its > most) {
            best = line;
            most = its;
        }
    }
    return best;
}

/* ---- calls ---- */

static struct pl_value *value_of(struct pl_str text, struct pl_str otherwise)
{
    if (text.len)
        return pl_value_new(text);
    return otherwise.len ? pl_value_string(otherwise) : pl_value_null();
}

void answer_call(const struct coming *coming, const struct run_node *node,
                 struct step_result *result)
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
        result->output = value_of(line ? line->text : pl_str_n(NULL, 0), node->path);
    }
}

/* ---- money ---- */

enum { TOKENS_PER_USD = 1000 };

static struct budget amount(long long tokens)
{
    return (struct budget){tokens, (double)tokens / TOKENS_PER_USD};
}

bool answer_cost(const struct play *play, struct run_node *node)
{
    const struct script_line *line = answer_find_line(play, SCRIPT_COST, node->path, 0, 0);
    struct call_estimate estimate = {.one = amount(100), .all = amount(100)};
    char *end = NULL;

    if (!run_budget_matters(play->core) || node->def->kind != STEP_LLM)
        return true;
    if (line) {
        estimate.all = estimate.one = amount(strtoll(line->text.ptr, &end, 10));
        if (*end == ' ')
            estimate.one = amount(strtoll(end, NULL, 10));
    }
    return run_budget_ask(play->core, node, &estimate) != RUN_GRANT_NONE;
}

void answer_used(const struct play *play, const struct coming *coming, struct step_result *result)
{
    const struct script_line *line =
        answer_find_line(play, SCRIPT_USED, coming->path, 0, coming->call);

    if (!line)
        return;
    result->usage.output_tokens = strtoll(line->text.ptr, NULL, 10);
    result->usage.cost_usd = (double)result->usage.output_tokens / TOKENS_PER_USD;
}

/* ---- state ---- */

static void add_channel(struct play *play, const struct run_core *core, struct pl_buf *out,
                        const struct run_node *node, const struct run_frame *frame,
                        const struct state_channel *channel)
{
    struct run_writes writes;
    struct pl_err err = {0};
    struct pl_buf value;

    if (!run_state_gather(core, node, frame, channel, play->arena, &writes))
        play_breach(play, "out of memory");
    json_key(out, channel->name.ptr);
    pl_buf_init(&value, 1 << 20);
    if (run_state_fold(&writes, &value, &err) == PL_OK)
        pl_buf_str(out, pl_buf_view(&value));
    else
        json_write_string(out, pl_str(err.message));
    pl_buf_finish(&value);
}

struct pl_str answer_state(struct play *play, const struct run_core *core,
                           const struct run_node *node, const struct run_frame *frame)
{
    const struct run_frame *at = node ? node->frame : frame;
    struct pl_str state = {0};
    bool any = false;
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    json_object_begin(&out);
    for (; at; at = at->owner ? at->owner->frame : NULL) {
        for (size_t i = 0; i < at->body->n_channels; i++, any = true)
            add_channel(play, core, &out, node, frame, &at->body->channels[i]);
        if (at->body->role == BODY_ROOT || !node) /* one that is called sees no further */
            break;
    }
    json_object_end(&out);
    if (any)
        state = pl_arena_str(play->arena, pl_buf_view(&out));
    pl_buf_finish(&out);
    return state;
}

/* ---- evaluations ---- */

static struct pl_value *usual_begin(const struct play *play, const struct run_node *node)
{
    const struct step_def *def = node->def;
    struct pl_value *value;
    struct pl_buf out;

    if (def->kind == STEP_MAP)
        return pl_value_new(PL_STR("[]"));
    if (def->kind == STEP_AGENT)
        return pl_value_new(PL_STR("{\"messages\":[]}"));
    if (def->kind == STEP_WORKFLOW && !def->config.workflow->child)
        return NULL; /* it sees the input around it */
    if (def->kind != STEP_SLEEP)
        return pl_value_new(PL_STR("{}"));
    pl_buf_init(&out, 100);
    pl_buf_printf(&out, "{\"until\":%lld}", (long long)(play->now + def->config.sleep->duration));
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

/* The output of the one step nothing depends on; of several, by id. */
static struct pl_value *usual_body(const struct run_frame *frame)
{
    const struct step_body *body = frame->body;
    struct pl_value *value;
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    if (body->n_sinks != 1)
        json_object_begin(&out);
    for (size_t i = 0; i < body->n_sinks; i++) {
        if (body->n_sinks != 1)
            json_key(&out, body->sinks[i]->id.ptr);
        pl_buf_str(&out, pl_value_text(run_node_at(frame, body->sinks[i])->output));
    }
    if (body->n_sinks != 1)
        json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

static struct pl_value *usual_writes(const struct run_node *node)
{
    struct pl_value *value;
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    json_object_begin(&out);
    for (size_t i = 0; i < node->def->n_writes; i++)
        json_add_raw(&out, node->def->writes[i].channel->name.ptr, pl_value_text(node->output));
    json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

static struct pl_value *usual(const struct play *play, const struct run_event *event,
                              const struct run_frame *frame)
{
    const struct run_node *node = event->node;

    switch (event->what) {
    case RUN_EVAL_BEGIN:
        return usual_begin(play, node);
    case RUN_EVAL_KEY:
        return node->output ? pl_value_ref(node->output) : NULL;
    case RUN_EVAL_WRITES:
        return usual_writes(node);
    case RUN_EVAL_BODY:
        return frame ? usual_body(frame) : NULL;
    case RUN_EVAL_WHEN:
    case RUN_EVAL_ACCEPT:
    case RUN_EVAL_UNTIL:
        return NULL;
    case RUN_EVAL_DEFAULT:
    case RUN_EVAL_OUTPUT:
    case RUN_EVAL_TIMEOUT:
        break;
    }
    return pl_value_null();
}

static bool is_truth(enum run_eval_what what)
{
    return what == RUN_EVAL_WHEN || what == RUN_EVAL_ACCEPT || what == RUN_EVAL_UNTIL;
}

void answer_evaluation(struct play *play, const struct coming *coming, struct run_event *event)
{
    const struct script_line *line = coming->line;
    const struct run_node *first = run_core_find(play->core, coming->frame);
    const struct run_frame *frame = first ? first->frame : NULL;
    struct pl_str state;

    event->what = coming->what;
    event->truth = !line || line->truth;
    if (line && line->fails)
        pl_err_set(&event->err, line->code, "%.*s", PL_STR_ARG(line->text));
    else if (line && !is_truth(coming->what))
        event->value = value_of(line->text, pl_str_n(NULL, 0));
    else
        event->value = usual(play, event, frame);
    if (event->what == RUN_EVAL_OUTPUT)
        frame = run_core_root(play->core);
    else if (event->what != RUN_EVAL_BODY)
        return;
    state = frame && event->err.code == PL_OK ? answer_state(play, play->core, NULL, frame)
                                              : pl_str_n(NULL, 0);
    if (state.len)
        event->state = pl_value_new(state);
}

void answer_person(const struct coming *coming, struct run_event *event)
{
    const struct script_line *line = coming->line;

    if (line->fails)
        pl_err_set(&event->err, PL_ERR_REJECTED, "%.*s", PL_STR_ARG(line->text));
    else
        event->value = value_of(line->text, pl_str_n(NULL, 0));
}
