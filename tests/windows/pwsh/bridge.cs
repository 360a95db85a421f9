// What stands between a real PowerShell and a modelled Windows host: lines of JSON over standard input and output.
// One script at a time per process; each in a fresh runspace that has the commands of one version of Windows.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Collections.ObjectModel;
using System.Dynamic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Management.Automation.Host;
using System.Management.Automation.Language;
using System.Management.Automation.Runspaces;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

// Enumerations of the modelled cmdlets, as Windows numbers them.
namespace DsrWindows {
    public enum AddressFamily { IPv4 = 2, IPv6 = 23 }
    public enum Able { Disabled = 0, Enabled = 1 }
    public enum RouterDiscovery { Disabled = 0, Enabled = 1, ControlledByDHCP = 2 }
}

public class DsrNotModelled : Exception { public DsrNotModelled(string what) : base(what) { } }
public class DsrHostError : Exception { public DsrHostError(string what) : base(what) { } }

public sealed class DsrAnswer {
    public object Value;
    public string Error;
    public string Id;
}

public static class DsrBridge {
    static readonly StreamReader From = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false), false, 65536);
    static readonly StreamWriter To = new StreamWriter(Console.OpenStandardOutput(), new UTF8Encoding(false), 65536);
    static readonly object Turn = new object();

    // What the host model does not know, also where the script caught the error.
    public static string Missing;

    public static string Line() { return From.ReadLine(); }

    public static void Say(JsonObject said) {
        lock (Turn) { To.WriteLine(said.ToJsonString()); To.Flush(); }
    }

    // A question to the host; NotModelled ends the script, whatever it catches.
    public static DsrAnswer Ask(JsonObject question) {
        Say(question);
        var line = From.ReadLine();
        if (line == null) Environment.Exit(0);
        var answer = JsonNode.Parse(line).AsObject();
        if (answer.ContainsKey("not_modelled")) {
            Missing = (string)answer["not_modelled"];
            throw new DsrNotModelled(Missing);
        }
        if (answer.ContainsKey("error")) return new DsrAnswer { Error = (string)answer["error"], Id = (string)answer["id"] };
        return new DsrAnswer { Value = DsrValues.Made(answer["value"]) };
    }

    public static object Asked(JsonObject question) {
        var answer = Ask(question);
        if (answer.Error != null) throw Of(answer.Error);
        return answer.Value;
    }

    // Errors that scripts tell apart by their class.
    public static Exception Of(string error) {
        switch (error) {
            case "AbandonedMutexException": return new System.Threading.AbandonedMutexException();
            case "UnauthorizedAccessException": return new UnauthorizedAccessException();
            default: return new DsrHostError(error);
        }
    }

    public static DsrAnswer Cmdlet(string name, IDictionary bound) {
        var parameters = new JsonObject();
        foreach (DictionaryEntry one in bound) {
            var key = (string)one.Key;
            if (!Cmdlets.Common.Contains(key)) parameters[key.ToLowerInvariant()] = DsrValues.Told(one.Value);
        }
        return Ask(new JsonObject { ["ask"] = "cmdlet", ["name"] = name, ["parameters"] = parameters });
    }

    public static DsrAnswer Native(string name, object[] arguments) {
        var words = new JsonArray();
        foreach (var word in DsrWords.AsProgramsGetThem(arguments)) words.Add(word);
        return Ask(new JsonObject { ["ask"] = "native", ["name"] = name, ["arguments"] = words });
    }

    public static object Static(string type, string member) {
        return Asked(new JsonObject { ["ask"] = "static", ["type"] = type, ["member"] = member });
    }

    public static object Called(string type, string member, params object[] arguments) {
        var told = new JsonArray();
        foreach (var argument in arguments) told.Add(DsrValues.Told(argument));
        return Asked(new JsonObject {
            ["ask"] = "called", ["type"] = type, ["member"] = member, ["arguments"] = told });
    }

    public static DsrAnswer Added(string source) {
        return Ask(new JsonObject { ["ask"] = "add_type", ["source"] = source });
    }
}

public static class Cmdlets {
    public static readonly HashSet<string> Common = new HashSet<string>(
        Cmdlet.CommonParameters.Concat(new[] { "WhatIf" }), StringComparer.OrdinalIgnoreCase);
}

