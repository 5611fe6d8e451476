"""The suite's world: one S2D cluster of four nodes as the stand-ins' own world has it (pshost/World.cs)."""
import copy

NOW = 1764000000000
MIB = 1
KB, BUILD, UBR = "KB5061977", 26100, 4066


def rollup(ubr):
    return "Package_for_RollupFix~31bf3856ad364e35~amd64~~%d.%d.1.0" % (BUILD, ubr)


def vm(n, node, **more):
    v = {"id": "0000000%d-aaaa-bbbb-cccc-00000000000%d" % (n, n), "name": "vm%d" % n, "node": node, "state": "running",
         "clustered": True, "memory": {"assigned_mib": 4096, "startup_mib": 2048, "maximum_mib": 8192, "dynamic": True},
         "cpus": 2, "heartbeat": "ok", "busy": None, "version": "12.0", "switches": ["vSwitch1"], "iso": None,
         "key_protector": None, "cpu_compat": True, "dda": False, "gpu": False, "stop_action": "save",
         "start_action": "start_if_running", "uptime_ms": 3600000, "replication": False, "checkpoints": [],
         "drives": [{"path": "C:\\ClusterStorage\\Volume1\\vm%d.vhdx" % n, "shared": False, "disk": None}]}
    v.update(more)
    return v


def group(n, v=None, kind="vm", owner=None, **more):
    g = {"id": "9000000%d-0000-0000-0000-000000000000" % n, "name": (v["name"] if v else kind), "type": kind,
         "state": "online", "owner": owner or v["node"], "vm": v["id"] if v else None, "wanted_online": True,
         "locked": False, "priority": 2000, "anti_affinity": [], "preferred_owners": [], "possible_owners": [],
         "auto_failback": False}
    g.update(more)
    return g


def service(name, state=4, start=2, needs=()):
    return {"name": name, "display": name + " \u8868\u793a\u540d", "state": state, "start": start, "needs": list(needs)}


def node(name):
    return {"node": name, "node_id": name[-1], "state": "up", "drain": "not_initiated", "vote": 1, "dynamic_vote": 1,
            "fault_domain": "rack1", "machine_id": "1c2d3e4f-0000-0000-0000-00000000000" + name[-1], "model": "DL380",
            "manufacturer": "HPE", "firmware": "U46 2.10", "bmc": "10.0.0." + name[-1], "memory_mib": 524288,
            "host_reserve_mib": 16384, "cpus": 64, "free_disk_bytes": 400000000000, "build": BUILD, "ubr": 4061,
            "caption": "Windows Server 2025 Datacenter", "product_type": 3, "boot_ms": NOW - 86400000, "servicing": "idle",
            "packages": [{"identity": rollup(1742), "ubr": 1742, "state": 80, "permanent": False},
                         {"identity": rollup(4061), "ubr": 4061, "state": 112, "permanent": False}],
            "hotfixes": [{"id": "KB5058411", "installed_on": None}], "marks": [], "vbs": 2, "tpm": True,
            "services": [service("vmms"), service("ClusSvc"), service("w32time"), service("TrustedInstaller", 1, 3),
                         service("VeeamTransportSvc"), service("VeeamHvIntegrationSvc", 1, 3), service("hvmon", 4, 2, ["vmms"])],
            "switches": ["vSwitch1"], "interfaces": [{"name": "Cluster 1", "state": "up"}, {"name": "Cluster 2", "state": "up"}],
            "bitlocker": {"state": "off", "protectors": []}, "publishers": ["A1B2C3"], "time_type": "NTP", "ntp": "127.1.0.250,0x8",
            "catalog": {KB: {"build": BUILD, "ubr": UBR}}, "storage_out": False, "disks": 4, "storage_paths": 5,
            "writers": [{"id": "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de", "state": 1}], "events": [], "processes": []}


def world():
    vms = [vm(1, "HV01"), vm(2, "HV01", name="\u6f22\u5b57 \"quoted\" <&'>"), vm(3, "HV02"),
           vm(4, "HV01", clustered=False, drives=[{"path": "D:\\local.vhdx", "shared": False, "disk": None}]),
           vm(5, "HV02", name="vm1", state="off", heartbeat=None)]
    pinned = group(2, vms[1], possible_owners=["HV01"], name="vm2 role")
    return copy.deepcopy({
        "now_ms": NOW, "cluster": "clu-a", "nodes": [node("HV0%d" % i) for i in range(1, 5)], "vms": vms,
        "groups": [group(1, vms[0]), pinned, group(3, vms[2]), group(5, vms[4], name="vm1 (2)", state="offline", wanted_online=False),
                   group(8, kind="cluster", owner="HV01", name="Cluster Group"),
                   group(9, kind="available_storage", owner="HV02", name="Available Storage", state="offline", wanted_online=False)],
        "csvs": [{"id": "csv1", "name": "Cluster Virtual Disk (v1)", "owner": "HV01", "state": "direct"},
                 {"id": "csv2", "name": "Cluster Virtual Disk (v2)", "owner": "HV03", "state": "direct"}],
        "quorum": {"witness": "share", "witness_state": "online", "witness_vote": 1}, "resources": [],
        "networks": [{"name": "Cluster Network 1", "state": "up"}],
        "properties": {"max_parallel_migrations": 1, "migration_bandwidth_mib_s": 1100, "auto_balancer_mode": 2,
                       "move_type_threshold": 2000, "enforced_anti_affinity": False, "quarantine_threshold": 3},
        "storage": {"s2d": True, "rack_aware": False, "virtual_disks": [{"id": "vd1", "name": "v1", "health": "healthy"}],
                    "jobs": []},
        "faults": [], "later": [], "checkpoints": 0})
