"""Options of commands that may ask a larger model about a region: none is asked unless they say so.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from napari_promptseg.errors import InputError

if TYPE_CHECKING:
    from napari_promptseg.concepts.multimodal.teller import Teller

_ALLOW = "add --send-to-remote"


def add_multimodal_options(parser: argparse.ArgumentParser) -> None:
    """Options of a larger model, at an address or in a folder."""
    group = parser.add_argument_group("a larger model that fills attributes and names (off unless given)")
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--endpoint", metavar="URL", help="OpenAI-compatible server, such as http://localhost:11434/v1 (Ollama)"
    )
    where.add_argument("--vlm-directory", metavar="DIR", help="a transformers model in a folder, run in this program")
    group.add_argument("--endpoint-model", metavar="NAME", help="the model's name there, such as qwen2.5vl:7b")
    group.add_argument(
        "--send-to-remote", action="store_true", help="allow an endpoint that is not on this machine to get the crop"
    )
    group.add_argument(
        "--hide-surroundings", action="store_true", help="let the larger model see the region alone, black around it"
    )
    group.add_argument(
        "--answer-within", type=_seconds, metavar="S", help="seconds for its answer (default: 120; from a folder 600)"
    )


def teller_of(options: argparse.Namespace) -> Teller | None:
    """The larger model that the options name; None where they name none.

    Raises
    ------
    InputError
        If an option lacks another one, or the endpoint is not on this machine and sending there was not allowed.
    ModelError
        If the folder holds no model, or a package is missing.
    """
    if options.endpoint is None:
        lone = {"--endpoint-model": options.endpoint_model, "--send-to-remote": options.send_to_remote}
        if options.vlm_directory is None:
            lone |= {"--hide-surroundings": options.hide_surroundings, "--answer-within": options.answer_within}
        for name, given in lone.items():
            if given:
                raise InputError(f"{name} belongs to --endpoint URL: add that or leave {name} out.")
    if options.vlm_directory is not None:
        from napari_promptseg.concepts.multimodal import local_model

        seconds = options.answer_within or local_model.SECONDS
        return local_model.LocalModel(options.vlm_directory, device=options.device, seconds=seconds)
    if options.endpoint is None:
        return None
    if options.endpoint_model is None:
        raise InputError("--endpoint needs the name of a model there: add --endpoint-model NAME.")
    from napari_promptseg.concepts.multimodal import endpoint
    from napari_promptseg.concepts.multimodal.address import Address
    from napari_promptseg.concepts.multimodal.disclosure import Consents, check_consent
    from napari_promptseg.concepts.multimodal.exchange import check_client

    check_client()
    consents = Consents()
    teller = endpoint.Endpoint(
        Address.parse(options.endpoint),
        options.endpoint_model,
        consents,
        how_to_allow=_ALLOW,
        seconds=options.answer_within or endpoint.SECONDS,
    )
    shown = teller.disclosure()
    if options.send_to_remote:
        consents.allow(shown)
    # refused before the image is read or a model loaded
    check_consent(shown, consents, _ALLOW)
    return teller


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value
