#!/bin/sh
# sse_load.sh BUILD [IDLE [ACTIVE]] - what readers of events cost: starts the service and the stand-in model of BUILD, opens IDLE (10,000)
# readers with 8 KB of request headers each, measures the service's memory, then 1,000 ACTIVE readers of a run of 100 branches that
# stream, and /healthz meanwhile. Prints JSON lines; exit status 1 when an event was lost. A minute. Called by people, needs curl;
# not part of the suite, whose short form is limits.test.mjs.
set -eu
build=$(cd "${1:?usage: sse_load.sh BUILD [IDLE [ACTIVE]]}" && pwd)
idle=${2:-10000} active=${3:-1000}
work=$(mktemp -d)
port=$((20000 + $$ % 10000))
url=http://127.0.0.1:$port
pids=
finish() {
    # shellcheck disable=SC2086 # a list
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
# shellcheck disable=SC3045 # dash and bash know it
ulimit -n "$(awk '/^Max open files/ {print $5}' /proc/self/limits)"

"$build/tests/fake_model/fake_model" --port 0 --port-file "$work/port" >/dev/null &
pids="$pids $!"
while [ ! -s "$work/port" ]; do sleep 0.05; done
OPENAI_API_KEY=x OPENAI_BASE_URL="http://127.0.0.1:$(cat "$work/port")/v1" "$build/plait" serve --listen "127.0.0.1:$port" --db "sqlite:$work/plait.db" \
    --drain 100ms 2>"$work/log" &
service=$!
pids="$pids $service"
until curl -s -o "$work/ready" "$url/healthz"; do sleep 0.05; done

memory() { awk '/^VmRSS/ {print $2}' "/proc/$service/status"; }
start() { # start JSON: the id of a run in the background
    curl -s -H 'content-type: application/json' -H 'prefer: respond-async' -d "$1" "$url/v1/runs" | sed -n 's/.*"id":"\(run_[^"]*\)".*/\1/p'
}
still=$(start '{"workflow":{"name":"still","steps":{"a":{"llm":{"model":"openai/mock-hang","prompt":"x"},"timeout":"1h"}}}}')
branches=$(awk 'BEGIN {for (i = 0; i < 100; i++) printf "%s\"b%d\":{\"llm\":{\"model\":\"openai/mock-%dms-w10\",\"prompt\":\"b %d\"}}", i ? "," : "", i, 4000 + i * 60, i}')

# memory of idle readers: once with a few headers, once with 8 KB, on connections of their own
before=$(memory)
for bytes in 0 8000; do
    mkfifo "$work/go$bytes"
    "$build/tests/http/sse_load" "$port" "$still" "$idle" x 0 "$bytes" <"$work/go$bytes" >"$work/idle$bytes" &
    reader=$!
    exec 3>"$work/go$bytes"
    until [ -s "$work/idle$bytes" ] && grep -q '}' "$work/idle$bytes"; do sleep 0.1; done
    sleep 1
    after=$(memory)
    awk -v idle="$idle" -v before="$before" -v after="$after" -v bytes="$bytes" \
        'BEGIN {printf "{\"idle\":%d,\"header_bytes\":%d,\"rss_kib_before\":%d,\"rss_kib\":%d,\"kib_a_reader\":%.2f}\n", idle, bytes, before, after, (after - before) / idle}'
    exec 3>&-
    wait "$reader" || { cat "$work/idle$bytes"; exit 1; }
    sleep 2
done

moving=$(start "{\"workflow\":{\"name\":\"moving\",\"steps\":{\"fan\":{\"parallel\":{\"branches\":{$branches}}}}}}")
"$build/tests/http/sse_load" "$port" "$still" "$idle" "$moving" "$active" 8000
