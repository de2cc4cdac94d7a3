/* workflow_children.c - see workflow_children.h. Called by workflow.c and
 * steps/subworkflow_parse.c. */
#include "service/workflow/workflow_children.h"

#include "base/json.h"
#include "base/limits.h"
#include "service/workflow/workflow_parse.h"

bool wf_session_init(struct wf_session *session, const struct workflow_env *env)
{
    *session = (struct wf_session){.arena = pl_arena_create(0), .env = env};
    if (!session->arena)
        return false;
    session->asked = pl_map_create(session->arena, 16);
    session->children =
        pl_arena_alloc_array(session->arena, PL_LIMIT_CHILDREN, sizeof(*session->children));
    return session->asked && session->children;
}

void wf_session_finish(struct wf_session *session)
{
    for (size_t i = 0; i < session->n_children; i++)
        workflow_unref(&session->children[i]->workflow);
    pl_arena_destroy(&session->arena);
}

/* ---- who calls whom ---- */

/* The way from `top` down to `caller`, and to `key` once more. The workflow that is compiled for
 * itself goes by `key` there: what it calls itself says nothing about where it is found. */
static const char *circle(struct wf_session *session, const struct wf_caller *caller,
                          const struct wf_caller *top, struct pl_str key)
{
    const char *way = key.ptr;
    const struct wf_caller *at = caller;

    for (bool more = true; more && way; more = at != top, at = at->caller)
        way = pl_arena_printf(session->arena, "%s -> %s", at->caller ? at->name.ptr : key.ptr, way);
    return way ? pl_arena_printf(session->arena, "workflows call each other in a circle: %s", way)
               : "workflows call each other in a circle";
}

/* Why `caller` may not call `key`: it is under way already, or too deep. NULL: it may. */
static const char *refused(struct wf_session *session, const struct wf_caller *caller,
                           struct pl_str key)
{
    if (caller->depth + 1 > PL_LIMIT_CHILD_DEPTH)
        return pl_arena_printf(session->arena, "workflows call each other at most %d deep",
                               PL_LIMIT_CHILD_DEPTH);
    for (const struct wf_caller *at = caller; at->caller; at = at->caller)
        if (pl_str_eq(at->name, key))
            return circle(session, caller, at, key);
    return NULL;
}

/* What is found under `key` is the very text that is compiled for itself: stored under that name,
 * or about to be. */
static const char *refused_text(struct wf_session *session, const struct wf_caller *caller,
                                struct pl_str key, struct pl_str text)
{
    const struct wf_caller *top = caller;

    if (!pl_str_eq(text, session->text))
        return NULL;
    while (top->caller)
        top = top->caller;
    return circle(session, caller, top, key);
}

/* ---- finding ---- */

struct found {
    struct pl_str key, text;
    enum doc_format format;
};

/* Looks in the pinned definition, then in the world. NULL: it was found; else why not. */
static const char *find(struct wf_session *session, struct pl_str name, struct found *ret)
{
    const struct workflow_env *env = session->env;
    const struct doc_node *pinned = session->pinned ? doc_get_str(session->pinned, name) : NULL;
    struct pl_err err = {0};
    int64_t version = 0;

    *ret = (struct found){.key = name, .format = DOC_JSON};
    if (pinned) {
        ret->text = doc_json(session->arena, pinned);
        return NULL;
    }
    if (!env || !env->find_workflow)
        return "there are no stored workflows here; write its steps inline, under 'steps'";
    if (!env->find_workflow(env->arg, name, session->arena, &ret->text, &ret->format, &version,
                            &err))
        return pl_arena_strdup(session->arena,
                               err.message[0] ? err.message : "there is no such workflow");
    if (version > 0 && !memchr(name.ptr, '@', name.len)) {
        const char *key = pl_arena_printf(session->arena, "%s@%lld", name.ptr, (long long)version);
        ret->key = pl_str(key);
    }
    return NULL;
}

/* ---- compiling ---- */

static const char *first_problem(struct wf_session *session, const struct doc_problems *problems)
{
    if (problems->count == 0)
        return "it cannot be read";
    return pl_arena_printf(session->arena, "it is not valid: %s%s%s", problems->items[0].pointer,
                           problems->items[0].pointer[0] ? ": " : "", problems->items[0].message);
}

static void compile(struct wf_session *session, const struct found *found,
                    const struct wf_caller *caller, struct wf_child *child)
{
    const struct wf_caller here = {
        .name = found->key, .caller = caller, .depth = caller->depth + 1};
    struct doc_problems problems;
    enum pl_code code;

    if (session->n_children == PL_LIMIT_CHILDREN ||
        session->bytes + found->text.len > PL_LIMIT_DOCUMENT_BYTES) {
        child->why = "the workflows called by name are too many or too large together";
        return;
    }
    doc_problems_init(&problems, session->arena);
    code =
        wf_session_compile(session, found->text, found->format, &here, &child->workflow, &problems);
    if (code == PL_OK) {
        session->bytes += found->text.len;
        session->children[session->n_children++] = child;
    } else {
        session->no_memory |= code == PL_ERR_NO_MEMORY;
        child->why = first_problem(session, &problems);
    }
}

/* Finds and compiles the child; *ret_child may become one that is known by its key. */
static void get_child(struct wf_session *session, struct pl_str name,
                      const struct wf_caller *caller, struct wf_child **ret_child)
{
    struct wf_child *child = *ret_child;
    struct found found = {.key = name};

    child->key = name;
    child->why = refused(session, caller, name);
    if (!child->why)
        child->why = find(session, name, &found);
    if (!child->why)
        child->why = refused_text(session, caller, found.key, found.text);
    if (child->why)
        return;
    child->key = found.key;
    if (!pl_str_eq(name, found.key)) {
        struct wf_child *same = pl_map_get(session->asked, found.key);

        if (same) {
            *ret_child = same;
            return;
        }
        child->why = refused(session, caller, found.key);
    }
    if (!child->why)
        compile(session, &found, caller, child);
}

const struct wf_child *wf_session_child(struct wf_session *session, struct pl_str asked,
                                        const struct wf_caller *caller)
{
    struct wf_child *child = pl_map_get(session->asked, asked);
    struct pl_str name;

    if (child)
        return child;
    /* Who asks may be refused and freed before the session ends. */
    name = pl_arena_str(session->arena, asked);
    child = pl_arena_alloc(session->arena, sizeof(*child));
    if (!child || !name.ptr)
        return NULL;
    get_child(session, name, caller, &child);
    (void)pl_map_put(session->asked, name, child, NULL);
    (void)pl_map_put(session->asked, child->key, child, NULL);
    return pl_arena_failed(session->arena) ? NULL : child;
}

/* ---- pinning ---- */

void wf_session_write(const struct wf_session *session, const struct doc_node *document,
                      struct pl_buf *out)
{
    json_object_begin(out);
    json_key(out, "workflow");
    doc_write_json(document, out);
    json_key(out, "children");
    json_object_begin(out);
    for (size_t i = 0; i < session->n_children; i++)
        json_add_raw(out, session->children[i]->key.ptr, session->children[i]->workflow->text);
    json_object_end(out);
    json_object_end(out);
}
