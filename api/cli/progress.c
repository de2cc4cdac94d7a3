/* progress.c - see progress.h.
 *
 * LIVE redraws a block: it moves the cursor up over the lines drawn last and writes them anew. A
 * step with many inside it is drawn as one bar, the items of a map of many are only counted, and
 * the block never has more lines than the terminal. Step names and texts of models never reach the
 * terminal raw: ids are plain by their grammar, and models' texts are not drawn, only counted. */
#include "api/cli/progress.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_MIN = 12, BAR_WIDTH = 30, NAME_WIDTH = 28, LINE_MAX = 256, ROWS_MAX = 100000 };

enum row_state {
    ROW_PENDING,
    ROW_RUNNING,
    ROW_RETRYING,
    ROW_ASKING,
    ROW_SUCCEEDED,
    ROW_FAILED,
    ROW_SKIPPED,
    ROW_CANCELLED,
    ROW_STATES
};

static const char *const row_words[] = {"waiting", "running", "retrying", "asking",
                                        "done",    "failed",  "skipped",  "cancelled"};
static const char *const row_marks[] = {"·", "▸", "↻", "?", "✔", "✘", "–", "⊘"};
static const char *const row_colours[] = {"\033[2m",  "\033[36m", "\033[33m", "\033[33m",
                                          "\033[32m", "\033[31m", "\033[2m",  "\033[2m"};

/* One line: a step of the workflow, there from the start, or one of what runs inside it, there when
 * it began. */
struct row {
    struct pl_str path;
    enum row_state state;
    pl_ms started, ended;
    int64_t attempts, tokens;
    double cost;
    size_t delta_bytes; /* of the attempt going on: an estimate until usage comes */
    char note[96];      /* error code or cancel reason */
    bool is_handler;
    struct row *first, *last, *next; /* what stands in it; the next one beside it */
    size_t n_children;

    /* a map of many: its branches are counted, none has a row */
    bool counted;
    size_t branches, begun;
    size_t over[ROW_STATES]; /* by how they ended */
    size_t told;             /* tenths of them told (LINES) */
};

struct progress {
    const struct workflow *workflow;
    enum progress_mode mode;
    struct pl_arena *arena; /* rows and paths */
    struct pl_map *rows;    /* by path */
    size_t n_rows;
    int64_t held;     /* calls that waited for their turn when it was last told */
    char reason[48];  /* what for */
    unsigned drawn;   /* lines of the block on the screen */
    unsigned columns; /* of the terminal at this drawing */
    pl_ms begun;
    bool colour;
};

/* NULL: no memory. */
static struct row *row_add(struct progress *progress, struct row *parent, struct pl_str path)
{
    struct row *row = pl_arena_alloc(progress->arena, sizeof *row);

    if (!row)
        return NULL;
    row->path = pl_arena_str(progress->arena, path);
    if (!pl_map_put(progress->rows, row->path, row, NULL))
        return NULL;
    progress->n_rows++;
    if (!parent)
        return row;
    if (parent->last)
        parent->last->next = row;
    else
        parent->first = row;
    parent->last = row;
    parent->n_children++;
    return row;
}

static bool add_step(struct progress *progress, struct row *parent, const struct step_def *def)
{
    struct row *row = row_add(progress, parent, def->path);
    bool ok = row != NULL;

    if (row && def->is_handler) {
        row->is_handler = true;
        parent->n_children--; /* it is no branch */
    }
    for (size_t i = 0; ok && i < def->n_children; i++)
        ok = add_step(progress, row, def->children[i]);
    return ok && (!def->handler || add_step(progress, row, def->handler));
}

struct progress *progress_create(const struct workflow *workflow, enum progress_mode mode,
                                 pl_ms now)
{
    struct progress *progress = calloc(1, sizeof *progress);
    bool ok;

    if (!progress)
        return NULL;
    progress->workflow = workflow;
    progress->mode = mode;
    progress->begun = now;
    progress->colour = getenv("NO_COLOR") == NULL;
    progress->arena = pl_arena_create(0);
    progress->rows = progress->arena ? pl_map_create(progress->arena, workflow->n_steps) : NULL;
    ok = progress->rows != NULL;
    for (size_t i = 0; ok && i < workflow->root->n_top; i++)
        ok = add_step(progress, NULL, workflow->root->top[i]);
    if (!ok)
        progress_destroy(&progress);
    return progress;
}

void progress_destroy(struct progress **progress)
{
    if (!*progress)
        return;
    pl_arena_destroy(&(*progress)->arena);
    free(*progress);
    *progress = NULL;
}

/* ---- events ---- */

