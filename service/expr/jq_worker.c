/* jq_worker.c - main of a jq worker: this binary, started again by jq_child, locked up by jq_jail.
 * Reads a request, compiles what it does not have, evaluates, answers, for ever. Not limits of time
 * (jq_pool kills from outside) and not the queue. One thread, nothing but memory and one socket. */
#include "service/expr/jq_jail.h"
#include "service/expr/jq_pool_private.h"
#include "service/expr/jq_source.h"
#include "service/expr/jq_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    ALLOWANCE = 64 * MIB,     /* memory of an expression, and */
    ALLOWANCE_FACTOR = 8,     /* so many times the size of its document */
    TIRED_GROWTH = 128 * MIB, /* a worker that has grown by so much wants to be replaced */
    READ_AHEAD = 64 << 10,    /* a request up to this size costs one read */
};

/* Expressions compiled together, as the pool knows them: by slot. */
struct chunk {
    char *texts; /* owns the bytes of the sources */
    struct jq_source *sources;
    size_t count;
    jq_state *jq; /* NULL: they do not compile together, each is compiled when it is asked */
};

struct request {
    struct jq_request_head head;
    struct pl_str body;
    char *large; /* owns the body when it is too large for the buffer */
};

static struct chunk chunks[JQ_SLOTS];
static char read_ahead[READ_AHEAD];
static size_t born, grown; /* bytes at the start; now, with what is compiled */
static bool tired;
static bool possible; /* set once, before threads */

static void *must(void *memory)
{
    if (!memory)
        _exit(JQ_EXIT_MEMORY);
    return memory;
}

/* ---- the socket ---- */

static void send_answer(enum jq_answer_kind kind, size_t position, const void *data, size_t size)
{
    struct jq_answer_head head = {
        .kind = kind,
        .flags = tired ? JQ_ANSWER_TIRED : 0,
        .position = (uint32_t)position,
        .size = (uint32_t)size,
    };
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)(uintptr_t)data, size}};
    struct iovec *part = parts;

    while (part < parts + 2) {
        ssize_t n = writev(JQ_WIRE_FD, part, (int)(parts + 2 - part));

        if (n < 0 && errno != EINTR)
            _exit(JQ_EXIT_OVER);
        for (; n > 0 && part < parts + 2; part++) {
            size_t taken = (size_t)n < part->iov_len ? (size_t)n : part->iov_len;

            part->iov_base = (char *)part->iov_base + taken;
            part->iov_len -= taken;
            n -= (ssize_t)taken;
            if (part->iov_len > 0)
                break;
        }
        while (part < parts + 2 && part->iov_len == 0)
            part++;
    }
}

static void send_error(enum jq_answer_kind kind, size_t position, const struct pl_err *err)
{
    send_answer(kind, position, err->message, strlen(err->message));
}

/* At least `least` bytes, at most `most`. */
static size_t receive(char *data, size_t least, size_t most)
{
    size_t len = 0;

    while (len < least) {
        ssize_t n = read(JQ_WIRE_FD, data + len, most - len);

        if (n == 0 || (n < 0 && errno != EINTR))
            _exit(JQ_EXIT_OVER); /* the pool is gone, or its process */
        if (n > 0)
            len += (size_t)n;
    }
    return len;
}

/* Requests do not overlap, so a read takes from one only. The memory for it is allowed here. */
static void receive_request(struct request *request)
{
    size_t len = receive(read_ahead, sizeof request->head, sizeof read_ahead), size;
    char *body = read_ahead + sizeof request->head;

    memcpy(&request->head, read_ahead, sizeof request->head);
    if (request->head.slot >= JQ_SLOTS)
        _exit(JQ_EXIT_WIRE);
    jq_jail_limit(grown, ALLOWANCE + ALLOWANCE_FACTOR * (size_t)request->head.document_size);
    size = jq_wire_body_size(&request->head);
    len -= sizeof request->head;
    request->large = NULL;
    if (size > sizeof read_ahead - sizeof request->head) {
        request->large = must(malloc(size));
        memcpy(request->large, body, len);
        body = request->large;
    }
    if (len < size)
        receive(body + len, size - len, size - len);
    request->body = pl_str_n(body, size);
}

/* ---- programs ---- */

static void chunk_forget(struct chunk *chunk)
{
    if (chunk->jq)
        jq_teardown(&chunk->jq);
    free(chunk->texts);
    free(chunk->sources);
    *chunk = (struct chunk){0};
}

