/* gen_kinds.c - what stands under the kinds of steps that have bodies, and those that wait. Not
 * what stands beside it (gen.c). */
#include "tests/sim/gen.h"

#include "base/json.h"

#include <stdio.h>

/* ---- state ---- */

void gen_state(struct gen *g)
{
    static const char *const reducers[] = {
        "{\"reducer\":\"append\",\"default\":[]}",
        "{\"reducer\":\"sum\",\"default\":100}",
        "{\"reducer\":\"max\",\"default\":5}",
        "{\"reducer\":\"last\"}",
    };
    unsigned count = 1 + sim_below(g->rng, 2);

    if (g->n_channels + count > MAX_CHANNELS || !sim_chance(g->rng, 40))
        return;
    json_key(g->out, "state");
    json_object_begin(g->out);
    for (unsigned i = 0; i < count; i++) {
        char name[24];

        snprintf(name, sizeof(name), "c%u", g->next_channel);
        json_add_raw(g->out, name, pl_str(reducers[sim_below(g->rng, PL_ARRAY_LEN(reducers))]));
        g->channels[g->n_channels++] = g->next_channel++;
    }
    json_object_end(g->out);
}

/* ---- map ---- */

static void gen_do(struct gen *g, unsigned depth, enum gen_wants wants)
{
    unsigned saved = g->n_visible;

    json_key(g->out, "do");
    gen_step(g, depth + 1, true, wants);
    g->n_visible = saved;
}

static void gen_map(struct gen *g, unsigned depth)
{
    bool batch = sim_chance(g->rng, 25), collapse = sim_chance(g->rng, 30);

    json_key(g->out, "map");
    json_object_begin(g->out);
    json_add_string(g->out, "over", PL_STR("${ .input.items }"));
    if (sim_chance(g->rng, 60))
        json_add_int(g->out, "concurrency", sim_between(g->rng, 1, 5));
    if (batch)
        json_add_int(g->out, "batch", sim_between(g->rng, 1, 4));
    if (sim_chance(g->rng, 25))
        json_add_bool(g->out, "warm_up", sim_chance(g->rng, 90));
    g->many *= 5;
    gen_do(g, depth, batch ? GEN_LEAF : GEN_ANY);
    if (collapse) {
        json_key(g->out, "collapse");
        json_object_begin(g->out);
        gen_do(g, depth, sim_chance(g->rng, 70) ? GEN_LEAF : GEN_ANY);
        json_add_int(g->out, "fan_in", sim_between(g->rng, 2, 4));
        json_object_end(g->out);
    }
    g->many /= 5;
    json_object_end(g->out);
    if (sim_chance(g->rng, 85))
        gen_join(g, sim_chance(g->rng, 70) ? 4 : 0, true, !batch && !collapse);
}

/* ---- vote ---- */

static void gen_among(struct gen *g, unsigned depth, unsigned n, bool weighted)
{
    unsigned first = g->next_id, saved = g->n_visible;
    char id[24];

    g->next_id += n;
    json_key(g->out, "among");
    json_object_begin(g->out);
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "s%u", first + i);
        json_key(g->out, id);
        gen_step(g, depth + 1, true, sim_chance(g->rng, 70) ? GEN_LEAF : GEN_ANY);
        g->n_visible = saved;
    }
    json_object_end(g->out);
    if (!weighted)
        return;
    json_key(g->out, "weights");
    json_object_begin(g->out);
    for (unsigned i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "s%u", first + i);
        json_add_int(g->out, id, sim_between(g->rng, 0, 4));
    }
    json_object_end(g->out);
}

static void gen_threshold(struct gen *g, unsigned n)
{
    if (sim_chance(g->rng, 50))
        json_add_int(g->out, "threshold", sim_between(g->rng, 1, (int64_t)n));
    else
        json_add_raw(g->out, "threshold", sim_chance(g->rng, 50) ? PL_STR("0.5") : PL_STR("0.7"));
}

/* A step that chooses or scores. */
static void gen_judge(struct gen *g, unsigned depth, const char *key)
{
    json_key(g->out, key);
    gen_step(g, depth + 1, true, GEN_LEAF);
}

static void gen_decision(struct gen *g, unsigned depth, unsigned n, enum vote_method method)
{
    static const char *const names[] = {"majority", "weighted", "median",
                                        "union",    "judge",    "best_of"};
    bool tally = method == VOTE_MAJORITY || method == VOTE_WEIGHTED;
    bool by_judge = method == VOTE_JUDGE || (tally && sim_chance(g->rng, 15));

    if (method != VOTE_MAJORITY)
        json_add_string(g->out, "method", pl_str(names[method]));
    if (method == VOTE_BEST_OF && sim_chance(g->rng, 50))
        json_add_string(g->out, "score", PL_STR("${ .output.k }"));
    else if (method == VOTE_BEST_OF)
        gen_judge(g, depth, "score");
    else if (method != VOTE_JUDGE && sim_chance(g->rng, 50))
        json_add_string(g->out, "key", PL_STR("${ .output.k }"));
    if (tally && sim_chance(g->rng, 30))
        gen_threshold(g, n);
    if (by_judge)
        gen_judge(g, depth, "judge");
    if (tally && (by_judge || sim_chance(g->rng, 40)))
        json_add_string(g->out, "on_tie",
                        by_judge                 ? PL_STR("judge")
                        : sim_chance(g->rng, 70) ? PL_STR("fail")
                                                 : PL_STR("first"));
}

