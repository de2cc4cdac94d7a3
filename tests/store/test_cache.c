/* test_cache.c - contract suite: answers that may be used again are kept by tenant and key, go when
 * their time has come and when there are too many. Runs on every driver. */
#include "tests/store/conformance.h"

struct op_waiter {
    struct store_waiter waiter;
    struct store_op_result result;
};

static void op_done(void *arg, enum pl_code code, const struct store_op_result *result,
                    const struct pl_err *err)
{
    struct op_waiter *waiter = arg;

    waiter->result = *result;
    store_waiter_done(&waiter->waiter, code, err);
}

static struct store_op_result operate(struct conformance *c, const struct store_op *op)
{
    struct op_waiter waiter;

    store_waiter_init(&waiter.waiter);
    store_submit_op(c->store, op, op_done, &waiter);
    store_waiter_wait(&waiter.waiter, 1);
    store_waiter_finish(&waiter.waiter);
    ck_assert_int_eq(waiter.waiter.code, PL_OK);
    return waiter.result;
}

static struct store_op put_op(const char *tenant, const char *key, const char *output)
{
    return (struct store_op){
        .kind = STORE_OP_PUT_CACHED,
        .tenant = pl_str(tenant),
        .hash = pl_str(key),
        .text = pl_str(output),
        .name = PL_STR("{\"model\":\"m\"}"),
        .usage = {.calls = 1,
                  .input_tokens = 2,
                  .cached_input_tokens = 3,
                  .cache_write_input_tokens = 5,
                  .reasoning_tokens = 6,
                  .output_tokens = 4,
                  .cost_usd = 0.5},
        .now = 1000,
        .expires_at = 2000,
    };
}

static void put(struct conformance *c, const char *tenant, const char *key, const char *output)
{
    struct store_op op = put_op(tenant, key, output);

    (void)operate(c, &op);
}

/* The output kept under the key; "": none. Static memory. */
static const char *kept(struct conformance *c, const char *tenant, const char *key)
{
    static char text[64];
    struct store_cached cached;
    enum pl_code code =
        store_get_cached(c->store, c->arena, pl_str(tenant), pl_str(key), &cached, NULL);

    text[0] = '\0';
    if (code == PL_OK) {
        snprintf(text, sizeof text, "%.*s", PL_STR_ARG(pl_value_text(cached.output)));
        store_cached_finish(&cached);
    } else {
        ck_assert_int_eq(code, PL_ERR_NOT_FOUND);
    }
    return text;
}

START_TEST(an_answer_comes_back_whole_also_from_a_store_opened_again)
{
    struct conformance c;
    struct store_cached cached;
    const struct store_op op = put_op("t", "k", "1");

    begin(&c, _i);
    put(&c, "t", "k", "{\"a\":[1,2.50]}");
    reopen(&c);
    ck_assert_int_eq(store_get_cached(c.store, c.arena, PL_STR("t"), PL_STR("k"), &cached, NULL),
                     PL_OK);
    assert_str_eq(pl_value_text(cached.output), PL_STR("{\"a\":[1,2.50]}"));
    assert_str_eq(pl_value_text(cached.call), PL_STR("{\"model\":\"m\"}"));
    assert_usage_eq(&cached.usage, &op.usage);
    ck_assert_int_eq(cached.created_at, 1000);
    ck_assert_int_eq(cached.expires_at, 2000);
    store_cached_finish(&cached);
    end(&c);
}
END_TEST

START_TEST(an_answer_is_found_by_its_own_tenant_and_key_only)
{
    struct conformance c;

    begin(&c, _i);
    put(&c, "t", "k", "1");
    put(&c, "u", "k", "2");
    ck_assert_str_eq(kept(&c, "t", "k"), "1");
    ck_assert_str_eq(kept(&c, "u", "k"), "2");
    ck_assert_str_eq(kept(&c, "v", "k"), "");
    ck_assert_str_eq(kept(&c, "t", "K"), "");
    end(&c);
}
END_TEST

START_TEST(a_newer_answer_takes_the_place_of_an_older_one)
{
    struct conformance c;

    begin(&c, _i);
    put(&c, "t", "k", "1");
    put(&c, "t", "k", "2");
    ck_assert_str_eq(kept(&c, "t", "k"), "2");
    end(&c);
}
END_TEST

START_TEST(an_answer_that_has_expired_goes_with_the_next_one_that_is_put)
{
    struct conformance c;
    struct store_op op;

    begin(&c, _i);
    put(&c, "t", "old", "1");
    op = put_op("u", "new", "2");
    op.now = 2000; /* the moment in which the first one is over */
    op.expires_at = 3000;
    (void)operate(&c, &op);
    ck_assert_str_eq(kept(&c, "t", "old"), "");
    ck_assert_str_eq(kept(&c, "u", "new"), "2");
    end(&c);
}
END_TEST

START_TEST(pruning_says_how_many_have_gone_and_leaves_what_is_good)
{
    struct conformance c;
    struct store_op prune = {.kind = STORE_OP_PRUNE_CACHE, .now = 1999};

    begin(&c, _i);
    put(&c, "t", "a", "1");
    put(&c, "u", "b", "2");
    ck_assert_uint_eq(operate(&c, &prune).removed, 0);
    prune.now = 2000;
    ck_assert_uint_eq(operate(&c, &prune).removed, 2);
    ck_assert_str_eq(kept(&c, "t", "a"), "");
    end(&c);
}
END_TEST

/* Room for three answers of one byte. */
static void put_bounded(struct conformance *c, const char *tenant, const char *key)
{
    struct store_op op = put_op(tenant, key, "1");

    op.max_bytes = 3 * (STORE_CACHE_ROW_BYTES + 1 + (int64_t)op.name.len);
    (void)operate(c, &op);
}

START_TEST(the_oldest_answers_of_a_tenant_go_when_it_has_too_many_and_nobody_elses)
{
    struct conformance c;
    char key[8];

    begin(&c, _i);
    put(&c, "u", "theirs", "9");
    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "k%d", i);
        put_bounded(&c, "t", key);
    }
    ck_assert_str_eq(kept(&c, "t", "k0"), "");
    ck_assert_str_eq(kept(&c, "t", "k1"), "");
    ck_assert_str_eq(kept(&c, "t", "k2"), "1");
    ck_assert_str_eq(kept(&c, "t", "k4"), "1");
    ck_assert_str_eq(kept(&c, "u", "theirs"), "9");
    put_bounded(&c, "t", "k2"); /* put anew, it is the newest, and the rest fits beside it */
    put_bounded(&c, "t", "k5");
    ck_assert_str_eq(kept(&c, "t", "k2"), "1");
    ck_assert_str_eq(kept(&c, "t", "k3"), "");
    end(&c);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_answer_comes_back_whole_also_from_a_store_opened_again,
        an_answer_is_found_by_its_own_tenant_and_key_only,
        a_newer_answer_takes_the_place_of_an_older_one,
        an_answer_that_has_expired_goes_with_the_next_one_that_is_put,
        pruning_says_how_many_have_gone_and_leaves_what_is_good,
        the_oldest_answers_of_a_tenant_go_when_it_has_too_many_and_nobody_elses,
    };

    return conformance_main("store cache", tests, PL_ARRAY_LEN(tests));
}
