/* test_http_step.c - an http step against a scripted server: what is sent, what comes out, statuses
 * that were not expected, addresses and headers that are refused. Not the connection itself
 * (test_http_call). Run by ctest. */
#include "base/json.h"
#include "service/net/net_policy.h"
#include "service/pool.h"
#include "service/steps/http_step.h"
#include "tests/support/raw_server.h"
#include "tests/support/step_probe.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct pool *pool;
static struct pl_arena *arena;
static struct net_policy *policy;
static struct workflow *workflow;
static struct raw_server *server;

static const char workflow_text[] =
    "name: t\n"
    "input: {type: object}\n"
    "steps:\n"
    "  get:\n"
    "    http:\n"
    "      url: ${ .input.base }/items?x=1#part\n"
    "      query: {q: '${ .input.q }', none: null, list: '${ .input.list }', yes: true}\n"
    "      headers: {X-One: '${ .input.header }', X-None: '${ .input.missing }'}\n"
    "  post:\n"
    "    http:\n"
    "      url: ${ .input.base }/items\n"
    "      json: {a: '${ .input.q }', b: [1, '${ .input.list }']}\n"
    "  text:\n"
    "    http: {method: PUT, url: '${ .input.base }/', body: 'q=${ .input.q }', headers: "
    "{Content-Type: a/b,\n"
    "           Idempotency-Key: mine}}\n"
    "  created:\n"
    "    http: {url: '${ .input.base }/', expect: [201, 4xx]}\n"
    "  hang:\n"
    "    timeout: 50ms\n"
    "    http: {url: '${ .input.base }/'}\n"
    "  fixed:\n"
    "    on_ambiguous: fail\n"
    "    http: {url: 'http://127.0.0.1:1/'}\n"
    "  head:\n"
    "    on_ambiguous: retry\n"
    "    http: {method: HEAD, url: 'http://127.0.0.1:1/'}\n"
    "  model: {llm: {model: sim/echo, prompt: x}}\n"
    "  careful: {on_ambiguous: fail, llm: {model: sim/echo, prompt: x}}\n"
    "  sum: {reduce: {from: [1], with: sum}}\n"
    "  wide: {parallel: {branches: {one: {reduce: 1}}}}\n";

static void set_up(void)
{
    struct pl_err err;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    arena = pl_arena_create(0);
    policy = net_policy_create(arena);
    ck_assert_int_eq(net_policy_allow(policy, PL_STR("127.0.0.0/8"), &err), PL_OK);
    workflow = test_workflow(workflow_text);
    server = NULL;
}

static void tear_down(void)
{
    pool_destroy(&pool);
    workflow_unref(&workflow);
    raw_server_stop(&server);
    pl_arena_destroy(&arena);
}

static void serve(struct pl_str bytes, enum raw_action then)
{
    static struct raw_step steps[3];
    static struct raw_script script;

    steps[0] = (struct raw_step){.action = RAW_READ};
    steps[1] = (struct raw_step){.action = RAW_SEND, .bytes = bytes};
    steps[2] = (struct raw_step){.action = then};
    script = (struct raw_script){.steps = steps, .count = 3};
    server = raw_server_start(&script, 1);
}

static void init(struct step_probe *probe, const char *path)
{
    static char input[512];

    snprintf(input, sizeof(input),
             "{\"base\":\"http://127.0.0.1:%u\",\"q\":\"a b&c=\\u00e9\",\"list\":[1,{\"k\":2}],"
             "\"header\":\"v 1\"}",
             server ? raw_server_port(server) : 1);
    step_probe_init(probe, pool_loop(pool, 0), NULL, workflow, path, false);
    probe->env.policy = policy;
    probe->input = input;
}

#define OK(type, body)                       \
    "HTTP/1.1 200 OK\r\nContent-Type: " type \
    "\r\nX-Two: b\r\nx-two:  c \r\nConnection: close\r\n\r\n" body

/* ---- what is sent ---- */

