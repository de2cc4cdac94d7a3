/* expr_problem.c - what jq says of a program that does not compile, put in words for its author:
 * the mistakes that people from other languages make have a hint. Not the compiling (jq_pool).
 * Called by workflow_check. */
#include "service/expr/expr_parse.h"

#include <stdio.h>

enum { HINT_BYTES = 160 };

static bool has(struct pl_str text, const char *part)
{
    return memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* The word X of "X/1 is not defined"; empty when jq says something else. */
static struct pl_str undefined_word(const char *message)
{
    const char *at = strchr(message, '/'), *start = at;

    if (at && !strstr(at, " is not defined"))
        at = NULL;

    while (at && start > message && expr_is_name(start[-1]))
        start--;
    return at ? pl_str_n(start, (size_t)(at - start)) : (struct pl_str){0};
}

static bool is_name_or_dash(char c)
{
    return expr_is_name(c) || c == '-';
}

/* The name with dashes that `word` is a part of, as in .user-id; empty when there is none. */
static struct pl_str dashed_name(struct pl_str text, struct pl_str word)
{
    const char *end = text.ptr + text.len;

    for (const char *p = text.ptr, *start = p; p < end; start = ++p) {
        while (expr_is_name_start(*start) && p + 1 < end && is_name_or_dash(p[1]))
            p++;
        struct pl_str name = pl_str_n(start, (size_t)(p - start) + 1);
        const char *at = memmem(name.ptr, name.len, word.ptr, word.len);

        if (at && at > start && start > text.ptr && start[-1] == '.' && at[-1] == '-')
            return name;
    }
    return (struct pl_str){0};
}

/* What jq calls what the word means; NULL: nothing comes near it. */
static const char *jq_word(struct pl_str word)
{
    static const char *const names[] = {
        "add",      "all",      "any",        "ascii_downcase", "ascii_upcase", "contains",
        "endswith", "fromjson", "flatten",    "first",          "floor",        "from_entries",
        "group_by", "has",      "join",       "keys",           "last",         "length",
        "limit",    "ltrimstr", "map",        "map_values",     "max_by",       "min_by",
        "range",    "reverse",  "round",      "rtrimstr",       "select",       "sort",
        "sort_by",  "split",    "startswith", "test",           "to_entries",   "tojson",
        "tonumber", "tostring", "unique",     "unique_by",      "with_entries", NULL};
    static const struct {
        const char *said, *meant;
    } others[] = {
        {"len", "length"},
        {"size", "length"},
        {"count", "length"},
        {"filter", "select"},
        {"lower", "ascii_downcase"},
        {"upper", "ascii_upcase"},
        {"lowercase", "ascii_downcase"},
        {"uppercase", "ascii_upcase"},
        {"sum", "add"},
        {"str", "tostring"},
        {"int", "tonumber"},
        {"float", "tonumber"},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(others); i++)
        if (pl_str_is(word, others[i].said))
            return others[i].meant;
    return doc_nearest(word, names);
}

/* What to write where jq found a character, or a word, that it cannot read. */
static const char *syntax_hint(struct pl_str text)
{
    if (has(text, "'"))
        return "; text in jq stands in double quotes";
    if (has(text, "&&") || has(text, "||"))
        return "; jq writes 'and' and 'or'";
    if (has(text, "==="))
        return "; jq writes '=='";
    if (has(text, "!") && !has(text, "!="))
        return "; jq writes 'not' behind the value: .input.a | not";
    if (has(text, "?") && has(text, ":"))
        return "; jq writes 'if a then b else c end'";
    return "";
}

static const char *hint(const struct expr *expr, const char *message, char out[static HINT_BYTES])
{
    struct pl_str word = undefined_word(message), dashed = {0};
    const char *meant = word.len ? jq_word(word) : NULL;

    out[0] = '\0';
    if (word.len)
        dashed = dashed_name(expr->text, word);
    if (dashed.len && dashed.len < HINT_BYTES / 2)
        (void)snprintf(out, HINT_BYTES, "; a name with '-' in it is written [\"%.*s\"]",
                       PL_STR_ARG(dashed));
    else if (word.len && expr_lacks_point(word))
        (void)snprintf(out, HINT_BYTES, "; did you mean .%.*s?", PL_STR_ARG(word));
    else if (meant)
        (void)snprintf(out, HINT_BYTES, "; did you mean '%s'?", meant);
    else if (word.len == 0 && strstr(message, "syntax error"))
        return syntax_hint(expr->text);
    return out;
}

void expr_jq_problem(const struct expr *expr, const struct pl_err *err,
                     struct doc_problems *problems)
{
    char shown[DOC_EXCERPT], hinted[HINT_BYTES];

    doc_problem_at(problems, expr->node, false, "in expression '%s', %s%s",
                   doc_excerpt(expr->text, shown), err->message, hint(expr, err->message, hinted));
}
