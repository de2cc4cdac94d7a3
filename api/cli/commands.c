/* commands.c - THE table of commands and their options. Not parsing (command.c) and not doing
 * (cmd_*.c). */
#include "api/cli/command.h"

static const struct cli_option run_options[] = {
    {'i', "set", "KEY=VALUE",
     "one member of the input, by the type the schema gives it; KEY=@FILE reads a file", true},
    {0, "input", "JSON|@FILE|-", "the whole input: JSON, a file, or standard input", false},
    {0, "answer", "PATH=VALUE",
     "what the human step at PATH is answered; without it, it is asked for at standard input",
     true},
    {0, "budget", "tokens=N,cost_usd=X",
     "what all calls together may use, either or both, beside the workflow's own budget", false},
    {0, "thread", "ID", "the conversation this run belongs to", false},
    {0, "model", "MODEL",
     "call this model in every llm and agent step instead of those the file names", false},
    {0, "db", "URL", "keep the run in this database (sqlite:FILE) instead of one of its own",
     false},
    {0, "resume", "RUN", "go on with an unfinished run; FILE is not needed", false},
    {0, "json", NULL, "print the whole run, steps included, instead of its output", false},
    {'q', "quiet", NULL, "draw no progress", false},
    {0, "config", "FILE", "providers, network and limits (YAML or JSON)", false},
    {0, "drain", "DURATION", "on Ctrl-C: how long calls in flight may take to finish (default 20s)",
     false},
    {0, "loops", "N", "threads that make calls (default: one a core)", false},
    {0, "log-level", "LEVEL", "debug, info, warn (default), error or off", false},
};

static const struct cli_option test_options[] = {
    {0, "record", NULL, "run it for real and keep its calls as the recording", false},
    {0, "recording", "PATH", "the recording (default: FILE with .recording.json as its end)",
     false},
    {'i', "set", "KEY=VALUE",
     "one member of the input, as for run; without any the recorded input is used", true},
    {0, "input", "JSON|@FILE|-", "the whole input: JSON, a file, or standard input", false},
    {0, "answer", "PATH=VALUE",
     "what the human step at PATH is answered; played back, the recorded answers are given", true},
    {0, "model", "MODEL",
     "call this model in every llm and agent step instead of those the file names", false},
    {'q', "quiet", NULL, "draw no progress, and say nothing when the test passes", false},
    {0, "config", "FILE", "with --record: providers, network and limits (YAML or JSON)", false},
    {0, "log-level", "LEVEL", "debug, info, warn (default), error or off", false},
};

static const struct cli_option check_options[] = {
    {0, "config", "FILE", "also check that the models' providers are configured there", false},
};

static const struct cli_option graph_options[] = {
    {0, "format", "mermaid|dot|json", "what to write (default mermaid)", false},
};

static const struct cli_option estimate_options[] = {
    {'i', "set", "KEY=VALUE",
     "one member of the input, by the type the schema gives it; KEY=@FILE reads a file", true},
    {0, "input", "JSON|@FILE|-", "the whole input: JSON, a file, or standard input", false},
    {0, "model", "MODEL", "count every model call as one of this model", false},
    {0, "config", "FILE", "providers and the prices of models (YAML or JSON)", false},
    {0, "json", NULL, "print the whole estimate as JSON, by step and model", false},
};

static const struct cli_option serve_options[] = {
    {0, "listen", "HOST:PORT", "where to listen (default 127.0.0.1:8080); port 0: any that is free",
     false},
    {0, "db", "URL", "the database (default sqlite:plait.db)", false},
    {0, "config", "FILE", "providers, network and limits (YAML or JSON)", false},
    {0, "no-auth", NULL,
     "answer whoever can reach it, under any Host name, on any address; this version has no API "
     "keys",
     false},
    {0, "drain", "DURATION",
     "on SIGTERM or Ctrl-C: how long calls in flight may take to finish (default 20s)", false},
    {0, "loops", "N", "threads that make calls (default: one a core)", false},
    {0, "log-level", "LEVEL", "debug, info (default), warn, error or off", false},
};

const struct cli_command cli_commands[] = {
    {
        .name = "serve",
        .operands = "",
        .summary = "answer HTTP: start, watch and cancel runs, store workflows",
        .example = "plait serve --listen 127.0.0.1:8080 --db sqlite:plait.db",
        .options = serve_options,
        .n_options = PL_ARRAY_LEN(serve_options),
        .min_operands = 0,
        .max_operands = 0,
        .main = cmd_serve,
    },
    {
        .name = "run",
        .operands = "FILE",
        .summary = "run one workflow in this terminal and print its output as JSON",
        .example = "plait run examples/travel-plan.yaml -i destination=Lisbon --model "
                   "'sim/echo?latency=500ms'",
        .options = run_options,
        .n_options = PL_ARRAY_LEN(run_options),
        .min_operands = 0,
        .max_operands = 1,
        .main = cmd_run,
    },
    {
        .name = "test",
        .operands = "FILE",
        .summary = "run a workflow against recorded answers, offline, and say what has changed",
        .example = "plait test examples/travel-plan.yaml",
        .options = test_options,
        .n_options = PL_ARRAY_LEN(test_options),
        .min_operands = 1,
        .max_operands = 1,
        .main = cmd_test,
    },
    {
        .name = "check",
        .operands = "FILE...",
        .summary =
            "say everything that is wrong with workflow files, without running them; what is "
            "most likely not meant as a warning, on stderr",
        .example = "plait check examples/*.yaml",
        .options = check_options,
        .n_options = PL_ARRAY_LEN(check_options),
        .min_operands = 1,
        .max_operands = CLI_VALUES_MAX,
        .main = cmd_check,
    },
    {
        .name = "graph",
        .operands = "FILE",
        .summary = "draw the steps of a workflow and what waits for what",
        .example = "plait graph examples/travel-plan.yaml --format dot | dot -Tsvg > plan.svg",
        .options = graph_options,
        .n_options = PL_ARRAY_LEN(graph_options),
        .min_operands = 1,
        .max_operands = 1,
        .main = cmd_graph,
    },
    {
        .name = "estimate",
        .operands = "FILE",
        .summary = "say what a run would use, expected and at most, before its first call",
        .example = "plait estimate examples/travel-plan.yaml -i destination=Lisbon --config "
                   "plait-config.yaml",
        .options = estimate_options,
        .n_options = PL_ARRAY_LEN(estimate_options),
        .min_operands = 1,
        .max_operands = 1,
        .main = cmd_estimate,
    },
    {
        .name = "version",
        .operands = "",
        .summary = "print the version of plait and of the libraries it runs on",
        .example = "plait version",
        .min_operands = 0,
        .max_operands = 0,
        .main = cmd_version,
    },
};
const size_t cli_commands_count = PL_ARRAY_LEN(cli_commands);
