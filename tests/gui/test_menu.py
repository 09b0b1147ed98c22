"""Where a person finds the dock in napari's own menus.

`napari._app_model` is private, but npe2 accepts menus that napari then drops: only napari's own list tells.
"""

from __future__ import annotations

import pytest
from napari._app_model import get_app_model
from napari.plugins import _initialize_plugins

pytestmark = pytest.mark.gui

COMMAND = "napari-promptseg.widget"


@pytest.fixture
def app():
    _initialize_plugins()
    return get_app_model()


def commands(app, menu):
    return [item.command.id for item in app.menus.get_menu(menu) if hasattr(item, "command")]


@pytest.mark.parametrize("menu", ["napari/layers/segment", "napari/plugins"])
def test_the_dock_is_in_the_menu(viewer, app, menu):
    assert commands(app, menu).count(COMMAND) == 1


def test_choosing_it_opens_the_dock_and_choosing_it_again_hides_it(make_napari_viewer_proxy, app, monkeypatch, qtbot):
    from napari_promptseg.gui.session import Session

    monkeypatch.setattr(Session, "_warm_up", lambda self: None)  # no model is needed here
    viewer = make_napari_viewer_proxy(show=True)
    app.commands.execute_command(COMMAND).result()
    (dock,) = viewer.window.dock_widgets.values()
    assert type(dock).__name__ == "PromptSegmentationWidget"
    for visible in (True, False, True):
        qtbot.waitUntil(lambda visible=visible: dock.isVisible() is visible)
        app.commands.execute_command(COMMAND).result()
    dock.let_go()
