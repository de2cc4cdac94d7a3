/* engine_threads.c - threads: the turn taken to the run whose it is, with the memory it begins
 * with; the memory read and written from outside. Not whose turn it is (engine_turns) nor what a
 * run leaves behind (run_notes). */
#include "service/engine_threads.h"

#include "base/log.h"
#include "service/engine_private.h"
#include "service/engine_turns.h"
#include "storage/store.h"

#include <stdlib.h>

enum { TURNS_PAGE = 50 };

/* ---- the turn ---- */

/* The run's loop; after the run, when it has moved. */
static void turn_deliver(struct loop *loop, struct loop_mail *mail)
{
    struct engine_turn *turn = pl_container_of(mail, struct engine_turn, mail);
    struct engine *engine = turn->engine;
    struct run_exec *exec;
    bool moved;

    pl_mutex_lock(&engine->lock);
    exec = engine_find_locked(engine, turn->tenant, pl_str(turn->run));
    moved = exec && run_exec_home(exec) != loop;
    if (moved)
        loop_post(run_exec_home(exec), mail);
    pl_mutex_unlock(&engine->lock);
    if (moved)
        return;
    if (exec)
        run_exec_take_turn(exec, turn->state);
    engine_turn_free(turn);
}

static enum pl_code turn_read(struct engine *engine, struct engine_turn *turn, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_thread thread = {0};
    enum pl_code code = PL_ERR_NO_MEMORY;

    if (arena)
        code = store_get_thread(engine->store, arena, turn->tenant, turn->thread, &thread, err);
    else
        pl_err_set(err, code, "out of memory");
    if (code == PL_ERR_NOT_FOUND)
        code = PL_OK;
    if (code == PL_OK) {
        turn->state = pl_value_ref(thread.state);
        turn->known = true;
        engine_turns_remember(engine->turns, turn->tenant, turn->thread, thread.state);
    }
    store_thread_finish(&thread);
    pl_arena_destroy(&arena);
    return code;
}

void engine_give_turn(struct engine *engine, struct engine_turn *turn)
{
    struct log_context context = {0};
    struct pl_err err = {0};
    struct run_exec *exec;

    if (!turn)
        return;
    context.run = turn->run;
    turn->engine = engine;
    turn->mail.deliver = turn_deliver;
    if (!turn->known && turn_read(engine, turn, &err) != PL_OK) {
        /* it must not begin without what it would have remembered: it stays queued */
        log_error(&context, "THREAD-UNREADABLE", "thread %.*s: %s", PL_STR_ARG(turn->thread),
                  err.message);
        engine_turn_free(turn);
        return;
    }
    pl_mutex_lock(&engine->lock);
    exec = engine_find_locked(engine, turn->tenant, pl_str(turn->run));
    if (exec)
        loop_post(run_exec_home(exec), &turn->mail);
    pl_mutex_unlock(&engine->lock);
    if (!exec)
        engine_turn_free(turn); /* it is leaving, and gives the turn on */
}

/* A run that began has the turn, though it was not loaded yet: the queue goes on behind it. */
static enum pl_code reserve_for_begun(struct engine *engine, const struct store_run *run,
                                      struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_run_filter filter = {.thread = run->thread};
    size_t count = TURNS_PAGE;
    bool found = false;
    enum pl_code code = arena ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    /* newest first: behind the queued ones comes the one whose turn it is */
    while (code == PL_OK && !found && count == TURNS_PAGE) {
        struct store_run *runs;

        code = store_list_runs(engine->store, arena, run->tenant, &filter, TURNS_PAGE, &runs,
                               &count, err);
        for (size_t i = 0; code == PL_OK && i < count; i++) {
            bool queued = pl_str_is(runs[i].status, "queued");

            if (!found && !queued && !runs[i].ended_at)
                code =
                    engine_turns_reserve(engine->turns, run->tenant, run->thread, runs[i].id, err);
            found = found || !queued;
            filter.after = runs[i].id;
            store_run_finish(&runs[i]);
        }
    }
    pl_arena_destroy(&arena);
    return code;
}

/* The exec is taken in any case. */
enum pl_code engine_launch_run(struct engine *engine, const struct store_run *run, bool loaded,
                               struct run_exec *exec, struct pl_err *err)
{
    bool began = loaded && !pl_str_is(run->status, "queued"), entered = false;
    struct engine_turn *turn = NULL;
    enum pl_code code = PL_OK;

