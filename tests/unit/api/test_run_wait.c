/* test_run_wait.c - the engine, the client that leaves and the time that runs out, in every order:
 * a request is resumed once, and never after it has gone on. The transport and the engine are
 * played by this file. */
#include "api/handlers/run_wait.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum stage { AWAKE, ASLEEP, RESUMED, EXPIRED };

static _Atomic(enum stage) stage;
static atomic_int resumes, late; /* api_resume that woke; that came after the request went on */
static void (*gone)(struct api_request *request);
static void (*watched)(void *arg);
static void *watched_arg;
static bool watched_over;
static int unwatched, cancelled;

void api_suspend_for(struct api_request *request, int64_t wait,
                     void (*resumed)(struct api_request *request),
                     void (*on_gone)(struct api_request *request))
{
    (void)request, (void)wait, (void)resumed;
    gone = on_gone;
    atomic_store(&stage, ASLEEP);
}

void api_resume(struct api_request *request)
{
    enum stage was = ASLEEP;

    (void)request;
    if (atomic_compare_exchange_strong(&stage, &was, RESUMED))
        atomic_fetch_add(&resumes, 1);
    else if (was == AWAKE)
        atomic_fetch_add(&late, 1);
}

enum pl_code engine_watch_end(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                              void (*on_end)(void *arg), void *arg, uint64_t *ret_token,
                              struct pl_err *err)
{
    (void)engine, (void)tenant;
    if (run_id.len == 0)
        return pl_err_set(err, PL_ERR_NOT_FOUND, "no run");
    *ret_token = watched_over ? 0 : 7;
    watched = on_end;
    watched_arg = arg;
    if (watched_over)
        on_end(arg);
    return PL_OK;
}

void engine_unwatch_end(struct engine *engine, uint64_t token)
{
    (void)engine;
    ck_assert_uint_eq(token, 7);
    unwatched++;
}

enum pl_code engine_cancel(struct engine *engine, struct pl_str tenant, struct pl_str run_id,
                           struct pl_str path, struct pl_err *err)
{
    (void)engine, (void)tenant, (void)path, (void)err;
    ck_assert(pl_str_is(run_id, "run_1"));
    cancelled++;
    return PL_OK;
}

static struct api_request request;

static struct run_wait *setup(struct engine_run_request *start)
{
    struct run_wait *wait;

    atomic_store(&stage, AWAKE);
    atomic_store(&resumes, 0);
    atomic_store(&late, 0);
    unwatched = cancelled = 0;
    watched_over = false;
    request = (struct api_request){0};
    wait = run_wait_create(&request, &stage);
    ck_assert_ptr_nonnull(wait);
    ck_assert_ptr_eq(run_wait_owner(&request), &stage);
    if (start)
        run_wait_begin(wait, start);
    return wait;
}

static void leave(void)
{
    request.state_free(request.state);
}

static void never(struct api_request *ignored)
{
    (void)ignored;
    ck_abort_msg("nobody calls it here");
}

static void tell_end(const struct engine_run_request *start, const char *status)
{
    struct engine_end end = {.run_id = "run_1", .status = pl_str(status)};

    start->on_end(start->arg, &end);
}

START_TEST(what_is_so_already_is_not_waited_for)
{
    struct engine_run_request start = {0};
    struct run_wait *wait = setup(&start);

    start.on_recorded(start.arg, "run_1");
    ck_assert(!run_wait_sleep(wait, RUN_WAIT_RECORDED, -1, never));
    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, -1, never));
    tell_end(&start, "succeeded");
    ck_assert_int_eq(atomic_load(&resumes), 1);
    run_wait_woke(wait);
    ck_assert(run_wait_news(wait).recorded && run_wait_news(wait).ended);
    ck_assert(!run_wait_news(wait).interrupted);
    ck_assert(!run_wait_sleep(wait, RUN_WAIT_END, -1, never));
    leave();
}
END_TEST

START_TEST(being_recorded_does_not_wake_who_waits_for_the_end)
{
    struct engine_run_request start = {0};
    struct run_wait *wait = setup(&start);

    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, -1, never));
    start.on_recorded(start.arg, "run_1");
    ck_assert_int_eq(atomic_load(&resumes), 0);
    tell_end(&start, "failed");
    ck_assert_int_eq(atomic_load(&resumes), 1);
    leave();
}
END_TEST

START_TEST(an_interrupted_run_ends_the_wait_and_is_not_over)
{
    struct engine_run_request start = {0};
    struct run_wait *wait = setup(&start);

    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, -1, never));
    tell_end(&start, "interrupted");
    ck_assert(run_wait_news(wait).ended && run_wait_news(wait).interrupted);
    ck_assert(!run_wait_news(wait).recorded);
    leave();
}
END_TEST

