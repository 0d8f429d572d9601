# SPDX-License-Identifier: Apache-2.0
"""Huge pages that are few, or come and go while weftd starts. With `auto`, the default, it starts whatever there is."""
import contextlib
import random
import threading
import time

import pytest

from probe import expect

PAGES = "/proc/sys/vm/nr_hugepages"


def set_pages(n):
    with open(PAGES, "w") as f:
        f.write(str(n))


@pytest.fixture
def machine():
    """Its number of huge pages may be changed; afterwards it is what it was."""
    with open(PAGES) as f:
        if int(f.read()) != 0:
            pytest.skip("somebody else uses huge pages here")
    try:
        set_pages(1)
    except OSError as e:
        pytest.skip(f"the number of huge pages cannot be changed: {e}")
    yield
    set_pages(0)


@contextlib.contextmanager
def coming_and_going(most):
    """From moment to moment another number of them."""
    ended = threading.Event()

    def change():
        while not ended.is_set():
            set_pages(random.choice((0, 0, most // 2, most)))
            time.sleep(random.uniform(0.005, 0.05))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_weftd_starts_with_any_number_of_huge_pages(own_lab, machine):
    used = set()
    for n in (0, 1, 8, 30, 45, 60, 75, 90, 150, 250):
        own_lab.stop()
        set_pages(n)
        own_lab.start()
        used.add(own_lab.api.weft("workers")["hugepages"])
    assert used == {False, True}
    net, group = own_lab.network(), own_lab.group("ingress tcp 80")
    expect(own_lab.vm(net, [group]), own_lab.vm(net, [group]), yes=["tcp 80"])


def test_weftd_starts_while_huge_pages_come_and_go(own_lab, machine):
    with coming_and_going(150):
        for _ in range(12):
            own_lab.restart()
            assert own_lab.api.weft("ready")["ready"]
