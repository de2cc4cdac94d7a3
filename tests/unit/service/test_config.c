/* test_config.c - the configuration file and the environment: what is read, and that every mistake
 * is told with its place. Not what providers do with it. Run by ctest. */
#include "base/limits.h"
#include "service/config.h"
#include "service/llm/provider.h"
#include "service/net_policy.h"
#include "tests/support/store_fixture.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct store_fixture folder; /* for its folder only */
static struct pl_arena *arena;
static struct config *config;
static struct doc_problems problems;
static struct pl_err err;
static char path[600];

static void set_up(void)
{
    store_fixture_init(&folder, 0);
    arena = pl_arena_create(0);
    config = NULL;
    doc_problems_init(&problems, arena);
    memset(&err, 0, sizeof(err));
    unsetenv("OPENAI_API_KEY");
    unsetenv("OPENAI_BASE_URL");
    unsetenv("ANTHROPIC_API_KEY");
    unsetenv("ANTHROPIC_BASE_URL");
    unsetenv("NO_SUCH_NAME");
    setenv("TEST_KEY", "sk-from-env", 1);
}

static void tear_down(void)
{
    config_destroy(&config);
    pl_arena_destroy(&arena);
    store_fixture_finish(&folder);
}

static const char *write_file(const char *name, const char *text)
{
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder.dir, name);
    file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static enum pl_code load(const char *text)
{
    return config_load(write_file("plait.yaml", text), &config, &problems, &err);
}

static const struct provider *provider(const char *name)
{
    const struct provider *found = NULL;
    struct pl_str model;
    char full[64];

    snprintf(full, sizeof(full), "%s/m", name);
    if (providers_find(config->providers, pl_str(full), &found, &model, &err) != PL_OK)
        return NULL;
    return found;
}

static bool permits(const char *address, unsigned short port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    ck_assert_int_eq(inet_pton(AF_INET, address, &in.sin_addr), 1);
    return net_policy_permits(config->policy, (const struct sockaddr *)&in, &err);
}

START_TEST(without_a_file_there_is_what_the_environment_names)
{
    ck_assert_int_eq(config_load(NULL, &config, &problems, &err), PL_OK);
    ck_assert_ptr_null(provider("openai"));
    ck_assert_uint_eq(config->step_output_bytes, PL_LIMIT_STEP_OUTPUT_BYTES);
    config_destroy(&config);
    setenv("OPENAI_API_KEY", "sk-x", 1);
    ck_assert_int_eq(config_load(NULL, &config, &problems, &err), PL_OK);
    ck_assert_ptr_nonnull(provider("openai"));
    ck_assert(!permits("127.0.0.1", 80));
}
END_TEST

START_TEST(every_key_of_the_file_is_read)
{
    char text[2000], key_file[600];

    snprintf(key_file, sizeof(key_file), "%s", write_file("key", "sk-from-file \r\n"));
    snprintf(text, sizeof(text),
             "providers:\n"
             "  local: {kind: openai, base_url: 'http://127.0.0.1:11434/v1/', api_key: "
             "'x${TEST_KEY}y'}\n"
             "  team: {kind: openai, base_url: 'http://127.0.0.1:1/v1', api_key_file: '%s'}\n"
             "  openai: {base_url: 'http://127.0.0.1:2/v1'}\n"
             "network:\n"
             "  allow_private: ['10.1.0.0/16', '127.0.0.1:9000']\n"
             "limits: {step_output_bytes: 2048}\n",
             key_file);
    ck_assert_int_eq(load(text), PL_OK);
    ck_assert_str_eq(test_str(provider("local")->api_key), "xsk-from-envy");
    ck_assert_str_eq(test_str(provider("local")->base_url), "http://127.0.0.1:11434/v1");
    ck_assert_str_eq(test_str(provider("team")->api_key), "sk-from-file");
    ck_assert_str_eq(test_str(provider("openai")->base_url), "http://127.0.0.1:2/v1");
    ck_assert(permits("10.1.2.3", 80));
    ck_assert(!permits("10.2.2.3", 80));
    ck_assert(permits("127.0.0.1", 9000));
    ck_assert(!permits("127.0.0.1", 9001));
    ck_assert_uint_eq(config->step_output_bytes, 2048);
}
END_TEST

