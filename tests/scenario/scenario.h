/* scenario.h - one scenario file as read, and the playing of it. Not the product: it drives
 * service/run_core from outside. Shared by main.c, script.c (reading), play.c (the world), answer.c
 * (what it answers), show.c (the trace), disk.c (rows, crashes) and memory.c (allocations that
 * fail).
 *
 * A file has a comment (lines with `#`) and three parts, each begun by a line `--- NAME`:
 *   --- workflow   the workflow, YAML
 *   --- script     what the world does, a line each (below); every step not named succeeds after
 *                  10 ms with its path as output, every evaluation is true, the run's output null
 *   --- expect     the trace, exactly; written by --bless, then read by a person
 * Lines of a script (times as in workflows: 100ms, 2s; #N: the N-th call, else every call). Steps
 * are named by their paths in a run ("reviews.3", "loop.1.draft"); a `*` stands for any one word
 * between two dots, and a line without one goes before those with one:
 *   a#2: 50ms ok {"x": 1}
 *   a: 50ms fail rate_limited free hint=1s status=429 no_retry : why
 *   a#1: begins 20ms 50ms ok 1            a first piece of the answer comes before it
 *   a#1: defer 200ms rate_limited
 *   a#1: defer until told concurrency
 *   a abort: 5ms ok "late"                what an aborted call comes to; else cancelled after 1 ms
 *   when a = false       accept p.a = 20ms true       default a = "x"       output = {"y": 2}
 *   begin m = [1, 2]     what a step begins with; else [], {} or, of a sleep, its duration
 *   key v.0 = 3          the key or score of a vote's branch; else its output
 *   writes a = {"n": 1}  else the step's output, to each channel
 *   until loop.1 = true  of the turn; else true       body loop.1 = 7       else what is usual
 *   timeout ask = "no"   the answer nobody gave; else null
 *   when a = error why                    any evaluation may fail, or take time
 *   at 100ms cancel                       the run
 *   at 100ms cancel p.a                   a step
 *   at 100ms admit a                      the turn of a step that is held until told
 *   at 100ms answer ask {"ok": true}      a person does; or `reject ask why`
 *   at 100ms crash 5s                     the process dies and is back after 5 s (default 0)
 *   before cancel                         before the run starts; a step's path may follow
 *   cost a = 200 50      an attempt may use 200 tokens, one call of it 50 (else 100, 100), where
 * the workflow has a budget; a thousand cost 1 USD used a#1 = 30        it used so many; else none
 *   late 30ms                             every tick comes that late
 *   stable                                a crash anywhere changes no status, output or error */
#ifndef PLAIT_TESTS_SCENARIO_SCENARIO_H
#define PLAIT_TESTS_SCENARIO_SCENARIO_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "service/run/run_core.h"

enum script_type {
    SCRIPT_RESULT,
    SCRIPT_ABORTED, /* what an aborted call comes to */
    SCRIPT_EVAL,
    SCRIPT_CANCEL,
    SCRIPT_ANSWER,
    SCRIPT_ADMIT,
    SCRIPT_CRASH,
    SCRIPT_LATE,
    SCRIPT_STABLE,
    SCRIPT_COST,
    SCRIPT_USED,
};

/* One line of a script. */
struct script_line {
    struct script_line *next;
    enum script_type type;
    struct pl_str path;      /* empty: the run */
    unsigned call;           /* RESULT: which call of the step; 0: every */
    enum run_eval_what what; /* EVAL */
    bool before;             /* CANCEL: before START */
    bool defer, until_told, fails, truth, free, no_retry;
    pl_ms at, after, hint; /* after: how long it takes, or the process is down */
    pl_ms begins;          /* RESULT: when the answer begins; 0: with the result */
    int status;
    enum pl_code code;
    struct pl_str text; /* an output, an error's message, why it is deferred */
};

struct scenario {
    const char *path;
    struct pl_arena *arena;
    struct pl_str head, workflow, script, expect; /* head: up to the expect part, as it stands */
    struct script_line *lines;
};

/* script.c: reads a file; says what is wrong and returns false. */
bool scenario_read(const char *path, struct scenario *ret_scenario);
void scenario_finish(struct scenario *scenario);
/* "when", "accept", ...: as scripts and traces have them. */
const char *scenario_eval_name(enum run_eval_what what);
/* Does the script say that of the whole scenario? */
bool scenario_is_stable(const struct scenario *scenario);

/* ---- play ---- */

