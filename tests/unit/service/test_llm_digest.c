/* test_llm_digest.c - what makes two calls the same. Run by ctest. */
#include "service/llm/llm_digest.h"

#include "service/steps/step_config.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct provider_ops ops = {.kind = "openai"}, other_ops = {.kind = "other"};
static const struct schema_use schema = {.name = PL_STR("city"), .json = PL_STR("{}")};
static const struct schema_use other_schema = {.name = PL_STR("city"), .json = PL_STR("true")};
static const struct agent_config agent;

static struct provider provider_at(const char *url)
{
    return (struct provider){.ops = &ops, .base_url = pl_str(url), .url = pl_str(url)};
}

static struct llm_request request_of(void)
{
    return (struct llm_request){
        .model = PL_STR("m"),
        .system = PL_STR("be brief"),
        .messages = PL_STR("[1]"),
        .temperature = PL_STR("0.5"),
        .max_tokens = 10,
        .seed = PL_STR("7"),
        .stop = PL_STR("[\"x\"]"),
        .extra = PL_STR("{\"a\":1}"),
        .schema = &schema,
        .tools = PL_STR("[2]"),
        .tool_choice = PL_STR("\"auto\""),
        .sample = -1,
    };
}

static bool same(const struct provider *a, const struct llm_request *x, const struct provider *b,
                 const struct llm_request *y)
{
    unsigned char one[LLM_DIGEST_BYTES], two[LLM_DIGEST_BYTES];

    llm_digest(a, x, one);
    llm_digest(b, y, two);
    return memcmp(one, two, sizeof one) == 0;
}

#define DIFFERS(member, ...)                                              \
    do {                                                                  \
        struct llm_request changed_ = plain;                              \
                                                                          \
        changed_.member = (__VA_ARGS__);                                  \
        ck_assert_msg(!same(&at, &plain, &at, &changed_), "%s", #member); \
    } while (0)

START_TEST(everything_that_is_sent_makes_a_difference)
{
    const struct provider at = provider_at("http://a");
    const struct llm_request plain = request_of();

    DIFFERS(model, PL_STR("n"));
    DIFFERS(system, PL_STR("be long"));
    DIFFERS(system, (struct pl_str){0});
    DIFFERS(messages, PL_STR("[2]"));
    DIFFERS(temperature, PL_STR("0.6"));
    DIFFERS(max_tokens, 11);
    DIFFERS(seed, PL_STR("8"));
    DIFFERS(stop, PL_STR("[\"y\"]"));
    DIFFERS(extra, PL_STR("{\"a\":2}"));
    DIFFERS(schema, &other_schema);
    DIFFERS(schema, NULL);
    DIFFERS(tools, PL_STR("[3]"));
    DIFFERS(tool_choice, PL_STR("\"none\""));
    DIFFERS(agent, &agent);
    DIFFERS(sample, 0);
}
END_TEST

START_TEST(the_same_request_elsewhere_is_another_one)
{
    const struct provider at = provider_at("http://a"), there = provider_at("http://b");
    struct provider kind = at, version = at;
    const struct llm_request plain = request_of();

    kind.ops = &other_ops;
    version.url_tail = PL_STR("/chat/completions?api-version=2024-10-21");
    ck_assert(!same(&at, &plain, &version, &plain));
    ck_assert(same(&at, &plain, &at, &plain));
    ck_assert(!same(&at, &plain, &there, &plain));
    ck_assert(!same(&at, &plain, &kind, &plain));
}
END_TEST

START_TEST(who_asks_how_often_and_how_it_is_told_makes_none)
{
    struct provider at = provider_at("http://a"), rotated = at;
    const struct llm_request plain = request_of();
    struct llm_request again = plain;

    again.identity = PL_STR("reviews.17");
    again.attempt = 3;
    again.answer = 2;
    again.stream = true;
    again.timeout = 5;
    again.max_output = 6;
    rotated.api_key = PL_STR("another key");
    rotated.name = PL_STR("another name");
    ck_assert(same(&at, &plain, &rotated, &again));
}
END_TEST

START_TEST(what_ends_one_member_does_not_begin_the_next)
{
    const struct provider at = provider_at("http://a");
    struct llm_request one = request_of(), two = one;

    one.model = PL_STR("ab");
    one.system = PL_STR("c");
    two.model = PL_STR("a");
    two.system = PL_STR("bc");
    ck_assert(!same(&at, &one, &at, &two));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm digest");
    TCase *tcase = tcase_create("llm digest");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, everything_that_is_sent_makes_a_difference);
    tcase_add_test(tcase, the_same_request_elsewhere_is_another_one);
    tcase_add_test(tcase, who_asks_how_often_and_how_it_is_told_makes_none);
    tcase_add_test(tcase, what_ends_one_member_does_not_begin_the_next);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
