/* script.h - scripted conversations of the stand-in model: which answer comes at this turn, and
 * what a request had in it, for the log. Not the writing of answers (plan.c, calls.c). Called by
 * serve.c; one thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_SCRIPT_H
#define PLAIT_TESTS_FAKE_MODEL_SCRIPT_H

#include "tests/fake_model/behaviour.h"

/* Looks for {"fake": {"answers": [...]}} in the user messages of a request's body (checked JSON).
 * The answer taken is the one whose place is the number of assistant messages there are, or the
 * last: a text, "$tools" (what the tools gave, joined by " | "), or {"tool_calls": [{"name",
 * "arguments", "id"}], "text": "..."}. */
void script_apply(struct pl_str body, struct behaviour *behaviour);

/* What the log says of a request's body. */
struct script_facts {
    unsigned messages, tools; /* how many */
    bool schema;              /* response_format, or output_config.format, of type json_schema */
};
void script_facts(struct pl_str body, struct script_facts *ret_facts);

#endif
