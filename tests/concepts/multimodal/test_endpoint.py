"""Asking an endpoint on this machine, which answers well, badly, late or not at all."""

from __future__ import annotations

import base64
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import traceback

import pytest
from endpoint_server import GOOD, Answer, serving

from napari_promptseg.concepts.multimodal import endpoint as endpoint_module
from napari_promptseg.concepts.multimodal.address import Address, look_up
from napari_promptseg.concepts.multimodal.crop import crop_region
from napari_promptseg.concepts.multimodal.disclosure import Consents, Disclosure
from napari_promptseg.concepts.multimodal.endpoint import Endpoint
from napari_promptseg.concepts.multimodal.exchange import MOST_BYTES
from napari_promptseg.concepts.multimodal.filling import ask_about
from napari_promptseg.concepts.multimodal.question import Question
from napari_promptseg.concepts.multimodal.teller import NoAnswerError
from napari_promptseg.errors import CancelledError, InputError, ModelError
from napari_promptseg.progress import silent

pytest.importorskip("openai", reason='the openai client is not installed: pip install "napari-promptseg[vlm]"')

SECRET = "sk-very-secret"


def endpoint(url, **changed):
    settings = {"seconds": 60.0, "first_pause": 0.01, "attempts": 3} | changed
    return Endpoint(Address.parse(url), "tiny-vl", Consents(), **settings)


@pytest.fixture
def crop(stack, disc):
    return crop_region(stack, disc)


def said(server, crop, **changed):
    return endpoint(server.url, **changed).ask(crop, Question.about(), silent)


def test_a_good_answer(server, crop):
    assert json.loads(said(server, crop)) == GOOD
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.json["response_format"]["json_schema"]["schema"] == Question.about().schema()
    assert seen.json["response_format"]["json_schema"]["strict"] is True
    assert not seen.json.get("stream")


def test_nothing_is_sent_but_the_crop_and_the_question(server, crop, monkeypatch):
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "of-the-user")
    said(server, crop)
    (seen,) = server.seen
    body = seen.json
    assert set(body) == {"model", "messages", "response_format", "temperature", "max_tokens"}
    (message,) = body["messages"]
    assert set(message) == {"role", "content"}
    text, image = message["content"]
    assert text == {"type": "text", "text": Question.about().instruction()}
    assert set(image["image_url"]) == {"url"}
    head, data = image["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == crop.png()
    assert b"secret-patient-name" not in seen.body
    # headers carry neither the system, nor the user's organisation, nor a key meant for another host
    assert set(seen.headers) <= {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "user-agent",
        "x-stainless-raw-response",
    }
    assert seen.headers["user-agent"] == "napari-promptseg"
    assert b"of-the-user" not in str(seen.headers).encode() + seen.body


def test_the_key_is_sent_and_seen_nowhere_else(server, crop, monkeypatch, caplog, tmp_path, capfd):
    monkeypatch.setenv("PROMPTSEG_VLM_KEY", SECRET)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    said(server, crop)
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"
    for status in (401, 400, 500):
        # a server that repeats the key in its error
        server.answers = [Answer.error(status, f"bad key {SECRET}")]
        with pytest.raises(NoAnswerError) as refused:
            said(server, crop, attempts=1)
        shown = "".join(traceback.format_exception(refused.value))
        assert SECRET not in shown
        error = refused.value
        while error is not None:
            assert SECRET not in repr(error) + repr(vars(error))
            error = error.__cause__ or error.__context__
    assert SECRET not in caplog.text
    out = capfd.readouterr()
    assert SECRET not in out.out + out.err
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("statuses", [[429], [500, 503], [503, 429]])
def test_a_busy_endpoint_is_asked_again(server, crop, statuses):
    server.answers = [*(Answer.error(s) for s in statuses), Answer.text(GOOD)]
    assert json.loads(said(server, crop)) == GOOD
    assert len(server.seen) == len(statuses) + 1


def test_but_not_for_ever(server, crop):
    server.answers = [Answer.error(500)]
    with pytest.raises(NoAnswerError, match=r"failed \(500\)"):
        said(server, crop)
    assert len(server.seen) == 3


def test_a_wait_longer_than_the_time_is_not_begun(server, crop):
    server.answers = [Answer.error(429, **{"retry-after": "3600"})]
    with pytest.raises(NoAnswerError, match="did not answer within 60 s"):
        said(server, crop)
    assert len(server.seen) == 1


def test_a_server_without_schemas_gets_simpler_requests(server, crop):
    def choosy(seen):
        kind = seen.json.get("response_format", {}).get("type")
        return Answer.error(400) if kind == "json_schema" else Answer.text(GOOD)

    server.answers = [choosy]
    asked = endpoint(server.url)
    assert json.loads(asked.ask(crop, Question.about(), silent)) == GOOD
    forms = [s.json.get("response_format", {}).get("type") for s in server.seen]
    assert forms == ["json_schema", "json_schema", "json_object"]
    # and it is remembered
    asked.ask(crop, Question.about(), silent)
    assert len(server.seen) == 4


def test_a_server_that_knows_only_the_plain_request(server, crop):
    server.answers = [lambda seen: Answer.text(GOOD) if set(seen.json) == {"model", "messages"} else Answer.error(422)]
    assert json.loads(said(server, crop)) == GOOD
    server.answers = [Answer.error(400)]
    server.seen.clear()
    with pytest.raises(NoAnswerError, match=r"takes pictures"):
        said(server, crop)
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("status", "words"), [(401, "wants a key"), (403, "not allow"), (404, "model"), (418, "failed")]
)
def test_refusals_are_said_once(server, crop, status, words):
    server.answers = [Answer.error(status, "<b>do as I say</b>")]
    with pytest.raises(NoAnswerError, match=words) as refused:
        said(server, crop)
    assert "do as I say" not in str(refused.value)
    assert len(server.seen) == 1


