/* llm_parse.c - reads what stands under `llm`. Not the call itself (steps/llm.c) and not whether
 * the model exists (workflow_check.c). Called by workflow_steps through its table of kinds. */
#include "service/workflow/workflow_parse.h"

#include "base/limits.h"

enum {
    MAX_TOKENS_MAX = 1 << 30,
    REPAIR = 1,
    REPAIR_MAX = 100,
    FALLBACK_MAX = 16,
    HEDGES = 1,
};

static void llm_model(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct llm_config *llm = target;

    if (!wf_literal(ctx, node))
        return;
    llm->model = node->text;
    ctx->p->steps[ctx->step->index].own_model = node;
}

static void llm_system(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct llm_config *)target)->system = wf_template(ctx, node);
}

static void llm_prompt(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    ((struct llm_config *)target)->prompt = wf_template(ctx, node);
}

/* ---- messages ---- */

static bool has_expression(const struct doc_node *node)
{
    return node->type == DOC_STRING && memmem(node->text.ptr, node->text.len, "${", 2);
}

/* The member of a part that carries its content, by its `type`. */
static const struct {
    const char *type, *member;
} part_types[] = {
    {"text", "text"},
    {"image_url", "image_url"},
    {"input_audio", "input_audio"},
    {"file", "file"},
};

static void check_part(struct wf_ctx *ctx, const struct doc_node *part)
{
    static const char *const words[] = {"text", "image_url", "input_audio", "file", NULL};
    const struct doc_node *type;
    size_t index;

    if (has_expression(part))
        return;
    if (part->type != DOC_OBJECT || !(type = doc_get(part, "type"))) {
        wf_problem(ctx, part, "a content part is an object such as {type: text, text: ...}");
        return;
    }
    if (has_expression(type) || !wf_word(ctx, type, words, &index))
        return;
    const struct doc_node *content = doc_get(part, part_types[index].member);
    if (!content)
        wf_problem(ctx, part, "a part of type %s needs '%s'", part_types[index].type,
                   part_types[index].member);
    else if (index == 0)
        (void)wf_type(ctx, content, "text", WF_TEXT, "a string");
    else if (!has_expression(content))
        (void)wf_type(ctx, content, part_types[index].member, WF_OBJECT, "an object");
}

static void check_message(struct wf_ctx *ctx, const struct doc_node *message)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
    size_t index;

    if (has_expression(message))
        return;
    if (message->type != DOC_OBJECT) {
        wf_problem(ctx, message,
                   "a message is an object such as {role: user, content: ...}, not %s",
                   doc_type_name(message->type));
        return;
    }
    const struct doc_node *role = doc_get(message, "role");
    const struct doc_node *content = doc_get(message, "content");
    if (!role)
        wf_problem(ctx, message, "a message needs 'role': system, user, assistant or tool");
    else if (!has_expression(role))
        (void)wf_word(ctx, role, roles, &index);
    if (!content) {
        if (!doc_get(message, "tool_calls"))
            wf_problem(ctx, message, "a message needs 'content': a string or a list of parts");
        return;
    }
    if (!wf_type(ctx, content, "content", WF_TEXT | WF_LIST | WF_NULL,
                 "a string or a list of parts"))
        return;
    if (content->type == DOC_LIST)
        for (size_t i = 0; i < content->count; i++)
            check_part(ctx, content->items[i]);
}

static void llm_messages(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct llm_config *llm = target;

    llm->messages = wf_template(ctx, node);
    if (node->type == DOC_STRING) {
        if (llm->messages && !wf_is_expression(llm->messages))
            wf_problem(ctx, node,
                       "'messages' is a list of messages or one expression that gives "
                       "one; a text goes under 'prompt'");
        return;
    }
    if (node->count == 0 && !doc_get(node->parent, "prompt"))
        wf_problem(ctx, node, "'messages' is empty; add a message or a 'prompt'");
    for (size_t i = 0; i < node->count; i++)
        check_message(ctx, node->items[i]);
}

/* ---- the rest ---- */

static void llm_temperature(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    double number;

    if (!wf_number(ctx, node, &number))
        return;
    if (number < 0)
        wf_problem(ctx, node, "'temperature' cannot be negative; 0 is the least random");
    else
        ((struct llm_config *)target)->temperature = node->text;
}

static void llm_max_tokens(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_count(ctx, node, 1, MAX_TOKENS_MAX, &((struct llm_config *)target)->max_tokens);
}

