/* estimate.c - the handler of POST /v1/estimate: what a run would use, before its first call. Runs
 * nothing. Not the counting (service/estimate.c). Called through the table of routes.c.
 *
 * The body is that of POST /v1/runs; of it only `workflow` and `input` are looked at. */
#include "service/estimate.h"

#include "api/handlers/answers.h"
#include "api/handlers/run_body.h"
#include "api/routes.h"
#include "base/limits.h"
#include "service/engine.h"

static enum pl_code find(struct api_request *request, const struct run_body *body,
                         struct workflow **ret_workflow, struct doc_problems *problems,
                         struct pl_err *err)
{
    struct engine_text text = {
        .tenant = request->tenant, .text = body->document, .format = DOC_JSON};
    int64_t version;
    pl_ms created_at;
    enum pl_code code;

    if (!body->document.len)
        return engine_get_workflow(request->engine, request->tenant, body->reference, ret_workflow,
                                   &version, &created_at, err);
    code = engine_compile(request->engine, &text, ret_workflow, problems);
    if (code == PL_OK)
        return PL_OK;
    return pl_err_set(err, code, "%s",
                      code == PL_ERR_NO_MEMORY ? "out of memory" : "the workflow is not valid");
}

void handle_estimate(struct api_request *request)
{
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    struct run_body body;
    struct pl_err err = {0};
    struct pl_buf out;
    enum pl_code code;

    doc_problems_init(&problems, request->arena);
    pl_buf_init(&out, PL_LIMIT_RUN_OUTPUT_BYTES);
    code = run_body_parse(request->arena, request->body, true, &body, &problems, &err);
    if (code == PL_OK)
        code = find(request, &body, &workflow, &problems, &err);
    if (code == PL_OK)
        code = estimate_write(workflow, body.input, engine_providers(request->engine), false, &out,
                              &problems, &err);
    workflow_unref(&workflow);
    if (code == PL_OK) {
        answers_built(request, 200, PL_OK, &err, &out);
        return;
    }
    pl_buf_finish(&out);
    api_reply_problem(request, &err, &problems);
}
