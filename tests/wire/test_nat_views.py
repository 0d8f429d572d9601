# SPDX-License-Identifier: Apache-2.0
"""What `weft show floatingips` and `show nat` say of flows that really run, and what a trace says of the next one."""
import json

from internet import Internet, Tenant, seen_as

PHYSICAL = ["physnet1"]


def as_json(lab, *args):
    return json.loads(lab.weft("--json", *args))


def row(text, beginning):
    return next(line for line in text.splitlines() if line.startswith(beginning))


def test_translated_flows_are_shown_by_both_their_names(lab):
    net = Internet(lab)
    t = Tenant(net)
    plain, known, web = t.vm(name="plain"), t.vm(name="known"), t.vm(name="web")
    fip = net.floating(known)
    forwards = net.lab.api.create("floatingip", floating_network_id=net.network["id"])
    lab.api.request("POST", f"/v2.0/floatingips/{forwards['id']}/port_forwardings", {"port_forwarding": {
        "protocol": "tcp", "external_port": 8080, "internal_port": 80, "internal_port_id": web.id,
        "internal_ip_address": web.ip}})
    assert seen_as(plain, net.host, source_port=40001) == (t.ip, 40001)
    assert seen_as(known, net.host, source_port=40002) == (fip.ip, 40002)

    text = lab.weft("show", "floatingips")
    line = row(text, fip.ip)
    assert known.ip in line and "known" in line and t.router["name"] in line
    assert f"{web.ip}:80" in text and "8080" in text

    text = lab.weft("show", "nat")
    line = next(x for x in text.splitlines() if f"{plain.ip}:40001 > {net.host.ip}:80" in x)
    assert f"{t.ip}:40001 > {net.host.ip}:80" in line
    flows = as_json(lab, "show", "nat", "--port", "known")
    assert [f["translated"]["text"] for f in flows["sessions"] if f["protocol"] == "tcp"] == \
        [f"{fip.ip}:40002 > {net.host.ip}:80"]
    assert {a["address"] for a in flows["addresses"]} == {t.ip, fip.ip, forwards["floating_ip_address"]}

    text = lab.weft("trace", "plain", f"tcp > {net.host.ip}:443 syn")
    assert f"becomes {t.ip}:" in row(text, "nat") and "=> forward" in text
    text = lab.weft("trace", "known", f"tcp {known.ip}:5000 > {net.host.ip}:443 syn")
    assert f"source {known.ip}:5000 becomes {fip.ip}:5000 (floating IP {fip.fip['id']})" in text
    assert f"source NAT to {t.ip}" in lab.weft("show", "routers")
