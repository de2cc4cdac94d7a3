/* json_check.c - the whole of "strict": the reader, and no key twice in one object. Called for
 * every text that comes from outside.
 *
 * The keys of all open objects are one stack; an object's keys are always on top of it when its
 * next key comes. A few are compared one by one; an object with more gets a hash table, so that a
 * large one costs no more for each key and its keys cannot be chosen to collide. */
#include "base/json.h"

#include "base/json_text.h"
#include "base/map.h"

#include <stdlib.h>

enum {
    KEYS_INLINE = 128, /* keys on the C stack before the heap is asked */
    KEYS_LINEAR = 16,  /* keys compared one by one */
};

struct key {
    struct pl_str text; /* without quotes and, if it had any, escapes */
    uint64_t mark;      /* cheap to compare: the length and some bytes */
};

/* The table of one object with many keys: indices into the stack, one up; 0 is free. */
struct key_table {
    uint32_t *slots;
    size_t mask;
};

struct checker {
    struct key *keys;
    size_t count, capacity;
    size_t first[JSON_DEPTH_MAX + 1]; /* where the keys of the object at this depth begin */
    struct key_table tables[JSON_DEPTH_MAX + 1]; /* slots NULL while the object is small */
    struct pl_arena *decoded;                    /* keys that were written with escapes */
    struct key inline_keys[KEYS_INLINE];
};

static uint64_t mark_of(struct pl_str text)
{
    uint32_t head = 0;
    size_t len = text.len < 4 ? text.len : 4;

    if (len == 4)
        memcpy(&head, text.ptr + text.len - 4,
               4); /* keys differ at their end more than at the start */
    else
        memcpy(&head, text.ptr, len);
    return (uint64_t)text.len << 32 | head;
}

static bool same(const struct key *a, const struct key *b)
{
    return a->mark == b->mark && pl_str_eq(a->text, b->text);
}

static bool push_key(struct checker *checker, const struct key *key)
{
    if (checker->count == checker->capacity) {
        const size_t capacity = checker->capacity * 2;
        const bool on_stack = checker->keys == checker->inline_keys;
        struct key *keys;

        if (capacity > UINT32_MAX)
            return false;
        keys = realloc(on_stack ? NULL : checker->keys, capacity * sizeof(*keys));
        if (!keys)
            return false;
        if (on_stack)
            memcpy(keys, checker->inline_keys, sizeof(checker->inline_keys));
        checker->keys = keys;
        checker->capacity = capacity;
    }
    checker->keys[checker->count++] = *key;
    return true;
}

/* Puts key `index` of the stack into the table; false when an equal one is there. */
static bool table_add(const struct checker *checker, struct key_table *table, size_t index)
{
    const struct key *key = &checker->keys[index];
    size_t at = (size_t)pl_hash(key->text) & table->mask;

    for (; table->slots[at]; at = (at + 1) & table->mask) {
        if (same(&checker->keys[table->slots[at] - 1], key))
            return false;
    }
    table->slots[at] = (uint32_t)(index + 1);
    return true;
}

/* Makes room for the keys on top and two times more. False when out of memory. */
static bool table_grow(const struct checker *checker, struct key_table *table, size_t first)
{
    const size_t slots = table->slots ? (table->mask + 1) * 4 : (size_t)KEYS_LINEAR * 8;
    uint32_t *memory = calloc(slots, sizeof(*memory));

    if (!memory)
        return false;
    free(table->slots);
    table->slots = memory;
    table->mask = slots - 1;
    for (size_t i = first; i + 1 < checker->count; i++)
        (void)table_add(checker, table, i);
    return true;
}

/* The key's text, decoded if need be. False when out of memory. */
static bool make_key(struct checker *checker, struct pl_str token, struct key *ret_key)
{
    struct pl_str text = json_inner(token);

    if (text.len && memchr(text.ptr, '\\', text.len)) {
        if (!checker->decoded)
            checker->decoded = pl_arena_create(0);
        if (!checker->decoded)
            return false;
        text = json_decode_string_arena(token, checker->decoded);
        if (pl_arena_failed(checker->decoded))
            return false;
    }
    *ret_key = (struct key){.text = text, .mark = mark_of(text)};
    return true;
}