static void chunk_load(struct chunk *chunk, const struct request *request)
{
    struct pl_str texts = jq_wire_texts(request->body, &request->head);
    size_t at = 0;

    chunk_forget(chunk);
    chunk->texts = must(malloc(texts.len + 1));
    memcpy(chunk->texts, texts.ptr, texts.len);
    texts.ptr = chunk->texts;
    chunk->sources = must(calloc(request->head.n_texts + 1, sizeof *chunk->sources));
    while (chunk->count < request->head.n_texts) {
        struct jq_source *source = &chunk->sources[chunk->count++];

        if (!jq_wire_next_text(texts, &at, &source->text, &source->fold))
            _exit(JQ_EXIT_WIRE);
    }
}

/* ---- evaluating ---- */

/* What jq says when it fails: its message as it is, another value as JSON. Consumes `message`. */
static void failure(jv message, struct pl_err *err)
{
    if (jv_get_kind(message) != JV_KIND_STRING)
        message = jv_dump_string(message, 0);
    pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "%s", jv_string_value(message));
    jv_free(message);
}

static void answer_value(const struct request *request, size_t position, jv value)
{
    jv text = jv_dump_string(value, 0);
    size_t size = (size_t)jv_string_length_bytes(jv_copy(text));
    struct pl_err err;

    if (size > request->head.max_output) {
        pl_err_set(&err, PL_ERR_EXPRESSION_LIMIT, "its value is larger than %" PRIu64 " bytes",
                   request->head.max_output);
        send_error(JQ_ANSWER_LIMIT, position, &err);
    } else {
        send_answer(JQ_ANSWER_VALUE, position, jv_string_value(text), size);
    }
    jv_free(text);
}

/* Runs function `index` of the compiled program on the document, which is consumed. */
static void evaluate(const struct request *request, jq_state *jq, size_t index, size_t position,
                     jv document)
{
    jv first, second;
    struct pl_err err;

    jq_start(jq, jv_array_append(jv_array_append(jv_array(), jv_number((double)index)), document),
             0);
    first = jq_next(jq);
    second = jv_is_valid(first) ? jq_next(jq) : jv_copy(first);
    if (jv_is_valid(second)) {
        pl_err_set(&err, PL_ERR_EXPRESSION_ERROR, "it gives more than one value");
        send_error(JQ_ANSWER_ERROR, position, &err);
    } else if (jv_invalid_has_msg(jv_copy(second))) {
        failure(jv_invalid_get_msg(jv_copy(second)), &err);
        send_error(JQ_ANSWER_ERROR, position, &err);
    } else if (jq_halted(jq) || !jv_is_valid(first)) {
        pl_err_set(&err, PL_ERR_EXPRESSION_ERROR, "it gives no value");
        send_error(JQ_ANSWER_ERROR, position, &err);
    } else {
        answer_value(request, position, jv_copy(first));
    }
    jv_free(first);
    jv_free(second);
    jq_start(jq, jv_null(), 0); /* lets go of the document */
}

static void evaluate_alone(const struct request *request, const struct jq_source *source,
                           size_t position, jv document)
{
    jq_state *jq = jq_source_compile(source, 1, false);
    struct pl_err err;

    if (jq) {
        evaluate(request, jq, 0, position, document);
        jq_teardown(&jq);
        return;
    }
    jv_free(document);
    jq_source_explain(source, &err);
    send_error(JQ_ANSWER_ERROR, position, &err);
}

static void free_body(struct request *request)
{
    free(request->large);
    request->large = NULL;
}

/* The document as jq's value. Nothing of the body is needed afterwards but the indexes, which are
 * copied: the text's memory is the expression's. */
static jv take_document(struct request *request, uint32_t *indexes)
{
    struct pl_str text = jq_wire_document(request->body, &request->head);
    jv document;

    for (uint32_t i = 0; i < request->head.n_indexes; i++)
        indexes[i] = jq_wire_index(request->body, i);
    document = jv_parse_sized(text.ptr, (int)text.len);
    free_body(request);
    return document;
}

static void answer_unreadable(size_t position, jv document)
{
    struct pl_err err;

    failure(jv_invalid_get_msg(document), &err);
    pl_err_prefix(&err, "jq cannot read its document");
    send_error(JQ_ANSWER_ERROR, position, &err);
}

