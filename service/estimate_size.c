/* estimate_size.c - how long the texts of a run get, as far as that can be said before it. Not how
 * often they are sent (estimate_steps.c). Called by estimate_steps.c and estimate_calls.c. */
#include "service/estimate_private.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/steps/llm_estimate.h"

#include <math.h>

enum { COPIED_MAX = 64 << 20 };

/* One step's output; a list, newest first: workflows have few that are looked at. */
struct estimate_sizes {
    struct estimate_sizes *next;
    const struct step_def *step;
    struct range bytes;
    bool open; /* it is being found: what it needs of itself counts nothing */
};

static struct range range(double expected, double most)
{
    return (struct range){expected, most};
}

static void add(struct range *to, struct range more)
{
    to->expected += more.expected;
    to->most += more.most;
}

/* ---- what is known ---- */

static const struct estimate_item *item_of(const struct estimate_place *place,
                                           const struct expr_ref *ref)
{
    const struct estimate_item *item = place->item;

    if (ref->root == EXPR_ROOT_AS || ref->root == EXPR_ROOT_AS_INDEX)
        while (item && item->map != ref->step)
            item = item->outer;
    return item;
}

static bool is_known_ref(const struct estimate_place *place, const struct expr_ref *ref)
{
    const struct estimate_item *item = item_of(place, ref);

    switch ((int)ref->root) {
    case EXPR_ROOT_INPUT:
        return place->scope->input.ptr != NULL;
    case EXPR_ROOT_ITEM:
    case EXPR_ROOT_ITEMS:
    case EXPR_ROOT_AS:
        return item && item->value.ptr;
    case EXPR_ROOT_INDEX:
    case EXPR_ROOT_AS_INDEX:
        return item != NULL;
    default:
        return false;
    }
}

static bool is_known(struct estimator *est, const struct estimate_place *place,
                     const struct expr *expr)
{
    struct pl_str value;

    for (size_t i = 0; i < expr->n_refs; i++)
        if (!is_known_ref(place, &expr->refs[i]))
            return false;
    return expr->kind == EXPR_PATH || estimate_jq(est, place->scope, expr, &value);
}

static bool is_known_template(struct estimator *est, const struct estimate_place *place,
                              const struct template *template)
{
    if (template->kind == TEMPLATE_EXPR)
        return is_known(est, place, template->expr);
    for (size_t i = 0; i < template->count; i++) {
        if (template->kind == TEMPLATE_TEXT
                ? template->parts[i].expr && !is_known(est, place, template->parts[i].expr)
                : template->items && !is_known_template(est, place, template->items[i]))
            return false;
    }
    return true;
}

struct asker {
    struct estimator *est;
    const struct estimate_place *place;
};

static struct pl_str scope_root(void *arg, const struct expr_ref *ref)
{
    const struct asker *asker = arg;
    const struct estimate_item *item = item_of(asker->place, ref);
    const char *text;

    if (ref->root == EXPR_ROOT_INPUT)
        return asker->place->scope->input;
    if (!item)
        return PL_STR("null");
    if (ref->root != EXPR_ROOT_INDEX && ref->root != EXPR_ROOT_AS_INDEX)
        return item->value;
    text = pl_arena_printf(asker->est->arena, "%zu", item->index);
    return text ? pl_str(text) : PL_STR("null");
}

static struct pl_str scope_step(void *arg, const struct step_def *step, enum expr_step_field field)
{
    (void)arg;
    (void)step;
    (void)field;
    return PL_STR("null");
}

/* Known already: what is not is never evaluated. */
static enum pl_code scope_jq(void *arg, const struct expr *expr, struct pl_str *ret_json,
                             struct pl_err *err)
{
    const struct asker *asker = arg;

    if (estimate_jq(asker->est, asker->place->scope, expr, ret_json))
        return PL_OK;
    return pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "it is not known before the run");
}

static struct expr_scope scope_of(struct asker *asker)
{
    return (struct expr_scope){
        .arg = asker, .root = scope_root, .step = scope_step, .jq = scope_jq};
}

