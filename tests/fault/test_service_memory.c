/* test_service_memory.c - memory that runs out anywhere in what the HTTP service asks of the
 * engine: reading events, listing, starting once, storing a workflow. Each call says no_memory or
 * does its work whole; nothing leaks, hangs or stays held. The linker puts the functions here in
 * front of malloc, calloc and realloc of this program. Run by ctest. */
#include "base/log.h"
#include "service/events/event_stream.h"
#include "tests/support/engine_probe.h"
#include "tests/support/scarce_memory.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define TENANT PL_STR("default")

/* An assertion inside of what is tried: it allocates too. */
#define EXPECT(condition)              \
    do {                               \
        long armed = scarce_countdown; \
                                       \
        scarce_countdown = 0;          \
        ck_assert(condition);          \
        scarce_countdown = armed;      \
    } while (0)

static struct engine_probe probe;
static struct run_probe run;
static struct workflow *workflow;

static void set_up(void)
{
    log_configure(LOG_LEVEL_OFF, 2);
    engine_probe_init(&probe, 1);
    workflow =
        test_workflow("steps:\n"
                      "  p: {parallel: {branches: {a: {reduce: 1}, b: {reduce: 2}}}}\n"
                      "  s: {when: '${ .input.no }', parallel: {branches: {x: {reduce: 1}}}}\n");
    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    run_probe_wait(&run);
    engine_probe_wait_idle(&probe);
}

static void tear_down(void)
{
    run_probe_finish(&run);
    engine_probe_finish(&probe);
    workflow_unref(&workflow);
}

/* Calls `work` with the first allocation of this thread failing, then the second, ... until none
 * does. `work` gives the code of what it did and what it wrote, which is the same each time it is
 * done at all. */
static void fail_each(enum pl_code (*work)(struct pl_buf *out, struct pl_err *err))
{
    struct pl_buf whole, out;
    struct pl_err err = {.message = ""};
    enum pl_code code;

    pl_buf_init(&whole, 1 << 20);
    pl_buf_init(&out, 1 << 20);
    code = work(&whole, &err);
    ck_assert_msg(code == PL_OK, "%s", err.message);
    for (long at = 1;; at++) {
        pl_buf_finish(&out);
        scarce_refused = false;
        scarce_countdown = at;
        code = work(&out, &err);
        scarce_countdown = 0;
        ck_assert_msg(code == PL_OK || (scarce_refused && code == PL_ERR_NO_MEMORY),
                      "at %ld: %d %s", at, (int)code, err.message);
        if (code == PL_OK)
            ck_assert_str_eq(out.len ? out.data : "", whole.len ? whole.data : "");
        if (!scarce_refused)
            break;
    }
    pl_buf_finish(&whole);
    pl_buf_finish(&out);
}

static void ring(void *arg)
{
    (void)arg;
}

static enum pl_code read_stream(struct pl_buf *out, struct pl_err *err)
{
    struct event_stream_options options = {
        .tenant = TENANT, .run = pl_str(run.id), .types = PL_STR("step.*,run.*"), .wake = ring};
    struct event_stream *stream;
    enum event_stream_state state = EVENT_STREAM_MORE;
    enum pl_code code = event_stream_open(probe.engine, &options, &stream, err);

    if (code != PL_OK)
        return code;
    while (state == EVENT_STREAM_MORE)
        state = event_stream_read(stream, out->len + 300, out, err);
    event_stream_close(&stream);
    EXPECT(state != EVENT_STREAM_WAIT);
    return state == EVENT_STREAM_END ? PL_OK : err->code;
}

START_TEST(a_stream_of_events_is_whole_or_says_that_it_failed)
{
    fail_each(read_stream);
}
END_TEST

static enum pl_code list_runs(struct pl_buf *out, struct pl_err *err)
{
    struct store_run_filter filter = {.status = PL_STR("succeeded")};

    return engine_write_runs(probe.engine, TENANT, &filter, 10, out, err);
}

static enum pl_code list_steps(struct pl_buf *out, struct pl_err *err)
{
    struct engine_step_filter filter = {0};

    return engine_write_steps(probe.engine, TENANT, pl_str(run.id), &filter, 10, out, err);
}

static enum pl_code show_run(struct pl_buf *out, struct pl_err *err)
{
    return engine_write_run(probe.engine, TENANT, pl_str(run.id), true, out, err);
}

static enum pl_code list_workflows(struct pl_buf *out, struct pl_err *err)
{
    return engine_write_workflows(probe.engine, TENANT, (struct pl_str){0}, 10, out, err);
}

START_TEST(lists_are_whole_or_not_there)
{
    fail_each(list_runs);
    fail_each(list_steps);
    fail_each(show_run);
    fail_each(list_workflows);
}
END_TEST