START_TEST(other_apis_and_dialects_are_configured_like_the_rest)
{
    ck_assert_int_eq(load("providers:\n"
                          "  gem: {kind: gemini, api_key: 'AIza'}\n"
                          "  claude: {kind: anthropic, api_key: 'sk-ant'}\n"
                          "  me: {kind: openai, base_url: 'https://me.openai.azure.com', "
                          "api_key: k, api_version: '2024-10-21'}\n"
                          "  gate: {kind: openai, base_url: 'http://127.0.0.1:2', dialect: azure, "
                          "api_version: '2024-10-21'}\n"),
                     PL_OK);
    ck_assert_str_eq(provider("gem")->url.ptr, "https://generativelanguage.googleapis.com/v1beta");
    ck_assert_str_eq(provider("me")->url.ptr, "https://me.openai.azure.com/openai/deployments/");
    ck_assert_str_eq(provider("claude")->url.ptr, "https://api.anthropic.com/v1/messages");
    ck_assert_str_eq(provider("gate")->url_tail.ptr, "/chat/completions?api-version=2024-10-21");
    config_destroy(&config);
    ck_assert_int_eq(load("providers: {gem: {kind: gemini, dialect: openai}}\n"),
                     PL_ERR_INVALID_CONFIG);
}
END_TEST

START_TEST(a_file_with_nothing_in_it_configures_nothing)
{
    ck_assert_int_eq(load("# nothing\n"), PL_OK);
    config_destroy(&config);
    ck_assert_int_eq(load("{}"), PL_OK);
    config_destroy(&config);
    ck_assert_int_eq(load("network: {}\nlimits: {}\nproviders: {}\n"), PL_OK);
}
END_TEST

START_TEST(a_provider_of_the_file_replaces_that_of_the_environment)
{
    setenv("OPENAI_API_KEY", "sk-env", 1);
    ck_assert_int_eq(load("providers: {openai: {api_key: sk-file}}\n"), PL_OK);
    ck_assert_str_eq(test_str(provider("openai")->api_key), "sk-file");
}
END_TEST

static const struct {
    const char *text, *problems;
} wrong[] = {
    {"provider: {}\n", "1:1 /provider: unknown key 'provider'; did you mean 'providers'?\n"},
    {"xyzzy: 1\n", "1:1 /xyzzy: unknown key 'xyzzy'; remove it\n"},
    {"models: {}\n", "1:1 /models: 'models' is not supported by this version; remove it\n"},
    {"- 1\n", "1:1 : this is a list; it must be a mapping\n"},
    {"providers: 3\n",
     "1:12 /providers: providers is a number; it must be a mapping of names to providers\n"},
    {"providers: {a: 3}\n", "1:16 /providers/a: this is a number; it must be a mapping\n"},
    {"providers: {a: {kind: openai, base_url: 7}}\n",
     "1:41 /providers/a/base_url: base_url is a number; it must be a string\n"},
    {"providers: {a: {kind: openai, base_url: 'http://x', api_key: '${NO_SUCH_NAME}'}}\n",
     "1:62 /providers/a/api_key: the environment has no NO_SUCH_NAME; set it or remove this "
     "key\n"},
    {"providers: {a: {kind: openai, base_url: 'http://x', api_key: 'a${B'}}\n",
     "1:62 /providers/a/api_key: '${' has no '}'; write ${NAME}\n"},
    {"providers: {a: {kind: openai, limits: {}}}\n",
     "1:31 /providers/a/limits: 'limits' is not supported by this version; remove it\n"},
    {"network: {allow_private: 1}\n",
     "1:26 /network/allow_private: allow_private is a number; it must be a list such as "
     "[\"10.1.0.0/16\"]\n"},
    {"network: {allow_private: [1]}\n",
     "1:27 /network/allow_private/0: this must be a string such as \"127.0.0.1:9000\"\n"},
    {"network: {allow_private: ['${NO_SUCH_NAME}']}\n",
     "1:27 /network/allow_private/0: the environment has no NO_SUCH_NAME; set it or remove this "
     "key\n"},
    {"limits: {step_output_bytes: 100}\n",
     "1:29 /limits/step_output_bytes: step_output_bytes must be a whole number of bytes from 1024 "
     "to 1073741824\n"},
    {"limits: {step_output_bytes: 1e9}\n",
     "1:29 /limits/step_output_bytes: step_output_bytes must be a whole number of bytes from 1024 "
     "to 1073741824\n"},
    {"limits: {step_output_bytes: -2048}\n",
     "1:29 /limits/step_output_bytes: step_output_bytes must be a whole number of bytes from 1024 "
     "to 1073741824\n"},
    {"limits: {step_output_bytes: '2048'}\n",
     "1:29 /limits/step_output_bytes: step_output_bytes must be a whole number of bytes from 1024 "
     "to 1073741824\n"},
    {"limits: {runs: 0}\n",
     "1:16 /limits/runs: runs must be a whole number of runs from 1 to 1000000\n"},
    {"limits: {body_bytes: some}\n",
     "1:22 /limits/body_bytes: body_bytes must be a whole number of bytes from 1024 to "
     "1073741824\n"},
    {"limits: {run_timeout: 1}\n",
     "1:10 /limits/run_timeout: 'run_timeout' is not supported by this version; remove it\n"},
};

