/* engine_probe.c - see engine_probe.h. */
#include "tests/support/engine_probe.h"

#include "base/json.h"
#include "service/llm/provider.h"
#include "service/net/net_policy.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATIENCE_MS = 20000, POLL_MS = 2 };

#define TENANT PL_STR("default")

static void give_up(const char *what, const char *why)
{
    fprintf(stderr, "engine probe: %s: %s\n", what, why);
    abort();
}

/* ---- the engine ---- */

void engine_probe_init(struct engine_probe *probe, unsigned loops)
{
    memset(probe, 0, sizeof(*probe));
    store_fixture_init(&probe->fixture, 0);
    pl_mutex_init(&probe->lock);
    pl_cond_init(&probe->changed);
    probe->arena = pl_arena_create(0);
    probe->providers = providers_create();
    probe->policy = net_policy_create(probe->arena);
    probe->options = (struct engine_options){
        .db = probe->fixture.url,
        .retry_writes_for = 1000,
        .loops = loops,
        .readers = 2,
        .providers = probe->providers,
        .policy = probe->policy,
    };
}

void engine_probe_open(struct engine_probe *probe)
{
    struct pl_err err = {0};

    if (engine_create(&probe->options, &probe->engine, &err) != PL_OK)
        give_up("engine_create", err.message);
}

void engine_probe_close(struct engine_probe *probe, pl_ms drain)
{
    engine_destroy(&probe->engine, drain);
}

void engine_probe_finish(struct engine_probe *probe)
{
    engine_probe_close(probe, 0);
    providers_destroy(&probe->providers);
    pl_arena_destroy(&probe->arena);
    pl_cond_finish(&probe->changed);
    pl_mutex_finish(&probe->lock);
    store_fixture_finish(&probe->fixture);
}

void engine_probe_add_openai(struct engine_probe *probe, const char *name, unsigned port)
{
    char url[64];
    const struct provider_options options = {
        .name = name, .kind = "openai", .base_url = url, .api_key = "sk-secret"};
    struct pl_err err = {0};

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", port);
    if (providers_add(probe->providers, &options, &err) != PL_OK)
        give_up("providers_add", err.message);
}

void engine_probe_allow(struct engine_probe *probe, unsigned port)
{
    char text[32];
    struct pl_err err = {0};

    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    if (net_policy_allow(probe->policy, pl_str(text), &err) != PL_OK)
        give_up("net_policy_allow", err.message);
}

/* ---- runs ---- */

static void run_ended(void *arg, const struct engine_end *end)
{
    struct run_probe *run = arg;
    struct engine_probe *probe = run->probe;

    pl_mutex_lock(&probe->lock);
    run->ends++;
    run->recorded_first = run->records > 0;
    snprintf(run->status, sizeof(run->status), "%.*s", PL_STR_ARG(end->status));
    pl_value_unref(&run->output);
    pl_value_unref(&run->error);
    run->output = pl_value_ref(end->output);
    run->error = pl_value_ref(end->error);
    run->store_err = end->store_err;
    probe->ended++;
    pl_cond_broadcast(&probe->changed);
    pl_mutex_unlock(&probe->lock);
}

static void run_recorded(void *arg, const char *run_id)
{
    struct run_probe *run = arg;
    struct engine_probe *probe = run->probe;

    if (strcmp(run_id, run->id) != 0)
        give_up("another run's id", run_id);
    pl_mutex_lock(&probe->lock);
    run->records++;
    probe->recorded++;
    pl_cond_broadcast(&probe->changed);
    pl_mutex_unlock(&probe->lock);
}

enum pl_code run_probe_try(struct run_probe *run, struct engine_probe *probe,
                           struct workflow *workflow, const char *input, struct pl_err *err)
{
    struct engine_run_request request = {
        .tenant = TENANT,
        .workflow = workflow,
        .input = input ? pl_str(input) : (struct pl_str){0},
        .id = run->id,
        .on_end = run_ended,
        .on_recorded = run_recorded,
        .arg = run,
    };
    struct pl_arena *arena = pl_arena_create(0);
    struct doc_problems problems;
    enum pl_code code;

    memset(run, 0, sizeof(*run));
    run->probe = probe;
    pl_id_new("run", pl_clock_now(pl_clock_real()), run->id);
    doc_problems_init(&problems, arena);
    code = engine_start_run(probe->engine, &request, run->id, &problems, err);
    if (code == PL_ERR_INVALID_INPUT && problems.count)
        (void)pl_err_set(err, code, "%s: %s", problems.items[0].pointer, problems.items[0].message);
    pl_arena_destroy(&arena);
    return code;
}

void run_probe_start(struct run_probe *run, struct engine_probe *probe, struct workflow *workflow,
                     const char *input)
{
    struct pl_err err = {0};

    if (run_probe_try(run, probe, workflow, input, &err) != PL_OK)
        give_up("engine_start_run", err.message);
}

enum pl_code run_probe_resume(struct run_probe *run, struct engine_probe *probe, const char *id,
                              struct pl_err *err)
{
    struct engine_run_request request = {
        .tenant = TENANT,
        .id = run->id,
        .on_end = run_ended,
        .on_recorded = run_recorded,
        .arg = run,
    };
    char copy[PL_ID_TEXT];

