/* answer_harness.c - see answer_harness.h. */
#include "tests/fuzz/answer_harness.h"

#include "base/json.h"

#include <stdlib.h>

void must(bool fact)
{
    if (!fact)
        abort();
}

struct llm_request answer_request(uint8_t how)
{
    return (struct llm_request){.messages = PL_STR("[]"),
                                .stream = how & HOW_STREAM,
                                .max_tokens = how & HOW_MAX,
                                .tools = how & HOW_TOOLS ? PL_STR("[{}]") : PL_STR(""),
                                .identity = PL_STR("agent.1"),
                                .max_output = 32768};
}

/* ---- reading ---- */

/* One reading of the answer. */
struct reading {
    struct step_result result;
    struct pl_buf deltas;
};

static void take_delta(void *arg, struct pl_str text)
{
    pl_buf_str(arg, text);
}

static void reading_init(struct reading *reading, const struct answer_target *target, uint8_t how,
                         struct pl_str body, size_t cut)
{
    static const char *const types[] = {"", "application/json", "text/event-stream", "text/html"};
    const struct provider_ops *ops = target->ops;
    const struct llm_request request = answer_request(how);
    const struct llm_sink sink = {.arg = &reading->deltas, .delta = take_delta};
    struct step_result *result = &reading->result;
    void *parser = calloc(1, ops->parser_size);
    enum pl_code code;

    must(parser != NULL);
    step_result_init(result);
    pl_buf_init(&reading->deltas, (size_t)64 << 20);
    ops->begin(parser, &request, pl_str(types[how & HOW_TYPE]));
    code = ops->feed(parser, pl_str_n(body.ptr, cut), &sink, &result->err);
    if (code == PL_OK)
        code = ops->feed(parser, pl_str_n(body.ptr + cut, body.len - cut), &sink, &result->err);
    (void)ops->ended(parser);
    if (code == PL_OK)
        ops->finish(parser, &sink, result);
    must(code == PL_OK || result->err.code == code);
    must(result->usage.input_tokens >= 0 && result->usage.output_tokens >= 0);
    ops->cleanup(parser);
    free(parser);
}

static void reading_finish(struct reading *reading)
{
    step_result_finish(&reading->result);
    pl_buf_finish(&reading->deltas);
}

/* ---- what must hold ---- */

/* A turn has a text or calls, and every call an id of its own. */
static void check_turn(struct pl_str turn)
{
    struct pl_str content, calls, id, other;
    struct json_iter it;

    must(json_get(turn, PL_STR("content"), &content));
    must(json_get(turn, PL_STR("tool_calls"), &calls));
    must(json_type(content) == JSON_STRING || json_count(calls) > 0);
    for (json_iter_init(&it, calls); json_iter_next(&it);) {
        unsigned same = 0;

        must(json_get(it.value, PL_STR("id"), &id));
        for (int64_t i = 0; json_at(calls, i, &other); i++) {
            must(json_get(other, PL_STR("id"), &other));
            same += json_equal(other, id);
        }
        must(same == 1);
    }
}

/* Exactly one of output and error; both are texts that others can read. */
static void check_result(const struct answer_target *target, const struct step_result *result,
                         uint8_t how)
{
    const struct pl_str output = pl_value_text(result->output);

    must((result->err.code == PL_OK) == (result->output != NULL));
    if (result->output)
        must(json_check(output, target->output_depth, NULL, NULL) == PL_OK);
    if (result->output && how & HOW_TOOLS)
        check_turn(output);
    else if (result->output)
        must(json_type(output) == JSON_STRING);
    if (result->upstream)
        must(json_check(pl_value_text(result->upstream), 4, NULL, NULL) == PL_OK);
}

static void check_error(const struct answer_target *target, int status, struct pl_str body)
{
    struct step_result result;

    step_result_init(&result);
    target->ops->error(status, body, &result);
    must(result.err.code != PL_OK);
    check_result(target, &result, 0);
    step_result_finish(&result);
}

void answer_fuzz(const struct answer_target *target, uint8_t how, uint8_t cut, struct pl_str body)
{
    struct reading whole, halves;

    reading_init(&whole, target, how, body, 0);
    reading_init(&halves, target, how, body, body.len ? cut % (body.len + 1) : 0);
    check_result(target, &whole.result, how);
    check_result(target, &halves.result, how);
    must(whole.result.err.code == halves.result.err.code);
    must(pl_str_eq(pl_value_text(whole.result.output), pl_value_text(halves.result.output)));
    must(pl_str_eq(pl_buf_view(&whole.deltas), pl_buf_view(&halves.deltas)));
    if (whole.result.output && how & HOW_TOOLS && target->check_turn)
        target->check_turn(pl_value_text(whole.result.output));
    reading_finish(&whole);
    reading_finish(&halves);
    check_error(target, 300 + cut, body);
}
