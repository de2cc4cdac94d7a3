/* engine_private.h - the inside of the engine, shared by engine.c (its life), engine_runs.c (new
 * runs), engine_read.c (runs read back) and engine_load.c (recovery). Nobody else includes it. */
#ifndef PLAIT_SERVICE_ENGINE_PRIVATE_H
#define PLAIT_SERVICE_ENGINE_PRIVATE_H

#include "base/list.h"
#include "base/sync.h"
#include "service/engine.h"
#include "service/engine_figures.h"
#include "service/expr/jq_pool.h"
#include "service/reuse.h"
#include "service/run/run_exec.h"

enum { ENGINE_BUCKETS = 4096, ENGINE_MAX_RUNS = 10000 /* when the options name none */ };

struct engine {
    struct run_env env;             /* set once */
    struct store *store;            /* set once */
    struct pool *pool;              /* set once */
    struct bus *bus;                /* set once */
    struct jq_pool *jq;             /* set once */
    struct reuse *reuse;            /* set once */
    struct workflow_cache *cache;   /* set once */
    struct engine_watches *watches; /* set once */
    struct engine_keys *keys;       /* set once */
    struct engine_turns *turns;     /* set once */
    struct mcp_servers *mcp;        /* set once */
    unsigned max_runs;              /* set once */
    size_t max_branches;            /* the same; 0: the default */
    /* held while a run is read from its rows and launched, so that two who resume it do not both,
     * the one from rows that the other has gone past; the first of the lock order */
    struct pl_mutex loading;
    struct pl_mutex
        lock; /* nothing is locked under it but a loop's mailbox and the store's queue */
    struct pl_cond changed;  /* running fell, or stop_draining was set */
    struct pl_list *buckets; /* guarded by lock: run_execs by id */
    size_t running;          /* guarded by lock */
    size_t idle;             /* guarded by lock: those of them that wait for people or their turn */
    struct engine_ended ended; /* guarded by lock */
    size_t starting;           /* guarded by lock: places taken for runs not in the table yet */
    bool closing;              /* guarded by lock: no new runs */
    bool stop_draining;        /* guarded by lock */
};

/* The run if it is going on here. */
struct run_exec *engine_find_locked(struct engine *engine, struct pl_str tenant, struct pl_str id);
/* Hangs a run into the table and sends it to its loop. Errors: SHUTTING_DOWN, CONFLICT (it runs
 * already): the exec is still the caller's. */
enum pl_code engine_launch(struct engine *engine, struct run_exec *exec, struct pl_err *err);
/* Sends an answer to its run. Errors: NO_MEMORY; then it is still the caller's. Else told by
 * answer->done, at once with CONFLICT when the run does not go on here. */
enum pl_code engine_post_answer(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                                struct run_answer *answer, struct pl_err *err);
/* engine_launch, and a run of a thread takes its place there before. Takes the exec in any case.
 * Errors: those of engine_launch; NO_MEMORY, IO, STORE_CORRUPT. */
enum pl_code engine_launch_run(struct engine *engine, const struct store_run *run, bool loaded,
                               struct run_exec *exec, struct pl_err *err);
/* The run goes: the next one of its thread has the turn. Its loop. */
void engine_leave_thread(struct engine *engine, const struct run_exec *exec);
struct engine_turn;
/* Takes a turn to its run; NULL: nothing. */
void engine_give_turn(struct engine *engine, struct engine_turn *turn);
/* Loads an unfinished run from its rows and launches it. Errors: as engine_resume_run. */
enum pl_code engine_load(struct engine *engine, const struct engine_run_request *request,
                         struct pl_err *err);
/* Loads every unfinished run of the store; one that cannot be loaded is logged and left. */
enum pl_code engine_adopt_all(struct engine *engine, struct pl_err *err);
/* Is the run going on here? */
bool engine_is_running(struct engine *engine, struct pl_str tenant, struct pl_str run_id);
/* The definition by its content hash, from the cache or the tenant's store; one reference is yours.
 * Errors: as store_get_definition. */
enum pl_code engine_definition(struct engine *engine, struct pl_str tenant, struct pl_str hash,
                               struct workflow **ret_workflow, struct pl_err *err);
/* The row of a stored workflow by "name" or "name@version"; strings in the arena. Errors:
 * NOT_FOUND, IO, STORE_CORRUPT, NO_MEMORY. */
enum pl_code engine_read_workflow(struct engine *engine, struct pl_arena *arena,
                                  struct pl_str tenant, struct pl_str reference,
                                  struct store_workflow *ret_row, struct pl_err *err);
/* Compiles it, the newest of what it calls by name with it. Errors: INVALID_WORKFLOW,
 * STORE_CORRUPT, NO_MEMORY. One reference is yours. */
enum pl_code engine_compile_named(struct engine *engine, struct pl_str tenant,
                                  const struct store_workflow *row, struct workflow **ret_workflow,
                                  struct pl_err *err);
/* Appends one step of a run as the REST API shows it: what a container's branches have used so far,
 * and how those of a map stand, is read. Errors: as store_look_inside. */
enum pl_code engine_write_step(struct engine *engine, const struct store_run *run,
                               const struct workflow *workflow, const struct store_step *row,
                               struct pl_buf *out, struct pl_err *err);
/* How the branches of a map stand; those that have not begun count, too. */
void engine_branch_progress(const struct step_def *def, bool ended,
                            const struct store_inside *inside, struct run_progress *ret_progress);
/* How the steps of a stored run stand. Errors: as store_list_steps, store_get_definition. */
enum pl_code engine_read_progress(struct engine *engine, const struct store_run *run,
                                  struct run_progress *ret_progress, struct pl_err *err);
/* Submits an operation of which only the code matters. */
void engine_submit_deletion(struct engine *engine, const struct store_op *op, engine_done_fn done,
                            void *arg);
/* Around the elements of a list; `last` is where the next page goes on after. Errors: TOO_LARGE,
 * NO_MEMORY (of the buffer). */
void engine_list_begin(struct pl_buf *out);
enum pl_code engine_list_end(struct pl_buf *out, bool more, struct pl_str last, struct pl_err *err);
/* All step rows of a run. */
struct engine_rows {
    struct store_step *items;
    size_t count, capacity;
};
/* Reads them into zeroed memory; strings live in the arena. Errors: as store_list_steps; finish it
 * all the same. */
enum pl_code engine_read_rows(struct engine *engine, struct pl_arena *arena, struct pl_str tenant,
                              struct pl_str run_id, struct engine_rows *rows, struct pl_err *err);
void engine_rows_finish(struct engine_rows *rows);
/* What run jitter is seeded with. */
uint64_t engine_seed(struct pl_str run_id);

#endif
