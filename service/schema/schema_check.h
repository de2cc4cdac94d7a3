/* schema_check.h - one validation at work: what its parts share, and the parts. Not the compiled
 * schema (schema_node.h). Private to service/schema/schema*.c. */
#ifndef PLAIT_SERVICE_SCHEMA_SCHEMA_CHECK_H
#define PLAIT_SERVICE_SCHEMA_SCHEMA_CHECK_H

#include "base/buf.h"
#include "service/schema/schema_node.h"

enum {
    SCHEMA_DEPTH = 500,        /* schemas open at once while a value is checked */
    SCHEMA_FILLED = 16 << 20,  /* bytes of defaults added to one value */
    SCHEMA_FILL_DEPTH = 64,    /* defaults inside defaults */
    SCHEMA_WORK = 4000000,     /* units of work a check has in any case ... */
    SCHEMA_WORK_PER_BYTE = 32, /* ... and more for each byte of the value */
    SCHEMA_FIT_UNITS = 4,      /* a schema opened */
    SCHEMA_STATES_A_UNIT = 8,  /* states of a pattern followed for one unit */
    SCHEMA_BYTES_A_UNIT = 64,  /* bytes read for one unit of work */
};

/* What all parts of one validation share. */
struct schema_shared {
    struct schema_matcher matcher; /* memory for patterns */
    struct pl_buf text;            /* a string without its escapes, while a pattern looks at it */
    uint64_t work;                 /* units left */
    const char *stopped;           /* why no answer is right any more; NULL: it is */
    bool no_memory;
};

enum { SCHEMA_REASON = 600 }; /* bytes, with the NUL */

/* What one validation works with. With neither problems nor reason only the answer is wanted. */
struct schema_check {
    struct pl_arena *arena;
    struct doc_problems *problems; /* NULL: the first fault is enough */
    char *reason;                  /* SCHEMA_REASON bytes for the first fault; NULL: not wanted */
    struct schema_shared *shared;
    unsigned depth; /* schemas open */
};

static inline bool schema_wants_words(const struct schema_check *check)
{
    return check->problems || (check->reason && !check->reason[0]);
}

/* Where a value stands in the input. */
struct schema_place {
    const struct schema_place *up; /* NULL at the root */
    struct pl_str key;             /* a raw key token; absent in a list */
    size_t index;
};

/* Which members or elements of one value a schema has looked at: what unevaluatedProperties and
 * unevaluatedItems leave out. */
struct schema_marks {
    uint64_t few[4], *bits; /* bits: few, or on the heap */
    size_t count;
};

/* Whether the value fits; what does not goes to the problems. `marks` (NULL: nobody asks) gets what
 * was looked at; after false it may hold anything. */
bool schema_fits(struct schema_check *check, const struct schema *schema, struct pl_str json,
                 const struct schema_place *place, struct schema_marks *marks);
/* The parts of it: see schema_values.c, schema_array.c, schema_object.c, schema_combine.c. */
bool schema_fits_type(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      enum schema_type type, const struct schema_place *place);
bool schema_fits_enum(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      const struct schema_place *place);
bool schema_fits_const(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place);
bool schema_fits_number(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place);
bool schema_fits_string(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place);
bool schema_fits_array(struct schema_check *check, const struct schema *schema, struct pl_str json,
                       const struct schema_place *place, struct schema_marks *marks);
bool schema_fits_object(struct schema_check *check, const struct schema *schema, struct pl_str json,
                        const struct schema_place *place, struct schema_marks *marks);
bool schema_fits_combinations(struct schema_check *check, const struct schema *schema,
                              struct pl_str json, const struct schema_place *place,
                              struct schema_marks *marks);
/* unevaluatedItems and unevaluatedProperties, once everything else has marked. */
bool schema_fits_rest(struct schema_check *check, const struct schema *schema, struct pl_str json,
                      enum schema_type type, const struct schema_place *place,
                      struct schema_marks *marks);
/* Whether it fits, without problems and without what it marked when it does not. */
bool schema_fits_quietly(struct schema_check *check, const struct schema *schema,
                         struct pl_str json, const struct schema_place *place,
                         struct schema_marks *marks);
/* Whether the text matches; false also when memory or the work ran out, which the check notes. */
bool schema_matches(struct schema_check *check, const struct schema_pattern *pattern,
                    struct pl_str text);
enum schema_type schema_type_of(struct pl_str json);
/* Code points of a string token. */
size_t schema_length(struct pl_str token);

/* Takes units of work; false once there are none left. */
bool schema_work(struct schema_check *check, uint64_t units);
/* No answer will be right. Always false. */
bool schema_stop(struct schema_check *check, const char *why);

/* Marks for a value of `count` members; false, with nothing to finish, when memory or the work ran
 * out. */
bool schema_marks_init(struct schema_check *check, struct schema_marks *marks, size_t count);
void schema_marks_finish(struct schema_marks *marks);
static inline void schema_mark(struct schema_marks *marks, size_t index)
{
    if (marks && index < marks->count)
        marks->bits[index / 64] |= (uint64_t)1 << index % 64;
}
static inline bool schema_marked(const struct schema_marks *marks, size_t index)
{
    return marks->bits[index / 64] >> index % 64 & 1;
}

/* Adds a problem at a place, if problems are wanted. Always false. */
bool schema_report(struct schema_check *check, const struct schema_place *place, const char *fmt,
                   ...) PL_PRINTF(3, 4);

/* What one whole check, or all the checks of one compilation, may take. */
struct schema_limits {
    uint64_t work; /* units left */
    size_t room;   /* bytes of defaults that may still be added */
};
static inline struct schema_limits schema_limits_for(struct pl_str json)
{
    return (struct schema_limits){.work = SCHEMA_WORK + (uint64_t)json.len * SCHEMA_WORK_PER_BYTE,
                                  .room = SCHEMA_FILLED};
}

/* One whole check of `json`: PL_OK, INVALID_INPUT, NO_MEMORY. */
enum pl_code schema_validate(const struct schema *schema, struct pl_arena *arena,
                             struct pl_str json, struct schema_limits *limits,
                             struct doc_problems *problems);

/* `json` with the defaults of missing properties, in the arena; `json` itself when none was
 * missing. Absent when the arena failed. *ret_why is set when it cannot be done: the defaults have
 * no end, or are too much. */
struct pl_str schema_fill(const struct schema *schema, struct pl_arena *arena, struct pl_str json,
                          struct schema_limits *limits, const char **ret_why);

#endif
