/* run_place.c - see run_place.h. */
#include "api/cli/run_place.h"

#include "base/map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEEP_DAYS = 30 };

static enum pl_code make_directories(char *path, struct pl_err *err)
{
    for (char *at = path + 1;; at++) {
        char was = *at;

        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return pl_err_set(err, PL_ERR_IO,
                              "cannot make the directory %s: %s; set XDG_STATE_HOME or give --db",
                              path, strerror(errno));
        *at = was;
        if (was == '\0')
            return PL_OK;
    }
}

static void remove_old(const char *directory)
{
    DIR *dir = opendir(directory);
    time_t limit = time(NULL) - (time_t)KEEP_DAYS * 24 * 3600;
    struct dirent *entry;

    if (!dir)
        return;
    while ((entry = readdir(dir))) {
        struct stat info;

        if (strncmp(entry->d_name, "run_", 4) != 0 ||
            fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if ((S_ISREG(info.st_mode) || S_ISLNK(info.st_mode)) && info.st_mtime < limit)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
}

static const char *state_home(struct pl_arena *arena)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (state && state[0] == '/')
        return pl_arena_printf(arena, "%s/plait/runs", state);
    if (home && home[0] == '/')
        return pl_arena_printf(arena, "%s/.local/state/plait/runs", home);
    return NULL;
}

static const uint64_t THREAD_NAME_BEGIN = 1469598103934665603u; /* files of before are found */

/* A name for a thread, whose id may be any text. */
static const char *thread_name(struct pl_arena *arena, const char *thread)
{
    uint64_t hash = pl_hash_stable(THREAD_NAME_BEGIN, pl_str(thread));

    return pl_arena_printf(arena, "thread_%016llx", (unsigned long long)hash);
}

/* A run of a thread is kept with the others of its thread; a link by its own id leads there. */
static enum pl_code link_run(struct pl_arena *arena, const char *file, const char *name,
                             struct pl_err *err)
{
    const char *target = pl_arena_printf(arena, "%s.db", name);

    if (!target)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (symlink(target, file) != 0)
        return pl_err_set(err, PL_ERR_IO, "cannot make %s: %s", file, strerror(errno));
    return PL_OK;
}

/* Where a run's link leads; the file itself when it is none. */
static const char *follow_link(struct pl_arena *arena, const char *directory, const char *file)
{
    char target[128];
    ssize_t length = readlink(file, target, sizeof target);

    if (length <= 0 || (size_t)length >= sizeof target || memchr(target, '/', (size_t)length))
        return file;
    return pl_arena_printf(arena, "%s/%.*s", directory, (int)length, target);
}

enum pl_code run_place_url(const char *run_id, const char *thread, bool must_exist,
                           struct pl_arena *arena, const char **ret_url, struct pl_err *err)
{
    const char *directory = state_home(arena), *name = thread ? thread_name(arena, thread) : NULL;
    char *copy = directory ? pl_arena_strdup(arena, directory) : NULL;
    const char *file;

    if (!copy)
        return pl_err_set(err, PL_ERR_IO,
                          "neither XDG_STATE_HOME nor HOME is set; give --db sqlite:FILE");
    file = pl_arena_printf(arena, "%s/%s.db", directory, run_id);
    if (!file || (thread && !name))
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (must_exist && access(file, F_OK) != 0)
        return pl_err_set(
            err, PL_ERR_NOT_FOUND,
            "there is no run %s here (%s); if it was kept with --db, give the same --db", run_id,
            file);
    if (!must_exist) {
        if (make_directories(copy, err) != PL_OK)
            return err->code;
        remove_old(directory);
        if (thread && link_run(arena, file, name, err) != PL_OK)
            return err->code;
    }
    file = follow_link(arena, directory, file);
    *ret_url = file ? pl_arena_printf(arena, "sqlite:%s", file) : NULL;
    return *ret_url ? PL_OK : pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
}
