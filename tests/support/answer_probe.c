/* answer_probe.c - see answer_probe.h. */
#include "tests/support/answer_probe.h"

#include "base/json.h"
#include "base/limits.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

enum { TEXT_MAX = 1 << 20 };

/* ---- answers ---- */

static bool same_bytes(const char *got, const char *want)
{
    return strcmp(got, want) == 0;
}

static void take_delta(void *arg, struct pl_str text)
{
    pl_buf_str(arg, text);
    pl_buf_char(arg, '^');
}

void answer_write_outcome(const struct answer_probe *probe, struct step_result *result,
                          const void *parser, struct pl_buf *out)
{
    (void)probe;
    (void)parser;
    if (result->err.code == PL_OK)
        pl_buf_printf(out, "ok %.*s", PL_STR_ARG(pl_value_text(result->output)));
    else
        pl_buf_text(out, pl_code_text(result->err.code));
}

void answer_probe_init(struct answer_probe *probe, const struct provider_ops *ops, const char *type)
{
    *probe = (struct answer_probe){.request = {.messages = PL_STR("[]"), .max_output = 65536},
                                   .write = answer_write_outcome,
                                   .same = same_bytes,
                                   .ops = ops,
                                   .type = type};
    step_result_init(&probe->result);
    pl_buf_init(&probe->text, TEXT_MAX);
    pl_buf_init(&probe->deltas, TEXT_MAX);
}

void answer_probe_finish(struct answer_probe *probe)
{
    step_result_finish(&probe->result);
    pl_buf_finish(&probe->text);
    pl_buf_finish(&probe->deltas);
}

static void start_again(struct answer_probe *probe)
{
    step_result_finish(&probe->result);
    step_result_init(&probe->result);
    pl_buf_reset(&probe->text);
    pl_buf_reset(&probe->deltas);
}

static enum pl_code feed(struct answer_probe *probe, void *parser, const struct llm_sink *sink,
                         struct pl_str body, size_t cut, size_t step)
{
    enum pl_code code = PL_OK;
    size_t end = cut;

    for (size_t start = 0; start < body.len && code == PL_OK; start = end, end = start + step) {
        char *piece;

        if (end > body.len)
            end = body.len;
        if (end == start || (probe->hang_up && probe->ops->ended(parser)))
            continue;
        piece = malloc(end - start);
        ck_assert_ptr_nonnull(piece);
        memcpy(piece, body.ptr + start, end - start);
        code = probe->ops->feed(parser, pl_str_n(piece, end - start), sink, &probe->result.err);
        free(piece);
    }
    return code;
}

void answer_probe_read(struct answer_probe *probe, struct pl_str body, size_t cut, size_t step)
{
    const struct llm_sink sink = {.arg = &probe->deltas, .delta = probe->deaf ? NULL : take_delta};
    void *parser = calloc(1, probe->ops->parser_size);

    ck_assert_ptr_nonnull(parser);
    start_again(probe);
    probe->ops->begin(parser, &probe->request, pl_str(probe->type));
    probe->fed = feed(probe, parser, &sink, body, cut, step);
    if (probe->fed == PL_OK)
        probe->ops->finish(parser, &sink, &probe->result);
    probe->write(probe, &probe->result, parser, &probe->text);
    probe->ops->cleanup(parser);
    free(parser);
}

const char *answer_probe_whole(struct answer_probe *probe, const char *body)
{
    const struct pl_str whole = pl_str(body);

    answer_probe_read(probe, whole, whole.len, 1);
    return test_text(&probe->text);
}

const char *answer_probe_error(struct answer_probe *probe, int status, const char *body)
{
    start_again(probe);
    probe->ops->error(status, pl_str(body), &probe->result);
    probe->write(probe, &probe->result, NULL, &probe->text);
    return test_text(&probe->text);
}

void answer_probe_assert_cuts(struct answer_probe *probe, const char *body, const char *want,
                              const char *deltas)
{
    const struct pl_str whole = pl_str(body);

    for (size_t cut = 0; cut <= whole.len; cut++) {
        answer_probe_read(probe, whole, cut, whole.len + 1);
        ck_assert_msg(probe->same(test_text(&probe->text), want), "cut at %zu: '%s' is not '%s'",
                      cut, test_text(&probe->text), want);
    }
    if (deltas) /* the last cut left it in one piece */
        ck_assert_str_eq(test_text(&probe->deltas), deltas);
    answer_probe_read(probe, whole, 1, 1);
    ck_assert_msg(probe->same(test_text(&probe->text), want), "byte by byte: '%s' is not '%s'",
                  test_text(&probe->text), want);
    if (deltas)
        ck_assert_str_eq(test_text(&probe->deltas), deltas);
}

/* ---- requests ---- */

const char *test_build_request(struct provider *provider, const struct llm_request *request,
                               struct pl_arena *arena, struct http_request *ret_http)
{
    struct http_request http = {0};
    struct pl_err err = {0};
    enum pl_code code;

    ck_assert_int_eq(provider->ops->configure(provider, arena, &err), PL_OK);
    code = provider->ops->build(provider, request, arena, &http, &err);
    if (code != PL_OK)
        return pl_arena_printf(arena, "!%s %s", pl_code_text(code), err.message);
    ck_assert_msg(json_check(http.body, PL_LIMIT_JSON_DEPTH, NULL, &err) == PL_OK, "%s: %.*s",
                  err.message, PL_STR_ARG(http.body));
    if (ret_http)
        *ret_http = http;
    return pl_arena_printf(arena, "%.*s", PL_STR_ARG(http.body));
}
