// hvlab's world, asked over its driver socket (examples/lab/WORLD.md): world.get for what a node sees, world.call for cmdlets.
//
// The fleet's time is compressed, the engine's computing time is not. So the clock of a job stands still while its script
// computes and moves when the world is waited for: else each millisecond of this process would count a second of the fleet.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading;

namespace Pshost
{
    public sealed class HvlabWorld : IWorld, IDisposable
    {
        readonly string path, node;
        readonly CancellationToken cancelled;
        Socket socket;
        StreamReader reader;
        long id, clock = -1, factor = 1;
        JsonObject seen; // the view at `clock`: while time stands still nothing changes but by our own doing

        public HvlabWorld(string path, string node, CancellationToken cancelled) => (this.path, this.node, this.cancelled) = (path, node, cancelled);

        public void Dispose() => socket?.Dispose();

        // JSON-RPC, one line each way

        JsonNode Ask(string method, JsonObject parameters)
        {
            if (socket == null)
            {
                socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                socket.Connect(new UnixDomainSocketEndPoint(path));
                reader = new StreamReader(new NetworkStream(socket), Encoding.UTF8);
            }
            parameters["node"] = node;
            var request = new JsonObject { ["jsonrpc"] = "2.0", ["id"] = ++id, ["method"] = method, ["params"] = parameters };
            socket.Send(Encoding.ASCII.GetBytes(request.ToJsonString() + "\n"));
            JsonNode answer = JsonNode.Parse(reader.ReadLine() ?? throw new IOException("hvlab hung up"));
            if (answer["error"] is not JsonObject e)
                return answer["result"];
            string message = e.S("message");
            if (message.EndsWith(" is off", StringComparison.Ordinal))
                throw new NodeIsOff();
            int at = message.IndexOf("0x", StringComparison.Ordinal);
            throw new WorldError("OperationFailed", at >= 0 ? message.Substring(at, 10) : null, message);
        }

        JsonArray Get(string kind, params (string, JsonNode)[] more)
        {
            var p = new JsonObject { ["kind"] = kind };
            foreach ((string name, JsonNode value) in more)
                p[name] = value;
            return (JsonArray)Ask("world.get", p);
        }

        JsonObject Machine() => (JsonObject)Get("machine")[0];

        /// <summary>What fails when a service does not answer is empty; the cmdlets say the rest by the services' states.</summary>
        JsonArray GetOrEmpty(string kind, params (string, JsonNode)[] more)
        {
            try
            {
                return Get(kind, more);
            }
            catch (WorldError)
            {
                return new JsonArray();
            }
        }

        // Time

        long Read()
        {
            JsonObject m = Machine();
            factor = Math.Max(1, m.N("Factor", 1));
            seen = null;
            return clock = Math.Max(clock, m.N("NowMs") - m.N("ClockErrorMs"));
        }

        public long NowMs(string name) => clock < 0 ? Read() : clock;

        public void Sleep(string name, long ms)
        {
            long until = NowMs(name) + ms;
            while (Read() < until)
                Nap(until - clock);
        }

        void Nap(long fleetMs)
        {
            if (cancelled.WaitHandle.WaitOne((int)Math.Clamp(fleetMs / factor, 1, 50)))
                throw new OperationCanceledException();
        }

        /// <summary>Waits as the real command would for the end of what it began.</summary>
        void Wait(Func<bool> ended, long limitMs = long.MaxValue / 4)
        {
            long until = NowMs(node) + limitMs;
            while (!ended() && Read() < until)
                Nap(500);
            Read();
        }

        /// <summary>The lab's packages are not real ones; what every file is stands in PSHOST_PACKAGE, by default the founding case.</summary>
        public JsonObject Catalog(string name, string file)
        {
            string note = Environment.GetEnvironmentVariable("PSHOST_PACKAGE");
            return note == null ? new JsonObject { ["kb"] = "KB5061977", ["build"] = 26100, ["ubr"] = 4066 } : (JsonObject)JsonNode.Parse(note);
        }

        // The view

        static readonly Dictionary<long, string> NodeStates = new() { [0] = "up", [1] = "down", [2] = "paused", [3] = "joining" };
        static readonly Dictionary<long, string> GroupStates = new() { [0] = "online", [1] = "offline", [2] = "failed", [4] = "pending" };
        static readonly Dictionary<long, string> GroupTypes = new() { [1] = "cluster", [2] = "available_storage", [5] = "pool", [122] = "file_server" };

        public JsonObject View(string name) => seen ??= Look();

