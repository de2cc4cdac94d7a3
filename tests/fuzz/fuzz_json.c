/* fuzz_json.c - the strict reader and everything that reads or writes JSON text. A text that passes
 * the check must survive every rewriting as the same value; one that does not must do no harm. */
#include "base/json.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { DEPTH = 64 };

static void must(bool fact)
{
    if (!fact)
        abort();
}

/* Depth must be back at 0, and the reader and the check must agree but for duplicate keys. */
static bool read_all(struct pl_str json)
{
    struct json_reader reader;
    enum json_token token;

    json_reader_init(&reader, json, DEPTH);
    do {
        token = json_reader_next(&reader);
        must(reader.offset <= json.len && reader.token_offset <= json.len);
    } while (token != JSON_TOKEN_END && token != JSON_TOKEN_ERROR);
    must(token == JSON_TOKEN_ERROR || reader.depth == 0);
    return token == JSON_TOKEN_END;
}

static void walk(struct pl_str json, struct pl_buf *scratch, unsigned depth)
{
    struct json_iter it;
    struct pl_str found;
    int64_t number;

    (void)json_truthy(json);
    (void)json_number(json);
    (void)json_int(json, &number);
    if (json_type(json) == JSON_STRING)
        json_decode_string(json, scratch);
    for (json_iter_init(&it, json); json_iter_next(&it);) {
        if (it.object) {
            pl_buf_reset(scratch);
            json_decode_string(it.key, scratch);
            (void)json_get(json, pl_buf_view(scratch), &found);
        }
        if (depth < 4)
            walk(it.value, scratch, depth + 1);
    }
    (void)json_at(json, -1, &found);
}

static void check_tree(struct pl_str json)
{
    cJSON *tree = NULL;
    char *printed;

    if (json_parse(json, DEPTH, &tree, NULL))
        return;
    printed = cJSON_PrintUnformatted(tree);
    must(printed && json_check(pl_str(printed), DEPTH, NULL, NULL) == PL_OK);
    must(json_equal(pl_str(printed), json));
    cJSON_free(printed);
    cJSON_Delete(tree);
}

static void check_rewritten(struct pl_str json, struct pl_buf *scratch)
{
    pl_buf_reset(scratch);
    json_write_compact(scratch, json);
    must(json_check(pl_buf_view(scratch), DEPTH, NULL, NULL) == PL_OK);
    must(json_equal(pl_buf_view(scratch), json));
    pl_buf_reset(scratch);
    json_write_pretty(scratch, json);
    must(json_check(pl_buf_view(scratch), DEPTH, NULL, NULL) == PL_OK);
    must(json_equal(json, pl_buf_view(scratch)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pl_str text = pl_str_n((const char *)data, size);
    size_t offset = 0;
    struct pl_buf scratch;
    enum pl_code code;
    bool read;

    if (size > 65536)
        return 0;
    pl_buf_init(&scratch, (size_t)64 << 20);
    read = read_all(text);
    code = json_check(text, DEPTH, &offset, NULL);
    must(read || code == PL_ERR_INVALID_JSON);
    must(offset <= size);
    walk(text, &scratch, 0);
    if (code == PL_OK) {
        check_rewritten(text, &scratch);
        check_tree(text);
    }
    pl_buf_reset(&scratch);
    json_write_string(&scratch, text);
    must(json_check(pl_buf_view(&scratch), 1, NULL, NULL) == PL_OK);
    pl_buf_finish(&scratch);
    return 0;
}
