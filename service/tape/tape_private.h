/* tape_private.h - the inside of a tape, shared by tape.c (calls), tape_log.c (what came when) and
 * tape_file.c (the file).
 * Nobody else includes it. */
#ifndef PLAIT_SERVICE_TAPE_TAPE_PRIVATE_H
#define PLAIT_SERVICE_TAPE_TAPE_PRIVATE_H

#include "base/map.h"
#include "service/tape/tape.h"

#include <stdatomic.h>

struct tape {
    struct pl_clock clock; /* first: the clock is the tape */
    struct pl_arena *arena;
    bool record;
    bool no_memory; /* something was lost, while it was read or asked */
    struct tape_run run;
    struct tape_call **calls;
    size_t count, capacity;
    unsigned ended, answers_expected;
    _Atomic pl_ms time;
    struct pl_map *marks, *sorts;             /* key -> mark; sort of mark -> how many */
    struct tape_mark *log, **log_end, *asked; /* what has come; what has not (yet) */
    struct tape_mark **log_last; /* what points at the last mark; NULL: there is none */
    bool turn_then;              /* what comes next in this turn comes after that */
    bool turn_open;              /* the last mark is of the turn that goes on */
    pl_ms log_at;                /* reading: when the last mark came */
    struct pl_map *by_path;      /* path -> the first call there (recording: the last) */
    /* playing back */
    struct pl_map *alike; /* step and digest -> the first such call */
    struct tape_change *changes, **changes_end;
    /* recording */
    struct pl_buf answers; /* members of an object */
};

/* Adds one, zeroed but for retry_after. NULL: no memory. */
struct tape_call *tape_add(struct tape *tape);
/* Makes the two tables of calls. False: no memory. */
bool tape_index(struct tape *tape);
/* ---- tape_log.c ---- */
/* False: no memory. */
bool tape_log_init(struct tape *tape);
/* The marks as a list of texts; the times from when the run began. */
void tape_log_write(const struct tape *tape, struct pl_buf *out);
/* Reads it, once the calls are there. Errors: INVALID_ARGUMENT, NO_MEMORY. */
enum pl_code tape_log_read(struct tape *tape, struct pl_str list, struct pl_err *err);

#endif
