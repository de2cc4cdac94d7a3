/* script.c - reads a scenario file. Not the playing (play.c). Called by main.c. */
#include "tests/scenario/scenario.h"
#include "tests/support/text.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- pieces of a line ---- */

static struct pl_str trim(struct pl_str text)
{
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\t'))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    return text;
}

/* Takes what stands before `mark` off the front; false when there is no mark. */
static bool cut(struct pl_str *rest, const char *mark, struct pl_str *ret_before)
{
    size_t len = strlen(mark);

    for (size_t i = 0; i + len <= rest->len; i++) {
        if (memcmp(rest->ptr + i, mark, len) != 0)
            continue;
        *ret_before = trim(pl_str_n(rest->ptr, i));
        *rest = trim(pl_str_n(rest->ptr + i + len, rest->len - i - len));
        return true;
    }
    return false;
}

/* The first word. */
static struct pl_str word(struct pl_str *rest)
{
    struct pl_str before;

    if (cut(rest, " ", &before))
        return before;
    before = *rest;
    *rest = pl_str_n(NULL, 0);
    return before;
}

static bool starts(struct pl_str *rest, const char *with)
{
    struct pl_str copy = *rest;

    if (!pl_str_is(word(&copy), with))
        return false;
    *rest = copy;
    return true;
}

/* A time in front (with its unit: a bare number is a value) is taken off; else `otherwise`. */
static pl_ms take_time(struct pl_str *rest, pl_ms otherwise)
{
    struct pl_str copy = *rest, text = word(&copy);
    pl_ms time;

    if (text.len == 0 || !strchr("smh", text.ptr[text.len - 1]) || !pl_duration_parse(text, &time))
        return otherwise;
    *rest = copy;
    return time;
}

static enum pl_code code_of(struct scenario *scenario, struct pl_str name)
{
    return pl_code_from_text(pl_arena_str(scenario->arena, name).ptr);
}

/* ---- kinds of lines ---- */

static bool parse_failure(struct scenario *scenario, struct script_line *line, struct pl_str rest)
{
    struct pl_str flags = rest;

    line->fails = true;
    if (cut(&rest, " : ", &flags))
        line->text = rest;
    line->code = code_of(scenario, word(&flags));
    while (flags.len) {
        struct pl_str flag = word(&flags);

        if (pl_str_is(flag, "free"))
            line->free = true;
        else if (pl_str_is(flag, "no_retry"))
            line->no_retry = true;
        else if (pl_str_starts(flag, PL_STR("hint=")))
            pl_duration_parse(pl_str_n(flag.ptr + 5, flag.len - 5), &line->hint);
        else if (pl_str_starts(flag, PL_STR("status=")))
            line->status = (int)strtol(flag.ptr + 7, NULL, 10);
        else
            return false;
    }
    return true;
}

static bool parse_outcome(struct scenario *scenario, struct script_line *line, struct pl_str rest)
{
    line->hint = -1;
    if (starts(&rest, "defer")) {
        line->defer = true;
        line->after = take_time(&rest, 0);
        line->text = rest;
        return true;
    }
    if (starts(&rest, "begins"))
        line->begins = take_time(&rest, 0);
    line->after = take_time(&rest, 10);
    if (starts(&rest, "ok")) {
        line->text = rest;
        return true;
    }
    return starts(&rest, "fail") && parse_failure(scenario, line, rest);
}

static bool parse_result(struct scenario *scenario, struct script_line *line, struct pl_str rest)
{
    struct pl_str who, path;

    if (!cut(&rest, ":", &who))
        return false;
    line->type = SCRIPT_RESULT;
    line->path = path = word(&who);
    if (starts(&who, "abort"))
        line->type = SCRIPT_ABORTED;
    if (cut(&path, "#", &line->path))
        line->call = (unsigned)strtoul(path.ptr, NULL, 10);
    return who.len == 0 && parse_outcome(scenario, line, rest);
}

static const char *const eval_names[] = {
    [RUN_EVAL_WHEN] = "when",       [RUN_EVAL_ACCEPT] = "accept", [RUN_EVAL_DEFAULT] = "default",
    [RUN_EVAL_OUTPUT] = "output",   [RUN_EVAL_BEGIN] = "begin",   [RUN_EVAL_KEY] = "key",
    [RUN_EVAL_WRITES] = "writes",   [RUN_EVAL_BODY] = "body",     [RUN_EVAL_UNTIL] = "until",
    [RUN_EVAL_TIMEOUT] = "timeout",
};

const char *scenario_eval_name(enum run_eval_what what)
{
    return eval_names[what];
}

