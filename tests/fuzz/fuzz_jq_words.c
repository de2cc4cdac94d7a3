/* fuzz_jq_words.c - jq text of any kind: what is called sound must stay inside brackets put around
 * it, must not be sound with a bracket more, and must have no forbidden word. */
#include "base/buf.h"
#include "service/expr/jq_words.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

static bool sound(const char *before, struct pl_str text, const char *behind)
{
    struct pl_buf whole;
    bool result;

    pl_buf_init(&whole, (size_t)1 << 20);
    pl_buf_text(&whole, before);
    pl_buf_str(&whole, text);
    pl_buf_text(&whole, behind);
    must(!pl_buf_failed(&whole));
    result = jq_words_check(pl_buf_view(&whole), NULL) == PL_OK;
    pl_buf_finish(&whole);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pl_str text = {.ptr = (const char *)data, .len = size};
    size_t at = SIZE_MAX;
    const char *word;

    if (size > 16384)
        return 0;
    word = jq_forbidden_word(text, &at);
    must(word ? at < size : at == SIZE_MAX);
    if (!sound("", text, ""))
        return 0;
    must(!word);
    must(!sound("", text, "\n)"));
    must(!sound("(", text, ""));
    must(!sound("(", text, "\n]"));
    must(!sound("(", text, "\n) | env"));
    must(!sound("\"\\(", text, "\n)"));
    if (size < 100) /* else it may be nested so deeply that no more goes around it */
        must(sound("[1, \"\\(", text, "\n)\"]"));
    return 0;
}
