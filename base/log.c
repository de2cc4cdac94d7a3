/* log.c - one JSON line an event. Not for the terminal's progress. Called by service/ and api/, and
 * by base/ and storage/ at debug. */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LOG_MESSAGE_MAX = 8192,   /* bytes of the message with its NUL; longer is cut */
    LOG_LINE_MAX = 128 << 10, /* every byte of a message escaped, and the ids */
};

static const char *const level_names[] = {
    [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_OFF] = "off",
};

static _Atomic int log_level = LOG_LEVEL_WARN;
static _Atomic int log_fd = STDERR_FILENO;

void log_configure(enum log_level level, int fd)
{
    atomic_store(&log_level, (int)level);
    atomic_store(&log_fd, fd);
}

bool log_level_parse(const char *text, enum log_level *ret_level)
{
    for (unsigned i = 0; text && i < PL_ARRAY_LEN(level_names); i++) {
        if (strcmp(level_names[i], text) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_enabled(enum log_level level)
{
    return level != LOG_LEVEL_OFF &&
           (int)level >= atomic_load_explicit(&log_level, memory_order_relaxed);
}

/* A line that cannot be written is lost: there is nowhere left to say so. */
static void put_line(const char *line, size_t len)
{
    const int fd = atomic_load_explicit(&log_fd, memory_order_relaxed);
    ssize_t written;

    do {
        written = write(fd, line, len);
    } while (written < 0 && errno == EINTR);
}

static void put_context(struct pl_buf *out, const struct log_context *context)
{
    if (context->run)
        json_add_string(out, "run", pl_str(context->run));
    if (context->step)
        json_add_string(out, "step", pl_str(context->step));
    if (context->request)
        json_add_string(out, "request", pl_str(context->request));
}

PL_PRINTF(4, 0)
static void log_line(enum log_level level, const struct log_context *context, const char *event,
                     const char *fmt, va_list args)
{
    static const char no_memory[] = "{\"level\":\"error\",\"event\":\"LOG-NO-MEMORY\"}\n";
    const int before = errno; /* logging an error must not change it */
    char message[LOG_MESSAGE_MAX], at[PL_TIME_TEXT];
    struct pl_buf out;
    size_t len;

    if (vsnprintf(message, sizeof(message), fmt, args) < 0)
        message[0] = '\0';
    len = strlen(message);
    if (len == sizeof(message) - 1)
        len = pl_utf8_cut(message, len);
    pl_buf_init(&out, LOG_LINE_MAX);
    json_object_begin(&out);
    json_add_string(&out, "at", pl_str(pl_time_format(pl_clock_now(pl_clock_real()), at)));
    json_add_string(&out, "level", pl_str(level_names[level]));
    json_add_string(&out, "event", pl_str(event));
    json_add_string(&out, "message", pl_str_n(message, len));
    if (context)
        put_context(&out, context);
    json_object_end(&out);
    pl_buf_char(&out, '\n');
    if (pl_buf_failed(&out))
        put_line(no_memory, sizeof(no_memory) - 1);
    else
        put_line(out.data, out.len);
    pl_buf_finish(&out);
    errno = before;
}

#define LOG_FUNCTION(name, level)                                                         \
    void name(const struct log_context *context, const char *event, const char *fmt, ...) \
    {                                                                                     \
        va_list args;                                                                     \
                                                                                          \
        if (!log_enabled(level))                                                          \
            return;                                                                       \
        va_start(args, fmt);                                                              \
        log_line(level, context, event, fmt, args);                                       \
        va_end(args);                                                                     \
    }

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
#undef LOG_FUNCTION
