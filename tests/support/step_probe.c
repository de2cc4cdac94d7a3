/* step_probe.c - see step_probe.h. */
#include "tests/support/step_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static struct step_probe *probe_of(struct step_call *call)
{
    return pl_container_of(call, struct step_probe, call);
}

static void on_delta(struct step_call *call, struct pl_str text)
{
    struct step_probe *probe = probe_of(call);

    if (!loop_thread_is(probe->loop) || probe->completes)
        abort();
    pl_buf_str(&probe->deltas, text);
    pl_buf_char(&probe->deltas, '^');
}

static void on_reset(struct step_call *call)
{
    struct step_probe *probe = probe_of(call);

    if (!loop_thread_is(probe->loop) || probe->completes)
        abort();
    pl_buf_char(&probe->deltas, '~');
}

static void on_complete(struct step_call *call)
{
    struct step_probe *probe = probe_of(call);

    if (!loop_thread_is(probe->loop) || probe->completes++)
        abort();
    probe->completed_us = pl_monotonic_us();
    sem_post(&probe->done);
}

static struct pl_str scope_root(void *arg, const struct expr_ref *ref)
{
    const struct step_probe *probe = arg;

    return ref->root == EXPR_ROOT_INPUT && probe->input ? pl_str(probe->input) : PL_STR("null");
}

static struct pl_str scope_step(void *arg, const struct step_def *step, enum expr_step_field field)
{
    (void)arg;
    (void)step;
    (void)field;
    return PL_STR("null");
}

static void deliver_start(struct loop *loop, struct loop_mail *mail)
{
    struct step_probe *probe = pl_container_of(mail, struct step_probe, start);

    probe->call.loop = loop;
    probe->started_us = pl_monotonic_us();
    probe->call.ops->start(&probe->call);
}

static void deliver_stop(struct loop *loop, struct loop_mail *mail)
{
    struct step_probe *probe = pl_container_of(mail, struct step_probe, stop);

    (void)loop;
    if (!probe->completes)
        probe->call.ops->abort(&probe->call);
}

void step_probe_init(struct step_probe *probe, struct loop *loop, struct providers *providers,
                     const struct workflow *workflow, const char *path, bool listen)
{
    const struct step_def *def = workflow_find(workflow, pl_str(path));

    if (!def)
        abort();
    *probe = (struct step_probe){.loop = loop};
    probe->env.providers = providers;
    probe->start.deliver = deliver_start;
    probe->stop.deliver = deliver_stop;
    probe->scope = (struct expr_scope){.arg = probe, .root = scope_root, .step = scope_step};
    probe->call = (struct step_call){.ops = step_kind_ops(def->kind),
                                     .env = &probe->env,
                                     .def = def,
                                     .run_id = PL_STR("run_1"),
                                     .path = def->path,
                                     .attempt = 1,
                                     .sample = -1,
                                     .arena = pl_arena_create(0),
                                     .stream = listen,
                                     .delta = listen ? on_delta : NULL,
                                     .reset = listen ? on_reset : NULL,
                                     .complete = on_complete};
    step_result_init(&probe->call.result);
    pl_buf_init(&probe->deltas, 64 << 20);
    sem_init(&probe->done, 0, 0);
}

enum pl_code step_probe_prepare(struct step_probe *probe)
{
    return probe->call.ops->prepare(&probe->call, &probe->scope, &probe->call.result.err);
}

void step_probe_start(struct step_probe *probe)
{
    loop_post(probe->loop, &probe->start);
}

void step_probe_wait(struct step_probe *probe)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    while (sem_timedwait(&probe->done, &until) != 0) {
        fprintf(stderr, "step %s did not end\n", probe->call.path.ptr);
        abort();
    }
}

void step_probe_abort(struct step_probe *probe)
{
    loop_post(probe->loop, &probe->stop);
}

void step_probe_run(struct step_probe *probe)
{
    if (step_probe_prepare(probe) != PL_OK) {
        fprintf(stderr, "step %s: %s\n", probe->call.path.ptr, probe->call.result.err.message);
        abort();
    }
    step_probe_start(probe);
    step_probe_wait(probe);
}

void step_probe_finish(struct step_probe *probe)
{
    if (probe->call.ops->cleanup)
        probe->call.ops->cleanup(&probe->call);
    step_result_finish(&probe->call.result);
    pl_arena_destroy(&probe->call.arena);
    pl_buf_finish(&probe->deltas);
    sem_destroy(&probe->done);
}

const char *step_probe_result(const struct step_probe *probe)
{
    static char text[65536];
    const struct step_result *result = &probe->call.result;

    if (result->err.code != PL_OK)
        snprintf(text, sizeof(text), "!%s", pl_code_text(result->err.code));
    else
        snprintf(text, sizeof(text), "%.*s", PL_STR_ARG(pl_value_text(result->output)));
    return text;
}
