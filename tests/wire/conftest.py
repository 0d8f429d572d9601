# SPDX-License-Identifier: Apache-2.0
"""Wire tests: real packets through the real daemon. `--datapath` chooses what carries them."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from lab import Lab  # noqa: E402

DATAPATHS = ("native",)


def pytest_addoption(parser):
    parser.addoption("--datapath", default="native", help="native (ovs-learn, ovs-conntrack, linux: later)")


def pytest_configure(config):
    name = config.getoption("--datapath")
    if name not in DATAPATHS:
        raise pytest.UsageError(f"--datapath {name}: this version has {', '.join(DATAPATHS)}")
    if os.geteuid() != 0:
        raise pytest.UsageError("wire tests make network namespaces: run them as root")


@pytest.fixture(scope="session")
def datapath(request):
    return request.config.getoption("--datapath")


@pytest.fixture(scope="module")
def shared_lab(datapath, request):
    """One node for a whole file: for tests that make their own networks and leave weftd alone. Its physical networks
    are those that the file names: PHYSICAL = ["physnet1"]."""
    lab = Lab(datapath, physical=getattr(request.module, "PHYSICAL", ()))
    yield lab
    lab.close()


@pytest.fixture
def lab(shared_lab):
    """The file's node, with the VMs of this test unplugged and its objects deleted afterwards."""
    yield shared_lab
    forget(shared_lab)


@pytest.fixture
def own_lab(datapath, request):
    """A node for one test alone: it may restart weftd or break things."""
    lab = Lab(datapath, physical=getattr(request.module, "PHYSICAL", ()))
    yield lab
    lab.close()


def forget(lab):
    for vm in lab.vms:
        vm.netns.close()
    lab.vms.clear()
    for outside in lab.physical.values():
        outside.forget()
    forget_routers(lab.api)
    for kind in ("port", "network", "security_group", "address_group"):
        for o in lab.api.list(kind):
            if kind == "security_group" and o["name"] == "default":
                continue
            lab.api.delete(kind, o["id"])


def forget_routers(api):
    for fip in api.list("floatingip"):
        for pf in fip["port_forwardings"]:
            api.request("DELETE", f"/v2.0/floatingips/{fip['id']}/port_forwardings/{pf['id']}")
        api.delete("floatingip", fip["id"])
    for router in api.list("router"):
        api.update("router", router["id"], routes=[], external_gateway_info=None)
        for port in api.list("port", device_id=router["id"]):
            api.request("PUT", f"/v2.0/routers/{router['id']}/remove_router_interface", {"port_id": port["id"]})
        api.delete("router", router["id"])
