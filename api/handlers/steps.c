/* steps.c - the handlers of /v1/runs/{id}/steps: the list, and the cancelling of one step. A step's
 * path has dots and is one segment of the URL. Called through the table of routes.c. */
#include "api/handlers/answers.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/engine.h"

void handle_steps_list(struct api_request *request)
{
    static const char *const words[] = {"pending", "running", "retrying",  "waiting", "succeeded",
                                        "failed",  "skipped", "cancelled", NULL};
    struct engine_step_filter filter = {
        .prefix = api_query(request, "prefix"),
        .after = api_query(request, "after"),
    };
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    size_t limit;

    if (!answers_word(request, "status", words, &filter.status) || !answers_limit(request, &limit))
        return;
    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_steps(request->engine, request->tenant, request->params[0], &filter, limit,
                              &body, &err);
    answers_built(request, 200, code, &err, &body);
}

/* Answers with one step: the first of a list that begins with it. */
static void answer_step(struct api_request *request, struct pl_str run, struct pl_str path)
{
    struct engine_step_filter filter = {.prefix = path};
    struct pl_str data, step, status;
    struct pl_err err = {0};
    struct pl_buf page, body;
    enum pl_code code;

    pl_buf_init(&page, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_steps(request->engine, request->tenant, run, &filter, 1, &page, &err);
    if (code == PL_OK && !pl_buf_failed(&page) &&
        json_get(pl_buf_view(&page), PL_STR("data"), &data) && json_at(data, 0, &step)) {
        pl_buf_str(&body, step);
        status = json_get(step, PL_STR("ended_at"), &status) ? status : PL_STR("null");
        answers_built(request, json_type(status) == JSON_NULL ? 202 : 200, code, &err, &body);
    } else if (code == PL_OK) { /* it is in the definition, but nothing of it is recorded */
        json_object_begin(&body);
        json_add_string(&body, "path", path);
        json_add_string(&body, "status", PL_STR("pending"));
        json_object_end(&body);
        answers_built(request, 202, code, &err, &body);
    } else {
        api_reply_problem(request, &err, NULL);
    }
    pl_buf_finish(&page);
    pl_buf_finish(&body);
}

/* Cancelling a step that is over, or twice, is no error: the answer is the step as it stands, 202
 * while it is not over. */
void handle_step_cancel(struct api_request *request)
{
    struct pl_str run = request->params[0], path = request->params[1];
    struct workflow *workflow = NULL;
    struct pl_err err = {0};
    enum pl_code code;

    code = engine_run_workflow(request->engine, request->tenant, run, &workflow, &err);
    if (code == PL_OK && !workflow_find(workflow, path)) {
        char shown[DOC_EXCERPT];

        code = pl_err_set(&err, PL_ERR_NOT_FOUND, "the run has no step '%s'",
                          doc_excerpt(path, shown));
    }
    workflow_unref(&workflow);
    if (code == PL_OK) {
        code = engine_cancel(request->engine, request->tenant, run, path, &err);
        if (code == PL_ERR_NOT_FOUND) /* the run is over */
            code = PL_OK;
    }
    if (code == PL_OK)
        answer_step(request, run, path);
    else
        api_reply_problem(request, &err, NULL);
}
