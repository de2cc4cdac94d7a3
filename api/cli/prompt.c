/* prompt.c - see prompt.h. Which steps wait is read from the store each time something may have
 * changed: so questions that came before a restart are asked like those that come now, and one that
 * somebody else has answered goes away. */
#include "api/cli/prompt.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/sync.h"
#include "service/engine_answer.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_BYTES = 4 << 20, LIST_STEPS = 1000, CANDIDATES = 4 };

struct prompt {
    struct prompt_options options;
    struct pl_arena *arena;       /* of the question at hand */
    struct pl_str path, question; /* the step that is asked for, and its "waiting"; empty: none */
    bool shown;                   /* the question stands on the screen */
    bool look;                    /* the list must be read again */
    bool stuck;
    bool expires;              /* all that wait will stop some day */
    bool used[CLI_VALUES_MAX]; /* of --answer */
    struct pl_buf input;       /* read and not taken yet */
    bool ended;                /* of standard input */
    bool waits_told;           /* that the end of all questions is waited for has been said */

    struct pl_mutex lock;
    bool sending, told; /* guarded by lock, as below: an answer is on its way, has come back */
    struct pl_err err;
};

/* ---- life ---- */

struct prompt *prompt_create(const struct prompt_options *options)
{
    struct prompt *prompt = calloc(1, sizeof *prompt);

    if (!prompt)
        return NULL;
    prompt->options = *options;
    prompt->arena = pl_arena_create(0);
    if (!prompt->arena) {
        free(prompt);
        return NULL;
    }
    pl_mutex_init(&prompt->lock);
    pl_buf_init(&prompt->input, LINE_BYTES);
    return prompt;
}

void prompt_destroy(struct prompt **ret_prompt)
{
    struct prompt *prompt = *ret_prompt;

    if (!prompt)
        return;
    pl_buf_finish(&prompt->input);
    pl_arena_destroy(&prompt->arena);
    pl_mutex_finish(&prompt->lock);
    free(prompt);
    *ret_prompt = NULL;
}

void prompt_look(struct prompt *prompt)
{
    prompt->look = true;
}

void prompt_event(struct prompt *prompt, const struct bus_event *event)
{
    if (pl_str_is(event->type, "step.waiting") || pl_str_is(event->type, "run.waiting") ||
        (prompt->path.len && pl_str_eq(event->path, prompt->path)))
        prompt->look = true;
}

static bool is_sending(struct prompt *prompt)
{
    bool sending;

    pl_mutex_lock(&prompt->lock);
    sending = prompt->sending;
    pl_mutex_unlock(&prompt->lock);
    return sending;
}

bool prompt_asks(const struct prompt *prompt)
{
    return prompt->shown;
}

bool prompt_wants(const struct prompt *prompt)
{
    return prompt->look || prompt->path.len > 0;
}

bool prompt_is_stuck(const struct prompt *prompt)
{
    return prompt->stuck;
}

int prompt_fd(const struct prompt *prompt)
{
    return prompt->shown && !prompt->ended ? STDIN_FILENO : -1;
}

/* ---- texts ---- */

/* A member as text; a value that is no string as JSON. */
static void put_value(struct prompt *prompt, struct pl_str value)
{
    struct pl_str text =
        json_type(value) == JSON_STRING ? json_decode_string_arena(value, prompt->arena) : value;
    const char *copy = pl_arena_printf(prompt->arena, "%.*s", PL_STR_ARG(text));

    cli_put_plain(stderr, copy ? copy : "");
}

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value;

    if (object.len && json_get(object, pl_str(key), &value) && json_type(value) != JSON_NULL)
        return value;
    return (struct pl_str){0};
}

/* The word under "type" of the schema, "" when it says none or several. */
static struct pl_str wanted_type(const struct prompt *prompt)
{
    struct pl_str type = member(member(prompt->question, "schema"), "type");

    return type.len > 2 && json_type(type) == JSON_STRING ? pl_str_n(type.ptr + 1, type.len - 2)
                                                          : (struct pl_str){0};
}

