/* sim.h - what the files of the simulator share: one scenario (a random workflow in a random
 * world), its store, its history. Not the product: it drives service/run_core from outside and
 * judges it by a second opinion. Everything a scenario does follows from its seed.
 *
 *   gen.c, gen_kinds.c    a random workflow as text
 *   people.c              who is who: the simulator's side of a step, by its concrete path
 *   world.c               the world around one run: calls, timers, users; the main loop
 *   lane.c                how many calls at once, and whose turn it is
 *   answers.c             what evaluations, calls and people say
 *   step.c, look.c        one event into the core, and what is looked at after every event
 *   disk.c                commits in order, crashes, loading, comparing the loaded state
 *   reference.c           what leaves, on_error and the run must have come to
 *   ref_join.c            what joins must have come to
 *   ref_votes.c           who must have won a vote, and whether it was over early
 *   ref_kinds.c           what maps, repeats, agents and the others must have given
 *   ref_warm.c            who may begin beside the first branch of a warm_up
 *   ref_state.c           what the state must have been
 *   main.c                the command line */
#ifndef PLAIT_TESTS_SIM_SIM_H
#define PLAIT_TESTS_SIM_SIM_H

#include "tests/sim/sim_types.h"

/* What is not left to chance. */
struct sim_plan {
    bool trace;
    int64_t crash_at; /* one crash, after this commit; -1: crashes as the seed says */
};

struct sim_run {
    uint64_t seed;
    struct sim_rng rng;
    struct sim_mood mood;
    struct sim_plan plan;

    struct pl_buf text;
    struct pl_buf children[3]; /* the workflows it may call by name */
    struct workflow *workflow;
    struct run_core *core;
    struct sim_step **steps; /* by id */
    size_t n, steps_capacity;
    struct sim_step **buckets;
    size_t n_buckets;
    size_t n_live; /* steps of the frames that are there, when last looked */
    pl_ms now, created_at;
    pl_ms started_at; /* of the run; 0: not yet */
    struct sim_waiting waiting, durable_waiting;

    struct sim_timer *heap;
    size_t n_heap, heap_capacity;
    uint64_t next_order;
    struct sim_timer *queue; /* answers given within the activation */
    size_t n_queue, queue_capacity, queue_head;
    uint32_t next_serial;
    bool output_asked;

    struct sim_batch *first, **last; /* not durable yet */
    uint64_t next_batch;
    pl_ms last_commit_at;
    size_t durable_history;
    int64_t durable_seq;
    struct pl_arena *arena; /* for rows that are being made */
    bool frozen;            /* nothing commits any more: the crash is near */
    unsigned fuse;          /* activations until it comes */
    struct sim_snapshot *at_crash;
    struct store_run disk_run;
    uint32_t *touched;
    size_t n_touched, touched_capacity;

    struct sim_entry *history;
    size_t n_history, history_capacity;

    int64_t last_seq;
    unsigned expect_dropped;
    unsigned lane_used;  /* tickets that are out */
    int64_t overshoot;   /* tokens that calls used beyond what was set aside for them */
    uint64_t next_place; /* in its queue */
    uint64_t events, hash;
    unsigned crashes;
    bool final_seen;
    enum run_state final_state;
    const struct step_def **needs; /* since it was loaded: what it can call, each once */
    size_t n_needs, needs_capacity;

    bool broken;
    char breach[1024];
};

/* gen.c: appends a workflow as JSON; `child` is what may be called by name from there on: 0 to 2,
 * -1 for the workflow of the run. */
void sim_generate(struct sim_rng *rng, int child, struct pl_buf *out);

/* ---- people.c ---- */
/* The step of a node; made when it is new. */
struct sim_step *sim_of(struct sim_run *run, const struct run_node *node);
/* The step at a path, NULL: never seen. */
struct sim_step *sim_at(const struct sim_run *run, struct pl_str path);
/* A step of the same frame. NULL: never seen. */
struct sim_step *sim_sibling(const struct sim_run *run, const struct sim_step *step,
                             const struct step_def *def);
