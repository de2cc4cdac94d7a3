/* main.c - plays scenario files and compares their traces. Not the playing (play.c). Run by ctest.
 *
 *   plait_scenarios FILE|FOLDER...                    plays each; exit 1 when a trace differs
 *   plait_scenarios --bless FILE...                   writes the trace into the file
 *   plait_scenarios --crash-anywhere FILE|FOLDER...   plays each again and again, with a crash
 * after its first, second, ... event: it must end, and every invariant must hold
 *   plait_scenarios --cancel-anywhere FILE|FOLDER...  the same, with a user who cancels the run, or
 * one of its steps
 *   plait_scenarios --no-memory FILE|FOLDER...        the same, with an allocation that fails */
#include "tests/scenario/scenario.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum mode { COMPARE, BLESS, CRASH_ANYWHERE, CANCEL_ANYWHERE, NO_MEMORY };

static bool take_line(struct pl_str *rest, struct pl_str *ret_line)
{
    const char *end = rest->len ? memchr(rest->ptr, '\n', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->ptr) : rest->len;

    *ret_line = pl_str_n(rest->ptr, len);
    if (rest->len == 0)
        return false;
    *rest = pl_str_n(rest->ptr + len + (end != NULL), rest->len - len - (end != NULL));
    return true;
}

/* Prints what differs first, with the lines before it. */
static void print_difference(struct pl_str expected, struct pl_str actual)
{
    struct pl_str want, have, before[4] = {0};
    unsigned number = 0, after = 0;
    bool more_want, more_have;

    do {
        more_want = take_line(&expected, &want);
        more_have = take_line(&actual, &have);
        if (pl_str_eq(want, have) && more_want == more_have) {
            before[number++ % 4] = want;
            continue;
        }
        for (unsigned i = number > 4 ? number - 4 : 0; after == 0 && i < number; i++)
            printf("      %.*s\n", PL_STR_ARG(before[i % 4]));
        if (more_want)
            printf("    - %.*s\n", PL_STR_ARG(want));
        if (more_have)
            printf("    + %.*s\n", PL_STR_ARG(have));
        after++;
    } while ((more_want || more_have) && after < 12);
}

static bool bless(const struct scenario *scenario, struct pl_str trace)
{
    FILE *file = fopen(scenario->path, "w");
    bool ok = file != NULL;

    if (ok)
        ok = fprintf(file, "%.*s%.*s", PL_STR_ARG(scenario->head), PL_STR_ARG(trace)) > 0;
    if (file && fclose(file) != 0)
        ok = false;
    return ok;
}

static bool compare(const struct scenario *scenario, enum mode mode)
{
    struct play play = {0};
    bool ok = play_scenario(&play, scenario);

    if (!ok) {
        printf("%s: BREACH: %s\n%.*s", scenario->path, play.breach,
               PL_STR_ARG(pl_buf_view(&play.out)));
    } else if (mode == BLESS) {
        ok = bless(scenario, pl_buf_view(&play.out));
    } else if (!pl_str_eq(scenario->expect, pl_buf_view(&play.out))) {
        printf("%s: the trace differs (- expected, + happened)\n", scenario->path);
        print_difference(scenario->expect, pl_buf_view(&play.out));
        ok = false;
    }
    play_finish(&play);
    return ok;
}

static bool play_whole(const struct scenario *scenario, struct pl_buf *out)
{
    struct play play = {.quick = true};
    bool ok = play_scenario(&play, scenario);

    show_outcome(&play, out);
    play_finish(&play);
    return ok;
}

/* What came of it is what comes of it without a crash, when the script says so. */
static bool is_same(const struct play *play, struct pl_str whole, unsigned after)
{
    struct pl_buf out;
    bool same;

    pl_buf_init(&out, 16 << 20);
    show_outcome(play, &out);
    same = pl_str_eq(pl_buf_view(&out), whole);
    if (!same) {
        printf("%s: with a crash after event %u it comes out otherwise (- without)\n",
               play->scenario->path, after);
        print_difference(whole, pl_buf_view(&out));
    }
    pl_buf_finish(&out);
    return same;
}

