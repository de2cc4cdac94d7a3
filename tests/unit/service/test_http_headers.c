/* test_http_headers.c - header text: what may be sent, finding what came, retry hints, hosts in
 * messages. Run by ctest. */
#include "base/limits.h"
#include "service/net/http_headers.h"
#include "service/net/http_outcome.h"

#include <check.h>
#include <stdlib.h>

/* 2026-11-20T12:00:00Z */
static const pl_ms NOW = 1795176000000;

START_TEST(only_tokens_and_clean_values_may_be_sent)
{
    static const struct {
        struct pl_str name, value;
        bool ok;
    } table[] = {
        {PL_STR("X-Key"), PL_STR("abc"), true},
        {PL_STR("x_key.1~"), PL_STR("a b\tc; d=\"e\""), true},
        {PL_STR("Accept-Language"), PL_STR("d\xc3\xa9"), true},
        {PL_STR("X-Empty"), {0}, true},
        {PL_STR("Authorization"), PL_STR("Bearer x"), true},
        {PL_STR("X-Host"), PL_STR("a"), true},
        {{0}, PL_STR("a"), false},
        {PL_STR("X Key"), PL_STR("a"), false},
        {PL_STR("X-Key:"), PL_STR("a"), false},
        {PL_STR("X-Key\r"), PL_STR("a"), false},
        {PL_STR("X-\xc3\xa9"), PL_STR("a"), false},
        {PL_STR("X-K\0y"), PL_STR("a"), false},
        {PL_STR("X-Key"), PL_STR("a\r\nX-B: c"), false},
        {PL_STR("X-Key"), PL_STR("a\nb"), false},
        {PL_STR("X-Key"), PL_STR("a\rb"), false},
        {PL_STR("X-Key"), PL_STR("a\0b"), false},
        {PL_STR("X-Key"), PL_STR("a\x7f"), false},
        {PL_STR("X-Key"), PL_STR("\x1b[1m"), false},
        {PL_STR("Host"), PL_STR("evil"), false},
        {PL_STR("hOsT"), PL_STR("evil"), false},
        {PL_STR("Content-Length"), PL_STR("1"), false},
        {PL_STR("Transfer-Encoding"), PL_STR("chunked"), false},
        {PL_STR("Connection"), PL_STR("close"), false},
        {PL_STR("Keep-Alive"), PL_STR("1"), false},
        {PL_STR("TE"), PL_STR("trailers"), false},
        {PL_STR("Trailer"), PL_STR("a"), false},
        {PL_STR("Upgrade"), PL_STR("h2c"), false},
        {PL_STR("Expect"), PL_STR("100-continue"), false},
        {PL_STR("Proxy-Connection"), PL_STR("a"), false},
        {PL_STR("Proxy-Authorization"), PL_STR("a"), false},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(table); i++)
        ck_assert_msg(http_header_ok(table[i].name, table[i].value) == table[i].ok, "row %zu", i);
}
END_TEST

START_TEST(a_request_with_a_broken_header_has_no_size)
{
    struct http_header header = {PL_STR("X-A"), PL_STR("b\r\nX-B: c")};
    struct http_request request = {.headers = &header, .n_headers = 1};
    struct pl_err err = {0};

    ck_assert_uint_eq(http_headers_size(&request, &err), 0);
    ck_assert_int_eq(err.code, PL_ERR_INVALID_ARGUMENT);
    header.value = PL_STR("b");
    ck_assert_uint_gt(http_headers_size(&request, &err), 0);
    request.n_headers = 0;
    ck_assert_uint_gt(http_headers_size(&request, &err), 0);
}
END_TEST

