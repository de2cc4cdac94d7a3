/* llm.c - the llm step: renders what the workflow wrote into one model call and makes the answer
 * its output; asks again, inside the same attempt, when the answer does not fit its schema. Not the
 * providers (llm/), not the judging (llm_answer.c) and not retries (run_core). A row of
 * step_kinds.c. */
#include "service/steps/step_kinds.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/llm/llm_describe.h"
#include "service/llm/llm_digest.h"
#include "service/llm/llm_hedge.h"
#include "service/llm/llm_totals.h"
#include "service/steps/llm_answer.h"
#include "service/steps/llm_estimate.h"
#include "service/steps/llm_messages.h"

/* One attempt: a call and, where its answer is not what was asked for, the calls that repair it.
 * In the step call's arena; between start and completion the loop's thread only. */
struct llm_attempt {
    struct llm_hedge asking; /* the call under way, or the last one, and its hedges */
    struct step_call *step;
    unsigned asked;  /* how often, the repairs included */
    unsigned hedges; /* calls beside these */
    pl_ms began;
    struct store_usage spent; /* of the calls before this one */
    bool told;                /* somebody has text of this answer */
    bool pausing, aborted;    /* between two calls */
    struct loop_mail again;
};

/* ---- rendering ---- */

/* Copies what was rendered into the arena. */
static enum pl_code keep(const struct pl_buf *buf, struct pl_arena *arena, struct pl_str *ret_text,
                         struct pl_err *err)
{
    if (buf->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the messages are larger than %zu bytes",
                          buf->max);
    *ret_text = pl_arena_str(arena, pl_buf_view(buf));
    if (pl_buf_failed(buf) || pl_arena_failed(arena))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return PL_OK;
}

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

/* An agent's turn comes with its conversation. */
static enum pl_code render_messages(struct step_call *step, const struct expr_scope *scope,
                                    struct llm_request *request, struct pl_err *err)
{
    struct pl_buf buf;
    enum pl_code code;

    if (step->messages_override.len) {
        request->messages = step->messages_override;
        return PL_OK;
    }
    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    code = llm_messages_render_rest(step->def->config.llm, scope, &buf, err);
    if (code == PL_OK)
        code = keep(&buf, step->arena, &request->messages, err);
    pl_buf_finish(&buf);
    return code;
}

static enum pl_code render_tools(const struct step_call *step, struct pl_str *ret_tools,
                                 struct pl_err *err)
{
    struct pl_buf buf;
    enum pl_code code = PL_OK;

    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    llm_answer_write_tools(step->agent, step->mcp_tools, &buf);
    code = keep(&buf, step->arena, ret_tools, err);
    pl_buf_finish(&buf);
    return code;
}

/* Each sample of a vote has a seed of its own. */
static void set_seed(struct step_call *step, struct llm_request *request)
{
    int64_t seed;

    request->seed = step->def->config.llm->seed;
    request->sample = step->sample;
    if (step->sample <= 0 || !request->seed.len || !json_int(request->seed, &seed))
        return;
    if (seed > INT64_MAX - step->sample)
        seed -= INT64_MAX; /* any other number will do */
    request->seed = pl_str(pl_arena_printf(step->arena, "%lld", (long long)(seed + step->sample)));
}

static enum pl_code render(struct step_call *step, const struct expr_scope *scope,
                           struct llm_request *request, struct pl_err *err)
{
    const struct llm_config *config = step->def->config.llm;
    enum pl_code code = PL_OK;

    if (config->system && !step->messages_override.len)
        code = render_text(config->system, scope, step->arena, &request->system, err);
    if (code == PL_OK)
        code = render_messages(step, scope, request, err);
    if (code == PL_OK && config->extra)
        code = render_extra(config->extra, scope, step->arena, &request->extra, err);
    if (code == PL_OK && step->agent && (step->agent->n_tools || json_count(step->mcp_tools)))
        code = render_tools(step, &request->tools, err);
    request->agent = step->agent;
    request->schema = config->schema.schema ? &config->schema : NULL;
    request->temperature = config->temperature;
    request->max_tokens = config->max_tokens;
    request->stop = config->stop;
    request->stream = step->stream || step->began;
    request->attempt = step->attempt;
    /* where attempts before this one failed, each had all its answers refused */
    request->answer = step->attempt > 1 ? (step->attempt - 1) * (config->repair + 1) : 0;
    request->identity = step->path;
    request->timeout = step->def->timeout;
    request->max_output = step->env->max_output;
    set_seed(step, request);
    if (code == PL_OK && pl_arena_failed(step->arena))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code;
}

