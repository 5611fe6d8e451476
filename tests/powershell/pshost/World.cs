// What the stand-ins know of the machine they pretend to be on. Two worlds answer: the small one of the suite, held in
// this process, and hvlab's, asked over its socket. Both speak in "views": the shapes of docs/driver.md, enriched by what
// only Windows shows (service numbers, package states, files, event properties).
using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json.Nodes;

namespace Pshost
{
    /// <summary>Windows refused: an HRESULT and the sentence a cmdlet would show.</summary>
    public sealed class WorldError : Exception
    {
        public readonly string Id;

        public WorldError(string id, string native, string message) : base(message)
        {
            Id = id;
            HResult = native == null ? unchecked((int)0x80004005) : unchecked((int)Convert.ToUInt32(native, 16));
        }
    }

    /// <summary>The machine that the script runs on is gone, and the script with it.</summary>
    public sealed class NodeIsOff : Exception
    {
    }

    public interface IWorld
    {
        /// <summary>Everything that can be seen from a node, now.</summary>
        JsonObject View(string node);

        /// <summary>Do one thing on behalf of a node; returns when Windows' own command would return.</summary>
        JsonObject Do(string node, string verb, JsonObject args);

        /// <summary>Fleet time in ms since 1970 as this node's clock shows it.</summary>
        long NowMs(string node);

        void Sleep(string node, long ms);

        /// <summary>What the package in that file is ({kb, build, ubr}), as the servicing stack reads it; null for none.</summary>
        JsonObject Catalog(string node, string path);
    }

    public static class JsonExtensions
    {
        public static string S(this JsonNode n, string key) => n?[key]?.GetValueKind() == System.Text.Json.JsonValueKind.String ?
            (string)n[key] : n?[key]?.ToJsonString();

        public static long N(this JsonNode n, string key, long other = 0) => n?[key] is JsonValue v ? (long)v.GetValue<double>(other) : other;

        static double GetValue<T>(this JsonValue v, long other) => double.TryParse(v.ToJsonString(), out double d) ? d : other;

        public static bool B(this JsonNode n, string key) => n?[key] is JsonValue v && v.GetValueKind() == System.Text.Json.JsonValueKind.True;

        public static IEnumerable<JsonObject> Each(this JsonNode n, string key) =>
            (n?[key] as JsonArray ?? new JsonArray()).OfType<JsonObject>();

        public static string[] Texts(this JsonNode n, string key) =>
            (n?[key] as JsonArray ?? new JsonArray()).Select(e => (string)e).ToArray();
    }

    /// <summary>
    /// The suite's world: one cluster whose state is a JSON document of the test. Effects are immediate on a clock that only
    /// sleeps and effects move. Faults are entries {"verb","subject"?,"native","id","message","times"?} that refuse a verb,
    /// or {"verb","effect":"late"} that let the verb fail after its effect has happened.
    /// </summary>
    public sealed class MiniWorld : IWorld
    {
        readonly object gate = new();
        readonly JsonObject w;

        public MiniWorld(JsonObject world) => w = world;

        public JsonObject State { get { lock (gate) return (JsonObject)w.DeepClone(); } }

        public void Patch(string path, JsonNode value)
        {
            lock (gate)
            {
                string[] steps = path.Split('/');
                JsonNode at = w;
                foreach (string s in steps[..^1])
                    at = at is JsonArray a ? a[int.Parse(s)] : at[s];
                if (at is JsonArray list)
                    list[int.Parse(steps[^1])] = value;
                else
                    at[steps[^1]] = value;
            }
        }

        JsonObject Node(string name) => w.Each("nodes").FirstOrDefault(n => string.Equals(n.S("node"), name, StringComparison.OrdinalIgnoreCase));
        JsonObject Vm(string id) => w.Each("vms").First(v => v.S("id") == id);
        JsonObject GroupOf(string vm) => w.Each("groups").FirstOrDefault(g => g.S("vm") == vm);

        public long NowMs(string node) { lock (gate) return w.N("now_ms"); }

        public void Sleep(string node, long ms) { lock (gate) Advance(ms); }

        public JsonObject Catalog(string node, string path)
        {
            System.Text.RegularExpressions.Match kb = System.Text.RegularExpressions.Regex.Match(System.IO.Path.GetFileName(path), "kb(\\d+)", System.Text.RegularExpressions.RegexOptions.IgnoreCase);
            lock (gate)
                return Node(node)["catalog"]?["KB" + kb.Groups[1].Value]?.DeepClone() is JsonObject o ? With(o, "KB" + kb.Groups[1].Value) : null;
        }

