/* expr.c - the value of a compiled path, found in JSON text without building a tree. Not
 * compilation (expr_parse.c). Called by template.c and by run_values, on the loop of the run. */
#include "service/expr.h"

#include "base/json.h"

#include <stdio.h>

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
    struct pl_str value;

    const struct expr_ref *ref = &expr->refs[0];

    if (ref->root == EXPR_ROOT_STEP)
        value = scope->step(scope->arg, ref->step, ref->field);
    else
        value = scope->root(scope->arg, ref);
    return value.len ? value : PL_STR("null");
}

static enum pl_code cannot_take(const struct expr *expr, const struct expr_segment *segment,
                                enum json_type type, struct pl_err *err)
{
    char shown[DOC_EXCERPT], name[DOC_EXCERPT];

    doc_excerpt(expr->text, shown);
    if (segment->name.ptr)
        return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                          "expression '%s': cannot take the member '%s' of %s; put '?' behind it "
                          "to get null instead",
                          shown, doc_excerpt(segment->name, name), type_name(type));
    return pl_err_set(err, PL_ERR_EXPRESSION_ERROR,
                      "expression '%s': cannot take element %lld of %s; put '?' behind it to get "
                      "null instead",
                      shown, (long long)segment->index, type_name(type));
}

enum pl_code expr_eval(const struct expr *expr, const struct expr_scope *scope,
                       struct pl_str *ret_json, struct pl_err *err)
{
    struct pl_str value = root_value(expr, scope);

    for (size_t i = 0; i < expr->n_segments; i++) {
        const struct expr_segment *segment = &expr->segments[i];
        enum json_type type = json_type(value);
        bool found = false;

        if (type == JSON_NULL)
            break;
        if (type == (segment->name.ptr ? JSON_OBJECT : JSON_ARRAY))
            found = segment->name.ptr ? json_get(value, segment->name, &value)
                                      : json_at(value, segment->index, &value);
        else if (!segment->optional)
            return cannot_take(expr, segment, type, err);
        if (!found)
            value = PL_STR("null");
    }
    *ret_json = value;
    return PL_OK;
}
