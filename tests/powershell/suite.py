#!/usr/bin/env python3
"""The PowerShell suite, in TAP: the driver's scripts in the genuine engine over the stand-ins. suite.py PSHOST.DLL [WORD...]"""
import contextlib
import csv
import datetime
import functools
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import cmdlets
from pshost_client import Host
from suite_world import BUILD, KB, NOW, UBR, group, rollup, world

HERE = pathlib.Path(__file__).resolve().parent
DRIVER = HERE.parent.parent / "agent" / "drivers" / "hyperv"
MODULES = sorted(DRIVER.glob("*.psm1"))
PROGRAM = sys.argv[1]
VM1, VM2, VM3, VM4, VM5 = ("0000000%d-aaaa-bbbb-cccc-00000000000%d" % (n, n) for n in range(1, 6))
CODES = ("bad_request unsupported refused busy found_paused not_found not_empty not_applicable not_removable needs_reboot "
         "no_space access failed").split()
READS = ["facts", "vms", "gate_facts", "storage_health", "removability", "check_empty", "verify"]
EFFECTS = ["pause", "move_vm", "move_groups", "park_vm", "unpark_vm", "checkpoint", "merge", "storage_out", "storage_in",
           "stop_vmms", "start_vmms", "fetch_package", "install", "uninstall", "reboot", "resume", "bitlocker_suspend",
           "cluster_setting"]
CASES = []


def case(name):
    def keep(f):
        CASES.append((name, f))
        return f
    return keep


class Failed(Exception):
    pass


def check(truth, what):
    if not truth:
        raise Failed(what)


class Stage:
    """One world and the driver in it."""
    host = None

    def __init__(self, scripts=DRIVER, **changes):
        self.w = world()
        for k, v in changes.items():
            self.w[k] = v
        self.scripts = pathlib.Path(scripts)
        self.name = "w"
        self.dirty = True
        self.last = {}

    def node(self, name="HV01"):
        return next(n for n in self.w["nodes"] if n["node"] == name)

    def vm(self, vid):
        return next(v for v in self.w["vms"] if v["id"] == vid)

    def sync(self):
        if self.dirty:
            Stage.host.world(self.name, self.w)
            self.dirty = False

    def see(self):
        """The world as it is now; changes to it count from the next request on."""
        self.sync()
        self.w = Stage.host.state(self.name)
        self.dirty = True
        return self.w

    def ask(self, action, args=None, mode="run", node="HV01", raw=None, limit=600000):
        self.sync()
        request = raw if raw is not None else {"contract": 1, "action": action, "mode": mode, "node": node, "op": "r1/x",
                                               "limit_ms": limit, "args": args or {}}
        f = Stage.host.run(self.scripts / (action + ".ps1"), node, "mini:" + self.name, request)
        self.last = f
        check(f.get("X") == 0, "%s left with %s: %s" % (action, f.get("X"), f.get("E")))
        out = f.get("O", "")
        check(all(0x20 <= ord(c) <= 0x7e for c in out.rstrip("\n")), action + " wrote what is not ASCII, or more than a line")
        for line in f.get("E", "").splitlines():
            json.loads(line)
        answer = json.loads(out) if out else None
        if answer is not None and "error" in answer: # the agent takes nothing else for one (read_error)
            check(set(answer["error"]) == {"code", "message", "native", "hint"} and answer["error"]["code"] in CODES, answer)
        return answer

    def witness(self, action, args=None, **more):
        return self.ask(action, args, mode="witness", **more)["witness"]

    def result(self, action, args=None, **more):
        answer = self.ask(action, args, **more)
        check("result" in answer, "%s: %s" % (action, answer))
        return answer["result"]

    def error(self, action, args=None, **more):
        answer = self.ask(action, args, **more)
        check("error" in answer, "%s: %s" % (action, answer))
        return answer["error"]

    def fault(self, verb, **more):
        self.w["faults"].append({"verb": verb, **more})
        self.dirty = True

    def did(self, verb):
        return [l for l in self.see().get("log", []) if l.split()[1] == verb]


def package(folder, body=b"MSWIM package", name="windows11.0-kb5061977-x64.msu"):
    path = pathlib.Path(folder) / name
    path.write_bytes(body)
    return {"path": str(path), "name": name, "sha256": hashlib.sha256(body).hexdigest(), "kb": KB, "build": BUILD, "ubr": UBR}


@contextlib.contextmanager
def web(folder):
    """A web server on the loopback for as long as the block runs."""
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *a: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield "http://127.0.0.1:%d/" % server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def emptied(**changes):
    """A stage whose HV01 is paused and empty, with vm2 and vm4 parked, and vmms stopped."""
    s = Stage(**changes)
    n = s.node()
    n["state"] = "paused"
    s.vm(VM1)["node"] = s.w["groups"][0]["owner"] = "HV03"
    for v, g in ((VM2, s.w["groups"][1]), (VM4, None)):
        s.vm(v).update(state="saved" if v == VM2 else "off", heartbeat=None)
        if g:
            g.update(state="offline", wanted_online=False)
    s.w["groups"][4]["owner"] = s.w["csvs"][0]["owner"] = "HV03"
    next(x for x in n["services"] if x["name"] == "vmms")["state"] = 1
    return s


PARKED = [VM2, VM4]


# --- reading ---

@case("facts: what the contract lists, nothing else, nulls for what cannot be told")
def _():
    s = Stage()
    f = s.result("facts")
    check(list(f) == "node machine_id boot_id boot_ms now_ms cluster model firmware bmc os memory_mib host_reserve_mib cpus "
          "free_disk_bytes packages hotfixes pending servicing_idle services switches interfaces storage_paths bitlocker "
          "attestation vbs tpm applicability hotpatch time_source".split(), "fields: %s" % list(f))
    check(f["os"] == {"build": 26100, "ubr": 4061, "server": True, "caption": "Windows Server 2025 Datacenter"}, f["os"])
    check(f["packages"][1] == {"identity": rollup(4061), "build": BUILD, "ubr": 4061, "state": "installed"}, f["packages"])
    check(f["pending"] == {"reboot": False, "marks": []}, f["pending"])
    check(f["time_source"] == "127.1.0.250:123" and f["attestation"] is None and f["bmc"] == "10.0.0.1", "sources")
    check({"name": "vmms", "state": "running", "start": "automatic"} in f["services"], f["services"])
    check(f["memory_mib"] == 524288 and f["vbs"] == 2 and f["tpm"] is True and f["hotpatch"] is False, "hardware")


@case("facts: without a BMC driver, cluster, Hyper-V answer or virtualisation based security they are null or empty")
def _():
    s = Stage(cluster=None)
    s.node().update(bmc=None, vmms_silent=True, host_reserve_mib=None)
    f = s.result("facts")
    check(f["bmc"] is None and f["cluster"] is None and f["switches"] == [] and f["host_reserve_mib"] is None, str(f))


@case("facts: pending marks by name; file renames alone are no restart; a hotpatch shows as UBR above the package")
def _():
    s = Stage()
    s.node()["marks"] = ["PendingFileRenameOperations"]
    check(s.result("facts")["pending"] == {"reboot": False, "marks": ["PendingFileRenameOperations"]}, "renames")
    s.node()["marks"] = ["RebootPending", "pending.xml", "RebootRequired"]
    s.dirty = True
    check(s.result("facts")["pending"] == {"reboot": True, "marks": ["RebootPending", "pending.xml", "RebootRequired"]}, "marks")
    s.node().update(marks=[], ubr=4100)
    s.dirty = True
    check(s.result("facts")["hotpatch"] is True, "hotpatch")


@case("facts: a feature or a new name that waits for a restart is shown (O11), and neither blocks an installation nor its verification")
def _():
    for mark in ("ServerManagerRestart", "ComputerRename"):
        s = Stage()
        s.node()["marks"] = [mark]
        check(s.result("facts")["pending"] == {"reboot": True, "marks": [mark]}, mark)
        v = s.result("verify", {"build": BUILD, "ubr": UBR, "kb": KB})
        check((v["pending"], v["marks"]) == (False, [mark]), v)
        with tempfile.TemporaryDirectory() as d:
            s = emptied()
            s.node()["marks"] = [mark]
            check(s.result("install", {"package": package(d), "tool": "dism", "parked": PARKED})["class"] == "done", mark)


@case("facts: the article's two of three beside Microsoft's confidential VMs; what cannot be told is null, never a guess")
def _():
    def seen(change):
        s = Stage()
        change(s)
        return s.result("facts")["applicability"]

    def vms(*versions, **more):
        return lambda s: [v.update(version=x, **more) for v, x in zip([v for v in s.w["vms"] if v["node"] == "HV01"], versions)]

    def both(*changes):
        return lambda s: [c(s) for c in changes]
    host = lambda **more: lambda s: s.node().update(**more)
    bare = host(tpm=False, vbs=0)
    check(seen(lambda s: None) == {"server_2025": True, "vm_version_10": True, "security": True, "article": True, "confidential_vms": 0, "microsoft": False}, "as it is")
    rows = [  # what is there, the three, the article, Microsoft
        ("9.3 is older than 10.0, as a number", vms("9.3", "9.3", "9.3"), (True, False, True), True, False),
        ("12.0 is newer", both(vms("9.3", "12.0", "9.3"), bare), (True, True, False), True, False),
        ("one of three is not enough", both(vms("9.3", "9.3", "8.0"), bare), (True, False, False), False, False),
        ("an older Windows with new VMs", both(host(build=20348, tpm=False, vbs=1)), (False, True, False), False, False),
        ("no server", both(host(product_type=1)), (False, True, True), True, False),
        ("VBS that is configured and does not run", both(host(tpm=False, vbs=1), vms("9.0", "9.0", "9.0")), (True, False, False), False, False),
        ("VBS alone", host(tpm=False, vbs=2), (True, True, True), True, False),
        ("a TPM that cannot be asked decides nothing", both(host(tpm=None, vbs=0), vms("9.0", "9.0", "9.0")), (True, False, None), None, False),
        ("two hold all the same", host(tpm=None, vbs=0), (True, True, None), True, False),
        ("SNP is confidential", vms("12.0", "12.0", isolation="snp"), (True, True, True), True, True),
        ("so is TDX", vms("12.0", isolation="tdx"), (True, True, True), True, True),
        ("trusted launch is not", vms("12.0", isolation="trusted_launch"), (True, True, True), True, False),
        ("vmms down", both(bare, lambda s: next(x for x in s.node()["services"] if x["name"] == "vmms").update(state=1)), (True, None, False), None, None)]
    for what, change, three, article, microsoft in rows:
        a = seen(change)
        check(((a["server_2025"], a["vm_version_10"], a["security"]), a["article"], a["microsoft"]) == (three, article, microsoft), "%s: %s" % (what, a))
    check(seen(vms("12.0", "12.0", isolation="snp"))["confidential_vms"] == 2, "how many")


@case("facts: domain members take their time from the domain controller, BitLocker and attestation are told")
def _():
    s = Stage()
    s.node().update(time_type="NT5DS", dc="DC01", attestation="passed", bitlocker={"state": "on", "protectors": ["Tpm", "RecoveryPassword"]})
    f = s.result("facts")
    check(f["time_source"] == "DC01:123" and f["attestation"] == "passed", str(f))
    check(f["bitlocker"] == {"os_volume": "on", "protectors": ["Tpm", "RecoveryPassword"], "escrowed": None}, f["bitlocker"])


@case("vms: a line for each line, so that the agent may keep the process; each sees the world as it is then")
def _():
    s = Stage()

    def line(cursor):
        return json.dumps({"contract": 1, "action": "vms", "mode": "run", "node": "HV01", "op": "", "limit_ms": 60000, "args": {"cursor": cursor} if cursor else {}})
    s.sync()
    f = Stage.host.run(s.scripts / "vms.ps1", "HV01", "mini:" + s.name, ("\n".join([line(""), "{half", line(VM2), line("")]) + "\n").encode())
    answers = [json.loads(a) for a in f["O"].split("\n")[:-1]]
    check(f["X"] == 0 and len(answers) == 4, f)
    check([v["id"] for v in answers[0]["result"]["vms"]] == [VM1, VM2, VM4], "the first")
    check(answers[1]["error"]["code"] == "bad_request", "a bad one spoils no other")
    check([v["id"] for v in answers[2]["result"]["vms"]] == [VM4], "its own arguments")
    check(answers[3] == answers[0], "nothing stays behind")


@case("vms: every field of the contract; names may be Japanese and repeat, ids decide")
def _():
    s = Stage()
    vms = s.result("vms")["vms"]
    check([v["id"] for v in vms] == [VM1, VM2, VM4], "which")
    check(list(vms[0]) == "id name node state clustered group memory cpus dirty_mib_s priority heartbeat busy isolation dda gpu "
          "local_disk passthrough shared_disk iso switches key_protector cpu_compat version stop_action start_action "
          "possible_owners preferred_owners anti_affinity auto_failback uptime_ms replication role".split(), list(vms[0]))
    check(vms[1]["name"] == "\u6f22\u5b57 \"quoted\" <&'>", vms[1]["name"])
    check(vms[0]["group"] == "90000001-0000-0000-0000-000000000000" and vms[2]["group"] is None, "groups")
    check(vms[2]["clustered"] is False and vms[2]["local_disk"] is True and vms[0]["local_disk"] is False, "disks")
    check(vms[1]["possible_owners"] == ["HV01"] and len(vms[0]["possible_owners"]) == 4, "owners")
    check(vms[0]["memory"] == {"assigned_mib": 4096, "startup_mib": 2048, "maximum_mib": 8192, "dynamic": True}, "memory")
    check(vms[0]["isolation"] == "none" and vms[0]["dirty_mib_s"] is None, "what is not told is null")


@case("vms: states, heartbeats, busy and what ties a VM to its host")
def _():
    s = Stage()
    s.vm(VM1).update(state="migrating", isolation="snp", dda=True, gpu=True, iso="C:\\iso\\x.iso", key_protector="local", heartbeat="lost")
    s.vm(VM4).update(busy="backup", drives=[{"path": "\\\\fs\\share\\x.vhdx", "shared": True, "disk": None},
                                            {"path": "", "shared": False, "disk": 3}])
    s.w["groups"][0].update(anti_affinity=["db"], auto_failback=True, priority=1000, preferred_owners=["HV02", "HV01"])
    vms = {v["id"]: v for v in s.result("vms")["vms"]}
    v = vms[VM1]
    check((v["state"], v["busy"], v["heartbeat"]) == ("migrating", "migration", "lost"), v)
    check(v["isolation"] == "snp" and v["dda"] and v["gpu"] and v["iso"] == "C:\\iso\\x.iso" and v["key_protector"] == "local", v)
    check((v["anti_affinity"], v["auto_failback"], v["priority"], v["preferred_owners"]) == (["db"], True, 1000, ["HV02", "HV01"]), v)
    check(vms[VM4]["busy"] == "backup" and vms[VM4]["shared_disk"] and vms[VM4]["passthrough"] and not vms[VM4]["local_disk"], vms[VM4])


