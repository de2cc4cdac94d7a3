/* test_providers.c - the set of providers: what the environment names, what is refused, how a model
 * is found. Run by ctest. */
#include "service/llm/provider.h"
#include "tests/support/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct providers *providers;

static void set_up(void)
{
    unsetenv("OPENAI_API_KEY");
    unsetenv("OPENAI_BASE_URL");
    unsetenv("GEMINI_API_KEY");
    unsetenv("GEMINI_BASE_URL");
    unsetenv("ANTHROPIC_API_KEY");
    unsetenv("ANTHROPIC_BASE_URL");
    providers = providers_create();
    ck_assert_ptr_nonnull(providers);
}

static void tear_down(void)
{
    providers_destroy(&providers);
    ck_assert_ptr_null(providers);
    providers_destroy(&providers);
}

static const struct provider *find(const char *name, const char *model)
{
    const struct provider *provider = NULL;
    struct pl_str rest;
    struct pl_err err;

    ck_assert_msg(providers_find(providers, pl_str(name), &provider, &rest, &err) == PL_OK, "%s",
                  err.message);
    ck_assert_str_eq(test_str(rest), model);
    return provider;
}

static void assert_not_found(const char *name, enum pl_code code, const char *words)
{
    const struct provider *provider;
    struct pl_str rest;
    struct pl_err err;

    ck_assert_int_eq(providers_find(providers, pl_str(name), &provider, &rest, &err), code);
    ck_assert_msg(strstr(err.message, words) != NULL, "%s", err.message);
    ck_assert(!providers_model_ok(providers, pl_str(name), &err));
}

START_TEST(sim_is_always_there)
{
    struct pl_err err;

    ck_assert_str_eq(find("sim/echo?text=a/b", "echo?text=a/b")->ops->kind, "sim");
    ck_assert(providers_model_ok(providers, PL_STR("sim/echo"), &err));
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    assert_not_found("openai/gpt", PL_ERR_PROVIDER_UNKNOWN, "set OPENAI_API_KEY");
    assert_not_found("openai/gpt", PL_ERR_PROVIDER_UNKNOWN, "or try sim/echo");
}
END_TEST

START_TEST(a_model_is_written_provider_slash_model)
{
    assert_not_found("gpt-4o-mini", PL_ERR_INVALID_ARGUMENT, "provider/model");
    assert_not_found("/x", PL_ERR_INVALID_ARGUMENT, "provider/model");
    assert_not_found("sim/", PL_ERR_INVALID_ARGUMENT, "provider/model");
    assert_not_found("", PL_ERR_INVALID_ARGUMENT, "provider/model");
    assert_not_found("sin/echo", PL_ERR_PROVIDER_UNKNOWN, "did you mean 'sim'?");
    assert_not_found("mistral/x", PL_ERR_PROVIDER_UNKNOWN, "no provider 'mistral' is configured");
}
END_TEST

