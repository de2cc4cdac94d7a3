#!/bin/sh
# headers.sh - every source begins with a comment "/* its-name - what it is", every header has the include guard of its path.
# Run by tests/run.sh.
set -eu
cd "$(dirname "$0")/../.."

# shellcheck disable=SC2016 # awk program
find base storage service api tests -name '*.[ch]' | sort | xargs awk '
    function bad(text) { print FILENAME ":" FNR ": " text; broken = 1 }
    function end_file() {
        if (header && !guarded) { print file ":1: no include guard; begin with #ifndef " guard ", #define " guard; broken = 1 }
    }
    FNR == 1 {
        if (file) end_file()
        file = FILENAME
        base = file; sub(/^.*\//, "", base)
        header = file ~ /\.h$/
        guard = "PLAIT_" toupper(file); gsub(/[^A-Z0-9]/, "_", guard)
        guarded = 0; opened = 0
        if (index($0, "/* " base " - ") != 1)
            bad("the file does not begin with \"/* " base " - \"; say what it is, what it is not and who calls it")
    }
    header && /^#ifndef / && !opened {
        opened = 1
        if ($2 != guard) bad("include guard " $2 "; it must be " guard)
    }
    header && /^#define / && $2 == guard { guarded = 1 }
    END { end_file(); exit broken }'
