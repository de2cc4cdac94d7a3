/* threads.c - the handlers of /v1/threads: what runs of one conversation remember, and which runs
 * they were. Not how a run uses it (the engine). Called through the table of routes.c. */
#include "api/handlers/answers.h"
#include "api/handlers/run_body.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/engine_threads.h"

/* False: an error has been sent. */
static bool check_id(struct api_request *request)
{
    if (request->params[0].len <= RUN_BODY_THREAD_MAX)
        return true;
    answers_error(request, PL_ERR_NOT_FOUND, "the id of a thread has at most %d bytes",
                  RUN_BODY_THREAD_MAX);
    return false;
}

void handle_thread_state(struct api_request *request)
{
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;

    if (!check_id(request))
        return;
    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_thread(request->engine, request->tenant, request->params[0], &body, &err);
    answers_built(request, 200, code, &err, &body);
}

void handle_thread_runs(struct api_request *request)
{
    struct store_run_filter filter = {
        .thread = request->params[0],
    };
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    size_t limit;

    if (!check_id(request) || !answers_limit(request, &limit) ||
        !answers_after_run(request, &filter.after))
        return;
    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_runs(request->engine, request->tenant, &filter, limit, &body, &err);
    answers_built(request, 200, code, &err, &body);
}

/* ---- writing ---- */

static void thread_written(struct api_request *request)
{
    const struct answers_op *op = request->state;

    if (op->code != PL_OK)
        api_reply_problem(request, &op->err, NULL);
    else
        handle_thread_state(request);
}

static void thread_deleted(struct api_request *request)
{
    const struct answers_op *op = request->state;

    if (op->code != PL_OK)
        api_reply_problem(request, &op->err, NULL);
    else
        api_reply_empty(request, 204);
}

static void write_thread(struct api_request *request, struct pl_str state,
                         void (*written)(struct api_request *request))
{
    struct engine_thread_write write = {
        .tenant = request->tenant,
        .id = request->params[0],
        .state = state,
        .done = answers_op_done,
        .arg = request,
    };
    struct engine *engine = request->engine;

    if (answers_op_begin(request, written))
        engine_set_thread(engine, &write);
}

void handle_thread_put(struct api_request *request)
{
    struct pl_err err = {0};

    if (!check_id(request))
        return;
    if (json_check(request->body, PL_LIMIT_JSON_DEPTH, NULL, &err) != PL_OK) {
        pl_err_prefix(&err, "the body");
        api_reply_problem(request, &err, NULL);
    } else if (json_type(request->body) != JSON_OBJECT) {
        answers_error(request, PL_ERR_INVALID_ARGUMENT,
                      "the state of a thread is an object: a value for each channel");
    } else {
        write_thread(request, request->body, thread_written);
    }
}

void handle_thread_delete(struct api_request *request)
{
    if (check_id(request))
        write_thread(request, (struct pl_str){0}, thread_deleted);
}
