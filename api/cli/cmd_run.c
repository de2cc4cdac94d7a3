/* cmd_run.c - `plait run`: one workflow in this process, progress on stderr, the output on stdout.
 * Not the engine. The main thread sleeps in poll: a signal, news of the run, or (on a terminal) the
 * next redraw. */
#include "api/cli/command.h"
#include "api/cli/progress.h"
#include "api/cli/prompt.h"
#include "api/cli/run_input.h"
#include "api/cli/run_place.h"
#include "api/cli/run_report.h"
#include "api/cli/run_special.h"
#include "api/cli/workflow_file.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/sync.h"
#include "service/engine.h"
#include "service/tape/tape.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { REDRAW_MS = 100, QUEUE_MAX = 65536, EVENTS_A_STEP = 4, DRAIN_DEFAULT_MS = 20000 };

#define TENANT PL_STR("default")

/* One `plait run`. */
struct session {
    const struct cli_args *args;
    const struct run_special *special; /* NULL: `plait run` itself */
    struct pl_arena *arena;
    struct config *config;
    struct workflow *workflow;
    struct engine *engine;
    struct bus_subscriber *subscriber;
    struct progress *progress;
    struct prompt *prompt;
    enum progress_mode mode;
    const char *url;
    struct pl_str input; /* of a new run */
    char id[PL_ID_TEXT];
    pl_ms drain;
    int signals, news; /* descriptors */
    unsigned interrupts;
    bool was_over;       /* --resume named a run that had ended: only its result is told */
    atomic_bool drained; /* the engine has let go of every run */

    struct pl_mutex lock;
    bool recorded, ended; /* guarded by lock, as below */
    char status[16];
    struct pl_value *output, *error;
    struct pl_err store_err;
};

/* ---- told by other threads ---- */

static void session_ring(void *arg)
{
    struct session *session = arg;
    uint64_t one = 1;
    ssize_t done = write(session->news, &one, sizeof one);

    (void)done; /* a full counter has rung already */
}

static void session_recorded(void *arg, const char *run_id)
{
    struct session *session = arg;

    (void)run_id;
    pl_mutex_lock(&session->lock);
    session->recorded = true;
    pl_mutex_unlock(&session->lock);
    session_ring(session);
}

static void session_end(void *arg, const struct engine_end *end)
{
    struct session *session = arg;

    pl_mutex_lock(&session->lock);
    session->ended = true;
    snprintf(session->status, sizeof session->status, "%.*s", PL_STR_ARG(end->status));
    session->output = pl_value_ref(end->output);
    session->error = pl_value_ref(end->error);
    session->store_err = end->store_err;
    pl_mutex_unlock(&session->lock);
    session_ring(session);
}

/* ---- before the run ---- */

static int fail(const struct pl_err *err)
{
    return cli_usage_error("%s", err->message);
}

static int read_settings(struct session *session)
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

static int read_files(struct session *session)
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

/* Before the signals are taken: Ctrl-C ends the wait for a terminal, a pipe or a FIFO. */
static int read_input(struct session *session)
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

/* Signals are taken from a descriptor; blocked here, before any thread is made, so that every
 * thread inherits it. */
static int open_descriptors(struct session *session)
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

static void engine_settings(const struct session *session, struct engine_options *options)
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

static int open_engine(struct session *session)
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
static void tell_ignored(const struct session *session)
{
    const struct cli_args *args = session->args;

    if (session->mode != PROGRESS_QUIET &&
        (args->operands.count || cli_get_all(args, "set")->count ||
         cli_get_all(args, "input")->count || cli_get_all(args, "model")->count))
        fprintf(stderr, "resuming with the workflow, model and input the run was started with\n");
}

static int load_resumed(struct session *session)
{
    struct pl_err err = {0};

    if (engine_run_workflow(session->engine, TENANT, pl_str(session->id), &session->workflow,
                            &err) != PL_OK)
        return fail(&err);
    tell_ignored(session);
    return EXIT_OK;
}

