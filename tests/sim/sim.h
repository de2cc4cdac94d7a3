/* sim.h - what the files of the simulator share: one scenario (a random workflow in a random
 * world), its store, its history. Not the product: it drives service/run_core from outside and
 * judges it by a second opinion. Everything a scenario does follows from its seed.
 *
 *   gen.c, gen_kinds.c    a random workflow as text
 *   people.c              who is who: the simulator's side of a step, by its concrete path
 *   world.c               the world around one run: calls, timers, users; the main loop
 *   answers.c             what evaluations, calls and people say
 *   step.c, look.c        one event into the core, and what is looked at after every event
 *   disk.c                commits in order, crashes, loading, comparing the loaded state
 *   reference.c           what leaves, on_error and the run must have come to
 *   ref_join.c            what joins must have come to
 *   ref_kinds.c           what maps, votes, repeats, agents and the others must have given
 *   ref_state.c           what the state must have been
 *   main.c                the command line */
#ifndef PLAIT_TESTS_SIM_SIM_H
#define PLAIT_TESTS_SIM_SIM_H

#include "base/buf.h"
#include "service/run_core_private.h"
#include "service/run_join.h"
#include "service/run_states.h"
#include "service/workflow.h"

/* ---- numbers from seeds ---- */

struct sim_rng {
    uint64_t state;
};
uint64_t sim_random(struct sim_rng *rng);
/* A number in [0, n), 0 for n == 0; a number in [low, high]; true in `percent` of the cases. */
unsigned sim_below(struct sim_rng *rng, unsigned n);
int64_t sim_between(struct sim_rng *rng, int64_t low, int64_t high);
bool sim_chance(struct sim_rng *rng, unsigned percent);
/* A hash of three numbers, for choices that must not depend on the order of events. */
uint64_t sim_hash(uint64_t a, uint64_t b, uint64_t c);

/* ---- the store ---- */

/* What the simulator itself knows of a step; stored with its row, so that a crash sets it back as
 * well. */
struct sim_mirror {
    enum node_state state;
    enum cancel_reason reason; /* the first one */
    unsigned attempts;         /* CALLs less DEFERREDs */
    unsigned failures;         /* results that used up a try */
    bool started;              /* the note of its beginning was seen */
    bool final_noted;          /* the note of its end was seen */
    bool closed;               /* a parallel that has been seen decided, cancelled or timed out */
    bool aborted;              /* its call was told to stop */
    uint32_t answered;         /* serial of the newest call known when its last result came in */
    enum pl_code last_code;    /* of its last result */
    unsigned fallback;         /* which model the last call went to */
    uint64_t given;            /* a hash of the last good result or answer; 0: none */
    bool refused;              /* a good result was one that the step around it cannot take */
    bool asked_in_vain;        /* a person's time to answer ran out */
    pl_ms wakes_at;            /* sleep: when */
};

/* A copy of a row that owns what it points to; shared by counting. */
struct sim_row {
    struct store_step row;
    unsigned refs;
    char text[]; /* reason and join */
};

/* Everything of a core that must be the same after loading; one a step. */
struct sim_image {
    uint32_t id;
    enum node_state state;
    enum cancel_reason reason;
    bool handled, counted, dependency_failed, has_join;
    unsigned attempts, tries, open_deps, skipped_deps, open_children, open_frames, fallback;
    struct node_join join;
    enum pl_code failure;
    pl_ms wake_at, sent_at, deadline_at;
    uint64_t row;    /* a hash of its row */
    uint64_t around; /* a hash of what its frame is bound to, while it is not over */
};

struct sim_snapshot {
    struct sim_image *nodes; /* of the frames that were there */
    size_t n;
    enum run_state state;
    struct run_progress progress;
    pl_ms wake;
};

/* How long the run waited for people and nothing else, and since when it does. */
struct sim_waiting {
    pl_ms waited, since;
};

/* The rows of one activation, not yet durable. */
struct sim_batch_row {
    uint32_t id;
    struct sim_row *row;
    struct sim_mirror mirror;
};

