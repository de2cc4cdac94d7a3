/* run_problem.c - errors of steps and runs as problem objects. Not the table of codes (base/err)
 * and not HTTP replies. Called by run_core*.c. */
#include "base/json.h"
#include "base/limits.h"
#include "service/run/run_core_private.h"

#include <stdio.h>

/* A chain of causes is cut before it grows without end. */
enum { CAUSE_BYTES_MAX = 64 << 10, PROBLEM_BYTES_MAX = 2 * CAUSE_BYTES_MAX };

static void add_upstream(struct pl_buf *out, const struct step_result *result)
{
    if (!result)
        return;
    if (result->upstream_status > 0)
        json_add_int(out, "upstream_status", result->upstream_status);
    if (result->upstream)
        json_add_raw(out, "upstream", pl_value_text(result->upstream));
}

static void add_branch(struct pl_buf *out, const struct run_node *branch)
{
    struct pl_str cause;

    if (!branch)
        return;
    json_add_string(out, "branch", branch->path);
    cause = pl_value_text(branch->error);
    if (branch->error && cause.len <= CAUSE_BYTES_MAX)
        json_add_raw(out, "cause", cause);
}

struct pl_value *run_problem_make(const struct run_problem *problem)
{
    const char *title = pl_code_title(problem->code);
    const char *detail = problem->detail && *problem->detail ? problem->detail : title;
    struct pl_value *value;
    struct pl_buf out;

    pl_buf_init(&out, PROBLEM_BYTES_MAX + PL_LIMIT_STEP_OUTPUT_BYTES);
    json_object_begin(&out);
    json_add_string(&out, "code", pl_str(pl_code_text(problem->code)));
    json_add_string(&out, "title", pl_str(title));
    json_add_string(&out, "detail", pl_str(detail));
    json_add_bool(&out, "retryable", pl_code_retry_class(problem->code) != PL_RETRY_NEVER);
    json_add_int(&out, "attempts", problem->attempts);
    add_upstream(&out, problem->result);
    add_branch(&out, problem->branch);
    json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

/* `error` with one more member, `json` being its value. */
static struct pl_value *with_member(const struct pl_value *error, const char *key,
                                    struct pl_str json)
{
    struct pl_str text = pl_value_text(error);
    struct pl_value *value;
    struct pl_buf out;

    while (text.len && text.ptr[text.len - 1] != '}')
        text.len--;
    pl_buf_init(&out, text.len + json.len + 64);
    pl_buf_append(&out, text.ptr, text.len ? text.len - 1 : 0);
    json_add_raw(&out, key, json);
    json_object_end(&out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

struct pl_value *run_problem_of_run(const struct pl_value *error, struct pl_str path)
{
    struct pl_value *quoted = pl_value_string(path), *value;

    value = quoted ? with_member(error, "step", pl_value_text(quoted)) : NULL;
    pl_value_unref(&quoted);
    return value;
}

/* The members of an error, and `first` behind the last `after` there is: the handler that failed
 * may have had a handler itself. Handlers are only so many deep. */
static void write_after(struct pl_str error, struct pl_str first, struct pl_buf *out)
{
    struct pl_str inner = {0};
    struct json_iter it;

    json_object_begin(out);
    for (json_iter_init(&it, error); json_iter_next(&it);) {
        if (pl_str_is(it.key, "\"after\"") && json_type(it.value) == JSON_OBJECT) {
            inner = it.value;
            continue;
        }
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        json_write_compact(out, it.value);
    }
    json_key(out, "after");
    if (inner.len)
        write_after(inner, first, out);
    else
        json_write_compact(out, first);
    json_object_end(out);
}

struct pl_value *run_problem_after(const struct pl_value *error, const struct pl_value *first)
{
    const struct pl_str whole = pl_value_text(error);
    struct pl_str text = pl_value_text(first);
    struct pl_value *value;
    struct pl_buf out;

    if (text.len > CAUSE_BYTES_MAX)
        text = PL_STR("null");
    pl_buf_init(&out, whole.len + text.len + 64);
    write_after(whole, text, &out);
    value = pl_value_take(&out);
    pl_buf_finish(&out);
    return value;
}

void run_problem_detail(const struct pl_value *error, char *out, size_t size)
{
    struct pl_err cut = {0};
    struct pl_str token;
    struct pl_buf text;

    pl_buf_init(&text, PROBLEM_BYTES_MAX);
    if (error && json_get(pl_value_text(error), PL_STR("detail"), &token) &&
        json_type(token) == JSON_STRING)
        json_decode_string(token, &text);
    pl_err_set(&cut, PL_ERR_INTERNAL, "%.*s", PL_STR_ARG(pl_buf_view(&text)));
    snprintf(out, size, "%s", cut.message);
    pl_buf_finish(&text);
}

/* Codes are plain words: what stands between the quotes is the text. */
enum pl_code run_problem_code(const struct pl_value *error)
{
    char text[64] = "";
    struct pl_str token;

    if (error && json_get(pl_value_text(error), PL_STR("code"), &token) && token.len > 2 &&
        token.len < sizeof(text))
        memcpy(text, token.ptr + 1, token.len - 2);
    return pl_code_from_text(text);
}

struct pl_value *run_problem_of_branch(const struct run_node *step)
{
    char detail[PL_ERR_MESSAGE_MAX] = "it was cancelled";
    struct pl_err text = {0};

    if (step->error)
        run_problem_detail(step->error, detail, sizeof(detail));
    pl_err_set(&text, PL_ERR_BRANCH_FAILED, "%.*s failed: %s", PL_STR_ARG(step->path), detail);
    return run_problem_make(&(struct run_problem){
        .code = PL_ERR_BRANCH_FAILED, .detail = text.message, .branch = step});
}