@case("vms: of several images in its drives the one on the host's own disk is told, wherever it stands")
def _():
    s = Stage()
    cluster, share, local = "C:\\ClusterStorage\\Volume1\\a.iso", "\\\\fs\\iso\\b.iso", "D:\\c.iso"
    for images, want in (([], None), ([cluster, share], cluster), ([cluster, local], local), ([share, local, cluster], local)):
        s.vm(VM1)["iso"] = images
        s.dirty = True
        check({v["id"]: v for v in s.result("vms")["vms"]}[VM1]["iso"] == want, images)


@case("vms, gate_facts and check_empty: a VM may be where both of its resources may, its configuration's owners count too")
def _():
    def seen(possible, configuration):
        s = Stage()
        s.w["groups"][0].update(possible_owners=possible, configuration_owners=configuration)
        owners = s.result("vms")["vms"][0]["possible_owners"]
        return owners, s.result("gate_facts", {"type": "cluster_health"})["groups"][0]["pinned"]
    check(seen([], []) == (["HV01", "HV02", "HV03", "HV04"], False), "any node")
    check(seen([], ["HV01", "HV04"]) == (["HV01", "HV04"], False), "the configuration's alone")
    check(seen(["HV01", "HV02", "HV03"], ["HV04", "HV03", "HV01"]) == (["HV01", "HV03"], False), "both")
    check(seen(["HV01", "HV02"], ["HV01"]) == (["HV01"], True), "pinned by its configuration")
    check(seen(["HV02"], ["HV03"]) == (["HV01"], True), "no node in common is not any node")
    for possible, configuration, empty in (([], ["HV01"], True), ([], ["HV01", "HV02"], False), (["HV02"], ["HV01"], True), (["HV02"], ["HV02"], False)):
        s = emptied()
        s.w["groups"][1].update(possible_owners=possible, configuration_owners=configuration)
        check(s.result("check_empty", {"form": "processes", "parked": PARKED})["empty"] is empty, "a parked group, owners %s and %s" % (possible, configuration))


@case("vms and heartbeats: busy while vmms is down")
def _():
    s = emptied()
    check(s.error("vms")["code"] == "busy", "vms")
    check(s.error("gate_facts", {"type": "vm_heartbeat"})["code"] == "busy", "heartbeat")


@case("gate_facts: cluster_health as the contract has it")
def _():
    s = Stage()
    s.node("HV02")["state"] = "paused"
    s.w["groups"][2]["locked"] = True
    h = s.result("gate_facts", {"type": "cluster_health"})
    check([n["state"] for n in h["nodes"]] == ["up", "paused", "up", "up"], "nodes")
    check(h["quorum"] == {"witness": "share", "witness_state": "online", "witness_vote": 1}, h["quorum"])
    groups = {g["name"]: g for g in h["groups"]}
    check(groups["vm2 role"]["pinned"] and groups["vm2 role"]["vm"] == VM2 and not groups["vm1"]["pinned"], "pinned")
    check(groups["vm3"]["locked"] and groups["Cluster Group"]["type"] == "cluster", "types")
    check(groups["vm1 (2)"]["state"] == "offline" and groups["vm1 (2)"]["wanted_online"] is False, "wanted")
    check(h["properties"] == {"max_parallel_migrations": 1, "migration_bandwidth_mib_s": 1100, "auto_balancer_mode": 2,
                              "move_type_threshold": 2000, "enforced_anti_affinity": False, "quarantine_threshold": 3}, h["properties"])
    check(h["s2d"] and h["busy"] == [] and h["networks_down"] == 0 and h["resources_failed"] == [], "rest")


@case("gate_facts: redirected ReFS volumes are healthy, others are not; failed resources and networks are counted")
def _():
    s = Stage()
    s.w["csvs"][0].update(state="redirected", reason=32)
    s.w["csvs"][1].update(state="redirected", reason=2)
    s.w["resources"] = [{"id": "r1", "name": "IP", "type": "IP Address", "group": s.w["groups"][4]["id"], "state": "failed", "owner": "HV01"}]
    s.w["networks"][0]["state"] = "partitioned"
    h = s.result("gate_facts", {"type": "cluster_health"})
    check([(c["state"], c["healthy"]) for c in h["csvs"]] == [("direct", True), ("redirected", False)], h["csvs"])
    check(h["resources_failed"][0]["type"] == "IP Address" and h["networks_down"] == 1, "resources")


@case("gate_facts: a stopped cluster service is busy; an updating run is named")
def _():
    s = Stage()
    next(x for x in s.node()["services"] if x["name"] == "ClusSvc")["state"] = 1
    check(s.error("gate_facts", {"type": "cluster_health"})["code"] == "busy", "ClusSvc")
    s = Stage()
    s.w["groups"].append({**s.w["groups"][4], "id": "cau", "name": "CAU role", "type": "cau", "locked": True})
    check(s.result("gate_facts", {"type": "cluster_health"})["busy"] == [{"kind": "cau", "text": "CAU role"}], "cau")


@case("gate_facts: event 7001 counts by provider, a logon's 7001 does not; writers by GUID and number in any language")
def _():
    s = Stage()
    s.node()["events"] = [
        {"log": "System", "provider": "Microsoft-Windows-Winlogon", "id": 7001, "level": 4, "at_ms": NOW - 1000, "record": 1, "values": ["1", "S-1"]},
        {"log": "System", "provider": "Service Control Manager", "id": 7001, "level": 2, "at_ms": NOW - 500, "record": 2,
         "values": ["Veeam Transport", "vmms", "%%1058"]},
        {"log": "System", "provider": "Service Control Manager", "id": 7001, "level": 2, "at_ms": NOW - 900000, "record": 3, "values": ["old", "x", "y"]}]
    f = s.result("gate_facts", {"type": "backup_agent", "since_ms": NOW - 60000})
    check(f["events_7001"] == [{"at_ms": NOW - 500, "service": "Veeam Transport", "depends_on": "vmms"}], f["events_7001"])
    check(f["agents"] == [{"product": "Veeam", "service": "VeeamTransportSvc", "state": "running", "expected": "running"},
                          {"product": "Veeam", "service": "VeeamHvIntegrationSvc", "state": "stopped", "expected": "stopped"}], f["agents"])
    check(f["writers"] == [{"id": "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de", "state": 1, "stable": True}], f["writers"])


@case("gate_facts: events are counted by channel, provider, id and level; absent logs and no matches are no errors")
def _():
    s = Stage()
    s.node()["logs"] = ["System", "Microsoft-Windows-Hyper-V-VMMS-Admin"]
    s.node()["events"] = [{"log": "Microsoft-Windows-Hyper-V-VMMS-Admin", "provider": "Microsoft-Windows-Hyper-V-VMMS", "id": 19060,
                           "level": level, "at_ms": NOW - 10, "record": n, "values": []} for n, level in enumerate((2, 2, 4))]
    check(s.result("gate_facts", {"type": "event_log", "since_ms": NOW - 60000})["counts"] ==
          [{"channel": "Microsoft-Windows-Hyper-V-VMMS-Admin", "provider": "Microsoft-Windows-Hyper-V-VMMS", "id": 19060, "level": 2, "n": 2}], "counts")
    check(s.error("gate_facts", {"type": "weather"})["code"] == "bad_request", "type")


@case("storage_health: text and numbers of the storage module mean the same; ended jobs are no jobs")
def _():
    for numbers in (False, True):
        s = Stage()
        s.node()["numbers"] = numbers
        s.w["storage"].update(virtual_disks=[{"id": "a", "name": "a", "health": "warning"}], rack_aware=True,
                              jobs=[{"id": "j", "kind": "repair", "percent": 40, "bytes_total": 1000}])
        h = s.result("storage_health")
        check(h["virtual_disks"] == [{"id": "a", "name": "a", "health": "warning"}] and h["rack_aware"] is True, h)
        check(h["jobs"] == [{"id": "j", "kind": "repair", "state": "running", "percent": 40, "bytes_total": 1000}], h)
    s = Stage()
    s.w["storage"]["s2d"] = False
    check(s.result("storage_health") == {"s2d": False, "virtual_disks": [], "jobs": [], "rack_aware": False}, "no S2D")


@case("verify: UBR, package state, predecessor, marks and boot, and Get-HotFix only for the record")
def _():
    s = Stage()
    args = {"build": BUILD, "ubr": UBR, "kb": KB}
    v = s.result("verify", args)
    check((v["package"], v["predecessor"], v["pending"], v["servicing_idle"]) == ("absent", "26100.4061", False, True), v)
    check(v["hotfix"] == {"listed": False, "installed_on": None}, v["hotfix"])
    n = s.node()
    n["packages"].append({"identity": rollup(UBR), "ubr": UBR, "state": 96, "permanent": True})
    n["packages"][1]["state"] = 5
    n.update(ubr=UBR, marks=["PackagesPending"], servicing="install", hotfixes=[{"id": KB, "installed_on": None}])
    s.dirty = True
    v = s.result("verify", args)
    check((v["ubr"], v["package"], v["pending"], v["servicing_idle"]) == (UBR, "install_pending", True, False), v)
    check(v["hotfix"] == {"listed": True, "installed_on": None} and v["predecessor"] == "26100.4061", v)
    for text, want in (("5/28/2025", "2025-05-28"), ("28.05.2025 \u5348", None)): # the second one throws where it is read (O13)
        n = s.node()
        n["hotfixes"] = [{"id": KB, "installed_on": text}, {"id": "KB5058411", "installed_on": "5/13/2025"}]
        s.dirty = True
        check(s.result("verify", args)["hotfix"] == {"listed": True, "installed_on": want}, text)
        check(s.result("facts")["hotfixes"] == [{"id": KB, "installed_on": want}, {"id": "KB5058411", "installed_on": "2025-05-13"}], text)


@case("removability: unproved before, no for a permanent manifest or without predecessor, at best likely")
def _():
    args = {"build": BUILD, "ubr": UBR, "kb": KB}
    s = Stage()
    check(s.result("removability", args)["removable"] == "unproved", "absent")
    for permanent, predecessors, want in ((True, 2, "no"), (False, 2, "likely"), (False, 0, "no")):
        s = Stage()
        s.node()["packages"] = s.node()["packages"][:predecessors] + [{"identity": rollup(UBR), "ubr": UBR, "state": 112, "permanent": permanent}]
        r = s.result("removability", args)
        check(r["removable"] == want and r["predecessor"] == ("26100.4061" if predecessors else None), "%s: %s" % (want, r))


@case("the controller's own readers understand every fact, on a node in service and on an emptied one")
def _():
    reader = pathlib.Path(os.environ.get("PW_BUILD_DIR", HERE.parent.parent / "build/debug")) / "tests/powershell/psread"
    check(reader.exists(), "%s is not built" % reader)
    kinds = ("cluster_health", "backup_agent", "vm_heartbeat")
    args = {"build": BUILD, "ubr": UBR, "kb": KB}
    hotpatched = Stage()
    hotpatched.node().update(ubr=UBR + 300) # of which the level is read from the packages
    for s in (Stage(), emptied(), hotpatched):
        s.node().update(host_reserve_mib=None, bmc=None)
        lines = []
        for word, action, a in [(k, "gate_facts", {"type": k}) for k in kinds] + [("facts", "facts", {}), ("vms", "vms", {}), ("storage_health", "storage_health", {}),
                                ("verify", "verify", args), ("removability", "removability", args), ("check_empty", "check_empty", {"form": "processes", "parked": []})]:
            answer = s.ask(action, a)
            if "result" in answer:
                lines.append(word + "\t" + json.dumps(answer))
        r = subprocess.run([str(reader)], input="\n".join(lines) + "\n", capture_output=True, text=True)
        check(r.returncode == 0 and len(lines) >= 7, r.stdout)


# --- empty (O2) ---

@case("check_empty: both forms on an emptied node, and each thing that may be left")
def _():
    s = emptied()
    check(s.result("check_empty", {"form": "processes", "parked": PARKED}) == {"empty": True, "left": []}, "processes")
    check(s.error("check_empty", {"form": "vmms", "parked": PARKED})["code"] == "busy", "vmms down")
    next(x for x in s.node()["services"] if x["name"] == "vmms")["state"] = 4
    s.dirty = True
    check(s.result("check_empty", {"form": "vmms", "parked": PARKED})["empty"] is True, "vmms")

    def left(change, form="vmms", parked=PARKED):
        t = emptied()
        next(x for x in t.node()["services"] if x["name"] == "vmms")["state"] = 4
        change(t)
        return {e["kind"] for e in t.result("check_empty", {"form": form, "parked": parked})["left"]}
    for state in ("running", "paused", "starting", "saving", "stopping"):
        check(left(lambda t: t.vm(VM4).update(state=state)) == {"vm"}, state)
    check(left(lambda t: t.vm(VM4).update(state="running"), "processes") == {"process"}, "worker process")
    arriving = {"name": "vmwp.exe", "pid": 7000, "at_ms": NOW, "command": "C:\\Windows\\System32\\vmwp.exe " + VM3.upper()}
    check(left(lambda t: t.node().update(processes=[arriving])) == {"process"}, "a VM that arrives and is not listed yet")
    check(left(lambda t: t.node().update(processes=[dict(arriving, command=None)])) == {"process"}, "a worker process that does not tell its VM")
    check(left(lambda t: t.node().update(processes=[dict(arriving, command=arriving["command"].replace(VM3.upper(), VM4.upper()))])) == {"process"}, "a VM that is listed as off and has one")
    check(left(lambda t: t.vm(VM4).update(state="running")) == {"vm"}, "a running VM is told once")
    t = emptied()
    vmms(t)["state"] = 4
    t.node().update(processes=[arriving])
    e = t.error("stop_vmms", {"parked": PARKED})
    check(e["code"] == "not_empty" and VM3 in json.dumps(e) + json.dumps(t.result("check_empty", {"form": "vmms", "parked": PARKED})) and not t.did("stop_service"), e)
    check(left(lambda t: t.node().update(state="up")) == {"node"}, "not paused")
    check(left(lambda t: t.w["groups"][4].update(owner="HV01")) == {"group"}, "core group")
    check(left(lambda t: t.w["csvs"][0].update(owner="HV01")) == {"csv"}, "volume")
    check(left(lambda t: None, parked=[VM4]) == {"group"}, "a group that was not parked")
    check(left(lambda t: t.w["groups"][1].update(possible_owners=[])) == {"group"}, "a parked group that is not pinned")
    check(left(lambda t: t.w["groups"][1].update(state="failed")) == {"group"}, "a parked group that is not offline")
    check(left(lambda t: t.vm(VM4).update(busy="merge")) == {"vm"}, "merging")


# --- the node ---

