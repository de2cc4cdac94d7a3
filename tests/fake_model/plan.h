/* plan.h - the answer to one request, worked out beforehand: which bytes, when, and how it ends.
 * Not the sending (serve.c). One thread. */
#ifndef PLAIT_TESTS_FAKE_MODEL_PLAN_H
#define PLAIT_TESTS_FAKE_MODEL_PLAN_H

#include "base/buf.h"
#include "tests/fake_model/behaviour.h"

enum plan_end {
    PLAN_KEEP,      /* answered; the connection stays */
    PLAN_FIN,       /* answered, then FIN (the request said close, or the body has no length) */
    PLAN_BREAK_FIN, /* broken off by FIN: a fault */
    PLAN_BREAK_RST, /* broken off by RST: a fault */
    PLAN_HANG,      /* nothing more until the client goes */
};

/* What plans are made of. Borrowed. */
struct fake_request {
    struct pl_str model, prompt;
    struct pl_str echo; /* path /http/...: the JSON answer, empty for chat */
    bool stream, close;
    uint32_t id; /* of the body: the same request has the same */
    size_t body_len;
};

struct plan_piece {
    size_t end;   /* bytes up to here... */
    double at_ms; /* ...so long after the request */
};

/* Sends bytes piece by piece, then `filler` bytes of `block` over and over, then the tail. */
struct plan {
    struct pl_buf bytes, tail;
    struct plan_piece *pieces;
    size_t n_pieces;
    uint64_t filler;
    struct pl_str block;
    enum plan_end end;
    int status; /* HTTP status, 0 when none is sent */
};

/* Fills a plan that plan_finish releases. `latency_ms` has the jitter in it. False when out of
 * memory. */
bool plan_make(const struct fake_request *request, const struct behaviour *behaviour,
               double latency_ms, struct plan *ret_plan);
void plan_finish(struct plan *plan);

#endif
