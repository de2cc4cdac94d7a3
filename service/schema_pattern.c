/* schema_pattern.c - patterns of a schema as POSIX regular expressions. Called by schema_compile.c
 * (once, to refuse bad ones) and schema.c (to match). */
#include "service/schema_pattern.h"

#include "base/buf.h"

#include <locale.h>
#include <pthread.h>

enum {
    PATTERN_BYTES = 1024,
    PATTERN_GROUPS = 32,   /* nesting */
    PATTERN_STATES = 4000, /* characters and classes with repetitions written out */
    PATTERN_RANGE = 512,   /* characters past ASCII in one range */
    PATTERN_REPEAT = 1000, /* the largest number in braces */
    PATTERN_OUTPUT = 1 << 20,
};

struct translator {
    const char *p, *end;
    struct pl_buf out;
    const char *why;                  /* set once it has failed */
    unsigned depth;                   /* open groups */
    size_t sizes[PATTERN_GROUPS + 1]; /* states so far, by group */
    size_t last;                      /* states of the last atom; 0: nothing to repeat */
    bool repeated;                    /* the last thing was a repetition */
};

static bool refuse(struct translator *translator, const char *why)
{
    translator->why = why;
    return false;
}

static void atom(struct translator *translator, size_t states)
{
    translator->last = states;
    translator->sizes[translator->depth] += states;
    translator->repeated = false;
}

/* ---- characters ---- */

static void put_utf8(struct pl_buf *out, unsigned code)
{
    if (code < 0x80) {
        pl_buf_char(out, (char)code);
    } else if (code < 0x800) {
        pl_buf_char(out, (char)(0xC0 | code >> 6));
        pl_buf_char(out, (char)(0x80 | (code & 0x3F)));
    } else if (code < 0x10000) {
        pl_buf_char(out, (char)(0xE0 | code >> 12));
        pl_buf_char(out, (char)(0x80 | (code >> 6 & 0x3F)));
        pl_buf_char(out, (char)(0x80 | (code & 0x3F)));
    } else {
        pl_buf_char(out, (char)(0xF0 | code >> 18));
        pl_buf_char(out, (char)(0x80 | (code >> 12 & 0x3F)));
        pl_buf_char(out, (char)(0x80 | (code >> 6 & 0x3F)));
        pl_buf_char(out, (char)(0x80 | (code & 0x3F)));
    }
}

/* The next character of the pattern, which is UTF-8 that has been checked. */
static unsigned take_utf8(struct translator *translator)
{
    unsigned char first = (unsigned char)*translator->p++;
    unsigned more = first < 0xC0 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    unsigned code = more ? first & (0x3Fu >> more) : first;

    while (more-- > 0 && translator->p < translator->end)
        code = code << 6 | ((unsigned char)*translator->p++ & 0x3F);
    return code;
}

