/* run_frame.c - frames: instances of bodies, made, found, stopped and freed. Not what runs in them
 * (run_node) nor when a kind wants one (run_map, run_vote, ...). Called by run_core*.c and by the
 * kinds.
 *
 * A frame is one block: itself, its nodes, their paths. It is freed between two events, when every
 * step in it is final, every row of it was taken, no evaluation or call of it is out, nothing it
 * owns is left, and its owner does not read it any more. */
#include "base/limits.h"
#include "service/run/run_agent.h"
#include "service/run/run_core_private.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- paths ---- */

void run_frame_write_path(const struct step_body *body, const struct run_node *owner,
                          uint32_t level, uint32_t number, struct pl_buf *out)
{
    pl_buf_str(out, owner->path);
    switch (body->role) {
    case BODY_ROOT:
    case BODY_INLINE:
        return;
    case BODY_BRANCH:
        if (body->id.len)
            pl_buf_printf(out, ".%.*s", PL_STR_ARG(body->id));
        else
            pl_buf_printf(out, ".%u", number);
        return;
    case BODY_TURN:
        pl_buf_printf(out, ".%u", number);
        return;
    case BODY_COLLAPSE:
        pl_buf_printf(out, ".collapse.%u.%u", level, number);
        return;
    case BODY_JUDGE:
        pl_buf_text(out, ".judge");
        return;
    case BODY_SCORE:
        pl_buf_printf(out, ".score.%u", number);
        return;
    case BODY_TOOL:
        if (!body->id.len) {
            pl_buf_printf(out, ".%u.", level);
            run_agent_write_name(owner, number, out);
            return;
        }
        pl_buf_printf(out, ".%u.%.*s", level, PL_STR_ARG(body->id));
        if (number > 1)
            pl_buf_printf(out, "-%u", number);
        return;
    case BODY_LISTING:
        pl_buf_printf(out, ".mcp.%u", number);
        return;
    }
}

/* The owner's path and what a frame can add to it. */
enum { FRAME_PATH_MAX = 2 * PL_LIMIT_NAME + 32 };

static size_t paths_size(const struct step_body *body, size_t prefix)
{
    size_t size = prefix + 1;

    if (prefix == 0)
        return size;
    for (size_t i = 0; i < body->n_steps; i++)
        size += prefix + 1 + body->steps[i]->tail.len + 1;
    return size;
}

/* ---- making ---- */

/* Steps inside a step follow it, so that one range holds everything below it. */
static void set_ends(struct run_frame *frame)
{
    for (size_t i = frame->n_nodes; i-- > 0;) {
        struct run_node *node = &frame->nodes[i];

        if (node->end < i + 1)
            node->end = (uint32_t)i + 1;
        if (node->parent && node->parent->end < node->end)
            node->parent->end = node->end;
    }
}

/* What stands between an instance's path and a step's part of it: tails have it themselves, but for
 * those of a workflow's top level, which is called here. */
static struct pl_str joint(const struct step_body *body)
{
    return body->role == BODY_ROOT ? PL_STR(".") : PL_STR("");
}

static char *put_text(char *at, struct pl_str text)
{
    if (text.len)
        memcpy(at, text.ptr, text.len);
    at[text.len] = '\0';
    return at + text.len;
}

static void init_nodes(struct run_frame *frame, struct pl_str path, char *texts)
{
    const struct step_body *body = frame->body;
    const char *start;

    frame->path = pl_str_n(texts, path.len);
    texts = put_text(texts, path) + 1;
    for (size_t i = 0; i < frame->n_nodes; i++) {
        const struct step_def *def = body->steps[i];
        struct run_node *node = &frame->nodes[i];
        bool inside = def->parent && def->parent->body == def->body;

        node->def = def;
        node->frame = frame;
        node->parent = inside ? run_node_at(frame, def->parent) : NULL;
        node->open_deps = (unsigned)def->n_deps;
        if (path.len == 0) {
            node->path = def->tail;
            continue;
        }
        start = texts;
        texts = put_text(put_text(put_text(texts, path), joint(body)), def->tail);
        node->path = pl_str_n(start, (size_t)(texts - start));
        texts++;
    }
    set_ends(frame);
}

/* Setting a timer must not fail: there is room for one for each node. */
static bool reserve_timers(struct run_core *core, size_t more)
{
    size_t need = core->n_live + more + 2, capacity = core->timers_capacity;
    struct run_timer *grown;

    if (need <= capacity)
        return true;
    capacity = capacity * 2 > need ? capacity * 2 : need;
    grown = realloc(core->timers, capacity * sizeof(*grown));
    if (!grown)
        return false;
    core->timers = grown;
    core->timers_capacity = capacity;
    return true;
}

