/* run_create.h - starting a run for a request and answering in the way that was asked for: with the
 * run when it is over, with its events, or at once. Not reading the body (run_body.c). Called by
 * runs.c and workflows.c on HTTP threads. */
#ifndef PLAIT_API_HANDLERS_RUN_CREATE_H
#define PLAIT_API_HANDLERS_RUN_CREATE_H

#include "api/request.h"

/* Starts what the request's body says. `reference`: the workflow as the path names it, empty when
 * the body does. Answers, now or later. */
void run_create(struct api_request *request, struct pl_str reference);

#endif
