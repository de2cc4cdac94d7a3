/* test_jq_pool.c - what jq programs give and what they say when they give nothing, how jobs queue,
 * and what becomes of them when workers or the pool go. Attacks are in test_jq_attacks.c. Run by
 * ctest. */
#include "service/expr/jq_pool.h"

#include "base/json.h"
#include "service/expr/jq_queue.h"
#include "tests/support/jq_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct jq_probe probe;

static void setup(void)
{
    jq_probe_init(&probe, 2);
}

static void teardown(void)
{
    jq_probe_finish(&probe);
    ck_assert_msg(jq_probe_wait_children(0), "a worker outlives its pool");
}

#define gives(text, document, value) \
    ck_assert_str_eq(jq_probe_eval(&probe, (text), (document)), (value))

/* jq's own wording differs between its versions: only its beginning is compared. */
static void begins(const char *text, const char *document, const char *start)
{
    const char *result = jq_probe_eval(&probe, text, document);

    ck_assert_msg(strncmp(result, start, strlen(start)) == 0, "%s", result);
}

START_TEST(an_expression_gives_its_one_value)
{
    gives(".input.a + 1", "{\"input\":{\"a\":41}}", "42");
    gives("$input.a", "{\"input\":{\"a\":[1,{\"b\":null}]}}", "[1,{\"b\":null}]");
    gives("[$steps, $state, $run, $input]", "{\"steps\":{\"x\":1},\"run\":{\"id\":\"r\"}}",
          "[{\"x\":1},null,{\"id\":\"r\"},null]");
    gives("keys", "{\"input\":1,\"item\":2}", "[\"input\",\"item\"]");
    gives(".item | ascii_upcase", "{\"item\":\"gr\xc3\xbc\xc3\x9f\"}", "\"GR\xc3\xbc\xc3\x9f\"");
    gives("\"a\\(.input)b\"", "{\"input\":7}", "\"a7b\"");
    gives("false", NULL, "false");
    gives("null", NULL, "null");
    gives("def f(x): x * 2; [.input[] | f(.)] # doubled", "{\"input\":[1,2]}", "[2,4]");
    gives("if .input then 1 else 2 end", NULL, "2");
    gives("[.input[] | select(.n > 1)] | sort_by(.n) | map(.n)",
          "{\"input\":[{\"n\":3},{\"n\":1},{\"n\":2}]}", "[2,3]");
}
END_TEST

START_TEST(numbers_that_json_has_no_word_for_become_what_jq_makes_of_them)
{
    gives("nan", NULL, "null");
    gives("infinite", NULL, "1.7976931348623157e+308");
    gives("0.1 + 0.2", NULL, "0.30000000000000004");
}
END_TEST

START_TEST(no_value_and_several_values_are_errors)
{
    gives("empty", NULL, "!expression_error: it gives no value");
    gives("1, 2", NULL, "!expression_error: it gives more than one value");
    gives(".input[]", "{\"input\":[1,2,3]}", "!expression_error: it gives more than one value");
    gives("range(1e18)", NULL, "!expression_error: it gives more than one value");
    gives("1, error(\"late\")", NULL, "!expression_error: late");
}
END_TEST

START_TEST(the_message_of_jq_is_carried)
{
    gives("error(\"no plan\")", NULL, "!expression_error: no plan");
    gives("error({a: 1})", NULL, "!expression_error: {\"a\":1}");
    begins(".input.a.b", "{\"input\":{\"a\":5}}", "!expression_error: Cannot index number with ");
}
END_TEST

START_TEST(a_value_that_is_no_json_of_ours_is_refused)
{
    begins("reduce range(70) as $i (1; [.])", NULL, "!expression_error: its value cannot be kept");
    begins("[0] | implode", NULL, "!expression_error: its value cannot be kept");
    gives("reduce range(5) as $i (1; [.])", NULL, "[[[[[1]]]]]");
}
END_TEST

