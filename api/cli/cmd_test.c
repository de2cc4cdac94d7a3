/* cmd_test.c - `plait test`: a workflow against the recorded answers of its calls, offline; with
 * --record, the recording of them. Not the tape (service/tape/tape.h), not the run (cmd_run.c) and
 * not what is said of the differences (test_report.c). */
#include "api/cli/command.h"
#include "api/cli/run_report.h"
#include "api/cli/run_special.h"
#include "api/cli/test_report.h"

#include "base/id.h"
#include "base/json.h"
#include "base/limits.h"
#include "service/config/config.h"
#include "service/tape/tape.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct test {
    const struct cli_args *args;
    struct pl_arena *arena;
    struct tape *tape;
    const char *path; /* of the recording */
    char *place;      /* a folder for the database, removed afterwards */
    struct run_special special;
    bool record, quiet;
};

static int no_memory(void)
{
    return cli_usage_error("out of memory");
}

/* ---- where things are ---- */

/* FILE without its ending. */
static const char *default_path(struct pl_arena *arena, const char *file)
{
    static const char *const endings[] = {".yaml", ".yml", ".json"};
    size_t len = strlen(file);

    for (size_t i = 0; i < PL_ARRAY_LEN(endings); i++) {
        const size_t end = strlen(endings[i]);

        if (len > end && strcmp(file + len - end, endings[i]) == 0) {
            len -= end;
            break;
        }
    }
    return pl_arena_printf(arena, "%.*s.recording.json", (int)len, file);
}

