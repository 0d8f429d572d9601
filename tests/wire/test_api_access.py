# SPDX-License-Identifier: Apache-2.0
"""Who is let in to the API, and what weftd says when it cannot serve: real TLS, real tokens, the real client."""
import http.client
import itertools
import json
import os
import ssl
import subprocess

import pytest

from lab import BUILD
from netns import Netns, inside

PORT = 9696
_numbers = itertools.count(1)


class Node:
    """A namespace and a directory in which weftd is started with any configuration."""

    def __init__(self, directory):
        self.dir = directory
        self.netns = Netns(f"wa{os.getpid()}-{next(_numbers)}")
        self.daemons = []

    def config(self, name="weftd", **sections):
        base = {"node": {"host": "node1", "run_dir": f"{self.dir}/run", "state_dir": f"{self.dir}/state"},
                "datapath": {"sessions": "4096"}}
        for section, keys in sections.items():
            base.setdefault(section, {}).update(keys)
        path = self.dir / f"{name}.conf"
        path.write_text("".join(f"[{s}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items())
                                for s, keys in base.items()))
        return path

    def start(self, config):
        p = self.netns.popen(f"{BUILD}/weftd", "-c", str(config),
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.daemons.append(p)
        return p

    def refuses(self, config):
        """weftd does not start; what it says."""
        p = self.start(config)
        _, text = p.communicate(timeout=30)
        assert p.returncode not in (0, None), text
        assert p.returncode > 0, f"ended by signal {-p.returncode}: {text}"
        return text

    def close(self):
        for p in self.daemons:
            if p.poll() is None:
                p.terminate()
                p.wait(timeout=30)
            p.stderr.close()
        self.netns.close()


@pytest.fixture
def node(tmp_path):
    (tmp_path / "state").mkdir()
    n = Node(tmp_path)
    yield n
    n.close()


@pytest.fixture
def tls(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    return {"tls_cert": cert, "tls_key": key}


def wait_ready(node, daemon, connect):
    for _ in range(300):
        assert daemon.poll() is None, daemon.stderr.read()
        try:
            with inside(node.netns.name):
                c = connect()
                c.connect()
            return c
        except OSError:
            subprocess.run(["sleep", "0.1"], check=True)
    raise AssertionError("weftd does not listen")


def test_token_and_tls_let_the_real_client_in_from_anywhere(node, tls, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("root-token red admin\nmember-token blue member\n")
    tokens.chmod(0o600)
    daemon = node.start(node.config(api={"listen": f"0.0.0.0:{PORT}", "auth": "token",
                                         "tokens": tokens, **tls}))
    context = ssl.create_default_context(cafile=str(tls["tls_cert"]))
    api = wait_ready(node, daemon, lambda: http.client.HTTPSConnection("127.0.0.1", PORT, timeout=30,
                                                                       context=context))

    def openstack(token, *args):
        return subprocess.run(["ip", "netns", "exec", node.netns.name, "/usr/bin/openstack",
                               "--os-auth-type", "admin_token", "--os-token", token,
                               "--os-endpoint", f"https://127.0.0.1:{PORT}",
                               "--os-cacert", tls["tls_cert"], *args],
                              capture_output=True, text=True, timeout=60,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)})

    made = openstack("member-token", "network", "create", "net1", "-f", "value", "-c", "project_id")
    assert made.stdout.strip() == "blue", made.stderr
    assert "net1" in openstack("root-token", "network", "list", "-f", "value").stdout
    refused = openstack("guess", "network", "list")
    assert refused.returncode != 0 and "401" in refused.stderr

    def get(path, token=None):
        api.request("GET", path, headers={"X-Auth-Token": token} if token else {})
        answer = api.getresponse()
        return answer.status, answer.read()

    assert get("/v2.0/networks")[0] == 401
    assert get("/metrics", "member-token")[0] == 403
    tokens.write_text("root-token red admin\nnew-token blue member\n")
    assert get("/v2.0/networks", "member-token")[0] == 401
    status, body = get("/v2.0/networks", "new-token")
    assert status == 200 and len(json.loads(body)["networks"]) == 1


def test_open_address_without_token_or_tls_is_refused(node, tls, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("t red admin\n")
    text = node.refuses(node.config(api={"listen": f"0.0.0.0:{PORT}"}))
    assert f"0.0.0.0:{PORT} is not a loopback address" in text
    text = node.refuses(node.config(api={"listen": f"0.0.0.0:{PORT}", **tls}))
    assert "auth = token" in text
    text = node.refuses(node.config(api={"listen": f"0.0.0.0:{PORT}", "auth": "token", "tokens": tokens}))
    assert "tls_cert" in text


def test_address_and_state_in_use_are_named(node, tmp_path):
    first = node.start(node.config())
    wait_ready(node, first, lambda: http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)).close()
    other = {"run_dir": f"{tmp_path}/run2"}
    text = node.refuses(node.config("same-state", node=other, api={"listen": "127.0.0.1:9697"}))
    assert f"{tmp_path}/state is in use" in text
    (tmp_path / "state2").mkdir()
    other["state_dir"] = f"{tmp_path}/state2"
    text = node.refuses(node.config("same-address", node=other))
    assert f"127.0.0.1:{PORT}" in text and "in use" in text


def test_damaged_state_is_refused_in_one_sentence(node, tmp_path):
    (tmp_path / "state" / "weft.db").write_bytes(b"no database " * 1000)
    text = node.refuses(node.config())
    assert f"{tmp_path}/state/weft.db is damaged" in text
