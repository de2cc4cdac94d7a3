/* run_start.c - `plait run` up to the start of the run: the command line, the files, the input, the
 * engine, who watches. Not what happens then (run_follow.c). Called by cmd_run.c, main thread. */
#include "api/cli/run_input.h"
#include "api/cli/run_place.h"
#include "api/cli/run_session.h"
#include "api/cli/workflow_file.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "service/tape/tape.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { QUEUE_MAX = 65536, EVENTS_A_STEP = 4, DRAIN_DEFAULT_MS = 20000 };

static int fail(const struct pl_err *err)
{
    return cli_usage_error("%s", err->message);
}

int run_start_settings(struct run_session *session)
{
    const char *level = cli_get(session->args, "log-level"),
               *drain = cli_get(session->args, "drain");
    enum log_level parsed = LOG_LEVEL_WARN;

    if (level && !log_level_parse(level, &parsed))
        return cli_usage_error("run: --log-level %s: one of debug, info, warn, error, off", level);
    log_configure(parsed, STDERR_FILENO);
    session->drain = DRAIN_DEFAULT_MS;
    if (drain && !pl_duration_parse(pl_str(drain), &session->drain))
        return cli_usage_error("run: --drain %s: write a duration such as 20s", drain);
    if (cli_get(session->args, "quiet") || (session->special && session->special->offline))
        session->mode = PROGRESS_QUIET;
    else
        session->mode = isatty(STDERR_FILENO) ? PROGRESS_LIVE : PROGRESS_LINES;
    return EXIT_OK;
}

int run_start_files(struct run_session *session)
{
    const char *resume = cli_get(session->args, "resume"), *model = cli_get(session->args, "model");

    if (!model && session->special)
        model = session->special->model;
    if (!session->special || !session->special->offline) {
        session->config = workflow_file_config(cli_get(session->args, "config"));
        if (!session->config)
            return EXIT_USAGE;
    }
    if (resume) {
        if (!pl_id_valid("run", resume))
            return cli_usage_error("run: --resume %s: this is no run id", resume);
        snprintf(session->id, sizeof session->id, "%s", resume);
        return EXIT_OK;
    }
    if (session->args->operands.count == 0)
        return cli_usage_error("run: FILE is missing; 'plait run --help' shows an example");
    if (session->special && session->special->id)
        snprintf(session->id, sizeof session->id, "%s", session->special->id);
    else
        pl_id_new("run", pl_clock_now(pl_clock_real()), session->id);
    if (workflow_file_compile(session->args->operands.values[0], session->config, model, stderr,
                              &session->workflow) != PL_OK)
        return EXIT_USAGE;
    return EXIT_OK;
}

int run_start_input(struct run_session *session)
{
    struct pl_err err = {0};

    if (cli_get(session->args, "resume"))
        return EXIT_OK;
    if (session->special && session->special->input.len &&
        !cli_get_all(session->args, "set")->count && !cli_get(session->args, "input")) {
        session->input = session->special->input;
        return EXIT_OK;
    }
    return run_input_read(session->args, session->workflow, session->arena, &session->input,
                          &err) == PL_OK
               ? EXIT_OK
               : fail(&err);
}

int run_start_descriptors(struct run_session *session)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    session->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    session->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (session->signals < 0 || session->news < 0)
        return cli_usage_error("run: cannot open descriptors: %s", strerror(errno));
    return EXIT_OK;
}

static void engine_settings(const struct run_session *session, struct engine_options *options)
{
    const struct config *config = session->config;
    const struct run_special *special = session->special;

    options->retry_writes_for = 5000;
    options->until_exit = true;
    if (config) {
        options->providers = config->providers;
        options->policy = config->policy;
        options->secrets = config->secrets;
        options->max_step_output = config->step_output_bytes;
        options->max_branches = config->branches;
    }
    if (special) {
        options->tape = special->tape;
        options->clock = tape_clock(special->tape);
    }
}

int run_start_engine(struct run_session *session)
{
    const char *db = session->special ? session->special->db : cli_get(session->args, "db"),
               *loops = cli_get(session->args, "loops");
    struct engine_options options = {
        .adopt = !session->special && (db || cli_get(session->args, "thread")),
    };
    bool resume = cli_get(session->args, "resume") != NULL;
    struct pl_err err = {0};
    char *end = NULL;

    if (loops) {
        unsigned long count = strtoul(loops, &end, 10);

        if (*end || count == 0 || count > PL_LIMIT_LOOPS)
            return cli_usage_error("run: --loops %s: a whole number from 1 to %d", loops,
                                   PL_LIMIT_LOOPS);
        options.loops = (unsigned)count;
    }
    engine_settings(session, &options);
    session->url = db;
    if (!db && run_place_url(session->id, cli_get(session->args, "thread"), resume, session->arena,
                             &session->url, &err) != PL_OK)
        return fail(&err);
    options.db = session->url;
    /* the run to resume is loaded by name below, with its callbacks; the others are left */
    if (resume)
        options.adopt = false;
    return engine_create(&options, &session->engine, &err) == PL_OK ? EXIT_OK : fail(&err);
}

/* The same command line with --resume added is the natural way to resume: what only a new run looks
 * at is no error, but said. */
static void tell_ignored(const struct run_session *session)
{
    const struct cli_args *args = session->args;

    if (session->mode != PROGRESS_QUIET &&
        (args->operands.count || cli_get_all(args, "set")->count ||
         cli_get_all(args, "input")->count || cli_get_all(args, "model")->count))
        fprintf(stderr, "resuming with the workflow, model and input the run was started with\n");
}