static void serve_values(struct request *request)
{
    struct chunk *chunk = &chunks[request->head.slot];
    uint32_t *indexes = must(malloc((request->head.n_indexes + 1) * sizeof *indexes));
    bool alone = (request->head.flags & JQ_REQUEST_ALONE) != 0;
    jv document;

    if (request->head.n_texts > 0) {
        size_t before = jq_jail_memory(), after;

        chunk_load(chunk, request);
        if (!alone)
            chunk->jq = jq_source_compile(chunk->sources, chunk->count, false);
        after = jq_jail_memory();
        grown += after > before ? after - before : 0;
        send_answer(JQ_ANSWER_COMPILED, 0, NULL, 0);
    }
    document = take_document(request, indexes);
    for (uint32_t i = 0; i < request->head.n_indexes; i++) {
        bool last = i + 1 == request->head.n_indexes;
        jv mine = last ? document : jv_copy(document);

        if (indexes[i] >= chunk->count)
            _exit(JQ_EXIT_WIRE);
        if (!jv_is_valid(mine))
            answer_unreadable(i, mine);
        else if (alone || !chunk->jq)
            evaluate_alone(request, &chunk->sources[indexes[i]], i, mine);
        else
            evaluate(request, chunk->jq, indexes[i], i, mine);
    }
    free(indexes);
}

/* ---- checking ---- */

/* Answers for the texts in [first, end), in order: all at once when they compile together, else
 * half by half. */
static void check_range(const struct chunk *chunk, size_t first, size_t end, bool alone)
{
    bool one = end - first == 1;
    jq_state *jq =
        alone && !one ? NULL : jq_source_compile(chunk->sources + first, end - first, true);
    struct pl_err err;

    if (jq) {
        jq_teardown(&jq);
        for (size_t i = first; i < end; i++)
            send_answer(JQ_ANSWER_VALUE, i, NULL, 0);
    } else if (one) {
        jq_source_explain(&chunk->sources[first], &err);
        send_error(JQ_ANSWER_ERROR, first, &err);
    } else {
        check_range(chunk, first, first + (end - first) / 2, alone);
        check_range(chunk, first + (end - first) / 2, end, alone);
    }
}

static void serve_check(struct request *request)
{
    struct chunk chunk = {0};

    chunk_load(&chunk, request);
    free_body(request);
    if (chunk.count > 0)
        check_range(&chunk, 0, chunk.count, (request->head.flags & JQ_REQUEST_ALONE) != 0);
    chunk_forget(&chunk);
}

/* ---- the life of a worker ---- */

/* Between requests: gives memory back, and looks whether it helped. */
static void tidy(void)
{
    if (jq_jail_memory() > grown + TIRED_GROWTH / 4)
        malloc_trim(0);
    tired = jq_jail_memory() > born + TIRED_GROWTH;
}

/* jq draws the seed of its hashes when it hashes first; how the C library gets that may be
 * forbidden later (Debian 13's blocks signals for it). */
static void settle_jq(void)
{
    jv_free(jv_object_set(jv_object(), jv_string("a"), jv_null()));
}

static void start(void)
{
    struct pl_err err;

    settle_jq();
    (void)mallopt(M_MMAP_THRESHOLD, 256 << 10); /* what is large goes back when it is freed */
    (void)mallopt(M_TRIM_THRESHOLD, 4 * MIB);
    if (jq_jail_enter(JQ_WIRE_FD, &err) != PL_OK || jq_jail_lock(&err) != PL_OK) {
        send_error(JQ_ANSWER_UNFIT, 0, &err);
        _exit(JQ_EXIT_UNFIT);
    }
    born = grown = jq_jail_memory();
    send_answer(JQ_ANSWER_READY, 0, NULL, 0);
}

static bool is_asked(int argc, char **argv)
{
    int type;
    socklen_t size = sizeof type;

    return argc == 2 && strcmp(argv[0], JQ_WORKER_NAME) == 0 &&
           strcmp(argv[1], JQ_WORKER_MARKER) == 0 &&
           getsockopt(JQ_WIRE_FD, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

bool jq_worker_possible(void)
{
    return possible;
}

void jq_worker_main_if_asked(int argc, char **argv)
{
    struct request request;

    possible = true;
    if (!is_asked(argc, argv))
        return;
    start();
    for (;;) {
        receive_request(&request);
        if (request.head.flags & JQ_REQUEST_CHECK)
            serve_check(&request);
        else
            serve_values(&request);
        tidy();
    }
}
