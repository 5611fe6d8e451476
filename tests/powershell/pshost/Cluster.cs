// FailoverClusters and Storage.
using System;
using System.Collections.Generic;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;

namespace Pshost
{
    public static class Cluster
    {
        const string Ns = "Microsoft.FailoverClusters.PowerShell.";

        static SimObject Make(string type, params (string, object)[] values) => Surface.Make(Ns + type, values);

        static SimObject NodeOf(JsonObject n) => Make("ClusterNode",
            ("Name", n.S("node")), ("NodeName", n.S("node")), ("Id", n.S("node_id") ?? n.S("node")),
            ("State", State(n.S("state"), ("up", 0), ("down", 1), ("paused", 2), ("joining", 3))),
            ("DrainStatus", State(n.S("drain") ?? "not_initiated", ("not_initiated", 0), ("in_progress", 1), ("completed", 2), ("failed", 3))),
            ("NodeWeight", n.N("vote", 1)), ("DynamicWeight", n.N("dynamic_vote", 1)), ("FaultDomain", n["fault_domain"] == null ? null :
                new[] { "Site:", "Rack:" + n.S("fault_domain"), "Chassis:" }));

        static int State(string text, params (string Text, int Number)[] table)
        {
            foreach ((string name, int number) in table)
                if (name == text)
                    return number;
            return -1;
        }

        static SimObject GroupOf(Call c, JsonObject g) => Make("ClusterGroup",
            ("Name", g.S("name")), ("Id", g.S("id")),
            ("GroupType", GroupType(g.S("type"))),
            ("State", State(g.S("state"), ("online", 0), ("offline", 1), ("failed", 2), ("partial", 3), ("pending", 4))),
            ("StatusInformation", g.B("locked") ? 1 : 0), ("OwnerNode", NodeOf(NodeNamed(c, g.S("owner")))),
            ("PersistentState", g.B("wanted_online") ? 1 : 0), ("Priority", g.N("priority", 2000)),
            ("IsCoreGroup", g.S("type") is "cluster" or "available_storage"), ("AutoFailbackType", g.B("auto_failback") ? 1 : 0),
            ("AntiAffinityClassNames", ToCollection(g.Texts("anti_affinity"))), ("LockedFromMoving", g.B("locked") ? 1 : 0));

        static object ToCollection(string[] texts)
        {
            var s = new System.Collections.Specialized.StringCollection();
            s.AddRange(texts);
            return s;
        }

        static int GroupType(string type) => type switch
        {
            "vm" => 111, "cluster" => 1, "available_storage" => 2, "csv" => 4, "pool" => 5, "file_server" => 122, "cau" => 117, "replica" => 119, _ => 9999,
        };

        static JsonObject NodeNamed(Call c, string name) =>
            c.View.Each("nodes").First(n => string.Equals(n.S("node"), name, StringComparison.OrdinalIgnoreCase));

        [Handles("Get-Cluster")]
        static IEnumerable<object> GetCluster(Call c)
        {
            JsonObject p = (JsonObject)c.View["properties"];
            if (c.View["cluster"] == null)
            {
                c.Error("ClusterNotFound", ErrorCategory.ConnectionError, "The cluster service is not running.", unchecked((int)0x800706BA));
                yield break;
            }
            IWorld world = c.World;
            string node = c.Node;
            SimObject cluster = Make("Cluster", ("Name", c.View.S("cluster")), ("Id", Guid.Empty.ToString()),
                ("MaximumParallelMigrations", p.N("max_parallel_migrations", 1)), ("AutoBalancerMode", p.N("auto_balancer_mode", 2)),
                ("AutoBalancerLevel", p.N("auto_balancer_level", 1)),
                ("ClusterEnforcedAntiAffinity", p.B("enforced_anti_affinity") ? 1 : 0), ("QuarantineThreshold", p.N("quarantine_threshold", 3)),
                ("WitnessDynamicWeight", c.View["quorum"].N("witness_vote", 1)), ("S2DEnabled", c.View["storage"].B("s2d") ? 1 : 0),
                ("BackupInProgress", c.View["properties"].B("backup_in_progress") ? 1 : 0), ("DynamicQuorum", 1));
            cluster.OnSet = (name, value) => world.Do(node, "set_property", new JsonObject
            {
                ["name"] = name switch { "AutoBalancerMode" => "auto_balancer_mode", "MaximumParallelMigrations" => "max_parallel_migrations", _ => name },
                ["value"] = Convert.ToInt64(value),
            });
            yield return cluster;
        }