/* The one step of an instance of a single body of `owner`; NULL: never seen. */
struct sim_step *sim_instance(const struct sim_run *run, const struct sim_step *owner,
                              const struct step_body *body, uint32_t level, uint32_t number);
/* Its node now; NULL: its frame is gone. */
struct run_node *sim_node(const struct sim_run *run, const struct sim_step *step);
/* Is it a branch of the join around it? */
bool sim_is_branch(const struct sim_step *step);
/* How many branches a step that joins has, as the reference counts them; and one of them. */
size_t sim_branches(const struct sim_run *run, const struct sim_step *step);
struct sim_step *sim_branch(const struct sim_run *run, const struct sim_step *step, size_t index);
/* What a branch of a map that counts gives its items, as elements: of a batch, one for each. */
void sim_write_outputs(struct pl_buf *out, const struct sim_run *run, const struct sim_step *map,
                       size_t branch);
/* What it last gave; `null` without one. */
struct pl_str sim_output(const struct sim_step *step);
struct pl_str sim_error(const struct sim_step *step);
bool sim_handled(const struct sim_step *step);
bool sim_counted(const struct sim_step *step);
pl_ms sim_started_at(const struct sim_step *step);
/* SUCCEEDED, or FAILED and handled. */
bool sim_is_good(const struct sim_step *step);
void sim_people_finish(struct sim_run *run);
/* A person sees the question. */
void sim_tell_person(struct sim_run *run, struct sim_step *step);
void sim_person_answers(struct sim_run *run, const struct sim_timer *timer);

/* ---- world.c ---- */
/* Runs one scenario to its end; sim_run_finish releases it. False when something was broken. */
bool sim_run_scenario(struct sim_run *run, uint64_t seed, const struct sim_plan *plan);
void sim_run_finish(struct sim_run *run);
void sim_schedule(struct sim_run *run, struct sim_timer timer);
/* Begins the call of a step whose intent is durable (or need not be). */
void sim_send(struct sim_run *run, struct sim_step *step);
/* Carries one effect of the core out. */
void sim_take_effect(struct sim_run *run, const struct run_effect *effect);
/* Brings the answers given at once, then makes the batch of the activation. */
void sim_finish_activation(struct sim_run *run);

/* ---- money.c ---- */
/* Is there an answer that was kept, so that nobody is asked? */
bool sim_money_kept(struct sim_run *run, struct sim_step *step);
/* May its call be sent? Looks whether that is right. */
bool sim_money_ask(struct sim_run *run, struct sim_step *step);
/* Its call is over, and used so much. */
void sim_money_over(struct sim_run *run, struct sim_step *step, const struct store_usage *usage);
/* The process dies. */
void sim_money_lose(struct sim_run *run);
/* Is there a budget over the step? */
bool sim_money_limits(const struct sim_run *run, const struct sim_step *step);
/* It waits for one: may it? */
void sim_money_check_waiting(struct sim_run *run, const struct sim_step *step);
/* At the end. */
void sim_money_judge(struct sim_run *run);
double sim_money_cost(int64_t tokens);

/* ---- lane.c ---- */
/* A call begins: true when it has its ticket, or needs none; false: it is in the queue now. */
bool sim_lane_enter(struct sim_run *run, struct sim_step *step);
/* Its call is over, or was not sent after all. */
void sim_lane_release(struct sim_run *run, struct sim_step *step);
/* Somebody may have come to wait: those whose turn it is are sent word. */
void sim_lane_pump(struct sim_run *run);
/* The call is told that it must wait: for its turn, or until a time. */
void sim_lane_defer(struct sim_run *run, struct sim_step *step);
/* The word arrives. */
void sim_lane_admit(struct sim_run *run, struct sim_step *step, const struct sim_timer *timer);
/* RUN_FX_LEAVE: whether it was due, and carrying it out. */
void sim_lane_check_leave(struct sim_run *run, const struct sim_step *step);
void sim_lane_leave(struct sim_run *run, struct sim_step *step);
/* The process died: all places are gone. */
void sim_lane_lose(struct sim_run *run);
/* One step against its place; all places together; nobody has one any more. */
void sim_lane_check(struct sim_run *run, const struct sim_step *step, const struct run_node *node);
void sim_lane_check_all(struct sim_run *run);
void sim_lane_check_empty(struct sim_run *run);

