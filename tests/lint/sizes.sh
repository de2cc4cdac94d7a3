#!/bin/sh
# sizes.sh - refuses files and functions that grew too long to be read at once. A function is counted from its opening
# brace to its closing one, which clang-format puts alone in the first column. Run by tests/run.sh.
set -eu
cd "$(dirname "$0")/../.."

# shellcheck disable=SC2016 # awk program
find base storage service api tests -name '*.[ch]' | sort | xargs awk -v c_max=700 -v h_max=250 -v function_max=80 '
    function bad(place, text) { print place ": " text; broken = 1 }
    function end_file(    max) {
        max = name ~ /\.h$/ ? h_max : c_max
        if (name ~ /^tests\// && max == h_max) max = 300 # a suite in a header, or the parts of one program
        if (lines > max) bad(name ":" lines, lines " lines; at most " max ": split it where it does two things")
    }
    FNR == 1 { if (name) end_file(); name = FILENAME; start = 0 }
    { lines = FNR }
    /^\{[ \t]*$/ { start = FNR; title = before }
    /^\}/ {
        if (start && FNR - start + 1 > function_max)
            bad(name ":" start, FNR - start + 1 " lines in \"" title "\"; at most " function_max ": name a part of it and call that")
        start = 0
    }
    { before = $0 }
    END { end_file(); exit broken }'
