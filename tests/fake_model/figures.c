/* figures.c - counts and logs. Not connections. Called by serve.c. */
#include "tests/fake_model/figures.h"

#include "base/json.h"

#include <stdlib.h>
#include <unistd.h>

struct seen {
    uint64_t hash; /* 0: free */
    unsigned count;
};

enum { PROMPT_LOGGED = 2000 };

uint64_t figures_hash(struct pl_str body)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < body.len; i++)
        hash = (hash ^ (unsigned char)body.ptr[i]) * 1099511628211u;
    hash ^= hash >> 29;
    return hash ? hash : 1;
}

void figures_reset(struct figures *figures)
{
    const struct figures old = *figures;

    free(figures->seen);
    *figures = (struct figures){.inflight = old.inflight,
                                .peak = old.inflight,
                                .connections = old.connections,
                                .connections_peak = old.connections,
                                .log_fd = old.log_fd};
}

void figures_finish(struct figures *figures)
{
    free(figures->seen);
    figures->seen = NULL;
    if (figures->log_fd >= 0)
        close(figures->log_fd);
    figures->log_fd = -1;
}

void figures_write(const struct figures *figures, struct pl_buf *out)
{
    json_object_begin(out);
    json_add_int(out, "calls", (int64_t)figures->calls);
    json_add_int(out, "inflight", figures->inflight);
    json_add_int(out, "peak", figures->peak);
    json_add_int(out, "errors", (int64_t)figures->errors);
    json_add_int(out, "answered", (int64_t)figures->answered);
    json_add_int(out, "aborted", (int64_t)figures->aborted);
    json_add_int(out, "broken", (int64_t)figures->broken);
    json_add_int(out, "connections", figures->connections);
    json_add_int(out, "connections_peak", figures->connections_peak);
    json_object_end(out);
    pl_buf_char(out, '\n');
}

static struct seen *seen_slot(struct seen *table, size_t capacity, uint64_t hash)
{
    size_t i = (size_t)hash & (capacity - 1);

    while (table[i].hash && table[i].hash != hash)
        i = (i + 1) & (capacity - 1);
    return &table[i];
}

static bool seen_grow(struct figures *figures)
{
    const size_t capacity = figures->seen_capacity ? 2 * figures->seen_capacity : 1024;
    struct seen *table = calloc(capacity, sizeof(*table));

    if (!table)
        return false;
    for (size_t i = 0; i < figures->seen_capacity; i++) {
        if (figures->seen[i].hash)
            *seen_slot(table, capacity, figures->seen[i].hash) = figures->seen[i];
    }
    free(figures->seen);
    figures->seen = table;
    figures->seen_capacity = capacity;
    return true;
}

unsigned figures_seen(struct figures *figures, uint64_t hash)
{
    struct seen *slot;

    if (2 * figures->n_seen >= figures->seen_capacity && !seen_grow(figures))
        return 1;
    slot = seen_slot(figures->seen, figures->seen_capacity, hash);
    if (!slot->hash) {
        slot->hash = hash;
        figures->n_seen++;
    }
    return ++slot->count;
}

bool figures_nth(struct figures *figures, int status, int percent)
{
    const uint64_t n = ++figures->by_status[status];

    return n * (uint64_t)percent / 100 != (n - 1) * (uint64_t)percent / 100;
}

void figures_log(struct figures *figures, const struct figure_line *line)
{
    struct pl_str prompt = line->prompt;
    struct pl_buf out;

    if (figures->log_fd < 0)
        return;
    if (prompt.len > PROMPT_LOGGED)
        prompt.len = PROMPT_LOGGED;
    pl_buf_init(&out, (size_t)1 << 20);
    json_object_begin(&out);
    json_add_int(&out, "n", (int64_t)line->n);
    json_add_int(&out, "conn", line->conn);
    json_add_string(&out, "path", line->path);
    json_add_string(&out, "model", line->model);
    json_add_bool(&out, "stream", line->stream);
    json_add_int(&out, "messages", line->facts.messages);
    json_add_int(&out, "tools", line->facts.tools);
    json_add_bool(&out, "schema", line->facts.schema);
    json_add_string(&out, "prompt", prompt);
    pl_buf_printf(&out, ",\"start_ms\":%.3f,\"end_ms\":%.3f", line->start_ms, line->end_ms);
    json_add_int(&out, "status", line->status);
    json_add_string(&out, "fault", pl_str(line->fault));
    json_add_string(&out, "outcome", pl_str(line->outcome));
    if (line->closed)
        pl_buf_printf(&out, ",\"closed_ms\":%.3f", line->end_ms);
    else
        json_add_null(&out, "closed_ms");
    if (line->key.len)
        json_add_string(&out, "idempotency_key", line->key);
    json_object_end(&out);
    pl_buf_char(&out, '\n');
    if (!pl_buf_failed(&out) && write(figures->log_fd, out.data, out.len) < 0)
        figures->errors++;
    pl_buf_finish(&out);
}

void figures_log_reset(struct figures *figures)
{
    if (figures->log_fd >= 0 && ftruncate(figures->log_fd, 0) != 0)
        figures->errors++;
}
