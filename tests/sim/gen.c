/* gen.c - a random workflow as JSON text, so that the product's own parser, check and compiler make
 * it. Not what happens when it runs (world.c). Called by world.c, once a scenario. */
#include "tests/sim/sim.h"

#include "base/json.h"

#include <stdio.h>

enum { MAX_VISIBLE = 48, MAX_DEPTH = 4 };

struct gen {
    struct sim_rng *rng;
    struct pl_buf *out;
    unsigned next_id;
    int budget;                    /* steps that may still be written */
    unsigned visible[MAX_VISIBLE]; /* ids a step here may depend on: written earlier, in scope */
    unsigned n_visible;
};

static void gen_step(struct gen *g, unsigned depth, bool may_handle);

static void add_ms(struct gen *g, const char *key, int64_t low, int64_t high)
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
    pl_buf_char(g->out, '"');
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
        add_ms(g, "initial", 1, 800);
    if (sim_chance(g->rng, 50))
        add_ms(g, "max", 800, 3000);
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

static void gen_join(struct gen *g, unsigned branches)
{
    static const char *const names[] = {"all", "settled", "any"};
    unsigned kind = sim_below(g->rng, branches > 0 ? 5 : 3);

    json_key(g->out, "join");
    json_object_begin(g->out);
    json_key(g->out, "policy");
    if (kind < 3)
        pl_buf_printf(g->out, "\"%s\"", names[kind]);
    else if (kind == 3)
        pl_buf_printf(g->out, "{\"quorum\":%u}", 1 + sim_below(g->rng, branches));
    else
        pl_buf_printf(g->out, "{\"fraction\":0.%u}", 1 + sim_below(g->rng, 9));
    if (sim_chance(g->rng, 30))
        add_ms(g, "deadline", 50, 4000);
    if (kind < 2 && branches > 0 && sim_chance(g->rng, 30))
        json_add_int(g->out, "min", sim_between(g->rng, 1, (int64_t)branches));
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
    json_key(g->out, "branches");
    json_object_begin(g->out);
    for (unsigned i = 0; i < branches; i++) {
        char id[24];

        snprintf(id, sizeof(id), "s%u", g->next_id++);
        json_key(g->out, id);
        gen_step(g, depth + 1, true);
        g->n_visible = saved;
    }
    json_object_end(g->out);
    json_object_end(g->out);
    if (sim_chance(g->rng, 85))
        gen_join(g, branches);
}

static void gen_leaf(struct gen *g)
{
    unsigned kind = sim_below(g->rng, 10);

    if (kind < 6) {
        json_key(g->out, "llm");
        json_object_begin(g->out);
        json_add_string(g->out, "model", PL_STR("sim/echo"));
        json_key(g->out, "prompt");
        gen_text(g);
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
        gen_step(g, depth + 1, depth < 2);
        json_object_end(g->out);
    } else {
        pl_buf_text(g->out, "\"fail\"");
    }
}

/* One step; depth 0 at the top. */
static void gen_step(struct gen *g, unsigned depth, bool may_handle)
{
    bool parallel = depth < MAX_DEPTH && g->budget > 4 && sim_chance(g->rng, depth == 0 ? 45 : 22);
    unsigned saved = g->n_visible;

    g->budget--;
    json_object_begin(g->out);
    if (g->n_visible > 0 && sim_chance(g->rng, 25))
        gen_needs(g);
    if (sim_chance(g->rng, 15)) {
        if (g->n_visible > 0 && sim_chance(g->rng, 60)) {
            json_key(g->out, "when");
            pl_buf_printf(g->out, "\"${ .steps.s%u.output }\"", pick_visible(g));
        } else {
            json_add_string(g->out, "when", PL_STR("${ .input.go }"));
        }
    }
    if (parallel)
        gen_parallel(g, depth);
    else
        gen_leaf(g);
    if (sim_chance(g->rng, parallel ? 10 : 25))
        add_ms(g, "timeout", 20, 4000);
    if (sim_chance(g->rng, 15))
        add_ms(g, "deadline", 50, 6000);
    if (may_handle && g->budget > 0 && sim_chance(g->rng, 35))
        gen_on_error(g, depth);
    json_object_end(g->out);
    g->n_visible = saved;
}

void sim_generate(struct sim_rng *rng, struct pl_buf *out)
{
    struct gen g = {.rng = rng, .out = out};
    unsigned top = 1 + sim_below(rng, 5);

    g.budget = 14;
    if (sim_chance(rng, 20)) {
        top = 1 + sim_below(rng, 12);
        g.budget = 50;
    }
    if (sim_chance(rng, 1))
        g.budget = 300;
    json_object_begin(out);
    json_add_string(out, "name", PL_STR("random"));
    if (sim_chance(rng, 30))
        json_add_string(out, "join", PL_STR("settled"));
    if (sim_chance(rng, 10))
        add_ms(&g, "timeout", 100, 8000);
    json_key(out, "steps");
    json_object_begin(out);
    for (unsigned i = 0; i < top; i++) {
        char id[24];
        unsigned number = g.next_id++;

        snprintf(id, sizeof(id), "s%u", number);
        json_key(out, id);
        gen_step(&g, 0, true);
        if (g.n_visible < MAX_VISIBLE)
            g.visible[g.n_visible++] = number;
    }
    json_object_end(out);
    if (sim_chance(rng, 30))
        json_add_string(out, "output", PL_STR("${ .steps.s0.output }"));
    json_object_end(out);
}
