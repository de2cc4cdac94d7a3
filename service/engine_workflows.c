/* engine_workflows.c - stored workflows: put, deleted, found by name, listed. Not their compiling
 * (workflow.c) nor their rows (storage/). */
#include "base/json.h"
#include "base/limits.h"
#include "service/engine_private.h"
#include "storage/store.h"

#include <stdlib.h>

enum { VERSION_DIGITS = 18 }; /* fewer than an int64 may have */

static enum pl_code check_name(struct pl_str name, struct pl_err *err)
{
    bool ok = name.len > 0 && name.len <= PL_LIMIT_NAME;

    for (size_t i = 0; ok && i < name.len; i++) {
        char c = name.ptr[i];

        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (i > 0 && (c == '_' || c == '-'));
    }
    if (ok)
        return PL_OK;
    return pl_err_set(err, PL_ERR_INVALID_ARGUMENT,
                      "a workflow's name has lower-case letters, digits, '-' and '_', begins with "
                      "a letter or digit and has at most %d characters",
                      PL_LIMIT_NAME);
}

/* ---- changing ---- */

/* The writer thread. */
static void put_done(void *arg, enum pl_code code, const struct store_op_result *result,
                     const struct pl_err *err)
{
    struct engine_workflow_put *put = arg;

    put->done(put->arg, code, result->version, result->created, err);
    free(put);
}

void engine_put_workflow(struct engine *engine, const struct engine_workflow_put *put)
{
    struct engine_workflow_put *copy = malloc(sizeof *copy);
    struct store_op op = {
        .kind = STORE_OP_PUT_WORKFLOW,
        .tenant = put->tenant,
        .name = put->name,
        .text = put->workflow->source,
        .hash = pl_str(put->workflow->source_hash),
        .if_version = put->if_version,
        .now = pl_clock_now(engine->env.clock),
    };
    struct pl_err err;
    enum pl_code code = check_name(put->name, &err);

    if (code == PL_OK && !copy)
        code = pl_err_set(&err, PL_ERR_NO_MEMORY, "out of memory");
    if (code != PL_OK) {
        free(copy);
        put->done(put->arg, code, 0, false, &err);
        return;
    }
    *copy = *put; /* its strings are not looked at any more */
    store_submit_op(engine->store, &op, put_done, copy);
}

void engine_delete_workflow(struct engine *engine, struct pl_str tenant, struct pl_str name,
                            int64_t if_version, engine_done_fn done, void *arg)
{
    struct store_op op = {
        .kind = STORE_OP_DELETE_WORKFLOW,
        .tenant = tenant,
        .name = name,
        .if_version = if_version,
    };

    engine_submit_deletion(engine, &op, done, arg);
}

/* ---- reading ---- */

/* "name" or "name@version" (0: the newest). False when it is neither. */
static bool read_reference(struct pl_str reference, struct pl_str *ret_name, int64_t *ret_version)
{
    const char *at = reference.len ? memchr(reference.ptr, '@', reference.len) : NULL;
    struct pl_str digits;

    *ret_name = reference;
    *ret_version = 0;
    if (!at)
        return true;
    ret_name->len = (size_t)(at - reference.ptr);
    digits = pl_str_n(at + 1, reference.len - ret_name->len - 1);
    if (digits.len == 0 || digits.len > VERSION_DIGITS || digits.ptr[0] == '0')
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
        *ret_version = *ret_version * 10 + (digits.ptr[i] - '0');
    }
    return true;
}

enum pl_code engine_read_workflow(struct engine *engine, struct pl_arena *arena,
                                  struct pl_str tenant, struct pl_str reference,
                                  struct store_workflow *ret_row, struct pl_err *err)
{
    struct pl_str name;
    int64_t version;

    if (!read_reference(reference, &name, &version) || check_name(name, NULL) != PL_OK)
        return pl_err_set(err, PL_ERR_NOT_FOUND, "there is no workflow %.*s",
                          PL_STR_ARG(reference));
    return store_get_workflow(engine->store, arena, tenant, name, version, ret_row, err);
}

enum pl_code engine_get_workflow(struct engine *engine, struct pl_str tenant,
                                 struct pl_str reference, struct workflow **ret_workflow,
                                 int64_t *ret_version, pl_ms *ret_created_at, struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct workflow *workflow = NULL;
    struct store_workflow row;
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = engine_read_workflow(engine, arena, tenant, reference, &row, err);
    if (code == PL_OK)
        code = engine_compile_named(engine, tenant, &row, &workflow, err);
    if (code == PL_OK) {
        *ret_workflow = workflow;
        *ret_version = row.version;
        *ret_created_at = row.created_at;
    }
    pl_arena_destroy(&arena);
    return code;
}

static void write_workflow(const struct store_workflow *row, struct pl_buf *out)
{
    char time[PL_TIME_TEXT];

    json_object_begin(out);
    json_add_string(out, "name", row->name);
    json_add_int(out, "version", row->version);
    json_add_string(out, "hash", row->hash);
    json_add_string(out, "created_at", pl_str(pl_time_format(row->created_at, time)));
    json_object_end(out);
}

enum pl_code engine_write_workflows(struct engine *engine, struct pl_str tenant,
                                    struct pl_str after, size_t limit, struct pl_buf *out,
                                    struct pl_err *err)
{
    struct pl_arena *arena = pl_arena_create(0);
    struct store_workflow *rows = NULL;
    size_t count = 0;
    enum pl_code code;

    if (!arena)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    code = store_list_workflows(engine->store, arena, tenant, after, limit + 1, &rows, &count, err);
    if (code == PL_OK) {
        bool more = count > limit;

        engine_list_begin(out);
        for (size_t i = 0; i < count && i < limit; i++) {
            json_comma(out);
            write_workflow(&rows[i], out);
        }
        code = engine_list_end(out, more, more && limit ? rows[limit - 1].name : after, err);
    }
    pl_arena_destroy(&arena);
    return code;
}
