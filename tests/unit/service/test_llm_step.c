/* test_llm_step.c - an llm step against a scripted server: what is sent, what comes back, faults,
 * lanes, cancelling; and what prepare refuses. Not the wire format's details (test_openai). Run by
 * ctest. */
#include "service/limits/limits.h"
#include "service/llm/provider.h"
#include "service/pool.h"
#include "tests/support/raw_server.h"
#include "tests/support/step_probe.h"
#include "tests/support/text.h"
#include "tests/support/workflow.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define ANSWER                                                                              \
    "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"fine\"}," \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}"
#define HEAD(status, type, more) \
    "HTTP/1.1 " status "\r\nContent-Type: " type "\r\nConnection: close\r\n" more "\r\n"
#define OK_JSON HEAD("200 OK", "application/json", "") ANSWER
#define EVENT(delta) \
    "data: {\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}]}\n\n"

static const char workflow_text[] = "name: t\n"
                                    "input: {type: object}\n"
                                    "steps:\n"
                                    "  a:\n"
                                    "    timeout: 10s\n"
                                    "    llm:\n"
                                    "      model: openai/m-1\n"
                                    "      system: 'be ${ .input.how }'\n"
                                    "      prompt: 'say ${ .input.what }'\n"
                                    "  chat:\n"
                                    "    llm:\n"
                                    "      model: openai/m-1\n"
                                    "      messages: ${ .input.messages }\n"
                                    "  both:\n"
                                    "    llm:\n"
                                    "      model: openai/m-1\n"
                                    "      messages: ${ .input.messages }\n"
                                    "      prompt: last\n"
                                    "  extra:\n"
                                    "    llm:\n"
                                    "      model: openai/m-1\n"
                                    "      prompt: x\n"
                                    "      extra: ${ .input.extra }\n"
                                    "  nobody:\n"
                                    "    llm: {model: openai/x, prompt: x}\n";

static struct pool *pool;
static struct providers *providers;
static struct workflow *workflow;
static struct raw_server *server;

static void set_up(void)
{
    struct pl_err err;

    ck_assert_int_eq(pool_create(1, pl_clock_real(), &pool, &err), PL_OK);
    providers = providers_create();
    workflow = test_workflow(workflow_text);
    server = NULL;
}

static void tear_down(void)
{
    pool_destroy(&pool);
    providers_destroy(&providers);
    workflow_unref(&workflow);
    raw_server_stop(&server);
}

static void add_provider(unsigned port)
{
    char url[64];
    const struct provider_options options = {
        .name = "openai", .base_url = url, .api_key = "sk-secret"};
    struct pl_err err;

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", port);
    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
}

static struct lane *lane(void)
{
    const struct provider *provider;
    struct pl_str model;
    struct pl_err err;

    ck_assert_int_eq(providers_find(providers, PL_STR("openai/m"), &provider, &model, &err), PL_OK);
    return provider->lane;
}

static void serve(const struct raw_script *scripts, size_t count)
{
    server = raw_server_start(scripts, count);
    add_provider(raw_server_port(server));
}

/* A server that gives every connection the same answer. */
static void serve_bytes(struct pl_str bytes, enum raw_action then)
{
    static struct raw_step steps[3];
    static struct raw_script one_script;

    steps[0] = (struct raw_step){.action = RAW_READ};
    steps[1] = (struct raw_step){.action = RAW_SEND, .bytes = bytes};
    steps[2] = (struct raw_step){.action = then};
    one_script = (struct raw_script){.steps = steps, .count = 3};
    serve(&one_script, 1);
}

static void init(struct step_probe *probe, const char *path, bool listen)
{
    step_probe_init(probe, pool_loop(pool, 0), providers, workflow, path, listen);
    probe->input = "{\"how\":\"kind\",\"what\":\"\\\"hi\\\"\"}";
}

