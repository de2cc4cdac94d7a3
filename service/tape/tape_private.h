/* tape_private.h - the inside of a tape, shared by tape.c (calls) and tape_file.c (the file).
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
    /* playing back */
    struct pl_map *by_path; /* path -> the first call there */
    struct pl_map *alike;   /* step and digest -> the first such call */
    struct tape_change *changes, **changes_end;
    /* recording */
    struct pl_buf answers; /* members of an object */
};

/* Adds one, zeroed but for retry_after. NULL: no memory. */
struct tape_call *tape_add(struct tape *tape);
/* Makes the two tables. False: no memory. */
bool tape_index(struct tape *tape);

#endif