        JsonObject Look()
        {
            JsonObject m = Machine(), view = new();
            JsonArray services = Get("services");
            Facts(view, m, services);
            JsonArray nodes = GetOrEmpty("nodes");
            if (nodes.Count > 0)
                ClusterView(view, m, nodes);
            else
            {
                view["nodes"] = view["groups"] = view["csvs"] = null;
                view["properties"] = new JsonObject();
                view["storage"] = new JsonObject();
                view["quorum"] = new JsonObject();
            }
            view["all_vms"] = new JsonArray(GetOrEmpty("vms").Select(v => Vm((JsonObject)v.DeepClone())).ToArray<JsonNode>());
            foreach (JsonNode snapshot in GetOrEmpty("snapshots"))
                if (view.Each("all_vms").FirstOrDefault(v => v.S("id") == snapshot.S("VmId")) is JsonObject owner)
                    ((JsonArray)owner["checkpoints"]).Add(new JsonObject { ["id"] = snapshot.S("Id"), ["name"] = "patchwave", ["at_ms"] = 0 });
            view["workers"] = new JsonArray(Get("processes").Select(p => (JsonNode)p.S("VmId")).ToArray());
            view["events"] = new JsonArray(Get("events").Select((e, i) => Event(e, i)).ToArray<JsonNode>());
            return view;
        }

        void Facts(JsonObject view, JsonObject m, JsonArray services)
        {
            var marks = new JsonArray();
            foreach ((string flag, string mark) in new[] { ("RebootPending", "RebootPending"), ("PackagesPending", "PackagesPending"),
                ("PendingXml", "pending.xml"), ("RebootRequired", "RebootRequired") })
                if (m.B(flag))
                    marks.Add(mark);
            foreach ((string name, JsonNode value) in new (string, JsonNode)[]
            {
                ("node", m.S("Name")), ("now_ms", NowMs(node)), ("machine_id", m.S("MachineId")), ("boot_ms", m.N("BootMs")),
                ("boot_id", m.S("BootId")), ("model", m.S("Model")), ("firmware", m.S("Firmware")), ("bmc", m.S("Bmc")), ("memory_mib", m.N("MemoryMiB")),
                ("host_reserve_mib", m.N("HostReserveMiB")), ("cpus", m.N("Cpus")), ("free_disk_bytes", m.N("FreeDiskBytes")),
                ("build", m.N("Build")), ("ubr", m.N("Ubr")), ("caption", "Windows Server 2025 Datacenter"), ("product_type", 3), ("marks", marks),
                ("servicing", m.B("ServicingIdle") ? "idle" : "install"), ("vbs", 2), ("tpm", true), ("switches", new JsonArray("vSwitch1")),
                ("time_type", "NTP"), ("ntp", m.S("SntpAddress") + ":" + m.N("SntpPort") + ",0x8"), ("storage_paths", m.N("StoragePaths", 4)),
                ("disks", 8), ("processes", new JsonArray()), ("cluster", m.S("Cluster")),
                ("bitlocker", new JsonObject { ["state"] = "off", ["protectors"] = new JsonArray() }),
            })
                view[name] = value;
            view["services"] = new JsonArray(services.Select(s => new JsonObject
            {
                ["name"] = s.S("Name") == "clussvc" ? "ClusSvc" : s.S("Name"), ["state"] = s.N("Status"), ["start"] = s.N("StartType"),
                ["needs"] = new JsonArray(),
            }).ToArray<JsonNode>());
            JsonNode vmms = services.First(s => s.S("Name") == "vmms");
            view["vmms_silent"] = !vmms.B("Answers");
            // The Hyper-V writer lives in vmms.
            view["writers"] = vmms.B("Answers") ? new JsonArray(new JsonObject { ["id"] = "66841cd4-6ded-4f4b-8f17-fd23f8ddc3de", ["state"] = 1 }) : new JsonArray();
            var packages = new JsonArray(Get("packages").Select(p => new JsonObject
            {
                ["identity"] = p.S("PackageName"), ["ubr"] = p.N("Ubr"), ["state"] = p.N("CurrentState"), ["permanent"] = p.B("Permanent"), ["kb"] = p.S("Kb"),
            }).ToArray<JsonNode>());
            view["packages"] = packages;
            JsonObject top = packages.OfType<JsonObject>().Where(p => p.N("state") == 112).OrderByDescending(p => p.N("ubr")).FirstOrDefault();
            view["hotfixes"] = top == null ? new JsonArray() : new JsonArray(new JsonObject { ["id"] = top.S("kb"), ["installed_on"] = null });
            view["interfaces"] = new JsonArray(new[] { "Cluster 1", "Cluster 2", "Live Migration", "Management" }.Select(n => new JsonObject
            { ["name"] = n, ["state"] = n == "Cluster 2" && m.B("InterfaceDown") ? "failed" : "up" }).ToArray<JsonNode>());
        }