static void gen_vote(struct gen *g, unsigned depth)
{
    enum vote_method method = (enum vote_method)sim_below(g->rng, 6);
    bool among = method == VOTE_WEIGHTED || sim_chance(g->rng, 40);
    bool early = method <= VOTE_MEDIAN && sim_chance(g->rng, 50);
    unsigned n = 1 + sim_below(g->rng, among ? 4 : 6), saved = g->n_visible;

    if (sim_chance(g->rng, 40))
        method = VOTE_MAJORITY;
    json_key(g->out, "vote");
    json_object_begin(g->out);
    g->many *= 4;
    if (among) {
        gen_among(g, depth, n, method == VOTE_WEIGHTED);
    } else {
        json_key(g->out, "of");
        gen_step(g, depth + 1, true, sim_chance(g->rng, 80) ? GEN_LEAF : GEN_ANY);
        json_add_int(g->out, "samples", n);
    }
    g->n_visible = saved;
    gen_decision(g, depth, n, method);
    g->n_visible = saved;
    g->many /= 4;
    if (early && method <= VOTE_MEDIAN)
        json_add_string(g->out, "stop", PL_STR("early"));
    json_object_end(g->out);
    if (sim_chance(g->rng, 35))
        gen_join(g, n, !early, true);
}

/* ---- workflow, repeat ---- */

static void gen_body(struct gen *g, unsigned depth)
{
    unsigned channels = g->n_channels;

    gen_state(g);
    gen_steps(g, depth + 1);
    if (sim_chance(g->rng, 50))
        json_add_string(g->out, "output", PL_STR("${ .input.made }"));
    g->n_channels = channels;
}

static void gen_workflow(struct gen *g, unsigned depth)
{
    json_key(g->out, "workflow");
    json_object_begin(g->out);
    if (g->child < 2 && sim_chance(g->rng, 40)) {
        int child = g->child + 1 + (int)sim_below(g->rng, (unsigned)(2 - g->child));

        pl_buf_printf(g->out, "\"name\":\"child%d\"", child);
        json_add_raw(g->out, "input", PL_STR("{\"go\":1}"));
    } else {
        gen_body(g, depth);
    }
    json_object_end(g->out);
}

static void gen_repeat(struct gen *g, unsigned depth)
{
    bool until = sim_chance(g->rng, 75);

    json_key(g->out, "repeat");
    json_object_begin(g->out);
    g->many *= 3;
    gen_body(g, depth);
    g->many /= 3;
    if (until)
        json_add_string(g->out, "until", PL_STR("${ .output.done }"));
    json_add_int(g->out, "max", sim_between(g->rng, 1, 4));
    if (until && sim_chance(g->rng, 40))
        json_add_string(g->out, "on_max", PL_STR("fail"));
    json_object_end(g->out);
}

/* ---- agent, human, sleep ---- */

/* Servers whose tools only the answers know (answers.c). */
static void gen_servers(struct gen *g)
{
    unsigned servers = 1 + sim_below(g->rng, 2);

    json_key(g->out, "mcp");
    json_array_begin(g->out);
    for (unsigned i = 0; i < servers; i++) {
        json_comma(g->out);
        json_object_begin(g->out);
        json_add_string(g->out, "url", PL_STR("http://tools.example/mcp"));
        if (sim_chance(g->rng, 30))
            json_add_bool(g->out, "required", true);
        json_object_end(g->out);
    }
    json_array_end(g->out);
}

static void gen_agent(struct gen *g, unsigned depth)
{
    unsigned tools = sim_below(g->rng, 4), saved = g->n_visible;

    json_key(g->out, "agent");
    json_object_begin(g->out);
    gen_llm_fields(g);
    json_key(g->out, "tools");
    json_object_begin(g->out);
    g->many *= 4;
    for (unsigned i = 0; i < tools; i++) {
        char id[24];

        snprintf(id, sizeof(id), "t%u", g->next_id++);
        json_key(g->out, id);
        json_object_begin(g->out);
        json_add_string(g->out, "description", PL_STR("does something"));
        gen_do(g, depth, sim_chance(g->rng, 60) ? GEN_LEAF : GEN_ANY);
        json_object_end(g->out);
        g->n_visible = saved;
    }
    g->many /= 4;
    json_object_end(g->out);
    if (sim_chance(g->rng, 40))
        gen_servers(g);
    json_add_int(g->out, "max_turns", sim_between(g->rng, 1, 4));
    json_object_end(g->out);
}

static void gen_human(struct gen *g)
{
    bool timeout = sim_chance(g->rng, 60);

    json_key(g->out, "human");
    json_object_begin(g->out);
    json_add_string(g->out, "ask", PL_STR("Is it good?"));
    if (timeout)
        gen_add_ms(g, "timeout", 10, 1200);
    if (timeout && sim_chance(g->rng, 50))
        json_add_raw(g->out, "on_timeout", PL_STR("{\"default\":{\"d\":1}}"));
    json_object_end(g->out);
}

static void gen_sleep(struct gen *g)
{
    if (sim_chance(g->rng, 50)) {
        gen_add_ms(g, "sleep", 1, 900);
        return;
    }
    json_add_raw(g->out, "sleep", PL_STR("{\"until\":\"${ .input.time }\"}"));
}

void gen_wait(struct gen *g)
{
    if (sim_chance(g->rng, 60))
        gen_human(g);
    else
        gen_sleep(g);
}

void gen_kind(struct gen *g, unsigned depth)
{
    unsigned kind = sim_below(g->rng, 12);

    if (kind < 4)
        gen_map(g, depth);
    else if (kind < 7)
        gen_vote(g, depth);
    else if (kind < 9)
        gen_workflow(g, depth);
    else if (kind < 11)
        gen_repeat(g, depth);
    else
        gen_agent(g, depth);
}
