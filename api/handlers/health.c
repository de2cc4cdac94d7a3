/* health.c - GET /healthz and GET /readyz: is the process alive, and can it take runs. Neither
 * touches the store's files: a probe must be answered whatever they do. */
#include "api/routes.h"
#include "api/server.h"

#include "base/json.h"
#include "service/engine.h"

enum { HEALTH_MAX = 4096 };

static void reply_status(struct api_request *request, const char *status)
{
    struct pl_buf out;

    pl_buf_init(&out, HEALTH_MAX);
    json_object_begin(&out);
    json_add_string(&out, "status", pl_str(status));
    json_add_string(&out, "version", PL_STR(PLAIT_VERSION));
    json_object_end(&out);
    api_reply_json(request, 200, &out);
}

void handle_healthz(struct api_request *request)
{
    reply_status(request, "ok");
}

void handle_readyz(struct api_request *request)
{
    struct pl_err err = {0};

    if (api_server_draining(request->server))
        pl_err_set(&err, PL_ERR_SHUTTING_DOWN, "shutting down: no new runs are taken");
    else if (engine_health(request->engine, &err) == PL_OK)
        err.code = PL_OK;
    if (err.code == PL_OK)
        reply_status(request, "ready");
    else
        api_reply_problem(request, &err, NULL);
}
