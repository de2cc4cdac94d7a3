/* jq_wire.h - what the pool and a worker say to each other: one request, then its answers, as
 * fixed heads with bytes behind them over a stream socket. Not a public format: both ends are the
 * same binary on the same machine. Used by jq_pool and jq_child (requests out, answers in) and by
 * jq_worker (the other way round).
 *
 * The worker believes the pool; the pool believes no worker. */
#ifndef PLAIT_SERVICE_EXPR_JQ_WIRE_H
#define PLAIT_SERVICE_EXPR_JQ_WIRE_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"

enum {
    JQ_WIRE_FD = 3, /* a worker's end of the socket */
    JQ_CHUNK = 64,  /* expressions compiled as one jq program: more take jq more than their share */
    JQ_SLOTS = 32,  /* compiled chunks a worker keeps */
    JQ_ANSWER_MAX = 480, /* bytes of an answer that is a message */
};

/* argv of a worker. */
#define JQ_WORKER_NAME   "plait-jq"
#define JQ_WORKER_MARKER "--jq-worker"

enum jq_request_flag {
    JQ_REQUEST_CHECK = 1, /* compile every text, run none, keep none */
    JQ_REQUEST_ALONE = 2, /* every text as a program of its own: one of them may kill the worker */
};

struct jq_request_head {
    uint32_t flags;   /* enum jq_request_flag */
    uint32_t slot;    /* where the compiled chunk is, or goes */
    uint32_t n_texts; /* of the chunk; 0: it is there already */
    uint32_t n_indexes;
    uint64_t texts_size; /* bytes of the texts with their heads */
    uint64_t document_size;
    uint64_t max_output; /* bytes of one value */
};

/* Behind the head: n_indexes numbers (uint32_t, in the chunk), n_texts times this and the text's
 * bytes, then the document. */
struct jq_text_head {
    uint32_t size;
    uint32_t fold;
};

enum jq_answer_kind {
    JQ_ANSWER_READY = 1, /* once, before all else: the worker has locked itself up */
    JQ_ANSWER_UNFIT,     /* instead: it cannot, and ends; a message */
    JQ_ANSWER_COMPILED,  /* the chunk is compiled, evaluating begins */
    JQ_ANSWER_VALUE,     /* JSON; nothing when the request was a check */
    JQ_ANSWER_ERROR,     /* a message */
    JQ_ANSWER_LIMIT,     /* a message */
};

enum jq_answer_flag {
    JQ_ANSWER_TIRED = 1, /* the worker has grown and wants to be replaced after this request */
};

struct jq_answer_head {
    uint32_t kind;     /* enum jq_answer_kind */
    uint32_t flags;    /* enum jq_answer_flag */
    uint32_t position; /* VALUE, ERROR, LIMIT: which of the indexes, in order */
    uint32_t size;     /* bytes behind it */
};

/* How a worker ends by itself. */
enum jq_exit {
    JQ_EXIT_OVER = 0,    /* the pool has closed its end */
    JQ_EXIT_UNFIT = 70,  /* see JQ_ANSWER_UNFIT */
    JQ_EXIT_MEMORY = 71, /* jq asked for more memory than there is */
    JQ_EXIT_WIRE = 72,   /* a request that makes no sense */
};

/* Appends head, indexes and texts; the document follows from where it is. */
void jq_wire_put_head(struct pl_buf *out, const struct jq_request_head *head);
void jq_wire_put_index(struct pl_buf *out, uint32_t index);
void jq_wire_put_text(struct pl_buf *out, struct pl_str text, bool fold);
/* What jq_wire_put_text appends, bytes. */
size_t jq_wire_text_size(struct pl_str text);

/* Bytes behind the head. */
size_t jq_wire_body_size(const struct jq_request_head *head);
/* The parts of a body of that size. Index number `position`; text by text: *at begins as 0 and
 * moves on, false when it does not fit. */
uint32_t jq_wire_index(struct pl_str body, uint32_t position);
struct pl_str jq_wire_texts(struct pl_str body, const struct jq_request_head *head);
bool jq_wire_next_text(struct pl_str texts, size_t *at, struct pl_str *ret_text, bool *ret_fold);
struct pl_str jq_wire_document(struct pl_str body, const struct jq_request_head *head);

#endif