// A program's command line: arrays flattened, quoted as Windows PowerShell 5.1 quotes, split as the C runtime splits.
public static class DsrWords {
    public static IEnumerable<string> AsProgramsGetThem(object[] arguments) {
        var line = string.Join(" ", Flat(arguments).Select(Quoted));
        return Split(line);
    }

    static IEnumerable<string> Flat(object value) {
        value = value is PSObject wrapped ? wrapped.BaseObject : value;
        if (value is string text) { yield return text; yield break; }
        if (value is IEnumerable many && !(value is DsrObject)) {
            foreach (var one in many) foreach (var word in Flat(one)) yield return word;
            yield break;
        }
        if (value != null) yield return (string)LanguagePrimitives.ConvertTo(value, typeof(string), CultureInfo.InvariantCulture);
    }

    // 5.1 puts quotes around a word with blanks that has none, and nothing before quotes inside it.
    static string Quoted(string word) {
        if (word.Length == 0) return "";
        if (!word.Any(char.IsWhiteSpace) || word.StartsWith("\"")) return word;
        return "\"" + word + (word.EndsWith("\\") ? "\\" : "") + "\"";
    }

    public static IEnumerable<string> Split(string line) {
        var word = new StringBuilder();
        bool inside = false, any = false;
        for (int at = 0; at < line.Length;) {
            if (!inside && char.IsWhiteSpace(line[at])) {
                if (any) yield return word.ToString();
                word.Clear(); any = false; at++;
                continue;
            }
            int slashes = 0;
            while (at < line.Length && line[at] == '\\') { slashes++; at++; }
            if (at < line.Length && line[at] == '"') {
                word.Append('\\', slashes / 2);
                any = true;
                if (slashes % 2 == 1) word.Append('"');
                else inside = !inside;
                at++;
                continue;
            }
            if (slashes > 0) { word.Append('\\', slashes); any = true; continue; }
            word.Append(line[at++]);
            any = true;
        }
        if (any) yield return word.ToString();
    }
}

// An object of the host. What it does not have ends the script, where PowerShell would shrug.
public class DsrObject : DynamicObject {
    public readonly int Number;
    readonly string kind;
    readonly Dictionary<string, object> known;

    public DsrObject(int number, string kind, Dictionary<string, object> known) {
        Number = number; this.kind = kind; this.known = known;
    }

    public override string ToString() { return kind; }

    public override bool TryGetMember(GetMemberBinder binder, out object result) {
        if (known.TryGetValue(binder.Name, out result)) return true;
        result = DsrBridge.Asked(new JsonObject { ["ask"] = "get", ["object"] = Number, ["member"] = binder.Name });
        return true;
    }

    public override bool TrySetMember(SetMemberBinder binder, object value) {
        known.Remove(binder.Name);
        DsrBridge.Asked(new JsonObject {
            ["ask"] = "set", ["object"] = Number, ["member"] = binder.Name, ["value"] = DsrValues.Told(value) });
        return true;
    }

    public override bool TryInvokeMember(InvokeMemberBinder binder, object[] arguments, out object result) {
        var told = new JsonArray();
        foreach (var argument in arguments) told.Add(DsrValues.Told(argument));
        result = DsrBridge.Asked(new JsonObject {
            ["ask"] = "call", ["object"] = Number, ["member"] = binder.Name, ["arguments"] = told });
        return true;
    }
}

public sealed class DsrCollection : DsrObject, IEnumerable {
    public DsrCollection(int number, string kind, Dictionary<string, object> known) : base(number, kind, known) { }

    public IEnumerator GetEnumerator() {
        var entries = DsrBridge.Asked(new JsonObject { ["ask"] = "entries", ["object"] = Number });
        return (entries as object[] ?? new[] { entries }).GetEnumerator();
    }
}

// Values on their way between the two.
public static class DsrValues {
    public static object Made(JsonNode node) {
        if (node == null) return null;
        if (node is JsonArray array) return array.Select(Made).ToArray();
        if (node is JsonObject thing) return Thing(thing);
        var value = node.AsValue();
        if (value.TryGetValue<bool>(out var truth)) return truth;
        if (value.TryGetValue<int>(out var small)) return small;
        if (value.TryGetValue<long>(out var large)) return large;
        if (value.TryGetValue<double>(out var real)) return real;
        return value.GetValue<string>();
    }

