/* fuzz_openai.c - answers of any bytes to a model call at an OpenAI-compatible server; what must
 * hold of them is in answer_harness.h. The first byte says how it is asked for and typed, the
 * second where it is cut. */
#include "service/llm/openai.h"
#include "tests/fuzz/answer_harness.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct answer_target target = {.ops = &openai_ops, .output_depth = 4};

    if (size < 2 || size > 65536)
        return 0;
    answer_fuzz(&target, data[0], data[1], pl_str_n((const char *)data + 2, size - 2));
    return 0;
}
