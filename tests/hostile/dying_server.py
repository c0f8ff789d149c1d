"""A language model's server that dies: a program of its own, so that it can be killed like one.

    python dying_server.py WHOLE HOW

It answers WHOLE requests well, then ends: ``between`` two requests, or in the ``middle`` of its next reply, as if it
had been killed. The first line that it prints is its port.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

whole, how = int(sys.argv[1]), sys.argv[2]


class Handler(BaseHTTPRequestHandler):
    answered = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": "Writers wait for the disk."}
        body = json.dumps(
            {
                "id": "1", "object": "chat.completion", "created": 1, "model": "scripted",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
        ).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        dies = Handler.answered >= whole
        self.wfile.write(body[: len(body) // 2] if dies else body)
        self.wfile.flush()
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        Handler.answered += 1

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
while how == "middle" or Handler.answered < whole:
    server.handle_request()
