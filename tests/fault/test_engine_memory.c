/* test_engine_memory.c - memory that runs out anywhere in a run: on its loop, on the writer, for
 * one allocation or for many. The run ends as it should, or fails with no_memory, or stays
 * unfinished and is told so; it never hangs, never gives a wrong answer, and goes on later. The
 * linker puts the functions here in front of malloc, calloc and realloc of this program. Run by
 * ctest. */
#include "base/log.h"
#include "tests/support/engine_probe.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static atomic_long countdown; /* the allocation that fails; 0 and below: none */
static atomic_long burst;     /* how many fail from there */
static atomic_long refused;
static _Thread_local bool spared; /* this thread's allocations never fail, nor count */

static bool refuse(void)
{
    long now;

    if (spared || atomic_load(&burst) == 0)
        return false;
    now = atomic_fetch_sub(&countdown, 1);
    if (now > 1 || now <= 1 - atomic_load(&burst))
        return false;
    atomic_fetch_add(&refused, 1);
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return refuse() ? NULL : __real_realloc(memory, size);
}

static void arm(long at, long count)
{
    atomic_store(&refused, 0);
    atomic_store(&countdown, at);
    atomic_store(&burst, count);
}

static struct engine_probe probe;
static struct workflow *workflow;

static const char everything[] =
    "steps:\n"
    "  w:\n"
    "    join: settled\n"
    "    parallel:\n"
    "      branches:\n"
    "        a: {llm: {model: 'sim/echo?latency=1ms', prompt: '${ .input.q }'}}\n"
    "        b:\n"
    "          retry: {initial: 1ms}\n"
    "          llm: {model: 'sim/echo?fail=500&times=1&text=b', prompt: y}\n"
    "        c:\n"
    "          llm: {model: 'sim/echo?fail=auth_failed', prompt: y}\n"
    "          on_error: {step: {reduce: '${ .error.code }'}}\n"
    "        d:\n"
    "          llm: {model: 'sim/echo?fail=auth_failed', prompt: y}\n"
    "          on_error: {default: '${ .input.q }'}\n"
    "  r:\n"
    "    join: {policy: any, accept: '${ .output.ok }'}\n"
    "    parallel:\n"
    "      branches:\n"
    "        x: {reduce: {ok: false}}\n"
    "        y: {llm: {model: 'sim/echo?latency=2ms', prompt: z}, on_error: fail}\n"
    "        z: {needs: [], reduce: {ok: '${ .input.q }'}}\n"
    "  s: {when: '${ .input.no }', reduce: 1}\n"
    "  t: {when: '${ .steps.w.output.a }', reduce: ['${ .steps.w.join.counted }', '${ .steps.r "
    "}', '${ .run.metadata }']}\n"
    "output: ['${ .steps.w.output }', '${ .steps.r.output }', '${ .steps.s.status }', '${ "
    ".steps.t.output[0] }', '${ .steps.t.output[1].status }']\n";

#define RESULT                                                                             \
    "succeeded [{\"a\":\"[simulated] q\",\"b\":\"b\",\"c\":\"auth_failed\",\"d\":\"q\"},{" \
    "\"ok\":\"q\"},\"skipped\",4,\"succeeded\"]"

/* Asked anew each time, and by several at once. */
static const char shared[] =
    "steps:\n"
    "  m:\n"
    "    map:\n"
    "      over: [1, 2, 3]\n"
    "      warm_up: true\n"
    "      do: {llm: {model: 'sim/echo?text=m', prompt: '${ .input.n }', cache: {ttl: 1h}}}\n"
    "  p:\n"
    "    parallel:\n"
    "      branches:\n"
    "        a: {llm: {model: 'sim/echo?text=p', prompt: '${ .input.n }', cache: {ttl: 1h}}}\n"
    "        b: {llm: {model: 'sim/echo?text=p', prompt: '${ .input.n }', cache: {ttl: 1h}}}\n"
    "        c: {llm: {model: 'sim/echo?text=p', prompt: '${ .input.n }', cache: {ttl: 1h}}}\n"
    "output: ['${ .steps.m.output }', '${ .steps.p.output }']\n";

#define SHARED_RESULT "succeeded [[\"m\",\"m\",\"m\"],{\"a\":\"p\",\"b\":\"p\",\"c\":\"p\"}]"

static const char *expected = RESULT;

static void set_up(void)
{
    spared = true;
    log_configure(LOG_LEVEL_OFF, 2);
    engine_probe_init(&probe, 2);
    workflow = test_workflow(everything);
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
    workflow_unref(&workflow);
}

static void ring(void *arg)
{
    (void)arg;
}

/* A branch that found no memory is in the output as its error, fails the run, or leaves the race
 * without a winner. */
static bool tells_of_memory(const struct run_probe *run, const char *result)
{
    struct pl_str error = pl_value_text(run->error);

    return strstr(result, "no_memory") || strstr(error.ptr, "no_memory") ||
           strcmp(result, "failed quorum_unreachable") == 0;
}

