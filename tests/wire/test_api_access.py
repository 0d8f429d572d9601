# SPDX-License-Identifier: Apache-2.0
"""Who is let in to the API, and what weftd says when it cannot serve: real TLS, real tokens, the real client."""
import http.client
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time

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


def run_weft(node, *args, api=None, **env):
    """(status, stdout, stderr) of weft inside the node, over the socket if nothing else is said."""
    p = subprocess.run(["ip", "netns", "exec", node.netns.name, f"{BUILD}/weft", *args], capture_output=True, text=True,
                       timeout=60, env={**os.environ, "WEFT_API": api or f"unix:{node.dir}/run/api.sock", **env})
    return p.returncode, p.stdout, p.stderr


def said(daemon):
    """What it has said when it has ended."""
    daemon.terminate()
    return daemon.communicate(timeout=30)[1]


@pytest.fixture
def many_files():
    """This process may have the connections of a thousand clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_clients_lock_nobody_out(node, tmp_path, many_files):
    """1,100 connections that send a byte now and then, more than there are places: clients and operator get in, again and again."""
    daemon = node.start(node.config())
    wait_ready(node, daemon, lambda: http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)).close()
    slow = []

    def another():
        with inside(node.netns.name):
            s = socket.create_connection(("127.0.0.1", PORT), timeout=30)
        s.send(b"G")
        slow.append(s)

    try:
        for _ in range(1100):
            another()
        for _ in range(20):
            for s in slow:
                try:
                    s.send(b"E")
                except OSError:
                    pass  # that one gave way
            another()
            with inside(node.netns.name):
                c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
                c.request("GET", "/v2.0/networks")
            assert c.getresponse().status == 200
            c.close()
            status, out, err = run_weft(node, "--json", "show", "ports")
            assert status == 0 and json.loads(out) == {"ports": []}, err
    finally:
        for s in slow:
            s.close()


def test_socket_lets_the_operator_in_without_a_token_and_nobody_else(node, tls, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("root-token red admin\n")
    tokens.chmod(0o600)
    daemon = node.start(node.config(api={"listen": f"127.0.0.1:{PORT}", "auth": "token", "tokens": tokens,
                                         "socket_group": "65534"}))
    wait_ready(node, daemon, lambda: http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)).close()
    made = os.stat(f"{node.dir}/run/api.sock")
    assert (made.st_mode & 0o777, made.st_gid) == (0o660, 65534)
    assert run_weft(node, "show", "ports")[0] == 0
    url = f"http://127.0.0.1:{PORT}"
    status, _, err = run_weft(node, "show", "ports", api=url)
    assert status == 1 and "token" in err
    assert run_weft(node, "show", "ports", api=url, OS_TOKEN="root-token")[0] == 0
    assert run_weft(node, "--api", url, "show", "ports", OS_TOKEN="root-token")[0] == 0

    # A user outside the group, who can walk to it.
    for d in (tmp_path, *tmp_path.parents):
        if d.stat().st_mode & 0o001 == 0:
            d.chmod(d.stat().st_mode | 0o001)
    script = f"import socket; socket.socket(socket.AF_UNIX).connect('{node.dir}/run/api.sock')"
    p = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", "/usr/bin/python3", "-c", script],
                       capture_output=True, text=True)
    assert p.returncode != 0 and "PermissionError" in p.stderr, p.stderr
    p = subprocess.run(["setpriv", "--reuid=65533", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", script],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    p = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", shutil.copy(f"{BUILD}/weft", node.dir),
                        "--api", f"unix:{node.dir}/run/api.sock", "show", "ports"], capture_output=True, text=True)
    assert p.returncode == 1 and "is for root and its group" in p.stderr, p.stderr


def test_socket_can_be_all_there_is(node):
    daemon = node.start(node.config(api={"listen": "none"}))
    assert run_weft(node, "wait-ready")[0] == 0
    assert run_weft(node, "show", "ports")[0] == 0
    with inside(node.netns.name), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", PORT), timeout=30)
    text = said(daemon)
    assert "auth = none" not in text
    assert not os.path.exists(f"{node.dir}/run/api.sock")


def test_two_weftd_do_not_share_a_directory_of_sockets(node, tmp_path):
    first = node.start(node.config(api={"listen": "none"}))
    assert run_weft(node, "wait-ready")[0] == 0
    (tmp_path / "state2").mkdir()
    text = node.refuses(node.config("second", node={"state_dir": f"{tmp_path}/state2"}, api={"listen": "none"}))
    assert f"{tmp_path}/run is in use by another weftd (process {first.pid})" in text and "run_dir" in text
    assert run_weft(node, "show", "ports")[0] == 0  # the first one has its socket still
    # What a killed one leaves is in nobody's way.
    first.kill()
    first.wait(timeout=30)
    assert os.path.exists(f"{node.dir}/run/api.sock")
    again = node.start(node.config(api={"listen": "none"}))
    assert run_weft(node, "wait-ready")[0] == 0
    assert again.poll() is None


def certificate(directory, name):
    key, cert = directory / "key.pem", directory / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True,
                   capture_output=True)
    return cert, key


def test_sighup_takes_up_tokens_certificates_and_log_level_and_says_what_takes_a_restart(node, tls, tmp_path):
    (tmp_path / "tokens").write_text("old-token red admin\n")
    (tmp_path / "tokens2").write_text("new-token red admin\n")
    for f in ("tokens", "tokens2"):
        (tmp_path / f).chmod(0o600)
    api = {"listen": f"127.0.0.1:{PORT}", "auth": "token", "tokens": tmp_path / "tokens", **tls}
    config = node.config(api=api)
    daemon = node.start(config)

    def ask(token, cafile):
        context = ssl.create_default_context(cafile=str(cafile))
        with inside(node.netns.name):
            c = http.client.HTTPSConnection("127.0.0.1", PORT, timeout=30, context=context)
            c.request("GET", "/v2.0/networks", headers={"X-Auth-Token": token})
        return c.getresponse().status

    assert run_weft(node, "wait-ready")[0] == 0
    assert ask("old-token", tls["tls_cert"]) == 200

    # Wrong: nothing changes, and nothing ends.
    config.write_text(config.read_text() + "[store]\ntype = paper\n")
    os.kill(daemon.pid, signal.SIGHUP)
    assert ask("old-token", tls["tls_cert"]) == 200

    (tmp_path / "new").mkdir()
    cert, key = certificate(tmp_path / "new", "renewed")
    node.config(api={**api, "tokens": tmp_path / "tokens2", "tls_cert": cert, "tls_key": key, "listen": "127.0.0.1:9697"},
                datapath={"sessions": "8192"}, node={"log": "debug"})
    os.kill(daemon.pid, signal.SIGHUP)
    for _ in range(300):
        try:
            if ask("new-token", cert) == 200:
                break
        except ssl.SSLError:
            pass
        time.sleep(0.1)
    else:
        raise AssertionError("the new certificate is not served")
    assert ask("old-token", cert) == 401
    with pytest.raises(ssl.SSLError):
        ask("new-token", tls["tls_cert"])
    assert json.loads(http_over(f"{node.dir}/run/api.sock", "/weft/v1/log")) == {"level": "debug"}
    assert daemon.poll() is None
    text = said(daemon)
    assert "reload: nothing has changed: " in text and "type = paper" in text
    assert "reload: [api] listen has changed: that takes a restart" in text
    assert "reload: [datapath] sessions has changed: that takes a restart" in text
    assert "reload: [api] tokens is as it is in the file" in text
    assert daemon.returncode == 0


def http_over(path, target):
    c = http.client.HTTPConnection("localhost")
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(path)
    c.request("GET", target)
    return c.getresponse().read()


def test_log_level_changes_at_run_time(node):
    daemon = node.start(node.config(api={"listen": "none"}))
    assert run_weft(node, "wait-ready")[0] == 0
    assert run_weft(node, "set", "log", "debug")[0] == 0
    assert run_weft(node, "show", "ports")[0] == 0
    assert run_weft(node, "set", "log", "error")[0] == 0
    status, _, err = run_weft(node, "set", "log", "loud")
    assert status == 1 and "debug" in err
    text = said(daemon)
    assert "GET /weft/v1/ports" in text  # a request is a line of debug
    assert "stopping" not in text


def test_tls_files_that_do_not_fit_are_named(node, tls, tmp_path):
    (tmp_path / "other").mkdir()
    cert, key = certificate(tmp_path / "other", "other")
    good = {"listen": f"127.0.0.1:{PORT}", "tls_cert": tls["tls_cert"], "tls_key": key}
    text = node.refuses(node.config(api=good))
    assert f"tls_key = {key} is not the key of the certificate in tls_cert = {tls['tls_cert']}" in text
    text = node.refuses(node.config(api={**good, "tls_key": cert}))
    assert f"tls_key = {cert} holds no PEM private key" in text
    text = node.refuses(node.config(api={**good, "tls_cert": key}))
    assert f"tls_cert = {key} holds no PEM certificate" in text
    text = node.refuses(node.config(api={**good, "tls_key": tmp_path / "none"}))
    assert f"tls_key = {tmp_path}/none cannot be read" in text


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