static int watch(struct session *session)
{
    int status = session->workflow ? EXIT_OK : load_resumed(session);

    if (status != EXIT_OK)
        return status;
    session->progress =
        progress_create(session->workflow, session->mode, pl_clock_now(pl_clock_real()));
    session->prompt = prompt_create(&(struct prompt_options){
        .engine = session->engine,
        .tenant = TENANT,
        .run_id = session->id,
        .answers =
            session->special ? &session->special->answers : cli_get_all(session->args, "answer"),
        .ring = session_ring,
        .arg = session,
    });
    if (!session->progress || !session->prompt)
        return cli_usage_error("out of memory");
    if (cli_get(session->args, "resume"))
        prompt_look(session->prompt); /* those that asked before are not told of again */
    /* large enough that no line is lost though all steps end at once */
    session->subscriber = bus_subscribe(engine_bus(session->engine), pl_str(session->id),
                                        QUEUE_MAX + EVENTS_A_STEP * session->workflow->n_steps,
                                        session->mode == PROGRESS_LIVE, session_ring, session);
    return session->subscriber ? EXIT_OK : cli_usage_error("out of memory");
}

/* A run that ended, perhaps a moment before the process that ran it was killed: its result is still
 * to be had. `over` says so and is the error when the run cannot be read. */
