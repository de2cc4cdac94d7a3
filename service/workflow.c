/* workflow.c - a workflow from its text to the compiled, shared thing, its references, and its
 * words. Not the reading (workflow_parse.c) nor the checks (workflow_check.c). Called by the
 * engine, by `plait check` and by tests. */
#include "service/workflow.h"

#include "base/limits.h"
#include "service/workflow_parse.h"

#include <sodium.h>

/* Aliases are expanded in the pinned text, so it may be longer than the document was. */
enum { TEXT_BYTES_MAX = 4 * PL_LIMIT_DOCUMENT_BYTES };

static enum pl_code pin_text(struct workflow *workflow, const struct doc_node *root,
                             struct doc_problems *problems)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    enum pl_code code = PL_OK;
    struct pl_buf buf;

    pl_buf_init(&buf, TEXT_BYTES_MAX);
    doc_write_json(root, &buf);
    if (buf.too_large) {
        doc_problem_at(problems, root, false,
                       "the workflow is larger than %d MiB with its aliases written out; make it "
                       "smaller",
                       TEXT_BYTES_MAX >> 20);
        code = PL_ERR_TOO_LARGE;
    } else if (pl_buf_failed(&buf)) {
        code = PL_ERR_NO_MEMORY;
    } else {
        workflow->text = pl_arena_str(workflow->arena, pl_buf_view(&buf));
        crypto_hash_sha256(hash, (const unsigned char *)buf.data, buf.len);
        sodium_bin2hex(workflow->hash, sizeof(workflow->hash), hash, sizeof(hash));
    }
    pl_buf_finish(&buf);
    return code;
}

/* Reads and checks the document into `workflow`. */
static enum pl_code build(struct workflow *workflow, const struct doc_node *root,
                          const struct workflow_env *env, struct doc_problems *problems)
{
    size_t before = problems->total;
    struct wf_parser parser = {
        .workflow = workflow,
        .arena = workflow->arena,
        .scratch = pl_arena_create(0),
        .problems = problems,
        .env = env,
        .root = root,
    };
    enum pl_code code = PL_OK;

    if (!parser.scratch)
        return PL_ERR_NO_MEMORY;
    wf_parse_workflow(&parser);
    wf_check(&parser);
    if (pl_arena_failed(parser.scratch) || pl_arena_failed(parser.arena) ||
        pl_arena_failed(problems->arena))
        code = PL_ERR_NO_MEMORY;
    else if (problems->total > before)
        code = PL_ERR_INVALID_WORKFLOW;
    pl_arena_destroy(&parser.scratch);
    return code;
}

enum pl_code workflow_compile(struct pl_str text, enum doc_format format,
                              const struct workflow_env *env, struct workflow **ret_workflow,
                              struct doc_problems *problems)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = arena ? pl_arena_alloc(arena, sizeof(*workflow)) : NULL;
    struct doc_node *root = NULL;
    enum pl_code code;

    if (!workflow) {
        pl_arena_destroy(&arena);
        return PL_ERR_NO_MEMORY;
    }
    workflow->arena = arena;
    atomic_init(&workflow->refs, 1);
    code = doc_parse(arena, text, format, &root, problems);
    if (code == PL_OK) {
        workflow->document = root;
        if (env && env->model.len && !wf_override_model(arena, root, env->model))
            code = PL_ERR_NO_MEMORY;
    }
    if (code == PL_OK)
        code = pin_text(workflow, root, problems);
    if (code == PL_OK)
        code = build(workflow, root, env, problems);
    doc_problems_sort(problems);
    if (code == PL_OK)
        *ret_workflow = workflow;
    else
        pl_arena_destroy(&arena);
    return code;
}

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
    struct pl_arena *arena = old->arena;
    pl_arena_destroy(&arena);
}

const struct step_def *workflow_find(const struct workflow *workflow, struct pl_str path)
{
    return pl_map_get(workflow->by_path, path);
}

/* ---- words ---- */

const char *step_kind_name(enum step_kind kind)
{
    static const char *const names[] = {
        [STEP_LLM] = "llm",           [STEP_HTTP] = "http",   [STEP_PARALLEL] = "parallel",
        [STEP_REDUCE] = "reduce",     [STEP_MAP] = "map",     [STEP_VOTE] = "vote",
        [STEP_WORKFLOW] = "workflow", [STEP_AGENT] = "agent", [STEP_HUMAN] = "human",
        [STEP_REPEAT] = "repeat",     [STEP_SLEEP] = "sleep",
    };

    return (unsigned)kind < PL_ARRAY_LEN(names) ? names[kind] : "unknown";
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
    return kind == STEP_LLM || kind == STEP_HTTP || kind == STEP_REDUCE;
}

bool step_kind_has_inside(enum step_kind kind)
{
    return !step_kind_is_leaf(kind) && kind != STEP_HUMAN && kind != STEP_SLEEP;
}

bool step_kind_joins(enum step_kind kind)
{
    return kind == STEP_PARALLEL || kind == STEP_MAP || kind == STEP_VOTE;
}
