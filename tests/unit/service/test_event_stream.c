/* test_event_stream.c - the events of a run for one reader: late, during, slow, filtered, with the
 * engine stopped and started in between. Nothing is missed, nothing comes twice, and an event is
 * the same bytes stored and live. */
#include "service/events/event_stream.h"

#include "base/json.h"
#include "service/events/bus.h"
#include "service/events/event_text.h"
#include "tests/support/engine_probe.h"
#include "tests/support/workflow.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define TENANT PL_STR("default")

static struct engine_probe probe;

static void set_up(void)
{
    engine_probe_init(&probe, 2);
}

static void tear_down(void)
{
    engine_probe_finish(&probe);
}

/* ---- a reader ---- */

struct reader {
    struct event_stream *stream;
    struct pl_mutex lock;
    struct pl_cond changed;
    unsigned woken; /* guarded by lock */
    struct pl_buf text;
};

static void wake(void *arg)
{
    struct reader *reader = arg;

    pl_mutex_lock(&reader->lock);
    reader->woken++;
    pl_cond_broadcast(&reader->changed);
    pl_mutex_unlock(&reader->lock);
}

static void reader_open(struct reader *reader, const char *run, struct event_stream_options options)
{
    struct pl_err err = {.message = ""};
    enum pl_code code;

    memset(reader, 0, sizeof *reader);
    pl_mutex_init(&reader->lock);
    pl_cond_init(&reader->changed);
    pl_buf_init(&reader->text, 64 << 20);
    options.tenant = TENANT;
    options.run = pl_str(run);
    options.wake = wake;
    options.arg = reader;
    code = event_stream_open(probe.engine, &options, &reader->stream, &err);
    ck_assert_msg(code == PL_OK, "%s", err.message);
}

/* One call; WAIT sleeps until the reader is woken. */
static enum event_stream_state reader_step(struct reader *reader, size_t want)
{
    unsigned before;
    enum event_stream_state state;
    struct pl_err err = {0};

    pl_mutex_lock(&reader->lock);
    before = reader->woken;
    pl_mutex_unlock(&reader->lock);
    state = event_stream_read(reader->stream, reader->text.len + want, &reader->text, &err);
    ck_assert_msg(state != EVENT_STREAM_FAILED, "%s", err.message);
    if (state != EVENT_STREAM_WAIT)
        return state;
    pl_mutex_lock(&reader->lock);
    while (reader->woken == before)
        ck_assert_msg(pl_cond_wait_for(&reader->changed, &reader->lock, 20000),
                      "nobody woke the reader");
    pl_mutex_unlock(&reader->lock);
    return state;
}

static void reader_to_end(struct reader *reader, size_t want)
{
    while (reader_step(reader, want) != EVENT_STREAM_END)
        ;
}

static void reader_close(struct reader *reader)
{
    event_stream_close(&reader->stream);
    ck_assert_ptr_null(reader->stream);
    pl_buf_finish(&reader->text);
    pl_cond_finish(&reader->changed);
    pl_mutex_finish(&reader->lock);
}

static void reader_wait_for(struct reader *reader, const char *text)
{
    while (!reader->text.len || !strstr(reader->text.data, text))
        ck_assert_msg(reader_step(reader, 1) != EVENT_STREAM_END, "it ended without %s", text);
}

/* ---- looking at what was read ---- */

/* The durable lines of NDJSON, in static memory until the next call but one. */
static const char *durable_lines(struct pl_str text)
{
    static char *kept[2];
    static unsigned at;
    struct pl_buf out;
    const char *line = text.ptr, *end = text.ptr + text.len;
    size_t len;

    pl_buf_init(&out, 64 << 20);
    pl_buf_text(&out, "");
    while (line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        struct pl_str seq;

        ck_assert_ptr_nonnull(newline);
        len = (size_t)(newline - line);
        ck_assert_int_eq(json_check(pl_str_n(line, len), 64, NULL, NULL), PL_OK);
        if (json_get(pl_str_n(line, len), PL_STR("seq"), &seq))
            pl_buf_append(&out, line, len + 1);
        line = newline + 1;
    }
    at = 1 - at;
    free(kept[at]);
    kept[at] = pl_buf_take(&out, &len);
    return kept[at];
}