START_TEST(a_fold_runs_over_the_writes_in_turn)
{
    static struct jq_ask ask;

    jq_ask_init(&ask, &probe, NULL, "{\"left\":[0],\"has_left\":true,\"writes\":[1,2,3]}");
    jq_ask_add(&ask, ".left + [.right]", true);
    jq_ask_add(&ask, "[.left, .right] | max_by(if type == \"array\" then -1 else . end)", true);
    jq_ask_add(&ask, "empty", true);
    jq_ask_add(&ask, ".left, .right", true);
    jq_ask_add(&ask, ".writes", false);
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    ck_assert_str_eq(jq_ask_result(&ask, 0), "[0,1,2,3]");
    ck_assert_str_eq(jq_ask_result(&ask, 1), "3");
    ck_assert_str_eq(jq_ask_result(&ask, 2), "!expression_error: it gives no value for a write");
    ck_assert_str_eq(jq_ask_result(&ask, 3),
                     "!expression_error: it gives more than one value for a write");
    ck_assert_str_eq(jq_ask_result(&ask, 4), "[1,2,3]");
    jq_ask_finish(&ask);
}
END_TEST

START_TEST(without_a_left_the_first_write_is_the_left)
{
    static struct jq_ask ask;

    jq_ask_init(&ask, &probe, NULL, "{\"left\":null,\"has_left\":false,\"writes\":[5,2,3]}");
    jq_ask_add(&ask, "[.left, .right] # both", true);
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    ck_assert_str_eq(jq_ask_result(&ask, 0), "[[5,2],3]");
    jq_ask_finish(&ask);
}
END_TEST

START_TEST(a_job_asks_for_any_of_hundreds_of_expressions)
{
    static struct jq_ask ask;
    static char texts[200][32];

    jq_ask_init(&ask, &probe, NULL, "{\"input\":1000}");
    for (int i = 0; i < 200; i++) {
        snprintf(texts[i], sizeof texts[i], ".input + %d", i);
        jq_ask_add(&ask, texts[i], false);
    }
    for (uint32_t i = 0; i < 200; i++)
        ask.indexes[i] = (i * 7) % 200;
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    for (uint32_t i = 0; i < 200; i++) {
        char expected[32];

        snprintf(expected, sizeof expected, "%u", 1000 + (i * 7) % 200);
        ck_assert_str_eq(jq_ask_result(&ask, i), expected);
    }
    jq_ask_finish(&ask);
}
END_TEST

START_TEST(more_programs_than_a_worker_keeps_are_all_served_again)
{
    static struct jq_ask asks[40];
    static char texts[40][16];

    for (int i = 0; i < 40; i++) {
        snprintf(texts[i], sizeof texts[i], "%d + .input", i);
        jq_ask_init(&asks[i], &probe, texts[i], "{\"input\":100}");
    }
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 40; i++) {
            char expected[16];

            asks[i].job.answers = NULL;
            asks[i].dones = 0;
            jq_ask_start(&asks[i]);
            jq_ask_wait(&asks[i]);
            snprintf(expected, sizeof expected, "%d", 100 + i);
            ck_assert_str_eq(jq_ask_result(&asks[i], 0), expected);
        }
    for (int i = 0; i < 40; i++)
        jq_ask_finish(&asks[i]);
}
END_TEST

START_TEST(a_large_document_travels_whole)
{
    enum { PIECES = 150000 };
    char *piece = test_repeat("\"0123456789abcdef\",", PIECES), *document;
    size_t size = strlen(piece) + 64;

    document = malloc(size);
    ck_assert_ptr_nonnull(document);
    piece[strlen(piece) - 1] = '\0';
    snprintf(document, size, "{\"input\":[%s]}", piece);
    gives(".input | length, (.[-1] | ltrimstr(\"x\"))", document,
          "!expression_error: it gives more than one value");
    gives("[.input | length, .[-1]]", document, "[150000,\"0123456789abcdef\"]");
    {
        static struct jq_ask ask;

        jq_ask_init(&ask, &probe, ".input", document);
        jq_ask_start(&ask);
        jq_ask_wait(&ask);
        ck_assert_int_eq(ask.job.answers[0].err.code, PL_OK);
        ck_assert_uint_eq(json_count(ask.job.answers[0].json), PIECES);
        ck_assert_uint_eq(ask.job.answers[0].json.len, strlen(document) - strlen("{\"input\":}"));
        jq_ask_finish(&ask);
    }
    free(piece);
    free(document);
}
END_TEST

START_TEST(what_is_larger_than_allowed_is_an_expression_limit)
{
    static struct jq_ask ask;

    jq_ask_init(&ask, &probe, "\"x\" * 100", NULL);
    jq_ask_add(&ask, "\"x\" * 90", false);
    ask.job.max_output = 100;
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    ck_assert_str_eq(jq_ask_result(&ask, 0),
                     "!expression_limit: its value is larger than 100 bytes");
    ck_assert_uint_eq(ask.job.answers[1].json.len, 92);
    jq_ask_finish(&ask);
}
END_TEST

