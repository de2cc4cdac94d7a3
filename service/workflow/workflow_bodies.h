/* workflow_bodies.h - making bodies, scopes and steps while a document is read: numbers, names,
 * paths. Not what a step says (workflow_parse.h). For workflow_parse.c, workflow_steps.c and
 * steps/<kind>_parse.c. */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_BODIES_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_BODIES_H

#include "service/workflow/workflow_parse.h"

/* A new body, empty, in the workflow's list. NULL when memory is out. */
struct step_body *wf_body_create(struct wf_parser *p, enum body_role role, struct step_def *owner,
                                 struct pl_str id);
/* Room for the bodies of the step at hand, and one of them in its place. False, NULL: memory is
 * out. */
bool wf_bodies_reserve(struct wf_ctx *ctx, size_t count);
struct step_body *wf_body_at(struct wf_ctx *ctx, size_t number, enum body_role role,
                             struct pl_str id);
/* Where a reader of the body stands; `names` exist in it. */
struct wf_ctx wf_body_ctx(const struct wf_ctx *ctx, struct step_body *body,
                          struct expr_names names);
/* Reads the one step of a body. `scope` NULL: it has no name there. */
void wf_parse_single(struct wf_ctx *ctx, struct step_body *body, const struct doc_node *node,
                     struct expr_names names, struct wf_scope *scope);
/* Reads the steps of a body: the members of `node`, an object. `inner` is of wf_body_ctx. */
void wf_parse_several(struct wf_ctx *inner, const struct doc_node *node);

/* A scope inside `outer`; NULL when memory is out. */
struct wf_scope *wf_scope_create(struct wf_parser *p, struct wf_scope *outer,
                                 const struct step_def *owner, bool branches, size_t expect);
/* Reads the steps of one scope: the members of `node`, an object. They are in scope->steps. */
void wf_parse_steps(struct wf_ctx *outer, const struct doc_node *node, struct wf_scope *scope);
/* A step that is numbered and has its path, nothing read yet. NULL when there are too many (said)
 * or memory is out. `id`: that of a document's step is its key. */
struct step_def *wf_step_create(struct wf_ctx *outer, const struct doc_node *node, struct pl_str id,
                                struct wf_scope *scope, bool is_handler);

#endif
