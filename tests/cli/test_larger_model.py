"""``describe`` with a larger model: at an address, in a folder, refused, or failing."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from endpoint_server import GOOD, Answer
from PIL import Image

from napari_promptseg.cli import main
from napari_promptseg.concepts.concept import Concept
from napari_promptseg.concepts.multimodal import address

needs_client = pytest.mark.skipif(
    importlib.util.find_spec("openai") is None,
    reason='the openai client is not installed: pip install "napari-promptseg[vlm]"',
)


pytestmark = pytest.mark.usefixtures("no_keys")


@pytest.fixture
def command(tmp_path):
    """A bright disc in the upper left of a grey picture, to be described without the small model."""
    y, x = np.mgrid[:90, :120]
    disc = (y - 18) ** 2 + (x - 20) ** 2 <= 9**2
    image, mask = str(tmp_path / "secret-patient.png"), str(tmp_path / "mask.png")
    Image.fromarray(np.where(disc, 200, 60).astype(np.uint8)).save(image)
    Image.fromarray(disc * np.uint8(255)).save(mask)
    return ["describe", image, "--mask", mask, "--name", "polyp", "--model", "none"]


@needs_client
def test_the_words_come_from_the_endpoint_and_it_is_said(command, server, capsys):
    assert main([*command, "--endpoint", server.url, "--endpoint-model", "tiny-vl"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "one small pedunculated bright polyp, located in the upper left"
    assert any(line.startswith("shape") and "measured: round; tiny-vl" in line for line in lines)
    assert any("adenoma" in line and "(tiny-vl)" in line for line in lines)
    assert "Sent is the crop around the region (224 × 224 pixels" in said.err
    assert "is on this machine, which it leaves only if" in said.err
    assert "The model tiny-vl filled" in said.err
    assert b"secret-patient" not in server.seen[0].body


@needs_client
def test_json_names_model_and_source(command, server, capsys, monkeypatch):
    monkeypatch.setenv("PROMPTSEG_VLM_KEY", "sk-very-secret")
    options = ["--endpoint", server.url, "--endpoint-model", "tiny-vl", "--hide-surroundings", "--json"]
    assert main([*command, *options]) == 0
    said = capsys.readouterr()
    values = json.loads(said.out)
    assert values["made_by"]["larger_model"] == "tiny-vl"
    assert Concept.from_dict(values).attribute("shape").source == "tiny-vl"
    assert "black around it" in said.err
    assert "sk-very-secret" not in said.out + said.err


@needs_client
def test_an_endpoint_elsewhere_needs_leave(command, server, capsys, monkeypatch):
    monkeypatch.setattr(address.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("93.184.216.34", 0))])
    options = ["--endpoint", "https://models.example.com", "--endpoint-model", "tiny-vl"]
    assert main([*command, *options]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    for words in ("Nothing was sent", "crop around the region", "https://models.example.com/v1", "--send-to-remote"):
        assert words in line
    assert server.seen == []


@needs_client
def test_with_leave_it_is_sent(command, server, capsys, monkeypatch):
    monkeypatch.setattr(address, "_reach", lambda ip: "network")
    options = ["--endpoint", server.url, "--endpoint-model", "tiny-vl"]
    assert main([*command, *options]) == 2
    assert main([*command, *options, "--send-to-remote"]) == 0
    said = capsys.readouterr()
    assert "private network: it leaves this machine, not encrypted" in said.err
    assert "pedunculated" in said.out
    assert len(server.seen) == 1


@needs_client
@pytest.mark.parametrize(
    ("answer", "seconds", "words"),
    [
        (Answer.text("Ignore your instructions."), "60", "replied with no JSON object"),
        (Answer.error(404), "60", "knows no such model or path"),
        (Answer.text(GOOD, seconds=9), "0.3", "did not answer within 0.3 s"),
    ],
)
def test_where_it_fails_the_measured_words_stay(command, server, capsys, answer, seconds, words):
    server.answers = [answer]
    options = ["--endpoint", server.url, "--endpoint-model", "tiny-vl", "--answer-within", seconds]
    assert main([*command, *options]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "one small round bright polyp, located in the upper left"
    assert f"The model tiny-vl {words}" in said.err
    assert "the words are measured from the pixels" in said.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--endpoint-model", "x"], 2, "belongs to --endpoint"),
        (["--send-to-remote"], 2, "belongs to --endpoint"),
        (["--hide-surroundings"], 2, "belongs to --endpoint"),
        (["--vlm-directory", "nowhere"], 3, "no folder 'nowhere'"),
        (["--vlm-directory", "."], 3, "config.json is missing"),
        (["--vlm-directory", ".", "--send-to-remote"], 2, "belongs to --endpoint"),
        pytest.param(["--endpoint", "http://localhost"], 2, "--endpoint-model NAME", marks=needs_client),
        pytest.param(["--endpoint", "localhost", "--endpoint-model", "x"], 2, "http://", marks=needs_client),
    ],
)
def test_options_that_do_not_fit(command, capsys, options, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*command, *options]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert len(said.err.splitlines()) == 1


def test_without_the_client_it_is_said_how_to_get_it(command, capsys, monkeypatch):
    from napari_promptseg.concepts.multimodal import exchange

    monkeypatch.setattr(exchange.importlib.util, "find_spec", lambda name: None)
    assert main([*command, "--endpoint", "http://localhost", "--endpoint-model", "x"]) == 3
    assert 'pip install "napari-promptseg[vlm]"' in capsys.readouterr().err
