"""What the two scanners talk to: keyturn dev, a proxy before it that refuses some calls, and moto for every other service of AWS."""

import contextlib
import http.client
import http.server
import json
import logging
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse

from moto.server import ThreadedMotoServer

HERE = pathlib.Path(__file__).resolve().parent


def wait(path, process, log):
    """Waits until a server has written the file that says it serves, 20 s at most."""
    for _ in range(200):
        if path.exists() and path.stat().st_size:
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"a server did not start:\n{log.read_text()}")


@contextlib.contextmanager
def started(command, folder, ready):
    """A process that ends with the block, and well."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait(ready, process, log)
        yield
    finally:
        process.terminate()
        process.wait(30)
    # Not where the block failed: that comes first.
    text = log.read_text()
    if "level=ERROR" in text or "panic:" in text:
        raise SystemExit(f"a server met an error:\n{text}")


@contextlib.contextmanager
def keyturn(binary, folder, *flags):
    """A keyturn dev of its own; yields its endpoint. Its data is in folder/data."""
    ready = folder / "endpoint"
    command = [binary, "dev", "--data-dir", folder / "data", "--listen", "127.0.0.1:0", "--ready-file", ready, *flags]
    with started(command, folder, ready):
        yield ready.read_text().strip()


@contextlib.contextmanager
def key_manager(folder):
    """An external key store proxy; yields what CreateCustomKeyStore needs. folder/proxy/key-stores.yaml is for keyturn."""
    proxy = folder / "proxy"
    with started([sys.executable, HERE.parent / "xks_proxy.py", proxy], folder, proxy / "ready"):
        yield json.loads((proxy / "proxy.json").read_text())


@contextlib.contextmanager
def moto():
    """Every service of AWS that is not KMS or STS; yields its endpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://%s:%d" % server.get_host_and_port()
    finally:
        server.stop()


class Gate(http.server.BaseHTTPRequestHandler):
    """Passes requests on, but for the calls about keys that the server is told to refuse."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        operation = self.headers.get("X-Amz-Target", "").removeprefix("TrentService.")
        if any(name == operation and key.encode() in body for name, key in self.server.refused):
            reason = {"__type": "AccessDeniedException", "message": f"You may not call {operation} for this key."}
            self.answer(400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(reason).encode())
            return
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            connection.request("POST", self.path, body, {**self.headers, "Host": self.server.behind})
            reply = connection.getresponse()
            headers = {n: v for n, v in reply.getheaders() if n.lower() not in ("content-length", "transfer-encoding", "connection")}
            self.answer(reply.status, headers, reply.read())
        finally:
            connection.close()

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def gate(endpoint):
    """Yields the endpoint of a gate before a server, and the list of (operation, key ID) that it refuses; add to it as you like."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    server.daemon_threads = True
    server.behind, server.refused = urllib.parse.urlsplit(endpoint).netloc, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.refused
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(account, **more):
    """The environment of a program that finds nothing of AWS on this machine but what it is given here."""
    hidden = ("http_proxy", "https_proxy", "all_proxy", "pythonpath")
    kept = {n: v for n, v in os.environ.items() if not n.startswith("AWS_") and n.lower() not in hidden}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "2",
        **more,
    }
