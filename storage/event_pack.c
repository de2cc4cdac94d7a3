/* event_pack.c - writes and reads packs of events. Not SQL. Called by the drivers. */
#include "storage/event_pack.h"

void store_pack_add(struct pl_buf *pack, const struct store_event *event)
{
    pl_buf_text(pack, pl_buf_view(pack).len ? ",[" : "[[");
    pl_buf_int(pack, event->seq);
    pl_buf_char(pack, ',');
    pl_buf_int(pack, event->at);
    pl_buf_char(pack, ',');
    json_write_string(pack, event->type);
    pl_buf_char(pack, ',');
    json_write_string(pack, event->path);
    pl_buf_char(pack, ',');
    pl_buf_int(pack, event->attempt);
    pl_buf_char(pack, ',');
    pl_buf_str(pack, event->data.len ? event->data : PL_STR("null"));
    pl_buf_char(pack, ']');
}

void store_pack_end(struct pl_buf *pack)
{
    pl_buf_char(pack, ']');
}

void store_pack_reader_init(struct store_pack_reader *reader, struct pl_str pack, int64_t above,
                            struct pl_arena *arena)
{
    *reader = (struct store_pack_reader){.arena = arena, .above = above};
    reader->damaged = json_type(pack) != JSON_ARRAY;
    json_iter_init(&reader->events, pack);
}

static bool take_int(struct json_iter *fields, int64_t *ret_number)
{
    return json_iter_next(fields) && json_type(fields->value) == JSON_NUMBER &&
           json_int(fields->value, ret_number);
}

static bool take_string(struct json_iter *fields, struct pl_arena *arena, struct pl_str *ret_text)
{
    if (!json_iter_next(fields) || json_type(fields->value) != JSON_STRING)
        return false;
    if (memchr(fields->value.ptr, '\\', fields->value.len))
        *ret_text = json_decode_string_arena(fields->value, arena);
    else
        *ret_text = pl_str_n(fields->value.ptr + 1, fields->value.len - 2);
    return true;
}

/* An object or null. */
static bool take_data(struct json_iter *fields, struct pl_str *ret_data)
{
    if (!json_iter_next(fields))
        return false;
    *ret_data = fields->value;
    if (json_type(fields->value) == JSON_NULL)
        *ret_data = (struct pl_str){0};
    else if (json_type(fields->value) != JSON_OBJECT)
        return false;
    return true;
}

bool store_pack_next(struct store_pack_reader *reader, struct store_event *ret_event)
{
    struct json_iter fields;

    if (reader->damaged || !json_iter_next(&reader->events))
        return false;
    json_iter_init(&fields, reader->events.value);
    reader->damaged = json_type(reader->events.value) != JSON_ARRAY ||
                      !take_int(&fields, &ret_event->seq) || !take_int(&fields, &ret_event->at) ||
                      !take_string(&fields, reader->arena, &ret_event->type) ||
                      !take_string(&fields, reader->arena, &ret_event->path) ||
                      !take_int(&fields, &ret_event->attempt) ||
                      !take_data(&fields, &ret_event->data) || json_iter_next(&fields) ||
                      ret_event->seq <= reader->above;
    if (!reader->damaged)
        reader->above = ret_event->seq;
    return !reader->damaged;
}
