/* routes.h - THE table of routes: one row each; the OpenAPI document, the 405s and the docs come
 * from it. Not the matching (route_match.c) and not the handlers (handlers/). A new route is a row
 * in routes.c, a handler, a test, a line in docs/http.md. */
#ifndef PLAIT_API_ROUTES_H
#define PLAIT_API_ROUTES_H

#include "api/request.h"

enum api_scope { API_SCOPE_NONE, API_SCOPE_READ, API_SCOPE_RUN, API_SCOPE_ANSWER, API_SCOPE_ADMIN };

/* Which bodies a route takes. */
enum api_body {
    API_BODY_NONE,
    API_BODY_JSON,
    API_BODY_WORKFLOW /* JSON or YAML by Content-Type */
};

struct api_route {
    const char *method; /* "POST" */
    const char
        *pattern; /* "/v1/runs/{id}/steps/{path}/cancel": a {name} matches one segment, not empty */
    void (*handler)(struct api_request *request);
    enum api_scope scope;
    enum api_body body;
    size_t max_body;     /* bytes; 0: the server's */
    const char *summary; /* for people: OpenAPI */
    const char *query;   /* names of query parameters it reads, space separated; others are refused.
                            NULL: none */
    const char *request_schema,
        *response_schema; /* names of schemas of the OpenAPI document, NULL: none */
    const char *statuses; /* "200 202 400 404 422": what it may answer, for OpenAPI */
};

extern const struct api_route api_routes[];
extern const size_t api_routes_count;

/* The row for a method and path, params filled. Errors: NOT_FOUND; NOT_ALLOWED with *ret_allow
 * ("GET, POST", static or in the arena). HEAD matches GET. */
enum pl_code api_route_match(struct api_request *request, const struct api_route **ret_route,
                             const char **ret_allow, struct pl_err *err);

/* handlers/ */
void handle_runs_create(struct api_request *request);
void handle_runs_list(struct api_request *request);
void handle_run_get(struct api_request *request);
void handle_run_delete(struct api_request *request);
void handle_run_cancel(struct api_request *request);
void handle_steps_list(struct api_request *request);
void handle_step_cancel(struct api_request *request);
void handle_step_answer(struct api_request *request);
void handle_events(struct api_request *request);
void handle_thread_state(struct api_request *request);
void handle_thread_put(struct api_request *request);
void handle_thread_delete(struct api_request *request);
void handle_thread_runs(struct api_request *request);
void handle_workflow_put(struct api_request *request);
void handle_workflow_get(struct api_request *request);
void handle_workflow_delete(struct api_request *request);
void handle_workflows_list(struct api_request *request);
void handle_workflow_graph(struct api_request *request);
void handle_workflow_run(struct api_request *request);
void handle_validate(struct api_request *request);
void handle_estimate(struct api_request *request);
void handle_healthz(struct api_request *request);
void handle_readyz(struct api_request *request);
void handle_metrics(struct api_request *request);
void handle_openapi(struct api_request *request);

#endif