static struct run_frame *make(struct run_core *core, const struct step_body *body,
                              struct pl_str path)
{
    size_t nodes = body->n_steps * sizeof(struct run_node);
    struct run_frame *frame;

    if (!reserve_timers(core, body->n_steps))
        return NULL;
    frame = calloc(1, sizeof(*frame) + nodes + paths_size(body, path.len));
    if (!frame)
        return NULL;
    frame->body = body;
    frame->n_nodes = body->n_steps;
    frame->nodes = (struct run_node *)(frame + 1);
    pl_list_init(&frame->link);
    init_nodes(frame, path, (char *)frame + sizeof(*frame) + nodes);
    core->n_live += frame->n_nodes;
    core->n_frames++;
    return frame;
}

struct run_frame *run_frame_create(struct run_core *core, const struct step_body *body,
                                   struct run_node *owner, uint32_t level, uint32_t number,
                                   struct pl_value *value)
{
    struct run_frame *frame = NULL;
    struct pl_buf path;

    pl_buf_init(&path, owner ? owner->path.len + FRAME_PATH_MAX : 1);
    if (owner)
        run_frame_write_path(body, owner, level, number, &path);
    if (!pl_buf_failed(&path))
        frame = make(core, body, pl_buf_view(&path));
    pl_buf_finish(&path);
    if (!frame) {
        pl_value_unref(&value);
        core->out_of_memory = true;
        return NULL;
    }
    frame->owner = owner;
    frame->level = level;
    frame->number = number;
    frame->value = value;
    if (owner) {
        pl_list_append(&owner->inner->frames, &frame->link);
        owner->inner->open++;
    }
    return frame;
}

/* ---- running ---- */

void run_frame_begin(struct run_core *core, struct run_frame *frame)
{
    const struct step_body *body = frame->body;

    for (size_t i = 0; i < body->n_top; i++)
        run_node_enter(core, run_node_at(frame, body->top[i]));
    for (size_t i = 0; i < body->n_top; i++)
        run_node_try(core, run_node_at(frame, body->top[i]));
}

void run_frame_cancel(struct run_core *core, struct run_frame *frame, enum cancel_reason reason)
{
    run_node_cancel_range(core, frame, 0, (uint32_t)frame->n_nodes, reason);
}

/* ---- freeing ---- */

static void node_free(struct run_node *node)
{
    const struct run_kind *kind = run_kind_of(node->def->kind);

    pl_value_unref(&node->output);
    pl_value_unref(&node->error);
    pl_value_unref(&node->memo);
    pl_value_unref(&node->writes);
    pl_value_unref(&node->call);
    if (node->inner && kind->destroy)
        kind->destroy(node);
    if (node->inner)
        run_left_free(&node->inner->left);
    free(node->inner);
    free(node->join);
    free(node->purse);
}

static void frame_free(struct run_core *core, struct run_frame *frame)
{
    for (size_t i = 0; i < frame->n_nodes; i++)
        node_free(&frame->nodes[i]);
    pl_value_unref(&frame->value);
    pl_value_unref(&frame->output);
    pl_value_unref(&frame->state);
    pl_value_unref(&frame->state_after);
    if (pl_list_linked(&frame->link))
        pl_list_remove(&frame->link);
    core->n_live -= frame->n_nodes;
    core->n_frames--;
    free(frame);
}

/* Frees what is below before what it stands on. */
static void free_tree(struct run_core *core, struct run_frame *frame)
{
    for (size_t i = 0; i < frame->n_nodes; i++) {
        struct run_inner *inner = frame->nodes[i].inner;

        while (inner && !pl_list_empty(&inner->frames))
            free_tree(core, pl_container_of(inner->frames.next, struct run_frame, link));
    }
    frame_free(core, frame);
}

void run_frames_destroy(struct run_core *core)
{
    if (core->root)
        free_tree(core, core->root);
    core->root = NULL;
}

static bool node_is_needed(const struct run_node *node)
{
    return pl_list_linked(&node->dirty) || node->evals > 0 || node->exec ||
           (node->inner && !pl_list_empty(&node->inner->frames));
}

/* Also while its owner is asked for something: that may be what the whole frame came to, which the
 * executor reads again when jq has answered, though the owner was stopped in the meantime. */
static bool frame_is_needed(const struct run_frame *frame)
{
    if (frame->kept || frame->owner->evals > 0)
        return true;
    for (size_t i = 0; i < frame->n_nodes; i++)
        if (node_is_needed(&frame->nodes[i]))
            return true;
    return false;
}

void run_frame_release(struct run_core *core, struct run_frame *frame)
{
    frame->kept = false;
    if (frame->over && frame->owner && !pl_list_linked(&frame->over_link))
        pl_list_append(&core->over_frames, &frame->over_link);
}

enum { REAP_SHARE = 8 }; /* frames looked at in vain for each event, about */

