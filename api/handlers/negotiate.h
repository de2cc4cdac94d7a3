/* negotiate.h - what a client says in Accept, Prefer, Content-Type and Idempotency-Key, read into
 * plain values. Not the answering. Called by the handlers; pure, any thread. */
#ifndef PLAIT_API_HANDLERS_NEGOTIATE_H
#define PLAIT_API_HANDLERS_NEGOTIATE_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "service/workflow/doc.h"

enum media { MEDIA_JSON, MEDIA_SSE, MEDIA_NDJSON };

/* Which of the three an Accept header likes best: the highest q, of equals what is named before
 * what a wildcard covers, then what is named first. `fallback` when there is no header, or it names
 * none of them (it may only prefer, never refuse). */
enum media negotiate_accept(struct pl_str accept, enum media fallback);

enum { NEGOTIATE_WAIT_MAX_MS = 86400000 };

/* RFC 7240. What is not understood is not there. */
struct preferences {
    bool respond_async;
    bool has_wait;
    pl_ms wait; /* at most NEGOTIATE_WAIT_MAX_MS */
};
struct preferences negotiate_prefer(struct pl_str prefer);

/* What a body that is a workflow is written in, by its Content-Type: YAML for application/yaml,
 * application/x-yaml, text/yaml, text/x-yaml and what ends in +yaml; else JSON. */
enum doc_format negotiate_format(struct pl_str content_type);

enum { NEGOTIATE_KEY_MAX = 255 };

/* The value of an Idempotency-Key header: a quoted string, or the bare characters. Empty when the
 * header is absent. Lives in the arena or in the header. Errors: INVALID_ARGUMENT, NO_MEMORY. */
enum pl_code negotiate_key(struct pl_arena *arena, struct pl_str header, struct pl_str *ret_key,
                           struct pl_err *err) PL_MUST_CHECK;

#endif
