# The released image: the static program, CA certificates, an unprivileged user. The same layout as tests/cluster/image.sh makes.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev ca-certificates
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin trimtab && cp target/release/trimtab /trimtab

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /trimtab /trimtab
USER 65532:65532
ENTRYPOINT ["/trimtab"]
