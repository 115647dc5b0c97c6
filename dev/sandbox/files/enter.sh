#!/bin/bash
# enter HOST COMMAND…: runs COMMAND as a process of HOST: in its cgroups, then in all its namespaces.
# The cgroups come first: from inside the namespaces the way to them is closed, and what stays in the
# machine's own cgroups would outlive the host.
host=$1
shift
state=$(dirname "$(dirname "$(readlink -f "$0")")")
read -r pid 2>/dev/null <"$state/$host/init.pid" || {
  echo "$host is not up: cargo xtask sandbox up" >&2
  exit 125
}
join() { echo $$ >"$1/cgroup.procs"; }
while read -r cgroup; do
  # A file of a cgroup that is there isn't found once in ten thousand times, while cgroups beside it come and go.
  join "$cgroup" 2>/dev/null || { sleep 0.1; join "$cgroup" 2>/dev/null; } || { sleep 1; join "$cgroup"; } || exit 125
done <"$state/$host/cgroups"
# The host's own programs: the caller's PATH may begin with the wrappers that lead here.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec nsenter -t "$pid" -m -u -i -n -p -C -- "$@"
