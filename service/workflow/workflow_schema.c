/* workflow_schema.c - schemas as they stand in a workflow: inline, or by the name of one under
 * `schemas`. Not their compilation (schema_compile.c). Called by workflow_parse and
 * steps/<kind>_parse. */
#include "service/workflow/workflow_parse.h"

void wf_parse_schema(struct wf_ctx *ctx, const struct doc_node *node, struct schema_use *ret_use)
{
    struct wf_parser *p = ctx->p;
    struct schema *schema = schema_compile_in(p->arena, node, p->schemas, p->problems);

    if (!schema)
        return;
    ret_use->schema = schema;
    ret_use->json = schema_json(schema, p->arena);
    if (node->type == DOC_STRING)
        ret_use->name = node->text;
}
