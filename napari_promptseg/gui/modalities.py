"""Which open layers show the same scene as the one in hand, what kind they are, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.gui.layers import (
    PlaneSource,
    SharedLimits,
    guess_channel_axis,
    levels,
    plane_source,
    result_shape,
)
from napari_promptseg.gui.modality_layers import Shown, guessed_kind, joined, mendable, mismatch, resampled_onto
from napari_promptseg.gui.volume_resample import resample_volume
from napari_promptseg.gui.volume_view import geometry_of
from napari_promptseg.gui.work import Job
from napari_promptseg.images.stack import Modality, ModalityKind
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.modality_notes import (
    ModalityNote,
    matched,
    modality_notes,
    usual_weights,
    with_modality_notes,
)

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

#: More channels than this are not offered one by one.
_MOST_CHANNELS = 12

#: So few planes may well be channels.
_LIKELY_CHANNELS = 6


class Modalities(QObject):
    """The modalities of the image in hand.

    Weights and kinds live in the notes of the session's prompts (`prompts.modality_notes`), so that they go into files,
    come back with them, and *Back* brings them again; which layers are ticked is kept here, for each image by itself.

    Signals
    -------
    changed
        What can be ticked, what is ticked, a kind or a weight.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self._ticked: dict[int, list[Shown]] = {}
        self._kinds: dict[tuple[int, int | None], ModalityKind] = {}
        self._versions: dict[int, int] = {}
        self._limits: dict[tuple[Any, ...], SharedLimits] = {}
        self._watched: list[Image] = []
        self._seen = modality_notes(session.prompts.metadata)
        self._missing: tuple[str, ...] = ()
        self._above: Labels | None = None
        self._gone = ""
        self._after_removal = QTimer(self, singleShot=True, interval=0)
        self._after_removal.timeout.connect(self._go_on)
        session.picture.joined = self.joined
        session.image_changed.connect(self._on_layers)
        session.prompts_changed.connect(self._on_prompts)
        session.result_changed.connect(self._on_result)

    # ---- what the section shows

    @property
    def main(self) -> Image | None:
        """The layer in hand, which is always among the modalities and comes first."""
        return self.session.picture.layer

    def offered(self) -> list[Shown]:
        """What can be ticked: other image layers, and single channels of layers that have an axis of them."""
        found = []
        for layer in self.session.picture.choices():
            axis = guess_channel_axis(layer)
            view = self.session.picture.view
            if layer is self.main:
                axis = view.channel_axis
            if axis is None:
                if layer is not self.main:
                    found.append(self._shown(layer, None))
                continue
            number = levels(layer)[0][axis]
            used = view.channels if layer is self.main and len(view.channels) == 1 else ()
            found += [self._shown(layer, c) for c in range(min(number, _MOST_CHANNELS)) if c not in used]
        return found

    @property
    def likely_channels(self) -> int:
        """How many planes of the layer in hand look like channels that nobody has said are some; 0 where none do."""
        view, layer = self.session.picture.view, self.main
        if layer is None or view.channel_axis is not None or geometry_of(layer) is not None:
            return 0
        leading = result_shape(layer, view)[:-2]
        return leading[0] if len(leading) == 1 and 1 < leading[0] <= _LIKELY_CHANNELS else 0

    def ticked(self) -> list[Shown]:
        """What is used beside the layer in hand."""
        return list(self._ticked.get(id(self.main), ()))

    def is_ticked(self, shown: Shown) -> bool:
        """Whether it is used."""
        return any(s.key == shown.key for s in self.ticked())

    def problem(self, shown: Shown) -> str:
        """Why it cannot be used, as one sentence; empty where it can."""
        return "" if self.main is None else mismatch(self.main, self.session.picture.view, shown)

    def mendable(self, shown: Shown) -> bool:
        """Whether resampling can help where there is a problem."""
        return self.main is not None and mendable(self.main, self.session.picture.view, shown)

    @property
    def missing(self) -> tuple[str, ...]:
        """Modalities of the prompts that this image does not have."""
        return self._missing

    @property
    def names(self) -> list[str]:
        """Of the modalities in use, the layer in hand first; a number tells layers of one name apart."""
        every = [] if self.main is None else [self.main.name, *(s.name for s in self.ticked())]
        return [n if n not in every[:i] else f"{n} ({i + 1})" for i, n in enumerate(every)]

    def kinds(self) -> list[ModalityKind]:
        """In the order of `names`."""
        return [] if self.main is None else [self.main_kind, *(s.kind for s in self.ticked())]

    @property
    def main_kind(self) -> ModalityKind:
        """Kind of the layer in hand, as *Image* has it."""
        kind = self.session.picture.view.kind
        return "rgb" if kind == "auto" and self.main is not None and self.main.rgb else kind

    def weights(self) -> list[float]:
        """In the order of `names`."""
        notes = modality_notes(self.session.prompts.metadata)
        found = matched(self._as_modalities(), notes)
        usual = usual_weights(self.kinds())
        return [usual[i] if j is None else notes[j].weight for i, j in enumerate(found)]

    def noted(self, weights: Sequence[float]) -> tuple[ModalityNote, ...]:
        """What goes into the prompts for these weights."""
        return tuple(ModalityNote(n, k, w) for n, k, w in zip(self.names, self.kinds(), weights, strict=True))

    def joined(self, main: PlaneSource) -> PlaneSource:
        """A plane of the layer in hand with the same plane of the ticked layers that fit it."""
        beside = []
        for name, shown in zip(self.names[1:], self.ticked(), strict=True):
            if self.problem(shown):
                continue
            view = shown.view(self.session.picture.view)
            version = self._versions.get(id(shown.layer), 0)
            key = (id(shown.layer), version, view)
            pixels = shown.layer.data[view.level] if shown.layer.multiscale else shown.layer.data
            limits = self._limits.setdefault(key, SharedLimits(pixels, view.kind, channels=bool(shown.layer.rgb)))
            point = self.session.viewer.dims.point
            beside.append((name, plane_source(shown.layer, view, point, version, limits=limits)))
        return joined(main, beside)

    # ---- what the user does

    def tick(self, shown: Shown, on: bool) -> bool:
        """Use a layer from now on, or not; False, and a sentence, where it does not fit."""
        session, before, weights = self.session, self.ticked(), self.weights()
        if self.main is None:
            return False
        if on and (problem := self.problem(shown)):
            advice = f" Resample it onto {self.main.name!r} first." if self.mendable(shown) else ""
            session.say(problem + advice, "warning")
            self.changed.emit()
            return False
        kept = [(s, w) for s, w in zip(before, weights[1:], strict=True) if s.key != shown.key]
        if on:
            kept.append((shown, usual_weights([self.main_kind, shown.kind])[1]))
        self._use([s for s, _ in kept], [weights[0] if kept else 1.0, *(w for _, w in kept)])
        return True

    def set_kind(self, shown: Shown | None, kind: ModalityKind) -> None:
        """Say what a modality shows; None for the layer in hand."""
        weights = self.weights()
        if shown is None:
            self.session.picture.look(kind=kind)
        else:
            self._kinds[shown.key] = kind
            of_image = [replace(s, kind=kind) if s.key == shown.key else s for s in self.ticked()]
            self._ticked[id(self.main)] = of_image
        self._write(weights, follow=shown is None or self.is_ticked(shown))

    def set_weights(self, weights: Sequence[float]) -> None:
        """How much each modality counts, in the order of `names`; 0 leaves one out."""
        self._write(list(weights), follow=False)  # the prompts' own edit lets the mask follow

    def resample(self, shown: Shown) -> None:
        """Make a layer that lies on the one in hand, in the background, and tick it."""
        session, main, view = self.session, self.main, self.session.picture.view
        if main is None:
            return
        name = f"{shown.name} on {main.name}"

        def made(layer: Image) -> None:
            self._kinds[id(layer), None] = shown.kind
            if session.picture.layer is main:
                self.tick(self._shown(layer, None), True)

        if shown.channel is None and resample_volume(session, main, shown.layer, made):
            return

        def task(progress: Progress) -> Any:
            progress(0, 0, f"resampling {shown.name}")
            return resampled_onto(main, view, shown)

        def done(found: tuple[Any, dict[str, Any], str]) -> None:
            if main not in session.viewer.layers:
                session.say(f"{main.name!r} was removed meanwhile; nothing was resampled.", "warning")
                return
            pixels, place, remark = found
            source = shown.layer
            more = {} if source.rgb else {"colormap": source.colormap, "contrast_limits": source.contrast_limits}
            layer = Image(pixels, name=name, rgb=source.rgb, visible=False, **more, **place)
            layer.metadata["note"] = f"{shown.name} resampled onto {main.name}. {remark}".rstrip()
            at = session.viewer.layers.index(source) if source in session.viewer.layers else 0
            selected = set(session.viewer.layers.selection)
            session.viewer.layers.insert(at, layer)
            session.viewer.layers.selection = selected
            made(layer)
            session.say(f"Made {name!r}. {remark}".rstrip(), "warning" if remark else "info")

        session.workbench.submit(Job("resample", task, done, lambda text: session.say(text, "error")))

    # ---- inside

    def _shown(self, layer: Image, channel: int | None) -> Shown:
        kind = self._kinds.get((id(layer), channel))
        if kind is None:
            kind = guessed_kind(layer) if channel is None else "auto"
        return Shown(layer, channel, kind)

    def _use(self, shown: list[Shown], weights: list[float], *, follow: bool = True) -> None:
        self._ticked[id(self.main)] = shown
        self._limits.clear()
        self._missing = ()
        self._watch()
        self._raise_result()
        self._write(weights, follow=follow)

    def _write(self, weights: list[float], *, follow: bool = True) -> None:
        """Put names, kinds and weights into the prompts; the mask follows."""
        session = self.session
        notes = self.noted(weights) if self.ticked() else ()
        was_seen = session.label_map is not None
        self._seen = notes
        session.set_prompts(replace(session.prompts, metadata=with_modality_notes(session.prompts.metadata, notes)))
        self.changed.emit()
        if follow and was_seen and session.live:
            session.follow(first=True)

    def _on_result(self) -> None:
        """A new result layer must be seen; one that the user has put somewhere since stays there."""
        if self.session.result_layer is not self._above:
            self._raise_result()

    def _raise_result(self) -> None:
        """Put the result above ticked layers, which would hide it."""
        layers, result = self.session.viewer.layers, self.session.result_layer
        self._above = result
        if result is None:
            return
        highest = max((layers.index(s.layer) for s in self.ticked() if s.layer in layers), default=-1)
        if highest > layers.index(result):
            layers.move(layers.index(result), highest + 1)

    def _on_prompts(self) -> None:
        """Notes came with a file or a state: tick the layers that they speak of."""
        notes = modality_notes(self.session.prompts.metadata)
        if notes == self._seen:
            return
        self._seen = notes
        self._find()

    def _find(self) -> None:
        """Tick what the notes speak of among the layers that lie on the one in hand."""
        main, notes = self.main, modality_notes(self.session.prompts.metadata)
        if main is None:
            return
        fitting = [s for s in self.offered() if not self.problem(s)]
        first = notes[0].name if notes else ""
        # channels of the layer in hand are called after it, whatever it was called then
        names = [f"{first}, channel {s.channel}" if s.layer is main else s.name for s in fitting]
        kind = guessed_kind(main) if self.main_kind == "auto" else self.main_kind
        shown = [Modality(n, None, kind=s.kind) for n, s in zip(names, fitting, strict=True)]
        found = matched([Modality(main.name, None, kind=kind), *shown], notes)
        wanted = {j: s for s, j in zip(fitting, found[1:], strict=True) if j is not None}
        for j, s in wanted.items():
            if s.kind == "auto":
                self._kinds[s.key] = notes[j].kind
        self._ticked[id(main)] = [
            replace(wanted[j], kind=self._kinds.get(s.key, s.kind)) for j, s in sorted(wanted.items())
        ]
        own = found[0]
        missing = tuple(n.name for j, n in enumerate(notes) if j not in {*wanted, own}) if notes else ()
        if own and 0 in wanted and wanted[0].layer is not main:
            self.session.say(
                f"{first!r} came first when these prompts were made: choose {wanted[0].layer.name!r} under “Image”.",
                "warning",
            )
        elif missing and missing != self._missing:
            these = " and ".join(repr(m) for m in missing)
            are = "is" if len(missing) == 1 else "are"
            self.session.say(f"{these} {are} not among the layers that lie on {main.name!r}: left out here.", "warning")
        self._missing = missing
        self._watch()
        self.changed.emit()
        if own is not None and self.main_kind == "auto" and notes[own].kind not in ("auto", "rgb"):
            self.session.picture.look(kind=notes[own].kind)  # shown to the model as it was then

    def _on_layers(self) -> None:
        """Layers came, went or were renamed, or another image is in hand."""
        session, standing = self.session, {id(layer): layer for layer in self.session.picture.choices()}
        for key in [k for k in self._ticked if k not in standing]:
            del self._ticked[key]
        gone = []
        for key, shown in self._ticked.items():
            left = [s for s in shown if id(s.layer) in standing]
            if len(left) < len(shown):
                if key == id(self.main):
                    gone = [s.name for s in shown if id(s.layer) not in standing]
                self._ticked[key] = left
        self._kinds = {k: v for k, v in self._kinds.items() if k[0] in standing}
        if gone:
            self._gone = gone[0]
            self._use(self.ticked(), self.weights(), follow=False)
            self._after_removal.start()  # the image itself may be going, too
        elif self.main is not None and self._missing_something and modality_notes(session.prompts.metadata):
            self._find()
        else:
            self._watch()
            self.changed.emit()

    @property
    def _missing_something(self) -> bool:
        """Whether nothing was looked for yet on this image, or something that was not there then."""
        return id(self.main) not in self._ticked or bool(self._missing)

    def _go_on(self) -> None:
        """A ticked layer was removed, and the image is still there."""
        session = self.session
        if self.main is None:
            return
        session.say(f"{self._gone!r} was removed; the mask goes on without it.", "warning")
        if session.result_layer is not None and session.live:
            session.follow(first=True)

    def _as_modalities(self) -> list[Modality]:
        return [Modality(n, None, kind=k) for n, k in zip(self.names, self.kinds(), strict=True)]

    def _watch(self) -> None:
        """Follow the pixels of the ticked layers."""
        wanted = list({id(s.layer): s.layer for s in self.ticked() if s.layer is not self.main}.values())
        for layer in self._watched:
            if all(layer is not w for w in wanted):
                layer.events.data.disconnect(self._on_data)
        for layer in wanted:
            if all(layer is not w for w in self._watched):
                layer.events.data.connect(self._on_data)
        self._watched = wanted

    def _on_data(self, event: Any = None) -> None:
        for layer in self._watched:
            self._versions[id(layer)] = self._versions.get(id(layer), 0) + 1
        self._limits.clear()
        self.changed.emit()
