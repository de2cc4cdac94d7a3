/* schema_sample.h - makes up a value that fits a schema: what the simulated provider answers when a
 * step asks for structured output. Not validation (schema.h), not random: the same schema and text
 * give the same value. Called by llm/sim. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_SAMPLE_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_SAMPLE_H

#include "base/buf.h"
#include "base/err.h"
#include "service/schema/schema.h"

/* Appends a JSON value that fits `schema` (schema_apply says so). Strings that may be anything are
 * `echo` (UTF-8), cut to maxLength. Properties that are not required are there too, down to a few
 * levels. On failure `out` is as it was. Any thread; takes a bounded time. Errors: INVALID_INPUT
 * when none was found (there may be one all the same: patterns, `not` and `oneOf` can ask for what
 * only luck finds), TOO_LARGE when `out` is full, NO_MEMORY. */
enum pl_code schema_sample_write(const struct schema *schema, struct pl_str echo,
                                 struct pl_buf *out, struct pl_err *err) PL_MUST_CHECK;

#endif
