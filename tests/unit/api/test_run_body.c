/* test_run_body.c - the body that starts a run: what is read, what is refused and where. */
#include "api/handlers/run_body.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

struct reading {
    struct pl_arena *arena;
    struct doc_problems problems;
    struct run_body body;
    struct pl_err err;
    enum pl_code code;
};

static struct reading reading_of(const char *text, bool workflow)
{
    struct reading reading = {.arena = pl_arena_create(0)};

    ck_assert_ptr_nonnull(reading.arena);
    doc_problems_init(&reading.problems, reading.arena);
    reading.code = run_body_parse(reading.arena, pl_str(text), workflow, &reading.body,
                                  &reading.problems, &reading.err);
    return reading;
}

static bool says(const struct reading *reading, const char *pointer, const char *words)
{
    for (size_t i = 0; i < reading->problems.count; i++)
        if (strcmp(reading->problems.items[i].pointer, pointer) == 0 &&
            strstr(reading->problems.items[i].message, words))
            return true;
    return false;
}

START_TEST(every_key_is_read)
{
    struct reading r = reading_of(
        "{\"workflow\": \"plan@3\", \"input\": {\"a\": 1.50}, \"stream\": true, \"background\": "
        "false, \"thread\": \"t\\u00e9\", \"metadata\": {\"a\": \"b\", \"n\": 1, \"f\": false}, "
        "\"timeout\": \"1.5s\", \"on_disconnect\": \"cancel\"}",
        true);

    ck_assert_int_eq(r.code, PL_OK);
    ck_assert(pl_str_is(r.body.reference, "plan@3"));
    ck_assert(pl_str_is(r.body.input, "{\"a\": 1.50}"));
    ck_assert(r.body.stream && !r.body.background && r.body.cancel_on_disconnect);
    ck_assert(pl_str_is(r.body.thread, "t\xc3\xa9"));
    ck_assert(pl_str_is(r.body.metadata, "{\"a\":\"b\",\"n\":1,\"f\":false}"));
    ck_assert_int_eq(r.body.timeout, 1500);
    pl_arena_destroy(&r.arena);
}
END_TEST

START_TEST(a_workflow_object_keeps_its_place)
{
    struct reading r = reading_of("{\n  \"workflow\": {\"steps\": {}}}", true);

    ck_assert_int_eq(r.code, PL_OK);
    ck_assert(pl_str_is(r.body.document, "{\"steps\": {}}"));
    ck_assert_uint_eq(r.body.line, 2);
    ck_assert_uint_eq(r.body.column, 15);
    ck_assert_uint_eq(r.body.reference.len, 0);
    pl_arena_destroy(&r.arena);
}
END_TEST

START_TEST(null_is_as_good_as_absent_but_for_the_input)
{
    struct reading r = reading_of("{\"workflow\": \"a\", \"input\": null, \"stream\": null, "
                                  "\"thread\": null, \"metadata\": null, \"timeout\": null, "
                                  "\"on_disconnect\": null}",
                                  true);

    ck_assert_int_eq(r.code, PL_OK);
    ck_assert(pl_str_is(r.body.input, "null"));
    ck_assert(!r.body.stream && !r.body.thread.len && !r.body.metadata.len && !r.body.timeout);
    pl_arena_destroy(&r.arena);
}
END_TEST

START_TEST(a_budget_has_tokens_money_or_both)
{
    struct reading r = reading_of("{\"workflow\": \"a\", \"budget\": {\"tokens\": 20000, "
                                  "\"cost_usd\": 0.25}}",
                                  true);
    static const char *const wrong[] = {"{\"tokens\": 0}", "{\"tokens\": 1.5}", "{\"cost\": 1}",
                                        "{\"cost_usd\": -1}", "5"};

    ck_assert_int_eq(r.code, PL_OK);
    ck_assert_int_eq(r.body.budget.tokens, 20000);
    ck_assert_double_eq(r.body.budget.cost_usd, 0.25);
    pl_arena_destroy(&r.arena);
    for (size_t i = 0; i < PL_ARRAY_LEN(wrong); i++) {
        char text[96];

        snprintf(text, sizeof text, "{\"workflow\": \"a\", \"budget\": %s}", wrong[i]);
        r = reading_of(text, true);
        ck_assert_int_eq(r.code, PL_ERR_INVALID_ARGUMENT);
        ck_assert(says(&r, "/budget", "each over zero"));
        pl_arena_destroy(&r.arena);
    }
}
END_TEST

