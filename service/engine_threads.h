/* engine_threads.h - the memory of threads, from outside. Not whose turn it is (engine_turns.h). As
 * engine.h: any thread but a loop's. */
#ifndef PLAIT_SERVICE_ENGINE_THREADS_H
#define PLAIT_SERVICE_ENGINE_THREADS_H

#include "service/engine.h"

/* Threads: what runs of one conversation remember from one to the next. Appends the memory of a
 * thread, an object by channel. Errors: NOT_FOUND (nothing is kept), IO, STORE_CORRUPT, NO_MEMORY.
 */
enum pl_code engine_write_thread(struct engine *engine, struct pl_str tenant, struct pl_str id,
                                 struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;
struct engine_thread_write {
    struct pl_str tenant, id;
    struct pl_str state; /* JSON object; absent: what is kept is deleted */
    engine_done_fn done; /* CONFLICT: a run of the thread is not over; NOT_FOUND of a deletion */
    void *arg;
};
void engine_set_thread(struct engine *engine, const struct engine_thread_write *write);

#endif
