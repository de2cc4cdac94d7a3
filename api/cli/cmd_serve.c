/* cmd_serve.c - `plait serve`: the engine behind HTTP until a signal. Not the server (api/server.c)
 * and not the engine. The main thread starts both, says where, and sleeps until it is told to stop.
 *
 * Stopping: /readyz says 503 and no new run is taken, at once; calls in flight finish for --drain;
 * what waits for a run is answered; the server ends, then the engine. What did not finish goes on
 * at the next start. A second signal cuts the drain short. */
#include "api/cli/command.h"
#include "api/cli/workflow_file.h"

#include "api/server.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sync.h"
#include "service/engine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { SERVE_DRAIN_MS = 20000, SERVE_RETRY_WRITES_MS = 5000 };

#define SERVE_LISTEN "127.0.0.1:8080"
#define SERVE_DB     "sqlite:plait.db"

struct service {
    const struct cli_args *args;
    const char *listen;
    struct config *config;
    struct engine *engine;
    struct api_server *server;
    pl_ms drain;
    unsigned loops;
    int signals, done; /* descriptors */
};

static const char *option(const struct service *service, const char *name, const char *fallback)
{
    const char *value = cli_get(service->args, name);

    return value ? value : fallback;
}

static int read_settings(struct service *service)
{
    const char *level = option(service, "log-level", "info"), *drain = option(service, "drain", ""),
               *loops = option(service, "loops", "");
    enum log_level parsed = LOG_LEVEL_INFO;
    char *end = NULL;

    if (!log_level_parse(level, &parsed))
        return cli_usage_error("serve: --log-level %s: one of debug, info, warn, error, off",
                               level);
    log_configure(parsed, STDERR_FILENO);
    service->drain = SERVE_DRAIN_MS;
    if (*drain && !pl_duration_parse(pl_str(drain), &service->drain))
        return cli_usage_error("serve: --drain %s: write a duration such as 20s", drain);
    if (*loops) {
        unsigned long count = strtoul(loops, &end, 10);

        if (*end || count == 0 || count > PL_LIMIT_LOOPS)
            return cli_usage_error("serve: --loops %s: a whole number from 1 to %d", loops,
                                   PL_LIMIT_LOOPS);
        service->loops = (unsigned)count;
    }
    service->listen = option(service, "listen", SERVE_LISTEN);
    if (!api_listen_is_loopback(service->listen) && !cli_get(service->args, "no-auth"))
        return cli_usage_error(
            "serve: --listen %s: others could reach it, and this version has no API keys; listen "
            "on "
            "127.0.0.1 behind a gateway that knows who may call, or say --no-auth",
            service->listen);
    service->config = workflow_file_config(cli_get(service->args, "config"));
    return service->config ? EXIT_OK : EXIT_USAGE;
}

/* Signals are taken from a descriptor; blocked here, before any thread is made, so that every
 * thread inherits it. */
static int open_descriptors(struct service *service)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    service->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    service->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (service->signals < 0 || service->done < 0)
        return cli_usage_error("serve: cannot open descriptors: %s", strerror(errno));
    return EXIT_OK;
}

static int open_engine(struct service *service)
{
    struct engine_options options = {
        .db = option(service, "db", SERVE_DB),
        .retry_writes_for = SERVE_RETRY_WRITES_MS,
        .loops = service->loops,
        .providers = service->config->providers,
        .policy = service->config->policy,
        .secrets = service->config->secrets,
        .max_step_output = service->config->step_output_bytes,
        .max_branches = service->config->branches,
        .max_runs = (unsigned)service->config->runs,
        .adopt = true,
    };
    struct pl_err err = {0};

    if (engine_create(&options, &service->engine, &err) != PL_OK)
        return cli_usage_error("serve: %s", err.message);
    return EXIT_OK;
}

static int open_server(struct service *service)
{
    struct api_server_options options = {
        .listen = service->listen,
        .engine = service->engine,
        .max_body = service->config->body_bytes,
        .any_host = cli_get(service->args, "no-auth") != NULL,
    };
    struct pl_err err = {0};
    size_t adopted = engine_running(service->engine);

    if (api_server_start(&options, &service->server, &err) != PL_OK)
        return cli_usage_error("serve: %s", err.message);
    if (adopted)
        log_info(NULL, "SERVE-ADOPTED", "going on with %zu unfinished runs", adopted);
    return EXIT_OK;
}

/* The one line that says it is ready; port 0 has become a number. */
static void tell(const struct service *service)
{
    int host = (int)(strrchr(service->listen, ':') - service->listen);

    fprintf(stderr, "plait listens on http://%.*s:%u\n", host, service->listen,
            api_server_port(service->server));
}

/* Waits for a signal, or for `done` to be rung. True: a signal. */
static bool wait_for_signal(const struct service *service)
{
    struct signalfd_siginfo info;
    struct pollfd fds[] = {{.fd = service->signals, .events = POLLIN},
                           {.fd = service->done, .events = POLLIN}};

    while (poll(fds, PL_ARRAY_LEN(fds), -1) < 0 && errno == EINTR)
        continue;
    return read(service->signals, &info, sizeof info) == (ssize_t)sizeof info;
}

/* A second signal ends the drain at once. A thread of its own, since engine_drain blocks. */
static void *drain_watch(void *arg)
{
    struct service *service = arg;

    if (wait_for_signal(service))
        engine_stop_draining(service->engine);
    return NULL;
}

static int serve(struct service *service)
{
    pthread_t watcher;
    uint64_t one = 1;
    bool watched;
    ssize_t rung;

    tell(service);
    while (!wait_for_signal(service))
        continue;
    log_info(NULL, "SERVE-DRAIN", "stopping: %zu runs go on, calls in flight may finish",
             engine_running(service->engine));
    api_server_drain(service->server);
    watched = pl_thread_start(&watcher, "plait-drain", drain_watch, service);
    engine_drain(service->engine, service->drain);
    rung = write(service->done, &one, sizeof one);
    (void)rung;
    if (watched)
        pthread_join(watcher, NULL);
    api_server_stop(&service->server);
    log_info(NULL, "SERVE-STOPPED", "stopped");
    return EXIT_OK;
}

static void service_finish(struct service *service)
{
    api_server_stop(&service->server);
    engine_destroy(&service->engine, 0);
    config_destroy(&service->config);
    if (service->signals >= 0)
        close(service->signals);
    if (service->done >= 0)
        close(service->done);
}

int cmd_serve(const struct cli_args *args)
{
    static int (*const stages[])(struct service *) = {read_settings, open_descriptors, open_engine,
                                                      open_server, serve};
    struct service service = {.args = args, .signals = -1, .done = -1};
    int status = EXIT_OK;

    for (size_t i = 0; i < PL_ARRAY_LEN(stages) && status == EXIT_OK; i++)
        status = stages[i](&service);
    service_finish(&service);
    return status;
}
