/* store_check.h - what must be true of a database after trouble: the batches that were acknowledged
 * are there, whole, and SQLite finds no fault in the file. Not a test. Used by tests/fault.
 *
 * Batch number n of these tests writes step "s<n>" with a memo and writes, event n of run "run_1"
 * and the state of thread "thr", tenant "t". */
#ifndef PLAIT_TESTS_SUPPORT_STORE_CHECK_H
#define PLAIT_TESTS_SUPPORT_STORE_CHECK_H

#include "storage/store.h"
#include "tests/support/store_fixture.h"

/* Batch number `n`, with about `bytes` of output. Ends the program when out of memory. */
struct store_batch *store_check_batch(int n, size_t bytes);

/* Opens the database and compares. `acked` says for each n below `count` whether it was
 * acknowledged; one that was not may be there or not, but whole. NULL when all is well, else what
 * is wrong (static memory). */
const char *store_check(const struct store_fixture *fixture, const bool *acked, int count);

#endif
