"""A small stateful application: `instance.py NAME`. It prints its address, answers every request with its name, and /sessions
with how many others it has answered."""

import http.server
import sys

name, sessions = sys.argv[1], 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global sessions
        sessions += self.path != "/sessions"
        body = (str(sessions) if self.path == "/sessions" else name).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("%s:%d" % server.server_address, flush=True)
server.serve_forever()