@case("pause: success, repeat, found paused, refusal with its HRESULT, witness; it never drains")
def _():
    s = Stage()
    check(s.witness("pause", {"found_ours": False}) == "not_done", "before")
    check(s.result("pause", {"found_ours": False}) == {"state": "paused"}, "pause")
    check(s.result("pause", {"found_ours": True}) == {"state": "paused", "already": True}, "repeat")
    check(s.error("pause", {"found_ours": False})["code"] == "found_paused", "O7")
    check(s.witness("pause", {"found_ours": True}) == "done", "after")
    s = Stage()
    s.fault("suspend_node", native="0x80071398", message="a volume is not healthy")
    e = s.error("pause", {"found_ours": False})
    check((e["code"], e["native"]) == ("refused", "0x80071398") and e["hint"], e)
    s = Stage()
    s.fault("suspend_node", native="0x8007139F", effect="late")
    check(s.error("pause", {"found_ours": False})["code"] == "failed", "an error after the effect is failed, not refused")
    s.node()["state"] = "down"
    s.dirty = True
    check(s.error("pause", {"found_ours": False})["code"] == "refused", "down")


@case("resume: success, repeat (undo of nothing), refusal, witness; never with failback")
def _():
    s = Stage()
    check(s.result("resume") == {"state": "up", "already": True}, "nothing to undo")
    s.node()["state"] = "paused"
    s.dirty = True
    check(s.witness("resume") == "not_done", "before")
    check(s.result("resume") == {"state": "up"} and s.witness("resume") == "done", "resume")
    check(all('"NoFailback"' in l for l in s.did("resume_node")), "failback")
    s = Stage()
    s.node()["state"] = "paused"
    s.fault("resume_node", native="0x80071398")
    check(s.error("resume")["code"] == "refused", "refusal")
    s.node()["state"] = "joining"
    s.dirty = True
    check(s.error("resume")["code"] == "refused", "not joined")


@case("move_vm live: target as planned, blackout from the event by GUID, repeat, witness with its row")
def _():
    s = Stage()
    args = {"vm": VM1, "to": "HV03", "method": "live"}
    check(s.witness("move_vm", args) == "not_done", "before")
    a = s.ask("move_vm", args)
    check(a["result"] == {"blackout_ms": 600, "duration_ms": 20000}, a)
    row = {"subject": "vm", "id": VM1, "cause": "blackout", "start_ms": NOW + 19400, "end_ms": NOW + 20000, "how": "event 20415"}
    check(a["downtime"] == [row], a)
    check(s.result("move_vm", args)["already"] is True, "repeat")
    w = s.ask("move_vm", args, mode="witness")
    check(w["witness"] == "done" and w["downtime"] == [row] and w["evidence"]["owner"] == "HV03", w)
    check(s.see()["vms"][0]["node"] == "HV03", "truth")


@case("move_vm: no event means no blackout row, never a guess; a decimal comma is read")
def _():
    s = Stage()
    s.node()["state"] = "paused"
    s.w["vms"][0]["node"] = s.w["groups"][0]["owner"] = "HV02"
    a = s.ask("move_vm", {"vm": VM1, "to": "HV03", "method": "live"}, node="HV02")
    check(a["result"]["blackout_ms"] == 600, "as paused nodes' VMs move")
    for told, ms in (("none", None), ("63,1", 63100), ("1.25", 1250)):
        s = Stage()
        s.w["blackout"] = told
        a = s.ask("move_vm", {"vm": VM1, "to": "HV03", "method": "live"})
        check(a["result"]["blackout_ms"] == ms and ("downtime" in a) == (ms is not None), (told, a))


@case("move_vm quick: down while its group is not online; the VM's row says how it was measured")
def _():
    s = Stage()
    a = s.ask("move_vm", {"vm": VM1, "to": "HV03", "method": "quick"})
    check(a["downtime"][0]["cause"] == "quick" and a["downtime"][0]["end_ms"] >= a["downtime"][0]["start_ms"], a)


@case("move_vm: refusals by name - unclustered, elsewhere, unknown node, paused target, locked group, unknown VM")
def _():
    s = Stage()
    live = {"method": "live", "to": "HV03"}
    check(s.error("move_vm", {**live, "vm": VM4})["code"] == "refused", "unclustered (O5)")
    check(s.error("move_vm", {**live, "vm": VM3})["code"] == "not_found", "elsewhere")
    check(s.error("move_vm", {**live, "vm": VM1, "to": "HV99"})["code"] == "not_found", "node")
    check(s.error("move_vm", {**live, "vm": VM1.replace("1", "9")})["code"] == "not_found", "VM")
    check(s.error("move_vm", {**live, "vm": VM1, "method": "teleport"})["code"] == "bad_request", "method")
    s.node("HV03")["state"] = "paused"
    s.dirty = True
    e = s.error("move_vm", {**live, "vm": VM1})
    check((e["code"], e["native"]) == ("refused", "0x80071709"), e)
    s = Stage()
    s.fault("move_vm", native="0x8007174B")
    check(s.error("move_vm", {**live, "vm": VM1})["code"] == "busy", "locked")
    s = Stage()
    s.fault("move_vm", native="0x800705AA", effect="late")
    check(s.error("move_vm", {**live, "vm": VM1})["code"] == "failed", "failed half way is not refused")


@case("move_groups: core groups and volumes go by the order of targets, what cannot is told, repeat and witness")
def _():
    s = Stage()
    to = {"to": ["HV01", "HV03", "HV02"]}
    check(s.witness("move_groups", to) == "not_done", "before")
    r = s.result("move_groups", to)
    check([(m["kind"], m["to"]) for m in r["moved"]] == [("group", "HV03"), ("csv", "HV03")] and r["left"] == [], r)
    check(s.result("move_groups", to).get("already") is True and s.witness("move_groups", to) == "done", "repeat")
    s = Stage()
    s.fault("move_csv", native="0x80071398", subject="HV03")
    check(s.result("move_groups", to)["moved"][1]["to"] == "HV02", "the next target is tried")
    s = Stage()
    s.fault("move_group", native="0x80071398")
    r = s.result("move_groups", to)
    check(len(r["left"]) == 1 and r["left"][0]["kind"] == "group" and s.witness("move_groups", to) == "not_done", r)


@case("a volume that the cluster lists as a group too (type 4) is looked at and moved once, as a volume")
def _():
    s = Stage()
    s.w["groups"].append(group(7, kind="csv", owner="HV01", name="5f1b0c1e-volume"))
    left = s.result("check_empty", {"form": "vmms", "parked": []})["left"]
    check([e["kind"] for e in left].count("csv") == 1 and not [e for e in left if e["name"] == "5f1b0c1e-volume"], left)
    r = s.result("move_groups", {"to": ["HV03"]})
    check([(m["kind"], m["to"]) for m in r["moved"]] == [("group", "HV03"), ("csv", "HV03")] and r["left"] == [], r)


@case("park_vm: asked again after its driver was killed between checkpoint and shutdown, it makes no second checkpoint")
def _():
    s = Stage()
    s.vm(VM4)["checkpoints"] = [{"id": "c0000000-0000-0000-0000-000000000001", "name": "patchwave", "at_ms": NOW}]
    s.result("park_vm", {"vm": VM4, "method": "shutdown", "checkpoint": True})
    check([line.split()[1] for line in s.see()["log"]] == ["stop_vm"] and len(s.vm(VM4)["checkpoints"]) == 1, s.w["log"])
    s = Stage()
    s.fault("checkpoint", native="0x80070032")
    check(s.error("park_vm", {"vm": VM4, "method": "shutdown", "checkpoint": True})["code"] == "refused" and s.did("stop_vm") == [], "without it the VM is not stopped")


@case("park_vm and unpark_vm: shutdown and save, open and closed rows, repeat, undo of nothing, witness")
def _():
    s = Stage()
    save = {"vm": VM2, "method": "save", "checkpoint": False}
    check(s.witness("park_vm", save) == "not_done", "before")
    a = s.ask("park_vm", save)
    check(a["result"] == {"state": "saved"}, a)
    check(a["downtime"] == [{"subject": "vm", "id": VM2, "cause": "saved", "start_ms": NOW, "end_ms": None, "how": "state change"}], a)
    check(s.result("park_vm", save) == {"state": "saved", "already": True} and s.witness("park_vm", save) == "done", "repeat")
    g = s.see()["groups"][1]
    check(g["state"] == "offline" and g["wanted_online"] is False, "the cluster wants it offline too")
    a = s.ask("unpark_vm", {"vm": VM2, "method": "save", "down_since_ms": NOW})
    check(a["result"] == {"state": "running"} and a["downtime"][0]["start_ms"] == NOW and a["downtime"][0]["end_ms"] > NOW, a)
    check(s.result("unpark_vm", {"vm": VM2, "method": "save"}) == {"state": "running", "already": True}, "undo of nothing")
    down = {"vm": VM4, "method": "shutdown"}
    check(s.ask("park_vm", down)["downtime"][0]["cause"] == "shut_down" and s.witness("park_vm", down) == "done", "shutdown")
    check(s.witness("unpark_vm", down) == "not_done", "down")
    check(s.result("unpark_vm", down) == {"state": "running"} and s.witness("unpark_vm", down) == "done", "unclustered")


@case("park_vm: busy and transient VMs wait, a guest that refuses is refused, a checkpoint comes first where asked")
def _():
    s = Stage()
    s.vm(VM4)["busy"] = "backup"
    check(s.error("park_vm", {"vm": VM4, "method": "shutdown"})["code"] == "busy", "backup")
    s.vm(VM4).update(busy=None, state="stopping")
    s.dirty = True
    check(s.error("park_vm", {"vm": VM4, "method": "shutdown"})["code"] == "busy", "stopping")
    check(s.witness("park_vm", {"vm": VM4, "method": "shutdown"}) == "running", "stopping")
    s = Stage()
    s.fault("stop_vm", native="0x8007045B")
    check(s.error("park_vm", {"vm": VM4, "method": "shutdown"})["code"] == "refused", "guest")
    s = Stage()
    s.result("park_vm", {"vm": VM4, "method": "shutdown", "checkpoint": True})
    log = [l.split()[1] for l in s.see()["log"]]
    check(log == ["checkpoint", "stop_vm"], log)
    check(s.error("park_vm", {"vm": VM3, "method": "save"})["code"] == "not_found", "not here")


@case("unpark_vm: a paused node brings no group online: refused, then done after resume (O4)")
def _():
    s = Stage()
    s.result("park_vm", {"vm": VM2, "method": "shutdown"})
    s.see()["nodes"][0]["state"] = "paused"
    e = s.error("unpark_vm", {"vm": VM2, "method": "shutdown", "down_since_ms": NOW})
    check((e["code"], e["native"]) == ("refused", "0x80071709"), e)
    s.see()["nodes"][0]["state"] = "up"
    check(s.result("unpark_vm", {"vm": VM2, "method": "shutdown", "down_since_ms": NOW}) == {"state": "running"}, "resumed")


@case("unpark_vm: one that runs already, by its boot or by hand, has the end of its outage told where the node knows it; its witness too (O35)")
def _():
    s = Stage()
    for vm, method, up_ms, known in ((VM2, "save", 60000, True), (VM4, "shutdown", 60000, True), (VM4, "shutdown", 900000, False)):
        args = {"vm": vm, "method": method, "down_since_ms": NOW - 600000}
        s.vm(vm)["uptime_ms"] = up_ms
        s.dirty = True
        for a in (s.ask("unpark_vm", args), s.ask("unpark_vm", args, mode="witness")):
            check(a.get("result", {}).get("already") is True or a.get("witness") == "done", a)
            check(("downtime" in a) == known, "older than the outage, the uptime tells nothing: %s" % a)
            if known:
                row = a["downtime"][0]
                check((row["id"], row["cause"], row["start_ms"], row["how"]) ==
                      (vm, "saved" if method == "save" else "shut_down", NOW - 600000, "uptime"), row)
                check(NOW - 60000 <= row["end_ms"] < NOW, row)


@case("checkpoint and merge: success, repeat, undo of nothing, refusal, witness")
def _():
    s = Stage()
    one = {"vm": VM1}
    check(s.result("merge", one) == {"merged": False, "already": True} and s.witness("merge", one) == "done", "nothing to merge")
    check(s.witness("checkpoint", one) == "not_done", "before")
    made = s.result("checkpoint", one)
    check(s.result("checkpoint", one) == {**made, "already": True} and s.witness("checkpoint", one) == "done", "repeat")
    check(s.witness("merge", one) == "not_done", "to merge")
    check(s.result("merge", one) == {"merged": True} and s.see()["vms"][0]["checkpoints"] == [], "merged")
    s = Stage()
    s.vm(VM1)["checkpoints"] = [{"id": "c0000000-0000-0000-0000-000000000009", "name": "nightly", "at_ms": NOW}]
    check(s.result("merge", one)["merged"] is False and len(s.see()["vms"][0]["checkpoints"]) == 1, "others' checkpoints stay")
    s.fault("checkpoint", native="0x80070032")
    check(s.error("checkpoint", one)["code"] == "refused", "refusal")
    s.vm(VM1)["busy"] = "merge"
    s.dirty = True
    check(s.witness("merge", one) == "running" and s.error("checkpoint", one)["code"] == "busy", "merging")


@case("storage_out and storage_in: S2D only, repeat, undo of nothing, refusal, witness")
def _():
    s = Stage()
    check(s.result("storage_in") == {"disks": 4, "already": True} and s.witness("storage_in") == "done", "nothing to undo")
    check(s.witness("storage_out") == "not_done" and s.result("storage_out") == {"disks": 4}, "out")
    check(s.result("storage_out")["already"] is True and s.witness("storage_out") == "done", "repeat")
    check(s.result("storage_in") == {"disks": 4} and s.witness("storage_in") == "done", "in")
    s = Stage()
    s.fault("storage_out", native="0x80009C52", message="a virtual disk would lose its last copy")
    check(s.error("storage_out")["code"] == "refused", "refusal")
    s.w["storage"]["s2d"] = False
    s.dirty = True
    check(s.result("storage_out") == {"disks": 0, "already": True} and s.witness("storage_out") == "done", "no S2D")


@case("storage_out and storage_in: one of four disks that is elsewhere is neither in nor out (O3, O12)")
def _():
    s = Stage()
    s.node().update(storage_out=True, disks_out=[2])
    check(s.witness("storage_in") == "not_done", "one left in maintenance is not done")
    check(s.result("storage_in") == {"disks": 4} and len(s.did("storage_in")) == 1, "it is taken out")
    check(s.witness("storage_in") == "done" and "disks_out" not in s.node(), "now it is done")
    s.node().update(disks_out=[0, 1, 3])
    s.dirty = True
    check(s.witness("storage_out") == "not_done" and s.result("storage_out") == {"disks": 4} and s.witness("storage_out") == "done", "three in are not all")
    s = Stage()
    s.node().update(storage_out=True, disks_fixed=[1])
    check(s.ask("storage_in", limit=60000) is None and s.see()["nodes"][0]["disks_out"] == [1], "one that stays in gives no answer")
    check(s.witness("storage_in") == "not_done", "and no witness says done")
    for verb, out in (("storage_out", False), ("storage_in", True)):
        s = Stage()
        s.node().update(storage_out=out, disks_fixed=[1])
        s.fault(verb, native="0x80009C52", effect="late")
        check(s.error(verb)["code"] == "failed", verb + ": refused means that nothing was touched")