/* What jq's functions ask of the system, the jail must let them have. */
START_TEST(pure_functions_of_jq_work_in_the_jail)
{
    gives("0 | todate", NULL, "\"1970-01-01T00:00:00Z\"");
    gives("\"2024-02-29T12:00:00Z\" | fromdate", NULL, "1709208000");
    gives("1709208000 | gmtime | mktime", NULL, "1709208000");
    gives("1709208000 | strftime(\"%A\")", NULL, "\"Thursday\"");
    gives("\"10:20\" | strptime(\"%H:%M\") | .[3:5]", NULL, "[10,20]");
    gives("\"foo bar\" | [match(\"[a-z]+\"; \"g\").string]", NULL, "[\"foo\",\"bar\"]");
    gives("\"a,b\" | gsub(\",\"; \";\")", NULL, "\"a;b\"");
    gives("[range(200000)] | map(-.) | sort | .[0]", NULL, "-199999");
    gives("[range(100000) | tostring] | unique | length", NULL, "100000");
    gives("\"aGk=\" | @base64d", NULL, "\"hi\"");
    gives("[16 | sqrt, log2]", NULL, "[4,4]");
    gives("[1, [2]] | tojson | fromjson | flatten", NULL, "[1,2]");
    gives("\"x y\" | @uri", NULL, "\"x%20y\"");
    gives("[limit(3; repeat(1))]", NULL, "[1,1,1]");
}
END_TEST

START_TEST(one_text_that_does_not_compile_leaves_the_others_alone)
{
    static struct jq_ask ask;

    jq_ask_init(&ask, &probe, "1 + 1", NULL);
    jq_ask_add(&ask, "1 +", false);
    jq_ask_add(&ask, "nonesuch(1)", false);
    jq_ask_add(&ask, "2 + 2", false);
    jq_ask_start(&ask);
    jq_ask_wait(&ask);
    ck_assert_str_eq(jq_ask_result(&ask, 0), "2");
    ck_assert_str_eq(jq_ask_result(&ask, 1), "!expression_error: syntax error, unexpected end");
    ck_assert_str_eq(jq_ask_result(&ask, 2), "!expression_error: nonesuch/1 is not defined");
    ck_assert_str_eq(jq_ask_result(&ask, 3), "4");
    jq_ask_finish(&ask);
}
END_TEST

START_TEST(queues_are_served_in_turn)
{
    static struct jq_ask many[40], one;
    struct jq_probe single;
    unsigned order = 0;

    jq_probe_init(&single, 1);
    for (int i = 0; i < 40; i++) {
        /* long enough that all of them wait when the other one comes */
        jq_ask_init(&many[i], &single, "[range(20000)] | length", NULL);
        many[i].job.queue = 1;
        many[i].order = &order;
        jq_ask_start(&many[i]);
    }
    jq_ask_init(&one, &single, "1", NULL);
    one.job.queue = 2;
    one.order = &order;
    jq_ask_start(&one);
    jq_ask_wait(&one);
    for (int i = 0; i < 40; i++)
        jq_ask_wait(&many[i]);
    /* before it: what was under way when it came, and one turn of the others */
    ck_assert_msg(one.rank <= 30, "it was number %u", one.rank);
    for (int i = 0; i < 40; i++)
        jq_ask_finish(&many[i]);
    jq_ask_finish(&one);
    jq_probe_finish(&single);
}
END_TEST

static const char *endless = "def f: f; f";

/* Workers over the usual number are for those whom others hold up. */
START_TEST(one_queue_of_endless_work_leaves_a_worker_to_the_others)
{
    static struct jq_ask many[20], one;
    struct jq_probe own;

    jq_probe_init(&own, 2);
    for (int i = 0; i < 20; i++) {
        jq_ask_init(&many[i], &own, endless, NULL);
        many[i].job.queue = 1;
        jq_ask_start(&many[i]);
    }
    for (int i = 0; i < 5; i++) {
        jq_ask_wait(&many[i]); /* the rest is in full swing */
        jq_ask_init(&one, &own, "1", NULL);
        one.job.queue = i % 2 ? 2 : 1 + JQ_LANES; /* also one whose place is taken */
        jq_ask_start(&one);
        jq_ask_wait(&one);
        ck_assert_uint_eq(many[19].dones, 0);
        ck_assert_str_eq(jq_ask_result(&one, 0), "1");
        jq_ask_finish(&one);
    }
    jq_probe_finish(&own);
    for (int i = 0; i < 20; i++)
        jq_ask_finish(&many[i]);
}
END_TEST

