"""The key for an endpoint: from the environment or the system's keyring, held in memory, never written or shown."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from napari_promptseg.concepts.multimodal.address import Address
from napari_promptseg.errors import InputError

VARIABLE = "PROMPTSEG_VLM_KEY"
#: The usual variable of OpenAI's own service: sent to that host alone, never to another that the user tries.
_OPENAI_VARIABLE, _OPENAI_HOST = "OPENAI_API_KEY", "api.openai.com"
#: Name of the service in the keyring; the user name there is the endpoint's origin.
SERVICE = "napari-promptseg"


@dataclass(frozen=True)
class Key:
    """A secret and where it was found; its text shows only the latter.

    Parameters
    ----------
    secret : str
    source : str
        For example ``"the variable PROMPTSEG_VLM_KEY"``.
    """

    secret: str = field(repr=False)
    source: str

    def __str__(self) -> str:
        return f"key from {self.source}"


def find_key(address: Address, environment: Mapping[str, str] | None = None) -> Key | None:
    """The key for an address; None where there is none, as with most endpoints on one's own machine.

    Parameters
    ----------
    address : Address
    environment : mapping, optional
        The process's where not given.

    Raises
    ------
    InputError
        If the key cannot be used in a request, or the keyring cannot be read.
    """
    variables = os.environ if environment is None else environment
    names = [VARIABLE, *([_OPENAI_VARIABLE] if address.host == _OPENAI_HOST else [])]
    for name in names:
        if variables.get(name, "").strip():
            return _checked(variables[name].strip(), f"the variable {name}")
    secret = _from_keyring(address.origin)
    return None if secret is None else _checked(secret.strip(), "the system's keyring")


def _from_keyring(origin: str) -> str | None:
    if importlib.util.find_spec("keyring") is None:
        return None
    keyring = importlib.import_module("keyring")
    errors = importlib.import_module("keyring.errors")
    try:
        found = keyring.get_password(SERVICE, origin)
    except errors.NoKeyringError:
        return None  # a machine without a keyring, such as a server
    except errors.KeyringError as error:
        name = type(error).__name__
    else:
        return found if isinstance(found, str) and found.strip() else None
    raise InputError(f"The system's keyring cannot be read ({name}): unlock it, or set {VARIABLE}.")


def _checked(secret: str, source: str) -> Key:
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InputError(f"The key from {source} holds characters that no key has: copy it again.")
    return Key(secret, source)