        static JsonObject With(JsonObject o, string kb)
        {
            o["kb"] = kb;
            return o;
        }

        void Advance(long ms)
        {
            w["now_ms"] = w.N("now_ms") + ms;
            foreach (JsonObject later in w.Each("later").Where(l => l.N("at_ms") <= w.N("now_ms")).ToList())
            {
                ((JsonArray)w["later"]).Remove(later);
                if (later.S("do") == "patch")
                    Patch(later.S("path"), later["value"]?.DeepClone());
                else if (later.S("do") == "stopped")
                    SetService(Node(later.S("node")), later.S("name"), 1);
            }
        }

        public JsonObject View(string name)
        {
            lock (gate)
            {
                JsonObject node = Node(name) ?? throw new InvalidOperationException("no node " + name + " in the world");
                JsonObject view = (JsonObject)node.DeepClone();
                view["now_ms"] = w.N("now_ms");
                view["cluster"] = w["cluster"]?.DeepClone();
                foreach (string shared in new[] { "nodes", "groups", "csvs", "quorum", "properties", "storage", "resources", "networks" })
                    view[shared] = w[shared]?.DeepClone();
                view["all_vms"] = w["vms"].DeepClone();
                return view;
            }
        }

        public JsonObject Do(string node, string verb, JsonObject args)
        {
            lock (gate)
            {
                JsonObject fault = w.Each("faults").FirstOrDefault(f => f.S("verb") == verb &&
                    (f["subject"] == null || args.Any(a => a.Value is JsonValue && a.Value.ToString() == f.S("subject"))));
                if (fault != null && fault["times"] != null && fault.N("times") <= 0)
                    fault = null;
                if (fault?["times"] != null)
                    fault["times"] = fault.N("times") - 1;
                w["log"] ??= new JsonArray();
                ((JsonArray)w["log"]).Add(node + " " + verb + " " + args.ToJsonString());
                if (fault != null && fault.S("effect") != "late" && fault["exit"] == null)
                    throw new WorldError(fault.S("id") ?? "OperationFailed", fault.S("native"), fault.S("message") ?? "refused");
                JsonObject result = fault?["exit"] != null ? new JsonObject { ["exit"] = fault.N("exit") } : Act(Node(node), verb, args);
                if (fault?.S("effect") == "late")
                    throw new WorldError(fault.S("id") ?? "OperationFailed", fault.S("native"), fault.S("message") ?? "failed afterwards");
                return result;
            }
        }

        JsonObject Act(JsonObject me, string verb, JsonObject a)
        {
            var ok = new JsonObject();
            switch (verb)
            {
                case "suspend_node": Node(a.S("name"))["state"] = "paused"; Advance(2000); break;
                case "resume_node": Node(a.S("name"))["state"] = "up"; Advance(2000); break;
                case "move_vm": MoveVm(a.S("vm"), a.S("to"), a.S("how")); break;
                case "move_group": MoveGroup(a.S("id"), a.S("to") ?? OtherUp(me)); break;
                case "move_csv": w.Each("csvs").First(g => g.S("id") == a.S("id"))["owner"] = a.S("to") ?? OtherUp(me); Advance(1000); break;
                case "stop_group": SetGroup(a.S("id"), false); break;
                case "start_group": SetGroup(a.S("id"), true); break;
                case "start_vm": SetVm(a.S("vm"), "running", 15000); break;
                case "stop_vm": SetVm(a.S("vm"), a.S("how") == "save" ? "saved" : "off", 40000); break;
                case "checkpoint":
                    ((JsonArray)(Vm(a.S("vm"))["checkpoints"] ??= new JsonArray())).Add(new JsonObject
                    { ["id"] = "c0000000-0000-0000-0000-00000000000" + w.N("checkpoints"), ["name"] = a.S("name"), ["at_ms"] = w.N("now_ms") });
                    w["checkpoints"] = w.N("checkpoints") + 1;
                    break;
                case "remove_checkpoint":
                    JsonArray list = (JsonArray)Vm(a.S("vm"))["checkpoints"];
                    list.Remove(list.First(c => c.S("id") == a.S("id")));
                    break;
                case "stop_service": StopService(me, a); break;
                case "start_service": Advance(5000); SetService(me, a.S("name"), 4); break;
                case "install": return Install(me, a);
                case "remove": return Remove(me, a);
                case "reboot":
                    if (me.N("sessions") > 0 && !a.S("line").Contains("/f")) // a disconnected one too
                        return new JsonObject { ["exit"] = 1191 };
                    Reboot(me);
                    return new JsonObject { ["exit"] = 0 };
                case "storage_out": Maintenance(a.S("name"), true); break;
                case "storage_in": Maintenance(a.S("name"), false); break;
                case "new_user":
                    ((JsonArray)me["users"]).Add(new JsonObject { ["name"] = a.S("name"), ["sid"] = "S-1-5-21-1-2-3-" + (1001 + ((JsonArray)me["users"]).Count) });
                    break;
                case "add_member":
                    ((JsonArray)me.Each("local_groups").First(g => g.S("name") == a.S("group"))["members"]).Add(me.Each("users").First(u => u.S("name") == a.S("user")).S("sid"));
                    break;
                case "start_type": Service(me, a.S("name"))["start"] = a.N("start"); break;
                case "firewall": me["firewall"][a.S("what")] = a.S("value"); break;
                case "set_property": w["properties"][a.S("name")] = a["value"].DeepClone(); break;
                case "bitlocker_suspend": me["bitlocker"]["state"] = "suspended"; me["bitlocker"]["reboots"] = a.N("reboots"); break;
                default: throw new InvalidOperationException("the world has no verb " + verb);
            }
            return ok;
        }

