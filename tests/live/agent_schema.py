"""A real agent's lines, in both directions, against schema/agent.schema.json with a validator that is not ours. Prints TAP.
The agent runs the toy driver in a folder of its own and is ended by its process id."""
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings

warnings.simplefilter("ignore")
import jsonschema

BUILD = os.path.abspath(os.environ.get("PW_BUILD_DIR", "build/debug"))
SCHEMA = json.load(open("schema/agent.schema.json", encoding="utf-8"))
CONTROLLER = "a" * 32
count = bad = 0


def case(title, errors):
    global count, bad
    count += 1
    bad += bool(errors)
    print(f"{'not ok' if errors else 'ok'} {count} - {title}")
    for e in errors[:5]:
        print(f"#   {e}")


def errors_of(document, part):
    schema = {"$schema": SCHEMA["$schema"], "$id": SCHEMA["$id"], "$ref": "#/$defs/" + part, "$defs": SCHEMA["$defs"]}
    return [f"{e.json_path}: {e.message[:160]}" for e in jsonschema.Draft202012Validator(schema).iter_errors(document)]


class Agent:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="pw-schema-")
        os.mkdir(self.dir + "/world")
        os.mkdir(self.dir + "/driver")
        for name, text in (("machine_id", "M1"), ("boot_id", "B1"), ("behave.json", '{"pause":{"progress":true,"delay_ms":400},"fetch_package":{"progress":true}}')):
            open(f"{self.dir}/world/{name}", "w").write(text)
        actions = {a: {"argv": [BUILD + "/tests/lib/toy-driver", self.dir + "/world"], "limit_ms": 60000}
                   for a in ("facts", "vms", "check_empty", "gate_facts", "verify", "pause", "stop_vmms", "resume", "fetch_package")}
        json.dump({"name": "toy", "version": "1", "contract": 1, "actions": actions}, open(self.dir + "/driver/driver.json", "w"))
        self.config = {"node": "HV07", "state_dir": self.dir + "/state", "socket": self.dir + "/sock", "driver": self.dir + "/driver", "lab": True}
        json.dump(self.config, open(self.dir + "/agent.json", "w"))
        self.process = subprocess.Popen([BUILD + "/agent/patchwave-agent", "serve", "--config", self.dir + "/agent.json"])
        self.connect()
        self.id = 0
        self.session = "0" * 32
        self.notes = []

    def connect(self):
        for _ in range(1000):
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(self.dir + "/sock")
                self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")
                return
            except OSError:
                time.sleep(0.02)
        raise SystemExit("Bail out! the agent does not listen")

    def call(self, method, good=True, **params):
        self.id += 1
        request = {"jsonrpc": "2.0", "id": self.id, "method": method, "params": params}
        if good:
            case(f"{method}: request", errors_of(request, "request"))
        self.socket.sendall((json.dumps(request) + "\n").encode())
        while True:
            answer = json.loads(self.lines.readline())
            if answer.get("id") == self.id:
                break
            self.notes.append(answer)
        case(f"{method}: answer", errors_of(answer, "answer"))
        if "result" in answer:
            case(f"{method}: result", errors_of(answer["result"], "result_" + method.replace(".", "_")))
        return answer.get("result")

    def start(self, op, action, args, **more):
        digest = hashlib.sha256(json.dumps(args, separators=(",", ":")).encode()).hexdigest()
        return self.call("op.start", op=op, action=action, args=args, digest=digest, limit_ms=60000, epoch=1, controller=CONTROLLER,
                         log={"seq": 2, "hash": "b" * 64}, session=self.session, **more)

    def note(self, method):
        while not any(n["method"] == method for n in self.notes):
            self.notes.append(json.loads(self.lines.readline()))

    def end(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)


agent = Agent()
case("configuration", errors_of(agent.config, "config"))
agent.call("ping")
hello = agent.call("hello", protocol={"min": 1, "max": 1}, controller=CONTROLLER, program="t")
agent.session = hello["session"]
agent.call("claim", run="r1", controller=CONTROLLER, epoch=1, log={"seq": 1, "hash": ""}, takeover=False, session=agent.session)
agent.call("facts")
agent.call("observe", what="vms", args={}, cursor=None)
agent.call("observe", what="cluster_health", args={"since_ms": 1})
seen = agent.call("observe", what="time_sync", args={"servers": ["127.0.0.1:9"], "samples": 1, "timeout_ms": 50})
case("time_sync: server", errors_of(seen["data"]["servers"][0], "sntp_server"))
PAUSE = "r1/HV07/1/pause/1"
agent.start(PAUSE, "pause", {"found_ours": False}, precondition={"boot_id": "B1", "build": "26100.4061"})
agent.note("op.progress")
agent.note("op.done")
agent.start("r1/HV07/1/pause/2", "pause", {}, precondition={"boot_id": "B9"})
agent.call("op.cancel", op="r1/HV07/1/pause/2", session=agent.session)
agent.call("op.status", op="r1/HV07/1/none/1")
agent.call("op.status", op=PAUSE)
agent.call("op.witness", op=PAUSE, session=agent.session)
agent.call("op.output", op=PAUSE, offset=0, max_bytes=100)
package = {"name": "kb.msu", "sha256": hashlib.sha256(b"the patch").hexdigest()}
case("package.held: it is not", [] if agent.call("package.held", **package) == {"held": False} else ["it was"])
package = {"source": "//share/kb.msu", "name": "kb.msu", "sha256": hashlib.sha256(b"the patch").hexdigest(), "size_bytes": 9, "bytes_per_second": 5}
agent.call("package.fetch", **package)
agent.note("package.progress")
os.makedirs(f"{agent.dir}/state/packages/{package['sha256']}", exist_ok=True)
open(f"{agent.dir}/state/packages/{package['sha256']}/kb.msu", "w").write("the patch")
case("package.held: it is", [] if agent.call("package.held", name=package["name"], sha256=package["sha256"]) == {"held": True} else ["it was not"])
case("package.fetch: believed by its digest", [] if agent.call("package.fetch", **package) == {"fetched": True} else ["it was not"])
agent.call("op.ack", ops=[PAUSE], session=agent.session)
agent.call("move.accept", op="r1/HV06/1/move_vm:00000000-0000-4000-8000-000000000009/1", vm="00000000-0000-4000-8000-000000000009",
           memory_mib=1024, **{"from": "HV06"}, session=agent.session)
agent.call("journal.read", **{"from": 0, "max": 3})
agent.call("op.status", good=False, op=5)
for n in agent.notes:
    case(f"notification {n['method']}", errors_of(n, "notification"))
case("an unknown member is found", [] if errors_of({**hello, "x": 1}, "result_hello") else ["it is not"])
case("a wrong state is found", [] if errors_of({"op": PAUSE, "state": "perhaps"}, "record") else ["it is not"])
agent.end()

documented = set(re.findall(r"^\| `([a-z._]+)` \|", open("docs/wire.md", encoding="utf-8").read(), re.M))
published = {d[len("params_"):] for d in SCHEMA["$defs"] if d.startswith("params_")}
case("docs/wire.md and the schema name the same methods",
     sorted({m.replace(".", "_") for m in documented} ^ published))
print(f"1..{count}")
sys.exit(1 if bad else 0)
