# SPDX-License-Identifier: Apache-2.0
"""weft store backup: a copy while weftd runs, and back to it."""
import os
import shutil


def test_copy_made_while_it_runs_brings_back_what_was(own_lab):
    lab = own_lab
    net = lab.network()
    kept, lost = (lab.api.create("port", network_id=net["id"]) for _ in range(2))
    lab.api.delete("port", lost["id"])
    copy = f"{lab.dir}/copy"
    lab.weft("store", "backup", copy)
    assert os.stat(copy).st_mode & 0o777 == 0o600
    assert not [n for n in os.listdir(f"{lab.dir}/state") if "backup" in n], "nothing stays where it was made"
    lab.api.delete("port", kept["id"])
    late = lab.api.create("port", network_id=net["id"])

    lab.stop()
    shutil.copy(copy, f"{lab.dir}/state/weft.db")
    if os.path.exists(f"{lab.dir}/state/weft.db-wal"):
        os.remove(f"{lab.dir}/state/weft.db-wal")
    lab.start()
    assert {p["id"] for p in lab.api.list("port")} == {kept["id"]}
    assert "changes lost: 2." in lab.log_text(), late["id"]
    assert lab.api.weft("left-out") == {"left_out": []}


def test_damaged_object_is_shown_and_the_rest_runs(own_lab):
    lab = own_lab
    a, b = lab.network("10.1.0.0/24"), lab.network("10.2.0.0/24")
    vm, other = lab.vm(a), lab.vm(b)
    lab.stop()
    lab.node.run("sqlite3", f"{lab.dir}/state/weft.db", f"UPDATE object SET attr = 'x' WHERE id = '{a['id']}'")
    lab.start()
    lab.wait(lambda: lab.api.get("port", other.id)["status"] == "ACTIVE", 20, "the other VM's port is ACTIVE")
    out = {o["id"]: o["reason"] for o in lab.api.weft("left-out")["left_out"]}
    assert "JSON" in out[a["id"]] and "it refers to" in out[vm.id] and other.id not in out
    assert a["id"] in lab.weft("show", "left-out") and f"{vm.id} is left out" in lab.log_text()
    lab.vms.remove(vm)
    vm.netns.close()
