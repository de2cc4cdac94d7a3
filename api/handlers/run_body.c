/* run_body.c - reads the body that starts a run by one table of keys. See run_body.h. */
#include "api/handlers/run_body.h"

#include "base/json.h"
#include "base/limits.h"

#include <sodium.h>

enum { METADATA_KEYS_MAX = 64 };

struct reader {
    struct pl_arena *arena;
    struct pl_str text;
    bool workflow;
    struct run_body *body;
    struct doc_problems *problems;
    bool out_of_memory; /* also when the arena still has some */
};

/* One member: its key decoded, and where the key stands. */
struct member {
    struct pl_str key, value;
    const char *at;
};

/* ---- problems ---- */

/* Line and column of a byte of the text, from 1. */
static void locate(struct pl_str text, const char *at, unsigned *ret_line, unsigned *ret_column)
{
    const char *line = text.ptr;

    *ret_line = 1;
    for (const char *p = text.ptr; p < at; p++)
        if (*p == '\n') {
            (*ret_line)++;
            line = p + 1;
        }
    *ret_column = (unsigned)(at - line) + 1;
}

/* A key as a part of a JSON Pointer (RFC 6901). */
static const char *pointer_part(struct pl_arena *arena, struct pl_str key)
{
    struct pl_buf out;
    const char *part;

    pl_buf_init(&out, key.len * 2 + 1);
    for (size_t i = 0; i < key.len; i++) {
        if (key.ptr[i] == '~')
            pl_buf_text(&out, "~0");
        else if (key.ptr[i] == '/')
            pl_buf_text(&out, "~1");
        else
            pl_buf_char(&out, key.ptr[i]);
    }
    part = pl_arena_printf(arena, "%.*s", PL_STR_ARG(pl_buf_view(&out)));
    pl_buf_finish(&out);
    return part ? part : "";
}

static void problem(struct reader *reader, const struct member *member, const char *message)
{
    const char *pointer =
        pl_arena_printf(reader->arena, "/%s", pointer_part(reader->arena, member->key));
    unsigned line, column;

    locate(reader->text, member->at, &line, &column);
    doc_problem_add(reader->problems, line, column, pointer ? pointer : "", "%s", message);
}

static const char *type_words(struct pl_str json)
{
    static const char *const words[] = {
        [JSON_NULL] = "null",        [JSON_FALSE] = "a boolean", [JSON_TRUE] = "a boolean",
        [JSON_NUMBER] = "a number",  [JSON_STRING] = "a string", [JSON_ARRAY] = "a list",
        [JSON_OBJECT] = "an object",
    };

    return words[json_type(json)];
}

static void wrong_type(struct reader *reader, const struct member *member, const char *wanted)
{
    const char *message =
        pl_arena_printf(reader->arena, "%.*s must be %s, not %s", PL_STR_ARG(member->key), wanted,
                        type_words(member->value));

    problem(reader, member, message ? message : wanted);
}

/* ---- one function a key ---- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool run_body_is_name(struct pl_str text)
{
    if (text.len == 0 || text.len > PL_LIMIT_NAME || text.ptr[0] == '_' || text.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!is_name_char(text.ptr[i]))
            return false;
    return true;
}

bool run_body_is_reference(struct pl_str text)
{
    const char *at = text.len ? memchr(text.ptr, '@', text.len) : NULL;
    size_t name = at ? (size_t)(at - text.ptr) : text.len;
    struct pl_str version = at ? pl_str_n(at + 1, text.len - name - 1) : PL_STR("1");

    if (!run_body_is_name(pl_str_n(text.ptr, name)))
        return false;
    if (version.len == 0 || version.len > 18 || version.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < version.len; i++)
        if (version.ptr[i] < '0' || version.ptr[i] > '9')
            return false;
    return true;
}

static void read_workflow(struct reader *reader, const struct member *member)
{
    struct run_body *body = reader->body;
    struct pl_str name;

    if (!reader->workflow) {
        problem(reader, member, "the path names the workflow; leave the key out");
    } else if (json_type(member->value) == JSON_OBJECT) {
        body->document = member->value;
        locate(reader->text, member->value.ptr, &body->line, &body->column);
    } else if (json_type(member->value) == JSON_STRING) {
        name = json_decode_string_arena(member->value, reader->arena);
        if (run_body_is_reference(name))
            body->reference = name;
        else
            problem(reader, member,
                    "no name of a stored workflow: write name or name@version, or give the "
                    "workflow itself as an object");
    } else {
        wrong_type(reader, member, "a name, name@version, or an object");
    }
}

static void read_input(struct reader *reader, const struct member *member)
{
    reader->body->input = member->value;
}

static bool read_flag(struct reader *reader, const struct member *member)
{
    enum json_type type = json_type(member->value);

    if (type != JSON_TRUE && type != JSON_FALSE && type != JSON_NULL)
        wrong_type(reader, member, "true or false");
    return type == JSON_TRUE;
}

static void read_stream(struct reader *reader, const struct member *member)
{
    reader->body->stream = read_flag(reader, member);
}

static void read_background(struct reader *reader, const struct member *member)
{
    reader->body->background = read_flag(reader, member);
}

/* The text of an optional string; false when it is not there or refused. */
static bool read_text(struct reader *reader, const struct member *member, struct pl_str *ret_text)
{
    if (json_type(member->value) == JSON_NULL)
        return false;
    if (json_type(member->value) != JSON_STRING) {
        wrong_type(reader, member, "a string");
        return false;
    }
    *ret_text = json_decode_string_arena(member->value, reader->arena);
    return true;
}

