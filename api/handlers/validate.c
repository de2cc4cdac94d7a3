/* validate.c - the handler of POST /v1/validate: checks a workflow and runs nothing, evaluates
 * nothing. Called through the table of routes.c.
 *
 * A document that can be read is answered with 200, whatever is wrong with it; one that cannot is a
 * problem like any other. A JSON body may also wrap it as {"workflow": {...}}, as POST /v1/runs
 * takes it. */
#include "api/handlers/answers.h"
#include "api/handlers/negotiate.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/engine.h"

static void write_problem(struct pl_buf *out, const char *prefix, const struct doc_problem *problem)
{
    struct pl_buf pointer;

    pl_buf_init(&pointer, PL_LIMIT_DOCUMENT_BYTES);
    pl_buf_text(&pointer, prefix);
    pl_buf_text(&pointer, problem->pointer);
    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "pointer", pl_buf_view(&pointer));
    json_add_string(out, "detail", pl_str(problem->message));
    if (problem->line) {
        json_add_int(out, "line", problem->line);
        json_add_int(out, "column", problem->column);
    }
    json_object_end(out);
    pl_buf_finish(&pointer);
}

static void write_problems(struct pl_buf *out, const char *key, const char *prefix,
                           const struct doc_problems *problems)
{
    json_key(out, key);
    json_array_begin(out);
    for (size_t i = 0; i < problems->count; i++)
        write_problem(out, prefix, &problems->items[i]);
    json_array_end(out);
}

static void write_report(struct pl_buf *out, const char *prefix, const struct workflow *workflow,
                         const struct doc_problems *problems)
{
    json_object_begin(out);
    json_add_bool(out, "valid", workflow != NULL);
    write_problems(out, "errors", prefix, problems);
    write_problems(out, "warnings", prefix, problems->warnings);
    if (workflow) {
        json_key(out, "graph");
        workflow_graph(workflow, GRAPH_JSON, out);
    } else {
        json_add_null(out, "graph");
    }
    json_object_end(out);
}

/* The workflow in {"workflow": {...}}; the body itself when it is not that. */
static struct pl_str unwrap(struct pl_str body, const char **ret_prefix)
{
    struct pl_str workflow, steps;

    *ret_prefix = "";
    if (json_check(body, PL_LIMIT_JSON_DEPTH, NULL, NULL) != PL_OK ||
        !json_get(body, PL_STR("workflow"), &workflow) || json_type(workflow) != JSON_OBJECT ||
        json_get(body, PL_STR("steps"), &steps))
        return body;
    *ret_prefix = "/workflow";
    return workflow;
}

/* Lines count from where the workflow begins in the body. */
static void shift_lines(struct doc_problems *problems, struct pl_str body, struct pl_str workflow)
{
    unsigned lines = 0, columns = 0;

    for (const char *p = body.ptr; p < workflow.ptr; p++) {
        columns = *p == '\n' ? 0 : columns + 1;
        lines += *p == '\n';
    }
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->items[i].line == 1)
            problems->items[i].column += columns;
        if (problems->items[i].line)
            problems->items[i].line += lines;
    }
}

void handle_validate(struct api_request *request)
{
    struct engine_text text = {
        .tenant = request->tenant,
        .text = request->body,
        .format = negotiate_format(api_header(request, "content-type")),
    };
    struct doc_problems problems, warnings;
    struct workflow *workflow = NULL;
    const char *prefix = "";
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;

    if (text.format == DOC_JSON)
        text.text = unwrap(request->body, &prefix);
    doc_problems_init(&problems, request->arena);
    doc_problems_init(&warnings, request->arena);
    problems.warnings = &warnings;
    code = engine_compile(request->engine, &text, &workflow, &problems);
    doc_problems_sort(&problems);
    shift_lines(&problems, request->body, text.text);
    shift_lines(&warnings, request->body, text.text);
    if (code != PL_OK && code != PL_ERR_INVALID_WORKFLOW) {
        pl_err_set(&err, code, "%s",
                   code == PL_ERR_NO_MEMORY ? "out of memory" : "the workflow cannot be read");
        api_reply_problem(request, &err, &problems);
        return;
    }
    pl_buf_init(&body, PL_LIMIT_RUN_OUTPUT_BYTES);
    write_report(&body, prefix, workflow, &problems);
    workflow_unref(&workflow);
    answers_built(request, 200, PL_OK, &err, &body);
}
