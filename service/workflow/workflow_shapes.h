/* workflow_shapes.h - what is known of a value before any run: the members of a step's output, of
 * an input, of an error. Not values and not schemas themselves. For workflow_paths.c. */
#ifndef PLAIT_SERVICE_WORKFLOW_WORKFLOW_SHAPES_H
#define PLAIT_SERVICE_WORKFLOW_WORKFLOW_SHAPES_H

#include "service/workflow/workflow_parse.h"

enum wf_shape_kind {
    SHAPE_ANY,      /* nothing is known */
    SHAPE_TEXT,     /* a string */
    SHAPE_LIST,     /* a list of anything */
    SHAPE_SCHEMA,   /* what fits a schema, or what a path takes of that */
    SHAPE_NAMES,    /* an object of Plait's own with these members, or some of them */
    SHAPE_TEMPLATE, /* what a template writes */
    SHAPE_CONSTANT, /* a value of the document */
    SHAPE_BRANCHES, /* an object by the ids of a parallel's branches */
    SHAPE_SINKS,    /* an object by the ids of steps: the output of a body that names none */
};

/* null is possible everywhere: of what was skipped, or failed and was handled. */
struct wf_shape {
    enum wf_shape_kind kind;
    union {
        const struct schema *schema;
        const char *const *names; /* NULL behind */
        const struct template *template;
        const struct doc_node *constant;
        const struct step_def *step;
        const struct step_body *body;
    } of;
    const struct pl_str *path; /* SCHEMA: as schema_look takes it */
    size_t n_path;
};

/* What an expression in `body` begins with: `.steps.ID.FIELD`, once its step is found, or another
 * root. Paths are in scratch. */
struct wf_shape wf_shape_of_ref(struct wf_parser *p, const struct expr_ref *ref,
                                const struct step_body *body);

/* True for the kinds that are an object of which every member is known. */
bool wf_shape_is_closed(const struct wf_shape *shape);
/* Takes a member of a closed one; false: it has none of this name. */
bool wf_shape_member(const struct wf_shape *shape, struct pl_str name, struct wf_shape *ret);
/* The names of a closed one's members (not all of very many), NULL behind; in the arena. NULL when
 * that failed. */
const char *const *wf_shape_names(const struct wf_shape *shape, struct pl_arena *arena);

#endif
