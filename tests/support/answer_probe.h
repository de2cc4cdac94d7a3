/* answer_probe.h - a provider's parser and its request as a test sees them: an answer is fed in
 * pieces, and what came of it kept as a text that can be compared; a request is built and its body
 * looked at. No connection (step_probe.h has one). Included by the tests of providers. */
#ifndef PLAIT_TESTS_SUPPORT_ANSWER_PROBE_H
#define PLAIT_TESTS_SUPPORT_ANSWER_PROBE_H

#include "base/buf.h"
#include "service/llm/provider.h"

struct answer_probe;

/* Appends to `out` what the test compares. `parser` has not been cleaned up yet; NULL: the result
 * is that of an error status. */
typedef void answer_write(const struct answer_probe *probe, struct step_result *result,
                          const void *parser, struct pl_buf *out);
/* Is the text that came the one that was wanted? */
typedef bool answer_same(const char *got, const char *want);

struct answer_probe {
    /* may be changed by the test between init and read */
    struct llm_request request; /* no messages, max_output 65536 */
    answer_write *write;        /* answer_write_outcome */
    answer_same *same;          /* the same bytes */
    bool deaf;                  /* nobody listens to deltas */
    bool hang_up;               /* nothing is fed once the answer has ended, as llm_http.c has it */

    /* looked at by the test after read */
    enum pl_code fed; /* how feeding ended; OK: `finish` had its say */
    struct step_result result;
    struct pl_buf text;   /* as `write` has it */
    struct pl_buf deltas; /* each followed by ^ */

    /* private */
    const struct provider_ops *ops;
    const char *type;
};

/* An answer of the content type `type`, which must stay as long as the probe. */
void answer_probe_init(struct answer_probe *probe, const struct provider_ops *ops,
                       const char *type);
void answer_probe_finish(struct answer_probe *probe);

/* Reads the body in pieces that end at `cut` and then after `step` bytes each; every piece is a
 * copy of its own, so that a look past its end is found. An empty piece is not fed. */
void answer_probe_read(struct answer_probe *probe, struct pl_str body, size_t cut, size_t step);
/* Reads the body in one piece; the text, borrowed. */
const char *answer_probe_whole(struct answer_probe *probe, const char *body);
/* Reads the body as that of an error status; the text, borrowed. */
const char *answer_probe_error(struct answer_probe *probe, int status, const char *body);

/* Asserts that the body reads as `want` in one piece, cut in two at every byte and byte by byte,
 * and that the deltas of the first and the last are `deltas`; NULL: they may be any. */
void answer_probe_assert_cuts(struct answer_probe *probe, const char *body, const char *want,
                              const char *deltas);

/* "ok" and the output, or the code; the beginning of what tests write. */
answer_write answer_write_outcome;

/* Configures the provider as it stands and builds the request: the body, which is asserted to be
 * JSON, or "!code message". From the arena. *ret_http may be NULL and is untouched on failure. */
const char *test_build_request(struct provider *provider, const struct llm_request *request,
                               struct pl_arena *arena, struct http_request *ret_http);

#endif