static bool parse_eval(struct script_line *line, enum run_eval_what what, struct pl_str rest)
{
    line->type = SCRIPT_EVAL;
    line->what = what;
    if (!cut(&rest, "=", &line->path))
        return false;
    line->after = take_time(&rest, 0);
    line->fails = starts(&rest, "error");
    line->code = PL_ERR_EXPRESSION_ERROR;
    line->text = rest;
    line->truth = pl_str_is(rest, "true");
    return true;
}

static bool parse_action(struct script_line *line, struct pl_str rest)
{
    if (starts(&rest, "cancel")) {
        line->type = SCRIPT_CANCEL;
        line->path = rest;
        return true;
    }
    line->fails = starts(&rest, "reject");
    if (line->fails || starts(&rest, "answer")) {
        line->type = SCRIPT_ANSWER;
        line->path = word(&rest);
        line->text = rest;
        return line->path.len > 0;
    }
    line->type = SCRIPT_CRASH;
    if (!starts(&rest, "crash"))
        return false;
    line->after = take_time(&rest, 0);
    return rest.len == 0;
}

static bool parse_line(struct scenario *scenario, struct script_line *line, struct pl_str rest)
{
    for (unsigned i = 0; i < PL_ARRAY_LEN(eval_names); i++)
        if (starts(&rest, eval_names[i]))
            return parse_eval(line, (enum run_eval_what)i, rest);
    if (starts(&rest, "late")) {
        line->type = SCRIPT_LATE;
        line->after = take_time(&rest, 0);
        return true;
    }
    if (starts(&rest, "stable")) {
        line->type = SCRIPT_STABLE;
        return rest.len == 0;
    }
    line->before = starts(&rest, "before");
    if (line->before)
        return parse_action(line, rest);
    if (starts(&rest, "at")) {
        line->at = take_time(&rest, 0);
        return parse_action(line, rest);
    }
    return parse_result(scenario, line, rest);
}

/* ---- the file ---- */

static bool next_line(struct pl_str *rest, struct pl_str *ret_line)
{
    const char *end;

    if (rest->len == 0)
        return false;
    end = memchr(rest->ptr, '\n', rest->len);
    *ret_line = pl_str_n(rest->ptr, end ? (size_t)(end - rest->ptr) : rest->len);
    *rest = end ? pl_str_n(end + 1, rest->len - ret_line->len - 1) : pl_str_n(NULL, 0);
    return true;
}

static bool parse_script(struct scenario *scenario)
{
    struct script_line **last = &scenario->lines;
    struct pl_str rest = scenario->script, text;

    while (next_line(&rest, &text)) {
        struct script_line *line;

        text = trim(text);
        if (text.len == 0 || text.ptr[0] == '#')
            continue;
        line = pl_arena_alloc(scenario->arena, sizeof(*line));
        if (!line || !parse_line(scenario, line, text)) {
            fprintf(stderr, "%s: cannot read: %.*s\n", scenario->path, PL_STR_ARG(text));
            return false;
        }
        *last = line;
        last = &line->next;
    }
    return true;
}

static bool split(struct scenario *scenario, struct pl_str text)
{
    struct pl_str rest = text, line, *part = NULL;
    struct pl_str *parts[] = {&scenario->workflow, &scenario->script, &scenario->expect};
    const char *names[] = {"--- workflow", "--- script", "--- expect"};

    while (next_line(&rest, &line)) {
        unsigned i = 0;

        while (i < PL_ARRAY_LEN(names) && !pl_str_is(line, names[i]))
            i++;
        if (i < PL_ARRAY_LEN(names)) {
            part = parts[i];
            *part = pl_str_n(line.ptr + line.len + 1, 0);
        } else if (part) {
            part->len = (size_t)(line.ptr + line.len - part->ptr) + 1;
        }
        if (i == 2)
            scenario->head = pl_str_n(text.ptr, (size_t)(part->ptr - text.ptr));
    }
    return scenario->workflow.len > 0 && scenario->head.len > 0;
}

bool scenario_read(const char *path, struct scenario *ret_scenario)
{
    struct scenario scenario = {.path = path, .arena = pl_arena_create(0)};
    char *text = test_read_file(path, NULL);
    bool ok = false;

    if (text && scenario.arena) {
        ok =
            split(&scenario, pl_arena_str(scenario.arena, pl_str(text))) && parse_script(&scenario);
        if (scenario.head.len == 0)
            fprintf(stderr, "%s: a part is missing\n", path);
    } else {
        fprintf(stderr, "%s: cannot be read\n", path);
    }
    free(text);
    *ret_scenario = scenario;
    return ok;
}

bool scenario_is_stable(const struct scenario *scenario)
{
    for (const struct script_line *line = scenario->lines; line; line = line->next)
        if (line->type == SCRIPT_STABLE)
            return true;
    return false;
}

void scenario_finish(struct scenario *scenario)
{
    pl_arena_destroy(&scenario->arena);
}