START_TEST(what_is_withdrawn_is_answered_at_once_and_others_are_not)
{
    static struct jq_ask many[20], one;
    struct jq_probe own;
    int told = 0;

    jq_probe_init(&own, 1);
    for (int i = 0; i < 20; i++) {
        jq_ask_init(&many[i], &own, endless, NULL);
        many[i].job.queue = 1;
        jq_ask_start(&many[i]);
    }
    jq_ask_init(&one, &own, endless, NULL);
    one.job.queue = 1 + JQ_LANES;
    jq_ask_start(&one);
    jq_pool_withdraw(own.pool, 1);
    for (int i = 0; i < 20; i++) {
        jq_ask_wait(&many[i]);
        told += strstr(jq_ask_result(&many[i], 0), "nobody waits") != NULL;
    }
    ck_assert_int_ge(told, 19); /* one at most was under way */
    jq_ask_wait(&one);
    ck_assert_ptr_nonnull(strstr(jq_ask_result(&one, 0), "processor time"));
    for (int i = 0; i < 20; i++)
        jq_ask_finish(&many[i]);
    jq_ask_finish(&one);
    jq_probe_finish(&own);
}
END_TEST

START_TEST(destroying_answers_what_waits_and_what_runs)
{
    static struct jq_ask asks[30];
    struct jq_probe own;

    jq_probe_init(&own, 2);
    for (int i = 0; i < 30; i++) {
        jq_ask_init(&asks[i], &own, endless, NULL);
        jq_ask_start(&asks[i]);
    }
    jq_pool_destroy(&own.pool);
    ck_assert_ptr_null(own.pool);
    for (int i = 0; i < 30; i++) {
        jq_ask_wait(&asks[i]);
        ck_assert_str_eq(jq_ask_result(&asks[i], 0), "!internal: the engine is stopping");
        jq_ask_finish(&asks[i]);
    }
    jq_probe_finish(&own);
}
END_TEST

START_TEST(a_pool_that_was_never_used_starts_and_leaves_nothing)
{
    struct jq_pool *pool = NULL;
    struct pl_err err;

    jq_pool_destroy(&pool);
    ck_assert_int_eq(jq_pool_create(0, &pool, &err), PL_OK);
    ck_assert(jq_probe_wait_children(0));
    jq_pool_destroy(&pool);
    ck_assert_ptr_null(pool);
}
END_TEST

static pid_t only_worker(void)
{
    pid_t pids[8];

    ck_assert(jq_probe_wait_children(1));
    ck_assert_uint_eq(jq_probe_children(getpid(), pids, PL_ARRAY_LEN(pids)), 1);
    return pids[0];
}

START_TEST(a_killed_idle_worker_is_replaced)
{
    pid_t first, second;

    gives("1", NULL, "1");
    first = only_worker();
    ck_assert_int_eq(kill(first, SIGKILL), 0);
    gives("2", NULL, "2");
    second = only_worker();
    ck_assert_int_ne(first, second);
    gives("3", NULL, "3");
}
END_TEST

START_TEST(a_killed_worker_that_was_at_work_is_replaced_and_its_job_done)
{
    static struct jq_ask ask;
    pid_t worker;

    gives("1", NULL, "1");
    worker = only_worker(); /* later there may be a spare one */
    jq_ask_init(&ask, &probe, "[range(1000000)] | length", NULL);
    jq_ask_start(&ask);
    ck_assert_int_eq(kill(worker, SIGKILL), 0);
    jq_ask_wait(&ask);
    ck_assert_str_eq(jq_ask_result(&ask, 0), "1000000");
    jq_ask_finish(&ask);
    gives("3", NULL, "3");
}
END_TEST

