/* run_create.c - POST /v1/runs: from a body to a run, and the three ways of answering. See
 * run_create.h.
 *
 *   wait        200 with the run when it is over; `Prefer: wait=N`: after N seconds 202 with the
 *               run as it stands
 *   background  202 with the run as soon as it is on disk
 *   stream      the events from the first, as soon as it is on disk
 *
 * A client that leaves stops only the waiting, unless on_disconnect says "cancel". A request whose
 * idempotency key is known joins the run of that key and is answered in its own way. The key is
 * looked up before the workflow, which may have been deleted since; while another request starts
 * the key's run, this one is suspended and tries again. */
#include "api/handlers/run_create.h"

#include "api/handlers/answers.h"
#include "api/handlers/negotiate.h"
#include "api/handlers/run_body.h"
#include "api/handlers/run_events.h"
#include "api/handlers/run_wait.h"
#include "api/server.h"
#include "base/clock.h"
#include "service/engine.h"
#include "service/schema/schema.h"

enum way { WAY_WAIT, WAY_BACKGROUND, WAY_STREAM };

/* Between two tries of a request whose key is held, milliseconds: twice as long each time. */
enum { AGAIN_FIRST_MS = 1, AGAIN_MAX_MS = 64 };

/* One start. Lives in the request's arena. */
struct create {
    struct run_wait *wait;
    struct run_body body;
    struct doc_problems problems;
    enum way way;
    enum media media;
    bool limited; /* WAIT: until `deadline` */
    pl_ms deadline;
    struct preferences preferences;
    struct pl_str reference;   /* of the stored workflow; empty: the body has one */
    struct workflow *workflow; /* a reference until the start; NULL: not looked for yet */
    struct engine_run_request start;
    struct run_reader *reader; /* STREAM, of a run this request has started */
    struct pl_str key;         /* idempotency; empty: none */
    pl_ms again;               /* before the next try */
    char id[PL_ID_TEXT], print[RUN_BODY_PRINT];
};

static pl_ms now_ms(void)
{
    return pl_clock_now(pl_clock_real());
}

/* ---- what is asked for ---- */

static void create_choose_way(struct api_request *request, struct create *create)
{
    struct preferences preferences = negotiate_prefer(api_header(request, "prefer"));

    create->media = negotiate_accept(api_header(request, "accept"), MEDIA_JSON);
    create->preferences = preferences;
    if (create->body.stream || create->media != MEDIA_JSON) {
        create->way = WAY_STREAM;
    } else if (create->body.background || (preferences.respond_async && !preferences.has_wait)) {
        create->way = WAY_BACKGROUND;
    } else {
        create->way = WAY_WAIT;
        create->limited = preferences.has_wait;
        create->deadline = now_ms() + preferences.wait;
    }
}

/* Takes over the problems of a part of the body: `prefix` goes before their pointers, and lines
 * count from where the part begins (0: unknown). */
static void take_problems(struct create *create, const struct doc_problems *part,
                          const char *prefix, unsigned line, unsigned column)
{
    struct doc_problems *problems = &create->problems;

    for (size_t i = 0; i < part->count; i++) {
        const struct doc_problem *problem = &part->items[i];
        const char *pointer = pl_arena_printf(problems->arena, "%s%s", prefix, problem->pointer);
        bool placed = problem->line && line;

        doc_problem_add(problems, placed ? problem->line + line - 1 : 0,
                        placed && problem->line == 1 ? problem->column + column - 1
                        : placed                     ? problem->column
                                                     : 0,
                        pointer ? pointer : prefix, "%s", problem->message);
    }
    problems->total += part->total - part->count;
}

/* The workflow, compiled and pinned. */
static enum pl_code create_workflow(struct api_request *request, struct create *create,
                                    struct pl_err *err)
{
    struct pl_str reference = create->reference;
    struct run_body *body = &create->body;
    struct doc_problems part;
    enum pl_code code;
    pl_ms created_at;

    doc_problems_init(&part, request->arena);
    if (body->document.len) {
        struct engine_text text = {
            .tenant = request->tenant, .text = body->document, .format = DOC_JSON};

        code = engine_compile(request->engine, &text, &create->workflow, &part);
        take_problems(create, &part, "/workflow", body->line, body->column);
        if (code == PL_OK)
            return PL_OK;
        return pl_err_set(err, code, "%s",
                          code == PL_ERR_NO_MEMORY ? "out of memory" : "the workflow is not valid");
    }
    code = engine_get_workflow(request->engine, request->tenant, reference, &create->workflow,
                               &create->start.workflow_version, &created_at, err);
    if (code == PL_ERR_NOT_FOUND && body->reference.len)
        doc_problem_add(&create->problems, 0, 0, "/workflow", "%s", err->message);
    if (code == PL_OK) {
        const char *at = memchr(reference.ptr, '@', reference.len);

        create->start.workflow_name =
            pl_str_n(reference.ptr, at ? (size_t)(at - reference.ptr) : reference.len);
    }
    return code;
}

