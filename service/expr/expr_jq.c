/* expr_jq.c - what a jq program mentions, found by going through its words: every `.root` and
 * `$root` that begins a path is taken for one, even where it may be a member of something piped in,
 * so that nothing a program reads is missing from its document. Not a parser of jq: whether the
 * program is sound the workers say (jq_pool). Called by expr_parse.c.
 *
 * What is surely wrong is refused: a name that does not exist, where `.` surely still is the
 * document. It is until a `|`, an `as`, a definition, ... at the same or an outer level, and not in
 * the arguments of a function. */
#include "base/map.h"
#include "service/expr/expr_parse.h"
#include "service/expr/jq_words.h"

enum { DEPTH_MAX = 256 }; /* more than jq_words_check lets through */

/* One open bracket. */
struct level {
    char open;  /* ( [ { or " of a string that goes on behind `\( )` */
    bool whole; /* scan.whole before it */
};

struct scan {
    struct expr_job *job;
    const char *p, *end;
    struct level levels[DEPTH_MAX];
    size_t depth;
    bool whole; /* `.` is the document */
    bool term;  /* a value ends here: a '.' goes on with it */
    bool call;  /* the name of a function ends here: its arguments have another `.` */
    bool key;   /* a key of an object may begin here */

    struct expr_ref *refs;
    size_t count, capacity;
    struct pl_map *seen;
};

/* ---- what was mentioned ---- */

/* True when the same is there already (or memory is out). */
static bool is_known(struct scan *scan, const struct expr_ref *ref)
{
    struct pl_arena *arena = scan->job->context->arena;
    char *key = pl_arena_alloc(arena, ref->name.len + 2);
    bool known = false;

    if (!scan->seen)
        scan->seen = pl_map_create(arena, 4);
    if (!key || !scan->seen)
        return true;
    key[0] = (char)ref->root;
    key[1] = (char)ref->field;
    if (ref->name.len)
        memcpy(key + 2, ref->name.ptr, ref->name.len);
    return !pl_map_put(scan->seen, pl_str_n(key, ref->name.len + 2), key, &known) || known;
}

static bool add(struct scan *scan, const struct expr_ref *ref)
{
    struct pl_arena *arena = scan->job->context->arena;

    if (is_known(scan, ref))
        return !pl_arena_failed(arena);
    if (scan->count == scan->capacity) {
        size_t capacity = scan->capacity ? 2 * scan->capacity : 4;
        struct expr_ref *refs = pl_arena_alloc_array(arena, capacity, sizeof(*refs));

        if (!refs)
            return false;
        if (scan->count)
            memcpy(refs, scan->refs, scan->count * sizeof(*refs));
        scan->refs = refs;
        scan->capacity = capacity;
    }
    scan->refs[scan->count++] = *ref;
    return true;
}

static const char *skip_blank(const char *p, const char *end)
{
    for (p = expr_skip_space(p, end); p < end && *p == '#'; p = expr_skip_space(p, end))
        while (p < end && *p != '\n')
            p++;
    return p;
}

/* The member that is taken of what stands before `p`, when its name is written out: .x, ."x",
 * ["x"], .["x"], each after any number of `?`. What follows it is returned, NULL when there is
 * none. */
static const char *member_behind(struct scan *scan, const char *p, struct pl_str *ret)
{
    struct pl_arena *arena = scan->job->context->arena;
    const char *end = scan->end;
    bool point;

    p = skip_blank(p, end);
    while (p < end && *p == '?' && !(end - p > 2 && p[1] == '/' && p[2] == '/'))
        p = skip_blank(p + 1, end);
    point = p < end && *p == '.';
    if (point && end - p > 1 && expr_is_name_start(p[1])) {
        *ret = expr_name_at(p + 1, end);
        return p + 1 + ret->len;
    }
    if (point)
        p = skip_blank(p + 1, end);
    if (point && p < end && *p == '"')
        return expr_string_at(p, end, arena, ret);
    if (p == end || *p != '[')
        return NULL;
    p = skip_blank(p + 1, end);
    p = p < end && *p == '"' ? expr_string_at(p, end, arena, ret) : NULL;
    if (p)
        p = skip_blank(p, end);
    return p && p < end && *p == ']' ? p + 1 : NULL;
}

static bool mention_step(struct scan *scan, struct expr_ref *ref, const char *behind, bool variable)
{
    struct pl_str field;

    behind = member_behind(scan, behind, &ref->name);
    if (!behind && !pl_arena_failed(scan->job->context->arena))
        return expr_refuse_steps(scan->job, variable, !scan->whole);
    if (behind && member_behind(scan, behind, &field) && !expr_find_field(field, &ref->field))
        return expr_refuse_step_field(scan->job, field);
    return true;
}

