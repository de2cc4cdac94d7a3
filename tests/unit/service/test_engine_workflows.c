/* test_engine_workflows.c - stored workflows: put, found, listed, deleted; definitions compiled
 * once. Not the rows (tests/store) nor what a workflow means (test_workflow). */
#include "service/engine.h"
#include "service/workflow/workflow_cache.h"
#include "tests/support/engine_probe.h"
#include "tests/support/engine_signal.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define TENANT PL_STR("default")

static struct engine_probe probe;

static void set_up(void)
{
    engine_probe_init(&probe, 1);
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
}

static const char slow[] = "steps: {a: {llm: {model: 'sim/echo?latency=30s', prompt: x}}}\n";
static const char quick[] = "steps: {a: {reduce: 1}}\n";

/* ---- stored workflows ---- */

static enum pl_code put(const char *name, struct workflow *workflow, int64_t if_version,
                        int64_t *version, bool *created)
{
    struct engine_signal signal;
    struct engine_workflow_put request = {
        .tenant = TENANT,
        .name = pl_str(name),
        .workflow = workflow,
        .if_version = if_version,
        .done = engine_signal_put,
        .arg = &signal,
    };

    engine_signal_init(&signal);
    engine_put_workflow(probe.engine, &request);
    engine_signal_wait(&signal, 1);
    engine_signal_finish(&signal);
    *version = signal.version;
    *created = signal.created;
    return signal.code;
}

START_TEST(stored_workflows_are_found_by_name_and_version)
{
    struct workflow *one = test_workflow(quick), *two = test_workflow(slow), *got = NULL, *other;
    struct engine_signal signal;
    int64_t version;
    bool created;
    pl_ms at;
    struct pl_buf page;
    char text[100], next[64];

    engine_probe_open(&probe);
    ck_assert_int_eq(put("plan", one, -1, &version, &created), PL_OK);
    ck_assert(version == 1 && created);
    ck_assert_int_eq(put("plan", one, -1, &version, &created), PL_OK);
    ck_assert(version == 1 && !created);
    ck_assert_int_eq(put("plan", two, 1, &version, &created), PL_OK);
    ck_assert(version == 2 && created);
    ck_assert_int_eq(put("plan", one, 1, &version, &created), PL_ERR_PRECONDITION);
    ck_assert_int_eq(put("other", one, 0, &version, &created), PL_OK);
    ck_assert_int_eq(
        engine_get_workflow(probe.engine, TENANT, PL_STR("plan"), &got, &version, &at, NULL),
        PL_OK);
    ck_assert_int_eq(version, 2);
    ck_assert_str_eq(got->hash, two->hash);
    ck_assert_int_gt(at, 0);
    ck_assert_int_eq(
        engine_get_workflow(probe.engine, TENANT, PL_STR("plan@2"), &other, &version, &at, NULL),
        PL_OK);
    ck_assert_ptr_eq(other, got); /* compiled once */
    workflow_unref(&got);
    workflow_unref(&other);
    ck_assert_int_eq(
        engine_get_workflow(probe.engine, TENANT, PL_STR("plan@1"), &got, &version, &at, NULL),
        PL_OK);
    ck_assert_str_eq(got->hash, one->hash);
    workflow_unref(&got);
    pl_buf_init(&page, 1 << 20);
    ck_assert_int_eq(
        engine_write_workflows(probe.engine, TENANT, (struct pl_str){0}, 1, &page, NULL), PL_OK);
    engine_probe_read_page(&page, "name", text, sizeof text, next);
    ck_assert_str_eq(text, "other");
    ck_assert_str_eq(next, "other");
    pl_buf_reset(&page);
    ck_assert_int_eq(engine_write_workflows(probe.engine, TENANT, PL_STR("other"), 1, &page, NULL),
                     PL_OK);
    engine_probe_read_page(&page, "name", text, sizeof text, next);
    ck_assert_str_eq(text, "plan");
    ck_assert_str_eq(next, "");
    ck_assert_ptr_nonnull(strstr(page.data, "\"version\":2,\"hash\":\""));
    pl_buf_finish(&page);

    engine_signal_init(&signal);
    engine_delete_workflow(probe.engine, TENANT, PL_STR("plan"), 1, engine_signal_done, &signal);
    engine_signal_wait(&signal, 1);
    ck_assert_int_eq(signal.code, PL_ERR_PRECONDITION);
    engine_delete_workflow(probe.engine, TENANT, PL_STR("plan"), -1, engine_signal_done, &signal);
    engine_signal_wait(&signal, 2);
    ck_assert_int_eq(signal.code, PL_OK);
    engine_signal_finish(&signal);
    ck_assert_int_eq(put("plan", one, 0, &version, &created), PL_OK);
    ck_assert_int_eq(version, 3);
    workflow_unref(&one);
    workflow_unref(&two);
}
END_TEST