static void note_text(struct row *row, struct pl_str data, const char *outer, const char *inner)
{
    struct pl_str value, text;
    struct pl_buf buf;

    row->note[0] = '\0';
    if (data.len == 0 || !json_get(data, pl_str(outer), &value))
        return;
    text = value;
    if (inner && !json_get(value, pl_str(inner), &text))
        return;
    if (json_type(text) != JSON_STRING)
        return;
    pl_buf_init(&buf, sizeof row->note - 1);
    json_decode_string(text, &buf);
    snprintf(row->note, sizeof row->note, "%s", buf.data ? buf.data : "");
    pl_buf_finish(&buf);
}

/* " in 2.1 s" behind the error of an attempt that will be made again. */
static void note_wait(struct row *row, struct pl_str data)
{
    struct pl_str delay;
    int64_t wait;
    char text[24];
    size_t used = strlen(row->note);

    if (data.len && json_get(data, PL_STR("delay_ms"), &delay) && json_int(delay, &wait) &&
        wait > 0)
        snprintf(row->note + used, sizeof row->note - used, "; again in %s",
                 pl_duration_format(wait, text));
}

static void note_tokens(struct row *row, struct pl_str data)
{
    struct pl_str usage, tokens;
    int64_t count;

    if (!data.len || !json_get(data, PL_STR("usage"), &usage))
        return;
    if (json_get(usage, PL_STR("output_tokens"), &tokens) && json_int(tokens, &count))
        row->tokens = count;
    if (json_get(usage, PL_STR("cost_usd"), &tokens) && json_type(tokens) == JSON_NUMBER)
        row->cost = json_number(tokens);
}

/* A map of many is drawn as one bar. */
static void note_branches(struct row *row, struct pl_str data)
{
    struct pl_str kind, token;
    int64_t count;

    if (data.len && json_get(data, PL_STR("kind"), &kind) && pl_str_is(kind, "\"map\"") &&
        json_get(data, PL_STR("branches"), &token) && json_int(token, &count) && count >= BAR_MIN) {
        row->counted = true;
        row->branches = (size_t)count;
    }
}

static size_t join_count(struct pl_str join, const char *key)
{
    struct pl_str token;
    int64_t count;

    return json_get(join, pl_str(key), &token) && json_int(token, &count) && count > 0
               ? (size_t)count
               : 0;
}

/* How many ended how is in the join's report, also when some of their events were missed. */
static void note_join(struct row *row, struct pl_str data)
{
    struct pl_str join;
    size_t failed, cancelled;

    if (!row->counted || data.len == 0 || !json_get(data, PL_STR("join"), &join) ||
        json_type(join) != JSON_OBJECT)
        return;
    failed = join_count(join, "failed");
    cancelled = join_count(join, "cancelled") + join_count(join, "missing");
    if (failed + cancelled > row->branches)
        return;
    memset(row->over, 0, sizeof row->over);
    row->over[ROW_FAILED] = failed;
    row->over[ROW_CANCELLED] = cancelled;
    row->over[ROW_SUCCEEDED] = row->branches - failed - cancelled;
    if (failed && row->state == ROW_SUCCEEDED)
        snprintf(row->note, sizeof row->note, "%zu of %zu failed", failed, row->branches);
}

static void row_event(struct row *row, const struct bus_event *event)
{
    const char *type = event->type.ptr;
    size_t length = event->type.len;

#define IS(word) (length == sizeof(word) - 1 && memcmp(type, word, length) == 0)
    row->attempts = event->attempt > row->attempts ? event->attempt : row->attempts;
    if ((IS("step.delta") || IS("step.reset")) && row->state == ROW_RETRYING) {
        row->state = ROW_RUNNING; /* the next attempt speaks */
        row->note[0] = '\0';
    }
    if (IS("step.delta")) {
        row->delta_bytes += event->data.len;
        return;
    }
    if (IS("step.started")) {
        row->state = ROW_RUNNING;
        row->started = event->at;
        note_branches(row, event->data);
    } else if (IS("step.waiting")) {
        row->state = ROW_ASKING;
    } else if (IS("step.retrying")) {
        row->state = ROW_RETRYING;
        note_text(row, event->data, "error", "code");
        note_wait(row, event->data);
    } else if (IS("step.reset")) {
        row->delta_bytes = 0;
    } else if (IS("step.succeeded")) {
        row->state = ROW_SUCCEEDED;
        row->note[0] = '\0';
        note_tokens(row, event->data);
    } else if (IS("step.failed")) {
        row->state = ROW_FAILED;
        note_text(row, event->data, "error", "code");
    } else if (IS("step.skipped")) {
        row->state = ROW_SKIPPED;
    } else if (IS("step.cancelled")) {
        row->state = ROW_CANCELLED;
        note_text(row, event->data, "reason", NULL);
    }
#undef IS
    if (row->state >= ROW_SUCCEEDED) {
        row->ended = event->at;
        note_join(row, event->data);
    }
}

