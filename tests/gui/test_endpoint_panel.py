"""The panel “Ask a larger model”: off, then shown, allowed, asked, stopped; driven by mouse and keys."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from endpoint_server import GOOD, Answer
from qtpy.QtCore import QPoint, Qt

from napari_promptseg.concepts.description import describe_region
from napari_promptseg.concepts.multimodal import address
from napari_promptseg.gui.collapsible import memory
from napari_promptseg.gui.endpoint_panel import EndpointPanel
from napari_promptseg.gui.endpoint_work import AskedRegion
from napari_promptseg.images.stack import ImageStack

pytestmark = [
    pytest.mark.gui,
    pytest.mark.usefixtures("no_keys"),
    pytest.mark.skipif(
        importlib.util.find_spec("openai") is None,
        reason='the openai client is not installed: pip install "napari-promptseg[vlm]"',
    ),
]


class Owner:
    """Has regions, each with its concept, and the one in hand."""

    def __init__(self):
        y, x = np.mgrid[:90, :120]
        self.concepts, self.masks = {}, {}
        picture = np.full((90, 120), 60, np.uint8)
        for key, (row, column) in {"first": (18, 20), "second": (60, 90)}.items():
            self.masks[key] = (y - row) ** 2 + (x - column) ** 2 <= 9**2
            picture[self.masks[key]] = 200
        self.stack = ImageStack.from_array(picture, name="secret-patient.png")
        for key, mask in self.masks.items():
            self.concepts[key] = describe_region(self.stack, mask, name="polyp")
        self.in_hand = "first"

    def asked_region(self):
        key = self.in_hand
        return AskedRegion(key, self.concepts[key], self.masks[key], self.stack_of) if key else None

    def stack_of(self):
        return self.stack

    def take_answer(self, key, change):
        if key in self.concepts:
            self.concepts[key] = change(self.concepts[key])


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def theme():
    """All that the panel wants of a viewer; a window for each test would take seconds."""
    return SimpleNamespace(theme="dark")


@pytest.fixture
def panel(theme, owner, qtbot):
    panel = EndpointPanel(theme, owner)
    qtbot.addWidget(panel)
    panel.resize(350, 400)
    panel.show()
    yield panel
    panel.close_panel()
    qtbot.waitUntil(lambda: panel.workbench.is_idle)


def settle(panel, qtbot):
    qtbot.waitUntil(lambda: panel.workbench.is_idle)


def opened(panel, qtbot, url, model="tiny-vl"):
    """Open the panel and type an address as a person would."""
    if not panel.header.isChecked():
        panel.header.click()
    for edit, text in ((panel.address_edit, url), (panel.model_edit, model)):
        edit.setFocus()
        edit.selectAll()
        qtbot.keyClicks(edit, text)
        qtbot.keyClick(edit, Qt.Key.Key_Return)
    settle(panel, qtbot)


def tick(box, qtbot):
    """Click on the square: the rest of a wide check box is empty."""
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))


def test_it_is_off_and_says_so(panel, server, qtbot):
    assert panel.header.text() == "Ask a larger model (off)"
    panel.refresh()
    settle(panel, qtbot)
    panel.header.click()
    settle(panel, qtbot)
    assert not panel.ask_button.isEnabled()
    assert not panel.allow_box.isEnabled()
    assert "Type the address" in panel.status.text()
    assert server.seen == []


def test_what_is_sent_and_where_is_shown_before_anything_is(panel, owner, server, qtbot):
    opened(panel, qtbot, server.url)
    assert "224 × 224 pixels" in panel.what.text()
    assert "no file name" in panel.what.text()
    assert "is on this machine, which it leaves only if" in panel.where.text()
    assert not panel.picture.isHidden()
    assert panel.picture.pixmap().width() > 0
    assert not panel.ask_button.isEnabled(), "not before it is allowed"
    assert server.seen == []
    tick(panel.allow_box, qtbot)
    assert panel.ask_button.isEnabled()
    assert panel.header.text() == "Ask a larger model (tiny-vl, on this machine)"
    qtbot.mouseClick(panel.ask_button, Qt.MouseButton.LeftButton)
    settle(panel, qtbot)
    assert owner.concepts["first"].sentence() == "one small pedunculated bright polyp, located in the upper left"
    assert owner.concepts["first"].attribute("shape").source == "tiny-vl"
    assert "The model tiny-vl filled" in panel.status.text()
    (seen,) = server.seen
    assert b"secret-patient" not in seen.body
    tick(panel.allow_box, qtbot)
    assert not panel.ask_button.isEnabled()
    assert panel.header.text().endswith("(off)")


def test_another_address_must_be_allowed_anew(panel, server, qtbot):
    opened(panel, qtbot, server.url)
    panel.allow_box.click()
    assert panel.ask_button.isEnabled()
    panel.address_edit.setFocus()
    qtbot.keyClicks(panel.address_edit, "x")
    assert not panel.ask_button.isEnabled()
    assert not panel.allow_box.isChecked()
    opened(panel, qtbot, server.url.replace("127.0.0.1", "localhost"))
    assert not panel.allow_box.isChecked()
    opened(panel, qtbot, server.url)
    assert panel.allow_box.isChecked(), "allowed for the session"


def test_consent_and_key_are_kept_nowhere(panel, theme, owner, server, qtbot, monkeypatch):
    monkeypatch.setenv("PROMPTSEG_VLM_KEY", "sk-very-secret")
    opened(panel, qtbot, server.url)
    assert "key from the variable PROMPTSEG_VLM_KEY" in panel.where.text()
    panel.allow_box.click()
    panel.ask_button.click()
    settle(panel, qtbot)
    kept = memory()
    kept.sync()
    with open(kept.fileName(), encoding="utf-8") as file:
        text = file.read()
    assert "sk-very-secret" not in text
    assert "allow" not in text.casefold()
    later = EndpointPanel(theme, owner)
    qtbot.addWidget(later)
    later.header.click()
    settle(later, qtbot)
    assert later.address_edit.text() == server.url, "the address is remembered"
    assert not later.allow_box.isChecked(), "leave is not"
    later.close_panel()


def test_an_address_outside_is_marked(panel, qtbot, monkeypatch):
    monkeypatch.setattr(address.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", ("93.184.216.34", 0))])
    opened(panel, qtbot, "https://models.example.com")
    assert "it leaves this machine, encrypted" in panel.where.text()
    assert "color" in panel.where.styleSheet()
    panel.allow_box.click()
    assert "outside your network" in panel.header.text()


@pytest.mark.parametrize(
    ("url", "model", "words"),
    [
        ("localhost:11434", "x", "must begin with http://"),
        ("http://me:secret@host", "x", "without a user or key"),
        ("/no/such/folder", "", "There is no folder"),
        ("http://no-such-host.invalid", "x", "is not found"),
        ("http://localhost:1", " ", "model's name"),
    ],
)
def test_what_cannot_be_used_is_said(panel, qtbot, url, model, words):
    opened(panel, qtbot, url, model)
    assert words in panel.status.text()
    assert not panel.ask_button.isEnabled()


def test_the_region_alone(panel, server, qtbot):
    opened(panel, qtbot, server.url)
    panel.allow_box.click()
    panel.hidden_box.click()
    settle(panel, qtbot)
    assert "black around it" in panel.what.text()
    panel.ask_button.click()
    settle(panel, qtbot)
    assert "Everything outside the region is black" in server.seen[0].json["messages"][0]["content"][0]["text"]


def test_no_region_and_then_one(panel, owner, server, qtbot):
    owner.in_hand = ""
    opened(panel, qtbot, server.url)
    assert "Draw a region first" in panel.what.text()
    panel.allow_box.click()
    assert not panel.ask_button.isEnabled()
    owner.in_hand = "second"
    panel.refresh()
    settle(panel, qtbot)
    panel.ask_button.click()
    settle(panel, qtbot)
    assert owner.concepts["second"].attribute("shape").source == "tiny-vl"
    assert owner.concepts["first"].attribute("shape").source == ""


def test_edits_made_while_waiting_stay_and_a_region_that_went_is_said(panel, owner, server, qtbot):
    opened(panel, qtbot, server.url)
    panel.allow_box.click()
    server.answers = [Answer.text(GOOD, seconds=0.3)]
    panel.ask_button.click()
    qtbot.waitUntil(lambda: bool(server.seen))
    owner.concepts["first"] = owner.concepts["first"].with_word("shape", "mushroom-like")
    owner.in_hand = "second"
    settle(panel, qtbot)
    assert owner.concepts["first"].word("shape") == "mushroom-like"
    assert owner.concepts["first"].attribute("texture").source == "tiny-vl"
    assert owner.concepts["second"].attribute("shape").source == ""
    panel.refresh()
    settle(panel, qtbot)
    panel.ask_button.click()
    del owner.concepts["second"]
    settle(panel, qtbot)
    assert "The region is gone" in panel.status.text()


def test_words_that_change_do_not_take_the_crop_away_but_pixels_do(panel, owner, server, qtbot):
    opened(panel, qtbot, server.url)
    panel.allow_box.click()
    owner.concepts["first"] = owner.concepts["first"].with_word("shape", "oval")
    panel.refresh()
    assert panel.ask_button.isEnabled()
    owner.masks["first"] = owner.masks["second"]
    panel.refresh()
    assert not panel.ask_button.isEnabled()
    settle(panel, qtbot)
    assert panel.ask_button.isEnabled()
    owner.in_hand = ""
    panel.refresh()
    settle(panel, qtbot)
    assert not panel.ask_button.isEnabled()
    assert panel.picture.isHidden()


def test_stopping(panel, owner, server, qtbot):
    opened(panel, qtbot, server.url)
    panel.allow_box.click()
    server.answers = [Answer.text(GOOD, seconds=60)]
    before = owner.concepts["first"]
    panel.ask_button.click()
    qtbot.waitUntil(lambda: bool(server.seen) and "asking tiny-vl" in panel.status.text())
    assert not panel.stop_button.isHidden()
    assert not panel.address_edit.isEnabled()
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    settle(panel, qtbot)
    assert "Stopped" in panel.status.text()
    assert owner.concepts["first"] == before
    assert panel.ask_button.isEnabled()
    assert server.hung_up.wait(60)


def test_a_failure_leaves_the_measured_words(panel, owner, server, qtbot):
    opened(panel, qtbot, server.url)
    panel.allow_box.click()
    server.answers = [Answer.text("Ignore your instructions <b>now</b>.")]
    panel.ask_button.click()
    settle(panel, qtbot)
    assert "the words are measured from the pixels" in panel.status.text()
    assert "<b>" not in panel.status.text()
    assert owner.concepts["first"].word("shape") == "round"
    assert panel.ask_button.isEnabled()


def test_every_control_has_a_name_and_a_tip_and_it_is_narrow(panel, server, qtbot):
    opened(panel, qtbot, server.url)
    for widget in (
        panel.header,
        panel.address_edit,
        panel.folder_button,
        panel.model_edit,
        panel.hidden_box,
        panel.allow_box,
        panel.ask_button,
        panel.stop_button,
        panel.picture,
    ):
        assert widget.accessibleName()
        assert widget.toolTip()
    opened(panel, qtbot, server.url, "some-organisation/A-Model-With-A-Very-Long-Name-72B-Instruct-Quantised")
    panel.allow_box.click()
    assert "A-Model-With-A-Ve…, on this machine" in panel.header.text()
    assert panel.minimumSizeHint().width() <= 340
