// pshost: the genuine PowerShell engine with stand-ins for the Windows modules (tests/powershell/README.md).
using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Management.Automation.Runspaces;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading;
using System.Threading.Tasks;

namespace Pshost
{
    public static class Program
    {
        static readonly ConcurrentDictionary<string, MiniWorld> Minis = new();
        static readonly ConcurrentDictionary<string, bool> Used = new();
        static readonly ConcurrentBag<Runspace> Idle = new();
        static TextWriter console, errors;

        public static int Main(string[] args)
        {
            console = Console.Out;
            errors = Console.Error;
            Environment.SetEnvironmentVariable("SystemRoot", @"C:\Windows");
            Environment.SetEnvironmentVariable("SystemDrive", "C:");
            switch (args.FirstOrDefault())
            {
                case "--check-5.1" when args.Length > 2:
                    return Check.Run(args[1], args.Skip(2).ToList(), console);
                case "surface" when args.Length == 2:
                    Surface.Load(args[1]);
                    using (Runspace r = Open())
                        foreach (string line in Surface.Live(r))
                            console.WriteLine(line);
                    foreach (string command in Surface.Commands.Keys.Where(c => !StandIn.Handled(c)))
                        console.WriteLine("unplayed\t" + command);
                    return 0;
                case "core":
                    using (Runspace r = RunspaceFactory.CreateRunspace(InitialSessionState.CreateDefault2()))
                    {
                        r.Open();
                        foreach (string line in Surface.Live(r).Select(l => l.Split('\t')[0]).Distinct())
                            console.WriteLine(line);
                    }
                    return 0;
                case "serve" when args.Length == 3:
                    return Serve(args[1], args[2]);
                default:
                    errors.WriteLine("usage: pshost --check-5.1 ALLOW FILE... | surface TABLES | core | serve SOCKET TABLES");
                    return 2;
            }
        }

        static Runspace Open(bool constrained = false)
        {
            InitialSessionState iss = InitialSessionState.CreateDefault2();
            foreach ((string name, Type type) in Surface.Commands)
                iss.Commands.Add(new SessionStateCmdletEntry(name, type, null));
            iss.Variables.Add(new SessionStateVariableEntry("PSModuleAutoLoadingPreference", PSModuleAutoLoadingPreference.None, ""));
            iss.ThrowOnRunspaceOpenError = true;
            if (constrained)
                iss.LanguageMode = PSLanguageMode.ConstrainedLanguage;
            Runspace r = RunspaceFactory.CreateRunspace(iss);
            r.ThreadOptions = PSThreadOptions.UseCurrentThread;
            r.Open();
            r.SessionStateProxy.InvokeCommand.PreCommandLookupAction = Machine.RefuseModules;
            return r;
        }

        // The wrapper is what powershell.exe -File does around a script: its exit code, an uncaught error to standard error and 1.
        const string Wrapper = "param($__file, $__state)\n$global:ErrorActionPreference = 'Continue'\n$global:LASTEXITCODE = 0\n" +
            "& $__file\n$__state['rc'] = $global:LASTEXITCODE\n";

        internal static int RunScript(Job job, string file, bool fresh, bool constrained)
        {
            if (fresh || !Idle.TryTake(out Runspace r))
                r = Open(constrained);
            var state = new System.Collections.Hashtable { ["rc"] = 0 };
            job.Bind(r);
            try
            {
                if (Machine.Refusal(job, file) is string refusal)
                    throw new PSSecurityException(refusal);
                using PowerShell ps = PowerShell.Create();
                ps.Runspace = r;
                using CancellationTokenRegistration stop = job.Cancelled.Token.Register(() => ps.BeginStop(_ => { }, null));
                ps.AddScript(Wrapper).AddParameter("__file", file).AddParameter("__state", state);
                job.Cancelled.Token.ThrowIfCancellationRequested();
                foreach (PSObject o in ps.Invoke())
                    job.Out(o + "\n");
                foreach (WarningRecord w in ps.Streams.Warning) // powershell.exe puts them between the answers
                    job.Out("WARNING: " + w.Message + "\n");
                foreach (ErrorRecord e in ps.Streams.Error)
                    job.Err(e.FullyQualifiedErrorId + ": " + e + "\n");
            }
            catch (Exception e) when (e is PipelineStoppedException || (job.Cancelled.IsCancellationRequested && e is not RuntimeException))
            {
                state["rc"] = 1; // killed: InvalidOperationException where the stop came before the start
            }
            catch (RuntimeException e)
            {
                job.Err(e.ErrorRecord.FullyQualifiedErrorId + ": " + e.Message + "\n" + e.ErrorRecord.ScriptStackTrace + "\n");
                state["rc"] = 1;
            }
            finally
            {
                Job.Unbind(r);
                foreach (string u in job.Used.Keys)
                    Used[u] = true;
            }
            if (fresh || job.Cancelled.IsCancellationRequested)
                r.Dispose();
            else
            {
                r.ResetRunspaceState();
                Idle.Add(r);
            }
            if (job.Unplayed != null)
                job.Err("UNPLAYED " + job.Unplayed + "\n");
            return job.Unplayed != null ? 99 : (int)state["rc"];
        }

