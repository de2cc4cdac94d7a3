/* workflow.c - a workflow from its text to the compiled, shared thing, its references, and its
 * words. Not the reading (workflow_parse.c) nor the checks (workflow_check.c). Called by the
 * engine, by `plait check` and by tests. */
#include "service/workflow/workflow.h"

#include "base/limits.h"
#include "service/workflow/workflow_children.h"
#include "service/workflow/workflow_parse.h"

#include <sodium.h>

/* ---- the pinned text ---- */

static void hash_text(struct pl_str text, char ret_hash[65])
{
    unsigned char hash[crypto_hash_sha256_BYTES];

    crypto_hash_sha256(hash, (const unsigned char *)text.ptr, text.len);
    sodium_bin2hex(ret_hash, 65, hash, sizeof(hash));
}

/* Takes what was written out; it must be short enough to be read again. */
static enum pl_code take_text(struct workflow *workflow, struct pl_buf *buf, struct pl_str *ret,
                              const struct doc_node *root, struct doc_problems *problems)
{
    enum pl_code code = PL_OK;

    if (buf->too_large) {
        doc_problem_at(problems, root, false,
                       "the workflow is larger than %d MiB with its aliases written out and the "
                       "workflows it calls; make it smaller",
                       PL_LIMIT_DOCUMENT_BYTES >> 20);
        code = PL_ERR_TOO_LARGE;
    } else if (pl_buf_failed(buf)) {
        code = PL_ERR_NO_MEMORY;
    } else {
        *ret = pl_arena_str(workflow->arena, pl_buf_view(buf));
        if (pl_arena_failed(workflow->arena))
            code = PL_ERR_NO_MEMORY;
    }
    pl_buf_finish(buf);
    return code;
}

static enum pl_code write_source(struct workflow *workflow, const struct doc_node *root,
                                 struct doc_problems *problems)
{
    struct pl_buf buf;
    enum pl_code code;

    pl_buf_init(&buf, PL_LIMIT_DOCUMENT_BYTES);
    doc_write_json(root, &buf);
    code = take_text(workflow, &buf, &workflow->source, root, problems);
    if (code == PL_OK)
        hash_text(workflow->source, workflow->source_hash);
    return code;
}

/* Behind the parsing, which wrote versions behind the names of children. */
static enum pl_code pin_text(struct workflow *workflow, const struct doc_node *root,
                             const struct wf_session *session, const struct wf_caller *caller,
                             struct doc_problems *problems)
{
    struct pl_buf buf;
    enum pl_code code;

    if (workflow->n_children == 0) {
        workflow->text = workflow->source;
        memcpy(workflow->hash, workflow->source_hash, sizeof(workflow->hash));
        return PL_OK;
    }
    pl_buf_init(&buf, PL_LIMIT_DOCUMENT_BYTES);
    if (caller->depth == 0)
        wf_session_write(session, root, &buf);
    else
        doc_write_json(root, &buf);
    code = take_text(workflow, &buf, &workflow->text, root, problems);
    if (code == PL_OK)
        hash_text(workflow->text, workflow->hash);
    return code;
}

/* ---- compiling ---- */

static bool keep_children(const struct wf_parser *p)
{
    struct workflow *workflow = p->workflow;

    if (p->n_children == 0)
        return true;
    workflow->children = pl_arena_alloc_array(p->arena, p->n_children, sizeof(struct workflow *));
    for (size_t i = 0; workflow->children && i < p->n_children; i++)
        workflow->children[workflow->n_children++] = workflow_ref(p->children[i]);
    return workflow->children != NULL;
}

/* Reads and checks the document into `workflow`. */
static enum pl_code build(struct workflow *workflow, const struct doc_node *root,
                          struct wf_session *session, const struct wf_caller *caller,
                          struct doc_problems *problems)
{
    size_t before = problems->total;
    struct wf_parser parser = {
        .workflow = workflow,
        .arena = workflow->arena,
        .scratch = pl_arena_create(0),
        .problems = problems,
        .env = session->env,
        .session = session,
        .caller = caller,
        .root = root,
    };
    enum pl_code code = PL_OK;

    if (!parser.scratch)
        return PL_ERR_NO_MEMORY;
    wf_parse_workflow(&parser);
    wf_check(&parser);
    if (pl_arena_failed(parser.scratch) || pl_arena_failed(parser.arena) ||
        pl_arena_failed(problems->arena) || pl_arena_failed(session->arena) || session->no_memory)
        code = PL_ERR_NO_MEMORY;
    else if (problems->total > before)
        code = PL_ERR_INVALID_WORKFLOW;
    else if (!keep_children(&parser))
        code = PL_ERR_NO_MEMORY;
    pl_arena_destroy(&parser.scratch);
    return code;
}

/* A definition with its children: what runs keep. */
static struct doc_node *pinned_root(struct wf_session *session, struct doc_node *root)
{
    const struct doc_node *children = doc_get(root, "children");