START_TEST(a_call_sends_the_rendered_request_and_gives_the_text)
{
    struct step_probe probe;
    char request[4096];

    serve_bytes(PL_STR(OK_JSON), RAW_CLOSE);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "\"fine\"");
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    ck_assert_int_eq(probe.call.result.usage.input_tokens, 3);
    ck_assert_int_eq(probe.call.result.upstream_status, 200);
    raw_server_request(server, 0, request, sizeof(request));
    ck_assert_msg(strstr(request, "POST /v1/chat/completions HTTP/1.1\r\n") == request, "%s",
                  request);
    ck_assert_ptr_nonnull(strstr(request, "authorization: Bearer sk-secret\r\n"));
    ck_assert_ptr_nonnull(strstr(request, "content-type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(
        request, "\r\n\r\n{\"model\":\"m-1\",\"messages\":[{\"role\":\"system\",\"content\":\"be "
                 "kind\"},{\"role\":\"user\",\"content\":\"say \\\"hi\\\"\"}]}"));
    ck_assert(lane_has_answered(lane()));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_stream_gives_its_deltas_to_whoever_listens)
{
    struct step_probe probe;
    char request[4096];

    serve_bytes(PL_STR(HEAD("200 OK", "text/event-stream", "") EVENT("{\"content\":\"one \"}")
                           EVENT("{\"content\":\"two\"}") "data: [DONE]\n\n"),
                RAW_CLOSE);
    init(&probe, "a", true);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "\"one two\"");
    ck_assert_str_eq(test_text(&probe.deltas), "one ^two^");
    raw_server_request(server, 0, request, sizeof(request));
    ck_assert_ptr_nonnull(strstr(request, "\"stream\":true"));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_stream_that_said_done_is_whole_though_the_server_holds_on)
{
    struct step_probe probe;

    serve_bytes(PL_STR(HEAD("200 OK", "text/event-stream", "")
                           EVENT("{\"content\":\"one\"}") "data: [DONE]\n\n"),
                RAW_STALL);
    init(&probe, "a", true);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "\"one\"");
    ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    step_probe_finish(&probe);
}
END_TEST

/* ---- faults ---- */

#define CHUNKED \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *bytes;
    enum raw_action then;
    const char *result;
    bool no_retry;
} faults[] = {
    {"", RAW_CLOSE, "!connection_lost", false},
    {"", RAW_RESET, "!connection_lost", false},
    {"\x01\x02 nonsense\r\n\r\n", RAW_CLOSE, "!bad_response", false},
    {"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"choices\":[", RAW_CLOSE,
     "!truncated_response", false},
    {CHUNKED "5d\r\n" EVENT("{\"content\":\"one \"}"), RAW_CLOSE, "!truncated_response", false},
    {CHUNKED "5d\r\n" EVENT("{\"content\":\"one \"}"), RAW_RESET, "!truncated_response", false},
    {HEAD("200 OK", "text/event-stream", "") EVENT("{\"content\":\"one\"}"), RAW_CLOSE,
     "!truncated_response", false},
    {HEAD("200 OK", "text/html", "") "<h1>It works!</h1>", RAW_CLOSE, "!bad_response", false},
    {HEAD("200 OK", "application/json", "") "{\"error\":{\"message\":\"x\"}}", RAW_CLOSE,
     "!stream_error", false},
    {HEAD("500 Oops", "text/plain", ""), RAW_CLOSE, "!provider_error", false},
    {HEAD("500 Oops", "text/plain", "x-should-retry: false\r\n"), RAW_CLOSE, "!provider_error",
     true},
    {HEAD("400 Bad", "text/plain", "x-should-retry: true\r\n"), RAW_CLOSE, "!provider_error",
     false},
    {HEAD("503 Busy", "text/plain", ""), RAW_CLOSE, "!overloaded", false},
    {HEAD("401 No", "text/plain", ""), RAW_CLOSE, "!auth_failed", false},
    {HEAD("404 No", "text/plain", ""), RAW_CLOSE, "!model_not_found", false},
    {HEAD("402 Pay", "text/plain", ""), RAW_CLOSE, "!quota_exceeded", true},
    {HEAD("302 Away", "text/plain", "Location: http://127.0.0.1:1/\r\n"), RAW_CLOSE,
     "!bad_response", true},
};

