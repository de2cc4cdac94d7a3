/* test_config.c - the configuration file and the environment: what is read, and that every mistake
 * is told with its place. Not what providers do with it. Run by ctest. */
#include "base/limits.h"
#include "service/config/config.h"
#include "service/llm/provider.h"
#include "service/net/net_policy.h"
#include "service/secrets.h"
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

static bool may_ask(const char *model, struct lane_ticket *ret_ticket, const char **ret_reason)
{
    const struct lane_ask ask = {.model = pl_str(model), .max_tokens = 10};

    return lane_try(provider("sim")->lane, &ask, 1000000, ret_ticket, ret_reason) == LANE_GO;
}

START_TEST(limits_are_those_of_a_provider_and_of_its_models)
{
    struct lane_ticket tickets[3];
    const char *reason = "";

    ck_assert_int_eq(load("providers:\n"
                          "  sim:\n"
                          "    limits: {concurrency: 1, rpm: 100, tpm: 100000}\n"
                          "    models: {fast: {concurrency: 2}}\n"),
                     PL_OK);
    ck_assert(may_ask("echo", &tickets[0], &reason));
    ck_assert(!may_ask("echo", &tickets[1], &reason));
    ck_assert_str_eq(reason, "concurrency");
    ck_assert(may_ask("fast", &tickets[1], &reason));
    ck_assert(may_ask("fast", &tickets[2], &reason));
    for (unsigned i = 0; i < 3; i++)
        lane_done(&tickets[i], 1000000, NULL);
}
END_TEST

START_TEST(prices_are_found_by_model_and_sim_without_its_options)
{
    const struct store_usage usage = {.input_tokens = 1000000,
                                      .cached_input_tokens = 400000,
                                      .cache_write_input_tokens = 100000,
                                      .output_tokens = 500000};
    const struct price *price;

    ck_assert_int_eq(load("models:\n"
                          "  openai/m: {input_usd_per_mtok: 2, cached_input_usd_per_mtok: 0.5, "
                          "cache_write_usd_per_mtok: 3, output_usd_per_mtok: 8}\n"
                          "  sim/echo: {input_usd_per_mtok: 1, output_usd_per_mtok: 0}\n"),
                     PL_OK);
    price = providers_price(config->providers, PL_STR("openai/m"));
    ck_assert_ptr_nonnull(price);
    ck_assert_double_eq_tol(price_of_usage(price, &usage), 0.5 * 2 + 0.4 * 0.5 + 0.1 * 3 + 4, 1e-9);
    ck_assert_double_eq_tol(price_at_most(price, 1000000, 500000), 3 + 4, 1e-9);
    price = providers_price(config->providers, PL_STR("sim/echo?latency=1s"));
    ck_assert_ptr_nonnull(price);
    ck_assert_double_eq_tol(price_of_usage(price, &usage), 1, 1e-9);
    ck_assert_ptr_null(providers_price(config->providers, PL_STR("openai/m?x=1")));
    ck_assert_ptr_null(providers_price(config->providers, PL_STR("openai/other")));
}
END_TEST

