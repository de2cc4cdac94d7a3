/* replay_main.c - runs a fuzz target over the files of folders, as an ordinary test. Not a fuzzer:
 * it finds nothing new. Run by ctest; usage: fuzz_NAME FOLDER_OR_FILE... */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 16 << 20 };

static int failed;

/* Each input ends exactly where its memory does, so that a sanitizer sees a read past it. */
static void run_file(const char *path, size_t size)
{
    uint8_t *data = malloc(size ? size : 1);
    FILE *file = fopen(path, "rb");

    if (!data || !file || size > FILE_MAX || fread(data, 1, size, file) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        failed = 1;
    } else if (LLVMFuzzerTestOneInput(data, size) != 0) {
        fprintf(stderr, "%s: failed\n", path);
        failed = 1;
    }
    if (file)
        fclose(file);
    free(data);
}

/* The number of files below. */
static size_t run_path(const char *path)
{
    struct dirent *entry;
    struct stat about;
    size_t count = 0;
    DIR *folder;

    if (stat(path, &about) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        failed = 1;
        return 0;
    }
    if (!S_ISDIR(about.st_mode)) {
        run_file(path, (size_t)about.st_size);
        return 1;
    }
    folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        char inner[4096];

        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name) < (int)sizeof(inner))
            count += run_path(inner);
    }
    if (folder)
        closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    size_t count = 0;

    for (int i = 1; i < argc; i++)
        count += run_path(argv[i]);
    printf("%zu inputs\n", count);
    if (count == 0)
        fprintf(stderr, "no input: an empty corpus tests nothing\n");
    return failed || count == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
