/* step_kind.h - the vtable of step kinds that do something of their own (leaves), and the call: one
 * attempt of one such step. Not parallel (run_core runs that) and not what happens to the result.
 * steps/step_kinds.c is the table; run_exec makes calls and takes results.
 *
 * The way of a call: run_exec fills it on the run's home loop and calls prepare (expressions are
 * evaluated there); run_exec then picks the loop it runs on and start is called there; the kind
 * ends it with step_call_complete, exactly once, which brings it home. */
#ifndef PLAIT_SERVICE_STEPS_STEP_KIND_H
#define PLAIT_SERVICE_STEPS_STEP_KIND_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "service/expr/expr.h"
#include "service/limits/limits.h"
#include "service/net/loop.h"
#include "service/steps/step_result.h"
#include "service/workflow/workflow.h"

struct providers;
struct net_policy;
struct mcp_servers;
struct secrets;
struct step_call;

/* What kinds need of the engine: set once at start, read by all threads. */
struct step_env {
    struct providers *providers;
    const struct net_policy *policy; /* of http and mcp steps */
    struct mcp_servers *mcp;         /* what is known of MCP servers; may be NULL */
    const struct secrets *secrets;   /* which they may name; NULL: none */
    size_t max_output;               /* bytes of one step's output */
    /* Recorded answers are played back: nothing may be called, nor needs to be configured. Requests
     * are only described. */
    bool offline;
};

struct step_call {
    const struct step_kind_ops *ops;
    const struct step_env *env;
    const struct step_def *def;
    struct pl_str run_id, path; /* borrowed from the run, which outlives its calls */
    unsigned attempt;           /* from 1 */
    struct loop *loop;          /* where it runs; set before start */
    struct pl_arena *arena;     /* its own: the request, headers, ...; freed with the call */
    void *request;              /* the kind's, made by prepare */
    void *state;                /* the kind's, while it runs */
    bool stream;                /* somebody listens to deltas: prefer a streaming answer */
    struct step_result result;  /* filled by the kind before step_call_complete */
    struct lane_ticket ticket;  /* its leave to go; the run's to give back */

    /* For llm steps, set by the run before prepare; borrowed until the call is home. Zeroes mean
     * none, but for `sample`. */
    struct pl_str model; /* instead of the configured one, with provider: a fallback */
    bool one_call; /* the budget has room for one call: an answer that does not fit is not repaired
                    */
    int sample;    /* of a vote, from 0: enters the seed; -1: it is no sample */
    /* The model's turn of this agent: its tools are offered, and the output is {"content": text,
     * JSON value (where the agent has a schema) or null, "tool_calls": [{"id", "name", "arguments",
     * "arguments_error"}]}. No tool_calls: content is the agent's answer. `arguments` is an object
     * that fits the tool's parameters, defaults filled in; else arguments_error says what is wrong
     * with it, for the model to read (it is a string where the model wrote no JSON). "replay"
     * is what the provider wants back with the turn (llm/llm_parts.h). NULL: no turn; the output is
     * the text, or the JSON value. */
    const struct agent_config *agent;
    /* JSON list of messages, the whole conversation: instead of system, messages and prompt, whose
     * templates are not looked at. See steps/llm_messages.h. */
    struct pl_str messages_override;
    /* The tools of MCP servers the model is offered beside the agent's own, as in the agent's memo
     * (run_agent_tools.h); empty: none. */
    struct pl_str mcp_tools;

    /* For mcp steps: what is asked of which server, see run_agent_tools.h. */
    struct pl_str mcp_request;
    struct pl_str mcp_agent; /* the path of the agent it belongs to */

    /* For kinds: text as it arrives; on `loop`'s thread. May be NULL. */
    void (*delta)(struct step_call *call, struct pl_str text);
    /* For kinds: the text told so far is void, other text follows in the same attempt (an answer
     * that did not fit its schema is asked for again); on `loop`'s thread. May be NULL. */
    void (*reset)(struct step_call *call);
    /* For llm steps: the answer begins; once, with the first piece of it. Not NULL: stream, though
     * nobody listens. On `loop`'s thread. May be NULL. */
    void (*began)(struct step_call *call);
    /* run_exec's: takes the call home. */
    void (*complete)(struct step_call *call);
};

struct step_kind_ops {
    enum step_kind kind;

    /* Mandatory. Home loop. Evaluates the templates and fills call->request, all memory from
     * call->arena. Must not block. Errors become the attempt's result: EXPRESSION_ERROR, TOO_LARGE,
     * NO_MEMORY, INVALID_ARGUMENT, PROVIDER_UNKNOWN. */
    enum pl_code (*prepare)(struct step_call *call, const struct expr_scope *scope,
                            struct pl_err *err);

    /* Optional (NULL: it is never recorded). Home loop, after prepare. Appends what is asked for as
     * a JSON object: as the workflow means it, not as a provider gets it, without secrets. Called
     * only where runs are recorded or played back. */
    void (*describe)(const struct step_call *call, struct pl_buf *out);

    /* Optional (NULL: never). Home loop, after prepare. May the answer of an equal call be taken
     * instead, and this one's by others? Then true with LLM_DIGEST_BYTES of what is asked and how
     * old an answer may be. */
    bool (*reusable)(const struct step_call *call, unsigned char *ret_digest, pl_ms *ret_ttl);

    /* Optional (NULL: it needs no admission). Home loop, after prepare. The lane it goes by, and
     * what it asks of it (tenant, run and again are the caller's). */
    struct lane *(*lane)(const struct step_call *call, struct lane_ask *ret_ask);

    /* Optional (NULL: it uses nothing that a budget counts). Home loop, after prepare. What the
     * call may use. */
    void (*estimate)(const struct step_call *call, struct call_estimate *ret_estimate);

    /* Mandatory. On call->loop. Begins the attempt; may complete before it returns. Cannot fail:
     * failure is a result. */
    void (*start)(struct step_call *call);

    /* Mandatory unless start always completes at once (then NULL). On call->loop. Stops the
     * attempt: its connection is closed and the call completes, soon or at once, with CANCELLED and
     * the usage seen so far. Never called after completion. */
    void (*abort)(struct step_call *call);

    /* Optional. Home loop. Frees what prepare or start left that is not in the arena. */
    void (*cleanup)(struct step_call *call);
};

/* The row of a leaf kind; NULL for parallel. */
const struct step_kind_ops *step_kind_ops(enum step_kind kind);

/* For kinds: the attempt is over and call->result says how. The call may be gone when this returns.
 */
static inline void step_call_complete(struct step_call *call)
{
    call->complete(call);
}

/* True when the step acts on the outside world and may not be sent before its intent is durable:
 * http other than GET and HEAD, and every step with on_ambiguous: fail. */
bool step_waits_for_intent(const struct step_def *def);

#endif
