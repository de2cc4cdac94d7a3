/* llm.c - the llm step: renders what the workflow wrote into one model call and makes the answer
 * its output. Not the providers (llm/) and not retries (run_core). A row of step_kinds.c. */
#include "service/steps/step_kinds.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_call.h"

/* ---- rendering ---- */

static enum pl_code render_text(const struct template *template, const struct expr_scope *scope,
                                struct pl_arena *arena, struct pl_str *ret_text, struct pl_err *err)
{
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    code = template_write_text(template, scope, &buf, err);
    if (code == PL_OK) {
        *ret_text = pl_arena_str(arena, pl_buf_view(&buf));
        if (!ret_text->ptr)
            *ret_text = PL_STR("");
        if (pl_arena_failed(arena))
            code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_finish(&buf);
    return code;
}

static bool is_role(struct pl_str token)
{
    static const char *const roles[] = {"\"user\"", "\"assistant\"", "\"system\"", "\"developer\"",
                                        "\"tool\""};

    for (size_t i = 0; i < PL_ARRAY_LEN(roles); i++) {
        if (pl_str_is(token, roles[i]))
            return true;
    }
    return false;
}

/* A content is a text, a list of parts with a `type`, or null where an assistant only called tools.
 */
static const char *content_problem(struct pl_str content)
{
    struct json_iter it;
    struct pl_str type;

    if (json_type(content) == JSON_STRING || json_type(content) == JSON_NULL)
        return NULL;
    if (json_type(content) != JSON_ARRAY)
        return "has a content that is neither a text nor a list of parts";
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        if (!json_get(it.value, PL_STR("type"), &type) || json_type(type) != JSON_STRING)
            return "has a content part without a type";
    }
    return NULL;
}

static const char *message_problem(struct pl_str message)
{
    struct pl_str value;

    if (json_type(message) != JSON_OBJECT)
        return "is no object";
    if (!json_get(message, PL_STR("role"), &value) || !is_role(value))
        return "has no role of user, assistant, system, developer or tool";
    if (!json_get(message, PL_STR("content"), &value))
        return json_get(message, PL_STR("tool_calls"), &value) ? NULL : "has no content";
    return content_problem(value);
}

static enum pl_code check_messages(struct pl_str messages, bool may_be_empty, struct pl_err *err)
{
    struct json_iter it;
    size_t i = 0;

    if (json_type(messages) != JSON_ARRAY)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' must give a list of messages");
    if (!may_be_empty && json_count(messages) == 0)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "'messages' gives an empty list, and there is no 'prompt'");
    for (json_iter_init(&it, messages); json_iter_next(&it); i++) {
        const char *problem = message_problem(it.value);

        if (problem)
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'messages' element %zu %s", i,
                              problem);
    }
    return PL_OK;
}

/* Takes the list's closing bracket off, so that the prompt can follow. */
static void reopen_list(struct pl_buf *out)
{
    while (out->len && out->data[out->len - 1] != ']')
        out->len--;
    if (out->len)
        out->len--;
}

static enum pl_code add_prompt(const struct llm_config *config, const struct expr_scope *scope,
                               struct pl_buf *out, struct pl_err *err)
{
    struct pl_buf text;
    enum pl_code code;

    pl_buf_init(&text, PL_LIMIT_PROMPT_BYTES);
    code = template_write_text(config->prompt, scope, &text, err);
    if (code == PL_OK) {
        json_object_begin(out);
        json_add_string(out, "role", PL_STR("user"));
        json_add_string(out, "content", pl_buf_view(&text));
        json_object_end(out);
    }
    pl_buf_finish(&text);
    return code;
}

static enum pl_code write_messages(const struct llm_config *config, const struct expr_scope *scope,
                                   struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = PL_OK;

    if (config->messages) {
        code = template_write_json(config->messages, scope, out, err);
        if (code == PL_OK)
            code = check_messages(pl_buf_view(out), config->prompt != NULL, err);
        if (code == PL_OK && config->prompt) {
            const bool some = json_count(pl_buf_view(out)) > 0;

            reopen_list(out);
            if (some)
                pl_buf_char(out, ',');
        }
    } else {
        json_array_begin(out);
    }
    if (code == PL_OK && config->prompt) {
        code = add_prompt(config, scope, out, err);
        json_array_end(out);
    }
    return code;
}

