/* ref_kinds.c - the second opinion on what steps with bodies, and those that wait, gave: who won a
 * vote, what a collapse made, which turn of a repeat was the last, what an agent was told. Written
 * from the contract; works on what was last seen of each step. Called by reference.c, and by step.c
 * before calls. */
#include "tests/sim/sim.h"

#include "base/json.h"
#include "service/run_agent.h"

#include <stdlib.h>

static void must_be(struct sim_run *run, struct pl_str path, const char *what, struct pl_str is,
                    struct pl_buf *should)
{
    if (!pl_buf_failed(should) && !pl_str_eq(is, pl_buf_view(should)) &&
        !json_equal(is, pl_buf_view(should)))
        sim_breach(run, "%s: %s is %.*s, should be %.*s", path.ptr, what, PL_STR_ARG(is),
                   PL_STR_ARG(pl_buf_view(should)));
    pl_buf_finish(should);
}

/* ---- votes ---- */

/* What one branch says. */
struct ballot {
    bool open, counted;
    struct pl_str key;
    double weight;
};

struct ballots {
    struct ballot *items;
    size_t n;
};

/* Its key is its output, or what was made of it and recorded. */
static struct pl_str key_of(const struct sim_step *vote, const struct sim_step *branch)
{
    const struct vote_config *config = vote->def->config.vote;
    struct pl_str key;

    if ((config->key || config->score) && branch->last->row.writes &&
        json_get(pl_value_text(branch->last->row.writes), PL_STR(".key"), &key))
        return key;
    return sim_output(branch);
}

static struct ballots collect(const struct sim_run *run, const struct sim_step *vote)
{
    const struct vote_config *config = vote->def->config.vote;
    struct ballots ballots = {.n = sim_branches(run, vote)};

    ballots.items = sim_alloc(ballots.n, sizeof(*ballots.items));
    for (size_t i = 0; i < ballots.n; i++) {
        const struct sim_step *branch = sim_branch(run, vote, i);
        struct ballot *ballot = &ballots.items[i];

        ballot->open = !branch || !node_state_is_final(branch->mirror.state);
        ballot->counted = branch && branch->last && sim_counted(branch);
        ballot->weight = config->method == VOTE_WEIGHTED && config->weights ? config->weights[i] : 1;
        if (ballot->counted)
            ballot->key = key_of(vote, branch);
    }
    return ballots;
}

/* The votes for the key of ballot `i`, 0 when an earlier one has that key. */
static double votes_for(const struct ballots *ballots, size_t i)
{
    double votes = 0;

    if (!ballots->items[i].counted)
        return -1;
    for (size_t k = 0; k < ballots->n; k++) {
        const struct ballot *other = &ballots->items[k];

        if (!other->counted || !json_equal(other->key, ballots->items[i].key))
            continue;
        if (k < i)
            return -1;
        votes += other->weight;
    }
    return votes;
}

/* majority and weighted. -1: nobody; *ret_tie: several lead. */
static int leader(const struct vote_config *config, const struct ballots *ballots, bool *ret_tie)
{
    double best = -1, total = 0, needed;
    int winner = -1;

    *ret_tie = false;
    for (size_t i = 0; i < ballots->n; i++) {
        double votes = votes_for(ballots, i);

        total += ballots->items[i].counted ? ballots->items[i].weight : 0;
        if (votes > best + 1e-9) {
            best = votes;
            winner = (int)i;
            *ret_tie = false;
        } else if (votes >= 0 && votes > best - 1e-9) {
            *ret_tie = true;
        }
    }
    if (winner < 0)
        return -1;
    needed = config->threshold >= 1 ? config->threshold : config->threshold * total;
    if (config->threshold == 0 && config->method == VOTE_MAJORITY)
        return best * 2 > total + 1e-9 ? winner : -1;
    return best >= needed - 1e-9 ? winner : -1;
}

/* The middle one of the numbers, the lower of two. -1: none; -2: one is no number. */
static int median(const struct ballots *ballots)
{
    size_t counted = 0;

    for (size_t i = 0; i < ballots->n; i++) {
        if (ballots->items[i].counted && json_type(ballots->items[i].key) != JSON_NUMBER)
            return -2;
        counted += ballots->items[i].counted;
    }
    for (size_t i = 0; i < ballots->n; i++) {
        size_t below = 0, same = 0;

        if (!ballots->items[i].counted)
            continue;
        for (size_t k = 0; k < ballots->n; k++) {
            if (!ballots->items[k].counted)
                continue;
            below += json_number(ballots->items[k].key) < json_number(ballots->items[i].key);
            same += json_number(ballots->items[k].key) == json_number(ballots->items[i].key);
        }
        if (below <= (counted - 1) / 2 && (counted - 1) / 2 < below + same)
            return (int)i;
    }
    return -1;
}

