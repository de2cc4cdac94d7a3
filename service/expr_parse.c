/* expr_parse.c - from the text of an expression to a compiled path, with messages for everything
 * that is not one. Not evaluation (expr.c). Called by template.c and, through expr_compile, by
 * workflow_parse. */
#include "service/expr_parse.h"

#include "base/json.h"
#include "service/expr_scan.h"

#include <stdio.h>
#include <stdlib.h>

#define PLAIN_PATHS \
    "this version runs plain paths such as .steps.a.output.b[0] (jq programs come later)"

struct parser {
    struct expr_context *context;
    const struct doc_node *node;
    struct pl_str text; /* the program without the space around it */
    const char *p, *end;
    bool variable; /* it began with `$name`, which is the first segment */
    struct expr_segment *segments;
    size_t count;
    char excerpt[DOC_EXCERPT];
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static struct pl_str trim(struct pl_str text)
{
    while (text.len && is_space(text.ptr[0]))
        text = pl_str_n(text.ptr + 1, text.len - 1);
    while (text.len && is_space(text.ptr[text.len - 1]))
        text.len--;
    return text;
}

/* ---- problems ---- */

static void skip_space(struct parser *parser)
{
    while (parser->p < parser->end && is_space(*parser->p))
        parser->p++;
}

static int character_length(const char *p, const char *end)
{
    int length = 1;

    while (p + length < end && ((unsigned char)p[length] & 0xC0) == 0x80)
        length++;
    return length;
}

static size_t character_number(const struct parser *parser)
{
    size_t number = 1;

    for (const char *p = parser->text.ptr; p < parser->p; p++)
        number += ((unsigned char)*p & 0xC0) != 0x80;
    return number;
}

static bool first_is(const struct parser *parser, const char *name)
{
    return parser->count > 0 && pl_str_is(parser->segments[0].name, name);
}

static bool steps_without_id(struct parser *parser)
{
    doc_problem_at(parser->context->problems, parser->node, false,
                   "in expression '%s', %ssteps must be followed by the id of a step, written "
                   "out: .steps.plan.output",
                   parser->excerpt, parser->variable ? "$" : ".");
    return false;
}

static bool no_environment(struct parser *parser)
{
    doc_problem_at(parser->context->problems, parser->node, false,
                   "expression '%s' reads the environment, which expressions cannot see; pass "
                   "the value in the run's input",
                   parser->excerpt);
    return false;
}

/* The hint for a name that a path cannot hold bare. */
static const char *name_hint(const struct parser *parser)
{
    bool in_name =
        parser->p > parser->text.ptr &&
        (is_name_start(parser->p[-1]) || is_digit(parser->p[-1]) || parser->p[-1] == '.');

    if (in_name && (*parser->p == '-' || (unsigned char)*parser->p >= 0x80))
        return " (a name with this character in it is written [\"...\"])";
    return "";
}

/* Says which character makes the expression more than a path. Always false. */
static bool not_plain(struct parser *parser)
{
    struct doc_problems *problems = parser->context->problems;

    if (parser->count == 1 && first_is(parser, "steps"))
        return steps_without_id(parser);
    if (parser->p >= parser->end)
        doc_problem_at(problems, parser->node, false,
                       "expression '%s' is not a plain path: it ends too early; " PLAIN_PATHS,
                       parser->excerpt);
    else
        doc_problem_at(problems, parser->node, false,
                       "expression '%s' is not a plain path: '%.*s' at character %zu does not "
                       "belong in one%s; " PLAIN_PATHS,
                       parser->excerpt, character_length(parser->p, parser->end), parser->p,
                       character_number(parser), name_hint(parser));
    return false;
}

/* ---- the path ---- */

static struct expr_segment *add_segment(struct parser *parser)
{
    return &parser->segments[parser->count++];
}

static struct pl_str take_name(struct parser *parser)
{
    const char *start = parser->p;