/* The numbers of the durable lines follow each other from `from`; the last one. */
static int64_t check_numbers(const char *lines, int64_t from)
{
    int64_t next = from;

    while (*lines) {
        const char *newline = strchr(lines, '\n');
        struct pl_str seq;
        int64_t number;

        ck_assert(json_get(pl_str_n(lines, (size_t)(newline - lines)), PL_STR("seq"), &seq));
        ck_assert(json_int(seq, &number));
        ck_assert_int_eq(number, next);
        next++;
        lines = newline + 1;
    }
    return next - 1;
}

static unsigned count(const char *text, const char *word)
{
    unsigned found = 0;

    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        found++;
    return found;
}

static const struct event_stream_options ndjson = {.format = EVENT_NDJSON};

static const char travel[] = "steps:\n"
                             "  sights: {llm: {model: 'sim/echo?text=A', prompt: x}}\n"
                             "  food: {llm: {model: 'sim/echo?text=B&latency=20ms', prompt: x}}\n"
                             "  sly: {when: '${ .input.no }', reduce: 1}\n"
                             "  risky:\n"
                             "    on_error: continue\n"
                             "    retry: {attempts: 2, initial: 1ms}\n"
                             "    llm: {model: 'sim/echo?fail=500', prompt: x}\n"
                             "  plan:\n"
                             "    parallel:\n"
                             "      branches:\n"
                             "        a: {reduce: '${ .steps.sights.output }'}\n"
                             "        b: {reduce: '${ .steps.food.output }'}\n"
                             "output: ${ .steps.plan.output }\n";

static void run_to_end(const char *text, struct run_probe *run)
{
    struct workflow *workflow = test_workflow(text);

    if (!probe.engine)
        engine_probe_open(&probe);
    run_probe_start(run, &probe, workflow, NULL);
    run_probe_wait(run);
    workflow_unref(&workflow);
}

/* ---- tests ---- */

START_TEST(a_reader_that_comes_after_the_end_is_given_everything_and_the_run)
{
    struct run_probe run;
    struct reader reader;
    const char *lines;

    run_to_end(travel, &run);
    reader_open(&reader, run.id, ndjson);
    reader_to_end(&reader, 1000);
    lines = durable_lines(pl_buf_view(&reader.text));
    ck_assert_int_gt(check_numbers(lines, 1), 10);
    ck_assert_ptr_nonnull(strstr(lines, "\"type\":\"run.started\""));
    ck_assert_ptr_nonnull(
        strstr(lines, "\"type\":\"step.succeeded\",\"path\":\"sights\",\"attempt\":1,\"usage\":{"));
    ck_assert_ptr_nonnull(strstr(lines, ",\"output\":\"A\"}\n"));
    ck_assert_ptr_nonnull(strstr(lines, "\"type\":\"step.skipped\",\"path\":\"sly\""));
    ck_assert_ptr_nonnull(
        strstr(lines, "\"type\":\"step.reset\",\"path\":\"risky\",\"attempt\":1"));
    ck_assert_ptr_nonnull(strstr(lines, "\"path\":\"plan.b\""));
    ck_assert_ptr_nonnull(strstr(lines, "\"type\":\"run.succeeded\",\"run\":{\"id\":\"run_"));
    ck_assert_ptr_nonnull(strstr(lines, "\"output\":{\"a\":\"A\",\"b\":\"B\"}"));
    ck_assert_int_eq(event_stream_read(reader.stream, 1 << 20, &reader.text, NULL),
                     EVENT_STREAM_END);
    reader_close(&reader);
    run_probe_finish(&run);
}
END_TEST

START_TEST(what_comes_live_is_byte_for_byte_what_is_stored)
{
    struct workflow *workflow = test_workflow(travel);
    struct engine_run_request request = {.tenant = TENANT, .workflow = workflow, .deltas = true};

    engine_probe_open(&probe);
    for (int round = 0; round < 30; round++) {
        struct reader live, late;
        const char *stored;
        char id[PL_ID_TEXT];
        struct doc_problems problems;
        struct pl_err err;

        doc_problems_init(&problems, probe.arena);
        ck_assert_int_eq(engine_start_run(probe.engine, &request, id, &problems, &err), PL_OK);
        reader_open(&live, id, ndjson);
        reader_to_end(&live, 300);
        reader_open(&late, id, ndjson);
        reader_to_end(&late, 1 << 20);
        stored = durable_lines(pl_buf_view(&late.text));
        check_numbers(stored, 1);
        ck_assert_str_eq(durable_lines(pl_buf_view(&live.text)), stored);
        reader_close(&live);
        reader_close(&late);
    }
    workflow_unref(&workflow);
}
END_TEST

