/* jq_jail.c - prctl, resource limits and the seccomp filter of a jq worker. Not the worker's work
 * (jq_worker.c). */
#include "service/expr/jq_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    NICENESS = 5,
    /* the column of /proc/self/statm: whole size, or data and stack */
    STATM_FIELD = JQ_JAIL_SANITIZED ? 5 : 0,
    SHADOW_FACTOR = JQ_JAIL_SANITIZED ? 4 : 1, /* what a sanitizer adds to every allocation */
};

static const __rlimit_resource_t memory_limit = JQ_JAIL_SANITIZED ? RLIMIT_DATA : RLIMIT_AS;

static int statm = -1; /* open for good: opening is forbidden later */

static enum pl_code refused(const char *what, struct pl_err *err)
{
    return pl_err_set(err, PL_ERR_INTERNAL, "%s: %s", what, strerrordesc_np(errno));
}

static bool limit(__rlimit_resource_t resource, rlim_t value)
{
    struct rlimit both = {.rlim_cur = value, .rlim_max = value};

    return setrlimit(resource, &both) == 0;
}

/* The C library looks for the zone's file whenever TZ has changed: it looks once, here. */
static bool settle_time_zone(void)
{
    time_t epoch = 0;
    struct tm tm;

    if (clearenv() != 0 || setenv("TZ", "UTC0", 1) != 0)
        return false;
    tzset();
    return localtime_r(&epoch, &tm) != NULL;
}

/* When memory runs out, one of these goes and not the service. Not being able to say so is no
 * reason not to work. */
static void volunteer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "1000", 4);
    close(fd);
}

enum pl_code jq_jail_enter(int keep, struct pl_err *err)
{
    (void)prctl(PR_SET_NAME, "plait-jq");
    /* When the parent is gone already, reading from it says so. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return refused("cannot be ended with its parent", err);
    if (close_range((unsigned)keep + 1, ~0u, 0) != 0)
        return refused("cannot close its descriptors", err);
    if (!settle_time_zone())
        return refused("cannot empty its environment", err);
    volunteer();
    if (setpriority(PRIO_PROCESS, 0, NICENESS) != 0)
        return refused("cannot lower its priority", err);
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || !limit(RLIMIT_CORE, 0) || !limit(RLIMIT_FSIZE, 0))
        return refused("cannot limit itself", err);
    statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (statm < 0)
        return refused("cannot read its size in /proc", err);
    if (!limit(RLIMIT_NOFILE, (rlim_t)statm + 1))
        return refused("cannot limit its descriptors", err);
    (void)sysconf(_SC_PHYS_PAGES); /* qsort asks, and may open a file for it the first time */
    return PL_OK;
}

/* Rules for memory that is never executable. */
static int allow_memory(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);

    return rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
}

/* Its own limits, no other process's. */
static int allow_limits(scmp_filter_ctx filter)
{
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                              SCMP_A0(SCMP_CMP_EQ, 0, 0));

    return rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setrlimit), 0);
}

static int allow_calls(scmp_filter_ctx filter)
{
    static const int calls[] = {
        SCMP_SYS(read),
        SCMP_SYS(write),
        SCMP_SYS(writev),
        SCMP_SYS(pread64),
        SCMP_SYS(munmap),
        SCMP_SYS(mremap),
        SCMP_SYS(brk),
        SCMP_SYS(madvise),
        SCMP_SYS(futex),
        SCMP_SYS(exit),
        SCMP_SYS(exit_group),
        SCMP_SYS(clock_gettime),
        SCMP_SYS(gettimeofday),
        SCMP_SYS(time),
        SCMP_SYS(getrandom),
        SCMP_SYS(restart_syscall),
        SCMP_SYS(rt_sigreturn),
        SCMP_SYS(sysinfo),
#if JQ_JAIL_SANITIZED
        SCMP_SYS(sched_yield),
        SCMP_SYS(getpid),
        SCMP_SYS(gettid),
        SCMP_SYS(rt_sigprocmask),
        SCMP_SYS(sigaltstack),
        SCMP_SYS(nanosleep),
        SCMP_SYS(clock_nanosleep),
        SCMP_SYS(getrusage),
#endif
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(calls); i++) {
        int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);

        if (rc != 0)
            return rc;
    }
    return 0;
}

enum pl_code jq_jail_lock(struct pl_err *err)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int rc = filter ? allow_calls(filter) : -ENOMEM;

    if (rc == 0)
        rc = allow_memory(filter);
    if (rc == 0)
        rc = allow_limits(filter);
    if (rc == 0)
        rc = seccomp_load(filter); /* sets no_new_privs first */
    if (filter)
        seccomp_release(filter);
    if (rc != 0)
        return pl_err_set(err, PL_ERR_INTERNAL, "cannot have a seccomp filter: %s",
                          strerrordesc_np(-rc));
    return PL_OK;
}

size_t jq_jail_memory(void)
{
    char text[128];
    ssize_t n = pread(statm, text, sizeof text - 1, 0);
    char *at = text;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    for (int field = 0; field < STATM_FIELD; field++)
        (void)strtoul(at, &at, 10);
    return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

void jq_jail_limit(size_t base, size_t bytes)
{
    struct rlimit both = {.rlim_cur = base + bytes * SHADOW_FACTOR, .rlim_max = RLIM_INFINITY};

    (void)setrlimit(memory_limit, &both);
}
