/* test_negotiate.c - Accept, Prefer, Content-Type and Idempotency-Key. */
#include "api/handlers/negotiate.h"

#include <check.h>
#include <stdlib.h>

static void accepts(const char *accept, enum media fallback, enum media expected)
{
    enum media media = negotiate_accept(pl_str(accept), fallback);

    ck_assert_msg(media == expected, "%s with %d: %d, not %d", accept ? accept : "(none)",
                  (int)fallback, (int)media, (int)expected);
}

START_TEST(without_a_named_type_the_route_decides)
{
    accepts(NULL, MEDIA_JSON, MEDIA_JSON);
    accepts("", MEDIA_SSE, MEDIA_SSE);
    accepts("*/*", MEDIA_JSON, MEDIA_JSON);
    accepts("*/*", MEDIA_SSE, MEDIA_SSE);
    accepts("text/html,application/xhtml+xml,*/*;q=0.8", MEDIA_JSON, MEDIA_JSON);
    accepts(";;,,;q=", MEDIA_JSON, MEDIA_JSON);
}
END_TEST

START_TEST(a_named_type_is_taken)
{
    accepts("text/event-stream", MEDIA_JSON, MEDIA_SSE);
    accepts("Text/Event-Stream; charset=utf-8", MEDIA_JSON, MEDIA_SSE);
    accepts("application/x-ndjson", MEDIA_SSE, MEDIA_NDJSON);
    accepts("text/event-stream, */*", MEDIA_JSON, MEDIA_SSE);
    accepts("*/*, application/x-ndjson", MEDIA_JSON, MEDIA_NDJSON);
}
END_TEST

START_TEST(the_higher_quality_wins_and_then_the_first)
{
    accepts("application/json, text/event-stream", MEDIA_JSON, MEDIA_JSON);
    accepts("text/event-stream, application/json", MEDIA_JSON, MEDIA_SSE);
    accepts("text/event-stream;q=0.5, application/json;q=0.9", MEDIA_JSON, MEDIA_JSON);
    accepts("application/json;q=0.5, text/event-stream;q=0.51", MEDIA_JSON, MEDIA_SSE);
    accepts("text/event-stream;q=0.5, */*;q=0.8", MEDIA_JSON, MEDIA_JSON);
    accepts("text/event-stream;q=0", MEDIA_JSON, MEDIA_JSON);
    accepts("text/event-stream;q=0, application/x-ndjson", MEDIA_SSE, MEDIA_NDJSON);
}
END_TEST

START_TEST(a_comma_in_quotes_parts_nothing)
{
    accepts("application/json;x=\", text/event-stream;q=1,\"", MEDIA_JSON, MEDIA_JSON);
    accepts("text/x;x=\"\\\",\", text/event-stream", MEDIA_JSON, MEDIA_SSE);
}
END_TEST

START_TEST(prefer_is_read)
{
    struct preferences prefer = negotiate_prefer(pl_str("respond-async, wait=10"));

    ck_assert(prefer.respond_async);
    ck_assert(prefer.has_wait);
    ck_assert_int_eq(prefer.wait, 10000);
    prefer = negotiate_prefer(pl_str("return=minimal; x=y, WAIT = \"0.25\""));
    ck_assert(!prefer.respond_async);
    ck_assert_int_eq(prefer.wait, 250);
    prefer = negotiate_prefer(pl_str("wait=0"));
    ck_assert(prefer.has_wait);
    ck_assert_int_eq(prefer.wait, 0);
    prefer = negotiate_prefer(pl_str("wait=99999999999999999999999999"));
    ck_assert_int_eq(prefer.wait, NEGOTIATE_WAIT_MAX_MS);
    prefer = negotiate_prefer(pl_str("wait=1, wait=5"));
    ck_assert_int_eq(prefer.wait, 1000);
}
END_TEST