/* Descriptors run out: no worker can be started. */
START_TEST(workers_that_cannot_start_fail_what_waits_and_are_tried_again_later)
{
    static const char message[] = "!internal: cannot start a jq worker: ";
    struct rlimit before, none;
    const char *result;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    result = jq_probe_eval(&probe, "1", NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_msg(strncmp(result, message, sizeof message - 1) == 0, "%s", result);
    gives("2", NULL, "2");
}
END_TEST

/* Past the thread sanitizer, which counts it as the use of a descriptor that the pool closes. */
static int copy_of_socket(int fd)
{
    char link[32], target[32];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, target, sizeof target);
    if (length < 7 || strncmp(target, "socket:", 7) != 0)
        return -1;
    return (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 256);
}

/* A copy of every socket, as a process has that is about to become another program. */
static void copy_sockets(int *copies, size_t max)
{
    size_t n = 0;

    for (int fd = 3; fd < 256 && n < max; fd++) {
        copies[n] = copy_of_socket(fd);
        n += copies[n] >= 0;
    }
    ck_assert_uint_gt(n, 0);
    while (n < max)
        copies[n++] = -1;
}

/* Killing nobody once more would end this whole process group. */
START_TEST(a_worker_that_is_gone_is_not_heard_again_while_others_hold_its_socket)
{
    struct rlimit before, none;
    const char *result;
    int copies[16];
    pid_t first;

    gives("1", NULL, "1");
    first = only_worker();
    copy_sockets(copies, PL_ARRAY_LEN(copies));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0; /* its place stays empty */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(kill(first, SIGKILL), 0);
    result = jq_probe_eval(&probe, "2", NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_msg(result[0] == '!', "%s", result);
    gives("3", NULL, "3");
    for (size_t i = 0; i < PL_ARRAY_LEN(copies); i++)
        if (copies[i] >= 0)
            close(copies[i]);
}
END_TEST

/* Worth its worker, which had to yield and goes. */
START_TEST(heavy_work_gives_its_value_and_the_next_job_has_a_fresh_worker)
{
    pid_t first;

    gives("1", NULL, "1");
    first = only_worker();
    gives("reduce range(1500000) as $i (0; . + 1)", NULL, "1500000");
    ck_assert_msg(!jq_probe_lives(first), "it goes on, pushed behind everybody");
    gives("3", NULL, "3");
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tc;
    SRunner *runner;
    int failed;

    jq_worker_main_if_asked(argc, argv);
    suite = suite_create("jq_pool");
    tc = tcase_create("jq_pool");
    runner = srunner_create(suite);
    tcase_set_timeout(tc, 110);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_expression_gives_its_one_value);
    tcase_add_test(tc, numbers_that_json_has_no_word_for_become_what_jq_makes_of_them);
    tcase_add_test(tc, no_value_and_several_values_are_errors);
    tcase_add_test(tc, the_message_of_jq_is_carried);
    tcase_add_test(tc, a_value_that_is_no_json_of_ours_is_refused);
    tcase_add_test(tc, a_fold_runs_over_the_writes_in_turn);
    tcase_add_test(tc, without_a_left_the_first_write_is_the_left);
    tcase_add_test(tc, a_job_asks_for_any_of_hundreds_of_expressions);
    tcase_add_test(tc, more_programs_than_a_worker_keeps_are_all_served_again);
    tcase_add_test(tc, a_large_document_travels_whole);
    tcase_add_test(tc, what_is_larger_than_allowed_is_an_expression_limit);
    tcase_add_test(tc, pure_functions_of_jq_work_in_the_jail);
    tcase_add_test(tc, one_text_that_does_not_compile_leaves_the_others_alone);
    tcase_add_test(tc, queues_are_served_in_turn);
    tcase_add_test(tc, one_queue_of_endless_work_leaves_a_worker_to_the_others);
    tcase_add_test(tc, what_is_withdrawn_is_answered_at_once_and_others_are_not);
    tcase_add_test(tc, destroying_answers_what_waits_and_what_runs);
    tcase_add_test(tc, a_pool_that_was_never_used_starts_and_leaves_nothing);
    tcase_add_test(tc, a_killed_idle_worker_is_replaced);
    tcase_add_test(tc, a_killed_worker_that_was_at_work_is_replaced_and_its_job_done);
    tcase_add_test(tc, workers_that_cannot_start_fail_what_waits_and_are_tried_again_later);
    tcase_add_test(tc, a_worker_that_is_gone_is_not_heard_again_while_others_hold_its_socket);
    tcase_add_test(tc, heavy_work_gives_its_value_and_the_next_job_has_a_fresh_worker);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
