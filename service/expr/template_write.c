/* template_write.c - the value of a template, written straight into the caller's buffer: every
 * output that is spliced in is copied once. Not compilation (template.c). Called by run_values, on
 * the loop of the run. */
#include "base/json.h"
#include "service/expr/expr.h"

static enum pl_code buffer_code(const struct pl_buf *out, struct pl_err *err)
{
    if (!pl_buf_failed(out))
        return PL_OK;
    if (out->too_large)
        return pl_err_set(err, PL_ERR_TOO_LARGE, "the value is larger than %zu bytes", out->max);
    return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}

bool template_has_jq(const struct template *template)
{
    if (template->kind == TEMPLATE_EXPR)
        return template->expr->kind == EXPR_JQ;
    for (size_t i = 0; i < template->count; i++) {
        const struct expr *expr = template->kind == TEMPLATE_TEXT ? template->parts[i].expr : NULL;

        if (expr ? expr->kind == EXPR_JQ : template->items && template_has_jq(template->items[i]))
            return true;
    }
    return false;
}

/* ---- text ---- */

static void write_value_text(struct pl_str value, struct pl_buf *out)
{
    enum json_type type = json_type(value);

    if (type == JSON_STRING)
        json_decode_string(value, out);
    else if (type != JSON_NULL)
        json_write_compact(out, value);
}

/* A value as it stands inside a JSON string. The escapes of a string are right there already; of
 * other values the compact JSON has its quotes and backslashes escaped, and nothing else in it
 * needs it. */
static void write_value_escaped(struct pl_str value, struct pl_buf *out)
{
    enum json_type type = json_type(value);
    const char *p = value.ptr, *end = p + value.len, *from;
    bool in_string = false;

    if (type == JSON_NULL)
        return;
    if (type == JSON_STRING) {
        p = memchr(p, '"', value.len);
        end = memrchr(p, '"', (size_t)(end - p));
        pl_buf_append(out, p + 1, (size_t)(end - p) - 1);
        return;
    }
    for (from = p; p < end; p++) {
        bool space = !in_string && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r');

        if (!space && *p != '"' && *p != '\\')
            continue;
        pl_buf_append(out, from, (size_t)(p - from));
        from = p + space;
        if (space)
            continue;
        pl_buf_char(out, '\\');
        if (*p == '"') {
            in_string = !in_string;
        } else { /* a backslash, and what it escapes, which is no end of the string */
            pl_buf_append(out, p, 1);
            p++;
            if (*p == '"' || *p == '\\')
                pl_buf_char(out, '\\');
            from = p;
        }
    }
    pl_buf_append(out, from, (size_t)(end - from));
}

static enum pl_code write_parts(const struct template *template, const struct expr_scope *scope,
                                bool escaped, struct pl_buf *out, struct pl_err *err)
{
    for (size_t i = 0; i < template->count && !pl_buf_failed(out); i++) {
        const struct template_part *part = &template->parts[i];
        struct pl_str value;
        enum pl_code code;

        if (!part->expr) {
            pl_buf_str(out, escaped ? part->escaped : part->literal);
            continue;
        }
        code = expr_eval(part->expr, scope, &value, err);
        if (code != PL_OK)
            return code;
        if (escaped)
            write_value_escaped(value, out);
        else
            write_value_text(value, out);
    }
    return PL_OK;
}

/* ---- JSON ---- */

static enum pl_code write_json(const struct template *template, const struct expr_scope *scope,
                               struct pl_buf *out, struct pl_err *err);

static enum pl_code write_items(const struct template *template, const struct expr_scope *scope,
                                struct pl_buf *out, struct pl_err *err)
{
    bool object = template->kind == TEMPLATE_OBJECT;

    pl_buf_char(out, object ? '{' : '[');
    for (size_t i = 0; i < template->count && !pl_buf_failed(out); i++) {
        enum pl_code code;

        if (i)
            pl_buf_char(out, ',');
        if (object) {
            pl_buf_str(out, template->keys[i]);
            pl_buf_char(out, ':');
        }
        code = write_json(template->items[i], scope, out, err);
        if (code != PL_OK)
            return code;
    }
    pl_buf_char(out, object ? '}' : ']');
    return PL_OK;
}

static enum pl_code write_json(const struct template *template, const struct expr_scope *scope,
                               struct pl_buf *out, struct pl_err *err)
{
    struct pl_str value;
    enum pl_code code = PL_OK;

    switch (template->kind) {
    case TEMPLATE_CONST:
        pl_buf_str(out, template->json);
        break;
    case TEMPLATE_EXPR:
        code = expr_eval(template->expr, scope, &value, err);
        if (code == PL_OK)
            json_write_compact(out, value);
        break;
    case TEMPLATE_TEXT:
        pl_buf_char(out, '"');
        code = write_parts(template, scope, true, out, err);
        pl_buf_char(out, '"');
        break;
    case TEMPLATE_LIST:
    case TEMPLATE_OBJECT:
        code = write_items(template, scope, out, err);
        break;
    }
    return code;
}

enum pl_code template_write_json(const struct template *template, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err)
{
    enum pl_code code = write_json(template, scope, out, err);

    return code == PL_OK ? buffer_code(out, err) : code;
}

enum pl_code template_write_text(const struct template *template, const struct expr_scope *scope,
                                 struct pl_buf *out, struct pl_err *err)
{
    struct pl_str value;
    enum pl_code code = PL_OK;

    switch (template->kind) {
    case TEMPLATE_CONST:
        write_value_text(template->json, out);
        break;
    case TEMPLATE_EXPR:
        code = expr_eval(template->expr, scope, &value, err);
        if (code == PL_OK)
            write_value_text(value, out);
        break;
    case TEMPLATE_TEXT:
        code = write_parts(template, scope, false, out, err);
        break;
    case TEMPLATE_LIST:
    case TEMPLATE_OBJECT:
        code = write_json(template, scope, out, err);
        break;
    }
    return code == PL_OK ? buffer_code(out, err) : code;
}
