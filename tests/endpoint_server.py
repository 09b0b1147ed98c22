"""A server on this machine that speaks the protocol of chat completions, well or badly, as a test asks."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = {
    "number": {"word": "one", "confidence": 0.9},
    "shape": {"word": "pedunculated", "confidence": 0.8},
    "texture": {"word": "granular", "confidence": 0.7},
    "intensity": {"word": "bright", "confidence": 0.9},
    "contrast": {"word": "well contrasted", "confidence": 0.9},
    "margin": {"word": "sharp", "confidence": 0.6},
    "names": [{"name": "adenoma", "confidence": 0.7}, {"name": "Polyp mit Stiel", "confidence": 0.2}],
    "image_kind": "endoscopy",
}


@dataclass
class Answer:
    """What the server sends back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    drip: int = 0

    @classmethod
    def text(cls, text: Any, **others: Any) -> Answer:
        """A chat completion that says so; anything but a text is written as JSON."""
        content = text if isinstance(text, str) else json.dumps(text)
        return cls.completion({"role": "assistant", "content": content}, **others)

    @classmethod
    def completion(cls, message: Any, **others: Any) -> Answer:
        choices = [{"index": 0, "finish_reason": "stop", "message": message}]
        body = json.dumps({"id": "1", "object": "chat.completion", "choices": choices}).encode()
        return cls(body=body, headers={"content-type": "application/json"}, **others)

    @classmethod
    def error(cls, status: int, message: str = "no", **headers: str) -> Answer:
        body = json.dumps({"error": {"message": message}}).encode()
        return cls(status, body, {"content-type": "application/json", **headers})


@dataclass
class Seen:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Server:
    """Gives its answers in turn, the last one again and again; a callable makes one from the request."""

    def __init__(self, port: int, scheme: str) -> None:
        self.url = f"{scheme}://127.0.0.1:{port}/v1"
        self.answers: list[Answer | Callable[[Seen], Answer]] = [Answer.text(GOOD)]
        self.seen: list[Seen] = []
        self.hung_up = threading.Event()

    def answer(self, seen: Seen) -> Answer:
        self.seen.append(seen)
        made = self.answers[min(len(self.seen), len(self.answers)) - 1]
        return made if isinstance(made, Answer) else made(seen)


@contextmanager
def serving(context: ssl.SSLContext | None = None):
    """A server in a thread, stopped at the end; with a context it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            names = {k.lower(): v for k, v in self.headers.items()}
            answer = server.answer(Seen(self.path, names, self.rfile.read(length)))
            self._wait(answer.seconds)
            try:
                self.send_response(answer.status)
                for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                step = answer.drip or len(answer.body) or 1
                for at in range(0, len(answer.body), step):
                    self.wfile.write(answer.body[at : at + step])
                    self.wfile.flush()
                    if answer.drip:
                        time.sleep(0.02)
            except OSError:
                server.hung_up.set()
            self.close_connection = True

        do_GET = do_POST

        def _wait(self, seconds: float) -> None:
            """Until the time is up or the client hangs up."""
            self.connection.settimeout(0.01)
            end = time.monotonic() + seconds
            while time.monotonic() < end and not ended.is_set():
                try:
                    if not self.connection.recv(1):
                        server.hung_up.set()
                        return
                except TimeoutError:
                    continue
                except OSError:
                    server.hung_up.set()
                    return
            self.connection.settimeout(5)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    ended = threading.Event()
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    if context is not None:
        http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    server = Server(http.server_address[1], "http" if context is None else "https")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        http.shutdown()
        http.server_close()
        thread.join()
