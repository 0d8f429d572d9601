#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Keystone on loopback, for tests: Debian's python3-keystone on SQLite, in one process.

    tests/tempest/identity.py STATE_DIR PASSWORD NETWORK_URL

weftd asks no Keystone: it knows tokens from a file. So each token that this Keystone issues is added to STATE_DIR/tokens, with its
project and roles, before the client gets it. Clients find weftd in the catalog and speak to weftd itself. A token of a domain
or of the system has "domain" or "system" as its project there: no project is called that.

It is ready when STATE_DIR/ready is there.
"""
import json
import os
import subprocess
import sys
from wsgiref import simple_server

PORT = 5000
URL = f"http://127.0.0.1:{PORT}/v3"
REGION = "RegionOne"

CONFIG = """
[DEFAULT]
log_file = {state}/keystone.log
[database]
connection = sqlite:///{state}/keystone.db
# It lives as long as the tests: nothing need be on the disk.
sqlite_synchronous = false
[fernet_tokens]
key_repository = {state}/fernet-keys
[fernet_receipts]
key_repository = {state}/fernet-keys
[credential]
key_repository = {state}/credential-keys
[identity]
# Each test class makes users of its own: what guards a password from guessing would only take time.
password_hash_rounds = 4
[cache]
enabled = true
backend = dogpile.cache.memory
"""


def prepare(state, password):
    """The database, the keys, and what `bootstrap` makes: admin, the roles, the services."""
    for keys in ("fernet-keys", "credential-keys"):
        os.makedirs(f"{state}/{keys}", mode=0o700, exist_ok=True)
    config = f"{state}/keystone.conf"
    with open(config, "w") as f:
        f.write(CONFIG.format(state=state))
    manage = ["keystone-manage", "--config-file", config]
    subprocess.run([*manage, "db_sync"], check=True)
    for setup in ("fernet_setup", "credential_setup"):
        subprocess.run([*manage, setup, "--keystone-user", "root", "--keystone-group", "root"], check=True)
    subprocess.run([*manage, "bootstrap", "--bootstrap-password", password, "--bootstrap-region-id", REGION,
                    "--bootstrap-public-url", URL, "--bootstrap-internal-url", URL, "--bootstrap-admin-url", URL],
                   check=True)
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = config


def register_network(network_url):
    """The catalog has weftd."""
    from keystone.common import provider_api

    catalog = provider_api.ProviderAPIs.catalog_api
    catalog.create_service("network", {"id": "network", "type": "network", "name": "neutron", "enabled": True})
    for interface in ("public", "internal", "admin"):
        catalog.create_endpoint(interface, {"id": f"network-{interface}", "service_id": "network", "region_id": REGION,
                                            "interface": interface, "url": network_url, "enabled": True})


class TellWeftd:
    """WSGI middleware: what Keystone issues, weftd knows."""

    def __init__(self, app, tokens):
        self.app, self.tokens = app, tokens

    def __call__(self, environ, start_response):
        answer = {}

        def remember(status, headers, exc_info=None):
            answer.update(status=status, headers=headers)
            return start_response(status, headers, exc_info)

        body = self.app(environ, remember)
        if environ["REQUEST_METHOD"] != "POST" or not environ["PATH_INFO"].rstrip("/").endswith("/v3/auth/tokens"):
            return body
        body = [b"".join(body)]
        if answer["status"].startswith("201"):
            self.tell(dict(answer["headers"])["X-Subject-Token"], json.loads(body[0])["token"])
        return body

    def tell(self, value, token):
        if "project" in token:
            project = token["project"]["id"]
        elif "domain" in token:
            project = "domain"
        elif "system" in token:
            project = "system"
        else:
            return  # of nobody in particular: good for Keystone only
        roles = ",".join(r["name"].replace(" ", "_") for r in token["roles"])
        with open(self.tokens, "a") as f:
            f.write(f"{value} {project} {roles}\n")


class Server(simple_server.WSGIServer):
    """One request after the other, in the thread that opened the database: SQLite's connections are a thread's own."""

    request_queue_size = 128


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        pass  # Keystone has a log of its own


def main():
    state, password, network_url = sys.argv[1:]
    prepare(state, password)
    sys.argv[1:] = []  # Keystone reads them, too

    from keystone.server import wsgi

    app = wsgi.initialize_public_application()
    register_network(network_url)
    server = simple_server.make_server("127.0.0.1", PORT, TellWeftd(app, f"{state}/tokens"), Server, Handler)
    open(f"{state}/ready", "w").close()
    server.serve_forever()


main()
