/* test_migrate.c - which migrations are applied, and what is refused. */
#include "storage/migrate.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake {
    struct store_migrator base;
    int version;
    int applied[8], count;
    int fail_at; /* a number, 0: none */
};

static enum pl_code fake_version(struct store_migrator *base, int *ret_version, struct pl_err *err)
{
    (void)err;
    *ret_version = pl_container_of(base, struct fake, base)->version;
    return PL_OK;
}

static enum pl_code fake_apply(struct store_migrator *base, const struct store_migration *migration,
                               struct pl_err *err)
{
    struct fake *fake = pl_container_of(base, struct fake, base);

    if (migration->number == fake->fail_at)
        return pl_err_set(err, PL_ERR_NO_SPACE, "the disk is full");
    fake->applied[fake->count++] = migration->number;
    fake->version = migration->number;
    return PL_OK;
}

static const struct store_migration three[] = {
    {1, "0001-one", ""}, {2, "0002-two", ""}, {3, "0003-three", ""}};

START_TEST(what_is_missing_is_applied_in_order)
{
    for (int from = 0; from <= 3; from++) {
        struct fake fake = {.base = {fake_version, fake_apply}, .version = from};

        ck_assert_int_eq(store_migrate(&fake.base, three, 3, NULL), PL_OK);
        ck_assert_int_eq(fake.count, 3 - from);
        for (int i = 0; i < fake.count; i++)
            ck_assert_int_eq(fake.applied[i], from + 1 + i);
    }
}
END_TEST

START_TEST(a_newer_database_is_refused_untouched)
{
    struct fake fake = {.base = {fake_version, fake_apply}, .version = 4};
    struct pl_err err;

    ck_assert_int_eq(store_migrate(&fake.base, three, 3, &err), PL_ERR_STORE_NEWER);
    ck_assert_ptr_nonnull(strstr(err.message, "schema 4"));
    ck_assert_ptr_nonnull(strstr(err.message, "up to 3"));
    ck_assert_int_eq(fake.count, 0);
}
END_TEST

START_TEST(a_version_below_none_is_damage)
{
    struct fake fake = {.base = {fake_version, fake_apply}, .version = -1};

    ck_assert_int_eq(store_migrate(&fake.base, three, 3, NULL), PL_ERR_STORE_CORRUPT);
}
END_TEST

START_TEST(a_failure_names_the_migration_and_stops_there)
{
    struct fake fake = {.base = {fake_version, fake_apply}, .fail_at = 2};
    struct pl_err err;

    ck_assert_int_eq(store_migrate(&fake.base, three, 3, &err), PL_ERR_NO_SPACE);
    ck_assert_str_eq(err.message, "migration 0002-two: the disk is full");
    ck_assert_int_eq(fake.count, 1);
}
END_TEST

START_TEST(a_list_with_a_gap_is_refused)
{
    static const struct store_migration gap[] = {{1, "0001-one", ""}, {3, "0003-three", ""}};
    struct fake fake = {.base = {fake_version, fake_apply}};

    ck_assert_int_eq(store_migrate(&fake.base, gap, 2, NULL), PL_ERR_INTERNAL);
    ck_assert_int_eq(fake.count, 0);
}
END_TEST

START_TEST(the_embedded_list_has_no_gap_and_each_sets_its_number)
{
    char text[64];

    ck_assert_uint_gt(store_sqlite_migration_count, 0);
    for (size_t i = 0; i < store_sqlite_migration_count; i++) {
        const struct store_migration *migration = &store_sqlite_migrations[i];

        ck_assert_int_eq(migration->number, (int)i + 1);
        snprintf(text, sizeof(text), "PRAGMA user_version = %d;", migration->number);
        ck_assert_ptr_nonnull(strstr(migration->sql, text));
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_missing_is_applied_in_order, a_newer_database_is_refused_untouched,
        a_version_below_none_is_damage,      a_failure_names_the_migration_and_stops_there,
        a_list_with_a_gap_is_refused,        the_embedded_list_has_no_gap_and_each_sets_its_number,
    };
    Suite *suite = suite_create("migrate");
    TCase *tcase = tcase_create("migrate");
    SRunner *runner;
    int failed;

    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
