// Utility commands that the engine's core module lacks, as Windows PowerShell 5.1 has them. ../shims.tsv names each
// behaviour, its source and the case of the suite that holds it.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Management.Automation;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Pshost
{
    public static class Utility
    {
        static object Base(object o) => o is PSObject p && p.BaseObject is not PSCustomObject ? p.BaseObject : o;

        // ConvertTo-Json

        [Handles("ConvertTo-Json")]
        static IEnumerable<object> Keep(Call c)
        {
            c.Kept.Add(c.Raw("InputObject"));
            return null;
        }

        [Handles("ConvertTo-Json", atEnd: true)]
        static IEnumerable<object> ConvertToJson(Call c)
        {
            int depth = c.Has("Depth") ? (int)c.Raw("Depth") : 2;
            object what = c.Kept.Count == 1 ? c.Kept[0] : c.Kept.ToArray();
            var text = new StringBuilder();
            Json(text, what, depth);
            yield return text.ToString();
        }

        static void Json(StringBuilder to, object o, int depth)
        {
            object b = Base(o);
            switch (b)
            {
                case null: to.Append("null"); return;
                case string s: Quote(to, s); return;
                case char ch: Quote(to, ch.ToString()); return;
                case bool flag: to.Append(flag ? "true" : "false"); return;
                case Enum e: to.Append(Convert.ToInt64(e).ToString(CultureInfo.InvariantCulture)); return;
                case DateTime d:
                    to.Append("\"\\/Date(").Append(new DateTimeOffset(d).ToUnixTimeMilliseconds()).Append(")\\/\"");
                    return;
                case SwitchParameter w: to.Append("{\"IsPresent\":").Append(w.IsPresent ? "true" : "false").Append('}'); return;
                case Guid g: Quote(to, g.ToString()); return;
            }
            if (b.GetType().IsPrimitive || b is decimal)
            {
                to.Append(Convert.ToString(b, CultureInfo.InvariantCulture));
                return;
            }
            if (depth < 0)
            {
                Quote(to, LanguagePrimitives.ConvertTo<string>(o));
                return;
            }
            if (b is IDictionary map)
                Members(to, map.Keys.Cast<object>().Select(k => (k.ToString(), map[k])), depth);
            else if (b is IEnumerable list)
            {
                to.Append('[');
                string between = "";
                foreach (object item in list)
                {
                    to.Append(between);
                    Json(to, item, depth - 1);
                    between = ",";
                }
                to.Append(']');
            }
            else
                Members(to, PSObject.AsPSObject(o).Properties.Where(p => p.IsGettable).Select(p => (p.Name, p.Value)), depth);
        }

        static void Members(StringBuilder to, IEnumerable<(string, object)> members, int depth)
        {
            to.Append('{');
            string between = "";
            foreach ((string name, object value) in members)
            {
                to.Append(between);
                Quote(to, name);
                to.Append(':');
                Json(to, value, depth - 1);
                between = ",";
            }
            to.Append('}');
        }

        static void Quote(StringBuilder to, string s)
        {
            to.Append('"');
            foreach (char ch in s)
                to.Append(ch switch
                {
                    '"' => "\\\"", '\\' => "\\\\", '\b' => "\\b", '\f' => "\\f", '\n' => "\\n", '\r' => "\\r", '\t' => "\\t",
                    '<' or '>' or '&' or '\'' or < ' ' => "\\u" + ((int)ch).ToString("x4"),
                    _ => ch.ToString(),
                });
            to.Append('"');
        }

        // ConvertFrom-Json

        [Handles("ConvertFrom-Json")]
        static IEnumerable<object> KeepText(Call c)
        {
            c.Kept.Add(c.Text("InputObject"));
            return null;
        }

        [Handles("ConvertFrom-Json", atEnd: true)]
        static IEnumerable<object> ConvertFromJson(Call c)
        {
            JsonNode node;
            try
            {
                node = JsonNode.Parse(string.Join("\n", c.Kept));
            }
            catch (JsonException e)
            {
                throw new ArgumentException("Invalid JSON primitive: " + e.Message);
            }
            yield return From(node);
        }

        static object From(JsonNode n)
        {
            switch (n)
            {
                case null:
                    return null;
                case JsonArray a:
                    return a.Select(From).ToArray();
                case JsonObject o:
                    var result = new PSObject();
                    foreach ((string key, JsonNode value) in o)
                    {
                        if (key == "")
                            throw new ArgumentException("Cannot process argument because the value of argument \"name\" is not valid.");
                        if (result.Properties[key] != null)
                            throw new InvalidOperationException("Cannot convert the JSON string because a dictionary that was converted from the string contains the duplicated keys");
                        result.Properties.Add(new PSNoteProperty(key, From(value)));
                    }
                    return result;
            }
            switch (n.GetValueKind())
            {
                case JsonValueKind.True: return true;
                case JsonValueKind.False: return false;
                case JsonValueKind.String: return (string)n;
            }
            string raw = n.ToJsonString();
            if (int.TryParse(raw, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int i))
                return i;
            if (long.TryParse(raw, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long l))
                return l;
            return decimal.TryParse(raw, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal d) ? d : double.Parse(raw, CultureInfo.InvariantCulture);
        }

        // Objects and pipelines

        [Handles("New-Object")]
        static IEnumerable<object> NewObject(Call c)
        {
            Type type = LanguagePrimitives.ConvertTo<Type>(c.Text("TypeName"));
            object[] args = c.Raw("ArgumentList") switch { null => Array.Empty<object>(), object[] a => a.Select(Base).ToArray(), object o => new[] { o } };
            yield return args.Length == 0 ? Activator.CreateInstance(type) :
                type.GetConstructors().Where(k => k.GetParameters().Length == args.Length).Select(k =>
                {
                    try
                    {
                        return k.Invoke(k.GetParameters().Select((p, i) => LanguagePrimitives.ConvertTo(args[i], p.ParameterType)).ToArray());
                    }
                    catch (PSInvalidCastException)
                    {
                        return null;
                    }
                    catch (System.Reflection.TargetInvocationException e)
                    {
                        throw e.InnerException;
                    }
                }).First(o => o != null);
        }

        [Handles("Select-Object")]
        static IEnumerable<object> KeepInput(Call c)
        {
            if (c.Has("InputObject"))
                c.Kept.Add(c.Cmdlet.MyInvocation.BoundParameters["InputObject"]);
            return null;
        }

        [Handles("Select-Object", atEnd: true)]
        static IEnumerable<object> SelectObject(Call c)
        {
            IEnumerable<object> items = c.Kept;
            if (c.Has("First"))
                items = items.Take((int)c.Raw("First"));
            if (c.Has("Last"))
                items = items.TakeLast((int)c.Raw("Last"));
            if (c.Has("ExpandProperty"))
                items = items.Select(o => PSObject.AsPSObject(o).Properties[c.Text("ExpandProperty")].Value);
            if (c.Has("Property"))
                throw new NotSupportedException("the driver builds its objects itself");
            if (c.On("Unique"))
                items = items.GroupBy(o => LanguagePrimitives.ConvertTo<string>(o)).Select(g => g.First());
            return items.ToList();
        }

        [Handles("Sort-Object")]
        static IEnumerable<object> KeepSorted(Call c) => KeepInput(c);

        [Handles("Sort-Object", atEnd: true)]
        static IEnumerable<object> SortObject(Call c)
        {
            object[] keys = c.Raw("Property") switch { null => Array.Empty<object>(), object[] a => a, object o => new[] { o } };
            object Key(object item, object key) => Base(key) is ScriptBlock b ? b.InvokeWithContext(null, new List<PSVariable> { new("_", item) }).Select(Base).FirstOrDefault() :
                Base(PSObject.AsPSObject(item).Properties[key.ToString()]?.Value);
            var by = Comparer<object>.Create((a, b) =>
            {
                foreach (object k in keys.DefaultIfEmpty(null))
                {
                    int order = LanguagePrimitives.Compare(k == null ? Base(a) : Key(a, k), k == null ? Base(b) : Key(b, k), true, CultureInfo.InvariantCulture);
                    if (order != 0)
                        return c.On("Descending") ? -order : order;
                }
                return 0;
            });
            IEnumerable<object> sorted = c.Kept.OrderBy(o => o, by);
            return c.On("Unique") ? sorted.GroupBy(o => LanguagePrimitives.ConvertTo<string>(o)).Select(g => g.First()) : sorted;
        }

        // Time is the world's

        [Handles("Get-Date")]
        static IEnumerable<object> GetDate(Call c)
        {
            yield return DateTimeOffset.FromUnixTimeMilliseconds(c.World.NowMs(c.Node)).LocalDateTime;
        }

        [Handles("Start-Sleep")]
        static IEnumerable<object> StartSleep(Call c)
        {
            c.World.Sleep(c.Node, c.Has("Seconds") ? 1000L * (int)c.Raw("Seconds") : (int)c.Raw("Milliseconds"));
            return null;
        }
    }
}
