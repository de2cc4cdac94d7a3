/* net_policy.c - judges one binary address: the tables of what is not public, the unwrapping of
 * IPv4 inside IPv6, and what the operator allowed. Not a resolver. Asked by http_call.c in the
 * open-socket callback, for each address in turn. */
#include "service/net/net_policy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>

struct net_range {
    struct net_range *next;
    uint8_t bytes[16];
    unsigned length; /* bytes in use: 4 or 16 */
    unsigned bits;
    unsigned port; /* 0: any */
};

struct net_policy {
    struct pl_arena *arena;
    struct net_range *allowed;
    uint64_t id;
};

/* An address as its bytes. */
struct net_address {
    uint8_t bytes[16];
    unsigned length;
    unsigned port;
};

struct net_denied {
    uint8_t bytes[16];
    unsigned bits;
    const char *what;
};

static const struct net_denied denied4[] = {
    {{0}, 8, "this network"},
    {{10}, 8, "a private network"},
    {{100, 64}, 10, "carrier-grade NAT"},
    {{127}, 8, "loopback"},
    {{169, 254}, 16, "link-local"},
    {{172, 16}, 12, "a private network"},
    {{192, 0, 0}, 24, "reserved"},
    {{192, 0, 2}, 24, "documentation"},
    {{192, 88, 99}, 24, "the 6to4 relay"},
    {{192, 168}, 16, "a private network"},
    {{198, 18}, 15, "a benchmark network"},
    {{198, 51, 100}, 24, "documentation"},
    {{203, 0, 113}, 24, "documentation"},
    {{224}, 4, "multicast"},
    {{240}, 4, "reserved"},
};

/* Only 2000::/3 is handed out, so the rest needs no row, but a row says better why. */
static const struct net_denied denied6[] = {
    {{0}, 128, "unspecified"},
    {{[15] = 1}, 128, "loopback"},
    {{0xfc}, 7, "a private network"},
    {{0xfe, 0x80}, 10, "link-local"},
    {{0xfe, 0xc0}, 10, "site-local"},
    {{0xff}, 8, "multicast"},
    {{0x01, 0x00}, 64, "discard-only"},
    {{0x20, 0x01, 0x00, 0x02}, 48, "a benchmark network"},
    {{0x20, 0x01, 0x00, 0x10}, 28, "ORCHID"},
    {{0x20, 0x01, 0x00, 0x20}, 28, "ORCHID"},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, "documentation"},
    {{0x3f, 0xff}, 20, "documentation"},
};

/* Where clouds hand out credentials to whoever can ask. No allowance opens them. */
static const struct net_denied metadata4[] = {
    {{169, 254, 169, 254}, 32, "cloud metadata"}, {{169, 254, 170, 2}, 32, "cloud metadata"},
    {{169, 254, 170, 23}, 32, "cloud metadata"},  {{100, 100, 100, 200}, 32, "cloud metadata"},
    {{168, 63, 129, 16}, 32, "cloud metadata"},   {{192, 0, 0, 192}, 32, "cloud metadata"},
};
static const struct net_denied metadata6[] = {
    {{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54}, 128, "cloud metadata"},
    {{0xfd, 0x00, 0x0e, 0xc2, [15] = 0x23}, 128, "cloud metadata"},
    {{0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54}, 128, "cloud metadata"},
};

