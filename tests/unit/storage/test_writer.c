/* test_writer.c - group commit, retrying and failing, on a driver that does as it is told. */
#include "storage/writer.h"

#include "base/sync.h"
#include "storage/batch.h"
#include "tests/support/store_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 64 };

/* What the fake has been told, and what it saw. Writer thread only while a writer runs, but for
 * `gate`. */
struct fake {
    struct store_driver base;
    struct store_writer *writer;
    enum pl_code begin_code, commit_code, maintain_code;    /* what a failing call gives */
    int begin_failures, commit_failures, maintain_failures; /* how many calls fail from now on */
    void (*on_commit)(struct fake *fake); /* called by each commit, before it answers */
    int begins, commits, rollbacks, maintains;
    enum pl_code health_at_begin[MOST];
    bool numbered;               /* batches are looked at by their event's number, not by letter */
    int64_t open_seq, kept_seq;  /* the last number written: since begin, and committed */
    int open_count, largest;     /* batches since begin; most in one commit */
    int operations;              /* asked for so far; the first is answered with CONFLICT */
    char open[MOST], kept[MOST]; /* runs written: since begin, and committed; a letter each */
};

static struct fake *fake_of(struct store_driver *driver)
{
    return pl_container_of(driver, struct fake, base);
}

static enum pl_code answer(int *failures, enum pl_code code, struct pl_err *err)
{
    if (*failures <= 0)
        return PL_OK;
    --*failures;
    return pl_err_set(err, code, "told to fail");
}

static enum pl_code fake_begin(struct store_driver *driver, struct pl_err *err)
{
    struct fake *fake = fake_of(driver);

    if (fake->begins < MOST)
        fake->health_at_begin[fake->begins] = store_writer_health(fake->writer, NULL);
    fake->begins++;
    fake->open[0] = '\0';
    fake->open_seq = fake->kept_seq;
    fake->open_count = 0;
    return answer(&fake->begin_failures, fake->begin_code, err);
}

static enum pl_code fake_write(struct store_driver *driver, const struct store_batch *batch,
                               struct pl_err *err)
{
    struct fake *fake = fake_of(driver);
    size_t len = strlen(fake->open);

    if (pl_str_is(batch->tenant, "big"))
        return pl_err_set(err, PL_ERR_TOO_LARGE, "too large");
    if (fake->numbered) {
        ck_assert_int_eq(batch->events->row.seq, fake->open_seq + 1);
        fake->open_seq++;
        fake->open_count++;
        return PL_OK;
    }
    ck_assert_uint_lt(len + 1, MOST);
    fake->open[len] = batch->run.ptr[0];
    fake->open[len + 1] = '\0';
    return PL_OK;
}

static enum pl_code fake_operate(struct store_driver *driver, const struct store_op *op,
                                 struct store_op_result *ret_result, struct pl_err *err)
{
    struct fake *fake = fake_of(driver);

    ck_assert(pl_str_is(op->name, "plan"));
    if (fake->operations++ == 0)
        return pl_err_set(err, PL_ERR_CONFLICT, "the first time");
    *ret_result = (struct store_op_result){.version = fake->operations, .created = true};
    return PL_OK;
}

static enum pl_code fake_commit(struct store_driver *driver, struct pl_err *err)
{
    struct fake *fake = fake_of(driver);
    size_t len = strlen(fake->kept);
    enum pl_code code;

    fake->commits++;
    if (fake->on_commit)
        fake->on_commit(fake);
    code = answer(&fake->commit_failures, fake->commit_code, err);
    if (code != PL_OK)
        return code;
    fake->kept_seq = fake->open_seq;
    if (fake->open_count > fake->largest)
        fake->largest = fake->open_count;
    if (!fake->numbered)
        snprintf(fake->kept + len, MOST - len, "%s|", fake->open);
    return PL_OK;
}

static void fake_rollback(struct store_driver *driver)
{
    fake_of(driver)->rollbacks++;
}

static enum pl_code fake_maintain(struct store_driver *driver, struct pl_err *err)
{
    struct fake *fake = fake_of(driver);