/* `.name` or `$name` that begins a path; `behind` is what follows it. */
static bool mention(struct scan *scan, struct pl_str name, bool variable, const char *behind)
{
    struct expr_ref ref = {0};
    enum expr_found found = expr_find_root(&scan->job->context->names, name, variable, &ref);
    struct pl_str field;

    if (found == EXPR_FREE)
        return true;
    if (found != EXPR_FOUND)
        return !scan->whole || expr_refuse_root(scan->job, name, variable, found);
    if (ref.root == EXPR_ROOT_STEP && !mention_step(scan, &ref, behind, variable))
        return false;
    if (ref.root == EXPR_ROOT_STATE && !member_behind(scan, behind, &ref.name))
        ref.name = (struct pl_str){0};
    if (scan->whole && member_behind(scan, behind, &field) &&
        !expr_check_field(scan->job, ref.root, field))
        return false;
    return add(scan, &ref);
}

/* A key without a value, {input}, is short for {input: .input}. Behind a pipe {steps} is most
 * likely a member. */
static bool mention_key(struct scan *scan, struct pl_str name, const char *behind)
{
    behind = skip_blank(behind, scan->end);
    if (behind == scan->end || (*behind != ',' && *behind != '}'))
        return true;
    if (!scan->whole && pl_str_is(name, "steps"))
        return true;
    return mention(scan, name, false, behind);
}

/* ---- words ---- */

static void open_level(struct scan *scan, char open)
{
    if (scan->depth == DEPTH_MAX) {
        scan->p = scan->end;
        return;
    }
    scan->levels[scan->depth++] = (struct level){.open = open, .whole = scan->whole};
    scan->whole = scan->whole && !scan->call;
    scan->term = false;
    scan->key = open == '{';
}

/* Goes on in the string whose text is at scan->p, to its end or to the next `\(`. */
static void scan_string(struct scan *scan)
{
    for (; scan->p < scan->end && *scan->p != '"'; scan->p++) {
        if (*scan->p != '\\' || ++scan->p == scan->end)
            continue;
        if (*scan->p == '(') {
            scan->p++;
            open_level(scan, '"');
            return;
        }
    }
    scan->p += scan->p < scan->end;
    scan->term = true;
}

static void close_level(struct scan *scan)
{
    char open = '(';

    scan->p++;
    scan->term = true;
    if (scan->depth == 0)
        return;
    open = scan->levels[--scan->depth].open;
    scan->whole = scan->levels[scan->depth].whole;
    if (open == '"')
        scan_string(scan);
}

static bool take_string(struct scan *scan, bool key)
{
    struct pl_str name;
    const char *behind =
        key ? expr_string_at(scan->p, scan->end, scan->job->context->arena, &name) : NULL;

    if (behind && !mention_key(scan, name, behind))
        return false;
    scan->p++;
    scan_string(scan);
    return true;
}

static void take_number(struct scan *scan)
{
    const char *p = scan->p, *end = scan->end;

    while (p < end && (expr_is_digit(*p) || *p == '.'))
        p++;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        while (p < end && expr_is_digit(*p))
            p++;
    }
    scan->p = p;
    scan->term = true;
}

static bool take_point(struct scan *scan)
{
    const char *start = scan->p, *end = scan->end, *behind;
    bool begins = !scan->term;
    struct pl_str name;

    if (begins && end - start > 1 && expr_is_digit(start[1])) {
        take_number(scan);
        return true;
    }
    scan->term = true;
    scan->p++;
    if (scan->p < end && *scan->p == '.') { /* `..` is every value there is */
        scan->p++;
        return true;
    }
    name = expr_name_at(scan->p, end);
    scan->p += name.len;
    if (begins && name.len)
        return mention(scan, name, false, scan->p);
    /* Of the document itself, ["input"] is the root too. What follows is read again as ever. */
    behind = begins && scan->whole ? member_behind(scan, start, &name) : NULL;
    return !behind || mention(scan, name, false, behind);
}

static bool take_variable(struct scan *scan)
{
    struct pl_str name;

    scan->p = skip_blank(scan->p + 1, scan->end);
    name = expr_name_at(scan->p, scan->end);
    scan->p += name.len;
    scan->term = true;
    return name.len == 0 || pl_str_is(name, "__loc__") || mention(scan, name, true, scan->p);
}

static bool is_one_of(struct pl_str word, const char *const *words)
{
    for (; *words; words++)
        if (pl_str_is(word, *words))
            return true;
    return false;
}

