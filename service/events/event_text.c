/* event_text.c - see event_text.h. */
#include "service/events/event_text.h"

#include "base/json.h"

/* The members of an object, behind those that are there. */
static void add_members(struct pl_str object, struct pl_buf *out)
{
    struct json_iter it;

    if (object.len == 0)
        return;
    for (json_iter_init(&it, object); json_iter_next(&it);) {
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        json_write_compact(out, it.value);
    }
}

/* Compact, so that it stays on one line whatever it was written like. */
static void add_output(struct pl_str output, struct pl_buf *out)
{
    if (output.len > EVENT_OUTPUT_BYTES) {
        json_add_bool(out, "output_omitted", true);
        return;
    }
    json_key(out, "output");
    json_write_compact(out, output);
}

static void add_run(struct pl_str run, struct pl_buf *out)
{
    struct json_iter it;

    json_key(out, "run");
    json_object_begin(out);
    for (json_iter_init(&it, run); json_iter_next(&it);) {
        if (pl_str_is(it.key, "\"output\"")) {
            add_output(it.value, out);
            continue;
        }
        json_comma(out);
        pl_buf_str(out, it.key);
        pl_buf_char(out, ':');
        json_write_compact(out, it.value);
    }
    json_object_end(out);
}

void event_text_data(const struct event_text *event, struct pl_buf *out)
{
    char time[PL_TIME_TEXT];

    if (event->made.len) {
        pl_buf_str(out, event->made);
        return;
    }
    json_object_begin(out);
    json_add_string(out, "run_id", event->run_id);
    if (event->seq)
        json_add_int(out, "seq", event->seq);
    json_add_string(out, "at", pl_str(pl_time_format(event->at, time)));
    json_add_string(out, "type", event->type);
    if (event->path.len) {
        json_add_string(out, "path", event->path);
        json_add_int(out, "attempt", event->attempt);
    }
    add_members(event->data, out);
    if (event->output.len)
        add_output(event->output, out);
    if (event->run.len)
        add_run(event->run, out);
    if (event->delta)
        json_add_string(out, "text", event->text);
    if (event->snapshot)
        json_add_bool(out, "snapshot", true);
    json_object_end(out);
}

void event_text_write(const struct event_text *event, enum event_format format, struct pl_buf *out)
{
    if (format == EVENT_NDJSON) {
        event_text_data(event, out);
        pl_buf_char(out, '\n');
        return;
    }
    if (event->seq) {
        pl_buf_text(out, "id: ");
        pl_buf_int(out, event->seq);
        pl_buf_char(out, '\n');
    }
    pl_buf_text(out, "event: ");
    pl_buf_str(out, event->type);
    pl_buf_text(out, "\ndata: ");
    event_text_data(event, out);
    pl_buf_text(out, "\n\n");
}

/* ---- lists ---- */

/* Takes the next name off a list; false at its end. */
static bool next_name(struct pl_str *list, struct pl_str *ret_name)
{
    const char *comma;
    size_t len;

    if (list->len == 0)
        return false;
    comma = memchr(list->ptr, ',', list->len);
    len = comma ? (size_t)(comma - list->ptr) : list->len;
    *ret_name = pl_str_n(list->ptr, len);
    list->ptr += comma ? len + 1 : len;
    list->len -= comma ? len + 1 : len;
    while (ret_name->len && ret_name->ptr[0] == ' ') {
        ret_name->ptr++;
        ret_name->len--;
    }
    while (ret_name->len && ret_name->ptr[ret_name->len - 1] == ' ')
        ret_name->len--;
    return true;
}

static bool type_matches(struct pl_str name, struct pl_str type)
{
    if (name.len && name.ptr[name.len - 1] == '*')
        return pl_str_starts(type, pl_str_n(name.ptr, name.len - 1));
    return pl_str_eq(name, type);
}

bool event_text_type_in(struct pl_str list, struct pl_str type)
{
    struct pl_str name;

    if (list.len == 0)
        return true;
    while (next_name(&list, &name))
        if (name.len && type_matches(name, type))
            return true;
    return false;
}

bool event_text_path_in(struct pl_str list, struct pl_str path)
{
    struct pl_str name;

    if (list.len == 0)
        return true;
    while (next_name(&list, &name))
        if (name.len && pl_str_starts(path, name) &&
            (path.len == name.len || path.ptr[name.len] == '.'))
            return true;
    return false;
}