@case("storage_out and storage_in: S2D without a scale unit of the node's name is an error, never a node without disks (O3)")
def _():
    s = Stage()
    s.node()["scale_unit"] = "HV01-old"
    for action in ("storage_out", "storage_in"):
        e = s.error(action)
        check(e["code"] == "failed" and "HV01" in e["message"] and "StorageScaleUnit" in e["hint"], e)
        check(s.witness(action) == "cannot_tell", action)
    check(not s.did("storage_out") and not s.did("storage_in"), "nothing is done")
    f = Stage.host.run(DRIVER / "probe.ps1", "HV01", "mini:" + s.name, b"")
    seen = {p["id"]: p for p in json.loads(f["O"])["probe"]}["storage-maintenance"]
    check((seen["observed"], seen["error"]) == ("no scale unit of this name", None), seen)


@case("stop_vmms and start_vmms: dependents too, guard, rows from events, repeat, witness, way back of O8")
def _():
    s = emptied()
    next(x for x in s.node()["services"] if x["name"] == "vmms")["state"] = 4
    stop = {"parked": PARKED}
    check(s.witness("stop_vmms", stop) == "not_done", "before")
    a = s.ask("stop_vmms", stop)
    check(a["result"] == {"state": "stopped"} and a["downtime"][0]["cause"] == "vmms_stopped" and a["downtime"][0]["how"] == "event 7036", a)
    check({x["name"]: x["state"] for x in s.see()["nodes"][0]["services"]}["hvmon"] == 1, "dependents are stopped")
    check(s.result("stop_vmms", stop)["already"] is True and s.witness("stop_vmms", stop) == "done", "repeat")
    a = s.ask("start_vmms")
    check(a["result"] == {"state": "running"} and a["downtime"][0]["end_ms"] > a["downtime"][0]["start_ms"], a)
    check({x["name"]: x["state"] for x in s.see()["nodes"][0]["services"]}["hvmon"] == 4, "dependents are back")
    check(s.result("start_vmms")["already"] is True and s.witness("start_vmms") == "done", "repeat")
    s = Stage()
    check(s.error("stop_vmms", {"parked": []})["code"] == "not_empty" and s.did("stop_service") == [], "guard")
    s = emptied()
    next(x for x in s.node()["services"] if x["name"] == "vmms")["state"] = 4
    s.fault("stop_service", native="0x8007041D", subject="vmms")
    e = s.error("stop_vmms", stop)
    check(e["code"] == "failed" and e["native"] == "0x8007041d" and e["hint"].startswith("vmms runs"), e)


def vmms(s):
    return next(x for x in s.node()["services"] if x["name"] == "vmms")


@case("stop_vmms: only stopped is stopped; what failed afterwards or hangs takes the way back, within the limit (O8)")
def _():
    stop = {"parked": PARKED}
    for state, code in ((2, "busy"), (3, "failed")):
        s = emptied()
        vmms(s)["state"] = state
        e = s.error("stop_vmms", stop, limit=120000)
        check(e["code"] == code and not s.did("stop_service"), "state %d: %s" % (state, e))
    s = emptied(later=[{"at_ms": NOW + 4000, "do": "stopped", "node": "HV01", "name": "vmms"}])
    vmms(s)["state"] = 3
    check(s.witness("stop_vmms", stop) == "running" and s.result("stop_vmms", stop) == {"state": "stopped"}, "one that stops is waited for")
    s = emptied()
    vmms(s)["state"] = 3
    s.vm(VM4)["state"] = "running"
    check(s.error("stop_vmms", stop)["code"] == "not_empty", "the guard asks worker processes then")
    s = emptied()
    vmms(s)["state"] = 7
    check(s.result("stop_vmms", stop) == {"state": "stopped"}, "paused is not stopped")
    s = emptied()
    vmms(s)["state"] = 4
    s.fault("stop_service", native="0x8007041D", subject="vmms", effect="late")
    e = s.error("stop_vmms", stop, limit=120000)
    check(e["code"] == "failed" and e["native"] == "0x8007041d" and e["hint"].startswith("vmms was started again"), e)
    check(len(s.did("start_service")) == 1 and vmms(s)["state"] == 4, "started again")
    s = emptied()
    vmms(s)["state"] = 4
    s.fault("stop_service", native="0x8007041D", subject="vmms", effect="late")
    s.fault("start_service", native="0x8007041D", subject="vmms")
    e = s.error("stop_vmms", stop, limit=120000)
    check(e["hint"] == "vmms does not run: it is stopped" and len(s.did("start_service")) == 1, "what did not start again is not said to run: %s" % e)
    s = emptied()
    vmms(s).update(state=4, hangs=True)
    e = s.error("stop_vmms", stop, limit=120000)
    check(e["code"] == "failed" and e["hint"] == "vmms does not run: it is stopping", e)
    check(s.see()["now_ms"] < NOW + 120000, "the limit holds, the way back included")
    check(s.ask("start_vmms", limit=60000) is None, "started while it still stops: no evidence")
    s.w["later"] = [{"at_ms": s.see()["now_ms"] + 4000, "do": "stopped", "node": "HV01", "name": "vmms"}]
    check(s.result("start_vmms") == {"state": "running"}, "it is started once it has stopped")


@case("start_vmms: running is not answering; without an answer in time it gives none, and the witness says running")
def _():
    s = emptied()
    s.node()["vmms_silent"] = True
    check(s.ask("start_vmms", limit=60000) is None, "no evidence")
    check(s.witness("start_vmms") == "running", "witness")


# --- servicing ---

@case("install: the whole way, by dism and by wusa, then repeat and witness")
def _():
    for tool in ("dism", "wusa"):
        with tempfile.TemporaryDirectory() as d:
            s = emptied()
            args = {"package": package(d), "tool": tool, "parked": PARKED}
            check(s.witness("install", args) == "not_done", "before")
            check(s.result("install", args) == {"exit": 3010, "class": "done", "reboot_required": True}, tool)
            check(s.result("install", args) == {"exit": 0, "class": "already", "reboot_required": True, "already": True}, "repeat")
            check(s.witness("install", args) == "done" and len(s.did("install")) == 1, "once")
            check(sorted(p.name for p in pathlib.Path(d).iterdir()) == [args["package"]["name"]], "no copies are left behind")


@case("install: nothing is installed on a node that is not empty, not paused, pending, busy, or of another build")
def _():
    with tempfile.TemporaryDirectory() as d:
        p = package(d)
        args = {"package": p, "tool": "dism", "parked": PARKED}

        def refused(change, code, a=args):
            s = emptied()
            change(s)
            e = s.error("install", a)
            check(e["code"] == code and s.did("install") == [], "%s: %s" % (code, e))
        refused(lambda s: s.vm(VM4).update(state="running"), "not_empty")
        refused(lambda s: s.node().update(state="up"), "not_empty")
        refused(lambda s: s.w["csvs"][0].update(owner="HV01"), "not_empty")
        refused(lambda s: None, "not_empty", {**args, "parked": []})
        refused(lambda s: s.node().update(marks=["pending.xml"]), "needs_reboot")
        refused(lambda s: s.node().update(servicing="install"), "busy")
        refused(lambda s: None, "not_applicable", {**args, "package": {**p, "build": 20348}})
        refused(lambda s: None, "refused", {**args, "package": {**p, "sha256": "0" * 64}})
        refused(lambda s: None, "not_found", {**args, "package": {**p, "path": d + "/absent.msu"}})
        refused(lambda s: None, "bad_request", {**args, "package": {k: v for k, v in p.items() if k != "sha256"}})


@case("install: exit codes by their table, and by the package's own state where they lie")
def _():
    rows = ((0x800F0922, "failed", "0x800f0922"), (0x80070070, "no_space", "0x80070070"), (0x80240017, "not_applicable", "0x80240017"),
            (0x800F0838, "failed", "0x800f0838"), (0x80240009, "busy", "0x80240009"), (1618, "busy", "0x00000652"), (5, "access", "0x00000005"),
            (87, "failed", "0x00000057"), (0x800F082F, "needs_reboot", "0x800f082f"), (0, "failed", "0x00000000"), (552, "failed", "0x00000228"))
    with tempfile.TemporaryDirectory() as d:
        args = {"package": package(d), "tool": "dism", "parked": PARKED}
        for code, want, native in rows:
            s = emptied()
            s.fault("install", exit=code)
            e = s.error("install", args)
            check((e["code"], e["native"]) == (want, native), "%x: %s" % (code, e))


@case("install: the table of exit codes in docs/windows.md is what the driver makes of them")
def _():
    text = (HERE.parent.parent / "docs/windows.md").read_text()
    table_ = re.search(r"^## Exit codes.*?^## ", text, re.S | re.M).group(0)
    says = {"the package is gone": "not_found", "rights": "access", "no space": "no_space", "busy": "busy", "not applicable": "not_applicable", "not removable": "not_removable", "a restart is pending": "needs_reboot", "refused": "refused"}
    seen = 0
    with tempfile.TemporaryDirectory() as d:
        args = {"package": package(d), "tool": "dism", "parked": PARKED}
        for codes, means in re.findall(r"^\| ([0-9A-Fx, ]+) \| ([^|]*) \|", table_, re.M):
            want = next((code for word, code in says.items() if means.startswith(word)), "failed")
            for code in codes.split(", "):
                s = emptied()
                s.fault("install", exit=int(code, 0))
                a = s.ask("install", args)
                e = a.get("error", {})
                if means.startswith("done") or means.startswith("already"):
                    check(e.get("code") == "failed" and "the package is as before" in e["message"], "%s without the package's state: %s" % (code, a))
                else:
                    check(e.get("code") == want and e["native"] == "0x%08x" % int(code, 0) and e["hint"], "%s, %s: %s" % (code, means, a))
                seen += 1
    check(seen >= 28, "%d codes were read out of the document" % seen)


@case("install: a package that is not signed, changed or signed by another is refused; one whose signature cannot be read is not")
def _():
    with tempfile.TemporaryDirectory() as d:
        args = {"package": package(d), "tool": "dism", "parked": PARKED}
        for more, want in (({"signature": "NotSigned"}, "refused"), ({"signature": "HashMismatch"}, "refused"), ({"signer": "CN=Evil, O=Evil"}, "refused"),
                           ({"signature": "UnknownError"}, None)):
            s = emptied()
            s.node().update(more)
            a = s.ask("install", args)
            check(a.get("error", {}).get("code") == want and len(s.did("install")) == (want is None), "%s: %s" % (more, a))


@case("install: the package is held against writing and others' folders are not trusted")
def _():
    with tempfile.TemporaryDirectory() as d:
        folder = pathlib.Path(d) / "open"
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        p = package(folder)
        (folder / "other.msu").write_bytes(b"x")
        s = emptied()
        s.result("install", {"package": p, "tool": "dism", "parked": PARKED})
        check("install-" + p["sha256"][:16] in s.did("install")[0], "installed from a closed folder of its own")
        closed = pathlib.Path(d) / "closed"
        closed.mkdir(mode=0o700)
        p = package(closed)
        s = emptied()
        s.result("install", {"package": p, "tool": "dism", "parked": PARKED})
        check("install-" not in s.did("install")[0], "a closed folder with nothing else is used as it is")


@case("install: a copy that something still reads, and so stays behind, says nothing about the installation; the next one begins with its own")
def _():
    with tempfile.TemporaryDirectory() as d:
        p = package(d)
        (pathlib.Path(d) / "other.msu").write_bytes(b"x")
        own = pathlib.Path(d) / ("install-" + p["sha256"][:16])
        s = emptied()
        s.node()["in_use"] = "install-"
        check(s.result("install", {"package": p, "tool": "dism", "parked": PARKED})["class"] == "done" and own.exists(), "installed")
        (own / "left.msu").write_bytes(b"x")
        check(emptied().result("install", {"package": p, "tool": "dism", "parked": PARKED})["class"] == "done" and not own.exists(), "again")


def with_checkpoint(folder, body=b"MSWIM checkpoint"):
    """A target that needs the checkpoint package beside it."""
    p = package(folder)
    name = "windows11.0-kb5043080-x64.msu"
    (pathlib.Path(folder) / name).write_bytes(body)
    return {**p, "checkpoints": [{"name": name, "sha256": hashlib.sha256(body).hexdigest()}]}


def needs(name="windows11.0-kb5043080-x64.msu"):
    s = emptied()
    s.node()["catalog"][KB]["needs"] = [name]
    return s


@case("install: the folder holds the target and its listed checkpoint packages only, each by its digest (O9)")
def _():
    with tempfile.TemporaryDirectory() as d:
        closed = pathlib.Path(d) / "closed"
        closed.mkdir(mode=0o700)
        p = with_checkpoint(closed)
        args = {"package": p, "tool": "dism", "parked": PARKED}
        s = needs()
        check(s.result("install", args)["class"] == "done" and "install-" not in s.did("install")[0], "both lie in a closed folder: used as it is")
        (closed / "foreign.msu").write_bytes(b"x")
        s = needs()
        s.result("install", args)
        check("install-" + p["sha256"][:16] in s.did("install")[0], "something else lies there: a folder of its own")
        check(sorted(f.name for f in closed.iterdir()) == sorted([p["name"], p["checkpoints"][0]["name"], "foreign.msu"]), "no copies are left behind")
        s = needs()
        e = s.error("install", {**args, "package": {**p, "checkpoints": []}})
        check((e["code"], e["native"]) == ("failed", "0x800f0838") and "checkpoint" in e["hint"], "a checkpoint that is not listed is not taken: %s" % e)
        own = closed / ("install-" + p["sha256"][:16])
        own.mkdir()
        (own / "left.msu").write_bytes(b"of an earlier try")
        s = needs()
        check(s.result("install", args)["class"] == "done" and not own.exists(), "what an earlier try left there is not installed")

        def refused(change, code, a=args):
            t = needs()
            change(t)
            e = t.error("install", a)
            check(e["code"] == code and t.did("install") == [], "%s: %s" % (code, e))
        bad = lambda **more: {**args, "package": {**p, "checkpoints": [{**p["checkpoints"][0], **more}]}}
        refused(lambda t: None, "refused", bad(sha256="0" * 64))
        refused(lambda t: None, "not_found", bad(name="absent.msu"))
        refused(lambda t: None, "bad_request", bad(name="..\\x.msu"))
        refused(lambda t: None, "bad_request", bad(sha256="x"))
        refused(lambda t: None, "refused", {**args, "tool": "wusa"})
        refused(lambda t: t.node().update(signature="NotSigned"), "refused")


