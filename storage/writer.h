/* writer.h - the queue in front of the write connection: one thread that commits everything queued
 * in one transaction (group commit). Not SQL and not a driver: it calls one. Used by store.c only.
 *
 * A group is what was queued when the writer came for it, up to a cap; what comes later makes the
 * next one. So a lone batch waits for one commit, and under load the groups grow by themselves. */
#ifndef PLAIT_STORAGE_WRITER_H
#define PLAIT_STORAGE_WRITER_H

#include "base/compiler.h"
#include "base/err.h"
#include "storage/store.h"
#include "storage/store_driver.h"

enum {
    STORE_GROUP_BATCHES = 4096,   /* most batches of one transaction */
    STORE_GROUP_BYTES = 32 << 20, /* and most bytes, unless its first batch alone has more */
    STORE_RETRY_PAUSE_MS = 100,   /* between tries while writes fail for the moment */
    STORE_CLOSE_RETRY_MS =
        5000, /* the longest such trying goes on once the store is being closed */
};

struct store_writer;

/* Starts the thread. The driver stays the caller's and must outlive the writer. `retry_for` as in
 * store_options. Errors: NO_MEMORY (also when no thread can be started). */
enum pl_code store_writer_start(struct store_driver *driver, pl_ms retry_for,
                                struct store_writer **ret_writer, struct pl_err *err) PL_MUST_CHECK;

/* Commits what is queued, tells the owners, joins the thread, frees. Nulls; accepts NULL. May
 * block. */
void store_writer_stop(struct store_writer **writer);

/* As store_hurry. Any thread. */
void store_writer_hurry(struct store_writer *writer);

/* Takes the batch (its done and arg set). Any thread; holds the queue's lock for a moment. */
void store_writer_submit(struct store_writer *writer, struct store_batch *batch);

/* As store_health and store_stats. Any thread. */
enum pl_code store_writer_health(struct store_writer *writer, struct pl_err *err);
void store_writer_stats(struct store_writer *writer, struct store_stats *ret_stats);

#endif