static bool prefix_matches(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    unsigned mask = 0xff00u >> rest & 0xffu;

    return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static const char *find_denied(const struct net_denied *table, size_t n, const uint8_t *bytes)
{
    for (size_t i = 0; i < n; i++) {
        if (prefix_matches(bytes, table[i].bytes, table[i].bits))
            return table[i].what;
    }
    return NULL;
}

static bool is_allowed(const struct net_policy *policy, const struct net_address *address)
{
    for (const struct net_range *range = policy->allowed; range; range = range->next) {
        if (range->length == address->length &&
            (range->port == 0 || range->port == address->port) &&
            prefix_matches(address->bytes, range->bytes, range->bits))
            return true;
    }
    return false;
}

static struct net_address embedded(const struct net_address *outer, const uint8_t bytes[4])
{
    struct net_address inner = {.length = 4, .port = outer->port};

    memcpy(inner.bytes, bytes, 4);
    return inner;
}

enum { INNER_MAX = 2 };

/* The IPv4 addresses that an IPv6 address leads to: a tunnel has two ends, and each counts. */
static size_t unwrap(const struct net_address *outer, struct net_address inner[INNER_MAX])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, compatible[12] = {0};
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t nat64_local[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01};
    static const uint8_t teredo[4] = {0x20, 0x01, 0x00, 0x00};
    const uint8_t *b = outer->bytes;

    if (memcmp(b, compatible, 12) == 0) {
        if (b[12] == 0 && b[13] == 0 && b[14] == 0 && b[15] <= 1)
            return 0; /* :: and ::1 are themselves */
        inner[0] = embedded(outer, b + 12);
        return 1;
    }
    if (memcmp(b, mapped, 12) == 0 || memcmp(b, nat64, 12) == 0) {
        inner[0] = embedded(outer, b + 12);
        return 1;
    }
    if (memcmp(b, nat64_local, 6) ==
        0) { /* RFC 6052: at the end of a /96, or round octet 8 of a /48 */
        const uint8_t split[4] = {b[6], b[7], b[9], b[10]};

        inner[0] = embedded(outer, b + 12);
        inner[1] = embedded(outer, split);
        return memcmp(split, compatible, 4) == 0 ? 1 : 2;
    }
    if (b[0] == 0x20 && b[1] == 0x02) {
        inner[0] = embedded(outer, b + 2);
        return 1;
    }
    if (memcmp(b, teredo, 4) == 0) {
        const uint8_t client[4] = {b[12] ^ 0xffu, b[13] ^ 0xffu, b[14] ^ 0xffu, b[15] ^ 0xffu};

        inner[0] = embedded(outer, client);
        inner[1] = embedded(outer, b + 4);
        return 2;
    }
    return 0;
}

/* Why not; NULL when it may be. */
static const char *judge4(const struct net_policy *policy, const struct net_address *address)
{
    const char *what = find_denied(metadata4, PL_ARRAY_LEN(metadata4), address->bytes);

    if (what || is_allowed(policy, address))
        return what;
    return find_denied(denied4, PL_ARRAY_LEN(denied4), address->bytes);
}

static const char *judge6(const struct net_policy *policy, const struct net_address *address)
{
    struct net_address inner[INNER_MAX];
    size_t n = unwrap(address, inner);
    const char *what = find_denied(metadata6, PL_ARRAY_LEN(metadata6), address->bytes);
    bool allowed = is_allowed(policy, address);

    for (size_t i = 0; i < n && !what; i++)
        what = allowed ? find_denied(metadata4, PL_ARRAY_LEN(metadata4), inner[i].bytes)
                       : judge4(policy, &inner[i]);
    if (what || allowed || n)
        return what;
    what = find_denied(denied6, PL_ARRAY_LEN(denied6), address->bytes);
    return what || (address->bytes[0] & 0xe0) == 0x20 ? what : "outside 2000::/3";
}

/* False for another family. */
static bool address_from(const struct sockaddr *from, struct net_address *ret)
{
    *ret = (struct net_address){0};
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, from, sizeof in);
        memcpy(ret->bytes, &in.sin_addr, 4);
        ret->length = 4;
        ret->port = ntohs(in.sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in;

        memcpy(&in, from, sizeof in);
        memcpy(ret->bytes, &in.sin6_addr, 16);
        ret->length = 16;
        ret->port = ntohs(in.sin6_port);
        return true;
    }
    return false;
}

bool net_policy_permits(const struct net_policy *policy, const struct sockaddr *address,
                        struct pl_err *err)
{
    struct net_address judged;
    char text[INET6_ADDRSTRLEN];
    const char *what;

    if (!address_from(address, &judged)) {
        pl_err_set(err, PL_ERR_ADDRESS_DENIED, "only IPv4 and IPv6 addresses may be called");
        return false;
    }
    if (!policy)
        return true;
    what = judged.length == 4 ? judge4(policy, &judged) : judge6(policy, &judged);
    if (!what)
        return true;
    if (!inet_ntop(judged.length == 4 ? AF_INET : AF_INET6, judged.bytes, text, sizeof text))
        text[0] = '\0';
    pl_err_set(
        err, PL_ERR_ADDRESS_DENIED,
        "%s%s%s:%u may not be called: it is %s, not a public address; network.allow_private in the "
        "configuration can allow private ones",
        judged.length == 4 ? "" : "[", text, judged.length == 4 ? "" : "]", judged.port, what);
    return false;
}

