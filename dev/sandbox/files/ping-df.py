"""ping-df.py ping ADDRESS SIZE | capture SIZE [COUNT]

ping: one ICMP echo of SIZE bytes of data that must not be fragmented (the "don't fragment" bit set, the path MTU not
asked for). Exit status 0 and the reply's ttl when a whole reply came back, 1 when none came, 2 when the packet is
too big for the interface or for the path.

capture: waits for COUNT (1) echo requests of SIZE bytes of data and tells the "don't fragment" bit of each.
"""
import errno
import os
import socket
import struct
import sys
import time

IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def parse(packet):
    """(don't fragment, ttl, ICMP type, code, identifier, data) of an IPv4 packet with ICMP in it."""
    header = (packet[0] & 0x0F) * 4
    flags = struct.unpack("!H", packet[6:8])[0]
    kind, code, _, identifier, _ = struct.unpack("!BBHHH", packet[header : header + 8])
    return bool(flags & 0x4000), packet[8], kind, code, identifier, packet[header + 8 :]


def ping(address, size):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
    me, data = os.getpid() & 0xFFFF, bytes(i & 0xFF for i in range(size))
    head = struct.pack("!BBHHH", 8, 0, 0, me, 1)
    head = struct.pack("!BBHHH", 8, 0, checksum(head + data), me, 1)
    for _ in range(3):
        try:
            sock.sendto(head + data, (address, 0))
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                print("too big for the interface")
                return 2
            raise
        end = time.monotonic() + 3
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                _, ttl, kind, code, identifier, rest = parse(sock.recv(65536))
            except socket.timeout:
                break
            if kind == 3 and code == 4:
                print("too big for the path")
                return 2
            if kind == 0 and identifier == me and rest == data:
                print("ttl=%d" % ttl)
                return 0
    print("no reply")
    return 1


def capture(size, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    print("ready", flush=True)
    while count:
        sock.settimeout(60)
        fragment, ttl, kind, _, _, rest = parse(sock.recv(65536))
        if kind == 8 and len(rest) == size:
            print("df=%d ttl=%d size=%d" % (fragment, ttl, size), flush=True)
            count -= 1
    return 0


if sys.argv[1] == "ping":
    sys.exit(ping(sys.argv[2], int(sys.argv[3])))
sys.exit(capture(int(sys.argv[2]), int((sys.argv[3:] or ["1"])[0])))
