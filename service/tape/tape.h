/* tape.h - the calls of one run as a file: recorded once for real, played back without network or
 * keys. Not the run (run_tape.c stands between the two) and not the command (api/cli/cmd_test.c). A
 * call is one attempt of a step: its request as the workflow made it, and what it came to.
 *
 * Used by one thread at a time: the command before and after the run, the run's home loop while it
 * goes on.
 *
 * Playing back: a call takes the recorded one at its path with the same request; else one of the
 * same step with the same request (items that moved); else it has changed, and is answered by what
 * was recorded at its path, so that what follows can be compared too. What came to the run from
 * outside itself (answers, the time, what jq had worked out) comes again in the order in which it
 * came, when nothing else is left to do, at the time at which it came: races end as they did. */
#ifndef PLAIT_SERVICE_TAPE_TAPE_H
#define PLAIT_SERVICE_TAPE_TAPE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "service/steps/step_result.h"

struct tape;
struct providers;
struct secrets;

/* What is recorded beside the calls. */
struct tape_run {
    struct pl_str workflow; /* its name, or empty */
    struct pl_str id;
    pl_ms started_at;
    struct pl_str model;   /* that every llm step called instead of its own; empty: none */
    struct pl_str input;   /* JSON; empty: none */
    struct pl_str answers; /* JSON object: what people answered, by path: {"output": value} or
                              {"reject": why}; empty: nothing */
    struct pl_str status;  /* "succeeded", "failed", "cancelled" */
    struct pl_str output;  /* JSON, of a run that succeeded; else empty */
    struct pl_str error;   /* the code of its error, or empty */
};

/* One call, asked for or recorded. Texts are borrowed from the tape. */
struct tape_call {
    struct pl_str path; /* of the step in the run: "reviews.3.summary" */
    struct pl_str step; /* of the step in the workflow: "reviews.*.summary" */
    struct pl_str kind;
    struct pl_str request; /* compact JSON, long texts cut */
    char digest[65];       /* SHA-256 of the whole request, hex */
    unsigned order;        /* when it ended, from 1; 0: it has not */
    bool unsent;           /* it was prepared, and nobody wanted it any more before it was sent */
    bool cancelled;        /* it was stopped: nobody knows what it would have come to */
    bool failed;
    struct pl_str output; /* JSON, of one that succeeded */
    struct pl_err err;
    struct pl_str upstream; /* JSON string, or empty */
    int upstream_status;
    pl_ms retry_after;
    bool no_retry, free;
    struct store_usage usage;
    struct pl_str facts; /* JSON object, or empty */

    unsigned number;        /* which of its path that ended it is, from 1 */
    unsigned waits, turn;   /* recording, of one that a budget refused, whoever records: which call
                               it is that waits to be told so (0: none does), and since when */
    struct tape_mark *mark; /* played back: when it came; NULL: that is not known, or it was the
                               answer to itself at once */

    /* private */
    struct tape_call *next_at_path, *next_alike;
    bool used, lent;
};

/* How a run that is played back differs from the recording. */
enum tape_change_kind {
    TAPE_CHANGED, /* another request than the one recorded at its path */
    TAPE_NEW,     /* nothing is recorded at its path (any more) */
};
struct tape_change {
    struct tape_change *next;
    enum tape_change_kind kind;
    struct pl_str path, step_kind, request;
    const struct tape_call *nearest; /* NULL: nothing like it is recorded */
};

/* A tape to record on, or to play (then tape_read fills it). NULL when out of memory. */
struct tape *tape_create(bool record);
void tape_destroy(struct tape **tape); /* nulls; accepts NULL */
bool tape_records(const struct tape *tape);

/* Reads a recording. Errors: INVALID_JSON, INVALID_ARGUMENT (no recording, or of a newer version),
 * NO_MEMORY. */
enum pl_code tape_read(struct tape *tape, struct pl_str text, struct pl_err *err) PL_MUST_CHECK;
/* Appends what was recorded, for people and for diffs: calls by path. No key of `providers` and
 * none of `secrets` is in it. Failure is in `out`. */
void tape_write(const struct tape *tape, const struct providers *providers,
                const struct secrets *secrets, struct pl_buf *out);
const struct tape_run *tape_run(const struct tape *tape);
/* Copies; texts that are empty leave what is there. False: no memory. */
bool tape_set_run(struct tape *tape, const struct tape_run *run);

/* ---- recording ---- */

/* A call that is about to be made. NULL: no memory. */
struct tape_call *tape_begin(struct tape *tape, struct pl_str path, struct pl_str step,
                             const char *kind, struct pl_str request);