        // Serve: one request per connection, a line of tab-separated words, then as many bytes as its last word says.
        //   RUN file node world options n    world: mini:NAME or hvlab:SOCKET; answers frames "O n", "E n", "X code"
        //   WORLD name n | PATCH name path n | STATE name 0 | USED 0
        static int Serve(string path, string tables)
        {
            Surface.Load(tables);
            Console.SetIn(new JobReader());
            Console.SetOut(new JobWriter(false, console));
            Console.SetError(new JobWriter(true, errors));
            File.Delete(path);
            using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            listener.Bind(new UnixDomainSocketEndPoint(path));
            listener.Listen(128);
            console.WriteLine("ready");
            console.Flush();
            // Standard input is the life line: who started the host ends it by closing it.
            using Stream life = Console.OpenStandardInput();
            Task.Run(() =>
            {
                while (life.ReadByte() >= 0) { }
                File.Delete(path);
                Environment.Exit(0);
            });
            while (true)
            {
                Socket client = listener.Accept();
                new Thread(() => Handle(client), 4 << 20) { IsBackground = true }.Start();
            }
        }

        static void Handle(Socket socket)
        {
            using var stream = new NetworkStream(socket, true);
            try
            {
                string[] words = ReadLine(stream).Split('\t');
                byte[] body = new byte[int.Parse(words[^1])];
                stream.ReadExactly(body);
                string text = Encoding.UTF8.GetString(body);
                object writing = new();
                void Frame(string kind, string data)
                {
                    byte[] bytes = Encoding.UTF8.GetBytes(data);
                    lock (writing)
                    {
                        try
                        {
                            stream.Write(Encoding.ASCII.GetBytes(kind + " " + bytes.Length + "\n"));
                            stream.Write(bytes);
                        }
                        catch (IOException)
                        {
                            // The other side was killed: what it started goes on or is cancelled by Watch.
                        }
                    }
                }
                switch (words[0])
                {
                    case "RUN":
                        var job = new Job { Node = words[2], Policy = words[4].Contains("allsigned") ? "AllSigned" : "Bypass", In = new StringReader(text), Out = s => Frame("O", s), Err = s => Frame("E", s) };
                        using (HvlabWorld lab = words[3].StartsWith("hvlab:") ? new HvlabWorld(words[3][6..], words[2], job.Cancelled.Token) : null)
                        {
                            job.World = lab != null ? lab : Minis[words[3][5..]];
                            Watch(socket, job);
                            int rc = RunScript(job, words[1], words[4].Contains("fresh"), words[4].Contains("constrained"));
                            lock (writing)
                                stream.Write(Encoding.ASCII.GetBytes("X " + rc + "\n"));
                        }
                        break;
                    case "WORLD":
                        Minis[words[1]] = new MiniWorld((JsonObject)JsonNode.Parse(text));
                        break;
                    case "PATCH":
                        Minis[words[1]].Patch(words[2], JsonNode.Parse(text));
                        break;
                    case "STATE":
                        Frame("O", Minis[words[1]].State.ToJsonString());
                        break;
                    case "USED":
                        Frame("O", string.Join('\n', Used.Keys.OrderBy(k => k, StringComparer.Ordinal)) + "\n");
                        break;
                }
            }
            catch (Exception e) when (e is IOException or EndOfStreamException)
            {
                // A client that went away.
            }
            catch (Exception e)
            {
                errors.WriteLine(e);
            }
        }

        /// <summary>A client that closes its end was killed by its agent: the script ends, the effects it began do not (O10).</summary>
        static void Watch(Socket socket, Job job) => Task.Run(() =>
        {
            try
            {
                byte[] one = new byte[1];
                if (socket.Receive(one) == 0)
                    job.Cancelled.Cancel();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                job.Cancelled.Cancel();
            }
        });

        static string ReadLine(Stream s)
        {
            var line = new StringBuilder();
            int b;
            while ((b = s.ReadByte()) >= 0 && b != '\n')
                line.Append((char)b);
            return b < 0 ? throw new EndOfStreamException() : line.ToString();
        }
    }
}
