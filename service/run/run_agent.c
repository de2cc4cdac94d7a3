/* run_agent.c - agent: a model's turns with tool calls between them. Not the model's call
 * (steps/llm.c) nor the tools' steps. Called through the table of kinds; the executor asks for the
 * conversation.
 *
 * Turn n is one llm step ("agent.2"), then its tool calls, all at once ("agent.2.search"), then
 * turn n + 1. What a tool gives, or why it failed, goes into the conversation in the order the
 * model asked; a tool that does not exist and arguments that do not fit are answered to the model
 * without a step. The conversation follows from the memo (what it begins with) and the rows of
 * turns and tools, so nothing else of it is recorded.
 *
 * With MCP servers the first thing is a step for each that asks for its tools ("agent.mcp.0"), all
 * at once; what they gave becomes part of the memo, and the same tools are offered to the end, also
 * after a restart. Calls of them are steps like those of other tools. */
#include "service/run/run_agent_private.h"

#include "base/json.h"
#include "service/steps/llm_messages.h"

#include <stdlib.h>

enum { BODY_MODEL = 0 };

struct pl_str run_agent_messages(const struct run_node *turn)
{
    return pl_buf_view(&run_agent_of(turn->frame->owner)->messages);
}

/* ---- beginning ---- */

static void begin(struct run_core *core, struct run_node *node)
{
    run_node_move(core, node, NODE_PREPARING);
    run_core_effect(core, RUN_FX_EVAL, node, RUN_EVAL_BEGIN);
}

/* The conversation begins with what the memo holds. */
bool run_agent_begin_messages(struct run_node *node)
{
    struct run_agent *agent = run_agent_of(node);
    struct pl_str messages = PL_STR("[]");

    json_get(pl_value_text(node->memo), PL_STR("messages"), &messages);
    pl_buf_reset(&agent->messages);
    pl_buf_str(&agent->messages, messages);
    return !pl_buf_failed(&agent->messages);
}

static bool make_inner(struct run_node *node)
{
    struct run_agent *agent = calloc(1, sizeof(*agent));

    if (!agent)
        return false;
    pl_list_init(&agent->inner.frames);
    pl_buf_init(&agent->messages, SIZE_MAX / 2);
    node->inner = &agent->inner;
    if (run_agent_config(node)->n_mcp) {
        agent->listings = calloc(run_agent_config(node)->n_mcp, sizeof(*agent->listings));
        if (!agent->listings)
            return false;
    }
    return run_agent_begin_messages(node);
}

void run_agent_begin_turn(struct run_core *core, struct run_node *node)
{
    struct run_frame *frame = run_frame_create(core, node->def->bodies[BODY_MODEL], node, 0,
                                               run_agent_of(node)->turn, NULL);

    if (frame)
        run_frame_begin(core, frame);
}

static bool evaluated(struct run_core *core, struct run_node *node, struct run_event *event)
{
    if (event->what != RUN_EVAL_BEGIN || node->state != NODE_PREPARING)
        return false;
    if (event->err.code != PL_OK) {
        run_node_fail_with(core, node, event->err.code, event->err.message);
        return true;
    }
    pl_value_unref(&node->memo);
    node->memo = event->value ? event->value : pl_value_null();
    event->value = NULL;
    if (!make_inner(node)) {
        core->out_of_memory = true;
        return true;
    }
    run_inside_begin(core, node);
    if (run_agent_config(node)->n_mcp)
        run_agent_begin_listings(core, node);
    else
        run_agent_begin_turn(core, node);
    return true;
}

/* ---- tool calls ---- */

/* {"error": text}; `what` is a JSON token, a string goes in as its text. */
static struct pl_value *error_answer(const char *why, struct pl_str what)
{
    struct pl_err text = {0};
    struct pl_value *value = NULL;
    struct pl_buf plain, out;

    pl_buf_init(&plain, SIZE_MAX / 2);
    if (json_type(what) == JSON_STRING)
        json_decode_string(what, &plain);
    else
        pl_buf_str(&plain, what);
    pl_err_set(&text, PL_ERR_INVALID_ARGUMENT, "%s: %.*s", why, PL_STR_ARG(pl_buf_view(&plain)));
    pl_buf_init(&out, 8 * PL_ERR_MESSAGE_MAX);
    json_object_begin(&out);
    json_add_string(&out, "error", pl_str(text.message));
    json_object_end(&out);
    if (!pl_buf_failed(&plain))
        value = pl_value_take(&out);
    pl_buf_finish(&plain);
    pl_buf_finish(&out);
    return value;
}

