/* run_answers.c - answers of people to the steps of one run: on their way to its core, and told of
 * once what came of them is durable. Not what a step does with one (run_human) nor where they come
 * from (engine_answer.c). Home loop. */
#include "service/run/run_exec_private.h"

void run_exec_answer(struct run_exec *exec, struct run_answer *answer)
{
    pl_list_append(&exec->answers_in, &answer->link);
    run_exec_wake(exec);
}

/* A step that is over may be gone by the time its event is looked at; one that asks is not. */
static struct run_node *find_asking(const struct run_exec *exec, struct pl_str path)
{
    struct run_node *node = run_core_find(exec->core, path);

    return node && node->state == NODE_ASKING ? node : NULL;
}

bool run_answers_next(struct run_exec *exec, struct run_event *ret_event)
{
    struct pl_list *link;

    while ((link = pl_list_pop(&exec->answers_in))) {
        struct run_answer *answer = pl_container_of(link, struct run_answer, link);
        struct run_node *node = find_asking(exec, answer->path);

        pl_list_append(&exec->answers, link);
        if (!node) {
            pl_err_set(&answer->err, PL_ERR_CONFLICT, "the step does not wait for an answer");
            continue;
        }
        *ret_event = (struct run_event){
            .type = RUN_EV_ANSWER,
            .now = loop_now(exec->home),
            .node = node,
            .value = pl_value_ref(answer->value),
        };
        if (!answer->value)
            ret_event->err = answer->reject;
        return true;
    }
    return false;
}

bool run_answers_first(const struct run_exec *exec, struct pl_str *ret_path)
{
    if (pl_list_empty(&exec->answers_in))
        return false;
    *ret_path = pl_container_of(exec->answers_in.next, struct run_answer, link)->path;
    return true;
}

void run_answers_submit(struct run_exec *exec, struct exec_commit *commit)
{
    for (struct pl_list *link; (link = pl_list_pop(&exec->answers));)
        pl_list_append(&commit->answers, link);
}

void run_answers_told(struct pl_list *answers, const struct pl_err *failure)
{
    for (struct pl_list *link; (link = pl_list_pop(answers));) {
        struct run_answer *answer = pl_container_of(link, struct run_answer, link);

        if (failure)
            answer->err = *failure;
        answer->done(answer);
    }
}

void run_answers_settle(struct run_exec *exec)
{
    if (exec->batch)
        return; /* they go with it */
    if (exec->commits_open)
        run_answers_submit(exec, &exec->commit);
    else
        run_answers_told(&exec->answers, NULL);
}

void run_answers_drop(struct run_exec *exec)
{
    struct pl_err err = exec->store_err;

    if (exec->dropped && err.code == PL_OK)
        pl_err_set(&err, PL_ERR_SHUTTING_DOWN,
                   "the service stops; the answer was not recorded, give it again");
    else if (err.code == PL_OK)
        pl_err_set(&err, PL_ERR_CONFLICT, "the run is over");
    run_answers_told(&exec->answers_in, &err);
    run_answers_told(&exec->answers, &err);
}
