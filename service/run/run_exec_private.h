/* run_exec_private.h - the inside of an executor, shared by run_exec.c (activations), run_calls.c
 * (calls and their threads), run_values.c (expressions) and run_notes.c (rows and events). Nobody
 * else includes it. */
#ifndef PLAIT_SERVICE_RUN_RUN_EXEC_PRIVATE_H
#define PLAIT_SERVICE_RUN_RUN_EXEC_PRIVATE_H

#include "base/list.h"
#include "service/reuse.h"
#include "service/run/run_exec.h"
#include "service/run/run_replay.h"
#include "service/run/run_tape.h"
#include "storage/store.h"

#include <stdatomic.h>

/* One attempt on its way: the step's call and where it stands. Home-loop fields unless said; `call`
 * and `finished` belong to the loop it runs on from start until it has come home. */
struct exec_call {
    struct step_call call; /* first: kinds see only this */
    struct run_exec *exec;
    struct run_node *node;
    struct pl_list link;   /* on to_start, waiting or inbox */
    struct pl_list flying; /* on exec->flying, as long as it lives */
    struct loop_mail mail; /* carries it to its loop and home again */
    struct loop_mail abort_mail, began_mail;
    struct tape_call *taped;   /* the recorded call, where a tape runs; else NULL */
    unsigned make;             /* where one runs: which call of its step this is, held ones too */
    bool stopped;              /* played back: it was aborted, its recorded end will come */
    struct exec_eval *eval;    /* what jq gave for its templates; NULL: nothing was asked */
    bool resolving;            /* it waits for jq: on no list */
    struct reuse_ticket reuse; /* of a call that may be answered by another one's answer */
    bool reusing;              /* it waits for its ticket: on no list */
    uint64_t batch;            /* set once before it starts: the batch that holds its intent */
    bool finished;             /* the loop it runs on: complete has been called */
    bool promised;             /* its loop was picked by load and counts it until it begins */
    bool started;              /* it has been handed to its loop */
    bool beginning;            /* news of its first piece are on their way on this loop */
    bool aborting;             /* an abort is on its way to the other loop and not back */
    bool home;                 /* its result has come back */
    size_t told;               /* the loop it runs on: bytes of deltas so far */
    struct pl_buf held;        /* the same: deltas before the batch is durable */
    bool muted;                /* the same: memory was out for them */
};

/* An event that waits for its batch to be durable before readers see it. */
struct exec_notice {
    struct pl_list link;
    struct bus_event event; /* strings behind the struct; output is a reference */
};

/* The batch that was submitted and is not back; a run has one at a time. */
struct exec_commit {
    struct loop_mail mail;
    struct run_exec *exec;
    uint64_t number;
    struct pl_list notices; /* of exec_notice */
    struct pl_list answers; /* of run_answer: told when it is durable */
    bool unnoticed;         /* it holds events without a notice */
    pl_ms progress_at;      /* when `progress` was taken; 0: it was not */
    struct run_progress progress;
    size_t held;             /* then: steps that waited for their turn, */
    const char *held_reason; /* and what for */
    struct pl_err err;
};

struct run_exec {
    struct run_env *env;
    struct loop *home;
    struct workflow *workflow;
    struct run_core *core;
    struct pl_arena *arena; /* the strings below */
    struct store_run row;   /* the parts that never change, and the input */
    bool deltas;
    struct pl_str key_route, key, key_fingerprint;
    void (*on_end)(void *arg, const struct engine_end *end);
    void (*on_recorded)(void *arg, const char *run_id);
    void *arg;
    struct pl_list link; /* the engine's table */

    struct loop_mail start_mail, turn_mail;
    bool turn_queued;        /* turn_mail will be delivered at the end of this turn */
    struct loop_timer timer; /* run_core_next_wake */
    pl_ms timer_at;          /* what it is set to; 0: not set */
    struct pl_list inbox;    /* exec_calls that came home */
    struct pl_list flying;   /* all exec_calls */
    struct pl_list holds;    /* exec_holds that wait, or nobody wants any more */
    struct pl_list admitted; /* exec_holds whose turn has come: the core was not told yet */
    bool tick, cancel, loaded;