struct sim_batch {
    struct sim_batch *next;
    struct sim_batch_row *rows;
    size_t n_rows;
    struct store_run run;
    size_t history_len;
    int64_t last_seq;
    struct sim_waiting waiting;
    uint64_t number;
    pl_ms commit_at;
    struct sim_snapshot *snapshot; /* when the crash comes after this commit */
};

/* ---- what happened, as far as it is durable ---- */

enum sim_happening {
    SIM_EVENT,   /* an event went into the core */
    SIM_STARTED, /* a step's beginning was noted */
    SIM_FINAL,   /* a step's end was noted */
    SIM_CLOSED,  /* a parallel was seen decided, cancelled or timed out */
};

struct sim_entry {
    enum sim_happening what;
    int32_t index; /* id of a step; -1: the run */
    pl_ms now;
    enum run_event_type event; /* SIM_EVENT */
    enum run_state run_state;  /* SIM_EVENT: before it */
    enum node_state state;     /* SIM_FINAL, SIM_CLOSED */
    bool handled;
    bool was_aborted;          /* SIM_FINAL: its call had been told to stop */
    bool decided, by_deadline, fixed; /* SIM_CLOSED */
    enum cancel_reason reason;
    struct store_usage usage; /* SIM_EVENT of a RESULT */
    pl_ms timeout_at;         /* SIM_EVENT: of the run, before it; 0: none */
};

/* ---- a scenario ---- */

enum sim_call_state { SIM_CALL_NONE, SIM_CALL_WAITS_FOR_COMMIT, SIM_CALL_OUT };

/* The simulator's side of a step of the run, by its concrete path. It stays when the frame of the
 * step is gone. */
struct sim_step {
    uint32_t id;        /* in run->steps, in the order they were first seen */
    uint64_t key;       /* a hash of the path: what it is decided by */
    struct pl_str path; /* NUL behind */
    const struct step_def *def;
    const struct step_body *body;
    uint32_t level, number; /* of its frame */
    struct sim_step *up;    /* the step around it; NULL: at the top of the run */
    struct sim_step *next;  /* with the same hash */

    enum sim_call_state call;
    bool aborted;
    bool deferring;  /* the answer on its way is DEFERRED */
    bool unsent;     /* nothing of this call went out: deferred, or aborted before its intent was
                        durable */
    uint32_t serial; /* of the call; never reset */
    uint32_t sent;   /* serial of the last call that really went out */
    uint64_t wait_batch; /* the batch that holds its intent */
    unsigned evals;      /* bit mask of evaluations asked for and not answered */
    bool person;         /* somebody was told of its question */
    bool never_again;    /* ambiguous with on_ambiguous: fail */
    bool paid;           /* a result of it is durable */
    struct sim_row *last, *disk; /* as it was last seen; the durable one. NULL: none */
    struct sim_mirror mirror, disk_mirror;
    bool touched;         /* in this activation */
    uint64_t retry_noted; /* the event that noted step.retrying */
};

enum sim_timer_type {
    SIM_AT_RESULT,
    SIM_AT_DEFERRED,
    SIM_AT_EVALUATED,
    SIM_AT_COMMIT,
    SIM_AT_CANCEL,
    SIM_AT_CANCEL_STEP, /* one that is there then */
    SIM_AT_ANSWER,      /* of a person */
};

/* Something that will happen, or an answer given within the activation. */
struct sim_timer {
    pl_ms time;
    uint64_t order;
    enum sim_timer_type type;
    int32_t index;
    uint32_t serial;
    enum run_eval_what what;
    uint32_t turn; /* of BODY and UNTIL */
};

/* How unfriendly this scenario's world is; percentages unless said. */
struct sim_mood {
    unsigned fail, free, defer, no_retry, hint, late_eval, eval_error, untruth, race, stale;
    unsigned commit_delay, store_fault;
    unsigned crash; /* per mille of the commits */
    unsigned max_crashes;
    unsigned latency; /* ms, at the most */
    unsigned late_tick;
    unsigned answer_late, reject, twice; /* people */
    int64_t longest_hint;                /* ms */
};

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
    uint64_t events, hash;
    unsigned crashes;
    bool final_seen;
    enum run_state final_state;

    bool broken;
    char breach[1024];
};

