"""Servers of a few lines that the messages go to, and settings of no one else."""

from __future__ import annotations

import base64
import logging
import os
import socket
import ssl
import threading
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from nexus_alert import post

CERTIFICATE = Path(__file__).parent / "localhost.pem"
"""A key and a certificate of 127.0.0.1 and localhost that nobody trusts."""


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("NEXUS__", "NEXUS_ALERT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NEXUS_HOME", str(tmp_path / "nexus"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    for each in threading.enumerate():
        if each.name == "nexus-alert":
            each.join()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(post, "PAUSES", (0.01, 0.02))


@pytest.fixture(autouse=True)
def said(caplog):
    """Return what was said to the person at the terminal."""
    logger = logging.getLogger("nexus")
    kept = logger.handlers, logger.propagate, logger.level
    logger.handlers, logger.propagate = [], True
    caplog.set_level(logging.DEBUG, "nexus")
    yield lambda: [each.getMessage() for each in caplog.records]
    logger.handlers, logger.propagate = kept[:2]
    logger.setLevel(kept[2])


def encryption():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


class Web(ThreadingHTTPServer):
    """Takes requests, and answers each with what `answers` has for it, the last one for all that follow."""

    daemon_threads = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.got, self.answers, self.headers = [], [204], {}
        self.came, self.go_on, self.trickles = threading.Semaphore(0), threading.Event(), False
        self.go_on.set()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/hook?a=b"

    def handle_error(self, request, client_address):
        """Bear clients that have gone."""


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        web, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        web.got.append((self.path, dict(self.headers), body))
        web.came.release()
        web.go_on.wait(30)
        if web.trickles:
            self.trickle()
            return
        self.send_response(web.answers.pop(0) if len(web.answers) > 1 else web.answers[0])
        for name, value in web.headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST

    def trickle(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        try:
            while True:
                self.wfile.write(b".")
                threading.Event().wait(0.02)
        except OSError:
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def webs():
    """Return a function that starts a web server, encrypted or not."""
    with ExitStack() as stack:

        def start(encrypted=False):
            web = Web()
            if encrypted:
                web.socket = encryption().wrap_socket(web.socket, server_side=True)
            thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
            stack.callback(web.server_close)
            stack.callback(thread.join)
            stack.callback(web.shutdown)
            stack.callback(web.go_on.set)
            thread.start()
            return web

        yield start


@pytest.fixture
def web(webs):
    return webs()


class Mailbox:
    """A mail server on a socket: speaks just enough of the protocol, and keeps what it was told.

    `answers` has the lines that stand in for a command's right ones. What came encrypted is marked with `*`.
    """

    _closing = False

    def __init__(self, *offers, answers=None):
        self.offers, self.answers = offers, answers or {}
        self.heard, self.letters, self.login = [], [], ""
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        # a closed socket does not wake whoever waits for it; a caller does
        with socket.create_connection(("127.0.0.1", self.port)):
            self._closing = True
        self._thread.join()
        self._door.close()

    def _serve(self):
        while not self._closing:
            line, _ = self._door.accept()
            line.settimeout(10)
            with line, suppress(OSError):
                self._say(line, "220 here")
                if self._commands(line) == "STARTTLS":
                    with encryption().wrap_socket(line, server_side=True) as secure:
                        self._commands(secure, "*")

    def _commands(self, line, mark=""):
        stream = line.makefile("rb")
        with stream:
            while text := stream.readline().decode().strip():
                verb = text.partition(" ")[0].upper()
                self.heard.append(mark + verb)
                if verb in self.answers:
                    self._say(line, *self.answers[verb])
                elif self._answered(line, stream, verb, text, mark) == "STARTTLS":
                    return "STARTTLS"
        return ""

    def _answered(self, line, stream, verb, text, mark):
        if verb == "EHLO":
            *most, last = ["here", *(each for each in self.offers if not (mark and each == "STARTTLS"))]
            self._say(line, *(f"250-{each}" for each in most), f"250 {last}")
        elif verb == "AUTH":
            self.login = base64.b64decode(text.split()[2]).decode()
            self._say(line, "235 welcome")
        elif verb == "DATA":
            self._say(line, "354 go on")
            self.letters.append(b"".join(iter(stream.readline, b".\r\n")))
            self._say(line, "250 taken")
        else:
            self._say(line, {"STARTTLS": "220 go on", "QUIT": "221 bye"}.get(verb, "250 well"))
        return verb

    def _say(self, line, *texts):
        line.sendall("".join(f"{each}\r\n" for each in texts).encode())


@pytest.fixture
def mailbox():
    """Return a function that opens a mail server."""
    with ExitStack() as stack:

        def start(*offers, **how):
            box = Mailbox(*offers, **how)
            stack.callback(box.close)
            return box

        yield start


@pytest.fixture
def certificate(monkeypatch):
    """Let this process trust the servers' certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.fixture
def nobody():
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()[1]