START_TEST(a_get_has_its_query_and_headers)
{
    struct step_probe probe;
    char request[4096];

    serve(PL_STR(OK("application/json", "{ \"n\" : 1 }")), RAW_CLOSE);
    init(&probe, "get");
    step_probe_run(&probe);
    ck_assert_str_eq(
        step_probe_result(&probe),
        "{\"status\":200,\"headers\":{\"content-type\":\"application/json\",\"x-two\":\"b, "
        "c\",\"connection\":\"close\"},\"body\":{\"n\":1}}");
    raw_server_request(server, 0, request, sizeof(request));
    ck_assert_msg(strstr(request,
                         "GET /items?x=1&q=a%20b%26c%3D%C3%A9&list=%5B1%2C%7B%22k%22%3A2%7D%5D&"
                         "yes=true HTTP/1.1\r\n") == request,
                  "%s", request);
    ck_assert_ptr_nonnull(strstr(request, "\r\nX-One: v 1\r\n"));
    ck_assert_ptr_null(strstr(request, "X-None"));
    ck_assert_ptr_null(strcasestr(request, "idempotency-key"));
    ck_assert_ptr_null(strcasestr(request, "content-type"));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_post_sends_json_and_the_same_key_on_every_attempt)
{
    char request[4096];

    serve(PL_STR(OK("text/plain", "done")), RAW_CLOSE);
    for (unsigned attempt = 1; attempt <= 2; attempt++) {
        struct step_probe probe;

        init(&probe, "post");
        probe.call.attempt = attempt;
        step_probe_run(&probe);
        raw_server_request(server, attempt - 1, request, sizeof(request));
        ck_assert_msg(strstr(request, "POST /items HTTP/1.1\r\n") == request, "%s", request);
        ck_assert_ptr_nonnull(strstr(request, "\r\ncontent-type: application/json\r\n"));
        ck_assert_ptr_nonnull(strstr(request, "\r\nidempotency-key: run_1:post\r\n"));
        ck_assert_msg(
            strstr(request, "\r\n\r\n{\"a\":\"a b&c=\\u00e9\",\"b\":[1,[1,{\"k\":2}]]}") != NULL ||
                strstr(request, "\r\n\r\n{\"a\":\"a b&c=\xC3\xA9\",\"b\":[1,[1,{\"k\":2}]]}") !=
                    NULL,
            "%s", request);
        step_probe_finish(&probe);
    }
}
END_TEST

START_TEST(what_the_step_sets_itself_is_kept)
{
    struct step_probe probe;
    char request[4096];

    serve(PL_STR(OK("text/plain", "done")), RAW_CLOSE);
    init(&probe, "text");
    step_probe_run(&probe);
    raw_server_request(server, 0, request, sizeof(request));
    ck_assert_msg(strstr(request, "PUT / HTTP/1.1\r\n") == request, "%s", request);
    ck_assert_ptr_nonnull(strstr(request, "\r\nContent-Type: a/b\r\n"));
    ck_assert_ptr_nonnull(strstr(request, "\r\nIdempotency-Key: mine\r\n"));
    ck_assert_ptr_null(strstr(request, "run_1"));
    ck_assert_ptr_nonnull(strstr(request, "\r\n\r\nq=a b&c=\xC3\xA9"));
    step_probe_finish(&probe);
}
END_TEST

/* ---- what comes out ---- */

static const struct {
    int status;
    const char *lines, *type;
    struct pl_str body;
    const char *output;
} outputs[] = {
    {200, "", "", PL_STR("a\"b"), "{\"status\":200,\"headers\":{},\"body\":\"a\\\"b\"}"},
    {204, "", "", PL_STR(""), "{\"status\":204,\"headers\":{},\"body\":\"\"}"},
    {200, "", "application/json", PL_STR(""), "{\"status\":200,\"headers\":{},\"body\":null}"},
    {200, "", "application/problem+json; charset=utf-8", PL_STR(" [1, 2] "),
     "{\"status\":200,\"headers\":{},\"body\":[1,2]}"},
    {200, "", "APPLICATION/JSON ;x=y", PL_STR("1e2"),
     "{\"status\":200,\"headers\":{},\"body\":1e2}"},
    {200, "", "application/jsonl", PL_STR("{}"), "{\"status\":200,\"headers\":{},\"body\":\"{}\"}"},
    {200, "", "application/json", PL_STR("{\"a\":1,\"a\":2}"),
     "{\"status\":200,\"headers\":{},\"body\":\"{\\\"a\\\":1,\\\"a\\\":2}\"}"},
    {200, "", "application/json", PL_STR("{} trailing"),
     "{\"status\":200,\"headers\":{},\"body\":\"{} trailing\"}"},
    {200, "", "text/plain", PL_STR("\xE9t\xC3\xA9"),
     "{\"status\":200,\"headers\":{},\"body\":\"\xEF\xBF\xBDt\xC3\xA9\"}"},
    {200, "A: 1\nSet-Cookie: x=1\nb:2\nSET-COOKIE: y=2\nno colon\n: empty\n", "", PL_STR("x"),
     "{\"status\":200,\"headers\":{\"a\":\"1\",\"set-cookie\":\"x=1, "
     "y=2\",\"b\":\"2\"},\"body\":\"x\"}"},
};