/* ---- the call ---- */

/* "provider/model" */
static struct pl_str model_of(const struct step_call *step)
{
    return step->model.len ? step->model : step->def->config.llm->model;
}

static void on_delta(void *arg, struct pl_str text)
{
    struct llm_attempt *attempt = arg;
    struct step_call *step = attempt->step;

    if (step->began)
        step->began(step);
    step->began = NULL;
    if (!step->delta)
        return;
    attempt->told = true;
    step->delta(step, text);
}

/* All calls of an attempt are of one model, so their sum has a price. What a provider says itself
 * counts where the configuration says nothing. */
static void add_cost(struct step_call *step)
{
    const struct price *price = providers_price(step->env->providers, model_of(step));

    if (price)
        step->result.usage.cost_usd = price_of_usage(price, &step->result.usage);
}

/* The text told so far is void. */
static void reset(struct llm_attempt *attempt)
{
    if (attempt->told && attempt->step->reset)
        attempt->step->reset(attempt->step);
    attempt->told = false;
}

static void end(struct llm_attempt *attempt)
{
    struct step_result *result = &attempt->step->result;

    store_usage_add(&result->usage, &attempt->spent);
    add_cost(attempt->step);
    llm_totals_add(attempt->asking.first.call.provider->totals, result);
    if (attempt->hedges)
        step_result_fact_int(result, "hedges", attempt->hedges);
    step_call_complete(attempt->step);
}

/* ---- asking again ---- */

/* The conversation goes on: what the model said, and what is wrong with it. */
static enum pl_code add_messages(struct llm_attempt *attempt, const struct pl_str again[static 2],
                                 struct pl_err *err)
{
    struct llm_request *request = &attempt->asking.first.call.request;
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, PL_LIMIT_PROMPT_BYTES);
    llm_messages_reopen(&buf, request->messages);
    llm_messages_add_text(&buf, "assistant", again[0]);
    llm_messages_add_text(&buf, "user", again[1]);
    json_array_end(&buf);
    code = keep(&buf, attempt->step->arena, &request->messages, err);
    pl_buf_finish(&buf);
    return code;
}

/* What is left of the attempt's time for one more call. */
static enum pl_code set_time_left(struct llm_attempt *attempt, struct pl_err *err)
{
    struct llm_request *request = &attempt->asking.first.call.request;
    const pl_ms whole = attempt->step->def->timeout;
    const pl_ms now = loop_now(attempt->step->loop);

    request->timeout = attempt->began + (whole ? whole : PL_LIMIT_ATTEMPT_MS) - now;
    if (request->timeout > 0)
        return PL_OK;
    return pl_err_set(err, PL_ERR_TIMEOUT,
                      "no time was left to ask again after an answer that does not fit its schema");
}

static void deliver_again(struct loop *loop, struct loop_mail *mail)
{
    struct llm_attempt *attempt = pl_container_of(mail, struct llm_attempt, again);
    struct step_call *step = attempt->step;
    struct pl_err *err = &step->result.err;

    attempt->pausing = false;
    llm_hedge_finish(&attempt->asking);
    if (attempt->aborted)
        pl_err_set(err, PL_ERR_CANCELLED, "cancelled");
    else if (set_time_left(attempt, err) == PL_OK &&
             llm_hedge_prepare(&attempt->asking, err) == PL_OK) {
        attempt->asked++;
        lane_more(&step->ticket, loop_now(loop));
        llm_hedge_start(&attempt->asking);
        loop_release(loop);
        return;
    }
    loop_release(loop);
    end(attempt);
}

/* At the turn's end, so that the call that has just completed is over. */
static void ask_again(struct llm_attempt *attempt)
{
    struct step_call *step = attempt->step;

    store_usage_add(&attempt->spent, &step->result.usage);
    step_result_finish(&step->result);
    step_result_init(&step->result);
    attempt->pausing = true;
    attempt->asking.first.call.request.answer++;
    attempt->again.deliver = deliver_again;
    loop_hold(step->loop);
    loop_at_turn_end(step->loop, &attempt->again);
    reset(attempt);
}

static void on_reset(struct llm_hedge *asking)
{
    reset(pl_container_of(asking, struct llm_attempt, asking));
}

