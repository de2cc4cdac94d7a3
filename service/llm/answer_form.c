/* answer_form.c - see answer_form.h. Servers answer JSON to a stream request, streams to a plain
 * one, and some name no type or a wrong one; so the first bytes tell. */
#include "service/llm/answer_form.h"

#include <strings.h>

static bool type_is(struct pl_str type, const char *want)
{
    const size_t len = strlen(want);

    return type.len >= len && strncasecmp(type.ptr, want, len) == 0 &&
           (type.len == len || type.ptr[len] == ';' || type.ptr[len] == ' ');
}

enum answer_type answer_type_of(struct pl_str content_type)
{
    if (!content_type.len)
        return ANSWER_TYPE_NONE;
    if (type_is(content_type, "application/json"))
        return ANSWER_TYPE_JSON;
    return type_is(content_type, "text/event-stream") ? ANSWER_TYPE_STREAM : ANSWER_TYPE_OTHER;
}

/* The line an event stream begins with, where no content type says that it is one. -1: too short to
 * tell. */
static int looks_like_events(struct pl_str text)
{
    static const char *const starts[] = {":", "data:", "event:", "id:", "retry:", "\xEF\xBB\xBF"};

    for (size_t i = 0; i < PL_ARRAY_LEN(starts); i++) {
        const size_t len = strlen(starts[i]);

        if (text.len >= len && memcmp(text.ptr, starts[i], len) == 0)
            return 1;
        if (text.len < len && memcmp(text.ptr, starts[i], text.len) == 0)
            return -1;
    }
    return 0;
}

/* No line of an event stream begins with a bracket. */
enum answer_form answer_form_of(enum answer_type type, struct pl_str body, size_t *blanks,
                                bool last)
{
    struct pl_str text;
    int events;

    while (*blanks < body.len && memchr(" \n\r\t", body.ptr[*blanks], 4))
        ++*blanks;
    if (*blanks == body.len)
        return ANSWER_UNDECIDED;
    text = pl_str_n(body.ptr + *blanks, body.len - *blanks);
    events = looks_like_events(text);
    if (text.ptr[0] == '{' || text.ptr[0] == '[' || type == ANSWER_TYPE_JSON)
        return ANSWER_WHOLE;
    if (type == ANSWER_TYPE_STREAM || events > 0)
        return ANSWER_STREAM;
    return events == 0 || last ? ANSWER_OTHER : ANSWER_UNDECIDED;
}

enum pl_code answer_keep(struct pl_buf *body, struct pl_str piece, struct pl_err *err)
{
    pl_buf_str(body, piece);
    if (!pl_buf_failed(body))
        return PL_OK;
    if (!body->too_large)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory while an answer was read");
    return pl_err_set(err, PL_ERR_RESPONSE_TOO_LARGE, "the answer is larger than %zu bytes",
                      body->max);
}
