/* steps.c - the handlers of /v1/runs/{id}/steps: the list, and the cancelling of one step. A step's
 * path has dots and is one segment of the URL. Called through the table of routes.c. */
#include "api/handlers/answers.h"
#include "api/routes.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/engine_answer.h"

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

/* ---- cancel ---- */

/* How often a cancelled step is looked at before it is shown as it stands, and the first pause;
 * each further one is twice as long. A step is over some milliseconds after its cancelling. */
enum { CANCEL_LOOKS = 9, CANCEL_PAUSE_MS = 2 };

struct step_cancel {
    unsigned looks;
};

/* Reads one step: the first of a list that begins with it. *ret_over: it is over. */
static enum pl_code read_step(struct api_request *request, struct pl_buf *body, bool *ret_over,
                              struct pl_err *err)
{
    struct engine_step_filter filter = {.prefix = request->params[1]};
    struct pl_str data, step, ended;
    struct pl_buf page;
    enum pl_code code;

    *ret_over = false;
    pl_buf_init(&page, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = engine_write_steps(request->engine, request->tenant, request->params[0], &filter, 1,
                              &page, err);
    if (code == PL_OK && !pl_buf_failed(&page) &&
        json_get(pl_buf_view(&page), PL_STR("data"), &data) && json_at(data, 0, &step)) {
        pl_buf_str(body, step);
        *ret_over = json_get(step, PL_STR("ended_at"), &ended) && json_type(ended) != JSON_NULL;
    } else if (code == PL_OK) { /* it is in the definition, but nothing of it is recorded */
        json_object_begin(body);
        json_add_string(body, "path", request->params[1]);
        json_add_string(body, "status", PL_STR("pending"));
        json_object_end(body);
    }
    pl_buf_finish(&page);
    return code;
}

static void step_cancelled(struct api_request *request)
{
    struct step_cancel *cancel = request->state;
    struct pl_err err = {0};
    struct pl_buf body;
    enum pl_code code;
    bool over;

    pl_buf_init(&body, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    code = read_step(request, &body, &over, &err);
    if (code != PL_OK || over || cancel->looks == CANCEL_LOOKS) {
        answers_built(request, over ? 200 : 202, code, &err, &body);
        return;
    }
    pl_buf_finish(&body);
    api_suspend_for(request, CANCEL_PAUSE_MS << cancel->looks++, step_cancelled, NULL);
}

/* Cancelling a step that is over, or twice, is no error: the answer is the step, 202 when it is
 * still not over. */
void handle_step_cancel(struct api_request *request)
{
    struct pl_str run = request->params[0], path = request->params[1];
    struct pl_err err = {0};
    enum pl_code code = engine_check_step(request->engine, request->tenant, run, path, &err);

    if (code == PL_OK) {
        code = engine_cancel(request->engine, request->tenant, run, path, &err);
        if (code == PL_ERR_NOT_FOUND) /* the run is over, most likely */
            code = answers_is_over(request, run, &err);
    }
    request->state = pl_arena_alloc(request->arena, sizeof(struct step_cancel));
    if (code == PL_OK && !request->state)
        code = pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK)
        step_cancelled(request);
    else
        api_reply_problem(request, &err, NULL);
}