static bool crash_anywhere(const struct scenario *scenario)
{
    bool ok = true, crashed = true;
    struct pl_buf whole;

    pl_buf_init(&whole, 16 << 20);
    if (scenario_is_stable(scenario))
        ok = play_whole(scenario, &whole);

    for (unsigned after = 1; ok && crashed; after++) {
        struct play play = {.quick = true, .crash_after = after};

        ok = play_scenario(&play, scenario);
        crashed = play.crash_after == 0;
        if (!ok)
            printf("%s: with a crash after event %u: BREACH: %s\n%.*s", scenario->path, after,
                   play.breach, PL_STR_ARG(pl_buf_view(&play.out)));
        else if (scenario_is_stable(scenario))
            ok = is_same(&play, pl_buf_view(&whole), after);
        play_finish(&play);
    }
    pl_buf_finish(&whole);
    return ok;
}

/* With the nth step (0: the run) cancelled after each event. `ret_any`: there was such a step. */
static bool cancel_nth(const struct scenario *scenario, unsigned nth, bool *ret_any)
{
    bool ok = true, more = true;

    for (unsigned after = 1; ok && more; after++) {
        struct play play = {.cancel_after = after, .cancel_nth = nth};

        ok = play_scenario(&play, scenario);
        more = play.events > after;
        *ret_any |= play.cancel_after == 0;
        if (!ok)
            printf("%s: with a cancel of %u after event %u: BREACH: %s\n%.*s", scenario->path, nth,
                   after, play.breach, PL_STR_ARG(pl_buf_view(&play.out)));
        play_finish(&play);
    }
    return ok;
}

static bool cancel_anywhere(const struct scenario *scenario)
{
    bool ok = true, any = true;

    for (unsigned nth = 0; ok && any; nth++) {
        any = false;
        ok = cancel_nth(scenario, nth, &any);
    }
    return ok;
}

static bool no_memory(const struct scenario *scenario)
{
    bool ok = true, refused = true;

    for (unsigned at = 1; ok && refused; at++) {
        struct play play = {.quick = true};

        memory_set(at);
        ok = play_scenario(&play, scenario);
        refused = memory_refused();
        memory_set(0);
        if (ok && !refused) {
            disk_load_without_memory(&play);
            ok = play.breach[0] == '\0';
        }
        if (!ok)
            printf("%s: with allocation %u failing: BREACH: %s\n%.*s", scenario->path, at,
                   play.breach, PL_STR_ARG(pl_buf_view(&play.out)));
        play_finish(&play);
    }
    return ok;
}

static bool run_file(const char *path, enum mode mode)
{
    struct scenario scenario;
    bool ok = scenario_read(path, &scenario);

    if (ok && mode == CRASH_ANYWHERE)
        ok = crash_anywhere(&scenario);
    else if (ok && mode == CANCEL_ANYWHERE)
        ok = cancel_anywhere(&scenario);
    else if (ok && mode == NO_MEMORY)
        ok = no_memory(&scenario);
    else if (ok)
        ok = compare(&scenario, mode);
    scenario_finish(&scenario);
    return ok;
}

static unsigned run_folder(const char *folder, enum mode mode, unsigned *ret_failed)
{
    char pattern[4096];
    unsigned count = 0;
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/*.scenario", folder);
    if (glob(pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++, count++)
        *ret_failed += !run_file(found.gl_pathv[i], mode);
    globfree(&found);
    return count;
}

int main(int argc, char **argv)
{
    enum mode mode = COMPARE;
    unsigned count = 0, failed = 0;
    struct stat info;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bless") == 0)
            mode = BLESS;
        else if (strcmp(argv[i], "--crash-anywhere") == 0)
            mode = CRASH_ANYWHERE;
        else if (strcmp(argv[i], "--cancel-anywhere") == 0)
            mode = CANCEL_ANYWHERE;
        else if (strcmp(argv[i], "--no-memory") == 0)
            mode = NO_MEMORY;
        else if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode))
            count += run_folder(argv[i], mode, &failed);
        else {
            failed += !run_file(argv[i], mode);
            count++;
        }
    }
    printf("%u scenarios, %u failed\n", count, failed);
    return count == 0 || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
