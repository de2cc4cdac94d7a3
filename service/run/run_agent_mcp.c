/* run_agent_mcp.c - the tools of MCP servers in the life of an agent: asked for when it begins,
 * kept in its memo, and the names that calls of them have in paths. Not which tools and what is
 * asked (run_agent_tools.c), nor the requests (steps/mcp.c). Called by run_agent.c, and by
 * run_frame.c and run_find.c for paths. */
#include "service/run/run_agent_private.h"

#include "base/json.h"

/* ---- names ---- */

struct pl_str run_agent_mcp_tools(const struct run_node *turn)
{
    return run_agent_tools_of(turn->frame->owner);
}

void run_agent_write_name(const struct run_node *agent, uint32_t number, struct pl_buf *out)
{
    uint32_t nth = number & ((1u << RUN_AGENT_NTH_BITS) - 1);
    struct pl_str tool, name;

    if (json_at(run_agent_tools_of(agent), number >> RUN_AGENT_NTH_BITS, &tool) &&
        json_get(tool, PL_STR("name"), &name))
        json_decode_string(name, out);
    if (nth > 1)
        pl_buf_printf(out, "-%u", nth);
}

/* Names of tools do not end in "-2", so a word that does is a second call. */
bool run_agent_find_name(const struct run_node *agent, struct pl_str word, uint32_t *ret_number)
{
    uint32_t tool, nth = 0, scale = 1;
    size_t at = word.len;

    if (agent_tools_find(run_agent_tools_of(agent), word, &tool)) {
        *ret_number = run_agent_number(tool, 1);
        return true;
    }
    for (; at > 0 && word.len - at < 3 && word.ptr[at - 1] >= '0' && word.ptr[at - 1] <= '9';
         at--, scale *= 10)
        nth += scale * (uint32_t)(word.ptr[at - 1] - '0');
    if (at < 2 || nth < 2 || word.ptr[at - 1] != '-' || word.ptr[at] == '0' ||
        nth >= 1u << RUN_AGENT_NTH_BITS ||
        !agent_tools_find(run_agent_tools_of(agent), pl_str_n(word.ptr, at - 1), &tool))
        return false;
    *ret_number = run_agent_number(tool, nth);
    return true;
}

/* ---- listings ---- */

/* Every server is asked for its tools, all at once. */
void run_agent_begin_listings(struct run_core *core, struct run_node *node)
{
    const struct agent_config *config = run_agent_config(node);

    for (uint32_t i = 0; i < config->n_mcp && !core->out_of_memory; i++) {
        struct pl_value *request = agent_tools_list_request(pl_value_text(node->memo), i);
        struct run_frame *frame = NULL;

        if (request)
            frame = run_frame_create(core, node->def->bodies[config->listing_body], node, 0, i,
                                     request);
        core->out_of_memory |= !frame;
        if (frame)
            run_frame_begin(core, frame);
    }
}

static bool take_listing(struct run_agent *agent, uint32_t server, const struct run_node *step)
{
    struct agent_listing *listing = &agent->listings[server];

    listing->done = true;
    if (step->state == NODE_SUCCEEDED) {
        listing->tools = pl_value_ref(step->output);
        return listing->tools != NULL;
    }
    /* a title, not the server's words: they would stand among the model's instructions */
    listing->why = pl_code_title(step->error ? run_problem_code(step->error) : PL_ERR_CANCELLED);
    return true;
}

static bool all_listed(const struct run_node *node)
{
    for (size_t i = 0; i < run_agent_config(node)->n_mcp; i++)
        if (!run_agent_of(node)->listings[i].done)
            return false;
    return true;
}

void run_agent_forget_listings(const struct run_node *node)
{
    struct run_agent *agent = run_agent_of(node);

    for (size_t i = 0; agent->listings && i < run_agent_config(node)->n_mcp; i++) {
        pl_value_unref(&agent->listings[i].tools);
    }
}

/* What the servers offer is known, and kept: the first turn can begin. */
static void listed(struct run_core *core, struct run_node *node)
{
    struct pl_value *memo = NULL;
    struct pl_err err = {0};

    if (agent_tools_memo(run_agent_config(node), pl_value_text(node->memo),
                         run_agent_of(node)->listings, &memo, &err) != PL_OK) {
        if (err.code == PL_ERR_NO_MEMORY)
            core->out_of_memory = true;
        else
            run_agent_fail(
                core, node,
                run_problem_make(&(struct run_problem){.code = err.code, .detail = err.message}));
        return;
    }
    pl_value_unref(&node->memo);
    node->memo = memo;
    run_agent_forget_listings(node);
    run_node_touch(core, node);
    if (run_agent_begin_messages(node))
        run_agent_begin_turn(core, node);
    else
        core->out_of_memory = true;
}

void run_agent_listing_ended(struct run_core *core, struct run_frame *frame, struct run_node *step)
{
    struct run_node *node = frame->owner;

    if (step->state != NODE_SUCCEEDED && run_agent_config(node)->mcp[frame->number].required) {
        run_agent_fail(core, node,
                       step->error ? pl_value_ref(step->error) : run_problem_of_branch(step));
        return;
    }
    if (!take_listing(run_agent_of(node), frame->number, step))
        core->out_of_memory = true;
    else if (all_listed(node))
        listed(core, node);
}

/* What the listings gave that are over, while others are not; and what each was asked. */
void run_agent_derive_listings(struct run_core *core, struct run_node *node)
{
    const struct agent_config *config = run_agent_config(node);

    for (uint32_t i = 0; i < config->n_mcp; i++) {
        struct run_frame *frame =
            run_agent_frame(node, node->def->bodies[config->listing_body], 0, i);
        const struct run_node *step = frame ? run_node_at(frame, frame->body->top[0]) : NULL;

        if (!frame)
            continue;
        pl_value_unref(&frame->value);
        frame->value = agent_tools_list_request(pl_value_text(node->memo), i);
        core->out_of_memory |= !frame->value;
        if (run_node_is_final(step) && !run_agent_tools_of(node).len &&
            !take_listing(run_agent_of(node), i, step))
            core->out_of_memory = true;
    }
}
