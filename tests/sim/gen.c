/* gen.c - a random workflow as JSON text, so that the product's own parser, check and compiler make
 * it. Not what happens when it runs (world.c), nor what stands under maps and the like
 * (gen_kinds.c). Called by world.c, once a scenario. */
#include "tests/sim/gen.h"

#include "base/json.h"

#include <stdio.h>

void gen_add_ms(struct gen *g, const char *key, int64_t low, int64_t high)
{
    json_key(g->out, key);
    pl_buf_printf(g->out, "\"%lldms\"", (long long)sim_between(g->rng, low, high));
}

static unsigned pick_visible(struct gen *g)
{
    /* The nearest ones more often: chains are where skips travel. */
    unsigned back = sim_chance(g->rng, 60) ? sim_below(g->rng, 3) : sim_below(g->rng, g->n_visible);

    if (back >= g->n_visible)
        back = g->n_visible - 1;
    return g->visible[g->n_visible - 1 - back];
}

/* Text with up to two expressions in it. */
static void gen_text(struct gen *g)
{
    static const char *const fields[] = {"output", "status", "error", "usage", "output.a[0]"};
    unsigned count = g->n_visible > 0 && sim_chance(g->rng, 55) ? 1 + sim_below(g->rng, 2) : 0;

    pl_buf_text(g->out, "\"say");
    for (unsigned i = 0; i < count; i++) {
        unsigned id = pick_visible(g);
        const char *field = fields[sim_below(g->rng, PL_ARRAY_LEN(fields))];

        pl_buf_printf(g->out, " ${ .steps.s%u.%s }", id, field);
    }
    if (g->n_channels > 0 && sim_chance(g->rng, 20))
        pl_buf_printf(g->out, " ${ .state.c%u }", g->channels[sim_below(g->rng, g->n_channels)]);
    pl_buf_char(g->out, '"');
}

void gen_llm_fields(struct gen *g)
{
    json_add_string(g->out, "model", PL_STR("sim/echo"));
    json_key(g->out, "prompt");
    gen_text(g);
    if (sim_chance(g->rng, 40))
        json_add_raw(g->out, "cache", PL_STR("{\"ttl\":\"1h\"}"));
    if (sim_chance(g->rng, 12))
        json_add_raw(g->out, "fallback",
                     sim_chance(g->rng, 50) ? PL_STR("[\"sim/other\"]")
                                            : PL_STR("[\"sim/other\",\"sim/third\"]"));
}

static void gen_needs(struct gen *g)
{
    unsigned first = pick_visible(g), second = pick_visible(g);

    json_key(g->out, "needs");
    if (first != second && sim_chance(g->rng, 40))
        pl_buf_printf(g->out, "[\"s%u\",\"s%u\"]", first, second);
    else
        pl_buf_printf(g->out, "[\"s%u\"]", first);
}

static void gen_retry(struct gen *g)
{
    static const char *const classes[] = {"rate_limit", "timeout", "server", "network", "schema"};

    json_key(g->out, "retry");
    json_object_begin(g->out);
    json_add_int(g->out, "attempts", sim_between(g->rng, 1, 5));
    if (sim_chance(g->rng, 50))
        gen_add_ms(g, "initial", 1, 800);
    if (sim_chance(g->rng, 50))
        gen_add_ms(g, "max", 800, 3000);
    if (sim_chance(g->rng, 30))
        json_add_double(g->out, "multiplier", (double)sim_between(g->rng, 2, 6) / 2);
    if (sim_chance(g->rng, 40))
        json_add_double(g->out, "jitter", (double)sim_between(g->rng, 0, 4) / 4);
    if (sim_chance(g->rng, 30)) {
        json_key(g->out, "on");
        json_array_begin(g->out);
        for (size_t i = 0; i < PL_ARRAY_LEN(classes); i++)
            if (i == 0 || sim_chance(g->rng, 50)) {
                json_comma(g->out);
                pl_buf_printf(g->out, "\"%s\"", classes[i]);
            }
        json_array_end(g->out);
    }
    json_object_end(g->out);
}

