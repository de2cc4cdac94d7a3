/* buf.h - a byte string that grows up to a cap given at birth. Not for sharing between threads.
 * Failure is sticky: append freely, ask pl_buf_failed() once. Always NUL-terminated behind its
 * length. */
#ifndef PLAIT_BASE_BUF_H
#define PLAIT_BASE_BUF_H

#include "base/compiler.h"
#include "base/str.h"

struct pl_buf {
    char *data;      /* NULL while empty; NUL behind len when not */
    size_t len;      /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t max;      /* the cap, bytes */
    bool failed;     /* sticky */
    bool too_large;  /* the failure was the cap, not memory */
};

/* `max` bytes at the most, without the NUL. Allocates nothing yet. */
void pl_buf_init(struct pl_buf *buf, size_t max);
/* Frees; the buffer may be used again as after init with the same cap. */
void pl_buf_finish(struct pl_buf *buf);
/* Empties it, keeps the memory, clears the failure. */
void pl_buf_reset(struct pl_buf *buf);
/* Makes room for `extra` more bytes at once; false (and sticky failure) when it cannot. */
bool pl_buf_reserve(struct pl_buf *buf, size_t extra);
void pl_buf_append(struct pl_buf *buf, const void *data, size_t len);
void pl_buf_str(struct pl_buf *buf, struct pl_str text);
void pl_buf_text(struct pl_buf *buf, const char *text);
void pl_buf_char(struct pl_buf *buf, char c);
void pl_buf_printf(struct pl_buf *buf, const char *fmt, ...) PL_PRINTF(2, 3);
void pl_buf_int(struct pl_buf *buf, int64_t number);
/* The content, borrowed until the next change. */
struct pl_str pl_buf_view(const struct pl_buf *buf);
/* Hands the bytes to the caller, who frees them with free(); the buffer is empty afterwards. NULL
 * (and *ret_len 0) after a failure. An empty buffer gives an allocated "". */
char *pl_buf_take(struct pl_buf *buf, size_t *ret_len);

static inline bool pl_buf_failed(const struct pl_buf *buf)
{
    return buf->failed;
}

#endif
