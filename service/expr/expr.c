/* expr.c - the value of a compiled expression: a path is found in JSON text without building a
 * tree, that of a jq program is asked of the scope. Not compilation (expr_parse.c). Called by
 * template_write.c and by run_values, on the loop of the run. */
#include "service/expr/expr.h"

#include "base/json.h"
#include "base/limits.h"

static const char *type_name(enum json_type type)
{
    switch (type) {
    case JSON_NULL:
        return "null";
    case JSON_FALSE:
    case JSON_TRUE:
        return "a boolean";
    case JSON_NUMBER:
        return "a number";
    case JSON_STRING:
        return "a string";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        return "an object";
    }
    return "a value";
}

static struct pl_str root_value(const struct expr *expr, const struct expr_scope *scope)
{
    const struct expr_ref *ref = &expr->refs[0];
    struct pl_str value;

    if (ref->root == EXPR_ROOT_STEP)
        value = scope->step(scope->arg, ref->step, ref->field);
    else
        value = scope->root(scope->arg, ref);
    return value.len ? value : PL_STR("null");
}

/* ---- taking a member or an element ---- */

/* What a segment takes: a name, or an index where the name is absent. */
struct key {
    struct pl_str name;
    int64_t index;
    struct pl_buf decoded; /* holds `name` when it had to be decoded */
};

static enum pl_code cannot_take(const struct expr *expr, const struct key *key, enum json_type type,
                                struct pl_err *err)
{
    char shown[DOC_EXCERPT], name[DOC_EXCERPT];

    doc_excerpt(expr->text, shown);
    if (key->name.ptr)
        return pl_err_set(
            err, PL_ERR_EXPRESSION_ERROR, "expression '%s': cannot take the member '%s' of %s; %s",
            shown, doc_excerpt(key->name, name), type_name(type),
            pl_str_is(key->name, "length") && (type == JSON_ARRAY || type == JSON_STRING)
                ? "how long it is says '| length' behind it"
                : "put '?' behind it to get null instead");
    return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                      "expression '%s': cannot take element %lld of %s; put '?' behind it to get "
                      "null instead",
                      shown, (long long)key->index, type_name(type));
}

/* The text of a string; one without escapes stays where it is. */
static enum pl_code string_key(struct pl_str token, struct key *key, struct pl_err *err)
{
    const char *open = memchr(token.ptr, '"', token.len);
    const char *close = memrchr(token.ptr, '"', token.len);

    key->name = pl_str_n(open + 1, (size_t)(close - open) - 1);
    if (!memchr(key->name.ptr, '\\', key->name.len))
        return PL_OK;
    json_decode_string(token, &key->decoded);
    if (pl_buf_failed(&key->decoded))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    key->name = pl_buf_view(&key->decoded);
    return PL_OK;
}

/* As jq: what is behind the point of a number is dropped, downwards. */
static int64_t number_key(struct pl_str token)
{
    double number = json_number(token);
    int64_t whole;

    if (!(number > -1e15 && number < 1e15))
        return INT64_MAX; /* past the end of any list */
    whole = (int64_t)number;
    return (double)whole > number ? whole - 1 : whole;
}

/* [.path]: what the path gives must be a number or a string; *ret_absent when it is not and that is
 * no mistake. */
static enum pl_code dynamic_key(const struct expr *expr, const struct expr_segment *segment,
                                const struct expr_scope *scope, struct key *key, bool *ret_absent,
                                struct pl_err *err)
{
    char shown[DOC_EXCERPT], index[DOC_EXCERPT];
    struct pl_str value;
    enum pl_code code = expr_eval(segment->dynamic, scope, &value, err);
    enum json_type type;

    if (code != PL_OK)
        return code;
    type = json_type(value);
    if (type == JSON_STRING)
        return string_key(value, key, err);
    key->index = type == JSON_NUMBER ? number_key(value) : 0;
    *ret_absent = type != JSON_NUMBER;
    if (type == JSON_NUMBER || segment->optional)
        return PL_OK;
    return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                      "expression '%s': the index '%s' must be a number or a string, and is %s",
                      doc_excerpt(expr->text, shown), doc_excerpt(segment->dynamic->text, index),
                      type_name(type));
}

/* Goes one segment on: *value, which is not null, becomes what the segment takes of it. */
static enum pl_code take(const struct expr *expr, const struct expr_segment *segment,
                         const struct expr_scope *scope, struct pl_str *value, struct pl_err *err)
{
    struct key key = {.name = segment->name, .index = segment->index};
    enum json_type type = json_type(*value);
    bool absent = false, found = false;
    enum pl_code code = PL_OK;

    pl_buf_init(&key.decoded, value->len + PL_LIMIT_STEP_OUTPUT_BYTES);
    if (segment->dynamic)
        code = dynamic_key(expr, segment, scope, &key, &absent, err);
    if (code == PL_OK && !absent) {
        if (type == (key.name.ptr ? JSON_OBJECT : JSON_ARRAY))
            found = key.name.ptr ? json_get(*value, key.name, value)
                                 : json_at(*value, key.index, value);
        else if (!segment->optional)
            code = cannot_take(expr, &key, type, err);
    }
    if (!found)
        *value = PL_STR("null");
    pl_buf_finish(&key.decoded);
    return code;
}

/* ---- the whole ---- */

static enum pl_code eval_jq(const struct expr *expr, const struct expr_scope *scope,
                            struct pl_str *ret_json, struct pl_err *err)
{
    struct pl_str value = {0};
    char shown[DOC_EXCERPT];
    enum pl_code code;

    doc_excerpt(expr->text, shown);
    if (!scope->jq)
        return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                          "expression '%s' is a jq program, and none can run here", shown);
    code = scope->jq(scope->arg, expr, &value, err);
    if (code == PL_OK)
        *ret_json = value.len ? value : PL_STR("null");
    else if (code == PL_ERR_EXPRESSION_ERROR || code == PL_ERR_EXPRESSION_LIMIT)
        (void)pl_err_prefix(err, "expression '%s'", shown);
    return code;
}

enum pl_code expr_eval(const struct expr *expr, const struct expr_scope *scope,
                       struct pl_str *ret_json, struct pl_err *err)
{
    struct pl_str value;

    if (expr->kind == EXPR_JQ)
        return eval_jq(expr, scope, ret_json, err);
    value = root_value(expr, scope);
    for (size_t i = 0; i < expr->n_segments && json_type(value) != JSON_NULL; i++) {
        enum pl_code code = take(expr, &expr->segments[i], scope, &value, err);

        if (code != PL_OK)
            return code;
    }
    *ret_json = value;
    return PL_OK;
}
