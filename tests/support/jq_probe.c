/* jq_probe.c - asking a pool of jq workers and waiting for what it says; finding its processes. Not
 * a test. */
#include "tests/support/jq_probe.h"

#include "base/clock.h"
#include "tests/support/text.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

void jq_probe_init(struct jq_probe *probe, unsigned workers)
{
    struct pl_err err;

    ck_assert_msg(jq_pool_create(workers, &probe->pool, &err) == PL_OK, "%s", err.message);
    ck_assert_msg(loop_create(0, pl_clock_real(), &probe->loop, &err) == PL_OK, "%s", err.message);
    ck_assert_msg(loop_start(probe->loop, &err) == PL_OK, "%s", err.message);
}

void jq_probe_finish(struct jq_probe *probe)
{
    jq_pool_destroy(&probe->pool);
    loop_stop(probe->loop);
    loop_destroy(&probe->loop);
}

static void ask_done(struct jq_job *job)
{
    struct jq_ask *ask = pl_container_of(job, struct jq_ask, job);

    ask->ended_us = pl_monotonic_us();
    ask->dones++;
    if (ask->order)
        ask->rank = ++*ask->order;
    sem_post(&ask->over);
}

void jq_ask_init(struct jq_ask *ask, struct jq_probe *probe, const char *text, const char *document)
{
    memset(ask, 0, sizeof *ask);
    ask->probe = probe;
    ask->arena = pl_arena_create(0);
    ck_assert_ptr_nonnull(ask->arena);
    sem_init(&ask->over, 0, 0);
    ask->program.id = jq_program_new_id();
    ask->program.texts = ask->texts;
    ask->program.folds = ask->folds;
    ask->job.program = &ask->program;
    ask->job.indexes = ask->indexes;
    ask->job.document = pl_str(document ? document : "{}");
    ask->job.queue = ask->program.id;
    ask->job.arena = ask->arena;
    ask->job.done = ask_done;
    ask->job.loop = probe->loop;
    if (text)
        jq_ask_add(ask, text, false);
}

void jq_ask_add(struct jq_ask *ask, const char *text, bool fold)
{
    size_t index = ask->program.count++;

    ck_assert_uint_lt(index, JQ_PROBE_TEXTS);
    ask->texts[index] = pl_str(text);
    ask->folds[index] = fold;
    ask->indexes[ask->job.n_indexes++] = (uint32_t)index;
}

void jq_ask_start(struct jq_ask *ask)
{
    ask->began_us = pl_monotonic_us();
    jq_pool_submit(ask->probe->pool, &ask->job);
}

void jq_ask_wait(struct jq_ask *ask)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    ck_assert_msg(sem_timedwait(&ask->over, &until) == 0, "a jq job does not end");
    ck_assert_uint_eq(ask->dones, 1);
}

const char *jq_ask_result(const struct jq_ask *ask, size_t position)
{
    static char texts[4][PL_ERR_MESSAGE_MAX + 64];
    static unsigned turn;
    const struct jq_answer *answer = &ask->job.answers[position];
    char *text = texts[turn++ % 4];

    if (answer->err.code == PL_OK)
        return test_str(answer->json);
    snprintf(text, sizeof texts[0], "!%s: %s", pl_code_text(answer->err.code), answer->err.message);
    return text;
}

void jq_ask_finish(struct jq_ask *ask)
{
    pl_arena_destroy(&ask->arena);
    sem_destroy(&ask->over);
}

const char *jq_probe_eval(struct jq_probe *probe, const char *text, const char *document)
{
    static struct jq_ask ask;
    const char *result;

    jq_ask_init(&ask, probe, text, document);
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    result = jq_ask_result(&ask, 0);
    jq_ask_finish(&ask);
    return result;
}

/* The parent of process `pid`, 0 when it is none any more. */
static pid_t parent_of(pid_t pid)
{
    char path[64], *text, *behind, state = 'Z';
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    text = test_read_file(path, NULL);
    behind = text ? strrchr(text, ')') : NULL; /* the name before it may hold anything */
    if (!behind || sscanf(behind, ") %c %d", &state, &parent) != 2 || state == 'Z' || state == 'X')
        parent = 0;
    free(text);
    return parent;
}

bool jq_probe_lives(pid_t pid)
{
    return parent_of(pid) != 0;
}

size_t jq_probe_children(pid_t parent, pid_t *pids, size_t max)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    size_t count = 0;

    ck_assert_ptr_nonnull(proc);
    while ((entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 0 && parent_of(pid) == parent && count < max)
            pids[count++] = pid;
    }
    closedir(proc);
    return count;
}

bool jq_probe_wait_children(size_t count)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    pid_t pids[64];

    for (int i = 0; i < 5000; i++) {
        if (jq_probe_children(getpid(), pids, PL_ARRAY_LEN(pids)) == count)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}
