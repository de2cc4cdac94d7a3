/* test_workflow_bad.c - every file in tests/check/bad is refused with exactly the lines of its
 * .expected file. With PLAIT_WRITE_EXPECTED set, the .expected files are written instead: read the
 * difference before committing it. */
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDER "tests/check/bad"
enum { FILES_MAX = 500, FILES_MIN = 100, PATH_BYTES = 512 };

static struct dirent **entries;
static int n_entries;

static int is_workflow(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".json") == 0);
}

static void problems_of(const char *name, struct pl_buf *out)
{
    const struct workflow_env env = {.model_ok = test_model_ok, .advise = true};
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct doc_problems problems;
    char path[PATH_BYTES];
    size_t len;

    (void)snprintf(path, sizeof(path), FOLDER "/%s", name);
    char *text = test_read_file(path, &len);
    ck_assert_msg(text != NULL, "cannot read %s", path);
    doc_problems_init(&problems, arena);
    enum doc_format format = strstr(name, ".json") ? DOC_JSON : DOC_YAML;
    enum pl_code code = workflow_compile(pl_str_n(text, len), format, &env, &workflow, &problems);
    ck_assert_msg(code != PL_OK, "%s is accepted", name);
    ck_assert_ptr_null(workflow);
    ck_assert_uint_eq(problems.total, problems.count);
    test_write_problems(name, &problems, out);
    pl_arena_destroy(&arena);
    free(text);
}

static void expected_path(const char *name, char path[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, FOLDER "/%s", name);
    (void)snprintf(strrchr(path, '.'), sizeof(".expected"), ".expected");
}

static void write_expected(const char *path, const struct pl_buf *out)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    (void)fputs(test_text(out), file);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(a_bad_file_is_refused_with_every_problem_at_its_place)
{
    const char *name = entries[_i]->d_name;
    char path[PATH_BYTES];
    struct pl_buf out;

    pl_buf_init(&out, 1 << 20);
    problems_of(name, &out);
    ck_assert_msg(out.len > 0, "%s is refused without a word", name);
    expected_path(name, path);
    if (getenv("PLAIT_WRITE_EXPECTED"))
        write_expected(path, &out);
    char *expected = test_read_file(path, NULL);
    ck_assert_msg(expected != NULL, "%s is missing", path);
    ck_assert_str_eq(test_text(&out), expected);
    free(expected);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(there_are_enough_bad_files)
{
    ck_assert_int_ge(n_entries, FILES_MIN);
    ck_assert_int_lt(n_entries, FILES_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/workflow_bad");
    TCase *tcase = tcase_create("bad files");
    SRunner *runner = srunner_create(suite);
    int failed;

    n_entries = scandir(FOLDER, &entries, is_workflow, alphasort);
    tcase_add_test(tcase, there_are_enough_bad_files);
    tcase_add_loop_test(tcase, a_bad_file_is_refused_with_every_problem_at_its_place, 0, n_entries);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    for (int i = 0; i < n_entries; i++)
        free(entries[i]);
    free(entries);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
