// The command surface of the stand-ins, read from the tables of ../surface (O38) and turned into real cmdlets and classes.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Reflection;
using System.Reflection.Emit;

namespace Pshost
{
    public sealed record ParameterRow(string Module, string Command, string DefaultSet, string Parameter, string Type, string Set,
        bool Mandatory, int? Position, string Pipeline, string Aliases, string Values, string Source);

    public sealed record TypeRow(string Kind, string Type, string Member, string Value, string Source);

    /// <summary>Base of every class of the table: values by property name, and a hook for the live objects.</summary>
    public class SimObject
    {
        internal readonly Dictionary<string, object> Values = new();
        internal Action<string, object> OnSet;

        public T Read<T>(string name) => Values.TryGetValue(name, out object v) && v != null ? (T)v : default;

        public void Write(string name, object value)
        {
            OnSet?.Invoke(name, value);
            Values[name] = value;
        }
    }

    public static class Surface
    {
        public static readonly List<ParameterRow> Parameters = new();
        public static readonly List<TypeRow> TypeRows = new();
        public static readonly Dictionary<string, Type> Types = new();
        public static readonly Dictionary<string, Type> Commands = new(StringComparer.OrdinalIgnoreCase);

        static readonly Dictionary<(string Type, string Member), Type> PropertyTypes = new();
        static ModuleBuilder module;

        static readonly Dictionary<string, Type> Simple = new(StringComparer.OrdinalIgnoreCase)
        {
            ["string"] = typeof(string), ["switch"] = typeof(SwitchParameter), ["switchparameter"] = typeof(SwitchParameter),
            ["int"] = typeof(int), ["int32"] = typeof(int), ["int64"] = typeof(long), ["uint16"] = typeof(ushort),
            ["uint32"] = typeof(uint), ["uint64"] = typeof(ulong), ["boolean"] = typeof(bool), ["guid"] = typeof(Guid),
            ["hashtable"] = typeof(System.Collections.Hashtable), ["psobject"] = typeof(PSObject),
            ["uint8"] = typeof(byte), ["sint8"] = typeof(sbyte), ["sint16"] = typeof(short), ["sint32"] = typeof(int),
            ["sint64"] = typeof(long), ["datetime"] = typeof(DateTime), ["scriptblock"] = typeof(ScriptBlock),
            ["system.nullable`1[[system.datetime]]"] = typeof(DateTime?),
            ["Microsoft.FailoverClusters.NativeHelp.NativeGroupHelp+VmMigrationType"] = null,
        };

        // Commands of the engine's own core module: real here as they are there.
        public static readonly HashSet<string> Core = new(StringComparer.OrdinalIgnoreCase)
        { "Get-Command", "ForEach-Object", "Where-Object", "Out-Null", "Import-Module", "Export-ModuleMember", "Set-StrictMode" };

        public static void Load(string dir)
        {
            foreach (string[] c in Rows(Path.Combine(dir, "commands.tsv")))
                Parameters.Add(new ParameterRow(c[0], c[1], c[2], c[3], c[4], c[5], c[6] == "1", c[7] == "" ? null : int.Parse(c[7]),
                    c[8], c[9], c[10], c[11]));
            foreach (string file in new[] { "types.tsv", "own.tsv" })
                foreach (string[] c in Rows(Path.Combine(dir, file)))
                    TypeRows.Add(new TypeRow(c[0], c[1], c[2], c[3], c[4]));
            AssemblyBuilder assembly = AssemblyBuilder.DefineDynamicAssembly(new AssemblyName("StandIns"), AssemblyBuilderAccess.Run);
            module = assembly.DefineDynamicModule("StandIns");
            foreach (var rows in TypeRows.Where(r => r.Kind == "enum").GroupBy(r => r.Type))
                Types[rows.Key] = DefineEnum(rows.Key, rows);
            Simple["Microsoft.FailoverClusters.NativeHelp.NativeGroupHelp+VmMigrationType"] =
                Types["Microsoft.FailoverClusters.NativeHelp.VmMigrationType"];
            foreach (var rows in TypeRows.Where(r => r.Kind == "class").GroupBy(r => r.Type))
            {
                Types[rows.Key] = DefineClass(rows.Key, rows);
                foreach (TypeRow r in rows)
                    PropertyTypes[(rows.Key, r.Member)] = IsCim(rows.Key) ? Resolve(r.Value) : Types[rows.Key].GetProperty(r.Member).PropertyType;
            }
            foreach (var rows in Parameters.GroupBy(r => r.Command))
                if (!Core.Contains(rows.Key))
                    Commands[rows.Key] = DefineCommand(rows.Key, rows.ToList());
        }

        static IEnumerable<string[]> Rows(string file) => File.ReadLines(file).Skip(1).Select(l => l.Split('\t'));

