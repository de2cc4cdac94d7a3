/* ref_kinds.c - the second opinion on what steps with bodies, and those that wait, gave: what a
 * collapse made, which turn of a repeat was the last, what an agent was told. Not votes
 * (ref_votes.c). Written from the contract; works on what was last seen of each step. Called by
 * reference.c, and by step.c before calls. */
#include "tests/sim/judge.h"

#include "base/json.h"
#include "service/run/run_agent.h"

#include <stdio.h>

void sim_must_be(struct sim_run *run, struct pl_str path, const char *what, struct pl_str is,
                 struct pl_buf *should)
{
    if (!pl_buf_failed(should) && !pl_str_eq(is, pl_buf_view(should)) &&
        !json_equal(is, pl_buf_view(should)))
        sim_breach(run, "%s: %s is %.*s, should be %.*s", path.ptr, what, PL_STR_ARG(is),
                   PL_STR_ARG(pl_buf_view(should)));
    pl_buf_finish(should);
}

/* ---- collapse ---- */

static size_t inputs_of(const struct sim_run *run, const struct sim_step *map, uint32_t level)
{
    size_t n = sim_branches(run, map), each = map->def->config.map->fan_in;

    for (uint32_t i = 0; i < level; i++)
        n = (n + each - 1) / each;
    return n;
}

/* What a group of a level is given: the outputs below it that are there. */
static void write_group(struct pl_buf *out, const struct sim_run *run, const struct sim_step *map,
                        uint32_t level, size_t group)
{
    size_t each = map->def->config.map->fan_in;
    bool some = false;

    pl_buf_char(out, '[');
    for (size_t i = group * each; i < (group + 1) * each && i < inputs_of(run, map, level); i++) {
        const struct sim_step *input =
            level == 0 ? sim_branch(run, map, i)
                       : sim_instance(run, map, map->def->bodies[1], level - 1, (uint32_t)i);

        if (!sim_is_good(input) || (level == 0 && !sim_counted(input)))
            continue;
        pl_buf_text(out, some ? "," : "");
        if (level == 0)
            sim_write_outputs(out, run, map, i);
        else
            pl_buf_str(out, sim_output(input));
        some = true;
    }
    pl_buf_char(out, ']');
}

static void judge_collapse(struct sim_run *run, const struct sim_step *map)
{
    uint32_t level = 0;
    const struct sim_step *last;
    struct pl_buf should;

    if (!map->def->config.map->fan_in)
        return;
    while (inputs_of(run, map, level + 1) > 1)
        level++;
    last = sim_instance(run, map, map->def->bodies[1], level, 0);
    pl_buf_init(&should, 1u << 20);
    pl_buf_str(&should, sim_is_good(last) ? sim_output(last) : PL_STR("null"));
    sim_must_be(run, map->path, "what it collapsed to", sim_output(map), &should);
}

/* ---- repeat, workflow ---- */

/* The turn that ends it, as its expressions say. */
static uint32_t last_turn(const struct sim_run *run, const struct sim_step *step)
{
    const struct repeat_config *repeat = step->def->config.repeat;
    uint32_t turn = 0;

    while (turn + 1 < repeat->max && !(repeat->until && sim_truth(run, step, RUN_EVAL_UNTIL, turn)))
        turn++;
    return turn;
}

static void judge_body(struct sim_run *run, const struct sim_step *step)
{
    bool repeats = step->def->kind == STEP_REPEAT;
    uint32_t turn = repeats ? last_turn(run, step) : 0;
    struct pl_buf should;

    if (repeats && step->def->config.repeat->fail_on_max && step->def->config.repeat->until &&
        !sim_truth(run, step, RUN_EVAL_UNTIL, turn))
        sim_breach(run, "%s: used up its turns and succeeded", step->path.ptr);
    pl_buf_init(&should, 8192);
    sim_write_made(&should, step, RUN_EVAL_BODY, turn);
    sim_must_be(run, step->path, "its output", sim_output(step), &should);
}

/* ---- agents ---- */

static struct pl_str calls_of(const struct sim_step *turn)
{
    struct pl_str calls = PL_STR("[]");

    (void)json_get(sim_output(turn), PL_STR("tool_calls"), &calls);
    return calls;
}

static const struct sim_step *listing_of(const struct sim_run *run, const struct sim_step *agent,
                                         size_t server)
{
    return sim_instance(run, agent, agent->def->bodies[agent->def->config.agent->listing_body], 0,
                        (uint32_t)server);
}