static void write_row(char *out, size_t size, const struct row *row, pl_ms now)
{
    char elapsed[24] = "", tokens[32] = "", cost[32] = "", tries[32] = "";

    if (row->started)
        pl_duration_format((row->ended ? row->ended : now) - row->started, elapsed);
    if (row->tokens)
        snprintf(tokens, sizeof tokens, "  %lld tokens", (long long)row->tokens);
    else if (row->delta_bytes)
        snprintf(tokens, sizeof tokens, "  ~%zu tokens", row->delta_bytes / 4 + 1);
    if (row->cost > 0)
        snprintf(cost, sizeof cost, "  $%.6f", row->cost);
    if (row->attempts > 1)
        snprintf(tries, sizeof tries, "  attempt %lld", (long long)row->attempts);
    snprintf(out, size, "%s %-*.*s %-9s %8s%s%s%s%s%s", row_marks[row->state], NAME_WIDTH,
             (int)row->path.len, row->path.ptr, row_words[row->state], elapsed, tokens, cost, tries,
             row->note[0] ? "  " : "", row->note);
}

/* ---- which row ---- */

/* The row of what a step stands in, as far as there are rows; NULL: there is none. */
static struct row *row_around(const struct progress *progress, struct pl_str path)
{
    while (path.len) {
        struct row *row;

        while (path.len && path.ptr[path.len - 1] != '.')
            path.len--;
        if (path.len == 0)
            return NULL;
        path.len--;
        row = pl_map_get(progress->rows, path);
        if (row)
            return row;
    }
    return NULL;
}

/* "17" of "reviews.17": a branch of a map, not something inside one. */
static bool is_branch(const struct row *map, struct pl_str path)
{
    for (size_t i = map->path.len + 1; i < path.len; i++)
        if (path.ptr[i] < '0' || path.ptr[i] > '9')
            return false;
    return path.len > map->path.len + 1;
}

static size_t all_over(const struct row *map)
{
    size_t over = 0;

    for (unsigned i = ROW_SUCCEEDED; i < ROW_STATES; i++)
        over += map->over[i];
    return over;
}

static void write_counts(char *out, size_t size, size_t over, size_t total, size_t running,
                         size_t failed)
{
    int used = snprintf(out, size, "%zu/%zu  %zu running", over, total, running);

    if (failed && used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, "  %zu failed", failed);
}

static size_t branches_running(const struct row *map)
{
    size_t over = all_over(map);

    return map->begun > over ? map->begun - over : 0;
}

/* A branch of a map of many: it is counted, and each tenth of them is told. */
static void count_branch(struct progress *progress, struct row *map, const struct bus_event *event)
{
    struct row branch = {0};
    char counts[96];
    size_t over;

    row_event(&branch, event);
    map->begun += pl_str_is(event->type, "step.started");
    if (branch.state < ROW_SUCCEEDED)
        return;
    map->over[branch.state]++;
    over = all_over(map);
    if (progress->mode != PROGRESS_LINES || over * 10 / map->branches <= map->told)
        return;
    map->told = over * 10 / map->branches;
    write_counts(counts, sizeof counts, over, map->branches, branches_running(map),
                 map->over[ROW_FAILED]);
    fprintf(stderr, "%s %-*.*s %s\n", row_marks[ROW_RUNNING], NAME_WIDTH, (int)map->path.len,
            map->path.ptr, counts);
}

/* The row of an event's step, made when it is the first of it; NULL: it has none. */
static struct row *row_of(struct progress *progress, const struct bus_event *event)
{
    struct row *row = event->path.len ? pl_map_get(progress->rows, event->path) : NULL, *around;

    if (row || !event->path.len)
        return row;
    around = row_around(progress, event->path);
    if (!around)
        return NULL;
    if (around->counted) {
        if (is_branch(around, event->path))
            count_branch(progress, around, event);
        return NULL;
    }
    return progress->n_rows < ROWS_MAX ? row_add(progress, around, event->path) : NULL;
}

/* How many calls wait for a provider, and what one of them waits for: told with run.progress. */
static void note_held(struct progress *progress, struct pl_str data)
{
    struct row told = {0};
    struct pl_str count;

    progress->held = 0;
    if (!data.len || !json_get(data, PL_STR("held"), &count) || !json_int(count, &progress->held))
        return;
    note_text(&told, data, "reason", NULL);
    snprintf(progress->reason, sizeof progress->reason, "%.47s", told.note);
}

