/* workflow_graph.c - draws a workflow: Mermaid, DOT, JSON. Not a run's state. Called by `plait
 * graph`; any thread.
 *
 * Steps come in the order written and are named by their index (n0, n1, ...), so the same workflow
 * gives the same bytes. What runs many times (`do` of a map) is drawn once, inside its step; a
 * workflow called by name is one node. An edge goes from a step to one that waits for it; a handler
 * hangs on its step by a dashed edge. */
#include "service/workflow/workflow.h"

#include "base/json.h"

enum { LABEL_BYTES = 256 };

/* The one step of a body is called by what the body is for. */
static struct pl_str name_of(const struct step_def *step)
{
    if (step->body->single && step->parent == step->body->owner && !step->is_handler) {
        if (step->body->role == BODY_COLLAPSE)
            return PL_STR("collapse");
        if (step->body->role == BODY_TOOL)
            return step->body->id.len ? step->body->id : PL_STR("tools");
    }
    return step->id;
}

static const char *method_name(enum vote_method method)
{
    static const char *const names[] = {
        [VOTE_MAJORITY] = "majority", [VOTE_WEIGHTED] = "weighted", [VOTE_MEDIAN] = "median",
        [VOTE_UNION] = "union",       [VOTE_JUDGE] = "judge",       [VOTE_BEST_OF] = "best_of",
    };

    return names[method];
}

static void join_label(const struct step_def *step, struct pl_buf *out)
{
    pl_buf_text(out, ", ");
    pl_buf_text(out, join_kind_name(step->join.kind));
    if (step->join.kind == JOIN_QUORUM)
        pl_buf_printf(out, " %u", step->join.quorum);
    if (step->join.kind == JOIN_FRACTION) {
        pl_buf_char(out, ' ');
        json_write_double(out, step->join.fraction);
    }
}

/* How a step is called in a picture: id and kind, one that joins with how. */
static void label(const struct step_def *step, struct pl_buf *out)
{
    pl_buf_str(out, name_of(step));
    pl_buf_text(out, ": ");
    pl_buf_text(out, step_kind_name(step->kind));
    if (step->kind == STEP_VOTE) {
        const struct vote_config *vote = step->config.vote;

        pl_buf_printf(out, ", %s among %u", method_name(vote->method),
                      vote->n_among ? vote->n_among : vote->samples);
    } else if (step_kind_joins(step->kind)) {
        join_label(step, out);
    } else if (step->kind == STEP_REPEAT) {
        pl_buf_printf(out, ", at most %u", step->config.repeat->max);
    } else if (step->kind == STEP_WORKFLOW && step->config.workflow->child) {
        pl_buf_char(out, ' ');
        pl_buf_str(out, step->config.workflow->name);
    } else if (step->kind == STEP_MCP) {
        const struct agent_config *agent = step->config.mcp->agent;

        for (size_t i = 0; i < agent->n_mcp; i++)
            pl_buf_printf(out, "%s%.*s", i ? ", " : " ", PL_STR_ARG(agent->mcp[i].url_text));
    }
}

static void indent(struct pl_buf *out, unsigned depth)
{
    for (unsigned i = 0; i <= depth; i++)
        pl_buf_text(out, "  ");
}

/* The body of a step that is drawn inside it; NULL: it is another workflow's, drawn by its name
 * only. */
static const struct step_body *inner_body(const struct step_def *step, size_t number)
{
    const struct step_body *body = step->bodies[number];

    return body->owner == step ? body : NULL;
}

/* A step with nothing in it is drawn as a node: an empty frame is none. */
static bool is_frame(const struct step_def *step)
{
    return step->n_children > 0 || (step->n_bodies > 0 && inner_body(step, 0));
}

/* Draws what stands inside a step. */
typedef void (*draw_fn)(const struct step_def *step, unsigned depth, struct pl_buf *out);

static void draw_inside(const struct step_def *step, unsigned depth, struct pl_buf *out,
                        draw_fn draw)
{
    for (size_t i = 0; i < step->n_children; i++)
        draw(step->children[i], depth, out);
    for (size_t i = 0; i < step->n_bodies; i++) {
        const struct step_body *body = inner_body(step, i);

        if (body && body->role == BODY_LISTING) /* a picture shows the servers once */
            continue;
        for (size_t k = 0; body && k < body->n_top; k++)
            draw(body->top[k], depth, out);
    }
}