START_TEST(all_problems_come_at_once_with_their_pointers)
{
    struct reading r = reading_of(
        "{\"workflow\": 7, \"imput\": {}, \"stream\": \"yes\", \"background\": 1, \"thread\": "
        "\"\", \"metadata\": {\"a/b\": {}, \"c~d\": null, \"ok\": 1}, \"timeout\": \"soon\", "
        "\"on_disconnect\": \"die\", \"webhook\": {}, \"budget\": {}, \"zzzzzzzzz\": 1}",
        true);

    ck_assert_int_eq(r.code, PL_ERR_INVALID_ARGUMENT);
    ck_assert(says(&r, "/workflow", "not a number"));
    ck_assert(says(&r, "/imput", "did you mean 'input'"));
    ck_assert(says(&r, "/stream", "true or false, not a string"));
    ck_assert(says(&r, "/background", "true or false, not a number"));
    ck_assert(says(&r, "/thread", "1 to 256"));
    ck_assert(says(&r, "/metadata/a~1b", "not an object"));
    ck_assert(says(&r, "/metadata/c~0d", "not null"));
    ck_assert(says(&r, "/timeout", "a duration"));
    ck_assert(says(&r, "/on_disconnect", "\"continue\" or \"cancel\""));
    ck_assert(says(&r, "/webhook", "not supported by this version"));
    ck_assert(says(&r, "/budget", "tokens (a whole number up to"));
    ck_assert(says(&r, "/zzzzzzzzz", "the keys are"));
    ck_assert_uint_eq(r.problems.count, 12);
    pl_arena_destroy(&r.arena);
}
END_TEST

START_TEST(a_body_needs_a_workflow_unless_the_path_names_it)
{
    struct reading r = reading_of("{}", true);

    ck_assert_int_eq(r.code, PL_ERR_INVALID_ARGUMENT);
    ck_assert(says(&r, "/workflow", "missing"));
    pl_arena_destroy(&r.arena);
    r = reading_of("{}", false);
    ck_assert_int_eq(r.code, PL_OK);
    pl_arena_destroy(&r.arena);
    r = reading_of("", false);
    ck_assert_int_eq(r.code, PL_OK);
    pl_arena_destroy(&r.arena);
    r = reading_of("{\"workflow\": \"a\"}", false);
    ck_assert(says(&r, "/workflow", "leave the key out"));
    pl_arena_destroy(&r.arena);
}
END_TEST

START_TEST(what_is_not_json_is_refused_with_its_place)
{
    static const char *const bad[] = {
        "",
        "{",
        "{} x",
        "{\"workflow\": \"a\"} {}",
        "\xff",
        "{\"a\": 1,}",
        "{\"a\": 01}",
        "{\"a\":1,\"a\":1}",
        "{'a': 1}",
        "{\"a\": \"\\ud800\"}",
        "\xef\xbb\xbf{}",
        "{\"a\": \"\xc0\xaf\"}",
        "nul",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct reading r = reading_of(bad[i], true);

        ck_assert_msg(r.code == PL_ERR_INVALID_JSON, "%s", bad[i]);
        ck_assert_uint_eq(r.problems.count, 1);
        ck_assert_uint_ge(r.problems.items[0].line, 1);
        ck_assert_uint_ge(r.problems.items[0].column, 1);
        pl_arena_destroy(&r.arena);
    }
}
END_TEST

START_TEST(the_place_of_a_syntax_error_is_its_line)
{
    struct reading r = reading_of("{\n\"workflow\": \"a\",\n  oops}", true);

    ck_assert_uint_eq(r.problems.items[0].line, 3);
    ck_assert_uint_eq(r.problems.items[0].column, 3);
    pl_arena_destroy(&r.arena);
}
END_TEST

START_TEST(deep_nesting_is_refused)
{
    enum { DEPTH = 5000 };
    char *text = calloc(1, 32 + DEPTH);
    struct reading r;

    ck_assert_ptr_nonnull(text);
    snprintf(text, 32, "{\"workflow\":\"a\",\"input\":");
    memset(text + strlen(text), '[', DEPTH);
    r = reading_of(text, true);
    ck_assert_int_eq(r.code, PL_ERR_INVALID_JSON);
    pl_arena_destroy(&r.arena);
    free(text);
}
END_TEST