static void write_id(struct pl_buf *out, const struct sim_step *vote, size_t index)
{
    if (vote->def->config.vote->n_among)
        json_write_string(out, vote->def->bodies[index]->id);
    else
        pl_buf_printf(out, "%zu", index);
}

/* Whom the judge named. -1: nobody who stands. */
static int judged(const struct sim_run *run, const struct sim_step *vote,
                  const struct ballots *ballots)
{
    int body = vote->def->config.vote->judge_body, winner = -1;
    const struct sim_step *judge = sim_instance(run, vote, vote->def->bodies[body], 0, 0);
    struct pl_str word = sim_output(judge);

    if (json_type(word) == JSON_OBJECT && !json_get(word, PL_STR("choice"), &word))
        return -1;
    for (size_t i = 0; i < ballots->n && winner < 0; i++) {
        struct pl_buf id;

        pl_buf_init(&id, 512);
        write_id(&id, vote, i);
        if (ballots->items[i].counted && json_equal(pl_buf_view(&id), word))
            winner = (int)i;
        pl_buf_finish(&id);
    }
    return winner;
}

/* The highest score. -1: none; -2: one is no number. */
static int best_of(const struct sim_run *run, const struct sim_step *vote,
                   const struct ballots *ballots)
{
    int body = vote->def->config.vote->score_body, winner = -1;
    double best = 0;

    for (size_t i = 0; i < ballots->n; i++) {
        struct pl_str score = ballots->items[i].key;

        if (!ballots->items[i].counted)
            continue;
        if (body >= 0)
            score = sim_output(sim_instance(run, vote, vote->def->bodies[body], 0, (uint32_t)i));
        if (body >= 0 && json_type(score) == JSON_OBJECT)
            (void)json_get(score, PL_STR("score"), &score);
        if (json_type(score) != JSON_NUMBER)
            return -2;
        if (winner < 0 || json_number(score) > best) {
            best = json_number(score);
            winner = (int)i;
        }
    }
    return winner;
}

static int winner_of(const struct sim_run *run, const struct sim_step *vote,
                     const struct ballots *ballots)
{
    const struct vote_config *config = vote->def->config.vote;
    bool tie = false;
    int winner;

    if (config->method == VOTE_MEDIAN)
        return median(ballots);
    if (config->method == VOTE_JUDGE)
        return judged(run, vote, ballots);
    if (config->method == VOTE_BEST_OF)
        return best_of(run, vote, ballots);
    winner = leader(config, ballots, &tie);
    if (tie && config->on_tie == VOTE_TIE_JUDGE)
        return judged(run, vote, ballots);
    return tie && config->on_tie == VOTE_TIE_FAIL ? -1 : winner;
}

/* Each element of the lists once, in their order. */
static void write_union(struct pl_buf *out, const struct ballots *ballots)
{
    struct pl_str seen[256];
    size_t n = 0;

    pl_buf_char(out, '[');
    for (size_t i = 0; i < ballots->n; i++) {
        struct pl_buf list;
        struct json_iter it;

        if (!ballots->items[i].counted)
            continue;
        pl_buf_init(&list, 1u << 20);
        if (json_type(ballots->items[i].key) != JSON_ARRAY)
            pl_buf_char(&list, '[');
        pl_buf_str(&list, ballots->items[i].key);
        if (json_type(ballots->items[i].key) != JSON_ARRAY)
            pl_buf_char(&list, ']');
        for (json_iter_init(&it, pl_buf_view(&list)); json_iter_next(&it) && n < 256;) {
            size_t k = 0;

            while (k < n && !json_equal(seen[k], it.value))
                k++;
            if (k < n)
                continue;
            pl_buf_text(out, n ? "," : "");
            /* what was written stays where it is: the next look is at the text in `ballots` */
            seen[n++] = json_type(ballots->items[i].key) == JSON_ARRAY
                            ? pl_str_n(ballots->items[i].key.ptr + (it.value.ptr - list.data),
                                       it.value.len)
                            : ballots->items[i].key;
            pl_buf_str(out, it.value);
        }
        pl_buf_finish(&list);
    }
    pl_buf_char(out, ']');
}

