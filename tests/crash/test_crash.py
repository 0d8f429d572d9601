# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under load (crash.py), in a network namespace of its own.

CRASH_N   how many kills (200)
"""
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", HERE.parent.parent / "build"))


def test_nothing_acknowledged_is_lost_and_nothing_is_half_applied():
    kills = os.environ.get("CRASH_N", "200")
    subprocess.run(["unshare", "--net", "/usr/bin/python3", str(HERE / "crash.py"),
                    str(BUILD / "weftd"), kills], check=True, timeout=600)
