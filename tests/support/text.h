/* text.h - small conveniences of tests that compare text. Not for the product. Included by unit
 * tests. */
#ifndef PLAIT_TESTS_SUPPORT_TEXT_H
#define PLAIT_TESTS_SUPPORT_TEXT_H

#include "base/buf.h"
#include "base/str.h"

/* The content of a buffer as a C string: "" while it is empty. Borrowed. */
const char *test_text(const struct pl_buf *buf);
/* A copy in static memory with a NUL behind, cut at 4095 bytes; the four last answers stay valid.
 * One thread. */
const char *test_str(struct pl_str text);
/* `count` copies of `piece` in one string that the caller frees. Ends the test when out of memory.
 */
char *test_repeat(const char *piece, size_t count);
/* The whole file in memory the caller frees, NUL behind; NULL when it cannot be read. *ret_len may
 * be NULL. */
char *test_read_file(const char *path, size_t *ret_len);

#endif
