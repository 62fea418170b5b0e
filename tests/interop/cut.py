#!/usr/bin/env python3
"""Passes connections on to a registry, and cuts the first ones in the middle of what they download.

    cut.py PORT REGISTRY_PORT BYTES TIMES

Listens on 127.0.0.1:PORT. A connection over which BYTES have come from the registry is dropped, TIMES times in all; each
is told on standard output.
"""

import asyncio
import sys

port, registry_port, limit, left = (int(argument) for argument in sys.argv[1:])


async def pump(reader, writer, limited):
    """Passes bytes on until the end; True if the connection is to be cut."""
    global left
    passed = 0
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
        passed += len(data)
        if limited and left and passed >= limit:
            left -= 1
            print(f"cut after {passed} bytes", flush=True)
            return True
    if writer.can_write_eof():
        writer.write_eof()
    return False


async def serve(client_reader, client_writer):
    """One connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", registry_port)
    up = asyncio.create_task(pump(client_reader, writer, False))
    try:
        if not await pump(reader, client_writer, True):
            await up
    except ConnectionError:
        pass
    up.cancel()
    client_writer.close()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


asyncio.run(main())
