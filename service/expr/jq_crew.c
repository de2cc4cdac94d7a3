/* jq_crew.c - one worker as the pool drives it: requests out, answers in and believed in nothing,
 * time kept, death explained. Not who gets which job (jq_pool.c). */
#include "base/json.h"
#include "base/limits.h"
#include "service/expr/jq_pool_private.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum {
    SECOND = 1000000,
    CPU_US = 1 * SECOND,         /* one expression */
    COMPILE_CPU_US = 3 * SECOND, /* a chunk of them, the first time */
    WALL_US = 30 * SECOND,       /* either, on a machine that lends no processor */
    HEAVY_US = SECOND / 10,      /* work that takes more yields to everybody from there on */
    HEAVY_NICENESS = 19,
    READ_SIZE = 64 << 10,
    REQUEST_MAX = 256 << 20, /* bytes of one chunk's texts */
};

static bool is_check(const struct jq_job *job)
{
    return job->state != NULL;
}

static size_t max_output(const struct jq_job *job)
{
    return job->max_output ? job->max_output : PL_LIMIT_STEP_OUTPUT_BYTES;
}

/* ---- requests ---- */

static size_t chunk_of(const struct jq_job *job)
{
    return job->indexes[job->answered] / JQ_CHUNK;
}

/* Where the chunk the job needs next is; NULL: it is not compiled there. */
static struct jq_slot *find_slot(struct jq_crew *crew, const struct jq_job *job)
{
    for (size_t i = 0; i < JQ_SLOTS; i++) {
        struct jq_slot *slot = &crew->slots[i];

        if (slot->program == job->program->id && slot->chunk == chunk_of(job))
            return slot;
    }
    return NULL;
}

bool jq_crew_knows_locked(struct jq_crew *crew, const struct jq_job *job)
{
    return !is_check(job) && find_slot(crew, job) != NULL;
}

static struct jq_slot *oldest_slot(struct jq_crew *crew)
{
    struct jq_slot *oldest = &crew->slots[0];

    for (size_t i = 1; i < JQ_SLOTS; i++)
        if (crew->slots[i].used < oldest->used)
            oldest = &crew->slots[i];
    return oldest;
}

static void put_texts(struct pl_buf *out, const struct jq_program *program, size_t first,
                      size_t end)
{
    for (size_t i = first; i < end; i++)
        jq_wire_put_text(out, program->texts[i], program->folds && program->folds[i]);
}

static uint64_t texts_size(const struct jq_program *program, size_t first, size_t end)
{
    uint64_t size = 0;

    for (size_t i = first; i < end; i++)
        size += jq_wire_text_size(program->texts[i]);
    return size;
}

static size_t at_most(size_t first, size_t count, size_t end)
{
    return end - first < count ? end : first + count;
}

/* The next texts of a check. */
static size_t put_check(struct jq_crew *crew, const struct jq_job *job)
{
    const struct jq_program *program = job->program;
    size_t first = job->answered, end = at_most(first, JQ_CHUNK, program->count);
    struct jq_request_head head = {
        .flags = JQ_REQUEST_CHECK | (job->alone ? JQ_REQUEST_ALONE : 0u),
        .n_texts = (uint32_t)(end - first),
        .texts_size = texts_size(program, first, end),
        .max_output = max_output(job),
    };

    jq_wire_put_head(&crew->out, &head);
    put_texts(&crew->out, program, first, end);
    crew->compiling = true;
    return end - first;
}

