/* step_result.h - what one attempt of a step came to: made where the call ran, read by the run
 * core. Not the outcome of the step (retries and on_error decide that). */
#ifndef PLAIT_SERVICE_STEPS_STEP_RESULT_H
#define PLAIT_SERVICE_STEPS_STEP_RESULT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/value.h"
#include "storage/records.h"

/* Owned by whoever holds it; step_result_finish releases. Crosses threads with its call. */
struct step_result {
    struct pl_err err;         /* code PL_OK: `output` is there; CANCELLED: it was aborted */
    struct pl_value *output;   /* a reference, NULL unless OK */
    struct store_usage usage;  /* also of a failed or aborted attempt, as far as it was seen */
    int upstream_status;       /* HTTP status, 0: none */
    struct pl_value *upstream; /* the server's own error message as a JSON string, NULL: none */
    struct pl_buf facts;       /* see step_result_fact */
    pl_ms retry_after;         /* the server's hint; -1: none */
    bool no_retry; /* the server said so (x-should-retry: false), or it can never work */
    bool free;     /* uses up no attempt: 429, or a known provider out of reach */
};

void step_result_init(struct step_result *result); /* OK, nothing there, retry_after -1 */
void step_result_finish(struct step_result *result);

/* Says how the attempt's call went: a member of the step's `call` that people see, "finish_reason",
 * "request_id". A value that is empty is left out, and so is one for which memory is out. `name` is
 * static text; a name is given once. */
void step_result_fact(struct step_result *result, const char *name, struct pl_str value);
void step_result_fact_int(struct step_result *result, const char *name, int64_t value);
void step_result_fact_double(struct step_result *result, const char *name, double value);
void step_result_fact_bool(struct step_result *result, const char *name, bool value);
/* What was said, as a JSON object for the caller to keep; NULL: nothing, or no memory. The result
 * has none afterwards. */
struct pl_value *step_result_take_facts(struct step_result *result);

#endif