static void read_thread(struct reader *reader, const struct member *member)
{
    struct pl_str thread;

    if (!read_text(reader, member, &thread))
        return;
    for (size_t i = 0; i < thread.len; i++)
        if ((unsigned char)thread.ptr[i] < ' ' || thread.ptr[i] == 0x7f) {
            problem(reader, member, "a thread's id has no control characters");
            return;
        }
    if (thread.len == 0 || thread.len > RUN_BODY_THREAD_MAX)
        problem(reader, member, "a thread's id has 1 to 256 bytes");
    else
        reader->body->thread = thread;
}

static void read_metadata_member(struct reader *reader, const struct member *member,
                                 struct pl_str key_token, struct pl_str value)
{
    struct pl_str key = json_decode_string_arena(key_token, reader->arena);
    enum json_type type = json_type(value);
    const char *pointer;
    unsigned line, column;

    if (type == JSON_STRING || type == JSON_NUMBER || type == JSON_TRUE || type == JSON_FALSE)
        return;
    pointer = pl_arena_printf(reader->arena, "/%.*s/%s", PL_STR_ARG(member->key),
                              pointer_part(reader->arena, key));
    locate(reader->text, key_token.ptr, &line, &column);
    doc_problem_add(reader->problems, line, column, pointer ? pointer : "",
                    "a member of metadata must be a string, a number or a boolean, not %s",
                    type_words(value));
}

static void read_metadata(struct reader *reader, const struct member *member)
{
    struct json_iter it;
    struct pl_buf compact;

    if (json_type(member->value) == JSON_NULL)
        return;
    if (json_type(member->value) != JSON_OBJECT) {
        wrong_type(reader, member, "an object of strings, numbers and booleans");
        return;
    }
    if (json_count(member->value) > METADATA_KEYS_MAX)
        problem(reader, member, "metadata has at most 64 members");
    for (json_iter_init(&it, member->value); json_iter_next(&it);)
        read_metadata_member(reader, member, it.key, it.value);
    pl_buf_init(&compact, RUN_BODY_METADATA_MAX);
    json_write_compact(&compact, member->value);
    if (compact.too_large)
        problem(reader, member, "metadata is larger than 16 KiB");
    else if (pl_buf_failed(&compact))
        reader->out_of_memory = true;
    else
        reader->body->metadata = pl_arena_str(reader->arena, pl_buf_view(&compact));
    pl_buf_finish(&compact);
}

static void read_timeout(struct reader *reader, const struct member *member)
{
    enum json_type type = json_type(member->value);
    struct pl_str text = member->value;
    pl_ms timeout;

    if (type == JSON_NULL)
        return;
    if (type == JSON_STRING)
        text = json_decode_string_arena(member->value, reader->arena);
    if ((type != JSON_STRING && type != JSON_NUMBER) || !pl_duration_parse(text, &timeout) ||
        timeout <= 0)
        problem(reader, member,
                "timeout must be a duration over zero such as 250ms, 30s, 5m or 1h, or a number of "
                "seconds");
    else
        reader->body->timeout = timeout;
}

static void read_budget(struct reader *reader, const struct member *member)
{
    struct budget *budget = &reader->body->budget;
    struct json_iter it;
    bool ok = json_type(member->value) == JSON_OBJECT && json_count(member->value) > 0;

    if (json_type(member->value) == JSON_NULL)
        return;
    for (json_iter_init(&it, member->value); ok && json_iter_next(&it);) {
        bool tokens = pl_str_is(it.key, "\"tokens\""), cost = pl_str_is(it.key, "\"cost_usd\"");

        ok = json_type(it.value) == JSON_NUMBER && (tokens || cost);
        if (ok && tokens)
            ok = json_int(it.value, &budget->tokens) && budget->tokens > 0 &&
                 budget->tokens <= BUDGET_TOKENS_MAX;
        else if (ok)
            ok = (budget->cost_usd = json_number(it.value)) > 0 &&
                 budget->cost_usd <= BUDGET_COST_MAX;
    }
    if (!ok)
        problem(reader, member,
                "budget is an object with tokens (a whole number up to 1125899906842624), cost_usd "
                "(up to 1000000000), or both, each over zero, such as {\"tokens\": 20000}");
}

static void read_on_disconnect(struct reader *reader, const struct member *member)
{
    struct pl_str word;

    if (!read_text(reader, member, &word))
        return;
    if (pl_str_is(word, "cancel"))
        reader->body->cancel_on_disconnect = true;
    else if (!pl_str_is(word, "continue"))
        problem(reader, member, "on_disconnect is \"continue\" or \"cancel\"");
}

/* ---- the object ---- */

