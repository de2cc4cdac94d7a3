/* sim_types.h - what the simulator keeps of a scenario: rows, pictures, what happened, its side of
 * each step, moods. Not the scenario itself and not what the files do for each other (sim.h, which
 * includes this). */
#ifndef PLAIT_TESTS_SIM_SIM_TYPES_H
#define PLAIT_TESTS_SIM_SIM_TYPES_H

#include "base/buf.h"
#include "service/run/run_core_private.h"
#include "service/run/run_join.h"
#include "service/run/run_states.h"
#include "service/workflow/workflow.h"

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
    bool warmed;               /* warm_up: something let the others go, */
    pl_ms warmed_at;           /* then */
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
    bool was_aborted;                 /* SIM_FINAL: its call had been told to stop */
    bool decided, by_deadline, fixed; /* SIM_CLOSED */
    enum cancel_reason reason;
    struct store_usage usage; /* SIM_EVENT of a RESULT */
    pl_ms timeout_at;         /* SIM_EVENT: of the run, before it; 0: none */
};

/* ---- a scenario ---- */

/* Where a step stands in the one lane of the run: its place, by the simulator's own book. */
enum sim_lane_state {
    SIM_LANE_NONE,
    SIM_LANE_WAITS,    /* it is held until told, and in the queue */
    SIM_LANE_ADMITTED, /* a ticket is set aside, the word is on its way */
    SIM_LANE_TICKET,   /* its call has it */
};

enum sim_call_state { SIM_CALL_NONE, SIM_CALL_WAITS_FOR_COMMIT, SIM_CALL_OUT };

enum { SIM_SERVER_TOOLS = 3 }; /* that an MCP server offers, at most */

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
    uint64_t deferred;  /* the event that said so, the last time */
    bool poor;          /* its call was not let through by a budget */
    bool kept;          /* an answer that was kept is all its call comes to */
    struct budget held; /* what was set aside for its call, by the simulator's own book */
    enum sim_lane_state lane;
    uint64_t lane_place; /* WAITS: its place in the queue; ADMITTED: serial of the word */
    bool aborted;
    bool deferring;  /* the answer on its way is DEFERRED */
    bool unsent;     /* nothing of this call went out: deferred, or aborted before its intent was
                        durable */
    uint32_t serial; /* of the call; never reset */
    uint32_t sent;   /* serial of the last call that really went out */
    uint64_t wait_batch;         /* the batch that holds its intent */
    unsigned evals;              /* bit mask of evaluations asked for and not answered */
    bool person;                 /* somebody was told of its question */
    bool never_again;            /* ambiguous with on_ambiguous: fail */
    bool paid;                   /* a result of it is durable */
    struct sim_row *last, *disk; /* as it was last seen; the durable one. NULL: none */
    struct sim_mirror mirror, disk_mirror;
    bool touched;         /* in this activation */
    uint64_t retry_noted; /* the event that noted step.retrying */
};

enum sim_timer_type {
    SIM_AT_RESULT,
    SIM_AT_DEFERRED,
    SIM_AT_ANSWERING, /* a first piece of what comes with SIM_AT_RESULT */
    SIM_AT_EVALUATED,
    SIM_AT_COMMIT,
    SIM_AT_CANCEL,
    SIM_AT_CANCEL_STEP, /* one that is there then */
    SIM_AT_ANSWER,      /* of a person */
    SIM_AT_ADMITTED,    /* the turn of a step that is held until told */
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
    unsigned lane; /* calls of llm steps that may be in flight at once; 0: any number */
    unsigned kept; /* of a hundred calls of steps with a cache: answered by what was kept */
    unsigned fail, free, defer, no_retry, hint, late_eval, eval_error, untruth, race, stale;
    unsigned commit_delay, store_fault;
    unsigned crash; /* per mille of the commits */
    unsigned max_crashes;
    unsigned latency; /* ms, at the most */
    unsigned late_tick;
    unsigned answer_late, reject, twice; /* people */
    int64_t longest_hint;                /* ms */
};

#endif
