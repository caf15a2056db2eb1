#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The clients of a day, and the server of their idle connections. Run inside the namespaces of a lab's client and server.

    traffic.py echo PORT                       sends back what it receives, on every connection
    traffic.py load HOST DOWNLOADS PORT FILE=SHA256...   so many downloads at a time, short requests, and idle connections to
                                                         PORT (0: none), until stdin ends

`load` prints a line for each thing that broke ("broken KIND WHEN WHY"), for each short request that took longer than SLOW_S
("slow BEGAN SECONDS"), and totals at its end. A download is a connection
of its own, compared with its sum. An idle connection is asked for an echo every IDLE_S; it has to live until the end.
"""
import asyncio, hashlib, json, random, sys, time

SHORT_S, SLOW_S, PACE = 0.2, 0.1, 2_000_000  # between two short requests; bytes per second of a download
IDLES, IDLE_S = 200, 20
PATIENCE_S = 40  # without a byte: longer than any fault of a day keeps packets away, and TCP's back-off after it
totals = {"downloads": 0, "requests": 0, "bytes": 0, "echoes": 0, "idle": 0, "broken": 0}


def broken(kind, why):
    totals["broken"] += 1
    print("broken %s %.3f %s" % (kind, time.time(), why), flush=True)


async def download(host, name, sum_of, pace, kind):
    """One GET, its body compared; a pace of 0 takes what comes."""
    digest, began, size = hashlib.sha256(), time.monotonic(), 0
    writer = None
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, 80), PATIENCE_S)
        writer.write(b"GET /%s HTTP/1.0\r\nHost: day\r\n\r\n" % name.encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise ValueError("answered %r" % head[:60])
        while block := await asyncio.wait_for(reader.read(65536), PATIENCE_S):
            digest.update(block)
            size += len(block)
            if pace and (ahead := size / pace - (time.monotonic() - began)) > 0:
                await asyncio.sleep(ahead)
        if digest.hexdigest() != sum_of:
            raise ValueError("%d bytes with another sum" % size)
        totals[kind] += 1
        totals["bytes"] += size
    except (OSError, EOFError, ValueError, asyncio.TimeoutError) as fault:
        broken(kind, "%s after %d bytes, %.1f s: %r" % (name, size, time.monotonic() - began, fault))
    finally:
        if writer:
            writer.close()


async def downloads(host, files, stop):
    while not stop.is_set():
        name = random.choice(list(files))
        await download(host, name, files[name], PACE, "downloads")


async def requests(host, files, stop):
    name = min(files)
    while not stop.is_set():
        began = time.time()
        await download(host, name, files[name], 0, "requests")
        if (took := time.time() - began) > SLOW_S:
            print("slow %.3f %.3f" % (began, took), flush=True)
        await asyncio.sleep(SHORT_S)


async def idle(host, port, number, stop):
    """One connection for the whole day."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), PATIENCE_S)
        totals["idle"] += 1
        await asyncio.sleep(IDLE_S * number / IDLES)
        while not stop.is_set():
            word = b"%08d" % random.randrange(10**8)
            writer.write(word)
            answer = await asyncio.wait_for(reader.readexactly(8), PATIENCE_S)
            if answer != word:
                raise ValueError("%r came back for %r" % (answer, word))
            totals["echoes"] += 1
            await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=IDLE_S)
        writer.close()
    except (OSError, EOFError, ValueError, asyncio.TimeoutError) as fault:
        broken("idle", "connection %d: %r" % (number, fault))


async def load(host, at_a_time, port, files):
    stop = asyncio.Event()
    tasks = [downloads(host, files, stop) for _ in range(at_a_time)] + [requests(host, files, stop)]
    tasks += [idle(host, port, i, stop) for i in range(IDLES if port else 0)]
    running = [asyncio.ensure_future(t) for t in tasks]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    stop.set()
    await asyncio.gather(*running)
    print(json.dumps(totals), flush=True)


async def echo(port):
    async def serve(reader, writer):
        try:
            while block := await reader.read(4096):
                writer.write(block)
        except OSError:
            pass
        writer.close()

    async with await asyncio.start_server(serve, "0.0.0.0", port) as server:
        await server.serve_forever()


if sys.argv[1] == "echo":
    asyncio.run(echo(int(sys.argv[2])))
else:
    asyncio.run(load(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), dict(word.split("=") for word in sys.argv[5:])))