START_TEST(sse_has_ids_on_durable_events_only_and_one_line_of_data)
{
    struct run_probe run;
    struct reader reader;
    const char *at;

    run_to_end("steps: {a: {reduce: {x: \"one\\ntwo\"}}}\n", &run);
    reader_open(&reader, run.id, (struct event_stream_options){.format = EVENT_SSE});
    reader_to_end(&reader, 1 << 20);
    at = reader.text.data;
    ck_assert_int_eq(strncmp(at, "id: 1\nevent: run.started\ndata: {\"run_id\":\"run_", 46), 0);
    for (int64_t seq = 1; *at; seq++) {
        char head[32];
        const char *end = strstr(at, "\n\n");
        struct pl_str data;

        snprintf(head, sizeof head, "id: %lld\nevent: ", (long long)seq);
        ck_assert_int_eq(strncmp(at, head, strlen(head)), 0);
        ck_assert_ptr_nonnull(end);
        at = strstr(at, "\ndata: ") + 7;
        data = pl_str_n(at, (size_t)(end - at));
        ck_assert_int_eq(json_check(data, 64, NULL, NULL), PL_OK);
        ck_assert_ptr_null(memchr(data.ptr, '\n', data.len));
        at = end + 2;
    }
    reader_close(&reader);
    run_probe_finish(&run);
}
END_TEST

START_TEST(a_reader_goes_on_after_any_number_it_saw)
{
    struct run_probe run;
    struct reader reader;
    int64_t last;
    char *all;

    run_to_end(travel, &run);
    reader_open(&reader, run.id, ndjson);
    reader_to_end(&reader, 1 << 20);
    all = strdup(durable_lines(pl_buf_view(&reader.text)));
    last = check_numbers(all, 1);
    reader_close(&reader);
    for (int64_t after = 0; after <= last; after++) {
        struct event_stream_options options = {.format = EVENT_NDJSON, .after = after};
        const char *tail = all;

        for (int64_t skip = 0; skip < after; skip++)
            tail = strchr(tail, '\n') + 1;
        reader_open(&reader, run.id, options);
        reader_to_end(&reader, (size_t)after * 100);
        ck_assert_str_eq(reader.text.len ? reader.text.data : "", tail);
        reader_close(&reader);
    }
    free(all);
    run_probe_finish(&run);
}
END_TEST

/* A chain, so that its events come one commit after the other. */
static struct workflow *chain_workflow(unsigned steps)
{
    struct pl_buf text;
    struct workflow *workflow;

    pl_buf_init(&text, 1 << 20);
    pl_buf_text(&text, "steps:\n");
    for (unsigned i = 0; i < steps; i++)
        pl_buf_printf(&text, "  s%u: {%s%u%s llm: {model: 'sim/echo?latency=1ms', prompt: x}}\n", i,
                      i ? "needs: [s" : "description: n", i ? i - 1 : i, i ? "]," : ",");
    workflow = test_workflow(text.data);
    pl_buf_finish(&text);
    return workflow;
}

START_TEST(a_slow_reader_with_a_tiny_queue_misses_nothing)
{
    struct workflow *workflow = chain_workflow(60);
    struct event_stream_options options = {.format = EVENT_NDJSON, .max_queue = 1};
    struct run_probe run;
    struct reader reader, late;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    reader_open(&reader, run.id, options);
    reader_wait_for(&reader, "s10\"");
    run_probe_wait(&run); /* much has been published that its queue had no room for */
    reader_to_end(&reader, 200);
    reader_open(&late, run.id, ndjson);
    reader_to_end(&late, 1 << 20);
    ck_assert_int_gt(check_numbers(durable_lines(pl_buf_view(&reader.text)), 1), 120);
    ck_assert_str_eq(durable_lines(pl_buf_view(&reader.text)),
                     durable_lines(pl_buf_view(&late.text)));
    reader_close(&reader);
    reader_close(&late);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_reader_that_comes_at_any_moment_sees_every_event_once)
{
    struct workflow *workflow = chain_workflow(40);

    engine_probe_open(&probe);
    for (unsigned round = 0; round < 12; round++) {
        struct run_probe run;
        struct reader first, second;
        char word[16];

        run_probe_start(&run, &probe, workflow, NULL);
        reader_open(&first, run.id, ndjson);
        snprintf(word, sizeof word, "s%u\"", round * 3);
        reader_wait_for(&first, word);
        reader_open(&second, run.id, ndjson);
        reader_to_end(&second, 500);
        reader_to_end(&first, 500);
        check_numbers(durable_lines(pl_buf_view(&second.text)), 1);
        ck_assert_str_eq(durable_lines(pl_buf_view(&first.text)),
                         durable_lines(pl_buf_view(&second.text)));
        reader_close(&first);
        reader_close(&second);
        run_probe_wait(&run);
        run_probe_finish(&run);
    }
    workflow_unref(&workflow);
}
END_TEST

