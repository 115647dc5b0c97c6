# The image with our programs, which the chart installs. Needs nothing but a builder:
#   docker build -t registry.example/tombolo:VERSION .
# `cargo xtask image` makes the same without a builder, for the sandbox.
FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The plugin is static, since it is copied onto hosts of any distribution. Its flags need a target directory of its own.
RUN cargo build --locked --release -p tombolo-controller -p tombolo-agent -p tombolo-kubectl-ko \
        -p tombolo-central -p tombolo-hypervisor -p tombolo-monitor -p tombolo-pinger && \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile plugin -p tombolo-cni-plugin \
        --target "$(uname -m)-unknown-linux-gnu" --target-dir target/plugin-static && \
    mkdir /out /ovn && \
    install -m 755 target/release/tombolo-central /ovn/ovn-central && \
    install -m 755 target/release/tombolo-hypervisor /ovn/ovs-ovn && \
    install -m 755 target/release/tombolo-controller /out/kube-ovn-controller && \
    install -m 755 target/release/tombolo-agent /out/kube-ovn-daemon && \
    install -m 755 target/release/tombolo-monitor /out/kube-ovn-monitor && \
    install -m 755 target/release/tombolo-pinger /out/kube-ovn-pinger && \
    install -m 755 target/release/kubectl-ko /out/kubectl-ko && \
    install -m 755 target/plugin-static/*/plugin/tombolo-cni /out/kube-ovn

# OVN's databases and northd, and Open vSwitch with ovn-controller, as pods (ovn.mode=central): docker build --target ovn -t registry.example/tombolo-ovn:VERSION .
# procps: kill(1), by which ovn-central ends its servers.
FROM docker.io/library/debian:trixie-slim AS ovn
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ovn-central ovn-host openvswitch-switch procps && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /ovn/ /kube-ovn/
WORKDIR /kube-ovn

FROM docker.io/library/debian:bookworm-slim
# nft: the agent masquerades for Subnets with natOutgoing. busybox: a look around in the pod.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends nftables busybox-static && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /kube-ovn/
WORKDIR /kube-ovn
