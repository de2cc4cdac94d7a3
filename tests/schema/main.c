/* main.c - schema_suite DOCUMENT FOLDER...: the public test suite of JSON Schema (draft 2020-12)
 * against ours; of the folders the first that exists is taken. Every group of every file, and of
 * its `optional` (not `optional/format`: formats are not asserted), is compiled and each of its
 * values judged. A group may only be refused, or judged otherwise, when DOCUMENT (docs/schemas.md)
 * says so, by a keyword that is not supported or by its name; and what it says must be so. Nothing
 * is left out in silence. Each schema that compiles is also written out to stand alone and must
 * judge the same then, and what is made up for it must fit. Run by ctest. */
#include "base/json.h"
#include "service/schema/schema.h"
#include "service/schema/schema_sample.h"
#include "tests/support/text.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 400, FILES = 200, TEXT = 300 };

/* A row of a table of the document. */
struct row {
    char file[TEXT]; /* empty: a keyword */
    char name[TEXT]; /* the keyword, or the group's description */
    bool supported;  /* a keyword */
    bool some;       /* a group that not every release of the suite has */
    bool met;
};

static struct row rows[ROWS];
static size_t n_rows;
static struct pl_arena *arena;
static unsigned n_tests, n_groups, n_refused, n_otherwise, n_samples, n_faults;

PL_PRINTF(1, 2)
static void fault(const char *fmt, ...)
{
    va_list args;

    n_faults++;
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)putchar('\n');
}

/* ---- the document ---- */

/* The next text in backquotes of a line; false when there is none. */
static bool quoted(const char **p, char out[static TEXT])
{
    const char *open = strchr(*p, '`'), *close = open ? strchr(open + 1, '`') : NULL;

    if (!close)
        return false;
    (void)snprintf(out, TEXT, "%.*s", (int)(close - open - 1), open + 1);
    *p = close + 1;
    return true;
}

/* "| `file.json` | `group` | why |" */
static void read_group(const char *line)
{
    struct row *row = &rows[n_rows];

    row->some = strstr(line, "(Debian 1") != NULL;
    if (n_rows < ROWS && quoted(&line, row->file) && quoted(&line, row->name))
        n_rows++;
}

/* Each text in backquotes is a keyword. */
static void read_keywords(const char *line, bool supported)
{
    while (n_rows < ROWS && quoted(&line, rows[n_rows].name))
        rows[n_rows++].supported = supported;
}

/* The sections are known by their headings. */
static void read_document(const char *path)
{
    char *text = test_read_file(path, NULL), *line, *rest = text;
    enum { NOTHING, SUPPORTED, REFUSED, GROUPS } section = NOTHING;

    while (rest && (line = strsep(&rest, "\n"))) {
        if (!strncmp(line, "## ", 3))
            section = !strcmp(line + 3, "Keywords")                               ? SUPPORTED
                      : !strcmp(line + 3, "Keywords that are refused")            ? REFUSED
                      : !strcmp(line + 3, "Where the test suite is not followed") ? GROUPS
                                                                                  : NOTHING;
        else if (section == GROUPS && !strncmp(line, "| `", 3))
            read_group(line);
        else if (section != NOTHING && section != GROUPS && !strncmp(line, "| `", 3)) {
            char *end = strchr(line + 1, '|'); /* the first column */

            if (end)
                *end = '\0';
            read_keywords(line, section == SUPPORTED);
        }
    }
    free(text);
}

static struct row *find_group(const char *file, struct pl_str name)
{
    for (size_t i = 0; i < n_rows; i++)
        if (!strcmp(rows[i].file, file) && pl_str_is(name, rows[i].name))
            return &rows[i];
    return NULL;
}

/* Whether a keyword that is listed as refused stands anywhere in it. */
static bool has_refused_keyword(const struct doc_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        for (size_t r = 0; node->type == DOC_OBJECT && r < n_rows; r++)
            if (!rows[r].file[0] && !rows[r].supported &&
                pl_str_is(node->items[i]->key, rows[r].name)) {
                rows[r].met = true;
                return true;
            }
        if (has_refused_keyword(node->items[i]))
            return true;
    }
    return false;
}

/* ---- one group ---- */