def test_a_slow_endpoint(server, crop):
    server.answers = [Answer.text(GOOD, seconds=30)]
    with pytest.raises(NoAnswerError, match=r"did not answer within 0\.4 s"):
        said(server, crop, seconds=0.4)
    assert server.hung_up.wait(60), "the endpoint sees that nobody waits"


def test_an_endpoint_that_drips(server, crop):
    server.answers = [Answer.text(GOOD, drip=1)]
    with pytest.raises(NoAnswerError, match=r"did not answer within 0\.5 s"):
        said(server, crop, seconds=0.5)


def test_stopping(server, crop):
    server.answers = [Answer.text(GOOD, seconds=30)]

    def listen(done, total, description):
        if server.seen:
            raise CancelledError("Stopped at your request.")

    with pytest.raises(CancelledError):
        endpoint(server.url).ask(crop, Question.about(), listen)
    assert server.hung_up.wait(60)
    for thread in threading.enumerate():
        if thread.name == "larger-model":
            thread.join(60)
            assert not thread.is_alive()


def test_an_absent_endpoint(crop):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NoAnswerError, match="cannot be reached"):
        endpoint(f"http://127.0.0.1:{port}").ask(crop, Question.about(), silent)


def test_redirects_are_not_followed(server, crop):
    server.answers = [Answer.error(307, location="/v1/elsewhere"), Answer.text(GOOD)]
    with pytest.raises(NoAnswerError, match="not followed"):
        said(server, crop)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(body=b"x" * (MOST_BYTES + 1), headers={"content-type": "application/json"}), "too much"),
        (
            Answer(
                body=b"x" * 4 * MOST_BYTES,
                headers={"content-type": "application/json", "content-length": ""},
                drip=MOST_BYTES,
            ),
            "too much",
        ),
        (Answer(body=b"<html>hello</html>", headers={"content-type": "text/html"}), "no JSON"),
        (Answer(body=b"data: {}\n\n", headers={"content-type": "text/event-stream"}), "no JSON"),
        (Answer(body=b"\x1f\x8b", headers={"content-type": "application/json", "content-encoding": "gzip"}), "no JSON"),
        (Answer(body=b"{}", headers={}), "no JSON"),
        (Answer(body=b'{"choices": []}', headers={"content-type": "application/json"}), "no chat completion"),
        (Answer(body=b"[" * 10000, headers={"content-type": "application/json"}), "no chat completion"),
        (Answer(body=b"not json", headers={"content-type": "application/json"}), "no chat completion"),
        (Answer.completion({"content": None}), "no chat completion"),
        (Answer.completion({"content": None, "refusal": "I cannot"}), "declined"),
        (Answer.completion("hello"), "no chat completion"),
    ],
)
def test_other_answers(server, crop, answer, words):
    server.answers = [answer]
    with pytest.raises(NoAnswerError, match=words):
        said(server, crop)
    assert len(server.seen) == 1


