/* test_events.c - contract suite: a run's events come back as they were put, in order, from any
 * number on. Runs on every driver. */
#include "tests/store/conformance.h"

START_TEST(an_event_comes_back_with_every_field)
{
    struct conformance c;
    struct store_event event = {.seq = 9007199254740993,
                                .at = 1790000000000,
                                .type = PL_STR("step.succeeded"),
                                .path = PL_STR("plan.hotel"),
                                .attempt = 4,
                                .data = PL_STR("{\"ms\":12}")};
    struct store_event bare = {.seq = 1, .type = PL_STR("run.started")}, *got;
    struct store_batch *batch = new_batch("acme", "run_1");

    begin(&c, _i);
    store_batch_put_event(batch, &bare);
    store_batch_put_event(batch, &event);
    commit(&c, batch);
    ck_assert_uint_eq(get_events(&c, "acme", "run_1", 0, 10, &got), 2);
    ck_assert_int_eq(got[0].seq, 1);
    assert_str_eq(got[0].type, bare.type);
    ck_assert_uint_eq(got[0].path.len + got[0].data.len, 0);
    ck_assert_int_eq(got[1].seq, event.seq);
    ck_assert_int_eq(got[1].at, event.at);
    ck_assert_int_eq(got[1].attempt, 4);
    assert_str_eq(got[1].type, event.type);
    assert_str_eq(got[1].path, event.path);
    assert_str_eq(got[1].data, event.data);
    end(&c);
}
END_TEST

/* As many and as long as no driver keeps in one place. */
START_TEST(many_events_of_a_batch_come_back_from_any_number_on)
{
    enum { EVENTS = 400, LONG = 20000 };
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct store_event *got;
    struct pl_buf data;

    begin(&c, _i);
    pl_buf_init(&data, SIZE_MAX / 2);
    for (int i = 1; i <= EVENTS; i++) {
        struct store_event event = {
            .seq = i * 2, .at = i, .type = PL_STR("a \"b\"\\\n"), .path = PL_STR("\xc3\xa4[7].x")};

        pl_buf_reset(&data);
        pl_buf_printf(&data, "{\"i\":%d,\"text\":\"%0*d\"}", i, i % 50 ? 1 : LONG, 0);
        event.data = pl_buf_view(&data);
        store_batch_put_event(batch, &event);
    }
    commit(&c, batch);
    for (int after = 0; after <= 2 * EVENTS; after += 7) {
        size_t left = (size_t)(EVENTS - after / 2), limit = left > 60 ? 60 : left;

        ck_assert_uint_eq(get_events(&c, "t", "r", after, 60, &got), limit);
        for (size_t i = 0; i < limit; i++) {
            int64_t number = after / 2 + 1 + (int64_t)i;
            char begin_of[40];

            ck_assert_int_eq(got[i].seq, 2 * number);
            ck_assert_int_eq(got[i].at, number);
            assert_str_eq(got[i].type, PL_STR("a \"b\"\\\n"));
            assert_str_eq(got[i].path, PL_STR("\xc3\xa4[7].x"));
            snprintf(begin_of, sizeof(begin_of), "{\"i\":%d,\"text\":\"0", (int)number);
            ck_assert_int_eq(strncmp(got[i].data.ptr, begin_of, strlen(begin_of)), 0);
            ck_assert_uint_eq(got[i].data.len,
                              strlen(begin_of) + (number % 50 ? 0 : LONG - 1) + strlen("\"}"));
        }
    }
    ck_assert_uint_eq(get_events(&c, "t", "r", 0, SIZE_MAX, &got), EVENTS);
    pl_buf_finish(&data);
    end(&c);
}
END_TEST

START_TEST(events_come_after_a_number_in_order)
{
    enum { EVENTS = 300, PAGE = 100 };
    struct conformance c;
    struct store_event *events;

    begin(&c, _i);
    for (int part = 0; part < 3; part++) {
        struct store_batch *batch = new_batch("t", "r");

        for (int i = 0; i < EVENTS / 3; i++) {
            struct store_event event = {.seq = part * (EVENTS / 3) + i + 1};

            store_batch_put_event(batch, &event);
        }
        commit(&c, batch);
    }
    for (int64_t after = 0; after < EVENTS; after += PAGE) {
        ck_assert_uint_eq(get_events(&c, "t", "r", after, PAGE, &events), PAGE);
        for (int i = 0; i < PAGE; i++)
            ck_assert_int_eq(events[i].seq, after + i + 1);
    }
    ck_assert_uint_eq(get_events(&c, "t", "r", EVENTS, PAGE, &events), 0);
    ck_assert_uint_eq(get_events(&c, "t", "r", EVENTS - 1, PAGE, &events), 1);
    end(&c);
}
END_TEST

START_TEST(events_out_of_order_in_a_batch_are_each_written_once)
{
    static const int64_t seqs[] = {5, 3, 9, 3, 4, 9, 5, 1};
    static const int64_t expect[] = {1, 3, 4, 5, 9};
    struct conformance c;
    struct store_batch *batch = new_batch("t", "r");
    struct store_event *events;
    struct store_stats stats;

    begin(&c, _i);
    for (size_t i = 0; i < PL_ARRAY_LEN(seqs); i++) {
        struct store_event event = {.seq = seqs[i], .attempt = (int64_t)i};

        store_batch_put_event(batch, &event);
    }
    commit(&c, batch);
    ck_assert_uint_eq(get_events(&c, "t", "r", 0, 10, &events), PL_ARRAY_LEN(expect));
    for (size_t i = 0; i < PL_ARRAY_LEN(expect); i++)
        ck_assert_int_eq(events[i].seq, expect[i]);
    ck_assert_int_eq(events[1].attempt, 3);
    ck_assert_int_eq(events[4].attempt, 5);
    store_stats(c.store, &stats);
    ck_assert_uint_eq(stats.rows, PL_ARRAY_LEN(expect));
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_event_comes_back_with_every_field,
        many_events_of_a_batch_come_back_from_any_number_on,
        events_come_after_a_number_in_order,
        events_out_of_order_in_a_batch_are_each_written_once,
    };

    return conformance_main("store events", tests, PL_ARRAY_LEN(tests));
}
