/* run_find.c - the step a concrete path names ("reviews.17.summary"), by the workflow's shape and
 * the frames a run has. Not the making of paths (run_frame). Called when a run is loaded from its
 * rows and when somebody names a step of it. */
#include "service/run/run_agent.h"
#include "service/run/run_core_private.h"

/* What is left of a path, segment by segment. */
struct segments {
    struct pl_str rest;
};

static bool peek(const struct segments *at, struct pl_str *ret_segment)
{
    const char *dot;

    if (at->rest.len == 0)
        return false;
    dot = memchr(at->rest.ptr, '.', at->rest.len);
    *ret_segment = pl_str_n(at->rest.ptr, dot ? (size_t)(dot - at->rest.ptr) : at->rest.len);
    return true;
}

static void take(struct segments *at)
{
    struct pl_str segment = {0};
    size_t used;

    if (!peek(at, &segment))
        return;
    used = segment.len < at->rest.len ? segment.len + 1 : segment.len;
    at->rest = pl_str_n(at->rest.ptr + used, at->rest.len - used);
}

/* A number as a path has it: no sign, no leading zero. */
static bool is_number(struct pl_str text, uint32_t *ret_number)
{
    uint64_t number = 0;

    if (text.len == 0 || text.len > 10 || (text.len > 1 && text.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *ret_number = (uint32_t)number;
    return number <= UINT32_MAX;
}

static bool take_number(struct segments *at, uint32_t *ret_number)
{
    struct pl_str segment;

    if (!peek(at, &segment) || !is_number(segment, ret_number))
        return false;
    take(at);
    return true;
}

static bool take_word(struct segments *at, struct pl_str word)
{
    struct pl_str segment;

    if (!peek(at, &segment) || !pl_str_eq(segment, word))
        return false;
    take(at);
    return true;
}

/* "search" or "search-2". */
static bool take_tool(struct segments *at, const struct step_body *body, uint32_t *ret_number)
{
    struct pl_str segment;

    if (!peek(at, &segment) || segment.len < body->id.len ||
        memcmp(segment.ptr, body->id.ptr, body->id.len) != 0)
        return false;
    *ret_number = 1;
    if (segment.len > body->id.len &&
        (segment.ptr[body->id.len] != '-' ||
         !is_number(pl_str_n(segment.ptr + body->id.len + 1, segment.len - body->id.len - 1),
                    ret_number) ||
         *ret_number < 2))
        return false;
    take(at);
    return true;
}

/* The same of a tool of an MCP server: which there are, the agent knows. */
static bool take_mcp_tool(struct segments *at, const struct run_node *owner, uint32_t *ret_number)
{
    struct pl_str segment;

    if (!peek(at, &segment) || !run_agent_find_name(owner, segment, ret_number))
        return false;
    take(at);
    return true;
}

/* Does what is left go into an instance of this body of `owner`? */
static bool enters(struct segments *at, const struct step_body *body, const struct run_node *owner,
                   struct run_place *place)
{
    struct segments from = *at;
    bool found = false;

    place->level = place->number = 0;
    switch (body->role) {
    case BODY_ROOT:
    case BODY_INLINE:
        return at->rest.len > 0;
    case BODY_BRANCH:
        if (body->id.len) {
            found = take_word(at, body->id);
            place->number = body->number;
        } else {
            found = take_number(at, &place->number);
        }
        break;
    case BODY_TURN:
        found = take_number(at, &place->number) && (!body->single || at->rest.len == 0);
        break;
    case BODY_TOOL:
        found = take_number(at, &place->level) &&
                (body->id.len ? take_tool(at, body, &place->number)
                              : take_mcp_tool(at, owner, &place->number));
        break;
    case BODY_LISTING:
        found = take_word(at, PL_STR("mcp")) && take_number(at, &place->number);
        break;
    case BODY_COLLAPSE:
        found = take_word(at, PL_STR("collapse")) && take_number(at, &place->level) &&
                take_number(at, &place->number);
        break;
    case BODY_JUDGE:
        found = take_word(at, PL_STR("judge"));
        break;
    case BODY_SCORE:
        found = take_word(at, PL_STR("score")) && take_number(at, &place->number);
        break;
    }
    if (!found)
        *at = from;
    return found;
}

static const struct step_def *named(struct step_def *const *defs, size_t count, struct pl_str id)
{
    for (size_t i = 0; i < count; i++)
        if (pl_str_eq(defs[i]->id, id))
            return defs[i];
    return NULL;
}

static struct run_frame *search(const struct run_node *owner, const struct run_place *place)
{
    struct run_inner *inner = owner->inner;

    for (struct pl_list *link = inner->frames.prev; link != &inner->frames; link = link->prev) {
        struct run_frame *frame = pl_container_of(link, struct run_frame, link);

        if (frame->body == place->body && frame->level == place->level &&
            frame->number == place->number)
            return frame;
    }
    return NULL;
}

/* A map may have very many: it knows where they are. One that is over may live a little longer than
 * its map knows of it, but not while loading. */
static struct run_frame *live_frame(const struct run_core *core, const struct run_node *owner,
                                    const struct run_place *place)
{
    const struct run_kind *kind = run_kind_of(owner->def->kind);
    enum body_role role = place->body->role;
    struct run_frame *frame = NULL;

    if (!owner->inner)
        return NULL;
    if (kind->find && (role == BODY_BRANCH || role == BODY_COLLAPSE)) {
        frame = kind->find(owner, place->body, place->level, place->number);
        if (frame || core->loading)
            return frame;
    }
    return search(owner, place);
}

/* Into an instance of one of the bodies of `owner`; false when there is no such body, or no such
 * instance now (place->owner). */
static bool into_body(const struct run_core *core, struct segments *at, struct run_node *owner,
                      struct run_place *place, struct run_frame **ret_frame)
{
    for (size_t i = 0; i < owner->def->n_bodies; i++) {
        if (!enters(at, owner->def->bodies[i], owner, place))
            continue;
        place->body = owner->def->bodies[i];
        *ret_frame = live_frame(core, owner, place);
        if (!*ret_frame)
            place->owner = owner;
        return *ret_frame != NULL;
    }
    return false;
}

/* One step down from `def` (NULL: the top of the frame). */
static const struct step_def *step_down(struct segments *at, const struct run_frame *frame,
                                        const struct step_def *def)
{
    const struct step_def *found = NULL;
    struct pl_str segment;

    if (!peek(at, &segment))
        return NULL;
    if (!def)
        found = named(frame->body->top, frame->body->n_top, segment);
    else if (def->handler && pl_str_eq(segment, def->handler->id))
        found = def->handler;
    else
        found = named(def->children, def->n_children, segment);
    if (found)
        take(at);
    return found;
}

bool run_frame_find(const struct run_core *core, struct pl_str path, struct run_place *ret_place)
{
    struct segments at = {.rest = path};
    struct run_frame *frame = core->root;
    const struct step_def *def = NULL, *down;

    *ret_place = (struct run_place){0};
    if (path.len && path.ptr[path.len - 1] == '.')
        return false;
    for (;;) {
        if (!def && frame->body->single)
            def = frame->body->top[0];
        down = step_down(&at, frame, def);
        if (down) {
            def = down;
        } else if (at.rest.len == 0) {
            ret_place->node = run_node_at(frame, def);
            return def != NULL;
        } else if (!def || !into_body(core, &at, run_node_at(frame, def), ret_place, &frame)) {
            return false;
        } else {
            def = NULL;
        }
    }
}

struct run_node *run_core_find(const struct run_core *core, struct pl_str path)
{
    struct run_place place;

    return run_frame_find(core, path, &place) ? place.node : NULL;
}