START_TEST(a_body_that_is_no_object_is_refused)
{
    static const char *const bad[] = {"[]", "null", "\"a\"", "7", "true"};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct reading r = reading_of(bad[i], true);

        ck_assert_msg(r.code == PL_ERR_INVALID_ARGUMENT, "%s", bad[i]);
        ck_assert(says(&r, "", "must be an object"));
        pl_arena_destroy(&r.arena);
    }
}
END_TEST

START_TEST(references_and_names_are_told_apart)
{
    static const char *const good[] = {"a", "travel-plan", "a@1", "0_x@120"};
    static const char *const bad[] = {"",
                                      "A",
                                      "-a",
                                      "_a",
                                      "a@",
                                      "a@0",
                                      "a@01",
                                      "a@x",
                                      "a@1@2",
                                      "a b",
                                      "a.b",
                                      "@1",
                                      "a@1234567890123456789"};
    char longest[66];

    for (size_t i = 0; i < PL_ARRAY_LEN(good); i++)
        ck_assert_msg(run_body_is_reference(pl_str(good[i])), "%s", good[i]);
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        ck_assert_msg(!run_body_is_reference(pl_str(bad[i])), "%s", bad[i]);
    ck_assert(!run_body_is_name(pl_str("a@1")));
    memset(longest, 'a', sizeof longest);
    ck_assert(run_body_is_name(pl_str_n(longest, 64)));
    ck_assert(!run_body_is_name(pl_str_n(longest, 65)));
}
END_TEST

START_TEST(metadata_has_a_size)
{
    enum { SIZE = RUN_BODY_METADATA_MAX + 64 };
    char *text = calloc(1, SIZE + 64);
    struct reading r;
    size_t at;

    ck_assert_ptr_nonnull(text);
    at = (size_t)snprintf(text, 64, "{\"workflow\":\"a\",\"metadata\":{\"k\":\"");
    memset(text + at, 'x', SIZE - at);
    memcpy(text + SIZE, "\"}}", 3);
    r = reading_of(text, true);
    ck_assert(says(&r, "/metadata", "16 KiB"));
    pl_arena_destroy(&r.arena);
    free(text);
}
END_TEST

static bool same_print(const char *a, const char *b)
{
    char left[RUN_BODY_PRINT], right[RUN_BODY_PRINT];

    ck_assert(run_body_fingerprint(pl_str(a), left));
    ck_assert(run_body_fingerprint(pl_str(b), right));
    return strcmp(left, right) == 0;
}

START_TEST(a_fingerprint_is_of_what_is_asked_not_of_how_it_is_answered)
{
    const char *body = "{\"workflow\":\"a\",\"input\":{\"x\":1}}";

    ck_assert(same_print(body, "{ \"input\" : {\"x\": 1},\n \"workflow\": \"a\" }"));
    ck_assert(same_print(body, "{\"workflow\":\"a\",\"input\":{\"x\":1},\"stream\":true}"));
    ck_assert(same_print(body, "{\"workflow\":\"a\",\"input\":{\"x\":1},\"background\":true}"));
    ck_assert(!same_print(body, "{\"workflow\":\"a\",\"input\":{\"x\":2}}"));
    ck_assert(!same_print(body, "{\"workflow\":\"b\",\"input\":{\"x\":1}}"));
    ck_assert(!same_print(body, "{\"workflow\":\"a\",\"input\":{\"x\":1},\"thread\":\"t\"}"));
    ck_assert(!same_print(body, "{\"workflow\":\"a\"}"));
    ck_assert(same_print("", "{}"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_body");
    TCase *tcase = tcase_create("run_body");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, every_key_is_read);
    tcase_add_test(tcase, a_workflow_object_keeps_its_place);
    tcase_add_test(tcase, null_is_as_good_as_absent_but_for_the_input);
    tcase_add_test(tcase, a_budget_has_tokens_money_or_both);
    tcase_add_test(tcase, all_problems_come_at_once_with_their_pointers);
    tcase_add_test(tcase, a_body_needs_a_workflow_unless_the_path_names_it);
    tcase_add_test(tcase, what_is_not_json_is_refused_with_its_place);
    tcase_add_test(tcase, the_place_of_a_syntax_error_is_its_line);
    tcase_add_test(tcase, deep_nesting_is_refused);
    tcase_add_test(tcase, a_body_that_is_no_object_is_refused);
    tcase_add_test(tcase, references_and_names_are_told_apart);
    tcase_add_test(tcase, metadata_has_a_size);
    tcase_add_test(tcase, a_fingerprint_is_of_what_is_asked_not_of_how_it_is_answered);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
