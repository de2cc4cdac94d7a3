/* jq_source.c - writes the program around the expressions, compiles it, shortens jq's messages.
 * Called by jq_worker.c, in worker processes. */
#include "service/expr/jq_source.h"

#include "base/buf.h"
#include "service/expr/jq_wire.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SOURCE_MAX = 64 << 20, /* bytes of a program */
    STRICT_BRACKETS = 32,
};

static const char bind[] =
    ".input as $input | .steps as $steps | .state as $state | .run as $run |";

/* An expression's own brackets are balanced (jq_words_check), so it cannot leave these. Its line
 * ends here: the last thing in it may be a comment. */
static void put_bracketed(struct pl_buf *out, struct pl_str text, bool strict)
{
    int brackets = strict ? STRICT_BRACKETS : 1;

    for (int i = 0; i < brackets; i++)
        pl_buf_char(out, '(');
    pl_buf_str(out, text);
    pl_buf_char(out, '\n');
    for (int i = 0; i < brackets; i++)
        pl_buf_char(out, ')');
}

static void put_function(struct pl_buf *out, size_t number, const struct jq_source *source,
                         bool strict)
{
    pl_buf_printf(out, "def __e%zu: ", number);
    if (source->fold)
        pl_buf_text(out, "(if .has_left then [.left] + .writes else .writes end) | "
                         "reduce .[1:][] as $__w (.[0]; {left: ., right: $__w} | [limit(2; ");
    put_bracketed(out, source->text, strict);
    if (source->fold)
        pl_buf_text(out, ")] | if length == 1 then .[0] "
                         "elif length == 0 then error(\"it gives no value for a write\") "
                         "else error(\"it gives more than one value for a write\") end)");
    pl_buf_text(out, ";\n");
}

/* Calls function number $__i, which is in [first, end), by halving. */
static void put_dispatch(struct pl_buf *out, size_t first, size_t end)
{
    size_t middle = first + (end - first) / 2;

    if (end - first == 1) {
        pl_buf_printf(out, "__e%zu", first);
        return;
    }
    pl_buf_printf(out, "if $__i < %zu then ", middle);
    put_dispatch(out, first, middle);
    pl_buf_text(out, " else ");
    put_dispatch(out, middle, end);
    pl_buf_text(out, " end");
}

static void ignore_message(void *arg, jv message)
{
    (void)arg;
    jv_free(message);
}

/* Keeps the first of several. */
static void keep_message(void *arg, jv message)
{
    jv *kept = arg;

    if (!jv_is_valid(*kept) && jv_get_kind(message) == JV_KIND_STRING)
        *kept = message;
    else
        jv_free(message);
}

static void out_of_memory(void *arg)
{
    (void)arg;
    _exit(JQ_EXIT_MEMORY); /* jq would abort */
}

static jq_state *compile_text(const struct pl_buf *text, jq_msg_cb on_message, void *arg)
{
    jq_state *jq = pl_buf_failed(text) ? NULL : jq_init();

    if (!jq)
        return NULL;
    jq_set_nomem_handler(jq, out_of_memory, NULL); /* jq_init forgets it, for all of them */
    jq_set_error_cb(jq, on_message, arg);
    if (!jq_compile(jq, text->data)) {
        jq_teardown(&jq);
        return NULL;
    }
    jq_set_error_cb(jq, ignore_message, NULL);
    return jq;
}

jq_state *jq_source_compile(const struct jq_source *sources, size_t count, bool strict)
{
    struct pl_buf text;
    jq_state *jq;

    pl_buf_init(&text, SOURCE_MAX);
    pl_buf_printf(&text, ".[0] as $__i | .[1] | %s\n", bind);
    for (size_t i = 0; i < count; i++)
        put_function(&text, i, &sources[i], strict);
    put_dispatch(&text, 0, count);
    jq = compile_text(&text, ignore_message, NULL);
    pl_buf_finish(&text);
    return jq;
}

/* ---- messages ---- */

static struct pl_str cut_before(struct pl_str text, const char *mark)
{
    const char *at = memmem(text.ptr, text.len, mark, strlen(mark));

    return at ? pl_str_n(text.ptr, (size_t)(at - text.ptr)) : text;
}

/* The names of jq's grammar in words. */
static const char *token_word(struct pl_str token)
{
    static const struct {
        const char *token, *word;
    } words[] = {
        {"$end", "end"},
        {"end of file", "end"},
        {"IDENT", "name"},
        {"FIELD", "field"},
        {"LITERAL", "number"},
        {"INVALID_CHARACTER", "character"},
        {"FORMAT", "format"},
        {"QQSTRING_START", "string"},
        {"BINDING", "variable"},
        {"invalid character", "character"},
        {"\"invalid character\"", "character"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(words); i++)
        if (pl_str_is(token, words[i].token))
            return words[i].word;
    return NULL;
}

/* "jq: error: syntax error, unexpected $end, expecting ... at <top-level>, line 1:\n..." becomes
 * "syntax error, unexpected end". */
static void shorten(struct pl_str message, struct pl_err *err)
{
    static const char unexpected[] = "unexpected ";
    const struct pl_str prefix = PL_STR("jq: error: ");
    const char *at, *word;

    if (pl_str_starts(message, prefix))
        message = pl_str_n(message.ptr + prefix.len, message.len - prefix.len);
    message = cut_before(message, "\n");
    message = cut_before(message, " at <");
    message = cut_before(message, " (Unix shell");
    message = cut_before(message, " (while parsing");
    message = cut_before(message, " at line ");
    message = cut_before(message, ", expecting ");
    at = memmem(message.ptr, message.len, unexpected, sizeof unexpected - 1);
    if (at) {
        const char *token = at + sizeof unexpected - 1;

        word = token_word(pl_str_n(token, message.len - (size_t)(token - message.ptr)));
        if (word) {
            pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "%.*s%s", (int)(token - message.ptr),
                       message.ptr, word);
            return;
        }
    }
    if (pl_str_is(message, "memory exhausted")) /* the parser's stack */
        message = PL_STR("it is nested too deeply, or too long");
    pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "%.*s", PL_STR_ARG(message));
}

/* Compiles `text` for its message; false when it compiles. */
static bool failing_message(const struct pl_buf *text, struct pl_err *err)
{
    jv message = jv_invalid();
    jq_state *jq = compile_text(text, keep_message, &message);
    bool failed = jq == NULL;

    if (!failed) {
        jq_teardown(&jq);
    } else if (jv_is_valid(message)) {
        struct pl_str said = {.ptr = jv_string_value(message),
                              .len = (size_t)jv_string_length_bytes(jv_copy(message))};

        shorten(said, err);
    } else {
        pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "jq cannot compile it");
    }
    jv_free(message);
    return failed;
}

/* First without brackets around it, so that what jq misses is not ours. */
void jq_source_explain(const struct jq_source *source, struct pl_err *err)
{
    struct pl_buf text;

    pl_buf_init(&text, SOURCE_MAX);
    pl_buf_printf(&text, "%s %.*s", bind, PL_STR_ARG(source->text));
    if (!failing_message(&text, err))
        pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "it is no single jq expression");
    pl_buf_finish(&text);
}
