/* workflow_braces.c - `{{ name }}` in what is sent to models, people and servers: elsewhere that is
 * replaced, in Plait it is text. Not expressions (template.c). Called by workflow_check, of what is
 * handed in.
 *
 * Only what looks like a reference is warned of: `{{ name }}`, `{{ $json.name }}`, `{{ name |
 * upper }}`. Prose, JSON and programs between two braces are nobody's mistake. */
#include "service/workflow/workflow_checks.h"

#include "service/expr/expr_parse.h"
#include "service/expr/expr_scan.h"

enum { REFERENCE_MAX = 120 };

struct braces {
    struct wf_parser *p;
    struct wf_ctx ctx; /* for messages */
    struct expr_names names;
};

/* ---- finding ---- */

static struct pl_str trim(struct pl_str text)
{
    while (text.len && (expr_is_space(text.ptr[0]) || text.ptr[0] == '-' || text.ptr[0] == '~'))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && (expr_is_space(text.ptr[text.len - 1]) || text.ptr[text.len - 1] == '-'))
        text.len--;
    return text;
}

/* What stands before the first filter, if it is a reference: names with points and brackets. */
static bool is_reference(struct pl_str inside, struct pl_str *ret)
{
    const char *filter = inside.len ? memchr(inside.ptr, '|', inside.len) : NULL;
    struct pl_str head = inside;

    if (filter)
        head.len = (size_t)(filter - inside.ptr);
    head = trim(head);
    if (head.len == 0 || head.len > REFERENCE_MAX ||
        !(expr_is_name_start(head.ptr[0]) || ((head.ptr[0] == '$' || head.ptr[0] == '.') &&
                                              head.len > 1 && expr_is_name_start(head.ptr[1]))))
        return false;
    for (size_t i = 1; i < head.len; i++)
        if (!expr_is_name(head.ptr[i]) && !strchr(".[]'\"-", head.ptr[i]))
            return false;
    *ret = head;
    return true;
}

/* The first `{{ reference }}` within [at, end) of the text. */
static bool find_within(struct pl_str text, size_t at, size_t end, struct pl_str *ret_whole,
                        struct pl_str *ret_reference)
{
    while (at + 4 <= end) {
        const char *open = memmem(text.ptr + at, end - at, "{{", 2), *close;

        if (!open)
            return false;
        close = memmem(open + 2, (size_t)(text.ptr + end - open) - 2, "}}", 2);
        if (!close)
            return false;
        *ret_whole = pl_str_n(open, (size_t)(close - open) + 2);
        if (is_reference(pl_str_n(open + 2, (size_t)(close - open) - 2), ret_reference))
            return true;
        at = (size_t)(open - text.ptr) + 1;
    }
    return false;
}

/* The same outside expressions. */
static bool find(struct pl_str text, struct pl_str *ret_whole, struct pl_str *ret_reference)
{
    size_t from = 0, at = 0, close;
    bool escaped;

    while (expr_scan_open(text, at, &at, &escaped)) {
        if (escaped) {
            at += 3;
            continue;
        }
        if (find_within(text, from, at, ret_whole, ret_reference))
            return true;
        if (!expr_scan_close(text, at, &close))
            return false;
        from = at = close + 1;
    }
    return find_within(text, from, text.len, ret_whole, ret_reference);
}

/* ---- telling ---- */

/* The expression that was most likely meant. */
static const char *meant(struct braces *b, struct pl_str reference)
{
    struct pl_str path = reference, root;
    struct expr_ref ref;

    if (path.ptr[0] == '$' || path.ptr[0] == '.')
        path = pl_str_n(path.ptr + 1, path.len - 1);
    root = expr_name_at(path.ptr, path.ptr + path.len);
    if (pl_str_is(root, "json") && path.len > 5)
        path = pl_str_n(path.ptr + 5, path.len - 5); /* n8n: $json.name */
    else if (expr_find_root(&b->names, root, false, &ref) != EXPR_UNKNOWN)
        return pl_arena_printf(b->p->scratch, ".%.*s", PL_STR_ARG(path));
    for (size_t i = 0; i < path.len; i++)
        if (!expr_is_name(path.ptr[i]) && path.ptr[i] != '.')
            return ".input.name";
    return pl_arena_printf(b->p->scratch, ".input.%.*s", PL_STR_ARG(path));
}

static void check_text(struct braces *b, const struct doc_node *node)
{
    struct pl_str whole, reference;
    const char *path;

    if (!find(node->text, &whole, &reference))
        return;
    path = meant(b, reference);
    if (path)
        doc_problem_at(&b->p->workflow->warnings, node, false,
                       "'%s' is sent as it stands: expressions are written ${ ... }, such as ${ %s "
                       "}",
                       wf_show(&b->ctx, whole), path);
}

/* Every string of a value. Documents nest only so deep. */
static void check_value(struct braces *b, const struct doc_node *node)
{
    if (node->type == DOC_STRING)
        check_text(b, node);
    for (size_t i = 0; i < node->count; i++)
        check_value(b, node->items[i]);
}

static void check_template(struct braces *b, const struct template *template)
{
    if (template)
        check_value(b, template->node);
}

static void check_llm(struct braces *b, const struct llm_config *llm)
{
    if (!llm)
        return;
    check_template(b, llm->system);
    check_template(b, llm->messages);
    check_template(b, llm->prompt);
}

static bool is_turn_of_agent(const struct step_def *step)
{
    return step->body->role == BODY_TURN && step->body->owner->kind == STEP_AGENT;
}

void wf_check_braces(struct wf_parser *p)
{
    struct braces b = {.p = p, .ctx = {.p = p}, .names = {.roots = WF_ROOTS}};

    for (size_t i = 0; i < p->n_steps; i++) {
        const struct step_def *step = p->steps[i].def;

        /* the model's turn of an agent has the agent's own texts */
        if (step->kind == STEP_LLM && !is_turn_of_agent(step))
            check_llm(&b, step->config.llm);
        else if (step->kind == STEP_AGENT && step->config.agent)
            check_llm(&b, step->config.agent->llm);
        else if (step->kind == STEP_HUMAN && step->config.human)
            check_template(&b, step->config.human->ask);
        else if (step->kind == STEP_HTTP && step->config.http)
            check_template(&b, step->config.http->url);
    }
}
