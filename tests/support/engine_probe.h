/* engine_probe.h - an engine on a database of its own and the runs a test starts on it: counted,
 * waited for, kept as they ended. Not a test. Used by tests/unit/service/test_engine*.c and
 * tests/fault/test_engine_*.c. */
#ifndef PLAIT_TESTS_SUPPORT_ENGINE_PROBE_H
#define PLAIT_TESTS_SUPPORT_ENGINE_PROBE_H

#include "base/arena.h"
#include "base/id.h"
#include "base/sync.h"
#include "service/engine.h"
#include "tests/support/store_fixture.h"

struct net_policy;

struct engine_probe {
    struct store_fixture fixture;
    struct pl_arena *arena;
    struct providers *providers;   /* sim, and what the test adds */
    struct net_policy *policy;     /* what the test allows */
    struct engine_options options; /* may be changed by the test before open */
    struct engine *engine;         /* NULL while closed */

    struct pl_mutex lock;
    struct pl_cond changed;
    unsigned ended, recorded; /* guarded by lock: callbacks so far, of all runs */
};

/* One run as its callbacks told it. */
struct run_probe {
    struct engine_probe *probe;
    char id[PL_ID_TEXT];
    unsigned ends, records; /* guarded by probe->lock, as below */
    bool recorded_first;    /* on_recorded came before on_end */
    char status[16];
    struct pl_value *output, *error;
    struct pl_err store_err;
};

/* A new, empty database; nothing is open yet. One loop a test may change in options. */
void engine_probe_init(struct engine_probe *probe, unsigned loops);
/* Opens the engine; ends the test when it cannot. */
void engine_probe_open(struct engine_probe *probe);
/* Destroys the engine with `drain`; what is on disk stays. */
void engine_probe_close(struct engine_probe *probe, pl_ms drain);
/* Closes what is open and removes the database. */
void engine_probe_finish(struct engine_probe *probe);
/* Adds a provider of kind openai at a port of this machine; before open. */
void engine_probe_add_openai(struct engine_probe *probe, const char *name, unsigned port);
/* Lets http steps reach a port of this machine; before open. */
void engine_probe_allow(struct engine_probe *probe, unsigned port);

/* Starts a run with this input (JSON; NULL: none). The code; OK unless the engine refuses. */
enum pl_code run_probe_try(struct run_probe *run, struct engine_probe *probe,
                           struct workflow *workflow, const char *input, struct pl_err *err);
/* The same, ending the test when it is refused. */
void run_probe_start(struct run_probe *run, struct engine_probe *probe, struct workflow *workflow,
                     const char *input);
/* Goes on with the run of this id; run->probe and ids are set. */
enum pl_code run_probe_resume(struct run_probe *run, struct engine_probe *probe, const char *id,
                              struct pl_err *err);
/* Until on_end was called; ends the program after twenty seconds. */
void run_probe_wait(struct run_probe *run);
/* Until on_recorded was called, likewise. */
void run_probe_wait_recorded(struct run_probe *run);
/* "succeeded {output}" or "failed code" or another status. In static memory until the next call.
 * One thread. */
const char *run_probe_result(const struct run_probe *run);
void run_probe_finish(struct run_probe *run);

/* Until no run is going on; ends the program after twenty seconds. */
void engine_probe_wait_idle(struct engine_probe *probe);
/* The run object with its steps, in static memory until the next call. One thread. */
const char *engine_probe_show(struct engine_probe *probe, const char *id);
/* The value at a dotted path of members ("progress.total") in that object, as JSON text; of steps
 * "step:PATH.member". Static memory, four answers stay valid. */
const char *engine_probe_field(struct engine_probe *probe, const char *id, const char *path);
/* The values of the string `member` in the data of a page of the engine's lists, joined by blanks;
 * `next` is where to go on, "" at the end. */
void engine_probe_read_page(const struct pl_buf *page, const char *member, char *out, size_t size,
                            char next[64]);

#endif