    if (root->type != DOC_OBJECT || root->count != 2 || !doc_get(root, "workflow") || !children ||
        children->type != DOC_OBJECT)
        return root;
    session->pinned = children;
    return root->items[pl_str_is(root->items[0]->key, "workflow") ? 0 : 1];
}

static enum pl_code compile(struct workflow *workflow, struct pl_str text, enum doc_format format,
                            struct wf_session *session, const struct wf_caller *caller,
                            struct doc_problems *problems)
{
    const struct workflow_env *env = session->env;
    struct doc_node *root = NULL;
    enum pl_code code = doc_parse(workflow->arena, text, format, &root, problems);

    if (code != PL_OK)
        return code;
    if (caller->depth == 0) {
        session->text = text;
        root = pinned_root(session, root);
    }
    workflow->document = root;
    if (env && env->model.len && !wf_override_model(workflow->arena, root, env->model))
        return PL_ERR_NO_MEMORY;
    code = write_source(workflow, root, problems);
    if (code == PL_OK)
        code = build(workflow, root, session, caller, problems);
    if (code == PL_OK)
        code = pin_text(workflow, root, session, caller, problems);
    return code;
}

enum pl_code wf_session_compile(struct wf_session *session, struct pl_str text,
                                enum doc_format format, const struct wf_caller *caller,
                                struct workflow **ret_workflow, struct doc_problems *problems)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = arena ? pl_arena_alloc(arena, sizeof(*workflow)) : NULL;
    enum pl_code code;

    if (!workflow) {
        pl_arena_destroy(&arena);
        return PL_ERR_NO_MEMORY;
    }
    workflow->arena = arena;
    atomic_init(&workflow->refs, 1);
    doc_problems_init(&workflow->warnings, arena);
    code = compile(workflow, text, format, session, caller, problems);
    doc_problems_sort(problems);
    doc_problems_sort(&workflow->warnings);
    if (problems->warnings)
        doc_problems_append(problems->warnings, &workflow->warnings);
    if (code == PL_OK)
        *ret_workflow = workflow;
    else
        workflow_unref(&workflow);
    return code;
}

enum pl_code workflow_compile(struct pl_str text, enum doc_format format,
                              const struct workflow_env *env, struct workflow **ret_workflow,
                              struct doc_problems *problems)
{
    const struct wf_caller nobody = {0};
    struct wf_session session;
    enum pl_code code = PL_ERR_NO_MEMORY;

    if (wf_session_init(&session, env))
        code = wf_session_compile(&session, text, format, &nobody, ret_workflow, problems);
    wf_session_finish(&session);
    return code;
}

/* ---- references ---- */

struct workflow *workflow_ref(struct workflow *workflow)
{
    if (workflow)
        atomic_fetch_add_explicit(&workflow->refs, 1, memory_order_relaxed);
    return workflow;
}

void workflow_unref(struct workflow **workflow)
{
    struct workflow *old = workflow ? *workflow : NULL;

    if (!old)
        return;
    *workflow = NULL;
    /* The last one must see what the others wrote before it frees. */
    if (atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) != 1)
        return;
    /* Workflows call each other at most PL_LIMIT_CHILD_DEPTH deep. */
    for (size_t i = 0; i < old->n_children; i++)
        workflow_unref(&old->children[i]);
    struct pl_arena *arena = old->arena;
    pl_arena_destroy(&arena);
}

/* ---- words ---- */

const char *step_kind_name(enum step_kind kind)
{
    static const char *const names[] = {
        [STEP_LLM] = "llm",           [STEP_HTTP] = "http",   [STEP_PARALLEL] = "parallel",
        [STEP_REDUCE] = "reduce",     [STEP_MAP] = "map",     [STEP_VOTE] = "vote",
        [STEP_WORKFLOW] = "workflow", [STEP_AGENT] = "agent", [STEP_HUMAN] = "human",
        [STEP_REPEAT] = "repeat",     [STEP_SLEEP] = "sleep", [STEP_MCP] = "mcp",
    };

    return (unsigned)kind < PL_ARRAY_LEN(names) ? names[kind] : "unknown";
}

bool step_kind_is_written(enum step_kind kind)
{
    return kind != STEP_MCP;
}

const char *join_kind_name(enum join_kind kind)
{
    static const char *const names[] = {
        [JOIN_ALL] = "all",       [JOIN_SETTLED] = "settled",   [JOIN_ANY] = "any",
        [JOIN_QUORUM] = "quorum", [JOIN_FRACTION] = "fraction",
    };

    return (unsigned)kind < PL_ARRAY_LEN(names) ? names[kind] : "unknown";
}

bool step_kind_is_leaf(enum step_kind kind)
{
    return kind == STEP_LLM || kind == STEP_HTTP || kind == STEP_REDUCE || kind == STEP_MCP;
}

bool step_kind_has_inside(enum step_kind kind)
{
    return !step_kind_is_leaf(kind) && kind != STEP_HUMAN && kind != STEP_SLEEP;
}

bool step_kind_joins(enum step_kind kind)
{
    return kind == STEP_PARALLEL || kind == STEP_MAP || kind == STEP_VOTE;
}