void gen_join(struct gen *g, unsigned branches, bool min, bool any)
{
    static const char *const names[] = {"all", "settled", "any"};
    unsigned kind = sim_below(g->rng, branches > 0 ? 5 : 3);

    json_key(g->out, "join");
    json_object_begin(g->out);
    json_key(g->out, "policy");
    if (kind == 2 && !any)
        kind = 1;
    if (kind < 3)
        pl_buf_printf(g->out, "\"%s\"", names[kind]);
    else if (kind == 3)
        pl_buf_printf(g->out, "{\"quorum\":%u}", 1 + sim_below(g->rng, branches));
    else
        pl_buf_printf(g->out, "{\"fraction\":0.%u}", 1 + sim_below(g->rng, 9));
    if (sim_chance(g->rng, 30))
        gen_add_ms(g, "deadline", 50, 4000);
    if (kind < 2 && branches > 0 && min && sim_chance(g->rng, 30))
        json_add_int(g->out, "min", sim_between(g->rng, 0, (int64_t)branches));
    if (sim_chance(g->rng, 25))
        json_add_string(g->out, "accept", PL_STR("${ .output.good }"));
    if (sim_chance(g->rng, 30))
        json_add_string(g->out, "losers",
                        sim_chance(g->rng, 75) ? PL_STR("drain") : PL_STR("cancel"));
    json_object_end(g->out);
}

static void gen_parallel(struct gen *g, unsigned depth)
{
    unsigned branches = 1 + sim_below(g->rng, 5), saved = g->n_visible;

    if (sim_chance(g->rng, 3))
        branches = 0;
    else if (depth <= 1 && g->budget > 150 && sim_chance(g->rng, 50))
        branches = 100 + sim_below(g->rng, 120);
    json_key(g->out, "parallel");
    json_object_begin(g->out);
    if (sim_chance(g->rng, 20))
        json_add_bool(g->out, "warm_up", true);
    json_key(g->out, "branches");
    json_object_begin(g->out);
    for (unsigned i = 0; i < branches; i++) {
        char id[24];

        snprintf(id, sizeof(id), "s%u", g->next_id++);
        json_key(g->out, id);
        gen_step(g, depth + 1, true, GEN_ANY);
        g->n_visible = saved;
    }
    json_object_end(g->out);
    json_object_end(g->out);
    if (sim_chance(g->rng, 85))
        gen_join(g, branches, true, true);
}

static void gen_leaf(struct gen *g)
{
    unsigned kind = sim_below(g->rng, 10);

    if (kind < 6) {
        json_key(g->out, "llm");
        json_object_begin(g->out);
        gen_llm_fields(g);
        json_object_end(g->out);
    } else if (kind < 8) {
        json_key(g->out, "reduce");
        if (g->n_visible > 0 && sim_chance(g->rng, 60))
            pl_buf_printf(g->out, "\"${ .steps.s%u.output }\"", pick_visible(g));
        else
            pl_buf_text(g->out, "{\"a\":1}");
        return;
    } else {
        json_key(g->out, "http");
        json_object_begin(g->out);
        if (sim_chance(g->rng, 50))
            json_add_string(g->out, "method", PL_STR("POST"));
        json_add_string(g->out, "url", PL_STR("http://example.com/"));
        json_object_end(g->out);
    }
    if (sim_chance(g->rng, 30))
        json_add_string(g->out, "on_ambiguous",
                        sim_chance(g->rng, 60) ? PL_STR("fail") : PL_STR("retry"));
    if (sim_chance(g->rng, 60))
        gen_retry(g);
}

static void gen_on_error(struct gen *g, unsigned depth)
{
    unsigned kind = sim_below(g->rng, 4);

    json_key(g->out, "on_error");
    if (kind == 0) {
        pl_buf_text(g->out, "\"continue\"");
    } else if (kind == 1) {
        pl_buf_text(g->out, sim_chance(g->rng, 50) ? "{\"default\":{\"d\":1}}"
                                                   : "{\"default\":\"${ .run.id }\"}");
    } else if (kind == 2) {
        json_object_begin(g->out);
        json_key(g->out, "step");
        gen_step(g, depth + 1, depth < 2, GEN_ANY);
        json_object_end(g->out);
    } else {
        pl_buf_text(g->out, "\"fail\"");
    }
}

static void gen_when(struct gen *g)
{
    if (g->n_visible > 0 && sim_chance(g->rng, 60)) {
        json_key(g->out, "when");
        pl_buf_printf(g->out, "\"${ .steps.s%u.output }\"", pick_visible(g));
    } else {
        json_add_string(g->out, "when", PL_STR("${ .input.go }"));
    }
}

