/* workflow.h - compiling a workflow in a test, with a world in which the providers `openai` and
 * `sim` exist. Not for the product. Included by unit tests and fuzzers. */
#ifndef PLAIT_TESTS_SUPPORT_WORKFLOW_H
#define PLAIT_TESTS_SUPPORT_WORKFLOW_H

#include "service/workflow/workflow.h"

/* The world: knows openai/ and sim/. Static. `arg` counts the questions (unsigned *) and may be
 * NULL. */
bool test_model_ok(void *arg, struct pl_str model, struct pl_err *err);

/* Compiles `text`; ends the test with the problems when it is not valid. The caller unrefs. */
struct workflow *test_workflow(const char *text);

/* Appends one line a problem: NAME:LINE:COL POINTER: message. */
void test_write_problems(const char *name, const struct doc_problems *problems, struct pl_buf *out);

/* Compiles `text`, which must be wrong, and gives its problems as lines of "LINE:COL POINTER:
 * message" in static memory, good until the next call; ends the test when it is valid. One thread.
 */
const char *test_workflow_problems(const char *text);

/* The step at a path; ends the test when there is none. */
const struct step_def *test_step_at(const struct workflow *workflow, const char *path);
/* The paths of a list of steps, blank between, for comparisons: in static memory, the four last
 * answers stay valid. One thread. */
const char *test_paths(struct step_def *const *steps, size_t count);

#endif
