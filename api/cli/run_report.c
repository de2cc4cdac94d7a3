/* run_report.c - see run_report.h. */
#include "api/cli/run_report.h"

#include "api/cli/command.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { OTHERS_TOLD = 5 };

/* What goes to a file or a pipe is not copied: a run with its steps may be large. */
bool run_report_json(struct pl_str json)
{
    struct pl_buf pretty;
    bool failed;

    pl_buf_init(&pretty, SIZE_MAX / 2);
    if (isatty(STDOUT_FILENO)) {
        json_write_pretty(&pretty, json);
        json = pl_buf_view(&pretty);
    }
    errno = 0;
    failed = pl_buf_failed(&pretty) || fwrite(json.ptr, 1, json.len, stdout) != json.len;
    failed = failed || fputc('\n', stdout) == EOF;
    failed = fflush(stdout) != 0 || failed;
    if (failed)
        cli_usage_error("cannot write to standard output: %s",
                        errno ? strerror(errno) : "out of memory");
    pl_buf_finish(&pretty);
    return !failed;
}

/* A member of an object as text; "" when it is not there. */
static const char *member(struct pl_arena *arena, struct pl_str json, const char *key)
{
    struct pl_str value;

    if (!json_get(json, pl_str(key), &value) || json_type(value) != JSON_STRING)
        return "";
    value = json_decode_string_arena(value, arena);
    return value.ptr ? value.ptr : "";
}

static bool failed_unhandled(struct pl_arena *arena, struct pl_str step)
{
    struct pl_str handled;

    return strcmp(member(arena, step, "status"), "failed") == 0 &&
           json_get(step, PL_STR("handled"), &handled) && !json_truthy(handled);
}

/* Those that the first line does not name: it has the step and, of a join, the branch. */
static void report_others(struct pl_arena *arena, struct pl_str error, struct pl_str run)
{
    const char *step = member(arena, error, "step"), *branch = member(arena, error, "branch");
    struct pl_str steps, own;
    struct json_iter it;
    size_t count = 0;

    if (!json_get(run, PL_STR("steps"), &steps))
        return;
    for (json_iter_init(&it, steps); json_iter_next(&it);) {
        const char *path = member(arena, it.value, "path");

        if (strcmp(path, step) == 0 || strcmp(path, branch) == 0 ||
            !failed_unhandled(arena, it.value) || !json_get(it.value, PL_STR("error"), &own))
            continue;
        if (++count <= OTHERS_TOLD)
            cli_usage_error("step %s failed too: %s: %s", path, member(arena, own, "code"),
                            member(arena, own, "detail"));
    }
    if (count > OTHERS_TOLD)
        cli_usage_error("and %zu more; --json shows every step", count - OTHERS_TOLD);
}

void run_report_error(struct pl_str error, struct pl_str run)
{
    struct pl_arena *arena = pl_arena_create(0);
    const char *step;

    if (!arena) {
        cli_usage_error("the run failed: %.*s", PL_STR_ARG(error));
        return;
    }
    step = member(arena, error, "step");
    if (json_type(error) == JSON_OBJECT) {
        cli_usage_error("the run failed%s%s: %s: %s", *step ? " at step " : "", step,
                        member(arena, error, "code"), member(arena, error, "detail"));
        report_others(arena, error, run);
    } else {
        cli_usage_error("the run was cancelled");
    }
    pl_arena_destroy(&arena);
}

static long long count_of(struct pl_str usage, const char *key)
{
    struct pl_str token;
    int64_t count = 0;

    return json_get(usage, pl_str(key), &token) && json_int(token, &count) ? count : 0;
}

void run_report_usage(struct pl_str run)
{
    char cost[48] = "", cached[48] = "";
    struct pl_str usage, token;
    long long calls;

    if (!json_get(run, PL_STR("usage"), &usage))
        return;
    calls = count_of(usage, "calls");
    if (calls == 0)
        return;
    if (json_get(usage, PL_STR("cost_usd"), &token) && json_type(token) == JSON_NUMBER)
        snprintf(cost, sizeof cost, ", $%.6f", json_number(token));
    if (count_of(usage, "cached_input_tokens"))
        snprintf(cached, sizeof cached, " (%lld cached)", count_of(usage, "cached_input_tokens"));
    fprintf(stderr, "%lld call%s, %lld tokens in%s, %lld out%s\n", calls, calls == 1 ? "" : "s",
            count_of(usage, "input_tokens"), cached, count_of(usage, "output_tokens"), cost);
}
