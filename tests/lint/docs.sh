#!/bin/sh
# docs.sh PLAIT - the documents against the program PLAIT and its sources: every command and option, error code and
# configuration key is described and nothing else is; examples are mentioned; links lead somewhere. Run by tests/run.sh.
set -eu
case ${1:?usage: docs.sh PLAIT} in /*) plait=$1 ;; *) plait=$PWD/$1 ;; esac
cd "$(dirname "$0")/../.."
broken=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

bad() {
    echo "$1"
    broken=1
}

# same FILE WHAT: each line only in $work/code or only in $work/docs is a fault of FILE.
same() {
    sort -u -o "$work/code" "$work/code"
    sort -u -o "$work/docs" "$work/docs"
    [ -s "$work/code" ] || bad "$1:1: no $2 found in the program; mend tests/lint/docs.sh"
    comm -23 "$work/code" "$work/docs" >"$work/missing"
    comm -13 "$work/code" "$work/docs" >"$work/extra"
    while read -r name; do bad "$1:1: $2 $name is not described; add it"; done <"$work/missing"
    while read -r name; do
        bad "$1:$(grep -nF -- "$(echo "$name" | sed 's/^[^ ]* //')" "$1" | head -n 1 | cut -d: -f1): $2 $name does not exist; remove it"
    done <"$work/extra"
}

# Commands, and "command --option" of each.
"$plait" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' >"$work/commands"
cp "$work/commands" "$work/code"
sed -n 's/^## plait \([a-z]*\)$/\1/p' docs/cli.md >"$work/docs"
same docs/cli.md command

: >"$work/code"
while read -r command; do
    "$plait" "$command" --help | sed -n "s/^  \(-[a-z], \|    \)\(--[a-z-]*\).*/$command \2/p" >>"$work/code"
done <"$work/commands"
awk '/^## plait / {command = $3} /^## / && !/^## plait / {command = ""}
    command && /^\| `/ && match($0, /--[a-z][a-z-]*/) {print command, substr($0, RSTART, RLENGTH)}' docs/cli.md >"$work/docs"
same docs/cli.md option

# Error codes: the table of base/err.h; the rows of docs/errors.md.
tr '\n' ' ' <base/err.h | grep -oE 'X\([A-Z_]+, "[a-z_]+"' | sed 's/.*"\(.*\)"/\1/' | grep -v '^ok$' >"$work/code"
# shellcheck disable=SC2016 # backticks of Markdown
sed -n 's/^| `\([a-z_]*\)` .*/\1/p' docs/errors.md >"$work/docs"
same docs/errors.md "error code"

# Configuration keys: the table of service/config/config.c.
sed -n '/config_keys\[\] = {/,/^};/s/^    {"\([^"]*\)".*/\1/p' service/config/config.c >"$work/code"
# shellcheck disable=SC2016 # backticks of Markdown
sed -n 's/^| `\([a-z_.*]*\)` .*/\1/p' docs/configuration.md >"$work/docs"
same docs/configuration.md "configuration key"

for file in examples/*; do
    grep -qF "$file" README.md docs/*.md || bad "$file:1: no document mentions this example; add it to docs/workflows.md"
done

# Links between documents, and what is after their #.
for file in *.md docs/*.md docs/adr/*.md tests/*/*.md; do
    [ -e "$file" ] || continue
    grep -noE '\]\([^)# ]*(#[^) ]*)?\)' "$file" | while IFS=: read -r line link; do
        link=${link#"]("}
        link=${link%)}
        case $link in http://* | https://*) continue ;; esac
        path=${link%%#*}
        target=$(dirname "$file")/$path
        [ -n "$path" ] || target=$file
        if [ ! -e "$target" ]; then
            echo "$file:$line: the link $link leads nowhere; mend it"
        elif [ "$link" != "$path" ] &&
            ! sed -n 's/^##* //p' "$target" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-' | grep -qxF "${link#*#}"; then
            echo "$file:$line: $target has no heading for $link; mend it"
        fi
    done
done >"$work/links"
if [ -s "$work/links" ]; then
    cat "$work/links"
    broken=1
fi
exit $broken