static bool take_word(struct scan *scan, bool key)
{
    /* After these a value begins; of the second ones, with another `.` behind it, or names that are
     * not those of the document. */
    static const char *const between[] = {"if", "then", "elif", "else", "and", "or", "try", NULL};
    static const char *const bind[] = {"as",    "def",    "reduce",  "foreach", "catch",
                                       "label", "import", "include", NULL};
    struct pl_str word = expr_name_at(scan->p, scan->end);

    scan->p += word.len;
    while (scan->end - scan->p > 2 && scan->p[0] == ':' && scan->p[1] == ':' &&
           expr_is_name_start(scan->p[2])) {
        scan->p += 2;
        scan->p += expr_name_at(scan->p, scan->end).len;
        key = false;
    }
    scan->term = true;
    if (key)
        return mention_key(scan, word, scan->p);
    if (is_one_of(word, between)) {
        scan->term = false;
    } else if (is_one_of(word, bind)) {
        scan->term = false;
        scan->whole = false;
    } else {
        scan->call = true;
    }
    return true;
}

static void take_operator(struct scan *scan)
{
    scan->term = false;
    if (*scan->p == '|')
        scan->whole = false;
    else if (*scan->p == ',')
        scan->key = scan->depth && scan->levels[scan->depth - 1].open == '{';
    scan->p++;
}

static bool refuse_character(struct scan *scan)
{
    struct expr_job *job = scan->job;
    size_t number = 1;
    int length = 1;

    while (scan->p + length < scan->end && ((unsigned char)scan->p[length] & 0xC0) == 0x80)
        length++;
    for (const char *p = job->text.ptr; p < scan->p; p++)
        number += ((unsigned char)*p & 0xC0) != 0x80;
    doc_problem_at(job->context->problems, job->node, false,
                   "in expression '%s', '%.*s' at character %zu stands outside a string; a name "
                   "with this character in it is written [\"...\"]",
                   job->excerpt, length, scan->p, number);
    return false;
}

static bool take_token(struct scan *scan)
{
    bool key = scan->key, call = scan->call;
    char c = *scan->p;

    scan->key = scan->call = false;
    switch (c) {
    case '"':
        return take_string(scan, key);
    case '.':
        return take_point(scan);
    case '$':
        return take_variable(scan);
    case '@':
        scan->p++;
        scan->p += expr_name_at(scan->p, scan->end).len;
        scan->term = true;
        return true;
    case '(':
    case '[':
    case '{':
        scan->call = call && c == '(';
        scan->p++;
        open_level(scan, c);
        scan->call = false;
        return true;
    case ')':
    case ']':
    case '}':
        close_level(scan);
        return true;
    case '?':
        if (scan->end - scan->p > 2 && scan->p[1] == '/' && scan->p[2] == '/') {
            scan->p += 2;
            take_operator(scan);
        } else {
            scan->p++;
        }
        return true;
    default:
        break;
    }
    if (expr_is_name_start(c))
        return take_word(scan, key);
    if (expr_is_digit(c)) {
        take_number(scan);
        return true;
    }
    if ((unsigned char)c >= 0x80)
        return refuse_character(scan);
    take_operator(scan);
    return true;
}

/* ---- the whole ---- */

/* What no expression may do, wherever it stands. */
static bool check_words(struct expr_job *job)
{
    struct pl_str first = expr_name_at(job->text.ptr, job->text.ptr + job->text.len);
    struct doc_problems *problems = job->context->problems;
    const char *word = jq_forbidden_word(job->text, NULL);
    struct pl_err err;

    if (expr_lacks_point(first)) {
        doc_problem_at(problems, job->node, false, "expression '%s' must begin with a point: .%.*s",
                       job->excerpt, PL_STR_ARG(first));
        return false;
    }
    if (word && (strcmp(word, "env") == 0 || strcmp(word, "$ENV") == 0))
        return expr_refuse_environment(job);
    if (word) {
        doc_problem_at(problems, job->node, false,
                       "in expression '%s', '%s' is not available: an expression sees its document "
                       "and nothing else",
                       job->excerpt, word);
        return false;
    }
    if (jq_words_check(job->text, &err) != PL_OK) {
        doc_problem_at(problems, job->node, false, "expression '%s' cannot be read: %s",
                       job->excerpt, err.message);
        return false;
    }
    return true;
}

bool expr_jq_scan(struct expr_job *job, struct expr *expr)
{
    struct scan scan = {.job = job, .whole = true};

    if (!check_words(job))
        return false;
    scan.end = job->text.ptr + job->text.len;
    for (scan.p = skip_blank(job->text.ptr, scan.end); scan.p < scan.end;
         scan.p = skip_blank(scan.p, scan.end))
        if (!take_token(&scan))
            return false;
    expr->refs = scan.refs;
    expr->n_refs = scan.count;
    return !pl_arena_failed(job->context->arena);
}