    fake->maintains++;
    return answer(&fake->maintain_failures, fake->maintain_code, err);
}

static const struct store_driver_ops fake_ops = {
    .begin = fake_begin,
    .write = fake_write,
    .operate = fake_operate,
    .commit = fake_commit,
    .rollback = fake_rollback,
    .maintain = fake_maintain,
};

static struct fake fake;
static struct store_waiter waiter;

static void start(pl_ms retry_for)
{
    fake.base.ops = &fake_ops;
    store_waiter_init(&waiter);
    ck_assert_int_eq(store_writer_start(&fake.base, retry_for, &fake.writer, NULL), PL_OK);
}

static void stop(void)
{
    store_writer_stop(&fake.writer);
    ck_assert_ptr_null(fake.writer);
    store_waiter_finish(&waiter);
}

static void submit_numbered(const char *tenant, const char *run, int64_t seq)
{
    struct store_batch *batch = store_batch_create(pl_str(tenant), pl_str(run));
    struct store_event event = {.seq = seq};

    store_batch_put_event(batch, &event);
    batch->done = store_waiter_done;
    batch->arg = &waiter;
    store_writer_submit(fake.writer, batch);
}

static void submit_for(const char *tenant, const char *run)
{
    submit_numbered(tenant, run, 1);
}

static void submit(const char *run)
{
    submit_for("t", run);
}

/* While the first commit is going on, two more batches come. */
static void two_more(struct fake *f)
{
    if (f->commits != 1)
        return;
    submit("b");
    submit("c");
}

START_TEST(what_comes_during_a_commit_is_the_next_group)
{
    struct store_stats stats;

    fake.on_commit = two_more;
    start(0);
    submit("a");
    store_waiter_wait(&waiter, 3);
    store_writer_stats(fake.writer, &stats);
    ck_assert_uint_eq(stats.batches, 3);
    ck_assert_uint_eq(stats.rows, 3);
    ck_assert_uint_eq(stats.commits, 2);
    stop();
    ck_assert_uint_eq(waiter.failed, 0);
    ck_assert_str_eq(fake.kept, "a|bc|");
    ck_assert_int_eq(fake.rollbacks, 0);
    ck_assert_int_eq(fake.maintains, 2);
}
END_TEST

START_TEST(a_full_disk_is_waited_out_and_nothing_is_lost_or_reordered)
{
    fake.on_commit = two_more;
    fake.commit_failures = 3;
    fake.commit_code = PL_ERR_NO_SPACE;
    start(-1);
    submit("a");
    store_waiter_wait(&waiter, 3);
    ck_assert_int_eq(store_writer_health(fake.writer, NULL), PL_OK);
    stop();
    ck_assert_uint_eq(waiter.failed, 0);
    ck_assert_str_eq(fake.kept, "abc|");
    ck_assert_int_eq(fake.rollbacks, 3);
    ck_assert_int_eq(fake.health_at_begin[0], PL_OK);
    for (int i = 1; i <= 3; i++)
        ck_assert_int_eq(fake.health_at_begin[i], PL_ERR_NO_SPACE);
}
END_TEST

enum { CROWD = STORE_GROUP_BATCHES * 2 + 100 };

/* More than two groups' worth come during the first commit; the next commit fails once. */
static void a_crowd(struct fake *f)
{
    if (f->commits == 1)
        for (int64_t seq = 2; seq <= CROWD; seq++)
            submit_numbered("t", "r", seq);
    if (f->commits == 2)
        f->commit_failures = 1;
}

START_TEST(a_crowd_is_split_into_groups_and_keeps_its_order_over_a_failure)
{
    fake.on_commit = a_crowd;
    fake.commit_code = PL_ERR_STORE_BUSY;
    fake.numbered = true;
    start(-1);
    submit_numbered("t", "r", 1);
    store_waiter_wait(&waiter, CROWD);
    stop();
    ck_assert_uint_eq(waiter.failed, 0);
    ck_assert_int_eq(fake.kept_seq, CROWD);
    ck_assert_int_eq(fake.largest, STORE_GROUP_BATCHES);
    ck_assert_int_eq(fake.commits, 5); /* one, one that failed, two full ones, the rest */
}
END_TEST