static void gen_writes(struct gen *g)
{
    unsigned first = sim_below(g->rng, g->n_channels);

    json_key(g->out, "writes");
    json_object_begin(g->out);
    for (unsigned i = first; i < g->n_channels && i < first + 2; i++) {
        char name[24];

        snprintf(name, sizeof(name), "c%u", g->channels[i]);
        json_add_string(g->out, name, PL_STR("${ .output.n }"));
    }
    json_object_end(g->out);
}

/* A call has about a hundred tokens. */
static void gen_budget(struct gen *g)
{
    int64_t tokens = sim_between(g->rng, 50, sim_chance(g->rng, 60) ? 600 : 4000);

    json_key(g->out, "budget");
    json_object_begin(g->out);
    if (sim_chance(g->rng, 60))
        json_add_int(g->out, "tokens", tokens);
    else
        json_add_double(g->out, "cost_usd", sim_money_cost(tokens));
    json_object_end(g->out);
}

/* What it is. Gives how often such a step has a timeout, in percent. */
static unsigned gen_what(struct gen *g, unsigned depth, enum gen_wants wants)
{
    bool inside = wants == GEN_ANY && depth < MAX_DEPTH && g->budget > 4;

    if (inside && sim_chance(g->rng, depth == 0 ? 30 : 15)) {
        gen_parallel(g, depth);
        return 10;
    }
    if (inside && g->many < MANY && sim_chance(g->rng, depth == 0 ? 52 : 26)) {
        gen_kind(g, depth);
        return 10;
    }
    if (wants == GEN_ANY && sim_chance(g->rng, 8)) {
        gen_wait(g);
        return 0;
    }
    gen_leaf(g);
    return 25;
}

void gen_step(struct gen *g, unsigned depth, bool may_handle, enum gen_wants wants)
{
    unsigned saved = g->n_visible;
    unsigned timeout;

    g->budget--;
    json_object_begin(g->out);
    if (g->n_visible > 0 && sim_chance(g->rng, 25))
        gen_needs(g);
    if (sim_chance(g->rng, 15))
        gen_when(g);
    timeout = gen_what(g, depth, wants);
    if (sim_chance(g->rng, timeout))
        gen_add_ms(g, "timeout", 20, 4000);
    if (sim_chance(g->rng, 15))
        gen_add_ms(g, "deadline", 50, 6000);
    if (sim_chance(g->rng, 8))
        gen_budget(g);
    if (may_handle && g->budget > 0 && sim_chance(g->rng, 35))
        gen_on_error(g, depth);
    if (g->n_channels > 0 && sim_chance(g->rng, 35))
        gen_writes(g);
    json_object_end(g->out);
    g->n_visible = saved;
}

static void add_id(struct gen *g, unsigned depth)
{
    char id[24];
    unsigned number = g->next_id++;

    snprintf(id, sizeof(id), "s%u", number);
    json_key(g->out, id);
    gen_step(g, depth, true, GEN_ANY);
    if (g->n_visible < MAX_VISIBLE)
        g->visible[g->n_visible++] = number;
}

void gen_steps(struct gen *g, unsigned depth)
{
    unsigned count = 1 + sim_below(g->rng, 3), saved = g->n_visible;

    json_key(g->out, "steps");
    json_object_begin(g->out);
    for (unsigned i = 0; i < count; i++)
        add_id(g, depth);
    json_object_end(g->out);
    g->n_visible = saved;
}

void sim_generate(struct sim_rng *rng, int child, struct pl_buf *out)
{
    struct gen g = {.rng = rng, .out = out, .child = child, .many = 1};
    unsigned top = child < 0 ? 1 + sim_below(rng, 5) : 1 + sim_below(rng, 3);

    g.budget = child < 0 ? 14 : 5;
    if (child < 0 && sim_chance(rng, 20)) {
        top = 1 + sim_below(rng, 12);
        g.budget = 50;
    }
    if (child < 0 && sim_chance(rng, 1))
        g.budget = 300;
    json_object_begin(out);
    json_add_string(out, "name", PL_STR("random"));
    if (sim_chance(rng, 30))
        json_add_string(out, "join", PL_STR("settled"));
    if (sim_chance(rng, 10))
        gen_add_ms(&g, "timeout", 100, 8000);
    if (sim_chance(rng, 10))
        gen_budget(&g);
    gen_state(&g);
    json_key(out, "steps");
    json_object_begin(out);
    for (unsigned i = 0; i < top; i++)
        add_id(&g, 0);
    json_object_end(out);
    if (sim_chance(rng, 30))
        pl_buf_printf(out, ",\"output\":\"${ .steps.s%u.output }\"", g.visible[0]);
    json_object_end(out);
}