static const struct {
    const char *key;
    void (*read)(struct reader *reader, const struct member *member); /* NULL: refused */
    bool compared; /* a part of what an idempotency key stands for */
} keys[] = {
    {"workflow", read_workflow, true}, {"input", read_input, true},
    {"stream", read_stream, false},    {"background", read_background, false},
    {"thread", read_thread, true},     {"metadata", read_metadata, true},
    {"timeout", read_timeout, true},   {"on_disconnect", read_on_disconnect, true},
    {"webhook", NULL, true},           {"budget", read_budget, true},
};

static void unknown_key(struct reader *reader, const struct member *member)
{
    const char *names[PL_ARRAY_LEN(keys) + 1], *nearest, *message;
    char shown[DOC_EXCERPT];
    size_t count = 0;

    for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++)
        if (keys[i].read)
            names[count++] = keys[i].key;
    names[count] = NULL;
    nearest = doc_nearest(member->key, names);
    doc_excerpt(member->key, shown);
    if (nearest)
        message =
            pl_arena_printf(reader->arena, "no key '%s' here; did you mean '%s'?", shown, nearest);
    else
        message = pl_arena_printf(reader->arena,
                                  "no key '%s' here; the keys are workflow, input, stream, "
                                  "background, thread, metadata, timeout, budget, on_disconnect",
                                  shown);
    problem(reader, member, message ? message : "unknown key");
}

static void read_member(struct reader *reader, const struct member *member)
{
    const char *message;

    for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++) {
        if (!pl_str_is(member->key, keys[i].key))
            continue;
        if (keys[i].read) {
            keys[i].read(reader, member);
            return;
        }
        message = pl_arena_printf(reader->arena, "'%s' is not supported by this version; remove it",
                                  keys[i].key);
        problem(reader, member, message ? message : "not supported");
        return;
    }
    unknown_key(reader, member);
}

static enum pl_code not_json(struct reader *reader, size_t offset, struct pl_err *err)
{
    struct pl_str text = reader->text;
    unsigned line, column;

    locate(text, text.ptr ? text.ptr + offset : text.ptr, &line, &column);
    doc_problem_add(reader->problems, line, column, "", "%s", err->message);
    return pl_err_prefix(err, "the body");
}

static void read_object(struct reader *reader)
{
    struct json_iter it;

    for (json_iter_init(&it, reader->text); json_iter_next(&it);) {
        struct member member = {
            .key = json_decode_string_arena(it.key, reader->arena),
            .value = it.value,
            .at = it.key.ptr,
        };

        read_member(reader, &member);
    }
}

static bool is_blank(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!memchr(" \t\r\n", text.ptr[i], 4))
            return false;
    return true;
}

enum pl_code run_body_parse(struct pl_arena *arena, struct pl_str text, bool workflow,
                            struct run_body *ret_body, struct doc_problems *problems,
                            struct pl_err *err)
{
    struct reader reader = {arena, text, workflow, ret_body, problems, false};
    size_t offset = 0, before = problems->total;
    enum pl_code code;

    *ret_body = (struct run_body){0};
    if (!workflow && is_blank(text))
        return PL_OK;
    code = json_check(text, PL_LIMIT_JSON_DEPTH, &offset, err);
    if (code == PL_ERR_INVALID_JSON)
        return not_json(&reader, offset, err);
    if (code != PL_OK)
        return code;
    if (json_type(text) != JSON_OBJECT) {
        doc_problem_add(problems, 1, 1, "", "the body must be an object, not %s", type_words(text));
        return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the body must be an object");
    }
    read_object(&reader);
    if (workflow && !json_get(text, PL_STR("workflow"), &(struct pl_str){0}))
        doc_problem_add(problems, 1, 1, "/workflow",
                        "workflow is missing: a name, name@version, or the workflow as an object");
    if (pl_arena_failed(arena) || reader.out_of_memory)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (problems->total == before)
        return PL_OK;
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the body has %zu problem%s",
                      problems->total - before, problems->total - before == 1 ? "" : "s");
}

/* ---- the fingerprint ---- */

bool run_body_fingerprint(struct pl_str text, char out[static RUN_BODY_PRINT])
{
    crypto_hash_sha256_state state;
    unsigned char hash[crypto_hash_sha256_BYTES];
    struct pl_buf compact;
    bool ok = true;

    crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < PL_ARRAY_LEN(keys) && ok; i++) {
        struct pl_str value;

        if (!keys[i].compared || is_blank(text) || !json_get(text, pl_str(keys[i].key), &value))
            continue;
        pl_buf_init(&compact, value.len + 1);
        json_write_compact(&compact, value);
        ok = !pl_buf_failed(&compact);
        /* the NUL behind the key is hashed too: it parts the key from its value */
        crypto_hash_sha256_update(&state, (const unsigned char *)keys[i].key,
                                  strlen(keys[i].key) + 1);
        if (ok)
            crypto_hash_sha256_update(&state, (const unsigned char *)compact.data, compact.len);
        pl_buf_finish(&compact);
    }
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(out, RUN_BODY_PRINT, hash, sizeof hash);
    return ok;
}
