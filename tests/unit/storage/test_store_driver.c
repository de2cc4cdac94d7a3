/* test_store_driver.c - which URLs open which driver. */
#include "storage/store.h"
#include "storage/store_driver.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_sqlite_url_names_a_path)
{
    const struct store_driver_kind *kind;
    const char *location;

    ck_assert_int_eq(store_driver_find("sqlite:/var/lib/a:b.db", &kind, &location, NULL), PL_OK);
    ck_assert_str_eq(kind->scheme, "sqlite");
    ck_assert_ptr_nonnull(kind->open);
    ck_assert_str_eq(location, "/var/lib/a:b.db");
}
END_TEST

static const struct {
    const char *url, *says;
} refused[] = {
    {"postgres://me:secret@host/db", "this build has no driver for PostgreSQL"},
    {"postgresql://me:secret@host/db", "this build has no driver for PostgreSQL"},
    {"mysql://me:secret@host/db", "no kind this build knows"},
    {"sqlite:", "write sqlite:PATH"},
    {"plait.db", "write sqlite:plait.db"},
    {"", "write sqlite:PATH"},
    {NULL, "write sqlite:PATH"},
    {"sqlit:plait.db", "write sqlite:PATH"},
    {"SQLITE:plait.db", "write sqlite:PATH"},
    {"sqlite://plait.db", "without \"//\""},
};

START_TEST(other_urls_are_refused_with_what_to_write_and_without_their_password)
{
    struct store_options options = {.url = refused[_i].url};
    struct store *store = NULL;
    struct pl_err err = {.message = ""};

    ck_assert_int_eq(store_open(&options, &store, &err), PL_ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(store);
    ck_assert_msg(strstr(err.message, refused[_i].says), "%s", err.message);
    ck_assert_ptr_null(strstr(err.message, "secret"));
}
END_TEST

START_TEST(closing_nothing_does_nothing)
{
    struct store *store = NULL;

    store_close(&store);
    store_close(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_driver");
    TCase *tcase = tcase_create("store_driver");
    SRunner *runner;
    int failed;

    tcase_add_test(tcase, a_sqlite_url_names_a_path);
    tcase_add_loop_test(tcase, other_urls_are_refused_with_what_to_write_and_without_their_password,
                        0, (int)PL_ARRAY_LEN(refused));
    tcase_add_test(tcase, closing_nothing_does_nothing);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