def test_nothing_leaves_the_machine_unasked(server, crop):
    far = endpoint(server.url, resolve=lambda host, port: ("93.184.216.34",), how_to_allow="add --send-to-remote")
    with pytest.raises(InputError, match=r"Nothing was sent.*127\.0\.0\.1.*leaves this machine.*add --send-to-remote"):
        far.ask(crop, Question.about(), silent)
    assert server.seen == []
    far.consents.allow(far.disclosure(crop))
    assert json.loads(far.ask(crop, Question.about(), silent)) == GOOD


def test_a_host_that_turns_out_farther_away_gets_nothing(server, crop, monkeypatch):
    from napari_promptseg.concepts.multimodal import exchange

    monkeypatch.setattr(exchange, "reach_of", lambda ips: "internet")
    with pytest.raises(NoAnswerError, match="farther away"):
        said(server, crop)
    assert server.seen == []


def test_no_key_goes_out_unencrypted(server, crop, monkeypatch):
    monkeypatch.setenv("PROMPTSEG_VLM_KEY", SECRET)
    far = endpoint(server.url, resolve=lambda host, port: ("93.184.216.34",))
    far.consents.allow(far.disclosure(crop))
    with pytest.raises(InputError, match="unencrypted") as refused:
        far.ask(crop, Question.about(), silent)
    assert SECRET not in str(refused.value)
    assert server.seen == []


@pytest.fixture
def tls(tmp_path):
    """A server with a certificate of its own, and the file that makes it trusted."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    made = subprocess.run(
        [openssl, *command.split(), "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this openssl makes no certificate with an address")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(context) as running:
        yield running, str(certificate)


def test_encrypted(tls, crop, monkeypatch):
    server, certificate = tls
    with pytest.raises(NoAnswerError, match="certificate that this machine does not trust"):
        said(server, crop)
    assert server.seen == []
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    assert json.loads(said(server, crop)) == GOOD
    server.answers = [Answer.text(GOOD, seconds=30)]
    with pytest.raises(NoAnswerError, match="did not answer"):
        said(server, crop, seconds=1)
    assert server.hung_up.wait(60)


def test_a_name_server_that_does_not_answer(crop):
    waiting = threading.Event()

    def slow(host, port):
        waiting.wait(30)
        return look_up(host, port)

    try:
        with pytest.raises(NoAnswerError, match="did not answer"):
            endpoint("http://somewhere", seconds=0.2, resolve=slow).ask(crop, Question.about(), silent)
    finally:
        waiting.set()


def test_without_the_client(server, crop, monkeypatch):
    from napari_promptseg.concepts.multimodal import exchange

    monkeypatch.setattr(exchange.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"napari-promptseg\[vlm\]"):
        said(server, crop)


def test_settings_that_make_no_sense():
    for model in ("", "  ", "a\nb"):
        with pytest.raises(InputError, match="name of a model"):
            Endpoint(Address.parse("http://localhost"), model, Consents())
    with pytest.raises(InputError, match="above 0"):
        endpoint("http://localhost", seconds=0)


def test_a_filled_concept_end_to_end(server, stack, disc, concept):
    server.answers = [Answer.text({**GOOD, "shape": {"word": "<b>", "confidence": 1}})]
    filled = ask_about(endpoint(server.url), stack, disc).fill(concept)
    assert filled.answered
    assert filled.concept.attribute("texture").source == "tiny-vl"
    assert filled.concept.attribute("shape") == concept.attribute("shape")
    assert "shape (not a plain word)" in filled.sentence
    assert isinstance(endpoint(server.url).disclosure(), Disclosure)
    assert endpoint_module.SECONDS > 0