    while (parser->p < parser->end && (is_name_start(*parser->p) || is_digit(*parser->p)))
        parser->p++;
    return pl_str_n(start, (size_t)(parser->p - start));
}

/* "name" as jq and JSON write it; `\(` makes it a program. */
static bool take_string(struct parser *parser, struct pl_str *ret)
{
    const char *start = parser->p;
    struct pl_str token;
    struct pl_err err;

    for (parser->p++; parser->p < parser->end && *parser->p != '"'; parser->p++) {
        if (*parser->p != '\\' || parser->p + 1 == parser->end)
            continue;
        if (parser->p[1] == '(')
            return not_plain(parser);
        parser->p++;
    }
    if (parser->p == parser->end)
        return not_plain(parser);
    parser->p++;
    token = pl_str_n(start, (size_t)(parser->p - start));
    if (json_check(token, 1, NULL, &err) != PL_OK) {
        doc_problem_at(parser->context->problems, parser->node, false, "in expression '%s': %s",
                       parser->excerpt, err.message);
        return false;
    }
    *ret = json_decode_string_arena(token, parser->context->arena);
    return true;
}

static bool take_index(struct parser *parser, int64_t *ret)
{
    const char *start = parser->p;
    int64_t index = 0;
    bool negative = *start == '-';

    if (negative)
        parser->p++;
    start = parser->p;
    for (; parser->p < parser->end && is_digit(*parser->p); parser->p++) {
        if (parser->p - start == 15)
            return not_plain(parser);
        index = index * 10 + (*parser->p - '0');
    }
    if (parser->p == start)
        return not_plain(parser);
    *ret = negative ? -index : index;
    return true;
}

/* ["name"] or [n]; the bracket is the next character. */
static bool take_bracket(struct parser *parser)
{
    struct expr_segment segment = {0};
    bool taken;

    parser->p++;
    skip_space(parser);
    if (parser->p == parser->end)
        return not_plain(parser);
    if (*parser->p == '"')
        taken = take_string(parser, &segment.name);
    else
        taken = take_index(parser, &segment.index);
    if (!taken)
        return false;
    skip_space(parser);
    if (parser->p == parser->end || *parser->p != ']')
        return not_plain(parser);
    parser->p++;
    *add_segment(parser) = segment;
    return true;
}

/* What follows a '.', which has been read. */
static bool take_member(struct parser *parser)
{
    struct pl_str name;

    if (parser->p < parser->end && *parser->p == '[')
        return take_bracket(parser);
    if (parser->p < parser->end && *parser->p == '"') {
        if (!take_string(parser, &name))
            return false;
    } else if (parser->p < parser->end && is_name_start(*parser->p)) {
        name = take_name(parser);
    } else {
        return not_plain(parser);
    }
    add_segment(parser)->name = name;
    return true;
}

static bool take_path(struct parser *parser)
{
    for (skip_space(parser); parser->p < parser->end; skip_space(parser)) {
        bool taken = true;

        if (*parser->p == '.') {
            parser->p++;
            taken = take_member(parser);
        } else if (*parser->p == '[' && parser->count > 0) {
            taken = take_bracket(parser);
        } else if (*parser->p == '?' && parser->count > 0) {
            parser->p++;
            parser->segments[parser->count - 1].optional = true;
        } else {
            return not_plain(parser);
        }
        if (!taken)
            return false;
    }
    return true;
}

/* ---- roots ---- */

static const char *const root_names[] = {
    [EXPR_ROOT_INPUT] = "input",   [EXPR_ROOT_STEP] = "steps",    [EXPR_ROOT_RUN] = "run",
    [EXPR_ROOT_THREAD] = "thread", [EXPR_ROOT_OUTPUT] = "output", [EXPR_ROOT_ERROR] = "error",
    [EXPR_ROOT_ERROR + 1] = NULL,
};

static const char *const step_fields[] = {
    [EXPR_STEP_ALL] = "",        [EXPR_STEP_OUTPUT] = "output", [EXPR_STEP_STATUS] = "status",
    [EXPR_STEP_ERROR] = "error", [EXPR_STEP_USAGE] = "usage",   [EXPR_STEP_JOIN] = "join",
    [EXPR_STEP_JOIN + 1] = NULL,
};

static const char *const run_fields[] = {"id", "attempt", "started_at", "date", "metadata", NULL};
static const char *const thread_fields[] = {"id", NULL};

/* The position of a name in a table, -1 when it is not there. */
static int find_name(struct pl_str name, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        if (pl_str_is(name, names[i]))
            return i;
    return -1;
}

/* Names of the language that need steps this version does not have. */
static bool is_later_root(struct pl_str name)
{
    static const char *const names[] = {"state", "item",       "items",     "index",
                                        "turn",  "previous",   "args",      "left",
                                        "right", "candidates", "candidate", NULL};

    return find_name(name, names) >= 0;
}

static bool unknown_root(struct parser *parser, struct pl_str name)
{
    struct doc_problems *problems = parser->context->problems;
    const char *sigil = parser->variable ? "$" : ".", *nearest;
    char shown[DOC_EXCERPT];

    doc_excerpt(name, shown);
    nearest = doc_nearest(name, root_names);
    if (parser->variable && pl_str_is(name, "ENV"))
        return no_environment(parser);
    if (is_later_root(name))
        doc_problem_at(problems, parser->node, false,
                       "in expression '%s', %s%s is not supported by this version", parser->excerpt,
                       sigil, shown);
    else if (nearest)
        doc_problem_at(problems, parser->node, false,
                       "in expression '%s', %s%s is unknown; did you mean .%s?", parser->excerpt,
                       sigil, shown, nearest);
    else
        doc_problem_at(problems, parser->node, false,
                       "in expression '%s', %s%s is unknown; begin with .input, .steps, .run or "
                       ".thread",
                       parser->excerpt, sigil, shown);
    return false;
}

static bool root_not_here(struct parser *parser, enum expr_root root)
{
    const char *why = "cannot be used here";

    if (root == EXPR_ROOT_OUTPUT)
        why = "exists only in accept; elsewhere write .steps.<id>.output";
    else if (root == EXPR_ROOT_ERROR)
        why = "exists only inside on_error.step; elsewhere write .steps.<id>.error";
    doc_problem_at(parser->context->problems, parser->node, false, "in expression '%s', .%s %s",
                   parser->excerpt, root_names[root], why);
    return false;
}

static bool find_root(struct parser *parser, enum expr_root *ret)
{
    const struct expr_segment *first = &parser->segments[0];
    int found;

    if (!first->name.ptr) {
        doc_problem_at(parser->context->problems, parser->node, false,
                       "expression '%s' must begin with a name: .input, .steps, .run or .thread",
                       parser->excerpt);
        return false;
    }
    found = find_name(first->name, root_names);
    if (found < 0 || (parser->variable && found > EXPR_ROOT_RUN))
        return unknown_root(parser, first->name);
    if (!(parser->context->names.roots & 1u << found))
        return root_not_here(parser, (enum expr_root)found);
    *ret = (enum expr_root)found;
    return true;
}

/* Names the fields that exist when `name` is none of them. */
static bool unknown_field(struct parser *parser, struct pl_str name, const char *of,
                          const char *const *fields)
{
    const char *nearest = doc_nearest(name, fields);
    char shown[DOC_EXCERPT], list[80] = "";
    size_t used = 0;

    for (size_t i = 0; fields[i] && used < sizeof(list); i++)
        used +=
            (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "", fields[i]);
    doc_problem_at(parser->context->problems, parser->node, false,
                   "in expression '%s', %s has no field '%s'%s%s%s (there is %s)", parser->excerpt,
                   of, doc_excerpt(name, shown), nearest ? "; did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'?" : "", list);
    return false;
}

/* Takes .steps.<id>.<field> off the front; *ret_used is how many segments that was. */
static bool take_step(struct parser *parser, struct expr *expr, size_t *ret_used)
{
    int field;

    if (parser->count < 2 || !parser->segments[1].name.ptr)
        return steps_without_id(parser);
    expr->refs[0].name = parser->segments[1].name;
    *ret_used = 2;
    if (parser->count < 3)
        return true;
    if (!parser->segments[2].name.ptr) {
        doc_problem_at(parser->context->problems, parser->node, false,
                       "in expression '%s', a step is not a list; write .steps.<id>.output[n]",
                       parser->excerpt);
        return false;
    }
    field = find_name(parser->segments[2].name, step_fields + 1);
    if (field < 0)
        return unknown_field(parser, parser->segments[2].name, "a step", step_fields + 1);
    expr->refs[0].field = (enum expr_step_field)(field + 1);
    *ret_used = 3;
    return true;
}

static bool resolve(struct parser *parser, struct expr *expr)
{
    struct pl_str field = {0};
    size_t used = 1;

    expr->refs = pl_arena_alloc(parser->context->arena, sizeof(*expr->refs));
    if (!expr->refs)
        return false;
    expr->n_refs = 1;
    if (!find_root(parser, &expr->refs[0].root))
        return false;
    if (parser->count > 1)
        field = parser->segments[1].name;
    if (expr->refs[0].root == EXPR_ROOT_STEP && !take_step(parser, expr, &used))
        return false;
    if (expr->refs[0].root == EXPR_ROOT_RUN && field.ptr && find_name(field, run_fields) < 0)
        return unknown_field(parser, field, ".run", run_fields);
    if (expr->refs[0].root == EXPR_ROOT_THREAD && field.ptr && find_name(field, thread_fields) < 0)
        return unknown_field(parser, field, ".thread", thread_fields);
    expr->segments = parser->segments + used;
    expr->n_segments = parser->count - used;
    return true;
}

/* ---- the whole ---- */

/* A program that begins with neither `.` nor `$`. */
static bool no_path(struct parser *parser)
{
    const char *start = parser->p;
    struct pl_str name = take_name(parser);

    parser->p = start;
    if (pl_str_is(name, "env"))
        return no_environment(parser);
    if (name.len && find_name(name, root_names) >= 0) {
        doc_problem_at(parser->context->problems, parser->node, false,
                       "expression '%s' must begin with a point: .%.*s", parser->excerpt,
                       PL_STR_ARG(name));
        return false;
    }
    return not_plain(parser);
}

static bool parse(struct parser *parser)
{
    if (parser->text.len == 0) {
        doc_problem_at(parser->context->problems, parser->node, false,
                       "the expression is empty; write a path such as ${ .input.name }");
        return false;
    }
    if (*parser->p == '$' && parser->text.len > 1 && is_name_start(parser->p[1])) {
        parser->p++;
        parser->variable = true;
        add_segment(parser)->name = take_name(parser);
    } else if (*parser->p != '.') {
        return no_path(parser);
    }
    return take_path(parser);
}

struct expr *expr_parse(struct expr_context *context, const struct doc_node *node,
                        struct pl_str program)
{
    struct pl_arena *arena = context->arena;
    struct parser parser = {.context = context, .node = node};
    struct expr *expr = pl_arena_alloc(arena, sizeof(*expr));

