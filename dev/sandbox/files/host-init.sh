#!/bin/bash
# Pid 1 of a host: makes what a booted machine has (own /sys, cgroups, /run, and own directories at the
# standard paths), then only reaps. Killing it ends every process of the host.
set -e
host=$1 state=$2
hostname "$host"
mount --make-rshared /
fs=$state/$host/fs

mount -t sysfs sysfs /sys
if [ -e "$state/cgroup2" ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p /sys/fs/cgroup/init
  echo $$ >/sys/fs/cgroup/init/cgroup.procs
else
  # One mount a v1 hierarchy; the cgroup namespace makes the host's own group its root.
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while IFS=: read -r _ hierarchy _; do
    [ -n "$hierarchy" ] || continue
    dir=/sys/fs/cgroup/${hierarchy#name=}
    mkdir -p "$dir"
    mount -t cgroup -o "$hierarchy" cgroup "$dir"
  done </proc/self/cgroup
fi

resolv=$(readlink -f /etc/resolv.conf || true)
# Other hosts' network namespaces are named there: a copy of the mount would keep them.
umount -R /run/netns 2>/dev/null || true
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/lock /run/openvswitch /run/ovn /run/containerd
while read -r dir; do
  mkdir -p "$fs/$dir" "$dir"
  mount --bind "$fs/$dir" "$dir"
done <"$state/lib/host-dirs"
mount --bind "$state/$host/log" /var/log
mkdir -p /var/log/openvswitch /var/log/ovn
mount --bind "$state/lib/etc-hosts" /etc/hosts
# No name server: a lookup must fail at once, not after a time-out.
if [ -n "$resolv" ]; then
  mkdir -p "$(dirname "$resolv")"
  [ -e "$resolv" ] || : >"$resolv"
  mount --bind "$state/lib/etc-resolv" "$resolv"
fi
mount --make-rshared /
cd /
: >"$state/$host/ready"
set +e
# bash reaps orphans whenever a child ends; it only needs something to wait for.
while :; do
  sleep infinity &
  wait $!
done
