#!/bin/bash
# host-start HOST STATE NETNS: starts pid 1 of a host in its own namespaces, detached, and returns.
# It must be in the host's cgroups before it unshares: they become the roots that the host sees.
host=$1 state=$2 netns=$3
while read -r cgroup; do
  echo $$ >"$cgroup/cgroup.procs" || exit 1
done <"$state/$host/cgroup-roots"
setsid nsenter --net="/run/netns/$netns" \
  unshare --mount --uts --ipc --cgroup --pid --fork --kill-child --mount-proc \
  /bin/bash "$state/lib/host-init.sh" "$host" "$state" >>"$state/$host/log/init.log" 2>&1 </dev/null &
