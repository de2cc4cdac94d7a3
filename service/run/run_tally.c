/* run_tally.c - see run_vote.h. Pure: looks at the branches of a vote and decides. Called by
 * run_vote.c, for the report by run_join.c, and by tests. */
#include "base/json.h"
#include "service/run/run_vote.h"

#include <stdlib.h>

static const struct vote_config *config_of(const struct run_node *node)
{
    return node->def->config.vote;
}

double run_vote_weight(const struct run_node *node, size_t index)
{
    const struct vote_config *vote = config_of(node);

    return vote->method == VOTE_WEIGHTED && vote->weights ? vote->weights[index] : 1;
}

void run_vote_write_id(const struct run_node *node, size_t index, struct pl_buf *out)
{
    if (config_of(node)->n_among)
        json_write_string(out, node->def->bodies[index]->id);
    else
        pl_buf_printf(out, "%zu", index);
}

/* ---- counting ---- */

static struct tally_entry *find_entry(struct tally *tally, struct pl_str key, uint64_t hash)
{
    for (size_t i = 0; i < tally->n; i++)
        if (tally->entries[i].hash == hash && json_equal(tally->entries[i].key, key))
            return &tally->entries[i];
    return NULL;
}

static bool add_branch(struct tally_entry *entry, struct pl_arena *arena, size_t index)
{
    size_t *grown;

    if ((entry->n & (entry->n - 1)) == 0) { /* full: 0, 1, 2, 4, ... */
        grown = pl_arena_alloc_array(arena, entry->n ? 2 * entry->n : 1, sizeof(*grown));
        if (!grown)
            return false;
        if (entry->n)
            memcpy(grown, entry->branches, entry->n * sizeof(*grown));
        entry->branches = grown;
    }
    entry->branches[entry->n++] = index;
    return true;
}

static bool add_vote(struct tally *tally, struct pl_arena *arena, struct pl_str key, size_t index,
                     double weight)
{
    uint64_t hash = json_hash(key);
    struct tally_entry *entry = find_entry(tally, key, hash);

    if (!entry) {
        entry = &tally->entries[tally->n++];
        *entry = (struct tally_entry){.key = key, .hash = hash, .first = index};
    }
    if (!add_branch(entry, arena, index))
        return false;
    entry->votes += weight;
    tally->total += weight;
    tally->counted++;
    return true;
}

bool run_tally_count(const struct run_node *node, struct pl_arena *arena, struct tally *ret_tally)
{
    const struct run_slots *slots = run_slots_of(node);

    *ret_tally = (struct tally){0};
    ret_tally->entries = pl_arena_alloc_array(arena, slots->n + 1, sizeof(*ret_tally->entries));
    if (!ret_tally->entries)
        return false;
    for (size_t i = 0; i < slots->n; i++) {
        if (run_slots_votes(slots, i) &&
            !add_vote(ret_tally, arena, run_slots_key(slots, i), i, run_vote_weight(node, i)))
            return false;
    }
    return true;
}

/* ---- who won ---- */

/* More than half of the votes, or `threshold` of them: does `votes` of `total` do? */
static bool suffices(const struct vote_config *vote, double votes, double total)
{
    if (vote->threshold >= 1)
        return votes >= vote->threshold - 1e-9;
    if (vote->threshold > 0)
        return votes >= vote->threshold * total - 1e-9;
    return vote->method != VOTE_MAJORITY || votes * 2 > total + 1e-9;
}

int run_tally_winner(const struct run_node *node, const struct tally *tally, bool *ret_tie,
                     enum pl_code *ret_code)
{
    const struct vote_config *vote = config_of(node);
    const struct tally_entry *best = NULL;

    *ret_tie = false;
    for (size_t i = 0; i < tally->n; i++) {
        const struct tally_entry *entry = &tally->entries[i];

        if (!best || entry->votes > best->votes + 1e-9) {
            best = entry;
            *ret_tie = false;
        } else if (entry->votes > best->votes - 1e-9) {
            *ret_tie = true;
        }
    }
    *ret_code = PL_ERR_NO_DECISION;
    if (!best)
        return -1;
    if (!suffices(vote, best->votes, tally->total)) {
        if (vote->method == VOTE_MAJORITY && vote->threshold == 0)
            *ret_code = PL_ERR_NO_MAJORITY;
        return -1;
    }
    *ret_code = PL_OK;
    return (int)best->first;
}