static void put_hint(struct prompt *prompt)
{
    struct pl_str schema = member(prompt->question, "schema"), type = wanted_type(prompt);

    fputs("  answer", stderr);
    if (pl_str_is(type, "boolean")) {
        fputs(" (yes or no)", stderr);
    } else if (pl_str_is(type, "string") && !member(schema, "enum").len) {
        fputs(" (text)", stderr);
    } else if (member(schema, "enum").len) {
        fputs(" (one of ", stderr);
        put_value(prompt, member(schema, "enum"));
        fputs(")", stderr);
    } else if (schema.len) {
        fputs(" (JSON that fits ", stderr);
        put_value(prompt, schema);
        fputs(")", stderr);
    }
    fputs(isatty(STDIN_FILENO) ? "; /reject WHY says no\n> " : ":\n", stderr);
    fflush(stderr);
}

static void show(struct prompt *prompt)
{
    struct pl_str data = member(prompt->question, "data");

    fprintf(stderr, "? %.*s", PL_STR_ARG(prompt->path));
    fputs(": ", stderr);
    put_value(prompt, member(prompt->question, "ask"));
    fputc('\n', stderr);
    if (data.len) {
        fputs("  ", stderr);
        put_value(prompt, data);
        fputc('\n', stderr);
    }
    put_hint(prompt);
    prompt->shown = true;
}

/* ---- which step ---- */

static void forget(struct prompt *prompt)
{
    prompt->path = prompt->question = (struct pl_str){0};
    prompt->shown = false;
}

/* --answer PATH=VALUE for the step, not used yet; NULL: none. */
static const char *given_for(struct prompt *prompt, struct pl_str path, unsigned *ret_index)
{
    const struct cli_values *answers = prompt->options.answers;

    for (unsigned i = 0; i < answers->count; i++) {
        const char *word = answers->values[i];

        if (!prompt->used[i] && strncmp(word, path.ptr, path.len) == 0 && word[path.len] == '=') {
            *ret_index = i;
            return word + path.len + 1;
        }
    }
    return NULL;
}

/* The first of the list, but one that --answer knows comes before. */
static void choose(struct prompt *prompt, struct pl_str data)
{
    struct pl_str was = prompt->path, chosen = {0}, path, waiting;
    bool given = false, kept = false;
    struct json_iter it;
    unsigned index;

    prompt->expires = true;
    for (json_iter_init(&it, data); json_iter_next(&it);) {
        if (!json_get(it.value, PL_STR("path"), &path) ||
            !json_get(it.value, PL_STR("waiting"), &waiting))
            continue;
        path = json_decode_string_arena(path, prompt->arena);
        if (!member(waiting, "expires_at").len)
            prompt->expires = false;
        if (!path.len || given || kept)
            continue;
        given = given_for(prompt, path, &index) != NULL;
        kept = !given && was.len && pl_str_eq(was, path);
        if (given || kept || !chosen.len) {
            chosen = path;
            prompt->question = pl_arena_str(prompt->arena, waiting);
        }
    }
    prompt->shown = prompt->shown && kept;
    prompt->path = chosen;
    if (!chosen.len)
        forget(prompt);
}

static void read_list(struct prompt *prompt)
{
    struct engine_step_filter filter = {.status = PL_STR("waiting")};
    struct pl_str data;
    struct pl_err err = {0};
    struct pl_buf page;

    prompt->look = false;
    if (!prompt->shown && !prompt->path.len)
        pl_arena_reset(prompt->arena);
    pl_buf_init(&page, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    if (engine_write_steps(prompt->options.engine, prompt->options.tenant,
                           pl_str(prompt->options.run_id), &filter, LIST_STEPS, &page,
                           &err) == PL_OK &&
        json_get(pl_buf_view(&page), PL_STR("data"), &data))
        choose(prompt, data);
    pl_buf_finish(&page);
}

/* ---- what is said ---- */

static void sent(void *arg, enum pl_code code, const struct pl_err *err)
{
    struct prompt *prompt = arg;

    pl_mutex_lock(&prompt->lock);
    prompt->told = true;
    if (code != PL_OK)
        prompt->err = *err;
    pl_mutex_unlock(&prompt->lock);
    prompt->options.ring(prompt->options.arg);
}

static void send(struct prompt *prompt, struct engine_answer *answer)
{
    pl_mutex_lock(&prompt->lock);
    prompt->sending = true;
    prompt->told = false;
    prompt->err = (struct pl_err){0};
    pl_mutex_unlock(&prompt->lock);
    engine_send_answer(prompt->options.engine, answer);
}

static struct pl_str trimmed(struct pl_str text)
{
    while (text.len && memchr(" \t\r\n", text.ptr[0], 4))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && memchr(" \t\r\n", text.ptr[text.len - 1], 4))
        text.len--;
    return text;
}

