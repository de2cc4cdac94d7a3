/* workflow_fields.c - reading objects by tables of keys, and the values that stand in them. Not
 * what any key means: that is in the files that own the tables. Called by workflow_parse,
 * workflow_steps, workflow_policy and steps/<kind>_parse. */
#include "service/workflow/workflow_parse.h"

#include "base/json.h"
#include "base/limits.h"

#include <math.h>
#include <stdio.h>

enum {
    SHOWN_BYTES = 48, /* of a key or word quoted in a message */
    NAMES_MAX = 48,   /* keys of one object: more than any table has */
    TEN_YEARS_S = 315360000,
};

const char *wf_show(struct wf_ctx *ctx, struct pl_str text)
{
    size_t len = text.len;
    bool cut = len > SHOWN_BYTES;

    if (cut)
        for (len = SHOWN_BYTES; len > 0 && ((unsigned char)text.ptr[len] & 0xC0u) == 0x80u; len--)
            ;
    char *shown = pl_arena_alloc(ctx->p->scratch, len + 4);
    if (!shown)
        return "";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        shown[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(shown + len, cut ? "..." : "", cut ? 4 : 1);
    return shown;
}

const char *wf_nearest(struct wf_ctx *ctx, struct pl_str word, const char *const *names)
{
    return ctx->p->problems->total < PL_LIMIT_PROBLEMS ? doc_nearest(word, names) : NULL;
}

/* ---- objects ---- */

static const struct wf_field *find_field(const struct wf_object *object, struct pl_str key)
{
    for (size_t i = 0; i < object->n_fields; i++)
        if (pl_str_is(key, object->fields[i].key))
            return &object->fields[i];
    return object->also ? find_field(object->also, key) : NULL;
}

bool wf_has_field(const struct wf_object *object, struct pl_str key)
{
    return find_field(object, key) != NULL;
}

/* The keys of an object that can be used, NULL behind. */
static void usable_names(const struct wf_object *object, const char *names[NAMES_MAX + 1])
{
    size_t count = 0;

    if (object->step_kinds)
        for (unsigned kind = 0; kind < STEP__KINDS; kind++)
            if (step_kind_is_written((enum step_kind)kind))
                names[count++] = step_kind_name((enum step_kind)kind);
    for (const struct wf_object *at = object; at; at = at->also)
        for (size_t i = 0; i < at->n_fields && count < NAMES_MAX; i++)
            if (at->fields[i].parse)
                names[count++] = at->fields[i].key;
    names[count] = NULL;
}

static const char *join_names(struct wf_ctx *ctx, const char *const *names)
{
    size_t len = 1, used = 0;

    for (size_t i = 0; names[i]; i++)
        len += strlen(names[i]) + 2;
    char *text = pl_arena_alloc(ctx->p->scratch, len);
    if (!text)
        return "";
    for (size_t i = 0; names[i]; i++)
        used += (size_t)snprintf(text + used, len - used, "%s%s", i ? ", " : "", names[i]);
    return text;
}

static void unknown_key(struct wf_ctx *ctx, const struct doc_node *member,
                        const struct wf_object *object)
{
    const char *names[NAMES_MAX + 1];
    const char *key = wf_show(ctx, member->key);
    const char *elsewhere = object->elsewhere ? object->elsewhere(member->key) : NULL;

    if (elsewhere) {
        wf_problem_key(ctx, member, "%s has no key '%s': %s", object->what, key, elsewhere);
        return;
    }
    usable_names(object, names);
    const char *nearest = wf_nearest(ctx, member->key, names);
    if (nearest)
        wf_problem_key(ctx, member, "%s has no key '%s'; did you mean '%s'?", object->what, key,
                       nearest);
    else
        wf_problem_key(ctx, member, "%s has no key '%s'; its keys are %s", object->what, key,
                       join_names(ctx, names));
}

void wf_member(struct wf_ctx *ctx, const struct doc_node *member, const struct wf_object *object,
               void *target)
{
    const struct wf_field *field = find_field(object, member->key);

    if (!field) {
        unknown_key(ctx, member, object);
    } else if (!field->parse) {
        wf_problem_key(ctx, member, "'%s' is not supported by this version%s%s", field->key,
                       field->help ? "; " : "; remove it", field->help ? field->help : "");
    } else if (wf_type(ctx, member, field->key, field->types, field->help)) {
        field->parse(ctx, member, target);
    }
}

void wf_object(struct wf_ctx *ctx, const struct doc_node *node, const struct wf_object *object,
               void *target)
{
    const char *help = "an object";

    if (object->example)
        help = pl_arena_printf(ctx->p->scratch, "an object such as %s", object->example);
    if (!help || !wf_type(ctx, node, object->what, WF_OBJECT, help))
        return;
    for (size_t i = 0; i < node->count; i++)
        wf_member(ctx, node->items[i], object, target);
}

bool wf_type(struct wf_ctx *ctx, const struct doc_node *node, const char *name, unsigned types,
             const char *help)
{
    if (types & 1u << node->type)
        return true;
    bool quote = (types & WF_QUOTE) && (node->type == DOC_NUMBER || node->type == DOC_BOOL);
    wf_problem(ctx, node, "'%s' must be %s, not %s%s", name, help, doc_type_name(node->type),
               quote ? "; put it in quotes if it is meant as text" : "");
    return false;
}

/* ---- values ---- */

static bool duration_of(const struct doc_node *node, pl_ms *ret_ms)
{
    if (node->type == DOC_STRING)
        return pl_duration_parse(node->text, ret_ms);
    if (node->type != DOC_NUMBER)
        return false;
    double seconds = json_number(node->text);
    if (!(seconds >= 0 && seconds <= (double)TEN_YEARS_S))
        return false;
    *ret_ms = (pl_ms)llround(seconds * 1000);
    return true;
}

bool wf_duration(struct wf_ctx *ctx, const struct doc_node *node, bool zero_ok, pl_ms *ret_ms)
{
    pl_ms ms;

    if (!duration_of(node, &ms)) {
        wf_problem(ctx, node,
                   "'%s' is not a duration; write 250ms, 30s, 5m or 1h, or a number of seconds",
                   wf_show(ctx, node->text));
        return false;
    }
    if (ms == 0 && !zero_ok) {
        wf_problem(ctx, node, "the duration must be more than 0; leave the %s out for none",
                   pl_str_is(node->key, "sleep") ? "step" : "key");
        return false;
    }
    *ret_ms = ms;
    return true;
}

bool wf_count(struct wf_ctx *ctx, const struct doc_node *node, int64_t min, int64_t max,
              int64_t *ret_count)
{
    const char *key = wf_show(ctx, node->key);
    int64_t count;

    if (node->type == DOC_NUMBER && json_int(node->text, &count) && count >= min && count <= max) {
        *ret_count = count;
        return true;
    }
    if (min == INT64_MIN)
        wf_problem(ctx, node, "'%s' must be a whole number of at most 19 digits", key);
    else
        wf_problem(ctx, node, "'%s' must be a whole number from %lld to %lld", key, (long long)min,
                   (long long)max);
    return false;
}

bool wf_number(struct wf_ctx *ctx, const struct doc_node *node, double *ret_number)
{
    double number = node->type == DOC_NUMBER ? json_number(node->text) : NAN;

    if (!isfinite(number)) {
        wf_problem(ctx, node, "'%s' must be a number", wf_show(ctx, node->key));
        return false;
    }
    *ret_number = number;
    return true;
}

bool wf_word(struct wf_ctx *ctx, const struct doc_node *node, const char *const *words,
             size_t *ret_index)
{
    if (node->type == DOC_STRING)
        for (size_t i = 0; words[i]; i++)
            if (pl_str_is(node->text, words[i])) {
                *ret_index = i;
                return true;
            }
    const char *nearest = node->type == DOC_STRING ? wf_nearest(ctx, node->text, words) : NULL;
    const char *shown = node->type == DOC_STRING
                            ? pl_arena_printf(ctx->p->scratch, "'%s'", wf_show(ctx, node->text))
                            : doc_type_name(node->type);
    wf_problem(ctx, node, "%s is not known here; write one of %s%s", shown, join_names(ctx, words),
               nearest ? pl_arena_printf(ctx->p->scratch, " (did you mean '%s'?)", nearest) : "");
    return false;
}

struct template *wf_template(struct wf_ctx *ctx, const struct doc_node *node)
{
    return template_compile(ctx->p->arena, node, ctx->names, &ctx->sink, ctx->p->problems);
}

bool wf_literal(struct wf_ctx *ctx, const struct doc_node *node)
{
    if (!memmem(node->text.ptr, node->text.len, "${", 2))
        return true;
    wf_problem(ctx, node, "'%s' is fixed when the workflow is checked; it takes no expression",
               wf_show(ctx, node->key.len || !node->parent ? node->key : node->parent->key));
    return false;
}

bool wf_is_expression(const struct template *template)
{
    return template && template->kind == TEMPLATE_EXPR;
}

/* ---- names ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool wf_id_ok(struct pl_str id)
{
    if (id.len == 0 || id.len > PL_LIMIT_NAME || (id.ptr[0] >= '0' && id.ptr[0] <= '9'))
        return false;
    for (size_t i = 0; i < id.len; i++)
        if (!is_alnum(id.ptr[i]) && id.ptr[i] != '_')
            return false;
    return true;
}

bool wf_name_ok(struct pl_str name)
{
    if (name.len == 0 || name.len > PL_LIMIT_NAME || name.ptr[0] == '_' || name.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}