/* The body had problems; the input may have some too, and then all are told at once. */
static void add_input_problems(struct api_request *request, struct create *create)
{
    const struct schema *schema = create->workflow ? create->workflow->input_schema : NULL;
    struct pl_str input = create->body.input.len ? create->body.input : PL_STR("{}"), filled;
    struct doc_problems part;

    doc_problems_init(&part, request->arena);
    if (schema && schema_apply(schema, request->arena, input, &filled, &part) != PL_OK)
        take_problems(create, &part, "/input", 0, 0);
}

static enum pl_code create_read(struct api_request *request, struct create *create,
                                struct pl_str reference, struct pl_err *err)
{
    struct pl_err other = {0};
    enum pl_code code;

    code = run_body_parse(request->arena, request->body, reference.len == 0, &create->body,
                          &create->problems, err);
    create->reference = reference.len ? reference : create->body.reference;
    if (code != PL_ERR_INVALID_ARGUMENT)
        return code;
    if ((create->reference.len || create->body.document.len) &&
        create_workflow(request, create, &other) == PL_OK)
        add_input_problems(request, create);
    return pl_err_set(err, code, "the body has %zu problem%s", create->problems.total,
                      create->problems.total == 1 ? "" : "s");
}

static enum pl_code create_key(struct api_request *request, struct create *create,
                               struct pl_err *err)
{
    struct engine_run_request *start = &create->start;
    enum pl_code code =
        negotiate_key(request->arena, api_header(request, "idempotency-key"), &create->key, err);

    if (code != PL_OK || !create->key.len)
        return code;
    if (!run_body_fingerprint(request->body, create->print))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    start->key_route = request->path;
    start->key = create->key;
    start->key_fingerprint = pl_str(create->print);
    return PL_OK;
}

/* ---- answering ---- */

static void add_headers(struct api_request *request, const struct create *create, int status)
{
    api_add_header(request, "x-plait-run-id", "%s", create->id);
    if (status == 202)
        api_add_header(request, "Location", "/v1/runs/%s", create->id);
    if (create->way == WAY_BACKGROUND && create->preferences.respond_async)
        api_add_header(request, "Preference-Applied", "respond-async");
    if (create->limited)
        api_add_header(request, "Preference-Applied", "wait=%g",
                       (double)create->preferences.wait / 1000);
}

static struct run_events_options stream_options(const struct create *create)
{
    return (struct run_events_options){
        .run = pl_str(create->id),
        .format = create->media == MEDIA_NDJSON ? EVENT_NDJSON : EVENT_SSE,
        .cancel = create->body.cancel_on_disconnect,
    };
}

static void answer_stream(struct api_request *request, struct create *create)
{
    const struct run_events_options options = stream_options(create);

    add_headers(request, create, 200);
    if (create->reader)
        run_events_go_on(request, &options, &create->reader);
    else
        run_events_answer(request, &options);
}

/* 200 only for who waited and a run that is over, whatever woke the request. */
static void answer_run(struct api_request *request, struct create *create)
{
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    bool over;
    int status;

    code = answers_write_run(request, pl_str(create->id), false, &body, &over, &err);
    status = create->way == WAY_WAIT && over ? 200 : 202;
    add_headers(request, create, status);
    answers_built(request, status, code, &err, &body);
}

static void create_answer(struct api_request *request, struct create *create,
                          const struct run_wait_news *news)
{
    if (news->left) {
        api_reply_empty(request, 499);
    } else if (news->store_err.code != PL_OK) {
        if (news->recorded)
            add_headers(request, create, 202);
        api_reply_problem(request, &news->store_err, NULL);
    } else if (!news->recorded) {
        answers_error(request, PL_ERR_SHUTTING_DOWN, "the service stops; nothing was started");
    } else if (create->way == WAY_STREAM) {
        answer_stream(request, create);
    } else {
        answer_run(request, create);
    }
    run_events_forget(&create->reader);
}

/* ---- waiting ---- */

static void create_resumed(struct api_request *request);

/* What is still to be waited for, and how long (negative: without limit); false: nothing. */
static bool create_must_wait(const struct create *create, const struct run_wait_news *news,
                             bool stopping, enum run_wait_until *ret_until, pl_ms *ret_limit)
{
    bool wait = create->way == WAY_WAIT && !stopping;
    pl_ms left = create->limited ? create->deadline - now_ms() : -1;

    if (news->ended || news->left)
        return false;
    wait = wait && (!create->limited || left > 0);
    *ret_until = wait ? RUN_WAIT_END : RUN_WAIT_RECORDED;
    *ret_limit = wait && create->limited ? left : -1;
    return wait || !news->recorded;
}

