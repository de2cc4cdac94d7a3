/* text.c - small conveniences of tests that compare text. Not for the product. Called by unit
 * tests. */
#include "tests/support/text.h"

#include <stdio.h>
#include <stdlib.h>

const char *test_text(const struct pl_buf *buf)
{
    return buf->data ? buf->data : "";
}

const char *test_str(struct pl_str text)
{
    static char copies[4][4096];
    static unsigned next;
    char *copy = copies[next++ % 4];

    snprintf(copy, sizeof(copies[0]), "%.*s", PL_STR_ARG(text));
    return copy;
}

char *test_repeat(const char *piece, size_t count)
{
    const size_t len = strlen(piece);
    char *text = malloc(len * count + 1);

    if (!text)
        abort();
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * len, piece, len);
    text[len * count] = '\0';
    return text;
}

char *test_read_file(const char *path, size_t *ret_len)
{
    FILE *file = fopen(path, "rb");
    struct pl_buf buf;
    char piece[4096];
    size_t len;

    if (!file)
        return NULL;
    pl_buf_init(&buf, (size_t)64 << 20);
    while ((len = fread(piece, 1, sizeof(piece), file)) > 0)
        pl_buf_append(&buf, piece, len);
    fclose(file);
    return pl_buf_take(&buf, ret_len ? ret_len : &len);
}
