/* run_eval.c - see run_eval.h: evaluations begun, sent to jq where needed, and answered. Called by
 * run_exec.c and run_calls.c. */
#include "service/run/run_eval.h"

#include "service/tape/tape.h"

#include "base/json.h"
#include "base/limits.h"

#include <stdlib.h>

/* One answer of jq. */
struct known {
    const struct expr *expr;
    struct pl_str json;
    struct pl_err err;
};

/* One evaluation that waits for jq, or has waited: its answers last as long as it. */
struct exec_eval {
    struct jq_job job;
    struct run_exec *exec;
    struct run_effect effect; /* unless it is of a call */
    struct exec_call *call;   /* NULL: of an effect, or not wanted any more */
    bool of_call;
    struct tape_mark *mark;    /* where a tape runs: of what is asked at present, or NULL */
    struct pl_list link;       /* on replay.evals, while it is back before its turn */
    struct pl_arena *arena;    /* job, answers */
    const struct expr **exprs; /* of the job, by position */
    struct known *known;
    size_t n_known;
};

/* ---- what is known ---- */

static const struct known *find_known(const struct exec_eval *eval, const struct expr *expr)
{
    for (size_t i = 0; eval && i < eval->n_known; i++)
        if (eval->known[i].expr == expr)
            return &eval->known[i];
    return NULL;
}

static bool note_missing(struct value_asker *asker, const struct expr *expr)
{
    if (asker->n_missing == asker->missing_capacity) {
        size_t capacity = asker->missing_capacity ? asker->missing_capacity * 2 : 8;
        const struct expr **grown =
            pl_arena_alloc_array(asker->exec->scratch, capacity, sizeof(*grown));

        if (!grown)
            return false;
        if (asker->n_missing)
            memcpy(grown, asker->missing, asker->n_missing * sizeof(struct expr *));
        asker->missing = grown;
        asker->missing_capacity = capacity;
    }
    for (size_t i = 0; i < asker->n_missing; i++)
        if (asker->missing[i] == expr)
            return true;
    asker->missing[asker->n_missing++] = expr;
    return true;
}

enum pl_code run_eval_jq(void *arg, const struct expr *expr, struct pl_str *ret_json,
                         struct pl_err *err)
{
    struct value_asker *asker = arg;
    const struct known *known = find_known(asker->known, expr);

    *ret_json = PL_STR("null");
    if (!known)
        return note_missing(asker, expr) ? PL_OK
                                         : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    *ret_json = known->json;
    *err = known->err;
    return known->err.code;
}

enum pl_code run_eval_fold(struct value_asker *asker, const struct run_writes *writes,
                           struct pl_str *ret_json, struct pl_err *err)
{
    const struct known *known = find_known(asker->known, writes->channel->program);

    if (!known) {
        if (!asker->fold.channel)
            asker->fold = *writes;
        return PL_OK;
    }
    if (known->err.code != PL_OK)
        return pl_err_set(err, known->err.code, "state channel %.*s: %s",
                          PL_STR_ARG(writes->channel->name), known->err.message);
    *ret_json = known->json;
    return PL_OK;
}

/* ---- the job ---- */

static void deliver(struct jq_job *job);

static struct exec_eval *create(struct run_exec *exec)
{
    struct exec_eval *eval = calloc(1, sizeof(*eval));

    if (!eval)
        return NULL;
    eval->arena = pl_arena_create(0);
    if (!eval->arena) {
        free(eval);
        return NULL;
    }
    eval->exec = exec;
    return eval;
}

void run_eval_destroy(struct exec_eval *eval)
{
    if (!eval)
        return;
    pl_arena_destroy(&eval->arena);
    free(eval);
}

/* What the missing expressions look at. Only here do they look at the state: a channel that jq
 * folds and that is not known yet is noted now, and what was written without it is worth nothing.
 */
static enum pl_code write_document(struct value_asker *asker, struct pl_buf *buf,
                                   struct pl_err *err)
{
    struct expr_scope scope = run_values_scope(asker);
    enum pl_code code = PL_OK;

    if (!asker->fold.channel)
        code = expr_write_document(asker->missing, asker->n_missing, &scope, buf, err);
    if (asker->fold.channel) {
        pl_buf_reset(buf);
        run_state_write_document(&asker->fold, buf);
        code = PL_OK;
    } else if (code == PL_OK && asker->err.code != PL_OK) {
        *err = asker->err;
        code = err->code;
    }
    if (code == PL_OK && buf->too_large)
        code = pl_err_set(err, PL_ERR_TOO_LARGE, "what an expression looks at is over %d bytes",
                          PL_LIMIT_RUN_OUTPUT_BYTES);
    return code;
}