START_TEST(a_key_in_the_environment_makes_a_provider)
{
    const struct provider *provider;
    struct pl_err err;

    setenv("OPENAI_API_KEY", "sk-test", 1);
    setenv("OPENAI_BASE_URL", "", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    provider = find("openai/meta/llama", "meta/llama");
    ck_assert_str_eq(provider->base_url.ptr, "https://api.openai.com/v1");
    ck_assert_str_eq(provider->url.ptr, "https://api.openai.com/v1/chat/completions");
    ck_assert_str_eq(provider->api_key.ptr, "sk-test");
    ck_assert_ptr_nonnull(provider->lane);
    ck_assert(providers_model_ok(providers, PL_STR("openai/anything"), &err));
}
END_TEST

START_TEST(a_base_url_alone_suffices)
{
    const struct provider *provider;
    struct pl_err err;

    setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1//", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    provider = find("openai/x", "x");
    ck_assert_str_eq(provider->url.ptr, "http://127.0.0.1:8000/v1/chat/completions");
    ck_assert_uint_eq(provider->api_key.len, 0);
}
END_TEST

START_TEST(anthropic_appears_from_its_own_variables)
{
    const struct provider *provider;
    struct pl_err err;

    assert_not_found("anthropic/claude", PL_ERR_PROVIDER_UNKNOWN, "set ANTHROPIC_API_KEY");
    setenv("ANTHROPIC_API_KEY", "sk-ant-1", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    provider = find("anthropic/claude", "claude");
    ck_assert_str_eq(provider->url.ptr, "https://api.anthropic.com/v1/messages");
    ck_assert_str_eq(provider->api_key.ptr, "sk-ant-1");
    unsetenv("ANTHROPIC_API_KEY");
    setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:8000/", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    provider = find("anthropic/claude", "claude");
    ck_assert_str_eq(provider->url.ptr, "http://127.0.0.1:8000/v1/messages");
    ck_assert_uint_eq(provider->api_key.len, 0);
}
END_TEST

START_TEST(a_parameter_is_taken_unless_the_kind_has_no_place_for_it)
{
    struct pl_err err = {0};

    setenv("ANTHROPIC_API_KEY", "k", 1);
    setenv("OPENAI_API_KEY", "k", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    ck_assert(providers_takes(providers, PL_STR("openai/x"), "seed", &err));
    ck_assert(providers_takes(providers, PL_STR("sim/echo"), "seed", &err));
    ck_assert(providers_takes(providers, PL_STR("nowhere/x"), "seed", &err));
    ck_assert(providers_takes(providers, PL_STR("anthropic/x"), "temperature", &err));
    ck_assert(!providers_takes(providers, PL_STR("anthropic/x"), "seed", &err));
    ck_assert_msg(strstr(err.message, "'anthropic/x', take no 'seed'") != NULL, "%s", err.message);
}
END_TEST

START_TEST(gemini_appears_by_its_key_or_its_base_url)
{
    const struct provider *provider;
    struct pl_err err;

    assert_not_found("gemini/m", PL_ERR_PROVIDER_UNKNOWN, "set GEMINI_API_KEY");
    setenv("GEMINI_API_KEY", "AIza", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    provider = find("gemini/gemini-2.5-flash", "gemini-2.5-flash");
    ck_assert_str_eq(provider->url.ptr, "https://generativelanguage.googleapis.com/v1beta");
    unsetenv("GEMINI_API_KEY");
    setenv("GEMINI_BASE_URL", "http://127.0.0.1:1/", 1);
    ck_assert_int_eq(providers_add_environment(providers, &err), PL_OK);
    provider = find("gemini/m", "m");
    ck_assert_str_eq(provider->url.ptr, "http://127.0.0.1:1/v1beta");
    ck_assert_uint_eq(provider->api_key.len, 0);
    ck_assert(providers_model_ok(providers, PL_STR("gemini/models/a-1.5_b"), &err));
    ck_assert(!providers_model_ok(providers, PL_STR("gemini/a?b"), &err));
}
END_TEST

START_TEST(a_bad_base_url_names_its_variable)
{
    static const char *const bad[] = {"api.openai.com/v1", "ftp://x/v1",    "http://",
                                      "http:///v1",        "http://:80/v1", "http://u:p@x/v1",
                                      "http://x/v1?key=1", "http://x/v1#a", "http://x/a b",
                                      "http://x/a\r\nb: c"};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct pl_err err;

        setenv("OPENAI_BASE_URL", bad[i], 1);
        ck_assert_msg(providers_add_environment(providers, &err) == PL_ERR_INVALID_CONFIG, "%s",
                      bad[i]);
        ck_assert_msg(strstr(err.message, "OPENAI_BASE_URL") == err.message, "%s", err.message);
        ck_assert_msg(strstr(err.message, "u:p") == NULL, "%s", err.message);
    }
}
END_TEST

START_TEST(one_of_the_same_name_replaces_the_other)
{
    struct provider_options options = {
        .name = "local", .kind = "openai", .base_url = "http://127.0.0.1:1/v1"};
    struct pl_err err;

    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
    options.base_url = "http://127.0.0.1:2/v1";
    options.idle_timeout = 5000;
    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
    ck_assert_str_eq(find("local/m", "m")->base_url.ptr, "http://127.0.0.1:2/v1");
    ck_assert_int_eq(find("local/m", "m")->idle_timeout, 5000);
}
END_TEST

START_TEST(many_providers_are_all_found)
{
    char name[16];
    struct pl_err err;

    for (int i = 0; i < 100; i++) {
        const struct provider_options options = {
            .name = name, .kind = "openai", .base_url = "http://127.0.0.1:1"};

        snprintf(name, sizeof(name), "p%d", i);
        ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
    }
    ck_assert_str_eq(find("p0/m", "m")->name.ptr, "p0");
    ck_assert_str_eq(find("p99/m", "m")->name.ptr, "p99");
    assert_not_found("p100/m", PL_ERR_PROVIDER_UNKNOWN, "p100");
}
END_TEST

START_TEST(wrong_kinds_and_names_are_refused)
{
    static const struct provider_options bad[] = {
        {.name = "x", .kind = "mistral"},
        {.name = "x", .kind = "opnai"},
        {.name = "x", .kind = "antropic"},
        {.name = "x", .kind = "anthropic", .api_key = "line\nbreak"},
        {.name = "x", .kind = "gemni"},
        {.name = "x", .kind = "gemini", .api_key = "line\nbreak"},
        {.name = "x", .kind = "gemini", .dialect = "azure"},
        {.name = "x", .kind = "openai", .dialect = "vllm"},
        {.name = "a/b", .kind = "openai"},
        {.name = "", .kind = "openai"},
        {.name = "x", .kind = "openai", .base_url = "nothing"},
        {.name = "x", .kind = "openai", .api_key = "line\nbreak"},
    };
    static const char *const words[] = {"does not have",
                                        "did you mean 'openai'?",
                                        "did you mean 'anthropic'?",
                                        "line break",
                                        "did you mean 'gemini'?",
                                        "line break",
                                        "for the kind openai",
                                        "no dialect",
                                        "no slash",
                                        "needs a name",
                                        "http:// or https://",
                                        "line break"};

    for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++) {
        struct pl_err err;

        ck_assert_int_eq(providers_add(providers, &bad[i], &err), PL_ERR_INVALID_CONFIG);
        ck_assert_msg(strstr(err.message, words[i]) != NULL, "%s", err.message);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("providers");
    TCase *tcase = tcase_create("providers");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, sim_is_always_there);
    tcase_add_test(tcase, a_model_is_written_provider_slash_model);
    tcase_add_test(tcase, a_key_in_the_environment_makes_a_provider);
    tcase_add_test(tcase, a_base_url_alone_suffices);
    tcase_add_test(tcase, anthropic_appears_from_its_own_variables);
    tcase_add_test(tcase, a_parameter_is_taken_unless_the_kind_has_no_place_for_it);
    tcase_add_test(tcase, gemini_appears_by_its_key_or_its_base_url);
    tcase_add_test(tcase, a_bad_base_url_names_its_variable);
    tcase_add_test(tcase, one_of_the_same_name_replaces_the_other);
    tcase_add_test(tcase, many_providers_are_all_found);
    tcase_add_test(tcase, wrong_kinds_and_names_are_refused);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
