using System;
using System.Globalization;
using System.Linq;
using System.Reflection;

namespace Tests
{
    // Tests units           every public static method of the classes called ...Tests, each by its name
    // Tests leak COUNT      see Leak
    // Tests picks, open     see Sessions
    internal static class Program
    {
        private static int Main(string[] arguments)
        {
            CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
            switch (arguments.FirstOrDefault())
            {
                case "units":
                    return RunUnits();
                case "leak":
                    return Leak.Run(int.Parse(arguments[1]), arguments.Contains("planted"));
                case "picks":
                    return Sessions.Picks(arguments[1], ulong.Parse(arguments[2]), int.Parse(arguments[3]));
                case "open":
                    return Sessions.Open(arguments[1]);
                default:
                    Console.Error.WriteLine("usage: Tests units | leak COUNT | picks KEYS SEED COUNT | open KEYS < tokens");
                    return 2;
            }
        }

        private static int RunUnits()
        {
            var tests =
                from type in typeof(Program).Assembly.GetTypes()
                where type.Name.EndsWith("Tests", StringComparison.Ordinal)
                from method in type.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly)
                orderby type.Name, method.Name
                select method;
            int passed = 0, failed = 0;
            foreach (var test in tests)
            {
                var name = test.DeclaringType.Name + "." + test.Name;
                try
                {
                    test.Invoke(null, null);
                    passed++;
                    Console.WriteLine("ok " + name);
                }
                catch (TargetInvocationException error)
                {
                    failed++;
                    Console.WriteLine("FAILED " + name + ": " + error.InnerException);
                }
            }
            Console.WriteLine("{0} passed, {1} failed", passed, failed);
            return failed == 0 && passed > 0 ? 0 : 1;
        }
    }
}
