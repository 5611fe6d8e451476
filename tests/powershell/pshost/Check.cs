// --check-5.1: the syntax trees of the driver's scripts against the allow table. Anything that is not in the table is a hit.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation.Language;

namespace Pshost
{
    public sealed class Check
    {
        // kind -> entries; kinds: command ("Name -Param" and "Name" for the command itself), type, static, method, variable
        readonly HashSet<string> allowed = new(StringComparer.OrdinalIgnoreCase);
        readonly Dictionary<string, HashSet<string>> own = new(StringComparer.OrdinalIgnoreCase);
        readonly SortedSet<string> used = new(StringComparer.Ordinal);
        readonly List<string> hits = new();
        string file;

        static readonly TokenKind[] Banned7 =
        { TokenKind.QuestionMark, TokenKind.QuestionQuestion, TokenKind.QuestionQuestionEquals, TokenKind.QuestionDot, TokenKind.QuestionLBracket,
          TokenKind.Clean };

        static readonly HashSet<string> NotIn51 = new(StringComparer.OrdinalIgnoreCase)
        { "IsWindows", "IsLinux", "IsMacOS", "IsCoreCLR", "PSStyle", "EnabledExperimentalFeatures", "PSNativeCommandUseErrorActionPreference" };

        public static int Run(string allow, IReadOnlyList<string> files, TextWriter output)
        {
            var c = new Check();
            foreach (string line in File.ReadLines(allow).Where(l => l != "" && l[0] != '#'))
            {
                string[] f = line.Split('\t');
                c.allowed.Add(f[0] + " " + f[1]);
            }
            var trees = files.Select(f => (f, Ast: Parser.ParseFile(Path.GetFullPath(f), out Token[] t, out ParseError[] e), t, e)).ToList();
            foreach (var (f, ast, _, _) in trees)
                foreach (FunctionDefinitionAst d in ast.FindAll(a => a is FunctionDefinitionAst, true).Cast<FunctionDefinitionAst>())
                    c.own[d.Name] = new HashSet<string>((d.Body.ParamBlock?.Parameters ?? d.Parameters ?? Enumerable.Empty<ParameterAst>())
                        .Select(p => p.Name.VariablePath.UserPath), StringComparer.OrdinalIgnoreCase);
            foreach (var (f, ast, tokens, errors) in trees)
                c.Look(f, ast, tokens, errors);
            foreach (string u in c.used)
                output.WriteLine("use\t" + u);
            foreach (string h in c.hits)
                output.WriteLine("hit\t" + h);
            return c.hits.Count == 0 ? 0 : 1;
        }

        void Hit(IScriptExtent at, string why) => hits.Add(file + ":" + at.StartLineNumber + ": " + why + ": " +
            at.Text.Split('\n')[0].Trim());

        void Need(IScriptExtent at, string kind, string name)
        {
            used.Add(kind + "\t" + name + "\t" + file);
            if (!allowed.Contains(kind + " " + name))
                Hit(at, kind + " not in the allow table (" + name + ")");
        }

        void Look(string path, Ast ast, Token[] tokens, ParseError[] errors)
        {
            file = Path.GetFileName(path);
            byte[] bytes = File.ReadAllBytes(path);
            for (int i = 0, line = 1; i < bytes.Length; i++)
            {
                line += bytes[i] == '\n' ? 1 : 0;
                if (bytes[i] > 0x7E || (bytes[i] < 0x20 && bytes[i] is not ((byte)'\n' or (byte)'\t')))
                {
                    hits.Add(file + ":" + line + ": not printable ASCII");
                    break;
                }
            }
            foreach (ParseError e in errors)
                Hit(e.Extent, "does not parse: " + e.Message);
            Tokens(tokens);
            foreach (Ast a in ast.FindAll(_ => true, true))
                Node(a);
            FirstStatements((ScriptBlockAst)ast);
        }

        void Tokens(IEnumerable<Token> tokens)
        {
            Token before = null;
            foreach (Token t in tokens)
            {
                if (Banned7.Contains(t.Kind))
                    Hit(t.Extent, "7-only syntax " + t.Kind);
                if (t.Kind == TokenKind.Pipe && before?.Kind == TokenKind.NewLine)
                    Hit(t.Extent, "a leading pipe is 7-only");
                if (t is NumberToken && System.Text.RegularExpressions.Regex.IsMatch(t.Text, "^[+-]?(0b|\\d+(u|s|y|n)\\w*$|0x[0-9a-f]+(u|s|y|n))",
                    System.Text.RegularExpressions.RegexOptions.IgnoreCase))
                    Hit(t.Extent, "7-only number");
                if (t is StringExpandableToken s)
                {
                    if (s.Text.Contains("`e") || s.Text.Contains("`u{"))
                        Hit(t.Extent, "7-only escape");
                    if (s.NestedTokens != null)
                        Tokens(s.NestedTokens);
                }
                before = t;
            }
        }

