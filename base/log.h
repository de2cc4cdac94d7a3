/* log.h - one JSON line an event on standard error (or any descriptor). Not for the terminal's
 * progress: api/cli draws that. service/ and api/ log an error once, where they receive it; base/
 * and storage/ only at debug.
 *
 * A line:
 * {"at":"…","level":"warn","event":"STORE-RETRY","message":"…","run":"…","step":"…","request":"…"}.
 * The event id is stable and greppable. */
#ifndef PLAIT_BASE_LOG_H
#define PLAIT_BASE_LOG_H

#include "base/compiler.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_OFF };

/* What a line is about; any field may be NULL. */
struct log_context {
    const char *run;
    const char *step;
    const char *request;
};

/* Set once at start, before threads. Default: WARN, descriptor 2. */
void log_configure(enum log_level level, int fd);
/* "debug", "info", "warn", "error", "off"; false for another word. */
bool log_level_parse(const char *text, enum log_level *ret_level);
bool log_enabled(enum log_level level);

/* Any thread; one write(2) a line, so lines never mix. `context` may be NULL. */
void log_debug(const struct log_context *context, const char *event, const char *fmt, ...)
    PL_PRINTF(3, 4);
void log_info(const struct log_context *context, const char *event, const char *fmt, ...)
    PL_PRINTF(3, 4);
void log_warn(const struct log_context *context, const char *event, const char *fmt, ...)
    PL_PRINTF(3, 4);
void log_error(const struct log_context *context, const char *event, const char *fmt, ...)
    PL_PRINTF(3, 4);

#endif
