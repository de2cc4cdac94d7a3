/* answer.c - the handler of POST /v1/runs/{id}/steps/{path}/answer: what a person says to a human
 * step, {"output": value} or {"reject": "why"}. Not what comes of it (the run). Called through the
 * table of routes.c.
 *
 * It is answered once the answer is durable, with the step. The same answer again is answered in
 * the same way; another one, and one that came too late, with 409. */
#include "api/handlers/answers.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/engine_answer.h"

enum { REASON_MAX = 400 }; /* bytes of `reject`; an error's text holds so many */

struct answering {
    struct answers_op op; /* first: answers_op_done fills it */
    struct engine_answer answer;
};

/* ---- the body ---- */

/* Reads one member; false: an error has been sent. */
static bool read_member(struct api_request *request, struct pl_str key, struct pl_str value,
                        struct engine_answer *answer)
{
    if (pl_str_is(key, "output")) {
        answer->output = value;
        return true;
    }
    if (!pl_str_is(key, "reject")) {
        answers_error(request, PL_ERR_INVALID_ARGUMENT,
                      "write {\"output\": value} or {\"reject\": \"why\"}");
        return false;
    }
    if (json_type(value) != JSON_STRING) {
        answers_error_at(request, PL_ERR_INVALID_ARGUMENT, "/reject", "reject must be text: why");
        return false;
    }
    answer->reject = json_decode_string_arena(value, request->arena);
    if (answer->reject.len <= REASON_MAX)
        return true;
    answers_error_at(request, PL_ERR_INVALID_ARGUMENT, "/reject", "reject has at most 400 bytes");
    return false;
}

/* False: an error has been sent. */
static bool read_body(struct api_request *request, struct engine_answer *answer)
{
    struct pl_str output, reject;
    struct pl_err err = {0};
    struct json_iter it;

    if (json_check(request->body, PL_LIMIT_JSON_DEPTH, NULL, &err) != PL_OK) {
        pl_err_prefix(&err, "the body");
        api_reply_problem(request, &err, NULL);
        return false;
    }
    if (json_type(request->body) != JSON_OBJECT ||
        json_get(request->body, PL_STR("output"), &output) ==
            json_get(request->body, PL_STR("reject"), &reject)) {
        answers_error(request, PL_ERR_INVALID_ARGUMENT,
                      "write {\"output\": value} or {\"reject\": \"why\"}");
        return false;
    }
    for (json_iter_init(&it, request->body); json_iter_next(&it);)
        if (!read_member(request, json_decode_string_arena(it.key, request->arena), it.value,
                         answer))
            return false;
    return true;
}

/* ---- the answer ---- */

/* The step as it is now: the first of a list that begins with it. */
static void reply_step(struct api_request *request)
{
    struct engine_step_filter filter = {.prefix = request->params[1]};
    struct pl_str data, step;
    struct pl_buf page, body;
    struct pl_err err = {0};
    enum pl_code code;

    pl_buf_init(&page, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_steps(request->engine, request->tenant, request->params[0], &filter, 1,
                              &page, &err);
    if (code == PL_OK && json_get(pl_buf_view(&page), PL_STR("data"), &data) &&
        json_at(data, 0, &step))
        pl_buf_str(&body, step);
    else if (code == PL_OK)
        code = pl_err_set(&err, PL_ERR_NOT_FOUND, "the run has no such step");
    pl_buf_finish(&page);
    answers_built(request, 200, code, &err, &body);
}

static void step_answered(struct api_request *request)
{
    struct answering *answering = request->state;
    struct pl_err err = answering->op.err;
    enum pl_code code = answering->op.code;

    if (code == PL_ERR_CONFLICT)
        code = engine_compare_answer(request->engine, &answering->answer, &err);
    if (code == PL_OK)
        reply_step(request);
    else
        api_reply_problem(request, &err, NULL);
}

/* Problems are of the value; it stands under `output`. */
static void reply_misfit(struct api_request *request, const struct pl_err *err,
                         const struct doc_problems *part)
{
    struct doc_problems problems;

    doc_problems_init(&problems, request->arena);
    for (size_t i = 0; i < part->count; i++) {
        const char *pointer = pl_arena_printf(request->arena, "/output%s", part->items[i].pointer);

        doc_problem_add(&problems, 0, 0, pointer ? pointer : "/output", "%s",
                        part->items[i].message);
    }
    problems.total += part->total - part->count;
    api_reply_problem(request, err, &problems);
}

void handle_step_answer(struct api_request *request)
{
    struct answering *answering = pl_arena_alloc(request->arena, sizeof *answering);
    struct engine *engine = request->engine;
    struct doc_problems problems;
    struct pl_err err = {0};

    if (!answering) {
        answers_error(request, PL_ERR_NO_MEMORY, "out of memory");
        return;
    }
    answering->answer = (struct engine_answer){
        .tenant = request->tenant,
        .run_id = request->params[0],
        .path = request->params[1],
        .done = answers_op_done,
        .arg = request,
    };
    if (!read_body(request, &answering->answer))
        return;
    doc_problems_init(&problems, request->arena);
    if (engine_check_answer(engine, &answering->answer, request->arena, &problems, &err) != PL_OK) {
        reply_misfit(request, &err, &problems);
        return;
    }
    request->state = answering;
    /* no `gone`: a commit is short, and its word must find the request */
    api_suspend(request, step_answered, NULL);
    engine_send_answer(engine, &answering->answer);
}
