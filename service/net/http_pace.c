/* http_pace.c - calls begun in slices, one a turn. Not what beginning means (http_call.c, which
 * calls this).
 *
 * The first calls of a turn begin at once, whatever is in line: so a run of a few calls is not held
 * up by one of thousands. The rest of the slice is for the oldest in line. */
#include "service/net/http_pace.h"

#include "service/net/loop_private.h"

#include <assert.h>

static unsigned *begun_this_turn(struct http_pace *pace)
{
    if (pace->turn != pace->loop->turns) {
        pace->turn = pace->loop->turns;
        pace->begun = 0;
    }
    return &pace->begun;
}

static void come_back(struct http_pace *pace)
{
    if (pace->mail_queued || pl_list_empty(&pace->line))
        return;
    pace->mail_queued = true;
    loop_at_turn_end(pace->loop, &pace->mail);
}

static void on_turn_end(struct loop *loop, struct loop_mail *mail)
{
    struct http_pace *pace = pl_container_of(mail, struct http_pace, mail);
    struct pl_list *node;

    (void)loop;
    pace->mail_queued = false;
    while (*begun_this_turn(pace) < HTTP_PACE_SLICE && (node = pl_list_pop(&pace->line))) {
        pace->begun++;
        pace->begin(pl_container_of(node, struct http_pace_place, node));
    }
    come_back(pace);
}

void http_pace_init(struct http_pace *pace, struct loop *loop,
                    void (*begin)(struct http_pace_place *place))
{
    *pace = (struct http_pace){.loop = loop, .mail.deliver = on_turn_end, .begin = begin};
    pl_list_init(&pace->line);
}

void http_pace_finish(struct http_pace *pace)
{
    assert(pl_list_empty(&pace->line) && !pace->mail_queued);
    (void)pace;
}

bool http_pace_enter(struct http_pace *pace, struct http_pace_place *place)
{
    unsigned *begun = begun_this_turn(pace);

    if (*begun < HTTP_PACE_AT_ONCE) {
        (*begun)++;
        return true;
    }
    http_pace_wait(pace, place);
    return false;
}

void http_pace_wait(struct http_pace *pace, struct http_pace_place *place)
{
    pl_list_append(&pace->line, &place->node);
    come_back(pace);
}

void http_pace_leave(struct http_pace_place *place)
{
    pl_list_remove(&place->node);
}
