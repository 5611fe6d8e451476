// Hyper-V. While vmms is down nothing of it answers (O8).
using System;
using System.Collections.Generic;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;

namespace Pshost
{
    public static class HyperV
    {
        const string Ns = "Microsoft.HyperV.PowerShell.";

        static SimObject Make(string type, params (string, object)[] values) => Surface.Make(Ns + type, values);

        static bool Answers(Call c)
        {
            JsonObject vmms = c.View.Each("services").FirstOrDefault(s => s.S("name") == "vmms");
            if (vmms != null && vmms.N("state") == 4 && !c.View.B("vmms_silent"))
                return true;
            c.Error("ObjectNotFound", ErrorCategory.ObjectNotFound, "Hyper-V encountered an error trying to access an object because the object was not found.",
                unchecked((int)0x80041010));
            return false;
        }

        static IEnumerable<JsonObject> Here(Call c) => c.View.Each("all_vms").Where(v => v.S("node") == c.View.S("node"));

        static readonly Dictionary<string, int> States = new()
        {
            ["running"] = 2, ["off"] = 3, ["stopping"] = 4, ["saved"] = 6, ["paused"] = 9, ["starting"] = 10, ["saving"] = 32773,
            ["migrating"] = 2, ["other"] = 1,
        };

        static readonly Dictionary<string, int> Busy = new()
        { ["backup"] = 32776, ["checkpoint"] = 32768, ["merge"] = 32772, ["migration"] = 32774, ["export"] = 32773 };

        static readonly Dictionary<string, int> Heartbeats = new()
        { ["unknown"] = 0, ["disabled"] = 1, ["no_contact"] = 2, ["error"] = 3, ["lost"] = 4, ["ok"] = 6, ["paused"] = 8 };

        static SimObject VmOf(Call c, JsonObject v)
        {
            JsonNode m = v["memory"];
            const long mib = 1 << 20;
            string busy = v.S("busy") ?? (v.S("state") == "migrating" ? "migration" : null);
            SimObject vm = Make("VirtualMachine", ("Id", v.S("id")), ("Name", v.S("name")), ("State", States[v.S("state")]),
                ("IsClustered", v.B("clustered")), ("MemoryAssigned", v.S("state") is "off" or "saved" ? 0 : m.N("assigned_mib") * mib),
                ("MemoryStartup", m.N("startup_mib") * mib), ("MemoryMaximum", m.N("maximum_mib") * mib), ("DynamicMemoryEnabled", m.B("dynamic")),
                ("ProcessorCount", v.N("cpus")), ("Version", v.S("version")), ("ComputerName", v.S("node")), ("Path", v.S("path")),
                ("OperationalStatus", busy == null ? new[] { 2 } : new[] { 11, Busy[busy] }), ("PrimaryOperationalStatus", busy == null ? 2 : 11),
                ("Uptime", TimeSpan.FromMilliseconds(v.N("uptime_ms"))),
                ("AutomaticStopAction", v.S("stop_action") switch { "turn_off" => 2, "shut_down" => 4, _ => 3 }),
                ("AutomaticStartAction", v.S("start_action") switch { "nothing" => 2, "start" => 4, _ => 3 }),
                ("ReplicationState", v.B("replication") ? 7 : 0),
                ("GuestStateIsolationType", v.S("isolation") switch { "snp" => "SNP", "tdx" => "TDX", "vbs" => "VBS", "trusted_launch" => "TrustedLaunch", _ => "Disabled" }), ("CheckpointType", v.N("checkpoint_type", 3)));
            if (v["heartbeat"] != null)
                vm.Values["Heartbeat"] = Surface.Convert(Heartbeats[v.S("heartbeat")], vm.GetType().GetProperty("Heartbeat").PropertyType);
            if (busy != null)
                vm.Values["SecondaryOperationalStatus"] = Surface.Convert(Busy[busy], vm.GetType().GetProperty("SecondaryOperationalStatus").PropertyType);
            vm.Values["HardDrives"] = List("HardDiskDrive", v.Each("drives").Select(d => Make("HardDiskDrive", ("Path", d.S("path")),
                ("SupportPersistentReservations", d.B("shared")), ("DiskNumber", d["disk"] == null ? null : d.N("disk")))));
            vm.Values["NetworkAdapters"] = List("VMNetworkAdapter", v.Texts("switches").Select(s => Make("VMNetworkAdapter", ("SwitchName", s))));
            vm.Values["DVDDrives"] = List("DvdDrive", (v["iso"] is JsonArray ? v.Texts("iso") : new[] { v.S("iso") }).Where(i => i != null).Select(i => Make("DvdDrive", ("Path", i))));
            return vm;
        }

        static Array List(string type, IEnumerable<SimObject> items)
        {
            SimObject[] all = items.ToArray();
            Array a = Array.CreateInstance(Surface.Types[Ns + type], all.Length);
            for (int i = 0; i < all.Length; i++)
                a.SetValue(all[i], i);
            return a;
        }

