/* metrics.c - GET /metrics: a few figures in Prometheus' text format. Each is read when asked;
 * nothing is kept for it but what the program counts anyway. */
#include "api/routes.h"
#include "api/server.h"

#include "service/engine.h"
#include "service/engine_figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { METRICS_MAX = 64 << 10 };

static void head(struct pl_buf *out, const char *name, const char *type, const char *help)
{
    pl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(struct pl_buf *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "gauge", help);
    pl_buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

static void write_http(struct pl_buf *out, struct api_server *server)
{
    struct api_server_stats stats;

    api_server_get_stats(server, &stats);
    gauge(out, "plait_http_connections", "Open connections.", stats.connections);
    gauge(out, "plait_http_connections_max", "Connections that are answered.",
          stats.max_connections);
    gauge(out, "plait_http_requests_in_progress", "Requests not yet answered to the end.",
          stats.requests);
    gauge(out, "plait_http_streams", "Open event streams.", stats.streams);
    gauge(out, "plait_http_waiting", "Requests suspended until there is something to say.",
          stats.waiting);
    head(out, "plait_http_responses_total", "counter", "Answers by the class of their status.");
    for (size_t i = 2; i < PL_ARRAY_LEN(stats.answered); i++)
        pl_buf_printf(out, "plait_http_responses_total{class=\"%zuxx\"} %" PRIu64 "\n", i,
                      stats.answered[i]);
    head(out, "plait_http_refused_full_total", "counter", "Requests refused for want of room.");
    pl_buf_printf(out, "plait_http_refused_full_total %" PRIu64 "\n", stats.full);
}

static void counter_of(struct pl_buf *out, const char *name, const char *label, const char *value,
                       uint64_t count)
{
    pl_buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, count);
}

static void write_runs(struct pl_buf *out, struct engine *engine)
{
    static const char name[] = "plait_runs_ended_total";
    struct engine_ended ended;

    gauge(out, "plait_runs_in_progress", "Runs going on in this process.", engine_running(engine));
    gauge(out, "plait_runs_waiting",
          "Those of them that wait for a person, or for their turn in a thread, and for nothing "
          "else.",
          engine_running(engine) - engine_going(engine));
    engine_get_ended(engine, &ended);
    head(out, name, "counter", "Runs that have ended in this process.");
    counter_of(out, name, "status", "succeeded", ended.succeeded);
    counter_of(out, name, "status", "failed", ended.failed);
    counter_of(out, name, "status", "cancelled", ended.cancelled);
}

static uint64_t lane_in_flight(const struct engine_lane *lane)
{
    return lane->in_flight;
}

static uint64_t lane_waiting(const struct engine_lane *lane)
{
    return lane->waiting;
}

static uint64_t lane_window(const struct engine_lane *lane)
{
    return lane->window;
}

static uint64_t lane_paused(const struct engine_lane *lane)
{
    return lane->paused;
}

/* A name is any text without spaces. */
static void label(struct pl_buf *out, struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            pl_buf_char(out, '\\');
        pl_buf_char(out, text.ptr[i]);
    }
}

static uint64_t lane_calls(const struct engine_lane *lane)
{
    return lane->calls;
}

/* Up to its label, and what else is told apart may follow. */
static void begin_lane(struct pl_buf *out, const char *name, const struct engine_lane *lane)
{
    pl_buf_printf(out, "%s{provider=\"", name);
    label(out, lane->provider);
    pl_buf_char(out, '"');
}

/* One line a provider. */
static void write_lanes(struct pl_buf *out, struct engine *engine, const char *name,
                        uint64_t (*value)(const struct engine_lane *lane))
{
    struct engine_lane lane;

    for (size_t at = 0; engine_get_lane(engine, at, &lane); at++) {
        begin_lane(out, name, &lane);
        pl_buf_printf(out, "} %" PRIu64 "\n", value(&lane));
    }
}

static void total_of(struct pl_buf *out, const char *name, const struct engine_lane *lane,
                     const char *member, const char *value, uint64_t count)
{
    begin_lane(out, name, lane);
    pl_buf_printf(out, ",%s=\"%s\"} %" PRIu64 "\n", member, value, count);
}

/* What attempts came to since the process began. */
static void write_totals(struct pl_buf *out, struct engine *engine)
{
    static const char attempts[] = "plait_provider_attempts_total";
    static const char calls[] = "plait_provider_calls_total";
    static const char tokens[] = "plait_provider_tokens_total";
    static const char cost[] = "plait_provider_cost_usd_total";
    struct engine_lane lane;

    head(out, attempts, "counter", "Attempts of steps at its models, by how they ended.");
    for (size_t at = 0; engine_get_lane(engine, at, &lane); at++) {
        total_of(out, attempts, &lane, "outcome", "succeeded", lane.succeeded);
        total_of(out, attempts, &lane, "outcome", "failed", lane.failed);
        total_of(out, attempts, &lane, "outcome", "cancelled", lane.cancelled);
    }
    head(out, calls, "counter", "Calls sent for them.");
    write_lanes(out, engine, calls, lane_calls);
    head(out, tokens, "counter", "Tokens they used.");
    for (size_t at = 0; engine_get_lane(engine, at, &lane); at++) {
        total_of(out, tokens, &lane, "kind", "input", lane.input_tokens);
        total_of(out, tokens, &lane, "kind", "output", lane.output_tokens);
    }
    head(out, cost, "counter", "What they cost, of models with a price.");
    for (size_t at = 0; engine_get_lane(engine, at, &lane); at++) {
        begin_lane(out, cost, &lane);
        pl_buf_printf(out, "} %.9f\n", lane.cost_usd);
    }
}

static void write_providers(struct pl_buf *out, struct engine *engine)
{
    static const struct {
        const char *name, *help;
        uint64_t (*value)(const struct engine_lane *lane);
    } figures[] = {
        {"plait_provider_calls_in_flight", "Calls under way.", lane_in_flight},
        {"plait_provider_calls_waiting", "Calls that wait for their turn.", lane_waiting},
        {"plait_provider_window", "How many calls may be under way since a 429; 0: any number.",
         lane_window},
        {"plait_provider_paused", "1 while nothing is sent to it.", lane_paused},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(figures); i++) {
        head(out, figures[i].name, "gauge", figures[i].help);
        write_lanes(out, engine, figures[i].name, figures[i].value);
    }
    write_totals(out, engine);
}

static void write_process(struct pl_buf *out)
{
    unsigned long long pages = 0;
    long page = sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return;
    if (fscanf(file, "%*u %llu", &pages) == 1 && page > 0)
        gauge(out, "process_resident_memory_bytes", "Resident memory.",
              (uint64_t)pages * (uint64_t)page);
    fclose(file);
}

void handle_metrics(struct api_request *request)
{
    struct pl_buf out;

    pl_buf_init(&out, METRICS_MAX);
    head(&out, "plait_build_info", "gauge", "The version that runs.");
    pl_buf_printf(&out, "plait_build_info{version=\"%s\"} 1\n", PLAIT_VERSION);
    write_runs(&out, request->engine);
    gauge(&out, "plait_draining", "1 while shutting down.", api_server_draining(request->server));
    write_http(&out, request->server);
    write_providers(&out, request->engine);
    write_process(&out);
    api_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}
