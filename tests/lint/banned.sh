#!/bin/sh
# banned.sh - refuses calls that overrun or lie (strcpy, sprintf, atoi, ...), JSON parsed past the strict check, unfinished
# work, and what only one machine has: its paths, its package hosts. Run by tests/run.sh.
set -eu
cd "$(dirname "$0")/../.."
broken=0

# refuse PATTERN WHAT_TO_DO FILES...: prints each line that has the pattern.
refuse() {
    pattern=$1 advice=$2
    shift 2
    [ $# -gt 0 ] || return 0
    found=$(grep -nEHI -- "$pattern" "$@" | sed "s|^\(\./\)\{0,1\}\([^:]*:[0-9]*\):[[:space:]]*\(.*\)|\2: $advice: \3|" | cut -c1-220) || :
    if [ -n "$found" ]; then
        echo "$found"
        broken=1
    fi
}

sources=$(find base storage service api tests -name '*.[ch]' | sort)
outside_base=$(find storage service api tests -name '*.[ch]' ! -path 'tests/unit/base/*' ! -path 'tests/fuzz/*' | sort)
call='(^|[^A-Za-z0-9_])'
# The rules themselves, spelled so that this file does not break them.
unfinished='(^|[^A-Za-z_])(TO''DO|FIX''ME|X''XX)([^A-Za-z_]|$)'
machine='(^|[^A-Za-z0-9._~$}])/(wo''rk|ro''ot|ho''me/[a-z]+|Us''ers)/'
hosts='registry\.(np''mjs|yarn''pkg)|(^|[^a-z])py''pi\.org|proxy\.gol''ang|artifac''tory|deb\.deb''ian\.org'
locked='"resolved": *"https*:'

# shellcheck disable=SC2086 # our own file names have no spaces
{
    refuse "$call(strcpy|stpcpy|strcat)[[:space:]]*\(" "unbounded copy; use pl_buf or pl_arena_printf" $sources
    refuse "$call(sprintf|vsprintf)[[:space:]]*\(" "unbounded print; use snprintf or pl_buf" $sources
    refuse "$call(strtok|strtok_r)[[:space:]]*\(" "changes its argument; scan with struct pl_str" $sources
    refuse "$call(atoi|atol|atoll|atof)[[:space:]]*\(" "cannot fail on garbage; use strtol and look at the end" $sources
    refuse "$call(gets|alloca)[[:space:]]*\(" "no limit; use a pl_buf with a maximum" $sources
    refuse "${call}cJSON_Parse" "not strict; use json_check and json_parse of base/json.h" $outside_base
    refuse "$call(system|popen)[[:space:]]*\(" "runs a shell; nothing of Plait may" $sources
}

texts=$(find . -type d \( -name .git -o -name 'build*' -o -name node_modules -o -name corpus \) -prune -o -type f -print | sort)
# shellcheck disable=SC2086
{
    refuse "$unfinished" "unfinished work; finish it, or write what is so and why" $texts
    refuse "$machine" "a path of one machine; make it relative or a variable" $texts
    refuse "$hosts" "a package host; leave it to the machine's settings" $texts
    refuse "$locked" "a lock file with download addresses; keep versions and checksums only" $texts
}
exit $broken
