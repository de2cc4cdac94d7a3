/* run_input.c - see run_input.h. */
#include "api/cli/run_input.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "service/config/config.h"

#include <stdlib.h>

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);

    return n >= k && strcmp(text + n - k, end) == 0;
}

static enum pl_code read_file(struct pl_arena *arena, const char *path, struct pl_str *ret_text,
                              struct pl_err *err)
{
    return config_read_file(arena, strcmp(path, "-") == 0 ? "/dev/stdin" : path,
                            PL_LIMIT_RUN_OUTPUT_BYTES, ret_text, err);
}

/* Without JSON's white space around it: a file ends with a newline. */
static struct pl_str trim(struct pl_str text)
{
    static const char blanks[] = " \t\r\n";

    while (text.len && memchr(blanks, text.ptr[text.len - 1], sizeof blanks - 1))
        text.len--;
    while (text.len && memchr(blanks, text.ptr[0], sizeof blanks - 1))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    return text;
}

/* Text becomes a JSON string: what is not UTF-8 (a binary file, an old encoding) would lose
 * characters on the way. */
static enum pl_code check_text(struct pl_str text, const char *what, struct pl_err *err)
{
    for (size_t at = 0; at < text.len;) {
        unsigned length = pl_utf8_length(text.ptr + at, text.len - at);

        if (length == 0 || text.ptr[at] == '\0')
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "%s is not text in UTF-8 (at byte %zu)",
                              what, at);
        at += length;
    }
    return PL_OK;
}

static enum pl_code check_json(struct pl_str text, const char *what, struct pl_err *err)
{
    enum pl_code code = json_check(text, PL_LIMIT_JSON_DEPTH, NULL, err);

    return code == PL_OK ? PL_OK : pl_err_prefix(err, "%s", what);
}

/* --input: JSON, @FILE or - */
static enum pl_code read_whole(struct pl_arena *arena, const char *word, struct pl_str *ret_json,
                               struct pl_err *err)
{
    enum pl_code code = PL_OK;

    *ret_json = pl_str(word);
    if (word[0] == '@' || strcmp(word, "-") == 0)
        code = read_file(arena, word[0] == '@' ? word + 1 : word, ret_json, err);
    return code == PL_OK ? check_json(*ret_json, "--input", err) : code;
}

/* A .jsonl file as a list of its lines' values; empty lines are passed over. */
static enum pl_code write_lines(struct pl_str text, const char *path, struct pl_buf *out,
                                struct pl_err *err)
{
    size_t number = 0;

    json_array_begin(out);
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct pl_str line = pl_str_n(text.ptr, end ? (size_t)(end - text.ptr) : text.len);

        text = pl_str_n(text.ptr + line.len + (end != NULL), text.len - line.len - (end != NULL));
        number++;
        line = trim(line);
        if (line.len == 0)
            continue;
        if (json_check(line, PL_LIMIT_JSON_DEPTH, NULL, err) != PL_OK)
            return pl_err_prefix(err, "%s:%zu", path, number);
        json_comma(out);
        pl_buf_str(out, line);
    }
    json_array_end(out);
    return PL_OK;
}

static enum pl_code write_file(struct pl_arena *arena, const char *path, struct pl_buf *out,
                               struct pl_err *err)
{
    struct pl_str text;
    enum pl_code code = read_file(arena, path, &text, err);

    if (code != PL_OK)
        return code;
    if (ends_with(path, ".jsonl"))
        return write_lines(text, path, out, err);
    if (!ends_with(path, ".json")) {
        code = check_text(text, path, err);
        if (code == PL_OK)
            json_write_string(out, text);
        return code;
    }
    code = check_json(text, path, err);
    if (code == PL_OK)
        pl_buf_str(out, trim(text));
    return code;
}

/* A value as the schema's type reads it; without a declared type, JSON when it is JSON, else a
 * string. */
static enum pl_code write_typed(const struct workflow *workflow, struct pl_str key,
                                struct pl_str text, struct pl_buf *out, struct pl_err *err)
{
    const char *type =
        workflow->input_schema ? schema_property_type(workflow->input_schema, key) : NULL;
    bool json = json_check(text, PL_LIMIT_JSON_DEPTH, NULL, NULL) == PL_OK;

    if (type && strcmp(type, "string") != 0 && !json)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "-i %.*s=%.*s: the schema wants %s, and this is not JSON",
                          PL_STR_ARG(key), PL_STR_ARG(text), type);
    if (json && (!type || strcmp(type, "string") != 0))
        pl_buf_str(out, trim(text));
    else
        json_write_string(out, text);
    return PL_OK;
}

