"""Wine prefixes as Windows machines: one template, cheap clones (system files are hard links), boot, power cut. What was started
in a prefix is known by its environment and ended by pid."""
import os
import shutil
import signal
import subprocess
import tempfile
import time

TEMPLATE = os.path.abspath("build/windows-wine/template")
WINE = "/usr/lib/wine/wine64"
ENV = {**os.environ, "WINEARCH": "win64", "WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}
ENV.pop("DISPLAY", None)


def run(*argv, prefix, data=None, env=None, limit=120):
    """(code, output, errors). They go through files: what Wine leaves running in the background would hold pipes open."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(data or b"")
        given.seek(0)
        code = subprocess.run(argv, stdin=given, stdout=out, stderr=err, env={**ENV, "WINEPREFIX": prefix, **(env or {})},
                              timeout=limit, check=False).returncode
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


def wine(*argv, **more):
    return run(WINE, *argv, **more)


def boot(prefix):
    run("wineserver", "-p", prefix=prefix)  # first: else services end with the last ordinary process
    wine("wineboot", prefix=prefix, limit=300)


def power_cut(prefix):
    run("wineserver", "-k", "-w", prefix=prefix)


def make_template():
    if os.path.exists(TEMPLATE + "/made"):
        return
    shutil.rmtree(TEMPLATE, ignore_errors=True)
    os.makedirs(TEMPLATE)
    run("wineserver", "-p", prefix=TEMPLATE)
    wine("wineboot", "-i", prefix=TEMPLATE, limit=400)
    wine("winecfg", "-v", "win10", prefix=TEMPLATE)
    power_cut(TEMPLATE)
    open(TEMPLATE + "/made", "w").close()


def clone(prefix):
    """Files below drive_c/windows are shared with the template: replace them, never write into them."""
    os.makedirs(prefix + "/drive_c", exist_ok=True)
    subprocess.run(["cp", "-al", TEMPLATE + "/drive_c/windows", prefix + "/drive_c/windows"], check=True)
    for name in os.listdir(TEMPLATE + "/drive_c"):
        if name != "windows":
            subprocess.run(["cp", "-a", f"{TEMPLATE}/drive_c/{name}", prefix + "/drive_c/"], check=True)
    subprocess.run(["cp", "-a", TEMPLATE + "/dosdevices", prefix + "/"], check=True)
    for name in os.listdir(TEMPLATE):
        if name.endswith(".reg") or name == ".update-timestamp":
            shutil.copy2(f"{TEMPLATE}/{name}", prefix)


def processes(prefix, *words):
    """Pids of what runs in the prefix, those with all the words in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = open(f"/proc/{pid}/cmdline", "rb").read()
            if (f"WINEPREFIX={prefix}".encode() in open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
                    and all(w.encode() in command for w in words)):
                found.append(int(pid))
        except OSError:
            pass  # gone meanwhile
    return found


def end_left(prefix):
    """After a power cut nothing should be left; what is, is ended. How many there were."""
    left = processes(prefix)
    for pid in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for _ in range(200):
        if not processes(prefix):
            break
        time.sleep(0.05)
    return len(left)