static const struct agent_tool *find_tool(const struct run_node *node, struct pl_str name)
{
    const struct agent_config *config = run_agent_config(node);

    for (size_t i = 0; i < config->n_tools; i++)
        if (name.len >= 2 && pl_str_eq(config->tools[i].id, pl_str_n(name.ptr + 1, name.len - 2)))
            return &config->tools[i];
    return NULL;
}

/* `tool`: of those of MCP servers, which have one body; else 0. */
static uint32_t calls_before(const struct run_agent *agent, const struct step_body *body,
                             uint32_t tool)
{
    uint32_t count = 0;

    for (size_t i = 0; i < agent->n_calls; i++)
        count +=
            agent->calls[i].body == body && agent->calls[i].number >> RUN_AGENT_NTH_BITS == tool;
    return count;
}

/* Which body the named tool has; NULL: there is no such tool. */
static const struct step_body *find_body(const struct run_node *node, struct pl_str name,
                                         uint32_t *ret_tool)
{
    const struct agent_tool *tool = find_tool(node, name);

    *ret_tool = 0;
    if (tool)
        return node->def->bodies[tool->body];
    if (name.len < 2 ||
        !agent_tools_find(run_agent_tools_of(node), pl_str_n(name.ptr + 1, name.len - 2), ret_tool))
        return NULL;
    return node->def->bodies[run_agent_config(node)->call_body];
}

/* Reads one call of the turn: which tool, or what the model is told instead. */
static bool read_call(const struct run_node *node, struct pl_str json)
{
    struct run_agent *agent = run_agent_of(node);
    struct tool_call call = {.id = PL_STR("\"\"")};
    struct pl_str name = PL_STR("\"\""), wrong;
    const struct step_body *body;
    uint32_t tool;

    json_get(json, PL_STR("id"), &call.id);
    json_get(json, PL_STR("name"), &name);
    body = find_body(node, name, &tool);
    if (!body) {
        call.answer = error_answer("there is no such tool", name);
    } else if (json_get(json, PL_STR("arguments_error"), &wrong)) {
        call.answer = error_answer("the arguments do not fit", wrong);
    } else {
        call.body = body;
        call.number = run_agent_number(tool, calls_before(agent, body, tool) + 1);
    }
    if (!call.body && !call.answer)
        return false;
    agent->calls[agent->n_calls++] = call;
    return true;
}

static bool read_calls(struct run_node *node, struct pl_str list)
{
    struct run_agent *agent = run_agent_of(node);
    struct json_iter it;

    agent->calls = calloc(json_count(list) + 1, sizeof(*agent->calls));
    if (!agent->calls)
        return false;
    for (json_iter_init(&it, list); json_iter_next(&it);)
        if (!read_call(node, it.value))
            return false;
    return true;
}

static void forget_turn(struct run_agent *agent)
{
    for (size_t i = 0; i < agent->n_calls; i++)
        pl_value_unref(&agent->calls[i].answer);
    free(agent->calls);
    agent->calls = NULL;
    agent->n_calls = 0;
    pl_value_unref(&agent->said);
}

/* The arguments of call `index`, as the model gave them; for a server, what it is asked. */
static struct pl_value *arguments_of(const struct run_node *node, size_t index)
{
    const struct run_agent *agent = run_agent_of(node);
    const struct tool_call *asked = &agent->calls[index];
    struct pl_str calls, call, arguments = PL_STR("{}");

    if (json_get(pl_value_text(agent->said), PL_STR("tool_calls"), &calls) &&
        json_at(calls, (int64_t)index, &call))
        json_get(call, PL_STR("arguments"), &arguments);
    if (asked->body && !asked->body->id.len)
        return agent_tools_call_request(pl_value_text(node->memo),
                                        asked->number >> RUN_AGENT_NTH_BITS, arguments);
    return pl_value_new(arguments);
}

