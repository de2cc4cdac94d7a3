/* engine_answer.c - see engine_answer.h: a person's answer from outside to a step that asks:
 * checked against the step's schema, sent to its run, compared with what was there first. Not what
 * the step does with it (run_human) nor when it is told (run_answers). Called by api/. */
#include "service/engine_answer.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/engine_private.h"
#include "storage/store.h"

#include <stdlib.h>

/* ---- which step ---- */

static bool is_number(struct pl_str segment)
{
    for (size_t i = 0; i < segment.len; i++)
        if (segment.ptr[i] < '0' || segment.ptr[i] > '9')
            return false;
    return segment.len > 0;
}

/* Is it in an instance that a run numbers ("reviews.17.ask")? Then only a run that has it knows
 * whether there is such a step. */
static bool is_numbered(struct pl_str path)
{
    while (path.len) {
        const char *dot = memchr(path.ptr, '.', path.len);
        size_t len = dot ? (size_t)(dot - path.ptr) : path.len;

        if (is_number(pl_str_n(path.ptr, len)))
            return true;
        path = dot ? pl_str_n(dot + 1, path.len - len - 1) : (struct pl_str){0};
    }
    return false;
}

/* The step of the definition; paths of a document's own patterns ("reviews.*.ask") are none. */
static enum pl_code find_step(const struct workflow *workflow, struct pl_str path,
                              const struct step_def **ret_def, struct pl_err *err)
{
    char shown[DOC_EXCERPT];
    const struct step_def *def =
        path.len && !memchr(path.ptr, '*', path.len) ? workflow_find(workflow, path) : NULL;

    if (!def)
        return pl_err_set(err, PL_ERR_NOT_FOUND, "the run has no step '%s'",
                          doc_excerpt(path, shown));
    *ret_def = def;
    return PL_OK;
}

enum pl_code engine_check_step(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                               struct pl_str path, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct store_step row = {0};
    const struct step_def *def;
    enum pl_code code = arena ? engine_run_workflow(engine, tenant, run_id, &workflow, err)
                              : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");

    if (code == PL_OK)
        code = find_step(workflow, path, &def, err);
    if (code == PL_OK && is_numbered(path))
        code = store_get_step(engine->store, arena, tenant, run_id, path, &row, err);
    store_step_finish(&row);
    workflow_unref(&workflow);
    pl_arena_destroy(&arena);
    return code;
}

/* ---- checking ---- */

/* The value as the step will have it, in the arena. */
static enum pl_code check_output(struct engine *engine, const struct step_def *def,
                                 struct engine_answer *answer, struct pl_arena *arena,
                                 struct doc_problems *problems, struct pl_err *err)
{
    const struct schema *schema = def->config.human->schema.schema;
    enum pl_code code = PL_OK;

    if (schema)
        code = schema_apply(schema, arena, answer->output, &answer->output, problems);
    if (code == PL_ERR_INVALID_INPUT)
        return pl_err_set(err, code, "the answer does not fit the step's schema");
    if (code != PL_OK)
        return pl_err_set(err, code, "out of memory");
    if (answer->output.len > engine->env.steps.max_output)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "an answer has at most %zu bytes",
                          engine->env.steps.max_output);
    return PL_OK;
}

enum pl_code engine_check_answer(struct engine *engine, struct engine_answer *answer,
                                 struct pl_arena *arena, struct doc_problems *problems,
                                 struct pl_err *err)
{
    struct workflow *workflow = NULL;
    const struct step_def *def = NULL;
    enum pl_code code = engine_run_workflow(engine, answer->tenant, answer->run_id, &workflow, err);

    if (code == PL_OK)
        code = find_step(workflow, answer->path, &def, err);
    if (code == PL_OK && def->kind != STEP_HUMAN)
        code = pl_err_set(err, PL_ERR_CONFLICT,
                          "step %.*s is of kind %s: only human steps are answered",
                          PL_STR_ARG(answer->path), step_kind_name(def->kind));
    if (code == PL_OK && answer->output.ptr)
        code = check_output(engine, def, answer, arena, problems, err);
    workflow_unref(&workflow);
    return code;
}

/* ---- sending ---- */

/* One on its way. */
struct sent {
    struct run_answer answer;
    engine_done_fn done;
    void *arg;
    char text[]; /* the path */
};

static void sent_done(struct run_answer *answer)
{
    struct sent *sent = pl_container_of(answer, struct sent, answer);

    sent->done(sent->arg, answer->err.code, &answer->err);
    pl_value_unref(&answer->value);
    free(sent);
}

static struct sent *sent_create(const struct engine_answer *answer)
{
    struct sent *sent = calloc(1, sizeof *sent + answer->path.len);