/* ---- answers.c ---- */
/* What an evaluation of a step (NULL: the run) says; the same however often it is asked. */
bool sim_truth(const struct sim_run *run, const struct sim_step *step, enum run_eval_what what,
               uint32_t turn);
bool sim_eval_fails(const struct sim_run *run, const struct sim_step *step, enum run_eval_what what,
                    uint32_t turn);
/* The items a map goes through: how many, and what one looks like. */
size_t sim_items(const struct sim_run *run, const struct sim_step *map);
void sim_write_item(struct pl_buf *out, size_t index);
/* What BODY (OUTPUT with step NULL) gives. */
void sim_write_made(struct pl_buf *out, const struct sim_step *step, enum run_eval_what what,
                    uint32_t turn);
/* The event that answers an evaluation. */
void sim_make_evaluation(struct sim_run *run, struct sim_step *step, const struct sim_timer *timer,
                         struct run_event *event);
/* What the attempt came to, had it been left alone. */
void sim_make_result(struct sim_run *run, const struct sim_step *step, const struct run_node *node,
                     struct step_result *result);
uint64_t sim_hash_text(struct pl_str text);

/* ---- step.c: one event, judged. ---- */
void sim_step_core(struct sim_run *run, struct run_event *event);
/* When the run's time is up; 0: no such time runs. */
pl_ms sim_timeout_at(const struct sim_run *run);
/* ---- look.c ---- */
/* Looks at everything: O(steps). */
void sim_check_all(struct sim_run *run);

/* ---- ref_warm.c ---- */
/* Before an event goes in: does it let branches go that wait for the first one? */
void sim_warm_event(struct sim_run *run, const struct run_event *event);
/* A step is final. */
void sim_warm_ended(struct sim_run *run, const struct sim_step *step);
/* After an event: where nothing goes on, nobody waits for a first branch. */
void sim_warm_idle(struct sim_run *run);
/* A step has left WAITING: was it its turn? */
void sim_warm_began(struct sim_run *run, struct sim_step *step);
/* Between two events: does nobody wait who need not? */
void sim_warm_look(struct sim_run *run, const struct run_node *node);

/* ---- disk.c ---- */
/* The row of a node as it is now becomes the last one. */
void sim_take_row(struct sim_run *run, struct sim_step *step, const struct run_node *node);
void sim_row_drop(struct sim_row **row);
void sim_commit_later(struct sim_run *run);
void sim_commit_first(struct sim_run *run);
void sim_crash(struct sim_run *run);
void sim_disk_finish(struct sim_run *run);
/* The core's rows against the durable ones; everything must have been written. */
void sim_compare_disk(struct sim_run *run);

/* ---- all ---- */
/* Says what is wrong; the first one counts. */
void sim_breach(struct sim_run *run, const char *fmt, ...) PL_PRINTF(2, 3);
void sim_trace(struct sim_run *run, const char *fmt, ...) PL_PRINTF(2, 3);
void sim_mix(struct sim_run *run, uint64_t value);
/* Grows an array to hold one more; ends the process when out of memory. */
void *sim_grow(void *array, size_t count, size_t *capacity, size_t size);
void *sim_alloc(size_t count, size_t size);

/* How long what is inside a step may run: its own timeout, or that of a workflow it calls. 0: no
 * limit. */
static inline pl_ms sim_timeout(const struct step_def *def)
{
    const struct workflow *child = def->kind == STEP_WORKFLOW ? def->config.workflow->child : NULL;
    pl_ms its = child ? child->timeout : 0;

    if (def->kind == STEP_AGENT) /* of each call of the model */
        return 0;
    return its > 0 && (def->timeout == 0 || its < def->timeout) ? its : def->timeout;
}

#endif
