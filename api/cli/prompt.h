/* prompt.h - `plait run` asks whoever sits at it what the run's human steps ask: one question after
 * the other on stderr, a line each from standard input, or from --answer. Not the run (engine) nor
 * its progress (progress.h). Called by run_start.c and run_follow.c, one thread.
 *
 * A line is read by the schema the step waits with: text as it is where text fits, else JSON; yes
 * and no for a boolean. `/reject WHY` says no. What does not fit is asked again. */
#ifndef PLAIT_API_CLI_PROMPT_H
#define PLAIT_API_CLI_PROMPT_H

#include "api/cli/command.h"
#include "service/engine.h"

struct prompt;

struct prompt_options {
    struct engine *engine;
    struct pl_str tenant;
    const char *run_id;
    const struct cli_values *answers; /* of --answer: PATH=VALUE */
    /* Any thread: prompt_work has something to do. */
    void (*ring)(void *arg);
    void *arg;
};

/* NULL when out of memory. Everything in the options is borrowed. */
struct prompt *prompt_create(const struct prompt_options *options);
/* No answer of it may be on its way: after the engine has been drained. */
void prompt_destroy(struct prompt **prompt);

/* Something may have changed in who waits: an event of the run, a gap in them, or a run that was
 * resumed. */
void prompt_event(struct prompt *prompt, const struct bus_event *event);
void prompt_look(struct prompt *prompt);

/* What standard input must be watched for, -1: nothing. */
int prompt_fd(const struct prompt *prompt);
/* Would it write to the terminal now? Then what is drawn there must be finished first. */
bool prompt_wants(const struct prompt *prompt);
/* A question stands there: nothing else may be drawn. */
bool prompt_asks(const struct prompt *prompt);
/* Asks, reads, gives answers: what can be done without waiting. */
void prompt_work(struct prompt *prompt);
/* Input has ended, and the run waits for an answer and for nothing else. Said on stderr once. */
bool prompt_is_stuck(const struct prompt *prompt);
/* Says on stderr which of the first `given` answers nobody asked for: a misspelt path. */
void prompt_tell_unused(const struct prompt *prompt, unsigned given);

#endif