struct ranked {
    double number;
    size_t branch;
};

static int by_number(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->branch < y->branch ? -1 : x->branch > y->branch;
}

/* The counted branches by their keys. False: a key is no number (or no memory). */
static bool rank(const struct run_node *node, struct pl_arena *arena, struct ranked **ret_ranked,
                 size_t *ret_count)
{
    const struct run_slots *slots = run_slots_of(node);
    struct ranked *ranked = pl_arena_alloc_array(arena, slots->n + 1, sizeof(*ranked));
    size_t count = 0;

    for (size_t i = 0; ranked && i < slots->n; i++) {
        struct pl_str key = run_slots_key(slots, i);

        if (!run_slots_votes(slots, i))
            continue;
        if (json_type(key) != JSON_NUMBER)
            return false;
        ranked[count++] = (struct ranked){.number = json_number(key), .branch = i};
    }
    if (ranked)
        qsort(ranked, count, sizeof(*ranked), by_number);
    *ret_ranked = ranked;
    *ret_count = count;
    return ranked != NULL;
}

int run_tally_median(const struct run_node *node, struct pl_arena *arena, enum pl_code *ret_code)
{
    struct ranked *ranked;
    size_t count, middle;

    *ret_code = PL_ERR_NO_DECISION;
    if (!rank(node, arena, &ranked, &count)) {
        *ret_code = PL_ERR_EXPRESSION_ERROR;
        return -1;
    }
    if (count == 0)
        return -1;
    middle = (count - 1) / 2;
    while (middle > 0 && ranked[middle - 1].number == ranked[middle].number)
        middle--;
    *ret_code = PL_OK;
    return (int)ranked[middle].branch;
}

int run_tally_best(const struct run_node *node, enum pl_code *ret_code)
{
    const struct run_slots *slots = run_slots_of(node);
    double best = 0;
    int winner = -1;

    *ret_code = PL_ERR_NO_DECISION;
    for (size_t i = 0; i < slots->n; i++) {
        struct pl_str score = run_slots_key(slots, i);

        if (!run_slots_votes(slots, i))
            continue;
        if (json_type(score) != JSON_NUMBER) {
            *ret_code = PL_ERR_EXPRESSION_ERROR;
            return -1;
        }
        if (winner < 0 || json_number(score) > best) {
            best = json_number(score);
            winner = (int)i;
        }
    }
    if (winner >= 0)
        *ret_code = PL_OK;
    return winner;
}

/* ---- can it still change? ---- */

/* The votes that may still come. */
static double open_votes(const struct run_node *node, size_t *ret_count)
{
    const struct run_slots *slots = run_slots_of(node);
    double votes = 0;

    *ret_count = 0;
    for (size_t i = 0; i < slots->n; i++) {
        if (node_state_is_final(run_slots_branch(slots, i).state))
            continue;
        votes += run_vote_weight(node, i);
        ++*ret_count;
    }
    return votes;
}

/* The most votes that one key has, and the next to most; 0 where there is none. */
static void lead(const struct tally *tally, double *ret_best, double *ret_second)
{
    double best = 0, second = 0;

    for (size_t i = 0; i < tally->n; i++) {
        double votes = tally->entries[i].votes;

        if (votes > best) {
            second = best;
            best = votes;
        } else if (votes > second) {
            second = votes;
        }
    }
    *ret_best = best;
    *ret_second = second;
}

/* Whatever the open ones say, a key that leads has won, and it is always the same; or none has
 * enough, with all of them for it, and no tie can come up that a judge would decide. Failures only
 * take votes out of the total, which never hurts who leads. */
static bool lead_is_fixed(const struct run_node *node, const struct tally *tally, double open,
                          size_t count)
{
    const struct vote_config *vote = config_of(node);
    double best, second;
    bool alone;

    lead(tally, &best, &second);
    alone = best > second + open + 1e-9;
    if (alone && suffices(vote, best, tally->total + open))
        return true;
    if (suffices(vote, best + open, tally->total + open))
        return false;
    return vote->on_tie != VOTE_TIE_JUDGE || alone || (tally->n == 0 && count < 2);
}

