/* workflow_schema.c - schemas as they stand in a workflow: inline, or by the name of one under
 * `schemas`. Not their compilation (schema_compile.c). Called by workflow_parse and
 * steps/<kind>_parse. */
#include "service/workflow_parse.h"

void wf_parse_schema(struct wf_ctx *ctx, const struct doc_node *node, struct schema_use *ret_use)
{
    ret_use->schema = schema_compile(ctx->p->arena, node, ctx->p->problems);
    ret_use->json = doc_json(ctx->p->arena, node);
}