    /* during an activation */
    struct run_event *queue; /* events still to be fed */
    size_t queue_len, queue_at, queue_cap;
    struct pl_arena *scratch;  /* reset at the end of each activation */
    struct pl_list to_start;   /* exec_calls prepared in this activation */
    struct store_batch *batch; /* being filled; NULL: nothing changed yet */
    struct pl_list notices;    /* of exec_notice: go with the batch */
    struct pl_list answers_in; /* of run_answer: not looked at yet */
    struct pl_list answers;    /* looked at; told with the batch */
    bool unnoticed;    /* an event of the batch has no notice: nobody watched, or no memory */
    pl_ms progress_at; /* when run.progress was last taken */

    struct pl_list waiting;    /* exec_calls that wait for their intent */
    struct pl_list taped;      /* exec_calls that wait for their turn to be answered by a tape */
    struct run_replay replay;  /* of a run that is played back */
    unsigned answers_taken;    /* of people */
    unsigned turns;            /* activations */
    bool tick_waits;           /* recording: a TICK was fed, and is still to be looked at */
    uint64_t submitted;        /* batches so far */
    _Atomic uint64_t durable;  /* the number of the last batch that is, and is published */
    struct exec_commit commit; /* the batch on its way */
    unsigned commits_open;     /* 1 while it is */
    unsigned calls;            /* exec_calls not freed */
    unsigned n_holds;          /* exec_holds not freed */
    unsigned evals;            /* jobs of jq that are not back */
    uint64_t queue_key;        /* of its jobs */
    unsigned in_flight;        /* started and not home */
    bool recorded;             /* the first batch is durable */
    bool idle;                 /* env->idle was told so */
    bool queued;               /* it has not got the turn of its thread yet */
    struct pl_value *memory;   /* what the thread remembered when it began; NULL: nothing */
    struct pl_value *left;     /* what it remembers from now on; NULL: nothing new */
    bool final_submitted, final_durable;
    bool draining, dropped;
    struct pl_err store_err; /* a commit failed: the run cannot go on */
};

/* ---- run_exec.c ---- */
/* Makes sure an activation happens at the end of this turn. */
void run_exec_wake(struct run_exec *exec);
/* Adds an event for the present activation. False when memory is out: the caller keeps what is in
 * the event and calls run_exec_no_memory. */
bool run_exec_feed(struct run_exec *exec, const struct run_event *event);
/* Memory is out: the run stops, nothing of this activation is recorded. May be called anywhere in
 * an activation, and again. */
void run_exec_no_memory(struct run_exec *exec);

/* ---- run_calls.c ---- */
/* Carries out RUN_FX_CALL: prepares; an attempt that cannot be made, or whose lane is paused, is
 * answered at once. */
void run_calls_make(struct run_exec *exec, struct run_node *node);
/* Prepares it (again, when what it waited for is there) and puts it among those to start. */
void run_calls_prepare(struct run_exec *exec, struct exec_call *call);
/* Goes on with one that is prepared and is to be made. */
void run_calls_go_on(struct run_exec *exec, struct exec_call *call);
/* Forgets what was prepared: it will be anew. False: no memory. */
bool run_calls_unprepare(struct exec_call *call);
/* It cannot be made: its result is this error. */
void run_calls_fail(struct exec_call *call, const struct pl_err *err);
/* Nobody wants its result. */
void run_calls_discard(struct exec_call *call);
/* Carries out RUN_FX_ABORT. */
void run_calls_abort(struct run_exec *exec, struct run_node *node);
/* Sets aside what this activation prepared and must wait for the batch about to be submitted. True
 * when any call waits. */
bool run_calls_hold_intents(struct run_exec *exec);
/* Does a call wait whose intent is in the batch being filled, not in one on its way? */
bool run_calls_intent_gathers(const struct run_exec *exec);
/* Starts the rest of what this activation prepared. */
void run_calls_start_all(struct run_exec *exec);
/* A batch is durable: starts what waited for it. */
void run_calls_release(struct run_exec *exec, uint64_t durable);
/* Feeds the results that came home. */
void run_calls_feed_inbox(struct run_exec *exec);
/* Aborts every call (engine shutdown): their results are thrown away. */
void run_calls_drop_all(struct run_exec *exec);
/* Frees a call that is home and has no abort on its way; otherwise it is freed when that is back.
 */