/* The next indexes that are in one chunk. */
static size_t put_values(struct jq_crew *crew, const struct jq_job *job, struct jq_slot **ret_slot)
{
    const struct jq_program *program = job->program;
    size_t chunk = chunk_of(job), end = job->answered;
    size_t first_text = chunk * JQ_CHUNK, end_text = at_most(first_text, JQ_CHUNK, program->count);
    struct jq_request_head head = {
        .flags = job->alone ? JQ_REQUEST_ALONE : 0u,
        .document_size = job->document.len,
        .max_output = max_output(job),
    };
    bool hit;

    *ret_slot = find_slot(crew, job);
    hit = *ret_slot != NULL;
    if (!hit)
        *ret_slot = oldest_slot(crew);
    head.slot = (uint32_t)(*ret_slot - crew->slots);
    while (end < job->n_indexes && job->indexes[end] / JQ_CHUNK == chunk)
        end++;
    head.n_indexes = (uint32_t)(end - job->answered);
    if (!hit) {
        head.n_texts = (uint32_t)(end_text - first_text);
        head.texts_size = texts_size(program, first_text, end_text);
    }
    jq_wire_put_head(&crew->out, &head);
    for (size_t i = job->answered; i < end; i++)
        jq_wire_put_index(&crew->out, job->indexes[i] % JQ_CHUNK);
    if (!hit)
        put_texts(&crew->out, program, first_text, end_text);
    crew->document = job->document;
    crew->compiling = !hit;
    return head.n_indexes;
}

bool jq_crew_give_locked(struct jq_crew *crew, struct jq_job *job)
{
    struct jq_slot *slot = NULL;
    size_t batch;

    pl_buf_finish(&crew->out);
    pl_buf_init(&crew->out, REQUEST_MAX);
    crew->document = (struct pl_str){0};
    batch = is_check(job) ? put_check(crew, job) : put_values(crew, job, &slot);
    if (pl_buf_failed(&crew->out)) {
        pl_buf_finish(&crew->out);
        return false;
    }
    if (slot) {
        slot->program = job->program->id;
        slot->chunk = chunk_of(job);
        slot->used = ++crew->uses;
    }
    crew->job = job;
    crew->state = JQ_BUSY;
    crew->batch = batch;
    crew->batch_done = crew->sent = 0;
    jq_crew_touch_locked(crew);
    jq_crew_send_locked(crew);
    return true;
}

void jq_crew_touch_locked(struct jq_crew *crew)
{
    crew->since_us = pl_monotonic_us();
    crew->cpu_us = jq_child_cpu_us(&crew->child);
}

void jq_crew_send_locked(struct jq_crew *crew)
{
    size_t head = crew->out.len, total = head + crew->document.len;

    crew->sending = false;
    while (crew->sent < total) {
        struct iovec parts[2];
        struct msghdr message = {.msg_iov = parts};
        ssize_t n;

        if (crew->sent < head)
            parts[message.msg_iovlen++] =
                (struct iovec){crew->out.data + crew->sent, head - crew->sent};
        if (crew->document.len > 0) {
            size_t at = crew->sent > head ? crew->sent - head : 0;

            parts[message.msg_iovlen++] = (struct iovec){
                (void *)(uintptr_t)(crew->document.ptr + at), crew->document.len - at};
        }
        n = sendmsg(crew->child.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            crew->sending = errno == EAGAIN || errno == EWOULDBLOCK;
            return;
        }
        crew->sent += (size_t)n;
    }
}

/* ---- answers ---- */

static void answer_value(struct jq_job *job, struct jq_answer *answer, struct pl_str json)
{
    struct pl_err why;
    enum pl_code code;

    if (is_check(job)) {
        answer->err.code = PL_OK;
        return;
    }
    code = json_check(json, PL_LIMIT_JSON_DEPTH, NULL, &why);
    if (code == PL_OK) {
        answer->json = pl_arena_str(job->arena, json);
        if (!answer->json.ptr)
            code = pl_err_set(&why, PL_ERR_NO_MEMORY, "no memory for the value of an expression");
    } else if (code == PL_ERR_INVALID_JSON) {
        code = PL_ERR_EXPRESSION_ERROR;
        pl_err_prefix(&why, "its value cannot be kept");
    }
    if (code != PL_OK)
        pl_err_set(&answer->err, code, "%s", why.message);
}

static bool is_answer(uint32_t kind)
{
    return kind == JQ_ANSWER_VALUE || kind == JQ_ANSWER_ERROR || kind == JQ_ANSWER_LIMIT;
}