START_TEST(an_answer_is_an_object_of_status_headers_and_body)
{
    struct pl_buf out;

    pl_buf_init(&out, 65536);
    http_step_write_output(outputs[_i].status, pl_str(outputs[_i].lines), pl_str(outputs[_i].type),
                           outputs[_i].body, &out);
    ck_assert_str_eq(test_text(&out), outputs[_i].output);
    ck_assert_int_eq(json_check(pl_buf_view(&out), 64, NULL, NULL), PL_OK);
    pl_buf_finish(&out);
}
END_TEST

START_TEST(a_header_that_comes_very_often_costs_no_stack_or_time_to_speak_of)
{
    char *lines = test_repeat("x-a: 1\n", 9000);
    struct pl_buf out;
    struct pl_str headers, value;

    pl_buf_init(&out, 1 << 20);
    http_step_write_output(200, pl_str(lines), PL_STR(""), PL_STR(""), &out);
    ck_assert(json_get(pl_buf_view(&out), PL_STR("headers"), &headers));
    ck_assert(json_get(headers, PL_STR("x-a"), &value));
    ck_assert_uint_eq(value.len, 2 + 200 * 3 - 2);
    pl_buf_finish(&out);
    free(lines);
}
END_TEST

static const struct {
    const char *path, *status, *more, *result;
    bool no_retry;
    pl_ms retry_after;
} statuses[] = {
    {"get", "404 Not Found", "", "!unexpected_status", true, -1},
    {"get", "302 Found", "", "!unexpected_status", true, -1},
    {"get", "300 Choices", "Location: /x\r\n", "!unexpected_status", true, -1},
    {"get", "500 Oops", "", "!provider_error", false, -1},
    {"get", "503 Busy", "Retry-After: 3\r\n", "!overloaded", false, 3000},
    {"get", "429 Slow", "Retry-After: 2\r\n", "!rate_limited", false, 2000},
    {"get", "408 Late", "", "!timeout", false, -1},
    {"created", "200 OK", "", "!unexpected_status", true, -1},
    {"created", "418 Teapot", "",
     "{\"status\":418,\"headers\":{\"content-length\":\"4\"},\"body\":\"tea!\"}", false, -1},
};

START_TEST(a_status_that_was_not_expected_is_an_error_of_its_kind)
{
    struct step_probe probe;
    char answer[512];

    snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\n%scontent-length: 4\r\n\r\ntea!",
             statuses[_i].status, statuses[_i].more);
    serve(pl_str(answer), RAW_CLOSE);
    init(&probe, statuses[_i].path);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), statuses[_i].result);
    ck_assert_int_eq(probe.call.result.no_retry, statuses[_i].no_retry);
    ck_assert(!probe.call.result.free);
    ck_assert_int_eq(probe.call.result.retry_after, statuses[_i].retry_after);
    ck_assert_int_eq(probe.call.result.upstream_status, (int)strtol(statuses[_i].status, NULL, 10));
    if (statuses[_i].result[0] == '!')
        ck_assert_str_eq(test_str(pl_value_text(probe.call.result.upstream)), "\"tea!\"");
    step_probe_finish(&probe);
}
END_TEST

