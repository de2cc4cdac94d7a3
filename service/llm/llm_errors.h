/* llm_errors.h - which error an HTTP status or a provider's own error word stands for. Not the
 * reading of an error body (openai.c). Called by providers; pure. */
#ifndef PLAIT_SERVICE_LLM_LLM_ERRORS_H
#define PLAIT_SERVICE_LLM_LLM_ERRORS_H

#include "service/steps/step_result.h"

/* What a server said went wrong. */
struct llm_fault {
    int status;               /* HTTP status, or the number given as code; 0: none */
    struct pl_str code, type; /* its words, such as insufficient_quota; may be empty */
    struct pl_str message;    /* its text, may be empty */
};

/* Fills err (code and message), no_retry, upstream (cut to 2 KB) and, unless it is 0,
 * upstream_status. `fallback` is the code when neither words nor status say more. */
void llm_fault_result(const struct llm_fault *fault, enum pl_code fallback,
                      struct step_result *result);

#endif