    parser.text = pl_arena_str(arena, trim(program));
    /* Each segment takes two characters at the least. */
    parser.segments =
        pl_arena_alloc_array(arena, parser.text.len / 2 + 1, sizeof(*parser.segments));
    if (!expr || !parser.segments || pl_arena_failed(arena))
        return NULL;
    parser.p = parser.text.ptr;
    parser.end = parser.p + parser.text.len;
    doc_excerpt(parser.text, parser.excerpt);
    expr->text = parser.text;
    expr->node = node;
    if (!parse(&parser) || !resolve(&parser, expr) || pl_arena_failed(arena))
        return NULL;
    *context->sink->last = expr;
    context->sink->last = &expr->next;
    return expr;
}

void expr_sink_init(struct expr_sink *sink)
{
    sink->first = NULL;
    sink->last = &sink->first;
}

struct expr *expr_compile(struct pl_arena *arena, const struct doc_node *node,
                          struct expr_names names, struct expr_sink *sink,
                          struct doc_problems *problems)
{
    struct expr_context context = {
        .arena = arena, .names = names, .sink = sink, .problems = problems};
    struct pl_str text = trim(node->text);
    char shown[DOC_EXCERPT];
    size_t close;

    if (node->refused)
        return NULL;
    if (node->type != DOC_STRING) {
        doc_problem_at(problems, node, false,
                       "expected an expression such as ${ .input.name }, got %s",
                       doc_type_name(node->type));
        return NULL;
    }
    if (pl_str_starts(text, PL_STR("${"))) {
        if (!expr_scan_close(text, 0, &close)) {
            doc_problem_at(problems, node, false, "the expression '%s' has no end: '}' is missing",
                           doc_excerpt(text, shown));
            return NULL;
        }
        if (close == text.len - 1)
            return expr_parse(&context, node, pl_str_n(text.ptr + 2, close - 2));
    }
    doc_excerpt(text, shown);
    doc_problem_at(problems, node, false,
                   "expected one expression, %s, and nothing around it, got '%s'",
                   "${ .input.name } for example", shown);
    return NULL;
}
