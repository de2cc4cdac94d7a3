#!/bin/sh
# http.sh PLAIT BENCH [OUT.jsonl] - throughput through HTTP: workload W3 (3 calls at once and 1 after them at 0 ms, 64 clients) of the peers'
# benchmark in the folder BENCH on PLAIT, and in the same minute the machine's floor for it (bare libcurl, nothing in front, nothing stored).
# Prints runs a second, p50 and p99 of both and their ratio. About two minutes; needs what BENCH needs (nginx with Lua, wrk, node, undici).
set -eu
plait=$(cd "$(dirname "${1:?usage: http.sh PLAIT BENCH [OUT.jsonl]}")" && pwd)/$(basename "$1")
bench=$(cd "${2:?usage: http.sh PLAIT BENCH [OUT.jsonl]}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=${3:-$work/out.jsonl}
case $out in /*) ;; *) out=$PWD/$out ;; esac
: >"$out"

inside() { "$bench/netns.sh" "$@"; }
cd "$bench/mock-llm"
inside ./mock.sh status >/dev/null 2>&1 || inside ./mock.sh start
# shellcheck disable=SC3045 # dash and bash know it
ulimit -n "$(awk '/^Max open files/ {print $5}' /proc/self/limits)"
gcc -O2 -o "$work/limit" "$bench/limit/limit.c" -lcurl -lsqlite3 -lmicrohttpd

floor() {
    inside env SHARDS=8 "$work/limit" runs http://127.0.0.1:18181/v1/chat/completions 4 64 2>/dev/null | tee -a "$out"
}
cd "$bench/peers"
floor
inside env PLAIT="$plait" node http/run.mjs http/plait.config.mjs --workloads w3 --secs 4 --w3reps 3 | tee -a "$out"
floor
node -e '
const lines = require("fs").readFileSync(process.argv[1], "utf8").trim().split("\n").map((line) => JSON.parse(line));
const floor = lines.filter((line) => line.peer.startsWith("limit-")).map((line) => line.runs_per_s);
const own = lines.find((line) => line.peer === "plait" && line.runs_per_s);
const mean = floor.reduce((a, b) => a + b, 0) / floor.length;
console.log(JSON.stringify({runs_per_s: own.runs_per_s, p50: own.p50, p99: own.p99, floor_runs_per_s: Math.round(mean), ratio: Number((own.runs_per_s / mean).toFixed(3))}));
' "$out"
