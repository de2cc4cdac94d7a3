/* llm_estimate.c - tokens of a call before it is sent. See llm_estimate.h. */
#include "service/steps/llm_estimate.h"

#include "base/json.h"
#include "base/limits.h"

int64_t llm_text_tokens(size_t bytes)
{
    return bytes ? (int64_t)((bytes + LLM_BYTES_PER_TOKEN - 1) / LLM_BYTES_PER_TOKEN) : 1;
}

int64_t llm_output_tokens(int64_t max_tokens)
{
    return max_tokens > 0 ? max_tokens : PL_DEFAULT_OUTPUT_TOKENS;
}

/* What a part weighs beside the text around it, and how many of its bytes that takes the place of.
 */
static int64_t media_tokens(struct pl_str part)
{
    struct pl_str type;

    if (!json_get(part, PL_STR("type"), &type))
        return 0;
    if (pl_str_is(type, "\"image_url\""))
        return LLM_IMAGE_TOKENS;
    if (pl_str_is(type, "\"input_audio\""))
        return (int64_t)(part.len / LLM_AUDIO_BYTES_PER_TOKEN) + 1;
    if (pl_str_is(type, "\"file\""))
        return (int64_t)(part.len / LLM_FILE_BYTES_PER_TOKEN) + 1;
    return 0;
}

static void count_parts(struct pl_str content, int64_t *tokens, size_t *bytes)
{
    struct json_iter it;

    if (json_type(content) != JSON_ARRAY)
        return;
    for (json_iter_init(&it, content); json_iter_next(&it);) {
        int64_t media = json_type(it.value) == JSON_OBJECT ? media_tokens(it.value) : 0;

        if (media == 0)
            continue;
        *tokens += media;
        *bytes -= it.value.len;
    }
}

int64_t llm_messages_tokens(struct pl_str messages)
{
    struct json_iter it;
    size_t bytes = messages.len;
    int64_t media = 0;

    if (json_type(messages) != JSON_ARRAY)
        return llm_text_tokens(bytes);
    for (json_iter_init(&it, messages); json_iter_next(&it);) {
        struct pl_str content;

        if (json_type(it.value) == JSON_OBJECT && json_get(it.value, PL_STR("content"), &content))
            count_parts(content, &media, &bytes);
    }
    return llm_text_tokens(bytes) + media;
}

struct budget llm_estimate_one(int64_t input, int64_t output, const struct price *price)
{
    return (struct budget){input + output, price ? price_at_most(price, input, output) : 0};
}

struct budget llm_estimate_all(int64_t input, int64_t output, unsigned repairs, unsigned hedges,
                               const struct price *price)
{
    int64_t inputs = 0, more = input;

    /* each repair has the answers before it in its conversation, and what was wrong with them */
    for (unsigned i = 0; i <= repairs; i++, more += output + LLM_BYTES_PER_TOKEN * 16)
        inputs += more;
    return llm_estimate_one(inputs * (hedges + 1), output * (repairs + 1) * (hedges + 1), price);
}

void llm_estimate_call(const struct llm_request *request, const struct llm_config *config,
                       const struct price *price, struct call_estimate *ret_estimate)
{
    bool judged = request->schema || request->agent;
    int64_t input = llm_messages_tokens(request->messages);
    int64_t output = llm_output_tokens(request->max_tokens);

    if (request->system.len)
        input += llm_text_tokens(request->system.len);
    if (request->tools.len)
        input += llm_text_tokens(request->tools.len);
    if (request->schema)
        input += llm_text_tokens(request->schema->json.len);
    if (request->extra.len)
        input += llm_text_tokens(request->extra.len);
    *ret_estimate = (struct call_estimate){
        .one = llm_estimate_one(input, output, price),
        .all =
            llm_estimate_all(input, output, judged ? config->repair : 0, config->hedge.max, price),
        .unpriced = price == NULL,
    };
}
