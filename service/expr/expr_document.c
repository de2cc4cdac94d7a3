/* expr_document.c - what the jq programs of one question see: one object that holds the roots they
 * mention, spliced together from JSON text. Not what the roots hold (run_values). Called by
 * run_values, on the loop of the run. */
#include "base/json.h"
#include "service/expr/expr.h"

#include <stdlib.h>

static const char *const root_keys[EXPR_ROOT__COUNT] = {
    [EXPR_ROOT_INPUT] = "input",
    [EXPR_ROOT_STEP] = "steps",
    [EXPR_ROOT_RUN] = "run",
    [EXPR_ROOT_THREAD] = "thread",
    [EXPR_ROOT_OUTPUT] = "output",
    [EXPR_ROOT_ERROR] = "error",
    [EXPR_ROOT_STATE] = "state",
    [EXPR_ROOT_ITEM] = "item",
    [EXPR_ROOT_INDEX] = "index",
    [EXPR_ROOT_ITEMS] = "items",
    [EXPR_ROOT_TURN] = "turn",
    [EXPR_ROOT_PREVIOUS] = "previous",
    [EXPR_ROOT_ARGS] = "args",
    [EXPR_ROOT_CANDIDATES] = "candidates",
    [EXPR_ROOT_CANDIDATE] = "candidate",
};

static const char *const field_keys[] = {
    [EXPR_STEP_ALL] = "",        [EXPR_STEP_OUTPUT] = "output", [EXPR_STEP_STATUS] = "status",
    [EXPR_STEP_ERROR] = "error", [EXPR_STEP_USAGE] = "usage",   [EXPR_STEP_JOIN] = "join",
};

/* ---- the order of the members ---- */

/* By root, name, field; so the mention of a whole (no name, all fields) comes before its parts. */
static int compare(const void *left, const void *right)
{
    const struct expr_ref *a = *(const struct expr_ref *const *)left;
    const struct expr_ref *b = *(const struct expr_ref *const *)right;
    size_t shorter = a->name.len < b->name.len ? a->name.len : b->name.len;
    int order = shorter ? memcmp(a->name.ptr, b->name.ptr, shorter) : 0;

    if (a->root != b->root)
        return a->root < b->root ? -1 : 1;
    if (order == 0 && a->name.len != b->name.len)
        order = a->name.len < b->name.len ? -1 : 1;
    return order ? order : (int)a->field - (int)b->field;
}

static size_t count_refs(const struct expr *const *exprs, size_t n_exprs)
{
    size_t count = 0;

    for (size_t i = 0; i < n_exprs; i++)
        count += exprs[i]->n_refs;
    return count;
}

/* All mentions in order; *ret_count of them. NULL when memory is out. */
static const struct expr_ref **sorted_refs(const struct expr *const *exprs, size_t n_exprs,
                                           size_t *ret_count)
{
    const struct expr_ref **refs =
        calloc(count_refs(exprs, n_exprs) + 1, sizeof(const struct expr_ref *));
    size_t count = 0;

    if (!refs)
        return NULL;
    for (size_t i = 0; i < n_exprs; i++)
        for (size_t j = 0; j < exprs[i]->n_refs; j++)
            refs[count++] = &exprs[i]->refs[j];
    qsort(refs, count, sizeof(const struct expr_ref *), compare);
    *ret_count = count;
    return refs;
}

/* ---- writing ---- */

struct writer {
    const struct expr_scope *scope;
    struct pl_buf *out;
    const struct expr_ref **refs, **end;
};

static void write_value(struct writer *writer, const struct expr_ref *ref)
{
    const struct expr_scope *scope = writer->scope;
    struct pl_str value = ref->root == EXPR_ROOT_STEP
                              ? scope->step(scope->arg, ref->step, ref->field)
                              : scope->root(scope->arg, ref);

    /* The comma of the next member looks at the byte before it. */
    while (value.len && strchr(" \t\r\n", value.ptr[value.len - 1]))
        value.len--;
    pl_buf_str(writer->out, value.len ? value : PL_STR("null"));
}