/* Where the tool "s1_2" stands among all that the servers listed, in their order; -1: nowhere. */
static int mcp_place(const struct sim_run *run, const struct sim_step *agent, struct pl_str name)
{
    const struct agent_config *config = agent->def->config.agent;
    char token[64];
    int place = 0;

    for (size_t server = 0; server < config->n_mcp; server++) {
        const struct sim_step *listing = listing_of(run, agent, server);
        size_t n = sim_is_good(listing) ? json_count(sim_output(listing)) : 0;

        for (size_t i = 0; i < n; i++, place++) {
            snprintf(token, sizeof(token), "\"s%zu_%zu\"", server, i);
            if (pl_str_is(name, token))
                return place;
        }
    }
    return -1;
}

/* The instance that call `index` of a turn began; NULL: it was answered without one. */
static const struct sim_step *tool_step(const struct sim_run *run, const struct sim_step *agent,
                                        uint32_t turn, struct pl_str calls, size_t index)
{
    const struct agent_config *config = agent->def->config.agent;
    struct pl_str call, name, wrong, other;
    const struct agent_tool *tool = NULL;
    uint32_t number = 0;
    int place;

    if (!json_at(calls, (int64_t)index, &call) || !json_get(call, PL_STR("name"), &name) ||
        json_get(call, PL_STR("arguments_error"), &wrong))
        return NULL;
    for (size_t i = 0; i < config->n_tools; i++)
        if (pl_str_eq(config->tools[i].id, pl_str_n(name.ptr + 1, name.len - 2)))
            tool = &config->tools[i];
    place = tool ? -1 : mcp_place(run, agent, name);
    for (size_t i = 0; (tool || place >= 0) && i <= index; i++)
        if (json_at(calls, (int64_t)i, &call) && json_get(call, PL_STR("name"), &other) &&
            pl_str_eq(other, name) && !json_get(call, PL_STR("arguments_error"), &wrong))
            number++;
    if (place >= 0)
        return sim_instance(run, agent, agent->def->bodies[config->call_body], turn,
                            (uint32_t)place << 8 | number);
    return tool ? sim_instance(run, agent, agent->def->bodies[tool->body], turn, number) : NULL;
}

/* What the model is told of what a tool gave, a text or JSON. */
static void write_told(struct pl_buf *out, const struct sim_step *tool)
{
    struct pl_str content, part, text = PL_STR("\"\""), flag;

    if (tool->def->kind != STEP_MCP) {
        pl_buf_str(out, sim_output(tool));
        return;
    }
    if (json_get(sim_output(tool), PL_STR("content"), &content) && json_at(content, 0, &part))
        json_get(part, PL_STR("text"), &text);
    if (json_get(sim_output(tool), PL_STR("isError"), &flag))
        pl_buf_printf(out, "{\"error\":%.*s}", PL_STR_ARG(text));
    else
        json_decode_string(text, out);
}

/* Is this message the answer to call `index` of the turn? */
static void judge_answer(struct sim_run *run, const struct sim_step *agent, uint32_t turn,
                         struct pl_str calls, size_t index, struct pl_str message)
{
    struct pl_str call, id, told, content;
    const struct sim_step *tool = tool_step(run, agent, turn, calls, index);
    struct pl_buf text, should;

    if (!json_at(calls, (int64_t)index, &call) || !json_get(call, PL_STR("id"), &id) ||
        !json_get(message, PL_STR("tool_call_id"), &told) || !pl_str_eq(id, told) ||
        !json_get(message, PL_STR("content"), &content)) {
        sim_breach(run, "%s: turn %u: message %.*s is not the answer to call %zu", agent->path.ptr,
                   turn, PL_STR_ARG(message), index);
        return;
    }
    if (!sim_is_good(tool)) /* the model is told why */
        return;
    pl_buf_init(&text, 1u << 20);
    pl_buf_init(&should, 1u << 20);
    json_decode_string(content, &text);
    write_told(&should, tool);
    if (!pl_str_eq(pl_buf_view(&text), pl_buf_view(&should)) &&
        !json_equal(content, sim_output(tool)))
        sim_breach(run, "%s: turn %u: call %zu is answered %.*s, its tool gave %.*s",
                   agent->path.ptr, turn, index, PL_STR_ARG(content), PL_STR_ARG(sim_output(tool)));
    pl_buf_finish(&text);
    pl_buf_finish(&should);
}

/* Is the model told that tools of a server are not there? */
static bool lacks_tools(const struct sim_run *run, const struct sim_step *agent)
{
    for (size_t i = 0; i < agent->def->config.agent->n_mcp; i++)
        if (!sim_is_good(listing_of(run, agent, i)))
            return true;
    return false;
}

