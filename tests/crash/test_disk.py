# SPDX-License-Identifier: Apache-2.0
"""Syncs that fail (failing_disk.c) and kill -9 (disk.py), in a network namespace of its own."""
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("WEFT_BUILD", HERE.parent.parent / "build"))


def test_change_refused_by_a_failing_disk_is_not_in_force_after_a_crash(tmp_path):
    library = tmp_path / "failing_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(HERE / "failing_disk.c"), "-ldl"], check=True)
    subprocess.run(["unshare", "--net", "/usr/bin/python3", str(HERE / "disk.py"), str(BUILD / "weftd"), str(library)],
                   check=True, timeout=300)
