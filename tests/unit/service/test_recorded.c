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
#include "tests/support/answer_probe.h"
#include "tests/support/text.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDER "tests/unit/service/recorded"

enum { RECORDINGS_MAX = 200, PATH_MAX_HERE = 512 };

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

static void write_result(const struct answer_probe *probe, struct step_result *result,
                         const void *parser, struct pl_buf *out)
{
    const struct pl_str deltas = pl_buf_view(&probe->deltas);
    const struct store_usage *usage = &result->usage;
    struct pl_value *facts = step_result_take_facts(result);
    struct pl_str finish;

    pl_buf_printf(out, "asked:%s%s\nresult: ", probe->request.stream ? " stream" : "",
                  probe->request.tools.len ? " tools" : "");
    answer_write_outcome(probe, result, parser, out);
    pl_buf_char(out, '\n');
    if (result->upstream)
        pl_buf_printf(out, "upstream: %.*s\n", PL_STR_ARG(pl_value_text(result->upstream)));
    if (deltas.len) {
        pl_buf_text(out, "deltas: ");
        for (size_t i = 0; i < deltas.len; i++)
            pl_buf_append(out, deltas.ptr[i] == '\n' ? "\\n" : deltas.ptr + i,
                          deltas.ptr[i] == '\n' ? 2 : 1);
        pl_buf_char(out, '\n');
    }
    pl_buf_printf(out, "usage: in=%lld cached=%lld written=%lld out=%lld reasoning=%lld\n",
                  (long long)usage->input_tokens, (long long)usage->cached_input_tokens,
                  (long long)usage->cache_write_input_tokens, (long long)usage->output_tokens,
                  (long long)usage->reasoning_tokens);
    if (facts && json_get(pl_value_text(facts), PL_STR("finish_reason"), &finish))
        pl_buf_printf(out, "finish: %.*s\n", (int)finish.len - 2, finish.ptr + 1);
    pl_value_unref(&facts);
}

static void probe_init(struct answer_probe *probe, const struct recording *recording)
{
    answer_probe_init(probe, recording->ops,
                      recording->stream ? "text/event-stream; charset=utf-8" : "application/json");
    probe->request.stream = recording->stream;
    probe->request.tools = recording->tools ? PL_STR("[{}]") : PL_STR("");
    probe->request.identity = PL_STR("agent.1");
    probe->write = write_result;
}

START_TEST(an_answer_reads_as_it_should_wherever_it_is_cut_in_two)
{
    struct recording recording;
    struct answer_probe probe;

    open_recording(names[_i], &recording);
    probe_init(&probe, &recording);
    for (size_t cut = 0; cut <= recording.len; cut++) {
        answer_probe_read(&probe, pl_str_n(recording.body, recording.len), cut, recording.len);
        if (strcmp(test_text(&probe.text), recording.expect) != 0)
            ck_abort_msg("%s cut at %zu:\n%s\ninstead of\n%s", names[_i], cut,
                         test_text(&probe.text), recording.expect);
    }
    answer_probe_finish(&probe);
    close_recording(&recording);
}
END_TEST

START_TEST(an_answer_reads_as_it_should_in_single_bytes)
{
    struct recording recording;
    struct answer_probe probe;

    open_recording(names[_i], &recording);
    probe_init(&probe, &recording);
    for (size_t step = 1; step <= 3; step++) {
        answer_probe_read(&probe, pl_str_n(recording.body, recording.len), step, step);
        ck_assert_str_eq(test_text(&probe.text), recording.expect);
    }
    answer_probe_finish(&probe);
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
    struct answer_probe probe;

    open_recording(names[_i], &recording);
    probe_init(&probe, &recording);
    for (size_t len = 0; len < recording.len; len++) {
        answer_probe_read(&probe, pl_str_n(recording.body, len), len, len + 1);
        if (probe.result.err.code == PL_OK)
            ck_assert_str_eq(result_line(test_text(&probe.text)), result_line(recording.expect));
    }
    answer_probe_finish(&probe);
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