static enum pl_code write_member(struct pl_arena *arena, const struct workflow *workflow,
                                 const char *word, struct pl_buf *out, struct pl_err *err)
{
    const char *equals = strchr(word, '=');
    struct pl_str key;

    if (!equals || equals == word)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "-i %s: write KEY=VALUE or KEY=@FILE",
                          word);
    if (check_text(pl_str(word), "-i", err) != PL_OK)
        return err->code;
    key = pl_str_n(word, (size_t)(equals - word));
    json_comma(out);
    json_write_string(out, key);
    pl_buf_char(out, ':');
    if (equals[1] == '@')
        return write_file(arena, equals + 2, out, err);
    return write_typed(workflow, key, pl_str(equals + 1), out, err);
}

/* Is the key given (again) by an -i at or behind `from`? Then that one wins. */
static bool set_later(const struct cli_values *sets, unsigned from, struct pl_str key)
{
    for (unsigned i = from; i < sets->count; i++)
        if (pl_str_starts(pl_str(sets->values[i]), key) && sets->values[i][key.len] == '=')
            return true;
    return false;
}

static enum pl_code write_merged(const struct cli_values *sets, const struct workflow *workflow,
                                 struct pl_arena *arena, struct pl_str base, struct pl_buf *out,
                                 struct pl_err *err)
{
    struct json_iter it;
    enum pl_code code = PL_OK;

    json_object_begin(out);
    for (json_iter_init(&it, base); json_iter_next(&it);) {
        if (set_later(sets, 0, json_decode_string_arena(it.key, arena)))
            continue;
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        pl_buf_str(out, it.value);
    }
    for (unsigned i = 0; i < sets->count && code == PL_OK; i++) {
        const char *equals = strchr(sets->values[i], '=');

        if (equals &&
            set_later(sets, i + 1, pl_str_n(sets->values[i], (size_t)(equals - sets->values[i]))))
            continue;
        code = write_member(arena, workflow, sets->values[i], out, err);
    }
    json_object_end(out);
    return code;
}

enum pl_code run_input_read(const struct cli_args *args, const struct workflow *workflow,
                            struct pl_arena *arena, struct pl_str *ret_json, struct pl_err *err)
{
    const struct cli_values *sets = cli_get_all(args, "set");
    const char *whole = cli_get(args, "input");
    struct pl_str base = PL_STR("{}");
    struct pl_buf buf;
    enum pl_code code = whole ? read_whole(arena, whole, &base, err) : PL_OK;

    if (code != PL_OK || sets->count == 0) {
        *ret_json = base;
        return code;
    }
    if (json_type(base) != JSON_OBJECT)
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                          "--input is no object, so -i cannot add members to it");
    pl_buf_init(&buf, PL_LIMIT_RUN_OUTPUT_BYTES);
    code = write_merged(sets, workflow, arena, base, &buf, err);
    if (code == PL_OK) {
        *ret_json = pl_arena_str(arena, pl_buf_view(&buf));
        if (pl_buf_failed(&buf) || pl_arena_failed(arena))
            code = pl_err_set(err, buf.too_large ? PL_ERR_TOO_LARGE : PL_ERR_NO_MEMORY,
                              "the input is too large");
    }
    pl_buf_finish(&buf);
    return code;
}

/* ---- the budget ---- */

/* One of the two; an amount is written once, and begins with a digit or a point. */
static bool read_amount(const char *text, bool tokens, struct budget *budget, char **ret_end)
{
    bool again = tokens ? budget->tokens > 0 : budget->cost_usd > 0;

    if (again || !(*text == '.' || (*text >= '0' && *text <= '9')))
        return false;
    if (tokens) {
        budget->tokens = strtoll(text, ret_end, 10); /* out of range: the largest, which is over */
        return *ret_end != text && budget->tokens > 0 && budget->tokens <= BUDGET_TOKENS_MAX;
    }
    budget->cost_usd = strtod(text, ret_end);
    return *ret_end != text && budget->cost_usd > 0 && budget->cost_usd <= BUDGET_COST_MAX;
}

bool run_input_budget(const char *text, struct budget *ret_budget)
{
    struct budget budget = {0};

    for (;;) {
        bool cost = strncmp(text, "cost_usd=", 9) == 0, tokens = strncmp(text, "tokens=", 7) == 0;
        char *end;

        if (!cost && !tokens) /* the 5 of cost_usd=1,5 too */
            return false;
        text += cost ? 9 : 7;
        if (!read_amount(text, tokens, &budget, &end) || (*end && *end != ','))
            return false;
        if (!*end)
            break;
        text = end + 1;
    }
    *ret_budget = budget;
    return true;
}