static void judge_vote(struct sim_run *run, const struct sim_step *vote)
{
    struct ballots ballots = collect(run, vote);
    struct pl_buf should;
    int winner;

    if (vote->def->config.vote->method == VOTE_UNION) {
        pl_buf_init(&should, 1u << 20);
        write_union(&should, &ballots);
        must_be(run, vote->path, "its union", sim_output(vote), &should);
    } else {
        winner = winner_of(run, vote, &ballots);
        if (winner < 0)
            sim_breach(run, "%s: has a winner and should have none", vote->path.ptr);
        else if (!pl_str_eq(sim_output(vote), sim_output(sim_branch(run, vote, (size_t)winner))))
            sim_breach(run, "%s: gives %.*s, branch %d should have won", vote->path.ptr,
                       PL_STR_ARG(sim_output(vote)), winner);
    }
    free(ballots.items);
}

/* It failed for want of a decision: is there none? */
static void judge_lost(struct sim_run *run, const struct sim_step *vote, enum pl_code code)
{
    struct ballots ballots = collect(run, vote);

    if ((code == PL_ERR_NO_MAJORITY || code == PL_ERR_NO_DECISION) &&
        vote->def->config.vote->method != VOTE_UNION && winner_of(run, vote, &ballots) >= 0)
        sim_breach(run, "%s: failed with %s, and branch %d should have won", vote->path.ptr,
                   pl_code_text(code), winner_of(run, vote, &ballots));
    free(ballots.items);
}

/* ---- votes that end early ---- */

struct futures {
    const struct vote_config *config;
    struct ballots ballots;
    size_t open[8], n_open;
    struct pl_str winner; /* of all futures so far */
    bool any, differ, may_be_decided_late;
};

static void look_at_future(struct futures *f)
{
    bool tie = false;
    int winner =
        f->config->method == VOTE_MEDIAN ? median(&f->ballots) : leader(f->config, &f->ballots, &tie);

    if (tie) /* what a tie comes to may wait until it is one */
        f->may_be_decided_late = true;
    if (winner < 0 || (tie && f->config->on_tie != VOTE_TIE_FIRST)) {
        f->differ = true;
        return;
    }
    if (f->any && !json_equal(f->winner, f->ballots.items[winner].key))
        f->differ = true;
    f->winner = f->ballots.items[winner].key;
    f->any = true;
}

/* Every way the open ones can still come out: failed, any key there is, a new one, a low and a high
 * number. */
static void go_through(struct futures *f, size_t at)
{
    static const char *const fresh[] = {"\"new\"", "-1000000", "1000000", "1.5"};
    struct ballot *ballot;

    if (f->differ)
        return;
    if (at == f->n_open) {
        look_at_future(f);
        return;
    }
    ballot = &f->ballots.items[f->open[at]];
    ballot->counted = false;
    go_through(f, at + 1);
    ballot->counted = true;
    for (size_t i = 0; i < PL_ARRAY_LEN(fresh); i++) {
        if (f->config->method == VOTE_MEDIAN ? i == 0 : i > 0)
            continue; /* a median of what is no number is none: that is not looked at */
        ballot->key = pl_str(fresh[i]);
        go_through(f, at + 1);
    }
    for (size_t i = 0; i < f->ballots.n; i++) {
        if (f->ballots.items[i].open || !f->ballots.items[i].counted)
            continue;
        ballot->key = f->ballots.items[i].key;
        go_through(f, at + 1);
    }
}

void sim_judge_early(struct sim_run *run, const struct sim_step *vote, enum node_state state,
                     bool fixed)
{
    struct futures f = {.config = vote->def->config.vote, .ballots = collect(run, vote)};

    for (size_t i = 0; i < f.ballots.n; i++)
        if (f.ballots.items[i].open && f.n_open < PL_ARRAY_LEN(f.open))
            f.open[f.n_open++] = i;
    go_through(&f, 0);
    if (fixed && (f.differ || !f.any))
        sim_breach(run, "%s: was over early, and its winner could still change", vote->path.ptr);
    else if (state == NODE_JOINING && f.n_open > 0 && f.any && !f.differ &&
             !f.may_be_decided_late && f.config->method != VOTE_MEDIAN)
        sim_breach(run, "%s: goes on, and nothing can change its winner", vote->path.ptr);
    free(f.ballots.items);
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
    must_be(run, map->path, "what it collapsed to", sim_output(map), &should);
}

