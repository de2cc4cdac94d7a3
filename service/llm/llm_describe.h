/* llm_describe.h - a model call as JSON, as the workflow means it: the same whatever provider gets
 * it. Not what is sent (the providers' build). Called by steps/llm.c for recordings. */
#ifndef PLAIT_SERVICE_LLM_LLM_DESCRIBE_H
#define PLAIT_SERVICE_LLM_LLM_DESCRIBE_H

#include "base/buf.h"
#include "service/llm/provider.h"

/* Appends {"model": "provider/model", "system", "messages", ...}: what is not given is left out.
 * Nothing in it depends on time, attempts or streaming. */
void llm_request_describe(const struct llm_request *request, struct pl_str model,
                          struct pl_buf *out);

#endif