bool sim_code_of_listing(const struct sim_run *run, const struct sim_step *agent, enum pl_code code)
{
    const struct agent_config *config = agent->def->config.agent;

    for (size_t i = 0; i < config->n_mcp; i++) {
        const struct sim_step *listing = listing_of(run, agent, i);

        if (config->mcp[i].required && listing && listing->mirror.state == NODE_FAILED &&
            code == sim_error_code(sim_error(listing)))
            return true;
    }
    return false;
}

/* The conversation a turn goes on with: turns and answers, in the order they were asked. */
static void judge_messages(struct sim_run *run, const struct sim_step *agent,
                           const struct run_node *node)
{
    struct pl_str messages = run_agent_messages(node), message;
    int64_t at = lacks_tools(run, agent) ? 2 : 1;

    for (uint32_t turn = 0; turn < node->frame->number && !run->broken; turn++) {
        const struct sim_step *said = sim_instance(run, agent, agent->def->bodies[0], 0, turn);
        struct pl_str calls = calls_of(said);

        at++; /* what the model said */
        for (size_t i = 0; i < json_count(calls) && !run->broken; i++, at++)
            if (json_at(messages, at, &message))
                judge_answer(run, agent, turn, calls, i, message);
    }
    if ((size_t)at != json_count(messages))
        sim_breach(run, "%s: turn %u goes on with %zu messages, should be %lld", agent->path.ptr,
                   node->frame->number, json_count(messages), (long long)at);
}

static void judge_agent(struct sim_run *run, const struct sim_step *agent)
{
    const struct sim_step *turn = NULL;
    struct pl_str content = PL_STR("null");

    for (size_t i = 0; i < agent->def->config.agent->n_mcp; i++)
        if (agent->def->config.agent->mcp[i].required && !sim_is_good(listing_of(run, agent, i)))
            sim_breach(run, "%s: succeeded without the tools of a server it needs",
                       agent->path.ptr);
    for (uint32_t i = 0; i < agent->def->config.agent->max_turns; i++) {
        const struct sim_step *next = sim_instance(run, agent, agent->def->bodies[0], 0, i);

        if (next && next->last)
            turn = next;
    }
    if (!turn || json_count(calls_of(turn)) > 0) {
        sim_breach(run, "%s: succeeded without an answer", agent->path.ptr);
        return;
    }
    (void)json_get(sim_output(turn), PL_STR("content"), &content);
    if (!json_equal(content, sim_output(agent)))
        sim_breach(run, "%s: its output is %.*s, the last turn said %.*s", agent->path.ptr,
                   PL_STR_ARG(sim_output(agent)), PL_STR_ARG(content));
}

/* ---- steps that wait ---- */

static void judge_human(struct sim_run *run, const struct sim_step *step)
{
    struct pl_buf made;
    bool in_time = sim_hash_text(sim_output(step)) == step->mirror.given;

    pl_buf_init(&made, 8192);
    sim_write_made(&made, step, RUN_EVAL_TIMEOUT, 0);
    if (!in_time && !(step->def->config.human->on_timeout_default &&
                      pl_str_eq(sim_output(step), pl_buf_view(&made))))
        sim_breach(run, "%s: its output is nobody's answer: %.*s", step->path.ptr,
                   PL_STR_ARG(sim_output(step)));
    pl_buf_finish(&made);
}

void sim_judge_kind(struct sim_run *run, const struct sim_step *step)
{
    const struct step_def *def = step->def;
    bool good = step->mirror.state == NODE_SUCCEEDED;

    if (def->kind == STEP_VOTE)
        sim_judge_vote(run, step);
    if (!good)
        return;
    switch ((int)def->kind) {
    case STEP_MAP:
        judge_collapse(run, step);
        return;
    case STEP_WORKFLOW:
    case STEP_REPEAT:
        judge_body(run, step);
        return;
    case STEP_AGENT:
        judge_agent(run, step);
        return;
    case STEP_HUMAN:
        judge_human(run, step);
        return;
    case STEP_SLEEP:
        if (step->last->row.ended_at < step->mirror.wakes_at)
            sim_breach(run, "%s: woke up too early", step->path.ptr);
        return;
    default:
        return;
    }
}

/* ---- before a call ---- */

static void write_items(struct pl_buf *out, const struct sim_run *run, const struct sim_step *map,
                        size_t index)
{
    size_t each = map->def->config.map->batch, n = sim_items(run, map);

    if (!each) {
        sim_write_item(out, index);
        return;
    }
    pl_buf_char(out, '[');
    for (size_t i = index * each; i < (index + 1) * each && i < n; i++) {
        pl_buf_text(out, i > index * each ? "," : "");
        sim_write_item(out, i);
    }
    pl_buf_char(out, ']');
}

