/* workflow_children.h - the workflows that others call by name: found, compiled once each, pinned.
 * Not the stored workflows (storage/) and not the reading of a step (steps/subworkflow_parse.c).
 * Private to workflow.c and the parser.
 *
 * A session is one workflow_compile with all the compilations it needs: each child is compiled once
 * however often it is named. What a run keeps is the document with `name@version` written for every
 * name, and beside it the documents of all children: it needs nothing else. */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_CHILDREN_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_CHILDREN_H

#include "base/map.h"
#include "service/workflow/workflow.h"

/* Who asks for a child: the names from the top down to it, innermost first. */
struct wf_caller {
    struct pl_str name;             /* what it was found under; of the first one: empty */
    const struct wf_caller *caller; /* NULL: the workflow that is compiled for itself */
    unsigned depth;                 /* 0 for that */
};

struct wf_child {
    struct pl_str key;         /* "name@version", or "name" of one without versions */
    struct workflow *workflow; /* a reference of the session; NULL: it cannot be used */
    const char *why;           /* then, for a message */
};

struct wf_session {
    struct pl_arena *arena;         /* until the end of the session */
    const struct workflow_env *env; /* may be NULL */
    struct pl_str text;             /* of the workflow that is compiled for itself */
    const struct doc_node *pinned;  /* `children` of a pinned definition; NULL: none */
    struct pl_map *asked;           /* name as written or key -> struct wf_child */
    struct wf_child **children;     /* those that were compiled, in that order */
    size_t n_children;
    size_t bytes;   /* of their texts */
    bool no_memory; /* a compilation ran out of it */
};

/* False when memory is out. */
bool wf_session_init(struct wf_session *session, const struct workflow_env *env);
void wf_session_finish(struct wf_session *session);

/* The child `name` as `caller` asks for it; never NULL but when memory is out. */
const struct wf_child *wf_session_child(struct wf_session *session, struct pl_str name,
                                        const struct wf_caller *caller);

/* Compiles one workflow of the session (workflow.c). As workflow_compile. */
enum pl_code wf_session_compile(struct wf_session *session, struct pl_str text,
                                enum doc_format format, const struct wf_caller *caller,
                                struct workflow **ret_workflow, struct doc_problems *problems);

/* Appends {"workflow": document, "children": {...}}. */
void wf_session_write(const struct wf_session *session, const struct doc_node *document,
                      struct pl_buf *out);

#endif
