/* test_framing.c - the check of a head: what two servers could read in two ways is refused. */
#include "api/framing.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct framing_facts facts;

#define HEADER(n, v)         \
    {                        \
        PL_STR(n), PL_STR(v) \
    }

static enum pl_code check(const char *method, const char *version,
                          const struct framing_header *headers, size_t count)
{
    struct framing_head head = {.method = pl_str(method),
                                .target = PL_STR("/v1/runs"),
                                .version = pl_str(version),
                                .headers = headers,
                                .count = count};
    struct pl_err err = {0};
    enum pl_code code = framing_check(&head, &facts, &err);

    ck_assert_int_eq(code, err.code);
    ck_assert(code == PL_OK || err.message[0]);
    return code;
}

#define CHECK(method, version, ...)                                      \
    check(method, version, (const struct framing_header[]){__VA_ARGS__}, \
          sizeof((const struct framing_header[]){__VA_ARGS__}) / sizeof(struct framing_header))

#define HOST HEADER("Host", "localhost")

START_TEST(a_plain_head_is_accepted_and_its_facts_are_told)
{
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("content-length", " 12 "),
                           HEADER("Expect", "100-Continue"), HEADER("Origin", "http://a")),
                     PL_OK);
    ck_assert(facts.has_length && !facts.chunked && facts.expect_continue);
    ck_assert_uint_eq(facts.length, 12);
    ck_assert(pl_str_is(facts.host, "localhost"));
    ck_assert(pl_str_is(facts.origin, "http://a"));
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Transfer-Encoding", "Chunked")),
                     PL_OK);
    ck_assert(facts.chunked && !facts.has_length);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.0", HOST), PL_OK);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("Content-Length", "0")), PL_OK);
}
END_TEST

START_TEST(two_ways_to_find_the_end_of_a_body_are_refused)
{
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Content-Length", "3"),
                           HEADER("Content-Length", "4")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Content-Length", "3"),
                           HEADER("Content-Length", "3")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Content-Length", "3"),
                           HEADER("Transfer-Encoding", "chunked")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Transfer-Encoding", "chunked"),
                           HEADER("Transfer-Encoding", "identity")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Transfer-Encoding", "gzip, chunked")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("POST", "HTTP/1.0", HOST, HEADER("Transfer-Encoding", "chunked")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("Content-Length", "3")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("DELETE", "HTTP/1.1", HOST, HEADER("Transfer-Encoding", "chunked")),
                     PL_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_length_is_digits_and_fits)
{
    static const char *const bad[] = {"+3", "-1", "0x3", "3, 3", "3 3", "", " ", "3a"};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct framing_header headers[] = {HOST, {PL_STR("Content-Length"), pl_str(bad[i])}};

        ck_assert_int_eq(check("POST", "HTTP/1.1", headers, 2), PL_ERR_INVALID_ARGUMENT);
    }
    ck_assert_int_eq(
        CHECK("POST", "HTTP/1.1", HOST, HEADER("Content-Length", "18446744073709551616")),
        PL_ERR_TOO_LARGE);
    ck_assert_int_eq(
        CHECK("POST", "HTTP/1.1", HOST, HEADER("Content-Length", "99999999999999999999999")),
        PL_ERR_TOO_LARGE);
}
END_TEST

