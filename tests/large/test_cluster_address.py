"""Where a cluster is, and that nothing goes off this machine without leave."""

from __future__ import annotations

import argparse

import pytest

from napari_promptseg import run_options
from napari_promptseg.errors import InputError
from napari_promptseg.large import labelling, run_plan
from napari_promptseg.large.cluster_address import ClusterAddress, check_allowed, disclosure


def options(*words):
    parser = argparse.ArgumentParser()
    run_options.add_run_options(parser)
    return parser.parse_args(words)


def test_addresses():
    address = ClusterAddress.parse(" tls://Node-3.example:8786/ ")
    assert address == ClusterAddress("tls", "node-3.example", 8786)
    assert ClusterAddress.parse("tcp://[::1]:1").url == "tcp://[::1]:1"


@pytest.mark.parametrize(
    "text", ["localhost:8786", "http://localhost:8786", "tcp://localhost", "tcp://:1", "tcp://a:x", "tcp://a:1/b", ""]
)
def test_what_is_no_address(text):
    with pytest.raises(InputError, match=r"tcp://localhost:8786"):
        ClusterAddress.parse(text)


def test_how_far_away_it_is():
    local = ClusterAddress.parse("tcp://localhost:8786")
    assert local.reach(lambda host, port: ("127.0.0.1", "::1")) == "machine"
    assert local.reach(lambda host, port: ("127.0.0.1", "10.255.255.254")) == "network"
    assert local.reach(lambda host, port: ("8.8.8.8",)) == "internet"


def test_a_remote_cluster_is_named_and_needs_leave():
    with pytest.raises(
        InputError, match=r"Nothing was sent: .* leave this machine, not encrypted; add --send-to-remote"
    ):
        check_allowed("tcp://10.0.0.9:8786", "network", False)
    check_allowed("tcp://10.0.0.9:8786", "network", True)
    check_allowed("tcp://127.0.0.1:8786", "machine", False)
    assert "nothing leaves it" in disclosure("tcp://127.0.0.1:8786", "machine")
    assert disclosure("tls://10.0.0.9:8786", "network").endswith("leave this machine, encrypted.")


def test_options_are_checked_before_a_model_is_loaded():
    with pytest.raises(InputError, match="Nothing was sent"):
        run_options.run_plan_of(options("--cluster", "tcp://192.0.2.7:8786"))
    with pytest.raises(InputError, match="belongs to --cluster"):
        run_options.run_plan_of(options("--send-to-remote"))
    with pytest.raises(SystemExit):
        options("--workers", "2", "--cluster", "tcp://localhost:1")
    made = run_options.run_plan_of(options("--workers", "3", "--resume", "--block-side", "900"))
    assert made == run_plan.RunPlan(workers=3, resume=True, block_side=900)


def test_defaults_are_those_of_the_modules_that_define_them():
    assert (run_options.BLOCKS_ABOVE, run_options.BLOCK_SIDE) == (run_plan.BLOCKS_ABOVE, labelling.BLOCK_SIDE)
    assert run_options.run_plan_of(options()) == run_plan.RunPlan()
