/* progress.c - see progress.h.
 *
 * LIVE redraws a block: it moves the cursor up over the lines drawn last and writes them anew. A
 * parallel of many branches is drawn as one bar, and the block never has more lines than the
 * terminal. Step names and texts of models never reach the terminal raw: ids are plain by their
 * grammar, and models' texts are not drawn, only counted. */
#include "api/cli/progress.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_MIN = 12, BAR_WIDTH = 30, NAME_WIDTH = 28, LINE_MAX = 256 };

enum row_state {
    ROW_PENDING,
    ROW_RUNNING,
    ROW_RETRYING,
    ROW_SUCCEEDED,
    ROW_FAILED,
    ROW_SKIPPED,
    ROW_CANCELLED
};

static const char *const row_words[] = {"waiting", "running", "retrying", "done",
                                        "failed",  "skipped", "cancelled"};
static const char *const row_marks[] = {"·", "▸", "↻", "✔", "✘", "–", "⊘"};
static const char *const row_colours[] = {"\033[2m",  "\033[36m", "\033[33m", "\033[32m",
                                          "\033[31m", "\033[2m",  "\033[2m"};

struct row {
    enum row_state state;
    pl_ms started, ended;
    int64_t attempts, tokens;
    size_t delta_bytes; /* of the attempt going on: an estimate until usage comes */
    char note[96];      /* error code or cancel reason */
};

struct progress {
    const struct workflow *workflow;
    enum progress_mode mode;
    struct row *rows; /* by step index */
    unsigned drawn;   /* lines of the block on the screen */
    unsigned columns; /* of the terminal at this drawing */
    pl_ms begun;
    bool colour;
};

struct progress *progress_create(const struct workflow *workflow, enum progress_mode mode,
                                 pl_ms now)
{
    struct progress *progress = calloc(1, sizeof *progress);

    if (!progress)
        return NULL;
    progress->workflow = workflow;
    progress->mode = mode;
    progress->begun = now;
    progress->colour = getenv("NO_COLOR") == NULL;
    progress->rows = calloc(workflow->n_steps ? workflow->n_steps : 1, sizeof *progress->rows);
    if (!progress->rows) {
        free(progress);
        return NULL;
    }
    return progress;
}

void progress_destroy(struct progress **progress)
{
    if (!*progress)
        return;
    free((*progress)->rows);
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

    if (data.len && json_get(data, PL_STR("usage"), &usage) &&
        json_get(usage, PL_STR("output_tokens"), &tokens) && json_int(tokens, &count))
        row->tokens = count;
}

static void row_event(struct row *row, const struct bus_event *event)
{
    const char *type = event->type.ptr;
    size_t length = event->type.len;

#define IS(word) (length == sizeof(word) - 1 && memcmp(type, word, length) == 0)
    row->attempts = event->attempt > row->attempts ? event->attempt : row->attempts;
    if (IS("step.delta")) {
        row->delta_bytes += event->data.len;
        return;
    }
    if (IS("step.started")) {
        row->state = ROW_RUNNING;
        row->started = event->at;
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
    if (row->state >= ROW_SUCCEEDED)
        row->ended = event->at;
}

static void write_row(char *out, size_t size, const struct step_def *def, const struct row *row,
                      pl_ms now)
{
    char elapsed[24] = "", tokens[32] = "", tries[32] = "";

    if (row->started)
        pl_duration_format((row->ended ? row->ended : now) - row->started, elapsed);
    if (row->tokens)
        snprintf(tokens, sizeof tokens, "  %lld tokens", (long long)row->tokens);
    else if (row->delta_bytes)
        snprintf(tokens, sizeof tokens, "  ~%zu tokens", row->delta_bytes / 4 + 1);
    if (row->attempts > 1)
        snprintf(tries, sizeof tries, "  attempt %lld", (long long)row->attempts);
    snprintf(out, size, "%s %-*.*s %-9s %8s%s%s%s%s", row_marks[row->state], NAME_WIDTH,
             (int)def->path.len, def->path.ptr, row_words[row->state], elapsed, tokens, tries,
             row->note[0] ? "  " : "", row->note);
}

void progress_event(struct progress *progress, const struct bus_event *event)
{
    const struct step_def *def =
        event->path.len ? workflow_find(progress->workflow, event->path) : NULL;
    struct row *row;
    char line[LINE_MAX];
    enum row_state before;

    if (!def)
        return;
    row = &progress->rows[def->index];
    before = row->state;
    row_event(row, event);
    /* each wait is told, not only the first: a rate limit may hold a step for long */
    if (progress->mode != PROGRESS_LINES || row->state == ROW_RUNNING ||
        (row->state == before && row->state != ROW_RETRYING) ||
        pl_str_is(event->type, "step.delta"))
        return;
    write_row(line, sizeof line, def, row, event->at);
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

static void put_bar(struct progress *progress, const struct step_def *def, unsigned *lines,
                    unsigned max)
{
    unsigned counts[PL_ARRAY_LEN(row_words)] = {0};
    size_t ended, filled;
    char line[LINE_MAX], bar[BAR_WIDTH * 4 + 1] = "";

    for (size_t i = 0; i < def->n_children; i++)
        counts[progress->rows[def->children[i]->index].state]++;
    ended =
        counts[ROW_SUCCEEDED] + counts[ROW_FAILED] + counts[ROW_SKIPPED] + counts[ROW_CANCELLED];
    filled = def->n_children ? ended * BAR_WIDTH / def->n_children : BAR_WIDTH;
    for (size_t i = 0, at = 0; i < BAR_WIDTH; i++)
        at += (size_t)snprintf(bar + at, sizeof bar - at, "%s", i < filled ? "█" : "░");
    snprintf(line, sizeof line, "  %s %zu/%zu  %u running", bar, ended, def->n_children,
             counts[ROW_RUNNING] + counts[ROW_RETRYING]);
    if (counts[ROW_FAILED])
        snprintf(line + strlen(line), sizeof line - strlen(line), "  %u failed",
                 counts[ROW_FAILED]);
    put_line(progress, line, "", lines, max);
}

static void put_step(struct progress *progress, const struct step_def *def, pl_ms now,
                     unsigned *lines, unsigned max)
{
    const struct row *row = &progress->rows[def->index];
    char line[LINE_MAX];

    if (def->is_handler && row->state == ROW_PENDING)
        return;
    write_row(line, sizeof line, def, row, now);
    put_line(progress, line, row_colours[row->state], lines, max);
    if (def->n_children >= BAR_MIN)
        put_bar(progress, def, lines, max);
    else
        for (size_t i = 0; i < def->n_children; i++)
            put_step(progress, def->children[i], now, lines, max);
    if (def->handler)
        put_step(progress, def->handler, now, lines, max);
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
        put_step(progress, progress->workflow->root->top[i], now, &lines, max);
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