START_TEST(what_prefer_does_not_say_is_not_there)
{
    static const char *const headers[] = {"",        "wait",     "wait=",    "wait=-1",
                                          "wait=1s", "wait=1e3", "waits=10", "wait=."};

    for (size_t i = 0; i < PL_ARRAY_LEN(headers); i++)
        ck_assert_msg(!negotiate_prefer(pl_str(headers[i])).has_wait, "%s", headers[i]);
    ck_assert(!negotiate_prefer((struct pl_str){0}).has_wait);
}
END_TEST

START_TEST(yaml_is_known_by_its_names)
{
    static const char *const yaml[] = {"application/yaml", "application/x-yaml", "text/yaml",
                                       "TEXT/X-YAML; charset=utf-8", "application/vnd.plait+yaml"};
    static const char *const json[] = {"application/json", "text/notyaml", "application/yaml2", ""};

    for (size_t i = 0; i < PL_ARRAY_LEN(yaml); i++)
        ck_assert_msg(negotiate_format(pl_str(yaml[i])) == DOC_YAML, "%s", yaml[i]);
    for (size_t i = 0; i < PL_ARRAY_LEN(json); i++)
        ck_assert_msg(negotiate_format(pl_str(json[i])) == DOC_JSON, "%s", json[i]);
    ck_assert(negotiate_format((struct pl_str){0}) == DOC_JSON);
}
END_TEST

static enum pl_code key_of(const char *header, struct pl_arena *arena, struct pl_str *ret_key)
{
    struct pl_err err = {0};

    return negotiate_key(arena, pl_str(header), ret_key, &err);
}

START_TEST(a_key_may_be_quoted_or_bare)
{
    static const char *const pairs[][2] = {
        {"\"8e03978e-40d5\"", "8e03978e-40d5"},
        {"8e03978e-40d5", "8e03978e-40d5"},
        {"  \"a b\"  ", "a b"},
        {"\"a\\\"b\\\\\"", "a\"b\\"},
        {"x;y=1", "x;y=1"},
    };
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str key;

    for (size_t i = 0; i < PL_ARRAY_LEN(pairs); i++) {
        ck_assert_int_eq(key_of(pairs[i][0], arena, &key), PL_OK);
        ck_assert_msg(pl_str_is(key, pairs[i][1]), "%s gives %.*s", pairs[i][0], PL_STR_ARG(key));
    }
    ck_assert_int_eq(key_of(NULL, arena, &key), PL_OK);
    ck_assert_uint_eq(key.len, 0);
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_key_that_is_none_is_refused)
{
    static const char *const bad[] = {"",    "\"\"",     "\"",           "\"a",      "a\"b",
                                      "a b", "\"a\\x\"", "\"\xc3\xa9\"", "\"a\"b\"", "\"a\\\""};
    struct pl_arena *arena = pl_arena_create(0);
    char longest[NEGOTIATE_KEY_MAX + 2];
    struct pl_str key;

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        ck_assert_msg(key_of(bad[i], arena, &key) == PL_ERR_INVALID_ARGUMENT, "%s", bad[i]);
    memset(longest, 'k', sizeof longest);
    longest[NEGOTIATE_KEY_MAX + 1] = '\0';
    ck_assert_int_eq(key_of(longest, arena, &key), PL_ERR_INVALID_ARGUMENT);
    longest[NEGOTIATE_KEY_MAX] = '\0';
    ck_assert_int_eq(key_of(longest, arena, &key), PL_OK);
    pl_arena_destroy(&arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("negotiate");
    TCase *tcase = tcase_create("negotiate");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, without_a_named_type_the_route_decides);
    tcase_add_test(tcase, a_named_type_is_taken);
    tcase_add_test(tcase, the_higher_quality_wins_and_then_the_first);
    tcase_add_test(tcase, a_comma_in_quotes_parts_nothing);
    tcase_add_test(tcase, prefer_is_read);
    tcase_add_test(tcase, what_prefer_does_not_say_is_not_there);
    tcase_add_test(tcase, yaml_is_known_by_its_names);
    tcase_add_test(tcase, a_key_may_be_quoted_or_bare);
    tcase_add_test(tcase, a_key_that_is_none_is_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
