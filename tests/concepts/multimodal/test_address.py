"""Where an address leads, and what is said and allowed before anything goes there."""

from __future__ import annotations

import pytest

from napari_promptseg.concepts.multimodal import address
from napari_promptseg.concepts.multimodal.address import Address, look_up, reach_of
from napari_promptseg.concepts.multimodal.crop import crop_region
from napari_promptseg.concepts.multimodal.disclosure import Consents, check_consent, disclose
from napari_promptseg.errors import InputError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        (" http://localhost:11434/v1/ ", "http://localhost:11434/v1"),
        ("HTTPS://API.example.com", "https://api.example.com/v1"),
        ("https://api.example.com:443/openai/v1", "https://api.example.com/openai/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        # Cyrillic letters are shown as what they are
        ("https://аpple.com", "https://xn--pple-43d.com/v1"),
    ],
)
def test_addresses_are_read(text, url):
    assert Address.parse(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:11434",
        "ftp://host/v1",
        "file:///etc/passwd",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://me:secret-key@host/v1",
        "http://host/v1?key=secret-key",
        "http://host/v1#x",
        "http://ho st/v1",
        "http://host\n/v1",
        "http://host\\@other/v1",
        "http://[::1",
    ],
)
def test_other_texts_are_refused_without_repeating_a_secret(text):
    with pytest.raises(InputError) as refused:
        Address.parse(text)
    assert "secret-key" not in str(refused.value)
    assert "http://localhost:11434/v1" in str(refused.value)


@pytest.mark.parametrize(
    ("ips", "reach"),
    [
        (("127.0.0.1",), "machine"),
        (("::1", "127.0.0.53"), "machine"),
        (("::ffff:127.0.0.1",), "machine"),
        (("192.168.1.7",), "network"),
        (("fe80::1%eth0",), "network"),
        (("10.0.0.1", "127.0.0.1"), "network"),
        (("127.0.0.1", "93.184.216.34"), "internet"),
        (("2606:4700::1111",), "internet"),
        (("0.0.0.0",), "internet"),
        ((), "internet"),
    ],
)
def test_the_farthest_ip_counts(ips, reach, monkeypatch):
    # whatever addresses the machine has that runs the test
    monkeypatch.setattr(address, "_is_own", lambda ip: False)
    assert reach_of(ips) == reach


def test_addresses_of_own_network_cards_are_this_machine(monkeypatch):
    monkeypatch.setattr(address, "_is_own", lambda ip: str(ip) == "192.168.1.7")
    assert reach_of(["192.168.1.7"]) == "machine"
    assert reach_of(["192.168.1.7", "192.168.1.8"]) == "network"
    monkeypatch.undo()
    # kept for documents: nobody's
    assert reach_of(["192.0.2.7"]) == "network"


def test_localhost_is_looked_up():
    assert reach_of(look_up("localhost", 80)) == "machine"
    with pytest.raises(InputError, match="not found"):
        look_up("no-such-host.invalid", 80)


def test_the_sentence_says_what_goes_where(stack, disc):
    crop = crop_region(stack, disc)
    here = disclose(Address.parse("http://my-box:11434"), crop, resolve=lambda host, port: ("127.0.1.1",))
    assert not here.leaves_machine
    width, height = crop.size
    assert f"{width} × {height} pixels" in here.sentence()
    assert "http://my-box:11434/v1 is on this machine, which it leaves only if" in here.sentence()
    # the name says nothing: it is the IP address that counts
    there = disclose(Address.parse("https://localhost.example.com"), crop, resolve=lambda *_: ("93.184.216.34",))
    assert there.leaves_machine
    assert "it leaves this machine, encrypted" in there.sentence()
    near = disclose(Address.parse("http://box"), resolve=lambda *_: ("192.168.0.2",))
    assert "private network: it leaves this machine, not encrypted" in near.sentence()
    assert "at most 512" in near.sentence()
    assert "nothing leaves this machine" in disclose(None, crop).sentence()


def test_a_proxy_is_said(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    far = disclose(Address.parse("https://api.example.com"), resolve=lambda *_: ("93.184.216.34",))
    assert "proxy" in far.sentence()
    near = disclose(Address.parse("https://localhost"), resolve=lambda *_: ("127.0.0.1",))
    assert "proxy" not in near.sentence()


def test_consent_is_for_one_address_and_no_farther():
    consents = Consents()
    box = Address.parse("http://box:8000")
    near = disclose(box, resolve=lambda *_: ("192.168.0.2",))
    moved = disclose(box, resolve=lambda *_: ("93.184.216.34",))
    other = disclose(Address.parse("http://box:8001"), resolve=lambda *_: ("192.168.0.2",))
    with pytest.raises(InputError, match=r"Nothing was sent: .*the crop.* http://box:8000/v1 .*; press Allow"):
        check_consent(near, consents, "press Allow")
    consents.allow(near)
    check_consent(near, consents, "press Allow")
    assert not consents.allows(other)
    with pytest.raises(InputError, match="is outside your network: it leaves this machine"):
        check_consent(moved, consents, "press Allow")
    consents.withdraw(box)
    assert not consents.allows(near)
    check_consent(disclose(None), consents, "")