        static Type DefineEnum(string name, IEnumerable<TypeRow> rows)
        {
            bool wide = rows.Any(r => long.Parse(r.Value) > int.MaxValue);
            EnumBuilder e = module.DefineEnum(name, TypeAttributes.Public, wide ? typeof(long) : typeof(int));
            foreach (TypeRow r in rows)
                e.DefineLiteral(r.Member, wide ? long.Parse(r.Value) : (object)int.Parse(r.Value));
            return e.CreateType();
        }

        /// <summary>CIM classes hold $null in what is not known, so their properties are untyped; values are converted on the way in.</summary>
        static bool IsCim(string type) => type.StartsWith("Win32_") || type.StartsWith("MSFT_");

        static Type DefineClass(string name, IEnumerable<TypeRow> rows)
        {
            TypeBuilder t = module.DefineType(name, TypeAttributes.Public | TypeAttributes.Class, typeof(SimObject));
            foreach (TypeRow r in rows)
            {
                Type type = IsCim(name) ? typeof(object) : Resolve(r.Value);
                PropertyBuilder p = t.DefineProperty(r.Member, PropertyAttributes.None, type, null);
                const MethodAttributes how = MethodAttributes.Public | MethodAttributes.SpecialName | MethodAttributes.HideBySig;
                MethodBuilder get = t.DefineMethod("get_" + r.Member, how, type, Type.EmptyTypes);
                ILGenerator g = get.GetILGenerator();
                g.Emit(OpCodes.Ldarg_0);
                g.Emit(OpCodes.Ldstr, r.Member);
                g.Emit(OpCodes.Call, typeof(SimObject).GetMethod("Read").MakeGenericMethod(type));
                g.Emit(OpCodes.Ret);
                MethodBuilder set = t.DefineMethod("set_" + r.Member, how, null, new[] { type });
                g = set.GetILGenerator();
                g.Emit(OpCodes.Ldarg_0);
                g.Emit(OpCodes.Ldstr, r.Member);
                g.Emit(OpCodes.Ldarg_1);
                if (type.IsValueType)
                    g.Emit(OpCodes.Box, type);
                g.Emit(OpCodes.Call, typeof(SimObject).GetMethod("Write"));
                g.Emit(OpCodes.Ret);
                p.SetGetMethod(get);
                p.SetSetMethod(set);
            }
            return t.CreateType();
        }

        /// <summary>The type of that name, or object: a class that the tables do not hold is opaque to the scripts.</summary>
        public static Type Resolve(string name)
        {
            if (name.EndsWith("[]"))
            {
                Type of = Resolve(name[..^2]);
                return of.MakeArrayType();
            }
            if (Simple.TryGetValue(name, out Type simple))
                return simple;
            if (name.StartsWith("System.Nullable<") || name.StartsWith("System.Nullable["))
            {
                Type of = Resolve(name[16..^1]);
                return of.IsValueType ? typeof(Nullable<>).MakeGenericType(of) : typeof(object);
            }
            if (Types.TryGetValue(name, out Type known))
                return known;
            int generic = name.IndexOf('<');
            if (generic > 0)
                return typeof(IEnumerable<>).MakeGenericType(Resolve(name[(generic + 1)..^1])) is Type seq &&
                       Types.ContainsKey(name[(generic + 1)..^1]) ? seq.GetGenericArguments()[0].MakeArrayType() : typeof(object);
            if (name == "System.Management.Automation.SwitchParameter")
                return typeof(SwitchParameter);
            Type system = Type.GetType(name) ?? typeof(PSObject).Assembly.GetType(name) ??
                          typeof(System.Collections.Specialized.StringCollection).Assembly.GetType(name);
            return system != null && system.IsPublic ? system : typeof(object);
        }

        static Type DefineCommand(string name, List<ParameterRow> rows)
        {
            string[] verbNoun = name.Split('-');
            TypeBuilder t = module.DefineType("Command." + name.Replace("-", ""), TypeAttributes.Public, typeof(StandIn));
            string impact = rows.First(r => r.Parameter == "").Type;
            bool process = impact != "-";
            var named = new List<PropertyInfo>();
            var values = new List<object>();
            void Name(string property, object value)
            {
                named.Add(typeof(CmdletAttribute).GetProperty(property));
                values.Add(value);
            }
            if (rows[0].DefaultSet != "")
                Name("DefaultParameterSetName", rows[0].DefaultSet);
            if (process)
            {
                Name("SupportsShouldProcess", true);
                Name("ConfirmImpact", Enum.Parse<ConfirmImpact>(impact));
            }
            t.SetCustomAttribute(new CustomAttributeBuilder(typeof(CmdletAttribute).GetConstructor(new[] { typeof(string), typeof(string) }),
                new object[] { verbNoun[0], verbNoun[1] }, named.ToArray(), values.ToArray()));
            foreach (var parameter in rows.Where(r => r.Parameter != "").GroupBy(r => r.Parameter))
                DefineParameter(t, parameter.ToList());
            return t.CreateType();
        }