@case("uninstall: by name from the store, not removable, undo of nothing, guard, witness")
def _():
    p = {"name": "x", "sha256": "0" * 64, "kb": KB, "build": BUILD, "ubr": UBR}
    args = {"package": p, "predecessor": "26100.4061", "parked": PARKED}
    s = emptied()
    check(s.result("uninstall", args) == {"exit": 0, "class": "already", "reboot_required": False, "already": True}, "undo of nothing")

    def patched(**more):
        t = emptied()
        t.node()["packages"].append({"identity": rollup(UBR), "ubr": UBR, "state": 112, "permanent": True})
        t.node()["packages"][1]["state"] = 80
        t.node().update(ubr=UBR, **more)
        return t
    s = patched()
    e = s.error("uninstall", args)
    check((e["code"], e["native"]) == ("not_removable", "0x800f0825") and s.witness("uninstall", args) == "not_done", e)
    s = patched(removable=True)
    check(s.result("uninstall", args) == {"exit": 3010, "class": "done", "reboot_required": True}, "removed")
    check(s.witness("uninstall", args) == "done" and s.result("uninstall", args)["reboot_required"] is True, "pending")
    s = patched(removable=True)
    s.fault("remove", exit=0)
    e = s.error("uninstall", args)
    check(e["code"] == "failed" and s.witness("uninstall", args) == "not_done", e)
    for missing in ("build", "ubr"):
        bare = {**args, "package": {k: v for k, v in args["package"].items() if k != missing}}
        check(s.error("uninstall", bare)["code"] == "bad_request", missing)
    s = patched(removable=True, servicing="install")
    check(s.error("uninstall", args)["code"] == "busy" and s.witness("uninstall", args) == "running", "servicing")
    s = patched(removable=True)
    s.vm(VM4)["state"] = "running"
    check(s.error("uninstall", args)["code"] == "not_empty" and s.did("remove") == [], "guard")


@case("reboot: once per boot, guarded, witnessed by the boot id that no clock moves")
def _():
    s = emptied()
    boot = s.result("facts")["boot_id"]
    args = {"boot_id": boot, "parked": PARKED}
    check(s.witness("reboot", args) == "not_done", "before")
    check(s.result("reboot", args)["boot_id"] != boot, "reboot")
    check(s.witness("reboot", args) == "done" and s.result("reboot", args)["already"] is True and len(s.did("reboot")) == 1, "once")
    s = emptied()
    s.vm(VM4)["state"] = "running"
    check(s.error("reboot", {"boot_id": boot, "parked": PARKED})["code"] == "not_empty" and s.did("reboot") == [], "guard")
    s = emptied()
    s.node()["servicing"] = "install"
    check(s.error("reboot", {"boot_id": boot, "parked": PARKED})["code"] == "busy", "servicing")


@case("reboot: a session that somebody left on the node does not hold it up; a restart that is refused says why")
def _():
    s = emptied()
    s.node()["sessions"] = 1
    s.dirty = True
    boot = s.result("facts")["boot_id"]
    args = {"boot_id": boot, "parked": PARKED}
    check(s.result("reboot", args)["boot_id"] != boot, "the session holds it up")
    s = emptied()
    s.fault("reboot", exit=1191)
    e = s.error("reboot", dict(args, boot_id=s.result("facts")["boot_id"]))
    check(e["code"] == "refused" and e["native"] == "0x000004a7" and "log them off" in e["hint"], e)


@case("one life: pause to resume with install and reboot, ledger rows included, then verified")
def _():
    with tempfile.TemporaryDirectory() as d:
        s = Stage()
        p = package(d)
        s.result("pause", {"found_ours": False})
        s.result("move_vm", {"vm": VM1, "to": "HV03", "method": "live"})
        s.result("park_vm", {"vm": VM2, "method": "shutdown"})
        s.result("park_vm", {"vm": VM4, "method": "save"})
        s.result("move_groups", {"to": ["HV02"]})
        check(s.result("check_empty", {"form": "vmms", "parked": PARKED})["empty"], "empty")
        for action in ("storage_out", "stop_vmms"):
            s.result(action, {"parked": PARKED})
        s.result("install", {"package": p, "tool": "dism", "parked": PARKED})
        s.result("reboot", {"boot_id": s.result("facts")["boot_id"], "parked": PARKED})
        v = s.result("verify", {"build": BUILD, "ubr": UBR, "kb": KB})
        check((v["ubr"], v["package"], v["pending"]) == (UBR, "installed", False), v)
        for action in ("start_vmms", "storage_in", "resume"):
            s.result(action)
        for vm, method in ((VM2, "shutdown"), (VM4, "save")):
            s.result("unpark_vm", {"vm": vm, "method": method, "down_since_ms": NOW})
        w = s.see()
        check(all(v["state"] == "running" for v in w["vms"] if v["id"] != VM5) and w["nodes"][0]["state"] == "up", "truth")


@case("bitlocker_suspend: protected, repeat, nothing to suspend, witness")
def _():
    s = Stage()
    check(s.result("bitlocker_suspend", {"reboots": 1}) == {"volumes": 0, "already": True}, "off")
    s.node()["bitlocker"] = {"state": "on", "protectors": ["Tpm"]}
    s.dirty = True
    check(s.witness("bitlocker_suspend", {"reboots": 2}) == "not_done", "before")
    check(s.result("bitlocker_suspend", {"reboots": 2}) == {"volumes": 1} and s.see()["nodes"][0]["bitlocker"]["reboots"] == 2, "on")
    check(s.witness("bitlocker_suspend", {"reboots": 2}) == "done", "after")
    s.w["nodes"][0]["bitlocker"] = {"state": "on", "protectors": ["Tpm"]}
    s.fault("bitlocker_suspend", native="0x80310000")
    check(s.error("bitlocker_suspend", {"reboots": 1})["code"] == "refused", "refusal")


@case("cluster_setting: old and new, repeat, restore, refusal, unknown name, witness")
def _():
    for name, old, new in (("auto_balancer_mode", 2, 0), ("max_parallel_migrations", 1, 3), ("move_type_threshold", 2000, 1000)):
        s = Stage()
        args = {"name": name, "value": new}
        check(s.witness("cluster_setting", args) == "not_done", name)
        check(s.result("cluster_setting", args) == {"old": old, "new": new} and s.see()["properties"][name] == new, name)
        check(s.result("cluster_setting", args) == {"old": new, "new": new, "already": True}, "repeat")
        check(s.witness("cluster_setting", args) == "done", name)
        check(s.result("cluster_setting", {"name": name, "value": old}) == {"old": new, "new": old}, "restored")
    s = Stage()
    found = s.error("cluster_setting", {"name": "auto_balancer_mode", "value": 0, "expected": 1})
    check(found["code"] == "refused" and s.see()["properties"]["auto_balancer_mode"] == 2, "somebody else's change stays")
    check(s.result("cluster_setting", {"name": "auto_balancer_mode", "value": 0, "expected": 2}) == {"old": 2, "new": 0}, "as expected")
    check(s.error("cluster_setting", {"name": "SameSubnetDelay", "value": 1})["code"] == "not_found", "name")
    s.fault("set_property", native="0x80070005")
    check(s.error("cluster_setting", {"name": "auto_balancer_mode", "value": 0})["code"] == "access", "rights")


@case("fetch_package: into a closed folder, by digest and size, repeat, refusal, witness")
def _():
    with tempfile.TemporaryDirectory() as d:
        p = package(d)
        to = pathlib.Path(d) / "staged"
        args = {"source": p["path"], "name": "a.msu", "sha256": p["sha256"], "size_bytes": 13, "to": str(to)}
        s = Stage()
        check(s.witness("fetch_package", args) == "not_done", "before")
        check(s.result("fetch_package", args) == {"path": str(to / "a.msu")} and (to.stat().st_mode & 0o77) == 0, "fetched")
        check(s.result("fetch_package", args)["already"] is True and s.witness("fetch_package", args) == "done", "repeat")
        for wrong in ({"sha256": "0" * 64}, {"size_bytes": 12}):
            e = s.error("fetch_package", {**args, "name": "b.msu", **wrong})
            check(e["code"] == "refused" and not list(to.glob("b.msu*")), e)
        check(s.error("fetch_package", {**args, "name": "..\\x.msu"})["code"] == "bad_request", "name")
        check("error" in s.ask("fetch_package", {**args, "name": "c.msu", "source": d + "/absent"}), "source")
        with web(d) as url:
            name = pathlib.Path(p["path"]).name
            check(s.result("fetch_package", {**args, "name": "d.msu", "source": url + name}) == {"path": str(to / "d.msu")}, "http")
            check("error" in s.ask("fetch_package", {**args, "name": "e.msu", "source": url + "absent"}), "404")


@contextlib.contextmanager
def source(send):
    """A web server whose only answer `send` writes: (file to write to, the header's writer)."""
    class Answer(http.server.BaseHTTPRequestHandler):
        log_message = lambda *a: None

        def do_GET(self):
            def head(length):
                self.send_response(200)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
            send(self.wfile, head)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield "http://127.0.0.1:%d/x.msu" % server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@case("fetch_package: what came of a source that breaks or ends early is removed, also that of a pull that was killed, and the answer says how far it came")
def _():
    def broken(length):
        def send(to, head):
            head(length)
            to.write(b"x" * 30000)
        return send
    with tempfile.TemporaryDirectory() as d:
        to = pathlib.Path(d) / "staged"
        to.mkdir(mode=0o700)
        args = {"name": "a.msu", "sha256": hashlib.sha256(b"x" * 50000).hexdigest(), "size_bytes": 50000, "to": str(to)}
        s = Stage()
        with source(broken(50000)) as url:
            e = s.error("fetch_package", {**args, "source": url})
            check(e["code"] == "failed" and list(to.iterdir()) == [], "broken in the middle: %s %s" % (e, list(to.iterdir())))
        with source(broken(None)) as url:
            e = s.error("fetch_package", {**args, "source": url})
            check(e["code"] == "failed" and "30000 of 50000" in e["message"] and list(to.iterdir()) == [], e)
        (to / "a.msu.part").write_bytes(b"of a pull that was killed")
        e = s.error("fetch_package", {**args, "source": d + "/absent"})
        check(e["code"] in ("refused", "not_found") and list(to.iterdir()) == [], "%s %s" % (e, list(to.iterdir())))
        (to / "a.msu").mkdir() # the name is taken: nothing is there that could be replaced
        path = package(d, b"x" * 50000)["path"]
        check("error" in s.ask("fetch_package", {**args, "source": path}) and [x.name for x in to.iterdir()] == ["a.msu"], "at the very end")


@case("fetch_package, install: every file name that the agent's store takes, and no other")
def _():
    with tempfile.TemporaryDirectory() as d:
        p = package(d)
        args = {"source": p["path"], "sha256": p["sha256"], "size_bytes": 13, "to": d + "/staged"}
        s = Stage()
        for name in ("_a.msu", "kb (1)~+".replace(" ", "-"), "-x", "a" * 159):
            check(s.result("fetch_package", {**args, "name": name})["path"].endswith("/" + name), name)
        for name in (".a", "a b", "a/b", "a" * 160, "a\n", "\u212aB.msu", "a:b"):
            check(s.error("fetch_package", {**args, "name": name})["code"] == "bad_request", name)
        s = emptied()
        e = s.error("install", {"package": {**p, "checkpoints": [{"name": "a:b", "sha256": "0" * 64}]}, "tool": "dism", "parked": PARKED})
        check(e["code"] == "bad_request", e)
        e = s.error("install", {"package": {**p, "checkpoints": [{"name": "_(1)~.msu", "sha256": "0" * 64}]}, "tool": "dism", "parked": PARKED})
        check(e["code"] == "not_found", e)


@case("fetch_package: what a source that stood still kept back is not made up for faster than the cap")
def _():
    with tempfile.TemporaryDirectory() as d:
        s = Stage()
        before = s.see()["now_ms"]
        s.sync()

        def send(to, head):
            head(50000)
            to.write(b"x" * 25000)
            to.flush()
            time.sleep(0.3)
            Stage.host.patch("w", "now_ms", Stage.host.state("w")["now_ms"] + 60000)
            to.write(b"x" * 25000)
        with source(send) as url:
            s.result("fetch_package", {"source": url, "name": "a.msu", "sha256": hashlib.sha256(b"x" * 50000).hexdigest(), "size_bytes": 50000,
                                       "to": d + "/staged", "bytes_per_second": 5000})
        took = s.see()["now_ms"] - before
        check(took >= 60000 + 10000 - 1500, "a minute's stop and 50000 bytes at 5000 a second in %d ms" % took)


@case("fetch_package: no faster than the cap, by the node's clock, and it tells how far it is")
def _():
    with tempfile.TemporaryDirectory() as d:
        p = package(d, body=b"x" * 50000)
        args = {"source": p["path"], "name": "a.msu", "sha256": p["sha256"], "size_bytes": 50000, "to": d + "/staged"}
        for i, cap in enumerate((5000, 20000)):
            s = Stage()
            before = s.see()["now_ms"]
            check("path" in s.result("fetch_package", {**args, "name": "%d.msu" % i, "bytes_per_second": cap}), "fetched")
            took = s.see()["now_ms"] - before
            check(took >= 50000 * 1000 / cap - 200, "50000 bytes at %d a second in %d ms" % (cap, took))
            told = [json.loads(l)["progress"]["percent"] for l in s.last["E"].splitlines()]
            check(len(told) > 10 and told == sorted(set(told)) and told[-1] == 100, told)
        s = Stage()
        before = s.see()["now_ms"]
        s.result("fetch_package", {**args, "name": "free.msu"})
        check(s.see()["now_ms"] - before < 2500, "without a cap it does not wait")
        check(s.error("fetch_package", {**args, "name": "c.msu", "bytes_per_second": "fast"})["code"] == "bad_request", "cap")


# --- export (O31) ---

BUILD_DIR = pathlib.Path(os.environ.get("PW_BUILD_DIR", HERE.parent.parent / "build/debug"))
SIGNER = "A1B2C3"