static void llm_seed(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t seed;

    if (wf_count(ctx, node, INT64_MIN, INT64_MAX, &seed))
        ((struct llm_config *)target)->seed = node->text;
}

static void llm_stop(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct pl_buf buf;
    bool ok = true;

    for (size_t i = 0; i < node->count; i++)
        ok &= wf_type(ctx, node->items[i], "stop", WF_TEXT, "a string or a list of strings");
    if (!ok)
        return;
    pl_buf_init(&buf, PL_LIMIT_DOCUMENT_BYTES);
    if (node->type == DOC_STRING)
        pl_buf_char(&buf, '[');
    doc_write_json(node, &buf);
    if (node->type == DOC_STRING)
        pl_buf_char(&buf, ']');
    if (pl_buf_failed(&buf))
        wf_problem(ctx, node, "'stop' is too long");
    else
        ((struct llm_config *)target)->stop = pl_arena_str(ctx->p->arena, pl_buf_view(&buf));
    pl_buf_finish(&buf);
}

static void llm_extra(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    static const char *const own[] = {"model", "messages", "stream"}; /* of every provider */
    struct llm_config *llm = target;

    llm->extra = wf_template(ctx, node);
    if (node->type == DOC_STRING && llm->extra && !wf_is_expression(llm->extra))
        wf_problem(ctx, node, "'extra' is an object of further parameters for the provider");
    for (size_t i = 0; node->type == DOC_OBJECT && i < PL_ARRAY_LEN(own); i++)
        if (doc_get(node, own[i]))
            wf_problem_key(ctx, doc_get(node, own[i]),
                           "'extra' may not set '%s'; the step has its own", own[i]);
}

static void llm_schema(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    wf_parse_schema(ctx, node, &((struct llm_config *)target)->schema);
}

static void llm_repair(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t count;

    if (!wf_count(ctx, node, 0, REPAIR_MAX, &count))
        return;
    ((struct llm_config *)target)->repair = (unsigned)count;
    if (!doc_get(node->parent, "schema"))
        wf_problem_key(ctx, node,
                       "'repair' asks again when an answer does not fit 'schema'; add a schema");
}

static void llm_fallback(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct llm_config *llm = target;

    if (node->count > FALLBACK_MAX) {
        wf_problem(ctx, node, "at most %d models can follow each other", FALLBACK_MAX);
        return;
    }
    llm->fallback = pl_arena_alloc_array(ctx->p->arena, node->count + 1, sizeof(*llm->fallback));
    for (size_t i = 0; llm->fallback && i < node->count; i++)
        if (wf_type(ctx, node->items[i], "fallback", WF_TEXT, "a list of models") &&
            wf_literal(ctx, node->items[i]))
            llm->fallback[llm->n_fallback++] = node->items[i]->text;
    ctx->p->steps[ctx->step->index].fallback = node;
}

/* ---- cache ---- */

static void cache_ttl(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    (void)wf_duration(ctx, node, false, &((struct llm_config *)target)->cache_ttl);
}

static const struct wf_field cache_fields[] = {
    {.key = "ttl",
     .types = WF_STRING | WF_NUMBER,
     .help = "a duration such as 30s, 5m or 24h, or a number of seconds",
     .parse = cache_ttl},
};

static const struct wf_object cache_object = {
    .what = "cache",
    .fields = cache_fields,
    .n_fields = PL_ARRAY_LEN(cache_fields),
};

static void llm_cache(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    wf_object(ctx, node, &cache_object, target);
    if (!doc_get(node, "ttl"))
        wf_problem_key(ctx, node, "cache needs 'ttl': how long an answer may be used again");
}

/* ---- hedge ---- */

static void hedge_after(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    pl_ms *after = &((struct hedge_policy *)target)->after;

    if (node->type == DOC_STRING && pl_str_is(node->text, "p95"))
        *after = 0;
    else if (node->type == DOC_STRING && !pl_duration_parse(node->text, after))
        wf_problem(ctx, node, "'after' must be a duration such as 2s or the word p95, not '%s'",
                   wf_show(ctx, node->text));
    else if (wf_duration(ctx, node, true, after) && *after == 0)
        wf_problem(ctx, node, "'after' must be more than 0; p95 is what is known to be late");
}

static void hedge_max(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    int64_t max;

    if (wf_count(ctx, node, 1, HEDGE_MAX, &max))
        ((struct hedge_policy *)target)->max = (unsigned)max;
}

