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

/* The word X of "X/0 is not defined"; empty when jq says something else. */
static struct pl_str undefined_word(const char *message)
{
    const char *at = strstr(message, "/0 is not defined"), *start = at;

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

static const char *hint(const struct expr *expr, const char *message, char out[static HINT_BYTES])
{
    struct pl_str word = undefined_word(message), dashed = {0};

    out[0] = '\0';
    if (word.len)
        dashed = dashed_name(expr->text, word);
    if (dashed.len && dashed.len < HINT_BYTES / 2)
        (void)snprintf(out, HINT_BYTES, "; a name with '-' in it is written [\"%.*s\"]",
                       PL_STR_ARG(dashed));
    else if (word.len && expr_lacks_point(word))
        (void)snprintf(out, HINT_BYTES, "; did you mean .%.*s?", PL_STR_ARG(word));
    else if (word.len == 0 && has(expr->text, "'"))
        return "; text in jq stands in double quotes";
    else if (word.len == 0 && (has(expr->text, "&&") || has(expr->text, "||")))
        return "; jq writes 'and' and 'or'";
    else if (word.len == 0 && has(expr->text, "==="))
        return "; jq writes '=='";
    return out;
}

void expr_jq_problem(const struct expr *expr, const struct pl_err *err,
                     struct doc_problems *problems)
{
    char shown[DOC_EXCERPT], hinted[HINT_BYTES];

    doc_problem_at(problems, expr->node, false, "expression '%s' is no sound jq program: %s%s",
                   doc_excerpt(expr->text, shown), err->message, hint(expr, err->message, hinted));
}
