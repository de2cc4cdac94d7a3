/* step_kinds.h - the rows of the table of leaf kinds, one a file. For step_kinds.c and tests;
 * everybody else asks step_kind_ops. */
#ifndef PLAIT_SERVICE_STEPS_STEP_KINDS_H
#define PLAIT_SERVICE_STEPS_STEP_KINDS_H

#include "service/steps/step_kind.h"

extern const struct step_kind_ops step_llm_ops;    /* llm.c */
extern const struct step_kind_ops step_http_ops;   /* http.c */
extern const struct step_kind_ops step_reduce_ops; /* reduce.c */
extern const struct step_kind_ops step_mcp_ops;    /* mcp.c */

#endif
