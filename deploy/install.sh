#!/bin/sh
# install.sh build|tests - installs, by apt, what building Plait (build) or all of its tests (tests) needs, and only what is
# missing: with nothing missing it asks no network and takes no time. Not the build itself. Called by quickstart.sh and
# tests/run.sh; may be called by hand. Needs Debian 12 or 13, as root or with sudo.
set -eu

purpose=${1:-build}
missing=

has_command() { command -v "$1" >/dev/null 2>&1; }
has_library() { pkg-config --exists "$1" 2>/dev/null; }
has_header() { test -e "/usr/include/$1" || test -e "/usr/local/include/$1"; }

# want PACKAGE TEST...: remembers PACKAGE unless the command TEST says that what it brings is here already, be it from
# another package or built by hand.
want() {
    package=$1
    shift
    "$@" || missing="$missing $package"
}

want_build() {
    want gcc has_command cc
    want libc6-dev test -e /usr/include/stdio.h
    want cmake has_command cmake
    want make has_command make
    want pkg-config has_command pkg-config
    want libcurl4-openssl-dev has_library libcurl
    want libcjson-dev has_library libcjson
    want libmicrohttpd-dev has_library libmicrohttpd
    want libyaml-dev has_library yaml-0.1
    want libjq-dev has_header jq.h
    want libseccomp-dev has_library libseccomp
    want libsqlite3-dev has_library sqlite3
    want libsodium-dev has_library libsodium
    want ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
    want curl has_command curl
}

# The public tests of JSON Schema, draft 2020-12: the plain package has them in some releases, the other one in all.
schema_suite() {
    test -e /usr/share/json-schema-test-suite/tests/draft2020-12/ref.json ||
        test -e /usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance/tests/draft2020-12/ref.json
}

clang_runtime() {
    has_command clang || return 1
    for file in "$(clang -print-resource-dir)"/lib/linux/libclang_rt.fuzzer-*.a; do
        [ -e "$file" ] && return 0
    done
    return 1
}

# Layout is judged with version 14, which is Debian 12's; elsewhere there is no use in installing another.
wants_clang_format() {
    grep -q '^VERSION_ID="12"' /etc/os-release 2>/dev/null || return 1
}

want_tests() {
    want_build
    want ninja-build has_command ninja
    want gcc has_command gcc
    want clang has_command clang
    want libclang-rt-dev clang_runtime
    want llvm has_command llvm-symbolizer
    want check has_library check
    want nodejs has_command node
    want sqlite3 has_command sqlite3
    want libtest-json-schema-acceptance-perl schema_suite
    want universal-ctags has_command ctags
    want openssl has_command openssl
    want jq has_command jq
    want shellcheck has_command shellcheck
    want util-linux has_command setarch
    want procps has_command ps
    if wants_clang_format; then
        want clang-format has_command clang-format
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has_command sudo; then
        sudo "$@"
    else
        echo "install.sh: this needs root, or sudo; as root: apt-get install$missing" >&2
        exit 1
    fi
}

case $purpose in
build) want_build ;;
tests) want_tests ;;
*)
    echo "usage: install.sh build|tests" >&2
    exit 2
    ;;
esac
[ -n "$missing" ] || exit 0
if ! has_command apt-get; then
    echo "install.sh: no apt-get here; install what these Debian packages bring, then run this again:$missing" >&2
    exit 1
fi

echo "installing:$missing"
log=$(mktemp)
apt="env DEBIAN_FRONTEND=${DEBIAN_FRONTEND:-noninteractive} apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0"
# shellcheck disable=SC2086 # lists of words
if ! { as_root $apt update && as_root $apt install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    tail -n 40 "$log"
    echo "install.sh: apt-get failed; its whole output: $log" >&2
    exit 1
fi
rm -f "$log"
