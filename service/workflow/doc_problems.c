/* doc_problems.c - the list of what is wrong with a document, and the nearest name to a mistyped
 * one. Not printing: the terminal and the API do that. Called by everything that checks a document
 * or a value. */
#include "base/limits.h"
#include "service/workflow/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void doc_problems_init(struct doc_problems *problems, struct pl_arena *arena)
{
    *problems = (struct doc_problems){.arena = arena};
}

PL_PRINTF(2, 0)
static const char *format(struct pl_arena *arena, const char *fmt, va_list args)
{
    va_list again;
    char *text;
    int length;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (length < 0)
        return NULL;
    text = pl_arena_alloc(arena, (size_t)length + 1);
    if (text)
        (void)vsnprintf(text, (size_t)length + 1, fmt, args);
    return text;
}

/* The next free place; NULL when the problem is only counted. */
static struct doc_problem *next_problem(struct doc_problems *problems)
{
    problems->total++;
    if (problems->count == PL_LIMIT_PROBLEMS)
        return NULL;
    if (!problems->items)
        problems->items =
            pl_arena_alloc_array(problems->arena, PL_LIMIT_PROBLEMS, sizeof(struct doc_problem));
    return problems->items ? &problems->items[problems->count] : NULL;
}

void doc_problem_at(struct doc_problems *problems, const struct doc_node *node, bool at_key,
                    const char *fmt, ...)
{
    struct doc_problem *problem = next_problem(problems);
    bool key = at_key && node->key_line;
    va_list args;

    if (!problem)
        return;
    va_start(args, fmt);
    problem->message = format(problems->arena, fmt, args);
    va_end(args);
    problem->pointer = doc_pointer(problems->arena, node);
    problem->line = key ? node->key_line : node->line;
    problem->column = key ? node->key_column : node->column;
    if (problem->message)
        problems->count++;
}

void doc_problem_add(struct doc_problems *problems, unsigned line, unsigned column,
                     const char *pointer, const char *fmt, ...)
{
    struct doc_problem *problem = next_problem(problems);
    va_list args;

    if (!problem)
        return;
    va_start(args, fmt);
    problem->message = format(problems->arena, fmt, args);
    va_end(args);
    problem->pointer = pl_arena_strdup(problems->arena, pointer);
    problem->line = line;
    problem->column = column;
    if (problem->message && problem->pointer)
        problems->count++;
}

void doc_problems_append(struct doc_problems *problems, const struct doc_problems *from)
{
    for (size_t i = 0; i < from->count; i++)
        doc_problem_add(problems, from->items[i].line, from->items[i].column,
                        from->items[i].pointer, "%s", from->items[i].message);
    problems->total += from->total - from->count;
}

static int by_position(const void *left, const void *right)
{
    const struct doc_problem *a = left, *b = right;

    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return 0;
}

/* Insertion, not qsort: problems at one place keep the order they were found in, and there are few.
 */
void doc_problems_sort(struct doc_problems *problems)
{
    for (size_t i = 1; i < problems->count; i++) {
        struct doc_problem moved = problems->items[i];
        size_t at = i;

        while (at > 0 && by_position(&problems->items[at - 1], &moved) > 0) {
            problems->items[at] = problems->items[at - 1];
            at--;
        }
        problems->items[at] = moved;
    }
}

const char *doc_excerpt(struct pl_str text, char out[static DOC_EXCERPT])
{
    size_t len = text.len;

    if (len > DOC_EXCERPT - 4) {
        len = DOC_EXCERPT - 4;
        while (len && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
            len--;
    }
    for (size_t i = 0; i < len; i++)
        out[i] = (char)((unsigned char)text.ptr[i] < ' ' ? ' ' : text.ptr[i]);
    memcpy(out + len, "...", 3);
    out[len < text.len ? len + 3 : len] = '\0';
    return out;
}

/* ---- the nearest name ---- */

enum { NEAREST_MAX = 64 }; /* longer words are not compared */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/* Edits from one word to the other: a letter more, less or another, or two neighbours swapped. Case
 * does not count. Three rows of the usual table are enough. */
static unsigned distance(struct pl_str a, struct pl_str b)
{
    unsigned rows[3][NEAREST_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];

    for (unsigned j = 0; j <= b.len; j++)
        last[j] = j;
    memset(before, 0, sizeof(rows[0]));
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *spare = before;

        now[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            char x = lower(a.ptr[i - 1]), y = lower(b.ptr[j - 1]);

            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.ptr[j - 2]) && y == lower(a.ptr[i - 2]) &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

/* The name nearest to `word`, less than `best` edits away and no more than `allowed` longer or
 * shorter. */
static const char *nearest_within(struct pl_str word, const char *const *names, unsigned allowed,
                                  unsigned best)
{
    const char *nearest = NULL;

    for (; *names; names++) {
        struct pl_str name = pl_str(*names);
        unsigned edits;

        if (name.len > NEAREST_MAX || name.len + allowed < word.len ||
            word.len + allowed < name.len)
            continue;
        edits = distance(word, name);
        if (edits < best) {
            best = edits;
            nearest = *names;
        }
    }
    return nearest;
}

const char *doc_nearest(struct pl_str word, const char *const *names)
{
    unsigned allowed = (unsigned)(word.len / 3 + 1), fewer;

    if (word.len == 0 || word.len > NEAREST_MAX)
        return NULL;
    /* A slip leaves more than half of the letters as they were: `body` is none of `code`. Of a word
     * of one letter nothing but its case can be wrong, of two letters one. */
    fewer = word.len < 3 ? (unsigned)word.len - 1 : (unsigned)(word.len - 1) / 2;
    return nearest_within(word, names, allowed, (fewer < allowed ? fewer : allowed) + 1);
}

/* `line1` and `line2` are two names, no slip. */
static bool differ_in_digits(struct pl_str a, struct pl_str b)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < a.len && a.ptr[i] >= '0' && a.ptr[i] <= '9')
            i++;
        while (j < b.len && b.ptr[j] >= '0' && b.ptr[j] <= '9')
            j++;
        if (i == a.len || j == b.len)
            return i == a.len && j == b.len;
        if (a.ptr[i++] != b.ptr[j++])
            return false;
    }
}

const char *doc_slip_of(struct pl_str word, const char *const *names)
{
    unsigned allowed = word.len < 4 ? 0 : word.len < 8 ? 1 : 2;
    const char *nearest;

    if (word.len == 0 || word.len > NEAREST_MAX)
        return NULL;
    nearest = nearest_within(word, names, allowed, allowed + 1);
    return nearest && !differ_in_digits(word, pl_str(nearest)) ? nearest : NULL;
}
