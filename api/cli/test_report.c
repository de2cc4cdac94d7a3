/* test_report.c - see test_report.h. */
#include "api/cli/test_report.h"

#include "api/cli/command.h"
#include "base/json.h"
#include "service/tape/tape.h"

enum { PLACES = 10, CALLS_TOLD = 50 }; /* differences of one value, calls of one sort */

struct report {
    const struct tape *tape;
    size_t changed, new, missing;
    bool end_differs, no_memory;
};

static void say(const struct pl_buf *text, struct report *report)
{
    report->no_memory |= pl_buf_failed(text);
    if (text->data)
        cli_put_plain(stdout, text->data);
}

/* Control characters of others are made harmless by cli_put_plain, which takes newlines too. */
static void say_lines(struct pl_buf *text, struct report *report)
{
    char *from = text->data, *end;

    report->no_memory |= pl_buf_failed(text);
    while (from && *from && (end = strchr(from, '\n'))) {
        *end = '\0';
        cli_put_plain(stdout, from);
        fputc('\n', stdout);
        from = end + 1;
    }
}

static void say_change(const struct tape_change *change, struct report *report)
{
    struct pl_buf text;

    pl_buf_init(&text, 1 << 20);
    pl_buf_printf(&text, "%.*s: ", PL_STR_ARG(change->path));
    if (change->kind == TAPE_CHANGED)
        pl_buf_printf(&text, "the %.*s call has changed\n", PL_STR_ARG(change->step_kind));
    else if (change->nearest)
        pl_buf_printf(&text, "the %.*s call is not in the recording; the nearest is that of %.*s\n",
                      PL_STR_ARG(change->step_kind), PL_STR_ARG(change->nearest->path));
    else
        pl_buf_printf(&text, "the %.*s call is not in the recording\n",
                      PL_STR_ARG(change->step_kind));
    if (change->nearest &&
        tape_diff(change->request, change->nearest->request, "  ", PLACES, &text) == 0)
        pl_buf_text(&text, "  it is the same request, made once more often than recorded\n");
    say_lines(&text, report);
    pl_buf_finish(&text);
}

static void say_changes(struct report *report)
{
    for (const struct tape_change *change = tape_changes(report->tape); change;
         change = change->next) {
        if (change->kind == TAPE_CHANGED)
            report->changed++;
        else
            report->new ++;
        if (report->changed + report->new <= CALLS_TOLD)
            say_change(change, report);
    }
    if (report->changed + report->new > CALLS_TOLD)
        printf("and %zu more\n", report->changed + report->new - CALLS_TOLD);
}

/* One that was stopped while it was recorded, or that a budget did not let go, need not be made:
 * who loses a race is chance. */
static bool need_be_made(const struct tape_call *call)
{
    return !call->cancelled && !(call->failed && call->err.code == PL_ERR_BUDGET_EXCEEDED);
}

static void say_missing(struct report *report)
{
    for (size_t i = 0; i < tape_count(report->tape); i++) {
        const struct tape_call *call = tape_at(report->tape, i);
        struct pl_buf text;

        if (tape_was_made(call) || !need_be_made(call))
            continue;
        if (++report->missing > CALLS_TOLD)
            continue;
        pl_buf_init(&text, 4096);
        pl_buf_printf(&text, "%.*s: the %.*s call is recorded and was not made",
                      PL_STR_ARG(call->path), PL_STR_ARG(call->kind));
        say(&text, report);
        pl_buf_finish(&text);
        putchar('\n');
    }
    if (report->missing > CALLS_TOLD)
        printf("and %zu more\n", report->missing - CALLS_TOLD);
}

static struct pl_str decoded(struct pl_str object, const char *key, struct pl_arena *arena)
{
    struct pl_str value;

    if (!json_get(object, pl_str(key), &value) || json_type(value) != JSON_STRING)
        return (struct pl_str){0};
    return json_decode_string_arena(value, arena);
}

static void compare_end(struct report *report, struct pl_str run, struct pl_arena *arena)
{
    const struct tape_run *recorded = tape_run(report->tape);
    struct pl_str status = decoded(run, "status", arena), error = {0}, code = {0}, output = {0};
    struct pl_buf text;

    if (json_get(run, PL_STR("error"), &error))
        code = decoded(error, "code", arena);
    (void)json_get(run, PL_STR("output"), &output);
    pl_buf_init(&text, 1 << 20);
    if (!pl_str_eq(status, recorded->status) || !pl_str_eq(code, recorded->error)) {
        struct pl_str detail = decoded(error, "detail", arena);

        pl_buf_printf(&text, "the run %.*s%s%.*s, was %.*s%s%.*s\n", PL_STR_ARG(status),
                      code.len ? " with " : "", PL_STR_ARG(code), PL_STR_ARG(recorded->status),
                      recorded->error.len ? " with " : "", PL_STR_ARG(recorded->error));
        if (detail.len)
            pl_buf_printf(&text, "  %.*s\n", PL_STR_ARG(detail));
    } else if (recorded->output.len && !json_equal(output, recorded->output)) {
        pl_buf_text(&text, "the output differs\n");
        tape_diff(output, recorded->output, "  ", PLACES, &text);
    }
    report->end_differs = text.len > 0;
    say_lines(&text, report);
    pl_buf_finish(&text);
}

static void sum(const struct report *report, bool own_input, const char *file,
                const char *recording)
{
    const char *separator = "failed: ";

    if (report->changed) {
        printf("%s%zu call%s changed", separator, report->changed, report->changed == 1 ? "" : "s");
        separator = ", ";
    }
    if (report->new) {
        printf("%s%zu not in the recording", separator, report->new);
        separator = ", ";
    }
    if (report->missing) {
        printf("%s%zu not made", separator, report->missing);
        separator = ", ";
    }
    if (report->end_differs)
        printf("%sit ends differently", separator);
    printf(
        "\n%srecord it anew, when this is right, with: plait test %s --record%s%s, and the input "
        "(-i)\n",
        own_input ? "the input is not the recorded one; " : "", file,
        recording ? " --recording " : "", recording ? recording : "");
}

bool test_report(const struct tape *tape, struct pl_str run, bool own_input, bool quiet,
                 const char *file, const char *recording)
{
    struct report report = {.tape = tape};
    struct pl_arena *arena = pl_arena_create(0);
    size_t made = 0;

    if (arena) {
        say_changes(&report);
        say_missing(&report);
        compare_end(&report, run, arena);
    }
    if (!arena || report.no_memory || pl_arena_failed(arena)) {
        cli_usage_error("out of memory");
        pl_arena_destroy(&arena);
        return false;
    }
    pl_arena_destroy(&arena);
    for (size_t i = 0; i < tape_count(tape); i++)
        made += tape_was_made(tape_at(tape, i));
    if (report.changed || report.new || report.missing || report.end_differs) {
        sum(&report, own_input, file, recording);
        return false;
    }
    if (!quiet)
        printf("passed: %zu call%s answered from the recording, the output is the same\n", made,
               made == 1 ? "" : "s");
    return true;
}
