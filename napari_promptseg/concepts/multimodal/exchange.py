"""One request to an endpoint through the ``openai`` client: bounded in time and size, to that host alone."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from napari_promptseg.concepts.multimodal.address import REACHES, reach_of
from napari_promptseg.concepts.multimodal.disclosure import Disclosure
from napari_promptseg.concepts.multimodal.keys import Key
from napari_promptseg.concepts.multimodal.teller import NoAnswerError
from napari_promptseg.concepts.multimodal.waiting import Deadline
from napari_promptseg.errors import ModelError

#: Bytes of a reply that are read; a right one has a few thousand.
MOST_BYTES = 256 * 1024
#: What the request carries beside its body. The client would add the system's kind and version, and organisation and
#: project from variables of the environment. "x-stainless-raw-response" tells it to hand the reply over unread.
_HEADERS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "x-stainless-raw-response"}
)


class StatusError(Exception):
    """The endpoint answered with a status that is no success."""

    def __init__(self, status: int, retry_after: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.retry_after = retry_after


class UnreachableError(Exception):
    """There was no connection, or it broke off."""


def check_client() -> None:
    """See to it that the client is there.

    Raises
    ------
    ModelError
        If it is not installed.
    """
    if importlib.util.find_spec("openai") is None:
        raise ModelError(
            'To ask an endpoint the openai client is needed: pip install "napari-promptseg[vlm]", then try again.'
        )


@dataclass
class Exchange:
    """Sends one body and reads the reply; made anew for each.

    Parameters
    ----------
    disclosure : Disclosure
        That the user has seen: a connection to any host farther away is cut before anything is sent.
    key : Key or None
    """

    disclosure: Disclosure
    key: Key | None = None
    _socket: socket.socket | None = field(default=None, init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _strayed: bool = field(default=False, init=False)
    _status: StatusError | None = field(default=None, init=False)
    _refusal: str = field(default="", init=False)

    def run(self, body: dict[str, Any], deadline: Deadline) -> str:
        """Send and read.

        Parameters
        ----------
        body : dict
            Of a chat completion.
        deadline : Deadline

        Returns
        -------
        str
            What the model wrote.

        Raises
        ------
        StatusError, UnreachableError, NoAnswerError
        """
        # errors are raised below, outside the handler: those of the client hold the request and, with it, the key
        failed = untrusted = False
        content = b""
        try:
            content = self._read(body, deadline)
        except NoAnswerError:
            raise
        except Exception as error:
            failed, untrusted = True, _is_about_certificates(error)
        if self._strayed:
            raise NoAnswerError("is now farther away than it was when that was shown; nothing was sent")
        if self._refusal:
            raise NoAnswerError(self._refusal)
        if self._status is not None:
            raise self._status
        if untrusted:
            raise NoAnswerError("shows a certificate that this machine does not trust; nothing was sent")
        if failed:
            raise UnreachableError
        return _text_of(content)

    def stop(self) -> None:
        """End the exchange now, from another thread; the endpoint sees that nobody listens any more."""
        self._stopped.set()
        opened = self._socket
        if opened is not None:
            with contextlib.suppress(OSError):  # gone already
                opened.shutdown(socket.SHUT_RDWR)

    def _read(self, body: dict[str, Any], deadline: Deadline) -> bytes:
        openai: Any = importlib.import_module("openai")
        address = self.disclosure.address
        assert address is not None
        # the environment's proxies are for addresses outside
        connection = openai.DefaultHttpxClient(
            follow_redirects=False,
            verify=_trusted_certificates(),
            trust_env=self.disclosure.reach == "internet",
            timeout=max(deadline.left, 0.001),
            event_hooks={"request": [self._on_request], "response": [self._on_response]},
        )
        with openai.OpenAI(
            api_key="none",
            base_url=address.url,
            max_retries=0,
            http_client=connection,
            timeout=max(deadline.left, 0.001),
        ) as client:
            answer = client.chat.completions.with_streaming_response.create(**body)
            with answer as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise NoAnswerError("sent far too much text")
                    if self._stopped.is_set() or not deadline.left:
                        raise UnreachableError
                return bytes(content)

    def _on_request(self, request: Any) -> None:
        for name in [n for n in request.headers if n.lower() not in _HEADERS]:
            del request.headers[name]
        request.headers["user-agent"] = "napari-promptseg"
        request.headers["accept-encoding"] = "identity"
        if self.key is not None:
            request.headers["authorization"] = f"Bearer {self.key.secret}"
        request.extensions = {**request.extensions, "trace": self._on_connection}

    def _on_connection(self, event: str, info: dict[str, Any]) -> None:
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        opened = info["return_value"].get_extra_info("socket")
        self._socket = opened
        if not self.disclosure.proxied:
            # the name may stand for another host than a moment ago
            reach = reach_of((opened.getpeername()[0],))
            self._strayed = REACHES.index(reach) > REACHES.index(self.disclosure.reach)
        if self._strayed or self._stopped.is_set():
            opened.close()  # the client does not own it yet
            raise UnreachableError

    def _on_response(self, response: Any) -> None:
        """Look at the headers; bodies that are not wanted are never read."""
        kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
        if response.is_redirect:
            self._refusal = "sends on to another address, which is not followed: give the final address"
        elif not response.is_success:
            self._status = StatusError(response.status_code, response.headers.get("retry-after", ""))
        elif kind != "application/json" or response.headers.get("content-encoding", "identity") != "identity":
            self._refusal = "answers with something that is no JSON: check the address, which mostly ends in /v1"
        elif _is_long(response.headers.get("content-length", "")):
            self._refusal = "sent far too much text"
        else:
            return
        response.close()
        raise UnreachableError


def _trusted_certificates() -> ssl.SSLContext:
    """Those of the system, where a house puts its own, and those that come with the client."""
    context = ssl.create_default_context()
    if importlib.util.find_spec("certifi") is not None:
        context.load_verify_locations(importlib.import_module("certifi").where())
    return context


def _is_about_certificates(error: BaseException | None) -> bool:
    for _ in range(8):
        if error is None or isinstance(error, ssl.SSLCertVerificationError):
            return error is not None
        error = error.__cause__ or error.__context__
    return False


def _is_long(length: str) -> bool:
    return length.isdecimal() and len(length) < 20 and int(length) > MOST_BYTES


def _text_of(content: bytes) -> str:
    """The message of a chat completion."""
    try:
        message = json.loads(content)["choices"][0]["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        text = refusal = None
    if isinstance(refusal, str) and refusal:
        raise NoAnswerError("declined to answer")
    if not isinstance(text, str):
        raise NoAnswerError("answers in a form that is no chat completion: check the address")
    return text