        void ClusterView(JsonObject view, JsonObject m, JsonArray nodes)
        {
            JsonObject c = (JsonObject)Get("cluster")[0];
            view["nodes"] = new JsonArray(nodes.Select(n => new JsonObject
            {
                ["node"] = n.S("Name"), ["state"] = NodeStates.GetValueOrDefault(n.N("State"), "unknown"),
                ["drain"] = n.N("DrainStatus") == 2 ? "completed" : "not_initiated", ["vote"] = n.N("NodeWeight"),
                ["dynamic_vote"] = n.N("DynamicWeight"), ["fault_domain"] = n.S("FaultDomain"), ["storage_out"] = n.B("StorageMaintenance"), ["disks"] = 8,
            }).ToArray<JsonNode>());
            var groups = new JsonArray();
            var csvs = new JsonArray();
            foreach (JsonNode g in Get("groups"))
                if (g.N("GroupType") == 4)
                    csvs.Add(new JsonObject
                    {
                        ["id"] = g.S("Id"), ["name"] = g.S("Name"), ["owner"] = g.S("OwnerNode"),
                        ["state"] = g.N("State") == 2 ? "paused" : g.B("Redirected") ? "redirected" : "direct",
                        ["resource_state"] = g.N("State") == 2 || c.B("Lost") ? "failed" : "online", ["pending"] = g.N("State") == 4,
                    });
                else
                    groups.Add(new JsonObject
                    {
                        ["id"] = g.S("Id"), ["name"] = g.S("Name"), ["owner"] = g.S("OwnerNode"), ["type"] = GroupTypes[g.N("GroupType")],
                        ["state"] = GroupStates[g.N("State")], ["wanted_online"] = g.N("GroupType") != 2,
                    });
            foreach (JsonNode r in Get("roles"))
                groups.Add(new JsonObject
                {
                    ["id"] = r.S("Id"), ["name"] = r.S("Name"), ["owner"] = r.S("OwnerNode"), ["type"] = "vm", ["vm"] = r.S("VmId"),
                    ["state"] = GroupStates[r.N("State")], ["priority"] = r.N("Priority"), ["locked"] = r.B("Locked"),
                    ["wanted_online"] = r.B("PersistentState"), ["auto_failback"] = r.B("AutoFailback"),
                    ["possible_owners"] = r["PossibleOwners"].DeepClone(), ["preferred_owners"] = r["PreferredOwners"].DeepClone(),
                    ["anti_affinity"] = r["AntiAffinityClassNames"].DeepClone(),
                });
            if (c.B("CauActive"))
                groups.Add(new JsonObject { ["id"] = "cau", ["name"] = "CAU", ["owner"] = nodes[0].S("Name"), ["type"] = "cau", ["state"] = "online", ["locked"] = true });
            view["groups"] = groups;
            view["csvs"] = csvs;
            view["quorum"] = new JsonObject { ["witness"] = c.S("Witness"), ["witness_state"] = c.S("WitnessState"), ["witness_vote"] = c.N("WitnessDynamicWeight") };
            view["properties"] = new JsonObject
            {
                ["max_parallel_migrations"] = c.N("MaximumParallelMigrations"), ["migration_bandwidth_mib_s"] = c.N("MigrationBandwidthMiB"),
                ["auto_balancer_mode"] = c.N("AutoBalancerMode"), ["move_type_threshold"] = c.N("MoveTypeThreshold"),
                ["enforced_anti_affinity"] = c.N("ClusterEnforcedAntiAffinity") == 1, ["quarantine_threshold"] = c.N("QuarantineThreshold"),
            };
            view["networks"] = new JsonArray(new JsonObject { ["name"] = "Cluster Network 1", ["state"] = "up" });
            view["storage"] = new JsonObject
            {
                ["s2d"] = c.B("S2DEnabled"), ["rack_aware"] = c.B("RackAware"),
                ["virtual_disks"] = new JsonArray(Get("disks").Select(d => new JsonObject
                { ["id"] = d.S("ObjectId"), ["name"] = d.S("FriendlyName"), ["health"] = d.S("HealthStatus").ToLowerInvariant() }).ToArray<JsonNode>()),
                ["jobs"] = new JsonArray(Get("jobs").Select((j, i) => new JsonObject
                { ["id"] = "job" + i, ["kind"] = j.S("Name").ToLowerInvariant(), ["state"] = "running", ["percent"] = j.N("PercentComplete"), ["bytes_total"] = j.N("BytesTotal") }).ToArray<JsonNode>()),
            };
        }

