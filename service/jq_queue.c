/* jq_queue.c - lanes of jobs taken in turn. Called by jq_pool, which locks. */
#include "service/jq_queue.h"

#include "service/jq_pool.h"

void jq_queue_init(struct jq_queue *queue)
{
    queue->count = 0;
    pl_list_init(&queue->turns);
    for (size_t i = 0; i < JQ_LANES; i++) {
        pl_list_init(&queue->lanes[i].jobs);
        queue->lanes[i].link = (struct pl_list){0};
    }
}

/* Inserting behind a node is appending to a list that begins after it. */
static void put_first(struct pl_list *head, struct pl_list *node)
{
    pl_list_append(head->next, node);
}

void jq_queue_put(struct jq_queue *queue, struct jq_job *job, bool again)
{
    struct jq_lane *lane = &queue->lanes[job->queue % JQ_LANES];

    queue->count++;
    if (!again) {
        pl_list_append(&lane->jobs, &job->link);
        if (!pl_list_linked(&lane->link))
            pl_list_append(&queue->turns, &lane->link);
        return;
    }
    put_first(&lane->jobs, &job->link);
    pl_list_remove(&lane->link);
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
    if (!pl_list_empty(&lane->jobs))
        pl_list_append(&queue->turns, &lane->link);
    queue->count--;
    return pl_container_of(job, struct jq_job, link);
}