        [Handles("Get-ClusterNode")]
        static IEnumerable<object> GetClusterNode(Call c)
        {
            foreach (JsonObject n in Named(c, c.View.Each("nodes"), "node", "cluster node"))
                yield return NodeOf(n);
        }

        static IEnumerable<JsonObject> Named(Call c, IEnumerable<JsonObject> all, string key, string what)
        {
            string[] wanted = c.Texts("Name");
            if (wanted.Length == 0)
                return all;
            var found = new List<JsonObject>();
            foreach (string name in wanted)
            {
                var hits = all.Where(n => string.Equals(n.S(key), name, StringComparison.OrdinalIgnoreCase)).ToList();
                if (hits.Count == 0)
                    c.Error("ObjectNotFound", ErrorCategory.ObjectNotFound, "An error occurred opening " + what + " '" + name + "'.",
                        unchecked((int)0x80071392));
                found.AddRange(hits);
            }
            return found;
        }

        [Handles("Get-ClusterGroup")]
        static IEnumerable<object> GetClusterGroup(Call c)
        {
            IEnumerable<JsonObject> groups = c.View.Each("groups");
            SimObject input = c.Objects("InputObject").FirstOrDefault();
            if (input?.GetType().Name == "ClusterNode")
                groups = groups.Where(g => string.Equals(g.S("owner"), (string)input.Values["Name"], StringComparison.OrdinalIgnoreCase));
            if (c.Has("VMId"))
                groups = groups.Where(g => string.Equals(g.S("vm"), c.Text("VMId"), StringComparison.OrdinalIgnoreCase));
            return Named(c, groups.ToList(), "name", "cluster group").Select(g => GroupOf(c, g));
        }

        static JsonObject VmResource(JsonObject g, string mark, string type, string state) => new()
        {
            ["id"] = mark + g.S("id"), ["name"] = type + " " + g.S("name"), ["type"] = type, ["group"] = g.S("id"), ["state"] = state,
            ["owner"] = g.S("owner"), ["vm"] = g.S("vm"),
        };

        static IEnumerable<JsonObject> Resources(Call c)
        {
            foreach (JsonObject g in c.View.Each("groups"))
                if (g.S("type") == "vm")
                {
                    yield return VmResource(g, "res-", "Virtual Machine", g.S("state"));
                    yield return VmResource(g, "cfg-", "Virtual Machine Configuration", g.S("state") == "offline" ? "offline" : "online");
                }
            foreach (JsonObject r in c.View.Each("resources"))
                yield return (JsonObject)r.DeepClone();
        }

        [Handles("Get-ClusterResource")]
        static IEnumerable<object> GetClusterResource(Call c)
        {
            foreach (JsonObject r in Named(c, Resources(c).ToList(), "name", "cluster resource"))
            {
                JsonObject group = c.View.Each("groups").FirstOrDefault(g => g.S("id") == r.S("group"));
                yield return Make("ClusterResource", ("Name", r.S("name")), ("Id", r.S("id")),
                    ("ResourceType", Make("ClusterResourceType", ("Name", r.S("type")))),
                    ("State", State(r.S("state"), ("online", 2), ("offline", 3), ("failed", 4), ("pending", 129), ("partial", 2))),
                    ("OwnerGroup", group == null ? null : GroupOf(c, group)), ("OwnerNode", NodeOf(NodeNamed(c, r.S("owner")))));
            }
        }

        [Handles("Get-ClusterResourceType")]
        static IEnumerable<object> GetClusterResourceType(Call c)
        {
            foreach (string name in c.Texts("Name").DefaultIfEmpty("Virtual Machine"))
                yield return Make("ClusterResourceType", ("Name", name));
        }

        [Handles("Get-ClusterParameter")]
        static IEnumerable<object> GetClusterParameter(Call c)
        {
            foreach (SimObject o in c.Objects("InputObject"))
                foreach ((string name, object value) in ParametersOf(c, o))
                    if (!c.Has("Name") || c.Texts("Name").Contains(name, StringComparer.OrdinalIgnoreCase))
                        yield return Make("ClusterParameter", ("ClusterObject", o), ("Name", name), ("Value", value));
        }