static int take_ended(struct session *session, const struct pl_err *over)
{
    struct pl_str run, status, output, error;
    struct pl_buf buf;
    struct pl_err err = {0};
    bool ok;

    pl_buf_init(&buf, SIZE_MAX / 2);
    ok = engine_write_run(session->engine, TENANT, pl_str(session->id), false, &buf, &err) == PL_OK;
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

static int resume(struct session *session, const struct engine_run_request *request)
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
static bool thread_is_free(struct session *session, const char *thread)
{
    struct store_run_filter filter = {.thread = pl_str(thread), .status = PL_STR("waiting")};
    struct pl_str data, run, id;
    struct pl_err err = {0};
    struct pl_buf page;
    bool waits;

    pl_buf_init(&page, SIZE_MAX / 2);
    waits = engine_write_runs(session->engine, TENANT, &filter, 1, &page, &err) == PL_OK &&
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

static int start(struct session *session)
{
    struct engine_run_request request = {
        .tenant = TENANT,
        .workflow = session->workflow,
        .id = session->id,
        .on_end = session_end,
        .on_recorded = session_recorded,
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

/* ---- while it runs ---- */

static const char *file_operand(const struct session *session)
{
    return session->args->operands.count ? session->args->operands.values[0] : "";
}

/* The line that lets a user find the run again; only once the run is on disk. */
static void tell_id(struct session *session)
{
    if (session->mode != PROGRESS_QUIET && !session->special)
        fprintf(stderr, "run %s\n", session->id);
}

static void take_signals(struct session *session)
{
    struct signalfd_siginfo info;

    while (read(session->signals, &info, sizeof info) == (ssize_t)sizeof info)
        session->interrupts++;
}

static void take_events(struct session *session)
{
    struct bus_event event;
    bool gap = false;
    uint64_t rung;
    ssize_t got = read(session->news, &rung, sizeof rung);

    (void)got;
    while (session->subscriber && bus_take(session->subscriber, &event, &gap)) {
        progress_event(session->progress, &event);
        prompt_event(session->prompt, &event);
    }
    if (gap)
        prompt_look(session->prompt);
}

static bool session_over(struct session *session, bool *told)
{
    bool ended, recorded;

    pl_mutex_lock(&session->lock);
    ended = session->ended;
    recorded = session->recorded;
    pl_mutex_unlock(&session->lock);
    if (recorded && !*told) {
        tell_id(session);
        *told = true;
    }
    return ended;
}

static void wait_for_news(struct session *session)
{
    struct pollfd fds[] = {{.fd = session->signals, .events = POLLIN},
                           {.fd = session->news, .events = POLLIN},
                           {.fd = prompt_fd(session->prompt), .events = POLLIN}};
    bool draws = session->mode == PROGRESS_LIVE && !prompt_asks(session->prompt);

    poll(fds, PL_ARRAY_LEN(fds), draws ? REDRAW_MS : -1);
    take_signals(session);
}

/* What is drawn is finished before something is asked below it. */
static void ask(struct session *session)
{
    if (prompt_wants(session->prompt) && !prompt_asks(session->prompt))
        progress_end(session->progress, pl_clock_now(pl_clock_real()));
    prompt_work(session->prompt);
}

static void follow(struct session *session)
{
    bool told = false;
    pl_ms drawn = 0;

    while (!session_over(session, &told) && session->interrupts == 0 &&
           !prompt_is_stuck(session->prompt)) {
        pl_ms now;

        wait_for_news(session);
        session_over(session, &told); /* the id comes before any line of a step */
        take_events(session);
        now = pl_clock_now(pl_clock_real());
        if (told)
            ask(session);
        if (told && now - drawn >= REDRAW_MS && !prompt_asks(session->prompt)) {
            progress_draw(session->progress, now);
            drawn = now;
        }
    }
    take_events(session);
    progress_end(session->progress, pl_clock_now(pl_clock_real()));
}

/* Other unfinished runs of the --db go on too; wait for them, but not for people. */
static void finish_adopted(struct session *session)
{
    size_t others = engine_going(session->engine);

    if (others && session->mode != PROGRESS_QUIET)
        fprintf(
            stderr,
            "also finishing %zu unfinished runs of this database (Ctrl-C leaves them for later)\n",
            others);
    while (session->interrupts == 0 && engine_going(session->engine)) {
        struct pollfd fd = {.fd = session->signals, .events = POLLIN};

        poll(&fd, 1, REDRAW_MS);
        take_signals(session);
    }
}

/* A second signal ends the drain at once. A thread of its own, since engine_destroy blocks. */
static void *drain_watch(void *arg)
{
    struct session *session = arg;
    struct signalfd_siginfo info;
    uint64_t rung;

    while (!atomic_load(&session->drained)) {
        struct pollfd fds[] = {{.fd = session->signals, .events = POLLIN},
                               {.fd = session->news, .events = POLLIN}};

        poll(fds, PL_ARRAY_LEN(fds), -1);
        if (read(session->signals, &info, sizeof info) == (ssize_t)sizeof info)
            engine_stop_draining(session->engine);
        if (read(session->news, &rung, sizeof rung) < 0)
            continue;
    }
    return NULL;
}

/* The end of a run that is gone may still be on its way from its loop. */
static void await_end(struct session *session)
{
    struct pollfd news = {.fd = session->news, .events = POLLIN};
    bool told = true;

    while (!session_over(session, &told)) {
        poll(&news, 1, -1);
        take_events(session);
    }
}

static void interrupt(struct session *session)
{
    struct engine *engine = session->engine;
    pthread_t watcher;
    bool watched;

    if (session->mode != PROGRESS_QUIET && session->interrupts)
        fprintf(stderr, "interrupted: finishing the calls in flight (again to stop at once)\n");
    watched = pl_thread_start(&watcher, "plait-drain", drain_watch, session);
    engine_drain(engine, session->drain);
    atomic_store(&session->drained, true);
    session_ring(session);
    if (watched)
        pthread_join(watcher, NULL);
    await_end(session);
}

/* ---- after it ---- */

static void print_resume(const struct session *session)
{
    const char *db = cli_get(session->args, "db"), *config = cli_get(session->args, "config");

    fprintf(stderr, "plait: unfinished; go on with: plait run%s%s --resume %s%s%s%s%s\n",
            *file_operand(session) ? " " : "", file_operand(session), session->id,
            db ? " --db " : "", db ? db : "", config ? " --config " : "", config ? config : "");
}

/* The run with its steps; empty when it cannot be read (then the error is told). */
static void read_run(struct session *session, struct pl_buf *out)
{
    struct pl_err err = {0};

    if (engine_write_run(session->engine, TENANT, pl_str(session->id), true, out, &err) == PL_OK)
        return;
    fail(&err);
    pl_buf_finish(out);
}

static int report_interrupted(const struct session *session)
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

static void report_usage(struct session *session)
{
    struct pl_err err = {0};
    struct pl_buf run;

    pl_buf_init(&run, SIZE_MAX / 2);
    if (engine_write_run(session->engine, TENANT, pl_str(session->id), false, &run, &err) == PL_OK)
        run_report_usage(pl_buf_view(&run));
    pl_buf_finish(&run);
}

static int report_special(struct session *session)
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

static int report(struct session *session)
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

static int run_and_report(struct session *session)
{
    if (!session->was_over)
        follow(session);
    if (session->interrupts == 0 && !prompt_is_stuck(session->prompt))
        finish_adopted(session);
    if (session->interrupts || prompt_is_stuck(session->prompt))
        interrupt(session);
    if (!session->special && !session->interrupts)
        prompt_tell_unused(session->prompt);
    return report(session);
}

static void session_finish(struct session *session)
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
    static int (*const stages[])(struct session *) = {
        read_settings, read_files, read_input, open_descriptors,
        open_engine,   watch,      start,      run_and_report};
    struct session session = {.args = args, .special = special, .signals = -1, .news = -1};
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
