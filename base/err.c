/* err.c - the table of errors read by code, and messages put together. Not logging. Called by all
 * layers. */
#include "base/err.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err_row {
    const char *text;
    const char *title;
    int http_status;
    enum pl_retry_class retry;
};

static const struct err_row rows[PL_ERR__COUNT] = {
#define X(suffix, code_text, code_title, http, retry_class) \
    [PL_ERR_##suffix] = {.text = (code_text),               \
                         .title = (code_title),             \
                         .http_status = (http),             \
                         .retry = PL_RETRY_##retry_class},
    PL_ERR_TABLE(X)
#undef X
};

static const char *const retry_names[] = {
    [PL_RETRY_NEVER] = "never",     [PL_RETRY_RATE_LIMIT] = "rate_limit",
    [PL_RETRY_TIMEOUT] = "timeout", [PL_RETRY_SERVER] = "server",
    [PL_RETRY_NETWORK] = "network", [PL_RETRY_SCHEMA] = "schema",
};

static const struct err_row *row_of(enum pl_code code)
{
    if ((unsigned)code >= (unsigned)PL_ERR__COUNT)
        code = PL_ERR_INTERNAL;
    return &rows[code];
}

/* Copies at most PL_ERR_MESSAGE_MAX - 1 bytes, cut where a character ends. */
static void put_message(struct pl_err *err, const char *text)
{
    size_t len = strlen(text);

    if (len >= PL_ERR_MESSAGE_MAX - 1)
        len = pl_utf8_cut(text, PL_ERR_MESSAGE_MAX - 1);
    memcpy(err->message, text, len);
    err->message[len] = '\0';
}

enum pl_code pl_err_set(struct pl_err *err, enum pl_code code, const char *fmt, ...)
{
    char text[PL_ERR_MESSAGE_MAX]; /* not err->message: an argument may point there */
    va_list args;

    if (!err)
        return code;
    va_start(args, fmt);
    if (vsnprintf(text, sizeof(text), fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    err->code = code;
    put_message(err, text);
    return code;
}

enum pl_code pl_err_prefix(struct pl_err *err, const char *fmt, ...)
{
    char text[2 * PL_ERR_MESSAGE_MAX];
    va_list args;
    size_t len;

    if (!err)
        return PL_ERR_INTERNAL;
    va_start(args, fmt);
    if (vsnprintf(text, PL_ERR_MESSAGE_MAX, fmt, args) < 0)
        text[0] = '\0';
    va_end(args);
    len = strlen(text);
    snprintf(text + len, sizeof(text) - len, ": %s", err->message);
    put_message(err, text);
    return err->code;
}

const char *pl_code_text(enum pl_code code)
{
    return row_of(code)->text;
}

const char *pl_code_title(enum pl_code code)
{
    return row_of(code)->title;
}

int pl_code_http_status(enum pl_code code)
{
    return row_of(code)->http_status;
}

enum pl_retry_class pl_code_retry_class(enum pl_code code)
{
    return row_of(code)->retry;
}

const char *pl_retry_class_name(enum pl_retry_class retry)
{
    if ((unsigned)retry >= PL_ARRAY_LEN(retry_names))
        return retry_names[PL_RETRY_NEVER];
    return retry_names[retry];
}

enum pl_code pl_code_from_text(const char *text)
{
    if (!text)
        return PL_ERR_INTERNAL;
    for (unsigned i = 0; i < PL_ERR__COUNT; i++) {
        if (strcmp(rows[i].text, text) == 0)
            return (enum pl_code)i;
    }
    return PL_ERR_INTERNAL;
}