        static JsonObject Service(JsonObject node, string name) => node.Each("services").First(s => s.S("name") == name);

        /// <summary>Whoever waits, waits until the service has stopped; one that "hangs" says for a day that it stops.</summary>
        void StopService(JsonObject me, JsonObject a)
        {
            JsonObject s = Service(me, a.S("name"));
            s["state"] = 3;
            ((JsonArray)w["later"]).Add(new JsonObject
            { ["at_ms"] = w.N("now_ms") + (s.B("hangs") ? 86400000 : 3000), ["do"] = "stopped", ["node"] = me.S("node"), ["name"] = a.S("name") });
            if (!a.B("nowait"))
                Advance(s.B("hangs") ? 86400000 : 3000);
        }

        void SetService(JsonObject me, string name, int state)
        {
            Service(me, name)["state"] = state;
            Event(me, "System", "Service Control Manager", 7036, 4,
                new JsonArray("Anzeigename", state == 4 ? "Wird ausgef\u00fchrt" : "Beendet", new JsonObject { ["utf16"] = name + "/" + state }));
        }

        string OtherUp(JsonObject me) => w.Each("nodes").First(n => n.S("state") == "up" && n.S("node") != me.S("node")).S("node");

        void MoveGroup(string id, string to)
        {
            JsonObject g = w.Each("groups").First(x => x.S("id") == id);
            if (new[] { "possible_owners", "configuration_owners" }.Any(owners => g.Texts(owners).Length > 0 && !g.Texts(owners).Contains(to)))
                throw new WorldError("ClusterObjectNotOwner", "0x80071398", "The operation failed because the specified node is not the owner of the group.");
            Advance(3000);
            g["owner"] = to;
            if (g["vm"] != null)
                Vm(g.S("vm"))["node"] = to;
        }

        void MoveVm(string id, string to, string how)
        {
            JsonObject vm = Vm(id), group = GroupOf(id);
            if (Node(to)?.S("state") != "up")
                throw new WorldError("ClusterNodePaused", "0x80071709", "The node is paused.");
            Advance(how == "live" ? 20000 : 60000);
            string from = vm.S("node");
            vm["node"] = to;
            if (group != null)
                group["owner"] = to;
            string told = w.S("blackout") ?? "0.6"; // "none": the event is not written
            if (how == "live" && told != "none")
                Event(Node(from), "Microsoft-Windows-Hyper-V-VMMS-Admin", "Microsoft-Windows-Hyper-V-VMMS", 20415, 4,
                    new JsonArray(vm.S("name"), id.ToUpperInvariant(), to, told));
        }

        public void Event(JsonObject node, string log, string provider, int id, int level, JsonArray values)
        {
            ((JsonArray)(node["events"] ??= new JsonArray())).Add(new JsonObject
            {
                ["log"] = log, ["provider"] = provider, ["id"] = id, ["level"] = level, ["at_ms"] = w.N("now_ms"),
                ["record"] = ((JsonArray)node["events"]).Count + 1, ["values"] = values,
            });
        }

