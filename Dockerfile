# syntax=docker/dockerfile:1
# Two images: the operator (the default) and, with --target target, the server that the example load-tests.
# Each platform is built natively, or under emulation: docker buildx build --platform linux/amd64,linux/arm64 .

# Debian 12, as the final images: the programs use its C library.
FROM rust:1.95-slim-bookworm AS source
WORKDIR /src
COPY . .
# cargo goes by the time of change: a checkout that is older than the cache below must not count as built
RUN find . -type f -exec touch {} +

# The caches outlive a change of the sources; they are per platform, and what is kept is copied out of them.
FROM source AS build-manager
ARG TARGETPLATFORM
RUN --mount=type=cache,id=cargo-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=operator-$TARGETPLATFORM,target=/src/target,sharing=locked \
    cargo build --release --locked -p operator --bin manager && cp target/release/manager /manager

FROM source AS build-target
ARG TARGETPLATFORM
RUN --mount=type=cache,id=cargo-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=testbed-$TARGETPLATFORM,target=/src/target,sharing=locked \
    cargo build --release --locked -p testbed --bin loadtest-target && cp target/release/loadtest-target /loadtest-target

FROM gcr.io/distroless/cc-debian12:nonroot AS target
COPY --from=build-target /loadtest-target /loadtest-target
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/loadtest-target"]

# Linked dynamically: a static glibc crashes when it looks a name up.
FROM gcr.io/distroless/cc-debian12:nonroot AS manager
COPY --from=build-manager /manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
