/* test_recorded.c - answers as servers send them, in the files of recorded/: each must read as its
 * .expect says, in one piece and cut in two at every byte, and half of it must never pass for the
 * whole. Not requests and not connections. Run by ctest from the root of the tree.
 *
 * KIND-NAME.sse or .json is the body, byte by byte. KIND-NAME.expect has lines "asked:" (stream,
 * tools), "result:" (ok and the output, or the code), "upstream:", "deltas:" (each followed by ^, a
 * line break as \n), "usage:", "finish:"; upstream, deltas and finish only where there are any. */
#include "base/json.h"
#include "service/llm/anthropic.h"
#include "service/llm/gemini.h"
#include "service/llm/openai.h"
#include "tests/support/text.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDER "tests/unit/service/recorded"

enum { RECORDINGS_MAX = 200, PATH_MAX_HERE = 512, TEXT_MAX = 1 << 20 };

static const struct provider_ops *const kinds[] = {&anthropic_ops, &gemini_ops, &openai_ops};

static char *names[RECORDINGS_MAX]; /* with their endings */
static size_t n_names;

struct recording {
    const struct provider_ops *ops;
    char *body, *expect;
    size_t len;
    bool stream, tools;
};

/* ---- files ---- */

static bool ends(const char *name, const char *ending)
{
    const size_t len = strlen(name), end = strlen(ending);

    return len > end && strcmp(name + len - end, ending) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_recordings(void)
{
    DIR *folder = opendir(FOLDER);
    const struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if ((ends(entry->d_name, ".sse") || ends(entry->d_name, ".json")) &&
            n_names < RECORDINGS_MAX)
            names[n_names++] = strdup(entry->d_name);
    if (folder)
        closedir(folder);
    qsort(names, n_names, sizeof(names[0]), by_name);
}

/* Is the word in the first line? */
static bool is_asked(const char *expect, const char *word)
{
    const char *found = strstr(expect, word), *line = strchr(expect, '\n');

    return found && line && found < line;
}

static void open_recording(const char *name, struct recording *recording)
{
    char path[PATH_MAX_HERE];

    *recording = (struct recording){0};
    for (size_t i = 0; i < PL_ARRAY_LEN(kinds); i++) {
        const size_t len = strlen(kinds[i]->kind);

        if (strncmp(name, kinds[i]->kind, len) == 0 && name[len] == '-')
            recording->ops = kinds[i];
    }
    ck_assert_msg(recording->ops != NULL, "%s is of no kind", name);
    snprintf(path, sizeof(path), FOLDER "/%s", name);
    recording->body = test_read_file(path, &recording->len);
    snprintf(path, sizeof(path), FOLDER "/%.*s.expect", (int)(strrchr(name, '.') - name), name);
    recording->expect = test_read_file(path, NULL);
    ck_assert_msg(recording->body && recording->expect, "cannot read %s", path);
    recording->stream = is_asked(recording->expect, " stream");
    recording->tools = is_asked(recording->expect, " tools");
}

static void close_recording(struct recording *recording)
{
    free(recording->body);
    free(recording->expect);
}

/* ---- reading ---- */

static void take_delta(void *arg, struct pl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            pl_buf_text(arg, "\\n");
        else
            pl_buf_char(arg, text.ptr[i]);
    }
    pl_buf_char(arg, '^');
}

static void write_result(const struct recording *recording, struct step_result *result,
                         const struct pl_buf *deltas, struct pl_buf *out)
{
    const struct store_usage *usage = &result->usage;
    struct pl_value *facts = step_result_take_facts(result);
    struct pl_str finish;

    pl_buf_printf(out, "asked:%s%s\nresult: ", recording->stream ? " stream" : "",
                  recording->tools ? " tools" : "");
    if (result->err.code == PL_OK)
        pl_buf_printf(out, "ok %.*s\n", PL_STR_ARG(pl_value_text(result->output)));
    else
        pl_buf_printf(out, "%s\n", pl_code_text(result->err.code));
    if (result->upstream)
        pl_buf_printf(out, "upstream: %.*s\n", PL_STR_ARG(pl_value_text(result->upstream)));
    if (deltas->len)
        pl_buf_printf(out, "deltas: %.*s\n", PL_STR_ARG(pl_buf_view(deltas)));
    pl_buf_printf(out, "usage: in=%lld cached=%lld written=%lld out=%lld reasoning=%lld\n",
                  (long long)usage->input_tokens, (long long)usage->cached_input_tokens,
                  (long long)usage->cache_write_input_tokens, (long long)usage->output_tokens,
                  (long long)usage->reasoning_tokens);
    if (facts && json_get(pl_value_text(facts), PL_STR("finish_reason"), &finish))
        pl_buf_printf(out, "finish: %.*s\n", (int)finish.len - 2, finish.ptr + 1);
    pl_value_unref(&facts);
}