/* ---- Mermaid ---- */

/* Quotes would end a label and `<`, `&`, `#` are read as HTML or entities: all go as numbered
 * entities. */
static void mermaid_text(struct pl_buf *out, struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"' || c == '<' || c == '>' || c == '&' || c == '#' || c == '`' || c == '\\')
            pl_buf_printf(out, "#%d;", c);
        else
            pl_buf_char(out, (unsigned char)c < 0x20 ? ' ' : c);
    }
}

static void mermaid_label(const struct step_def *step, struct pl_buf *out)
{
    struct pl_buf text;

    pl_buf_init(&text, LABEL_BYTES);
    label(step, &text);
    mermaid_text(out, pl_buf_view(&text));
    pl_buf_finish(&text);
}

static void mermaid_node(const struct step_def *step, unsigned depth, struct pl_buf *out)
{
    indent(out, depth);
    if (is_frame(step)) {
        pl_buf_printf(out, "subgraph n%u[\"", (unsigned)step->index);
        mermaid_label(step, out);
        pl_buf_text(out, "\"]\n");
        draw_inside(step, depth + 1, out, mermaid_node);
        indent(out, depth);
        pl_buf_text(out, "end\n");
    } else {
        pl_buf_printf(out, "n%u[\"", (unsigned)step->index);
        mermaid_label(step, out);
        pl_buf_text(out, "\"]\n");
    }
    if (step->handler)
        mermaid_node(step->handler, depth, out);
}

static void write_mermaid(const struct workflow *workflow, struct pl_buf *out)
{
    pl_buf_text(out, "flowchart TD\n");
    for (size_t i = 0; i < workflow->root->n_top; i++)
        mermaid_node(workflow->root->top[i], 0, out);
    for (size_t i = 0; i < workflow->n_steps; i++) {
        const struct step_def *step = workflow->steps[i];
        for (size_t k = 0; k < step->n_deps; k++)
            pl_buf_printf(out, "  n%u --> n%u\n", (unsigned)step->deps[k]->index,
                          (unsigned)step->index);
        if (step->handler)
            pl_buf_printf(out, "  n%u -. on error .-> n%u\n", (unsigned)step->index,
                          (unsigned)step->handler->index);
    }
}

/* ---- DOT ---- */

static void dot_text(struct pl_buf *out, struct pl_str text)
{
    pl_buf_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"' || text.ptr[i] == '\\')
            pl_buf_char(out, '\\');
        pl_buf_char(out, (unsigned char)text.ptr[i] < 0x20 ? ' ' : text.ptr[i]);
    }
    pl_buf_char(out, '"');
}

static void dot_label(const struct step_def *step, struct pl_buf *out)
{
    struct pl_buf text;

    pl_buf_init(&text, LABEL_BYTES);
    label(step, &text);
    dot_text(out, pl_buf_view(&text));
    pl_buf_finish(&text);
}

static void dot_node(const struct step_def *step, unsigned depth, struct pl_buf *out)
{
    unsigned index = step->index;

    indent(out, depth);
    if (is_frame(step)) {
        /* DOT draws edges between nodes only: a point inside stands for the frame, edges are
         * clipped at it. */
        pl_buf_printf(out, "subgraph cluster_n%u {\n", index);
        indent(out, depth + 1);
        pl_buf_text(out, "label=");
        dot_label(step, out);
        pl_buf_text(out, ";\n");
        indent(out, depth + 1);
        pl_buf_printf(out, "n%u [shape=point, style=invis];\n", index);
        draw_inside(step, depth + 1, out, dot_node);
        indent(out, depth);
        pl_buf_text(out, "}\n");
    } else {
        pl_buf_printf(out, "n%u [label=", index);
        dot_label(step, out);
        pl_buf_text(out, "];\n");
    }
    if (step->handler)
        dot_node(step->handler, depth, out);
}

