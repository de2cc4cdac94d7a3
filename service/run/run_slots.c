/* run_slots.c - see run_slots.h. Called by run_map.c and run_vote.c. */
#include "service/run/run_slots.h"

#include <stdlib.h>

static size_t chunks_of(const struct run_slots *slots)
{
    return (slots->n + RUN_SLOTS_CHUNK - 1) / RUN_SLOTS_CHUNK;
}

bool run_slots_init(struct run_slots *slots, size_t n)
{
    slots->n = n;
    slots->chunks = calloc(chunks_of(slots) + 1, sizeof(*slots->chunks));
    return slots->chunks != NULL;
}

void run_slots_finish(struct run_slots *slots)
{
    for (size_t i = 0; slots->chunks && i < chunks_of(slots); i++) {
        struct run_slot *chunk = slots->chunks[i];

        for (size_t k = 0; chunk && k < RUN_SLOTS_CHUNK; k++) {
            pl_value_unref(&chunk[k].output);
            pl_value_unref(&chunk[k].error);
            pl_value_unref(&chunk[k].key);
        }
        free(chunk);
    }
    free(slots->chunks);
    slots->chunks = NULL;
}

/* NULL: its chunk was never made. */
static struct run_slot *slot_at(const struct run_slots *slots, size_t index)
{
    struct run_slot *chunk = slots->chunks[index / RUN_SLOTS_CHUNK];

    return chunk ? &chunk[index % RUN_SLOTS_CHUNK] : NULL;
}

struct run_slot *run_slots_get(struct run_core *core, struct run_slots *slots, size_t index)
{
    struct run_slot **chunk = &slots->chunks[index / RUN_SLOTS_CHUNK];

    if (!*chunk)
        *chunk = calloc(RUN_SLOTS_CHUNK, sizeof(**chunk));
    if (!*chunk) {
        core->out_of_memory = true;
        return NULL;
    }
    return &(*chunk)[index % RUN_SLOTS_CHUNK];
}

struct join_branch run_slots_branch(const struct run_slots *slots, size_t index)
{
    const struct run_slot *slot = slot_at(slots, index);
    const struct run_node *node = slot && slot->frame ? run_frame_step(slot->frame) : NULL;

    if (node)
        return (struct join_branch){.state = node->state,
                                    .counted = node->counted,
                                    .output = node->output,
                                    .error = node->error};
    if (!slot)
        return (struct join_branch){.state = NODE_WAITING};
    return (struct join_branch){.state = slot->state,
                                .counted = slot->counted,
                                .output = slot->output,
                                .error = slot->error};
}

bool run_slots_votes(const struct run_slots *slots, size_t index)
{
    struct join_branch branch = run_slots_branch(slots, index);

    return branch.counted && branch.state == NODE_SUCCEEDED;
}

struct pl_str run_slots_key(const struct run_slots *slots, size_t index)
{
    const struct run_slot *slot = slot_at(slots, index);
    const struct run_node *node = slot && slot->frame ? run_frame_step(slot->frame) : NULL;
    struct pl_str key;

    if (node)
        return run_node_vote_key(node, &key) ? key : pl_value_text(node->output);
    return pl_value_text(slot && slot->key ? slot->key : slot ? slot->output : NULL);
}

void run_slots_begin(struct run_core *core, struct run_node *owner, const struct step_body *body,
                     size_t index, struct pl_value *value)
{
    struct run_slot *slot = run_slots_get(core, run_slots_of(owner), index);
    struct run_frame *frame = NULL;

    if (slot)
        frame = run_frame_create(core, body, owner, 0, (uint32_t)index, value);
    else
        pl_value_unref(&value);
    if (!frame)
        return;
    slot->frame = frame;
    run_frame_begin(core, frame);
}

