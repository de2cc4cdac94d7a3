#!/bin/sh
# run.sh [FOLDER] - the Dockerfile, built and run as an operator would who trusts it little: read-only, no capabilities, no privileges,
# 64 MiB. Its main job, a kill -9 in the middle of a run, the restart, a drain. With buildah and podman, without a docker daemon;
# what it keeps (base image, layers) lies in FOLDER (build-test-container). Exit status 0: all is well; 77: this machine cannot
# run containers, and why. Not the service's tests (tests/http), but for framing and server, which it runs on the image's libraries when
# FAKE_MODEL names tests/fake_model. Run by tests/run.sh; needs root and Debian.
#
#   PLAIT_BASE=bookworm sh tests/container/run.sh      on another Debian than the Dockerfile's own
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)
cd "$top" || exit 1
folder=${1:-$top/build-test-container}
mkdir -p "$folder" || exit 1
folder=$(cd "$folder" && pwd)
suite=${PLAIT_BASE:-trixie}
port=$((20000 + $$ % 10000))
url=http://127.0.0.1:$port
id=

cannot() {
    echo "container: not run: $*"
    exit 77
}
broken() {
    echo "container: $*" >&2
    [ -z "$id" ] || podman logs "$id" 2>&1 | tail -n 30 >&2
    exit 1
}
finish() {
    status=$?
    [ -z "$id" ] || podman rm -f "$id" >/dev/null 2>&1
    exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM
began=$(date +%s)
step() { echo "$(($(date +%s) - began)) s: $*"; }

# ---- the tools ----

[ "$(id -u)" -eq 0 ] || cannot "it needs root"
for tool in buildah podman runc mmdebstrap curl; do
    command -v "$tool" >/dev/null 2>&1 && continue
    command -v apt-get >/dev/null 2>&1 || cannot "$tool is missing"
    if ! { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends buildah podman runc uidmap mmdebstrap curl; } \
        >"$folder/apt.log" 2>&1 </dev/null; then
        tail -n 5 "$folder/apt.log"
        cannot "its tools cannot be installed"
    fi
    break
done

# Without these limits every `podman run` fails where root may not raise its own.
cat >"$folder/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:$(awk '/^Max open files/ {print $5}' /proc/self/limits)", "nproc=1024:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
driver=overlay
[ "$(stat -f -c %T "$folder")" != overlayfs ] || driver=vfs
cat >"$folder/storage.conf" <<END
[storage]
driver = "$driver"
graphroot = "$folder/graph"
runroot = "$folder/run"
END
CONTAINERS_CONF=$folder/containers.conf
CONTAINERS_STORAGE_CONF=$folder/storage.conf
export CONTAINERS_CONF CONTAINERS_STORAGE_CONF

# ---- the base image, under the name that the Dockerfile uses ----

base=docker.io/library/debian:$suite-slim
if ! podman image exists "$base" 2>"$folder/podman.log"; then
    mmdebstrap --quiet --variant=minbase "$suite" "$folder/base.tar" >"$folder/base.log" 2>&1 </dev/null || {
        tail -n 5 "$folder/base.log"
        cannot "there is no $suite to be had"
    }
    podman import "$folder/base.tar" "$base" >>"$folder/podman.log" 2>&1 || {
        tail -n 5 "$folder/podman.log"
        cannot "podman cannot keep images here"
    }
    rm -f "$folder/base.tar"
fi
step "base image $base"
if ! podman run --rm --network host --read-only --memory 64m "$base" /bin/true >"$folder/probe.log" 2>&1; then
    tail -n 5 "$folder/probe.log"
    cannot "podman cannot run containers here"
fi

# ---- the image ----

buildah bud --isolation chroot --pull-never --format docker --layers --build-arg BASE="debian:$suite-slim" -t localhost/plait:test . \
    >"$folder/build.log" 2>&1 </dev/null || {
    tail -n 60 "$folder/build.log" >&2
    broken "the image cannot be built"
}
step "image built, $(podman image inspect -f '{{.Size}}' localhost/plait:test | awk '{printf "%.0f MB", $1 / 1e6}') of which the base $(podman image inspect -f '{{.Size}}' "$base" | awk '{printf "%.0f MB", $1 / 1e6}')"
user=$(podman image inspect -f '{{.Config.User}}' localhost/plait:test)
[ "$user" = 65532:65532 ] || broken "it runs as '$user'"

data=$folder/data
rm -rf "$data"
mkdir "$data" && chown 65532:65532 "$data"
ready() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        [ "$(curl -s -o "$folder/ready" -w '%{http_code}' "$url/readyz")" != 200 ] || return 0
        sleep 0.25
    done
    broken "it does not get ready"
}
post() { # post PATH JSON [CURL_OPTION...]
    resource=$1 body=$2
    shift 2
    curl -sS --max-time 30 -H 'content-type: application/json' -d "$body" "$@" "$url$resource"
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" | head -n 1; }
status_of() { curl -sS "$url/v1/runs/$1" | sed -n 's/.*"object":"run","status":"\([a-z]*\)".*/\1/p'; }
await() { # await RUN: until it has succeeded
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        case $(status_of "$1") in
        succeeded) return 0 ;;
        failed | cancelled) break ;;
        esac
        sleep 0.5
    done
    broken "run $1 is $(status_of "$1")"
}
# shellcheck disable=SC2016 # expressions of the workflow, not of the shell
travel() { # travel LATENCY: a request for the travel plan on the simulated model
    printf '{"workflow":{"name":"travel-plan","defaults":{"model":"sim/echo?latency=%s"},"steps":{' "$1"
    printf '"attractions":{"llm":{"prompt":"Sights of ${ .input.destination }"}},"hotels":{"llm":{"prompt":"Hotels of ${ .input.destination }"}},'
    printf '"plan":{"llm":{"prompt":"${ .steps.attractions.output } ${ .steps.hotels.output }"}}}},"input":{"destination":"Lisbon"}}'
}