static void begin_call(struct run_core *core, struct run_node *node, size_t index)
{
    struct run_agent *agent = run_agent_of(node);
    struct pl_value *arguments = arguments_of(node, index);
    struct run_frame *frame;

    if (!arguments) {
        core->out_of_memory = true;
        return;
    }
    frame = run_frame_create(core, agent->calls[index].body, node, agent->turn,
                             agent->calls[index].number, arguments);
    if (frame)
        run_frame_begin(core, frame);
}

/* ---- turns ---- */

/* The turn and what its tools gave become part of the conversation. */
static bool take_in(struct run_agent *agent)
{
    struct pl_buf out;

    pl_buf_init(&out, SIZE_MAX / 2);
    llm_messages_reopen(&out, pl_buf_view(&agent->messages));
    llm_messages_add_turn(&out, pl_value_text(agent->said));
    for (size_t i = 0; i < agent->n_calls; i++)
        llm_messages_add_tool(&out, agent->calls[i].id, pl_value_text(agent->calls[i].answer));
    json_array_end(&out);
    pl_buf_finish(&agent->messages);
    agent->messages = out;
    forget_turn(agent);
    agent->turn++;
    return !pl_buf_failed(&agent->messages);
}

static bool all_answered(const struct run_agent *agent)
{
    for (size_t i = 0; i < agent->n_calls; i++)
        if (!agent->calls[i].answer)
            return false;
    return true;
}

static struct pl_value *too_many_turns(unsigned turns)
{
    struct pl_err text = {0};

    pl_err_set(&text, PL_ERR_MAX_TURNS,
               "the model still called tools in turn %u, the last one `max_turns` allows", turns);
    return run_problem_make(&(struct run_problem){.code = text.code, .detail = text.message});
}

void run_agent_fail(struct run_core *core, struct run_node *node, struct pl_value *error)
{
    run_inside_fail(core, node, error, CANCEL_SIBLING_FAILED);
}

static void next_turn(struct run_core *core, struct run_node *node)
{
    struct run_agent *agent = run_agent_of(node);

    if (!all_answered(agent))
        return;
    if (take_in(agent))
        run_agent_begin_turn(core, node);
    else
        core->out_of_memory = true;
}

static void finish(struct run_core *core, struct run_node *node)
{
    struct pl_str content = PL_STR("null");
    struct pl_value *value;

    json_get(pl_value_text(run_agent_of(node)->said), PL_STR("content"), &content);
    value = pl_value_new(content);
    if (value)
        run_node_succeed(core, node, value);
    else
        core->out_of_memory = true;
}

/* What the model said: its calls begin, or it is the answer. */
static void said(struct run_core *core, struct run_node *node, const struct run_node *step)
{
    struct run_agent *agent = run_agent_of(node);
    struct pl_str calls = PL_STR("[]");

    agent->said = pl_value_ref(step->output);
    json_get(pl_value_text(agent->said), PL_STR("tool_calls"), &calls);
    if (json_count(calls) == 0) {
        finish(core, node);
        return;
    }
    if (agent->turn + 1 >=
        run_agent_config(node)->max_turns) { /* nobody would read what they give */
        run_agent_fail(core, node, too_many_turns(run_agent_config(node)->max_turns));
        return;
    }
    if (!read_calls(node, calls)) {
        core->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < agent->n_calls && !core->out_of_memory; i++)
        if (agent->calls[i].body)
            begin_call(core, node, i);
    next_turn(core, node);
}

/* What a tool's step gave, or why it gave nothing: the model can go on with both. */
static struct pl_value *answer_of(const struct run_node *step)
{
    struct pl_str detail = PL_STR("\"it failed\"");

    if (step->state == NODE_SUCCEEDED && step->def->kind == STEP_MCP && !step->frame->body->id.len)
        return agent_tools_answer(pl_value_text(step->output));
    if (step->state == NODE_SUCCEEDED || step->handled)
        return pl_value_ref(step->output);
    if (step->state == NODE_SKIPPED)
        return pl_value_null();
    if (step->error)
        json_get(pl_value_text(step->error), PL_STR("detail"), &detail);
    return error_answer("the tool failed", detail);
}

static void answer(struct run_core *core, const struct run_frame *frame,
                   const struct run_node *step)
{
    struct run_agent *agent = run_agent_of(frame->owner);

    for (size_t i = 0; i < agent->n_calls; i++) {
        struct tool_call *call = &agent->calls[i];

        if (call->body != frame->body || call->number != frame->number || call->answer)
            continue;
        call->answer = answer_of(step);
        core->out_of_memory |= !call->answer;
    }
}

