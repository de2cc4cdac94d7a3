#!/bin/sh
# http_test.sh PLAIT - runs the commands of docs/http.md as a reader would, in the order of the page, in one folder and one shell, against a
# service on a port of the test's own. A block runs when it is fenced as ```sh and the line before it is not "<!-- not run: why -->". Each
# curl must succeed with a status below 400. Also: the page's table has the routes of /openapi.json, and no others, and each figure of /metrics. Run by tests/run.sh.
set -eu
case ${1:?usage: http_test.sh PLAIT} in /*) plait=$1 ;; *) plait=$PWD/$1 ;; esac
cd "$(dirname "$0")/../.."
top=$PWD
work=$(mktemp -d)
service=
finish() {
    [ -z "$service" ] || kill "$service" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap finish EXIT

env -i HOME="$work" PATH="$PATH" OPENAI_API_KEY=none "$plait" serve --listen 127.0.0.1:0 --db "sqlite:$work/plait.db" --drain 1s 2>"$work/log" &
service=$!
port=
for _ in $(seq 100); do
    port=$(sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$work/log" | head -n 1)
    [ -z "$port" ] || break
    sleep 0.1
done
[ -n "$port" ] || { cat "$work/log"; exit 1; }

awk '
    /^<!-- not run/ {skip = 1; next}
    /^```/ && !inside {inside = 1; take = $0 == "```sh" && !skip; skip = 0; next}
    /^```/ {inside = 0; next}
    inside && take' docs/http.md | sed "s/127\.0\.0\.1:8080/127.0.0.1:$port/g" >"$work/commands"
count=$(grep -c curl "$work/commands")
[ "$count" -ge 10 ] || { echo "docs/http.md:1: only $count curl commands; is it still in the form that http_test.sh reads?"; exit 1; }
mkdir "$work/place" && ln -s "$top/examples" "$work/place/examples"
# --json came with curl 7.82; --fail-with-body makes a status of 400 and more an error
if ! (cd "$work/place" && printf 'fail-with-body\nmax-time = 30\n' >.curlrc && env -i HOME="$work/place" PATH="$PATH" LC_ALL=C.UTF-8 sh -eux "$work/commands" >"$work/out" 2>&1 </dev/null); then
    tail -n 30 "$work/out"
    echo "docs/http.md:1: a command of it failed"
    exit 1
fi

curl -sS "http://127.0.0.1:$port/openapi.json" >"$work/openapi.json"
# shellcheck disable=SC2016 # JavaScript
node -e '
for (const [path, item] of Object.entries(JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).paths))
    for (const method of Object.keys(item)) if (/^(get|put|post|delete|patch)$/.test(method)) console.log(`${method.toUpperCase()} ${path}`);
' "$work/openapi.json" | sort >"$work/routes"
# shellcheck disable=SC2016 # backticks of Markdown
sed -n 's/^| `\([A-Z]* \/[^`]*\)` .*/\1/p' docs/http.md | sort >"$work/described"
if ! diff "$work/routes" "$work/described" >"$work/difference"; then
    sed 's/^</docs\/http.md: not described:/; s/^>/docs\/http.md: does not exist:/' "$work/difference"
    exit 1
fi
curl -sS "http://127.0.0.1:$port/metrics" | sed -n 's/^\([a-z_]*\).*/\1/p' | sort -u >"$work/metrics"
[ -s "$work/metrics" ] || { echo "docs/http.md: /metrics has no figures"; exit 1; }
while read -r metric; do
    grep -q "\`$metric\`" docs/http.md || { echo "docs/http.md: metric $metric is not described"; exit 1; }
done <"$work/metrics"
echo "$count commands ran, $(wc -l <"$work/routes") routes described"
