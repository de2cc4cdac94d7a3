/* batch.h - what is inside a batch: the rows one activation of one run changes, or a single
 * operation. Not the queue (writer.h) and not for callers of the store, who see it opaque. Filled
 * through store.h, read by drivers, freed by the writer.
 *
 * Rows and strings live in the batch's own arena; values are referenced. A batch belongs to one
 * thread at a time: its maker, then (store_submit) the writer. */
#ifndef PLAIT_STORAGE_BATCH_H
#define PLAIT_STORAGE_BATCH_H

#include "base/arena.h"
#include "base/list.h"
#include "storage/records.h"
#include "storage/store.h"

/* Rows in the order they were first put. */

/* What one or two names stand for: the text of a definition by its hash, the fingerprint of a key
 * by its route and itself. */
struct batch_fact {
    struct batch_fact *next;
    struct pl_str scope, name, value; /* a definition has no scope */
};

struct batch_facts {
    struct batch_fact *first, *last;
};

struct batch_step {
    struct batch_step *next;
    struct store_step row;
};

struct batch_event {
    struct batch_event *next;
    struct store_event row;
};

struct store_batch {
    struct pl_arena *arena; /* holds the batch itself too */
    struct pl_str tenant, run;

    struct batch_facts definitions, keys;
    bool has_run, has_thread;
    struct store_run run_row;
    struct store_thread thread_row;
    struct batch_step *steps, *last_step;
    size_t step_count;
    struct batch_step **step_table; /* open addressing by path; NULL while the steps are few */
    size_t step_slots;              /* a power of two */
    struct batch_event *events, *last_event; /* by number */
    size_t rows;                             /* of all kinds */
    size_t bytes; /* of strings and values, for the cap of a transaction */

    /* Set by store_submit, then the writer's. */
    struct pl_list node; /* in the queue */
    store_done_fn done;
    void *arg;
    enum pl_code code; /* why this batch alone cannot be written */

    /* A single operation travels as a batch without rows. */
    struct store_op *op; /* NULL: an ordinary batch */
    store_op_done_fn op_done;
    struct store_op_result op_result; /* of the present try, as op_err; the writer's */
    struct pl_err op_err;
};

/* A batch that holds one operation, its strings copied. NULL when out of memory. */
struct store_batch *store_batch_of_op(const struct store_op *op);

/* True when memory ran out while it was filled: such a batch is never written. */
bool store_batch_failed(const struct store_batch *batch);

#endif