/* ---- repeat, workflow ---- */

/* The turn that ends it, as its expressions say. */
static uint32_t last_turn(const struct sim_run *run, const struct sim_step *step)
{
    const struct repeat_config *repeat = step->def->config.repeat;
    uint32_t turn = 0;

    while (turn + 1 < repeat->max &&
           !(repeat->until && sim_truth(run, step, RUN_EVAL_UNTIL, turn)))
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
    must_be(run, step->path, "its output", sim_output(step), &should);
}

/* ---- agents ---- */

static struct pl_str calls_of(const struct sim_step *turn)
{
    struct pl_str calls = PL_STR("[]");

    (void)json_get(sim_output(turn), PL_STR("tool_calls"), &calls);
    return calls;
}

/* The instance that call `index` of a turn began; NULL: it was answered without one. */
static const struct sim_step *tool_step(const struct sim_run *run, const struct sim_step *agent,
                                        uint32_t turn, struct pl_str calls, size_t index)
{
    const struct agent_config *config = agent->def->config.agent;
    struct pl_str call, name, wrong, other;
    const struct agent_tool *tool = NULL;
    uint32_t number = 0;

    if (!json_at(calls, (int64_t)index, &call) || !json_get(call, PL_STR("name"), &name) ||
        json_get(call, PL_STR("arguments_error"), &wrong))
        return NULL;
    for (size_t i = 0; i < config->n_tools; i++)
        if (pl_str_eq(config->tools[i].id, pl_str_n(name.ptr + 1, name.len - 2)))
            tool = &config->tools[i];
    for (size_t i = 0; tool && i <= index; i++)
        if (json_at(calls, (int64_t)i, &call) && json_get(call, PL_STR("name"), &other) &&
            pl_str_eq(other, name) && !json_get(call, PL_STR("arguments_error"), &wrong))
            number++;
    return tool ? sim_instance(run, agent, agent->def->bodies[tool->body], turn, number) : NULL;
}

/* Is this message the answer to call `index` of the turn? */
static void judge_answer(struct sim_run *run, const struct sim_step *agent, uint32_t turn,
                         struct pl_str calls, size_t index, struct pl_str message)
{
    struct pl_str call, id, told, content;
    const struct sim_step *tool = tool_step(run, agent, turn, calls, index);
    struct pl_buf text;

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
    json_decode_string(content, &text);
    if (!pl_str_eq(pl_buf_view(&text), sim_output(tool)) && !json_equal(content, sim_output(tool)))
        sim_breach(run, "%s: turn %u: call %zu is answered %.*s, its tool gave %.*s",
                   agent->path.ptr, turn, index, PL_STR_ARG(content), PL_STR_ARG(sim_output(tool)));
    pl_buf_finish(&text);
}

/* The conversation a turn goes on with: turns and answers, in the order they were asked. */
static void judge_messages(struct sim_run *run, const struct sim_step *agent,
                           const struct run_node *node)
{
    struct pl_str messages = run_agent_messages(node), message;
    int64_t at = 1;

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

    if (def->kind == STEP_VOTE && step->mirror.state == NODE_FAILED && !def->handler)
        judge_lost(run, step, sim_error_code(sim_error(step)));
    if (!good)
        return;
    switch ((int)def->kind) {
    case STEP_VOTE:
        judge_vote(run, step);
        return;
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

        if ((only >= 0 && i != (size_t)only) || !branch || !sim_counted(branch))
            continue;
        pl_buf_text(out, some ? ",{\"id\":" : "{\"id\":");
        write_id(out, vote, i);
        pl_buf_text(out, ",\"output\":");
        pl_buf_str(out, sim_output(branch));
        pl_buf_char(out, '}');
        some = true;
    }
    pl_buf_text(out, only < 0 ? "]" : "");
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
    must_be(run, repeat->path, "the output of the turn before", output, &should);
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
    else if (frame->body->role == BODY_TOOL)
        write_arguments(&should, run, owner, frame);
    if (should.len)
        must_be(run, node->path, "what its frame is bound to", pl_value_text(frame->value),
                &should);
    pl_buf_finish(&should);
}