/* A new number for each state that a policy has been in, so that connections opened under one are
 * never used under another, also where a later policy lies at the same address. */
static uint64_t next_id(void)
{
    static atomic_uint_fast64_t last;

    return atomic_fetch_add(&last, 1) + 1;
}

struct net_policy *net_policy_create(struct pl_arena *arena)
{
    struct net_policy *policy = pl_arena_alloc(arena, sizeof *policy);

    if (!policy)
        return NULL;
    policy->arena = arena;
    policy->id = next_id();
    return policy;
}

uint64_t net_policy_id(const struct net_policy *policy)
{
    return policy ? policy->id : 0;
}

/* A decimal number of up to five digits, nothing else. */
static bool parse_number(struct pl_str text, unsigned max, unsigned *ret_number)
{
    unsigned number = 0;

    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        number = number * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *ret_number = number;
    return number <= max;
}

static bool parse_ip(struct pl_str text, struct net_range *range)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, range->bytes) == 1)
        range->length = 4;
    else if (inet_pton(AF_INET6, copy, range->bytes) == 1)
        range->length = 16;
    else
        return false;
    range->bits = range->length * 8;
    return true;
}

/* "[v6]", "[v6]:port" */
static bool parse_bracketed(struct pl_str text, struct net_range *range)
{
    const char *end = memchr(text.ptr, ']', text.len);
    struct pl_str rest;

    if (!end || !parse_ip(pl_str_n(text.ptr + 1, (size_t)(end - text.ptr) - 1), range) ||
        range->length != 16)
        return false;
    rest = pl_str_n(end + 1, text.len - (size_t)(end + 1 - text.ptr));
    if (rest.len == 0)
        return true;
    return rest.ptr[0] == ':' &&
           parse_number(pl_str_n(rest.ptr + 1, rest.len - 1), 65535, &range->port) && range->port;
}

static bool parse_range(struct pl_str text, struct net_range *range)
{
    const char *slash = text.len ? memchr(text.ptr, '/', text.len) : NULL;
    const char *colon = text.len ? memchr(text.ptr, ':', text.len) : NULL;
    size_t head;

    if (text.len && text.ptr[0] == '[')
        return parse_bracketed(text, range);
    if (slash) {
        head = (size_t)(slash - text.ptr);
        return parse_ip(pl_str_n(text.ptr, head), range) &&
               parse_number(pl_str_n(slash + 1, text.len - head - 1), range->bits, &range->bits);
    }
    if (parse_ip(text, range))
        return true;
    if (!colon)
        return false;
    head = (size_t)(colon - text.ptr);
    return parse_ip(pl_str_n(text.ptr, head), range) &&
           parse_number(pl_str_n(colon + 1, text.len - head - 1), 65535, &range->port) &&
           range->port;
}

/* Bits behind the prefix are more likely a slip than meant. */
static bool has_host_bits(const struct net_range *range)
{
    for (unsigned bit = range->bits; bit < range->length * 8; bit++) {
        if (range->bytes[bit / 8] >> (7 - bit % 8) & 1)
            return true;
    }
    return false;
}

enum pl_code net_policy_allow(struct net_policy *policy, struct pl_str text, struct pl_err *err)
{
    struct net_range range = {0}, *kept;

    if (!parse_range(text, &range))
        return pl_err_set(
            err, PL_ERR_INVALID_CONFIG,
            "\"%.*s\" is no address: write 10.0.0.5, 10.0.0.5:8080, 10.1.0.0/16, fd00::1, "
            "[fd00::1]:80 or fd00::/48",
            PL_STR_ARG(text));
    if (has_host_bits(&range))
        return pl_err_set(err, PL_ERR_INVALID_CONFIG,
                          "\"%.*s\" has bits set behind its prefix of %u bits", PL_STR_ARG(text),
                          range.bits);
    kept = pl_arena_alloc(policy->arena, sizeof *kept);
    if (!kept)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "no memory for an allowed address");
    *kept = range;
    kept->next = policy->allowed;
    policy->allowed = kept;
    policy->id = next_id();
    return PL_OK;
}