static void collect(struct reader *reader, struct pl_buf *all, int64_t *after)
{
    const char *lines = durable_lines(pl_buf_view(&reader->text));

    *after = check_numbers(lines, *after + 1);
    pl_buf_text(all, lines);
    reader_close(reader);
}

START_TEST(over_restarts_of_the_engine_a_reader_sees_every_event_once)
{
    struct workflow *workflow = chain_workflow(40);
    struct event_stream_options options = ndjson;
    struct run_probe run;
    struct reader reader;
    struct pl_buf all;

    probe.options.adopt = true;
    pl_buf_init(&all, 16 << 20);
    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    for (unsigned round = 1; round <= 6; round++) {
        char word[16];

        reader_open(&reader, run.id, options);
        snprintf(word, sizeof word, "s%u\"", round * 5);
        reader_wait_for(&reader, word);
        collect(&reader, &all, &options.after);
        engine_probe_close(&probe, 0);
        engine_probe_open(&probe);
    }
    reader_open(&reader, run.id, options);
    reader_to_end(&reader, 1 << 20);
    collect(&reader, &all, &options.after);
    reader_open(&reader, run.id, ndjson);
    reader_to_end(&reader, 1 << 20);
    ck_assert_str_eq(all.data, durable_lines(pl_buf_view(&reader.text)));
    ck_assert_ptr_nonnull(strstr(all.data, "run.succeeded"));
    reader_close(&reader);
    pl_buf_finish(&all);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(filters_let_types_and_whole_segments_of_paths_through)
{
    struct run_probe run;
    struct reader reader;

    run_to_end("steps:\n"
               "  plan:\n"
               "    parallel: {branches: {a: {reduce: 1}, b: {reduce: 2}}}\n"
               "  planet: {reduce: 3}\n",
               &run);
    reader_open(&reader, run.id,
                (struct event_stream_options){.format = EVENT_NDJSON, .steps = PL_STR("plan")});
    reader_to_end(&reader, 1 << 20);
    ck_assert_uint_eq(count(reader.text.data, "\"path\":\"plan\""), 2);
    ck_assert_uint_eq(count(reader.text.data, "\"path\":\"plan.a\""), 2);
    ck_assert_uint_eq(count(reader.text.data, "planet\",\"attempt"), 0);
    ck_assert_uint_eq(count(reader.text.data, "\"type\":\"run."), 2);
    reader_close(&reader);

    reader_open(&reader, run.id,
                (struct event_stream_options){.format = EVENT_NDJSON,
                                              .types = PL_STR("step.succeeded, run.started"),
                                              .steps = PL_STR("plan.b,planet")});
    reader_to_end(&reader, 1 << 20);
    ck_assert_uint_eq(count(reader.text.data, "\n"), 3);
    ck_assert_uint_eq(count(reader.text.data, "\"type\":\"step.succeeded\""), 2);
    ck_assert_uint_eq(count(reader.text.data, "\"type\":\"run.started\""), 1);
    reader_close(&reader);

    reader_open(&reader, run.id,
                (struct event_stream_options){.format = EVENT_NDJSON, .types = PL_STR("run.*")});
    reader_to_end(&reader, 1 << 20);
    ck_assert_uint_eq(count(reader.text.data, "\"type\":"), 2);
    reader_close(&reader);
    run_probe_finish(&run);
}
END_TEST

START_TEST(a_large_output_is_left_out_of_its_event_and_of_the_run)
{
    struct pl_buf text;
    struct run_probe run;
    struct reader reader;

    pl_buf_init(&text, 1 << 20);
    pl_buf_text(&text, "steps: {a: {reduce: ");
    for (int i = 0; i < EVENT_OUTPUT_BYTES; i++)
        pl_buf_char(&text, 'x');
    pl_buf_text(&text, "}}\n");
    run_to_end(text.data, &run);
    reader_open(&reader, run.id, ndjson);
    reader_to_end(&reader, 1 << 20);
    ck_assert_uint_lt(reader.text.len, 4000);
    ck_assert_uint_eq(count(reader.text.data, "\"output_omitted\":true"), 2);
    ck_assert_uint_eq(count(reader.text.data, "\"output\":"), 0);
    reader_close(&reader);
    run_probe_finish(&run);
    pl_buf_finish(&text);
}
END_TEST

START_TEST(a_run_of_another_tenant_or_of_nobody_is_not_found)
{
    struct run_probe run;
    struct event_stream *stream = NULL;
    struct event_stream_options options = {.tenant = PL_STR("other"), .wake = wake};

    run_to_end("steps: {a: {reduce: 1}}\n", &run);
    options.run = pl_str(run.id);
    ck_assert_int_eq(event_stream_open(probe.engine, &options, &stream, NULL), PL_ERR_NOT_FOUND);
    options.tenant = TENANT;
    options.run = PL_STR("run_00000000000000000000000000");
    ck_assert_int_eq(event_stream_open(probe.engine, &options, &stream, NULL), PL_ERR_NOT_FOUND);
    ck_assert_ptr_null(stream);
    run_probe_finish(&run);
}
END_TEST

/* ---- deltas ---- */

/* The text a client has of a step: deltas joined, a snapshot and a reset begin anew. */
static void client_text(const char *lines, const char *path, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    while (*lines) {
        const char *newline = strchr(lines, '\n');
        struct pl_str line = pl_str_n(lines, (size_t)(newline - lines)), type, of, text, snapshot;

        lines = newline + 1;
        if (!json_get(line, PL_STR("path"), &of) || !pl_str_is(of, path))
            continue;
        ck_assert(json_get(line, PL_STR("type"), &type));
        if (pl_str_is(type, "\"step.reset\""))
            len = 0;
        if (!pl_str_is(type, "\"step.delta\""))
            continue;
        if (json_get(line, PL_STR("snapshot"), &snapshot))
            len = 0;
        ck_assert(json_get(line, PL_STR("text"), &text));
        ck_assert_uint_lt(len + text.len, size);
        memcpy(out + len, text.ptr + 1, text.len - 2);
        len += text.len - 2;
        out[len] = '\0';
    }
}

static const char slow[] =
    "steps:\n"
    "  a: {llm: {model: 'sim/echo?latency=300ms&tokens=30', prompt: 'one two "
    "three four five six seven eight nine ten eleven twelve'}}\n";

START_TEST(deltas_come_after_the_start_of_their_step_and_make_its_output)
{
    struct workflow *workflow = test_workflow(slow);
    struct engine_run_request request = {.tenant = TENANT, .workflow = workflow, .deltas = true};
    struct doc_problems problems;
    char id[PL_ID_TEXT], text[1000], quoted[1100];
    struct reader reader;

    engine_probe_open(&probe);
    doc_problems_init(&problems, probe.arena);
    ck_assert_int_eq(engine_start_run(probe.engine, &request, id, &problems, NULL), PL_OK);
    reader_open(&reader, id, ndjson);
    reader_to_end(&reader, 1);
    ck_assert_uint_gt(count(reader.text.data, "\"type\":\"step.delta\""), 2);
    ck_assert(strstr(reader.text.data, "step.started") < strstr(reader.text.data, "step.delta"));
    client_text(reader.text.data, "\"a\"", text, sizeof text);
    snprintf(quoted, sizeof quoted, "\"output\":\"%s\"", text);
    ck_assert_ptr_nonnull(strstr(reader.text.data, quoted));
    reader_close(&reader);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_reader_that_comes_late_is_given_the_text_so_far_once)
{
    struct workflow *workflow = test_workflow(slow);
    struct engine_run_request request = {.tenant = TENANT, .workflow = workflow, .deltas = true};
    struct doc_problems problems;
    char id[PL_ID_TEXT], text[1000], quoted[1100];
    struct reader first, late;

    engine_probe_open(&probe);
    doc_problems_init(&problems, probe.arena);
    ck_assert_int_eq(engine_start_run(probe.engine, &request, id, &problems, NULL), PL_OK);
    reader_open(&first, id, ndjson);
    reader_wait_for(&first, "four");
    reader_open(&late, id, ndjson);
    reader_to_end(&late, 1);
    ck_assert_uint_eq(count(late.text.data, "\"snapshot\":true"), 1);
    ck_assert_ptr_nonnull(strstr(late.text.data, "one two three four"));
    ck_assert_uint_gt(count(late.text.data, "\"type\":\"step.delta\""), 1);
    client_text(late.text.data, "\"a\"", text, sizeof text);
    snprintf(quoted, sizeof quoted, "\"output\":\"%s\"", text);
    ck_assert_ptr_nonnull(strstr(late.text.data, quoted));
    reader_to_end(&first, 1000);
    reader_close(&first);
    reader_close(&late);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_reader_of_other_types_is_given_no_deltas)
{
    struct workflow *workflow = test_workflow(slow);
    struct run_probe run;
    struct reader reader;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    reader_open(&reader, run.id,
                (struct event_stream_options){.format = EVENT_NDJSON, .types = PL_STR("step.s*")});
    reader_to_end(&reader, 1);
    ck_assert_uint_eq(count(reader.text.data, "\n"), 2);
    ck_assert(!bus_watched(engine_bus(probe.engine), pl_str(run.id), true));
    reader_close(&reader);
    run_probe_wait(&run);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(progress_is_told_live_and_has_no_number)
{
    struct workflow *workflow =
        test_workflow("steps:\n"
                      "  p:\n"
                      "    join: settled\n"
                      "    parallel:\n"
                      "      branches:\n"
                      "        a: {llm: {model: 'sim/echo?latency=60s', prompt: x}}\n"
                      "        b: {llm: {model: 'sim/echo?latency=60s', prompt: x}}\n");
    struct run_probe run;
    struct reader reader;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    reader_open(&reader, run.id, (struct event_stream_options){.format = EVENT_SSE});
    reader_wait_for(&reader, "p.b");
    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, pl_str(run.id), PL_STR("p.b"), NULL),
                     PL_OK);
    reader_wait_for(&reader, "\n\nevent: run.progress\ndata: {\"run_id\":\"run_");
    reader_wait_for(&reader, "\"progress\":{\"total\":3,");
    reader_close(&reader);
    engine_probe_close(&probe, 0); /* it tells the run's probe */
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

START_TEST(a_cancelled_run_ends_its_stream)
{
    struct workflow *workflow =
        test_workflow("steps: {a: {llm: {model: 'sim/echo?latency=60s', prompt: x}}}\n");
    struct run_probe run;
    struct reader reader;

    engine_probe_open(&probe);
    run_probe_start(&run, &probe, workflow, NULL);
    reader_open(&reader, run.id, ndjson);
    reader_wait_for(&reader, "step.started");
    ck_assert_int_eq(engine_cancel(probe.engine, TENANT, pl_str(run.id), (struct pl_str){0}, NULL),
                     PL_OK);
    reader_to_end(&reader, 1);
    ck_assert_ptr_nonnull(strstr(reader.text.data, "\"type\":\"step.cancelled\",\"path\":\"a\","
                                                   "\"attempt\":1,\"reason\":\"user\"}"));
    ck_assert_ptr_nonnull(strstr(reader.text.data, "\"type\":\"run.cancelled\",\"run\":{"));
    reader_close(&reader);
    run_probe_wait(&run);
    run_probe_finish(&run);
    workflow_unref(&workflow);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_reader_that_comes_after_the_end_is_given_everything_and_the_run,
        what_comes_live_is_byte_for_byte_what_is_stored,
        sse_has_ids_on_durable_events_only_and_one_line_of_data,
        a_reader_goes_on_after_any_number_it_saw,
        a_slow_reader_with_a_tiny_queue_misses_nothing,
        a_reader_that_comes_at_any_moment_sees_every_event_once,
        over_restarts_of_the_engine_a_reader_sees_every_event_once,
        filters_let_types_and_whole_segments_of_paths_through,
        a_large_output_is_left_out_of_its_event_and_of_the_run,
        a_run_of_another_tenant_or_of_nobody_is_not_found,
        deltas_come_after_the_start_of_their_step_and_make_its_output,
        a_reader_that_comes_late_is_given_the_text_so_far_once,
        a_reader_of_other_types_is_given_no_deltas,
        progress_is_told_live_and_has_no_number,
        a_cancelled_run_ends_its_stream,
    };
    Suite *suite = suite_create("event_stream");
    TCase *tcase = tcase_create("event_stream");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    for (size_t i = 0; i < PL_ARRAY_LEN(tests); i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