        /// <summary>Flags of the lab's VM as the disks and devices that Windows would show.</summary>
        static JsonObject Vm(JsonObject v)
        {
            var drives = new JsonArray(new JsonObject
            { ["path"] = (v.B("local_disk") ? @"D:\VMs\" : @"C:\ClusterStorage\Volume1\") + v.S("id") + ".vhdx", ["shared"] = v.B("shared_disk"), ["disk"] = null });
            if (v.B("passthrough"))
                drives.Add(new JsonObject { ["path"] = "", ["shared"] = false, ["disk"] = 3 });
            v["drives"] = drives;
            v["stop_action"] = v.S("stop_action") switch { "shutdown" or "shut_down" => "shut_down", "turn_off" => "turn_off", _ => "save" };
            v["checkpoints"] = new JsonArray();
            return v;
        }

        static JsonObject Event(JsonNode e, int i)
        {
            string one = e.S("Param1") ?? "", two = e.S("Param2") ?? "";
            JsonArray values = e.N("Id") switch
            {
                7036 => two == "" ? new JsonArray(one, "x") : new JsonArray(one, "x", new JsonObject { ["utf16"] = one + "/" + two }),
                20415 or 20417 => new JsonArray("vm", one.ToUpperInvariant(), "target", two),
                18500 => new JsonArray("vm", one.ToUpperInvariant()),
                _ => new JsonArray(one, two),
            };
            return new JsonObject
            {
                ["log"] = e.S("LogName"), ["provider"] = e.S("ProviderName"), ["id"] = e.N("Id"), ["level"] = e.N("Level"), ["at_ms"] = e.N("TimeMs"),
                ["record"] = i + 1, ["values"] = values,
            };
        }

        // Verbs

        JsonObject Call(string verb, params (string, JsonNode)[] more)
        {
            seen = null;
            var p = new JsonObject { ["verb"] = verb };
            foreach ((string name, JsonNode value) in more)
                p[name] = value;
            JsonObject answer = (JsonObject)Ask("world.call", p);
            if (answer.N("code") < 0)
                throw new WorldError("OperationFailed", Native(answer.S("native")), answer.S("message"));
            return answer;
        }

        /// <summary>The lab tells HRESULTs as such and Win32 codes and event numbers in decimal.</summary>
        static string Native(string text) => string.IsNullOrEmpty(text) ? null : text.StartsWith("0x") ? text :
            "0x" + (0x80070000u | uint.Parse(text)).ToString("x8");

        string NodeState(string name) => NodeStates[Get("nodes").First(n => n.S("Name") == name).N("State")];
        JsonNode Role(string vm) => Get("roles").First(r => r.S("VmId") == vm);
        string VmState(string vm) => Get("vms").FirstOrDefault(v => v.S("id") == vm)?.S("state");
        JsonNode Group(string id) => Get("groups").FirstOrDefault(g => g.S("Id") == id);

        public JsonObject Do(string name, string verb, JsonObject a)
        {
            var ok = new JsonObject();
            switch (verb)
            {
                case "suspend_node": Call("Suspend-ClusterNode"); Wait(() => NodeState(node) == "paused", 60000); break;
                case "resume_node": Call("Resume-ClusterNode"); Wait(() => NodeState(node) == "up", 60000); break;
                case "move_vm": MoveVm(a); break;
                case "move_group": MoveGroup("Move-ClusterGroup", a); break;
                case "move_csv": MoveGroup("Move-ClusterSharedVolume", a); break;
                case "stop_group": StopVm(Get("roles").First(r => r.S("Id") == a.S("id")).S("VmId"), "save"); break;
                case "start_group": StartVm(Get("roles").First(r => r.S("Id") == a.S("id")).S("VmId")); break;
                case "start_vm": StartVm(a.S("vm")); break;
                case "stop_vm": StopVm(a.S("vm"), a.S("how")); break;
                case "checkpoint": Call("Checkpoint-VM", ("vm", a.S("vm"))); Wait(() => Get("vms").First(v => v.S("id") == a.S("vm")).S("busy") != "checkpoint"); break;
                case "remove_checkpoint": Call("Remove-VMSnapshot", ("vm", a.S("vm"))); Read(); break;
                case "stop_service": Service(a.S("name"), "Stop-Service", 1, a.B("nowait")); break;
                case "start_service": Service(a.S("name"), "Start-Service", 4); break;
                case "install": return Servicing("Add-WindowsPackage", a.S("tool"), ("kb", a.S("kb")), ("build", a.N("build")), ("ubr", a.N("ubr")), ("tool", a.S("tool")));
                case "remove": return Remove(a.S("identity"));
                case "reboot": Call("Restart-Computer"); return new JsonObject { ["exit"] = 0 };
                case "storage_out": Call("Enable-StorageMaintenanceMode"); Wait(() => Out(), 600000); break;
                case "storage_in": Call("Disable-StorageMaintenanceMode"); Wait(() => !Out(), 600000); break;
                case "set_property": Call("Set-Cluster", ("name", PropertyNames[a.S("name")]), ("value", a.N("value"))); break;
                default: throw new NotSupportedException("hvlab does not play " + verb);
            }
            return ok;
        }

        static readonly Dictionary<string, string> PropertyNames = new()
        { ["auto_balancer_mode"] = "AutoBalancerMode", ["move_type_threshold"] = "MoveTypeThreshold", ["max_parallel_migrations"] = "MaximumParallelMigrations" };

        bool Out() => Get("nodes").First(n => n.S("Name") == node).B("StorageMaintenance");

        void MoveVm(JsonObject a)
        {
            string vm = a.S("vm");
            long before = Get("moves", ("vm", vm))[0].N("Finished");
            Call("Move-ClusterVirtualMachineRole", ("vm", vm), ("to", a.S("to")), ("type", a.S("how") == "quick" ? "Quick" : "Live"));
            if (a.N("wait", -1) == 0)
            {
                Read();
                return;
            }
            Wait(() => Get("moves", ("vm", vm))[0].N("Finished") != before, a.N("wait", -1) < 0 ? long.MaxValue / 4 : a.N("wait") * 1000);
            string error = Get("moves", ("vm", vm))[0].S("Error");
            if (!string.IsNullOrEmpty(error))
                throw new WorldError("OperationFailed", Native(error), "Live migration of the virtual machine failed.");
        }

        void MoveGroup(string verb, JsonObject a)
        {
            string id = a.S("id"), to = a.S("to");
            Call(verb, ("group", id), ("to", to));
            // An offline role goes at once; the others are pending for a while.
            Wait(() => Group(id) is not JsonNode g || (g.S("OwnerNode") == to && g.N("State") != 4), 300000);
        }

        void StopVm(string vm, string how)
        {
            // A role that is not running is only no longer wanted online.
            if (VmState(vm) is string state && state is "off" or "saved")
                return;
            Call("Stop-VM", ("vm", vm), ("how", how), ("at_ms", NowMs(node)));
            Wait(() => VmState(vm) is "off" or "saved" or null, 600000);
        }

        void StartVm(string vm)
        {
            Call("Start-VM", ("vm", vm));
            Wait(() => VmState(vm) is "running" or null, 600000);
        }

        void Service(string service, string verb, long state, bool nowait = false)
        {
            if (service != "vmms")
                throw new WorldError("CouldNotStopService", "0x8007041b", "hvlab has no verb for the service " + service);
            Call(verb);
            if (nowait)
                Read();
            else
                Wait(() => Get("services").First(s => s.S("Name") == "vmms").N("Status") == state, 120000);
        }

        JsonObject Remove(string identity)
        {
            JsonNode p = Get("packages").FirstOrDefault(x => x.S("PackageName") == identity);
            return p == null ? new JsonObject { ["exit"] = 0x800F0805L } : Servicing("Remove-WindowsPackage", "dism", ("kb", p.S("Kb")), ("ubr", p.N("Ubr")));
        }

        /// <summary>A program that services: its refusals are exit codes, and it ends when the servicing does.</summary>
        JsonObject Servicing(string verb, string tool, params (string, JsonNode)[] more)
        {
            long before = Machine().N("Servicings");
            try
            {
                if (Call(verb, more).N("code") == 1)
                    return new JsonObject { ["exit"] = tool == "wusa" ? 2359302 : 0 };
            }
            catch (WorldError e)
            {
                return new JsonObject { ["exit"] = (long)(uint)e.HResult };
            }
            Wait(() => Machine() is JsonObject m && (m.B("ServicingIdle") || m.N("Servicings") != before + 1));
            JsonObject after = Machine();
            string error = after.S("ServicingError");
            return new JsonObject { ["exit"] = string.IsNullOrEmpty(error) ? after.N("ServicingExit") : (long)Convert.ToUInt32(Native(error), 16) };
        }
    }
}
