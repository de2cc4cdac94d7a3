/* test_log.c - the log's lines, read back through a pipe or a file. Run by ctest, also under the
 * thread sanitizer. */
#include "base/json.h"
#include "base/log.h"
#include "base/sync.h"
#include "tests/support/text.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static FILE *file;

static void setup(void)
{
    file = tmpfile();
    ck_assert_ptr_nonnull(file);
    log_configure(LOG_LEVEL_INFO, fileno(file));
}

static void teardown(void)
{
    log_configure(LOG_LEVEL_WARN, STDERR_FILENO);
    fclose(file);
}

/* All that was written, in static memory. */
static struct pl_str written(void)
{
    static char text[1 << 20];
    const ssize_t len = pread(fileno(file), text, sizeof(text), 0);

    ck_assert_int_ge(len, 0);
    return pl_str_n(text, (size_t)len);
}

static const char *member(struct pl_str json, const char *key)
{
    struct pl_str value = {0};

    return json_get(json, pl_str(key), &value) ? test_str(value) : NULL;
}

START_TEST(a_line_is_one_json_object_with_what_it_is_about)
{
    const struct log_context context = {.run = "run_1", .step = "a \"b\"", .request = NULL};
    struct pl_str line;
    pl_ms at;

    log_warn(&context, "STORE-RETRY", "try %d of %s", 2, "three\nfour");
    line = written();
    ck_assert_int_eq(line.ptr[line.len - 1], '\n');
    ck_assert_ptr_eq(memchr(line.ptr, '\n', line.len), line.ptr + line.len - 1);
    ck_assert_int_eq(json_check(line, 2, NULL, NULL), PL_OK);
    ck_assert_str_eq(member(line, "level"), "\"warn\"");
    ck_assert_str_eq(member(line, "event"), "\"STORE-RETRY\"");
    ck_assert_str_eq(member(line, "message"), "\"try 2 of three\\nfour\"");
    ck_assert_str_eq(member(line, "run"), "\"run_1\"");
    ck_assert_str_eq(member(line, "step"), "\"a \\\"b\\\"\"");
    ck_assert_ptr_null(member(line, "request"));
    ck_assert(pl_time_parse(pl_str_n(member(line, "at") + 1, 24), &at));
    ck_assert_int_lt(llabs(at - pl_clock_now(pl_clock_real())), 60000);
}
END_TEST

START_TEST(levels_below_the_set_one_are_silent)
{
    log_debug(NULL, "NO", "no");
    ck_assert_uint_eq(written().len, 0);
    ck_assert(!log_enabled(LOG_LEVEL_DEBUG));
    ck_assert(log_enabled(LOG_LEVEL_INFO));
    ck_assert(log_enabled(LOG_LEVEL_ERROR));
    ck_assert(!log_enabled(LOG_LEVEL_OFF));
    log_info(NULL, "YES", "yes");
    ck_assert_uint_gt(written().len, 0);
    log_configure(LOG_LEVEL_OFF, fileno(file));
    ck_assert(!log_enabled(LOG_LEVEL_ERROR));
}
END_TEST

START_TEST(levels_are_read_by_name)
{
    enum log_level level = LOG_LEVEL_INFO;

    ck_assert(log_level_parse("error", &level));
    ck_assert_int_eq(level, LOG_LEVEL_ERROR);
    ck_assert(log_level_parse("off", &level));
    ck_assert_int_eq(level, LOG_LEVEL_OFF);
    ck_assert(!log_level_parse("loud", &level));
    ck_assert(!log_level_parse(NULL, &level));
    ck_assert_int_eq(level, LOG_LEVEL_OFF);
}
END_TEST

START_TEST(bytes_that_are_no_text_still_make_a_valid_line)
{
    log_error(NULL, "ODD", "%s", "a\x01\x7F\xFF\xC3(\xE2\x82 z");
    ck_assert_int_eq(json_check(written(), 2, NULL, NULL), PL_OK);
}
END_TEST

START_TEST(a_huge_message_is_cut_and_stays_valid)
{
    char *text = test_repeat("\x01\xE2\x82\xAC", 20000);

    log_error(NULL, "BIG", "%s", text);
    free(text);
    ck_assert_int_eq(json_check(written(), 2, NULL, NULL), PL_OK);
    ck_assert_uint_gt(written().len, 8000);
    ck_assert_uint_lt(written().len, 40000);
}
END_TEST

START_TEST(logging_leaves_errno_alone)
{
    log_configure(LOG_LEVEL_INFO, -1);
    errno = ENOENT;
    log_error(NULL, "X", "written to no descriptor");
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

static void *log_many(void *arg)
{
    for (int i = 0; i < 300; i++)
        log_info(&(struct log_context){.run = arg}, "MANY", "line %d", i);
    return NULL;
}

START_TEST(lines_of_threads_never_mix)
{
    static char names[4][8] = {"run_a", "run_b", "run_c", "run_d"};
    pthread_t threads[4];
    const char *p, *end;
    int lines = 0;

    for (int i = 0; i < 4; i++)
        ck_assert(pl_thread_start(&threads[i], "log", log_many, names[i]));
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    p = written().ptr;
    end = p + written().len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));

        ck_assert_ptr_nonnull(stop);
        ck_assert_int_eq(json_check(pl_str_n(p, (size_t)(stop - p)), 2, NULL, NULL), PL_OK);
        p = stop + 1;
        lines++;
    }
    ck_assert_int_eq(lines, 1200);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base/log");
    TCase *tcase = tcase_create("log");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_line_is_one_json_object_with_what_it_is_about);
    tcase_add_test(tcase, levels_below_the_set_one_are_silent);
    tcase_add_test(tcase, levels_are_read_by_name);
    tcase_add_test(tcase, bytes_that_are_no_text_still_make_a_valid_line);
    tcase_add_test(tcase, a_huge_message_is_cut_and_stays_valid);
    tcase_add_test(tcase, logging_leaves_errno_alone);
    tcase_add_test(tcase, lines_of_threads_never_mix);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