void run_calls_put(struct exec_call *call);

/* ---- run_admit.c ---- */
enum run_admission {
    RUN_ADMIT_GO,
    RUN_ADMIT_HELD,   /* *ret_event is to be fed, the call to be discarded */
    RUN_ADMIT_RESULT, /* it is not sent: its result is made */
    RUN_ADMIT_NO_MEMORY,
};
/* May a prepared call go? Then it has its ticket, where it needs one. Otherwise its step may have a
 * place in a queue from now on. */
enum run_admission run_admit_call(struct exec_call *call, struct run_event *ret_event);
/* The ticket of a step whose turn has come, for the call that is made for it; none otherwise. */
struct lane_ticket run_admit_take(struct run_node *node);
/* Takes the next step whose turn has come, as an event; false when there is none. */
bool run_admit_next(struct run_exec *exec, struct run_event *ret_event);
/* Carries out RUN_FX_LEAVE. Nothing to a step without a place. */
void run_admit_leave(struct run_exec *exec, struct run_node *node);
/* How many steps wait for their turn, and what one of them waits for. */
size_t run_admit_count(const struct run_exec *exec, const char **ret_reason);
/* The run goes: all leave. */
void run_admit_drop_all(struct run_exec *exec);

/* Its result is there: feeds it. */
void run_calls_answered(struct exec_call *call);

/* ---- run_reuse.c ---- */
/* Need the prepared call not be made? True: it is answered, or waits to hear whether it is. */
bool run_reuse_takes(struct run_exec *exec, struct exec_call *call);
/* Starts, and ends, one that is answered. */
void run_reuse_start(struct exec_call *call);
/* It waits, and is not to any more; its owner feeds or discards it. */
void run_reuse_stop(struct exec_call *call);

/* ---- run_notes.c ---- */
/* Adds a note to the batch as an event row, and as a notice when somebody watches. */
void run_notes_add(struct run_exec *exec, const struct run_note *note);
/* A notice of the text of a call that ended before its beginning was durable: it goes with the
 * batch of its end, before that. */
void run_notes_text(struct run_exec *exec, const struct exec_call *call);
/* Puts every changed row into the batch. */
void run_notes_rows(struct run_exec *exec);
/* The join report of a step that has a join, in scratch; null when memory is out. */
struct pl_str run_notes_join(struct run_exec *exec, const struct run_node *node);
/* Publishes the notices of a durable batch (all gone afterwards); `wanted` false just frees them.
 */
void run_notes_publish(struct run_exec *exec, struct pl_list *notices, bool wanted);
/* The batch being filled, made when there is none. NULL when the run was dropped, also just now for
 * want of memory. */
struct store_batch *run_notes_batch(struct run_exec *exec);

/* ---- run_answers.c ---- */
/* Takes the next answer to a step that asks, as an event; false when there is none. Those to others
 * are told so, once all that happened is durable. */
bool run_answers_next(struct run_exec *exec, struct run_event *ret_event);
/* The step that the next one is for; false when there is none. */
bool run_answers_first(const struct run_exec *exec, struct pl_str *ret_path);
/* A batch is about to be submitted: answers looked at so far are told with it. */
void run_answers_submit(struct run_exec *exec, struct exec_commit *commit);
/* The activation is over, nothing may have changed. */
void run_answers_settle(struct run_exec *exec);
/* Tells them and lets go of them; all fail with `failure` when it is not NULL. */
void run_answers_told(struct pl_list *answers, const struct pl_err *failure);
/* The run goes: the rest will not be recorded. */
void run_answers_drop(struct run_exec *exec);

/* ---- run_live.c ---- */
/* A batch is about to be submitted: notes what its readers are to be told beside its notices. */
void run_live_submit(struct run_exec *exec, struct exec_commit *commit);
/* It is durable, and its notices are published: tells them. */
void run_live_durable(struct run_exec *exec, const struct exec_commit *commit);

#endif
