#!/usr/bin/env python3
"""Run a command on a terminal of its own (100 x 30) and print what it sent there.

    on_terminal.py --until REGEX [--then interrupt|hangup] COMMAND [ARG ...]

Once REGEX has been drawn, Ctrl-C is typed or the terminal is taken away. Ends with the command's exit code; 124 when REGEX did not come within
a minute or the command did not end.
"""
import argparse
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

LIMIT_S = 60


def main():
    ask = argparse.ArgumentParser()
    ask.add_argument("--until", required=True)
    ask.add_argument("--then", choices=["interrupt", "hangup"], default="interrupt")
    ask.add_argument("command", nargs=argparse.REMAINDER)
    args = ask.parse_args()
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        os.environ["TERM"] = "xterm"
        os.execvp(args.command[0], args.command)
    seen, acted, until = b"", False, time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            block = os.read(fd, 65536)
        except OSError:
            block = b""
        if not block:
            break
        seen += block
        if not acted and re.search(args.until.encode(), seen, re.DOTALL):
            acted = True
            if args.then == "hangup":
                os.close(fd)
                break
            os.write(fd, b"\x03")
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            sys.stdout.buffer.write(seen)
            sys.exit(os.waitstatus_to_exitcode(status) if acted else 124)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    sys.stdout.buffer.write(seen)
    sys.exit(124)


main()
