/* jq_child.h - a worker process as the pool holds it: started, spoken to, measured, ended. Not the
 * queue (jq_pool) and not what the process does (jq_worker). */
#ifndef PLAIT_SERVICE_EXPR_JQ_CHILD_H
#define PLAIT_SERVICE_EXPR_JQ_CHILD_H

#include "base/compiler.h"
#include "base/err.h"

#include <sys/types.h>
#include <time.h>

struct jq_child {
    pid_t pid;       /* 0: there is none */
    int fd;          /* our end of its socket, non-blocking */
    clockid_t clock; /* its processor time */
};

/* Starts one. It ends when this thread ends, and when jq_child_end is called.
 * Errors: INTERNAL with what the system refused. */
enum pl_code jq_child_start(struct jq_child *child, struct pl_err *err) PL_MUST_CHECK;
/* Kills it; what is left is seen at the socket's end. Any thread that knows it is not ended. */
void jq_child_kill(const struct jq_child *child);
/* Kills what still lives, waits for the process, closes. The wait status (waitpid), -1 when there
 * is none. */
int jq_child_end(struct jq_child *child);
/* Microseconds of processor time it has used since it began; 0 when that cannot be told. */
int64_t jq_child_cpu_us(const struct jq_child *child);

#endif
