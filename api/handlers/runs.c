/* runs.c - the handlers of /v1/runs and /v1/runs/{id}: start, list, show, delete, cancel. Not how a
 * start is read and answered (run_create.c). Called through the table of routes.c. */
#include "api/handlers/answers.h"
#include "api/handlers/run_create.h"
#include "api/handlers/run_wait.h"
#include "api/routes.h"
#include "base/limits.h"
#include "service/engine.h"

enum {
    METADATA_FILTERS_MAX = 8,
    CANCEL_WAIT_MS = 5000, /* for a cancelled run to be over, before it is shown as it stands */
};

void handle_runs_create(struct api_request *request)
{
    run_create(request, (struct pl_str){0});
}

/* ---- list ---- */

/* Collects ?metadata.K=V. False: an error has been sent. */
static bool read_metadata(struct api_request *request, struct pl_str *keys, struct pl_str *values,
                          size_t *ret_count)
{
    struct pl_str name, value, prefix = PL_STR("metadata.");
    size_t at = 0, count = 0;

    while (api_query_next(request, &at, &name, &value)) {
        if (!pl_str_starts(name, prefix))
            continue;
        if (count == METADATA_FILTERS_MAX || name.len == prefix.len) {
            answers_error(request, PL_ERR_INVALID_ARGUMENT,
                          "metadata.KEY=VALUE: a key each, at most %d of them",
                          METADATA_FILTERS_MAX);
            return false;
        }
        keys[count] = pl_str_n(name.ptr + prefix.len, name.len - prefix.len);
        values[count++] = value;
    }
    *ret_count = count;
    return true;
}

void handle_runs_list(struct api_request *request)
{
    static const char *const words[] = {"queued",    "running", "waiting", "succeeded",
                                        "cancelled", "failed",  NULL};
    static const char *const things[] = {"waiting", NULL};
    struct pl_str keys[METADATA_FILTERS_MAX], values[METADATA_FILTERS_MAX], has;
    struct store_run_filter filter = {
        .workflow = api_query(request, "workflow"),
        .thread = api_query(request, "thread"),
        .metadata_keys = keys,
        .metadata_values = values,
    };
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    size_t limit;

    if (!answers_word(request, "status", words, &filter.status) ||
        !answers_word(request, "has", things, &has) || !answers_limit(request, &limit) ||
        !answers_after_run(request, &filter.after) ||
        !read_metadata(request, keys, values, &filter.n_metadata))
        return;
    filter.waiting = has.len > 0;
    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_runs(request->engine, request->tenant, &filter, limit, &body, &err);
    answers_built(request, 200, code, &err, &body);
}

/* ---- one run ---- */

void handle_run_get(struct api_request *request)
{
    static const char *const words[] = {"true", "false", NULL};
    struct pl_err err = {0};
    struct pl_buf body;
    struct pl_str steps;
    enum pl_code code;
    bool over;

    if (!answers_word(request, "steps", words, &steps))
        return;
    code = answers_write_run(request, request->params[0], pl_str_is(steps, "true"), &body, &over,
                             &err);
    answers_built(request, 200, code, &err, &body);
}

static void run_deleted(struct api_request *request)
{
    struct answers_op *op = request->state;

    if (op->code == PL_OK)
        api_reply_empty(request, 204);
    else
        api_reply_problem(request, &op->err, NULL);
}

void handle_run_delete(struct api_request *request)
{
    struct engine *engine = request->engine;
    struct pl_str tenant = request->tenant, run = request->params[0];

    if (answers_op_begin(request, run_deleted))
        engine_delete_run(engine, tenant, run, answers_op_done, request);
}

/* ---- cancel ---- */

/* 202: it is still ending. */
static void answer_cancelled(struct api_request *request)
{
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    bool over;

    code = answers_write_run(request, request->params[0], false, &body, &over, &err);
    answers_built(request, over ? 200 : 202, code, &err, &body);
}

static void run_cancelled(struct api_request *request)
{
    struct run_wait *wait = request->state;

    run_wait_woke(wait);
    answer_cancelled(request);
}

/* Cancelling a run that is over, or twice, is no error: the answer is the run. One that could not
 * go on after a start can be cancelled all the same. */
void handle_run_cancel(struct api_request *request)
{
    struct run_wait *wait = run_wait_create(request, NULL);
    struct pl_str run = request->params[0];
    struct pl_err err = {0};
    enum pl_code code;

    if (!wait) {
        answers_error(request, PL_ERR_NO_MEMORY, "out of memory");
        return;
    }
    code = engine_cancel(request->engine, request->tenant, run, (struct pl_str){0}, &err);
    if (code == PL_ERR_NOT_FOUND)
        code = engine_cancel_left(request->engine, request->tenant, run, &err);
    if (code == PL_ERR_CONFLICT) /* it is over, most likely since just now */
        code = answers_is_over(request, run, &err);
    if (code == PL_OK)
        code = run_wait_watch(wait, run, &err);
    if (code != PL_OK)
        api_reply_problem(request, &err, NULL);
    else if (!run_wait_sleep(wait, RUN_WAIT_END, CANCEL_WAIT_MS, run_cancelled))
        answer_cancelled(request);
}
