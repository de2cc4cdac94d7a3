#!/bin/sh
# layers.sh - refuses an include against the arrow api -> service -> storage -> base, and api/ reaching past the engine's
# doors. Not for tests/, which may look anywhere. Run by tests/run.sh; run it by hand: sh tests/lint/layers.sh
set -eu
cd "$(dirname "$0")/../.."

# What api/ may include of service/, each with its reason. A new row needs one as good.
doors='
service/engine.h               the engine itself
service/engine_answer.h        what people say to its runs
service/engine_figures.h       what it has done, for /metrics
service/engine_threads.h       the memory of its threads
service/workflow/workflow.h    to check and draw a file without running it
service/workflow/doc.h         problems with their places
service/config/config.h        to load the configuration
service/estimate.h             to say what a run would use
service/budget.h               a budget, as a run is asked for with one
service/events/bus.h           to watch a run
service/events/event_stream.h  to read the events of a run, stored and live
service/schema/schema.h        to check an input before it is sent
service/expr/jq_pool.h         main is also the main of its workers
service/tape/tape.h            to record a run and to play it back
service/llm/provider.h         to ask whether a model can be called, for check and run
service/secrets.h              to ask whether a secret is there, for check and run
'
# Libraries that belong to one layer, and who else may name them.
owners='
sqlite3.h        storage/sqlite/
curl/curl.h      service/net/
yaml.h           service/workflow/
jq.h             service/expr/
jv.h             service/expr/
seccomp.h        service/expr/
cjson/cJSON.h    base/
'
# Files that may name any library, and why.
exempt='
api/cli/cmd_version.c  prints the versions of all libraries
'

find base storage service api -name '*.[ch]' | sort | xargs grep -nE '^[[:space:]]*#[[:space:]]*include' |
    awk -v doors="$doors" -v owners="$owners" -v exempt="$exempt" '
    BEGIN {
        rank["base"] = 0; rank["storage"] = 1; rank["service"] = 2; rank["api"] = 3
        n = split(doors, line, "\n")
        for (i = 1; i <= n; i++) if (split(line[i], word, " ") > 1) door[word[1]] = 1
        n = split(owners, line, "\n")
        for (i = 1; i <= n; i++) if (split(line[i], word, " ") > 1) owner[word[1]] = word[2]
        n = split(exempt, line, "\n")
        for (i = 1; i <= n; i++) if (split(line[i], word, " ") > 1) free[word[1]] = 1
    }
    function bad(text) { print place ": " text; broken = 1 }
    {
        split($0, part, ":")
        file = part[1]; place = part[1] ":" part[2]
        target = $0; sub(/^[^"<]*["<]/, "", target); sub(/[">].*$/, "", target)
        split(file, from, "/"); layer = from[1]
        split(target, to, "/")
        if ($0 ~ /</) {
            if ((target in owner) && index(file, owner[target]) != 1 && !(file in free))
                bad("includes <" target ">, which belongs to " owner[target] "; go through a header of that layer")
            next
        }
        if (to[1] == "tests") { bad("the product includes \"" target "\"; move what it needs out of tests/"); next }
        if (target !~ /\//) { bad("include \"" target "\" by its path from the root"); next }
        if (!(to[1] in rank)) { bad("\"" target "\" is in no layer; the layers are base, storage, service, api"); next }
        if (rank[to[1]] > rank[layer])
            bad(layer "/ includes \"" target "\", against the arrow api -> service -> storage -> base; return a value or take a callback")
        else if (layer == "api" && to[1] == "storage")
            bad("api/ includes \"" target "\"; ask service/engine.h for it")
        else if (layer == "api" && to[1] == "service" && !(target in door))
            bad("api/ includes \"" target "\", which is no door of service/; see the list in tests/lint/layers.sh")
    }
    END { exit broken }'
