/* estimate_private.h - what the parts of an estimate share: estimate.c (the whole),
 * estimate_steps.c (how often each step runs), estimate_calls.c (what its calls come to),
 * estimate_size.c (how long texts get) and estimate_jq.c (what jq makes of the input). Nobody else
 * includes it. */
#ifndef PLAIT_SERVICE_ESTIMATE_PRIVATE_H
#define PLAIT_SERVICE_ESTIMATE_PRIVATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "service/estimate.h"

/* Expected, and at the most. */
struct range {
    double expected, most;
};

/* What is assumed of what only a run knows. */
enum {
    ESTIMATE_ANSWER_TOKENS = 500, /* of an answer, where max_tokens is not lower */
    ESTIMATE_ITEMS = 10,          /* of a list */
    ESTIMATE_TURNS = 3,           /* of an agent, where max_turns is not lower */
    ESTIMATE_BYTES = 2000,        /* of anything else: an HTTP answer, what a person says */
};

enum {
    ESTIMATE_VISITS_MAX = 1000000, /* of steps; then it is refused: workflows that call workflows
                                      multiply */
    ESTIMATE_NOTES = 32,           /* of a sort */
};

/* What is known of the values a workflow's expressions see. One for the run, one for each workflow
 * inside that has an input of its own. */
struct estimate_scope {
    struct pl_str input;             /* JSON; ptr NULL: unknown */
    const struct workflow *workflow; /* whose expressions they are */
};

/* The map items around a step; ptr NULL: unknown. */
struct estimate_item {
    const struct step_def *map;
    struct pl_str value;
    size_t index;
    const struct estimate_item *outer;
};

/* Where a step stands. */
struct estimate_place {
    const struct estimate_scope *scope;
    const struct estimate_item *item;
    struct range times;   /* how often it runs */
    struct pl_str prefix; /* of its path: that of the step that calls the workflow it is in */
};

/* The calls of one model by one step of the document. */
struct estimate_row {
    struct estimate_row *next, *same_path;
    struct pl_str path, model;
    struct range calls, input, output, cost;
    bool priced;
};

/* What one attempt of a step may send and get: one call, and all calls with repairs and hedges. */
struct estimate_attempt {
    struct range input, output; /* tokens of one call */
    unsigned repairs, hedges;
};

struct step_body;
struct estimate_sizes; /* what steps give, found once each */
struct estimate_answer_of_jq;
struct jq_pool;

struct estimator {
    struct pl_arena *arena;
    const struct providers *providers;
    struct estimate_row *rows, **last_row;
    struct pl_map *by_path; /* the first row of each */
    struct pl_buf path;     /* of the step at hand */
    struct estimate_sizes *sizes;
    const char *assumptions[ESTIMATE_NOTES], *unbounded[ESTIMATE_NOTES], *unpriced[ESTIMATE_NOTES];
    size_t n_assumptions, n_unbounded, n_unpriced;
    bool calls_unbounded, tokens_unbounded;
    bool no_memory;
    size_t visits; /* of steps: many items are sampled, and too many are refused */
    size_t copied; /* bytes of values: what is too many counts as unknown */

    bool run_jq;        /* false: not, or not any more */
    struct jq_pool *jq; /* NULL: none was needed yet */
    struct estimate_answer_of_jq *answers_of_jq;
    size_t n_answers_of_jq;
};

/* ---- estimate_steps.c ---- */

/* Everything in a body, as often as it runs there. */
void estimate_body(struct estimator *est, const struct estimate_place *place,
                   const struct step_body *body);

/* ---- estimate_calls.c ---- */

/* Tokens of everything that is sent with one call, but for what an agent's turns add. */
struct range estimate_prompt(struct estimator *est, const struct estimate_place *place,
                             const struct llm_config *llm);
/* The calls of a step to all its models: the first is expected, the others come when it fails. */
void estimate_calls(struct estimator *est, const struct estimate_place *place,
                    const struct step_def *step, const struct llm_config *llm,
                    const struct estimate_attempt *attempt);
/* Notes something, once each; what is too many is dropped. */
void estimate_assume(struct estimator *est, const char *fmt, ...) PL_PRINTF(2, 3);
/* `calls`: how many there are has no bound; else how long they are. */
void estimate_no_bound(struct estimator *est, bool calls, const char *fmt, ...) PL_PRINTF(3, 4);

/* ---- estimate_jq.c ---- */

/* The value of a jq expression over the input alone, in the arena, each once. False: it mentions
 * something else, it fails, or jq is not run. */
bool estimate_jq(struct estimator *est, const struct estimate_scope *scope, const struct expr *expr,
                 struct pl_str *ret_json);

/* ---- estimate_size.c ---- */

/* Bytes of a template's text. NULL: 0. */
struct range estimate_template(struct estimator *est, const struct estimate_place *place,
                               const struct template *template);
/* Bytes of what a step gives. */
struct range estimate_output(struct estimator *est, const struct estimate_place *place,
                             const struct step_def *step);
/* Its value, where it says nothing that only a run knows: JSON in the arena. False: it does. */
bool estimate_value(struct estimator *est, const struct estimate_place *place,
                    const struct template *template, struct pl_str *ret_json);
/* The same of a condition. */
bool estimate_truth(struct estimator *est, const struct estimate_place *place,
                    const struct expr *expr, bool *ret_truth);
/* How many items a map has; `items` is the list where it is known, else ptr NULL. */
struct range estimate_items(struct estimator *est, const struct estimate_place *place,
                            const struct step_def *map, struct pl_str *ret_items);
/* Tokens an answer has. */
struct range estimate_answer(struct estimator *est, const struct step_def *step,
                             const struct llm_config *llm);
struct range estimate_body_output(struct estimator *est, const struct estimate_place *place,
                                  const struct step_body *body);

#endif