class Board:
    """A database of the real `patchwave` with an approved plan for the suite's world, and what it exports."""

    def __init__(self, folder, **policy):
        self.folder = pathlib.Path(folder)
        self.policy = policy

    def say(self, *words, code=0):
        r = subprocess.run([str(BUILD_DIR / "orchestrator/patchwave"), *map(str, words)], capture_output=True, text=True, cwd=self.folder,
                           env={**os.environ, "PATCHWAVE_DB": str(self.folder / "p.db")})
        check(r.returncode == code, "patchwave %s left with %d: %s%s" % (" ".join(map(str, words)), r.returncode, r.stdout, r.stderr))
        return r.stdout + r.stderr

    def inventory(self, w):
        def of(v):
            row = {"id": v["id"], "name": v["name"], "node": v["node"], "state": v["state"], "clustered": v["clustered"], "memory": v["memory"], "cpus": 2,
                   "switches": v["switches"], "local_disk": v["drives"][0]["path"].startswith("D:")}
            owners = [g["possible_owners"] for g in w["groups"] if g["vm"] == v["id"] and g["possible_owners"]]
            return {**row, "possible_owners": owners[0]} if owners else row
        return {"version": 1, "name": "suite", "vms": [of(v) for v in w["vms"]],
                "clusters": [{"id": "clu-a", "storage": "s2d", "witness": "share", "optimisation_off": True}],
                "nodes": [{"id": n["node"], "cluster": "clu-a", "memory_mib": n["memory_mib"], "host_reserve_mib": 16384, "cpus": 64, "build": "26100.4061",
                           "switches": n["switches"]} for n in w["nodes"]]}

    def plan(self, body=b"MSWIM package", rollout=None, checkpoint=None):
        (self.folder / "inventory.json").write_text(json.dumps(self.inventory(world())))
        (self.folder / "rollout.json").write_text(json.dumps({
            "version": 1, "name": "r", "patch": KB, "scope": {"nodes": ["HV01"]}, "waves": ["100%"], "gates": [], **(rollout or {}),
            "consents": [{"vm": v, "person": "o", "ticket": "CHG-7", "method": m, "expires": "2099-01-01T00:00:00Z"} for v, m in ((VM2, "shutdown"), (VM4, "save"))],
            "policy": {"planner_may_approve": True, **self.policy}}))
        self.package = package(self.folder, body)
        add = "patch add %s --target %d.%d" % (self.package["name"], BUILD, UBR) + (" --checkpoint " + checkpoint if checkpoint else "")
        for words in ("init", "inventory import inventory.json", add, "plan rollout.json"):
            self.say(*words.split())
        return self

    def approve(self, expires="7d"):
        self.say("approve", "--ticket", "CHG-1", "--expires", expires)
        return self

    def export(self, node="HV01"):
        self.path = self.folder / (node + ".ps1")
        self.answer = json.loads(self.say("--json", "export", "--script", node, "--out", self.path))
        return self.path.read_text()

    def sign(self, text, signer=SIGNER, digest=None):
        """As Set-AuthenticodeSignature of the stand-ins' world does."""
        self.path.write_text(text + "# SIG # %s %s\n" % (digest or hashlib.sha256(text.encode()).hexdigest(), signer))

    def run(self, s, node="HV01", policy="allsigned"):
        s.sync()
        f = Stage.host.run(self.path, node, "mini:w", b"", "fresh " + policy)
        return f["X"], f.get("O", "") + f.get("E", "")


@contextlib.contextmanager
def board(**policy):
    with tempfile.TemporaryDirectory() as d:
        b = Board(d, **policy).plan().approve()
        try:
            yield b
        finally:
            for folder in pathlib.Path(Stage.host.path).parent.glob("patchwave-export-*"):
                shutil.rmtree(folder)


@case("export: from an approved plan through both halves, with the restart of the tool between them, and a third time nothing")
def _():
    with board() as b:
        s = Stage()
        b.sign(b.export())
        code, said = b.run(s)
        check(code == 3010, said)
        n = s.see()["nodes"][0]
        check(n["packages"][2]["state"] == 96 and n["state"] == "paused" and n["storage_out"], "installed on an empty, paused node")
        check(len(s.did("install")) == 1 and "patchwave-export-" in s.did("install")[0], "from the closed folder")
        code, said = b.run(s)
        check(code == 3010 and "restart" in said and len(s.did("install")) == 1, "before the restart nothing is done twice: " + said)
        s.result("reboot", {"boot_id": s.result("facts")["boot_id"], "parked": PARKED})
        code, said = b.run(s)
        check(code == 0, said)
        w = s.see()
        check(w["nodes"][0]["state"] == "up" and not w["nodes"][0]["storage_out"], "in service")
        check(all(v["state"] == "running" for v in w["vms"] if v["id"] != VM5) and w["nodes"][0]["ubr"] == UBR, "VMs and build")
        log = len(w["log"])
        code, said = b.run(s)
        check(code == 0 and "before" in said and len(s.see()["log"]) == log, said)


@case("export: the script passes the static check, carries the driver's scripts byte for byte, and tells its reader what it does")
def _():
    with board() as b:
        text = b.export()
        b.sign(text)
        code, hits, _ = static(b.path, *MODULES)
        check(code == 0 and not hits, "\n".join(hits))
        carried = dict(re.findall(r"^\$files\['([^']+)'\] = @'\n(.*?)\n'@$", text, re.S | re.M))
        check({m.name for m in MODULES} | {"pause.ps1", "install.ps1", "verify.ps1", "resume.ps1"} <= set(carried) and "uninstall.ps1" not in carried, sorted(carried))
        for name, body in carried.items():
            check(body + "\n" == (DRIVER / name).read_text(), name)
        slice_ = re.search(r"^\$sliceText = @'\n(.*?)\n'@$", text, re.S | re.M).group(1)
        check(hashlib.sha256(slice_.encode()).hexdigest() == b.answer["slice_sha256"] and b.answer["slice_sha256"] in text, "digest")
        check(hashlib.sha256(text.encode()).hexdigest() == b.answer["script_sha256"] and b.answer["ticket"] == "CHG-1", b.answer)
        d = json.loads(slice_)
        check(set(d["vms"]) == {VM1, VM2, VM4} and set(d["parked"]) == set(PARKED) and d["packages"][0]["sha256"] == b.package["sha256"], d)
        for line in (r'#    1  pause', r'#    2  move_vm "vm1" \(%s\) to HV0[234]' % VM1, r'park_vm "\\u6f22\\u5b57 .*by shutdown', r'# ticket    "CHG-1"'):
            check(re.search(line, text), "the reader does not see " + line)


@case("export: every script that is given out is in the log with person, ticket and digests, what is refused is not, and a rebuild keeps it")
def _():
    with tempfile.TemporaryDirectory() as d:
        b = Board(d).plan()
        entries = lambda: [json.loads(r["event"]) for r in (json.loads(b.say("--json", "log", "--seq", e["seq"]))[0]
                                                            for e in json.loads(b.say("--json", "log", "--kind", "export")))]
        b.say("export", "--script", "HV01", code=6)
        b.approve()
        check("no such entry" in b.say("log", "--kind", "export"), "what no board approved was not given out")
        text = b.export()
        b.say("export", "--script", "HV01")
        for_file, for_pipe = entries()
        check((for_file["node"], for_file["ticket"], for_file["file"], for_file["plan"]) == ("HV01", "CHG-1", str(b.path), b.answer["plan"]), for_file)
        check(for_file["script_sha256"] == hashlib.sha256(text.encode()).hexdigest() and for_file["slice_sha256"] == b.answer["slice_sha256"], for_file)
        check(for_file["person"] and for_pipe["file"] is None and for_pipe["script_sha256"] == for_file["script_sha256"], for_pipe)
        listed = b.say("log", "--kind", "export")
        check(for_file["script_sha256"] in listed and "HV01" in listed and "CHG-1" in listed, listed)
        check("equal to what was there" in b.say("db", "rebuild") and "whole" in b.say("db", "check"), "rebuild")


@case("export: each guard that fails ends with its code and does nothing")
def _():
    with board() as b:
        b.sign(b.export())

        def refused(want, change=lambda s: None, code=20):
            s = Stage()
            change(s)
            got, said = b.run(s)
            check(got == code and want in said and s.see().get("log") is None, "%s: %s %s" % (want, got, said))
        refused("is paused", lambda s: s.node().update(state="paused"))
        refused("HV04 is down", lambda s: s.node("HV04").update(state="down"))
        refused("HV02 is paused", lambda s: s.node("HV02").update(state="paused"))
        refused("witness", lambda s: s.w["quorum"].update(witness_state="failed"))
        refused("votes", lambda s: (s.w["quorum"].update(witness="none"), s.w["nodes"].__delitem__(slice(2, 4)),
                                    s.w["csvs"].__delitem__(1), s.w["groups"][2].update(owner="HV02")))
        refused("virtual disk", lambda s: s.w["storage"]["virtual_disks"][0].update(health="warning"))
        refused("storage job", lambda s: s.w["storage"].update(jobs=[{"id": "j", "kind": "repair", "percent": 1, "bytes_total": 9}]))
        late = [{"at_ms": NOW + 20000, "do": "patch", "path": "storage/jobs", "value": [{"id": "j", "kind": "repair", "percent": 1, "bytes_total": 9}]}]
        refused("storage job", lambda s: s.w.update(later=late))
        refused("not in the plan", lambda s: s.vm(VM3).update(node="HV01"))
        refused("does not run here any more", lambda s: s.vm(VM1).update(node="HV02"))
        refused("STOPPED", lambda s: s.node().update(vmms_silent=True))
        refused("expired", lambda s: s.w.update(now_ms=4102444800000), code=22)
        (b.folder / b.package["name"]).write_bytes(b"MSWIM another")
        refused("not the approved package")
        (b.folder / b.package["name"]).unlink()
        refused("not beside")


@case("export: a group policy that lets none but signed scripts run is a guard that failed, and the sentence says so")
def _():
    with board() as b:
        b.sign(b.export())
        for policy in ("allsigned", ""):
            s = Stage()
            s.node()["group_policy"] = "AllSigned"
            code, said = b.run(s, policy=policy)
            check(code == 20 and "group policy" in said and s.see().get("log") is None, said)


@case("export: unsigned, signed by somebody else, changed after signing, changed before signing, foreign - nothing is done")
def _():
    with board() as b:
        text = b.export()

        def refused(want, body=text, **how):
            s = Stage()
            b.sign(body, **how)
            got, said = b.run(s, policy="")
            check(got == 22 and want in said and s.see().get("log") is None, "%s: %s %s" % (want, got, said))
        b.path.write_text(text)
        code, said = b.run(Stage(), policy="")
        check(code == 22 and "NotSigned" in said, said)
        code, said = b.run(Stage())
        check(code == 1 and "not digitally signed" in said, "under AllSigned PowerShell itself refuses it: " + said)
        refused("no trusted publisher", signer="FFFFFF")
        refused("HashMismatch", text.replace('"ticket": "CHG-1"', '"ticket": "CHG-2"'), digest=hashlib.sha256(text.encode()).hexdigest())
        refused("slice was altered", text.replace('"ticket": "CHG-1"', '"ticket": "CHG-2"'))
        refused("slice was altered", re.sub(r'"expires_ms": \d+', '"expires_ms": 9999999999999', text))
        refused("pause.ps1 is not the one", text.replace("Suspend-ClusterNode -Name", "Suspend-ClusterNode -Drain -Name"))
        b.sign(text)
        code, said = b.run(Stage(), node="HV02")
        check(code == 22 and "is for HV01" in said, said)


@case("export: checkpoint packages go into the closed folder beside their target, by their digests (O9)")
def _():
    with tempfile.TemporaryDirectory() as d:
        b = Board(d)
        name = "windows11.0-kb5043080-x64.msu"
        (b.folder / name).write_bytes(b"MSWIM checkpoint")
        b.plan(checkpoint=name).approve()
        b.sign(b.export())

        def tried():
            s = Stage()
            s.node()["catalog"][KB]["needs"] = [name]
            code, said = b.run(s)
            for folder in pathlib.Path(Stage.host.path).parent.glob("patchwave-export-*"):
                shutil.rmtree(folder)
            return code, said, s
        code, said, s = tried()
        check(code == 3010 and len(s.did("install")) == 1, said)
        (b.folder / name).write_bytes(b"MSWIM another")
        code, said, s = tried()
        check(code == 20 and name + " is not the approved package" in said and s.see().get("log") is None, said)


@case("export: windows and freezes hold, for as long as the node's life takes")
def _():
    def at(ms):
        return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    hour = 3600000
    for rollout, want in (({"windows": [{"from": at(NOW - hour), "to": at(NOW + 60000)}]}, "no change window"),
                          ({"freezes": [{"from": at(NOW + 60000), "to": at(NOW + 9 * hour)}]}, "a freeze"),
                          ({"windows": [{"from": at(NOW - hour), "to": at(NOW + 24 * hour)}], "freezes": [{"from": at(NOW - 9 * hour), "to": at(NOW - hour)}]}, None)):
        with tempfile.TemporaryDirectory() as d:
            b = Board(d).plan(rollout=rollout).approve()
            b.sign(b.export())
            s = Stage()
            code, said = b.run(s)
            check((code == 3010) if want is None else (code == 20 and want in said and s.see().get("log") is None), "%s: %s %s" % (want, code, said))
            for folder in pathlib.Path(Stage.host.path).parent.glob("patchwave-export-*"):
                shutil.rmtree(folder)


@case("export: two nodes that begin at once both stand back; a step that fails stops, loudly, and is not begun again")
def _():
    with board() as b:
        b.sign(b.export())
        s = Stage()
        s.w["later"] = [{"at_ms": NOW + 30000, "do": "patch", "path": "nodes/2/state", "value": "paused"}]
        code, said = b.run(s)
        check(code == 20 and "HV03 is paused" in said and s.see()["nodes"][0]["state"] == "up" and s.did("move_vm") == [], said)
        s = Stage()
        s.fault("move_vm", native="0x80071737")
        code, said = b.run(s)
        check(code == 21 and "move_vm did not succeed" in said and s.did("stop_vm") == [] and s.see()["nodes"][0]["state"] == "paused", said)
        code, said = b.run(s)
        check(code == 21 and "was begun here" in said, said)
    for fault, want in (({"verb": "move_group", "native": "0x80071398"}, "could not be moved"), ({"verb": "stop_vm", "native": "0x8007045B"}, "park_vm did not succeed")):
        with board() as b:
            b.sign(b.export())
            s = Stage()
            s.fault(**fault)
            code, said = b.run(s)
            check(code == 21 and want in said and s.did("install") == [], said)


@case("export: a node that comes back less than whole, or without the package, stays paused (O12)")
def _():
    for change, want in ((lambda n: n.update(memory_mib=262144), "memory 262144"), (lambda n: n["switches"].clear(), "virtual switches"),
                         (lambda n: n["packages"].pop(), "not proved")):
        with board() as b:
            b.sign(b.export())
            s = Stage()
            code, said = b.run(s)
            check(code == 3010, said)
            s.result("reboot", {"boot_id": s.result("facts")["boot_id"], "parked": PARKED})
            change(s.see()["nodes"][0])
            code, said = b.run(s)
            check(code == 21 and want in said and s.see()["nodes"][0]["state"] == "paused" and s.did("resume_node") == [], "%s: %s %s" % (want, code, said))


