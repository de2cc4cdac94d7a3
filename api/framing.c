/* framing.c - the check of a request's head. See framing.h. Not thread-bound: pure functions. */
#include "api/framing.h"

#include "base/utf8.h"

#include <string.h>
#include <strings.h>

static enum pl_code refuse(struct pl_err *err, const char *what)
{
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "%s", what);
}

static bool is_token(struct pl_str text)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
            continue;
        if (c == '\0' || !strchr(marks, c))
            return false;
    }
    return text.len > 0;
}

static bool has_controls(struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static bool same_word(struct pl_str a, const char *b)
{
    return a.len == strlen(b) && strncasecmp(a.ptr, b, a.len) == 0;
}

static struct pl_str trim(struct pl_str text)
{
    while (text.len && (*text.ptr == ' ' || *text.ptr == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* ---- headers ---- */

static enum pl_code read_length(struct pl_str value, struct framing_facts *facts,
                                struct pl_err *err)
{
    uint64_t length = 0;

    if (value.len == 0)
        return refuse(err, "Content-Length is empty");
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c < '0' || c > '9')
            return refuse(err, "Content-Length is not a number");
        if (length > (UINT64_MAX - 9) / 10)
            return pl_err_set(err, PL_ERR_TOO_LARGE, "the body is too large");
        length = length * 10 + (uint64_t)(c - '0');
    }
    facts->length = length;
    facts->has_length = true;
    return PL_OK;
}

/* Headers of which one in a head is enough: a second is how two servers come to disagree, and what
 * a client means by two keys or two places to go on from nobody can tell. */
static const char *const once[] = {
    "Content-Length", "Transfer-Encoding", "Host",          "Content-Type", "Expect",
    "Origin",         "Idempotency-Key",   "Last-Event-ID",
};

/* Has it been there before? `seen`: a bit for each of `once`. */
static enum pl_code check_once(struct pl_str name, unsigned *seen, struct pl_err *err)
{
    for (unsigned i = 0; i < PL_ARRAY_LEN(once); i++) {
        if (!same_word(name, once[i]))
            continue;
        if (*seen & 1u << i)
            return pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "%s is given more than once", once[i]);
        *seen |= 1u << i;
    }
    return PL_OK;
}

static enum pl_code read_header(const struct framing_header *header, struct framing_facts *facts,
                                struct pl_err *err)
{
    struct pl_str value = trim(header->value);

    if (!is_token(header->name))
        return refuse(err, "a header name is not a token");
    if (has_controls(header->value))
        return refuse(err, "a header value has control characters");
    if (same_word(header->name, "content-length"))
        return read_length(value, facts, err);
    if (same_word(header->name, "transfer-encoding")) {
        if (!same_word(value, "chunked"))
            return refuse(err, "the only Transfer-Encoding is chunked");
        facts->chunked = true;
    } else if (same_word(header->name, "host")) {
        facts->host = value;
    } else if (same_word(header->name, "origin")) {
        facts->origin = value;
    } else if (same_word(header->name, "expect")) {
        if (!same_word(value, "100-continue"))
            return refuse(err, "the only Expect is 100-continue");
        facts->expect_continue = true;
    }
    return PL_OK;
}

static enum pl_code check_size(const struct framing_head *head, struct pl_err *err)
{
    size_t bytes = 0;

    if (head->target.len > FRAMING_TARGET_MAX)
        return pl_err_set(err, PL_ERR_TARGET_TOO_LONG, "the target is longer than %d bytes",
                          FRAMING_TARGET_MAX);
    if (head->count > FRAMING_HEADERS_MAX)
        return pl_err_set(err, PL_ERR_HEADERS_TOO_LARGE, "there are more than %d headers",
                          FRAMING_HEADERS_MAX);
    for (size_t i = 0; i < head->count; i++)
        bytes += head->headers[i].name.len + head->headers[i].value.len + 4;
    if (bytes > FRAMING_BYTES_MAX)
        return pl_err_set(err, PL_ERR_HEADERS_TOO_LARGE, "the headers are more than %d bytes",
                          FRAMING_BYTES_MAX);
    return PL_OK;
}

enum pl_code framing_check(const struct framing_head *head, struct framing_facts *ret_facts,
                           struct pl_err *err)
{
    struct framing_facts facts = {0};
    unsigned seen = 0;
    bool body;

    if (check_size(head, err) != PL_OK)
        return err ? err->code : PL_ERR_HEADERS_TOO_LARGE;
    if (!is_token(head->method))
        return refuse(err, "the method is not a token");
    if (!pl_str_is(head->version, "HTTP/1.1") && !pl_str_is(head->version, "HTTP/1.0"))
        return refuse(err, "the version is neither HTTP/1.1 nor HTTP/1.0");
    for (size_t i = 0; i < head->count; i++) {
        enum pl_code code = check_once(head->headers[i].name, &seen, err);

        if (code == PL_OK)
            code = read_header(&head->headers[i], &facts, err);
        if (code != PL_OK)
            return code;
    }
    if (facts.host.len == 0)
        return refuse(err, "Host is missing");
    if (facts.chunked && facts.has_length)
        return refuse(err, "Content-Length and Transfer-Encoding do not go together");
    if (facts.chunked && pl_str_is(head->version, "HTTP/1.0"))
        return refuse(err, "HTTP/1.0 knows no Transfer-Encoding");
    body = facts.chunked || facts.length > 0;
    if (body && (pl_str_is(head->method, "GET") || pl_str_is(head->method, "HEAD") ||
                 pl_str_is(head->method, "DELETE")))
        return refuse(err, "GET, HEAD and DELETE take no body");
    *ret_facts = facts;
    return PL_OK;
}

/* ---- target ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum pl_code framing_decode(struct pl_arena *arena, struct pl_str text, bool plus,
                            struct pl_str *ret_text, struct pl_err *err)
{
    char *out = pl_arena_alloc(arena, text.len + 1);
    size_t len = 0;

    if (!out)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            bool whole = text.len - i > 2;
            int high = whole ? hex_digit(text.ptr[i + 1]) : -1;
            int low = whole ? hex_digit(text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return refuse(err, "a % in the target is not followed by two hexadecimal digits");
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[len++] = c;
    }
    for (size_t i = 0; i < len;) {
        unsigned n = pl_utf8_length(out + i, len - i);

        if (n == 0 || (n == 1 && ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)))
            return refuse(err, "the target is not UTF-8, or has control characters");
        i += n;
    }
    out[len] = '\0';
    *ret_text = pl_str_n(out, len);
    return PL_OK;
}

static bool has_escape(struct pl_str path, char high, const char *lows)
{
    for (size_t i = 0; i + 2 < path.len; i++)
        if (path.ptr[i] == '%' && path.ptr[i + 1] == high && strchr(lows, path.ptr[i + 2]))
            return true;
    return false;
}

static bool has_dot_segment(struct pl_str path)
{
    const char *at = path.ptr, *end = path.ptr + path.len;

    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        struct pl_str segment = pl_str_n(at, (size_t)((slash ? slash : end) - at));

        if (pl_str_is(segment, ".") || pl_str_is(segment, ".."))
            return true;
        if (!slash)
            break;
        at = slash + 1;
    }
    return false;
}

enum pl_code framing_split_target(struct pl_arena *arena, struct pl_str target,
                                  struct pl_str *ret_path, struct pl_str *ret_query,
                                  struct pl_err *err)
{
    const char *mark = target.len ? memchr(target.ptr, '?', target.len) : NULL;
    struct pl_str path = pl_str_n(target.ptr, mark ? (size_t)(mark - target.ptr) : target.len);
    struct pl_str decoded = {0};
    enum pl_code code;

    if (target.len == 0 || target.ptr[0] != '/')
        return refuse(err, "the target does not start with '/'");
    for (size_t i = 0; i < target.len; i++)
        if (target.ptr[i] <= 0x20 || target.ptr[i] >= 0x7f || target.ptr[i] == '#')
            return refuse(err, "the target has bytes that must be escaped");
    if (memchr(path.ptr, '\\', path.len) || has_escape(path, '0', "0") ||
        has_escape(path, '2', "fF") || has_escape(path, '5', "cC"))
        return refuse(err, "the path has a backslash, or an escaped slash, backslash or NUL");
    code = framing_decode(arena, path, false, &decoded, err);
    if (code != PL_OK)
        return code;
    if (has_dot_segment(decoded))
        return refuse(err, "the path has dot segments");
    *ret_path = decoded;
    *ret_query = mark ? pl_str_n(mark + 1, target.len - path.len - 1) : (struct pl_str){0};
    return PL_OK;
}

/* ---- names ---- */

static bool is_loopback_number(struct pl_str name)
{
    unsigned dots = 0, digits = 0, number = 0;

    if (!pl_str_starts(name, PL_STR("127.")))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (c == '.') {
            if (digits == 0)
                return false;
            dots++;
            digits = number = 0;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (unsigned)(c - '0');
        if (++digits > 3 || number > 255)
            return false;
    }
    return dots == 3 && digits > 0;
}

static bool ends_with(struct pl_str text, const char *end)
{
    size_t len = strlen(end);

    return text.len >= len && strncasecmp(text.ptr + text.len - len, end, len) == 0;
}

bool framing_host_is_loopback(struct pl_str host)
{
    size_t len = host.len;

    /* a port: digits behind the last colon */
    while (len > 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
        len--;
    if (len > 0 && host.ptr[len - 1] == ':')
        host.len = len - 1;
    return same_word(host, "localhost") || same_word(host, "[::1]") ||
           ends_with(host, ".localhost") || is_loopback_number(host);
}

bool framing_origin_is_loopback(struct pl_str origin)
{
    const struct pl_str schemes[] = {PL_STR("http://"), PL_STR("https://")};

    for (size_t i = 0; i < PL_ARRAY_LEN(schemes); i++)
        if (pl_str_starts(origin, schemes[i]))
            return framing_host_is_loopback(
                pl_str_n(origin.ptr + schemes[i].len, origin.len - schemes[i].len));
    return false;
}