/* The run is kept nowhere else: a test leaves no trace among the user's runs. */
static int make_place(struct test *test)
{
    const char *folder = getenv("TMPDIR");

    test->place =
        pl_arena_printf(test->arena, "%s/plait-test-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!test->place)
        return no_memory();
    if (!mkdtemp(test->place)) {
        int status = cli_usage_error("cannot make a folder %s: %s", test->place, strerror(errno));

        test->place = NULL;
        return status;
    }
    test->special.db = pl_arena_printf(test->arena, "sqlite:%s/run.db", test->place);
    return test->special.db ? EXIT_OK : no_memory();
}

static void remove_place(const struct test *test)
{
    DIR *dir = test->place ? opendir(test->place) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    if (test->place)
        rmdir(test->place);
}

/* ---- answers of people ---- */

static const char *answer_text(struct pl_arena *arena, struct pl_str path, struct pl_str answer)
{
    struct pl_str value, reject;

    if (json_get(answer, PL_STR("reject"), &reject))
        return pl_arena_printf(arena, "%.*s=/reject %.*s", PL_STR_ARG(path),
                               PL_STR_ARG(json_decode_string_arena(reject, arena)));
    if (!json_get(answer, PL_STR("output"), &value))
        return "";
    if (json_type(value) == JSON_STRING)
        value = json_decode_string_arena(value, arena);
    return pl_arena_printf(arena, "%.*s=%.*s", PL_STR_ARG(path), PL_STR_ARG(value));
}

static bool is_answered(const struct cli_values *answers, struct pl_str path)
{
    for (unsigned i = 0; i < answers->count; i++)
        if (strncmp(answers->values[i], path.ptr, path.len) == 0 &&
            answers->values[i][path.len] == '=')
            return true;
    return false;
}

/* Those of the command line, and the recorded ones to what it does not answer. */
static int gather_answers(struct test *test)
{
    struct cli_values *answers = &test->special.answers;
    const struct pl_str recorded = tape_run(test->tape)->answers;
    struct json_iter it;

    *answers = *cli_get_all(test->args, "answer");
    if (!recorded.len)
        return EXIT_OK;
    for (json_iter_init(&it, recorded); json_iter_next(&it);) {
        struct pl_str path = json_decode_string_arena(it.key, test->arena);
        const char *text = answer_text(test->arena, path, it.value);

        if (!text)
            return no_memory();
        if (!*text || is_answered(answers, path))
            continue;
        if (answers->count == CLI_VALUES_MAX)
            return cli_usage_error("test: more than %d answers of people cannot be given",
                                   CLI_VALUES_MAX);
        answers->values[answers->count++] = text;
    }
    tape_expect_answers(test->tape, answers->count);
    return EXIT_OK;
}

/* ---- recording ---- */

/* Said before the calls are paid for. */
static int try_place(const struct test *test)
{
    const char *fresh = pl_arena_printf(test->arena, "%s.new", test->path);
    FILE *file = fresh ? fopen(fresh, "we") : NULL;

    if (!file)
        return cli_usage_error("cannot write %s: %s", test->path, strerror(errno));
    fclose(file);
    unlink(fresh);
    return EXIT_OK;
}

/* In the place of the old one only when it is whole. */
static int write_file(const struct test *test, struct pl_str text)
{
    const char *fresh = pl_arena_printf(test->arena, "%s.new", test->path);
    FILE *file = fresh ? fopen(fresh, "we") : NULL;
    bool ok;

    if (!file)
        return cli_usage_error("cannot write %s: %s", test->path, strerror(errno));
    ok = fwrite(text.ptr, 1, text.len, file) == text.len;
    ok = fflush(file) == 0 && ok;
    ok = fsync(fileno(file)) == 0 && ok;
    ok = fclose(file) == 0 && ok;
    if (ok && rename(fresh, test->path) == 0)
        return EXIT_OK;
    unlink(fresh);
    return cli_usage_error("cannot write %s: %s", test->path, strerror(errno));
}

static bool keep_run(struct test *test, struct pl_str run)
{
    const char *model = cli_get(test->args, "model");
    struct tape_run kept = {.model = model ? pl_str(model) : (struct pl_str){0}};
    struct pl_str value, member, started = {0};

    if (json_get(run, PL_STR("id"), &value))
        kept.id = json_decode_string_arena(value, test->arena);
    if (json_get(run, PL_STR("workflow"), &value) && json_get(value, PL_STR("name"), &member) &&
        json_type(member) == JSON_STRING)
        kept.workflow = json_decode_string_arena(member, test->arena);
    if (json_get(run, PL_STR("started_at"), &value) && json_type(value) == JSON_STRING)
        started = json_decode_string_arena(value, test->arena);
    if (json_get(run, PL_STR("status"), &value))
        kept.status = json_decode_string_arena(value, test->arena);
    (void)json_get(run, PL_STR("input"), &kept.input);
    if (pl_str_is(kept.status, "succeeded"))
        (void)json_get(run, PL_STR("output"), &kept.output);
    if (json_get(run, PL_STR("error"), &value) && json_get(value, PL_STR("code"), &member))
        kept.error = json_decode_string_arena(member, test->arena);
    return pl_time_parse(started, &kept.started_at) && !pl_arena_failed(test->arena) &&
           tape_set_run(test->tape, &kept);
}

static int report_recorded(void *arg, struct pl_str run, const struct config *config)
{
    struct test *test = arg;
    struct pl_str error;
    struct pl_buf text;
    int status;

    if (!keep_run(test, run))
        return no_memory();
    pl_buf_init(&text, SIZE_MAX / 2);
    tape_write(test->tape, config->providers, config->secrets, &text);
    status = pl_buf_failed(&text) ? no_memory() : write_file(test, pl_buf_view(&text));
    pl_buf_finish(&text);
    if (status != EXIT_OK)
        return status;
    if (!test->quiet)
        fprintf(stderr, "recorded %zu call%s in %s\n", tape_count(test->tape),
                tape_count(test->tape) == 1 ? "" : "s", test->path);
    if (pl_str_is(tape_run(test->tape)->status, "succeeded"))
        return run_report_json(tape_run(test->tape)->output) ? EXIT_OK : EXIT_RUN_FAILED;
    if (json_get(run, PL_STR("error"), &error))
        run_report_error(error, run);
    return EXIT_RUN_FAILED;
}

/* ---- playing back ---- */

static int report_played(void *arg, struct pl_str run, const struct config *config)
{
    struct test *test = arg;

    (void)config;
    return test_report(test->tape, run, cli_get(test->args, "set") || cli_get(test->args, "input"),
                       test->quiet, test->args->operands.values[0],
                       cli_get(test->args, "recording"))
               ? EXIT_OK
               : EXIT_RUN_FAILED;
}

static int read_recording(struct test *test)
{
    const char *path = cli_get(test->args, "recording");
    const struct tape_run *run;
    struct pl_str text;
    struct pl_err err = {0};
    enum pl_code code =
        config_read_file(test->arena, test->path, PL_LIMIT_RUN_OUTPUT_BYTES * 4, &text, &err);

    if (code == PL_ERR_NOT_FOUND)
        return cli_usage_error(
            "there is no recording %s; make it with: plait test %s --record%s%s, and the "
            "input (-i)",
            test->path, test->args->operands.values[0], path ? " --recording " : "",
            path ? path : "");
    if (code == PL_OK)
        code = tape_read(test->tape, text, &err);
    if (code != PL_OK)
        return cli_usage_error("%s: %s", test->path, err.message);
    run = tape_run(test->tape);
    test->special.input = run->input;
    test->special.model = run->model.len ? run->model.ptr : NULL;
    if (run->id.len && run->id.len < PL_ID_TEXT && pl_id_valid("run", run->id.ptr))
        test->special.id = run->id.ptr;
    return EXIT_OK;
}

/* ---- the whole ---- */

static int prepare(struct test *test)
{
    const char *path = cli_get(test->args, "recording");
    int status;

    test->path = path ? path : default_path(test->arena, test->args->operands.values[0]);
    test->tape = tape_create(test->record);
    if (!test->path || !test->tape)
        return no_memory();
    status = test->record ? try_place(test) : read_recording(test);
    if (status != EXIT_OK)
        return status;
    status = gather_answers(test);
    if (status != EXIT_OK)
        return status;
    test->special.tape = test->tape;
    test->special.offline = !test->record;
    test->special.report = test->record ? report_recorded : report_played;
    test->special.arg = test;
    return make_place(test);
}

/* Variables of options that `run` has and this command has not. */
static void forget_environment(void)
{
    static const char *const names[] = {"PLAIT_RESUME", "PLAIT_THREAD", "PLAIT_DB",
                                        "PLAIT_JSON",   "PLAIT_DRAIN",  "PLAIT_LOOPS"};

    for (size_t i = 0; i < PL_ARRAY_LEN(names); i++)
        unsetenv(names[i]);
}

int cmd_test(const struct cli_args *args)
{
    struct test test = {.args = args,
                        .record = cli_get(args, "record") != NULL,
                        .quiet = cli_get(args, "quiet") != NULL};
    int status;

    forget_environment();
    test.arena = pl_arena_create(0);
    status = test.arena ? prepare(&test) : no_memory();
    if (status == EXIT_OK)
        status = cmd_run_special(args, &test.special);
    remove_place(&test);
    tape_destroy(&test.tape);
    pl_arena_destroy(&test.arena);
    return status;
}
