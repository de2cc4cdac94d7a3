/* jq_pool_check.c - asking the workers and waiting for the answer: whether texts compile, what one
 * expression gives. Jobs like others, which no loop waits for. Called when a workflow is checked or
 * estimated. */
#include "base/limits.h"
#include "service/expr/jq_pool_private.h"
#include "service/expr/jq_words.h"

#include <stdlib.h>

struct waiter {
    struct pl_mutex lock;
    struct pl_cond changed;
    bool done; /* guarded by lock */
};

/* A job and the thread that waits for it. */
struct question {
    struct jq_job job;
    struct waiter waiter;
};

static void question_done(struct jq_job *job)
{
    struct waiter *waiter = &pl_container_of(job, struct question, job)->waiter;

    pl_mutex_lock(&waiter->lock);
    waiter->done = true;
    pl_cond_signal(&waiter->changed);
    pl_mutex_unlock(&waiter->lock);
}

/* Submits and waits; the answers are filled. `check`: it is only compiled. */
static void ask(struct jq_pool *pool, struct question *question, bool check)
{
    struct waiter *waiter = &question->waiter;

    pl_mutex_init(&waiter->lock);
    pl_cond_init(&waiter->changed);
    waiter->done = false;
    question->job.state = check ? waiter : NULL;
    question->job.done = question_done;
    jq_pool_submit(pool, &question->job);
    pl_mutex_lock(&waiter->lock);
    while (!waiter->done)
        pl_cond_wait(&waiter->changed, &waiter->lock);
    pl_mutex_unlock(&waiter->lock);
    pl_cond_finish(&waiter->changed);
    pl_mutex_finish(&waiter->lock);
}

enum pl_code jq_pool_value(struct jq_pool *pool, const struct jq_program *program, uint32_t index,
                           struct pl_str document, struct pl_arena *arena, struct pl_str *ret_json,
                           struct pl_err *err)
{
    struct question question = {
        .job =
            {
                .program = program,
                .indexes = &index,
                .n_indexes = 1,
                .document = document,
                .queue = program->id,
                .max_output = PL_LIMIT_STEP_OUTPUT_BYTES,
                .arena = arena,
            },
    };
    const struct jq_answer *answer;

    ask(pool, &question, false);
    answer = question.job.answers;
    if (!answer)
        return pl_err_set(err, PL_ERR_NO_MEMORY, "out of memory");
    if (answer->err.code == PL_OK)
        *ret_json = answer->json;
    else if (err)
        *err = answer->err;
    return answer->err.code;
}

/* The texts whose words and brackets are sound, and where each stands in the caller's list. */
struct sound {
    struct pl_str *texts;
    size_t *places;
    struct jq_answer *answers;
    size_t count;
};

static enum pl_code ask_about(struct jq_pool *pool, const struct sound *sound,
                              struct pl_err *errors, struct pl_err *err)
{
    struct jq_program program = {
        .id = jq_program_new_id(),
        .texts = sound->texts,
        .count = sound->count,
    };
    struct question question = {
        .job =
            {
                .program = &program,
                .n_indexes = sound->count,
                .queue = program.id,
                .answers = sound->answers,
            },
    };

    ask(pool, &question, true);
    for (size_t i = 0; i < sound->count; i++) {
        const struct pl_err *answer = &sound->answers[i].err;

        if (answer->code == PL_ERR_INTERNAL || answer->code == PL_ERR_NO_MEMORY)
            return pl_err_set(err, answer->code, "%s", answer->message);
        errors[sound->places[i]] = *answer;
    }
    return PL_OK;
}

static enum pl_code check_in(struct jq_pool *pool, const struct pl_str *texts, size_t count,
                             struct pl_err *errors, struct pl_err *err)
{
    struct sound sound = {
        .texts = calloc(count, sizeof *sound.texts),
        .places = calloc(count, sizeof *sound.places),
        .answers = calloc(count, sizeof *sound.answers),
    };
    enum pl_code code = PL_OK;

    if (!sound.texts || !sound.places || !sound.answers) {
        code = pl_err_set(err, PL_ERR_NO_MEMORY, "no memory to check %zu expressions", count);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        errors[i] = (struct pl_err){.code = PL_OK};
        if (jq_words_check(texts[i], &errors[i]) != PL_OK)
            continue;
        sound.texts[sound.count] = texts[i];
        sound.places[sound.count++] = i;
    }
    if (sound.count > 0)
        code = ask_about(pool, &sound, errors, err);
out:
    free(sound.texts);
    free(sound.places);
    free(sound.answers);
    return code;
}

enum pl_code jq_pool_check(struct jq_pool *pool, const struct pl_str *texts, size_t count,
                           struct pl_err *errors, struct pl_err *err)
{
    struct jq_pool *own = NULL;
    enum pl_code code = PL_OK;

    if (count == 0)
        return PL_OK;
    if (!pool)
        code = jq_pool_create(1, &own, err);
    if (code == PL_OK)
        code = check_in(pool ? pool : own, texts, count, errors, err);
    jq_pool_destroy(&own);
    return code;
}
