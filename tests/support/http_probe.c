/* http_probe.c - the handler that keeps what came, and the mail that starts and aborts from another
 * thread. Called by tests. */
#include "tests/support/http_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void on_head(void *arg, struct http_call *call, int status)
{
    struct http_probe *probe = arg;
    struct pl_str type = http_call_header(call, "content-type");

    probe->heads++;
    probe->head_status = status;
    snprintf(probe->content_type, sizeof probe->content_type, "%.*s", PL_STR_ARG(type));
    if (probe->abort_in == HTTP_PROBE_ABORTS_IN_HEAD) {
        probe->aborted_at = pl_monotonic_us();
        http_call_abort(call);
    }
}

static enum pl_code on_data(void *arg, struct http_call *call, struct pl_str piece,
                            struct pl_err *err)
{
    struct http_probe *probe = arg;

    probe->pieces++;
    pl_buf_str(&probe->body, piece);
    if (probe->abort_in == HTTP_PROBE_ABORTS_IN_DATA) {
        probe->aborted_at = pl_monotonic_us();
        http_call_abort(call);
    }
    return probe->refuse == PL_OK ? PL_OK : pl_err_set(err, probe->refuse, "the probe refuses");
}

static void abort_probe(struct http_probe *probe)
{
    if (!probe->call)
        return;
    probe->aborted_at = pl_monotonic_us();
    http_call_abort(probe->call);
}

static void on_done(void *arg, struct http_call *call, const struct http_outcome *outcome)
{
    struct http_probe *probe = arg;

    probe->outcome = *outcome;
    probe->retry_after = http_call_retry_after(call, loop_now(probe->loop));
    probe->dones++;
    probe->call = NULL;
    if (probe->abort_with)
        abort_probe(probe->abort_with);
    sem_post(&probe->done);
}

static const struct http_call_handler handler = {.head = on_head, .data = on_data, .done = on_done};

static void deliver_start(struct loop *loop, struct loop_mail *mail)
{
    struct http_probe *probe = pl_container_of(mail, struct http_probe, start);

    probe->call = http_call_start(loop, &probe->request, &handler, probe);
    if (!probe->call)
        abort();
    if (probe->dones)
        abort(); /* done inside start */
}

static void deliver_stop(struct loop *loop, struct loop_mail *mail)
{
    (void)loop;
    abort_probe(pl_container_of(mail, struct http_probe, stop));
}

void http_probe_init(struct http_probe *probe, struct loop *loop, unsigned port, const char *path)
{
    int len;

    *probe = (struct http_probe){.loop = loop};
    len = snprintf(probe->url, sizeof probe->url, "http://127.0.0.1:%u%s", port, path);
    probe->request.method = PL_STR("GET");
    probe->request.url = pl_str_n(probe->url, (size_t)len);
    pl_buf_init(&probe->body, 64 << 20);
    probe->start.deliver = deliver_start;
    probe->stop.deliver = deliver_stop;
    sem_init(&probe->done, 0, 0);
}

void http_probe_start(struct http_probe *probe)
{
    loop_post(probe->loop, &probe->start);
}

void http_probe_wait(struct http_probe *probe)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    if (sem_timedwait(&probe->done, &until) != 0) {
        fprintf(stderr, "a call to %s did not end\n", probe->url);
        abort();
    }
}

void http_probe_abort(struct http_probe *probe)
{
    loop_post(probe->loop, &probe->stop);
}

void http_probe_finish(struct http_probe *probe)
{
    sem_destroy(&probe->done);
    pl_buf_finish(&probe->body);
}

void http_probe_get(struct http_probe *probe, struct loop *loop, unsigned port, const char *path)
{
    http_probe_init(probe, loop, port, path);
    http_probe_start(probe);
    http_probe_wait(probe);
}
