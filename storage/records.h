/* records.h - the rows of the store as plain structs. Not behaviour: nothing here knows SQL or what
 * a status means. Filled by service/ to write, by drivers to read.
 *
 * Ownership: a record never owns its strings or values. To write, the caller keeps them alive until
 * store_batch_put_* returns (it copies strings and takes references to values). Read records point
 * into the arena given to the read call; their values are references released with store_*_finish.
 */
#ifndef PLAIT_STORAGE_RECORDS_H
#define PLAIT_STORAGE_RECORDS_H

#include "base/clock.h"
#include "base/str.h"
#include "base/value.h"

/* What calls have used; counts add up from steps to runs. */
struct store_usage {
    int64_t calls;
    int64_t input_tokens;             /* all of them, */
    int64_t cached_input_tokens;      /* of which read from the provider's cache, */
    int64_t cache_write_input_tokens; /* and written to it */
    int64_t output_tokens;            /* all of them, */
    int64_t reasoning_tokens;         /* of which not in the answer */
    double cost_usd;
};

static inline void store_usage_add(struct store_usage *total, const struct store_usage *more)
{
    total->calls += more->calls;
    total->input_tokens += more->input_tokens;
    total->cached_input_tokens += more->cached_input_tokens;
    total->cache_write_input_tokens += more->cache_write_input_tokens;
    total->output_tokens += more->output_tokens;
    total->reasoning_tokens += more->reasoning_tokens;
    total->cost_usd += more->cost_usd;
}

/* One run. The key is (tenant, id). Times are 0 when they have not happened. */
struct store_run {
    struct pl_str tenant, id;
    struct pl_str definition;    /* content hash of the pinned workflow: key of store_definition */
    struct pl_str workflow_name; /* empty when it has none */
    int64_t workflow_version;    /* 0: not a stored workflow */
    struct pl_str status;        /* queued running waiting succeeded failed cancelled */
    struct pl_str phase;         /* the run core's own state name */
    bool paused;
    /* To write: a row of it was written before, with the same definition, workflow, input, thread,
     * metadata and created_at. Only a hint: it makes it quicker. */
    bool again;
    struct pl_value *input, *output, *error; /* NULL: none */
    struct pl_str reason;                    /* why it failed or was cancelled, a sentence */
    struct pl_str thread, metadata;          /* metadata: JSON object or empty */
    struct pl_str
        options; /* JSON object: what the caller asked for beside the workflow, or empty */
    pl_ms created_at, started_at, ended_at;
    struct store_usage usage;
    int64_t last_seq; /* of the run's events */
    /* Read in a list that asks for it: the column that is damaged, whose value is left out; NULL:
     * none. Static. */
    const char *damaged;
};

struct store_run_key {
    struct pl_str tenant, id;
};

/* One step of a run. The key is (tenant, run, path). A step that never began has no row. */
struct store_step {
    struct pl_str path, kind;
    struct pl_str status;  /* pending running retrying waiting succeeded failed skipped cancelled */
    struct pl_str phase;   /* the run core's own state name; loading reads this one */
    int64_t attempts;      /* calls begun: the intent of attempt n is a row with attempts = n */
    int64_t tries;         /* attempts that count against retry.attempts */
    bool handled, counted; /* on_error caught it; its join counts it */
    bool again; /* to write: a row of it was written before. Only a hint: it makes it quicker */
    struct pl_str model;
    struct pl_value *output, *error; /* error: a problem object */
    /* What the step found out on its way and must not find out again (the items of a map, what a
     * person is asked): JSON, told apart by the run core. To write, NULL leaves what is there: it
     * is set once or seldom, the row often. */
    struct pl_value *memo;
    /* What it wrote to the state: JSON object by channel; of the branch of a vote its key as well,
     * as
     * ".key", which no channel is called. NULL: the same. */
    struct pl_value *writes;
    struct pl_str reason;
    struct pl_str join; /* JSON object or empty */
    /* How its last call went: JSON object, "finish_reason", "request_id", ...; NULL: nothing is
     * known. */
    struct pl_value *call;
    struct store_usage usage;
    pl_ms created_at, started_at, ended_at;
    pl_ms wake_at; /* when a waiting attempt goes on (retry, paused lane); 0: none */
    pl_ms sent_at; /* when the first attempt began: `deadline` counts from it */
};

/* One event. The key is (tenant, run, seq). `data` holds what is not in the columns; an output is
 * never in it: the reader joins it from the step's row. */
struct store_event {
    int64_t seq;
    pl_ms at;
    struct pl_str type; /* step.succeeded */
    struct pl_str path; /* empty for run events */
    int64_t attempt;
    struct pl_str data; /* JSON object or empty */
};

/* The memory of a thread between runs. The key is (tenant, id). */
struct store_thread {
    struct pl_str id;
    struct pl_value *state; /* JSON object by channel */
    pl_ms updated_at;
};

/* The answer of a model call that may be used again. The key is (tenant, a hash of the request). */
struct store_cached {
    struct pl_value *output;
    struct pl_value *call;    /* JSON object: how the call that gave it went, NULL: not known */
    struct store_usage usage; /* of that call: what using it again saves */
    pl_ms created_at, expires_at;
};

/* One version of a stored workflow. The key is (tenant, name, version); versions count from 1 and
 * are never reused, also not after a delete. */
struct store_workflow {
    struct pl_str name, hash, text;
    int64_t version;
    pl_ms created_at;
};

#endif
