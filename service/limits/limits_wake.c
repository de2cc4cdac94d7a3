/* limits_wake.c - the time of a lane: a timer on one loop while calls wait for it. Not what happens
 * then (limits.c). Called by limits.c with the lane's lock held.
 *
 * The loop of the first call that waits keeps the time until nobody does. Timers belong to their
 * loop's thread, so whoever finds a new time posts mail there; the mail is in one queue at most
 * and always delivered, and the loop is held until it has seen that nobody waits. */
#include "service/limits/limits_private.h"

static void keeper_deliver(struct loop *loop, struct loop_mail *mail);

static void keeper_fire(struct loop *loop, struct loop_timer *timer)
{
    struct lane *lane = pl_container_of(timer, struct lane, keeper.timer);

    pl_mutex_lock(&lane->lock);
    lane->keeper.timer_at = 0;
    lane_pump_locked(lane, loop_now(loop));
    pl_mutex_unlock(&lane->lock);
}

void lane_keep_locked(struct lane *lane, struct loop *loop)
{
    struct lane_keeper *keeper = &lane->keeper;

    if (keeper->loop)
        return;
    keeper->loop = loop;
    keeper->mail.deliver = keeper_deliver;
    keeper->timer = (struct loop_timer){.fire = keeper_fire};
    loop_hold(loop);
}

static bool nobody_waits(const struct lane *lane)
{
    return atomic_load(&lane->waiting) == 0;
}

void lane_rewake_locked(struct lane *lane)
{
    struct lane_keeper *keeper = &lane->keeper;

    if (!keeper->loop || keeper->posted ||
        (!nobody_waits(lane) && lane->wake_at == keeper->timer_at))
        return;
    keeper->posted = true;
    loop_post(keeper->loop, &keeper->mail);
}

/* On the loop that keeps the time. */
static void keeper_deliver(struct loop *loop, struct loop_mail *mail)
{
    struct lane *lane = pl_container_of(mail, struct lane, keeper.mail);
    struct lane_keeper *keeper = &lane->keeper;
    bool over;

    pl_mutex_lock(&lane->lock);
    keeper->posted = false;
    over = nobody_waits(lane);
    keeper->timer_at = over ? 0 : lane->wake_at;
    if (keeper->timer_at)
        loop_timer_set(loop, &keeper->timer, keeper->timer_at);
    else
        loop_timer_clear(loop, &keeper->timer);
    if (over)
        keeper->loop = NULL;
    pl_mutex_unlock(&lane->lock);
    if (over)
        loop_release(loop);
}
