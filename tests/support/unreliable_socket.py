"""A Unix socket before another one, which loses answers or delivers requests late."""

import asyncio
import contextlib


class UnreliableSocket:
    """Passes bytes on. `loses_answers` throws answers away, `holds_requests` keeps requests."""

    def __init__(self, path, target):
        self.path = str(path)
        self.target = str(target)
        self.loses_answers = False
        self.holds_requests = False
        self.held = []
        self.holding = asyncio.Event()
        self.clients = []
        self.writers = []
        self.tasks = []

    async def __aenter__(self):
        self.server = await asyncio.start_unix_server(self.connected, self.path)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        for writer in self.writers:
            writer.close()
        await asyncio.gather(*self.tasks)

    def cut(self):
        """End all connections of clients. etcd's ends stay open for what is held."""
        for writer in self.clients:
            writer.close()
        self.clients.clear()

    def deliver(self):
        """Give etcd what was held."""
        for writer, data in self.held:
            writer.write(data)
        self.held.clear()

    async def connected(self, reader, writer):
        try:
            etcd_reader, etcd_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        self.clients.append(writer)
        self.writers += [writer, etcd_writer]
        for pump in (self.requests(reader, etcd_writer), self.answers(etcd_reader, writer)):
            task = asyncio.create_task(pump)
            self.tasks.append(task)

    async def requests(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                if self.holds_requests:
                    self.held.append((writer, data))
                    self.holding.set()
                else:
                    writer.write(data)

    async def answers(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                if not self.loses_answers:
                    writer.write(data)
        writer.close()
