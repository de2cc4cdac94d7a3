/* jq_queue.c - lanes of jobs taken in turn. Called by jq_pool, which locks. */
#include "service/expr/jq_queue.h"

#include "service/expr/jq_pool.h"

void jq_queue_init(struct jq_queue *queue, unsigned most)
{
    queue->count = 0;
    queue->most = most;
    pl_list_init(&queue->turns);
    for (size_t i = 0; i < JQ_LANES; i++) {
        pl_list_init(&queue->lanes[i].jobs);
        queue->lanes[i].link = (struct pl_list){0};
        queue->lanes[i].owner = 0;
        queue->lanes[i].held = 0;
    }
}

static bool is_free(const struct jq_lane *lane)
{
    return lane->held == 0 && pl_list_empty(&lane->jobs);
}

/* Its run's, else the first that is free, else the one at its place. */
static struct jq_lane *look_for_lane(struct jq_queue *queue, const struct jq_job *job)
{
    size_t place = job->queue % JQ_LANES;
    struct jq_lane *lane, *vacant = NULL;

    for (size_t i = 0; i < JQ_LANE_TRIES; i++) {
        lane = &queue->lanes[(place + i) % JQ_LANES];
        if (!is_free(lane) && lane->owner == job->queue)
            return lane;
        if (!vacant && is_free(lane))
            vacant = lane;
    }
    if (!vacant)
        return &queue->lanes[place];
    vacant->owner = job->queue;
    return vacant;
}

static struct jq_lane *find_lane(struct jq_queue *queue, struct jq_job *job)
{
    struct jq_lane *lane = look_for_lane(queue, job);

    job->lane = (size_t)(lane - queue->lanes);
    return lane;
}

/* In the row of turns, last, or not in it, as it should be. */
static void line_up(struct jq_queue *queue, struct jq_lane *lane)
{
    bool wants = !pl_list_empty(&lane->jobs) && lane->held < queue->most;

    if (!wants)
        pl_list_remove(&lane->link);
    else if (!pl_list_linked(&lane->link))
        pl_list_append(&queue->turns, &lane->link);
}

/* Inserting behind a node is appending to a list that begins after it. */
static void put_first(struct pl_list *head, struct pl_list *node)
{
    pl_list_append(head->next, node);
}

void jq_queue_put(struct jq_queue *queue, struct jq_job *job, bool again)
{
    struct jq_lane *lane = find_lane(queue, job);

    queue->count++;
    if (!again) {
        pl_list_append(&lane->jobs, &job->link);
        line_up(queue, lane);
        return;
    }
    put_first(&lane->jobs, &job->link);
    pl_list_remove(&lane->link);
    if (lane->held < queue->most)
        put_first(&queue->turns, &lane->link);
}

struct jq_job *jq_queue_take(struct jq_queue *queue)
{
    struct pl_list *turn = pl_list_pop(&queue->turns);
    struct jq_lane *lane;
    struct pl_list *job;

    if (!turn)
        return NULL;
    lane = pl_container_of(turn, struct jq_lane, link);
    job = pl_list_pop(&lane->jobs);
    lane->held++;
    line_up(queue, lane);
    queue->count--;
    return pl_container_of(job, struct jq_job, link);
}

bool jq_queue_pass(struct jq_queue *queue, struct jq_job *job)
{
    struct jq_lane *lane = find_lane(queue, job);

    if (!pl_list_empty(&queue->turns) || lane->held >= queue->most)
        return false;
    lane->held++;
    return true;
}

void jq_queue_leave(struct jq_queue *queue, const struct jq_job *job)
{
    struct jq_lane *lane = &queue->lanes[job->lane];

    lane->held--;
    line_up(queue, lane);
}

bool jq_queue_has_turn(const struct jq_queue *queue)
{
    return !pl_list_empty(&queue->turns);
}

static struct jq_job *withdraw_from(struct jq_queue *queue, struct jq_lane *lane, uint64_t owner)
{
    PL_LIST_EACH(link, &lane->jobs)
    {
        struct jq_job *job = pl_container_of(link, struct jq_job, link);

        if (job->queue != owner)
            continue;
        pl_list_remove(link);
        queue->count--;
        line_up(queue, lane);
        return job;
    }
    return NULL;
}

struct jq_job *jq_queue_withdraw(struct jq_queue *queue, uint64_t owner)
{
    struct jq_job *job = NULL;

    for (size_t i = 0; i < JQ_LANE_TRIES && !job; i++)
        job = withdraw_from(queue, &queue->lanes[(owner % JQ_LANES + i) % JQ_LANES], owner);
    return job;
}

struct jq_job *jq_queue_drain(struct jq_queue *queue)
{
    for (size_t i = 0; i < JQ_LANES && queue->count > 0; i++) {
        struct pl_list *job = pl_list_pop(&queue->lanes[i].jobs);

        if (!job)
            continue;
        queue->count--;
        line_up(queue, &queue->lanes[i]);
        return pl_container_of(job, struct jq_job, link);
    }
    return NULL;
}
