#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A disk that fails under weftd, which is killed then: what was refused is not in force afterwards.

Run as root in a network namespace of its own (test_disk.py does): disk.py WEFTD LIBRARY
"""
import os
import pathlib
import subprocess
import sys
import tempfile

from crash import Client, Daemon, NoAnswer


def create(name):
    """The status of the answer; None: there was none."""
    try:
        return Client().call("POST", "/v2.0/networks", {"network": {"name": name}})[0]
    except NoAnswer:
        return None


def names():
    return [n["name"] for n in Client().list("networks")]


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="weft-disk-") as directory:
        failing = pathlib.Path(directory) / "failing"
        os.environ.update(LD_PRELOAD=sys.argv[2], FAILING_DISK=str(failing))
        daemon = Daemon(sys.argv[1], pathlib.Path(directory))

        def start():
            daemon.start()
            daemon.wait_ready()
        try:
            start()
            assert create("one") == 201
            # Once: the log is made void, so it was refused for sure.
            failing.write_text("1\n")
            assert create("refused") == 503 and not failing.exists()
            daemon.kill()
            start()
            assert names() == ["one"], names()
            # For good: nobody knows, so nobody is told; the next ones are not even tried.
            failing.write_text("")
            assert create("unknown") is None
            assert create("refused") == 503 and names() == ["one"]
            failing.unlink()
            assert create("two") == 201
            daemon.kill()
            start()
            assert names() == ["one", "two"], names()
        finally:
            daemon.kill()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
