// What the set-up of a node (enroll --bootstrap) uses beside the driver's commands: accounts, services' start, firewall, networks.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Text.Json.Nodes;

namespace Pshost
{
    public static class Setup
    {
        static SimObject Sid(string text) => Surface.Make("SecurityIdentifier", ("Value", text));

        static SimObject Account(string type, JsonObject a) => Surface.Make(type, ("Name", a.S("name")), ("SID", Sid(a.S("sid"))));

        static IEnumerable<JsonObject> Wanted(Call c, string list)
        {
            foreach (string name in c.Texts("Name").DefaultIfEmpty(null))
            {
                var hits = c.View.Each(list).Where(a => (name == null || a.S("name").Equals(name, StringComparison.OrdinalIgnoreCase)) &&
                    (!c.Has("SID") || a.S("sid") == c.Text("SID"))).ToList();
                if (hits.Count == 0 && (name != null || c.Has("SID")))
                    c.Error(list == "users" ? "UserNotFound" : "GroupNotFound", ErrorCategory.ObjectNotFound, (name ?? c.Text("SID")) + " was not found.");
                foreach (JsonObject a in hits)
                    yield return a;
            }
        }

        [Handles("Get-LocalUser")]
        static IEnumerable<object> GetLocalUser(Call c) => Wanted(c, "users").Select(a => Account("LocalUser", a));

        [Handles("Get-LocalGroup")]
        static IEnumerable<object> GetLocalGroup(Call c) => Wanted(c, "local_groups").Select(a => Account("LocalGroup", a));

        [Handles("New-LocalUser")]
        static IEnumerable<object> NewLocalUser(Call c)
        {
            if (c.Raw("Password") is not System.Security.SecureString)
                throw new NotSupportedException("an account without a password");
            c.Do("new_user", ("name", c.Text("Name")));
            yield return Account("LocalUser", c.View.Each("users").First(u => u.S("name") == c.Text("Name")));
        }

        static JsonObject Group(Call c)
        {
            JsonObject g = c.View.Each("local_groups").FirstOrDefault(x => c.Has("SID") ? x.S("sid") == c.Text("SID") : x.S("name").Equals(c.Text("Group"), StringComparison.OrdinalIgnoreCase));
            if (g == null)
                c.Error("GroupNotFound", ErrorCategory.ObjectNotFound, "Group was not found.");
            return g;
        }

        [Handles("Get-LocalGroupMember")]
        static IEnumerable<object> GetLocalGroupMember(Call c)
        {
            if (Group(c)?.B("broken") == true)
                throw new InvalidOperationException("Failed to compare two elements in the array.");
            foreach (string sid in Group(c)?.Texts("members") ?? Array.Empty<string>())
                yield return Surface.Make("LocalPrincipal", ("Name", sid), ("SID", Sid(sid)));
        }

        [Handles("Add-LocalGroupMember")]
        static IEnumerable<object> AddLocalGroupMember(Call c)
        {
            if (Group(c) is JsonObject g)
                c.Do("add_member", ("group", g.S("name")), ("user", c.Texts("Member").Single()));
            return null;
        }

        [Handles("ConvertTo-SecureString")]
        static IEnumerable<object> ConvertToSecureString(Call c)
        {
            if (!c.On("AsPlainText") || !c.On("Force"))
                throw new NotSupportedException("only plain text, and only with -Force");
            var s = new System.Security.SecureString();
            foreach (char letter in c.Text("String"))
                s.AppendChar(letter);
            yield return s;
        }

        [Handles("Set-Service")]
        static IEnumerable<object> SetService(Call c)
        {
            c.Do("start_type", ("name", c.Text("Name")), ("start", c.Text("StartupType") switch { "Automatic" => 2, "Manual" => 3, "Disabled" => 4,
                string s => throw new NotSupportedException("start type " + s) }));
            return null;
        }

        [Handles("Restart-Service")]
        static IEnumerable<object> RestartService(Call c)
        {
            foreach (string name in c.Texts("Name"))
            {
                c.Do("stop_service", ("name", name));
                c.Do("start_service", ("name", name));
            }
            return null;
        }

        static bool TheRule(Call c)
        {
            if (c.Texts("Name").SequenceEqual(new[] { "OpenSSH-Server-In-TCP" }) && c.View["firewall"] != null)
                return true;
            c.Error("ObjectNotFound", ErrorCategory.ObjectNotFound, "No MSFT_NetFirewallRule objects found.");
            return false;
        }

        [Handles("Get-NetFirewallRule")]
        static IEnumerable<object> GetNetFirewallRule(Call c)
        {
            if (TheRule(c))
                yield return Surface.Make("MSFT_NetFirewallRule", ("Name", "OpenSSH-Server-In-TCP"), ("Enabled", c.View["firewall"].S("enabled")), ("Profile", c.View["firewall"].S("profile")));
        }

        [Handles("Set-NetFirewallRule")]
        static IEnumerable<object> SetNetFirewallRule(Call c)
        {
            if (TheRule(c))
                foreach (string what in new[] { "Enabled", "Profile" }.Where(c.Has))
                    c.Do("firewall", ("what", what.ToLowerInvariant()), ("value", string.Join(", ", c.Texts(what))));
            return null;
        }

        [Handles("Get-NetConnectionProfile")]
        static IEnumerable<object> GetNetConnectionProfile(Call c) =>
            c.View.Texts("networks_in_use").Select(n => Surface.Make("MSFT_NetConnectionProfile", ("NetworkCategory", n)));

        [Handles("Join-Path")]
        static IEnumerable<object> JoinPath(Call c)
        {
            yield return Path.Combine(c.Texts("Path").Single(), c.Text("ChildPath").Replace('\\', '/'));
        }
    }
}
