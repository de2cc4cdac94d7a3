/* bus_texts.h - the text so far of every attempt that is streaming, so that a reader that comes
 * late can be given it. Not a queue and not durable. Part of the bus: called under its lock. */
#ifndef PLAIT_SERVICE_EVENTS_BUS_TEXTS_H
#define PLAIT_SERVICE_EVENTS_BUS_TEXTS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/list.h"
#include "base/str.h"

struct bus_texts;

/* One attempt. */
struct bus_text {
    struct pl_list run_link, path_link; /* private */
    struct bus_text_run *of;            /* private */
    int64_t attempt;
    pl_ms at; /* of the last piece */
    struct pl_buf text;
    bool broken; /* memory was out for a piece: the text is not whole and not shown */
    size_t path_len;
    char path[];
};

struct bus_texts *bus_texts_create(void);         /* NULL when out of memory */
void bus_texts_destroy(struct bus_texts **texts); /* nulls; accepts NULL */

/* Adds a delta, which follows the `offset` bytes before it. Of another attempt than the one that is
 * kept: begins anew. */
struct bus_event;
void bus_texts_add(struct bus_texts *texts, struct pl_str run, const struct bus_event *delta);
/* The attempt is over. */
void bus_texts_end(struct bus_texts *texts, struct pl_str run, struct pl_str path);
/* The texts of a run, one after the other, in no order: `at` is NULL at first. NULL: no more. */
const struct bus_text *bus_texts_next(struct bus_texts *texts, struct pl_str run,
                                      const struct bus_text *at);

#endif
