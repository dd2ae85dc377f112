"""A system that takes HL7 v2 over MLLP, by the server of the library hl7."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import hl7
from hl7.mllp import start_hl7_server

from tests.ports import free_port


class Ris:
    """Keeps what it was sent, and acknowledges with a code."""

    def __init__(self, code: str = "AA") -> None:
        self.code = code
        self.messages: list[hl7.Message] = []

    def answer(self, message: hl7.Message) -> str:
        return str(message.create_ack(self.code))


@contextmanager
def listening(ris: Ris) -> Iterator[int]:
    port, loop = free_port(), asyncio.new_event_loop()

    async def serve(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                ris.messages.append(message)
                writer.writemessage(hl7.parse(ris.answer(message)))
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = loop.run_until_complete(
        start_hl7_server(serve, "127.0.0.1", port, encoding="utf-8", encoding_errors="strict")
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
