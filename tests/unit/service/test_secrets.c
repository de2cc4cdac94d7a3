/* test_secrets.c - where a secret may go, which names are known, and how it is taken out of what
 * comes back. Run by ctest. */
#include "service/secrets.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUE "s3cr\"t/va\\lue+1"

static struct secrets *secrets;
static struct pl_arena *arena;

static void set_up(void)
{
    struct pl_err err;

    arena = pl_arena_create(0);
    secrets = secrets_create();
    ck_assert_ptr_nonnull(secrets);
    ck_assert_int_eq(secrets_add(secrets, PL_STR("crm"), PL_STR(VALUE), &err), PL_OK);
    ck_assert_int_eq(secrets_bind(secrets, PL_STR("https://crm.example"), &err), PL_OK);
    ck_assert_int_eq(secrets_bind(secrets, PL_STR("http://127.0.0.1:9000/"), &err), PL_OK);
    ck_assert_int_eq(secrets_add(secrets, PL_STR("nowhere"), PL_STR("another-value"), &err), PL_OK);
}

static void tear_down(void)
{
    secrets_destroy(&secrets);
    pl_arena_destroy(&arena);
}

static enum pl_code take(const char *name, const char *url, struct pl_err *err)
{
    struct pl_str value = {0};
    enum pl_code code = secrets_take(secrets, pl_str(name), pl_str(url), arena, &value, err);

    if (code == PL_OK)
        ck_assert(pl_str_is(value, VALUE));
    else
        ck_assert_uint_eq(value.len, 0);
    return code;
}

START_TEST(a_secret_goes_to_its_origins_and_nowhere_else)
{
    struct pl_err err;

    ck_assert_int_eq(take("crm", "https://crm.example/a?b", &err), PL_OK);
    ck_assert_int_eq(take("crm", "https://CRM.example:443/", &err), PL_OK);
    ck_assert_int_eq(take("crm", "http://127.0.0.1:9000/x", &err), PL_OK);
    ck_assert_int_eq(take("crm", "http://crm.example/", &err), PL_ERR_SECRET_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "http://crm.example:80"));
    ck_assert_ptr_null(strstr(err.message, "s3cr"));
    ck_assert_int_eq(take("crm", "https://crm.example.evil.example/", &err), PL_ERR_SECRET_DENIED);
    ck_assert_int_eq(take("crm", "https://crm.example@evil.example/", &err),
                     PL_ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(take("crm", "http://127.0.0.1:9001/", &err), PL_ERR_SECRET_DENIED);
    ck_assert_int_eq(take("nowhere", "https://crm.example/", &err), PL_ERR_SECRET_DENIED);
}
END_TEST

START_TEST(an_unknown_name_is_told_with_the_nearest)
{
    struct pl_err err;

    ck_assert(secrets_has(secrets, PL_STR("crm"), &err));
    ck_assert(!secrets_has(secrets, PL_STR("cmr"), &err));
    ck_assert_int_eq(err.code, PL_ERR_SECRET_UNKNOWN);
    ck_assert_ptr_nonnull(strstr(err.message, "'crm'"));
    ck_assert(!secrets_has(NULL, PL_STR("crm"), &err));
    ck_assert_int_eq(take("zzzzzzzz", "https://crm.example/", &err), PL_ERR_SECRET_UNKNOWN);
}
END_TEST

static const struct {
    const char *text, *hidden;
} answers[] = {
    {"", ""},
    {"nothing in it", "nothing in it"},
    {VALUE, "***"},
    {"a" VALUE "b" VALUE VALUE "c", "a***b******c"},
    {"{\"k\":\"Bearer s3cr\\\"t/va\\\\lue+1\"}", "{\"k\":\"Bearer ***\"}"},
    {"{\"k\":\"s3cr\\\"t\\/va\\\\lue+1\"}", "{\"k\":\"***\"}"},
    {"?q=s3cr%22t%2Fva%5Clue%2B1&x", "?q=***&x"},
    {"?q=s3cr%22t%2fva%5clue%2b1&x", "?q=***&x"},
    {"czNjciJ0L3ZhXGx1ZSsx", "***"},
    {"s3cr\"t/va\\lue+", "s3cr\"t/va\\lue+"},
    {"x another-value y", "x *** y"},
};

START_TEST(what_comes_back_is_hidden_in_every_way_of_writing_it)
{
    char text[256];
    size_t len = strlen(answers[_i].text);

    snprintf(text, sizeof text, "%s", answers[_i].text);
    len = secrets_hide(secrets, text, len);
    text[len] = '\0';
    ck_assert_str_eq(text, answers[_i].hidden);
    ck_assert_uint_eq(secrets_hide(NULL, text, len), len);
}
END_TEST

START_TEST(what_cannot_be_a_secret_is_refused_without_telling_it)
{
    static const char *const values[] = {"abc", "with\nline", "with\x01control", ""};
    static const char *const names[] = {
        "", "a b", "crm", "0123456789012345678901234567890123456789012345678901234567890123456789"};
    static const char *const bad[] = {"crm.example", "ftp://crm.example", "https://crm.example/x",
                                      "https://u@crm.example", "*"};
    struct pl_err err;

    for (size_t i = 0; i < PL_ARRAY_LEN(values); i++) {
        ck_assert_int_eq(secrets_add(secrets, PL_STR("x"), pl_str(values[i]), &err),
                         PL_ERR_INVALID_CONFIG);
        ck_assert(!values[i][0] || !strstr(err.message, values[i]));
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        ck_assert_int_eq(secrets_add(secrets, pl_str(names[i]), PL_STR("long enough"), &err),
                         PL_ERR_INVALID_CONFIG);
    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
        ck_assert_int_eq(secrets_bind(secrets, pl_str(bad[i]), &err), PL_ERR_INVALID_CONFIG);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secrets");
    TCase *tc = tcase_create("secrets");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_secret_goes_to_its_origins_and_nowhere_else);
    tcase_add_test(tc, an_unknown_name_is_told_with_the_nearest);
    tcase_add_loop_test(tc, what_comes_back_is_hidden_in_every_way_of_writing_it, 0,
                        PL_ARRAY_LEN(answers));
    tcase_add_test(tc, what_cannot_be_a_secret_is_refused_without_telling_it);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