        static IEnumerable<(string, object)> ParametersOf(Call c, SimObject o)
        {
            string name = (string)o.Values["Name"];
            switch (o.GetType().Name)
            {
                case "ClusterResourceType":
                    yield return ("MoveTypeThreshold", (uint)c.View["properties"].N("move_type_threshold", 2000));
                    break;
                case "ClusterResource":
                    JsonObject r = Resources(c).First(x => x.S("id") == (string)o.Values["Id"]);
                    if (r["vm"] != null)
                        yield return ("VmID", r.S("vm"));
                    break;
                case "Cluster":
                    yield return ("SharedVolumesRoot", @"C:\ClusterStorage");
                    break;
                default:
                    throw new InvalidOperationException("no parameters of " + name);
            }
        }

        [Handles("Set-ClusterParameter")]
        static IEnumerable<object> SetClusterParameter(Call c)
        {
            if (c.Text("Name") != "MoveTypeThreshold")
                c.Error("InvalidParameter", ErrorCategory.InvalidArgument, "The parameter is not known.", unchecked((int)0x80070057));
            else
                c.Do("set_property", ("name", "move_type_threshold"), ("value", Convert.ToInt64(c.Raw("Value"))));
            return null;
        }

        [Handles("Get-ClusterQuorum")]
        static IEnumerable<object> GetClusterQuorum(Call c)
        {
            JsonNode q = c.View["quorum"];
            string type = q.S("witness") switch { "disk" => "Physical Disk", "share" => "File Share Witness", "cloud" => "Cloud Witness", _ => null };
            yield return Make("ClusterQuorumSettings", ("QuorumType", 1), ("QuorumResource", type == null ? null :
                Make("ClusterResource", ("Name", "Witness"), ("Id", "witness"), ("ResourceType", Make("ClusterResourceType", ("Name", type))),
                    ("State", State(q.S("witness_state"), ("online", 2), ("offline", 3), ("failed", 4))))));
        }

        [Handles("Get-ClusterNetwork")]
        static IEnumerable<object> GetClusterNetwork(Call c)
        {
            foreach (JsonObject n in c.View.Each("networks"))
                yield return Make("ClusterNetwork", ("Name", n.S("name")), ("State", State(n.S("state"), ("unavailable", 0), ("down", 1), ("partitioned", 2), ("up", 3))));
        }

        [Handles("Get-ClusterNetworkInterface")]
        static IEnumerable<object> GetClusterNetworkInterface(Call c)
        {
            foreach (JsonObject n in c.View.Each("interfaces"))
                yield return Make("ClusterNetworkInterface", ("Name", n.S("name")),
                    ("State", State(n.S("state"), ("unavailable", 0), ("failed", 1), ("unreachable", 2), ("up", 3))));
        }

        static SimObject Csv(Call c, JsonObject v) => Make("ClusterSharedVolume", ("Name", v.S("name")), ("Id", v.S("id")),
            ("OwnerNode", NodeOf(NodeNamed(c, v.S("owner")))), ("State", State(v.S("resource_state") ?? "online", ("online", 2), ("offline", 3), ("failed", 4))));

        [Handles("Get-ClusterSharedVolume")]
        static IEnumerable<object> GetClusterSharedVolume(Call c) =>
            Named(c, c.View.Each("csvs").ToList(), "name", "cluster shared volume").Select(v => Csv(c, v));

        [Handles("Get-ClusterSharedVolumeState")]
        static IEnumerable<object> GetClusterSharedVolumeState(Call c)
        {
            foreach (JsonObject v in c.View.Each("csvs"))
                foreach (JsonObject n in c.View.Each("nodes"))
                    if (!c.Has("Node") || c.Texts("Node").Contains(n.S("node"), StringComparer.OrdinalIgnoreCase))
                        yield return Make("ClusterSharedVolumeStateInfo", ("Name", v.S("name")), ("Node", n.S("node")),
                            ("StateInfo", State(v.S("state"), ("unavailable", 0), ("paused", 1), ("direct", 2), ("redirected", 3))),
                            ("FileSystemRedirectedIOReason", v.N("reason")), ("VolumeName", v.S("id")));
        }

