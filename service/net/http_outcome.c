/* http_outcome.c - the table from curl's result codes to Plait's errors, with a sentence for
 * people: hosts yes, paths, queries and headers no, since they may hold secrets. Not retries.
 * Called by http_call.c. */
#include "service/net/http_outcome.h"

#include <string.h>

const char *http_outcome_host(struct pl_str url, char out[HTTP_HOST_TEXT])
{
    size_t at = 0, len = 0;

    for (size_t i = 0; i + 2 < url.len && at == 0; i++) {
        if (memcmp(url.ptr + i, "://", 3) == 0)
            at = i + 3;
    }
    for (size_t i = at; i < url.len && !strchr("/?#", url.ptr[i]); i++) {
        char c = url.ptr[i];

        if (c == '@') { /* what stood before it was a user, and perhaps a password */
            len = 0;
            continue;
        }
        if (len < HTTP_HOST_TEXT - 1)
            out[len++] = c > 0x20 && c < 0x7f ? c : '?';
    }
    out[len] = '\0';
    return out;
}

static const char *reason(int os_error)
{
    const char *text = os_error ? strerrordesc_np(os_error) : NULL;

    return text ? text : "no connection";
}

/* A handshake ends with the same code when TLS is refused and when the connection breaks under it;
 * these words of curl's and OpenSSL's are the broken ones. */
static bool broke_in_handshake(const char *words)
{
    static const char *const broken_words[] = {"SSL_connect: ", "Recv failure", "Send failure",
                                               "unexpected eof"};

    for (size_t i = 0; i < PL_ARRAY_LEN(broken_words); i++) {
        if (strstr(words, broken_words[i]))
            return true;
    }
    return false;
}

static void before_request(const struct http_ending *ending, const char *host, struct pl_err *err)
{
    if (ending->result == CURLE_COULDNT_RESOLVE_HOST)
        pl_err_set(err, PL_ERR_UNREACHABLE, "the name of %s cannot be resolved", host);
    else
        pl_err_set(err, PL_ERR_UNREACHABLE, "cannot connect to %s: %s", host,
                   reason(ending->os_error));
}

/* The connection ended. */
static void broken(const struct http_ending *ending, const char *host, struct pl_err *err)
{
    if (!ending->sent)
        before_request(ending, host, err);
    else if (ending->head)
        pl_err_set(err, PL_ERR_TRUNCATED, "%s broke off in the middle of its answer", host);
    else
        pl_err_set(err, PL_ERR_CONNECTION_LOST, "%s broke the connection before it answered", host);
}

static void not_http(const char *host, const char *words, struct pl_err *err)
{
    pl_err_set(err, PL_ERR_BAD_RESPONSE, "what %s answered is not valid HTTP%s%s", host,
               words[0] ? ": " : "", words);
}

static void tls(const struct http_ending *ending, const char *host, struct pl_err *err)
{
    if (ending->result == CURLE_SSL_CONNECT_ERROR && broke_in_handshake(ending->words))
        pl_err_set(err, PL_ERR_CONNECTION_LOST, "%s broke the connection in the TLS handshake",
                   host);
    else
        pl_err_set(err, PL_ERR_TLS, "TLS with %s failed: %s", host,
                   ending->words[0] ? ending->words : curl_easy_strerror(ending->result));
}

static void bad_url(const struct http_ending *ending, struct pl_err *err)
{
    if (ending->result == CURLE_LOGIN_DENIED)
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                   "the URL has a user name in it: send credentials in a header");
    else if (ending->result == CURLE_UNSUPPORTED_PROTOCOL)
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "only http and https URLs can be called");
    else
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the URL is not valid: %s",
                   curl_easy_strerror(ending->result));
}

static void headers_too_large(const char *host, struct pl_err *err)
{
    pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the headers of %s are too large or too many", host);
}

/* Receiving failed: curl says so of a broken connection, of chunks that are none and of headers
 * over 300 KB. */
static void receive_failed(const struct http_ending *ending, const char *host, struct pl_err *err)
{
    if (strstr(ending->words, "chunk")) /* from 8.7 on it also says what of the chunk is wrong */
        not_http(host, ending->words, err);
    else if (strstr(ending->words, "response headers"))
        headers_too_large(host, err);
    else
        broken(ending, host, err);
}

#if LIBCURL_VERSION_NUM >= 0x080600
/* One of curl's own buffers is full, or its count of header lines and trailers, 5000. Older ones
 * say that memory is out, or do not count. */
static void too_large(const struct http_ending *ending, const char *host, struct pl_err *err)
{
    if (ending->sent && !strstr(ending->words, "request too large"))
        headers_too_large(host, err);
    else
        pl_err_set(err, PL_ERR_INVALID_ARGUMENT, "the request to %s is too large", host);
}
#endif

void http_outcome_of(const struct http_ending *ending, struct pl_err *err)
{
    char text[HTTP_HOST_TEXT];
    const char *host = http_outcome_host(ending->url, text);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum" /* curl's codes for other protocols */
    switch (ending->result) {
    case CURLE_OK:
        if (ending->head)
            *err = (struct pl_err){.code = PL_OK};
        else /* closed in good order in the middle of the headers, which curl takes for an end */
            broken(ending, host, err);
        break;
    case CURLE_URL_MALFORMAT:
    case CURLE_LOGIN_DENIED:
        bad_url(ending, err);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* the URL's, or what a server without a status line speaks */
        if (ending->sent)
            not_http(host, "", err);
        else
            bad_url(ending, err);
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        before_request(ending, host, err);
        break;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
        broken(ending, host, err);
        break;
    case CURLE_RECV_ERROR:
        receive_failed(ending, host, err);
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        not_http(host, ending->words, err);
        break;
    case CURLE_FILESIZE_EXCEEDED:
        pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the answer of %s is too large", host);
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
        tls(ending, host, err);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        pl_err_set(err, PL_ERR_TIMEOUT, "connecting to %s took too long", host);
        break;
    case CURLE_OUT_OF_MEMORY:
        /* a header line over curl's own 100 KB fails its buffer like memory that is out */
        if (ending->sent && !ending->head && ending->began)
            headers_too_large(host, err);
        else
            pl_err_set(err, PL_ERR_NO_MEMORY, "no memory for a call to %s", host);
        break;
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE:
        too_large(ending, host, err);
        break;
#endif
    default:
        broken(ending, host, err);
        break;
    }
#pragma GCC diagnostic pop
}
