"""Talks to a persistent pshost over its Unix socket (the protocol stands in pshost/Program.cs)."""
import json
import os
import socket
import subprocess


class Host:
    """A pshost of our own: it ends when this object closes its standard input."""

    def __init__(self, program, tables, path):
        self.path = path
        self.process = subprocess.Popen(["dotnet", program, "serve", path, tables], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={**os.environ, "ProgramData": os.path.dirname(path)})
        if self.process.stdout.readline().strip() != b"ready":
            raise RuntimeError("pshost did not start")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)

    def ask(self, *words, body=b"", hang_up_after=None):
        """Send one request; the frames that come back as {kind: text}. hang_up_after: close instead of waiting."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect(self.path)
            s.sendall("\t".join([*words, str(len(body))]).encode() + b"\n" + body)
            if hang_up_after is not None:
                hang_up_after()
                return {}
            frames, stream = {}, s.makefile("rb")
            while True:
                head = stream.readline().decode().split()
                if not head:
                    return frames
                if head[0] == "X":
                    frames["X"] = int(head[1])
                    return frames
                frames[head[0]] = frames.get(head[0], "") + stream.read(int(head[1])).decode()

    def world(self, name, world):
        self.ask("WORLD", name, body=json.dumps(world).encode())

    def state(self, name):
        return json.loads(self.ask("STATE", name)["O"])

    def patch(self, name, path, value):
        self.ask("PATCH", name, path, body=json.dumps(value).encode())

    def run(self, script, node, world, request, options="fresh"):
        """Run one script with a request (a value or raw bytes) on its standard input."""
        body = request if isinstance(request, bytes) else json.dumps(request, ensure_ascii=True).encode()
        return self.ask("RUN", str(script), node, world, options, body=body)
