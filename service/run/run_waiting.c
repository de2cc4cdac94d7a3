/* run_waiting.c - a run that waits for people and for nothing else: since when, and what that does
 * to its time. Not the asking (run_human). Called by run_core.c after each event, by run_node_move
 * and when a run is loaded.
 *
 * `timeout` counts running time only: while the run waits no timeout runs, and what was waited is
 * added to it behind. The row's options keep {"waited_ms":N,"waiting_since":T} beside what the
 * caller asked for. */
#include "base/json.h"
#include "service/run/run_core_private.h"

enum { OPTIONS_BYTES = 64 << 10 };

/* Something goes on by itself: a call, a timer, an evaluation. What only waits for other steps says
 * nothing. */
static bool is_busy(enum node_state state)
{
    return !node_state_is_final(state) && state != NODE_WAITING && state != NODE_JOINING &&
           state != NODE_HANDLING && state != NODE_CLOSING && state != NODE_ASKING;
}

void run_waiting_moved(struct run_core *core, enum node_state from, enum node_state to)
{
    core->asking += (unsigned)(to == NODE_ASKING) - (unsigned)(from == NODE_ASKING);
    core->busy += (unsigned)is_busy(to) - (unsigned)is_busy(from);
}

static bool is_waiting(const struct run_core *core)
{
    return core->state == RUN_RUNNING && core->asking > 0 && core->busy == 0;
}

void run_waiting_update(struct run_core *core)
{
    bool waiting = is_waiting(core);

    if (waiting == core->waiting)
        return;
    core->waiting = waiting;
    core->dirty = true;
    if (waiting) {
        core->waiting_since = core->now;
        core->timeout_at = 0;
        run_core_note(core, "run.waiting", NULL);
        return;
    }
    if (core->now > core->waiting_since)
        core->waited += core->now - core->waiting_since;
    core->waiting_since = 0;
    if (core->state == RUN_RUNNING && core->timeout > 0)
        core->timeout_at = core->started_at + core->timeout + core->waited;
}

bool run_core_waits(const struct run_core *core)
{
    return core->waiting;
}

bool run_core_asks(const struct run_core *core)
{
    return core->asking > 0;
}

static pl_ms member(struct pl_str options, const char *key)
{
    struct pl_str token;
    int64_t value;

    if (options.len && json_get(options, pl_str(key), &token) && json_int(token, &value) &&
        value > 0)
        return value;
    return 0;
}

void run_waiting_load(struct run_core *core, struct pl_str options)
{
    core->waited = member(options, "waited_ms");
    core->waiting_since = member(options, "waiting_since");
    core->waiting = is_waiting(core) && core->waiting_since > 0;
    if (!core->waiting)
        core->waiting_since = 0;
    if (core->waiting)
        core->timeout_at = 0;
    else if (core->timeout_at)
        core->timeout_at += core->waited;
}

struct pl_str run_waiting_options(const struct run_core *core, struct pl_arena *arena,
                                  struct pl_str options)
{
    struct json_iter it;
    struct pl_buf out;
    struct pl_str copy;

    if (!core->waited && !core->waiting_since)
        return options;
    pl_buf_init(&out, OPTIONS_BYTES + options.len);
    json_object_begin(&out);
    for (json_iter_init(&it, options.len ? options : PL_STR("{}")); json_iter_next(&it);) {
        if (pl_str_is(it.key, "\"waited_ms\"") || pl_str_is(it.key, "\"waiting_since\""))
            continue;
        json_comma(&out);
        pl_buf_str(&out, it.key);
        pl_buf_char(&out, ':');
        pl_buf_str(&out, it.value);
    }
    if (core->waited)
        json_add_int(&out, "waited_ms", core->waited);
    if (core->waiting_since)
        json_add_int(&out, "waiting_since", core->waiting_since);
    json_object_end(&out);
    copy = pl_buf_failed(&out) ? options : pl_arena_str(arena, pl_buf_view(&out));
    pl_buf_finish(&out);
    return copy;
}