static enum pl_code buf_problem(const struct pl_buf *buf, const char *what, struct pl_err *err)
{
    if (!pl_buf_failed(buf))
        return PL_OK;
    if (buf->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "%s larger than %zu bytes", what, buf->max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

static enum pl_code render_messages(const struct llm_config *config, const struct expr_scope *scope,
                                    struct pl_arena *arena, struct pl_str *ret_messages,
                                    struct pl_err *err)
{
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    code = write_messages(config, scope, &buf, err);
    if (code == PL_OK)
        code = buf_problem(&buf, "the messages are", err);
    if (code == PL_OK) {
        *ret_messages = pl_arena_str(arena, pl_buf_view(&buf));
        if (pl_arena_failed(arena))
            code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    }
    pl_buf_finish(&buf);
    return code;
}

static enum pl_code render_extra(const struct template *template, const struct expr_scope *scope,
                                 struct pl_arena *arena, struct pl_str *ret_extra,
                                 struct pl_err *err)
{
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    code = template_write_json(template, scope, &buf, err);
    if (code == PL_OK && json_type(pl_buf_view(&buf)) == JSON_OBJECT)
        *ret_extra = pl_arena_str(arena, pl_buf_view(&buf));
    else if (code == PL_OK && json_type(pl_buf_view(&buf)) != JSON_NULL)
        code = pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "'extra' must give an object");
    pl_buf_finish(&buf);
    return code;
}

static enum pl_code render(struct step_call *step, const struct expr_scope *scope,
                           struct llm_request *request, struct pl_err *err)
{
    const struct llm_config *config = step->def->config.llm;
    enum pl_code code = PL_OK;

    if (config->system)
        code = render_text(config->system, scope, step->arena, &request->system, err);
    if (code == PL_OK)
        code = render_messages(config, scope, step->arena, &request->messages, err);
    if (code == PL_OK && config->extra)
        code = render_extra(config->extra, scope, step->arena, &request->extra, err);
    request->temperature = config->temperature;
    request->max_tokens = config->max_tokens;
    request->seed = config->seed;
    request->stop = config->stop;
    request->stream = step->stream;
    request->attempt = step->attempt;
    request->identity = step->path;
    request->timeout = step->def->timeout;
    request->max_output = step->env->max_output;
    return code;
}

/* ---- the call ---- */

static void on_delta(void *arg, struct pl_str text)
{
    struct step_call *step = arg;

    step->delta(step, text);
}

static void on_complete(struct llm_call *call)
{
    step_call_complete(call->owner);
}

static enum pl_code llm_prepare(struct step_call *step, const struct expr_scope *scope,
                                struct pl_err *err)
{
    struct llm_call *call = pl_arena_alloc(step->arena, sizeof(*call));
    enum pl_code code;

    if (!call)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = providers_find(step->env->providers, step->def->config.llm->model, &call->provider,
                          &call->request.model, err);
    if (code == PL_OK)
        code = render(step, scope, &call->request, err);
    if (code != PL_OK)
        return code;
    call->arena = step->arena;
    call->sink = (struct llm_sink){.arg = step, .delta = step->delta ? on_delta : NULL};
    call->result = &step->result;
    call->complete = on_complete;
    call->owner = step;
    step->request = call;
    return llm_call_prepare(call, err);
}

/* The simulated provider has no lane to wait for: its 429s are the call's own. */
static bool llm_deferred(struct step_call *step, pl_ms now, pl_ms *ret_until,
                         const char **ret_reason)
{
    const struct llm_call *call = step->request;

    return !call->provider->ops->start &&
           lane_paused(call->provider->lane, now, ret_until, ret_reason);
}

static void llm_start(struct step_call *step)
{
    struct llm_call *call = step->request;

    call->loop = step->loop;
    llm_call_start(call);
}

static void llm_abort(struct step_call *step)
{
    llm_call_abort(step->request);
}

static void llm_cleanup(struct step_call *step)
{
    if (step->request)
        llm_call_finish(step->request);
}

const struct step_kind_ops step_llm_ops = {
    .kind = STEP_LLM,
    .prepare = llm_prepare,
    .deferred = llm_deferred,
    .start = llm_start,
    .abort = llm_abort,
    .cleanup = llm_cleanup,
};