static const struct wf_field hedge_fields[] = {
    {.key = "after",
     .types = WF_DURATION,
     .help = "a duration such as 2s, or p95",
     .parse = hedge_after},
    {.key = "max",
     .types = WF_NUMBER,
     .help = "how often a late call is sent again at most",
     .parse = hedge_max},
};

static const struct wf_object hedge_object = {
    .what = "hedge",
    .fields = hedge_fields,
    .n_fields = PL_ARRAY_LEN(hedge_fields),
    .example = "{after: 2s}",
};

static void llm_hedge(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct hedge_policy *hedge = &((struct llm_config *)target)->hedge;

    hedge->max = HEDGES;
    wf_object(ctx, node, &hedge_object, hedge);
}

static const struct wf_field llm_fields[] = {
    {.key = "model",
     .types = WF_TEXT,
     .help = "provider/model, such as openai/gpt-4o-mini",
     .parse = llm_model},
    {.key = "system", .types = WF_TEXT, .help = "a text", .parse = llm_system},
    {.key = "messages",
     .types = WF_LIST | WF_STRING,
     .help = "a list of messages such as {role: user, content: ...}",
     .parse = llm_messages},
    {.key = "prompt", .types = WF_TEXT, .help = "a text", .parse = llm_prompt},
    {.key = "temperature",
     .types = WF_NUMBER,
     .help = "a number such as 0.7",
     .parse = llm_temperature},
    {.key = "max_tokens",
     .types = WF_NUMBER,
     .help = "a whole number of tokens",
     .parse = llm_max_tokens},
    {.key = "seed", .types = WF_NUMBER, .help = "a whole number", .parse = llm_seed},
    {.key = "stop",
     .types = WF_STRING | WF_LIST,
     .help = "a string or a list of strings",
     .parse = llm_stop},
    {.key = "extra",
     .types = WF_OBJECT | WF_STRING,
     .help = "an object of further parameters for the provider",
     .parse = llm_extra},
    {.key = "schema",
     .types = WF_OBJECT | WF_BOOL | WF_STRING,
     .help = "a JSON Schema or the name of one under 'schemas'",
     .parse = llm_schema},
    {.key = "repair",
     .types = WF_NUMBER,
     .help = "how often the model is asked again when its answer does not fit",
     .parse = llm_repair},
    {.key = "fallback",
     .types = WF_LIST,
     .help = "a list of models, such as [openai/gpt-4o-mini]",
     .parse = llm_fallback},
    {.key = "hedge",
     .types = WF_OBJECT,
     .help = "an object such as {after: 2s}",
     .parse = llm_hedge},
    {.key = "cache", .types = WF_OBJECT, .help = "an object such as {ttl: 1h}", .parse = llm_cache},
};

static const char *llm_elsewhere(struct pl_str key)
{
    if (pl_str_is(key, "tools") || pl_str_is(key, "max_turns"))
        return "a model with tools is an 'agent' step";
    if (pl_str_is(key, "user"))
        return "the user's turn goes under 'prompt'";
    if (pl_str_is(key, "response_format") || pl_str_is(key, "output_schema"))
        return "JSON that the answer must fit is a 'schema'; the provider's own go under 'extra'";
    return wf_is_step_key(key) ? "it belongs on the step, beside 'llm'" : NULL;
}

const struct wf_object wf_llm_object = {
    .what = "llm",
    .fields = llm_fields,
    .n_fields = PL_ARRAY_LEN(llm_fields),
    .elsewhere = llm_elsewhere,
    .example = "{prompt: text}",
};

bool wf_is_llm_key(struct pl_str key)
{
    return wf_has_field(&wf_llm_object, key);
}

void wf_read_llm(struct wf_ctx *ctx, const struct doc_node *node, const struct wf_object *object,
                 struct llm_config *llm)
{
    struct wf_step *step;

    llm->repair = REPAIR;
    wf_object(ctx, node, object, llm);
    if (node->type != DOC_OBJECT)
        return;
    step = &ctx->p->steps[ctx->step->index];
    step->llm = node;
    step->config = llm;
    if (!doc_get(node, "prompt") && !doc_get(node, "messages"))
        wf_problem_key(ctx, node, "%s asks nothing; add 'prompt' or 'messages'",
                       object == &wf_llm_object ? "an llm step" : "an agent");
}

void wf_parse_llm(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct llm_config *llm = pl_arena_alloc(ctx->p->arena, sizeof(*llm));

    if (!llm)
        return;
    ctx->step->config.llm = llm;
    wf_read_llm(ctx, node, &wf_llm_object, llm);
}