static bool take_hex(struct translator *translator, unsigned digits, unsigned *ret)
{
    unsigned code = 0;

    for (unsigned i = 0; i < digits; i++, translator->p++) {
        char c = translator->p < translator->end ? *translator->p : 'x';

        if (c >= '0' && c <= '9')
            code = code * 16 + (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            code = code * 16 + (unsigned)((c | 32) - 'a') + 10;
        else
            return refuse(translator, "\\x takes two hexadecimal digits, \\u four");
    }
    *ret = code;
    return code != 0 || refuse(translator, "the character NUL cannot be matched");
}

/* The character that `\c` stands for; `c` has been read. */
static bool escaped_character(struct translator *translator, char c, unsigned *ret)
{
    static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
    const char *found = c ? strchr(from, c) : NULL;

    if (found)
        *ret = (unsigned char)to[found - from];
    else if (c == 'x' || c == 'u')
        return take_hex(translator, c == 'x' ? 2 : 4, ret);
    else if (c >= '1' && c <= '9')
        return refuse(translator, "back-references such as \\1 are not supported");
    else if (c == '0' || ((c | 32) >= 'a' && (c | 32) <= 'z'))
        return refuse(translator, "this escape is not supported; there are \\d \\w \\s \\D \\W "
                                  "\\S \\b \\B \\t \\n \\r \\f \\v \\xHH \\uHHHH");
    else {
        translator->p--;
        *ret = take_utf8(translator);
    }
    return true;
}

static void literal(struct translator *translator, unsigned code)
{
    if (code < 0x80 && code && strchr("\\^$.[|()*+?{", (int)code))
        pl_buf_char(&translator->out, '\\');
    put_utf8(&translator->out, code);
    atom(translator, 1);
}

/* ---- brackets ---- */

struct set {
    bool ascii[128];
    struct pl_buf others; /* characters past ASCII as they are written out */
};

static void add_range(struct set *set, unsigned from, unsigned to)
{
    for (unsigned c = from; c <= to && c < 128; c++)
        set->ascii[c] = true;
    for (unsigned c = from < 128 ? 128 : from; c <= to; c++)
        put_utf8(&set->others, c); /* the C library has no ranges of such characters */
}

/* \d, \w or \s; false when it is none of them. */
static bool add_class(struct set *set, char c)
{
    if (c == 's') {
        add_range(set, '\t', '\r');
        add_range(set, ' ', ' ');
    } else if (c == 'd' || c == 'w') {
        add_range(set, '0', '9');
    }
    if (c == 'w') {
        add_range(set, 'a', 'z');
        add_range(set, 'A', 'Z');
        add_range(set, '_', '_');
    }
    return c == 's' || c == 'd' || c == 'w';
}

/* POSIX has no escapes in brackets: what is special goes where it is not. */
static void put_set(struct translator *translator, const struct set *set, bool negated)
{
    struct pl_buf *out = &translator->out;
    bool caret_first;
    size_t start;

    pl_buf_text(out, negated ? "[^" : "[");
    start = out->len;
    if (set->ascii[']'])
        pl_buf_char(out, ']');
    for (unsigned c = 1; c < 128; c++)
        if (set->ascii[c] && !strchr("[]^-", (int)c))
            pl_buf_char(out, (char)c);
    pl_buf_str(out, pl_buf_view(&set->others));
    if (set->ascii['['])
        pl_buf_char(out, '[');
    caret_first = set->ascii['^'] && !negated && out->len == start;
    if (caret_first && !set->ascii['-']) { /* nothing but a caret, which would negate */
        out->len = start - 1;
        pl_buf_text(out, "\\^");
        return;
    }
    pl_buf_text(out, caret_first ? "-^" : set->ascii['^'] ? "^" : "");
    pl_buf_text(out, set->ascii['-'] && !caret_first ? "-]" : "]");
}

/* One character of a set, or a class (*ret_class). */
static bool take_member(struct translator *translator, struct set *set, unsigned *ret,
                        bool *ret_class)
{
    char c;

    *ret_class = false;
    if (*translator->p != '\\') {
        *ret = take_utf8(translator);
        return true;
    }
    if (++translator->p == translator->end)
        return refuse(translator, "the pattern ends in a backslash");
    c = *translator->p++;
    *ret_class = add_class(set, c);
    if (*ret_class)
        return true;
    if (c == 'b') {
        *ret = '\b';
        return true;
    }
    if (c == 'D' || c == 'W' || c == 'S')
        return refuse(translator, "\\D, \\W and \\S cannot stand inside [ ]");
    return escaped_character(translator, c, ret);
}

static bool take_set(struct translator *translator, struct set *set)
{
    while (translator->p < translator->end && *translator->p != ']') {
        unsigned from, to;
        bool class;

        if (!take_member(translator, set, &from, &class))
            return false;
        to = from;
        if (!class && translator->end - translator->p > 1 && translator->p[0] == '-' &&
            translator->p[1] != ']') {
            translator->p++;
            if (!take_member(translator, set, &to, &class))
                return false;
            if (class || to < from)
                return refuse(translator, "a range in [ ] goes from a lower to a higher character");
        }
        if (to >= 128 && to - from > PATTERN_RANGE)
            return refuse(translator, "a range of more than 512 characters past ASCII is not "
                                      "supported");
        if (!class)
            add_range(set, from, to);
    }
    if (translator->p == translator->end)
        return refuse(translator, "a '[' has no ']'");
    translator->p++;
    return true;
}

static bool bracket(struct translator *translator)
{
    bool negated = translator->p < translator->end && *translator->p == '^', good;
    struct set set = {0};

    translator->p += negated;
    if (translator->p < translator->end && *translator->p == ']')
        return refuse(translator, "[] and [^] match nothing and anything; write another pattern");
    pl_buf_init(&set.others, PATTERN_OUTPUT);
    good = take_set(translator, &set);
    if (good)
        put_set(translator, &set, negated);
    if (pl_buf_failed(&set.others))
        translator->out.failed = true;
    pl_buf_finish(&set.others);
    atom(translator, 1);
    return good;
}

/* ---- the rest ---- */

static bool escape(struct translator *translator)
{
    struct set set = {0};
    unsigned code;
    char c;

    if (translator->p == translator->end)
        return refuse(translator, "the pattern ends in a backslash");
    c = *translator->p++;
    if (c == 'b' || c == 'B') {
        pl_buf_printf(&translator->out, "\\%c", c);
        translator->last = 0;
        translator->repeated = false;
        return true;
    }
    if (add_class(&set, c == 'D' || c == 'W' || c == 'S' ? (char)(c | 32) : c)) {
        put_set(translator, &set, c < 'a');
        atom(translator, 1);
        return true;
    }
    if (!escaped_character(translator, c, &code))
        return false;
    literal(translator, code);
    return true;
}

static bool open_group(struct translator *translator)
{
    if (translator->p < translator->end && *translator->p == '?') {
        if (translator->end - translator->p < 2 || translator->p[1] != ':')
            return refuse(translator, "look-around and named groups are not supported");
        translator->p += 2;
    }
    if (translator->depth == PATTERN_GROUPS)
        return refuse(translator, "groups are nested too deeply");
    pl_buf_char(&translator->out, '(');
    translator->sizes[++translator->depth] = 1;
    translator->last = 0;
    translator->repeated = false;
    return true;
}

static bool close_group(struct translator *translator)
{
    if (translator->depth == 0)
        return refuse(translator, "a ')' has no '('");
    pl_buf_char(&translator->out, ')');
    translator->depth--;
    atom(translator, translator->sizes[translator->depth + 1]);
    return true;
}

/* Reads {n}, {n,} or {n,m} behind its brace; false, and nothing read, when it is none. */
static bool take_braces(struct translator *translator, unsigned *ret_least, unsigned *ret_most)
{
    const char *p = translator->p;
    unsigned numbers[2] = {0, 0}, n = 0;

    for (n = 0; n < 2; n++) {
        const char *digits = p;

        for (; p < translator->end && *p >= '0' && *p <= '9'; p++)
            if (numbers[n] <= PATTERN_REPEAT)
                numbers[n] = numbers[n] * 10 + (unsigned)(*p - '0');
        if (p == digits && n == 0)
            return false;
        if (p == digits)
            numbers[1] = UINT32_MAX;
        if (p == translator->end || *p != ',' || n == 1)
            break;
        p++;
    }
    if (p == translator->end || *p != '}')
        return false;
    translator->p = p + 1;
    *ret_least = numbers[0];
    *ret_most = n == 0 ? numbers[0] : numbers[1];
    return true;
}

static bool repeat(struct translator *translator, char c)
{
    unsigned least = 0, most = 1, times;

    if (c == '{' && !take_braces(translator, &least, &most)) {
        literal(translator, '{');
        return true;
    }
    if (translator->repeated && c == '?') { /* `*?` matches the same texts as `*` */
        translator->last = 0;
        translator->repeated = false;
        return true;
    }
    if (translator->last == 0 || translator->repeated)
        return refuse(translator, "there is nothing to repeat before '*', '+', '?' or '{'");
    if (c != '{') {
        pl_buf_char(&translator->out, c);
    } else {
        times = most == UINT32_MAX ? least + 1 : most;
        if (times > PATTERN_REPEAT || (most != UINT32_MAX && least > most))
            return refuse(translator, "a repetition {n,m} goes from a lower to a higher number, "
                                      "at most 1000");
        translator->sizes[translator->depth] += translator->last * times;
        if (most == UINT32_MAX)
            pl_buf_printf(&translator->out, "{%u,}", least);
        else
            pl_buf_printf(&translator->out, "{%u,%u}", least, most);
    }
    translator->repeated = true;
    return true;
}

static bool next(struct translator *translator)
{
    char c = *translator->p;

    if ((unsigned char)c >= 0x80) {
        literal(translator, take_utf8(translator));
        return true;
    }
    translator->p++;
    switch (c) {
    case '\\':
        return escape(translator);
    case '[':
        return bracket(translator);
    case '(':
        return open_group(translator);
    case ')':
        return close_group(translator);
    case '*':
    case '+':
    case '?':
    case '{':
        return repeat(translator, c);
    case '.':
        pl_buf_text(&translator->out, "[^\n\r]");
        atom(translator, 1);
        return true;
    case '|':
    case '^':
    case '$':
        pl_buf_char(&translator->out, c);
        translator->last = 0;
        translator->repeated = false;
        return true;
    default:
        literal(translator, (unsigned char)c);
        return true;
    }
}

static const char *translate(struct translator *translator)
{
    while (translator->p < translator->end) {
        if (!next(translator))
            return translator->why;
        if (translator->sizes[translator->depth] > PATTERN_STATES)
            return "it is too large with its repetitions written out";
    }
    return translator->depth ? "a '(' has no ')'" : NULL;
}

/* The arena carries failures of the heap to the caller. */
static void fail_arena(struct pl_arena *arena)
{
    (void)pl_arena_alloc_array(arena, SIZE_MAX, 2);
}

/* NULL also when out of memory: then the arena has failed. */
static const char *try_compile(struct pl_arena *arena, const char *translated)
{
    char message[128];
    regex_t regex;
    int error = schema_pattern_compile(translated, &regex);

    if (error == 0) {
        regfree(&regex);
        return NULL;
    }
    if (error == REG_ESPACE)
        fail_arena(arena);
    (void)regerror(error, NULL, message, sizeof(message));
    return pl_arena_strdup(arena, message);
}

const char *schema_pattern_translate(struct pl_arena *arena, struct pl_str pattern,
                                     const char **ret_why)
{
    struct translator translator = {.p = pattern.ptr, .end = pattern.ptr + pattern.len};
    const char *translated = NULL;

    *ret_why = NULL;
    if (pattern.len > PATTERN_BYTES) {
        *ret_why = "it is longer than 1024 bytes";
        return NULL;
    }
    pl_buf_init(&translator.out, PATTERN_OUTPUT);
    *ret_why = translate(&translator);
    if (!*ret_why) {
        translated = pl_arena_str(arena, pl_buf_view(&translator.out)).ptr;
        if (pl_buf_failed(&translator.out) || !translated)
            fail_arena(arena);
        else
            *ret_why = try_compile(arena, translated);
    }
    pl_buf_finish(&translator.out);
    return *ret_why || pl_arena_failed(arena) ? NULL : translated;
}

/* ---- matching, in a locale where a character is a code point ---- */

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t utf8_locale; /* set once; (locale_t)0 when the system has none: bytes, then */

static void open_locale(void)
{
    utf8_locale = newlocale(LC_CTYPE_MASK | LC_COLLATE_MASK, "C.UTF-8", (locale_t)0);
}

/* Gives the locale to go back to. */
static locale_t enter_locale(void)
{
    (void)pthread_once(&locale_once, open_locale);
    return uselocale(utf8_locale); /* (locale_t)0 changes nothing */
}

int schema_pattern_compile(const char *translated, regex_t *ret_regex)
{
    locale_t before = enter_locale();
    int error = regcomp(ret_regex, translated, REG_EXTENDED | REG_NOSUB);

    (void)uselocale(before);
    return error;
}

/* re_search, because regexec takes an error for "no match". */
int schema_pattern_match(regex_t *regex, struct pl_str text)
{
    locale_t before = enter_locale();
    regoff_t length = (regoff_t)text.len;
    regoff_t found = re_search(regex, text.ptr, length, 0, length, NULL);

    (void)uselocale(before);
    if (found >= 0)
        return 0;
    return found == -1 ? REG_NOMATCH : REG_ESPACE;
}