static void step_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    struct run_node *node = frame->owner;

    if (node->state != NODE_JOINING)
        return;
    if (frame->body->role == BODY_LISTING) {
        run_agent_listing_ended(core, frame, step);
    } else if (frame->body->role == BODY_TOOL) {
        answer(core, frame, step);
        next_turn(core, node);
    } else if (step->state == NODE_SUCCEEDED || step->handled) {
        said(core, node, step);
    } else if (step->error) {
        run_agent_fail(core, node, pl_value_ref(step->error));
    } else {
        run_agent_fail(core, node, run_problem_of_branch(step));
    }
}

static void frame_over(struct run_core *core, struct run_frame *frame)
{
    if (frame->owner->state == NODE_CLOSING)
        run_node_try_close(core, frame->owner);
}

static void closed(struct run_core *core, struct run_node *node)
{
    run_node_fail(core, node, pl_value_ref(node->error));
}

/* ---- loading ---- */

static enum pl_code load(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    (void)core;
    if (!node->started_at || make_inner(node))
        return PL_OK;
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static bool fits(struct run_core *core, const struct run_node *node, const struct step_body *body,
                 uint32_t level, uint32_t number, struct pl_value **ret_value)
{
    (void)core;
    (void)ret_value;
    if (body->role == BODY_LISTING)
        return number < run_agent_config(node)->n_mcp;
    if (body->role == BODY_TOOL)
        return level < run_agent_config(node)->max_turns;
    return number < run_agent_config(node)->max_turns;
}

struct run_frame *run_agent_frame(const struct run_node *node, const struct step_body *body,
                                  uint32_t level, uint32_t number)
{
    for (struct pl_list *link = node->inner->frames.next; link != &node->inner->frames;
         link = link->next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        if (frame->body == body && frame->level == level && frame->number == number)
            return frame;
    }
    return NULL;
}

/* The answers of the present turn's calls that are there, and the arguments of those that run. */
static void derive_calls(struct run_core *core, struct run_node *node)
{
    struct run_agent *agent = run_agent_of(node);

    for (size_t i = 0; i < agent->n_calls; i++) {
        const struct tool_call *call = &agent->calls[i];
        struct run_frame *frame =
            call->body ? run_agent_frame(node, call->body, agent->turn, call->number) : NULL;

        if (!frame)
            continue;
        pl_value_unref(&frame->value);
        frame->value = arguments_of(node, i);
        core->out_of_memory |= !frame->value;
        if (run_node_is_final(run_node_at(frame, frame->body->top[0])))
            answer(core, frame, run_node_at(frame, frame->body->top[0]));
    }
}

/* The conversation, turn by turn, as it was when the last row was written. */
static enum pl_code derive(struct run_core *core, struct run_node *node, struct pl_err *err)
{
    struct run_agent *agent = run_agent_of(node);
    struct run_frame *frame;

    if (agent)
        run_agent_derive_listings(core, node);
    while (agent &&
           (frame = run_agent_frame(node, node->def->bodies[BODY_MODEL], 0, agent->turn))) {
        const struct run_node *step = run_node_at(frame, frame->body->top[0]);
        struct pl_str calls = PL_STR("[]");

        if (step->state != NODE_SUCCEEDED && !step->handled)
            return PL_OK;
        agent->said = pl_value_ref(step->output);
        json_get(pl_value_text(agent->said), PL_STR("tool_calls"), &calls);
        if (!read_calls(node, calls))
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
        derive_calls(core, node);
        if (!run_agent_frame(node, node->def->bodies[BODY_MODEL], 0, agent->turn + 1))
            return PL_OK;
        if (!take_in(agent))
            return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    return PL_OK;
}

static void destroy(struct run_node *node)
{
    forget_turn(run_agent_of(node));
    run_agent_forget_listings(node);
    free(run_agent_of(node)->listings);
    pl_buf_finish(&run_agent_of(node)->messages);
}

const struct run_kind run_kind_agent = {
    .begin = begin,
    .evaluated = evaluated,
    .step_ended = step_ended,
    .frame_over = frame_over,
    .closed = closed,
    .timer = run_inside_timer,
    .destroy = destroy,
    .fits = fits,
    .load = load,
    .derive = derive,
};