/* gen.c: appends a workflow as JSON; `child` is what may be called by name from there on: 0 to 2, -1
 * for the workflow of the run. */
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
/* What it last gave; `null` without one. */
struct pl_str sim_output(const struct sim_step *step);
struct pl_str sim_error(const struct sim_step *step);
bool sim_handled(const struct sim_step *step);
bool sim_counted(const struct sim_step *step);
pl_ms sim_started_at(const struct sim_step *step);
/* SUCCEEDED, or FAILED and handled. */
bool sim_is_good(const struct sim_step *step);
void sim_people_finish(struct sim_run *run);

/* ---- world.c ---- */
/* Runs one scenario to its end; sim_run_finish releases it. False when something was broken. */
bool sim_run_scenario(struct sim_run *run, uint64_t seed, const struct sim_plan *plan);
void sim_run_finish(struct sim_run *run);
void sim_schedule(struct sim_run *run, struct sim_timer timer);
/* Begins the call of a step whose intent is durable (or need not be). */
void sim_send(struct sim_run *run, struct sim_step *step);
/* Carries one effect of the core out. */
void sim_take_effect(struct sim_run *run, const struct run_effect *effect);
/* A person sees the question. */
void sim_tell_person(struct sim_run *run, struct sim_step *step);
/* Brings the answers given at once, then makes the batch of the activation. */
void sim_finish_activation(struct sim_run *run);

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

/* ---- reference.c, ref_join.c, ref_kinds.c, ref_state.c ---- */
/* At the end of the run. */
void sim_judge_run(struct sim_run *run);
/* What was known before a RESULT went in, and what it said. */
struct sim_before {
    bool is_result;
    enum node_state state;
    unsigned attempts, failures, fallback;
    pl_ms sent_at, deadline_at;
    enum pl_code code;
    bool free, no_retry;
    pl_ms retry_after;
};
/* Right after a RESULT: did the step go where its policy sends it? */
void sim_judge_result(struct sim_run *run, const struct sim_before *before,
                      const struct run_node *node);
void sim_judge_join(struct sim_run *run, const struct sim_step *step);
/* What a step of a kind with bodies, or one that waits, gave at its end. */
void sim_judge_kind(struct sim_run *run, const struct sim_step *step);
/* Before a call: is its frame bound to what it should be? */
void sim_judge_frame(struct sim_run *run, const struct run_node *node);
/* Right after the end of a branch, while its vote is open: should the vote have been over? */
void sim_judge_early(struct sim_run *run, const struct sim_step *vote, enum node_state state,
                     bool fixed);
/* The state a frame came to, as the second opinion has it, against what the core gathered; appends
 * it. */
void sim_state_of_frame(struct sim_run *run, const struct run_frame *frame, struct pl_buf *out);
/* What a step that is being called sees of each state. */
void sim_judge_state(struct sim_run *run, const struct run_node *node);
/* A step's result as the join sees it: succeeded, or failed and handled. */
bool sim_is_success(const struct sim_entry *entry);
/* Did a user cancel this step (or the run, or a step it stands in, when `above`)? */
bool sim_user_cancelled(const struct sim_run *run, const struct sim_step *step, bool above);
/* Where in the history a step ended or closed; SIZE_MAX: it did not. */
size_t sim_find(const struct sim_run *run, enum sim_happening what, uint32_t id);
/* The code in an error of the core's, INTERNAL when there is none. */
enum pl_code sim_error_code(struct pl_str error);

/* ---- all ---- */
/* Says what is wrong; the first one counts. */
void sim_breach(struct sim_run *run, const char *fmt, ...) PL_PRINTF(2, 3);
void sim_trace(struct sim_run *run, const char *fmt, ...) PL_PRINTF(2, 3);
void sim_mix(struct sim_run *run, uint64_t value);
/* Grows an array to hold one more; ends the process when out of memory. */
void *sim_grow(void *array, size_t count, size_t *capacity, size_t size);
void *sim_alloc(size_t count, size_t size);

#endif