static void copy(struct run_core *core, struct run_slot *slot, const struct run_node *node)
{
    struct pl_str key;

    slot->state = node->state;
    slot->counted = node->counted;
    slot->handled = node->handled;
    slot->output = pl_value_ref(node->output);
    if (node->state == NODE_FAILED)
        slot->error = pl_value_ref(node->error);
    if (run_node_vote_key(node, &key)) {
        slot->key = pl_value_new(key);
        core->out_of_memory |= !slot->key;
    }
    slot->frame = NULL;
}

void run_slots_frame_over(struct run_core *core, struct run_frame *frame)
{
    struct run_slot *slot = run_slots_get(core, run_slots_of(frame->owner), frame->number);

    if (slot)
        copy(core, slot, run_frame_step(frame));
}

void run_slots_dismiss(struct run_node *node)
{
    const struct run_slots *slots = run_slots_of(node);

    node->join->cancelled += (unsigned)(slots->n - slots->begun);
}

void run_slots_stop(struct run_core *core, struct run_node *node, enum cancel_reason reason)
{
    struct run_slots *slots = run_slots_of(node);
    struct pl_list *next;

    for (struct pl_list *link = slots->inner.frames.next; link != &slots->inner.frames;
         link = next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        next = link->next;
        if (frame->body->role == BODY_BRANCH && !run_node_is_final(run_frame_step(frame)))
            run_frame_cancel(core, frame, reason);
    }
}

/* ---- loading ---- */

void run_slots_place(struct run_core *core, struct run_frame *frame)
{
    struct run_slot *slot = run_slots_get(core, run_slots_of(frame->owner), frame->number);

    if (slot)
        slot->frame = frame;
}

struct run_frame *run_slots_frame(const struct run_slots *slots, size_t index)
{
    const struct run_slot *slot = index < slots->n ? slot_at(slots, index) : NULL;

    return slot ? slot->frame : NULL;
}

void run_slots_derive(struct run_core *core, struct run_node *node)
{
    struct run_slots *slots = run_slots_of(node);

    for (struct pl_list *link = slots->inner.frames.next; link != &slots->inner.frames;
         link = link->next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);
        struct run_slot *slot;

        if (frame->body->role != BODY_BRANCH)
            continue;
        slot = run_slots_get(core, slots, frame->number);
        if (!slot)
            return;
        if (frame->number >= slots->begun)
            slots->begun = frame->number + 1;
        if (run_node_is_final(run_frame_step(frame)))
            run_branches_count(node->join, run_frame_step(frame));
        slot->frame = frame;
        if (frame->over)
            copy(core, slot, run_frame_step(frame));
    }
    node->join->total = (unsigned)slots->n;
    if (node->join->decided)
        node->join->cancelled += (unsigned)(slots->n - slots->begun);
}

/* ---- looking ---- */

const char *run_slots_check(const struct run_node *node)
{
    const struct run_slots *slots = run_slots_of(node);
    struct node_join join = {0};

    if (node->join->total != slots->n)
        return "it joins another number of branches";
    for (size_t i = 0; i < slots->n; i++) {
        struct join_branch branch = run_slots_branch(slots, i);
        const struct run_slot *slot = slot_at(slots, i);
        struct run_node probe = {.state = branch.state, .counted = branch.counted};

        if (i >= slots->begun && branch.state != NODE_WAITING)
            return "a branch began out of turn";
        if (slot && slot->frame && slot->frame->over)
            return "a branch is over and was not taken in";
        if (!node_state_is_final(branch.state))
            continue;
        probe.handled =
            slot && slot->frame ? run_frame_step(slot->frame)->handled : slot && slot->handled;
        run_branches_count(&join, &probe);
    }
    if (node->join->decided)
        join.cancelled += (unsigned)(slots->n - slots->begun);
    if (node->join->succeeded != join.succeeded || node->join->failed != join.failed ||
        node->join->skipped != join.skipped || node->join->cancelled != join.cancelled ||
        node->join->counted != join.counted)
        return "its branches are counted wrongly";
    return NULL;
}