    static object Thing(JsonObject thing) {
        if (thing["hash"] is JsonArray entries) {
            var table = new Hashtable(StringComparer.CurrentCultureIgnoreCase);
            foreach (var entry in entries) table[Made(entry[0])] = Made(entry[1]);
            return table;
        }
        if (thing.ContainsKey("bytes")) return Convert.FromBase64String((string)thing["bytes"]);
        if (thing.ContainsKey("date"))
            return DateTime.Parse((string)thing["date"], CultureInfo.InvariantCulture, DateTimeStyles.None);
        if (thing.ContainsKey("version")) return new Version((string)thing["version"]);
        var known = new Dictionary<string, object>(StringComparer.OrdinalIgnoreCase);
        foreach (var one in thing["known"].AsObject()) known[one.Key] = Made(one.Value);
        var number = (int)thing["object"];
        var kind = (string)thing["kind"];
        return (bool)thing["many"] ? new DsrCollection(number, kind, known) : new DsrObject(number, kind, known);
    }

    public static JsonNode Told(object value) {
        value = value is PSObject wrapped ? wrapped.BaseObject : value;
        switch (value) {
            case null: return null;
            case DsrObject own: return new JsonObject { ["object"] = own.Number };
            case string text: return text;
            case char sign: return sign.ToString();
            case bool truth: return truth;
            case SwitchParameter given: return given.IsPresent;
            case Enum named: return named.ToString();
            case byte[] bytes: return new JsonObject { ["bytes"] = Convert.ToBase64String(bytes) };
            case DateTime date: return new JsonObject { ["date"] = date.ToString("s") };
            case IDictionary table:
                var entries = new JsonArray();
                foreach (DictionaryEntry one in table) entries.Add(new JsonArray(Told(one.Key), Told(one.Value)));
                return new JsonObject { ["hash"] = entries };
            case IEnumerable many:
                var told = new JsonArray();
                foreach (var one in many) told.Add(Told(one));
                return told;
            case double or float or decimal: return Convert.ToDouble(value, CultureInfo.InvariantCulture);
            case ulong large: return large;
            case sbyte or byte or short or ushort or int or uint or long: return Convert.ToInt64(value);
            default: return value.ToString();
        }
    }
}

// .NET classes that say what the machine is. They stand before the real ones by type accelerators.
public static class DsrEnvironment {
    public static object OSVersion { get { return DsrBridge.Static("environment", "OSVersion"); } }
}
public static class DsrIntPtr {
    public static object Size { get { return DsrBridge.Static("intptr", "Size"); } }
}
public static class DsrWindowsIdentity {
    public static object GetCurrent() { return DsrBridge.Called("security.principal.windowsidentity", "GetCurrent"); }
}
public static class DsrIPGlobalProperties {
    public static object GetIPGlobalProperties() {
        return DsrBridge.Called("net.networkinformation.ipglobalproperties", "GetIPGlobalProperties");
    }
}
public static class DsrNetworkInterface {
    public static object GetAllNetworkInterfaces() {
        return DsrBridge.Called("net.networkinformation.networkinterface", "GetAllNetworkInterfaces");
    }
}
public static class DsrStopwatch {
    public static object GetTimestamp() { return DsrBridge.Called("diagnostics.stopwatch", "GetTimestamp"); }
    public static object Frequency { get { return DsrBridge.Static("diagnostics.stopwatch", "Frequency"); } }
}
public static class DsrFile {
    const string Type = "io.file";
    public static object Exists(object path) { return DsrBridge.Called(Type, "Exists", path); }
    public static object ReadAllText(object path) { return DsrBridge.Called(Type, "ReadAllText", path); }
    public static void WriteAllText(object path, object text) { DsrBridge.Called(Type, "WriteAllText", path, text); }
    public static void Move(object path, object to) { DsrBridge.Called(Type, "Move", path, to); }
    public static void Delete(object path) { DsrBridge.Called(Type, "Delete", path); }
}
public static class DsrDirectory {
    const string Type = "io.directory";
    public static object Exists(object path) { return DsrBridge.Called(Type, "Exists", path); }
    public static object CreateDirectory(object path) { return DsrBridge.Called(Type, "CreateDirectory", path); }
    public static object CreateDirectory(object path, object security) {
        return DsrBridge.Called(Type, "CreateDirectory", path, security);
    }
    public static void Delete(object path, object whole) { DsrBridge.Called(Type, "Delete", path, whole); }
    public static object GetDirectories(object path, object pattern) {
        return DsrBridge.Called(Type, "GetDirectories", path, pattern);
    }
    public static object GetFiles(object path, object pattern) { return DsrBridge.Called(Type, "GetFiles", path, pattern); }
    public static object GetFileSystemEntries(object path) { return DsrBridge.Called(Type, "GetFileSystemEntries", path); }
    public static object GetAccessControl(object path) { return DsrBridge.Called(Type, "GetAccessControl", path); }
}
public static class DsrLoopbackOfTheHost {
    public static object Register(object mark) { return DsrBridge.Called("dsrloopback", "Register", mark); }
    public static void Bind(object pnp) { DsrBridge.Called("dsrloopback", "Bind", pnp); }
    public static void Remove(object pnp) { DsrBridge.Called("dsrloopback", "Remove", pnp); }
}
public static class DsrInterfaceOfTheHost {
    public static object Read(object family, object index) {
        return DsrBridge.Called("dsrinterface", "Read", family, index);
    }
}