static void dot_edge(const struct step_def *from, const struct step_def *to, const char *style,
                     struct pl_buf *out)
{
    pl_buf_printf(out, "  n%u -> n%u", (unsigned)from->index, (unsigned)to->index);
    const char *before = " [";
    if (is_frame(from)) {
        pl_buf_printf(out, "%sltail=cluster_n%u", before, (unsigned)from->index);
        before = ", ";
    }
    if (is_frame(to)) {
        pl_buf_printf(out, "%slhead=cluster_n%u", before, (unsigned)to->index);
        before = ", ";
    }
    if (style) {
        pl_buf_printf(out, "%s%s", before, style);
        before = ", ";
    }
    pl_buf_text(out, before[0] == ',' ? "];\n" : ";\n");
}

static void write_dot(const struct workflow *workflow, struct pl_buf *out)
{
    pl_buf_text(out, "digraph ");
    dot_text(out, workflow->name.len ? workflow->name : PL_STR("workflow"));
    pl_buf_text(out, " {\n  compound=true;\n  node [shape=box];\n");
    for (size_t i = 0; i < workflow->root->n_top; i++)
        dot_node(workflow->root->top[i], 0, out);
    for (size_t i = 0; i < workflow->n_steps; i++) {
        const struct step_def *step = workflow->steps[i];
        for (size_t k = 0; k < step->n_deps; k++)
            dot_edge(step->deps[k], step, NULL, out);
        if (step->handler)
            dot_edge(step, step->handler, "style=dashed, label=\"on error\"", out);
    }
    pl_buf_text(out, "}\n");
}

/* ---- JSON ---- */

/* What the body a step stands in is to the step around it. */
static const char *role_name(enum body_role role)
{
    static const char *const names[] = {
        [BODY_ROOT] = "root",   [BODY_BRANCH] = "branch", [BODY_COLLAPSE] = "collapse",
        [BODY_JUDGE] = "judge", [BODY_SCORE] = "score",   [BODY_TURN] = "turn",
        [BODY_TOOL] = "tool",   [BODY_INLINE] = "steps",  [BODY_LISTING] = "listing",
    };

    return names[role];
}

static void json_servers(const struct agent_config *agent, struct pl_buf *out)
{
    json_key(out, "mcp");
    json_array_begin(out);
    for (size_t i = 0; i < agent->n_mcp; i++) {
        json_comma(out);
        json_write_string(out, agent->mcp[i].url_text);
    }
    json_array_end(out);
}

static void json_node(const struct step_def *step, struct pl_buf *out)
{
    json_comma(out);
    json_object_begin(out);
    json_add_string(out, "id", step->path);
    json_add_string(out, "kind", pl_str(step_kind_name(step->kind)));
    if (step->parent)
        json_add_string(out, step->is_handler ? "handles" : "parent", step->parent->path);
    if (!step->is_handler && step->parent && step->parent == step->body->owner)
        json_add_string(out, "body", pl_str(role_name(step->body->role)));
    if (step_kind_joins(step->kind))
        json_add_string(out, "join", pl_str(join_kind_name(step->join.kind)));
    if (step->kind == STEP_WORKFLOW && step->config.workflow->child)
        json_add_string(out, "workflow", step->config.workflow->name);
    if (step->kind == STEP_AGENT && step->config.agent->n_mcp)
        json_servers(step->config.agent, out);
    json_object_end(out);
}

static void write_json(const struct workflow *workflow, struct pl_buf *out)
{
    json_object_begin(out);
    json_key(out, "nodes");
    json_array_begin(out);
    for (size_t i = 0; i < workflow->n_steps; i++)
        json_node(workflow->steps[i], out);
    json_array_end(out);
    json_key(out, "edges");
    json_array_begin(out);
    for (size_t i = 0; i < workflow->n_steps; i++) {
        const struct step_def *step = workflow->steps[i];
        for (size_t k = 0; k < step->n_deps; k++) {
            json_comma(out);
            json_object_begin(out);
            json_add_string(out, "from", step->deps[k]->path);
            json_add_string(out, "to", step->path);
            json_object_end(out);
        }
    }
    json_array_end(out);
    json_object_end(out);
}

void workflow_graph(const struct workflow *workflow, enum graph_format format, struct pl_buf *out)
{
    switch (format) {
    case GRAPH_MERMAID:
        write_mermaid(workflow, out);
        break;
    case GRAPH_DOT:
        write_dot(workflow, out);
        break;
    case GRAPH_JSON:
        write_json(workflow, out);
        break;
    }
}
