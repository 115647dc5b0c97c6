"""A replica kept by Open vSwitch's own Python IDL, for comparison.

usage: idl.py REMOTES SCHEMA-FILE

Reads markers from standard input, one a line. For each it waits until the Address_Set "marker" bears it in
external_ids:n, then prints the whole replica as one line of JSON: {table: {uuid: {column: datum}}}.
"""

import json
import os
import select
import sys

import ovs.db.idl
import ovs.poller
import ovs.vlog

ovs.vlog.Vlog.init(None)
ovs.vlog.Vlog.set_level("any", "any", "off")


def dump(idl):
    return {
        name: {
            str(uuid): {column: row._data[column].to_json() for column in table.columns}
            for uuid, row in table.rows.items()
        }
        for name, table in idl.tables.items()
    }


def marked(idl, marker):
    rows = idl.tables["Address_Set"].rows.values()
    return any(row.name == "marker" and row.external_ids.get("n") == marker for row in rows)


def main():
    helper = ovs.db.idl.SchemaHelper(sys.argv[2])
    helper.register_all()
    idl = ovs.db.idl.Idl(sys.argv[1], helper, leader_only=True)
    # The shortest it allows: the default waits up to 8 s after leader changes, and the test with it.
    idl._session.reconnect.set_backoff(1000, 1000)
    os.set_blocking(0, False)
    unread, marker = b"", None
    while True:
        idl.run()
        if marker is None:
            try:
                read = os.read(0, 4096)
                if not read:
                    return
                unread += read
            except BlockingIOError:
                pass
            if b"\n" in unread:
                line, unread = unread.split(b"\n", 1)
                marker = line.decode()
        if marker is not None and marked(idl, marker):
            sys.stdout.write(json.dumps(dump(idl)) + "\n")
            sys.stdout.flush()
            marker = None
            continue
        poller = ovs.poller.Poller()
        idl.wait(poller)
        if marker is None:
            poller.fd_wait(0, select.POLLIN)
        poller.block()


main()