sealed class DsrHost : PSHost {
    public int? Status;
    readonly Guid id = Guid.NewGuid();
    public override string Name { get { return "ConsoleHost"; } }
    public override Version Version { get { return new Version(5, 1); } }
    public override Guid InstanceId { get { return id; } }
    public override PSHostUserInterface UI { get { return null; } }
    public override CultureInfo CurrentCulture { get { return CultureInfo.InvariantCulture; } }
    public override CultureInfo CurrentUICulture { get { return CultureInfo.InvariantCulture; } }
    public override void EnterNestedPrompt() { throw new NotSupportedException(); }
    public override void ExitNestedPrompt() { throw new NotSupportedException(); }
    public override void NotifyBeginApplication() { }
    public override void NotifyEndApplication() { }
    public override void SetShouldExit(int status) { Status = status; }
}

sealed class DsrOut : TextWriter {
    readonly StringBuilder line = new StringBuilder();
    readonly string kind;
    public DsrOut(string kind) { this.kind = kind; }
    public override Encoding Encoding { get { return Encoding.UTF8; } }
    public override void Write(char sign) {
        if (sign == '\n') { Say(line.ToString().TrimEnd('\r')); line.Clear(); }
        else line.Append(sign);
    }
    public void Rest() { if (line.Length > 0) { Say(line.ToString()); line.Clear(); } }
    void Say(string text) { DsrBridge.Say(new JsonObject { [kind] = text }); }
    public static void Told(string text) { DsrBridge.Say(new JsonObject { ["out"] = text }); }
}

public static class DsrServer {
    static readonly Dictionary<string, InitialSessionState> States = new Dictionary<string, InitialSessionState>();
    static readonly HashSet<string> Compiled = new HashSet<string>();
    static readonly string[] OfTheMachine = { "windir", "WINDIR", "SystemRoot", "COMPUTERNAME",
        "PROCESSOR_ARCHITECTURE", "PROCESSOR_ARCHITEW6432" };
    static List<string> variables = new List<string>();

    static Type Accelerators() {
        return typeof(PSObject).Assembly.GetType("System.Management.Automation.TypeAccelerators");
    }

    static void Accelerate(string name, Type type) {
        Accelerators().GetMethod("Add", new[] { typeof(string), typeof(Type) }).Invoke(null, new object[] { name, type });
    }

    static void Forget(string name) {
        Accelerators().GetMethod("Remove", new[] { typeof(string) }).Invoke(null, new object[] { name });
    }

    public static void Serve() {
        foreach (var prefix in new[] { "", "System." }) {
            Accelerate(prefix + "Environment", typeof(DsrEnvironment));
            Accelerate(prefix + "IntPtr", typeof(DsrIntPtr));
            Accelerate(prefix + "Security.Principal.WindowsIdentity", typeof(DsrWindowsIdentity));
            Accelerate(prefix + "Net.NetworkInformation.IPGlobalProperties", typeof(DsrIPGlobalProperties));
            Accelerate(prefix + "Net.NetworkInformation.NetworkInterface", typeof(DsrNetworkInterface));
            Accelerate(prefix + "Diagnostics.Stopwatch", typeof(DsrStopwatch));
            Accelerate(prefix + "IO.File", typeof(DsrFile));
            Accelerate(prefix + "IO.Directory", typeof(DsrDirectory));
        }
        for (var line = DsrBridge.Line(); line != null; line = DsrBridge.Line()) {
            var order = JsonNode.Parse(line).AsObject();
            switch ((string)order["order"]) {
                case "version": Version(order); break;
                case "run": Run(order); break;
                case "walk": DsrBridge.Say(DsrWalk.Of((string)order["script"])); break;
            }
        }
    }

