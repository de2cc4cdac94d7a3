/* answers.c - what evaluations and calls say. All of it follows from the seed, the path of the step
 * and, for calls, the number of the call, so that an evaluation says the same however often it is
 * asked and the reference can ask too. Not when they say it (world.c). */
#include "tests/sim/judge.h"

#include "base/json.h"

#include <stdio.h>

static uint64_t dice(const struct sim_run *run, const struct sim_step *step, unsigned what,
                     uint32_t turn)
{
    return sim_hash(run->seed ^ (step ? step->key : 0x5555u), what, turn);
}

bool sim_truth(const struct sim_run *run, const struct sim_step *step, enum run_eval_what what,
               uint32_t turn)
{
    return dice(run, step, 100u + what, turn) % 100 >= run->mood.untruth;
}

bool sim_eval_fails(const struct sim_run *run, const struct sim_step *step, enum run_eval_what what,
                    uint32_t turn)
{
    return dice(run, step, 200u + what, turn) % 100 < run->mood.eval_error;
}

/* ---- what steps begin with ---- */

size_t sim_items(const struct sim_run *run, const struct sim_step *map)
{
    uint64_t roll = dice(run, map, 300, 0);
    unsigned depth = 0;

    for (const struct sim_step *up = map->up; up; up = up->up)
        depth += up->def->n_bodies > 0;
    if (depth == 0)
        return roll % 100 < 5 ? 40 + roll / 100 % 80 : roll / 100 % 9;
    return roll % (depth == 1 ? 5 : 3);
}

void sim_write_item(struct pl_buf *out, size_t index)
{
    pl_buf_printf(out, "{\"i\":%zu}", index);
}

static void write_begin(struct pl_buf *out, const struct sim_run *run, const struct sim_step *step)
{
    uint64_t roll = dice(run, step, 301, 0);

    switch ((int)step->def->kind) {
    case STEP_MAP:
        pl_buf_char(out, '[');
        for (size_t i = 0; i < sim_items(run, step); i++) {
            pl_buf_text(out, i ? "," : "");
            sim_write_item(out, i);
        }
        pl_buf_char(out, ']');
        return;
    case STEP_SLEEP:
        pl_buf_printf(out, "{\"until\":%lld}", (long long)(run->now + (pl_ms)(roll % 900) - 50));
        return;
    case STEP_AGENT:
        pl_buf_text(out, "{\"messages\":[{\"role\":\"user\",\"content\":\"go\"}],\"mcp\":[");
        for (size_t i = 0; i < step->def->config.agent->n_mcp; i++)
            pl_buf_printf(out, "%s\"http://s%zu/mcp\"", i ? "," : "", i);
        pl_buf_text(out, "]}");
        return;
    default:
        pl_buf_printf(out, "{\"begin\":%u}", (unsigned)(roll % 1000));
    }
}

void sim_write_made(struct pl_buf *out, const struct sim_step *step, enum run_eval_what what,
                    uint32_t turn)
{
    pl_buf_printf(out, "{\"made\":\"%s\",\"what\":%d,\"turn\":%u}",
                  step ? step->path.ptr : "the run", (int)what, turn);
}

/* ---- votes ---- */

/* An answer from a small set, so that branches agree: what `method` compares. */
static void write_vote(struct pl_buf *out, enum vote_method method, uint64_t roll)
{
    if (method == VOTE_UNION)
        pl_buf_printf(out, "[%u,%u]", (unsigned)(roll % 3), (unsigned)(roll / 3 % 4));
    else if (roll / 16 % 100 < 3)
        pl_buf_text(out, "\"no number\"");
    else
        pl_buf_printf(out, "%u", (unsigned)(roll % (roll / 4096 % 3 + 1)));
}

static void write_choice(struct pl_buf *out, const struct sim_step *vote, uint64_t roll)
{
    const struct vote_config *config = vote->def->config.vote;
    unsigned n = config->n_among ? config->n_among : config->samples, pick;
    bool object = roll / 7 % 2 == 0;

    pick = (unsigned)(roll % n);
    if (object)
        pl_buf_text(out, "{\"choice\":");
    if (roll / 100 % 100 < 8)
        pl_buf_text(out, "\"nobody\"");
    else if (config->n_among)
        json_write_string(out, vote->def->bodies[pick]->id);
    else
        pl_buf_printf(out, "%u", pick);
    if (object)
        pl_buf_char(out, '}');
}

static void write_score(struct pl_buf *out, uint64_t roll)
{
    if (roll % 100 < 4)
        pl_buf_text(out, "\"high\"");
    else if (roll % 2)
        pl_buf_printf(out, "{\"score\":%u}", (unsigned)(roll / 100 % 5));
    else
        pl_buf_printf(out, "%u", (unsigned)(roll / 100 % 5));
}

/* ---- evaluations ---- */