START_TEST(a_client_that_leaves_ends_the_wait_and_cancels_when_it_said_so)
{
    struct engine_run_request start = {0};
    struct run_wait *wait = setup(&start);

    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, -1, never));
    gone(&request);
    ck_assert_int_eq(atomic_load(&resumes), 1);
    ck_assert_int_eq(cancelled, 0);
    ck_assert(run_wait_news(wait).left);
    leave();
    tell_end(&start, "succeeded"); /* the engine's share of the wait is still there */

    wait = setup(&start);
    run_wait_cancel_on_leave(wait, PL_STR("run_1"));
    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, -1, never));
    gone(&request);
    ck_assert_int_eq(cancelled, 1);
    leave();
    tell_end(&start, "cancelled");
}
END_TEST

/* The client left as its time ran out: the connection was closed before the handler was asked. */
START_TEST(a_request_that_ended_without_being_told_of_its_time_is_not_resumed)
{
    struct engine_run_request start = {0};
    struct run_wait *wait = setup(&start);

    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, 1, never));
    leave();
    atomic_store(&stage, AWAKE);
    start.on_recorded(start.arg, "run_1");
    tell_end(&start, "succeeded");
    ck_assert_int_eq(atomic_load(&late), 0);
    ck_assert_int_eq(atomic_load(&resumes), 0);
}
END_TEST

START_TEST(a_watched_run_is_unwatched_at_the_end)
{
    struct run_wait *wait = setup(NULL);
    struct pl_err err = {0};

    ck_assert_int_eq(run_wait_watch(wait, PL_STR("run_1"), &err), PL_OK);
    ck_assert(run_wait_sleep(wait, RUN_WAIT_END, 10, never));
    watched(watched_arg);
    ck_assert_int_eq(atomic_load(&resumes), 1);
    leave();
    ck_assert_int_eq(unwatched, 1);

    wait = setup(NULL);
    watched_over = true;
    ck_assert_int_eq(run_wait_watch(wait, PL_STR("run_1"), &err), PL_OK);
    ck_assert(run_wait_news(wait).ended);
    leave();
    ck_assert_int_eq(unwatched, 0);

    wait = setup(NULL);
    ck_assert_int_eq(run_wait_watch(wait, PL_STR(""), &err), PL_ERR_NOT_FOUND);
    leave();
}
END_TEST

START_TEST(a_start_that_failed_leaves_nothing_behind)
{
    struct engine_run_request start = {0};
    struct run_wait *wait = setup(&start);

    run_wait_abandon(wait);
    leave();
}
END_TEST

/* ---- at once ---- */

static void *end_thread(void *arg)
{
    tell_end(arg, "succeeded");
    return NULL;
}

static void *gone_thread(void *arg)
{
    (void)arg;
    gone(&request);
    return NULL;
}

START_TEST(end_and_expiry_at_once_resume_once_and_never_late)
{
    for (int round = 0; round < 2000; round++) {
        struct engine_run_request start = {0};
        struct run_wait *wait = setup(&start);
        enum stage was = ASLEEP;
        pthread_t ender;
        bool expired;

        ck_assert(run_wait_sleep(wait, RUN_WAIT_END, 1, never));
        ck_assert_int_eq(pthread_create(&ender, NULL, end_thread, &start), 0);
        expired = atomic_compare_exchange_strong(&stage, &was, EXPIRED);
        while (!expired && atomic_load(&stage) != RESUMED)
            ;
        run_wait_woke(wait);
        atomic_store(&stage, AWAKE);
        leave();
        pthread_join(ender, NULL);
        ck_assert_int_eq(atomic_load(&late), 0);
        ck_assert_int_eq(atomic_load(&resumes), expired ? 0 : 1);
    }
}
END_TEST

START_TEST(end_and_leaving_at_once_resume_once)
{
    for (int round = 0; round < 1000; round++) {
        struct engine_run_request start = {0};
        struct run_wait *wait = setup(&start);
        pthread_t ender, leaver;

        ck_assert(run_wait_sleep(wait, RUN_WAIT_END, -1, never));
        ck_assert_int_eq(pthread_create(&ender, NULL, end_thread, &start), 0);
        ck_assert_int_eq(pthread_create(&leaver, NULL, gone_thread, NULL), 0);
        pthread_join(leaver, NULL); /* the transport lets a request end only after `gone` */
        pthread_join(ender, NULL);
        ck_assert_int_eq(atomic_load(&resumes), 1);
        leave();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("run_wait");
    TCase *tcase = tcase_create("run_wait");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_is_so_already_is_not_waited_for);
    tcase_add_test(tcase, being_recorded_does_not_wake_who_waits_for_the_end);
    tcase_add_test(tcase, an_interrupted_run_ends_the_wait_and_is_not_over);
    tcase_add_test(tcase, a_client_that_leaves_ends_the_wait_and_cancels_when_it_said_so);
    tcase_add_test(tcase, a_request_that_ended_without_being_told_of_its_time_is_not_resumed);
    tcase_add_test(tcase, a_watched_run_is_unwatched_at_the_end);
    tcase_add_test(tcase, a_start_that_failed_leaves_nothing_behind);
    tcase_add_test(tcase, end_and_expiry_at_once_resume_once_and_never_late);
    tcase_add_test(tcase, end_and_leaving_at_once_resume_once);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
