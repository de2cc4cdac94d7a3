/* json_exact.c - numbers compared as they are written, whatever a double would make of them, and a
 * hash that fits json_equal. Called by service/schema. */
#include "base/json.h"

#include "base/json_text.h"
#include "base/map.h"

static const char *next_digit(const char *p)
{
    return *p == '.' ? p + 1 : p;
}

/* Which of two numbers above zero is larger. */
static int compare_sizes(const struct json_decimal *a, const struct json_decimal *b)
{
    const char *p = a->first, *q = b->first;

    if (a->exponent != b->exponent)
        return a->exponent < b->exponent ? -1 : 1;
    for (size_t i = 0; i < a->digits && i < b->digits; i++, p++, q++) {
        p = next_digit(p);
        q = next_digit(q);
        if (*p != *q)
            return *p < *q ? -1 : 1;
    }
    return (a->digits > b->digits) - (a->digits < b->digits);
}

static int sign_of(const struct json_decimal *number)
{
    if (number->digits == 0)
        return 0;
    return number->negative ? -1 : 1;
}

int json_number_compare(struct pl_str a, struct pl_str b)
{
    const struct json_decimal x = json_decimal(json_trim(a)), y = json_decimal(json_trim(b));
    const int sign = sign_of(&x);

    if (sign != sign_of(&y))
        return sign < sign_of(&y) ? -1 : 1;
    return sign == 0 ? 0 : sign * compare_sizes(&x, &y);
}

bool json_number_is_integer(struct pl_str token)
{
    const struct json_decimal number = json_decimal(json_trim(token));

    return number.exponent >= (int64_t)number.digits;
}

/* a * b modulo m, all below 2^63. */
static uint64_t multiply_modulo(uint64_t a, uint64_t b, uint64_t m)
{
    __extension__ typedef unsigned __int128 wide;

    return (uint64_t)((wide)a * b % m);
}

static uint64_t power_of_ten_modulo(uint64_t exponent, uint64_t m)
{
    uint64_t result = 1 % m, base = 10 % m;

    for (; exponent; exponent >>= 1) {
        if (exponent & 1)
            result = multiply_modulo(result, base, m);
        base = multiply_modulo(base, base, m);
    }
    return result;
}

/* With n = N * 10^p and d = D * 10^q (N and D integers that do not end in 0): n / d is an integer
 * when p >= q and D divides N * 10^(p-q). For p < q it is none: N would have to end in 0. */
bool json_number_is_multiple(struct pl_str token, struct pl_str divisor)
{
    const struct json_decimal n = json_decimal(json_trim(token)),
                              d = json_decimal(json_trim(divisor));
    const int64_t p = n.exponent - (int64_t)n.digits, q = d.exponent - (int64_t)d.digits;
    const char *at = n.first;
    uint64_t modulus, rest = 0;

    if (n.digits == 0)
        return true;
    if (p < q || d.digits == 0 || d.digits > 18)
        return false;
    modulus = json_decimal_digits(&d, 18);
    for (size_t i = 0; i < n.digits; i++, at++) {
        at = next_digit(at);
        rest = (rest * 10 + (uint64_t)(*at - '0')) % modulus;
    }
    return multiply_modulo(rest, power_of_ten_modulo((uint64_t)(p - q), modulus), modulus) == 0;
}

/* ---- the hash ---- */

static uint64_t mix(uint64_t hash, uint64_t more)
{
    hash = (hash ^ more) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_number(uint64_t hash, struct pl_str json)
{
    const struct json_decimal number = json_decimal(json);
    const char *p = number.first;

    hash = mix(mix(hash, (uint64_t)number.exponent), number.negative);
    for (size_t i = 0; i < number.digits; i++, p++) {
        p = next_digit(p);
        hash = mix(hash, (unsigned char)*p);
    }
    return hash;
}

static uint64_t hash_string(uint64_t hash, struct pl_str token)
{
    const struct pl_str inner = json_inner(token);
    const char *p = inner.ptr, *end = p + inner.len;
    char text[4];

    while (p < end) {
        const unsigned len = json_next_char(&p, end, text);

        for (unsigned i = 0; i < len; i++)
            hash = mix(hash, (unsigned char)text[i]);
    }
    return hash;
}

static uint64_t hash_value(uint64_t seed, struct pl_str json, unsigned depth)
{
    const enum json_type type = json_type(json);
    uint64_t hash = mix(seed, (uint64_t)type), sum = 0;
    struct json_iter it;

    json = json_trim(json);
    if (type == JSON_NUMBER)
        return hash_number(hash, json);
    if (type == JSON_STRING)
        return hash_string(hash, json);
    if (depth > JSON_DEPTH_MAX)
        return hash;
    for (json_iter_init(&it, json); json_iter_next(&it);) {
        const uint64_t value = hash_value(seed, it.value, depth + 1);

        if (it.object)
            sum += mix(hash_string(seed, it.key), value); /* whatever the order */
        else
            hash = mix(hash, value);
    }
    return mix(hash, sum);
}

uint64_t json_hash(struct pl_str json)
{
    return hash_value(pl_hash(PL_STR("json")), json, 0);
}
