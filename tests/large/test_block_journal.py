"""The journal says what is finished, survives being cut short, and belongs to one job."""

from __future__ import annotations

import json
import signal

import pytest

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.label_jobs import journal_path
from napari_promptseg.large.journal import Entry, Journal


def begun(path, *blocks):
    with Journal(path, "job") as journal:
        journal.begin({"blocks": 9})
        for block in blocks:
            journal.record(Entry(block, {0: 5, 2: 7}, 0.5, "me"))


def test_what_was_recorded_is_read_again(tmp_path):
    path = tmp_path / "j"
    begun(path, 3, 1)
    with Journal(path, "job") as journal:
        assert sorted(journal.finished) == [1, 3]
        assert journal.finished[3] == Entry(3, {0: 5, 2: 7}, 0.5, "me")
        assert journal.facts["blocks"] == 9
        assert not journal.is_new
        assert journal.repeated == 0


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_line_cut_short_is_no_line_and_does_not_spoil_the_next(tmp_path, cut):
    path = tmp_path / "j"
    begun(path, 3, 1)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, "job") as journal:
        assert sorted(journal.finished) == [3]
        journal.record(Entry(7))
    with Journal(path, "job") as journal:
        assert sorted(journal.finished) == [3, 7]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_another_job_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "j"
    begun(path, 3)
    with pytest.raises(InputError, match="another picture, other prompts or settings"):
        Journal(path, "other")
    path.write_text('{"cat": 1}\n')
    with pytest.raises(InputError, match="no journal"):
        Journal(path, "job")
    path.write_text("not json\nnot either\n")
    with pytest.raises(InputError, match="damaged"):
        Journal(path, "job")
    path.write_text('{"journal": 99}\n')
    with pytest.raises(InputError, match="newer release"):
        Journal(path, "job")


def test_two_programs_cannot_write_at_once(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "j"
    begun(path)
    with Journal(path, "job"), pytest.raises(OutputError, match="Another program"):
        Journal(path, "job")
    Journal(path, "job").close()


def test_a_full_disk_is_told_and_what_was_finished_counts(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "j"
    begun(path, 3, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Journal(path, "job") as journal:
            # the next line does not fit whole
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
            with pytest.raises(OutputError, match="make room and run it again"):
                journal.record(Entry(7, {0: 5}, 0.5, "me"))
            assert sorted(journal.finished) == [1, 3]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    with Journal(path, "job") as journal:
        assert sorted(journal.finished) == [1, 3]
        journal.record(Entry(7))
    with Journal(path, "job") as journal:
        assert sorted(journal.finished) == [1, 3, 7]


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "missing" / "j", "job")


def test_it_lies_beside_the_labels(tmp_path):
    assert journal_path(tmp_path / "a_labels.ome.zarr") == tmp_path / "a_labels.journal.jsonl"
