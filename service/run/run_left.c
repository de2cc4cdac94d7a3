/* run_left.c - what frames that are gone had written to the state outside them, kept in order by
 * the step they belonged to. Not the fold (run_state). Called by run_frame.c when a frame is freed
 * and by run_state.c. */
#include "base/json.h"
#include "service/run/run_core_private.h"

#include <stdlib.h>

static struct run_left *run_left_create(const struct run_frame *frame, size_t n)
{
    struct run_left *left = calloc(1, sizeof(*left) + n * sizeof(left->entries[0]));

    if (!left)
        return NULL;
    left->body = frame->body;
    left->level = frame->level;
    left->number = frame->number;
    return left;
}

void run_left_free(struct run_left **list)
{
    struct run_left *left = *list, *next;

    for (; left; left = next) {
        next = left->next;
        for (size_t i = 0; i < left->n; i++)
            pl_value_unref(&left->entries[i].value);
        free(left);
    }
    *list = NULL;
}

static int compare(const struct run_left *left, const struct run_frame *frame)
{
    struct run_frame other = {.body = left->body, .level = left->level, .number = left->number};

    return run_frame_compare(&other, frame);
}

bool run_left_is_before(const struct run_left *left, const struct run_frame *frame)
{
    return compare(left, frame) < 0;
}

static void run_left_insert(struct run_inner *inner, struct run_left *left)
{
    struct run_frame probe = {.body = left->body, .level = left->level, .number = left->number};
    struct run_left **at = &inner->left;

    /* most come in order: the last one is remembered */
    if (inner->left_last && compare(inner->left_last, &probe) < 0)
        at = &inner->left_last->next;
    while (*at && compare(*at, &probe) < 0)
        at = &(*at)->next;
    left->next = *at;
    *at = left;
    if (!left->next)
        inner->left_last = left;
}

/* ---- gathering what a frame wrote ---- */

static size_t count_writes(const struct run_frame *frame)
{
    size_t n = 0;

    for (size_t i = 0; i < frame->n_nodes; i++) {
        const struct run_node *node = &frame->nodes[i];

        n += node->def->n_writes;
        for (const struct run_left *left = node->inner ? node->inner->left : NULL; left;
             left = left->next)
            n += left->n;
    }
    return n;
}

static void keep(struct run_left *to, const struct run_frame *frame,
                 const struct state_channel *channel, struct pl_value *value)
{
    if (!value)
        return;
    if (channel->body == frame->body) {
        pl_value_unref(&value);
        return;
    }
    to->entries[to->n].channel = channel;
    to->entries[to->n++].value = value;
}

static void keep_own(struct run_left *to, const struct run_node *node)
{
    struct pl_str value;

    for (size_t i = 0; node->state == NODE_SUCCEEDED && node->writes && i < node->def->n_writes;
         i++) {
        const struct state_channel *channel = node->def->writes[i].channel;

        if (json_get(pl_value_text(node->writes), channel->name, &value) &&
            channel->body != node->frame->body)
            keep(to, node->frame, channel, pl_value_new(value));
    }
}

static void keep_whole(struct run_left *to, const struct run_node *node)
{
    const struct step_def *def = node->def;

    if (run_node_is_branch(node) && !node->counted)
        return;
    for (size_t i = 0; i < def->n_children; i++)
        keep_whole(to, run_node_at(node->frame, def->children[i]));
    for (const struct run_left *left = node->inner ? node->inner->left : NULL; left;
         left = left->next)
        for (size_t i = 0; i < left->n; i++)
            keep(to, node->frame, left->entries[i].channel, pl_value_ref(left->entries[i].value));
    if (def->handler)
        keep_whole(to, run_node_at(node->frame, def->handler));
    keep_own(to, node);
}

bool run_left_keep(struct run_frame *frame)
{
    struct run_left *left;

    if (!frame->owner || !frame->body->writes)
        return true;
    left = run_left_create(frame, count_writes(frame));
    if (!left)
        return false;
    for (size_t i = 0; i < frame->body->n_top; i++)
        keep_whole(left, run_node_at(frame, frame->body->top[i]));
    if (left->n)
        run_left_insert(frame->owner->inner, left);
    else
        free(left);
    return true;
}
