/* event_pack.h - the events that a batch adds to a run, packed into few rows. Not SQL. Used by the
 * drivers: an event by itself is a row of 140 bytes, 80 of which say again whose it is, and takes
 * as long as six in a pack. Functions are for any thread.
 *
 * A pack is a JSON array with one array an event: [seq, at, type, path, attempt, data], where data
 * is an object or null. */
#ifndef PLAIT_STORAGE_EVENT_PACK_H
#define PLAIT_STORAGE_EVENT_PACK_H

#include "base/buf.h"
#include "base/json.h"
#include "storage/records.h"

/* A pack that has as many bytes takes no more events: a row then stays within its page. */
enum { STORE_PACK_BYTES = 2048 };

/* Adds an event, whose number is above those already there, to a pack; an empty buffer is one of
 * none. `data` must be valid JSON or empty. */
void store_pack_add(struct pl_buf *pack, const struct store_event *event);
/* Nothing is added any more. */
void store_pack_end(struct pl_buf *pack);

/* Takes a pack apart. The events borrow from its text, and from the arena what was escaped. */
struct store_pack_reader {
    struct json_iter events;
    struct pl_arena *arena;
    int64_t above; /* the number of the next must be: that of the one before */
    bool damaged;  /* it is valid JSON, but no pack */
};

/* `pack` is valid JSON; the events of it must have numbers above `above`, each above the one
 * before: whoever reads on behind a number would else get some twice, without end. Memory that runs
 * out shows in the arena. */
void store_pack_reader_init(struct store_pack_reader *reader, struct pl_str pack, int64_t above,
                            struct pl_arena *arena);
/* The next event. False at the end, and where it is damaged. */
bool store_pack_next(struct store_pack_reader *reader, struct store_event *ret_event);

#endif
