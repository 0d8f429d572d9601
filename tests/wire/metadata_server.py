# SPDX-License-Identifier: Apache-2.0
"""A metadata server in a node's namespace: it answers with what it was asked, as JSON."""
import http.server
import json
import socketserver
import threading
import time

PORT = 8775
BIG = bytes(range(256)) * 20000  # 5 MB


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = {"method": self.command, "path": self.path, "body": body.decode(),
                 "headers": [[k.lower(), v] for k, v in self.headers.items()]}
        self.server.asked.append(asked)
        if self.path.startswith("/slow"):
            time.sleep(self.server.slow)
        status = 404 if self.path.startswith("/missing") else 200
        answer = BIG if self.path.startswith("/big") else json.dumps(asked).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Server", "metadata")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        pass  # a client that went


class MetadataServer:
    """`with MetadataServer(lab) as s:`; s.asked has the requests."""

    def __init__(self, lab, slow=3):
        self.lab, self.slow = lab, slow

    def __enter__(self):
        import socket

        self._server = _Server(("127.0.0.1", PORT), _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = self.lab.node.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._server.allow_reuse_address = True
        self._server.server_bind()
        self._server.server_activate()
        self._server.asked = self.asked = []
        self._server.slow = self.slow
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
