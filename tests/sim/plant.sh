#!/bin/sh
# plant.sh NUMBER SOURCE COPY - writes SOURCE with bug NUMBER planted in it to COPY. Fails, and the build with it, when the
# line to change is not there exactly once. Called by the build.
set -eu
number=$1 source=$2 copy=$3

case $number in
1) # a join that counts a cancelled branch as a success
    line='join->cancelled++;'
    bug='join->succeeded++;'
    ;;
2) # recovery that calls a recorded success again
    line='if (node->state == NODE_CALLING || node->state == NODE_STOPPING)'
    bug='if (node->state == NODE_SUCCEEDED \&\& node->attempts > 0 \&\& core->state == RUN_RUNNING) { node->state = NODE_DECIDING; core->open++; node->frame->open++; run_attempt_begin(core, node); } else if (node->state == NODE_CALLING || node->state == NODE_STOPPING)'
    ;;
3) # one retry too many
    line='node->tries < node->def->retry.attempts'
    bug='node->tries <= node->def->retry.attempts'
    ;;
*)
    echo "plant.sh: there is no bug $number" >&2
    exit 1
    ;;
esac
found=$(grep -c -F -- "$line" "$source" || true)
if [ "$found" -ne 1 ]; then
    echo "plant.sh: bug $number wants exactly one line with \"$line\" in $source, there are $found" >&2
    echo "plant.sh: find where that decision is made now and move the pattern (tests/sim/README.md)" >&2
    exit 1
fi
escaped=$(printf '%s' "$line" | sed 's/[][\.*^$|]/\\&/g')
sed "s|$escaped|$(printf '%s' "$bug" | sed 's/|/\\|/g')|" "$source" >"$copy"
