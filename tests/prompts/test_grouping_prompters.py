"""Prompters between stages: nothing at the start, small, indifferent to order, at ease with what is missing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from napari_promptseg.encoders.stages import Begun
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.grouping import GroupingSettings, Prompters
from napari_promptseg.prompts.grouping.class_prompter import ClassPrompter
from napari_promptseg.prompts.grouping.prompters import class_starts

WIDTHS = {1: 12, 2: 20}
WORDS = torch.nn.functional.normalize(torch.randn(4, 32, generator=torch.Generator().manual_seed(3)), dim=-1)
GRID = (6, 5)


def tokens(width: int, seed: int) -> torch.Tensor:
    return torch.randn(1, GRID[0] * GRID[1], width, generator=torch.Generator().manual_seed(seed))


def seen(seed: int) -> Begun:
    return Begun(2, {s: tokens(w, seed + s) for s, w in WIDTHS.items()}, dict.fromkeys(WIDTHS, GRID))


def prompters(n_auxiliary: int = 1, *, open_gates: bool = True, **settings: Any) -> Prompters:
    made = Prompters(WIDTHS, WORDS, n_auxiliary, GroupingSettings(rank=8, **settings))
    if open_gates:
        with torch.no_grad():
            for name, p in made.named_parameters():
                if name.endswith("gate"):
                    p.fill_(0.5)
    return made


def added(made: Prompters, auxiliary: list[Begun | None], stage: int = 1) -> torch.Tensor:
    found = made.hook(auxiliary)(stage, tokens(WIDTHS[stage], 99), GRID)
    assert found is not None
    return found


KINDS = [
    {"uni_modal": u, "cross_modal": c, "hard": h, "shared": s}
    for (u, c), h, s in itertools.product([(True, True), (True, False), (False, True)], [True, False], [True, False])
]


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_prompters_add_nothing(kind: dict[str, bool]) -> None:
    made = prompters(open_gates=False, **kind)
    for stage in WIDTHS:
        assert float(added(made, [seen(0)], stage).detach().abs().max()) == 0
    assert made.hook([seen(0)])(0, tokens(4, 0), GRID) is None


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_gets_a_gradient_once_the_gates_are_open(kind: dict[str, bool]) -> None:
    made = prompters(**kind)
    noise = torch.Generator().manual_seed(0)
    total = sum(
        hooked.square().sum()
        for stage, width in WIDTHS.items()
        if (hooked := made.hook([seen(0)], noise)(stage, tokens(width, 99), GRID)) is not None
    )
    assert isinstance(total, torch.Tensor)
    total.backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_the_gate_gets_a_gradient_at_zero() -> None:
    made = prompters(open_gates=False)
    added(made, [seen(0)]).sum().backward()
    assert all(
        (p.grad is not None and float(p.grad.abs().max()) > 0) == name.endswith("gate")
        for name, p in made.named_parameters()
        if "_1_" in name and p.grad is not None
    )


def test_auxiliary_modalities_in_another_order_add_the_same() -> None:
    made = prompters(2, shared=True)
    other = prompters(2, shared=True)
    with torch.no_grad():
        for p in made.parts["class_1_0"].parameters():
            p.add_(0.1)
        swapped = {
            k: made.state_dict()[_other_auxiliary(k)] if k.startswith("parts.class") else v
            for k, v in made.state_dict().items()
        }
    other.load_state_dict(swapped)
    torch.testing.assert_close(added(made, [seen(0), seen(7)]), added(other, [seen(7), seen(0)]))


def _other_auxiliary(name: str) -> str:
    part, rest = name.split(".", 2)[1], name.split(".", 2)[2]
    kind, stage, j = part.split("_")
    return f"parts.{kind}_{stage}_{1 - int(j)}.{rest}"


def test_a_missing_modality_leaves_its_term_out() -> None:
    made = prompters(2)
    both, first, second = (added(made, list(a)) for a in ((seen(0), seen(7)), (seen(0), None), (None, seen(7))))
    torch.testing.assert_close(both, first + second)
    assert made.hook([None, None])(1, tokens(12, 99), GRID) is None


def test_shared_prompters_are_fewer() -> None:
    assert prompters(3, shared=True).n_parameters < prompters(3, shared=False).n_parameters


def test_hard_grouping_gives_each_token_one_class_and_soft_many() -> None:
    start = class_starts(WORDS, 8)
    for hard in (True, False):
        prompter = ClassPrompter(12, start, GroupingSettings(rank=8, hard=hard))
        shares = prompter(tokens(12, 0), torch.Generator().manual_seed(0)).shares
        torch.testing.assert_close(shares.sum(dim=-1), torch.ones(1, 30))
        assert (float(shares.detach().amax(dim=-1).min()) > 1 - 1e-5) == hard
        again = [prompter(tokens(12, 0)).shares for _ in range(2)]
        assert torch.equal(*again)  # without a generator nothing is drawn


def test_class_tokens_begin_with_the_words() -> None:
    starts = class_starts(WORDS, 8)
    assert torch.equal(starts, class_starts(WORDS, 8))
    assert not torch.allclose(starts[0], starts[1])
    made = prompters()
    first = made.parts["class_1_0"]
    assert torch.equal(first.tokens.detach(), starts)


def test_the_same_settings_give_the_same_prompters() -> None:
    state = torch.random.get_rng_state()
    one, two = prompters().state_dict(), prompters().state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert torch.equal(state, torch.random.get_rng_state())


def test_large_grids_are_grouped_on_a_smaller_one() -> None:
    made = prompters()
    grid = (80, 70)
    big = torch.randn(1, 5600, 12, generator=torch.Generator().manual_seed(0))
    found = made.hook([Begun(1, {1: big}, {1: grid})])(1, big, grid)
    assert found is not None
    assert found.shape == big.shape


def test_settings_travel_as_plain_values_and_nonsense_is_refused() -> None:
    settings = GroupingSettings(stages=(1, 2), hard=False)
    assert GroupingSettings.from_dict({**settings.as_dict(), "stages": [1, 2]}) == settings
    with pytest.raises(InputError, match="rank"):
        GroupingSettings(rank=0)
    with pytest.raises(InputError, match="uni-modal part"):
        GroupingSettings(uni_modal=False, cross_modal=False)
