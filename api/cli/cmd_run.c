/* cmd_run.c - `plait run`: one workflow in this process, progress on stderr, the output on stdout.
 * Not the engine. Here are the stages of its life and what is told in the end; the stages before it
 * runs are in run_start.c, what happens while it does in run_follow.c. */
#include "api/cli/run_report.h"
#include "api/cli/run_session.h"

#include "service/config/config.h"

#include <unistd.h>

/* ---- the report ---- */

static const char *file_operand(const struct run_session *session)
{
    return session->args->operands.count ? session->args->operands.values[0] : "";
}

static void print_resume(const struct run_session *session)
{
    const char *db = cli_get(session->args, "db"), *config = cli_get(session->args, "config");

    fprintf(stderr, "plait: unfinished; go on with: plait run%s%s --resume %s%s%s%s%s\n",
            *file_operand(session) ? " " : "", file_operand(session), session->id,
            db ? " --db " : "", db ? db : "", config ? " --config " : "", config ? config : "");
}

/* The run with its steps; empty when it cannot be read (then the error is told). */
static void read_run(struct run_session *session, struct pl_buf *out)
{
    struct pl_err err = {0};

    if (engine_write_run(session->engine, RUN_TENANT, pl_str(session->id), true, out, &err) ==
        PL_OK)
        return;
    cli_usage_error("%s", err.message);
    pl_buf_finish(out);
}

static int report_interrupted(const struct run_session *session)
{
    bool unrecordable = session->store_err.code != PL_OK;

    if (unrecordable)
        cli_usage_error("the run cannot be recorded: %s", session->store_err.message);
    if (session->recorded)
        print_resume(session);
    else
        cli_usage_error("nothing of the run is on disk; start it again");
    if (unrecordable)
        return EXIT_RUN_FAILED;
    return session->interrupts ? EXIT_INTERRUPTED : EXIT_USAGE;
}

static void report_usage(struct run_session *session)
{
    struct pl_err err = {0};
    struct pl_buf run;

    pl_buf_init(&run, SIZE_MAX / 2);
    if (engine_write_run(session->engine, RUN_TENANT, pl_str(session->id), false, &run, &err) ==
        PL_OK)
        run_report_usage(pl_buf_view(&run));
    pl_buf_finish(&run);
}

static int report_special(struct run_session *session)
{
    const struct run_special *special = session->special;
    struct pl_buf run;
    int status;

    if (strcmp(session->status, "interrupted") == 0 || session->status[0] == '\0') {
        cli_usage_error("%s", session->store_err.code != PL_OK ? session->store_err.message
                                                               : "the run did not end");
        return session->interrupts ? EXIT_INTERRUPTED : EXIT_USAGE;
    }
    pl_buf_init(&run, SIZE_MAX / 2);
    read_run(session, &run);
    status = run.len ? special->report(special->arg, pl_buf_view(&run), session->config)
                     : EXIT_RUN_FAILED;
    pl_buf_finish(&run);
    return status;
}

static int report(struct run_session *session)
{
    bool succeeded = strcmp(session->status, "succeeded") == 0, written = true;
    bool json = cli_get(session->args, "json") != NULL;
    struct pl_buf run;

    if (session->special)
        return report_special(session);
    if (strcmp(session->status, "interrupted") == 0 || session->status[0] == '\0')
        return report_interrupted(session);
    pl_buf_init(&run, SIZE_MAX / 2);
    if (json || !succeeded)
        read_run(session, &run);
    if (json)
        written = run.len && run_report_json(pl_buf_view(&run));
    else if (succeeded)
        written = run_report_json(pl_value_text(session->output));
    if (!succeeded)
        run_report_error(pl_value_text(session->error),
                         json ? (struct pl_str){0} : pl_buf_view(&run));
    pl_buf_finish(&run);
    if (session->mode != PROGRESS_QUIET)
        report_usage(session);
    return succeeded && written ? EXIT_OK : EXIT_RUN_FAILED;
}

/* ---- its life ---- */

static int run_and_report(struct run_session *session)
{
    if (!session->was_over)
        run_follow(session);
    if (session->interrupts == 0 && !prompt_is_stuck(session->prompt))
        run_follow_others(session);
    if (session->interrupts || prompt_is_stuck(session->prompt))
        run_follow_interrupt(session);
    /* of `plait test` the recorded answers stand behind these */
    if (!session->interrupts)
        prompt_tell_unused(session->prompt, cli_get_all(session->args, "answer")->count);
    return report(session);
}

static void session_finish(struct run_session *session)
{
    bus_unsubscribe(&session->subscriber);
    engine_destroy(&session->engine, session->interrupts ? session->drain : 0);
    progress_destroy(&session->progress);
    prompt_destroy(&session->prompt);
    workflow_unref(&session->workflow);
    config_destroy(&session->config);
    pl_value_unref(&session->output);
    pl_value_unref(&session->error);
    if (session->signals >= 0)
        close(session->signals);
    if (session->news >= 0)
        close(session->news);
    pl_arena_destroy(&session->arena);
    pl_mutex_finish(&session->lock);
}

int cmd_run(const struct cli_args *args)
{
    return cmd_run_special(args, NULL);
}

int cmd_run_special(const struct cli_args *args, const struct run_special *special)
{
    static int (*const stages[])(struct run_session *) = {
        run_start_settings, run_start_files, run_start_input, run_start_descriptors,
        run_start_engine,   run_start_watch, run_start,       run_and_report};
    struct run_session session = {.args = args, .special = special, .signals = -1, .news = -1};
    int status = EXIT_OK;

    pl_mutex_init(&session.lock);
    session.arena = pl_arena_create(0);
    if (!session.arena)
        status = cli_usage_error("out of memory");
    for (size_t i = 0; i < PL_ARRAY_LEN(stages) && status == EXIT_OK; i++)
        status = stages[i](&session);
    session_finish(&session);
    return status;
}