START_TEST(every_mistake_is_told_with_its_place)
{
    struct pl_buf out;

    ck_assert_int_eq(load(wrong[_i].text), PL_ERR_INVALID_CONFIG);
    ck_assert_ptr_null(config);
    pl_buf_init(&out, 10000);
    for (size_t i = 0; i < problems.count; i++)
        pl_buf_printf(&out, "%u:%u %s: %s\n", problems.items[i].line, problems.items[i].column,
                      problems.items[i].pointer, problems.items[i].message);
    ck_assert_str_eq(test_text(&out), wrong[_i].problems);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(a_wrong_range_kind_or_url_is_told_at_its_provider)
{
    ck_assert_int_eq(load("network: {allow_private: ['10.0.0.0/99']}\n"), PL_ERR_INVALID_CONFIG);
    ck_assert_str_eq(problems.items[0].pointer, "/network/allow_private/0");
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(load("providers: {a: {kind: nosuch}}\n"), PL_ERR_INVALID_CONFIG);
    ck_assert_str_eq(problems.items[0].pointer, "/providers/a");
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(load("providers: {a: {kind: openai, base_url: 'ftp://x'}}\n"),
                     PL_ERR_INVALID_CONFIG);
    ck_assert_str_eq(problems.items[0].pointer, "/providers/a");
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(
        load("providers: {a: {kind: openai, api_key: k, api_key_file: /nonexistent/key}}\n"),
        PL_ERR_INVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "not both"));
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(load("providers: {a: {kind: openai, api_key_file: /nonexistent/key}}\n"),
                     PL_ERR_INVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "/nonexistent/key"));
}
END_TEST

START_TEST(a_file_that_cannot_be_read_says_why)
{
    ck_assert_int_eq(config_load("/nonexistent/plait.yaml", &config, &problems, &err),
                     PL_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "/nonexistent/plait.yaml"));
    ck_assert_int_eq(config_load(folder.dir, &config, &problems, &err), PL_ERR_IO);
    ck_assert_int_eq(load("a: [\n"), PL_ERR_INVALID_YAML);
    ck_assert_uint_ge(problems.count, 1);
}
END_TEST

START_TEST(a_file_is_read_up_to_its_cap)
{
    struct pl_str text;

    ck_assert_int_eq(config_read_file(arena, write_file("f", "12345"), 5, &text, &err), PL_OK);
    ck_assert_str_eq(test_str(text), "12345");
    ck_assert_int_eq(config_read_file(arena, path, 4, &text, &err), PL_ERR_TOO_LARGE);
    ck_assert_int_eq(config_read_file(arena, write_file("e", ""), 5, &text, &err), PL_OK);
    ck_assert_uint_eq(text.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *tcase = tcase_create("config");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, without_a_file_there_is_what_the_environment_names);
    tcase_add_test(tcase, every_key_of_the_file_is_read);
    tcase_add_test(tcase, other_apis_and_dialects_are_configured_like_the_rest);
    tcase_add_test(tcase, a_file_with_nothing_in_it_configures_nothing);
    tcase_add_test(tcase, a_provider_of_the_file_replaces_that_of_the_environment);
    tcase_add_loop_test(tcase, every_mistake_is_told_with_its_place, 0, PL_ARRAY_LEN(wrong));
    tcase_add_test(tcase, a_wrong_range_kind_or_url_is_told_at_its_provider);
    tcase_add_test(tcase, a_file_that_cannot_be_read_says_why);
    tcase_add_test(tcase, a_file_is_read_up_to_its_cap);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
