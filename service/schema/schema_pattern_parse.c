/* schema_pattern_parse.c - JavaScript's notation of patterns into a tree. Not the automaton
 * (schema_pattern.c). Called by it. */
#include "base/utf8.h"
#include "service/schema/schema_pattern_node.h"

#include <stdlib.h>

enum { LAST_CODE = 0x10FFFF };

struct parser {
    struct pl_arena *arena;
    const char *p, *end;
    const char *why; /* set once it has failed */
    unsigned depth;  /* open groups */
    unsigned looks;
};

static struct pattern_node *parse_choice(struct parser *parser);

static bool refuse(struct parser *parser, const char *why)
{
    if (!parser->why)
        parser->why = why;
    return false;
}

static bool at(const struct parser *parser, const char *text)
{
    const struct pl_str rest = pl_str_n(parser->p, (size_t)(parser->end - parser->p));

    return pl_str_starts(rest, pl_str(text));
}

static bool take(struct parser *parser, const char *text)
{
    if (!at(parser, text))
        return false;
    parser->p += strlen(text);
    return true;
}

/* ---- sets ---- */

static void add_range(struct parser *parser, struct pattern_set *set, uint32_t from, uint32_t to)
{
    struct pattern_range *more;

    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 4;
        more = pl_arena_alloc_array(parser->arena, set->capacity, sizeof(*more));
        if (!more) {
            set->capacity = set->count;
            return;
        }
        if (set->count)
            memcpy(more, set->ranges, set->count * sizeof(*more));
        set->ranges = more;
    }
    set->ranges[set->count++] = (struct pattern_range){from, to};
}

static int by_start(const void *left, const void *right)
{
    const struct pattern_range *a = left, *b = right;

    return (a->from > b->from) - (a->from < b->from);
}

/* Puts the ranges in order and joins those that touch. */
static void settle(struct pattern_set *set)
{
    size_t kept = 0;

    if (set->count == 0)
        return;
    qsort(set->ranges, set->count, sizeof(set->ranges[0]), by_start);
    for (size_t i = 1; i < set->count; i++) {
        if (set->ranges[i].from > set->ranges[kept].to + 1)
            set->ranges[++kept] = set->ranges[i];
        else if (set->ranges[i].to > set->ranges[kept].to)
            set->ranges[kept].to = set->ranges[i].to;
    }
    set->count = kept + 1;
}

/* Adds everything that a settled set does not have. */
static void add_others(struct parser *parser, struct pattern_set *set,
                       const struct pattern_set *settled)
{
    uint32_t from = 0;

    for (size_t i = 0; i < settled->count; i++) {
        if (settled->ranges[i].from > from)
            add_range(parser, set, from, settled->ranges[i].from - 1);
        from = settled->ranges[i].to + 1;
    }
    if (from <= LAST_CODE)
        add_range(parser, set, from, LAST_CODE);
}