bool estimate_value(struct estimator *est, const struct estimate_place *place,
                    const struct template *template, struct pl_str *ret_json)
{
    struct asker asker = {est, place};
    struct expr_scope scope = scope_of(&asker);
    struct pl_err err;
    struct pl_buf buf;
    bool ok = is_known_template(est, place, template);

    if (!ok)
        return false;
    if (template->kind == TEMPLATE_EXPR) /* a piece of what is there */
        return expr_eval(template->expr, &scope, ret_json, &err) == PL_OK && ret_json->ptr;
    if (est->copied > COPIED_MAX)
        return false;
    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    ok = template_write_json(template, &scope, &buf, &err) == PL_OK;
    if (ok)
        *ret_json = pl_arena_str(est->arena, pl_buf_view(&buf));
    est->copied += buf.len;
    pl_buf_finish(&buf);
    return ok && ret_json->ptr;
}

bool estimate_truth(struct estimator *est, const struct estimate_place *place,
                    const struct expr *expr, bool *ret_truth)
{
    struct asker asker = {est, place};
    struct expr_scope scope = scope_of(&asker);
    struct pl_str value;
    struct pl_err err;

    if (!is_known(est, place, expr) || expr_eval(expr, &scope, &value, &err) != PL_OK)
        return false;
    *ret_truth = json_truthy(value);
    return true;
}

/* ---- sizes ---- */

static double known_bytes(struct estimator *est, const struct estimate_place *place,
                          const struct expr *expr)
{
    struct asker asker = {est, place};
    struct expr_scope scope = scope_of(&asker);
    struct pl_str value;
    struct pl_err err;

    if (expr_eval(expr, &scope, &value, &err) != PL_OK || json_type(value) == JSON_NULL)
        return 0;
    return (double)(json_type(value) == JSON_STRING ? value.len - 2 : value.len);
}

static struct range ref_bytes(struct estimator *est, const struct estimate_place *place,
                              const struct expr_ref *ref)
{
    if (ref->root == EXPR_ROOT_STEP && ref->step &&
        (ref->field == EXPR_STEP_OUTPUT || ref->field == EXPR_STEP_ALL))
        return estimate_output(est, place, ref->step);
    if (is_known_ref(place, ref)) {
        struct asker asker = {est, place};

        return range((double)scope_root(&asker, ref).len, (double)scope_root(&asker, ref).len);
    }
    if (ref->root == EXPR_ROOT_RUN || ref->root == EXPR_ROOT_THREAD ||
        ref->root == EXPR_ROOT_INDEX || ref->root == EXPR_ROOT_TURN || ref->root == EXPR_ROOT_STEP)
        return range(100, 100);
    estimate_no_bound(est, false,
                      "how long the values are that only a run knows (state, items, what a turn or "
                      "a tool is given): each counts %d bytes",
                      ESTIMATE_BYTES);
    return range(ESTIMATE_BYTES, ESTIMATE_BYTES);
}

static struct range expr_bytes(struct estimator *est, const struct estimate_place *place,
                               const struct expr *expr)
{
    struct range bytes = {0};

    if (is_known(est, place, expr)) {
        double known = known_bytes(est, place, expr);

        return range(known, known);
    }
    if (expr->kind == EXPR_JQ)
        estimate_assume(est, "a jq expression gives as much as all it mentions together");
    for (size_t i = 0; i < expr->n_refs; i++)
        add(&bytes, ref_bytes(est, place, &expr->refs[i]));
    return bytes;
}

struct range estimate_template(struct estimator *est, const struct estimate_place *place,
                               const struct template *template)
{
    struct range bytes = {0};

    if (!template)
        return bytes;
    if (template->kind == TEMPLATE_CONST)
        return range((double)template->json.len, (double)template->json.len);
    if (template->kind == TEMPLATE_EXPR)
        return expr_bytes(est, place, template->expr);
    for (size_t i = 0; i < template->count; i++) {
        if (template->kind == TEMPLATE_TEXT) {
            const struct template_part *part = &template->parts[i];
            double len = (double)part->literal.len;

            add(&bytes, part->expr ? expr_bytes(est, place, part->expr) : range(len, len));
            continue;
        }
        if (template->kind == TEMPLATE_OBJECT)
            add(&bytes,
                range((double)template->keys[i].len + 2, (double)template->keys[i].len + 2));
        add(&bytes, estimate_template(est, place, template->items[i]));
    }
    return bytes;
}

