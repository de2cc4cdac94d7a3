#!/bin/sh
# format.sh - refuses layout that clang-format would change. Judged by version 14 only (Debian 12's), since versions differ in
# taste; with another one, or none, it says so and passes. Run by tests/run.sh.
set -eu
cd "$(dirname "$0")/../.."

tool=
for name in clang-format-14 clang-format; do
    if "$name" --version 2>/dev/null | grep -q 'version 14\.'; then
        tool=$name
        break
    fi
done
if [ -z "$tool" ]; then
    echo "skipped: no clang-format 14 here"
    exit 0
fi
bad=0
for file in $(find base storage service api tests -name '*.[ch]' | sort); do
    if ! "$tool" --dry-run -Werror --ferror-limit=1 "$file" 2>/dev/null; then
        line=$("$tool" "$file" | diff "$file" - | sed -n '1s/^\([0-9]*\).*/\1/p')
        echo "$file:${line:-1}: the layout is not clang-format's; run $tool -i $file"
        bad=1
    fi
done
exit $bad
