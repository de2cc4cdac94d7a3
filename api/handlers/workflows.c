/* workflows.c - the handlers of /v1/workflows: store, show, list, draw, delete, run. Not the
 * compiling (the engine) and not the versions (the store decides them). Called through the table of
 * routes.c.
 *
 * A version is its ETag: "3". If-Match names the version that may be replaced or deleted;
 * If-None-Match: * stores only what is not there yet. */
#include "api/handlers/answers.h"
#include "api/handlers/negotiate.h"
#include "api/handlers/run_body.h"
#include "api/handlers/run_create.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/engine.h"

#include <stdio.h>

enum { ANY_VERSION = -1, NO_VERSION = 0 };

/* ---- which version ---- */

/* An entity tag of ours, "3", in a list of them; true when `version` is named. */
static bool names_version(struct pl_str header, int64_t version)
{
    char tag[24];
    struct pl_str wanted =
        pl_str_n(tag, (size_t)snprintf(tag, sizeof tag, "\"%lld\"", (long long)version));

    for (size_t at = 0; at + wanted.len <= header.len; at++) {
        bool weak = at >= 2 && header.ptr[at - 1] == '/' && header.ptr[at - 2] == 'W';

        if (!weak && pl_str_eq(pl_str_n(header.ptr + at, wanted.len), wanted))
            return true;
    }
    return false;
}

/* The newest version of a name, 0 when there is none. */
static enum pl_code newest(struct api_request *request, struct pl_str name, int64_t *ret_version,
                           struct pl_err *err)
{
    struct workflow *workflow = NULL;
    pl_ms created_at;
    enum pl_code code = engine_get_workflow(request->engine, request->tenant, name, &workflow,
                                            ret_version, &created_at, err);

    workflow_unref(&workflow);
    if (code != PL_ERR_NOT_FOUND)
        return code;
    *ret_version = NO_VERSION;
    return PL_OK;
}

/* What If-Match and If-None-Match ask for, as store_op's if_version. False: an error has been sent.
 */
static bool read_conditions(struct api_request *request, struct pl_str name, int64_t *ret_version)
{
    struct pl_str match = api_header(request, "if-match"),
                  none = api_header(request, "if-none-match");
    struct pl_err err = {0};
    int64_t version;

    *ret_version = ANY_VERSION;
    if (none.ptr) {
        *ret_version = NO_VERSION;
        if (pl_str_is(none, "*") && !match.ptr)
            return true;
        answers_error(request, PL_ERR_INVALID_ARGUMENT,
                      "If-None-Match: only * is known here, and "
                      "not together with If-Match");
        return false;
    }
    if (!match.ptr)
        return true;
    if (newest(request, name, &version, &err) != PL_OK) {
        api_reply_problem(request, &err, NULL);
        return false;
    }
    if (version != NO_VERSION && (pl_str_is(match, "*") || names_version(match, version))) {
        *ret_version = version;
        return true;
    }
    answers_error(request, PL_ERR_PRECONDITION,
                  version == NO_VERSION ? "no workflow of this name is stored"
                                        : "the newest version is %lld",
                  (long long)version);
    return false;
}

static bool read_name(struct api_request *request)
{
    if (run_body_is_name(request->params[0]))
        return true;
    answers_error(
        request, PL_ERR_INVALID_ARGUMENT,
        "the name of a workflow has 1 to %d of a-z, 0-9, _ and -, and begins with a letter "
        "or digit",
        PL_LIMIT_NAME);
    return false;
}

/* ---- put ---- */

struct put {
    struct pl_err err;
    enum pl_code code;
    int64_t version;
    bool created;
    char hash[65];
};

static void put_done(void *arg, enum pl_code code, int64_t version, bool created,
                     const struct pl_err *err)
{
    struct api_request *request = arg;
    struct put *put = request->state;

    put->code = code;
    put->version = version;
    put->created = created;
    if (code != PL_OK)
        put->err = *err;
    api_resume(request);
}

static void put_answer(struct api_request *request)
{
    const struct put *put = request->state;
    struct pl_err err = {0};
    struct pl_buf body;

    if (put->code != PL_OK) {
        api_reply_problem(request, &put->err, NULL);
        return;
    }
    api_add_header(request, "ETag", "\"%lld\"", (long long)put->version);
    if (put->created)
        api_add_header(request, "Location", "/v1/workflows/%.*s", PL_STR_ARG(request->params[0]));
    pl_buf_init(&body, PL_LIMIT_DOCUMENT_BYTES);
    json_object_begin(&body);
    json_add_string(&body, "name", request->params[0]);
    json_add_int(&body, "version", put->version);
    json_add_string(&body, "hash", pl_str(put->hash));
    json_add_bool(&body, "created", put->created);
    json_object_end(&body);
    answers_built(request, put->created ? 201 : 200, PL_OK, &err, &body);
}

static void put_workflow(struct api_request *request, struct workflow *workflow, int64_t if_version)
{
    struct put *put = pl_arena_alloc(request->arena, sizeof *put);
    struct engine *engine = request->engine;
    struct engine_workflow_put order = {
        .tenant = request->tenant,
        .name = request->params[0],
        .workflow = workflow,
        .if_version = if_version,
        .done = put_done,
        .arg = request,
    };

    if (!put) {
        answers_error(request, PL_ERR_NO_MEMORY, "out of memory");
        return;
    }
    snprintf(put->hash, sizeof put->hash, "%s", workflow->source_hash);
    request->state = put;
    api_suspend(request, put_answer, NULL);
    engine_put_workflow(engine, &order);
}