/* \d, \w, \s and what they leave out, \D, \W, \S; false when `c` is none of them. */
static bool add_class(struct parser *parser, struct pattern_set *set, char c)
{
    static const struct pattern_range digits[] = {{'0', '9'}};
    static const struct pattern_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct pattern_range spaces[] = {
        {'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
        {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF},
    };
    struct pattern_range ranges[PL_ARRAY_LEN(spaces)];
    struct pattern_set class = {.ranges = ranges};

    switch (c | 32) {
    case 'd':
        class.count = PL_ARRAY_LEN(digits);
        memcpy(ranges, digits, sizeof(digits));
        break;
    case 'w':
        class.count = PL_ARRAY_LEN(words);
        memcpy(ranges, words, sizeof(words));
        break;
    case 's':
        class.count = PL_ARRAY_LEN(spaces);
        memcpy(ranges, spaces, sizeof(spaces));
        break;
    default:
        return false;
    }
    if (c < 'a')
        add_others(parser, set, &class);
    for (size_t i = 0; c >= 'a' && i < class.count; i++)
        add_range(parser, set, ranges[i].from, ranges[i].to);
    return true;
}

static struct pattern_node *new_node(struct parser *parser, enum pattern_kind kind)
{
    struct pattern_node *node = pl_arena_alloc(parser->arena, sizeof(*node));

    if (node)
        node->kind = kind;
    return node;
}

/* A node for a set, which is settled, or what it leaves out. */
static struct pattern_node *set_node(struct parser *parser, struct pattern_set *set, bool negated)
{
    struct pattern_node *node = new_node(parser, PATTERN_SET);
    struct pattern_set *kept = pl_arena_alloc(parser->arena, sizeof(*kept));

    if (!node || !kept)
        return NULL;
    settle(set);
    if (negated)
        add_others(parser, kept, set);
    else
        *kept = *set;
    for (uint32_t code = 0; code < 128; code++)
        for (size_t i = 0; i < kept->count && kept->ranges[i].from <= code; i++)
            if (code <= kept->ranges[i].to)
                kept->ascii[code / 64] |= (uint64_t)1 << code % 64;
    node->set = kept;
    return node;
}

bool pattern_set_has(const struct pattern_set *set, uint32_t code)
{
    size_t low = 0, high = set->count;

    if (code < 128)
        return set->ascii[code / 64] >> code % 64 & 1;
    while (low < high) {
        size_t middle = (low + high) / 2;

        if (set->ranges[middle].to < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->ranges[low].from <= code;
}

/* ---- characters ---- */

/* The next character of the pattern, which is UTF-8 that has been checked. */
static uint32_t take_utf8(struct parser *parser)
{
    unsigned char first = (unsigned char)*parser->p++;
    unsigned more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    uint32_t code = more ? first & (0x3Fu >> more) : first;

    while (more-- > 0 && parser->p < parser->end)
        code = code << 6 | ((unsigned char)*parser->p++ & 0x3F);
    return code;
}

static bool take_hex(struct parser *parser, unsigned digits, uint32_t *ret)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < digits; i++, parser->p++) {
        char c = parser->p < parser->end ? *parser->p : 'x';

        if (c >= '0' && c <= '9')
            code = code * 16 + (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            code = code * 16 + (uint32_t)((c | 32) - 'a') + 10;
        else
            return refuse(parser, "\\x takes two hexadecimal digits, \\u four, or some in { }");
    }
    *ret = code;
    return true;
}

/* What follows \u: four digits, twice for a surrogate pair, or digits in braces. */
static bool take_unicode(struct parser *parser, uint32_t *ret)
{
    const char *close;
    uint32_t low;

    if (take(parser, "{")) {
        close = memchr(parser->p, '}', (size_t)(parser->end - parser->p));
        if (!close || close == parser->p || close - parser->p > 6)
            return refuse(parser, "\\u{ } takes one to six hexadecimal digits");
        if (!take_hex(parser, (unsigned)(close - parser->p), ret))
            return false;
        parser->p++;
        return *ret <= LAST_CODE || refuse(parser, "there is no character past \\u{10FFFF}");
    }
    if (!take_hex(parser, 4, ret))
        return false;
    if (*ret >= 0xD800 && *ret < 0xDC00 && take(parser, "\\u")) {
        if (!take_hex(parser, 4, &low))
            return false;
        if (low >= 0xDC00 && low < 0xE000) {
            *ret = 0x10000 + ((*ret - 0xD800) << 10) + (low - 0xDC00);
            return true;
        }
    }
    if (*ret >= 0xD800 && *ret < 0xE000)
        return refuse(parser, "half of a surrogate pair matches nothing");
    return true;
}

/* The character that `\c` stands for; `c` has been read. */
static bool escaped_character(struct parser *parser, char c, uint32_t *ret)
{
    static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
    const char *found = c ? strchr(from, c) : NULL;
    bool digit_next = parser->p < parser->end && *parser->p >= '0' && *parser->p <= '9';

    if (found) {
        *ret = (unsigned char)to[found - from];
    } else if (c == 'x') {
        return take_hex(parser, 2, ret);
    } else if (c == 'u') {
        return take_unicode(parser, ret);
    } else if (c == 'c') {
        if (parser->p == parser->end || (*parser->p | 32) < 'a' || (*parser->p | 32) > 'z')
            return refuse(parser, "\\c takes a letter");
        *ret = (uint32_t)*parser->p++ & 31;
    } else if (c == '0' && !digit_next) {
        *ret = 0;
    } else if ((c >= '1' && c <= '9') || c == 'k') {
        return refuse(parser, "back-references such as \\1 are not supported");
    } else if ((c | 32) == 'p') {
        return refuse(parser, "\\p{...} is not supported; write the characters as a range");
    } else if (c == '0' || ((c | 32) >= 'a' && (c | 32) <= 'z')) {
        return refuse(parser, "this escape is not supported; there are \\d \\w \\s \\D \\W \\S \\b "
                              "\\B \\t \\n \\r \\f \\v \\0 \\cX \\xHH \\uHHHH \\u{H}");
    } else {
        parser->p--;
        *ret = take_utf8(parser);
    }
    return true;
}

static struct pattern_node *character(struct parser *parser, uint32_t code)
{
    struct pattern_set set = {0};

    add_range(parser, &set, code, code);
    return pl_arena_failed(parser->arena) ? NULL : set_node(parser, &set, false);
}

/* ---- brackets ---- */

/* One character of a set, or a class (*ret_class), which is added. */
static bool take_member(struct parser *parser, struct pattern_set *set, uint32_t *ret,
                        bool *ret_class)
{
    char c;

    *ret_class = false;
    if (*parser->p != '\\') {
        *ret = take_utf8(parser);
        return true;
    }
    if (++parser->p == parser->end)
        return refuse(parser, "the pattern ends in a backslash");
    c = *parser->p++;
    *ret_class = add_class(parser, set, c);
    if (*ret_class)
        return true;
    if (c == 'b') {
        *ret = '\b';
        return true;
    }
    return escaped_character(parser, c, ret);
}

static struct pattern_node *bracket(struct parser *parser)
{
    bool negated = take(parser, "^");
    struct pattern_set set = {0};

    while (parser->p < parser->end && *parser->p != ']') {
        uint32_t from, to;
        bool class;

        if (!take_member(parser, &set, &from, &class))
            return NULL;
        to = from;
        if (!class && at(parser, "-") && parser->end - parser->p > 1 && parser->p[1] != ']') {
            parser->p++;
            if (!take_member(parser, &set, &to, &class))
                return NULL;
            if (class || to < from) {
                refuse(parser, "a range in [ ] goes from a lower to a higher character");
                return NULL;
            }
        }
        if (!class)
            add_range(parser, &set, from, to);
    }
    if (!take(parser, "]")) {
        refuse(parser, "a '[' has no ']'");
        return NULL;
    }
    return pl_arena_failed(parser->arena) ? NULL : set_node(parser, &set, negated);
}

/* ---- groups ---- */

/* What stands behind "(?", as the kind of group; false when there is no such group. */
static bool group_kind(struct parser *parser, struct pattern_node *node)
{
    const char *close;

    if (take(parser, ":"))
        return true;
    if (at(parser, "=") || at(parser, "!")) {
        node->kind = PATTERN_AHEAD;
        node->negated = *parser->p++ == '!';
    } else if (at(parser, "<=") || at(parser, "<!")) {
        node->kind = PATTERN_BEHIND;
        node->negated = parser->p[1] == '!';
        parser->p += 2;
    } else if (take(parser, "<")) {
        close = memchr(parser->p, '>', (size_t)(parser->end - parser->p));
        if (!close || close == parser->p)
            return refuse(parser, "a group's name has the form (?<name>...)");
        parser->p = close + 1;
        return true;
    } else {
        return refuse(parser, "there is no such group; there are (?:...), (?=...), (?!...), "
                              "(?<=...), (?<!...) and (?<name>...)");
    }
    if (parser->looks++ == PATTERN_LOOKS)
        return refuse(parser, "it looks around more than 16 times");
    return true;
}

/* A group, or what looks around; its '(' has been read. */
static struct pattern_node *group(struct parser *parser)
{
    struct pattern_node *node = new_node(parser, PATTERN_SEQUENCE), *inner;

    if (!node || (take(parser, "?") && !group_kind(parser, node)))
        return NULL;
    if (parser->depth++ == PATTERN_GROUPS) {
        refuse(parser, "groups are nested too deeply");
        return NULL;
    }
    inner = parse_choice(parser);
    if (!inner)
        return NULL;
    if (!take(parser, ")")) {
        refuse(parser, "a '(' has no ')'");
        return NULL;
    }
    parser->depth--;
    node->first = node->last = inner;
    return node;
}

/* ---- terms ---- */

static struct pattern_node *escape(struct parser *parser)
{
    struct pattern_set set = {0};
    uint32_t code;
    char c;

    if (parser->p == parser->end) {
        refuse(parser, "the pattern ends in a backslash");
        return NULL;
    }
    c = *parser->p++;
    if (c == 'b' || c == 'B')
        return new_node(parser, c == 'b' ? PATTERN_WORD : PATTERN_NO_WORD);
    if (add_class(parser, &set, c))
        return pl_arena_failed(parser->arena) ? NULL : set_node(parser, &set, false);
    return escaped_character(parser, c, &code) ? character(parser, code) : NULL;
}

static struct pattern_node *any_character(struct parser *parser)
{
    struct pattern_range ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
    struct pattern_set set = {.ranges = ends, .count = 3, .capacity = 3};

    return set_node(parser, &set, true);
}

static struct pattern_node *term(struct parser *parser)
{
    char c = *parser->p;

    if ((unsigned char)c >= 0x80)
        return character(parser, take_utf8(parser));
    parser->p++;
    switch (c) {
    case '\\':
        return escape(parser);
    case '[':
        return bracket(parser);
    case '(':
        return group(parser);
    case '.':
        return any_character(parser);
    case '^':
        return new_node(parser, PATTERN_BEGIN);
    case '$':
        return new_node(parser, PATTERN_END);
    case '*':
    case '+':
    case '?':
        refuse(parser, "there is nothing to repeat before '*', '+', '?' or '{'");
        return NULL;
    default:
        return character(parser, (unsigned char)c);
    }
}

/* Reads {n}, {n,} or {n,m}; false, and nothing read, when there is none: then '{' is itself. */
static bool take_braces(struct parser *parser, int *ret_least, int *ret_most)
{
    const char *p = parser->p + 1;
    int numbers[2] = {0, 0}, n = 0;

    if (!at(parser, "{"))
        return false;
    for (n = 0; n < 2; n++) {
        const char *digits = p;

        for (; p < parser->end && *p >= '0' && *p <= '9'; p++)
            if (numbers[n] <= PATTERN_REPEAT)
                numbers[n] = numbers[n] * 10 + (*p - '0');
        if (p == digits && n == 0)
            return false;
        if (p == digits)
            numbers[1] = PATTERN_ENDLESS;
        if (p == parser->end || *p != ',' || n == 1)
            break;
        p++;
    }
    if (p == parser->end || *p != '}')
        return false;
    parser->p = p + 1;
    *ret_least = numbers[0];
    *ret_most = n == 0 ? numbers[0] : numbers[1];
    return true;
}

static bool take_repetition(struct parser *parser, int *ret_least, int *ret_most)
{
    *ret_least = at(parser, "+") ? 1 : 0;
    *ret_most = at(parser, "?") ? 1 : PATTERN_ENDLESS;
    if (take_braces(parser, ret_least, ret_most))
        return true;
    return take(parser, "*") || take(parser, "+") || take(parser, "?");
}

/* The term with the repetition behind it, if there is one. */
static struct pattern_node *repeated(struct parser *parser, struct pattern_node *node)
{
    struct pattern_node *repeat;
    int least, most;

    if (!take_repetition(parser, &least, &most))
        return node;
    if (node->kind >= PATTERN_BEGIN) {
        refuse(parser, "there is nothing to repeat before '*', '+', '?' or '{'");
        return NULL;
    }
    if (least > PATTERN_REPEAT || most > PATTERN_REPEAT || (most >= 0 && least > most)) {
        refuse(parser, "a repetition {n,m} goes from a lower to a higher number, at most 1000");
        return NULL;
    }
    (void)take(parser, "?"); /* `*?` matches the same texts as `*` */
    if (take_repetition(parser, &(int){0}, &(int){0})) {
        refuse(parser, "there is nothing to repeat before '*', '+', '?' or '{'");
        return NULL;
    }
    repeat = new_node(parser, PATTERN_REPEAT_OF);
    if (!repeat)
        return NULL;
    repeat->first = repeat->last = node;
    repeat->least = least;
    repeat->most = most;
    return repeat;
}

static void add_child(struct pattern_node *parent, struct pattern_node *child)
{
    child->previous = parent->last;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
}

static struct pattern_node *parse_sequence(struct parser *parser)
{
    struct pattern_node *sequence = new_node(parser, PATTERN_SEQUENCE), *node;

    while (sequence && parser->p < parser->end && !at(parser, "|") && !at(parser, ")")) {
        node = term(parser);
        if (node)
            node = repeated(parser, node);
        if (!node)
            return NULL;
        add_child(sequence, node);
    }
    return sequence;
}

static struct pattern_node *parse_choice(struct parser *parser)
{
    struct pattern_node *choice = new_node(parser, PATTERN_CHOICE), *alternative;

    do {
        alternative = choice ? parse_sequence(parser) : NULL;
        if (!alternative)
            return NULL;
        add_child(choice, alternative);
    } while (take(parser, "|"));
    return choice;
}

struct pattern_node *pattern_parse(struct pl_arena *arena, struct pl_str pattern,
                                   const char **ret_why)
{
    struct parser parser = {.arena = arena, .p = pattern.ptr, .end = pattern.ptr + pattern.len};
    struct pattern_node *tree;

    *ret_why = NULL;
    if (pattern.len > PATTERN_BYTES) {
        *ret_why = "it is longer than 4096 bytes";
        return NULL;
    }
    tree = parse_choice(&parser);
    if (tree && parser.p < parser.end)
        refuse(&parser, "a ')' has no '('");
    *ret_why = parser.why;
    return parser.why || pl_arena_failed(arena) ? NULL : tree;
}
