#!/bin/sh
# quickstart.sh - from a bare Debian 12 or 13 to a first answer: installs what building needs (apt, only what is missing), builds
# build/plait, runs examples/travel-plan.yaml. On the built-in simulated model when the environment has no key; on a real one
# with OPENAI_API_KEY or OPENAI_BASE_URL (OPENAI_MODEL names the model). Not a deployment. Run it again at any time: what is
# done is not done twice.
set -eu
cd "$(dirname "$0")/.."
set --

example=examples/travel-plan.yaml
simulated='sim/echo?latency=600ms&jitter=400ms&tokens=40'

say() { printf '\n==> %s\n' "$*"; }
plain() { printf '    %s\n' "$*"; }

say "1/3 what building needs"
sh deploy/install.sh build
plain "is here"

say "2/3 build/plait"
# A folder that somebody configured keeps its settings.
if [ ! -e build/Makefile ] && [ ! -e build/build.ninja ]; then
    set -- -DCMAKE_BUILD_TYPE=Release -DPLAIT_TESTS=OFF -DPLAIT_WERROR=OFF
fi
mkdir -p build
if ! { cmake -S . -B build "$@" && cmake --build build --target plait -j "$(nproc)"; } >build/quickstart.log 2>&1; then
    cat build/quickstart.log
    echo "quickstart.sh: the build failed; the whole output is in build/quickstart.log" >&2
    exit 1
fi
plain "$(build/plait version | head -n 1)"

if [ -n "${OPENAI_API_KEY:-}${OPENAI_BASE_URL:-}" ]; then
    set -- ${OPENAI_MODEL:+--model "openai/${OPENAI_MODEL#openai/}"}
    say "3/3 $example on ${OPENAI_BASE_URL:-the real provider}"
else
    set -- --model "$simulated"
    say "3/3 $example on the simulated model (no OPENAI_API_KEY or OPENAI_BASE_URL in the environment)"
fi
echo
build/plait run "$example" -i destination=Lisbon -i days=4 "$@" </dev/null

# ---- what to try next ----
if [ -n "${OPENAI_API_KEY:-}${OPENAI_BASE_URL:-}" ]; then
    model=openai/${OPENAI_MODEL:-gpt-4o-mini}
else
    model='sim/echo?latency=500ms'
fi
cat <<END

It works. To try next, from $(pwd):

  build/plait run $example -i destination=Kyoto --model '$simulated&fail=429&times=1'
      the same with a provider that refuses each call once: the retries show

  build/plait run examples/first-answer-wins.yaml -i question='Why is the sky blue?' --model '$simulated'
      three branches race, the first answer wins, the others are cut off

  OPENAI_API_KEY=... build/plait run $example -i destination=Lisbon
      a real model; OPENAI_BASE_URL=http://127.0.0.1:11434/v1 for one of your own

  build/plait serve
      the same engine behind HTTP; docs/http.md has every route. Then, in another terminal:

  curl -sN http://127.0.0.1:8080/v1/runs -H 'content-type: application/json' -H 'accept: text/event-stream' -d '{"workflow": {"defaults": {"model": "$model"}, "steps": {"sights": {"llm": {"prompt": "Best sights of Lisbon"}}, "hotels": {"llm": {"prompt": "Where to stay in Lisbon"}}, "plan": {"llm": {"prompt": "Join: \${ .steps.sights.output } \${ .steps.hotels.output }"}}}}}'
END