void handle_workflow_put(struct api_request *request)
{
    struct engine_text text = {
        .tenant = request->tenant,
        .text = request->body,
        .format = negotiate_format(api_header(request, "content-type")),
        .name = request->params[0],
    };
    struct doc_problems problems;
    struct workflow *workflow = NULL;
    struct pl_err err = {0};
    enum pl_code code;
    int64_t if_version;

    if (!read_name(request))
        return;
    doc_problems_init(&problems, request->arena);
    code = engine_compile(request->engine, &text, &workflow, &problems);
    if (code != PL_OK) {
        pl_err_set(&err, code, "%s",
                   code == PL_ERR_NO_MEMORY ? "out of memory" : "the workflow is not valid");
        doc_problems_sort(&problems);
        api_reply_problem(request, &err, &problems);
        return;
    }
    if (read_conditions(request, request->params[0], &if_version))
        put_workflow(request, workflow, if_version);
    workflow_unref(&workflow);
}

/* ---- get ---- */

/* The version that the path (name@version) or ?version= names, compiled. False: an error has been
 * sent. */
static bool find_workflow(struct api_request *request, struct workflow **ret_workflow,
                          int64_t *ret_version, pl_ms *ret_created_at)
{
    struct pl_str reference = request->params[0], version = api_query(request, "version");
    struct pl_err err = {0};

    if (version.len) {
        const char *joined = pl_arena_printf(request->arena, "%.*s@%.*s", PL_STR_ARG(reference),
                                             PL_STR_ARG(version));

        reference = joined ? pl_str(joined) : (struct pl_str){0};
    }
    if (!run_body_is_reference(reference)) {
        answers_error(request, PL_ERR_NOT_FOUND,
                      "there is no such workflow; write name, "
                      "name@version or name?version=N");
        return false;
    }
    if (engine_get_workflow(request->engine, request->tenant, reference, ret_workflow, ret_version,
                            ret_created_at, &err) == PL_OK)
        return true;
    api_reply_problem(request, &err, NULL);
    return false;
}

static struct pl_str name_of(struct pl_str reference)
{
    const char *at = memchr(reference.ptr, '@', reference.len);

    return at ? pl_str_n(reference.ptr, (size_t)(at - reference.ptr)) : reference;
}

void handle_workflow_get(struct api_request *request)
{
    struct pl_str known = api_header(request, "if-none-match");
    struct workflow *workflow = NULL;
    struct pl_err err = {0};
    char time[PL_TIME_TEXT];
    int64_t version;
    pl_ms created_at;
    struct pl_buf body;

    if (!find_workflow(request, &workflow, &version, &created_at))
        return;
    api_add_header(request, "ETag", "\"%lld\"", (long long)version);
    if (known.ptr && (pl_str_is(known, "*") || names_version(known, version))) {
        api_reply_empty(request, 304);
    } else {
        pl_buf_init(&body, (size_t)2 * PL_LIMIT_DOCUMENT_BYTES);
        json_object_begin(&body);
        json_add_string(&body, "name", name_of(request->params[0]));
        json_add_int(&body, "version", version);
        json_add_string(&body, "hash", pl_str(workflow->source_hash));
        json_add_string(&body, "created_at", pl_str(pl_time_format(created_at, time)));
        json_add_raw(&body, "definition", workflow->source);
        json_object_end(&body);
        answers_built(request, 200, PL_OK, &err, &body);
    }
    workflow_unref(&workflow);
}

void handle_workflows_list(struct api_request *request)
{
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    size_t limit;

    if (!answers_limit(request, &limit))
        return;
    pl_buf_init(&body, PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_workflows(request->engine, request->tenant, api_query(request, "after"),
                                  limit, &body, &err);
    answers_built(request, 200, code, &err, &body);
}

void handle_workflow_graph(struct api_request *request)
{
    static const char *const words[] = {"json", "mermaid", "dot", NULL};
    static const enum graph_format formats[] = {GRAPH_JSON, GRAPH_MERMAID, GRAPH_DOT};
    static const char *const types[] = {"application/json", "text/plain; charset=utf-8",
                                        "text/vnd.graphviz; charset=utf-8"};
    struct workflow *workflow = NULL;
    struct pl_str format;
    struct pl_buf body;
    int64_t version;
    pl_ms created_at;
    size_t i = 0;

    if (!answers_word(request, "format", words, &format) ||
        !find_workflow(request, &workflow, &version, &created_at))
        return;
    while (format.len && !pl_str_is(format, words[i]))
        i++;
    pl_buf_init(&body, PL_LIMIT_RUN_OUTPUT_BYTES);
    workflow_graph(workflow, formats[i], &body);
    api_add_header(request, "ETag", "\"%lld\"", (long long)version);
    if (pl_buf_failed(&body))
        answers_error(request, PL_ERR_TOO_LARGE, "the graph is too large");
    else
        api_reply(request, 200, types[i], &body);
    pl_buf_finish(&body);
    workflow_unref(&workflow);
}

/* ---- delete ---- */

static void workflow_deleted(struct api_request *request)
{
    const struct answers_op *op = request->state;

    if (op->code == PL_OK)
        api_reply_empty(request, 204);
    else
        api_reply_problem(request, &op->err, NULL);
}

void handle_workflow_delete(struct api_request *request)
{
    struct engine *engine = request->engine;
    struct pl_str tenant = request->tenant, name = request->params[0];
    int64_t if_version;

    if (read_name(request) && read_conditions(request, name, &if_version) &&
        answers_op_begin(request, workflow_deleted))
        engine_delete_workflow(engine, tenant, name, if_version, answers_op_done, request);
}

/* ---- run ---- */

void handle_workflow_run(struct api_request *request)
{
    if (run_body_is_reference(request->params[0]))
        run_create(request, request->params[0]);
    else
        answers_error(request, PL_ERR_NOT_FOUND,
                      "there is no such workflow; write name or "
                      "name@version");
}