static struct pl_str as_string(struct prompt *prompt, struct pl_str text)
{
    struct pl_buf buf;
    struct pl_str json;

    pl_buf_init(&buf, text.len * 6 + 2);
    json_write_string(&buf, text);
    json =
        pl_buf_failed(&buf) ? (struct pl_str){0} : pl_arena_str(prompt->arena, pl_buf_view(&buf));
    pl_buf_finish(&buf);
    return json;
}

static struct pl_str as_boolean(struct pl_str text)
{
    if (pl_str_is(text, "yes") || pl_str_is(text, "y") || pl_str_is(text, "Y"))
        return PL_STR("true");
    if (pl_str_is(text, "no") || pl_str_is(text, "n") || pl_str_is(text, "N"))
        return PL_STR("false");
    return (struct pl_str){0};
}

/* What the line may mean, the likeliest first. */
static size_t meanings(struct prompt *prompt, struct pl_str line, struct pl_str out[CANDIDATES])
{
    bool text = pl_str_is(wanted_type(prompt), "string");
    struct pl_str boolean = as_boolean(line);
    size_t count = 0;

    if (text)
        out[count++] = as_string(prompt, line);
    if (json_check(line, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK)
        out[count++] = pl_arena_str(prompt->arena, line);
    if (boolean.len && pl_str_is(wanted_type(prompt), "boolean"))
        out[count++] = boolean;
    if (!text)
        out[count++] = as_string(prompt, line);
    return count;
}

static void put_problems(const struct doc_problems *problems, const struct pl_err *err)
{
    fputs("  ", stderr);
    cli_put_plain(stderr, err->message);
    fputc('\n', stderr);
    for (size_t i = 0; i < problems->count; i++) {
        fputs("  ", stderr);
        cli_put_plain(stderr, problems->items[i].pointer);
        fputs(problems->items[i].pointer[0] ? ": " : "", stderr);
        cli_put_plain(stderr, problems->items[i].message);
        fputc('\n', stderr);
    }
}

/* Sends the first meaning of the line that fits; else says what is wrong with the first. */
static bool give(struct prompt *prompt, struct pl_str line)
{
    struct engine_answer answer = {
        .tenant = prompt->options.tenant,
        .run_id = pl_str(prompt->options.run_id),
        .path = prompt->path,
        .done = sent,
        .arg = prompt,
    };
    struct pl_str candidates[CANDIDATES];
    struct doc_problems first = {0};
    struct pl_err first_err = {0};
    size_t count;

    if (pl_str_starts(line, PL_STR("/reject"))) {
        answer.reject = trimmed(pl_str_n(line.ptr + 7, line.len - 7));
        send(prompt, &answer);
        return true;
    }
    count = meanings(prompt, line, candidates);
    for (size_t i = 0; i < count; i++) {
        struct doc_problems problems;
        struct pl_err err = {0};

        answer.output = candidates[i];
        doc_problems_init(&problems, prompt->arena);
        if (answer.output.len && engine_check_answer(prompt->options.engine, &answer, prompt->arena,
                                                     &problems, &err) == PL_OK) {
            send(prompt, &answer);
            return true;
        }
        if (i == 0) {
            first = problems;
            first_err = err;
        }
    }
    put_problems(&first, &first_err);
    return false;
}

/* ---- standard input ---- */

/* Reads what is there without waiting. */
static void read_input(struct prompt *prompt)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char piece[4096];
    ssize_t got;

    if (prompt->ended ||
        memchr(prompt->input.len ? prompt->input.data : "", '\n', prompt->input.len))
        return;
    while (poll(&fd, 1, 0) > 0) {
        got = read(STDIN_FILENO, piece, sizeof piece);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        if (got <= 0) {
            prompt->ended = true;
            return;
        }
        pl_buf_str(&prompt->input, pl_str_n(piece, (size_t)got));
        if (pl_buf_failed(&prompt->input)) {
            prompt->ended = true; /* a line that never ends */
            return;
        }
        if (memchr(piece, '\n', (size_t)got))
            return;
    }
}

