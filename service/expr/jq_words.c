/* jq_words.c - a scanner over jq text with the token rules of jq 1.6 and 1.7: strings with their
 * interpolations, comments, fields, variables, formats, numbers, brackets. Not a parser. Called
 * through jq_words.h.
 *
 * Both versions must be read alike. They differ in comments: 1.7 lets a backslash at the end of one
 * carry it on to the next line, so such a comment is refused. */
#include "service/expr/jq_words.h"

enum { DEPTH_MAX = 200 }; /* brackets in brackets; jq's own parser ends at some thousands */

/* What is open. */
enum opened {
    OPEN_STRING = '"',
    OPEN_PAREN = '(',
    OPEN_LIST = '[',
    OPEN_OBJECT = '{',
    OPEN_IF = 'i'
};

struct scan {
    struct pl_str text;
    size_t at;
    char stack[DEPTH_MAX]; /* enum opened */
    unsigned depth;
    bool key;           /* the next word is a key: behind { or , of an object */
    bool variable;      /* the next word names a variable: behind $ */
    const char *word;   /* the first forbidden word, */
    size_t word_at;     /* and its place */
    const char *broken; /* the first fault of form, a sentence */
    size_t broken_at;
};

static const char *const forbidden_words[] = {
    "env",
    "input",
    "inputs",
    "debug",
    "stderr",
    "halt",
    "halt_error",
    "input_filename",
    "import",
    "include",
    "module",
    "modulemeta",
    "input_line_number",
    "now",
    "localtime",
    "strflocaltime",
    "get_search_list",
    "get_prog_origin",
    "get_jq_origin",
};
static const char *const forbidden_variables[] = {"$ENV", "$__loc__", "$__prog_args", "$ARGS"};

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The byte `ahead` of the scanner's place, NUL behind the end. */
static char peek(const struct scan *scan, size_t ahead)
{
    return scan->at + ahead < scan->text.len ? scan->text.ptr[scan->at + ahead] : '\0';
}

static void broken(struct scan *scan, const char *why)
{
    if (scan->broken)
        return;
    scan->broken = why;
    scan->broken_at = scan->at;
}

static char top(const struct scan *scan)
{
    return scan->depth ? scan->stack[scan->depth - 1] : '\0';
}

static void open(struct scan *scan, enum opened what)
{
    if (scan->depth == DEPTH_MAX) {
        broken(scan, "it is nested too deeply");
        scan->at = scan->text.len; /* and no further: closing would be wrong from here on */
        return;
    }
    scan->stack[scan->depth++] = (char)what;
    scan->key = what == OPEN_OBJECT;
}

static void close(struct scan *scan, enum opened what, const char *why)
{
    if (top(scan) == (char)what)
        scan->depth--;
    else
        broken(scan, why);
}

static size_t word_length(const struct scan *scan)
{
    size_t len = 0;

    while (is_word_start(peek(scan, len)) || is_digit(peek(scan, len)))
        len++;
    return len;
}

static void skip_comment(struct scan *scan)
{
    size_t end;

    while (scan->at < scan->text.len && scan->text.ptr[scan->at] != '\n')
        scan->at++;
    end = scan->at;
    while (end > 0 && scan->text.ptr[end - 1] == '\r')
        end--;
    if (end > 0 && scan->text.ptr[end - 1] == '\\')
        broken(scan, "a comment in it ends in a backslash");
}

/* One step inside a string. */
static void scan_string(struct scan *scan)
{
    char c = peek(scan, 0);

    if (c == '"') {
        scan->depth--;
        scan->at++;
    } else if (c == '\\' && peek(scan, 1) == '(') {
        scan->at += 2;
        open(scan, OPEN_PAREN);
    } else {
        scan->at += c == '\\' ? 2 : 1;
    }
}

static void forbid(struct scan *scan, const char *word)
{
    if (scan->word)
        return;
    scan->word = word;
    scan->word_at = scan->at;
}

static void scan_word(struct scan *scan)
{
    struct pl_str word = {.ptr = scan->text.ptr + scan->at, .len = word_length(scan)};
    bool variable = scan->variable, key = scan->key && !variable;

    scan->key = scan->variable = false;
    if (variable) {
        for (size_t i = 0; i < PL_ARRAY_LEN(forbidden_variables); i++)
            if (pl_str_is(word, forbidden_variables[i] + 1))
                forbid(scan, forbidden_variables[i]);
    } else if (!key) {
        for (size_t i = 0; i < PL_ARRAY_LEN(forbidden_words); i++)
            if (pl_str_is(word, forbidden_words[i]))
                forbid(scan, forbidden_words[i]);
        if (pl_str_is(word, "if"))
            open(scan, OPEN_IF);
        else if (pl_str_is(word, "end"))
            close(scan, OPEN_IF, "an `end` in it ends nothing");
    }
    /* ours: the names the program around the texts uses */
    if (!key && word.len >= 2 && word.ptr[0] == '_' && word.ptr[1] == '_')
        forbid(scan, "__");
    scan->at += word.len;
}