START_TEST(headers_are_refused_one_byte_over_the_limits_with_the_name_and_without_the_value)
{
    enum { NAME = 3, MANY = PL_LIMIT_SENT_HEADERS_BYTES / PL_LIMIT_SENT_HEADER_BYTES };
    char *value = malloc(PL_LIMIT_SENT_HEADER_BYTES);
    struct http_header headers[MANY + 1];
    struct http_request request = {.headers = headers, .n_headers = MANY};
    struct pl_err err = {0};

    memset(value, 's', PL_LIMIT_SENT_HEADER_BYTES);
    for (size_t i = 0; i < MANY; i++)
        headers[i] =
            (struct http_header){PL_STR("X-A"), pl_str_n(value, PL_LIMIT_SENT_HEADER_BYTES - NAME)};
    headers[MANY] = (struct http_header){PL_STR("X"), {0}};
    ck_assert_uint_gt(http_headers_size(&request, &err), PL_LIMIT_SENT_HEADERS_BYTES);
    request.n_headers++;
    ck_assert_uint_eq(http_headers_size(&request, &err), 0);
    ck_assert_int_eq(err.code, PL_ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message,
                     "the headers of the request are larger than 262144 bytes together");
    headers[1].value.len++;
    ck_assert_uint_eq(http_headers_size(&request, &err), 0);
    ck_assert_int_eq(err.code, PL_ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "the header X-A is larger than 65536 bytes");
    free(value);
}
END_TEST

START_TEST(lines_are_written_into_exactly_the_memory_asked_for)
{
    const struct http_header headers[] = {{PL_STR("X-A"), PL_STR("b")}, {PL_STR("X-E"), {0}}};
    struct http_request request = {.headers = headers, .n_headers = 2};
    struct pl_err err;
    void *memory = malloc(http_headers_size(&request, &err)); /* the sanitizer watches its end */
    struct curl_slist *list = http_headers_write(&request, memory);

    ck_assert_str_eq(list->data, "X-A: b");
    ck_assert_str_eq(list->next->data, "X-E;");
    ck_assert_str_eq(list->next->next->data, "Expect:");
    ck_assert_str_eq(list->next->next->next->data, "Content-Type:");
    ck_assert_ptr_null(list->next->next->next->next);
    free(memory);
}
END_TEST

START_TEST(a_header_is_found_by_its_name_in_any_case)
{
    const struct pl_str lines =
        PL_STR("Content-Type:  text/plain; a=b \nX-Long: 1\nX: 2\nEmpty:\nX: 3\nend");

    ck_assert(pl_str_is(http_headers_find(lines, "content-type"), "text/plain; a=b"));
    ck_assert(pl_str_is(http_headers_find(lines, "X"), "2"));
    ck_assert(pl_str_is(http_headers_find(lines, "x-long"), "1"));
    ck_assert_uint_eq(http_headers_find(lines, "empty").len, 0);
    ck_assert_uint_eq(http_headers_find(lines, "absent").len, 0);
    ck_assert_uint_eq(http_headers_find(lines, "end").len, 0);
    ck_assert_uint_eq(http_headers_find((struct pl_str){0}, "x").len, 0);
}
END_TEST

START_TEST(retry_hints_are_read_in_every_form_and_nothing_else_is)
{
    static const struct {
        const char *ms, *after;
        pl_ms wait;
    } table[] = {
        {NULL, NULL, -1},
        {"1500", NULL, 1500},
        {"1500", "7", 1500},
        {"0", "7", 0},
        {"12.3", NULL, 13},
        {"soon", "7", 7000},
        {NULL, "0", 0},
        {NULL, "20", 20000},
        {NULL, " 20 ", 20000},
        {NULL, "1.5", 1500},
        {NULL, "0.0001", 1},
        {NULL, "-1", -1},
        {NULL, "+1", -1},
        {NULL, "", -1},
        {NULL, "1e3", -1},
        {NULL, "20s", -1},
        {NULL, "1,5", -1},
        {NULL, ".5", -1},
        {NULL, "99999999999999999999999", -1},
        {NULL, "316224001", -1},
        {NULL, "soon", -1},
        {NULL, "Fri, 20 Nov 2026 12:00:30 GMT", 30000},
        {NULL, "Friday, 20-Nov-26 12:00:30 GMT", 30000},
        {NULL, "Fri Nov 20 12:00:30 2026", 30000},
        {NULL, "Fri, 20 Nov 2026 11:59:00 GMT", 0},
        {NULL, "Fri, 20 Nov 2026 25:00:00 GMT", -1},
        {NULL, "20 Nov", -1},
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(table); i++) {
        pl_ms wait = http_headers_retry_after(pl_str(table[i].ms), pl_str(table[i].after), NOW);

        ck_assert_msg(wait == table[i].wait, "row %zu: %lld", i, (long long)wait);
    }
}
END_TEST