static enum pl_code add_key(struct checker *checker, unsigned depth, struct pl_str token)
{
    const size_t first = checker->first[depth];
    struct key_table *table = &checker->tables[depth];
    struct key key;
    size_t count;

    if (!make_key(checker, token, &key))
        return PL_ERR_NO_MEMORY;
    count = checker->count - first;
    if (count < KEYS_LINEAR) {
        for (size_t i = first; i < checker->count; i++) {
            if (same(&checker->keys[i], &key))
                return PL_ERR_INVALID_JSON;
        }
        return push_key(checker, &key) ? PL_OK : PL_ERR_NO_MEMORY;
    }
    if (!push_key(checker, &key))
        return PL_ERR_NO_MEMORY;
    if ((!table->slots || count > table->mask / 2) && !table_grow(checker, table, first))
        return PL_ERR_NO_MEMORY;
    return table_add(checker, table, checker->count - 1) ? PL_OK : PL_ERR_INVALID_JSON;
}

static void open_object(struct checker *checker, unsigned depth)
{
    checker->first[depth] = checker->count;
    checker->tables[depth].slots = NULL;
}

static void close_object(struct checker *checker, unsigned depth)
{
    checker->count = checker->first[depth];
    free(checker->tables[depth].slots);
    checker->tables[depth].slots = NULL;
}

static enum pl_code read_all(struct checker *checker, struct json_reader *reader)
{
    for (;;) {
        enum json_token token = json_reader_next(reader);
        enum pl_code code;

        if (token == JSON_TOKEN_KEY) {
            code = add_key(checker, reader->depth, reader->text);
            if (code)
                return code;
        } else if (token == JSON_TOKEN_OBJECT_BEGIN) {
            open_object(checker, reader->depth);
        } else if (token == JSON_TOKEN_OBJECT_END) {
            close_object(checker, reader->depth + 1);
        } else if (token == JSON_TOKEN_END) {
            return PL_OK;
        } else if (token == JSON_TOKEN_ERROR) {
            return PL_ERR_INVALID_JSON;
        }
    }
}

/* Frees what is left, the tables of objects that were open when it failed among it. */
static void finish(struct checker *checker, const struct json_reader *reader)
{
    for (unsigned level = 0; level < reader->depth; level++) {
        if (reader->in_object[level / 64] >> (level % 64) & 1)
            free(checker->tables[level + 1].slots);
    }
    if (checker->keys != checker->inline_keys)
        free(checker->keys);
    pl_arena_destroy(&checker->decoded);
}

enum pl_code json_check(struct pl_str text, unsigned max_depth, size_t *ret_offset,
                        struct pl_err *err)
{
    struct checker checker; /* not zeroed: 10 KiB, of which most texts touch little */
    struct json_reader reader;
    enum pl_code code;
    size_t offset;

    checker.keys = checker.inline_keys;
    checker.count = 0;
    checker.capacity = KEYS_INLINE;
    checker.decoded = NULL;
    json_reader_init(&reader, text, max_depth);
    code = read_all(&checker, &reader);
    finish(&checker, &reader);
    if (!code)
        return PL_OK;
    offset = reader.err.code ? reader.offset : reader.token_offset;
    if (ret_offset)
        *ret_offset = offset;
    if (code == PL_ERR_NO_MEMORY)
        return pl_err_set(err, code, "out of memory while JSON was checked");
    if (reader.err.code)
        return pl_err_set(err, code, "%s (at byte %zu)", reader.err.message, offset);
    return pl_err_set(err, code, "the key %.*s is in the object twice (at byte %zu)",
                      (int)(reader.text.len < 200 ? reader.text.len : 200), reader.text.ptr,
                      offset);
}