/* One run with the Nth allocation failing. False when none did. */
static bool run_once(long at, long count)
{
    struct run_probe run;
    struct bus_subscriber *watcher;
    const char *result;
    char input[64];
    bool failed;

    snprintf(input, sizeof input, "{\"q\":\"q\",\"n\":\"%ld and %ld\"}", at, count);
    memset(&run, 0, sizeof(run));
    arm(at, count);
    run_probe_start(&run, &probe, workflow, input);
    watcher = bus_subscribe(engine_bus(probe.engine), pl_str(run.id), 100, true, ring, NULL);
    run_probe_wait(&run);
    engine_probe_wait_idle(&probe);
    failed = atomic_load(&refused) > 0;
    arm(0, 0);
    bus_unsubscribe(&watcher);
    result = run_probe_result(&run);
    ck_assert_uint_eq(run.ends, 1);
    if (run.store_err.code != PL_OK)
        ck_assert_msg(strcmp(result, "interrupted") == 0, "at %ld: %s", at, result);
    else if (strcmp(result, expected) != 0)
        ck_assert_msg(failed && tells_of_memory(&run, result), "at %ld: %s", at, result);
    ck_assert_msg(run.store_err.code == PL_OK || run.store_err.code == PL_ERR_NO_MEMORY,
                  "at %ld: %s", at, run.store_err.message);
    run_probe_finish(&run);
    return failed;
}

START_TEST(a_run_survives_one_allocation_that_fails_wherever_it_is)
{
    long at = 1;

    engine_probe_open(&probe);
    while (run_once(at, 1))
        at++;
    ck_assert_int_gt(at, 50);
    engine_probe_close(&probe, 0);
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
}
END_TEST

START_TEST(a_run_survives_memory_that_is_out_for_a_while)
{
    long at = 1;

    engine_probe_open(&probe);
    while (run_once(at, 40))
        at += 3;
    engine_probe_close(&probe, 0);
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
}
END_TEST

START_TEST(calls_that_wait_for_each_other_survive_an_allocation_that_fails)
{
    static const long bursts[] = {1, 7};

    workflow_unref(&workflow);
    workflow = test_workflow(shared);
    expected = SHARED_RESULT;
    engine_probe_open(&probe);
    for (size_t i = 0; i < PL_ARRAY_LEN(bursts); i++)
        for (long at = 1; run_once(at, bursts[i]); at++)
            ;
    engine_probe_close(&probe, 0);
    probe.options.adopt = true;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
}
END_TEST

/* Opens, adopts what the last life left, starts a run, reads one that is over, closes in the
 * middle; memory may be out at any of it. */
static bool live_once(long at, const char *ended)
{
    struct engine_run_request request = {
        .tenant = PL_STR("default"), .workflow = workflow, .input = PL_STR("{\"q\":\"q\"}")};
    struct engine *engine = NULL;
    struct doc_problems problems = {0};
    struct pl_err err = {0};
    struct pl_buf buf;
    char id[PL_ID_TEXT] = "";
    enum pl_code code;
    bool failed;

    pl_buf_init(&buf, 1 << 20);
    arm(at, 1);
    spared = false;
    code = engine_create(&probe.options, &engine, &err);
    if (code == PL_OK) {
        code = engine_start_run(engine, &request, id, &problems, &err);
        if (code == PL_OK)
            code = engine_write_run(engine, request.tenant, pl_str(ended), true, &buf, &err);
        engine_destroy(&engine, 0);
    }
    spared = true;
    failed = atomic_load(&refused) > 0;
    arm(0, 0);
    ck_assert_ptr_null(engine);
    ck_assert_msg(code == PL_OK || (failed && code == PL_ERR_NO_MEMORY), "at %ld: %s: %s", at,
                  pl_code_text(code), err.message);
    pl_buf_finish(&buf);
    return failed;
}

START_TEST(an_engine_survives_an_allocation_that_fails_while_it_opens_or_closes)
{
    struct run_probe run;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, "{\"q\":\"q\"}");
    run_probe_wait(&run);
    engine_probe_close(&probe, 0);
    run_probe_finish(&run);
    probe.options.adopt = true;
    for (long at = 1; live_once(at, run.id); at++)
        ;
    engine_probe_open(&probe);
    engine_probe_wait_idle(&probe);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine_memory");
    TCase *tcase = tcase_create("engine_memory");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 110);
    tcase_add_test(tcase, a_run_survives_one_allocation_that_fails_wherever_it_is);
    tcase_add_test(tcase, a_run_survives_memory_that_is_out_for_a_while);
    tcase_add_test(tcase, calls_that_wait_for_each_other_survive_an_allocation_that_fails);
    tcase_add_test(tcase, an_engine_survives_an_allocation_that_fails_while_it_opens_or_closes);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
