/* llm_describe.c - see llm_describe.h. A new member of llm_request that changes what a model is
 * asked for has its line here. */
#include "service/llm/llm_describe.h"

#include "base/json.h"
#include "service/steps/step_config.h"

static void add_raw(struct pl_buf *out, const char *key, struct pl_str json)
{
    if (!json.len)
        return;
    json_key(out, key);
    json_write_compact(out, json);
}

void llm_request_describe(const struct llm_request *request, struct pl_str model,
                          struct pl_buf *out)
{
    json_object_begin(out);
    json_add_string(out, "model", model);
    if (request->system.ptr)
        json_add_string(out, "system", request->system);
    add_raw(out, "messages", request->messages);
    add_raw(out, "temperature", request->temperature);
    if (request->max_tokens)
        json_add_int(out, "max_tokens", request->max_tokens);
    add_raw(out, "seed", request->seed);
    add_raw(out, "stop", request->stop);
    add_raw(out, "extra", request->extra);
    if (request->schema)
        add_raw(out, "schema", request->schema->json);
    add_raw(out, "tools", request->tools);
    add_raw(out, "tool_choice", request->tool_choice);
    json_object_end(out);
}