START_TEST(each_fault_has_its_code)
{
    struct step_probe probe;

    serve_bytes(pl_str(faults[_i].bytes), faults[_i].then);
    init(&probe, "a", true);
    step_probe_run(&probe);
    ck_assert_msg(strcmp(step_probe_result(&probe), faults[_i].result) == 0, "%s: %s, not %s",
                  faults[_i].bytes, step_probe_result(&probe), faults[_i].result);
    ck_assert_int_eq(probe.call.result.no_retry, faults[_i].no_retry);
    ck_assert(!probe.call.result.free);
    ck_assert_msg(strncmp(probe.call.result.err.message, "openai: ", 8) == 0, "%s",
                  probe.call.result.err.message);
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_key_that_a_server_repeats_is_hidden)
{
    struct step_probe probe;

    serve_bytes(PL_STR(HEAD("401 No", "application/json",
                            "") "{\"error\":{\"message\":\"bad key sk-secret, sk-secret\"}}"),
                RAW_CLOSE);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!auth_failed");
    ck_assert_ptr_null(strstr(probe.call.result.err.message, "sk-secret"));
    ck_assert_str_eq(test_str(pl_value_text(probe.call.result.upstream)),
                     "\"bad key *********, *********\"");
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_key_where_a_message_is_cut_is_hidden)
{
    char filler[113] = {0}, bytes[512];
    struct step_probe probe;

    memset(filler, 'x', sizeof filler - 1); /* 120 bytes of an answer are shown */
    snprintf(bytes, sizeof bytes, HEAD("200 OK", "text/plain", "") "%ssk-secret", filler);
    serve_bytes(pl_str(bytes), RAW_CLOSE);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!bad_response");
    ck_assert_msg(strstr(probe.call.result.err.message, "xxx********") != NULL, "%s",
                  probe.call.result.err.message);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_key_among_the_facts_of_a_call_is_hidden)
{
    struct step_probe probe;
    struct pl_value *facts;
    struct raw_step steps[] = {
        {.action = RAW_READ},
        {.action = RAW_SEND,
         .bytes = PL_STR(HEAD("200 OK", "application/json", "") "{\"responseId\":\"sk-secret\","
                                                                "\"candidates\":[{\"content\":{"
                                                                "\"parts\":[{\"text\":\"a\"}]}}]"
                                                                "}")},
        {.action = RAW_CLOSE}};
    const struct raw_script script = {.steps = steps, .count = PL_ARRAY_LEN(steps)};
    struct provider_options options = {.name = "openai", .kind = "gemini", .api_key = "sk-secret"};
    struct pl_err err;
    char url[64];

    server = raw_server_start(&script, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", raw_server_port(server));
    options.base_url = url;
    ck_assert_int_eq(providers_add(providers, &options, &err), PL_OK);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_int_eq(probe.call.result.err.code, PL_OK);
    facts = step_result_take_facts(&probe.call.result);
    ck_assert_ptr_nonnull(strstr(test_str(pl_value_text(facts)), "\"response_id\":\"*********\""));
    pl_value_unref(&facts);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_large_error_body_is_not_read_to_its_end)
{
    static const struct raw_step steps[] = {
        {.action = RAW_READ},
        {.action = RAW_SEND, .bytes = PL_STR(HEAD("500 Oops", "text/plain", ""))},
        {.action = RAW_SEND, .bytes = PL_STR("0123456789abcdef"), .times = 1 << 20},
        {.action = RAW_CLOSE}};
    const struct raw_script script = {.steps = steps, .count = PL_ARRAY_LEN(steps)};
    struct step_probe probe;

    serve(&script, 1);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!provider_error");
    ck_assert_uint_eq(pl_value_text(probe.call.result.upstream).len, 2050);
    step_probe_finish(&probe);
    raw_server_stop(&server); /* it reads the script, which ends here */
}
END_TEST

/* ---- lanes ---- */

static bool is_held(struct step_probe *probe, pl_ms *ret_wait, const char **ret_reason)
{
    const pl_ms now = pl_clock_now(pl_clock_real());
    struct lane_ask ask = {.run = probe};
    struct lane_ticket ticket;
    struct lane_stats stats;

    ck_assert_ptr_eq(probe->call.ops->lane(&probe->call, &ask), lane());
    lane_get_stats(lane(), now, &stats);
    if (lane_try(lane(), &ask, now, &ticket, ret_reason) == LANE_GO) {
        lane_done(&ticket, now, NULL);
        return false;
    }
    *ret_wait = stats.paused_until - now;
    return true;
}

START_TEST(a_429_pauses_the_lane_for_as_long_as_it_says)
{
    struct step_probe probe;
    const char *reason = "";
    pl_ms wait = 0;

    serve_bytes(PL_STR(HEAD("429 Slow", "text/plain", "Retry-After: 7\r\n")), RAW_CLOSE);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!rate_limited");
    ck_assert(probe.call.result.free);
    ck_assert_int_eq(probe.call.result.retry_after, 7000);
    ck_assert(is_held(&probe, &wait, &reason));
    ck_assert_str_eq(reason, "rate_limited");
    ck_assert_int_le(wait, 7000);
    ck_assert_int_gt(wait, 3000);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_429_without_a_hint_pauses_the_lane_a_little)
{
    struct step_probe probe;
    const char *reason = "";
    pl_ms wait = 0;

    serve_bytes(PL_STR(HEAD("429 Slow", "text/plain", "")), RAW_CLOSE);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert(probe.call.result.free);
    ck_assert_int_eq(probe.call.result.retry_after, -1);
    if (is_held(&probe, &wait, &reason))
        ck_assert_int_le(wait, 250);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_used_up_quota_pauses_nothing)
{
    struct step_probe probe;
    const char *reason;
    pl_ms wait;

    serve_bytes(PL_STR(HEAD("429 Pay", "application/json",
                            "Retry-After: 7\r\n") "{\"error\":{\"message\":\"x\",\"code\":"
                                                  "\"insufficient_quota\"}}"),
                RAW_CLOSE);
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!quota_exceeded");
    ck_assert(!probe.call.result.free);
    ck_assert(!is_held(&probe, &wait, &reason));
    step_probe_finish(&probe);
}
END_TEST

/* A port that nothing listens on. */
static unsigned closed_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)(void *)&address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)(void *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

START_TEST(a_server_never_reached_fails_by_the_ordinary_rules)
{
    struct step_probe probe;
    const char *reason;
    pl_ms wait;

    add_provider(closed_port());
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!unreachable");
    ck_assert(!probe.call.result.free);
    ck_assert_int_eq(probe.call.result.usage.calls, 0);
    ck_assert(!is_held(&probe, &wait, &reason));
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_server_that_answered_before_is_waited_for)
{
    struct step_probe probe;

    add_provider(closed_port());
    lane_tell(lane(), NULL, 1, &(struct lane_news){.what = LANE_ANSWERED});
    init(&probe, "a", false);
    step_probe_run(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!unreachable");
    ck_assert(probe.call.result.free);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(the_head_of_an_answer_says_that_a_server_is_back)
{
    const struct raw_script script =
        RAW_SCRIPT({.action = RAW_READ},
                   {.action = RAW_SEND,
                    .bytes = PL_STR("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")},
                   {.action = RAW_STALL});
    const struct lane_news back = {.what = LANE_ANSWERED}, gone = {.what = LANE_UNREACHABLE};
    const struct lane_ask ask = {.model = PL_STR("m")};
    const struct timespec pause = {.tv_nsec = 2000000};
    struct step_probe probe;
    struct lane_ticket other;
    const char *reason;

    serve(&script, 1);
    lane_tell(lane(), NULL, 1, &back);
    lane_tell(lane(), NULL, 1, &gone); /* it is open again since long */
    init(&probe, "a", false);
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    ck_assert_int_eq(lane_try(lane(), &ask, 1000, &probe.call.ticket, &reason), LANE_GO);
    ck_assert(probe.call.ticket.probe);
    ck_assert_int_eq(lane_try(lane(), &ask, 1000, &other, &reason), LANE_WAIT);
    step_probe_start(&probe);
    while (lane_try(lane(), &ask, 1000, &other, &reason) != LANE_GO)
        nanosleep(&pause, NULL);
    lane_done(&other, 1000, NULL);
    step_probe_abort(&probe);
    step_probe_wait(&probe);
    lane_done(&probe.call.ticket, 1000, NULL);
    step_probe_finish(&probe);
}
END_TEST

/* ---- cancelling ---- */

START_TEST(an_abort_closes_the_connection)
{
    const struct raw_script script = RAW_SCRIPT({.action = RAW_READ}, {.action = RAW_STALL});
    struct step_probe probe;

    serve(&script, 1);
    init(&probe, "a", false);
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    step_probe_start(&probe);
    ck_assert(raw_server_wait_requests(server, 1));
    step_probe_abort(&probe);
    step_probe_wait(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!cancelled");
    ck_assert_int_eq(probe.call.result.usage.calls, 1);
    ck_assert_int_ge(raw_server_peer_closed(server, 0), 0);
    step_probe_finish(&probe);
    raw_server_stop(&server); /* it reads the script, which ends here */
}
END_TEST

START_TEST(an_aborted_stream_reports_the_usage_it_saw)
{
    const struct raw_script script =
        RAW_SCRIPT({.action = RAW_READ},
                   {.action = RAW_SEND,
                    .bytes = PL_STR(HEAD("200 OK", "text/event-stream", "")
                                        EVENT("{\"content\":\"12345678\"}"))},
                   {.action = RAW_STALL});
    struct step_probe probe;

    serve(&script, 1);
    init(&probe, "a", true);
    ck_assert_int_eq(step_probe_prepare(&probe), PL_OK);
    step_probe_start(&probe);
    ck_assert(raw_server_wait_requests(server, 1));
    /* the abort may come before the event: both are right, and nothing waits for either */
    step_probe_abort(&probe);
    step_probe_wait(&probe);
    ck_assert_str_eq(step_probe_result(&probe), "!cancelled");
    if (probe.deltas.len)
        ck_assert_int_eq(probe.call.result.usage.output_tokens, 2);
    step_probe_finish(&probe);
    raw_server_stop(&server); /* it reads the script, which ends here */
}
END_TEST

/* ---- what prepare refuses ---- */

static const struct {
    const char *path, *input;
    enum pl_code code;
    const char *words;
} refused[] = {
    {"chat", "{\"messages\":\"x\"}", PL_ERR_INVALID_ARGUMENT, "must give a list"},
    {"chat", "{\"messages\":null}", PL_ERR_INVALID_ARGUMENT, "must give a list"},
    {"chat", "{\"messages\":[]}", PL_ERR_INVALID_ARGUMENT, "empty list"},
    {"chat", "{\"messages\":[1]}", PL_ERR_INVALID_ARGUMENT, "element 0 is no object"},
    {"chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"boss\"}]}",
     PL_ERR_INVALID_ARGUMENT, "element 1 has no role"},
    {"chat", "{\"messages\":[{\"role\":\"user\"}]}", PL_ERR_INVALID_ARGUMENT,
     "element 0 has no content"},
    {"chat", "{\"messages\":[{\"role\":\"user\",\"content\":5}]}", PL_ERR_INVALID_ARGUMENT,
     "neither a text nor a list"},
    {"chat", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"a\"}]}]}",
     PL_ERR_INVALID_ARGUMENT, "part without a type"},
    {"extra", "{\"extra\":[1]}", PL_ERR_INVALID_ARGUMENT, "must give an object"},
    {"extra", "{\"extra\":{\"model\":\"y\"}}", PL_ERR_INVALID_ARGUMENT, "may not set \"model\""},
    {"a", "[]", PL_ERR_EXPRESSION_ERROR, ".input"},
};

START_TEST(prepare_refuses_what_cannot_be_sent)
{
    struct step_probe probe;

    add_provider(1);
    init(&probe, refused[_i].path, false);
    probe.input = refused[_i].input;
    ck_assert_int_eq(step_probe_prepare(&probe), refused[_i].code);
    ck_assert_msg(strstr(probe.call.result.err.message, refused[_i].words) != NULL, "%s",
                  probe.call.result.err.message);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(a_provider_that_is_not_configured_is_named)
{
    struct step_probe probe;

    init(&probe, "nobody", false);
    ck_assert_int_eq(step_probe_prepare(&probe), PL_ERR_PROVIDER_UNKNOWN);
    step_probe_finish(&probe);
}
END_TEST

START_TEST(messages_and_prompt_make_one_list)
{
    static const char *const inputs[] = {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{"
                                         "\"role\":\"assistant\",\"content\":null}]}",
                                         "{\"messages\":[ ]}"};
    static const char *const bodies[] = {"\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{"
                                         "\"role\":\"assistant\",\"content\":null},"
                                         "{\"role\":\"user\",\"content\":\"last\"}]",
                                         "\"messages\":[{\"role\":\"user\",\"content\":\"last\"}]"};

    serve_bytes(PL_STR(OK_JSON), RAW_CLOSE);
    for (unsigned i = 0; i < PL_ARRAY_LEN(inputs); i++) {
        struct step_probe probe;
        char request[4096];

        init(&probe, "both", false);
        probe.input = inputs[i];
        step_probe_run(&probe);
        raw_server_request(server, i, request, sizeof(request));
        ck_assert_msg(strstr(request, bodies[i]) != NULL, "%s", request);
        step_probe_finish(&probe);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("llm_step");
    TCase *tcase = tcase_create("llm_step");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_call_sends_the_rendered_request_and_gives_the_text);
    tcase_add_test(tcase, a_stream_gives_its_deltas_to_whoever_listens);
    tcase_add_test(tcase, a_stream_that_said_done_is_whole_though_the_server_holds_on);
    tcase_add_loop_test(tcase, each_fault_has_its_code, 0, (int)PL_ARRAY_LEN(faults));
    tcase_add_test(tcase, a_key_that_a_server_repeats_is_hidden);
    tcase_add_test(tcase, a_key_where_a_message_is_cut_is_hidden);
    tcase_add_test(tcase, a_key_among_the_facts_of_a_call_is_hidden);
    tcase_add_test(tcase, a_large_error_body_is_not_read_to_its_end);
    tcase_add_test(tcase, a_429_pauses_the_lane_for_as_long_as_it_says);
    tcase_add_test(tcase, a_429_without_a_hint_pauses_the_lane_a_little);
    tcase_add_test(tcase, a_used_up_quota_pauses_nothing);
    tcase_add_test(tcase, a_server_never_reached_fails_by_the_ordinary_rules);
    tcase_add_test(tcase, a_server_that_answered_before_is_waited_for);
    tcase_add_test(tcase, the_head_of_an_answer_says_that_a_server_is_back);
    tcase_add_test(tcase, an_abort_closes_the_connection);
    tcase_add_test(tcase, an_aborted_stream_reports_the_usage_it_saw);
    tcase_add_loop_test(tcase, prepare_refuses_what_cannot_be_sent, 0, (int)PL_ARRAY_LEN(refused));
    tcase_add_test(tcase, a_provider_that_is_not_configured_is_named);
    tcase_add_test(tcase, messages_and_prompt_make_one_list);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