static const struct {
    const char *text, *problems;
} wrong[] = {
    {"provider: {}\n", "1:1 /provider: unknown key 'provider'; did you mean 'providers'?\n"},
    {"xyzzy: 1\n", "1:1 /xyzzy: unknown key 'xyzzy'; remove it\n"},
    {"models: 3\n", "1:9 /models: models is a number; it must be a mapping of models to prices\n"},
    {"models: {gpt: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}\n",
     "1:10 /models/gpt: 'gpt' is no model; write provider/model, such as openai/gpt-4o-mini\n"},
    {"models: {a/b: {input_usd_per_mtok: 1}}\n",
     "1:10 /models/a~1b: a price needs both input_usd_per_mtok and output_usd_per_mtok\n"},
    {"models: {a/b: {input_usd_per_mtok: 1, output_usd_per_mtok: -1}}\n",
     "1:60 /models/a~1b/output_usd_per_mtok: output_usd_per_mtok must be the price of a million "
     "tokens in US dollars, such as 0.15\n"},
    {"models: {a/b: {input_usd_per_mtok: 1, output_usd_per_mtok: 1, inptu_usd_per_mtok: 1}}\n",
     "1:63 /models/a~1b/inptu_usd_per_mtok: unknown key 'inptu_usd_per_mtok'; did you mean "
     "input_usd_per_mtok\n"},
    {"- 1\n", "1:1 : this is a list; it must be a mapping\n"},
    {"providers: 3\n",
     "1:12 /providers: providers is a number; it must be a mapping of names to providers\n"},
    {"providers: {a: 3}\n", "1:16 /providers/a: this is a number; it must be a mapping\n"},
    {"providers: {local: {base_url: 'http://x'}}\n",
     "1:13 /providers/local: provider 'local' needs a 'kind': openai (any compatible server), "
     "anthropic, gemini or sim\n"},
    {"providers: {a: {kind: openai, base_url: 7}}\n",
     "1:41 /providers/a/base_url: base_url is a number; it must be a string\n"},
    {"providers: {a: {kind: openai, base_url: 'http://x', api_key: '${NO_SUCH_NAME}'}}\n",
     "1:62 /providers/a/api_key: the environment has no NO_SUCH_NAME; set it or remove this "
     "key\n"},
    {"providers: {a: {kind: openai, base_url: 'http://x', api_key: 'a${B'}}\n",
     "1:62 /providers/a/api_key: '${' has no '}'; write ${NAME}\n"},
    {"providers: {sim: {limits: 5}}\n",
     "1:27 /providers/sim/limits: this is a number; it must be a mapping such as {concurrency: 50, "
     "rpm: 600}\n"},
    {"providers: {sim: {limits: {rpn: 5}}}\n",
     "1:28 /providers/sim/limits/rpn: unknown key 'rpn'; did you mean 'rpm'?\n"},
    {"providers: {sim: {limits: {xyzzy: 5}}}\n",
     "1:28 /providers/sim/limits/xyzzy: unknown key 'xyzzy'; a limit is concurrency, rpm or "
     "tpm\n"},
    {"providers: {sim: {limits: {rpm: 0}}}\n",
     "1:33 /providers/sim/limits/rpm: rpm must be a whole number of requests a minute from 1 to "
     "100000000\n"},
    {"providers: {sim: {limits: {tpm: 1.5}}}\n",
     "1:33 /providers/sim/limits/tpm: tpm must be a whole number of tokens a minute from 1 to "
     "1000000000000\n"},
    {"providers: {sim: {models: {echo: {concurrency: -1}}}}\n",
     "1:48 /providers/sim/models/echo/concurrency: concurrency must be a whole number of calls at "
     "once from 1 to 1000000\n"},
    {"providers: {sim: {models: [echo]}}\n",
     "1:27 /providers/sim/models: this is a list; it must be a mapping such as {gpt-4o-mini: {rpm: "
     "10000}}\n"},
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

START_TEST(files_and_urls_that_no_call_could_use_are_refused)
{
    static const char *const urls[] = {"http://[::1", "http://h:99999", "http://h:80:80",
                                       "http://[zz]"};
    static const char text[] = "providers: {a: {kind: openai, base_url: 'https://h', %s: '%s'}}\n";
    char wrong_file[900];

    for (size_t i = 0; i < PL_ARRAY_LEN(urls); i++) {
        snprintf(wrong_file, sizeof wrong_file, "providers: {a: {kind: openai, base_url: '%s'}}\n",
                 urls[i]);
        doc_problems_init(&problems, arena);
        ck_assert_int_eq(load(wrong_file), PL_ERR_INVALID_CONFIG);
        ck_assert_ptr_nonnull(strstr(problems.items[0].message, "the URL is not valid"));
    }
    snprintf(wrong_file, sizeof wrong_file, text, "ca_file", write_file("ca", "not PEM\n"));
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(load(wrong_file), PL_ERR_INVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "has no certificate"));
    snprintf(wrong_file, sizeof wrong_file, text, "ca_file", "/dev/zero");
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(load(wrong_file), PL_ERR_INVALID_CONFIG);
    snprintf(wrong_file, sizeof wrong_file, text, "api_key_file", write_file("key", " \n"));
    doc_problems_init(&problems, arena);
    ck_assert_int_eq(load(wrong_file), PL_ERR_INVALID_CONFIG);
    ck_assert_ptr_nonnull(strstr(problems.items[0].message, "is empty"));
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

static const struct {
    const char *text, *pointer, *says;
} wrong_secrets[] = {
    {"secrets: []\n", "/secrets", "mapping of names"},
    {"secrets: {a: 1}\n", "/secrets/a", "must be a mapping"},
    {"secrets: {a: {}}\n", "/secrets/a", "'value' or 'value_file'"},
    {"secrets: {a: {value: long enough, value_file: /x, origins: ['https://a.example']}}\n",
     "/secrets/a", "not both"},
    {"secrets: {a: {value: long enough}}\n", "/secrets/a", "needs 'origins'"},
    {"secrets: {a: {value: long enough, origins: []}}\n", "/secrets/a/origins", "needs 'origins'"},
    {"secrets: {a: {value: long enough, origins: https://a.example}}\n", "/secrets/a/origins",
     "needs 'origins'"},
    {"secrets: {a: {value: long enough, origins: [7]}}\n", "/secrets/a/origins/0", "a number"},
    {"secrets: {a: {value: long enough, origins: ['https://a.example/path']}}\n",
     "/secrets/a/origins/0", "remove the path"},
    {"secrets: {a: {value: long enough, origins: ['ftp://a.example']}}\n", "/secrets/a/origins/0",
     "only http and https"},
    {"secrets: {a: {value: zq7, origins: ['https://a.example']}}\n", "/secrets/a",
     "from 8 to 8192"},
    {"secrets: {a: {value: '${NO_SUCH_NAME}', origins: ['https://a.example']}}\n",
     "/secrets/a/value", "NO_SUCH_NAME"},
    {"secrets: {a: {value_file: /nonexistent/secret, origins: ['https://a.example']}}\n",
     "/secrets/a/value_file", "/nonexistent/secret"},
    {"secrets: {a: {valeu: long enough, origins: ['https://a.example']}}\n", "/secrets/a/valeu",
     "did you mean 'value'"},
    {"secrets: {'a b': {value: long enough, origins: ['https://a.example']}}\n", "/secrets/a b",
     "letters, digits"},
};

START_TEST(a_wrong_secret_is_told_with_its_place_and_never_its_value)
{
    ck_assert_int_eq(load(wrong_secrets[_i].text), PL_ERR_INVALID_CONFIG);
    ck_assert_uint_ge(problems.count, 1);
    ck_assert_str_eq(problems.items[0].pointer, wrong_secrets[_i].pointer);
    ck_assert_msg(strstr(problems.items[0].message, wrong_secrets[_i].says), "%s",
                  problems.items[0].message);
    ck_assert_ptr_null(strstr(problems.items[0].message, "long enough"));
    ck_assert_ptr_null(strstr(problems.items[0].message, "zq7"));
}
END_TEST

START_TEST(a_secret_is_there_for_its_origins)
{
    struct pl_str value;

    ck_assert_int_eq(load("secrets: {crm: {value: long enough, origins: ['https://crm.example', "
                          "'http://127.0.0.1:9000']}}\n"),
                     PL_OK);
    ck_assert_int_eq(secrets_take(config->secrets, PL_STR("crm"), PL_STR("https://crm.example/x"),
                                  arena, &value, &err),
                     PL_OK);
    ck_assert(pl_str_is(value, "long enough"));
    ck_assert_int_eq(secrets_take(config->secrets, PL_STR("crm"), PL_STR("http://crm.example/x"),
                                  arena, &value, &err),
                     PL_ERR_SECRET_DENIED);
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
    tcase_add_test(tcase, prices_are_found_by_model_and_sim_without_its_options);
    tcase_add_test(tcase, a_provider_of_the_file_replaces_that_of_the_environment);
    tcase_add_test(tcase, limits_are_those_of_a_provider_and_of_its_models);
    tcase_add_loop_test(tcase, every_mistake_is_told_with_its_place, 0, PL_ARRAY_LEN(wrong));
    tcase_add_test(tcase, files_and_urls_that_no_call_could_use_are_refused);
    tcase_add_test(tcase, a_wrong_range_kind_or_url_is_told_at_its_provider);
    tcase_add_loop_test(tcase, a_wrong_secret_is_told_with_its_place_and_never_its_value, 0,
                        PL_ARRAY_LEN(wrong_secrets));
    tcase_add_test(tcase, a_secret_is_there_for_its_origins);
    tcase_add_test(tcase, a_file_that_cannot_be_read_says_why);
    tcase_add_test(tcase, a_file_is_read_up_to_its_cap);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
