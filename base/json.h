/* json.h - JSON as text: a strict RFC 8259 reader, look-ups that never build a tree, writers; and a
 * strict door to cJSON for the places that need one. Not a document with positions: service/doc
 * builds that on the reader here. cJSON alone takes trailing garbage, bad UTF-8, duplicate keys and
 * cuts strings at NUL, so nothing may call cJSON_Parse directly.
 *
 * Strict means: one value, nothing but white space around it, valid UTF-8, no BOM, no lone
 * surrogates, no \u0000, no duplicate keys in one object, nesting up to a limit, numbers as the
 * grammar says. */
#ifndef PLAIT_BASE_JSON_H
#define PLAIT_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <cjson/cJSON.h>

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* ---- reading untrusted text ---- */

enum json_token {
    JSON_TOKEN_OBJECT_BEGIN,
    JSON_TOKEN_OBJECT_END,
    JSON_TOKEN_ARRAY_BEGIN,
    JSON_TOKEN_ARRAY_END,
    JSON_TOKEN_KEY,    /* text: the raw token, quotes included */
    JSON_TOKEN_STRING, /* text: the raw token, quotes included */
    JSON_TOKEN_NUMBER, /* text: the digits as written */
    JSON_TOKEN_TRUE,
    JSON_TOKEN_FALSE,
    JSON_TOKEN_NULL,
    JSON_TOKEN_END, /* the value is complete and only white space followed */
    JSON_TOKEN_ERROR,
};

/* A pull reader over one text. Caller memory; owns nothing but its stack of depth bits. It checks
 * everything of "strict" but duplicate keys, which need memory: json_check and doc do that. */
struct json_reader {
    struct pl_str input;
    size_t offset;       /* of the next byte */
    size_t token_offset; /* where the last token began, bytes */
    struct pl_str text;  /* of KEY, STRING, NUMBER */
    unsigned depth, max_depth;
    uint64_t in_object[4]; /* a bit a level: object or array; max_depth is at most 256 */
    uint8_t expect;        /* private: what the grammar allows next */
    struct pl_err err;     /* after JSON_TOKEN_ERROR: PL_ERR_INVALID_JSON and why */
};

void json_reader_init(struct json_reader *reader, struct pl_str input, unsigned max_depth);
enum json_token json_reader_next(struct json_reader *reader);

/* Checks one text strictly, duplicate keys included. On failure *ret_offset (may be NULL) is the
 * byte where it went wrong. Errors: PL_ERR_INVALID_JSON with the reason; PL_ERR_NO_MEMORY. */
enum pl_code json_check(struct pl_str text, unsigned max_depth, size_t *ret_offset,
                        struct pl_err *err) PL_MUST_CHECK;

/* json_check, then a cJSON tree the caller frees with cJSON_Delete. Numbers that a double cannot
 * hold exactly (integers past 2^53, 1e400, ...) become cJSON_Raw nodes that keep their digits and
 * print as written. Errors: as json_check. */
enum pl_code json_parse(struct pl_str text, unsigned max_depth, cJSON **ret_tree,
                        struct pl_err *err) PL_MUST_CHECK;

/* The member of a cJSON object by exact name, NULL when absent (or `object` is no object). */
const cJSON *json_member(const cJSON *object, const char *key);
/* The text of a string member, NULL when absent or no string. */
const char *json_member_string(const cJSON *object, const char *key);
/* A number member as a count, `fallback` when absent, negative or no number. */
int64_t json_member_count(const cJSON *object, const char *key, int64_t fallback);

/* ---- looking into text that has been checked (undefined answers, never a crash, on other text)
 * ---- */

enum json_type json_type(struct pl_str json);
/* The value of `key` in an object; false when absent or no object. Borrows from `json`. */
bool json_get(struct pl_str json, struct pl_str key, struct pl_str *ret_value);
/* A member that is looked for, and its value: an empty ptr when it is not there. */
struct json_wanted {
    struct pl_str key;
    struct pl_str value;
};
/* As json_get, for several members in one walk over the object. */
void json_pick(struct pl_str json, struct json_wanted *members, size_t count);
/* Element `index` of an array; negative counts from the end. False when out of range or no array.
 */
