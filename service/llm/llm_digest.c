/* llm_digest.c - see llm_digest.h. BLAKE2b over the members in a fixed order, each with its length
 * before it, so that no two requests run together to the same bytes. */
#include "service/llm/llm_digest.h"

#include "service/steps/step_config.h"

#include <sodium.h>

/* Changed when what is hashed, or what an answer is kept as, changes: older ones are not found. */
static const int64_t FORM = 2;

static void add_number(crypto_generichash_state *state, int64_t number)
{
    (void)crypto_generichash_update(state, (const unsigned char *)&number, sizeof number);
}

/* A text that is not there differs from an empty one. */
static void add_text(crypto_generichash_state *state, struct pl_str text)
{
    add_number(state, text.ptr ? (int64_t)text.len : -1);
    if (text.len)
        (void)crypto_generichash_update(state, (const unsigned char *)text.ptr, text.len);
}

static void add_schema(crypto_generichash_state *state, const struct schema_use *schema)
{
    add_number(state, schema != NULL);
    if (!schema)
        return;
    add_text(state, schema->name);
    add_text(state, schema->json);
}

void llm_digest(const struct provider *provider, const struct llm_request *request,
                unsigned char ret_digest[static LLM_DIGEST_BYTES])
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, LLM_DIGEST_BYTES);
    add_number(&state, FORM);
    add_text(&state, pl_str(provider->ops->kind));
    add_text(&state, provider->base_url);
    add_text(&state, provider->url);
    add_text(&state, provider->url_tail); /* of Azure: the version of the API */
    add_text(&state, request->model);
    add_text(&state, request->system);
    add_text(&state, request->messages);
    add_text(&state, request->temperature);
    add_number(&state, request->max_tokens);
    add_text(&state, request->seed);
    add_text(&state, request->stop);
    add_text(&state, request->extra);
    add_schema(&state, request->schema);
    add_text(&state, request->tools);
    add_text(&state, request->tool_choice);
    add_number(&state, request->agent != NULL); /* the answer is another object then */
    add_number(&state, request->sample);
    (void)crypto_generichash_final(&state, ret_digest, LLM_DIGEST_BYTES);
}