@case("export: the command refuses what no board approved, what is not planned, and names it")
def _():
    with tempfile.TemporaryDirectory() as d:
        b = Board(d).plan()
        check("approve" in b.say("export", "--script", "HV01", code=6), "unapproved")
        b.approve()
        check("HV99" in b.say("export", "--script", "HV99", code=3), "unknown node")
        check("--script" in b.say("export", code=3), "no node")
        check("nobody" in b.say("export", "--script", "HV01", "--out", d + "/nobody/x.ps1", code=3), "file")
        check(b.say("export", "--script", "HV01").startswith("Set-StrictMode"), "to standard output")
        check("outside" in b.say("export", "r", "--script", "HV02", code=6), "scope")
    with tempfile.TemporaryDirectory() as d:
        b = Board(d).plan()
        b.say("approve", "--ticket", "CHG-1", "--expires", "1ms")
        check("ran out" in b.say("export", "--script", "HV01", code=6), "expired")
    with tempfile.TemporaryDirectory() as d:
        b = Board(d, rehearse=True).plan().approve()
        check("O14" in b.say("export", "--script", "HV01", code=6), "the node that rehearses the way back")


@case("the Windows set-up text parses in the genuine engine, keeps to 5.1's syntax, and looks at everything of O27")
def _():
    with tempfile.TemporaryDirectory() as d:
        (pathlib.Path(d) / "key.pub").write_text("ssh-ed25519 AAAAtest me\n")
        path = pathlib.Path(d) / "setup.ps1"
        path.write_text(subprocess.run([str(BUILD_DIR / "orchestrator/patchwave"), "enroll", "--bootstrap", "HV07", "--key", d + "/key.pub"],
                                       capture_output=True, text=True, check=True).stdout)
        # The table lists what the driver may use; an administrator's script may use more. Its syntax may not.
        def wrong():
            return [h for h in static(path)[1] if not re.search("not in the allow table|call operator before|dynamic command name|no such parameter", h)]
        check(not wrong(), wrong())
        text = path.read_text()
        for look in ("SeNetworkLogonRight", "SeDenyNetworkLogonRight", "allowgroups", "Get-NetConnectionProfile", "StartType", "forcecommand", "authorizedkeysfile"):
            check(look in text, look)
        for line in ("$x = $true ? 1 : 2", "if ("):
            path.write_text(text + line + "\n")
            check(wrong(), "%s passes" % line)


@case("docs/windows.md has a row for every action")
def _():
    text = (HERE.parent.parent / "docs/windows.md").read_text()
    rows = "".join(re.findall(r"^\| (`[^|]*) \|", text, re.M))
    check(not [a for a in READS + EFFECTS if "`%s`" % a not in rows], "missing: %s" % [a for a in READS + EFFECTS if "`%s`" % a not in rows])


# --- the wire ---

@case("a constrained language mode is refused with its remedy before the first .NET call")
def _():
    s = Stage()
    s.sync()
    f = Stage.host.run(DRIVER / "pause.ps1", "HV01", "mini:w", b"{}", options="fresh,constrained")
    check(f["X"] == 0 and json.loads(f["O"])["error"]["code"] == "access", f)


@case("every action answers bad_request to what is not a request of the contract, and does nothing")
def _():
    good = {"contract": 1, "mode": "run", "node": "HV01", "op": "x", "limit_ms": 1000, "args": {}}
    for action in READS + EFFECTS:
        s = Stage()
        for raw in (b"", b"{", b"[]", b'"x"',                     json.dumps({**good, "action": action, "contract": 2}).encode(),
                    json.dumps({**good, "action": action, "mode": "try"}).encode(),
                    json.dumps({**good, "action": action, "limit_ms": "1"}).encode(),
                    json.dumps({**good, "action": action, "args": 1}).encode()):
            e = s.error(action, raw=raw)
            check(e["code"] == "bad_request", "%s %s: %s" % (action, raw, e))
        check(s.error(action, raw=json.dumps({**good, "action": "dance"}).encode())["code"] == "unsupported", action)
        check(s.see().get("log") is None, action + " did something")
    for action in READS:
        check(Stage().error(action, mode="witness")["code"] == "bad_request", action + " has no witness")


@case("every action with an effect answers cannot_tell when the look itself fails")
def _():
    s = Stage()
    s.node()["services"] = [x for x in s.node()["services"] if x["name"] != "vmms"]
    for action, args in (("stop_vmms", {}), ("start_vmms", {}), ("park_vm", {"vm": VM1, "method": "save"}), ("merge", {"vm": VM1})):
        check(s.witness(action, args) == "cannot_tell", action)
    s = Stage(nodes=[n for n in world()["nodes"] if n["node"] != "HV01"] + [dict(world()["nodes"][0], node="HV00")], csvs=[])
    s.w["groups"] = []
    s.w["vms"] = []
    check(s.witness("pause", {"found_ours": True}, node="HV00") == "not_done", "another node is another node")


@case("driver.json names every action of the contract, its script, and leaves servicing to itself")
def _():
    d = json.loads((DRIVER / "driver.json").read_text())
    check((d["name"], d["contract"]) == ("hyperv", 1) and sorted(set(d["actions"]) - {"probe"}) == sorted(READS + EFFECTS), sorted(d["actions"]))
    for name, a in d["actions"].items():
        check(a["argv"][0].endswith("\\powershell.exe") and a["argv"][-2:] == ["-File", name + ".ps1"] and "-NonInteractive" in a["argv"], name)
        check((a.get("on_deadline") == "leave") == (name in ("install", "uninstall", "park_vm", "reboot")), name)
        check((DRIVER / (name + ".ps1")).exists(), name)


@case("progress and diagnostics are lines of JSON on standard error")
def _():
    s = Stage()
    s.error("pause", {"found_ours": 3})
    check(s.last["E"], "the place of the error is told")


# --- the engine catches what Windows would ---

MUTATIONS = [
    ("pause", "Suspend-ClusterNode -Name", "Suspend-ClusterNode -Nmae", {"found_ours": False}, "NamedParameterNotFound"),
    ("resume", "-Failback NoFailback", "-Failback Never", {}, "CannotConvertArgument"),
    ("resume", "Resume-ClusterNode -Name (Get-NodeName)", "Resume-ClusterNode -Name (Get-NodeName) -InputObject 1 -Wait", {}, "NamedParameterNotFound"),
    ("move_vm", "-MigrationType Live -Wait $wait", "-MigrationType Warp -Wait $wait", {"vm": VM1, "to": "HV03", "method": "live"}, "CannotConvertArgument"),
    ("move_vm", "-MigrationType Live -Wait $wait", "-MigrationType Live -Wait", {"vm": VM1, "to": "HV03", "method": "live"}, "MissingArgument"),
    ("storage_out", "-ValidateVirtualDisksHealthy $true", "-ValidateVirtualDisksHealthy:'no'", {}, "CannotConvertArgument"),
    ("checkpoint", "Get-VMSnapshot -VM $Vm", "Get-VMSnapshot -VM $Vm -VMName 'x'", {"vm": VM1}, "AmbiguousParameterSet"),
    ("checkpoint", "$_.Name -eq 'patchwave'", "$_.Label -eq 'patchwave'", {"vm": VM1}, "PropertyNotFoundStrict"),
    ("storage_health", "Get-VirtualDisk)", "Get-VirtualDisks)", {}, "CommandNotFoundException"),
    ("storage_health", "$disk.HealthStatus", "$disk.Health", {}, "PropertyNotFoundStrict"),
    ("vms", "memory = (Get-MemoryOf -Vm $Vm)", "memory = $Vm.Heartbeat", {}, "cannot hold a value of type"),
    ("verify", "boot_id = (Get-BootId)", "boot_id = (Get-Date)", {"build": BUILD, "ubr": UBR, "kb": KB}, "cannot hold a value of type"),
    ("park_vm", "Stop-VM -VM $vm -Force -Confirm:$false", "Stop-VM -VM $vm -Confirm:$false", {"vm": VM4, "method": "shutdown"}, "NonInteractive"),
    ("fetch_package", "-ArgumentList $Source, 'Open'", "-Arguments $Source, 'Open'",
     {"source": "/absent/x", "name": "a.msu", "sha256": "0" * 64, "size_bytes": 1, "to": "@tmp"}, "NamedParameterNotFound"),
    ("gate_facts", "[int]$node.NodeWeight", "[int]$node.Weight", {"type": "cluster_health"}, "PropertyNotFoundStrict"),
]


@case("a misspelt parameter, an ambiguous set, a wrong enum, an absent property or an object that does not serialise fails")
def _():
    for action, old, new, args, want in MUTATIONS:
        with tempfile.TemporaryDirectory() as d:
            copy = pathlib.Path(d) / "driver"
            copy.mkdir()
            for f in DRIVER.glob("*.ps*"):
                (copy / f.name).write_text(f.read_text())
            holds = [f for f in (copy / (action + ".ps1"), *sorted(copy.glob("*.psm1"))) if old in f.read_text()]
            check(holds, "%s does not hold %s" % (action, old))
            holds[0].write_text(holds[0].read_text().replace(old, new))
            s = Stage(scripts=copy)
            if action in ("resume",):
                s.node()["state"] = "paused"
            answer = s.ask(action, {k: (d if v == "@tmp" else v) for k, v in args.items()})
            e = answer.get("error", {})
            check(want in json.dumps(e) + s.last.get("E", ""), "%s with %s gave %s" % (action, new, answer))


# --- 5.1 behaviours of the utility shims ---

def script(text):
    """What a script of one line writes."""
    with tempfile.TemporaryDirectory() as d:
        path = pathlib.Path(d) / "x.ps1"
        path.write_text(text)
        s = Stage()
        s.sync()
        f = Stage.host.run(path, "HV01", "mini:w", b"")
        return f.get("O", "").rstrip("\n"), f.get("E", "")


JSON_CASES = [
    ("json: depth", "ConvertTo-Json -InputObject @{a=@{b=@{c=@{d=1}}}}", r'{"a":{"b":{"c":"System.Collections.Hashtable"}}}'),
    ("json: enum", "ConvertTo-Json -InputObject @{s=(Get-ClusterNode -Name HV01).State}", '{"s":0}'),
    ("json: date", "ConvertTo-Json -InputObject @{d=[DateTime]'2012-01-12T00:00:00Z'}", r'{"d":"\/Date(1326326400000)\/"}'),
    ("json: escapes", "ConvertTo-Json -InputObject \"<&'>\"", r'"\u003c\u0026\u0027\u003e"'),
    ("json: one", "@(@{a=1}) | ConvertTo-Json", '{"a":1}'),
    ("json: wide", "ConvertTo-Json -InputObject ([string][char]0x6f22)", '"\u6f22"'),
    ("json: iso", "(ConvertFrom-Json -InputObject '{\"d\":\"2026-01-01T00:00:00Z\"}').d.GetType().Name", "String"),
    ("json: array", "(ConvertFrom-Json -InputObject '[1,2]' | ForEach-Object { $_.GetType().Name }) -join ','", "Object[]"),
]
NEW = ["ConvertTo-Json -InputObject 1 -AsArray", "ConvertTo-Json -InputObject 1 -EnumsAsStrings", "ConvertFrom-Json -InputObject 1 -AsHashtable",
       "Get-Date -AsUTC", "Sort-Object -Top 1", "Start-Sleep -Duration 1", "ConvertFrom-Json -InputObject 1 -Depth 3"]


@case("json: depth, enum, date, escapes, one, wide, iso, array, new parameters - as 5.1, each with its source")
def _():
    for name, text, want in JSON_CASES:
        out, err = script(text)
        check(out == want, "%s: %s %s" % (name, out, err))
    for text in NEW:
        check("NamedParameterNotFound" in script(text)[1], text + " is accepted")
    check("InvalidOperation" not in script("Start-Sleep -Seconds 1")[1] and script("Start-Sleep -Seconds 'x'")[1], "Start-Sleep")
    rows = list(csv.DictReader(open(HERE / "shims.tsv"), delimiter="\t", quoting=csv.QUOTE_NONE))
    known = {c[0] for c in JSON_CASES} | {"json: new parameters"}
    check(all(r["source"] and r["case"] in known for r in rows), "a row of shims.tsv without source or case")


# --- the static check ---

BAD = [
    "$x = $true ? 1 : 2", "$x = $null ?? 1", "$x ??= 1", "$x = ${x}?.Length", "Get-VM && Get-VM", "Get-VM &", "'a'..'c'", "$x = \"`e[0m\"", "$x = 0b101",
    "$x = 5u", "'a' -replace 'a', { 'b' }", "enum E : byte { A }", "$x = $IsWindows", "1, 2 | ForEach-Object -Parallel { 1 }",
    "ConvertFrom-Json -InputObject '{}' -AsHashtable", "Get-Date -AsUTC", "Sort-Object -Top 3", "Test-Json -Json '{}'", "gvm", "Get-VM | % { 1 }",
    "Get-ClusterNode -Na HV01", "Get-ClusterNode HV01", "$c = 'Get-VM'; & $c", "[System.IO.File]::ReadAllText('x')", "New-Object System.Net.WebClient",
    "wusa.exe /quiet", "Get-VM 2>&1", "Get-VM > x.txt", "Invoke-Expression 'x'", "$t = @{ Wiat = 1 }\nMove-ClusterVirtualMachineRole @t",
    "$x = \"$(Get-Foo)\"", "$s.GetEnumerator()", "using namespace System", "Get-VM\n  | Out-Null", "Suspend-ClusterNode -Name x -Drain",
    "Suspend-ClusterNode -Name x -ForceDrain", "$x = (Get-Date).ToString('yyyy-MM-dd')", "$x = '\u6f22'", "if (",
]
HEAD = "Set-StrictMode -Version 2.0\n$ErrorActionPreference = 'Stop'\n"


def static(*files):
    r = subprocess.run(["dotnet", PROGRAM, "--check-5.1", str(HERE / "allow.tsv"), *map(str, files)], capture_output=True, text=True)
    return r.returncode, [l for l in r.stdout.splitlines() if l.startswith("hit")], [l.split("\t") for l in r.stdout.splitlines() if l.startswith("use")]


def scripts():
    return sorted(DRIVER.glob("*.ps1")) + sorted(DRIVER.glob("*.psm1")) + sorted(DRIVER.glob("export/*.ps1"))


@case("static check: every script of the driver keeps to 5.1 and to the allow table")
def _():
    code, hits, _ = static(*scripts())
    check(code == 0 and not hits, "\n".join(hits))


@case("each script imports the modules whose functions it calls and no other, and no function has two homes")
def _():
    calls = {p: set(re.findall(r"[A-Z][A-Za-z0-9]*-[A-Za-z0-9]+", re.sub("#.*", "", p.read_text()))) for p in scripts()}
    made = {p: set(re.findall(r"^function ([\w-]+)", p.read_text(), re.M)) for p in scripts()}
    home = {f: m for m in MODULES for f in made[m]}
    check(len(home) == sum(len(made[m]) for m in MODULES), "a function is in two modules")
    for p in calls:
        check(p in MODULES or not made[p] & set(home), "%s has a function of a module: %s" % (p.name, made[p] & set(home)))
        needs = {home[f].name for f in calls[p] - made[p] if f in home} - {p.name}
        has = set(re.findall(r"Patchwave\w+\.psm1", "\n".join(l for l in p.read_text().splitlines() if l.strip().startswith("Import-Module"))))
        check(has == needs, "%s imports %s, not %s" % (p.name, sorted(has), sorted(needs)))