# ---- the requests below HTTP, on the image's libraries: another libmicrohttpd than this machine's ----

if command -v node >/dev/null && [ -x "${FAKE_MODEL:-}" ]; then
    work=$(buildah from --pull-never localhost/plait:test) || broken "cannot look into the image"
    root=$(buildah mount "$work")
    loader=$(find "$root/usr/lib" "$root/usr/lib64" -name 'ld-linux*.so.*' 2>/dev/null | head -n 1)
    libraries=$(dirname "$(find "$root/usr/lib" -name libc.so.6 | head -n 1)")
    printf '#!/bin/sh\nexec %s --library-path %s %s/usr/local/bin/plait "$@"\n' "$loader" "$libraries" "$root" >"$folder/plait"
    chmod +x "$folder/plait"
    "$folder/plait" version >"$folder/version" || broken "the image's program does not run on its libraries"
    PLAIT=$folder/plait node --test --test-reporter=tap tests/http/framing.test.mjs tests/http/server.test.mjs >"$folder/node.log" 2>&1 </dev/null
    status=$?
    buildah umount "$work" >/dev/null
    buildah rm "$work" >/dev/null
    if [ "$status" -ne 0 ]; then
        awk '/^ *not ok / {inside = 1} inside {print} /^ *\.\.\.$/ {inside = 0}' "$folder/node.log" | head -n 60 >&2
        broken "the tests of framing and server fail with $(sed -n 's/.*\(libmicrohttpd [0-9.]*\).*/\1/p' "$folder/version")"
    fi
    step "framing and server with $(sed -n 's/.*\(libmicrohttpd [0-9.]*\).*/\1/p' "$folder/version")"
fi

# ---- a public address without keys ----

podman run --rm --network host --read-only --tmpfs /tmp -e PLAIT_LISTEN="0.0.0.0:$port" localhost/plait:test >"$folder/public.log" 2>&1 &&
    broken "it listens on all addresses without keys"
grep -q -- --no-auth "$folder/public.log" || broken "it does not say why it refuses: $(tail -n 3 "$folder/public.log")"

# ---- the main job ----

id=$(podman run -d --network host --read-only --cap-drop ALL --security-opt no-new-privileges --memory 64m --pids-limit 64 \
    -v "$data:/data" --tmpfs /tmp:size=16m -e PLAIT_LISTEN="127.0.0.1:$port" localhost/plait:test) || broken "it cannot be started"
ready
answer=$(post /v1/runs "$(travel 200ms)")
case $answer in
*'"status":"succeeded"'*Lisbon*) step "the travel plan is made" ;;
*) broken "the travel plan: $answer" ;;
esac
podman exec "$id" sh -c 'touch /usr/x 2>/dev/null || touch /x 2>/dev/null' && broken "its root can be written to"
[ "$(podman exec "$id" sed -n 's/^CapEff:\t//p' /proc/1/status)" = 0000000000000000 ] || broken "it has capabilities"
podman healthcheck run "$id" >"$folder/health.log" 2>&1 || broken "its health check fails: $(tail -n 2 "$folder/health.log")"

# ---- kill -9, restart ----

run=$(post /v1/runs "$(travel 1500ms)" -H 'prefer: respond-async' | field id)
[ -n "$run" ] || broken "no run in the background"
sleep 0.5
podman kill -s KILL "$id" >/dev/null || broken "cannot kill it"
podman wait "$id" >/dev/null
code=$(podman inspect -f '{{.State.ExitCode}}' "$id")
[ "$code" -eq 137 ] || broken "killed, it ended with $code"
podman start "$id" >/dev/null || broken "it does not start again"
ready
await "$run"
step "killed in the middle of a run, which went on after the restart"

# ---- drain ----

run=$(post /v1/runs "$(travel 1500ms)" -H 'prefer: respond-async' | field id)
sleep 0.5
podman stop -t 30 "$id" >/dev/null || broken "cannot stop it"
code=$(podman inspect -f '{{.State.ExitCode}}' "$id")
[ "$code" -eq 0 ] || broken "stopped, it ended with $code"
oom=$(podman inspect -f '{{.State.OOMKilled}}' "$id")
[ "$oom" = false ] || broken "it ran out of its 64 MiB"
podman start "$id" >/dev/null || broken "it does not start after the drain"
ready
await "$run"
podman stop -t 30 "$id" >/dev/null || broken "cannot stop it again"
step "drained with exit 0; all is well"