        static void DefineParameter(TypeBuilder t, List<ParameterRow> rows)
        {
            FieldBuilder f = t.DefineField(rows[0].Parameter, Resolve(rows[0].Type), FieldAttributes.Public);
            foreach (ParameterRow r in rows)
            {
                var named = new List<PropertyInfo>();
                var values = new List<object>();
                void Name(string property, object value)
                {
                    named.Add(typeof(ParameterAttribute).GetProperty(property));
                    values.Add(value);
                }
                if (r.Set != "*")
                    Name("ParameterSetName", r.Set);
                if (r.Mandatory)
                    Name("Mandatory", true);
                if (r.Position != null)
                    Name("Position", r.Position.Value);
                if (r.Pipeline.Contains('v'))
                    Name("ValueFromPipeline", true);
                if (r.Pipeline.Contains('n'))
                    Name("ValueFromPipelineByPropertyName", true);
                f.SetCustomAttribute(new CustomAttributeBuilder(typeof(ParameterAttribute).GetConstructor(Type.EmptyTypes),
                    Array.Empty<object>(), named.ToArray(), values.ToArray()));
            }
            if (rows[0].Aliases != "")
                f.SetCustomAttribute(new CustomAttributeBuilder(typeof(AliasAttribute).GetConstructor(new[] { typeof(string[]) }),
                    new object[] { rows[0].Aliases.Split(',') }));
            if (rows[0].Values != "" && !Resolve(rows[0].Type.Replace("[]", "")).IsEnum)
                f.SetCustomAttribute(new CustomAttributeBuilder(typeof(ValidateSetAttribute).GetConstructor(new[] { typeof(string[]) }),
                    new object[] { rows[0].Values.Split(',') }));
        }

        /// <summary>An object of a table class. A property that the table does not hold is an error of the stand-in.</summary>
        public static SimObject Make(string type, params (string Name, object Value)[] values)
        {
            SimObject o = (SimObject)Activator.CreateInstance(Types[type]);
            foreach ((string name, object value) in values)
            {
                if (!PropertyTypes.TryGetValue((type, name), out Type target))
                    throw new InvalidOperationException(type + " has no property " + name);
                o.Values[name] = Convert(value, target);
            }
            return o;
        }

        /// <summary>As ConvertTo, but a number becomes an enum whether or not the enum has a name for it, as it does on Windows.</summary>
        public static object Convert(object value, Type target)
        {
            if (value == null)
                return null;
            if (target.IsInstanceOfType(value))
                return value;
            target = Nullable.GetUnderlyingType(target) ?? target;
            if (target.IsEnum && value is int or long)
                return Enum.ToObject(target, value);
            if (target.IsArray && target.GetElementType().IsEnum && value is int[] numbers)
            {
                Array a = Array.CreateInstance(target.GetElementType(), numbers.Length);
                for (int i = 0; i < numbers.Length; i++)
                    a.SetValue(Enum.ToObject(target.GetElementType(), numbers[i]), i);
                return a;
            }
            return LanguagePrimitives.ConvertTo(value, target);
        }

        /// <summary>The surface of the live engine, in the columns of commands.tsv, for the comparison of O38.</summary>
        public static IEnumerable<string> Live(System.Management.Automation.Runspaces.Runspace runspace)
        {
            using PowerShell ps = PowerShell.Create();
            ps.Runspace = runspace;
            ps.AddCommand("Get-Command").AddParameter("CommandType", CommandTypes.Cmdlet);
            foreach (CmdletInfo c in ps.Invoke().Select(o => (CmdletInfo)o.BaseObject).OrderBy(c => c.Name))
            {
                if (c.ParameterSets.All(s => s.Parameters.All(p => Cmdlet.CommonParameters.Contains(p.Name))))
                    yield return string.Join('\t', c.Name, "", "", "", "", "", "", "", "");
                foreach (CommandParameterSetInfo set in c.ParameterSets)
                    foreach (CommandParameterInfo p in set.Parameters)
                        if (!Cmdlet.CommonParameters.Contains(p.Name))
                            yield return string.Join('\t', c.Name, c.DefaultParameterSet ?? "", set.Name, p.Name, p.ParameterType.Name,
                                p.IsMandatory ? "1" : "0", p.Position < 0 ? "" : p.Position.ToString(),
                                (p.ValueFromPipeline ? "v" : "") + (p.ValueFromPipelineByPropertyName ? "n" : ""),
                                string.Join(',', p.Aliases));
            }
        }
    }
}