static int64_t op_version;

static void op_done(void *arg, enum pl_code code, const struct store_op_result *result,
                    const struct pl_err *err)
{
    op_version = result->version;
    store_waiter_done(arg, code, err);
}

static void submit_op(void)
{
    struct store_op op = {.kind = STORE_OP_PUT_WORKFLOW, .name = PL_STR("plan")};
    struct store_batch *batch = store_batch_of_op(&op);

    batch->op_done = op_done;
    batch->arg = &waiter;
    store_writer_submit(fake.writer, batch);
}

START_TEST(an_operation_is_decided_anew_when_its_transaction_is_tried_again)
{
    fake.commit_failures = 1;
    fake.commit_code = PL_ERR_NO_SPACE;
    start(-1);
    submit_op();
    store_waiter_wait(&waiter, 1);
    stop();
    ck_assert_uint_eq(waiter.failed, 0); /* the CONFLICT was of a try that left no trace */
    ck_assert_int_eq(op_version, 2);
    ck_assert_int_eq(fake.operations, 2);
}
END_TEST

START_TEST(an_operation_that_is_refused_commits_with_the_others)
{
    start(0);
    submit_op();
    submit("a");
    store_waiter_wait(&waiter, 2);
    stop();
    ck_assert_uint_eq(waiter.failed, 1);
    ck_assert_int_eq(waiter.code, PL_ERR_CONFLICT);
    ck_assert_str_eq(waiter.err.message, "the first time");
    ck_assert_int_eq(fake.rollbacks, 0);
}
END_TEST

START_TEST(a_locked_database_is_waited_out_too)
{
    fake.begin_failures = 2;
    fake.begin_code = PL_ERR_STORE_BUSY;
    start(60000);
    submit("a");
    store_waiter_wait(&waiter, 1);
    stop();
    ck_assert_uint_eq(waiter.failed, 0);
    ck_assert_int_eq(fake.begins, 3);
    ck_assert_str_eq(fake.kept, "a|");
}
END_TEST

START_TEST(patience_ends_and_then_every_batch_fails_with_the_reason)
{
    int64_t began;
    int begins;

    fake.commit_failures = 1000;
    fake.commit_code = PL_ERR_NO_SPACE;
    start(250);
    began = pl_monotonic_us();
    submit("a");
    submit("b");
    store_waiter_wait(&waiter, 2);
    ck_assert_int_ge(pl_monotonic_us() - began, 240000);
    ck_assert_uint_eq(waiter.failed, 2);
    ck_assert_int_eq(waiter.code, PL_ERR_NO_SPACE);
    ck_assert_str_eq(waiter.err.message, "told to fail");
    ck_assert_int_eq(store_writer_health(fake.writer, NULL), PL_ERR_NO_SPACE);
    begins = fake.begins;
    ck_assert_int_ge(begins, 3);
    submit("c");
    store_waiter_wait(&waiter, 3);
    stop();
    ck_assert_uint_eq(waiter.failed, 3);
    ck_assert_int_eq(fake.begins, begins);
    ck_assert_str_eq(fake.kept, "");
}
END_TEST

START_TEST(damage_ends_writing_at_once)
{
    struct pl_err err = {.message = ""};

    fake.commit_failures = 1;
    fake.commit_code = PL_ERR_STORE_CORRUPT;
    start(-1);
    submit("a");
    store_waiter_wait(&waiter, 1);
    submit("b");
    store_waiter_wait(&waiter, 2);
    ck_assert_uint_eq(waiter.failed, 2);
    ck_assert_int_eq(waiter.code, PL_ERR_STORE_CORRUPT);
    ck_assert_int_eq(store_writer_health(fake.writer, &err), PL_ERR_STORE_CORRUPT);
    ck_assert_str_eq(err.message, "told to fail");
    stop();
    ck_assert_int_eq(fake.begins, 1);
    ck_assert_int_eq(fake.rollbacks, 1);
}
END_TEST