/* Takes one answer; false when it is none that can be. */
static bool take_answer(struct jq_crew *crew, struct pl_mutex *lock,
                        const struct jq_answer_head *head, struct pl_str data)
{
    struct jq_job *job = crew->job;
    struct jq_answer *answer;

    if (!job || !is_answer(head->kind) || crew->batch_done >= crew->batch ||
        head->position != crew->batch_done)
        return false;
    answer = &job->answers[job->answered];
    if (head->kind == JQ_ANSWER_VALUE)
        answer_value(job, answer, data);
    else
        pl_err_set(&answer->err,
                   head->kind == JQ_ANSWER_LIMIT ? PL_ERR_EXPRESSION_LIMIT
                                                 : PL_ERR_EXPRESSION_ERROR,
                   "%.*s", PL_STR_ARG(data));
    job->answered++;
    crew->verdict = JQ_ALIVE; /* if it was killed for this one, that came too late */
    pl_mutex_lock(lock);
    crew->batch_done++;
    if (crew->batch_done < crew->batch)
        jq_crew_touch_locked(crew);
    pl_mutex_unlock(lock);
    return true;
}

/* One whole answer. */
static enum jq_heard take(struct jq_crew *crew, struct pl_mutex *lock,
                          const struct jq_answer_head *head, struct pl_str data,
                          struct pl_err *unfit)
{
    crew->tired = (head->flags & JQ_ANSWER_TIRED) != 0;
    switch (head->kind) {
    case JQ_ANSWER_READY:
        return crew->job ? JQ_HEARD_END : JQ_HEARD_READY;
    case JQ_ANSWER_UNFIT:
        pl_err_set(unfit, PL_ERR_INTERNAL, "a jq worker %.*s", PL_STR_ARG(data));
        return JQ_HEARD_END;
    case JQ_ANSWER_COMPILED:
        pl_mutex_lock(lock);
        crew->compiling = false;
        jq_crew_touch_locked(crew);
        pl_mutex_unlock(lock);
        return JQ_HEARD_NOTHING;
    default:
        if (!take_answer(crew, lock, head, data))
            return JQ_HEARD_END;
        return crew->batch_done == crew->batch ? JQ_HEARD_BATCH : JQ_HEARD_NOTHING;
    }
}

/* Every whole answer that is there. */
static enum jq_heard take_all(struct jq_crew *crew, struct pl_mutex *lock, struct pl_err *unfit)
{
    size_t at = 0, limit = JQ_ANSWER_MAX;
    enum jq_heard heard = JQ_HEARD_NOTHING;

    if (crew->job && max_output(crew->job) > limit)
        limit = max_output(crew->job);
    while (heard == JQ_HEARD_NOTHING && crew->in.len - at >= sizeof(struct jq_answer_head)) {
        struct jq_answer_head head;

        memcpy(&head, crew->in.data + at, sizeof head);
        if (head.size > limit) {
            heard = JQ_HEARD_END;
            break;
        }
        if (crew->in.len - at - sizeof head < head.size)
            break;
        heard =
            take(crew, lock, &head, pl_str_n(crew->in.data + at + sizeof head, head.size), unfit);
        at += sizeof head + head.size;
    }
    if (heard == JQ_HEARD_END || (heard == JQ_HEARD_BATCH && at != crew->in.len)) {
        crew->verdict = JQ_BREACH;
        return JQ_HEARD_END;
    }
    if (at > 0) {
        memmove(crew->in.data, crew->in.data + at, crew->in.len - at);
        crew->in.len -= at;
    }
    return heard;
}

enum jq_heard jq_crew_hear(struct jq_crew *crew, struct pl_mutex *lock, struct pl_err *unfit)
{
    enum jq_heard heard;
    ssize_t n;

