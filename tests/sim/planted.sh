#!/bin/sh
# planted.sh - proves that the simulator can fail: each program given is plait_sim on a core with one bug planted in it
# (plant.sh), and each must say so (exit 1) within 60 s. Called by ctest.
set -u
failed=0
for program in "$@"; do
    began=$(date +%s.%N)
    log=$(mktemp)
    timeout 60 "$program" --seconds 60 --seed 1 >"$log" 2>&1
    code=$?
    took=$(echo "$(date +%s.%N) $began" | awk '{printf "%.2f", $1 - $2}')
    if [ "$code" -eq 1 ]; then
        echo "$(basename "$program"): caught after $took s: $(grep -m 1 '^BROKEN' "$log")"
    else
        echo "$(basename "$program"): NOT caught within $took s (exit $code)"
        failed=1
    fi
    rm -f "$log"
done
exit $failed
