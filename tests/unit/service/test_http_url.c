/* test_http_url.c - origins and where redirects lead. Run by ctest. */
#include "service/net/http_url.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdlib.h>

static struct pl_arena *arena;

static void set_up(void)
{
    arena = pl_arena_create(0);
}

static void tear_down(void)
{
    pl_arena_destroy(&arena);
}

static const struct {
    const char *a, *b;
    bool same;
} origins[] = {
    {"https://crm.example", "https://crm.example/path?q#f", true},
    {"https://crm.example", "https://crm.example:443/", true},
    {"http://crm.example", "http://crm.example:80", true},
    {"https://crm.example", "HTTPS://CRM.Example", true},
    {"http://127.0.0.1:9000", "http://0x7f.1:9000", true}, /* as it is called, so it is compared */
    {"http://[::1]:1", "http://[::1]:1/x", true},
    {"https://crm.example", "http://crm.example", false},
    {"https://crm.example", "https://crm.example:444", false},
    {"https://crm.example", "https://crm.example.evil.example", false},
    {"https://crm.example", "https://crm.example.", false},
    {"https://crm.example", "https://evil.example/crm.example", false},
    {"https://crm.example", "https://evil.example?https://crm.example", false},
    {"https://crm.example", "https://evil.example#@crm.example", false},
    {"https://crm.example", "https://sub.crm.example", false},
};

START_TEST(an_origin_is_scheme_host_and_port)
{
    struct http_origin a, b;
    struct pl_err err;

    ck_assert_int_eq(http_url_origin(arena, pl_str(origins[_i].a), &a, &err), PL_OK);
    ck_assert_int_eq(http_url_origin(arena, pl_str(origins[_i].b), &b, &err), PL_OK);
    ck_assert_msg(http_origin_same(&a, &b) == origins[_i].same, "%s %s", origins[_i].a,
                  origins[_i].b);
}
END_TEST

static const char *const no_origins[] = {
    "",
    "crm.example",
    "ftp://crm.example",
    "file:///etc/passwd",
    "https://",
    "https://user@crm.example",
    "https://user:pw@crm.example",
    "https://crm.example:99999",
    "https://crm example",
    "https://crm.example\r\nx",
    "https://crm.example@evil.example",
};

START_TEST(what_is_no_http_url_has_no_origin)
{
    struct http_origin origin;
    struct pl_err err;

    ck_assert_int_eq(http_url_origin(arena, pl_str(no_origins[_i]), &origin, &err),
                     PL_ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_list_of_origins_takes_no_paths)
{
    static const char *const bad[] = {"https://a.example/x", "https://a.example/?q",
                                      "https://a.example#f"};
    struct http_origin origin;
    struct pl_err err;

    ck_assert_int_eq(http_url_only_origin(arena, PL_STR("https://a.example"), &origin, &err),
                     PL_OK);
    ck_assert_int_eq(http_url_only_origin(arena, PL_STR("https://a.example/"), &origin, &err),
                     PL_OK);
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        ck_assert_int_eq(http_url_only_origin(arena, pl_str(bad[i]), &origin, &err),
                         PL_ERR_INVALID_ARGUMENT);
}
END_TEST

static const struct {
    const char *base, *location, *url;
} resolved[] = {
    {"http://a.example/b/c?d=1", "/x", "http://a.example/x"},
    {"http://a.example/b/c?d=1", "x", "http://a.example/b/x"},
    {"http://a.example/b/c?d=1", "?y=2", "http://a.example/b/c?y=2"},
    {"http://a.example/b/c", "../../../x", "http://a.example/x"},
    {"https://a.example/b", "//b.example:8/x", "https://b.example:8/x"},
    {"https://a.example/b", "HTTP://b.example/x#frag", "http://b.example/x"},
    {"https://a.example/b", "/a b", "https://a.example/a%20b"},
    {"https://a.example/b", "file:///etc/passwd", NULL},
    {"https://a.example/b", "javascript:alert(1)", NULL},
    {"https://a.example/b", "//user:pw@b.example/", NULL},
    {"https://a.example/b", "/x\r\nHost: y", NULL},
};

START_TEST(a_location_is_read_from_where_it_came)
{
    struct pl_str url;
    struct pl_err err;
    enum pl_code code = http_url_resolve(arena, pl_str(resolved[_i].base),
                                         pl_str(resolved[_i].location), &url, &err);

    ck_assert_int_eq(code, resolved[_i].url ? PL_OK : PL_ERR_INVALID_ARGUMENT);
    if (resolved[_i].url)
        ck_assert_str_eq(test_str(url), resolved[_i].url);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_url");
    TCase *tc = tcase_create("http_url");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_loop_test(tc, an_origin_is_scheme_host_and_port, 0, PL_ARRAY_LEN(origins));
    tcase_add_loop_test(tc, what_is_no_http_url_has_no_origin, 0, PL_ARRAY_LEN(no_origins));
    tcase_add_test(tc, a_list_of_origins_takes_no_paths);
    tcase_add_loop_test(tc, a_location_is_read_from_where_it_came, 0, PL_ARRAY_LEN(resolved));
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
