"""A small program that stands in for the gateway: run as a file, behaviour by its arguments.

It answers GET / as the gateway does (302 to /sso/Login) and has the gateway's bad habits on
request. Printing and signals are those of a real process.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answer(BaseHTTPRequestHandler):
    """302 to the login page, or whatever `--status` says."""

    status = 302
    body = b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "/sso/Login?forwardTo=22&RL=1&ip2loc=US")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Silent."""


def arguments() -> argparse.Namespace:
    words = argparse.ArgumentParser()
    words.add_argument("--port", type=int, default=0)
    words.add_argument("--cert")
    words.add_argument("--key")
    words.add_argument("--status", type=int, default=302)
    words.add_argument("--body", default="")
    words.add_argument("--ready")
    words.add_argument("--say", default="")
    words.add_argument("--die", type=int)
    words.add_argument("--mute", action="store_true", help="live, but never listen")
    words.add_argument("--hang", action="store_true", help="accept, never answer")
    words.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    words.add_argument("--child", action="store_true", help="start a child that outlives a TERM to us alone")
    words.add_argument("--orphan", action="store_true", help="start a child, then die")
    words.add_argument("--eof", action="store_true", help="end at the end of standard input")
    words.add_argument("--env", help="write the environment to this file")
    return words.parse_args()


def side_effects(args: argparse.Namespace) -> None:
    if args.say:
        print(args.say, flush=True)
    if args.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if args.env:
        Path(args.env).write_text(json.dumps(dict(os.environ)))
    if args.child or args.orphan:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    if args.die is not None or args.orphan:
        sys.exit(args.die or 0)
    if args.eof:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()


def main() -> None:
    args = arguments()
    side_effects(args)
    if args.mute:
        time.sleep(60)
    if args.hang:
        with socket.create_server(("127.0.0.1", args.port)):
            time.sleep(60)
    Answer.status, Answer.body = args.status, args.body.encode()
    server = ThreadingHTTPServer(("127.0.0.1", args.port), Answer)
    scheme = "http"
    if args.cert:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    if args.ready:
        draft = Path(f"{args.ready}.new")
        draft.write_text(json.dumps({"url": f"{scheme}://127.0.0.1:{server.server_port}", "cert": args.cert}))
        draft.replace(args.ready)
    server.serve_forever()


if __name__ == "__main__":
    main()