static struct doc_node *parse(struct pl_str json)
{
    struct doc_problems problems;
    struct doc_node *root = NULL;

    doc_problems_init(&problems, arena);
    return doc_parse(arena, json, DOC_JSON, &root, &problems) == PL_OK ? root : NULL;
}

static struct schema *compile(struct pl_str json, const char **ret_why)
{
    struct doc_node *root = parse(json);
    struct doc_problems problems;
    struct schema *schema;

    *ret_why = "no strict JSON";
    if (!root)
        return NULL;
    doc_problems_init(&problems, arena);
    schema = schema_compile(arena, root, &problems);
    *ret_why = problems.count ? problems.items[0].message : "";
    if ((schema != NULL) != (problems.total == 0))
        fault("a schema and a problem, or neither: %.*s", PL_STR_ARG(json));
    return schema;
}

static bool fits(const struct schema *schema, struct pl_str json)
{
    struct doc_problems problems;
    struct pl_str filled;
    enum pl_code code;

    doc_problems_init(&problems, arena);
    code = schema_apply(schema, arena, json, &filled, &problems);
    if ((code == PL_OK) != (problems.total == 0))
        fault("a verdict without a reason: %.*s", PL_STR_ARG(json));
    return code == PL_OK;
}

static struct pl_str member(struct pl_str object, const char *key)
{
    struct pl_str value = PL_STR("null");

    (void)json_get(object, pl_str(key), &value);
    return value;
}

static struct pl_str text_member(struct pl_str object, const char *key)
{
    return json_decode_string_arena(member(object, key), arena);
}

/* True when every value is judged as the suite says. */
static bool judge(const char *file, struct pl_str group, const struct schema *schema,
                  const struct schema *alone, bool quiet)
{
    struct pl_str name = text_member(group, "description");
    bool good = true;
    struct json_iter it;

    for (json_iter_init(&it, member(group, "tests")); json_iter_next(&it);) {
        struct pl_str data = member(it.value, "data");
        bool valid = json_type(member(it.value, "valid")) == JSON_TRUE, found;

        if (json_check(data, 64, NULL, NULL) != PL_OK) {
            good = false;
            if (!quiet)
                fault("%s: %.*s: a value that is no strict JSON: %.*s", file, PL_STR_ARG(name),
                      PL_STR_ARG(text_member(it.value, "description")));
            continue;
        }
        n_tests += !quiet;
        found = fits(schema, data);
        if (found != valid && !quiet)
            fault("%s: %.*s: %.*s: should %s", file, PL_STR_ARG(name),
                  PL_STR_ARG(text_member(it.value, "description")), valid ? "fit" : "not fit");
        good &= found == valid;
        if (fits(alone, data) != found)
            fault("%s: %.*s: %.*s: judged otherwise when the schema stands alone", file,
                  PL_STR_ARG(name), PL_STR_ARG(data));
    }
    return good;
}

static void sample(const char *file, struct pl_str name, const struct schema *schema)
{
    struct pl_buf out, again;
    struct pl_err err;

    pl_buf_init(&out, 1 << 20);
    pl_buf_init(&again, 1 << 20);
    if (schema_sample_write(schema, PL_STR("echo"), &out, &err) == PL_OK) {
        n_samples++;
        if (json_check(pl_buf_view(&out), 64, NULL, NULL) != PL_OK ||
            !fits(schema, pl_buf_view(&out)))
            fault("%s: %.*s: the sample does not fit: %s", file, PL_STR_ARG(name), test_text(&out));
        if (schema_sample_write(schema, PL_STR("echo"), &again, &err) != PL_OK ||
            !pl_str_eq(pl_buf_view(&out), pl_buf_view(&again)))
            fault("%s: %.*s: the sample is another one each time", file, PL_STR_ARG(name));
    } else if (err.code != PL_ERR_INVALID_INPUT) {
        fault("%s: %.*s: no sample: %s", file, PL_STR_ARG(name), err.message);
    } else if (getenv("VERBOSE")) {
        printf("%s: %.*s: no sample\n", file, PL_STR_ARG(name));
    }
    pl_buf_finish(&out);
    pl_buf_finish(&again);
}