        [Handles("Get-ClusterOwnerNode")]
        static IEnumerable<object> GetClusterOwnerNode(Call c)
        {
            SimObject piped = c.Objects("InputObject").FirstOrDefault();
            string id = piped == null ? null : (string)piped.Values["Id"];
            bool Is(JsonObject x, string mark, string type) => piped != null ? mark + x.S("id") == id : type + " " + x.S("name") == c.Text("Resource");
            bool configuration = c.View.Each("groups").Any(x => Is(x, "cfg-", "Virtual Machine Configuration"));
            JsonObject g = c.View.Each("groups").FirstOrDefault(x => (piped != null ? x.S("id") == id : x.S("name") == c.Text("Group")) ||
                Is(x, "res-", "Virtual Machine") || Is(x, "cfg-", "Virtual Machine Configuration"));
            string[] names = g?.Texts(c.Has("Group") ? "preferred_owners" : configuration ? "configuration_owners" : "possible_owners") ?? Array.Empty<string>();
            if (!c.Has("Group") && names.Length == 0)
                names = c.View.Each("nodes").Select(n => n.S("node")).ToArray();
            SimObject list = Make("ClusterOwnerNodeList");
            Array nodes = Array.CreateInstance(Surface.Types[Ns + "ClusterNode"], names.Length);
            for (int i = 0; i < names.Length; i++)
                nodes.SetValue(NodeOf(NodeNamed(c, names[i])), i);
            list.Values["OwnerNodes"] = nodes;
            yield return list;
        }

        [Handles("Suspend-ClusterNode")]
        static IEnumerable<object> SuspendClusterNode(Call c)
        {
            foreach (string name in c.Texts("Name"))
            {
                if (c.On("Drain") || c.On("ForceDrain"))
                    throw new NotSupportedException("the driver never lets the cluster choose where VMs go (O2)");
                c.Do("suspend_node", ("name", name));
                yield return NodeOf(NodeNamed(c, name));
            }
        }

        [Handles("Resume-ClusterNode")]
        static IEnumerable<object> ResumeClusterNode(Call c)
        {
            foreach (string name in c.Texts("Name"))
            {
                c.Do("resume_node", ("name", name), ("failback", c.Text("Failback") ?? "NoFailback"));
                yield return NodeOf(NodeNamed(c, name));
            }
        }

        static JsonObject Find(Call c, string list, string name)
        {
            JsonObject hit = c.View.Each(list).FirstOrDefault(x => x.S("name") == name || x.S("id") == name);
            if (hit == null)
                c.Error("ObjectNotFound", ErrorCategory.ObjectNotFound, "An error occurred opening '" + name + "'.", unchecked((int)0x80071392));
            return hit;
        }

        /// <summary>The object that was piped in, else the one of that name.</summary>
        static JsonObject Subject(Call c, string list)
        {
            SimObject piped = c.Objects("InputObject").FirstOrDefault();
            return Find(c, list, piped != null ? (string)piped.Values["Id"] : c.Text("Name"));
        }

        [Handles("Move-ClusterGroup")]
        static IEnumerable<object> MoveClusterGroup(Call c)
        {
            if (Subject(c, "groups") is JsonObject g)
                c.Do("move_group", ("id", g.S("id")), ("to", c.Text("Node")));
            return null;
        }

        [Handles("Move-ClusterSharedVolume")]
        static IEnumerable<object> MoveClusterSharedVolume(Call c)
        {
            if (Subject(c, "csvs") is JsonObject v)
                c.Do("move_csv", ("id", v.S("id")), ("to", c.Text("Node")));
            return null;
        }

        [Handles("Move-ClusterVirtualMachineRole")]
        static IEnumerable<object> MoveClusterVirtualMachineRole(Call c)
        {
            JsonObject g = c.Has("VMId") ? c.View.Each("groups").FirstOrDefault(x => string.Equals(x.S("vm"), c.Text("VMId"), StringComparison.OrdinalIgnoreCase)) :
                Subject(c, "groups");
            if (g == null)
                c.NotFound("virtual machine role", c.Text("VMId"));
            else
                c.Do("move_vm", ("vm", g.S("vm")), ("to", c.Text("Node")), ("how", (c.Text("MigrationType") ?? "Live").ToLowerInvariant()),
                    ("wait", c.Has("Wait") ? (int)c.Raw("Wait") : -1));
            return null;
        }