static void scan_number(struct scan *scan)
{
    while (is_digit(peek(scan, 0)))
        scan->at++;
    if (peek(scan, 0) == '.')
        scan->at++;
    while (is_digit(peek(scan, 0)))
        scan->at++;
    if (peek(scan, 0) == 'e' || peek(scan, 0) == 'E') {
        size_t sign = peek(scan, 1) == '+' || peek(scan, 1) == '-';

        if (is_digit(peek(scan, 1 + sign)))
            scan->at += 1 + sign;
        while (is_digit(peek(scan, 0)))
            scan->at++;
    }
}

/* `.name`, `..` or `.`; `.5` is a number. */
static void scan_dot(struct scan *scan)
{
    if (is_digit(peek(scan, 1))) {
        scan_number(scan);
        return;
    }
    scan->at++;
    if (peek(scan, 0) == '.')
        scan->at++;
    else if (is_word_start(peek(scan, 0)))
        scan->at += word_length(scan);
}

static void scan_bracket(struct scan *scan)
{
    switch (peek(scan, 0)) {
    case '(':
        open(scan, OPEN_PAREN);
        break;
    case '[':
        open(scan, OPEN_LIST);
        break;
    case '{':
        open(scan, OPEN_OBJECT);
        break;
    case ')':
        close(scan, OPEN_PAREN, "a `)` in it closes nothing");
        break;
    case ']':
        close(scan, OPEN_LIST, "a `]` in it closes nothing");
        break;
    case '}':
        close(scan, OPEN_OBJECT, "a `}` in it closes nothing");
        break;
    case '"':
        open(scan, OPEN_STRING);
        break;
    default:
        scan->key = peek(scan, 0) == ',' && top(scan) == OPEN_OBJECT;
        break;
    }
    scan->at++;
}

/* One token outside strings. */
static void scan_token(struct scan *scan)
{
    char c = peek(scan, 0);

    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        scan->at++;
    } else if (c == '#') {
        skip_comment(scan);
    } else if (is_word_start(c)) {
        scan_word(scan);
    } else if (c == '$') {
        scan->variable = true;
        scan->at++;
    } else {
        scan->key = scan->variable = false;
        if (c == '.') {
            scan_dot(scan);
        } else if (is_digit(c)) {
            scan_number(scan);
        } else if (c == '@') { /* a format: @base64 */
            scan->at++;
            scan->at += word_length(scan);
        } else {
            scan_bracket(scan);
        }
    }
}

static void scan_all(struct scan *scan, struct pl_str text)
{
    *scan = (struct scan){.text = text};
    if (text.len && memchr(text.ptr, '\0', text.len))
        broken(scan, "it holds a NUL");
    while (scan->at < scan->text.len) {
        if (top(scan) == OPEN_STRING)
            scan_string(scan);
        else
            scan_token(scan);
    }
    switch (top(scan)) {
    case OPEN_STRING:
        broken(scan, "a string in it is not closed");
        break;
    case OPEN_PAREN:
        broken(scan, "a `(` in it is not closed");
        break;
    case OPEN_LIST:
        broken(scan, "a `[` in it is not closed");
        break;
    case OPEN_OBJECT:
        broken(scan, "a `{` in it is not closed");
        break;
    case OPEN_IF:
        broken(scan, "an `if` in it has no `end`");
        break;
    default:
        break;
    }
}

const char *jq_forbidden_word(struct pl_str program, size_t *ret_at)
{
    struct scan scan;

    scan_all(&scan, program);
    if (scan.word && ret_at)
        *ret_at = scan.word_at;
    return scan.word;
}

enum pl_code jq_words_check(struct pl_str program, struct pl_err *err)
{
    struct scan scan;

    scan_all(&scan, program);
    if (scan.word)
        return pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "`%s` is not available in an expression",
                          scan.word);
    if (scan.broken)
        return pl_err_set(err, PL_ERR_EXPRESSION_ERROR, "%s", scan.broken);
    return PL_OK;
}