        void SetGroup(string id, bool online)
        {
            JsonObject g = w.Each("groups").First(x => x.S("id") == id);
            if (online && Node(g.S("owner")).S("state") == "paused")
                throw new WorldError("ClusterNodePaused", "0x80071709", "The operation failed because the node is paused.");
            g["state"] = online ? "online" : "offline";
            g["wanted_online"] = online;
            // Taken offline, a running VM is saved (the resource's default OfflineAction); one that is off or saved stays so.
            if (g["vm"] != null && (online || Vm(g.S("vm")).S("state") == "running"))
                SetVm(g.S("vm"), online ? "running" : "saved", 30000);
        }

        void SetVm(string id, string state, long ms)
        {
            JsonObject vm = Vm(id), group = GroupOf(id);
            Advance(ms);
            vm["state"] = state;
            vm["since_ms"] = w.N("now_ms");
            vm["uptime_ms"] = 0;
            vm["heartbeat"] = state == "running" ? "ok" : null;
            if (group != null)
                group["state"] = state == "running" ? "online" : "offline";
        }

        JsonObject Package(JsonObject node, string identity) => node.Each("packages").FirstOrDefault(p => p.S("identity") == identity);

        JsonObject Install(JsonObject me, JsonObject a)
        {
            string identity = "Package_for_RollupFix~31bf3856ad364e35~amd64~~" + a.N("build") + "." + a.N("ubr") + ".1.0";
            Advance(700000);
            if (me.N("build") == a.N("build") && me.N("ubr") > a.N("ubr"))
                return new JsonObject { ["exit"] = unchecked((long)0x800F081E) };
            if (Package(me, identity)?.N("state") == 112)
                return new JsonObject { ["exit"] = a.S("tool") == "wusa" ? 2359302 : 0 };
            foreach (JsonObject old in me.Each("packages").Where(p => p.N("state") == 112))
                old["state"] = 5;
            ((JsonArray)me["packages"]).Add(new JsonObject { ["identity"] = identity, ["ubr"] = a.N("ubr"), ["state"] = 96, ["permanent"] = true });
            me["marks"] = new JsonArray("RebootPending", "PackagesPending", "pending.xml");
            if (a.S("tool") == "wusa")
                ((JsonArray)me["marks"]).Add("RebootRequired");
            return new JsonObject { ["exit"] = 3010 };
        }

        JsonObject Remove(JsonObject me, JsonObject a)
        {
            JsonObject p = Package(me, a.S("identity"));
            Advance(3000);
            if (p == null)
                return new JsonObject { ["exit"] = unchecked((long)0x800F0805) };
            if (p.B("permanent") && !me.B("removable"))
                return new JsonObject { ["exit"] = unchecked((long)0x800F0825) };
            p["state"] = 5;
            foreach (JsonObject old in me.Each("packages").Where(x => x.N("state") is 80 or 5 && x != p).Take(1))
                old["state"] = 96;
            me["marks"] = new JsonArray("RebootPending", "PackagesPending");
            return new JsonObject { ["exit"] = 3010 };
        }

        void Reboot(JsonObject me)
        {
            Advance(300000);
            me["boot_ms"] = w.N("now_ms");
            foreach (JsonObject s in me.Each("services").Where(s => s.N("start") == 2))
                s["state"] = 4;
            foreach (JsonObject p in me.Each("packages").ToList())
                if (p.N("state") == 96)
                    (p["state"], me["ubr"]) = (112, p.N("ubr"));
                else if (p.N("state") == 5)
                    p["state"] = p.N("ubr") > me.N("ubr") ? 0 : 80;
            me["marks"] = new JsonArray();
        }

        void Maintenance(string fault_domain, bool on)
        {
            JsonObject n = Node(fault_domain);
            // The disks of "disks_fixed" do not follow; without any, the node's own word says it for all.
            if (n["disks_fixed"] is JsonArray fixedOnes)
            {
                bool Was(int i) => n["disks_out"] is JsonArray some ? some.Any(d => (int)d == i) : n.B("storage_out");
                bool Fixed(int i) => fixedOnes.Any(d => (int)d == i);
                n["disks_out"] = new JsonArray(Enumerable.Range(0, (int)n.N("disks", 4)).Where(i => Fixed(i) ? Was(i) : on).Select(i => (JsonNode)i).ToArray());
            }
            else
                n.Remove("disks_out");
            n["storage_out"] = on;
            foreach (JsonObject d in w["storage"].Each("virtual_disks"))
                d["health"] = on ? "warning" : "healthy";
            Advance(5000);
        }
    }
}
