"""A larger model behind an OpenAI-compatible address: Ollama, llama.cpp, vLLM, or a service."""

from __future__ import annotations

import base64
from dataclasses import replace
from functools import partial
from typing import Any

from napari_promptseg.concepts.multimodal.address import Address, Resolve, look_up
from napari_promptseg.concepts.multimodal.crop import Crop
from napari_promptseg.concepts.multimodal.disclosure import Consents, Disclosure, check_consent, disclose
from napari_promptseg.concepts.multimodal.exchange import Exchange, StatusError, UnreachableError, check_client
from napari_promptseg.concepts.multimodal.keys import Key, find_key
from napari_promptseg.concepts.multimodal.question import Question
from napari_promptseg.concepts.multimodal.teller import NoAnswerError
from napari_promptseg.concepts.multimodal.waiting import Deadline, TooLateError, pause, wait_for
from napari_promptseg.errors import InputError
from napari_promptseg.progress import Progress

#: Seconds for one question, further attempts included: a server may load its model first.
SECONDS = 120.0
#: Times a request is sent that the endpoint was too busy for.
ATTEMPTS = 3
#: Seconds before the second attempt; doubled before each further one.
PAUSE = 1.0

_TOKENS = 2048
_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
#: Statuses of servers that do not know something in the request.
_NOT_UNDERSTOOD = frozenset({400, 415, 422, 501})
_REASONS = {
    401: "wants a key, or another one: set the variable PROMPTSEG_VLM_KEY",
    403: "does not allow this: check the key and the model's name",
    404: "knows no such model or path: check both",
    413: "takes no pictures of this size",
}


class Endpoint:
    """A model behind an address.

    Parameters
    ----------
    address : Address
    model : str
        Its name there, for example ``"qwen2.5vl:7b"``.
    consents : Consents
        What the user allowed; without consent nothing leaves the machine.
    how_to_allow : str
        For the sentence that refuses to send.
    seconds : float
        For one question.
    attempts : int
    first_pause : float
        Seconds before the second attempt.
    resolve : callable
        Finds the IP addresses of a host.

    Raises
    ------
    InputError
        If the model has no name, or the time is not above 0.
    """

    def __init__(
        self,
        address: Address,
        model: str,
        consents: Consents,
        *,
        how_to_allow: str = "allow it first",
        seconds: float = SECONDS,
        attempts: int = ATTEMPTS,
        first_pause: float = PAUSE,
        resolve: Resolve = look_up,
    ) -> None:
        if not model.strip() or not model.isprintable():
            raise InputError("The endpoint needs the name of a model, for example qwen2.5vl:7b.")
        if not seconds > 0 or attempts < 1:
            raise InputError("The endpoint needs a time above 0 seconds and at least one attempt.")
        self.address = address
        self.model = model.strip()
        self.consents = consents
        self._how = how_to_allow
        self._seconds = seconds
        self._attempts = attempts
        self._first_pause = first_pause
        self._resolve = resolve
        # which of `_bodies` this endpoint understands
        self._form = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model

    def disclosure(self, crop: Crop | None = None) -> Disclosure:
        """What would be sent where; looks the host up, which may take as long as the network does."""
        return disclose(self.address, crop, resolve=self._resolve)

    def ask(self, crop: Crop, question: Question, progress: Progress) -> str:
        """Send the crop and the question; see `Teller.ask`."""
        check_client()
        deadline = Deadline(self._seconds)
        try:
            shown, key = wait_for(
                lambda: self._permitted(crop), deadline, progress, f"looking for {self.address.host}", _leave
            )
            bodies = _bodies(self.model, crop, question)
            while True:
                try:
                    return self._insist(Exchange(shown, key), bodies[self._form], deadline, progress)
                except StatusError as error:
                    if error.status not in _NOT_UNDERSTOOD or self._form == len(bodies) - 1:
                        raise NoAnswerError(_reason(error.status)) from None
                self._form += 1
        except TooLateError:
            raise NoAnswerError(f"did not answer within {self._seconds:g} s") from None
        except UnreachableError:
            raise NoAnswerError("cannot be reached: see that the server runs and the address is right") from None

    def _permitted(self, crop: Crop) -> tuple[Disclosure, Key | None]:
        """Where the crop goes and with which key; `InputError` where it may not go there."""
        shown = self.disclosure(crop)
        check_consent(shown, self.consents, self._how)
        key = find_key(self.address)
        if key is not None and shown.reach == "internet" and not shown.encrypted:
            raise InputError(f"The {key} is not sent to {self.address.url} unencrypted: use https://.")
        return shown, key

    def _insist(self, exchange: Exchange, body: dict[str, Any], deadline: Deadline, progress: Progress) -> str:
        """Send the same request again while the endpoint is too busy; `StatusError` of the last attempt."""
        wait = self._first_pause
        for left in reversed(range(self._attempts)):
            one = replace(exchange)
            try:
                return wait_for(partial(one.run, body, deadline), deadline, progress, f"asking {self.model}", one.stop)
            except StatusError as error:
                if error.status not in _BUSY or not left:
                    raise
                asked = float(error.retry_after[:9]) if error.retry_after.isdecimal() else 0.0
            except UnreachableError:
                if not deadline.left:
                    raise TooLateError from None
                raise
            pause(max(wait, asked), deadline, progress, f"{self.model} is busy, waiting")
            wait *= 2
        raise TooLateError


def _leave() -> None:
    """Nothing can end the system's look-up; its thread ends by itself."""


def _bodies(model: str, crop: Crop, question: Question) -> list[dict[str, Any]]:
    """The request, and simpler ones for servers that do not know all of it; the reply is checked all the same."""
    picture = "data:image/png;base64," + base64.b64encode(crop.png()).decode("ascii")
    parts = [
        {"type": "text", "text": question.instruction()},
        {"type": "image_url", "image_url": {"url": picture}},
    ]
    plain = {"model": model, "messages": [{"role": "user", "content": parts}]}
    schema = {"name": "region", "strict": True, "schema": question.schema()}
    by_schema = {**plain, "response_format": {"type": "json_schema", "json_schema": schema}}
    return [
        {**by_schema, "temperature": 0.0, "max_tokens": _TOKENS},
        by_schema,
        {**plain, "response_format": {"type": "json_object"}, "max_tokens": _TOKENS},
        plain,
    ]


def _reason(status: int) -> str:
    if status in _NOT_UNDERSTOOD:
        return f"refused the request ({status}): see that the model takes pictures"
    return f"{_REASONS.get(status, 'failed')} ({status})"
