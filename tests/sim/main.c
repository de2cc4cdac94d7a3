/* main.c - the command line of the simulator: scenario after scenario until enough steps were done.
 * Called by people, by ctest and by planted.sh. */
#include "tests/sim/sim.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

struct options {
    uint64_t seed, steps, runs;
    double seconds;
    int64_t crash_at;
    bool verbose, twice, every_crash;
};

enum { MAX_CRASH_POINTS = 300 }; /* of one seed, for --every-crash */

struct totals {
    uint64_t steps, runs, crashes, last_seed, hash;
    int64_t began_us;
};

static double seconds_since(int64_t began_us)
{
    return (double)(pl_monotonic_us() - began_us) / 1e6;
}

static void print_line(const struct options *options, const struct totals *totals, unsigned broken)
{
    double seconds = seconds_since(totals->began_us);

    printf(
        "steps %llu, runs %llu, crashes %llu, rate %.0f steps/s, first seed %llu, last seed %llu, "
        "broken invariants %u\n",
        (unsigned long long)totals->steps, (unsigned long long)totals->runs,
        (unsigned long long)totals->crashes, seconds > 0 ? (double)totals->steps / seconds : 0,
        (unsigned long long)options->seed, (unsigned long long)totals->last_seed, broken);
    fflush(stdout);
}

static void print_workflow(const struct sim_run *run)
{
    struct pl_buf pretty;

    pl_buf_init(&pretty, 64u << 20);
    json_write_pretty(&pretty, pl_buf_view(&run->text));
    printf("workflow (JSON, which is YAML):\n%.*s\n", PL_STR_ARG(pl_buf_view(&pretty)));
    pl_buf_finish(&pretty);
}

/* The seed does the same again, this time with every step of it told. */
static void report_breach(uint64_t seed, const struct sim_plan *plan, const char *breach)
{
    struct sim_plan told = {.trace = true, .crash_at = plan->crash_at};
    struct sim_run run;

    printf("\nBROKEN at seed %llu: %s\n\ntrace (event, ms, what):\n", (unsigned long long)seed,
           breach);
    sim_run_scenario(&run, seed, &told);
    print_workflow(&run);
    printf("\nBROKEN at seed %llu: %s\n", (unsigned long long)seed, breach);
    if (strcmp(breach, run.breach) != 0)
        printf("and the second time: %s\n", run.broken ? run.breach : "nothing was broken");
    printf("reproduce: plait_sim --seed %llu --runs 1 --verbose", (unsigned long long)seed);
    if (plan->crash_at >= 0)
        printf(" --crash-at %lld", (long long)plan->crash_at);
    printf("\n");
    sim_run_finish(&run);
}

/* One scenario. *ret_batches: how many commits it had. False when something was broken. */
static bool one_scenario(const struct options *options, uint64_t seed, const struct sim_plan *plan,
                         struct totals *totals, uint64_t *ret_batches)
{
    struct sim_run run;
    bool ok = sim_run_scenario(&run, seed, plan);
    uint64_t hash = run.hash;

    totals->steps += run.events;
    totals->crashes += run.crashes;
    totals->runs++;
    totals->last_seed = seed;
    totals->hash = sim_hash(totals->hash, hash, 1);
    *ret_batches = run.next_batch;
    if (options->verbose)
        print_workflow(&run);
    if (!ok)
        report_breach(seed, plan, run.breach);
    sim_run_finish(&run);
    if (!ok || !options->twice)
        return ok;
    ok = sim_run_scenario(&run, seed, &(struct sim_plan){.crash_at = plan->crash_at}) &&
         run.hash == hash;
    sim_run_finish(&run);
    if (!ok)
        printf("\nBROKEN at seed %llu: the same seed gave another trace\n",
               (unsigned long long)seed);
    return ok;
}

/* One seed: once, or with a crash after its first commit, its second, ... up to its last. */
static bool one_seed(const struct options *options, uint64_t seed, struct totals *totals)
{
    struct sim_plan plan = {.trace = options->verbose, .crash_at = options->crash_at};
    uint64_t batches;

    if (!options->every_crash)
        return one_scenario(options, seed, &plan, totals, &batches);
    for (plan.crash_at = 0;; plan.crash_at++) {
        if (!one_scenario(options, seed, &plan, totals, &batches))
            return false;
        if ((uint64_t)plan.crash_at + 1 >= batches || plan.crash_at > MAX_CRASH_POINTS)
            return true;
    }
}

static int simulate(const struct options *options)
{
    struct totals totals = {.began_us = pl_monotonic_us()};
    double said = 0;

    for (uint64_t seed = options->seed;; seed++) {
        double seconds = seconds_since(totals.began_us);

        if ((options->steps && totals.steps >= options->steps) ||
            (options->runs && totals.runs >= options->runs) ||
            (options->seconds > 0 && seconds >= options->seconds))
            break;
        if (!one_seed(options, seed, &totals)) {
            print_line(options, &totals, 1);
            return 1;
        }
        if (seconds - said >= 10) {
            said = seconds;
            print_line(options, &totals, 0);
        }
    }
    print_line(options, &totals, 0);
    printf("trace hash %016llx\n", (unsigned long long)totals.hash);
    return 0;
}

static bool read_number(const char *text, double *ret_number)
{
    char *end;

    if (!text)
        return false;
    *ret_number = strtod(text, &end);
    return end != text && *end == '\0' && *ret_number >= 0;
}

static int usage(void)
{
    fprintf(
        stderr,
        "usage: plait_sim [--steps N | --seconds S | --runs N] [--seed X] [--verbose] [--twice]\n"
        "                 [--every-crash | --crash-at K]\n"
        "  Runs random workflows through the run core in a random world, scenario seeds X, X+1, "
        "...\n"
        "  --steps N     until N core events were done (1000000 when nothing is said)\n"
        "  --seconds S   until S seconds have passed\n"
        "  --runs N      N scenarios\n"
        "  --twice       each scenario twice; both must leave the same trace\n"
        "  example: plait_sim --seed 42 --runs 1 --verbose\n");
    return 2;
}

/* An option without a value. */
static bool take_flag(struct options *options, const char *name)
{
    if (strcmp(name, "--verbose") == 0)
        options->verbose = true;
    else if (strcmp(name, "--twice") == 0)
        options->twice = true;
    else if (strcmp(name, "--every-crash") == 0)
        options->every_crash = true;
    else
        return false;
    return true;
}

static bool take_number(struct options *options, const char *name, double number)
{
    if (strcmp(name, "--steps") == 0)
        options->steps = (uint64_t)number;
    else if (strcmp(name, "--seed") == 0)
        options->seed = (uint64_t)number;
    else if (strcmp(name, "--runs") == 0)
        options->runs = (uint64_t)number;
    else if (strcmp(name, "--crash-at") == 0)
        options->crash_at = (int64_t)number;
    else if (strcmp(name, "--seconds") == 0)
        options->seconds = number;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .crash_at = -1};
    double number;

    for (int i = 1; i < argc; i++) {
        if (take_flag(&options, argv[i]))
            continue;
        if (!read_number(i + 1 < argc ? argv[i + 1] : NULL, &number) ||
            !take_number(&options, argv[i], number))
            return usage();
        i++;
    }
    if (!options.steps && !options.runs && options.seconds <= 0)
        options.steps = 1000000;
    return simulate(&options);
}
