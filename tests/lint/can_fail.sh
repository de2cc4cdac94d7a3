#!/bin/sh
# can_fail.sh - proves that the other lints can fail: a small tree is made in which every rule is broken once, and each
# breach must be named with its line. Run by tests/run.sh.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
broken=0

fresh() {
    rm -rf "${tree:?}"/*
    for folder in base storage service api tests/lint tests/unit; do
        mkdir -p "$tree/$folder"
        printf '/* empty.c - nothing. */\n' >"$tree/$folder/empty.c"
    done
    cp "$here"/*.sh "$tree/tests/lint/"
}

# expect LINT FILE LINE TEXT...: TEXT as FILE must make LINT fail at that line; without it LINT must pass.
expect() {
    lint=$1 file=$2 line=$3
    shift 3
    fresh
    if ! sh "$tree/tests/lint/$lint.sh" >"$tree/out" 2>&1; then
        echo "tests/lint/$lint.sh:1: fails on a tree without a fault: $(head -n 1 "$tree/out")"
        broken=1
    fi
    mkdir -p "$(dirname "$tree/$file")"
    printf '%s\n' "$@" >"$tree/$file"
    if sh "$tree/tests/lint/$lint.sh" >"$tree/out" 2>&1 || ! grep -q "^$file:$line:" "$tree/out"; then
        echo "tests/lint/$lint.sh:1: does not see the fault at line $line of $file: $*"
        broken=1
    fi
}

expect layers base/x.c 2 '/* x.c - x. */' '#include "service/engine.h"'
expect layers storage/x.c 1 '#include "service/engine.h"'
expect layers api/x.c 1 '#include "storage/store.h"'
expect layers api/x.c 1 '#include "service/run/run_core.h"'
expect layers service/x.c 1 '#include <sqlite3.h>'
expect layers service/x.c 1 '#include "engine.h"'
expect layers service/x.c 1 '#include "tests/sim/sim.h"'
expect sizes base/x.c 701 "$(seq 701)"
expect sizes base/x.h 251 "$(seq 251)"
expect sizes base/x.c 2 'int f(void)' '{' "$(seq 79)" '}'
expect headers base/x.c 1 'int x;'
expect headers base/x.h 1 '/* x.h - x. */' 'int x;'
expect headers base/x.h 2 '/* x.h - x. */' '#ifndef PLAIT_X_H' '#define PLAIT_X_H' '#endif'
for call in strcpy strcat sprintf strtok atoi gets alloca popen; do
    expect banned service/x.c 2 '' "  $call(a);"
done
expect banned service/x.c 1 'cJSON_Parse(text);'
expect banned docs/x.md 1 "TO""DO: write this"
expect banned docs/x.md 1 "see /wo""rk/main"
expect banned tests/package-lock.json 1 "  \"resolved\": \"https://host/x.tgz\""
exit $broken
