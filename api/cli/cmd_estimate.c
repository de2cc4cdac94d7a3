/* cmd_estimate.c - `plait estimate FILE`: what a run would use, before its first call. Runs
 * nothing. Not the counting (service/estimate.c). */
#include "api/cli/command.h"
#include "api/cli/run_input.h"
#include "api/cli/run_report.h"
#include "api/cli/workflow_file.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/config/config.h"
#include "service/estimate.h"

#include <stdio.h>

static void print_number(const char *figure, struct pl_str token, bool money)
{
    char text[40] = "-";

    if (token.len && json_type(token) == JSON_NUMBER && money)
        snprintf(text, sizeof text, "$%.6f", json_number(token));
    else if (token.len && json_type(token) == JSON_NUMBER)
        snprintf(text, sizeof text, "%.0f", json_number(token));
    else if (token.len)
        snprintf(text, sizeof text, "unknown");
    printf("%s%16s", figure, text);
}

static void print_row(struct pl_str report, const char *key, const char *name)
{
    struct pl_str figure = {0}, expected = {0}, most = {0};
    bool money = strcmp(key, "cost_usd") == 0;

    if (!json_get(report, pl_str(key), &figure) || json_type(figure) != JSON_OBJECT) {
        printf("%-14s%16s%16s\n", name, "unknown", "unknown");
        return;
    }
    (void)json_get(figure, PL_STR("expected"), &expected);
    (void)json_get(figure, PL_STR("at_most"), &most);
    printf("%-14s", name);
    print_number("", expected, money);
    print_number("", most, money);
    printf("\n");
}

static void print_notes(struct pl_arena *arena, struct pl_str report, const char *key,
                        const char *what)
{
    struct pl_str list;
    struct json_iter it;

    if (!json_get(report, pl_str(key), &list))
        return;
    for (json_iter_init(&it, list); json_iter_next(&it);) {
        struct pl_str text = json_decode_string_arena(it.value, arena);

        printf("%s: %.*s\n", what, PL_STR_ARG(text));
    }
}

static void print_table(struct pl_arena *arena, struct pl_str report)
{
    printf("%-14s%16s%16s\n", "", "expected", "at most");
    print_row(report, "calls", "calls");
    print_row(report, "input_tokens", "input tokens");
    print_row(report, "output_tokens", "output tokens");
    print_row(report, "cost_usd", "cost");
    print_notes(arena, report, "unpriced", "no price");
    print_notes(arena, report, "unbounded", "not known");
    print_notes(arena, report, "assumptions", "assumed");
}

static int report(const struct cli_args *args, const struct workflow *workflow,
                  const struct config *config, struct pl_arena *arena)
{
    bool given = cli_get_all(args, "set")->count || cli_get_all(args, "input")->count;
    struct doc_problems problems;
    struct pl_str input = {0};
    struct pl_err err = {0};
    struct pl_buf out;
    bool ok;

    doc_problems_init(&problems, arena);
    if (given && run_input_read(args, workflow, arena, &input, &err) != PL_OK)
        return cli_usage_error("%s", err.message);
    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    ok = estimate_write(workflow, input, config->providers, true, &out, &problems, &err) == PL_OK;
    if (!ok) {
        cli_usage_error("%s", err.message);
        for (size_t i = 0; i < problems.count; i++)
            fprintf(stderr, "  input%s: %s\n", problems.items[i].pointer,
                    problems.items[i].message);
    } else if (cli_get(args, "json")) {
        ok = run_report_json(pl_buf_view(&out));
    } else {
        print_table(arena, pl_buf_view(&out));
    }
    pl_buf_finish(&out);
    return ok ? EXIT_OK : EXIT_USAGE;
}

int cmd_estimate(const struct cli_args *args)
{
    struct workflow *workflow = NULL;
    struct config *config = workflow_file_config(cli_get(args, "config"));
    struct pl_arena *arena = config ? pl_arena_create(0) : NULL;
    int status = EXIT_USAGE;

    if (config && !arena)
        cli_usage_error("out of memory");
    /* without a file of prices and providers the models need not be there: only counted */
    if (arena &&
        workflow_file_compile(args->operands.values[0], cli_get(args, "config") ? config : NULL,
                              cli_get(args, "model"), stderr, &workflow) == PL_OK)
        status = report(args, workflow, config, arena);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
    config_destroy(&config);
    return status;
}
