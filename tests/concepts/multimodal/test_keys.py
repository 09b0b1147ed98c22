"""Keys: where they are found, to whom they go, and that they show nowhere."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

from napari_promptseg.concepts.multimodal import keys
from napari_promptseg.concepts.multimodal.address import Address
from napari_promptseg.errors import InputError

BOX = Address.parse("http://box:8000")
FOUND_IN_KEYRING = keys._from_keyring


def test_the_variable_and_its_owner():
    key = keys.find_key(BOX, {"PROMPTSEG_VLM_KEY": " sk-1 "})
    assert key is not None
    assert key.secret == "sk-1"
    for shown in (str(key), repr(key), f"{key}"):
        assert "sk-1" not in shown
        assert "PROMPTSEG_VLM_KEY" in shown
    assert keys.find_key(BOX, {}) is None


def test_the_key_of_openai_goes_to_openai_alone():
    environment = {"OPENAI_API_KEY": "sk-2"}
    assert keys.find_key(BOX, environment) is None
    assert keys.find_key(Address.parse("https://api.openai.com.example.org"), environment) is None
    key = keys.find_key(Address.parse("https://api.openai.com"), environment)
    assert key is not None
    assert key.secret == "sk-2"


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_fits_no_header_is_refused_unseen(secret):
    with pytest.raises(InputError) as refused:
        keys.find_key(BOX, {"PROMPTSEG_VLM_KEY": secret})
    assert secret not in str(refused.value)


@pytest.fixture
def keyring(monkeypatch):
    """A keyring in memory."""
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    errors.NoKeyringError = type("NoKeyringError", (errors.KeyringError,), {})
    module = types.ModuleType("keyring")
    module.errors, module.held = errors, {}
    module.get_password = lambda service, user: module.held.get((service, user))
    module.__spec__ = importlib.machinery.ModuleSpec("keyring", None)
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    monkeypatch.setattr(keys, "_from_keyring", FOUND_IN_KEYRING)
    return module


def test_the_keyring_is_asked_by_origin(keyring):
    keyring.held["napari-promptseg", "http://box:8000"] = "sk-3"
    key = keys.find_key(BOX, {})
    assert key is not None
    assert (key.secret, key.source) == ("sk-3", "the system's keyring")
    assert keys.find_key(Address.parse("http://box:8001"), {}) is None


def test_no_keyring_and_a_locked_one(keyring):
    def fail(kind):
        def get(service, user):
            raise kind("secret detail")

        return get

    keyring.get_password = fail(keyring.errors.NoKeyringError)
    assert keys.find_key(BOX, {}) is None
    keyring.get_password = fail(keyring.errors.KeyringError)
    with pytest.raises(InputError, match="unlock it, or set PROMPTSEG_VLM_KEY"):
        keys.find_key(BOX, {})


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(keys, "_from_keyring", FOUND_IN_KEYRING)
    monkeypatch.setattr(keys.importlib.util, "find_spec", lambda name: None)
    assert keys.find_key(BOX, {}) is None
