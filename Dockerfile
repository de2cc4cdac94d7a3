# The service in an image: built in one stage, run in another that holds the program, its libraries and nothing to build with.
#
#   docker build -t plait .
#   docker run --rm --network host -v plait-data:/data -e PLAIT_LISTEN=127.0.0.1:8080 -e OPENAI_API_KEY plait
#
# It listens on all addresses of the container and therefore refuses to start without API keys unless it is told
# `-e PLAIT_NO_AUTH=1`: whoever publishes the port (-p 127.0.0.1:8080:8080) says so. Runs read-only, without capabilities and with 64 MiB:
# --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --memory 64m. State is in /data. tests/container/run.sh tests it.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
WORKDIR /src
COPY deploy/install.sh deploy/install.sh
RUN sh deploy/install.sh build
COPY CMakeLists.txt ./
COPY cmake cmake
COPY base base
COPY storage storage
COPY service service
COPY api api
RUN cmake -S . -B build -DCMAKE_BUILD_TYPE=Release -DPLAIT_TESTS=OFF -DPLAIT_WERROR=OFF \
    && cmake --build build --target plait -j "$(nproc)" \
    && strip build/plait
# The packages of the libraries it is linked with, whatever this Debian calls them.
RUN ldd build/plait | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | xargs -n 1 realpath | xargs dpkg -S | cut -d: -f1 | sort -u >packages

FROM ${BASE}
COPY --from=build /src/packages /tmp/packages
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends ca-certificates </tmp/packages \
    && rm -rf /var/lib/apt/lists/* /tmp/packages \
    && mkdir /data && chown 65532:65532 /data
COPY --from=build --chmod=0755 /src/build/plait /usr/local/bin/plait
USER 65532:65532
WORKDIR /data
VOLUME /data
ENV HOME=/data PLAIT_LISTEN=0.0.0.0:8080 PLAIT_DB=sqlite:/data/plait.db
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PLAIT_LISTEN##*:} && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["plait"]
CMD ["serve"]