    if (!sent)
        return NULL;
    memcpy(sent->text, answer->path.ptr, answer->path.len);
    sent->answer.path = pl_str_n(sent->text, answer->path.len);
    sent->answer.done = sent_done;
    sent->done = answer->done;
    sent->arg = answer->arg;
    if (answer->output.ptr && !(sent->answer.value = pl_value_new(answer->output))) {
        free(sent);
        return NULL;
    }
    if (!answer->output.ptr)
        pl_err_set(&sent->answer.reject, PL_ERR_REJECTED, "%.*s", PL_STR_ARG(answer->reject));
    return sent;
}

/* A run that nobody goes on with here is loaded first. Errors: as engine_load, but for what says
 * that it is here or over. */
static enum pl_code bring_here(struct engine *engine, const struct engine_answer *answer,
                               struct pl_err *err)
{
    char id[PL_ID_TEXT];
    struct engine_run_request request = {.tenant = answer->tenant, .id = id};
    enum pl_code code;

    if (answer->run_id.len >= sizeof id)
        return pl_err_set(err, PL_ERR_NOT_FOUND, "there is no such run");
    if (engine_is_running(engine, answer->tenant, answer->run_id))
        return PL_OK;
    memcpy(id, answer->run_id.ptr, answer->run_id.len);
    id[answer->run_id.len] = '\0';
    code = engine_load(engine, &request, err);
    return code == PL_ERR_CONFLICT ? PL_OK : code;
}

void engine_send_answer(struct engine *engine, const struct engine_answer *answer)
{
    struct sent *sent = NULL;
    struct pl_err err = {0};
    enum pl_code code = bring_here(engine, answer, &err);

    if (code == PL_OK && !(sent = sent_create(answer)))
        code = pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
    if (code == PL_OK)
        code = engine_post_answer(engine, answer->tenant, answer->run_id, &sent->answer, &err);
    if (code == PL_OK)
        return;
    if (sent)
        pl_value_unref(&sent->answer.value);
    free(sent);
    answer->done(answer->arg, code, &err);
}

/* ---- what was there first ---- */

/* The step's own error: what it failed with before what was to handle that failed as well. */
static struct pl_str own_error(const struct store_step *row)
{
    struct pl_str error = pl_value_text(row->error), after;

    while (json_get(error, PL_STR("after"), &after) && json_type(after) == JSON_OBJECT)
        error = after;
    return error;
}

static bool says_rejected(const struct store_step *row, struct pl_str why)
{
    struct pl_str error = own_error(row), code, detail;
    struct pl_buf text;
    struct pl_err cut = {0};
    bool same;

    if (!row->error || !json_get(error, PL_STR("code"), &code) ||
        !pl_str_is(code, "\"rejected\"") || !json_get(error, PL_STR("detail"), &detail))
        return false;
    pl_err_set(&cut, PL_ERR_REJECTED, "%.*s", PL_STR_ARG(why));
    pl_buf_init(&text, PL_ERR_MESSAGE_MAX);
    json_decode_string(detail, &text);
    same = !pl_buf_failed(&text) &&
           pl_str_is(pl_buf_view(&text),
                     cut.message[0] ? cut.message : pl_code_title(PL_ERR_REJECTED));
    pl_buf_finish(&text);
    return same;
}

/* The output of a step whose error was handled is what stands in for an answer. One that failed by
 * what came after the answer (writes, accept) has the answer still. */
static bool is_same(const struct store_step *row, const struct engine_answer *answer)
{
    if (!answer->output.ptr)
        return says_rejected(row, answer->reject);
    return row->output && !row->handled && json_equal(pl_value_text(row->output), answer->output);
}

/* "is pending", "has succeeded" */
static const char *standing(struct pl_str status)
{
    if (pl_str_is(status, "succeeded") || pl_str_is(status, "failed"))
        return "has ";
    return pl_str_is(status, "skipped") || pl_str_is(status, "cancelled") ? "was " : "is ";
}

enum pl_code engine_compare_answer(struct engine *engine, const struct engine_answer *answer,
                                   struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_step row = {0};
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_get_step(engine->store, arena, answer->tenant, answer->run_id, answer->path, &row,
                          err);
    if (code == PL_ERR_NOT_FOUND && is_numbered(answer->path))
        pl_err_set(err, code, "the run has no step %.*s", PL_STR_ARG(answer->path));
    else if (code == PL_ERR_NOT_FOUND)
        code = pl_err_set(err, PL_ERR_CONFLICT,
                          "step %.*s has not begun: it does not wait for an answer",
                          PL_STR_ARG(answer->path));
    else if (code == PL_OK && !is_same(&row, answer))
        code = pl_err_set(err, PL_ERR_CONFLICT, "step %.*s does not wait for an answer: it %s%.*s",
                          PL_STR_ARG(answer->path), standing(row.status), PL_STR_ARG(row.status));
    store_step_finish(&row);
    pl_arena_destroy(&arena);
    return code;
}