        [Handles("Stop-ClusterGroup")]
        static IEnumerable<object> StopClusterGroup(Call c)
        {
            if (Subject(c, "groups") is JsonObject g)
                c.Do("stop_group", ("id", g.S("id")));
            return null;
        }

        [Handles("Start-ClusterGroup")]
        static IEnumerable<object> StartClusterGroup(Call c)
        {
            if (Subject(c, "groups") is JsonObject g)
                c.Do("start_group", ("id", g.S("id")));
            return null;
        }

        // Storage. HealthStatus and JobState show as text through script properties, or as numbers: scripts take both.

        [Handles("Get-VirtualDisk")]
        static IEnumerable<object> GetVirtualDisk(Call c)
        {
            foreach (JsonObject d in c.View["storage"].Each("virtual_disks"))
                yield return Surface.Make("MSFT_VirtualDisk", ("UniqueId", d.S("id")), ("ObjectId", d.S("id")), ("FriendlyName", d.S("name")),
                    ("HealthStatus", c.View.B("numbers") ? State(d.S("health"), ("healthy", 0), ("warning", 1), ("unhealthy", 2), ("unknown", 5)).ToString() :
                        char.ToUpperInvariant(d.S("health")[0]) + d.S("health")[1..]),
                    ("FaultDomainAwareness", c.View["storage"].B("rack_aware") ? "StorageRack" : "StorageScaleUnit"));
        }

        [Handles("Get-StorageJob")]
        static IEnumerable<object> GetStorageJob(Call c)
        {
            foreach (JsonObject j in c.View["storage"].Each("jobs"))
                yield return Surface.Make("MSFT_StorageJob", ("UniqueId", j.S("id")),
                    ("Name", char.ToUpperInvariant(j.S("kind")[0]) + j.S("kind")[1..]), ("JobState", j.S("state") == "suspended" ? "Suspended" : "Running"),
                    ("PercentComplete", j.N("percent")), ("BytesTotal", j.N("bytes_total")), ("BytesProcessed", j.N("bytes_total") * j.N("percent") / 100));
        }

        [Handles("Get-StorageFaultDomain")]
        static IEnumerable<object> GetStorageFaultDomain(Call c)
        {
            if (c.Text("Type") == "StorageScaleUnit" && c.View["storage"].B("s2d"))
                foreach (JsonObject n in c.View.Each("nodes"))
                    yield return FaultDomain(n.S("scale_unit") ?? n.S("node"), n, n.B("storage_out"));
            SimObject parent = c.Objects("StorageFaultDomain").FirstOrDefault();
            if (c.Text("Type") == "PhysicalDisk" && parent != null)
            {
                JsonObject n = NodeNamed(c, (string)parent.Values["UniqueId"]);
                for (int i = 0; i < n.N("disks", 4); i++)
                    yield return FaultDomain(n.S("node") + "-disk" + i, n, n["disks_out"] is JsonArray some ? some.Any(d => (int)d == i) : n.B("storage_out"));
            }
        }

        static SimObject FaultDomain(string name, JsonObject n, bool maintenance) => Surface.Make("MSFT_StorageFaultDomain",
            ("FriendlyName", name), ("UniqueId", n.S("node")), ("HealthStatus", "Healthy"),
            ("OperationalStatus", maintenance ? new[] { "In Maintenance Mode" } : new[] { "OK" }));

        [Handles("Get-Disk")]
        static IEnumerable<object> GetDisk(Call c)
        {
            for (int i = 0; i < c.View.N("storage_paths", 4); i++)
                yield return Surface.Make("MSFT_Disk", ("Number", i), ("UniqueId", "disk" + i), ("BusType", i == 0 ? "RAID" : "SAS"), ("IsBoot", i == 0));
        }

        [Handles("Enable-StorageMaintenanceMode")]
        static IEnumerable<object> EnableMaintenance(Call c)
        {
            foreach (SimObject d in c.Objects("InputObject"))
                c.Do("storage_out", ("name", (string)d.Values["UniqueId"]));
            return null;
        }

        [Handles("Disable-StorageMaintenanceMode")]
        static IEnumerable<object> DisableMaintenance(Call c)
        {
            foreach (SimObject d in c.Objects("InputObject"))
                c.Do("storage_in", ("name", (string)d.Values["UniqueId"]));
            return null;
        }
    }
}