void progress_event(struct progress *progress, const struct bus_event *event)
{
    struct row *row = row_of(progress, event);
    char line[LINE_MAX];
    enum row_state before;

    if (pl_str_is(event->type, "run.progress"))
        note_held(progress, event->data);
    if (!row)
        return;
    before = row->state;
    row_event(row, event);
    /* each wait is told, not only the first: a rate limit may hold a step for long */
    if (progress->mode != PROGRESS_LINES || row->state == ROW_RUNNING || row->state == ROW_ASKING ||
        (row->state == before && row->state != ROW_RETRYING) ||
        pl_str_is(event->type, "step.delta"))
        return;
    write_row(line, sizeof line, row, event->at);
    fprintf(stderr, "%s\n", line);
}

/* ---- the live block ---- */

/* Bytes of the characters that fit: a line that wrapped would put the next drawing a line too low.
 */
static int fitting(const char *text, unsigned columns)
{
    unsigned characters = 0;
    int at = 0;

    for (; text[at]; at++)
        if (((unsigned char)text[at] & 0xc0) != 0x80 && characters++ == columns)
            break;
    return at;
}

static void put_line(struct progress *progress, const char *text, const char *colour,
                     unsigned *lines, unsigned max)
{
    if (*lines >= max)
        return;
    fprintf(stderr, "\r\033[2K%s%.*s%s\n", progress->colour ? colour : "",
            fitting(text, progress->columns), text, progress->colour ? "\033[0m" : "");
    (*lines)++;
}

static void put_bar(struct progress *progress, const struct row *row, unsigned *lines, unsigned max)
{
    size_t total = row->counted ? row->branches : row->n_children;
    size_t over = row->counted ? all_over(row) : 0, running = 0, failed = row->over[ROW_FAILED];
    char line[LINE_MAX], counts[96], bar[BAR_WIDTH * 4 + 1] = "";
    size_t filled;

    for (const struct row *child = row->counted ? NULL : row->first; child; child = child->next) {
        if (child->is_handler)
            continue;
        over += child->state >= ROW_SUCCEEDED;
        running += child->state == ROW_RUNNING || child->state == ROW_RETRYING;
        failed += child->state == ROW_FAILED;
    }
    if (row->counted)
        running = branches_running(row);
    filled = total ? over * BAR_WIDTH / total : BAR_WIDTH;
    for (size_t i = 0, at = 0; i < BAR_WIDTH; i++)
        at += (size_t)snprintf(bar + at, sizeof bar - at, "%s", i < filled ? "█" : "░");
    write_counts(counts, sizeof counts, over, total, running, failed);
    snprintf(line, sizeof line, "  %s %s", bar, counts);
    put_line(progress, line, "", lines, max);
}

static void put_row(struct progress *progress, const struct row *row, pl_ms now, unsigned *lines,
                    unsigned max)
{
    char line[LINE_MAX];
    bool bar;

    if (row->is_handler && row->state == ROW_PENDING)
        return;
    write_row(line, sizeof line, row, now);
    put_line(progress, line, row_colours[row->state], lines, max);
    bar = row->counted || row->n_children >= BAR_MIN;
    if (bar)
        put_bar(progress, row, lines, max);
    for (const struct row *child = row->first; child; child = child->next)
        if (!bar || child->is_handler)
            put_row(progress, child, now, lines, max);
}

static unsigned terminal_rows(unsigned *ret_columns)
{
    struct winsize size = {0};
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;

    *ret_columns = known && size.ws_col ? size.ws_col : 80;
    if (!known || size.ws_row == 0)
        return 24;
    return size.ws_row > 4 ? size.ws_row : 4;
}

void progress_draw(struct progress *progress, pl_ms now)
{
    unsigned lines = 0, max = terminal_rows(&progress->columns) - 2;
    char total[24], line[LINE_MAX];

    if (progress->mode != PROGRESS_LIVE)
        return;
    if (progress->drawn)
        fprintf(stderr, "\033[%uA", progress->drawn);
    for (size_t i = 0; i < progress->workflow->root->n_top; i++)
        put_row(progress, pl_map_get(progress->rows, progress->workflow->root->top[i]->path), now,
                &lines, max);
    if (progress->held) {
        snprintf(line, sizeof line, "%s %lld %s: %s", row_marks[ROW_PENDING],
                 (long long)progress->held,
                 progress->held == 1 ? "call waits for its turn" : "calls wait for their turn",
                 progress->reason);
        put_line(progress, line, row_colours[ROW_PENDING], &lines, max);
    }
    snprintf(line, sizeof line, "  %s", pl_duration_format(now - progress->begun, total));
    put_line(progress, line, "\033[2m", &lines, max + 1);
    for (unsigned i = lines; i < progress->drawn; i++) /* the terminal shrank */
        fputs("\r\033[2K\n", stderr);
    progress->drawn = lines > progress->drawn ? lines : progress->drawn;
    fflush(stderr);
}

void progress_end(struct progress *progress, pl_ms now)
{
    progress_draw(progress, now);
    progress->drawn = 0;
}