void run_frames_reap(struct run_core *core, const struct run_node *but)
{
    struct pl_list *next;
    size_t left = 0;

    if (core->reap_rest > 0) {
        core->reap_rest--;
        return;
    }
    /* in the order they ended, so an inner frame goes before the one around it */
    for (struct pl_list *link = core->over_frames.next; link != &core->over_frames; link = next) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, over_link);

        next = link->next;
        if ((but && frame == but->frame) || frame_is_needed(frame)) {
            left++;
            continue;
        }
        pl_list_remove(link);
        if (!run_left_keep(frame))
            core->out_of_memory = true;
        run_progress_add(&core->gone, frame);
        frame_free(core, frame);
    }
    /* an activation may end a hundred thousand, and none goes before its rows are taken: looking at
     * all of them at each event would take for ever */
    core->reap_rest = left / REAP_SHARE;
}

/* ---- walking ---- */

static struct run_frame *first_from(const struct run_frame *frame, size_t slot)
{
    for (size_t i = slot; i < frame->n_nodes; i++) {
        const struct run_inner *inner = frame->nodes[i].inner;

        if (inner && !pl_list_empty(&inner->frames))
            return pl_container_of(inner->frames.next, struct run_frame, link);
    }
    return NULL;
}

struct run_frame *run_frame_next(const struct run_core *core, const struct run_frame *frame)
{
    struct run_frame *next;

    if (!frame)
        return core->root;
    next = first_from(frame, 0);
    for (; !next && frame->owner; frame = frame->owner->frame) {
        const struct run_node *owner = frame->owner;

        if (frame->link.next != &owner->inner->frames)
            next = pl_container_of(frame->link.next, struct run_frame, link);
        else
            next = first_from(owner->frame, owner->def->slot + 1);
    }
    return next;
}

static unsigned depth_of(const struct run_frame *frame)
{
    unsigned depth = 0;

    for (; frame->owner; frame = frame->owner->frame)
        depth++;
    return depth;
}

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static uint32_t turn_of(const struct run_frame *frame)
{
    if (frame->body->role == BODY_LISTING)
        return 0;
    return frame->body->role == BODY_TOOL ? frame->level : frame->number;
}

int run_frame_compare(const struct run_frame *a, const struct run_frame *b)
{
    bool turns =
        a->body->role == BODY_TURN || a->body->role == BODY_TOOL || a->body->role == BODY_LISTING;
    int order;

    if (turns) /* an agent's: the model's own call comes before those of its tools */
        order = compare_numbers(turn_of(a), turn_of(b));
    else if (a->body->role == b->body->role)
        order = compare_numbers(a->level, b->level);
    else
        order = 0;
    if (order == 0 && !(a->body->role == BODY_BRANCH && b->body->role == BODY_BRANCH))
        order = compare_numbers(a->body->number, b->body->number);
    return order ? order : compare_numbers(a->number, b->number);
}

int run_node_compare(const struct run_node *a, const struct run_node *b)
{
    const struct run_frame *of_a = a->frame, *of_b = b->frame;
    const struct run_frame *last_a = NULL, *last_b = NULL;
    unsigned depth_a = depth_of(of_a), depth_b = depth_of(of_b);

    for (; depth_a > depth_b; depth_a--)
        last_a = of_a, a = of_a->owner, of_a = a->frame;
    for (; depth_b > depth_a; depth_b--)
        last_b = of_b, b = of_b->owner, of_b = b->frame;
    while (of_a != of_b) {
        last_a = of_a, a = of_a->owner, of_a = a->frame;
        last_b = of_b, b = of_b->owner, of_b = b->frame;
    }
    if (a != b)
        return compare_numbers(a->def->slot, b->def->slot);
    if (last_a && last_b)
        return run_frame_compare(last_a, last_b);
    return (last_a != NULL) - (last_b != NULL);
}

static int by_place(const void *a, const void *b)
{
    struct run_frame *const *x = a, *const *y = b;

    return run_frame_compare(*x, *y);
}

struct run_frame **run_frames_in_order(const struct run_node *node, struct pl_arena *arena,
                                       size_t *ret_count)
{
    struct run_inner *inner = node->inner;
    struct run_frame **frames;
    size_t n = 0;

    for (struct pl_list *link = inner->frames.next; link != &inner->frames; link = link->next)
        n++;
    frames = pl_arena_alloc_array(arena, n + 1, sizeof(struct run_frame *));
    n = 0;
    for (struct pl_list *link = inner->frames.next; frames && link != &inner->frames;
         link = link->next)
        frames[n++] = pl_container_of(link, struct run_frame, link);
    if (frames)
        qsort(frames, n, sizeof(struct run_frame *), by_place);
    *ret_count = n;
    return frames;
}