struct range estimate_answer(struct estimator *est, const struct step_def *step,
                             const struct llm_config *llm)
{
    double most = (double)llm_output_tokens(llm->max_tokens);

    (void)step;
    estimate_assume(est,
                    "an answer is expected to have %d tokens, or max_tokens where that is less",
                    ESTIMATE_ANSWER_TOKENS);
    if (!llm->max_tokens)
        estimate_assume(est, "without max_tokens an answer has at most %d tokens",
                        PL_DEFAULT_OUTPUT_TOKENS);
    return range(fmin(most, ESTIMATE_ANSWER_TOKENS), most);
}

struct range estimate_items(struct estimator *est, const struct estimate_place *place,
                            const struct step_def *map, struct pl_str *ret_items)
{
    const struct map_config *config = map->config.map;

    *ret_items = (struct pl_str){0};
    if (estimate_value(est, place, config->over, ret_items) &&
        json_type(*ret_items) == JSON_ARRAY) {
        double count = (double)json_count(*ret_items);

        return range(count, count);
    }
    *ret_items = (struct pl_str){0};
    estimate_no_bound(est, true, "how many items '%s' goes through: %d are assumed", map->path.ptr,
                      ESTIMATE_ITEMS);
    return range(ESTIMATE_ITEMS, ESTIMATE_ITEMS);
}

/* ---- outputs ---- */

struct range estimate_body_output(struct estimator *est, const struct estimate_place *place,
                                  const struct step_body *body)
{
    struct range bytes = {0};

    if (body->output)
        return estimate_template(est, place, body->output);
    for (size_t i = 0; i < body->n_sinks; i++)
        add(&bytes, estimate_output(est, place, body->sinks[i]));
    for (size_t i = 0; body->n_sinks == 0 && i < body->n_top; i++)
        add(&bytes, estimate_output(est, place, body->top[i]));
    return bytes;
}

/* Items are not looked at one by one here. */
static struct range map_bytes(struct estimator *est, const struct estimate_place *place,
                              const struct step_def *step)
{
    struct estimate_item item = {.map = step, .outer = place->item};
    struct estimate_place inside = *place;
    struct pl_str items;
    struct range count = estimate_items(est, place, step, &items), one;

    inside.item = &item;
    if (items.ptr && !json_at(items, 0, &item.value))
        item.value = (struct pl_str){0};
    one = estimate_body_output(est, &inside, step->bodies[0]);
    if (step->config.map->fan_in)
        return estimate_body_output(est, &inside, step->bodies[1]);
    return range(count.expected * (one.expected + 3), count.most * (one.most + 3));
}

static struct range output_bytes(struct estimator *est, const struct estimate_place *place,
                                 const struct step_def *step)
{
    struct range bytes = {0};

    switch ((int)step->kind) {
    case STEP_LLM:
    case STEP_AGENT:
        bytes = estimate_answer(
            est, step, step->kind == STEP_LLM ? step->config.llm : step->config.agent->llm);
        return range(bytes.expected * LLM_BYTES_PER_TOKEN, bytes.most * LLM_BYTES_PER_TOKEN);
    case STEP_REDUCE:
        return estimate_template(est, place, step->config.reduce->from);
    case STEP_PARALLEL:
        for (size_t i = 0; i < step->n_children; i++)
            add(&bytes, estimate_output(est, place, step->children[i]));
        return bytes;
    case STEP_MAP:
        return map_bytes(est, place, step);
    case STEP_VOTE:
    case STEP_WORKFLOW:
    case STEP_REPEAT:
        return estimate_body_output(est, place, step->bodies[0]);
    case STEP_SLEEP:
        return range(4, 4);
    default:
        estimate_no_bound(est, false, "how long the answer of '%s' is: %d bytes are assumed",
                          step->path.ptr, ESTIMATE_BYTES);
        return range(ESTIMATE_BYTES, ESTIMATE_BYTES);
    }
}

struct range estimate_output(struct estimator *est, const struct estimate_place *place,
                             const struct step_def *step)
{
    struct estimate_sizes *size = est->sizes;

    while (size && size->step != step)
        size = size->next;
    if (size)
        return size->open ? range(0, 0) : size->bytes;
    size = pl_arena_alloc(est->arena, sizeof *size);
    if (!size) {
        est->no_memory = true;
        return range(0, 0);
    }
    *size = (struct estimate_sizes){.next = est->sizes, .step = step, .open = true};
    est->sizes = size;
    size->bytes = output_bytes(est, place, step);
    size->open = false;
    return size->bytes;
}
