// The rest of the machine: services, CIM classes, registry, files, processes, events, hotfixes, packages, BitLocker.
using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Pshost
{
    public static class Machine
    {
        static DateTime Local(long ms) => DateTimeOffset.FromUnixTimeMilliseconds(ms).LocalDateTime;

        // Services

        static SimObject ServiceOf(Call c, JsonObject s, bool related)
        {
            SimObject o = Surface.Make("System.ServiceProcess.ServiceController", ("ServiceName", s.S("name")), ("Name", s.S("name")),
                ("DisplayName", s.S("display") ?? s.S("name")), ("Status", s.N("state")), ("StartType", s.N("start", 2)));
            SimObject[] dependents = related ? c.View.Each("services").Where(d => d.Texts("needs").Contains(s.S("name")))
                .Select(d => ServiceOf(c, d, false)).ToArray() : Array.Empty<SimObject>();
            Array typed = Array.CreateInstance(o.GetType(), dependents.Length);
            Array.Copy(dependents, typed, dependents.Length);
            o.Values["DependentServices"] = typed;
            return o;
        }

        static IEnumerable<JsonObject> Services(Call c)
        {
            foreach (string name in c.Texts("Name").DefaultIfEmpty("*"))
            {
                var pattern = new WildcardPattern(name, WildcardOptions.IgnoreCase);
                var hits = c.View.Each("services").Where(s => pattern.IsMatch(s.S("name")) && !s.B("absent")).ToList();
                if (hits.Count == 0 && !WildcardPattern.ContainsWildcardCharacters(name))
                    c.Error("NoServiceFoundForGivenName", ErrorCategory.ObjectNotFound, "Cannot find any service with service name '" + name + "'.");
                foreach (JsonObject s in hits)
                    yield return s;
            }
        }

        [Handles("Get-Service")]
        static IEnumerable<object> GetService(Call c) => Services(c).Select(s => ServiceOf(c, s, true));

        [Handles("Stop-Service")]
        static IEnumerable<object> StopService(Call c)
        {
            foreach (JsonObject s in Services(c).ToList())
            {
                var dependents = c.View.Each("services").Where(d => d.Texts("needs").Contains(s.S("name")) && d.N("state") == 4).ToList();
                if (dependents.Count > 0 && !c.On("Force"))
                {
                    c.Error("ServiceHasDependentServices", ErrorCategory.InvalidOperation, "Cannot stop service because it has dependent services.");
                    continue;
                }
                foreach (JsonObject d in dependents)
                    c.Do("stop_service", ("name", d.S("name")));
                // A service on its way takes no control.
                if (s.N("state") is 2 or 3)
                    c.Error("CouldNotStopService", ErrorCategory.CloseError, "Service cannot be stopped.", unchecked((int)0x80070425));
                else if (s.N("state") != 1)
                    c.Do("stop_service", ("name", s.S("name")), ("nowait", c.On("NoWait")));
            }
            return null;
        }

        [Handles("Start-Service")]
        static IEnumerable<object> StartService(Call c)
        {
            foreach (JsonObject s in Services(c).ToList())
            {
                c.Cmdlet.WriteWarning("Waiting for service '" + s.S("name") + "' to start...");
                if (s.N("state") == 3)
                    c.Error("CouldNotStartService", ErrorCategory.OpenError, "Service cannot be started.", unchecked((int)0x80070420));
                else if (s.N("state") != 4)
                    c.Do("start_service", ("name", s.S("name")));
            }
            return null;
        }

        // CIM

        static SimObject Process(JsonObject p) => Surface.Make("Win32_Process", ("Name", p.S("name")), ("ProcessId", p.N("pid")),
            ("CommandLine", p.S("command")), ("CreationDate", Local(p.N("at_ms"))));

        static IEnumerable<JsonObject> Processes(Call c)
        {
            JsonObject At(string name, long pid, long ms, string command) => new()
            { ["name"] = name, ["pid"] = pid, ["at_ms"] = ms, ["command"] = command };
            yield return At("smss.exe", 500, c.View.N("boot_ms"), null);
            int pid = 4000;
            if (c.View["workers"] != null)
                foreach (string id in c.View.Texts("workers"))
                    yield return At("vmwp.exe", pid += 4, c.View.N("now_ms"), @"C:\Windows\System32\vmwp.exe " + id.ToUpperInvariant());
            else foreach (JsonObject v in c.View.Each("all_vms"))
                if (v.S("node") == c.View.S("node") && v.S("state") is not ("off" or "saved"))
                    yield return At("vmwp.exe", pid += 4, c.View.N("now_ms"), @"C:\Windows\System32\vmwp.exe " + v.S("id").ToUpperInvariant());
            if (c.View.S("servicing") is string s && s != "idle")
                yield return At("TiWorker.exe", 900, c.View.N("now_ms"), null);
            foreach (JsonObject p in c.View.Each("processes"))
                yield return p;
        }

        [Handles("Get-CimInstance")]
        static IEnumerable<object> GetCimInstance(Call c)
        {
            JsonObject v = c.View;
            switch (c.Text("ClassName"))
            {
                case "Win32_OperatingSystem":
                    yield return Surface.Make("Win32_OperatingSystem", ("Caption", v.S("caption")), ("BuildNumber", v.S("build")),
                        ("LastBootUpTime", Local(v.N("boot_ms"))), ("LocalDateTime", Local(v.N("now_ms"))), ("ProductType", v.N("product_type", 3)),
                        ("TotalVisibleMemorySize", v.N("memory_mib") * 1024));
                    break;
                case "Win32_ComputerSystem":
                    yield return Surface.Make("Win32_ComputerSystem", ("Model", v.S("model")), ("Manufacturer", v.S("manufacturer")), ("Name", v.S("node")),
                        ("NumberOfLogicalProcessors", v.N("cpus")), ("TotalPhysicalMemory", v.N("memory_mib") << 20), ("Domain", "lab.example"));
                    break;
                case "Win32_BIOS":
                    yield return Surface.Make("Win32_BIOS", ("SMBIOSBIOSVersion", v.S("firmware")));
                    break;
                case "Win32_LogicalDisk" when c.Text("Filter") == "DeviceID='C:'":
                    yield return Surface.Make("Win32_LogicalDisk", ("DeviceID", "C:"), ("FreeSpace", v.N("free_disk_bytes")));
                    break;
                case "Win32_Process":
                    Match name = Regex.Match(c.Text("Filter") ?? "", "^(Name='([^']+)'( OR )?)+$");
                    if (c.Has("Filter") && !name.Success)
                        throw new NotSupportedException("filter: " + c.Text("Filter"));
                    string[] names = name.Groups[2].Captures.Select(x => x.Value).ToArray();
                    foreach (JsonObject p in Processes(c))
                        if (names.Length == 0 || names.Contains(p.S("name"), StringComparer.OrdinalIgnoreCase))
                            yield return Process(p);
                    break;
                case "Win32_DeviceGuard" when c.Text("Namespace") == "root/Microsoft/Windows/DeviceGuard":
                    yield return Surface.Make("Win32_DeviceGuard", ("VirtualizationBasedSecurityStatus", v.N("vbs")));
                    break;
                case "Win32_NTDomain":
                    if (v.S("dc") != null)
                        yield return Surface.Make("Win32_NTDomain", ("DomainControllerName", @"\\" + v.S("dc")));
                    break;
                default:
                    c.Error("HRESULT 0x80041010", ErrorCategory.MetadataError, "Invalid class " + c.Text("ClassName"), unchecked((int)0x80041010));
                    break;
            }
        }

        [Handles("Get-HotFix")]
        static IEnumerable<object> GetHotFix(Call c)
        {
            var all = c.View.Each("hotfixes").ToList();
            foreach (string id in c.Texts("Id"))
                if (all.All(h => h.S("id") != id))
                    c.Error("GetHotFixNoEntriesFound", ErrorCategory.ObjectNotFound, "Cannot find the requested hotfix on the 'localhost' computer.");
            foreach (JsonObject h in all)
                if (!c.Has("Id") || c.Texts("Id").Contains(h.S("id")))
                    yield return WithDate(Surface.Make("Win32_QuickFixEngineering", ("HotFixID", h.S("id")), ("InstalledOn", h.S("installed_on"))));
        }

        // Windows' type data put a property of the same name over the text, which parses it when it is read, and throws where it cannot.
        static PSObject WithDate(SimObject fix)
        {
            PSObject o = PSObject.AsPSObject(fix);
            o.Properties.Add(new PSCodeProperty("InstalledOn", typeof(Machine).GetMethod(nameof(ReadDate))));
            return o;
        }

        public static object ReadDate(PSObject fix) =>
            ((SimObject)fix.BaseObject).Values["InstalledOn"] is string text ? DateTime.Parse(text, System.Globalization.CultureInfo.InvariantCulture) : null;

        [Handles("Get-Tpm")]
        static IEnumerable<object> GetTpm(Call c)
        {
            if (c.View["tpm"] == null)
            {
                c.Error("TpmError", ErrorCategory.NotSpecified, "The TPM base services do not answer.");
                yield break;
            }
            yield return Surface.Make("Microsoft.Tpm.Commands.TpmObject", ("TpmPresent", c.View.B("tpm")), ("TpmReady", c.View.B("tpm")));
        }

        [Handles("Get-PcsvDevice")]
        static IEnumerable<object> GetPcsvDevice(Call c)
        {
            if (c.View.S("bmc") == null)
                c.Error("HRESULT 0x8007010b", ErrorCategory.NotSpecified, "The IPMI driver is not there.", unchecked((int)0x8007010B));
            else
                yield return Surface.Make("MSFT_PCSVDevice", ("IPv4Address", c.View.S("bmc")));
        }

        [Handles("Get-HgsClientConfiguration")]
        static IEnumerable<object> GetHgsClientConfiguration(Call c)
        {
            yield return Surface.Make("Microsoft.Windows.HgsClient.HgsClientConfiguration", ("IsHostGuarded", c.View.S("attestation") == "passed"),
                ("AttestationStatus", c.View.S("attestation") switch { null => "NotConfigured", "passed" => "Passed", string s => s }),
                ("Mode", c.View.S("attestation") == null ? "Local" : "HostGuardianService"));
        }

        [Handles("Get-SmbBandwidthLimit")]
        static IEnumerable<object> GetSmbBandwidthLimit(Call c)
        {
            long mib = c.View["properties"].N("migration_bandwidth_mib_s");
            if (mib > 0)
                yield return Surface.Make("MSFT_SmbBandwidthLimit", ("Category", "LiveMigration"), ("BytesPerSecond", mib << 20));
        }

        [Handles("Get-ScheduledTask")]
        static IEnumerable<object> GetScheduledTask(Call c)
        {
            foreach (JsonObject t in c.View.Each("tasks"))
                if (!c.Has("TaskPath") || c.Texts("TaskPath").Contains(t.S("path")))
                    yield return Surface.Make("MSFT_ScheduledTask", ("TaskName", t.S("name")), ("TaskPath", t.S("path")), ("State", t.S("state")));
        }

        // BitLocker

        [Handles("Get-BitLockerVolume")]
        static IEnumerable<object> GetBitLockerVolume(Call c)
        {
            JsonNode b = c.View["bitlocker"];
            Type protector = Surface.Types["Microsoft.BitLocker.Structures.BitLockerVolumeKeyProtector"];
            string[] kinds = b.Texts("protectors");
            Array list = Array.CreateInstance(protector, kinds.Length);
            for (int i = 0; i < kinds.Length; i++)
                list.SetValue(Surface.Make(protector.FullName, ("KeyProtectorType", kinds[i])), i);
            SimObject v = Surface.Make("Microsoft.BitLocker.Structures.BitLockerVolume", ("MountPoint", "C:"), ("VolumeType", "OperatingSystem"),
                ("ProtectionStatus", b.S("state") == "on" ? "On" : "Off"));
            v.Values["KeyProtector"] = list;
            yield return v;
        }

        [Handles("Suspend-BitLocker")]
        static IEnumerable<object> SuspendBitLocker(Call c)
        {
            c.Do("bitlocker_suspend", ("reboots", c.Has("RebootCount") ? (int)c.Raw("RebootCount") : 1));
            return null;
        }

        // Events

        [Handles("Get-WinEvent")]
        static IEnumerable<object> GetWinEvent(Call c)
        {
            var filters = (c.Raw("FilterHashtable") as Hashtable[] ?? new[] { (Hashtable)c.Raw("FilterHashtable") });
            if (filters[0] == null)
                throw new NotSupportedException("events are only queried by hash table");
            int n = 0;
            foreach (Hashtable f in filters)
            {
                object Key(string k) => f.Keys.Cast<string>().Where(x => x.Equals(k, StringComparison.OrdinalIgnoreCase)).Select(x => Plain(f[x])).FirstOrDefault();
                foreach (string k in f.Keys)
                    if (!new[] { "LogName", "ProviderName", "Path", "Keywords", "ID", "Level", "StartTime", "EndTime", "UserID", "Data" }
                        .Contains(k, StringComparer.OrdinalIgnoreCase))
                        throw new NotSupportedException("filter key " + k);
                var logs = Strings(Key("LogName")).ToList();
                foreach (string log in logs.Where(l => c.View["logs"] is JsonArray known && !known.Any(x => (string)x == l)))
                    c.Error("NoMatchingLogsFound", ErrorCategory.ObjectNotFound, "There is not an event log that matches \"" + log + "\".");
                foreach (JsonObject e in c.View.Each("events").OrderByDescending(e => e.N("record")))
                    if (logs.Contains(e.S("log"), StringComparer.OrdinalIgnoreCase) &&
                        (Key("ProviderName") == null || Strings(Key("ProviderName")).Contains(e.S("provider"), StringComparer.OrdinalIgnoreCase)) &&
                        (Key("ID") == null || Strings(Key("ID")).Contains(e.S("id"))) &&
                        (Key("Level") == null || Strings(Key("Level")).Contains(e.S("level"))) &&
                        (Key("StartTime") == null || Local(e.N("at_ms")) >= ((DateTime)Key("StartTime")).ToLocalTime()))
                    {
                        n++;
                        yield return EventOf(e);
                    }
            }
            if (n == 0)
                c.Error("NoMatchingEventsFound", ErrorCategory.ObjectNotFound, "No events were found that match the specified selection criteria.");
        }

        static object Plain(object o) => o is PSObject p ? p.BaseObject : o;

        static IEnumerable<string> Strings(object o) => o is string s ? new[] { s } : o is IEnumerable e ?
            e.Cast<object>().Select(x => Plain(x).ToString()) : o == null ? Array.Empty<string>() : new[] { o.ToString() };

        static SimObject EventOf(JsonObject e)
        {
            const string property = "System.Diagnostics.Eventing.Reader.EventProperty";
            JsonArray values = e["values"] as JsonArray ?? new JsonArray();
            Array list = Array.CreateInstance(Surface.Types[property], values.Count);
            for (int i = 0; i < values.Count; i++)
                list.SetValue(Surface.Make(property, ("Value", values[i] is JsonObject b ? System.Text.Encoding.Unicode.GetBytes(b.S("utf16")) : values[i]?.ToString())), i);
            SimObject o = Surface.Make("System.Diagnostics.Eventing.Reader.EventLogRecord", ("Id", e.N("id")), ("Level", e.N("level")),
                ("LogName", e.S("log")), ("ProviderName", e.S("provider")), ("RecordId", e.N("record")), ("TimeCreated", Local(e.N("at_ms"))),
                ("Message", "\u6587\u5b57 localised text that no script may parse"));
            o.Values["Properties"] = list;
            return o;
        }

        // Registry and files

        const string Cbs = @"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing";

        static Dictionary<string, Dictionary<string, object>> Registry(Call c)
        {
            JsonObject v = c.View;
            var r = new Dictionary<string, Dictionary<string, object>>(StringComparer.OrdinalIgnoreCase)
            {
                [@"HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion"] = new()
                { ["CurrentBuildNumber"] = v.S("build"), ["UBR"] = (int)v.N("ubr"), ["ProductName"] = v.S("caption"), ["InstallationType"] = "Server Core" },
                [@"HKLM:\SOFTWARE\Microsoft\Cryptography"] = new() { ["MachineGuid"] = v.S("machine_id") },
                [@"HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\Parameters"] = new()
                { ["Type"] = v.S("time_type") ?? "NTP", ["NtpServer"] = v.S("ntp") ?? "" },
                [@"HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager"] = v.Texts("marks").Contains("PendingFileRenameOperations") ?
                    new() { ["PendingFileRenameOperations"] = new[] { @"\??\C:\x", "" } } : new(),
                [@"HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization"] = v["host_reserve_mib"] == null ? new() :
                    new() { ["MemoryReserve"] = (int)v.N("host_reserve_mib") },
                [@"HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName\ActiveComputerName"] = new() { ["ComputerName"] = v.S("node") },
                [@"HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName\ComputerName"] = new()
                { ["ComputerName"] = v.Texts("marks").Contains("ComputerRename") ? "NEW-NAME" : v.S("node") },
                [Cbs + @"\Packages"] = new(),
            };
            if (v["default_shell"] != null)
                r[@"HKLM:\SOFTWARE\OpenSSH"] = new() { ["DefaultShell"] = v.S("default_shell") };
            // The key is there on every server; only its value tells.
            r[@"HKLM:\SOFTWARE\Microsoft\ServerManager\ServicingStorage\ServerComponentCache"] =
                v.Texts("marks").Contains("ServerManagerRestart") ? new() { ["RestartRequired"] = 1 } : new();
            foreach (JsonObject p in v.Each("packages"))
                if (p.N("state") != 0)
                    r[Cbs + @"\Packages\" + p.S("identity")] = new() { ["CurrentState"] = (int)p.N("state") };
            foreach (string mark in v.Texts("marks"))
                if (mark is "RebootPending" or "PackagesPending" or "RebootInProgress")
                    r[Cbs + @"\" + mark] = new();
                else if (mark == "RebootRequired")
                    r[@"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired"] = new();
            return r;
        }

        static bool IsRegistry(string path) => path.StartsWith("HKLM:", StringComparison.OrdinalIgnoreCase);

        static string OnlyPath(Call c) => c.Texts("LiteralPath").Concat(c.Texts("Path")).Single();

        [Handles("Test-Path")]
        static IEnumerable<object> TestPath(Call c)
        {
            string path = OnlyPath(c);
            const string Publishers = @"Cert:\LocalMachine\TrustedPublisher";
            if (IsRegistry(path))
                yield return Registry(c).ContainsKey(path.TrimEnd('\\'));
            else if (path.StartsWith("Cert:"))
                yield return path == Publishers || c.View.Texts("publishers").Any(p => path == Publishers + "\\" + p);
            else if (Windows(c, path) is string text)
                yield return text != "";
            else
                yield return c.Text("PathType") == "Leaf" ? File.Exists(path) : c.Text("PathType") == "Container" ? Directory.Exists(path) : Path.Exists(path);
        }

        /// <summary>Files of the node's own C: drive that the world plays: null = not such a path, "" = absent.</summary>
        static string Windows(Call c, string path)
        {
            if (!path.StartsWith(@"C:\", StringComparison.OrdinalIgnoreCase))
                return null;
            if (path.Equals(@"C:\Windows\WinSxS\pending.xml", StringComparison.OrdinalIgnoreCase))
                return c.View.Texts("marks").Contains("pending.xml") ? "<pending/>" : "";
            if (path.StartsWith(@"C:\Windows\System32\", StringComparison.OrdinalIgnoreCase))
                return "MZ";
            Match mum = Regex.Match(path, @"^C:\\Windows\\servicing\\Packages\\(.+)\.mum$", RegexOptions.IgnoreCase);
            JsonObject p = mum.Success ? c.View.Each("packages").FirstOrDefault(x => x.S("identity") == mum.Groups[1].Value) : null;
            return p == null ? "" : "<assembly><package identifier=\"x\" releaseType=\"Update\" restart=\"possible\"" +
                (p.B("permanent") ? " permanence=\"permanent\"" : "") + "/></assembly>";
        }

        [Handles("Get-ItemProperty")]
        static IEnumerable<object> GetItemProperty(Call c)
        {
            string path = OnlyPath(c);
            if (!IsRegistry(path))
                throw new NotSupportedException("Get-ItemProperty outside the registry");
            if (!Registry(c).TryGetValue(path.TrimEnd('\\'), out var key))
            {
                c.Error("PathNotFound", ErrorCategory.ObjectNotFound, "Cannot find path '" + path + "' because it does not exist.");
                yield break;
            }
            var o = new PSObject();
            foreach ((string name, object value) in key)
                if (!c.Has("Name") || c.Texts("Name").Contains(name, StringComparer.OrdinalIgnoreCase))
                    o.Properties.Add(new PSNoteProperty(name, value));
            foreach (string missing in c.Texts("Name").Where(n => !key.Keys.Contains(n, StringComparer.OrdinalIgnoreCase)))
                c.Error("System.Management.Automation.PSArgumentException", ErrorCategory.InvalidArgument, "Property " + missing + " does not exist at path " + path + ".");
            if (o.Properties.Any() || !c.Has("Name"))
                yield return o;
        }

        [Handles("Get-ChildItem")]
        static IEnumerable<object> GetChildItem(Call c)
        {
            string path = OnlyPath(c);
            if (!c.On("Name"))
                throw new NotSupportedException("children are only asked for their names");
            if (!IsRegistry(path))
            {
                foreach (string f in Directory.Exists(path) ? Directory.EnumerateFileSystemEntries(path) : Array.Empty<string>())
                    yield return Path.GetFileName(f);
                yield break;
            }
            string parent = path[..path.LastIndexOf('\\')];
            var pattern = new WildcardPattern(path[(parent.Length + 1)..], WildcardOptions.IgnoreCase);
            foreach (string k in Registry(c).Keys)
                if (k.StartsWith(parent + "\\", StringComparison.OrdinalIgnoreCase) && pattern.IsMatch(k[(parent.Length + 1)..]))
                    yield return k[(parent.Length + 1)..];
        }

        [Handles("Get-Content")]
        static IEnumerable<object> GetContent(Call c)
        {
            string path = OnlyPath(c), text = Windows(c, path) ?? (File.Exists(path) ? File.ReadAllText(path) : "");
            if (text == "" && !File.Exists(path))
                c.Error("PathNotFound", ErrorCategory.ObjectNotFound, "Cannot find path '" + path + "' because it does not exist.");
            else if (c.On("Raw"))
                yield return text;
            else
                foreach (string line in text.TrimEnd('\n').Split('\n'))
                    yield return line.TrimEnd('\r');
        }

        [Handles("New-Item")]
        static IEnumerable<object> NewItem(Call c)
        {
            yield return Directory.CreateDirectory(OnlyPath(c));
        }

        [Handles("Get-Item")]
        static IEnumerable<object> GetItem(Call c)
        {
            string path = OnlyPath(c);
            if (File.Exists(path))
                yield return new FileInfo(path);
            else if (Directory.Exists(path))
                yield return new DirectoryInfo(path);
            else
                c.Error("PathNotFound", ErrorCategory.ObjectNotFound, "Cannot find path '" + path + "' because it does not exist.");
        }

        static IEnumerable<object> FileEffect(Call c, Action act)
        {
            try
            {
                act();
            }
            catch (IOException e)
            {
                c.Error("IOException", ErrorCategory.WriteError, e.Message, e.HResult);
            }
            return null;
        }

        [Handles("Copy-Item")]
        static IEnumerable<object> CopyItem(Call c) => FileEffect(c, () => Copy(OnlyPath(c), c.Text("Destination"), c.On("Force"), c.On("Recurse")));

        /// <summary>Into a folder that is there; with -Recurse a folder with all that is in it.</summary>
        static void Copy(string from, string to, bool force, bool recurse)
        {
            if (Directory.Exists(to))
                to = Path.Combine(to, Path.GetFileName(from));
            if (!Directory.Exists(from))
                File.Copy(from, to, force);
            else
            {
                Directory.CreateDirectory(to);
                foreach (string child in recurse ? Directory.GetFileSystemEntries(from) : Array.Empty<string>())
                    Copy(child, to, force, true);
            }
        }

        [Handles("Move-Item")]
        static IEnumerable<object> MoveItem(Call c) => FileEffect(c, () => File.Move(OnlyPath(c), c.Text("Destination"), c.On("Force")));

        [Handles("Remove-Item")]
        static IEnumerable<object> RemoveItem(Call c) => FileEffect(c, () =>
        {
            if (c.World is MiniWorld && c.View.S("in_use") is string held && Path.GetFileName(OnlyPath(c)).StartsWith(held))
                throw new IOException("The process cannot access the file because it is being used by another process.", unchecked((int)0x80070020));
            if (Directory.Exists(OnlyPath(c)))
                Directory.Delete(OnlyPath(c), c.On("Recurse"));
            else
                File.Delete(OnlyPath(c));
        });

        // The mode of a file here stands for its ACL there: nothing for group and others = SYSTEM and administrators only.

        const string Locked = "O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)", Open = "O:BAG:SYD:AI(A;OICI;FA;;;SY)(A;OICI;0x1301bf;;;BU)";

        [Handles("Get-Acl")]
        static IEnumerable<object> GetAcl(Call c)
        {
            string path = OnlyPath(c);
            if (Written(path) is string sddl)
            {
                yield return new SimAcl { Sddl = sddl };
                yield break;
            }
            if (path.StartsWith(@"C:\Windows\"))
            {
                yield return new SimAcl { Sddl = Locked };
                yield break;
            }
            UnixFileMode mode = File.GetUnixFileMode(path);
            bool open = (mode & (UnixFileMode.GroupWrite | UnixFileMode.OtherWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead)) != 0;
            yield return new SimAcl { Sddl = open ? Open : Locked };
        }

        /// <summary>Rights that icacls.exe of setup_programs.py has written beside the file: the owner, then a rule per line; a file without rules has its folder's.</summary>
        static string Written(string path)
        {
            string[] own = File.Exists(path + ".acl") ? File.ReadAllLines(path + ".acl") : Array.Empty<string>(), above = Array.Empty<string>();
            string folder = Path.GetDirectoryName(path);
            if (own.Length < 2 && File.Exists(folder + ".acl"))
                above = File.ReadAllLines(folder + ".acl").Skip(1).Select(r => r.Replace(";OICI;", ";ID;")).ToArray();
            return own.Length + above.Length == 0 ? null :
                (own.Length > 0 ? own[0] : "O:S-1-5-21-1-2-3-500") + "G:SYD:" + string.Concat(own.Skip(1)) + string.Concat(above);
        }

        [Handles("Set-Acl")]
        static IEnumerable<object> SetAcl(Call c)
        {
            SimAcl acl = (SimAcl)c.Raw("AclObject");
            File.SetUnixFileMode(OnlyPath(c), acl.Sddl.Contains(";;;BU)") || acl.Sddl.Contains(";;;WD)") ?
                (UnixFileMode)0b111_101_101 : UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            return null;
        }

        public sealed class SimAcl
        {
            public string Sddl { get; set; }
            public void SetSecurityDescriptorSddlForm(string sddl) => Sddl = sddl;
        }

        [Handles("Get-ExecutionPolicy")]
        static IEnumerable<object> GetExecutionPolicy(Call c)
        {
            yield return Policy(c.Job);
        }

        /// <summary>A group policy stands above what a process was started with.</summary>
        public static string Policy(Job job) => (job.World as MiniWorld)?.View(job.Node).S("group_policy") ?? job.Policy;

        [Handles("Set-ExecutionPolicy")]
        static IEnumerable<object> SetExecutionPolicy(Call c)
        {
            if (c.Text("Scope") != "Process" || !c.On("Force"))
                throw new NotSupportedException("a policy is set for this process alone, and without asking");
            c.Job.Policy = c.Text("ExecutionPolicy");
            if (Policy(c.Job) != c.Job.Policy)
                c.Error("ExecutionPolicyOverride", ErrorCategory.PermissionDenied, "the setting is overridden by a policy defined at a more specific scope");
            return null;
        }

        /// <summary>Under AllSigned no unsigned script runs, and no unsigned module is loaded (PSH about_Execution_Policies); the engine itself asks
        /// for no policy outside Windows. No module of the driver is signed.</summary>
        public static string Refusal(Job job, string file) => Policy(job) != "AllSigned" || SignedBy(file).Status == "Valid" ? null :
            "File " + file + " cannot be loaded. The file " + file + " is not digitally signed.";

        public static void RefuseModules(object sender, CommandLookupEventArgs lookup)
        {
            if (lookup.CommandName == "Import-Module" && Job.Current is Job job && Policy(job) == "AllSigned")
                lookup.CommandScriptBlock = ScriptBlock.Create("throw (New-Object -TypeName System.Management.Automation.PSSecurityException -ArgumentList " +
                    "('File ' + @($args)[-1][0] + ' cannot be loaded. The file is not digitally signed.'))");
        }

        // Servicing programs

        [Handles("Get-WindowsPackage")]
        static IEnumerable<object> GetWindowsPackage(Call c)
        {
            foreach (JsonObject p in c.View.Each("packages"))
                if (p.N("state") != 0)
                    yield return Surface.Make("Microsoft.Dism.Commands.BasicPackageObject", ("PackageName", p.S("identity")),
                        ("PackageState", p.N("state") switch { 112 => 4, 96 => 5, 80 => 6, 64 => 2, 5 => 1, _ => 0 }));
        }

        [Handles("Start-Process")]
        static IEnumerable<object> StartProcess(Call c)
        {
            string program = Path.GetFileName(c.Text("FilePath").Replace('\\', '/')).ToLowerInvariant();
            // As on Windows the list is joined with blanks: whoever wants quotes writes them.
            string line = string.Join(' ', c.Texts("ArgumentList"));
            if (!c.On("Wait") || !c.On("PassThru"))
                throw new NotSupportedException("a program is waited for, and its exit code is read");
            long exit = program switch
            {
                "dism.exe" => Dism(c, line),
                "wusa.exe" => Wusa(c, line),
                "shutdown.exe" => c.Do("reboot", ("line", line)).N("exit"),
                "whoami.exe" => 0,
                "powershell.exe" => Child(c, line),
                "vssadmin.exe" => Vss(c, line),
                _ => throw new NotSupportedException("program " + program),
            };
            yield return Surface.Make("System.Diagnostics.Process", ("Id", 4242), ("HasExited", true), ("ExitCode", unchecked((int)(uint)exit)));
        }

        /// <summary>A PowerShell of its own in the same world, as -File starts one.</summary>
        static long Child(Call c, string line)
        {
            Match file = Regex.Match(line, "^-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File \"([^\"]+)\"$");
            if (!file.Success)
                throw new NotSupportedException("powershell.exe " + line);
            var text = new System.Text.StringBuilder();
            var job = new Job
            {
                World = c.World, Node = c.Node, In = new StringReader(File.ReadAllText(c.Text("RedirectStandardInput"))), Out = s => text.Append(s),
                Err = c.Job.Err,
            };
            int rc = Program.RunScript(job, Path.GetFullPath(file.Groups[1].Value), true, false);
            File.WriteAllText(c.Text("RedirectStandardOutput"), text.ToString());
            return rc;
        }

        /// <summary>The stand-in's signature: a last line "# SIG # " with the digest of what is above it and the signer's thumbprint.</summary>
        [Handles("Get-AuthenticodeSignature")]
        static IEnumerable<object> GetAuthenticodeSignature(Call c)
        {
            if (c.Texts("FilePath").Single().EndsWith(".msu"))
            {
                SimObject signer = Surface.Make("X509Certificate2", ("Subject", c.View.S("signer") ?? "CN=Microsoft Corporation, O=Microsoft Corporation, C=US"));
                yield return Surface.Make("Signature", ("Status", c.View.S("signature") ?? "Valid"), ("SignerCertificate", signer));
            }
            else
            {
                (string status, string signer) = SignedBy(c.Texts("FilePath").Single());
                yield return Surface.Make("Signature", ("Status", status),
                    ("SignerCertificate", signer == null ? null : Surface.Make("X509Certificate2", ("Subject", "CN=Signer " + signer), ("Thumbprint", signer))));
            }
        }

        static (string Status, string Signer) SignedBy(string path)
        {
            string text = File.ReadAllText(path);
            int at = text.LastIndexOf("# SIG # ", StringComparison.Ordinal);
            if (at < 0)
                return ("NotSigned", null);
            string digest = Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.ASCII.GetBytes(text[..at]))).ToLowerInvariant();
            string[] words = text[(at + 8)..].Trim().Split(' ');
            return (words[0] == digest ? "Valid" : "HashMismatch", words[1]);
        }

        static long Dism(Call c, string line)
        {
            Match add = Regex.Match(line, "^/English /Online /Add-Package /PackagePath:\"([^\"]+)\" /NoRestart /Quiet$"),
                  remove = Regex.Match(line, "^/English /Online /Remove-Package /PackageName:(\\S+) /NoRestart /Quiet$");
            if (add.Success)
                return Package(c, "dism", add.Groups[1].Value);
            if (remove.Success)
                return c.Do("remove", ("identity", remove.Groups[1].Value)).N("exit");
            return 87;
        }

        static long Wusa(Call c, string line)
        {
            Match add = Regex.Match(line, "^\"([^\"]+)\" /quiet /norestart$");
            return add.Success ? Package(c, "wusa", add.Groups[1].Value) : 87;
        }

        static long Package(Call c, string tool, string path)
        {
            if (!File.Exists(path))
                return 2;
            JsonNode known = c.World.Catalog(c.Node, path);
            // Checkpoint packages are looked for beside the target; one that is missing ends it (CBS_E_MISSING_PREREQUISITE_BASELINES).
            if (known.Texts("needs").Any(n => !File.Exists(Path.Combine(Path.GetDirectoryName(path), n))))
                return unchecked((long)0x800F0838);
            return known == null ? unchecked((long)0x800F081E) :
                c.Do("install", ("tool", tool), ("path", path), ("kb", known.S("kb")), ("build", known.N("build")), ("ubr", known.N("ubr"))).N("exit");
        }

        static long Vss(Call c, string line)
        {
            if (line != "list writers")
                return 2;
            // Localised words; only GUIDs and the number in brackets are the same everywhere.
            File.WriteAllLines(c.Text("RedirectStandardOutput"), c.View.Each("writers").SelectMany(w => new[]
            { "Verfassername: \"x\"", "   Verfasserkennung: {" + w.S("id") + "}", "   Verfasserinstanzkennung: {0f0e0d0c-0000-0000-0000-000000000001}",
              "   Status: [" + w.N("state", 1) + "] Stabil", "" }));
            return 0;
        }
    }
}