static int load_resumed(struct run_session *session)
{
    struct pl_err err = {0};

    if (engine_run_workflow(session->engine, RUN_TENANT, pl_str(session->id), &session->workflow,
                            &err) != PL_OK)
        return fail(&err);
    tell_ignored(session);
    return EXIT_OK;
}

int run_start_watch(struct run_session *session)
{
    int status = session->workflow ? EXIT_OK : load_resumed(session);

    if (status != EXIT_OK)
        return status;
    session->progress =
        progress_create(session->workflow, session->mode, pl_clock_now(pl_clock_real()));
    session->prompt = prompt_create(&(struct prompt_options){
        .engine = session->engine,
        .tenant = RUN_TENANT,
        .run_id = session->id,
        .answers =
            session->special ? &session->special->answers : cli_get_all(session->args, "answer"),
        .ring = run_follow_ring,
        .arg = session,
    });
    if (!session->progress || !session->prompt)
        return cli_usage_error("out of memory");
    if (cli_get(session->args, "resume"))
        prompt_look(session->prompt); /* those that asked before are not told of again */
    /* large enough that no line is lost though all steps end at once */
    session->subscriber = bus_subscribe(engine_bus(session->engine), pl_str(session->id),
                                        QUEUE_MAX + EVENTS_A_STEP * session->workflow->n_steps,
                                        session->mode == PROGRESS_LIVE, run_follow_ring, session);
    return session->subscriber ? EXIT_OK : cli_usage_error("out of memory");
}

/* A run that ended, perhaps a moment before the process that ran it was killed: its result is still
 * to be had. `over` says so and is the error when the run cannot be read. */
static int take_ended(struct run_session *session, const struct pl_err *over)
{
    struct pl_str run, status, output, error;
    struct pl_buf buf;
    struct pl_err err = {0};
    bool ok;

    pl_buf_init(&buf, SIZE_MAX / 2);
    ok = engine_write_run(session->engine, RUN_TENANT, pl_str(session->id), false, &buf, &err) ==
         PL_OK;
    run = pl_buf_view(&buf);
    if (ok && json_get(run, PL_STR("status"), &status) &&
        json_get(run, PL_STR("output"), &output) && json_get(run, PL_STR("error"), &error)) {
        status = json_decode_string_arena(status, session->arena);
        snprintf(session->status, sizeof session->status, "%.*s", PL_STR_ARG(status));
        session->output = pl_value_new(output);
        session->error = pl_value_new(error);
        session->was_over = true;
    }
    pl_buf_finish(&buf);
    if (!session->was_over)
        return fail(over);
    if (session->mode != PROGRESS_QUIET)
        fprintf(stderr, "%s\n", over->message);
    return EXIT_OK;
}

static int resume(struct run_session *session, const struct engine_run_request *request)
{
    struct pl_err err = {0};

    switch ((int)engine_resume_run(session->engine, request, &err)) {
    case PL_OK:
        return EXIT_OK;
    case PL_ERR_CONFLICT: /* nothing else runs in this process: it is over */
        return take_ended(session, &err);
    default:
        return fail(&err);
    }
}

/* A run of the thread that waits for a person keeps the turn: a new one would wait for ever. */
static bool thread_is_free(struct run_session *session, const char *thread)
{
    struct store_run_filter filter = {.thread = pl_str(thread), .status = PL_STR("waiting")};
    struct pl_str data, run, id;
    struct pl_err err = {0};
    struct pl_buf page;
    bool waits;

    pl_buf_init(&page, SIZE_MAX / 2);
    waits = engine_write_runs(session->engine, RUN_TENANT, &filter, 1, &page, &err) == PL_OK &&
            json_get(pl_buf_view(&page), PL_STR("data"), &data) && json_at(data, 0, &run) &&
            json_get(run, PL_STR("id"), &id);
    if (waits)
        cli_usage_error(
            "run %.*s of this thread waits for a person and has the turn; go on with it "
            "first: add --resume",
            (int)id.len - 2, id.ptr + 1);
    pl_buf_finish(&page);
    return !waits;
}

int run_start(struct run_session *session)
{
    struct engine_run_request request = {
        .tenant = RUN_TENANT,
        .workflow = session->workflow,
        .id = session->id,
        .on_end = run_follow_ended,
        .on_recorded = run_follow_recorded,
        .arg = session,
    };
    const char *thread = cli_get(session->args, "thread");
    const char *budget = cli_get(session->args, "budget");
    struct doc_problems problems;
    struct pl_err err = {0};

    if (cli_get(session->args, "resume"))
        return resume(session, &request);
    if (thread && !thread_is_free(session, thread))
        return EXIT_USAGE;
    request.thread = thread ? pl_str(thread) : (struct pl_str){0};
    request.input = session->input;
    if (budget && !run_input_budget(budget, &request.budget))
        return cli_usage_error("run: --budget %s: write tokens=20000, cost_usd=0.5, or both with a "
                               "comma between",
                               budget);
    doc_problems_init(&problems, session->arena);
    if (engine_start_run(session->engine, &request, session->id, &problems, &err) == PL_OK)
        return EXIT_OK;
    fail(&err);
    for (size_t i = 0; i < problems.count; i++) {
        fputs("  input", stderr);
        cli_put_plain(stderr, problems.items[i].pointer);
        fputs(": ", stderr);
        cli_put_plain(stderr, problems.items[i].message);
        fputc('\n', stderr);
    }
    return EXIT_USAGE;
}