@case("static check: each sample of what 5.1 or the table does not allow is caught, a clean file passes")
def _():
    with tempfile.TemporaryDirectory() as d:
        paths = []
        for i, text in enumerate(BAD):
            paths.append(pathlib.Path(d) / ("bad%02d.ps1" % i))
            paths[-1].write_text(HEAD + text + "\n", encoding="utf-8")
        clean = pathlib.Path(d) / "clean.ps1"
        clean.write_text(HEAD + "$null = Get-ClusterNode -Name 'HV01'\n")
        headless = pathlib.Path(d) / "headless.ps1"
        headless.write_text("$null = Get-ClusterNode -Name 'HV01'\n")
        _, hits, _ = static(*paths, clean, headless)
        hit = {h.split("\t")[1].split(":")[0] for h in hits}
        check("clean.ps1" not in hit, "the clean file is a hit")
        check("headless.ps1" in hit, "a script without strict mode passes")
        missed = [t for p, t in zip(paths, BAD) if p.name not in hit]
        check(not missed, "not caught: %s" % missed)


@case("every row of the allow table is used, and each command row cites the surface row that has it")
def _():
    _, _, used = static(*scripts())
    used = {(u[1], u[2]) for u in used}
    surface = {(r["command"].lower(), r["parameter"].lower()): r for r in table("commands.tsv")}
    for line in (HERE / "allow.tsv").read_text().splitlines():
        if line.startswith("#"):
            continue
        kind, name, source = line.split("\t")
        check((kind, name) in used, "%s %s is allowed, but nothing uses it" % (kind, name))
        if kind != "command" or source in ("PSH about_CommonParameters",) or "(positional)" in name:
            continue
        m = re.match(r"(\S+)(?: -(\w+))?$", name)
        row = surface.get((m.group(1).lower(), (m.group(2) or "").lower()))
        check(row and source == "%s %s/%s" % (row["source"], row["module"], m.group(1)), "%s cites %s" % (name, source))


@case("docs/windows-cmdlets.md is what the scripts use now")
def _():
    check((HERE.parent.parent / "docs/windows-cmdlets.md").read_text() == cmdlets.page(PROGRAM), "run tests/powershell/cmdlets.py")


# --- the surface (O38) ---

def table(name):
    with open(HERE / "surface" / name) as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


@case("surface: the stand-ins' commands, sets and parameters are those of the table, and every command is played")
def _():
    out = subprocess.run(["dotnet", PROGRAM, "surface", str(HERE / "surface")], capture_output=True, text=True, check=True).stdout
    live, unplayed = {}, []
    for line in out.splitlines():
        f = line.split("\t")
        if f[0] == "unplayed":
            unplayed.append(f[1])
        else:
            live.setdefault(f[0], {}).setdefault(f[3], []).append(f)
    check(not unplayed, "not played: %s" % unplayed)
    core = {"Get-Command", "ForEach-Object", "Where-Object", "Out-Null", "Import-Module", "Export-ModuleMember", "Set-StrictMode"}
    rows = [r for r in table("commands.tsv") if r["command"] not in core]
    wanted = {}
    for r in rows:
        wanted.setdefault(r["command"], {}).setdefault(r["parameter"], []).append(r)
    for command, parameters in wanted.items():
        check(command in live, command + " is not there")
        process = parameters[""][0]["type"] != "-"
        have = set(live[command]) - {""} - ({"WhatIf", "Confirm"} if process else set())
        check(have == set(parameters) - {""}, "%s: %s" % (command, have ^ (set(parameters) - {""})))
        check(("WhatIf" in live[command]) == process, command + " ShouldProcess")
        for name, rs in parameters.items():
            if not name:
                continue
            sets = {r["set"] for r in rs} - {"*"}
            shown = {f[2] for f in live[command][name]}
            check(not sets or sets == shown, "%s -%s in %s, not %s" % (command, name, shown, sets))
            for r in rs:
                for f in live[command][name]:
                    if r["set"] in ("*", f[2]):
                        check((f[5] == r["mandatory"]) and (f[6] == r["position"]), "%s -%s in %s" % (command, name, f[2]))
                        if r["type"] in ("switch", "SwitchParameter", "System.Management.Automation.SwitchParameter"):
                            check(f[4] == "SwitchParameter", "%s -%s is a %s" % (command, name, f[4]))
    check(not set(live) - set(wanted) - core - engine_commands(), "commands beyond the table: %s" % (set(live) - set(wanted) - core - engine_commands()))


def engine_commands():
    """The engine's own core module, which is Windows' own too."""
    out = subprocess.run(["dotnet", PROGRAM, "core"], capture_output=True, text=True, check=True).stdout
    return set(out.split())


@case("surface: enum numbers that Microsoft publishes are those of the table; the inverted and the unequal ones stay so")
def _():
    enums = {(r["type"].rsplit(".", 1)[1], r["member"]): int(r["value"]) for r in table("types.tsv") + table("own.tsv") if r["kind"] == "enum"}
    for key, want in {("ClusterNodeState", "Paused"): 2, ("ClusterGroupState", "Online"): 0, ("ClusterResourceState", "Online"): 2,
                      ("GroupType", "VirtualMachine"): 111, ("OnOffState", "On"): 0, ("OnOffState", "Off"): 1, ("VMState", "Running"): 2,
                      ("VMState", "Saved"): 6, ("VMOperationalStatus", "BackingUpVirtualMachine"): 32776, ("VmMigrationType", "Live"): 4,
                      ("ResumeClusterNodeFailbackType", "NoFailback"): 0, ("StopAction", "Save"): 3, ("VMHeartbeatStatus", "LostCommunication"): 4,
                      ("ClusterSharedVolumeState", "Direct"): 2}.items():
        check(enums[key] == want, "%s is %s" % (key, enums[key]))


@case("surface: every row names a reference with its commit, or a probe row for what nobody published")
def _():
    keys = {r["key"]: r for r in table("sources.tsv")}
    check(all(re.fullmatch("[0-9a-f]{40}", r["commit"]) for r in keys.values()), "commits")
    check(all(r["source"] in keys for r in table("commands.tsv") + table("types.tsv")), "sources")
    probes = {p["id"] for p in json.loads((DRIVER / "probe.json").read_text())["probes"]}
    for r in table("own.tsv"):
        check(r["source"] in keys or r["source"].startswith("own:") and r["source"][4:] in probes, "%s: %s" % (r["type"], r["source"]))


# --- probe (O30) ---

def citing():
    """Every source of the product: the driver, the agent, the controller with its set-up texts."""
    root = HERE.parent.parent
    return [f for top in ("agent", "orchestrator", "schema") for kind in ("*.c", "*.h", "*.ps1", "*.psm1", "*.sh") for f in sorted((root / top).rglob(kind))]


def faults_of_citations(texts, rows):
    """What O30 forbids: a fact cited as unverified without a row, a row that nothing cites."""
    cited = {c for t in texts for c in re.findall(r"probe:([a-z0-9-]+)", t)}
    own = {r["source"][4:] for r in table("own.tsv") if r["source"].startswith("own:")}
    return ["%s is cited without a row" % c for c in sorted(cited - set(rows))] + ["nothing cites %s" % r for r in sorted(set(rows) - cited - own)]


@case("probe: a fact cited without a row, a row that went, and a row that nothing cites are each found")
def _():
    rows = {p["id"] for p in json.loads((DRIVER / "probe.json").read_text())["probes"]}
    texts = [f.read_text() for f in citing()]
    check(faults_of_citations(texts + ["# as Windows does (probe:no-such-fact)"], rows) == ["no-such-fact is cited without a row"], "a citation without a row passes")
    check(faults_of_citations(texts, rows | {"nobodys"}) == ["nothing cites nobodys"], "a row without a citation passes")
    for gone in sorted(rows):
        found = faults_of_citations(texts, rows - {gone})
        check(found == ["%s is cited without a row" % gone] or gone in {r["source"][4:] for r in table("own.tsv")}, "%s may go unseen: %s" % (gone, found))


@case("probe: every fact that a source cites as unverified has a row, each row is used, and the script answers them all")
def _():
    rows = {p["id"]: p for p in json.loads((DRIVER / "probe.json").read_text())["probes"]}
    faults = faults_of_citations([f.read_text() for f in citing()], rows)
    check(not faults, faults)
    for p in rows.values():
        check(all(p.get(k) for k in ("expected", "observed_by", "used_by", "mark")), p)
        check(p["mark"] in ("own", "e", "derived"), p)
    s = Stage()
    s.node()["logs"] = ["System", "Microsoft-Windows-Hyper-V-VMMS-Admin"]
    s.sync()
    f = Stage.host.run(DRIVER / "probe.ps1", "HV01", "mini:w", b"")
    check(f["X"] == 0, f.get("E"))
    seen = {p["id"]: p for p in json.loads(f["O"])["probe"]}
    check(set(seen) == set(rows), "answered: %s" % (set(seen) ^ set(rows)))
    wrong = [p for p in seen.values() if p["error"] is not None]
    check(not wrong, str(wrong))
    # What only an effect or the set-up shows is not looked at, and says so; everything else is.
    later = {i for i, p in rows.items() if re.match("only a |the looks of|the set-up of", p["observed_by"])}
    check({i for i, p in seen.items() if p["observed"] is None} == later, sorted({i for i, p in seen.items() if p["observed"] is None} ^ later))
    for look, want in (("event-errors", ["NoMatchingEventsFound", "NoMatchingLogsFound"]), ("vm-resource", [4, 4, 2, 2, 4]), ("machine-guid", s.node()["machine_id"]),
                       ("resource-types", "File Share Witness"), ("balancer-mode", [2, 1]), ("time-source", ["NTP", "127.1.0.250,0x8"]), ("heartbeat", ["6", "6", "6"]),
                       ("storage-maintenance", ["HV01"] + ["OK"] * 4), ("event-channels", None), ("vss-writers", None)):
        got = seen[look]["observed"]
        ids = [g.split(",")[0] for g in got] if look == "event-errors" else got
        check(want is None or ids == want, "%s: %s" % (look, got))
    check(seen["vss-writers"]["observed"][:2] == [4, 1], seen["vss-writers"])
    check("no package" in seen["msu-signature"]["observed"], seen["msu-signature"])
    absent = [c for c in seen["event-channels"]["observed"] if "NoMatchingLogsFound" in c]
    check(len(seen["event-channels"]["observed"]) == 6 and len(absent) == 4, seen["event-channels"])
    check(s.see().get("log") is None, "probe changed something")


@case("patchwave-agent probe: the report to send home has the agent's own looks and every row of the driver, and nothing is changed by it")
def _():
    rows = {p["id"] for p in json.loads((DRIVER / "probe.json").read_text())["probes"]}
    with tempfile.TemporaryDirectory() as d:
        s = Stage()
        s.sync()
        subprocess.run([HERE / "mkdriver.sh", d + "/hyperv", BUILD_DIR / "tests/powershell/psrun", Stage.host.path, "mini:w"], check=True)
        pathlib.Path(d + "/agent.json").write_text(json.dumps({"node": "HV01", "state_dir": d + "/state", "socket": d + "/agent.sock", "driver": d + "/hyperv"}))
        os.makedirs(d + "/state/packages/" + "0" * 64, 0o700)
        os.chmod(d + "/state", 0o700)
        for end in ("", ".lock", ".part"):
            package(d + "/state/packages/" + "0" * 64, name="windows11.0-kb5061977-x64.msu" + end)
        r = subprocess.run([BUILD_DIR / "agent/patchwave-agent", "probe", "--json", "--config", d + "/agent.json"], capture_output=True, text=True, timeout=300)
        report = json.loads(r.stdout)
        seen = {row["id"]: row for row in report["rows"]}
        check(rows <= set(seen) and {"state-folder", "driver-folder", "driver-actions", "facts", "time-answer", "service"} <= set(seen), sorted(rows - set(seen)))
        check(seen["driver-actions"]["ok"] and seen["facts"]["observed"] == json.dumps(s.node()["machine_id"]), seen["facts"])
        check("kb5061977-x64.msu Valid CN=Microsoft Corporation" in seen["msu-signature"]["observed"], seen["msu-signature"])
        check(seen["msu-signature"]["observed"].count(".msu") == 1, "what is no package yet has no signature: %s" % seen["msu-signature"])
        check(report["rows"][0]["id"] == "account" and ("uid %d" % os.geteuid()) in seen["account"]["observed"] and (seen["account"]["ok"] or os.geteuid()), seen["account"])
        check(not seen["service"]["ok"] and r.returncode == 1, "no service runs here, and that is told")
        check(json.loads(seen["vss-writers"]["observed"])[1] == 1 and "127.1.0.250:123" in seen["time-answer"]["observed"], seen["time-answer"])
        check(s.see().get("log") is None, "probe changed something")


@case("every command and parameter that the scripts bound in these cases is one that the static check saw")
def _():
    bound = {tuple(l.split("\t")) for l in Stage.host.ask("USED")["O"].splitlines() if l}
    _, _, used = static(*scripts())
    names = {u[2] for u in used if u[1] == "command"}
    commands = {n.split(" ")[0].lower() for n in names}
    shims = {"ConvertTo-Json"}
    check(not {c for c, _ in bound if c.lower() not in commands and c not in shims}, "bound beyond the static check")
    core = {"get-command", "foreach-object", "where-object", "out-null", "import-module", "export-modulemember", "set-strictmode"}
    never = {n.lower() for n in names} - {b[0].lower() for b in bound} - {(b[0] + " -" + b[1]).lower() for b in bound}
    check(not {n for n in never if n.split(" ")[0] not in core and "(positional)" not in n}, "no case runs: %s" % sorted(never))


def ends_of(text):
    """Of a long text its beginning and its end: what failed is mostly said last."""
    return text if len(text) <= 3000 else text[:1000] + "\n...\n" + text[-2000:]


def main():
    chosen = [c for c in CASES if len(sys.argv) < 3 or any(word in c[0] for word in sys.argv[2:])]
    print("1..%d" % len(chosen), flush=True)
    bad = 0
    with tempfile.TemporaryDirectory() as d:
        Stage.host = Host(PROGRAM, str(HERE / "surface"), d + "/pshost.sock")
        try:
            for i, (name, f) in enumerate(chosen, 1):
                try:
                    f()
                    print("ok %d - %s" % (i, name), flush=True)
                except (Failed, KeyError, ValueError, TypeError, StopIteration, subprocess.CalledProcessError) as e:
                    bad += 1
                    print("not ok %d - %s\n# %s: %s" % (i, name, type(e).__name__, ends_of(str(e)).replace("\n", "\n# ")), flush=True)
        finally:
            Stage.host.close()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