    snprintf(copy, sizeof(copy), "%s", id); /* it may be the probe's own */
    memset(run, 0, sizeof(*run));
    run->probe = probe;
    memcpy(run->id, copy, sizeof(copy));
    return engine_resume_run(probe->engine, &request, err);
}

static void wait_for(struct run_probe *run, const unsigned *count)
{
    struct engine_probe *probe = run->probe;
    int64_t end = pl_monotonic_us() / 1000 + PATIENCE_MS;

    pl_mutex_lock(&probe->lock);
    while (*count == 0) {
        if (pl_monotonic_us() / 1000 > end)
            give_up("a run did not end", run->id);
        (void)pl_cond_wait_for(&probe->changed, &probe->lock, 1000);
    }
    pl_mutex_unlock(&probe->lock);
}

void run_probe_wait(struct run_probe *run)
{
    wait_for(run, &run->ends);
}

void run_probe_wait_recorded(struct run_probe *run)
{
    wait_for(run, &run->records);
}

const char *run_probe_result(const struct run_probe *run)
{
    static char text[8192];
    struct pl_str code;

    if (strcmp(run->status, "succeeded") == 0)
        snprintf(text, sizeof(text), "succeeded %.*s", PL_STR_ARG(pl_value_text(run->output)));
    else if (run->error && json_get(pl_value_text(run->error), PL_STR("code"), &code))
        snprintf(text, sizeof(text), "%s %.*s", run->status, (int)code.len - 2, code.ptr + 1);
    else
        snprintf(text, sizeof(text), "%s", run->status);
    return text;
}

void run_probe_finish(struct run_probe *run)
{
    pl_value_unref(&run->output);
    pl_value_unref(&run->error);
}

/* ---- looking ---- */

void engine_probe_wait_idle(struct engine_probe *probe)
{
    int64_t end = pl_monotonic_us() / 1000 + PATIENCE_MS;

    while (engine_running(probe->engine)) {
        if (pl_monotonic_us() / 1000 > end)
            give_up("runs", "did not end");
        pl_mutex_lock(&probe->lock);
        (void)pl_cond_wait_for(&probe->changed, &probe->lock, POLL_MS);
        pl_mutex_unlock(&probe->lock);
    }
}

const char *engine_probe_show(struct engine_probe *probe, const char *id)
{
    static char *text;
    struct pl_buf buf;
    struct pl_err err = {0};
    size_t len;

    free(text);
    pl_buf_init(&buf, (size_t)64 << 20);
    if (engine_write_run(probe->engine, TENANT, pl_str(id), true, &buf, &err) != PL_OK) {
        pl_buf_reset(&buf);
        pl_buf_printf(&buf, "!%s", err.message);
    }
    text = pl_buf_take(&buf, &len);
    return text;
}

/* The step object of this path; false when the run has no such row. */
static bool find_step(struct pl_str run, struct pl_str path, struct pl_str *ret_step)
{
    struct pl_str steps, own;
    struct json_iter it;

    if (!json_get(run, PL_STR("steps"), &steps))
        return false;
    for (json_iter_init(&it, steps); json_iter_next(&it);) {
        if (!json_get(it.value, PL_STR("path"), &own) || own.len != path.len + 2 ||
            memcmp(own.ptr + 1, path.ptr, path.len) != 0)
            continue;
        *ret_step = it.value;
        return true;
    }
    return false;
}

const char *engine_probe_field(struct engine_probe *probe, const char *id, const char *path)
{
    struct pl_str at = pl_str(engine_probe_show(probe, id)), value;
    const char *rest = path;

    if (strncmp(path, "step:", 5) == 0) {
        const char *dot = strrchr(path, '.');

        if (!find_step(at, pl_str_n(path + 5, (size_t)(dot - path - 5)), &at))
            return "no row";
        rest = dot + 1;
    }
    while (*rest) {
        const char *dot = strchr(rest, '.');
        size_t len = dot ? (size_t)(dot - rest) : strlen(rest);

        if (!json_get(at, pl_str_n(rest, len), &value))
            return "none";
        at = value;
        rest += len + (dot != NULL);
    }
    return test_str(at);
}

void engine_probe_read_page(const struct pl_buf *page, const char *member, char *out, size_t size,
                            char next[64])
{
    struct pl_str text = pl_buf_view(page), data, value;
    struct json_iter it;
    size_t len = 0;

    ck_assert_int_eq(json_check(text, 64, NULL, NULL), PL_OK);
    ck_assert(json_get(text, PL_STR("data"), &data));
    out[0] = '\0';
    for (json_iter_init(&it, data); json_iter_next(&it);) {
        ck_assert(json_get(it.value, pl_str(member), &value));
        len += (size_t)snprintf(out + len, size - len, "%s%.*s", len ? " " : "", (int)value.len - 2,
                                value.ptr + 1);
        ck_assert_uint_lt(len, size);
    }
    ck_assert(json_get(text, PL_STR("has_more"), &value));
    ck_assert(json_get(text, PL_STR("next"), &data));
    ck_assert(pl_str_is(value, "true") == (json_type(data) == JSON_STRING));
    next[0] = '\0';
    if (json_type(data) == JSON_STRING)
        snprintf(next, 64, "%.*s", (int)data.len - 2, data.ptr + 1);
}
