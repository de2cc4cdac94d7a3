/* events.c - the handler of GET /v1/runs/{id}/events. Not the stream (run_events.c). Called through
 * the table of routes.c. */
#include "api/handlers/answers.h"
#include "api/handlers/negotiate.h"
#include "api/handlers/run_events.h"
#include "api/routes.h"

/* The last event the client has. Last-Event-ID goes before ?after=: an EventSource that connects
 * again sends both, and the URL is the older. False: an error has been sent. */
static bool read_after(struct api_request *request, struct run_events_options *options)
{
    struct pl_str last = api_header(request, "last-event-id"), after = api_query(request, "after");

    options->reconnected = last.len > 0;
    if (last.len ? answers_number(last, &options->after)
                 : !after.len || answers_number(after, &options->after))
        return true;
    answers_error(request, PL_ERR_INVALID_ARGUMENT, "%s: the seq of an event, a whole number",
                  last.len ? "Last-Event-ID" : "after");
    return false;
}

static bool is_type(struct pl_str word)
{
    static const char *const known[] = {
        "run.*",          "run.started",   "run.progress",   "run.waiting",  "run.succeeded",
        "run.failed",     "run.cancelled", "step.*",         "step.started", "step.delta",
        "step.reset",     "step.retrying", "step.waiting",   "step.failed",  "step.skipped",
        "step.succeeded", "run.paused",    "step.cancelled", "run.resumed",  "run.retried",
    };

    for (size_t i = 0; i < PL_ARRAY_LEN(known); i++)
        if (pl_str_is(word, known[i]))
            return true;
    return false;
}

/* ?types=: a mistyped one would be a stream that never says anything. False: an error has been
 * sent. */
static bool check_types(struct api_request *request, struct pl_str types)
{
    char shown[DOC_EXCERPT];

    while (types.len) {
        const char *comma = memchr(types.ptr, ',', types.len);
        size_t len = comma ? (size_t)(comma - types.ptr) : types.len;
        struct pl_str word = pl_str_n(types.ptr, len);

        if (!is_type(word)) {
            answers_error(request, PL_ERR_INVALID_ARGUMENT,
                          "types: no event is called '%s'; write a list such as "
                          "step.succeeded,run.*",
                          doc_excerpt(word, shown));
            return false;
        }
        types = comma ? pl_str_n(comma + 1, types.len - len - 1) : (struct pl_str){0};
    }
    return true;
}

void handle_events(struct api_request *request)
{
    enum media media = negotiate_accept(api_header(request, "accept"), MEDIA_SSE);
    struct run_events_options options = {
        .run = request->params[0],
        .types = api_query(request, "types"),
        .steps = api_query(request, "steps"),
        .format = media == MEDIA_NDJSON ? EVENT_NDJSON : EVENT_SSE,
    };

    if (read_after(request, &options) && check_types(request, options.types))
        run_events_answer(request, &options);
}
