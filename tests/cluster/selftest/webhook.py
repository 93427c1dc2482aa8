#!/usr/bin/env python3
"""webhook.py PORT FILE: appends the body of every POST to FILE."""
import http.server
import sys


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as out:
            out.write(body + b"\n")
        self.send_response(200)
        self.end_headers()


http.server.HTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