bool json_at(struct pl_str json, int64_t index, struct pl_str *ret_value);
/* How many elements or members; 0 for scalars. */
size_t json_count(struct pl_str json);
/* How deep lists and objects stand inside each other; 0 for scalars. Goes over the whole text. */
size_t json_depth(struct pl_str json);
/* Is that more than `depth`? Most texts are too short for it and are not looked at. */
bool json_is_deeper(struct pl_str json, size_t depth);

/* Walks an array or object. `for (json_iter_init(&it, json); json_iter_next(&it);)` with it.key
 * (raw token, quotes included; absent in arrays) and it.value. */
struct json_iter {
    struct pl_str json, key, value;
    size_t offset;
    bool object;
};
void json_iter_init(struct json_iter *it, struct pl_str json);
bool json_iter_next(struct json_iter *it);

/* A string token (quotes included) decoded: appended to `out`, or copied into the arena with a NUL
 * behind (empty on failure). */
void json_decode_string(struct pl_str token, struct pl_buf *out);
struct pl_str json_decode_string_arena(struct pl_str token, struct pl_arena *arena);
/* A number token as a double, or as an exact int64 (false when it is not one). */
double json_number(struct pl_str token);
bool json_int(struct pl_str token, int64_t *ret_number);
/* null and false are false, everything else is true: jq's rule. */
bool json_truthy(struct pl_str json);
/* Equal as values: objects by key whatever the order, numbers by value (1 = 1.0), strings by code
 * points. */
bool json_equal(struct pl_str a, struct pl_str b);

/* Numbers as they are written, exactly, whatever their size: below zero, 0 or above, as strcmp;
 * whether one is an integer (1.0 and 1e3 are); whether it is a multiple of `divisor`, which has at
 * most 18 digits that count. */
int json_number_compare(struct pl_str a, struct pl_str b);
bool json_number_is_integer(struct pl_str token);
bool json_number_is_multiple(struct pl_str token, struct pl_str divisor);
/* A hash that is the same for values that are json_equal, for this process. */
uint64_t json_hash(struct pl_str json);

/* ---- writing ---- */

/* Appends the JSON string of UTF-8 `text`, quotes included; invalid UTF-8 becomes U+FFFD. */
void json_write_string(struct pl_buf *out, struct pl_str text);
/* Appends `json` without white space between tokens; digits and escapes stay as written. */
void json_write_compact(struct pl_buf *out, struct pl_str json);
/* Appends `json` indented by two spaces, for people. */
void json_write_pretty(struct pl_buf *out, struct pl_str json);
/* Appends the shortest text that reads back as the same double; integers without a point. NaN and
 * infinities become null. */
void json_write_double(struct pl_buf *out, double number);

/* Building an object piece by piece: json_object_begin, then members, then json_object_end. The
 * commas are kept by looking at the byte before. */
void json_object_begin(struct pl_buf *out);
void json_object_end(struct pl_buf *out);
void json_array_begin(struct pl_buf *out);
void json_array_end(struct pl_buf *out);
void json_key(struct pl_buf *out, const char *key); /* `"key":`, with a comma before if needed */
void json_comma(struct pl_buf *out);                /* a comma if an element was before */
void json_add_string(struct pl_buf *out, const char *key, struct pl_str text);
void json_add_int(struct pl_buf *out, const char *key, int64_t number);
void json_add_double(struct pl_buf *out, const char *key, double number);
void json_add_bool(struct pl_buf *out, const char *key, bool value);
void json_add_null(struct pl_buf *out, const char *key);
void json_add_raw(struct pl_buf *out, const char *key, struct pl_str json); /* empty: null */

#endif
