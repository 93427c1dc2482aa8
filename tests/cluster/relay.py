#!/usr/bin/env python3
"""Makes ports of a cluster's private network namespace reachable on the machine's loopback.

relay.py PORTS-FILE NETNS NAME=HOST:PORT...

Listens on one free port of 127.0.0.1 per target, then enters the network namespace NETNS: a listening socket stays in
the namespace in which it was made, while connections opened from then on belong to the cluster's. Writes NAME=PORT lines
to PORTS-FILE when ready.
"""
import asyncio
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16


def enter_network_namespace(path):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(fd)


async def copy(reader, writer):
    """One direction, until its end; the end is passed on, the other direction may go on."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()  # reset by either peer: nothing more can pass


def relay_to(host, port):
    async def accept(reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()  # nobody listens in the cluster: the client sees a closed connection
            return
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
        for end in (writer, there_writer):
            end.close()

    return accept


async def serve(listeners):
    servers = [await asyncio.start_server(relay_to(*target), sock=sock) for sock, target in listeners]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main(ports_file, netns, *targets):
    listeners, lines = [], []
    for target in targets:
        name, address = target.split("=", 1)
        host, port = address.rsplit(":", 1)
        sock = socket.create_server(("127.0.0.1", 0))
        listeners.append((sock, (host, int(port))))
        lines.append(f"{name}={sock.getsockname()[1]}\n")
    enter_network_namespace(netns)
    with open(ports_file + ".new", "w", encoding="ascii") as out:
        out.writelines(lines)
    os.rename(ports_file + ".new", ports_file)
    asyncio.run(serve(listeners))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
