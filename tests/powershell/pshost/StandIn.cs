// The body of every emitted cmdlet: looks up the handler of its name and gives it the bound parameters.
using System;
using System.Collections;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Management.Automation.Runspaces;
using System.Reflection;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading;

namespace Pshost
{
    /// <summary>One run of one script: its node, its world, its standard streams.</summary>
    public sealed class Job
    {
        static readonly ConcurrentDictionary<Guid, Job> ByRunspace = new();

        public IWorld World;
        public string Node;
        public string Language = "FullLanguage";
        /// <summary>What -ExecutionPolicy said, or Set-ExecutionPolicy -Scope Process since.</summary>
        public string Policy = "Bypass";
        public TextReader In = TextReader.Null;
        public Action<string> Out = _ => { };
        public Action<string> Err = _ => { };
        /// <summary>What the stand-ins were asked and cannot play; a script's own error handling must not hide it.</summary>
        public string Unplayed;
        public readonly CancellationTokenSource Cancelled = new();
        /// <summary>Commands and parameters that were really bound.</summary>
        public readonly ConcurrentDictionary<string, bool> Used = new();

        public static Job Current => Runspace.DefaultRunspace is Runspace r && ByRunspace.TryGetValue(r.InstanceId, out Job j) ? j : null;

        public void Bind(Runspace r) => ByRunspace[r.InstanceId] = this;
        public static void Unbind(Runspace r) => ByRunspace.TryRemove(r.InstanceId, out _);
    }

    /// <summary>[Console]::In of a script is the standard input of its own job.</summary>
    public sealed class JobReader : TextReader
    {
        public override int Read() => Job.Current.In.Read();
        public override int Peek() => Job.Current.In.Peek();
        public override string ReadToEnd() => Job.Current.In.ReadToEnd();
        public override string ReadLine() => Job.Current.In.ReadLine();
    }

    public sealed class JobWriter : TextWriter
    {
        readonly bool error;
        readonly TextWriter outside;

        public JobWriter(bool error, TextWriter outside) => (this.error, this.outside) = (error, outside);

        public override Encoding Encoding => Encoding.UTF8;
        public override void Write(char c) => Write(c.ToString());
        public override void Write(string s)
        {
            Job j = Job.Current;
            if (j == null)
                outside.Write(s);
            else if (error)
                j.Err(s);
            else
                j.Out(s);
        }
        public override void WriteLine(string s) => Write(s + "\n");
    }

    /// <summary>What a handler sees of its call.</summary>
    public sealed class Call
    {
        readonly StandIn cmdlet;
        JsonObject view;

        public Call(StandIn cmdlet) => this.cmdlet = cmdlet;

        public Job Job => cmdlet.Job;
        public IWorld World => Job.World;
        public string Node => Job.Node;
        public JsonObject View => view ??= World.View(Node);
        public List<object> Kept => cmdlet.Kept;
        public string Set => cmdlet.ParameterSetName;
        public PSCmdlet Cmdlet => cmdlet;

        public bool Has(string name) => cmdlet.MyInvocation.BoundParameters.ContainsKey(name);
        public object Raw(string name) => cmdlet.MyInvocation.BoundParameters.TryGetValue(name, out object v) ?
            v is PSObject p && p.BaseObject is not PSCustomObject ? p.BaseObject : v : null;
        public bool On(string name) => Raw(name) is SwitchParameter s && s.IsPresent;
        public string Text(string name) => Raw(name)?.ToString();
        public string[] Texts(string name) => Raw(name) switch
        {
            null => Array.Empty<string>(),
            string s => new[] { s },
            IEnumerable e => e.Cast<object>().Select(o => o.ToString()).ToArray(),
            object o => new[] { o.ToString() },
        };
        public IEnumerable<SimObject> Objects(string name) => Raw(name) switch
        {
            null => Array.Empty<SimObject>(),
            SimObject o => new[] { o },
            IEnumerable e => e.Cast<object>().Select(o => o is PSObject p ? p.BaseObject : o).OfType<SimObject>(),
            _ => Array.Empty<SimObject>(),
        };