static void create_go_on(struct api_request *request, bool stopping)
{
    struct create *create = run_wait_owner(request);
    struct run_wait_news news;
    enum run_wait_until until;
    pl_ms limit;

    for (;;) {
        news = run_wait_news(create->wait);
        if (!create_must_wait(create, &news, stopping, &until, &limit)) {
            create_answer(request, create, &news);
            return;
        }
        if (run_wait_sleep(create->wait, until, limit, create_resumed))
            return;
    }
}

static void create_resumed(struct api_request *request)
{
    struct create *create = run_wait_owner(request);

    run_wait_woke(create->wait);
    /* a wait without an end that expires all the same: the server stops */
    create_go_on(request, api_expired(request) && !create->limited);
}

/* ---- starting ---- */

/* A run that is to be streamed gets its id here, so that its reader is there before its first
 * event. Where memory is out for that the answer's reader begins with what is stored by then. */
static void create_follow(struct api_request *request, struct create *create)
{
    struct run_events_options options;

    if (create->way != WAY_STREAM || !create->workflow)
        return; /* without a workflow it can only join */
    pl_id_new("run", now_ms(), create->id);
    create->start.id = create->id;
    options = stream_options(create);
    create->reader = run_events_follow(request, &options);
}

/* Starts the run, or joins the one of the key; without a workflow it only joins. */
static enum pl_code create_start(struct api_request *request, struct create *create,
                                 struct pl_err *err)
{
    struct engine_run_request *start = &create->start;
    struct doc_problems part;
    bool joined = false;
    enum pl_code code;

    start->tenant = request->tenant;
    start->workflow = create->workflow;
    start->input = create->body.input;
    start->thread = create->body.thread;
    start->metadata = create->body.metadata;
    start->timeout = create->body.timeout;
    start->budget = create->body.budget;
    start->deltas = create->way != WAY_WAIT || create->limited;
    run_wait_begin(create->wait, start);
    doc_problems_init(&part, request->arena);
    create_follow(request, create);
    code = engine_start_or_join_run(request->engine, start, create->id, &joined, &part, err);
    if (code != PL_OK || joined) {
        run_wait_abandon(create->wait);
        run_events_forget(&create->reader);
    }
    if (code != PL_OK)
        take_problems(create, &part, "/input", 0, 0);
    if (code != PL_OK || !joined)
        return code;
    api_add_header(request, "Idempotency-Replayed", "true");
    return run_wait_watch(create->wait, pl_str(create->id), err);
}

/* Before the engine stops taking runs: /readyz has said so. */
static enum pl_code check_open(const struct api_request *request, struct pl_err *err)
{
    if (api_server_draining(request->server))
        return pl_err_set(err, PL_ERR_SHUTTING_DOWN, "the service stops; nothing was started");
    return PL_OK;
}

/* CONFLICT: to be tried again. */
static enum pl_code create_try(struct api_request *request, struct create *create,
                               struct pl_err *err)
{
    enum pl_code code = check_open(request, err);

    if (code != PL_OK)
        return code;
    if (create->key.len && !create->workflow) {
        code = create_start(request, create, err);
        if (code != PL_ERR_NOT_FOUND)
            return code;
    }
    code = create->workflow ? PL_OK : create_workflow(request, create, err);
    return code == PL_OK ? create_start(request, create, err) : code;
}

static void create_proceed(struct api_request *request, struct create *create, enum pl_code code,
                           const struct pl_err *err);

static void create_again(struct api_request *request)
{
    struct create *create = run_wait_owner(request);
    struct pl_err err = {0};

    create_proceed(request, create, create_try(request, create, &err), &err);
}

static void create_proceed(struct api_request *request, struct create *create, enum pl_code code,
                           const struct pl_err *err)
{
    if (code == PL_ERR_CONFLICT) {
        create->again = create->again ? create->again * 2 : AGAIN_FIRST_MS;
        if (create->again > AGAIN_MAX_MS)
            create->again = AGAIN_MAX_MS;
        api_suspend_for(request, create->again, create_again, NULL);
        return;
    }
    workflow_unref(&create->workflow);
    if (code != PL_OK) {
        api_reply_problem(request, err, &create->problems);
        return;
    }
    if (create->body.cancel_on_disconnect)
        run_wait_cancel_on_leave(create->wait, pl_str(create->id));
    create_go_on(request, false);
}

void run_create(struct api_request *request, struct pl_str reference)
{
    struct create *create = pl_arena_alloc(request->arena, sizeof *create);
    struct pl_err err = {0};
    enum pl_code code;

    if (create)
        create->wait = run_wait_create(request, create);
    if (!create || !create->wait) {
        answers_error(request, PL_ERR_NO_MEMORY, "out of memory");
        return;
    }
    doc_problems_init(&create->problems, request->arena);
    code = check_open(request, &err);
    if (code == PL_OK)
        code = create_read(request, create, reference, &err);
    if (code == PL_OK) {
        create_choose_way(request, create);
        code = create_key(request, create, &err);
    }
    if (code == PL_OK)
        code = create_try(request, create, &err);
    create_proceed(request, create, code, &err);
}
