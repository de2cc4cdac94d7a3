/* openapi.h - the OpenAPI 3.1 document of the table of routes. Not the routes (routes.c) and not
 * the schemas' text (openapi_schemas.json, embedded by the build). */
#ifndef PLAIT_API_OPENAPI_H
#define PLAIT_API_OPENAPI_H

#include "base/buf.h"

/* Appends the document as compact JSON. Any thread. */
void openapi_write(struct pl_buf *out);

#endif