START_TEST(there_is_one_host)
{
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HEADER("Accept", "*")), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HOST), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HEADER("Host", "")), PL_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(what_says_one_thing_is_said_once)
{
    static const char *const names[] = {"content-type", "Origin", "idempotency-key",
                                        "LAST-EVENT-ID"};

    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++) {
        struct framing_header headers[] = {
            HOST,
            {pl_str(names[i]), PL_STR("1")},
            HEADER("Accept", "a"),
            HEADER("Accept", "b"),
            {pl_str(names[i]), PL_STR("1")},
        };

        ck_assert_int_eq(check("POST", "HTTP/1.1", headers, 4), PL_OK);
        ck_assert_int_eq(check("POST", "HTTP/1.1", headers, 5), PL_ERR_INVALID_ARGUMENT);
    }
    ck_assert_int_eq(CHECK("POST", "HTTP/1.1", HOST, HEADER("Expect", "100-continue"),
                           HEADER("Expect", "100-continue")),
                     PL_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(names_are_tokens_and_values_have_no_controls)
{
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("X Y", "1")), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("Content-Length ", "3")),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("", "1")), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("X", "a\rb")), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("X", "a\0b")), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/1.1", HOST, HEADER("X", "a\tb")), PL_OK);
    ck_assert_int_eq(CHECK("G{T", "HTTP/1.1", HOST), PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(CHECK("GET", "HTTP/2.0", HOST), PL_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(too_much_of_a_head_has_statuses_of_its_own)
{
    static char big[FRAMING_BYTES_MAX + 1];
    struct framing_header many[FRAMING_HEADERS_MAX + 1] = {HOST};
    struct framing_header one[] = {HOST, {PL_STR("X"), {big, sizeof big}}};
    struct framing_head head = {.method = PL_STR("GET"),
                                .target = {big, FRAMING_TARGET_MAX + 1},
                                .version = PL_STR("HTTP/1.1"),
                                .headers = many,
                                .count = 1};
    struct pl_err err;

    memset(big, 'a', sizeof big);
    for (size_t i = 1; i < PL_ARRAY_LEN(many); i++)
        many[i] = (struct framing_header){PL_STR("X"), PL_STR("1")};
    ck_assert_int_eq(check("GET", "HTTP/1.1", many, FRAMING_HEADERS_MAX), PL_OK);
    ck_assert_int_eq(check("GET", "HTTP/1.1", many, FRAMING_HEADERS_MAX + 1),
                     PL_ERR_HEADERS_TOO_LARGE);
    ck_assert_int_eq(check("GET", "HTTP/1.1", one, 2), PL_ERR_HEADERS_TOO_LARGE);
    ck_assert_int_eq(framing_check(&head, &facts, &err), PL_ERR_TARGET_TOO_LONG);
    ck_assert_int_eq(pl_code_http_status(PL_ERR_TARGET_TOO_LONG), 414);
    ck_assert_int_eq(pl_code_http_status(PL_ERR_HEADERS_TOO_LARGE), 431);
}
END_TEST

START_TEST(a_target_is_split_and_its_path_decoded)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str path = {0}, query = {0}, text = {0};
    struct pl_err err;

    ck_assert_int_eq(
        framing_split_target(arena, PL_STR("/v1/a%20b%c3%a9?x=1&y"), &path, &query, &err), PL_OK);
    ck_assert(pl_str_is(path, "/v1/a b\xc3\xa9"));
    ck_assert(pl_str_is(query, "x=1&y"));
    ck_assert_int_eq(framing_split_target(arena, PL_STR("/"), &path, &query, &err), PL_OK);
    ck_assert(pl_str_is(path, "/") && query.ptr == NULL);
    ck_assert_int_eq(framing_decode(arena, PL_STR("a+b%2Bc"), true, &text, &err), PL_OK);
    ck_assert(pl_str_is(text, "a b+c"));
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(a_target_that_is_read_in_two_ways_is_refused)
{
    static const char *const bad[] = {
        "*",         "http://localhost/",
        "v1",        "",
        "/a%00b",    "/..%2f..%2fetc/passwd",
        "/%2F",      "/a%5cb",
        "/a\\b",     "/a/../b",
        "/./a",      "/a/..",
        "/%2e%2e/a", "/a%",
        "/a%4",      "/a%zz",
        "/a%ff",     "/a%1f",
        "/a#b",      "/a\xc3\xa9",
        "/a\tb",     "/a b",
        "/a?b#c",    "/%c0%af",
        "/a%7f",
    };
    struct pl_arena *arena = pl_arena_create(0);
    struct pl_str path = {0}, query = {0};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct pl_err err = {0};

        ck_assert_msg(framing_split_target(arena, pl_str(bad[i]), &path, &query, &err) ==
                          PL_ERR_INVALID_ARGUMENT,
                      "%s", bad[i]);
    }
    pl_arena_destroy(&arena);
}
END_TEST

START_TEST(loopback_names_are_known_with_and_without_a_port)
{
    static const char *const yes[] = {"localhost", "LOCALHOST:8080", "a.localhost",
                                      "127.0.0.1", "127.0.0.1:1",    "127.255.1.2:65535",
                                      "[::1]",     "[::1]:8080"};
    static const char *const no[] = {"example.com",
                                     "localhost.example.com",
                                     "127.0.0.1.nip.io",
                                     "127.0.0",
                                     "127.0.0.256",
                                     "10.0.0.1",
                                     "[::2]",
                                     "::1",
                                     "",
                                     "evil.com:127.0.0.1",
                                     "127.0.0.1:80:80",
                                     "0.0.0.0",
                                     "127.0.0.1@evil.com"};

    for (size_t i = 0; i < PL_ARRAY_LEN(yes); i++)
        ck_assert_msg(framing_host_is_loopback(pl_str(yes[i])), "%s", yes[i]);
    for (size_t i = 0; i < PL_ARRAY_LEN(no); i++)
        ck_assert_msg(!framing_host_is_loopback(pl_str(no[i])), "%s", no[i]);
    ck_assert(framing_origin_is_loopback(PL_STR("http://localhost:3000")));
    ck_assert(framing_origin_is_loopback(PL_STR("https://127.0.0.1")));
    ck_assert(!framing_origin_is_loopback(PL_STR("null")));
    ck_assert(!framing_origin_is_loopback(PL_STR("https://example.com")));
    ck_assert(!framing_origin_is_loopback(PL_STR("http://localhost.example.com")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("framing");
    TCase *tests = tcase_create("framing");
    SRunner *runner;
    int failed;

    tcase_add_test(tests, a_plain_head_is_accepted_and_its_facts_are_told);
    tcase_add_test(tests, two_ways_to_find_the_end_of_a_body_are_refused);
    tcase_add_test(tests, a_length_is_digits_and_fits);
    tcase_add_test(tests, there_is_one_host);
    tcase_add_test(tests, what_says_one_thing_is_said_once);
    tcase_add_test(tests, names_are_tokens_and_values_have_no_controls);
    tcase_add_test(tests, too_much_of_a_head_has_statuses_of_its_own);
    tcase_add_test(tests, a_target_is_split_and_its_path_decoded);
    tcase_add_test(tests, a_target_that_is_read_in_two_ways_is_refused);
    tcase_add_test(tests, loopback_names_are_known_with_and_without_a_port);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