static void write_key(struct pl_buf *out, struct pl_str name)
{
    json_comma(out);
    json_write_string(out, name);
    pl_buf_char(out, ':');
}

/* True when the next mention is of the same thing as `ref`, or of a part of it. */
static bool same_name(const struct writer *writer, const struct expr_ref *ref)
{
    return writer->refs < writer->end && writer->refs[0]->root == ref->root &&
           pl_str_eq(writer->refs[0]->name, ref->name);
}

/* One step: all of it, or an object of the fields that are mentioned. */
static void write_step(struct writer *writer)
{
    const struct expr_ref *first = writer->refs[0], *last = NULL;

    write_key(writer->out, first->name);
    if (first->field == EXPR_STEP_ALL) {
        write_value(writer, first);
        while (same_name(writer, first))
            writer->refs++;
        return;
    }
    json_object_begin(writer->out);
    for (; same_name(writer, first); last = *writer->refs++) {
        if (last && last->field == writer->refs[0]->field)
            continue;
        json_key(writer->out, field_keys[writer->refs[0]->field]);
        write_value(writer, writer->refs[0]);
    }
    json_object_end(writer->out);
}

static void write_steps(struct writer *writer)
{
    json_key(writer->out, root_keys[EXPR_ROOT_STEP]);
    json_object_begin(writer->out);
    while (writer->refs < writer->end && writer->refs[0]->root == EXPR_ROOT_STEP)
        write_step(writer);
    json_object_end(writer->out);
}

/* All the state, or an object of the channels that are mentioned. */
static void write_state(struct writer *writer)
{
    bool all = writer->refs[0]->name.len == 0;

    json_key(writer->out, root_keys[EXPR_ROOT_STATE]);
    if (all)
        write_value(writer, writer->refs[0]);
    else
        json_object_begin(writer->out);
    while (writer->refs < writer->end && writer->refs[0]->root == EXPR_ROOT_STATE) {
        const struct expr_ref *ref = writer->refs[0];

        if (!all) {
            write_key(writer->out, ref->name);
            write_value(writer, ref);
        }
        while (same_name(writer, ref))
            writer->refs++;
    }
    if (!all)
        json_object_end(writer->out);
}

static void write_root(struct writer *writer)
{
    const struct expr_ref *ref = writer->refs[0];
    enum expr_root root = ref->root;

    if (root == EXPR_ROOT_AS || root == EXPR_ROOT_AS_INDEX) {
        json_comma(writer->out);
        pl_buf_printf(writer->out, "\"%.*s%s\":", PL_STR_ARG(ref->name),
                      root == EXPR_ROOT_AS ? "" : "_index");
    } else {
        json_key(writer->out, root_keys[root]);
    }
    write_value(writer, ref);
    while (same_name(writer, ref))
        writer->refs++;
}

enum pl_code expr_write_document(const struct expr *const *exprs, size_t n_exprs,
                                 const struct expr_scope *scope, struct pl_buf *out,
                                 struct pl_err *err)
{
    size_t count = 0;
    const struct expr_ref **refs = sorted_refs(exprs, n_exprs, &count);
    struct writer writer = {.scope = scope, .out = out, .refs = refs, .end = refs + count};

    if (!refs)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    json_object_begin(out);
    while (writer.refs < writer.end && !pl_buf_failed(out)) {
        if (writer.refs[0]->root == EXPR_ROOT_STEP)
            write_steps(&writer);
        else if (writer.refs[0]->root == EXPR_ROOT_STATE)
            write_state(&writer);
        else
            write_root(&writer);
    }
    json_object_end(out);
    free(refs);
    if (!pl_buf_failed(out))
        return PL_OK;
    if (out->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE,
                          "what the expressions read is larger than %zu bytes", out->max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}
