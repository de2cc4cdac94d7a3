/* sleep_parse.c - reads what stands under `sleep`. Not the timer (run_timers.c). Called by
 * workflow_steps through its table of kinds. */
#include "service/workflow/workflow_parse.h"

static void sleep_until(struct wf_ctx *ctx, const struct doc_node *node, void *target)
{
    struct sleep_config *sleep = target;
    pl_ms time;

    sleep->until = wf_template(ctx, node);
    if (sleep->until && sleep->until->kind == TEMPLATE_CONST && !pl_time_parse(node->text, &time))
        wf_problem(ctx, node,
                   "'%s' is no time; write 2027-01-31T09:00:00Z, or an expression that gives one",
                   wf_show(ctx, node->text));
}

static const struct wf_field sleep_fields[] = {
    {.key = "until",
     .types = WF_STRING,
     .help = "a time in quotes such as \"2027-01-31T09:00:00Z\"",
     .parse = sleep_until},
};

static const char *sleep_elsewhere(struct pl_str key)
{
    return wf_is_step_key(key) ? "it belongs on the step, beside 'sleep'" : NULL;
}

static const struct wf_object sleep_object = {
    .what = "sleep",
    .fields = sleep_fields,
    .n_fields = PL_ARRAY_LEN(sleep_fields),
    .elsewhere = sleep_elsewhere,
};

/* A string with an expression in it gives the duration when the step runs. */
static void sleep_text(struct wf_ctx *ctx, const struct doc_node *node, struct sleep_config *sleep)
{
    if (!memmem(node->text.ptr, node->text.len, "${", 2)) {
        (void)wf_duration(ctx, node, false, &sleep->duration);
        return;
    }
    sleep->for_duration = true;
    sleep->until = wf_template(ctx, node);
}

void wf_parse_sleep(struct wf_ctx *ctx, const struct doc_node *node)
{
    struct sleep_config *sleep = pl_arena_alloc(ctx->p->arena, sizeof(*sleep));

    if (!sleep)
        return;
    ctx->step->config.sleep = sleep;
    if (node->type == DOC_STRING) {
        sleep_text(ctx, node, sleep);
    } else if (node->type == DOC_OBJECT) {
        wf_object(ctx, node, &sleep_object, sleep);
        if (!doc_get(node, "until"))
            wf_problem_key(ctx, node, "sleep needs a duration such as 30s, or {until: time}");
    } else if (wf_type(ctx, node, "sleep", WF_DURATION,
                       "a duration such as 30s, or {until: time}")) {
        (void)wf_duration(ctx, node, false, &sleep->duration);
    }
}