/* It is not made, or not yet: the next one that begins at its path takes its place. */
void tape_unsent(struct tape_call *call);
/* The last one at a path. NULL: none. */
struct tape_call *tape_last(const struct tape *tape, struct pl_str path);
/* What it came to; the result stays as it is. False: no memory. */
bool tape_end(struct tape *tape, struct tape_call *call, const struct step_result *result);
/* A person's answer, or why there is none (then `value` is NULL). False: no memory. */
bool tape_answer(struct tape *tape, struct pl_str path, const struct pl_value *value,
                 struct pl_str reject);

/* ---- playing back ---- */

/* The recorded call that answers this one; notes when it is another. NULL: there is none, which is
 * noted too. *ret_no_memory: or memory is out. */
struct tape_call *tape_match(struct tape *tape, struct pl_str path, struct pl_str step,
                             const char *kind, struct pl_str request, bool *ret_no_memory);
/* Makes the result what the recorded call came to. False: no memory. */
bool tape_result(const struct tape_call *call, struct step_result *result);
/* The time of the run that is played back; NULL when recording: the real one. */
const struct pl_clock *tape_clock(const struct tape *tape);
/* How many answers of people will be given. Before the run. */
void tape_expect_answers(struct tape *tape, unsigned count);
unsigned tape_answers_expected(const struct tape *tape);
/* Nothing happens before `time`. Any thread that the run is on. */
void tape_jump(struct tape *tape, pl_ms time);

/* The changes in the order they were seen; the recorded calls, which were not made; all of them. */
const struct tape_change *tape_changes(const struct tape *tape);
size_t tape_count(const struct tape *tape);
const struct tape_call *tape_at(const struct tape *tape, size_t index);
bool tape_was_made(const struct tape_call *call);

/* ---- tape_log.c: what came to the run from outside, in order ---- */

enum tape_mark_kind {
    TAPE_RESULT, /* of a recorded call */
    TAPE_DONE,   /* of a call that is not recorded: a reduce step */
    TAPE_JQ,     /* jq has worked something out */
    TAPE_TIME,   /* a time that the run waited for has come */
    TAPE_ANSWER, /* of a person */
    TAPE_HELD,   /* a call may not go yet */
    TAPE_WENT,   /* now it may, or is told that it never will */
    TAPE_BEGAN,  /* a call has begun to answer, which others waited for */
    TAPE_MARK_KINDS,
};

/* What one mark is of. */
struct tape_word {
    enum tape_mark_kind kind;
    const char *what;   /* of TAPE_JQ: what for; else NULL */
    struct pl_str path; /* of the step; empty: of none */
    unsigned number;    /* which of several that are the same otherwise, from 1 */
};

struct tape_mark {
    struct tape_mark *next; /* what came after it */
    enum tape_mark_kind kind;
    struct pl_str path; /* played back: of all kinds but TAPE_TIME and TAPE_JQ */
    pl_ms at;
    bool joined;            /* it came in the same turn as the one before, */
    bool then;              /* or in the same, once what that led to was done */
    bool never;             /* of TAPE_JQ: it did not come before the run was over */
    struct tape_call *call; /* of TAPE_RESULT */

    /* whoever plays back */
    bool passed;            /* its time is over */
    bool done;              /* it has come */
    struct tape_mark *late; /* the next one that has passed and not come */
    void *waits;            /* what is there already, and waits for its time */

    /* private */
    struct pl_str key;
};

/* How many of this sort there were, this one included; 0: no memory. */
unsigned tape_count_one(struct tape *tape, enum tape_mark_kind kind, const char *what,
                        struct pl_str path);
/* The mark of a word; NULL: there is none (or no memory, which *ret_no_memory then says). */
struct tape_mark *tape_find_mark(struct tape *tape, const struct tape_word *word,
                                 bool *ret_no_memory);

/* Recording: this comes now. False: no memory. */
bool tape_log(struct tape *tape, const struct tape_word *word, pl_ms now);
/* The same, before the last one, which has come and is still to be looked at. */
bool tape_log_before(struct tape *tape, const struct tape_word *word, pl_ms now);
/* Something that will come later, or never. NULL: no memory. */
struct tape_mark *tape_log_asked(struct tape *tape, const struct tape_word *word);
void tape_log_came(struct tape *tape, struct tape_mark *mark, pl_ms now);
/* What came so far in this turn has been looked at, with all it led to; and the turn is over. */
void tape_log_then(struct tape *tape);
void tape_log_turn(struct tape *tape);

/* Playing back: the first mark. NULL: there is none, as in recordings of before there were any. */
struct tape_mark *tape_log_first(const struct tape *tape);

/* ---- tape_diff.c ---- */

/* Appends where two JSON values differ, a line each with `indent` before it: the place, what it is
 * and what it was. Returns how many places there are; no more than `max` lines are written. */
size_t tape_diff(struct pl_str is, struct pl_str was, const char *indent, size_t max,
                 struct pl_buf *out);
/* Appends JSON with its long texts cut to their beginning, length and hash. */
void tape_shorten(struct pl_str json, struct pl_buf *out);

#endif
