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
4) # map: what its join did not count goes into the collapse all the same
    line='return branch.counted ? branch.output : NULL;'
    bug='return branch.output;'
    ;;
5) # vote: over early one vote too soon
    line='alone = best > second + open + 1e-9;'
    bug='alone = best > second + open - 1 + 1e-9;'
    ;;
6) # repeat: the state of the turn before is lost
    line='struct pl_value *state = pl_value_ref(frame->state_after);'
    bug='struct pl_value *state = NULL;'
    ;;
7) # agent: tools are answered in the order they came back
    line='if (call->body != frame->body || call->number != frame->number || call->answer)'
    bug='if (!call->answer \&\& (call->answer = answer_of(step)) != NULL) return; else'
    ;;
8) # state: a branch that its join did not count writes all the same
    line='return run_node_is_branch(node) && !node->counted;'
    bug='return run_node_is_branch(node) \&\& false;'
    ;;
9) # warm_up: the others go when the first branch has begun, not when a model answers it
    line='parent->def->children[0] != node->def;'
    bug='parent->def->children[0]->index > node->def->index;'
    ;;
10) # vote: goes on when nobody can win any more
    line='if (suffices(vote, best + open, tally->total + open))'
    bug='if (open >= 0)'
    ;;
11) # after a crash: what items that have not begun need is forgotten
    line='return node->join->decided || run_slots_of(node)->begun == run_slots_of(node)->n;'
    bug='return node->join != NULL;'
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
