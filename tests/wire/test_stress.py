# SPDX-License-Identifier: Apache-2.0
"""Table pressure, 100 changes of the policy a second, cut connections and fragments at once: a short run of `make stress`, at a rate that leaves
the machine to others."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "stress"))

import stress  # noqa: E402

SECONDS = 8
SEED = 20240611


@pytest.mark.parametrize("workers", [1, 2])
def test_every_packet_is_accounted_for_under_everything_at_once(datapath, workers):
    if datapath != "native":
        pytest.skip(f"{datapath} has no vhost-user ports")
    wrong = stress.run(SECONDS, 200, SEED, workers, sessions=2048, tell=print)
    assert not wrong, "\n".join(wrong)