    if (run->thread.len && !(turn = engine_turn_create(run->tenant, run->thread, run->id)))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK && turn && loaded && !began)
        code = reserve_for_begun(engine, run, err);
    if (code == PL_OK && turn) {
        code = engine_turns_enter(engine->turns, run->tenant, run->thread, run->id, began, err);
        entered = code == PL_OK;
    }
    if (code == PL_OK)
        code = engine_launch(engine, exec, err);
    if (code != PL_OK)
        run_exec_discard(&exec);
    if (code != PL_OK && entered)
        engine_give_turn(engine,
                         engine_turns_leave(engine->turns, run->tenant, run->thread, run->id,
                                            loaded ? TURN_DROPPED : TURN_OVER, NULL));
    if (code == PL_OK && turn && engine_turns_claim(engine->turns, turn))
        engine_give_turn(engine, turn);
    else if (turn)
        engine_turn_free(turn);
    return code;
}

void engine_leave_thread(struct engine *engine, const struct run_exec *exec)
{
    struct pl_value *state = NULL;
    bool over = run_exec_is_over(exec, &state);

    if (run_exec_thread(exec).len == 0)
        return;
    engine_give_turn(engine,
                     engine_turns_leave(engine->turns, run_exec_tenant(exec), run_exec_thread(exec),
                                        run_exec_id(exec), over ? TURN_OVER : TURN_DROPPED, state));
}

/* ---- from outside ---- */

enum pl_code engine_write_thread(struct engine *engine, struct pl_str tenant, struct pl_str id,
                                 struct pl_buf *out, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_thread thread = {0};
    enum pl_code code = arena ? store_get_thread(engine->store, arena, tenant, id, &thread, err)
                              : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    if (code == PL_OK)
        pl_buf_str(out, pl_value_text(thread.state));
    store_thread_finish(&thread);
    pl_arena_destroy(&arena);
    return code;
}

/* A write on its way to the store. */
struct thread_write {
    struct engine *engine;
    struct pl_str tenant, id; /* behind the struct */
    struct pl_value *state;   /* NULL: it is deleted */
    engine_done_fn done;
    void *arg;
};

static void write_end(struct thread_write *write, bool written)
{
    engine_give_turn(write->engine, engine_turns_end_write(write->engine->turns, write->tenant,
                                                           write->id, written, write->state));
    pl_value_unref(&write->state);
    free(write);
}

/* The writer thread. */
static void write_done(void *arg, enum pl_code code, const struct store_op_result *result,
                       const struct pl_err *err)
{
    struct thread_write *write = arg;
    const engine_done_fn done = write->done;
    void *const asker = write->arg;

    (void)result;
    write_end(write, code == PL_OK); /* first: who is told may come again at once */
    done(asker, code, err);
}

static struct thread_write *write_create(struct engine *engine,
                                         const struct engine_thread_write *asked)
{
    size_t size = asked->tenant.len + asked->id.len;
    struct thread_write *write = calloc(1, sizeof *write + size);
    char *text = (char *)(write + 1);

    if (!write)
        return NULL;
    if (asked->tenant.len)
        memcpy(text, asked->tenant.ptr, asked->tenant.len);
    memcpy(text + asked->tenant.len, asked->id.ptr, asked->id.len);
    write->engine = engine;
    write->tenant = pl_str_n(text, asked->tenant.len);
    write->id = pl_str_n(text + asked->tenant.len, asked->id.len);
    write->state = asked->state.ptr ? pl_value_new(asked->state) : NULL;
    write->done = asked->done;
    write->arg = asked->arg;
    if (asked->state.ptr && !write->state) {
        free(write);
        return NULL;
    }
    return write;
}

void engine_set_thread(struct engine *engine, const struct engine_thread_write *asked)
{
    struct thread_write *write = write_create(engine, asked);
    struct store_op op = {
        .kind = asked->state.ptr ? STORE_OP_PUT_THREAD : STORE_OP_DELETE_THREAD,
        .tenant = asked->tenant,
        .id = asked->id,
        .text = asked->state,
        .now = pl_clock_now(engine->env.clock),
    };
    struct pl_err err = {0};
    enum pl_code code =
        write ? engine_turns_begin_write(engine->turns, write->tenant, write->id, &err)
              : pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");

    if (code == PL_OK) {
        store_submit_op(engine->store, &op, write_done, write);
        return;
    }
    if (write)
        pl_value_unref(&write->state);
    free(write);
    asked->done(asked->arg, code, &err);
}
