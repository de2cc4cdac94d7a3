/* fuzz_hints.c - headers of any kind that may say when to ask again: the wait is none or at most
 * ten years, and what holds for every answer holds for a 429. */
#include "service/llm/llm_hints.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool fact)
{
    if (!fact)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pl_ms nows[] = {0, 1800000000000, INT64_MAX / 4};
    const struct pl_str lines = {.ptr = (const char *)data, .len = size};

    if (size > 16384)
        return 0;
    for (size_t i = 0; i < PL_ARRAY_LEN(nows); i++) {
        const pl_ms any = llm_hints_wait(lines, false, nows[i]);
        const pl_ms limited = llm_hints_wait(lines, true, nows[i]);

        must(any >= -1 && limited >= -1);
        must(any < 0 || limited == any);
        if (any < 0)
            must(limited <= (pl_ms)10 * 366 * 86400 * 1000);
    }
    return 0;
}
