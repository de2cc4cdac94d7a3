/* sim_options.h - what rides on a simulated model's name: `echo?latency=200ms&fail=429&times=2`.
 * Not the answering (sim.c). Pure.
 *
 *   latency=200ms     how long an attempt takes (a duration; a plain number is seconds); default 0
 *
 *   jitter=50ms       up to so much more, seeded by request and step
 *
 *   slow_rate=0.05    that share of the calls, seeded by request and step, takes `slow` times as
 * long; slow=20           of a hedged call each is drawn for itself
 *
 *   tokens=40         the answer is cut after so many words of the message
 *
 *   text=Yes%21       a fixed answer, percent-encoded
 *
 *   vote=a:3,b:2      a fixed answer per call, spread in this ratio: by the sample's index, or by
 *                     the number the path ends in, or by chance
 *
 *   tools=0           offered tools are not called; default: each one once
 *
 *   bad_json=1        where JSON is asked for, the first so many answers of a step are none
 *
 *   fail=429          an attempt fails like an answer of that status (400 to 599), or with one of
 *                     the error codes unreachable, connection_lost, timeout, rate_limited,
 *                     quota_exceeded, provider_error, overloaded, stream_error, truncated_response,
 *                     bad_response, empty_response, auth_failed, model_not_found, context_too_long,
 *                     bad_request, content_filtered, refused, output_truncated; or with `hang`,
 *                     which never answers, so that the step's timeout ends it
 *
 *   times=2           only the first two attempts of a call fail; default: every one
 *
 *   fail_rate=0.1     only that share of the calls fail, seeded by request and step (with fail=500
 *                     unless given)
 *
 *   retry_after=2s    the hint that goes with the failure */
#ifndef PLAIT_SERVICE_LLM_SIM_OPTIONS_H
#define PLAIT_SERVICE_LLM_SIM_OPTIONS_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

enum { SIM_VOTES = 32 };

struct sim_vote {
    struct pl_str answer; /* percent-encoded */
    unsigned weight;      /* 1 or more */
};

/* Strings are borrowed from the model's name. */
struct sim_options {
    pl_ms latency, jitter;
    double slow_rate;   /* below 0: none */
    int64_t slow;       /* times */
    int64_t tokens;     /* -1: all */
    struct pl_str text; /* percent-encoded; absent: none */
    struct sim_vote votes[SIM_VOTES];
    unsigned n_votes, total_votes;
    bool no_tools;
    int64_t bad_json; /* answers */
    bool fails, hangs;
    int fail_status; /* 0: by code */
    enum pl_code fail_code;
    int64_t times;     /* 0: every attempt */
    double fail_rate;  /* 1: every call */
    pl_ms retry_after; /* -1: none */
};

/* Reads a model's name without "sim/". Errors: INVALID_ARGUMENT with what is wrong and the nearest
 * right name. */
enum pl_code sim_options_parse(struct pl_str model, struct sim_options *ret_options,
                               struct pl_err *err) PL_MUST_CHECK;

/* Appends the text with %XX decoded. */
void sim_decode(struct pl_str encoded, struct pl_buf *out);

#endif