    pl_mutex_lock(lock); /* what the giver wrote about the job is seen from here on */
    pl_mutex_unlock(lock);
    if (!pl_buf_reserve(&crew->in, READ_SIZE))
        return JQ_HEARD_END;
    n = recv(crew->child.fd, crew->in.data + crew->in.len, READ_SIZE, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return JQ_HEARD_NOTHING;
    if (n <= 0)
        return JQ_HEARD_END;
    crew->in.len += (size_t)n;
    heard = take_all(crew, lock, unfit);
    if (crew->in.len == 0 && crew->in.capacity > 4 * READ_SIZE)
        pl_buf_finish(&crew->in);
    return heard;
}

/* ---- time and death ---- */

/* Heavy work is pushed behind everybody else's. There is no way back from that without privileges,
 * so the worker goes when the work is done. Microseconds until it may be heavy, `left` when that is
 * settled. */
static int64_t watch_weight(struct jq_crew *crew, int64_t wall_us, int64_t left)
{
    int64_t until = HEAVY_US - wall_us;

    if (crew->heavy || crew->compiling)
        return left;
    if (until <= 0)
        until = HEAVY_US - (jq_child_cpu_us(&crew->child) - crew->cpu_us);
    if (until > 0)
        return until < left ? until : left;
    crew->heavy = true;
    (void)setpriority(PRIO_PROCESS, (id_t)crew->child.pid, HEAVY_NICENESS);
    return left;
}

int64_t jq_crew_watch_locked(struct jq_crew *crew, int64_t now_us)
{
    int64_t limit = crew->compiling ? COMPILE_CPU_US : CPU_US;
    int64_t wall = now_us - crew->since_us, left = limit - wall;

    /* It cannot have used more than what has passed: no need to ask before that. */
    if (left <= 0 && crew->state == JQ_BUSY)
        left = limit - (jq_child_cpu_us(&crew->child) - crew->cpu_us);
    if (crew->state == JQ_STARTING)
        left = WALL_US;
    if (left > 0 && wall < WALL_US)
        return crew->state == JQ_BUSY ? watch_weight(crew, wall, left) : left;
    crew->verdict = left > 0 ? JQ_OVER_WALL : JQ_OVER_CPU;
    jq_child_kill(&crew->child);
    return WALL_US; /* its end is heard */
}

static void explain_death(const struct jq_crew *crew, int status, struct pl_err *err)
{
    const char *doing = crew->compiling ? "compiling it takes" : "it takes";

    if (crew->verdict == JQ_OVER_CPU)
        pl_err_set(err, PL_ERR_EXPRESSION_LIMIT, "%s more than %d s of processor time", doing,
                   (crew->compiling ? COMPILE_CPU_US : CPU_US) / SECOND);
    else if (crew->verdict == JQ_OVER_WALL)
        pl_err_set(err, PL_ERR_EXPRESSION_LIMIT, "%s longer than %d s", doing, WALL_US / SECOND);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == JQ_EXIT_MEMORY)
        pl_err_set(err, PL_ERR_EXPRESSION_LIMIT, "%s more memory than 64 MiB%s", doing,
                   crew->compiling ? "" : " and 8 times the size of what it looks at");
    else
        pl_err_set(err, PL_ERR_EXPRESSION_LIMIT, "jq crashed on it");
}

/* True when the job should be tried once more with nobody to blame yet. */
static bool worth_another(const struct jq_crew *crew, struct jq_job *job, int status)
{
    bool foreign = crew->verdict == JQ_ALIVE && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

    if (foreign && !job->killed_once) { /* an operator, or the system short of memory */
        job->killed_once = true;
        return true;
    }
    if (crew->compiling && !job->alone) { /* one of many: which? */
        job->alone = true;
        return true;
    }
    return false;
}

struct jq_job *jq_crew_bury(struct jq_crew *crew, struct pl_mutex *lock)
{
    struct jq_job *job;
    int status;

    jq_child_kill(&crew->child); /* before the lock: nobody else looks at a dead worker */
    pl_mutex_lock(lock);
    crew->state = JQ_ABSENT;
    job = crew->job;
    crew->job = NULL;
    pl_mutex_unlock(lock);
    status = jq_child_end(&crew->child);
    if (job && crew->batch_done < crew->batch && !worth_another(crew, job, status)) {
        explain_death(crew, status, &job->answers[job->answered].err);
        job->answered++;
    }
    memset(crew->slots, 0, sizeof crew->slots);
    crew->uses = 0;
    pl_buf_finish(&crew->out);
    pl_buf_finish(&crew->in);
    crew->document = (struct pl_str){0};
    crew->sending = crew->tired = crew->heavy = crew->compiling = false;
    crew->verdict = JQ_ALIVE;
    return job;
}