/* The middle stays on one number, wherever the open ones fall or whether they fail: the lowest and
 * the highest place it can take both hold that number. Or there is none: what was counted is no
 * number. */
static bool median_is_fixed(const struct run_node *node, struct pl_arena *arena, size_t open)
{
    struct ranked *ranked;
    size_t count, low, high;

    if (!rank(node, arena, &ranked, &count))
        return !pl_arena_failed(arena);
    if (count < open + 1)
        return false;
    high = (count + open - 1) / 2;     /* all open ones above it */
    if ((count + open - 1) / 2 < open) /* all below it */
        return false;
    low = (count + open - 1) / 2 - open;
    return high < count && ranked[low].number == ranked[high].number;
}

bool run_tally_is_fixed(const struct run_node *node, struct pl_arena *arena)
{
    enum vote_method method = config_of(node)->method;
    struct tally tally;
    size_t count;
    double open = open_votes(node, &count);

    if (method == VOTE_MEDIAN)
        return median_is_fixed(node, arena, count);
    if (method != VOTE_MAJORITY && method != VOTE_WEIGHTED)
        return false;
    return run_tally_count(node, arena, &tally) && lead_is_fixed(node, &tally, open, count);
}

/* ---- union ---- */

/* Those written so far, by their hashes. */
struct seen {
    struct pl_str *values; /* open addressing; ptr NULL: free */
    size_t capacity;
};

/* True when it is new. */
static bool see(struct seen *seen, struct pl_str value)
{
    size_t at = (size_t)json_hash(value) % seen->capacity;

    for (; seen->values[at].ptr; at = (at + 1) % seen->capacity)
        if (json_equal(seen->values[at], value))
            return false;
    seen->values[at] = value;
    return true;
}

static size_t count_elements(const struct run_slots *slots)
{
    size_t count = 0;

    for (size_t i = 0; i < slots->n; i++) {
        struct pl_str key = run_slots_key(slots, i);

        if (run_slots_votes(slots, i))
            count += json_type(key) == JSON_ARRAY ? json_count(key) : 1;
    }
    return count;
}

static void add_new(struct pl_buf *out, struct seen *seen, struct pl_str value)
{
    if (!see(seen, value))
        return;
    json_comma(out);
    pl_buf_str(out, value);
}

void run_union_write(const struct run_slots *slots, struct pl_arena *arena, struct pl_buf *out)
{
    struct seen seen = {.capacity = 2 * count_elements(slots) + 1};

    seen.values = pl_arena_alloc_array(arena, seen.capacity, sizeof(*seen.values));
    if (!seen.values)
        return;
    json_array_begin(out);
    for (size_t i = 0; i < slots->n; i++) {
        struct pl_str key = run_slots_key(slots, i);
        struct json_iter it;

        if (!run_slots_votes(slots, i))
            continue;
        if (json_type(key) != JSON_ARRAY) {
            add_new(out, &seen, key);
            continue;
        }
        for (json_iter_init(&it, key); json_iter_next(&it);)
            add_new(out, &seen, it.value);
    }
    json_array_end(out);
}

/* ---- the report ---- */

void run_tally_write(const struct run_node *node, struct pl_arena *arena, struct pl_buf *out)
{
    struct tally tally;

    json_key(out, "tally");
    json_array_begin(out);
    if (!run_tally_count(node, arena, &tally))
        tally.n = 0;
    for (size_t i = 0; i < tally.n; i++) {
        const struct tally_entry *entry = &tally.entries[i];

        json_comma(out);
        json_object_begin(out);
        json_add_raw(out, "key", entry->key);
        json_key(out, "votes");
        pl_buf_printf(out, "%.15g", entry->votes);
        json_key(out, "branches");
        json_array_begin(out);
        for (size_t k = 0; k < entry->n; k++) {
            json_comma(out);
            run_vote_write_id(node, entry->branches[k], out);
        }
        json_array_end(out);
        json_object_end(out);
    }
    json_array_end(out);
}