static void queue_mixed(struct fake *f)
{
    struct store_batch *failed;

    if (f->commits != 1)
        return;
    submit("b");
    submit_for("big", "x");
    failed = store_batch_create(PL_STR("t"), PL_STR("y"));
    (void)pl_arena_alloc(failed->arena, SIZE_MAX);
    failed->done = store_waiter_done;
    failed->arg = &waiter;
    store_writer_submit(f->writer, failed);
    submit_for("big", "z");
    submit("c");
}

START_TEST(a_batch_that_cannot_be_written_fails_alone)
{
    struct store_stats stats;

    fake.on_commit = queue_mixed;
    start(0);
    submit("a");
    store_waiter_wait(&waiter, 6);
    store_writer_stats(fake.writer, &stats);
    ck_assert_uint_eq(stats.batches, 3);
    ck_assert_int_eq(store_writer_health(fake.writer, NULL), PL_OK);
    stop();
    ck_assert_uint_eq(waiter.failed, 3);
    ck_assert_int_eq(waiter.code, PL_ERR_TOO_LARGE);
    ck_assert_str_eq(fake.kept, "a|bc|");
    ck_assert_int_eq(fake.rollbacks, 2);
}
END_TEST

START_TEST(a_batch_that_ran_out_of_memory_is_reported_without_a_transaction)
{
    struct store_batch *batch = store_batch_create(PL_STR("t"), PL_STR("y"));

    start(0);
    (void)pl_arena_alloc(batch->arena, SIZE_MAX);
    batch->done = store_waiter_done;
    batch->arg = &waiter;
    store_writer_submit(fake.writer, batch);
    store_waiter_wait(&waiter, 1);
    stop();
    ck_assert_int_eq(waiter.code, PL_ERR_NO_MEMORY);
    ck_assert_int_eq(fake.begins, 0);
}
END_TEST

START_TEST(a_failing_checkpoint_ends_writing_after_its_commit_was_told)
{
    fake.maintain_failures = 1;
    fake.maintain_code = PL_ERR_IO;
    start(-1);
    submit("a");
    store_waiter_wait(&waiter, 1);
    ck_assert_uint_eq(waiter.failed, 0);
    submit("b");
    store_waiter_wait(&waiter, 2);
    stop();
    ck_assert_uint_eq(waiter.failed, 1);
    ck_assert_int_eq(waiter.code, PL_ERR_IO);
    ck_assert_str_eq(fake.kept, "a|");
}
END_TEST

START_TEST(closing_does_not_wait_for_a_full_disk_for_ever)
{
    fake.commit_failures = 1000000;
    fake.commit_code = PL_ERR_NO_SPACE;
    start(300);
    submit("a");
    stop();
    ck_assert_uint_eq(waiter.done, 1);
    ck_assert_int_eq(waiter.code, PL_ERR_NO_SPACE);
}
END_TEST

START_TEST(closing_writes_what_a_full_disk_held_up)
{
    fake.commit_failures = 2;
    fake.commit_code = PL_ERR_NO_SPACE;
    start(-1);
    submit("a");
    submit("b");
    stop();
    ck_assert_uint_eq(waiter.done, 2);
    ck_assert_uint_eq(waiter.failed, 0);
    ck_assert(strcmp(fake.kept, "ab|") == 0 || strcmp(fake.kept, "a|b|") == 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_comes_during_a_commit_is_the_next_group,
        a_full_disk_is_waited_out_and_nothing_is_lost_or_reordered,
        a_crowd_is_split_into_groups_and_keeps_its_order_over_a_failure,
        an_operation_is_decided_anew_when_its_transaction_is_tried_again,
        an_operation_that_is_refused_commits_with_the_others,
        a_locked_database_is_waited_out_too,
        patience_ends_and_then_every_batch_fails_with_the_reason,
        damage_ends_writing_at_once,
        a_batch_that_cannot_be_written_fails_alone,
        a_batch_that_ran_out_of_memory_is_reported_without_a_transaction,
        a_failing_checkpoint_ends_writing_after_its_commit_was_told,
        closing_does_not_wait_for_a_full_disk_for_ever,
        closing_writes_what_a_full_disk_held_up,
    };
    Suite *suite = suite_create("writer");
    TCase *tcase = tcase_create("writer");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
