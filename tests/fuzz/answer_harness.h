/* answer_harness.h - answers of any bytes to a provider's model call, for the fuzz targets of
 * providers: what must hold whoever answers. Not requests, and nothing that one provider alone
 * promises. Included by fuzz_anthropic.c, fuzz_gemini.c and fuzz_openai.c. */
#ifndef PLAIT_TESTS_FUZZ_ANSWER_HARNESS_H
#define PLAIT_TESTS_FUZZ_ANSWER_HARNESS_H

#include "service/llm/provider.h"

#include <stdint.h>

/* The bits of `how` an answer is asked for; the two below them are its content type. Higher ones
 * are the target's. */
enum { HOW_TYPE = 3, HOW_STREAM = 4, HOW_MAX = 8, HOW_TOOLS = 16 };

/* One provider, and what must hold of its answers besides. */
struct answer_target {
    const struct provider_ops *ops;
    unsigned output_depth; /* how deep an output may nest */
    /* Optional. Looks at a turn with tools that is good otherwise. */
    void (*check_turn)(struct pl_str turn);
};

/* Ends the process, which is how a fuzzer finds a fault, unless it is so. */
void must(bool fact);

/* The request that `how` says; no memory of its own. */
struct llm_request answer_request(uint8_t how);

/* Reads the body whole and cut after `cut` bytes (modulo its length): the result must be the same,
 * valid JSON when it is one, and an error otherwise. Then as the body of the status 300 + `cut`. */
void answer_fuzz(const struct answer_target *target, uint8_t how, uint8_t cut, struct pl_str body);

#endif