START_TEST(an_answer_larger_than_an_output_is_refused)
{
    struct step_probe probe;

    serve(PL_STR(OK("text/plain", "0123456789")), RAW_CLOSE);
    init(&probe, "get");
    probe.env.max_output = 9;
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!response_too_large");
    step_probe_finish(&probe);
    init(&probe, "get");
    probe.env.max_output = 60; /* the body fits, the output with its headers does not */
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!response_too_large");
    step_probe_finish(&probe);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(a_private_address_is_denied_without_a_policy_that_allows_it)
{
    struct step_probe probe;

    serve(PL_STR(OK("text/plain", "secret")), RAW_CLOSE);
    init(&probe, "get");
    probe.env.policy = NULL;
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!address_denied");
    ck_assert_uint_eq(raw_server_connections(server), 0);
    step_probe_finish(&probe);
}
END_TEST

static const struct {
    const char *input;
    enum pl_code code;
} refused[] = {
    {"{\"base\":\"ftp://x\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"file:///etc/passwd\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http:\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http:///x\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http://:80/x\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http://a b\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http://x/\\r\\nHost: y\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http://x\",\"header\":\"a\\r\\nb: c\"}", PL_ERR_INVALID_ARGUMENT},
    {"{\"base\":\"http://x\",\"header\":\"a\\nb\"}", PL_ERR_INVALID_ARGUMENT},
    {"[]", PL_ERR_EXPRESSION_ERROR},
};

START_TEST(what_may_not_be_sent_is_refused_before_anything_is_sent)
{
    struct step_probe probe;

    init(&probe, "get");
    probe.input = refused[_i].input;
    ck_assert_int_eq(step_probe_prepare(&probe), refused[_i].code);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_url_that_is_too_long_is_refused)
{
    char *text = test_repeat("x", 70000);
    struct step_probe probe;
    struct pl_buf input;

    pl_buf_init(&input, 1 << 20);
    pl_buf_printf(&input, "{\"base\":\"http://x\",\"q\":\"%s\"}", text);
    init(&probe, "get");
    probe.input = input.data;
    ck_assert_int_eq(step_probe_prepare(&probe), PL_ERR_TOO_LARGE);
    step_probe_finish(&probe);
    pl_buf_finish(&input);
    free(text);
}
END_TEST

/* ---- time ---- */

START_TEST(a_timeout_ends_the_attempt)
{
    struct step_probe probe;

    serve(PL_STR(""), RAW_STALL);
    init(&probe, "hang");
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!timeout");
    ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(an_abort_closes_the_connection)
{
    struct step_probe probe;

    serve(PL_STR(""), RAW_STALL);
    init(&probe, "get");
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    step_probe_start(&probe);
    ck_assert(raw_server_wait_requests(server, 1));
    step_probe_abort(&probe);
    step_probe_wait(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!cancelled");
    ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    step_probe_finish(&probe);
}
END_TEST

/* ---- intents ---- */

START_TEST(steps_that_act_on_the_world_wait_for_their_intent)
{
    static const struct {
        const char *path;
        bool waits;
    } steps[] = {{"get", false},    {"head", false}, {"post", true},
                 {"text", true},    {"fixed", true}, {"model", false},
                 {"careful", true}, {"sum", false},  {"wide", false}};

    for (size_t i = 0; i < PL_ARRAY_LEN(steps); i++)
        ck_assert_msg(step_waits_for_intent(workflow_find(workflow, pl_str(steps[i].path))) ==
                          steps[i].waits,
                      "%s", steps[i].path);
    ck_assert_ptr_null(step_kind_ops(STEP_PARALLEL));
    for (int kind = 0; kind < STEP__KINDS; kind++) {
        const struct step_kind_ops *ops = step_kind_ops((enum step_kind)kind);

        ck_assert(!ops || ops->kind == (enum step_kind)kind);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_step");
    TCase *tcase = tcase_create("http_step");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_get_has_its_query_and_headers);
    tcase_add_test(tcase, a_post_sends_json_and_the_same_key_on_every_attempt);
    tcase_add_test(tcase, what_the_step_sets_itself_is_kept);
    tcase_add_loop_test(tcase, an_answer_is_an_object_of_status_headers_and_body, 0,
                        (int)PL_ARRAY_LEN(outputs));
    tcase_add_test(tcase, a_header_that_comes_very_often_costs_no_stack_or_time_to_speak_of);
    tcase_add_loop_test(tcase, a_status_that_was_not_expected_is_an_error_of_its_kind, 0,
                        (int)PL_ARRAY_LEN(statuses));
    tcase_add_test(tcase, an_answer_larger_than_an_output_is_refused);
    tcase_add_test(tcase, a_private_address_is_denied_without_a_policy_that_allows_it);
    tcase_add_loop_test(tcase, what_may_not_be_sent_is_refused_before_anything_is_sent, 0,
                        (int)PL_ARRAY_LEN(refused));
    tcase_add_test(tcase, a_url_that_is_too_long_is_refused);
    tcase_add_test(tcase, a_timeout_ends_the_attempt);
    tcase_add_test(tcase, an_abort_closes_the_connection);
    tcase_add_test(tcase, steps_that_act_on_the_world_wait_for_their_intent);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