        /// <summary>The VMs that -VM, -Name, -VMName or -Id mean.</summary>
        static List<JsonObject> Meant(Call c)
        {
            var all = Here(c).ToList();
            var objects = c.Objects("VM").ToList();
            if (objects.Count > 0)
                return all.Where(v => objects.Any(o => o.Values["Id"].ToString() == v.S("id"))).ToList();
            if (c.Has("Id"))
            {
                var hit = all.Where(v => v.S("id") == c.Text("Id").ToLowerInvariant()).ToList();
                if (hit.Count == 0)
                    c.Error("ObjectNotFound", ErrorCategory.InvalidArgument, "Hyper-V was unable to find a virtual machine with id \"" + c.Text("Id") + "\".");
                return hit;
            }
            string[] names = c.Texts("Name").Concat(c.Texts("VMName")).ToArray();
            if (names.Length == 0)
                return all;
            foreach (string n in names.Where(n => all.All(v => v.S("name") != n)))
                c.Error("InvalidParameter", ErrorCategory.InvalidArgument, "Hyper-V was unable to find a virtual machine with name \"" + n + "\".");
            return all.Where(v => names.Contains(v.S("name"))).ToList();
        }

        [Handles("Get-VM")]
        static IEnumerable<object> GetVM(Call c) => Answers(c) ? Meant(c).Select(v => VmOf(c, v)) : null;

        [Handles("Get-VMHost")]
        static IEnumerable<object> GetVMHost(Call c)
        {
            if (Answers(c))
                yield return Make("VMHost", ("MemoryCapacity", c.View.N("memory_mib") << 20), ("LogicalProcessorCount", c.View.N("cpus")),
                    ("MaximumVirtualMachineMigrations", 2), ("VirtualMachineMigrationEnabled", true));
        }

        [Handles("Get-VMSwitch")]
        static IEnumerable<object> GetVMSwitch(Call c) => Answers(c) ? c.View.Texts("switches").Select(s => Make("VMSwitch", ("Name", s))) : null;

        [Handles("Get-VMSecurity")]
        static IEnumerable<object> GetVMSecurity(Call c) => Answers(c) ?
            Meant(c).Select(v => Make("VMSecurity", ("TpmEnabled", v["key_protector"] != null), ("Shielded", v.S("key_protector") == "shielded"))) : null;

        [Handles("Get-VMProcessor")]
        static IEnumerable<object> GetVMProcessor(Call c) => Answers(c) ?
            Meant(c).Select(v => Make("VMProcessor", ("CompatibilityForMigrationEnabled", v.B("cpu_compat")))) : null;

        [Handles("Get-VMAssignableDevice")]
        static IEnumerable<object> GetVMAssignableDevice(Call c) => Answers(c) ?
            Meant(c).Where(v => v.B("dda")).Select(v => Make("VMAssignedDevice", ("VMId", v.S("id")))) : null;

        [Handles("Get-VMGpuPartitionAdapter")]
        static IEnumerable<object> GetVMGpuPartitionAdapter(Call c) => Answers(c) ?
            Meant(c).Where(v => v.B("gpu")).Select(v => Make("VMGpuPartitionAdapter", ("VMId", v.S("id")))) : null;

        [Handles("Get-VMSnapshot")]
        static IEnumerable<object> GetVMSnapshot(Call c)
        {
            if (Answers(c))
                foreach (JsonObject v in Meant(c))
                    foreach (JsonObject s in v.Each("checkpoints"))
                        if (!c.Has("Name") || c.Texts("Name").Contains(s.S("name")))
                            yield return Make("VMSnapshot", ("Id", s.S("id")), ("Name", s.S("name")), ("VMId", v.S("id")),
                                ("SnapshotType", s.N("type")), ("CreationTime", DateTimeOffset.FromUnixTimeMilliseconds(s.N("at_ms")).LocalDateTime));
        }

        [Handles("Checkpoint-VM")]
        static IEnumerable<object> CheckpointVM(Call c)
        {
            if (Answers(c))
                foreach (JsonObject v in Meant(c))
                {
                    c.Do("checkpoint", ("vm", v.S("id")), ("name", c.Text("SnapshotName") ?? v.S("name")));
                    if (c.On("Passthru"))
                        foreach (JsonObject s in c.View.Each("all_vms").First(x => x.S("id") == v.S("id")).Each("checkpoints").TakeLast(1))
                            yield return Make("VMSnapshot", ("Id", s.S("id")), ("Name", s.S("name")), ("VMId", v.S("id")));
                }
        }

        [Handles("Remove-VMSnapshot")]
        static IEnumerable<object> RemoveVMSnapshot(Call c)
        {
            if (!Answers(c))
                return null;
            foreach (SimObject s in c.Objects("VMSnapshot"))
                c.Do("remove_checkpoint", ("vm", s.Values["VMId"].ToString()), ("id", s.Values["Id"].ToString()));
            return null;
        }

        [Handles("Stop-VM")]
        static IEnumerable<object> StopVM(Call c)
        {
            if (!Answers(c))
                return null;
            if (!c.On("Force") && !c.On("Save") && !c.On("TurnOff"))
                throw new PSInvalidOperationException("PowerShell is in NonInteractive mode. Read and Prompt functionality is not available.");
            foreach (JsonObject v in Meant(c))
                c.Do("stop_vm", ("vm", v.S("id")), ("how", c.On("Save") ? "save" : c.On("TurnOff") ? "turn_off" : "shutdown"));
            return null;
        }

        [Handles("Save-VM")]
        static IEnumerable<object> SaveVM(Call c)
        {
            if (Answers(c))
                foreach (JsonObject v in Meant(c))
                    c.Do("stop_vm", ("vm", v.S("id")), ("how", "save"));
            return null;
        }

        [Handles("Start-VM")]
        static IEnumerable<object> StartVM(Call c)
        {
            if (Answers(c))
                foreach (JsonObject v in Meant(c))
                    c.Do("start_vm", ("vm", v.S("id")));
            return null;
        }
    }
}