/* Every time another text, which no cache knows. */
static enum pl_code compile(struct pl_buf *out, struct pl_err *err)
{
    static unsigned number;
    struct doc_problems problems;
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *compiled = NULL;
    struct pl_buf text;
    enum pl_code code;

    (void)out;
    (void)err;
    if (!arena)
        return PL_ERR_NO_MEMORY;
    pl_buf_init(&text, 1000);
    pl_buf_printf(&text, "steps: {a: {reduce: %u}}\n", ++number);
    doc_problems_init(&problems, arena);
    code = pl_buf_failed(&text) ? PL_ERR_NO_MEMORY
                                : engine_compile(probe.engine,
                                                 &(struct engine_text){.tenant = TENANT,
                                                                       .text = pl_buf_view(&text),
                                                                       .format = DOC_YAML},
                                                 &compiled, &problems);
    EXPECT((code == PL_OK) == (compiled != NULL));
    workflow_unref(&compiled);
    pl_buf_finish(&text);
    pl_arena_destroy(&arena);
    return code;
}

START_TEST(a_definition_is_compiled_also_when_it_cannot_be_kept)
{
    fail_each(compile);
}
END_TEST

struct told {
    struct store_waiter waiter;
    int64_t version;
};

static void put_done(void *arg, enum pl_code code, int64_t version, bool created,
                     const struct pl_err *err)
{
    struct told *told = arg;

    (void)created;
    told->version = version;
    store_waiter_done(&told->waiter, code, err);
}

static enum pl_code put_and_get(struct pl_buf *out, struct pl_err *err)
{
    struct told told;
    struct engine_workflow_put put = {.tenant = TENANT,
                                      .name = PL_STR("plan"),
                                      .workflow = workflow,
                                      .if_version = -1,
                                      .done = put_done,
                                      .arg = &told};
    struct workflow *got = NULL;
    int64_t version;
    pl_ms at;
    enum pl_code code;

    (void)out;
    store_waiter_init(&told.waiter);
    engine_put_workflow(probe.engine, &put);
    store_waiter_wait(&told.waiter, 1);
    code = told.waiter.code;
    store_waiter_finish(&told.waiter);
    if (code != PL_OK)
        return code;
    EXPECT(told.version == 1);
    code = engine_get_workflow(probe.engine, TENANT, PL_STR("plan@1"), &got, &version, &at, err);
    workflow_unref(&got);
    return code;
}

START_TEST(a_workflow_is_stored_or_its_owner_told)
{
    fail_each(put_and_get);
}
END_TEST

static enum pl_code start_keyed(struct pl_buf *out, struct pl_err *err)
{
    static unsigned number;
    char key[16], id[PL_ID_TEXT], again[PL_ID_TEXT];
    struct engine_run_request request = {.tenant = TENANT,
                                         .workflow = workflow,
                                         .key_route = PL_STR("r"),
                                         .key_fingerprint = PL_STR("f")};
    struct doc_problems problems = {0};
    long left;
    bool joined;
    enum pl_code code, joins;

    (void)out;
    snprintf(key, sizeof key, "k%u", ++number);
    request.key = pl_str(key);
    code = engine_start_or_join_run(probe.engine, &request, id, &joined, &problems, err);
    /* the key is not left held: whoever comes next is answered */
    left = scarce_countdown;
    scarce_countdown = 0;
    do
        joins = engine_start_or_join_run(probe.engine, &request, again, &joined, &problems, err);
    while (joins == PL_ERR_CONFLICT && sched_yield() == 0);
    ck_assert_int_eq(joins, PL_OK);
    ck_assert_int_eq(joined, code == PL_OK);
    scarce_countdown = left;
    return code;
}

START_TEST(a_key_is_free_again_after_a_start_without_memory)
{
    fail_each(start_keyed);
    engine_probe_wait_idle(&probe);
}
END_TEST

static void told_end(void *arg)
{
    ++*(unsigned *)arg;
}

static enum pl_code watch(struct pl_buf *out, struct pl_err *err)
{
    unsigned count = 0;
    uint64_t token = 0;
    enum pl_code code =
        engine_watch_end(probe.engine, TENANT, pl_str(run.id), told_end, &count, &token, err);

    (void)out;
    EXPECT(count == (code == PL_OK));
    engine_unwatch_end(probe.engine, token);
    return code;
}

START_TEST(who_watches_is_told_or_refused)
{
    fail_each(watch);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_stream_of_events_is_whole_or_says_that_it_failed,
        lists_are_whole_or_not_there,
        a_definition_is_compiled_also_when_it_cannot_be_kept,
        a_workflow_is_stored_or_its_owner_told,
        a_key_is_free_again_after_a_start_without_memory,
        who_watches_is_told_or_refused,
    };
    Suite *suite = suite_create("service_memory");
    TCase *tcase = tcase_create("service_memory");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