/* The document, and which expressions are asked for. */
static bool fill_job(struct exec_eval *eval, struct value_asker *asker, struct pl_err *err)
{
    const struct run_exec *exec = eval->exec;
    struct pl_buf buf;
    enum pl_code code;
    const struct expr *fold, **wanted;
    uint32_t *indexes;
    size_t n;

    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    code = write_document(asker, &buf, err);
    fold = asker->fold.channel ? asker->fold.channel->program : NULL;
    wanted = fold ? &fold : asker->missing;
    n = fold ? 1 : asker->n_missing;
    indexes = pl_arena_alloc_array(eval->arena, n, sizeof(*indexes));
    eval->exprs = pl_arena_alloc_array(eval->arena, n, sizeof(struct expr *));
    eval->job = (struct jq_job){
        .program =
            fold ? asker->fold.channel->body->workflow->jq : asker->frame->body->workflow->jq,
        .indexes = indexes,
        .n_indexes = n,
        .document = pl_arena_str(eval->arena, pl_buf_view(&buf)),
        .queue = exec->queue_key,
        .max_output = PL_LIMIT_STEP_OUTPUT_BYTES,
        .arena = eval->arena,
        .done = deliver,
        .loop = exec->home,
    };
    pl_buf_finish(&buf);
    for (size_t i = 0; indexes && eval->exprs && i < n; i++) {
        indexes[i] = wanted[i]->jq_index;
        eval->exprs[i] = wanted[i];
    }
    if (code == PL_OK && pl_arena_failed(eval->arena))
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    return code == PL_OK;
}

static const char *const names[] = {
    [RUN_EVAL_WHEN] = "when",     [RUN_EVAL_ACCEPT] = "accept", [RUN_EVAL_DEFAULT] = "default",
    [RUN_EVAL_OUTPUT] = "output", [RUN_EVAL_BEGIN] = "begin",   [RUN_EVAL_KEY] = "key",
    [RUN_EVAL_WRITES] = "writes", [RUN_EVAL_BODY] = "body",     [RUN_EVAL_TIMEOUT] = "timeout",
    [RUN_EVAL_UNTIL] = "until",
};

/* As recordings name it. */
static struct tape_mark *mark_of(const struct exec_eval *eval, const struct value_asker *asker)
{
    return run_tape_asks_jq(eval->exec, asker->node ? asker->node->path : asker->frame->path,
                            eval->of_call ? "call" : names[eval->effect.what]);
}

/* False: it cannot be asked, err says why. */
static bool submit(struct exec_eval *eval, struct value_asker *asker, struct pl_err *err)
{
    struct run_exec *exec = eval->exec;

    if (!exec->env->jq) {
        pl_err_set(err, PL_ERR_UNSUPPORTED, "there are no workers for jq");
        return false;
    }
    if (!fill_job(eval, asker, err))
        return false;
    eval->mark = mark_of(eval, asker);
    exec->evals++;
    jq_pool_submit(exec->env->jq, &eval->job);
    return true;
}

void run_eval_withdraw(struct run_exec *exec)
{
    if (exec->evals > 0)
        jq_pool_withdraw(exec->env->jq, exec->queue_key);
}

/* What came back is known from now on. */
static bool learn(struct exec_eval *eval)
{
    size_t n = eval->job.n_indexes;
    struct known *known = pl_arena_alloc_array(eval->arena, eval->n_known + n, sizeof(*known));

    if (!known || !eval->job.answers)
        return false;
    if (eval->n_known)
        memcpy(known, eval->known, eval->n_known * sizeof(*known));
    for (size_t i = 0; i < n; i++)
        known[eval->n_known + i] = (struct known){.expr = eval->exprs[i],
                                                  .json = eval->job.answers[i].json,
                                                  .err = eval->job.answers[i].err};
    eval->known = known;
    eval->n_known += n;
    return true;
}

/* ---- effects ---- */

