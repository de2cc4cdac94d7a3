/* schema_sample_pattern.c - texts that a pattern allows, read off its tree. Whether one matches is
 * checked by who asked: what looks around and where words end is not looked at here. Called by
 * schema_sample_values.c and schema_sample_members.c. */
#include "base/utf8.h"
#include "service/schema/schema_pattern_node.h"
#include "service/schema/schema_sample_node.h"

enum { TEXT_MAX = 4096 }; /* bytes; a longer text is of no use */

/* A character of a set, one that reads well if there is one. */
static uint32_t pick(const struct pattern_set *set, sample_nth nth)
{
    static const char liked[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "_-. !#$%&'()*+,/:;<=>?@[]^`{|}~\"\\";
    size_t count = 0, wanted;

    for (size_t i = 0; liked[i]; i++)
        count += pattern_set_has(set, (uint32_t)liked[i]);
    wanted = count ? nth % count : 0;
    for (size_t i = 0; count && liked[i]; i++)
        if (pattern_set_has(set, (uint32_t)liked[i]) && wanted-- == 0)
            return (uint32_t)liked[i];
    for (size_t i = 0; i < set->count; i++) {
        uint32_t code = set->ranges[i].from ? set->ranges[i].from : 1;

        if (code >= 0xD800 && code < 0xE000)
            code = 0xE000;
        if (code <= set->ranges[i].to)
            return code;
    }
    return '?';
}

static void write_node(const struct pattern_node *node, unsigned extra, sample_nth nth, bool mixed,
                       struct pl_buf *out)
{
    const struct pattern_node *child = node->first;
    unsigned count = 0, times;
    char text[4];

    if (out->len > TEXT_MAX || pl_buf_failed(out))
        return;
    switch (node->kind) {
    case PATTERN_SET:
        pl_buf_append(
            out, text,
            pl_utf8_encode(pick(node->set, mixed ? nth + 7 * (unsigned)out->len : nth), text));
        break;
    case PATTERN_SEQUENCE:
        for (; child; child = child->next)
            write_node(child, extra, nth, mixed, out);
        break;
    case PATTERN_CHOICE:
        for (; child; child = child->next)
            count++;
        for (child = node->first, count = nth % count; count > 0; count--)
            child = child->next;
        write_node(child, extra, nth, mixed, out);
        break;
    case PATTERN_REPEAT_OF:
        times = (unsigned)node->least + extra;
        if (node->most != PATTERN_ENDLESS && times > (unsigned)node->most)
            times = (unsigned)node->most;
        for (; count < times && out->len <= TEXT_MAX; count++)
            write_node(child, extra > 4 ? 0 : extra, nth, mixed, out);
        break;
    case PATTERN_BEGIN:
    case PATTERN_END:
    case PATTERN_WORD:
    case PATTERN_NO_WORD:
    case PATTERN_AHEAD:
    case PATTERN_BEHIND:
        break;
    }
}

void sample_pattern(const struct schema_pattern *pattern, unsigned extra, sample_nth nth,
                    bool mixed, struct pl_buf *out)
{
    write_node(pattern->tree, extra, nth, mixed, out);
}
