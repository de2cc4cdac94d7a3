/* workflow_model.c - one model for every llm step, written into the document before it is pinned,
 * so that a resumed run calls it too. Not the check that the model can be called
 * (workflow_check.c). Called by workflow_compile. */
#include "base/map.h"
#include "service/workflow/workflow_parse.h"

/* A string member is replaced; one that is missing is added where the object stands. False when
 * memory is out. */
static bool set_member(struct pl_arena *arena, struct doc_node *object, const char *key,
                       struct doc_node value)
{
    struct doc_node *node = pl_arena_alloc(arena, sizeof *node);
    struct doc_node **items = pl_arena_alloc_array(arena, object->count + 1, sizeof *items);

    if (!node || !items)
        return false;
    value.key = pl_str(key);
    value.parent = object;
    value.line = value.key_line = object->line;
    value.column = value.key_column = object->column;
    value.position = object->count;
    *node = value;
    if (object->count)
        memcpy(items, object->items, object->count * sizeof *items);
    items[object->count++] = node;
    object->items = items;
    return !object->by_key || pl_map_put(object->by_key, node->key, node, NULL);
}

static bool set_model(struct pl_arena *arena, struct doc_node *object, struct pl_str model,
                      bool add)
{
    for (size_t i = 0; i < object->count; i++) {
        struct doc_node *member = object->items[i];

        if (!pl_str_is(member->key, "model"))
            continue;
        if (member->type == DOC_STRING) /* another type is a problem to be reported as it stands */
            member->text = model;
        return true;
    }
    return !add ||
           set_member(arena, object, "model", (struct doc_node){.type = DOC_STRING, .text = model});
}

static struct doc_node *member_object(const struct doc_node *object, const char *key)
{
    for (size_t i = 0; object && object->type == DOC_OBJECT && i < object->count; i++)
        if (pl_str_is(object->items[i]->key, key) && object->items[i]->type == DOC_OBJECT)
            return object->items[i];
    return NULL;
}

/* A model step: the one model, and none to fall back on. */
static bool set_call(struct pl_arena *arena, struct doc_node *call, struct pl_str model)
{
    struct doc_node *fallback = NULL;

    if (!call)
        return true;
    for (size_t i = 0; i < call->count; i++)
        if (pl_str_is(call->items[i]->key, "fallback"))
            fallback = call->items[i];
    if (fallback && fallback->type == DOC_LIST)
        fallback->count = 0;
    return set_model(arena, call, model, false);
}

static bool set_step(struct pl_arena *arena, struct doc_node *step, struct pl_str model);

static bool set_steps(struct pl_arena *arena, struct doc_node *steps, struct pl_str model)
{
    for (size_t i = 0; steps && i < steps->count; i++)
        if (steps->items[i]->type == DOC_OBJECT && !set_step(arena, steps->items[i], model))
            return false;
    return true;
}

static bool set_one(struct pl_arena *arena, struct doc_node *object, const char *key,
                    struct pl_str model)
{
    struct doc_node *step = member_object(object, key);

    return !step || set_step(arena, step, model);
}

static bool set_tools(struct pl_arena *arena, struct doc_node *tools, struct pl_str model)
{
    for (size_t i = 0; tools && i < tools->count; i++)
        if (!set_one(arena, tools->items[i], "do", model))
            return false;
    return true;
}

/* The document's depth is capped, so this recursion is too. */
static bool set_step(struct pl_arena *arena, struct doc_node *step, struct pl_str model)
{
    struct doc_node *agent = member_object(step, "agent"), *map = member_object(step, "map"),
                    *vote = member_object(step, "vote");

    return set_call(arena, member_object(step, "llm"), model) && set_call(arena, agent, model) &&
           set_tools(arena, member_object(agent, "tools"), model) &&
           set_one(arena, member_object(step, "on_error"), "step", model) &&
           set_steps(arena, member_object(member_object(step, "parallel"), "branches"), model) &&
           set_one(arena, map, "do", model) &&
           set_one(arena, member_object(map, "collapse"), "do", model) &&
           set_one(arena, vote, "of", model) && set_one(arena, vote, "judge", model) &&
           set_one(arena, vote, "score", model) &&
           set_steps(arena, member_object(vote, "among"), model) &&
           set_steps(arena, member_object(member_object(step, "workflow"), "steps"), model) &&
           set_steps(arena, member_object(member_object(step, "repeat"), "steps"), model);
}

bool wf_override_model(struct pl_arena *arena, struct doc_node *root, struct pl_str model)
{
    struct doc_node *defaults = member_object(root, "defaults");
    struct pl_str copy = pl_arena_str(arena, model);

    if (copy.len == 0)
        return false;
    if (root->type != DOC_OBJECT)
        return true;
    if (!defaults && !doc_get(root, "defaults")) {
        if (!set_member(arena, root, "defaults", (struct doc_node){.type = DOC_OBJECT}))
            return false;
        defaults = root->items[root->count - 1];
    }
    if (defaults && !set_model(arena, defaults, copy, true))
        return false;
    return set_steps(arena, member_object(root, "steps"), copy);
}
