# Copies OVN's northbound and southbound databases into $DIR as standalone databases, whole or not at all, and removes copies that
# are older than $KEEP_DAYS days, but never the newest $KEEP_AT_LEAST of a database. NB and SB are the databases' members.
set -eu
umask 077
keys=
if [ -e /var/run/tls/key ]; then
  keys="--private-key=/var/run/tls/key --certificate=/var/run/tls/cert --ca-cert=/var/run/tls/cacert"
fi

# copy REMOTES DATABASE FILE: any member will do, so that a follower answers while there is no leader.
copy() {
  # $keys is words, or none.
  ovsdb-client --timeout=300 --no-leader-only $keys backup "$1" "$2" >"$3.new"
  [ "$(ovsdb-tool db-name "$3.new")" = "$2" ]
  ovsdb-tool query "$3.new" "[\"$2\", {\"op\": \"select\", \"table\": \"$4\", \"where\": []}]" | grep -q _uuid
  sync
  mv "$3.new" "$3"
  echo "$3: $(wc -c <"$3") bytes"
}

# prune BEGINNING: the names sort by time.
prune() {
  ls -1r "$DIR" | grep "^$1[.].*[.]backup$" | tail -n "+$((KEEP_AT_LEAST + 1))" | while read -r name; do
    if [ -n "$(find "$DIR/$name" -mtime "+$KEEP_DAYS")" ]; then
      rm "$DIR/$name"
      echo "$DIR/$name: removed after $KEEP_DAYS days"
    fi
  done
}

rm -f "$DIR"/*.new
now=$(date -u +%Y%m%dT%H%M%SZ)
copy "$NB" OVN_Northbound "$DIR/ovnnb_db.$now.backup" NB_Global
copy "$SB" OVN_Southbound "$DIR/ovnsb_db.$now.backup" SB_Global
prune ovnnb_db
prune ovnsb_db
