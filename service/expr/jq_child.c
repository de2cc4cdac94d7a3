/* jq_child.c - starting this binary again as a worker (posix_spawn, which is safe while other
 * threads run and copies no memory), and ending it. Called by jq_pool. */
#include "service/expr/jq_child.h"

#include "service/expr/jq_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Our end is ours alone; the worker's end becomes JQ_WIRE_FD there, before the standard descriptors
 * are replaced, should it be one of them. */
static int set_actions(posix_spawn_file_actions_t *actions, int worker_end)
{
    int rc = posix_spawn_file_actions_adddup2(actions, worker_end, JQ_WIRE_FD);

    for (int fd = 0; fd <= 2 && rc == 0; fd++)
        rc = posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
    return rc;
}

/* A process group of its own: what a terminal sends to ours is not for it. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                  POSIX_SPAWN_SETSIGDEF);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attributes, 0);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attributes, &all);
    return rc;
}

/* Nothing of our environment but where the loader finds libraries; the worker drops that too. The
 * sanitizers of a build that has some are told not to hoard and not to look around. */
static int spawn(int worker_end, pid_t *ret_pid)
{
    static char name[] = JQ_WORKER_NAME, marker[] = JQ_WORKER_MARKER;
    static char asan[] = "ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1:handle_segv=0:"
                         "handle_abort=0:handle_sigfpe=0:allocator_may_return_null=1";
    static char tsan[] = "TSAN_OPTIONS=handle_segv=0:handle_abort=0:allocator_may_return_null=1";
    char *const argv[] = {name, marker, NULL};
    char library_path[4096];
    char *envp[] = {asan, tsan, NULL, NULL};
    const char *libraries = getenv("LD_LIBRARY_PATH");
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc;

    if (libraries && (size_t)snprintf(library_path, sizeof library_path, "LD_LIBRARY_PATH=%s",
                                      libraries) < sizeof library_path)
        envp[2] = library_path;
    rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = set_actions(&actions, worker_end);
        if (rc == 0)
            rc = set_attributes(&attributes);
        if (rc == 0)
            rc = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, envp);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

enum pl_code jq_child_start(struct jq_child *child, struct pl_err *err)
{
    int ends[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return pl_err_set(err, PL_ERR_INTERNAL, "cannot start a jq worker: %s",
                          strerrordesc_np(errno));
    rc = fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 ? spawn(ends[1], &child->pid) : errno;
    close(ends[1]);
    if (rc != 0) {
        close(ends[0]);
        child->pid = 0;
        return pl_err_set(err, PL_ERR_INTERNAL, "cannot start a jq worker: %s",
                          strerrordesc_np(rc));
    }
    child->fd = ends[0];
    if (clock_getcpuclockid(child->pid, &child->clock) != 0)
        child->clock = CLOCK_MONOTONIC; /* counts waiting too, but ends what is endless */
    return PL_OK;
}

void jq_child_kill(const struct jq_child *child)
{
    if (child->pid > 0) /* 0 would be our own process group */
        (void)kill(child->pid, SIGKILL);
}

int jq_child_end(struct jq_child *child)
{
    int status = -1;
    pid_t pid;

    if (child->pid == 0)
        return -1;
    jq_child_kill(child); /* a process that has ended keeps its status */
    do
        pid = waitpid(child->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    close(child->fd);
    child->pid = 0;
    return pid < 0 ? -1 : status;
}

int64_t jq_child_cpu_us(const struct jq_child *child)
{
    struct timespec used;

    if (clock_gettime(child->clock, &used) != 0)
        return 0;
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}