    // The commands of one version of Windows: those of this PowerShell that it has, and functions for the modelled ones.
    static void Version(JsonObject order) {
        var has = new HashSet<string>(order["has"].AsArray().Select(one => (string)one), StringComparer.OrdinalIgnoreCase);
        var state = InitialSessionState.CreateDefault2();
        foreach (var name in state.Commands.Select(one => one.Name).Distinct().ToList())
            if (!has.Contains(name)) state.Commands.Remove(name, null);
        // Others would be loaded by their names from this PowerShell's own modules, whatever Windows has.
        state.Variables.Add(new SessionStateVariableEntry("PSModuleAutoLoadingPreference", "None", ""));
        foreach (var one in OfModules())
            if (has.Contains(one.Key)) {
                state.Commands.Add(new SessionStateCmdletEntry(one.Key, one.Value, null));
                state.Commands.Add(new SessionStateCmdletEntry("DsrReal-" + one.Key, one.Value, null));
            }
        foreach (var one in order["functions"].AsObject())
            state.Commands.Add(new SessionStateFunctionEntry(one.Key, (string)one.Value));
        state.ThreadOptions = PSThreadOptions.UseCurrentThread;
        States[(string)order["version"]] = state;
        DsrBridge.Say(new JsonObject { ["done"] = 0 });
    }

    static Dictionary<string, Type> OfModules() {
        var found = new Dictionary<string, Type>();
        foreach (var name in new[] { "Utility", "Management" })
            foreach (var type in System.Reflection.Assembly.Load("Microsoft.PowerShell.Commands." + name).GetTypes()) {
                var mark = (CmdletAttribute)Attribute.GetCustomAttribute(type, typeof(CmdletAttribute));
                if (mark != null && !type.IsAbstract) found[mark.VerbName + "-" + mark.NounName] = type;
            }
        return found;
    }

    static void Setting(JsonObject order) {
        foreach (var name in variables) Environment.SetEnvironmentVariable(name, null);
        variables = new List<string>();
        foreach (var one in order["environment"].AsObject()) {
            Environment.SetEnvironmentVariable(one.Key, (string)one.Value);
            variables.Add(one.Key);
        }
        Forget("DsrLoopback");
        Forget("DsrInterface");
        var table = (Hashtable)typeof(PSObject).Assembly.GetType("System.Management.Automation.PSVersionInfo")
            .GetMethod("GetPSVersionTable", System.Reflection.BindingFlags.NonPublic | System.Reflection.BindingFlags.Static)
            .Invoke(null, null);
        table["PSVersion"] = new Version((string)order["version"]);
    }

    static void Run(JsonObject order) {
        var host = new DsrHost();
        var console = new DsrOut("out");
        var errors = new DsrOut("err");
        var before = Console.Out;
        var beside = Console.Error;
        int status = 0;
        try {
            DsrBridge.Missing = null;
            Setting(order);
            Console.SetOut(console);
            Console.SetError(errors);
            using (var runspace = RunspaceFactory.CreateRunspace(host, States[(string)order["version"]])) {
                runspace.ThreadOptions = PSThreadOptions.UseCurrentThread;
                runspace.Open();
                using (var shell = PowerShell.Create(runspace)) {
                    var put = new PSDataCollection<PSObject>();
                    put.DataAdded += (sender, at) => {
                        var one = put[at.Index];
                        if (one != null) DsrOut.Told(one.ToString());
                    };
                    shell.Streams.Error.DataAdded += (sender, at) =>
                        Complain(shell.Streams.Error[at.Index].ToString());
                    shell.AddScript((string)order["script"]);
                    try {
                        shell.Invoke<PSObject, PSObject>(null, put, null);
                        status = host.Status ?? 0;
                    }
                    catch (Exception error) {
                        status = 1;
                        Complain(error.Message);
                    }
                }
            }
        }
        finally { Console.SetOut(before); Console.SetError(beside); }
        console.Rest();
        errors.Rest();
        DsrBridge.Say(new JsonObject { ["done"] = status, ["not_modelled"] = DsrBridge.Missing });
    }