START_TEST(a_host_in_a_message_is_without_user_path_and_query)
{
    static const struct {
        const char *url, *host;
    } table[] = {
        {"http://127.0.0.1:80/a?b=c", "127.0.0.1:80"},
        {"https://api.example.com", "api.example.com"},
        {"https://user:pa@ss@api.example.com/x", "api.example.com"},
        {"https://[fd00::1]:8080?x", "[fd00::1]:8080"},
        {"http://a\x1b[1mb/", "a?[1mb"},
        {"http://h#s3cret", "h"},
        {"", ""},
        {"http://", ""},
    };
    char out[HTTP_HOST_TEXT], url[1000];

    for (size_t i = 0; i < PL_ARRAY_LEN(table); i++)
        ck_assert_str_eq(http_outcome_host(pl_str(table[i].url), out), table[i].host);
    memset(url, 'h', sizeof url);
    memcpy(url, "http://", 7);
    ck_assert_uint_eq(strlen(http_outcome_host(pl_str_n(url, sizeof url), out)),
                      HTTP_HOST_TEXT - 1);
}
END_TEST

START_TEST(every_code_of_curl_becomes_an_error_and_only_a_whole_answer_is_none)
{
    for (int code = 0; code < CURL_LAST; code++) {
        for (unsigned phase = 0; phase < 3; phase++) {
            struct http_ending ending = {.result = (CURLcode)code,
                                         .words = "",
                                         .url = PL_STR("http://h/s3cret"),
                                         .sent = phase > 0,
                                         .head = phase > 1};
            struct pl_err err = {.code = PL_ERR__COUNT};

            http_outcome_of(&ending, &err);
            ck_assert_msg((err.code == PL_OK) == (code == CURLE_OK && phase == 2), "%d in %u", code,
                          phase);
            ck_assert_int_lt(err.code, PL_ERR__COUNT);
            ck_assert_ptr_null(strstr(err.message, "s3cret"));
        }
    }
}
END_TEST

START_TEST(a_broken_handshake_is_a_lost_connection_and_a_bad_certificate_is_tls)
{
    struct http_ending ending = {.result = CURLE_SSL_CONNECT_ERROR, .url = PL_STR("https://h/")};
    struct pl_err err;

    ending.words = "OpenSSL SSL_connect: Connection reset by peer in connection to h:443 ";
    http_outcome_of(&ending, &err);
    ck_assert_int_eq(err.code, PL_ERR_CONNECTION_LOST);
    ending.words = "error:0A00010B:SSL routines::wrong version number";
    http_outcome_of(&ending, &err);
    ck_assert_int_eq(err.code, PL_ERR_TLS);
    ending.result = CURLE_PEER_FAILED_VERIFICATION;
    ending.words = "SSL certificate problem: self-signed certificate";
    http_outcome_of(&ending, &err);
    ck_assert_int_eq(err.code, PL_ERR_TLS);
    ck_assert_ptr_nonnull(strstr(err.message, "self-signed"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("service/http_headers");
    TCase *tcase = tcase_create("http_headers");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, only_tokens_and_clean_values_may_be_sent);
    tcase_add_test(tcase, a_request_with_a_broken_header_has_no_size);
    tcase_add_test(
        tcase, headers_are_refused_one_byte_over_the_limits_with_the_name_and_without_the_value);
    tcase_add_test(tcase, lines_are_written_into_exactly_the_memory_asked_for);
    tcase_add_test(tcase, a_header_is_found_by_its_name_in_any_case);
    tcase_add_test(tcase, retry_hints_are_read_in_every_form_and_nothing_else_is);
    tcase_add_test(tcase, a_host_in_a_message_is_without_user_path_and_query);
    tcase_add_test(tcase, every_code_of_curl_becomes_an_error_and_only_a_whole_answer_is_none);
    tcase_add_test(tcase, a_broken_handshake_is_a_lost_connection_and_a_bad_certificate_is_tls);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
