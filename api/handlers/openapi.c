/* openapi.c - GET /openapi.json. The document: api/openapi.c. */
#include "api/openapi.h"

#include "api/routes.h"

enum { OPENAPI_MAX = 1 << 20 };

void handle_openapi(struct api_request *request)
{
    struct pl_buf out;

    pl_buf_init(&out, OPENAPI_MAX);
    openapi_write(&out);
    api_reply_json(request, 200, &out);
}