/* Feeds `len` bytes in pieces that end at `cut` and then after `step` bytes each. Pieces are copies
 * of their own, so that a look past their end is found. */
static enum pl_code feed(const struct recording *recording, void *parser,
                         const struct llm_sink *sink, size_t len, size_t cut, size_t step,
                         struct pl_err *err)
{
    enum pl_code code = PL_OK;
    size_t end = cut;

    for (size_t start = 0; start < len && code == PL_OK; start = end, end = start + step) {
        char *piece;

        if (end > len)
            end = len;
        if (end == start)
            continue;
        piece = malloc(end - start);
        ck_assert_ptr_nonnull(piece);
        memcpy(piece, recording->body + start, end - start);
        code = recording->ops->feed(parser, pl_str_n(piece, end - start), sink, err);
        free(piece);
    }
    return code;
}

static enum pl_code read_recording(const struct recording *recording, size_t len, size_t cut,
                                   size_t step, struct pl_buf *out)
{
    const struct llm_request request = {.messages = PL_STR("[]"),
                                        .stream = recording->stream,
                                        .tools = recording->tools ? PL_STR("[{}]") : PL_STR(""),
                                        .identity = PL_STR("agent.1"),
                                        .max_output = 65536};
    struct pl_buf deltas;
    const struct llm_sink sink = {.arg = &deltas, .delta = take_delta};
    void *parser = calloc(1, recording->ops->parser_size);
    struct step_result result;
    enum pl_code code;

    ck_assert_ptr_nonnull(parser);
    pl_buf_init(&deltas, TEXT_MAX);
    pl_buf_reset(out);
    step_result_init(&result);
    recording->ops->begin(parser, &request,
                          recording->stream ? PL_STR("text/event-stream; charset=utf-8")
                                            : PL_STR("application/json"));
    code = feed(recording, parser, &sink, len, cut, step, &result.err);
    if (code == PL_OK)
        recording->ops->finish(parser, &sink, &result);
    recording->ops->cleanup(parser);
    code = result.err.code;
    write_result(recording, &result, &deltas, out);
    step_result_finish(&result);
    pl_buf_finish(&deltas);
    free(parser);
    return code;
}

START_TEST(an_answer_reads_as_it_should_wherever_it_is_cut_in_two)
{
    struct recording recording;
    struct pl_buf out;

    open_recording(names[_i], &recording);
    pl_buf_init(&out, TEXT_MAX);
    for (size_t cut = 0; cut <= recording.len; cut++) {
        read_recording(&recording, recording.len, cut, recording.len, &out);
        if (strcmp(test_text(&out), recording.expect) != 0)
            ck_abort_msg("%s cut at %zu:\n%s\ninstead of\n%s", names[_i], cut, test_text(&out),
                         recording.expect);
    }
    pl_buf_finish(&out);
    close_recording(&recording);
}
END_TEST

START_TEST(an_answer_reads_as_it_should_in_single_bytes)
{
    struct recording recording;
    struct pl_buf out;

    open_recording(names[_i], &recording);
    pl_buf_init(&out, TEXT_MAX);
    for (size_t step = 1; step <= 3; step++) {
        read_recording(&recording, recording.len, step, step, &out);
        ck_assert_str_eq(test_text(&out), recording.expect);
    }
    pl_buf_finish(&out);
    close_recording(&recording);
}
END_TEST

/* The line of the result, so far as there is one. */
static const char *result_line(const char *text)
{
    const char *line = strstr(text, "\nresult: ");
    const char *end = line ? strchr(line + 1, '\n') : NULL;

    return end ? test_str(pl_str_n(line + 1, (size_t)(end - line - 1))) : "";
}

START_TEST(the_beginning_of_an_answer_never_passes_for_another_one)
{
    struct recording recording;
    struct pl_buf out;

    open_recording(names[_i], &recording);
    pl_buf_init(&out, TEXT_MAX);
    for (size_t len = 0; len < recording.len; len++)
        if (read_recording(&recording, len, len, len + 1, &out) == PL_OK)
            ck_assert_str_eq(result_line(test_text(&out)), result_line(recording.expect));
    pl_buf_finish(&out);
    close_recording(&recording);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recorded");
    TCase *tcase = tcase_create("recorded");
    SRunner *runner;
    int failed;

    list_recordings();
    if (!n_names) {
        fprintf(stderr, "no recordings in " FOLDER "\n");
        return EXIT_FAILURE;
    }
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, an_answer_reads_as_it_should_wherever_it_is_cut_in_two, 0,
                        (int)n_names);
    tcase_add_loop_test(tcase, an_answer_reads_as_it_should_in_single_bytes, 0, (int)n_names);
    tcase_add_loop_test(tcase, the_beginning_of_an_answer_never_passes_for_another_one, 0,
                        (int)n_names);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    for (size_t i = 0; i < n_names; i++)
        free(names[i]);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