/* {"id","output"} of those that count. */
static void write_candidates(struct pl_buf *out, const struct sim_run *run,
                             const struct sim_step *vote, int only)
{
    bool some = false;

    pl_buf_text(out, only < 0 ? "[" : "");
    for (size_t i = 0; i < sim_branches(run, vote); i++) {
        const struct sim_step *branch = sim_branch(run, vote, i);

        if ((only >= 0 && i != (size_t)only) || !branch || !sim_counted(branch) ||
            branch->mirror.state != NODE_SUCCEEDED)
            continue;
        pl_buf_text(out, some ? ",{\"id\":" : "{\"id\":");
        sim_write_id(out, vote, i);
        pl_buf_text(out, ",\"output\":");
        pl_buf_str(out, sim_output(branch));
        pl_buf_char(out, '}');
        some = true;
    }
    pl_buf_text(out, only < 0 ? "]" : "");
}

/* The tool "s1_2" is the server's "s1.2". */
static void write_mcp_request(struct pl_buf *out, struct pl_str call, struct pl_str arguments)
{
    struct pl_str name = PL_STR("\"s0_0\"");

    json_get(call, PL_STR("name"), &name);
    pl_buf_printf(
        out,
        "{\"server\":%c,\"url\":\"http://s%c/mcp\",\"tool\":\"s%c.%c\",\"arguments\":%.*s,"
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"n\":{}}}}",
        name.ptr[2], name.ptr[2], name.ptr[2], name.ptr[4], PL_STR_ARG(arguments));
}

static void write_arguments(struct pl_buf *out, const struct sim_run *run,
                            const struct sim_step *agent, const struct run_frame *frame)
{
    struct pl_str calls =
                      calls_of(sim_instance(run, agent, agent->def->bodies[0], 0, frame->level)),
                  call, arguments;

    for (size_t i = 0; i < json_count(calls); i++) {
        const struct sim_step *tool = tool_step(run, agent, frame->level, calls, i);

        if (tool && tool->def->body == frame->body && tool->number == frame->number &&
            json_at(calls, (int64_t)i, &call) && json_get(call, PL_STR("arguments"), &arguments)) {
            if (tool->def->kind == STEP_MCP)
                write_mcp_request(out, call, arguments);
            else
                pl_buf_str(out, arguments);
            return;
        }
    }
}

/* The turn before, whose output is known. */
static void judge_previous(struct sim_run *run, const struct sim_step *repeat,
                           const struct run_frame *frame)
{
    struct pl_str output = PL_STR("null");
    struct pl_buf should;

    if (frame->number == 0)
        return;
    (void)json_get(pl_value_text(frame->value), PL_STR("output"), &output);
    pl_buf_init(&should, 8192);
    sim_write_made(&should, repeat, RUN_EVAL_BODY, frame->number - 1);
    sim_must_be(run, repeat->path, "the output of the turn before", output, &should);
}

void sim_judge_frame(struct sim_run *run, const struct run_node *node)
{
    const struct run_frame *frame = node->frame;
    const struct sim_step *owner = frame->owner ? sim_of(run, frame->owner) : NULL;
    struct pl_buf should;

    if (!owner)
        return;
    if (frame->body->role == BODY_TURN) {
        if (owner->def->kind == STEP_AGENT)
            judge_messages(run, owner, node);
        else
            judge_previous(run, owner, frame);
        return;
    }
    pl_buf_init(&should, 1u << 20);
    if (owner->def->kind == STEP_MAP && frame->body->role == BODY_BRANCH)
        write_items(&should, run, owner, frame->number);
    else if (frame->body->role == BODY_COLLAPSE)
        write_group(&should, run, owner, frame->level, frame->number);
    else if (frame->body->role == BODY_JUDGE || frame->body->role == BODY_SCORE)
        write_candidates(&should, run, owner,
                         frame->body->role == BODY_JUDGE ? -1 : (int)frame->number);
    else if (frame->body->role == BODY_LISTING)
        pl_buf_printf(&should, "{\"server\":%u,\"url\":\"http://s%u/mcp\"}", frame->number,
                      frame->number);
    else if (frame->body->role == BODY_TOOL)
        write_arguments(&should, run, owner, frame);
    if (should.len)
        sim_must_be(run, node->path, "what its frame is bound to", pl_value_text(frame->value),
                    &should);
    pl_buf_finish(&should);
}