static struct value_asker asker_of(struct run_exec *exec, const struct run_effect *effect,
                                   const struct exec_eval *known)
{
    struct value_asker asker = {.exec = exec, .node = effect->node, .known = known};

    if (effect->frame) { /* of the whole frame, from inside */
        asker.node = NULL;
        asker.frame = asker.of_frame = effect->frame;
    } else if (effect->node) {
        asker.frame = effect->node->frame;
    } else {
        asker.frame = asker.of_frame = run_core_root(exec->core);
    }
    return asker;
}

/* Evaluates with what is known; when something is missing, asks for it. True: the event is the
 * answer, and the evaluation, if there was one, is over. */
static bool evaluate(struct run_exec *exec, const struct run_effect *effect,
                     struct exec_eval **eval, struct run_event *event)
{
    struct value_asker asker = asker_of(exec, effect, *eval);
    struct pl_err err = {0};

    *event = (struct run_event){.type = RUN_EV_EVALUATED,
                                .now = loop_now(exec->home),
                                .node = effect->node,
                                .what = effect->what};
    run_eval_make(exec, effect, &asker, event);
    if (!run_eval_is_pending(&asker) || exec->dropped)
        return true;
    pl_value_unref(&event->value);
    pl_value_unref(&event->state);
    event->err = (struct pl_err){0};
    if (!*eval)
        *eval = create(exec);
    if (*eval)
        (*eval)->effect = *effect;
    else
        pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
    if (*eval && submit(*eval, &asker, &err))
        return false;
    event->err = err;
    return true;
}

bool run_eval_effect(struct run_exec *exec, const struct run_effect *effect,
                     struct run_event *ret_event)
{
    struct exec_eval *eval = NULL;

    if (!evaluate(exec, effect, &eval, ret_event))
        return false;
    run_eval_destroy(eval);
    return true;
}

static void effect_back(struct exec_eval *eval)
{
    struct run_exec *exec = eval->exec;
    struct run_effect effect = eval->effect;
    struct run_event event;

    if (!evaluate(exec, &effect, &eval, &event))
        return;
    run_eval_destroy(eval);
    if (!run_exec_feed(exec, &event)) {
        pl_value_unref(&event.value);
        pl_value_unref(&event.state);
        run_exec_no_memory(exec);
    }
}

/* ---- calls ---- */

bool run_eval_for_call(struct run_exec *exec, struct exec_call *call, struct value_asker *asker)
{
    struct pl_err err = {0};

    if (!call->eval)
        call->eval = create(exec);
    if (!call->eval)
        return false;
    call->eval->call = call;
    call->eval->of_call = true;
    if (submit(call->eval, asker, &err))
        return true;
    run_calls_fail(call, &err);
    return true;
}

void run_eval_forget_call(struct exec_eval *eval)
{
    eval->call = NULL;
    if (!pl_list_linked(&eval->link))
        return;
    pl_list_remove(&eval->link);
    eval->mark->waits = NULL;
    run_eval_destroy(eval);
}

static void call_back(struct exec_eval *eval)
{
    struct run_exec *exec = eval->exec;

    if (!eval->call)
        run_eval_destroy(eval);
    else if (exec->dropped)
        run_calls_discard(eval->call);
    else
        run_calls_prepare(exec, eval->call);
}

static void go_on(struct exec_eval *eval)
{
    struct run_exec *exec = eval->exec;

    if (eval->of_call)
        call_back(eval);
    else if (exec->dropped)
        run_eval_destroy(eval);
    else
        effect_back(eval);
    run_exec_wake(exec);
}

void run_eval_go_on(struct exec_eval *eval)
{
    pl_list_remove(&eval->link);
    eval->mark->waits = NULL;
    go_on(eval);
}

struct exec_eval *run_eval_from_link(struct pl_list *link)
{
    return pl_container_of(link, struct exec_eval, link);
}

void run_eval_drop_kept(struct run_exec *exec)
{
    for (struct pl_list *link; (link = pl_list_pop(&exec->replay.evals));)
        run_eval_destroy(run_eval_from_link(link));
}

/* The home loop: the answers are there. */
static void deliver(struct jq_job *job)
{
    struct exec_eval *eval = pl_container_of(job, struct exec_eval, job);
    struct run_exec *exec = eval->exec;
    bool learnt = learn(eval);

    exec->evals--;
    if (!learnt)
        run_exec_no_memory(exec);
    run_tape_jq_came(exec, eval->mark);
    if ((!eval->of_call || eval->call) && run_replay_keeps_jq(exec, eval->mark, eval, &eval->link))
        run_exec_wake(exec);
    else
        go_on(eval);
}
