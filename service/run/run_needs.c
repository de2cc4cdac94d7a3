/* run_needs.c - which steps of a run can still make a call: those that are not over, and those that
 * may begin in them. Not whether what they call is there (engine_load.c), nor what is done next
 * (run_core). Pure; called for a core that was loaded, before it goes on. */
#include "service/run/run_core.h"
#include "service/run/run_core_private.h"
#include "service/run/run_slots.h"

struct needs {
    run_need_fn tell;
    void *arg;
};

static bool tell(const struct needs *needs, const struct step_def *def, const struct run_node *node)
{
    struct pl_str model = {0};

    if (node)
        model = run_node_model(node);
    else if (def->kind == STEP_LLM)
        model = def->config.llm->model;
    return needs->tell(needs->arg, def, model);
}

/* All that stands in a body of which there may be another instance. Workflows do not call each
 * other in circles, so this ends. */
static bool tell_body(const struct needs *needs, const struct step_body *body)
{
    for (size_t i = 0; i < body->n_steps; i++) {
        const struct step_def *def = body->steps[i];

        if (!tell(needs, def, NULL))
            return false;
        for (size_t k = 0; k < def->n_bodies; k++)
            if (!tell_body(needs, def->bodies[k]))
                return false;
    }
    return true;
}

/* Has all begun that will ever begin of this body? */
static bool has_begun(const struct run_node *node, const struct step_body *body)
{
    if (!node->inner)
        return false;
    if (node->def->kind == STEP_WORKFLOW)
        return !pl_list_empty(&node->inner->frames);
    if (body->role != BODY_BRANCH)
        return false;
    return node->join->decided || run_slots_of(node)->begun == run_slots_of(node)->n;
}

/* Does nothing more begin in it, nor a call of its own? What it left to drain may go on. */
static bool is_done(const struct run_node *node)
{
    const enum node_state state = node->state;

    return run_node_is_final(node) || node->reason != CANCEL_NONE || state == NODE_STOPPING ||
           state == NODE_ACCEPTING || state == NODE_DEFAULTING || state == NODE_HANDLING ||
           (state == NODE_FINISHING && node->output);
}

static bool tell_frame(const struct needs *needs, const struct run_frame *frame);

static bool tell_node(const struct needs *needs, const struct run_node *node)
{
    if (!is_done(node)) {
        if (!tell(needs, node->def, node))
            return false;
        for (size_t i = 0; i < node->def->n_bodies; i++)
            if (!has_begun(node, node->def->bodies[i]) && !tell_body(needs, node->def->bodies[i]))
                return false;
    }
    for (struct pl_list *link = node->inner ? node->inner->frames.next : NULL;
         link && link != &node->inner->frames; link = link->next)
        if (!tell_frame(needs, pl_container_of(link, struct run_frame, link)))
            return false;
    return true;
}

/* Frames stand in each other as deep as the document, which is capped. */
static bool tell_frame(const struct needs *needs, const struct run_frame *frame)
{
    for (size_t i = 0; i < frame->n_nodes; i++)
        if (!tell_node(needs, &frame->nodes[i]))
            return false;
    return true;
}

bool run_core_each_need(const struct run_core *core, run_need_fn each, void *arg)
{
    const struct needs needs = {.tell = each, .arg = arg};

    if (core->state != RUN_QUEUED && core->state != RUN_RUNNING)
        return true; /* nothing begins any more */
    return tell_frame(&needs, core->root);
}