        void Node(Ast a)
        {
            switch (a)
            {
                case CommandAst c: Command(c); break;
                case PipelineChainAst: Hit(a.Extent, "7-only && or ||"); break;
                case PipelineAst p when p.Background: Hit(a.Extent, "7-only background job"); break;
                case VariableExpressionAst v:
                    if (NotIn51.Contains(v.VariablePath.UserPath) || v.VariablePath.UserPath.EndsWith('?'))
                        Hit(a.Extent, "a variable that 5.1 does not have");
                    if (v.VariablePath.IsDriveQualified && v.VariablePath.DriveName.Equals("env", StringComparison.OrdinalIgnoreCase))
                        Need(a.Extent, "variable", "env:" + v.VariablePath.UserPath.Split(':')[1]);
                    break;
                case InvokeMemberExpressionAst m: Member(m); break;
                case MemberExpressionAst m when m.Static: Need(a.Extent, "static", TypeName(m.Expression) + "::" + m.Member.Extent.Text); break;
                case TypeExpressionAst t when t.Parent is not MemberExpressionAst: Need(a.Extent, "type", t.TypeName.FullName); break;
                case TypeConstraintAst t: Need(a.Extent, "type", t.TypeName.FullName); break;
                case ConvertExpressionAst: break;
                case BinaryExpressionAst b when b.Operator is TokenKind.Ireplace or TokenKind.Creplace &&
                    (b.Right is ScriptBlockExpressionAst || b.Right is ArrayLiteralAst l && l.Elements.Any(e => e is ScriptBlockExpressionAst)):
                    Hit(a.Extent, "-replace with a script block is 7-only");
                    break;
                case BinaryExpressionAst b when b.Operator == TokenKind.DotDot && b.Left is StringConstantExpressionAst:
                    Hit(a.Extent, "a range of characters is 7-only");
                    break;
                case TypeDefinitionAst: Hit(a.Extent, "no classes or enums in the driver"); break;
                case FileRedirectionAst: Hit(a.Extent, "redirection to files writes UTF-16 in 5.1"); break;
                case MergingRedirectionAst: Hit(a.Extent, "2>&1 ends a script in 5.1 where it does not in 7"); break;
                case UsingStatementAst: Hit(a.Extent, "using"); break;
            }
        }

        static string TypeName(ExpressionAst e) => e is TypeExpressionAst t ? t.TypeName.FullName : e.Extent.Text;

        void Member(InvokeMemberExpressionAst m)
        {
            if (m.Member is not StringConstantExpressionAst name)
                Hit(m.Extent, "dynamic member name");
            else if (m.Static)
                Need(m.Extent, "static", TypeName(m.Expression) + "::" + name.Value);
            else
                Need(m.Extent, "method", name.Value);
            if (!m.Static && m.Member.Extent.Text == "ToString" && m.Arguments is { Count: 1 } && m.Arguments[0].Extent.Text != "'N'")
                Hit(m.Extent, "a format without a culture: the node's own calendar may count other years");
        }

        void Command(CommandAst c)
        {
            string name = c.GetCommandName();
            if (name == null)
            {
                if (c.CommandElements[0] is not VariableExpressionAst || !allowed.Contains("dynamic " + c.CommandElements[0].Extent.Text))
                    Hit(c.Extent, "dynamic command name");
                else
                    used.Add("dynamic\t" + c.CommandElements[0].Extent.Text + "\t" + file);
                return;
            }
            if (c.InvocationOperator != TokenKind.Unknown)
                Hit(c.Extent, "call operator before a name");
            if (!own.TryGetValue(name, out HashSet<string> mine))
                Need(c.Extent, "command", name);
            foreach (CommandElementAst e in c.CommandElements.Skip(1))
                if (e is CommandParameterAst p)
                    Parameter(c, name, mine, p.ParameterName, p.Extent);
                else if (e is VariableExpressionAst v && v.Splatted)
                    Splat(c, name, mine, v);
                else if (mine == null && IsPositional(c, e))
                    Need(e.Extent, "command", name + " (positional)");
        }

        void Parameter(CommandAst c, string name, HashSet<string> mine, string parameter, IScriptExtent at)
        {
            if (mine == null)
                Need(at, "command", name + " -" + parameter);
            else if (!mine.Contains(parameter))
                Hit(at, "no such parameter of " + name);
        }

        /// <summary>An argument that does not directly follow a parameter. Switches are not followed by values: they take a colon.</summary>
        static bool IsPositional(CommandAst c, CommandElementAst e)
        {
            int i = c.CommandElements.IndexOf(e);
            return c.CommandElements[i - 1] is not CommandParameterAst { Argument: null };
        }

        void Splat(CommandAst c, string name, HashSet<string> mine, VariableExpressionAst v)
        {
            Ast root = c;
            while (root.Parent != null)
                root = root.Parent;
            var tables = root.FindAll(a => a is AssignmentStatementAst s && s.Left.Extent.Text.TrimStart('$') == v.VariablePath.UserPath, true)
                .Cast<AssignmentStatementAst>().Select(s => (s.Right as CommandExpressionAst)?.Expression as HashtableAst).ToList();
            if (tables.Count == 0 || tables.Any(t => t == null))
                Hit(v.Extent, "splatting what is not a literal table");
            foreach (var (key, _) in tables.Where(t => t != null).SelectMany(t => t.KeyValuePairs))
                Parameter(c, name, mine, key.Extent.Text.Trim('\'', '"'), v.Extent);
        }

        /// <summary>Strict mode and Stop before anything else, so that no script depends on its caller's preferences.</summary>
        void FirstStatements(ScriptBlockAst script)
        {
            var first = (script.EndBlock?.Statements ?? Enumerable.Empty<StatementAst>()).Take(2).Select(s => s.Extent.Text.Trim()).ToList();
            if (first.Count < 2 || first[0] != "Set-StrictMode -Version 2.0" || first[1] != "$ErrorActionPreference = 'Stop'")
                hits.Add(file + ":1: the first statements are Set-StrictMode -Version 2.0 and $ErrorActionPreference = 'Stop'");
        }
    }
}
