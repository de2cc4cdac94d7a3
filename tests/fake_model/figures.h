/* figures.h - what the stand-in model counts and remembers between requests: totals, how often a
 * body was seen, faults by percent, and the log. Not connections. Called by serve.c; one thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_FIGURES_H
#define PLAIT_TESTS_FAKE_MODEL_FIGURES_H

#include "base/buf.h"
#include "base/str.h"
#include "tests/fake_model/script.h"

struct figures {
    uint64_t calls, errors, answered, aborted, broken;
    unsigned inflight, peak, connections, connections_peak;
    uint64_t by_status[600]; /* calls asked whether they fail with a status */
    struct seen *seen;
    size_t n_seen, seen_capacity;
    int log_fd; /* -1: none */
};

/* One line of the log. */
struct figure_line {
    uint64_t n;
    unsigned conn;
    struct pl_str path, model, prompt, key; /* key: idempotency-key, may be empty */
    double start_ms, end_ms;                /* milliseconds since 1970 */
    int status;
    bool stream;
    struct script_facts facts;
    const char *fault, *outcome;
    bool closed; /* the client closed at end_ms */
};

void figures_reset(struct figures *figures); /* all but what is open now */
void figures_finish(struct figures *figures);
void figures_write(const struct figures *figures, struct pl_buf *out);
/* How often this body came, this time included. */
unsigned figures_seen(struct figures *figures, uint64_t hash);
/* True for exactly `percent` of every 100 calls that ask, spread evenly. */
bool figures_nth(struct figures *figures, int status, int percent);
void figures_log(struct figures *figures, const struct figure_line *line);
void figures_log_reset(struct figures *figures);
uint64_t figures_hash(struct pl_str body);

#endif
