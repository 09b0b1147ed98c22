"""What the sections of the dock share: the picture, the model, the classes and the result. No widget in here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QTimer, Signal

from napari_promptseg.errors import InputError, PromptSegError
from napari_promptseg.gui.class_edits import ClassEdits
from napari_promptseg.gui.corrector import Corrector
from napari_promptseg.gui.engine import Engine, ModelChoice, Outcome, Request
from napari_promptseg.gui.hover import hover_at
from napari_promptseg.gui.layers import PlaneSource, View, usual_view
from napari_promptseg.gui.picture import Picture
from napari_promptseg.gui.regions import Regions
from napari_promptseg.gui.result import Result
from napari_promptseg.gui.score_layers import ScoreLayers
from napari_promptseg.gui.tuning import Tuning
from napari_promptseg.gui.volume_state import Volume
from napari_promptseg.gui.work import Job, Learner, Workbench

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_promptseg.encoders.catalogue import ModelEntry
    from napari_promptseg.encoders.encoder import Familiarity
    from napari_promptseg.encoders.features import DenseFeatures
    from napari_promptseg.segmentation.label_map import LabelMap
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Pause after an edit before the mask follows, in milliseconds.
LIVE_DELAY = 200


class Session(ClassEdits):
    """One person's work on one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
    engine : Engine, optional
        Where the model and the segmenter come from.
    warm_up : bool
        Load the embedded model in the background at once, so that the first mask comes sooner.
    strokes_folder : path, optional
        Where corrections are kept safe; the user's own folder where not given.

    Attributes
    ----------
    picture : Picture
    workbench : Workbench
    prompts : PromptSet
    label_map : LabelMap or None
        What was last predicted for the plane in sight.
    shares : dict of int to float
        Area share of each class on it.
    known : dict of str to (Familiarity, nearest names)
    """

    image_changed = Signal()
    result_changed = Signal()
    model_changed = Signal()
    familiarity_changed = Signal()
    busy_changed = Signal(bool)
    progress = Signal(int, int, str)
    hover_changed = Signal(str)
    states_changed = Signal()

    def __init__(
        self,
        viewer: Any,
        *,
        engine: Engine | None = None,
        warm_up: bool = True,
        strokes_folder: Path | None = None,
    ) -> None:
        super().__init__()
        # napari hands a plugin a proxy that wraps each layer anew: no layer would be the same object twice
        viewer = getattr(viewer, "__wrapped__", viewer)
        self.viewer = viewer
        self.engine = engine or Engine()
        self.picture = Picture(viewer, self)
        self.workbench = Workbench(self)
        self.scores = ScoreLayers(viewer)
        self.model = ModelChoice()
        self.model_facts: dict[str, Any] = {}
        self.catalogue: list[ModelEntry] = []
        self.quality = "fast"
        self.refinement = "guided"
        self.live = True
        self.want_scores = False
        self.shares: dict[int, float] = {}
        self.known: dict[str, tuple[Familiarity, tuple[str, ...]]] = {}
        self._results: dict[int, Result] = {}
        self._segmented: set[tuple[Any, ...]] = set()
        self._live_timer = QTimer(self, singleShot=True, interval=LIVE_DELAY)
        self._live_timer.timeout.connect(self.follow)
        self.workbench.busy_changed.connect(self.busy_changed)
        self.workbench.progress.connect(self.progress)
        self.workbench.cancelled.connect(lambda: self.say("Stopped; nothing was changed."))
        self.picture.changed.connect(self._on_image)
        self.picture.layers_changed.connect(self._on_layers)
        self.picture.plane_changed.connect(self._on_plane)
        viewer.mouse_move_callbacks.append(self._on_mouse_move)
        self.corrector = Corrector(self, strokes_folder)
        self.tuning = Tuning(self)
        self.regions = Regions(self)
        self.learners: list[Learner] = [self.tuning, self.regions.learning]  # what *Cancel* lets end by itself
        self.volume = Volume(self)
        if warm_up:
            QTimer.singleShot(300, self._warm_up)

    # ---- what later sections ask for

    @property
    def segmenter(self) -> Segmenter | None:
        """The segmenter in hand; None before a model is loaded."""
        return self.engine.segmenter

    @property
    def features(self) -> DenseFeatures | None:
        """Features of the picture last encoded."""
        return None if self.segmenter is None else self.segmenter.features

    @property
    def result(self) -> Result | None:
        """Result of the image in hand."""
        return self.result_of(self.picture.layer)

    def result_of(self, image: Any) -> Result | None:
        """Result of an image layer; None where it has none."""
        return self._results.get(id(image))

    @property
    def result_layer(self) -> Labels | None:
        """Its label layer; None once the user has removed it."""
        return None if self.result is None else self.result.standing

    @property
    def label_map(self) -> LabelMap | None:
        """What was last predicted for the plane in sight."""
        source, result = self.picture.in_sight, self.result
        return None if result is None or source is None else result.prediction(source.index)

    @property
    def is_busy(self) -> bool:
        """Whether work that the user asked for is going on."""
        return self.workbench.is_busy

    # ---- classes, beside the edits of the base class

    def set_image_kind(self, image_kind: Any, values: Any = "auto") -> None:
        """What the picture shows: `image_kind` chooses the sentences, `values` how grey values become a picture."""
        self._edit(lambda: replace(self.prompts, image_kind=image_kind))
        self.picture.look(kind=values)

    # ---- settings

    def set_option(self, name: Literal["quality", "refinement", "want_scores", "live"], value: Any) -> None:
        """Change how masks are made; with `live` on the mask follows."""
        if getattr(self, name) != value:
            setattr(self, name, value)
            if name == "want_scores" and not value:
                self.scores.remove()
            self._live_timer.start()

    def choose_model(self, spec: str, device: str | None = None) -> None:
        """Load another model in the background; errors come as one sentence."""
        choice = ModelChoice(spec.strip(), device or self.model.device)
        if not choice.spec:
            self.say("Type a model, for example hf-hub:organisation/name, or choose one from the list.", "warning")
            return
        before, self.model = self.model, choice
        self.model_facts = {}
        self.model_changed.emit()

        def failed(sentence: str) -> None:
            self.model = self.engine.loaded or before
            self.say(sentence, "error")
            self.model_changed.emit()

        self.workbench.submit(
            Job("load", lambda progress: self.engine.load(choice, progress), self._on_loaded, failed),
        )

    # ---- the work

    def segment(self) -> bool:
        """Segment the plane in sight; False, and a sentence, if something is missing."""
        return self._submit(live=False)

    def rest(self) -> None:
        """Let no mask follow the edits so far."""
        self._live_timer.stop()

    def cancel(self) -> None:
        """Stop at the next tile or step; of learning the best so far is kept."""
        self._live_timer.stop()
        for learning in self.learners:
            if learning.is_running:
                learning.stop()
                return
        self.workbench.cancel()

    def step(self, *, forward: bool = False) -> None:
        """Back to the state of mask and classes before the last one, or forward again."""
        if self.result is None:
            return
        self.corrector.look()
        state = self.result.step(self.prompts, forward=forward, corrections=self.corrector.corrections)
        self.states_changed.emit()
        if state is not None:
            self.prompts = state.prompts
            self.picture.show_plane(state.index)
            source = self.picture.in_sight
            at = state.index if source is None else source.index  # a state may be of all planes
            self.shares = self.result.standing_shares(at, self.prompts)
            self.result.dress(self.prompts)
            self._live_timer.stop()
            self.corrector.stepped(state.index, state.labels, state.corrections)
            self.prompts_changed.emit()
            self.result_changed.emit()
            self.say("One state back." if not forward else "One state forward.")

    def remember(self, index: Any = None, labels: Any = None, corrections: Any = None) -> None:
        """Keep the state before a change, for *Back*: that of the plane in sight and now, unless others are given."""
        source = self.picture.in_sight
        if self.result is not None and source is not None:
            of_then = self.corrector.corrections if corrections is None else corrections
            self.result.keep(source.index if index is None else index, labels, self.prompts, of_then)
            self.states_changed.emit()

    def close(self) -> None:
        """Let go of the viewer; work in the thread stops at its next step and reports nothing."""
        self._live_timer.stop()
        self.workbench.close()
        self.volume.close()
        self.corrector.close()
        self.picture.close()
        if self._on_mouse_move in self.viewer.mouse_move_callbacks:
            self.viewer.mouse_move_callbacks.remove(self._on_mouse_move)

    # ---- inside

    def _on_edit(self, *, look_only: bool) -> None:
        if self.result is not None:
            self.result.dress(self.prompts)
        super()._on_edit(look_only=look_only)
        if not look_only:
            self._ask_familiarity()
            self._live_timer.start()

    def _submit(self, *, live: bool) -> bool:
        try:
            source = self.picture.source()
            if not len(self.prompts):
                raise InputError("No class is named yet: type one, for example cat, and press Enter.")
        except PromptSegError as error:
            self.say(str(error), "warning")
            return False
        self._live_timer.stop()
        image, view = self.picture.layer, self.picture.view
        request = replace(self.request(source, image, view), look_again=not live)

        def done(outcome: Outcome) -> None:
            self._on_outcome(outcome, image, view, live)

        self.workbench.submit(Job("segment", lambda progress: self.engine.run(request, progress), done, self._fail))
        return True

    def request(self, source: PlaneSource, image: Any, view: Any) -> Request:
        """What the worker needs to make the mask of a plane as the dock is set now, its strokes included."""
        learner = self.corrector.learner(source, image, view)
        return Request(
            self.model, source, self.prompts, self.quality, self.refinement, self.want_scores, learner=learner
        )

    def follow(self, *, first: bool = False) -> None:
        """After an edit: segment again if live is on and the plane in sight has been encoded; `first` or not."""
        source = self.picture.in_sight
        if (
            len(self.prompts)
            and source is not None
            and (first or (self.live and (source.key in self._segmented or self.volume.work.has_mask_at(source.index))))
        ):
            self._submit(live=True)

    def _on_outcome(self, outcome: Outcome, image: Any, view: Any, live: bool) -> None:
        if outcome.request.model == self.model and self.model_facts != outcome.model_facts:
            self.model_facts = outcome.model_facts
            self.model_changed.emit()
        if image not in self.viewer.layers:
            self.say("The image was removed while it was being segmented; nothing was written.", "warning")
            return
        edited = self.show(outcome, image, view, live=live)
        self.say(outcome.sentence(self.prompts, edited=edited), "warning" if outcome.notices else "info")

    def view_of(self, image: Any) -> View:
        """How a layer is looked at: as its result was, else as anyone would."""
        if image is self.picture.layer:
            return self.picture.view
        result = self._results.get(id(image))
        return usual_view(image, self.picture.view.kind) if result is None else result.view

    def result_for(self, image: Any, view: View) -> Result:
        """Result of an image looked at like this; a new one where the one it has is of another kind."""
        result = self._results.get(id(image))
        if result is None or not result.view.shares_result(view):
            result = self._results[id(image)] = Result(self.viewer, image, view)
        result.view = view
        return result

    def show(self, outcome: Outcome, image: Any, view: View, *, live: bool = False) -> bool:
        """Put a mask into the result layer of an image; gives whether edits of the user's stood there."""
        result = self.result_for(image, view)
        # Names and colours may have been changed since the request; labels keep their values.
        index, corrector = outcome.request.source.index, self.corrector
        label_map = corrector.impose(image, view, index, outcome.label_map)
        edited = result.put(index, label_map, self.prompts, live=live, corrections=corrector.kept(image, view))
        source = self.picture.in_sight
        if image is self.picture.layer and source is not None:
            if outcome.request.want_scores and self.want_scores:
                self.scores.show(image, view, index, outcome.label_map, self.prompts)
            self._segmented.add(outcome.request.source.key)
            if source.index == index:
                self.shares = dict(outcome.shares)
        self.known.update(outcome.familiarity)
        self.familiarity_changed.emit()
        self.result_changed.emit()
        return edited

    def _on_loaded(self, facts: dict[str, Any]) -> None:
        if self.engine.loaded == self.model:
            self.model_facts = facts
            self.known.clear()
            self._ask_familiarity()
            self.model_changed.emit()
            self._live_timer.start()

    def _ask_familiarity(self) -> None:
        prompts = self.prompts
        names = [name for name in prompts.names if name not in self.known]
        if names and self.engine.segmenter is not None:
            self.workbench.submit(
                Job("familiarity", lambda _: self.engine.read(prompts, names), self._on_known, self._fail, quiet=True)
            )
        self.familiarity_changed.emit()

    def _on_known(self, known: dict[str, Any]) -> None:
        self.known.update(known)
        self.familiarity_changed.emit()

    def _warm_up(self) -> None:
        choice = self.model
        if choice.spec == "embedded":
            self.workbench.submit(
                Job("warm up", lambda p: self.engine.load(choice, p), self._on_loaded, self._on_cold, quiet=True)
            )
        self.workbench.submit(
            Job("catalogue", lambda _: self.engine.list_models(), self._on_catalogue, self._fail, quiet=True)
        )

    def _on_cold(self, sentence: str) -> None:
        self._fail(sentence)
        self.model_changed.emit()

    def _on_catalogue(self, entries: list[ModelEntry]) -> None:
        self.catalogue = entries
        self.model_changed.emit()

    def _on_image(self) -> None:
        self.shares = {}
        self._on_layers()

    def _on_layers(self) -> None:
        standing = {id(layer) for layer in self.picture.choices()}
        self._results = {key: result for key, result in self._results.items() if key in standing}
        self.image_changed.emit()
        self.result_changed.emit()

    def _on_plane(self) -> None:
        source, result = self.picture.in_sight, self.result
        shares = {} if source is None or result is None else result.shares(source.index, self.prompts)
        if shares != self.shares:
            self.shares = shares
            self.result_changed.emit()

    def _on_mouse_move(self, viewer: Any, event: Any) -> None:
        self.hover_changed.emit(hover_at(self))

    def _fail(self, sentence: str) -> None:
        self.say(sentence, "error")