START_TEST(names_and_references_that_cannot_be_are_refused)
{
    static const char *const names[] = {
        "",
        "-plan",
        "_plan",
        "Plan",
        "pl an",
        "plan/x",
        "plan@1",
        "pl\xc3\xa4n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static const char *const references[] = {"",
                                             "plan@",
                                             "plan@0",
                                             "plan@01",
                                             "plan@-1",
                                             "plan@1x",
                                             "plan@@1",
                                             "@1",
                                             "Plan",
                                             "plan@2",
                                             "plan@99999999999999999999999"};
    struct workflow *workflow = test_workflow(quick), *got;
    int64_t version;
    bool created;
    pl_ms at;

    engine_probe_open(&probe);
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        ck_assert_msg(put(names[i], workflow, -1, &version, &created) == PL_ERR_INVALID_ARGUMENT,
                      "%s", names[i]);
    ck_assert_int_eq(put("plan", workflow, -1, &version, &created), PL_OK);
    ck_assert_int_eq(put("0_a-b", workflow, -1, &version, &created), PL_OK);
    for (size_t i = 0; i < PL_ARRAY_LEN(references); i++)
        ck_assert_msg(engine_get_workflow(probe.engine, TENANT, pl_str(references[i]), &got,
                                          &version, &at, NULL) == PL_ERR_NOT_FOUND,
                      "%s", references[i]);
    ck_assert_int_eq(engine_get_workflow(probe.engine, PL_STR("other"), PL_STR("plan"), &got,
                                         &version, &at, NULL),
                     PL_ERR_NOT_FOUND);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_definition_that_comes_again_is_compiled_once)
{
    struct workflow *first, *again, *json, *bad = NULL;
    struct doc_problems problems;

    engine_probe_open(&probe);
    doc_problems_init(&problems, probe.arena);
    ck_assert_int_eq(
        engine_compile(
            probe.engine,
            &(struct engine_text){.tenant = TENANT, .text = pl_str(quick), .format = DOC_YAML},
            &first, &problems),
        PL_OK);
    ck_assert_int_eq(
        engine_compile(
            probe.engine,
            &(struct engine_text){.tenant = TENANT, .text = pl_str(quick), .format = DOC_YAML},
            &again, &problems),
        PL_OK);
    ck_assert_ptr_eq(first, again);
    ck_assert_int_eq(engine_compile(probe.engine,
                                    &(struct engine_text){
                                        .tenant = TENANT, .text = first->text, .format = DOC_JSON},
                                    &json, &problems),
                     PL_OK);
    ck_assert_str_eq(json->hash, first->hash);
    for (int i = 0; i < 2; i++) { /* what is wrong is told each time */
        doc_problems_init(&problems, probe.arena);
        ck_assert_int_eq(
            engine_compile(probe.engine,
                           &(struct engine_text){
                               .tenant = TENANT,
                               .text = PL_STR("steps: {a: {llm: {model: nobody/x, prompt: y}}}"),
                               .format = DOC_YAML},
                           &bad, &problems),
            PL_ERR_INVALID_WORKFLOW);
        ck_assert_uint_eq(problems.count, 1);
    }
    ck_assert_ptr_null(bad);
    workflow_unref(&first);
    workflow_unref(&again);
    workflow_unref(&json);
}
END_TEST

START_TEST(the_cache_keeps_what_was_used_last)
{
    struct workflow_cache *cache = workflow_cache_create();
    struct workflow *workflow = test_workflow(quick), *got;
    char key[16];

    for (int i = 0; i < WORKFLOW_CACHE_MOST + 10; i++) {
        snprintf(key, sizeof key, "k%d", i);
        workflow_cache_put(cache, pl_str(key), workflow);
        got = workflow_cache_get(cache, PL_STR("k0"));
        ck_assert_ptr_eq(got, workflow);
        workflow_unref(&got);
    }
    ck_assert_ptr_null(workflow_cache_get(cache, PL_STR("k1")));
    workflow_cache_destroy(&cache);
    ck_assert_uint_eq(atomic_load(&workflow->refs), 1);
    workflow_unref(&workflow);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        stored_workflows_are_found_by_name_and_version,
        names_and_references_that_cannot_be_are_refused,
        a_definition_that_comes_again_is_compiled_once,
        the_cache_keeps_what_was_used_last,
    };
    Suite *suite = suite_create("engine_workflows");
    TCase *tcase = tcase_create("engine_workflows");
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