static void on_complete(struct llm_hedge *asking)
{
    struct llm_attempt *attempt = pl_container_of(asking, struct llm_attempt, asking);
    struct step_call *step = attempt->step;
    const struct llm_terms terms = {
        .schema = asking->first.call.request.schema,
        .agent = step->agent,
        .mcp_tools = step->mcp_tools,
        .max_output = step->env->max_output,
    };
    struct step_result *result = &step->result;
    struct pl_str again[2] = {0};
    enum pl_code code = PL_OK;

    attempt->hedges += asking->sent;
    if (result->err.code == PL_OK && (terms.schema || terms.agent)) {
        code = llm_answer_take(&terms, step->arena, &result->output, again, &result->err);
        if (code == PL_ERR_INVALID_OUTPUT && !step->one_call &&
            attempt->asked <= step->def->config.llm->repair &&
            (code = add_messages(attempt, again, &result->err)) == PL_OK) {
            ask_again(attempt);
            return;
        }
        if (code != PL_OK)
            pl_value_unref(&result->output);
    }
    end(attempt);
}

static enum pl_code llm_prepare(struct step_call *step, const struct expr_scope *scope,
                                struct pl_err *err)
{
    struct llm_attempt *attempt = pl_arena_alloc(step->arena, sizeof(*attempt));
    struct llm_call *call = attempt ? &attempt->asking.first.call : NULL;
    enum pl_code code;

    if (!attempt)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (step->env->offline) /* described, and answered by what is recorded */
        code = PL_OK;
    else
        code = providers_find(step->env->providers, model_of(step), &call->provider,
                              &call->request.model, err);
    if (code == PL_OK)
        code = render(step, scope, &call->request, err);
    if (code != PL_OK)
        return code;
    attempt->step = step;
    call->arena = step->arena;
    call->result = &step->result;
    call->ticket = &step->ticket;
    attempt->asking.policy = &step->def->config.llm->hedge;
    attempt->asking.sink =
        (struct llm_sink){.arg = attempt, .delta = step->delta || step->began ? on_delta : NULL};
    attempt->asking.reset = on_reset;
    attempt->asking.complete = on_complete;
    step->request = attempt;
    return step->env->offline ? PL_OK : llm_hedge_prepare(&attempt->asking, err);
}

static void llm_describe(const struct step_call *step, struct pl_buf *out)
{
    const struct llm_call *call = &((const struct llm_attempt *)step->request)->asking.first.call;

    llm_request_describe(&call->request,
                         step->model.len ? step->model : step->def->config.llm->model, out);
}

static bool llm_reusable(const struct step_call *step, unsigned char *ret_digest, pl_ms *ret_ttl)
{
    const struct llm_call *call = &((const struct llm_attempt *)step->request)->asking.first.call;

    *ret_ttl = step->def->config.llm->cache_ttl;
    if (*ret_ttl == 0)
        return false;
    llm_digest(call->provider, &call->request, ret_digest);
    return true;
}

static struct lane *llm_lane(const struct step_call *step, struct lane_ask *ret_ask)
{
    const struct llm_attempt *attempt = step->request;
    const struct llm_call *call = &attempt->asking.first.call;
    const struct llm_config *config = step->def->config.llm;
    const struct pl_str last =
        config->n_fallback ? config->fallback[config->n_fallback - 1] : config->model;

    llm_call_ask(call, ret_ask);
    ret_ask->has_other = config->n_fallback && !pl_str_eq(step->model, last);
    return call->provider->lane;
}

static void llm_estimate(const struct step_call *step, struct call_estimate *ret_estimate)
{
    const struct llm_attempt *attempt = step->request;

    llm_estimate_call(&attempt->asking.first.call.request, step->def->config.llm,
                      providers_price(step->env->providers, model_of(step)), ret_estimate);
}

static void llm_start(struct step_call *step)
{
    struct llm_attempt *attempt = step->request;

    static const struct hedge_policy none = {0};

    if (step->one_call)
        attempt->asking.policy = &none;
    attempt->asking.first.call.loop = step->loop;
    attempt->began = loop_now(step->loop);
    attempt->asked = 1;
    llm_hedge_start(&attempt->asking);
}

static void llm_abort(struct step_call *step)
{
    struct llm_attempt *attempt = step->request;

    if (attempt->pausing)
        attempt->aborted = true; /* it completes at the turn's end */
    else
        llm_hedge_abort(&attempt->asking);
}

static void llm_cleanup(struct step_call *step)
{
    struct llm_attempt *attempt = step->request;

    if (attempt && !step->env->offline)
        llm_hedge_finish(&attempt->asking);
}

const struct step_kind_ops step_llm_ops = {
    .kind = STEP_LLM,
    .prepare = llm_prepare,
    .describe = llm_describe,
    .reusable = llm_reusable,
    .lane = llm_lane,
    .estimate = llm_estimate,
    .start = llm_start,
    .abort = llm_abort,
    .cleanup = llm_cleanup,
};
