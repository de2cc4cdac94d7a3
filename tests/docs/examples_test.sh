#!/bin/sh
# examples_test.sh PLAIT - the workflows that people copy must work: every file of examples/ and every whole workflow in the
# documents (a ```yaml block that begins with "name:") passes `plait check`; one after "<!-- run: ARGUMENTS -->" is also run,
# on the simulated model unless it says otherwise, and must print the ```json block that follows it, if one does. Run by
# tests/run.sh.
set -eu
case ${1:?usage: examples_test.sh PLAIT} in /*) plait=$1 ;; *) plait=$PWD/$1 ;; esac
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME="$work/state" OPENAI_API_KEY=unused
broken=0
count=0

"$plait" check examples/*.yaml || broken=1

# Configurations: every whole one in the documents must load.
echo a-key-of-the-documents >"$work/key"
awk -v out="$work" '
    /^```yaml$/ {inside = 1; first = 1; next}
    /^```/ {inside = 0; target = ""; next}
    inside && first {first = 0; if ($0 == "providers:") target = out "/config-" ++n ".yaml"}
    inside && target {print > target}' docs/*.md
for file in "$work"/config-*.yaml; do
    sed -i "s|/run/secrets/[a-z]*|$work/key|" "$file"
    "$plait" check --config "$file" examples/travel-plan.yaml || {
        echo "docs: this configuration does not load:"
        cat "$file"
        broken=1
    }
done

for page in README.md docs/*.md; do
    rm -rf "$work/blocks"
    mkdir "$work/blocks"
    awk -v out="$work/blocks" '
        /^<!-- run:/ {run = $0; sub(/^<!-- run: */, "", run); sub(/ *-->$/, "", run); runs = 1; next}
        /^```(yaml|json)$/ && !inside {inside = 1; kind = substr($0, 4); first = 1; line = FNR; next}
        /^```/ && !inside {inside = 1; kind = ""; next}
        /^```/ {if (target) close(target); target = ""; inside = 0; kind = ""; next}
        inside && kind == "yaml" && first {
            first = 0; file = ""
            if ($0 ~ /^name: /) {
                file = sprintf("%s/%04d", out, line); target = file ".yaml"
                if (runs) print run > (file ".args")
                expects = runs
            }
            runs = 0
        }
        inside && kind == "json" && first {first = 0; target = ""; if (expects) {target = file ".json"; expects = 0}}
        inside && target {print > target}' "$page"
    for block in "$work"/blocks/*.yaml; do
        [ -e "$block" ] || continue
        base=${block%.yaml}
        line=$(basename "$base" | sed 's/^0*//')
        count=$((count + 1))
        if ! "$plait" check "$block"; then
            echo "$page:$line: this workflow is not valid (lines counted from the block's first)"
            broken=1
            continue
        fi
        [ -e "$base.args" ] || continue
        if ! (cd "$work" && eval "timeout 60 \"\$plait\" run \"\$block\" --quiet $(cat "$base.args")" >"$base.out" 2>"$base.err" </dev/null); then
            echo "$page:$line: this workflow failed: $(cat "$base.err")"
            broken=1
        elif [ -e "$base.json" ] &&
            ! node -e 'const fs = require("fs"), a = require("assert");
                a.deepStrictEqual(...process.argv.slice(1).map((f) => JSON.parse(fs.readFileSync(f, "utf8"))))' "$base.out" "$base.json" 2>"$base.diff"; then
            echo "$page:$line: this workflow printed something else than the block that follows it: $(cat "$base.out")"
            broken=1
        fi
    done
done
echo "$count workflows in documents"
exit $broken