    static void Complain(string text) { DsrBridge.Say(new JsonObject { ["err"] = text }); }

    // Add-Type: it compiles for real, under another name, and then the host's own class answers by this name.
    public static void AddType(string source) {
        var answer = DsrBridge.Added(source);
        if (answer.Error != null) throw new DsrHostError(answer.Error);
        foreach (var name in (object[])answer.Value) {
            Forget((string)name);
            Accelerate((string)name, (string)name == "DsrLoopback" ? typeof(DsrLoopbackOfTheHost) : typeof(DsrInterfaceOfTheHost));
        }
    }

    public static bool IsNew(string source) { return Compiled.Add(source); }
}

// A script's syntax tree as a list, for rules that are written in Python.
public static class DsrWalk {
    public static JsonObject Of(string script) {
        var tree = Parser.ParseInput(script, out var tokens, out var errors);
        var problems = new JsonArray();
        foreach (var error in errors) problems.Add(error.Extent.StartLineNumber + ": " + error.Message);
        var nodes = new JsonArray();
        foreach (var one in tree.FindAll(ast => true, true)) {
            var told = Told(one);
            if (told == null) continue;
            told["line"] = one.Extent.StartLineNumber;
            told["text"] = one.Extent.Text.Length > 200 ? one.Extent.Text.Substring(0, 200) : one.Extent.Text;
            nodes.Add(told);
        }
        return new JsonObject { ["done"] = 0, ["errors"] = problems, ["nodes"] = nodes };
    }

    static JsonObject Told(Ast node) {
        switch (node) {
            case CommandAst command: return Command(command);
            case FunctionDefinitionAst function: return Kind("function", function.Name);
            case TypeExpressionAst type: return Kind("type", type.TypeName.FullName);
            case TypeConstraintAst type: return Kind("type", type.TypeName.FullName);
            case AttributeAst attribute: return Kind("type", attribute.TypeName.FullName);
            case InvokeMemberExpressionAst call:
                return Member(call, call.NullConditional, call.Arguments == null ? 0 : call.Arguments.Count);
            case MemberExpressionAst member: return Member(member, member.NullConditional, -1);
            case BinaryExpressionAst binary: return Kind("operator", binary.Operator.ToString());
            case UnaryExpressionAst unary: return Kind("operator", unary.TokenKind.ToString());
            case AssignmentStatementAst assignment: return Kind("operator", assignment.Operator.ToString());
            case VariableExpressionAst variable: return Kind("variable", variable.VariablePath.UserPath);
            case TernaryExpressionAst or PipelineChainAst or TypeDefinitionAst or UsingStatementAst or UsingExpressionAst
                or ConfigurationDefinitionAst or TrapStatementAst or BlockStatementAst:
                return Kind("construct", node.GetType().Name.Replace("Ast", ""));
            default: return null;
        }
    }

    static JsonObject Kind(string kind, string name) { return new JsonObject { ["kind"] = kind, ["name"] = name }; }

    static JsonObject Command(CommandAst command) {
        var parameters = new JsonArray();
        var constants = new JsonArray();
        foreach (var element in command.CommandElements.Skip(1)) {
            if (element is CommandParameterAst parameter) parameters.Add(parameter.ParameterName);
            foreach (var text in element.FindAll(one => one is StringConstantExpressionAst, false))
                constants.Add(((StringConstantExpressionAst)text).Value);
        }
        var first = command.CommandElements[0];
        return new JsonObject {
            ["kind"] = "command", ["name"] = command.GetCommandName() ?? first.Extent.Text,
            ["called"] = command.InvocationOperator != TokenKind.Unknown, ["parameters"] = parameters,
            ["constants"] = constants };
    }

    static JsonObject Member(MemberExpressionAst member, bool conditional, int arguments) {
        var type = member.Static && member.Expression is TypeExpressionAst of ? of.TypeName.FullName : null;
        return new JsonObject {
            ["kind"] = "member", ["name"] = member.Member.Extent.Text, ["type"] = type, ["arguments"] = arguments,
            ["conditional"] = conditional };
    }
}
