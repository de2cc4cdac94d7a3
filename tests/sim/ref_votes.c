/* ref_votes.c - the second opinion on votes: who won, of every method, and whether one that ended
 * early could still have changed: every way the open branches can come out is gone through. Written
 * from the contract. Called by ref_kinds.c at the end of a run and by step.c when a branch ends. */
#include "tests/sim/judge.h"

#include "base/json.h"

#include <stdlib.h>

/* ---- who won ---- */

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
        ballot->counted =
            branch && branch->last && sim_counted(branch) && branch->mirror.state == NODE_SUCCEEDED;
        ballot->weight =
            config->method == VOTE_WEIGHTED && config->weights ? config->weights[i] : 1;
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

void sim_write_id(struct pl_buf *out, const struct sim_step *vote, size_t index)
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
        sim_write_id(&id, vote, i);
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
            seen[n++] =
                json_type(ballots->items[i].key) == JSON_ARRAY
                    ? pl_str_n(ballots->items[i].key.ptr + (it.value.ptr - list.data), it.value.len)
                    : ballots->items[i].key;
            pl_buf_str(out, it.value);
        }
        pl_buf_finish(&list);
    }
    pl_buf_char(out, ']');
}

static void judge_winner(struct sim_run *run, const struct sim_step *vote)
{
    struct ballots ballots = collect(run, vote);
    struct pl_buf should;
    int winner;

    if (vote->def->config.vote->method == VOTE_UNION) {
        pl_buf_init(&should, 1u << 20);
        write_union(&should, &ballots);
        sim_must_be(run, vote->path, "its union", sim_output(vote), &should);
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

void sim_judge_vote(struct sim_run *run, const struct sim_step *vote)
{
    if (vote->mirror.state == NODE_SUCCEEDED)
        judge_winner(run, vote);
    else if (vote->mirror.state == NODE_FAILED && !vote->def->handler)
        judge_lost(run, vote, sim_error_code(sim_error(vote)));
}

/* ---- votes that end early ---- */

struct futures {
    const struct vote_config *config;
    struct ballots ballots;
    size_t open[8], n_open;
    struct pl_str winner; /* of all futures so far */
    bool any, none;       /* somebody won one of them, nobody did */
    bool differ, may_be_decided_late;
};

static void look_at_future(struct futures *f)
{
    bool tie = false;
    int winner = f->config->method == VOTE_MEDIAN ? median(&f->ballots)
                                                  : leader(f->config, &f->ballots, &tie);

    if (winner >= 0 && tie) /* what a tie comes to may wait until it is one */
        f->may_be_decided_late = true;
    if (tie && f->config->on_tie == VOTE_TIE_JUDGE) { /* he may name anybody */
        f->differ = true;
    } else if (winner < 0 || (tie && f->config->on_tie == VOTE_TIE_FAIL)) {
        f->none = true;
    } else {
        f->differ |= f->any && !json_equal(f->winner, f->ballots.items[winner].key);
        f->winner = f->ballots.items[winner].key;
        f->any = true;
    }
    f->differ |= f->any && f->none;
}

/* Every way the open ones can still come out: failed, any key there is, a new one (two that differ
 * may tie), a low and a high number. */
static void go_through(struct futures *f, size_t at)
{
    static const char *const fresh[] = {"\"new\"", "\"newer\"", "-1000000", "1000000", "1.5"};
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
        if (f->config->method == VOTE_MEDIAN ? i < 2 : i > (f->config->on_tie == VOTE_TIE_JUDGE))
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

    /* with weights, whether a tie can come up that a judge decides is not looked at so closely */
    f.may_be_decided_late = f.config->method == VOTE_WEIGHTED && f.config->on_tie == VOTE_TIE_JUDGE;
    for (size_t i = 0; i < f.ballots.n; i++)
        if (f.ballots.items[i].open && f.n_open < PL_ARRAY_LEN(f.open))
            f.open[f.n_open++] = i;
    go_through(&f, 0);
    if (fixed && f.differ)
        sim_breach(run, "%s: was over early, and its winner could still change", vote->path.ptr);
    else if (state == NODE_JOINING && f.n_open > 0 && !f.differ && !f.may_be_decided_late &&
             f.config->method != VOTE_MEDIAN)
        sim_breach(run, "%s: goes on, and nothing can change its winner", vote->path.ptr);
    free(f.ballots.items);
}