/* What is known of a step of a played run beside its core: what the store would hold, and what came
 * of its calls. One for each path there ever was; strings in the play's arena. */
struct track {
    struct track *next;      /* in the order of steps, items and turns */
    struct pl_str path, key; /* key: its place in that order */
    unsigned calls;          /* CALL effects so far */
    bool paid;               /* a success of it is recorded */
    bool there;              /* its row is */
    struct store_step row;   /* values referenced */
};

/* Something on its way. */
struct coming {
    struct coming *next;
    pl_ms at;
    enum run_event_type type;
    bool crash;                     /* no event: the process dies */
    struct pl_str path;             /* of the step; empty: the run */
    struct pl_str frame;            /* EVALUATED of a frame: the path of its first step */
    enum run_eval_what what;        /* EVALUATED */
    const struct script_line *line; /* what the script says of it; NULL: nothing */
    bool aborted;                   /* RESULT of a call that was told to stop */
    unsigned call;                  /* RESULT, DEFERRED: which call of the step it answers */
};

struct play {
    const struct scenario *scenario;
    struct pl_arena *arena;
    struct workflow *workflow;
    struct run_core *core;
    struct pl_map *by_path; /* of tracks */
    struct track *tracks;
    struct store_run run; /* as the store would hold it */
    struct pl_buf out;    /* the trace */
    pl_ms now;
    struct coming *coming; /* in order of time */
    unsigned events;
    unsigned crash_after;              /* crash after so many events; 0: never */
    unsigned cancel_after, cancel_nth; /* a user cancels after so many events: the run (0), or the
                                          nth step there is a row of; cancel_after 0: never */
    bool quick;                        /* no loading after every event */
    char breach[400];                  /* what went wrong beyond the trace; empty: nothing */
};

/* play.c: plays it to the end; the trace is in play->out. False when something that must hold
 * whatever the trace says does not (play->breach). */
bool play_scenario(struct play *play, const struct scenario *scenario);
void play_finish(struct play *play);
void play_breach(struct play *play, const char *fmt, ...) PL_PRINTF(2, 3);

/* answer.c: what the world answers. */
/* The line of the script for a step (or the frame of an evaluation), NULL: none. */
const struct script_line *answer_find_line(const struct play *play, enum script_type type,
                                           struct pl_str path, enum run_eval_what what,
                                           unsigned call);
/* The result of a call; `node` is the step called. */
void answer_call(const struct coming *coming, const struct run_node *node,
                 struct step_result *result);
/* Asks the budgets for it, as the executor does; false: it must wait. */
bool answer_cost(const struct play *play, struct run_node *node);
/* What it used, as the script says. */
void answer_used(const struct play *play, const struct coming *coming, struct step_result *result);
/* What an evaluation comes to, in `event`, whose node is set. */
void answer_evaluation(struct play *play, const struct coming *coming, struct run_event *event);
/* What a person says. */
void answer_person(const struct coming *coming, struct run_event *event);
/* The state as a step sees it, or (`node` NULL) as `frame` leaves it; a JSON object, empty where
 * there is no state. In the play's arena. */
struct pl_str answer_state(struct play *play, const struct run_core *core,
                           const struct run_node *node, const struct run_frame *frame);

/* show.c: lines of the trace. */
void show_event(struct play *play, const struct run_event *event, const struct coming *coming);
void show_update(struct play *play, const struct run_update *update);
void show_end(struct play *play);
/* What must not depend on crashes: status, output and error of the run and of each step. */
void show_outcome(const struct play *play, struct pl_buf *out);
/* For run_core_set_trace; arg is the play. */
void show_move(void *arg, const struct run_node *node, const char *from, const char *to);

/* memory.c: the `at`-th allocation made while armed fails, once; 0: none. */
void memory_set(unsigned at);
void memory_arm(bool on);
bool memory_refused(void); /* since memory_set */

/* disk.c: what the store would have. */
enum { PLAY_START = 1000000 }; /* the fake clock's first reading; the trace counts from it */
/* What is known of a step; made when it is new. NULL: no memory. */
struct track *disk_track(struct play *play, const struct run_node *node);
void disk_commit(struct play *play);
/* Loads the rows into a second core and compares; every scenario does so after every event. */
void disk_check(struct play *play);
/* The process dies: the core is thrown away and made again from the rows. */
void disk_crash(struct play *play);
/* Loads the rows with every allocation failing in turn. */
void disk_load_without_memory(struct play *play);
void disk_finish(struct play *play);

#endif