static void run_group(const char *file, struct pl_str group)
{
    struct pl_str name = text_member(group, "description"), text = member(group, "schema");
    struct doc_node *root = parse(text);
    struct row *row = find_group(file, name);
    bool expected = row || (root && has_refused_keyword(root));
    const char *why, *why_alone;
    struct schema *schema = compile(text, &why), *alone;
    bool good;

    n_groups++;
    if (row)
        row->met = true;
    if (!schema) {
        n_refused++;
        if (!expected)
            fault("%s: %.*s: refused: %s", file, PL_STR_ARG(name), why);
        return;
    }
    alone = compile(schema_json(schema, arena), &why_alone);
    if (!alone) {
        fault("%s: %.*s: does not compile when it stands alone: %s", file, PL_STR_ARG(name),
              why_alone);
        return;
    }
    good = judge(file, group, schema, alone, row != NULL);
    n_otherwise += !good;
    if (good && expected)
        fault("%s: %.*s: passes; the document says it does not", file, PL_STR_ARG(name));
    sample(file, name, schema);
}

/* ---- all of it ---- */

static void run_file(const char *folder, const char *file)
{
    char *path = NULL, *text = NULL;
    struct json_iter it;
    size_t len;

    if (asprintf(&path, "%s/%s", folder, file) > 0)
        text = test_read_file(path, &len);
    if (!text || json_type(pl_str(text)) != JSON_ARRAY) {
        fault("%s: cannot be read", file);
        free(text);
        free(path);
        return;
    }
    for (json_iter_init(&it, pl_str_n(text, len)); json_iter_next(&it);) {
        arena = pl_arena_create(0);
        run_group(file, it.value);
        pl_arena_destroy(&arena);
    }
    free(text);
    free(path);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(left, right);
}

/* Runs the files of a folder below the suite's; how many there were. */
static size_t run_folder(const char *suite, const char *below)
{
    static char files[FILES][TEXT];
    struct dirent *entry;
    char *path = NULL;
    size_t count = 0;
    DIR *folder;

    if (asprintf(&path, "%s/%s", suite, below) < 0)
        return 0;
    folder = opendir(path);
    free(path);
    while (folder && (entry = readdir(folder))) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot && !strcmp(dot, ".json") && count < FILES)
            (void)snprintf(files[count++], TEXT, "%s%s", below, entry->d_name);
    }
    if (folder)
        (void)closedir(folder);
    qsort(files, count, TEXT, by_name);
    for (size_t i = 0; i < count; i++)
        run_file(suite, files[i]);
    return count;
}

/* What the document says of a keyword is so; groups that it names exist. */
static void check_document(void)
{
    for (size_t i = 0; i < n_rows; i++) {
        char json[TEXT + 16];
        const char *why;
        bool known;

        if (rows[i].file[0]) {
            if (!rows[i].met && !rows[i].some)
                fault("%s: %s: the document names this group, the suite has none", rows[i].file,
                      rows[i].name);
            continue;
        }
        arena = pl_arena_create(0);
        (void)snprintf(json, sizeof(json), "{\"%s\":null}", rows[i].name);
        (void)compile(pl_str(json), &why);
        known = !strstr(why, "is not supported by this version") && !strstr(why, "unknown keyword");
        if (known != rows[i].supported)
            fault("%s: the document says it is %s", rows[i].name,
                  rows[i].supported ? "supported" : "refused");
        pl_arena_destroy(&arena);
    }
}

int main(int argc, char **argv)
{
    size_t files = 0;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: schema_suite DOCUMENT FOLDER...\n");
        return 2;
    }
    read_document(argv[1]);
    for (int i = 2; i < argc && files == 0; i++) {
        files = run_folder(argv[i], "");
        if (files > 0)
            files += run_folder(argv[i], "optional/");
    }
    if (files == 0) {
        (void)printf("the suite is not here; sh deploy/install.sh tests installs it\n");
        return 1;
    }
    check_document();
    (void)printf("%zu files, %u groups: %u refused and %u judged otherwise as %s says; %u tests, "
                 "%u samples; %u faults\n",
                 files, n_groups, n_refused, n_otherwise, argv[1], n_tests, n_samples, n_faults);
    return n_faults || n_tests == 0 ? 1 : 0;
}
