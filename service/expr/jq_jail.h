/* jq_jail.h - how a jq worker locks itself up: no files, no network, no other programs, a bound on
 * memory. Not the bound on time, which the pool keeps from outside. Called by jq_worker.
 *
 * Memory is bounded by RLIMIT_AS; under sanitizers, whose shadow makes that number meaningless, by
 * RLIMIT_DATA. */
#ifndef PLAIT_SERVICE_EXPR_JQ_JAIL_H
#define PLAIT_SERVICE_EXPR_JQ_JAIL_H

#include "base/compiler.h"
#include "base/err.h"

/* Whether this build carries a sanitizer, which makes more system calls and dies of others. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define JQ_JAIL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define JQ_JAIL_SANITIZED 1
#endif
#endif
#ifndef JQ_JAIL_SANITIZED
#define JQ_JAIL_SANITIZED 0
#endif

/* What can be done before anything is read: ends with the parent, closes every descriptor but the
 * standard ones and `keep`, empties the environment, lowers priority, no core files.
 * Errors: INTERNAL with what the system refused. */
enum pl_code jq_jail_enter(int keep, struct pl_err *err) PL_MUST_CHECK;
/* The last step: from here on only reading, writing, memory and the clock; any other system call
 * kills the process. Errors: INTERNAL. */
enum pl_code jq_jail_lock(struct pl_err *err) PL_MUST_CHECK;

/* Bytes of memory the process has now, by the measure that is bounded. */
size_t jq_jail_memory(void);
/* The process may have `bytes` more than `base` from now on, by the same measure. */
void jq_jail_limit(size_t base, size_t bytes);

#endif