/* Takes a line off what was read; the last one needs no end. */
static bool take_line(struct prompt *prompt, struct pl_str *ret_line)
{
    struct pl_str all = pl_buf_view(&prompt->input), rest;
    const char *end = all.len ? memchr(all.ptr, '\n', all.len) : NULL;
    struct pl_buf left;

    if (!end && (!prompt->ended || all.len == 0))
        return false;
    *ret_line = trimmed(
        pl_arena_str(prompt->arena, pl_str_n(all.ptr, end ? (size_t)(end - all.ptr) : all.len)));
    rest = end ? pl_str_n(end + 1, all.len - (size_t)(end - all.ptr) - 1) : (struct pl_str){0};
    pl_buf_init(&left, LINE_BYTES);
    pl_buf_str(&left, rest);
    pl_buf_finish(&prompt->input);
    prompt->input = left;
    return true;
}

/* ---- turns ---- */

/* An answer has come back: the next question, or this one again. */
static void take_told(struct prompt *prompt)
{
    struct pl_err err;
    bool told;

    pl_mutex_lock(&prompt->lock);
    told = prompt->sending && prompt->told;
    err = prompt->err;
    if (told)
        prompt->sending = prompt->told = false;
    pl_mutex_unlock(&prompt->lock);
    if (!told)
        return;
    if (err.code != PL_OK) {
        fputs("  ", stderr);
        cli_put_plain(stderr, err.message);
        fputc('\n', stderr);
    }
    forget(prompt);
    prompt->look = true;
}

static bool run_waits(struct prompt *prompt)
{
    struct pl_str status;
    struct pl_err err = {0};
    struct pl_buf run;
    bool waits;

    pl_buf_init(&run, (size_t)4 * PL_LIMIT_RUN_OUTPUT_BYTES);
    waits = engine_write_run(prompt->options.engine, prompt->options.tenant,
                             pl_str(prompt->options.run_id), false, &run, &err) == PL_OK &&
            json_get(pl_buf_view(&run), PL_STR("status"), &status) &&
            pl_str_is(status, "\"waiting\"");
    pl_buf_finish(&run);
    return waits;
}

/* Nobody will say more. What ends by itself, and steps that still run, are waited for. */
static void check_stuck(struct prompt *prompt)
{
    if (!run_waits(prompt))
        return;
    if (prompt->expires) {
        if (!prompt->waits_told)
            fputs("  standard input has ended: this waits until the question times out; Ctrl-C "
                  "stops, and --resume goes on\n",
                  stderr);
        prompt->waits_told = true;
        return;
    }
    prompt->stuck = true;
    cli_usage_error("step %.*s waits for an answer, and standard input has none: run it at a "
                    "terminal, or give --answer '%.*s=...'",
                    PL_STR_ARG(prompt->path), PL_STR_ARG(prompt->path));
}

void prompt_tell_unused(const struct prompt *prompt, unsigned given)
{
    const struct cli_values *answers = prompt->options.answers;

    for (unsigned i = 0; i < given && i < answers->count; i++)
        if (!prompt->used[i])
            cli_usage_error("--answer '%.*s': no step at this path has asked",
                            (int)strcspn(answers->values[i], "="), answers->values[i]);
}

/* Answers the question at hand; false: there is nothing to answer it with now. */
static bool answer_one(struct prompt *prompt)
{
    const char *given;
    struct pl_str line;
    unsigned index;

    given = given_for(prompt, prompt->path, &index);
    if (given) {
        prompt->used[index] = true;
        (void)give(prompt, trimmed(pl_str(given)));
        return true;
    }
    if (!prompt->shown && !prompt->ended)
        show(prompt);
    read_input(prompt);
    if (!take_line(prompt, &line)) {
        if (prompt->ended)
            check_stuck(prompt);
        return false;
    }
    if (!line.len || !give(prompt, line))
        put_hint(prompt);
    return true;
}

void prompt_work(struct prompt *prompt)
{
    do {
        take_told(prompt);
        if (is_sending(prompt))
            return;
        if (prompt->look)
            read_list(prompt);
    } while (prompt->path.len && !prompt->stuck && answer_one(prompt));
}
