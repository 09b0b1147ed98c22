from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from napari_promptseg.errors import OutputError
from napari_promptseg.learning import journal as journals
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.journal import Journal, forget, read_journal, recover


def dot(n: int) -> Stroke:
    return Stroke.from_pixels([n], [n], 1, id=f"s{n}")


def ids(corrections: Corrections) -> list[str]:
    return [s.id for s in corrections]


def test_every_change_is_there_after_closing(tmp_path) -> None:
    journal = Journal(tmp_path, "image A", title="A")
    state = Corrections().with_added([dot(0), dot(1), dot(2)])
    journal.record(state)
    journal.record(state.without("s1"))
    journal.record(Corrections((dot(3), dot(2), dot(0))))
    journal.close()
    (left,) = recover(tmp_path, "image A")
    assert ids(left.corrections) == ["s3", "s2", "s0"]
    assert (left.title, left.damaged) == ("A", 0)
    assert recover(tmp_path, "image B") == []
    forget(left)
    assert recover(tmp_path) == []


def test_open_journal_is_not_offered_and_an_empty_one_leaves_nothing(tmp_path) -> None:
    journal = Journal(tmp_path, "A")
    journal.record(Corrections((dot(0),)))
    assert recover(tmp_path) == []
    journal.record(Corrections())
    journal.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_process_loses_at_most_the_stroke_in_flight(tmp_path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from napari_promptseg.learning.corrections import Corrections, Stroke
        from napari_promptseg.learning.journal import Journal
        journal, state, n = Journal(sys.argv[1], "A"), Corrections(), 0
        while True:
            state = state.with_added(Stroke.from_pixels([n], [n], 1, id=f"s{n}"))
            journal.record(state)
            n += 1
            print(n, flush=True)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(25):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        told = 25 + len(process.stdout.read().split())
    (left,) = recover(tmp_path, "A")
    assert len(left.corrections) >= told
    assert ids(left.corrections) == [f"s{n}" for n in range(len(left.corrections))]


def test_cut_or_changed_line_costs_only_itself(tmp_path) -> None:
    journal = Journal(tmp_path, "A")
    journal.record(Corrections((dot(0), dot(1), dot(2))))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-25])
    left = read_journal(journal.path)
    assert (ids(left.corrections), left.damaged) == (["s0", "s1"], 1)
    lines = whole.splitlines(keepends=True)
    middle = next(i for i, line in enumerate(lines) if b'"s1"' in line)
    lines[middle] = lines[middle].replace(b'"s1"', b'"xx"')
    journal.path.write_bytes(b"".join(lines))
    left = read_journal(journal.path)
    assert (ids(left.corrections), left.damaged) == (["s0", "s2"], 1)


def test_long_editing_stays_bounded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(journals, "COMPACT_BYTES", 4000)
    journal = Journal(tmp_path, "A")
    rng = np.random.default_rng(0)
    for n in range(60):
        noisy = Stroke.from_mask(rng.random((40, 40)) < 0.5, 1, id=f"n{n}")
        journal.record(Corrections((dot(0), noisy)))
    journal.close()
    assert journal.path.stat().st_size < 8000
    assert ids(read_journal(journal.path).corrections) == ["s0", "n59"]


def test_folder_stays_bounded_and_other_files_are_left_alone(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for name in "ABC":
        journal = Journal(tmp_path, name)
        journal.record(Corrections((dot(0),)))
        journal.close()
        os.utime(journal.path, (ord(name), ord(name)))
    size = journal.path.stat().st_size
    journals.bound_folder(tmp_path, limit=2 * size + 10)
    assert [left.key for left in recover(tmp_path)] == ["C", "B"]
    (tmp_path / "fake.strokes").write_bytes(b"not a journal")
    assert len(recover(tmp_path)) == 2
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_unwritable_folder_is_said_and_tried_again(tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    journal = Journal(blocked, "A")
    with pytest.raises(OutputError, match="cannot be kept safe"):
        journal.record(Corrections((dot(0),)))
    blocked.unlink()
    journal.record(Corrections((dot(0),)))
    journal.close()
    assert len(recover(blocked)[0].corrections) == 1
