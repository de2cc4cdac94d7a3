/* run_states.c - the tables of states and moves, read by code, and docs/states.md written from
 * them. Not the decisions (run_core). Called by run_core*.c and by tests. */
#include "service/run/run_states.h"

#include "base/buf.h"

struct state_row {
    const char *name, *phase, *status, *sentence;
};

static const struct state_row node_rows[NODE__STATES] = {
#define X(suffix, phase_text, status_text, text) \
    [NODE_##suffix] = {#suffix, (phase_text), (status_text), (text)},
    NODE_STATE_TABLE(X)
#undef X
};

static const struct state_row run_rows[RUN__STATES] = {
#define X(suffix, phase_text, status_text, text) \
    [RUN_##suffix] = {#suffix, (phase_text), (status_text), (text)},
    RUN_STATE_TABLE(X)
#undef X
};

/* Every move of a step, by the state it leaves. */
#define NODE_MOVE_TABLE(X)                                                                \
    X(WAITING, DECIDING, "what it depends on is over; `when` is asked")                   \
    X(WAITING, CALLING, "what it depends on is over; its first attempt begins")           \
    X(WAITING, JOINING, "what it depends on is over; its branches begin")                 \
    X(WAITING, PREPARING, "what it depends on is over; what it begins with is made")      \
    X(DECIDING, PREPARING, "`when` is true; what it begins with is made")                 \
    X(PREPARING, JOINING, "what it begins with is there; what is inside it begins")       \
    X(PREPARING, ASKING, "the question is there; a person is asked")                      \
    X(PREPARING, SLEEPING, "the time is known; it waits for it")                          \
    X(PREPARING, DEFAULTING, "what it begins with cannot be made; on_error.default is")   \
    X(PREPARING, HANDLING, "what it begins with cannot be made; on_error.step begins")    \
    X(PREPARING, FAILED, "what it begins with cannot be made")                            \
    X(PREPARING, CANCELLED, "it was cancelled before it began")                           \
    X(ASKING, ACCEPTING, "a person has answered; the join's `accept` is asked")           \
    X(ASKING, FINISHING, "a person has answered; what follows from it is made")           \
    X(ASKING, SUCCEEDED, "a person has answered, or its time has passed")                 \
    X(ASKING, DEFAULTING, "nobody answered, or with no; on_error.default is made")        \
    X(ASKING, HANDLING, "nobody answered, or with no; on_error.step begins")              \
    X(ASKING, FAILED, "nobody answered, or with no")                                      \
    X(ASKING, CANCELLED, "it was cancelled while a person was asked")                     \
    X(SLEEPING, ACCEPTING, "its time has come; the join's `accept` is asked")             \
    X(SLEEPING, FINISHING, "its time has come; what follows is made")                     \
    X(SLEEPING, SUCCEEDED, "its time has come")                                           \
    X(SLEEPING, DEFAULTING, "its deadline passed; on_error.default is made")              \
    X(SLEEPING, HANDLING, "its deadline passed; on_error.step begins")                    \
    X(SLEEPING, FAILED, "its deadline passed")                                            \
    X(SLEEPING, CANCELLED, "it was cancelled while it slept")                             \
    X(FINISHING, FINISHING, "one thing is made; the next one is")                         \
    X(FINISHING, JOINING, "it is to go on; the next turn begins")                         \
    X(FINISHING, ACCEPTING, "its output is made; the `accept` around it is asked")        \
    X(FINISHING, DEFAULTING, "it cannot be made; on_error.default is")                    \
    X(FINISHING, HANDLING, "it cannot be made; on_error.step begins")                     \
    X(FINISHING, SUCCEEDED, "everything is made")                                         \
    X(FINISHING, FAILED, "it cannot be made")                                             \
    X(FINISHING, CANCELLED, "it was cancelled before its output was made")                \
    X(FINISHING, CLOSING, "it cannot go on; what is inside it is stopped")                \
    X(CALLING, FINISHING, "the attempt succeeded; what follows from it is made")          \
    X(ACCEPTING, FINISHING, "the result is accepted; what follows from it is made")       \
    X(ACCEPTING, DEFAULTING, "what follows cannot be made; on_error.default is")          \
    X(ACCEPTING, HANDLING, "what follows cannot be made; on_error.step begins")           \
    X(JOINING, FINISHING, "what is inside it is over; its output is made")                \
    X(JOINING, CANCELLED, "it was cancelled with nothing open inside it")                 \
    X(CLOSING, FINISHING, "the last thing inside it is over; its output is made")         \
    X(STOPPING, FINISHING, "its call succeeded all the same; what follows is made")       \
    X(WAITING, SKIPPED, "all it depends on was skipped, or some of it failed")            \
    X(WAITING, CANCELLED, "it was cancelled before it began")                             \
    X(DECIDING, CALLING, "`when` is true; its first attempt begins")                      \
    X(DECIDING, JOINING, "`when` is true; its branches begin")                            \
    X(DECIDING, SKIPPED, "`when` is false")                                               \
    X(DECIDING, DEFAULTING, "`when` failed; on_error.default is made")                    \
    X(DECIDING, HANDLING, "`when` failed; on_error.step begins")                          \
    X(DECIDING, FAILED, "`when` failed")                                                  \
    X(DECIDING, CANCELLED, "it was cancelled before it began")                            \
    X(HELD, CALLING, "its turn has come; the attempt begins")                             \
    X(HELD, DEFAULTING, "its deadline passed; on_error.default is made")                  \
    X(HELD, HANDLING, "its deadline passed; on_error.step begins")                        \
    X(HELD, FAILED, "its deadline passed")                                                \
    X(HELD, CANCELLED, "it was cancelled while it waited for its lane")                   \
    X(CALLING, CALLING, "the process died; the attempt is made again")                    \
    X(CALLING, HELD, "it is not its turn, or its lane is paused; nothing was sent")       \
    X(CALLING, BACKOFF, "the attempt failed and another one may help")                    \
    X(CALLING, ACCEPTING, "the attempt succeeded; the join's `accept` is asked")          \
    X(CALLING, DEFAULTING, "its last attempt failed; on_error.default is made")           \
    X(CALLING, HANDLING, "its last attempt failed; on_error.step begins")                 \
    X(CALLING, STOPPING, "it was cancelled, or its deadline passed; the call is aborted") \
    X(CALLING, SUCCEEDED, "the attempt succeeded")                                        \
    X(CALLING, FAILED, "its last attempt failed")                                         \
    X(BACKOFF, CALLING, "the wait is over; the next attempt begins")                      \
    X(BACKOFF, DEFAULTING, "its deadline passed; on_error.default is made")               \
    X(BACKOFF, HANDLING, "its deadline passed; on_error.step begins")                     \
    X(BACKOFF, FAILED, "its deadline passed")                                             \
    X(BACKOFF, CANCELLED, "it was cancelled between two attempts")                        \
    X(ACCEPTING, SUCCEEDED, "the result is accepted, or nobody asks any more")            \
    X(ACCEPTING, FAILED, "the result is not accepted")                                    \
    X(JOINING, CLOSING, "the join is decided or was cancelled; branches are stopped")     \
    X(JOINING, ACCEPTING, "the join is satisfied; the `accept` around it is asked")       \
    X(JOINING, DEFAULTING, "the join failed; on_error.default is made")                   \
    X(JOINING, HANDLING, "the join failed; on_error.step begins")                         \
    X(JOINING, SUCCEEDED, "the join is satisfied and nothing is to be stopped")           \
    X(JOINING, FAILED, "the join failed and nothing is to be stopped")                    \
    X(CLOSING, ACCEPTING, "the last branch stopped; the `accept` around it is asked")     \
    X(CLOSING, DEFAULTING, "the last branch stopped; on_error.default is made")           \
    X(CLOSING, HANDLING, "the last branch stopped; on_error.step begins")                 \
    X(CLOSING, SUCCEEDED, "the last branch stopped and the join is satisfied")            \
    X(CLOSING, FAILED, "the last branch stopped and the join failed")                     \
    X(CLOSING, CANCELLED, "the last thing inside it stopped and it was cancelled")        \
    X(DEFAULTING, FAILED, "the default is its output, or could not be made")              \
    X(DEFAULTING, CANCELLED, "it was cancelled while the default was made")               \
    X(HANDLING, FAILED, "its handler is over")                                            \
    X(HANDLING, CLOSING, "it was cancelled; its handler is stopped")                      \
    X(STOPPING, ACCEPTING, "its call succeeded all the same; `accept` is asked")          \
    X(STOPPING, DEFAULTING, "its call stopped at the deadline; on_error.default is made") \
    X(STOPPING, HANDLING, "its call stopped at the deadline; on_error.step begins")       \
    X(STOPPING, SUCCEEDED, "its call succeeded all the same")                             \
    X(STOPPING, FAILED, "its call stopped at the deadline")                               \
    X(STOPPING, CANCELLED, "its call stopped")

#define RUN_MOVE_TABLE(X)                                                                          \
    X(QUEUED, RUNNING, "it begins")                                                                \
    X(QUEUED, CANCELLED, "it was cancelled before it began")                                       \
    X(RUNNING, ENDING, "a step failed, its timeout passed or it was cancelled; steps are stopped") \
    X(RUNNING, OUTPUT, "the last step is over; its output is made")                                \
    X(RUNNING, FAILED, "the last step is over and one of the settled ones had failed")             \
    X(ENDING, FAILED, "the last step stopped; it fails")                                           \
    X(ENDING, CANCELLED, "the last step stopped; it is cancelled")                                 \
    X(OUTPUT, SUCCEEDED, "its output is made")                                                     \
    X(OUTPUT, FAILED, "its output cannot be made")                                                 \
    X(OUTPUT, CANCELLED, "it was cancelled while its output was made")

/* Why from goes to to; NULL where it may not. */
static const char *const node_moves[NODE__STATES][NODE__STATES] = {
#define X(from, to, text) [NODE_##from][NODE_##to] = (text),
    NODE_MOVE_TABLE(X)
#undef X
};

static const char *const run_moves[RUN__STATES][RUN__STATES] = {
#define X(from, to, text) [RUN_##from][RUN_##to] = (text),
    RUN_MOVE_TABLE(X)
#undef X
};

static const char *const reason_texts[CANCEL__REASONS] = {
#define X(suffix, text) [CANCEL_##suffix] = (text),
    CANCEL_REASON_TABLE(X)
#undef X
};

const char *node_state_phase(enum node_state state)
{
    return node_rows[state].phase;
}

const char *node_state_status(enum node_state state)
{
    return node_rows[state].status;
}

bool node_state_is_final(enum node_state state)
{
    return state >= NODE_SUCCEEDED;
}

bool node_state_allows(enum node_state from, enum node_state to)
{
    return node_moves[from][to] != NULL;
}

const char *node_state_move_text(enum node_state from, enum node_state to)
{
    return node_moves[from][to];
}

/* The row whose phase is `phase`, `count` when there is none. */
static unsigned find_phase(const struct state_row *rows, unsigned count, struct pl_str phase)
{
    unsigned at = 0;

    while (at < count && !pl_str_is(phase, rows[at].phase))
        at++;
    return at;
}

bool node_state_from_phase(struct pl_str phase, enum node_state *ret_state)
{
    unsigned at = find_phase(node_rows, NODE__STATES, phase);

    if (at == NODE__STATES)
        return false;
    *ret_state = (enum node_state)at;
    return true;
}

const char *run_state_phase(enum run_state state)
{
    return run_rows[state].phase;
}

const char *run_state_status(enum run_state state)
{
    return run_rows[state].status;
}

bool run_state_is_final(enum run_state state)
{
    return state >= RUN_SUCCEEDED;
}

bool run_state_allows(enum run_state from, enum run_state to)
{
    return run_moves[from][to] != NULL;
}

const char *run_state_move_text(enum run_state from, enum run_state to)
{
    return run_moves[from][to];
}

bool run_state_from_phase(struct pl_str phase, enum run_state *ret_state)
{
    unsigned at = find_phase(run_rows, RUN__STATES, phase);

    if (at == RUN__STATES)
        return false;
    *ret_state = (enum run_state)at;
    return true;
}

const char *cancel_reason_text(enum cancel_reason reason)
{
    return reason_texts[reason];
}

bool cancel_reason_from_text(struct pl_str text, enum cancel_reason *ret_reason)
{
    for (unsigned i = 0; i < CANCEL__REASONS; i++) {
        if (pl_str_is(text, reason_texts[i])) {
            *ret_reason = (enum cancel_reason)i;
            return true;
        }
    }
    return false;
}

/* ---- docs/states.md ---- */

static void write_states(struct pl_buf *out, const struct state_row *rows, unsigned count)
{
    pl_buf_text(out, "| state | stored as | status | true in it |\n|---|---|---|---|\n");
    for (unsigned i = 0; i < count; i++)
        pl_buf_printf(out, "| %s | `%s` | `%s` | %s |\n", rows[i].name, rows[i].phase,
                      rows[i].status, rows[i].sentence);
}

/* `moves` is a square table of `count` rows, flattened. */
static void write_moves(struct pl_buf *out, const struct state_row *rows, const char *const *moves,
                        unsigned count)
{
    pl_buf_text(out, "\n| from | to | when |\n|---|---|---|\n");
    for (unsigned from = 0; from < count; from++) {
        for (unsigned to = 0; to < count; to++) {
            if (moves[from * count + to])
                pl_buf_printf(out, "| %s | %s | %s |\n", rows[from].name, rows[to].name,
                              moves[from * count + to]);
        }
    }
}

void run_states_write_markdown(struct pl_buf *out)
{
    pl_buf_text(out, "# States of steps and runs\n\n"
                     "Written from the tables in `service/run/run_states.c` by `test_run_states` "
                     "(`PLAIT_UPDATE_DOCS=1`); do not edit.\n\n"
                     "## A step\n\n"
                     "The last four are final.\n\n");
    write_states(out, node_rows, NODE__STATES);
    write_moves(out, node_rows, &node_moves[0][0], NODE__STATES);
    pl_buf_text(out, "\n## A run\n\nThe last three are final.\n\n");
    write_states(out, run_rows, RUN__STATES);
    write_moves(out, run_rows, &run_moves[0][0], RUN__STATES);
    pl_buf_text(out, "\n## Why a step was stopped\n\n");
    for (unsigned i = CANCEL_NONE + 1; i < CANCEL__REASONS; i++)
        pl_buf_printf(out, "- `%s`\n", reason_texts[i]);
}