        public JsonObject Do(string verb, params (string, JsonNode)[] args)
        {
            var o = new JsonObject();
            foreach ((string name, JsonNode value) in args)
                o[name] = value;
            view = null;
            return World.Do(Node, verb, o);
        }

        /// <summary>A non-terminating error, as nearly all real cmdlets raise it.</summary>
        public void Error(string id, ErrorCategory category, string message, int hresult = 0)
        {
            Exception e = hresult == 0 ? new InvalidOperationException(message) : new PlatformException(message, hresult);
            cmdlet.WriteError(new ErrorRecord(e, id, category, null));
        }

        public void NotFound(string what, string name) => Error("ObjectNotFound", ErrorCategory.ObjectNotFound,
            "There is no " + what + " named '" + name + "'.");
    }

    /// <summary>An outer exception of the module around the one that carries the HRESULT, as the cluster cmdlets nest them.</summary>
    public sealed class PlatformException : Exception
    {
        public PlatformException(string message, int hresult) : base(message, new Inner(message, hresult)) { }

        sealed class Inner : Exception
        {
            public Inner(string message, int hresult) : base(message) => HResult = hresult;
        }
    }

    [AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
    public sealed class HandlesAttribute : Attribute
    {
        public readonly string Command;
        public readonly bool AtEnd;
        public HandlesAttribute(string command, bool atEnd = false) => (Command, AtEnd) = (command, atEnd);
    }

    public class StandIn : PSCmdlet
    {
        delegate IEnumerable<object> Handler(Call call);

        static readonly Dictionary<string, Handler> Each = Find(false), End = Find(true);

        static readonly HashSet<string> ClusterCommands = Surface.Parameters.Where(r => r.Module == "FailoverClusters").Select(r => r.Command)
            .ToHashSet(StringComparer.OrdinalIgnoreCase);

        internal readonly List<object> Kept = new();
        internal Job Job;

        static Dictionary<string, Handler> Find(bool atEnd) =>
            (from t in typeof(StandIn).Assembly.GetTypes()
             from m in t.GetMethods(BindingFlags.Static | BindingFlags.NonPublic | BindingFlags.Public)
             from a in m.GetCustomAttributes<HandlesAttribute>()
             where a.AtEnd == atEnd
             select (a.Command, m)).ToDictionary(x => x.Command, x => x.m.CreateDelegate<Handler>(), StringComparer.OrdinalIgnoreCase);

        public static bool Handled(string command) => Each.ContainsKey(command) || End.ContainsKey(command);

        protected override void BeginProcessing() => Job = Job.Current ?? throw new InvalidOperationException("no job in this runspace");
        protected override void ProcessRecord() => Run(Each);
        protected override void EndProcessing() => Run(End);

        void Run(Dictionary<string, Handler> table)
        {
            string name = MyInvocation.MyCommand.Name;
            foreach (string p in MyInvocation.BoundParameters.Keys)
                Job.Used[name + "\t" + p] = true;
            Job.Used[name + "\t"] = true;
            if (!table.TryGetValue(name, out Handler handler))
            {
                if (table == Each && !Handled(name))
                    throw new NotSupportedException(Job.Unplayed = name + " is in the surface, but the stand-ins cannot play it");
                return;
            }
            if (table == Each && MyInvocation.MyCommand is CmdletInfo && Surface.Parameters.First(r => r.Command == name && r.Parameter == "").Type != "-"
                && !ShouldProcess(name))
                return;
            try
            {
                var call = new Call(this);
                if (table == Each && ClusterCommands.Contains(name) && call.View["nodes"] == null)
                    throw new WorldError("ClusterServiceNotRunning", "0x80071718", "The cluster service is not running on this node.");
                foreach (object o in handler(call) ?? Enumerable.Empty<object>())
                    WriteObject(o);
            }
            catch (NodeIsOff)
            {
                Job.Cancelled.Cancel();
                throw new PipelineStoppedException();
            }
            catch (NotSupportedException e)
            {
                Job.Unplayed = name + ": " + e.Message;
                throw;
            }
            catch (WorldError e)
            {
                WriteError(new ErrorRecord(new PlatformException(e.Message, e.HResult), e.Id, ErrorCategory.InvalidOperation, null));
            }
        }
    }
}
