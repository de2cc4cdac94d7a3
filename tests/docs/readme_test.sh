#!/bin/sh
# readme_test.sh PLAIT - runs the commands of README.md as a reader would: in a clean copy of the tree, in the order of the page,
# one shell for each block, with PLAIT as build/plait. A block is run when it is fenced as ```sh and the line before it is not
# "<!-- not run: why -->"; the block that follows "<!-- file: NAME -->" is written to NAME first. Run by tests/run.sh.
set -eu
case ${1:?usage: readme_test.sh PLAIT} in /*) plait=$1 ;; *) plait=$PWD/$1 ;; esac
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar -cf - --exclude=./.git --exclude='./build*' --exclude=node_modules . | tar -xf - -C "$copy"
mkdir -p "$copy/build" "$copy/.home"
ln -s "$plait" "$copy/build/plait"

# Each block becomes a file NN.sh, or NN.file with its name in NN.name.
mkdir "$copy/.blocks"
awk -v out="$copy/.blocks" '
    /^<!-- file: / {name = $3; next}
    /^<!-- not run/ {skip = 1; next}
    /^```/ && !inside {
        inside = 1; n++
        base = sprintf("%s/%02d", out, n)
        if (name) {target = base ".file"; print name > (base ".name")}
        else if ($0 == "```sh" && !skip) target = base ".sh"
        else target = ""
        name = ""; skip = 0
        next
    }
    /^```/ {inside = 0; if (target) close(target); next}
    inside && target {print > target}' README.md

cd "$copy"
ran=0
for block in .blocks/*; do
    case $block in
    *.name) cp "${block%.name}.file" "$(cat "$block")" ;;
    *.sh)
        ran=$((ran + 1))
        echo "\$ $(cat "$block")"
        if ! env -i HOME="$copy/.home" PATH="$PATH" LC_ALL=C.UTF-8 timeout 120 sh -eu "$block" </dev/null; then
            echo "README.md: this block failed:" >&2
            cat "$block" >&2
            exit 1
        fi
        ;;
    esac
done
if [ "$ran" -lt 2 ]; then
    echo "README.md: only $ran blocks were run; is it still in the form that readme_test.sh reads?" >&2
    exit 1
fi
echo "$ran blocks ran"