static void write_writes(struct pl_buf *out, const struct sim_run *run, const struct sim_step *step)
{
    json_object_begin(out);
    for (size_t i = 0; i < step->def->n_writes; i++) {
        json_key(out, step->def->writes[i].channel->name.ptr);
        pl_buf_printf(out, "%u", (unsigned)(dice(run, step, 400, (uint32_t)i) % 1000));
    }
    json_object_end(out);
}

static struct pl_value *state_of(struct sim_run *run, const struct run_frame *frame)
{
    struct pl_value *value;
    struct pl_buf out;

    if (frame->body->n_channels == 0)
        return NULL;
    pl_buf_init(&out, 1u << 20);
    sim_state_of_frame(run, frame, &out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

static const struct run_frame *frame_of_turn(const struct run_node *node, uint32_t turn)
{
    struct pl_list *link = node->inner ? node->inner->frames.prev : NULL;

    for (; link && link != &node->inner->frames; link = link->prev) {
        const struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        if (frame->number == turn)
            return frame;
    }
    return NULL;
}

static void make_value(struct sim_run *run, struct sim_step *step, const struct sim_timer *timer,
                       struct run_event *event)
{
    struct pl_buf out;

    pl_buf_init(&out, 1u << 20);
    if (timer->what == RUN_EVAL_BEGIN)
        write_begin(&out, run, step);
    else if (timer->what == RUN_EVAL_KEY)
        write_vote(&out, step->up->def->config.vote->method, dice(run, step, 302, 0));
    else if (timer->what == RUN_EVAL_WRITES)
        write_writes(&out, run, step);
    else
        sim_write_made(&out, step, timer->what, timer->turn);
    event->value = pl_value_take(&out);
    pl_buf_finish(&out);
}

void sim_make_evaluation(struct sim_run *run, struct sim_step *step, const struct sim_timer *timer,
                         struct run_event *event)
{
    const struct run_frame *frame = NULL;

    if (sim_eval_fails(run, step, timer->what, timer->turn)) {
        pl_err_set(&event->err, PL_ERR_EXPRESSION_ERROR, "the simulated expression failed");
        return;
    }
    if (timer->what == RUN_EVAL_WHEN || timer->what == RUN_EVAL_ACCEPT ||
        timer->what == RUN_EVAL_UNTIL) {
        event->truth = sim_truth(run, step, timer->what, timer->turn);
        return;
    }
    make_value(run, step, timer, event);
    if (timer->what == RUN_EVAL_OUTPUT)
        frame = run_core_root(run->core);
    else if (timer->what == RUN_EVAL_BODY)
        frame = frame_of_turn(event->node, timer->turn);
    if (frame)
        event->state = state_of(run, frame);
}

/* ---- calls ---- */

static const enum pl_code failures[] = {
    PL_ERR_UNREACHABLE,      PL_ERR_CONNECTION_LOST,  PL_ERR_TLS,
    PL_ERR_TIMEOUT,          PL_ERR_RATE_LIMITED,     PL_ERR_QUOTA_EXCEEDED,
    PL_ERR_PROVIDER_ERROR,   PL_ERR_OVERLOADED,       PL_ERR_STREAM_ERROR,
    PL_ERR_TRUNCATED,        PL_ERR_BAD_RESPONSE,     PL_ERR_EMPTY_RESPONSE,
    PL_ERR_AUTH_FAILED,      PL_ERR_CONTEXT_TOO_LONG, PL_ERR_BAD_REQUEST,
    PL_ERR_EXPRESSION_ERROR, PL_ERR_INVALID_OUTPUT,   PL_ERR_RESPONSE_TOO_LARGE,
};

/* The tools of a server: their names are nobody else's. The same again when a crash took the first
 * answer along, for steps are known by where a tool stands. */
static void write_listing(struct pl_buf *out, const struct run_node *node, uint64_t seed)
{
    unsigned tools = (unsigned)(seed % (SIM_SERVER_TOOLS + 1));

    pl_buf_char(out, '[');
    for (unsigned i = 0; i < tools; i++)
        pl_buf_printf(out,
                      "%s{\"name\":\"s%u.%u\",\"inputSchema\":{\"type\":\"object\","
                      "\"properties\":{\"n\":{}}}}",
                      i ? "," : "", node->frame->number, i);
    pl_buf_char(out, ']');
}

static void write_mcp_result(struct pl_buf *out, const struct sim_step *step, struct sim_rng *rng)
{
    pl_buf_printf(out, "{\"content\":[{\"type\":\"text\",\"text\":\"%s %u\"}]", step->path.ptr,
                  step->serial);
    pl_buf_text(out, sim_chance(rng, 20) ? ",\"isError\":true}" : "}");
}

static void write_tool_name(struct pl_buf *out, const struct agent_config *config,
                            struct sim_rng *rng)
{
    if (config->n_mcp && sim_chance(rng, 50))
        pl_buf_printf(out, "s%u_%u", sim_below(rng, (unsigned)config->n_mcp),
                      sim_below(rng, SIM_SERVER_TOOLS));
    else if (config->n_tools == 0 || sim_chance(rng, 10))
        pl_buf_text(out, "no_such_tool");
    else
        pl_buf_str(out, config->tools[sim_below(rng, (unsigned)config->n_tools)].id);
}

/* The model's word in an agent's turn: an answer, or calls of tools, some of them nonsense. */
static void write_turn(struct pl_buf *out, const struct sim_step *agent, struct sim_rng *rng)
{
    const struct agent_config *config = agent->def->config.agent;
    unsigned calls = sim_chance(rng, 35) ? 0 : 1 + sim_below(rng, 3), mark = sim_below(rng, 1000);

    pl_buf_printf(out, "{\"content\":\"said %u\",\"tool_calls\":[", mark);
    for (unsigned i = 0; i < calls; i++) {
        pl_buf_printf(out, "%s{\"id\":\"c%u_%u\",\"name\":\"", i ? "," : "", mark, i);
        write_tool_name(out, config, rng);
        pl_buf_printf(out, "\",\"arguments\":{\"n\":%u}", sim_below(rng, 100));
        if (sim_chance(rng, 8))
            pl_buf_text(out, ",\"arguments_error\":\"they do not fit\"");
        pl_buf_char(out, '}');
    }
    pl_buf_text(out, "]}");
}

static void write_batch(struct pl_buf *out, const struct run_node *node, struct sim_rng *rng)
{
    size_t count = json_count(pl_value_text(node->frame->value)) + sim_chance(rng, 6);
    unsigned mark = sim_below(rng, 1000);

    pl_buf_char(out, '[');
    for (size_t i = 0; i < count; i++)
        pl_buf_printf(out, "%s{\"b\":%u,\"n\":%zu}", i ? "," : "", mark, i);
    pl_buf_char(out, ']');
}

/* What a call gives depends on what asked for it. */
static void write_output(struct pl_buf *out, const struct sim_step *step,
                         const struct run_node *node, struct sim_rng *rng)
{
    const struct sim_step *up = step->def->is_handler ? NULL : step->up;
    enum body_role role =
        step->body->single && step->def == step->body->top[0] ? step->body->role : BODY_ROOT;
    uint64_t roll = sim_random(rng);

    if (!up)
        role = BODY_ROOT;
    if (role == BODY_BRANCH && up->def->kind == STEP_VOTE && !up->def->config.vote->key)
        write_vote(out, up->def->config.vote->method, roll);
    else if (role == BODY_BRANCH && up->def->kind == STEP_MAP && up->def->config.map->batch)
        write_batch(out, node, rng);
    else if (role == BODY_JUDGE)
        write_choice(out, up, roll);
    else if (role == BODY_SCORE)
        write_score(out, roll);
    else if (role == BODY_TURN && up->def->kind == STEP_AGENT)
        write_turn(out, up, rng);
    else if (role == BODY_LISTING)
        write_listing(out, node, sim_hash(step->key, 31, 0));
    else if (step->def->kind == STEP_MCP)
        write_mcp_result(out, step, rng);
    else
        pl_buf_printf(out, "{\"step\":\"%s\",\"serial\":%u}", step->path.ptr, step->serial);
}

void sim_make_result(struct sim_run *run, const struct sim_step *step, const struct run_node *node,
                     struct step_result *result)
{
    struct sim_rng rng = {.state = sim_hash(run->seed ^ step->key, 1000u, step->serial)};
    struct pl_buf out;

    result->usage = (struct store_usage){.calls = 1, .input_tokens = (int64_t)sim_below(&rng, 50)};
    if (sim_chance(&rng, run->mood.free)) {
        result->free = true;
        pl_err_set(&result->err, sim_chance(&rng, 70) ? PL_ERR_RATE_LIMITED : PL_ERR_UNREACHABLE,
                   "the simulated lane is closed");
    } else if (sim_chance(&rng, run->mood.fail)) {
        pl_err_set(&result->err, failures[sim_below(&rng, PL_ARRAY_LEN(failures))],
                   "the simulated call failed");
        result->no_retry = sim_chance(&rng, run->mood.no_retry);
    } else {
        pl_buf_init(&out, 1u << 20);
        write_output(&out, step, node, &rng);
        result->output = pl_value_take(&out);
        pl_buf_finish(&out);
        result->usage.output_tokens = (int64_t)sim_below(&rng, 90);
        result->usage.cost_usd =
            sim_money_cost(result->usage.input_tokens + result->usage.output_tokens);
        return;
    }
    result->upstream_status = (int)sim_between(&rng, 400, 599);
    if (sim_chance(&rng, run->mood.hint))
        result->retry_after = sim_between(&rng, 0, run->mood.longest_hint);
}
