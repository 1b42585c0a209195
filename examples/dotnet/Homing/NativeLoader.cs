#if NET
using System;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;

namespace Homing
{
    // Where the native library is searched, if the runtime supports it: the file that HOMING_LIBRARY names, then beside
    // the assembly in the layout of NuGet, then where the system searches. Mono and .NET Framework search beside the
    // assembly and where the system does.
    internal static class NativeLoader
    {
        internal static void Register()
        {
            NativeLibrary.SetDllImportResolver(typeof(Native).Assembly, Resolve);
        }

        private static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path)
        {
            if (name != Native.Library)
            {
                return IntPtr.Zero;
            }
            var named = Environment.GetEnvironmentVariable("HOMING_LIBRARY");
            if (!string.IsNullOrEmpty(named))
            {
                return NativeLibrary.Load(named);
            }
            var file = OperatingSystem.IsWindows() ? "homing.dll" : OperatingSystem.IsMacOS() ? "libhoming.dylib" : "libhoming.so";
            var packed = Path.Combine(AppContext.BaseDirectory, "runtimes", RuntimeInformation.RuntimeIdentifier, "native", file);
            return NativeLibrary.TryLoad(packed, out var handle) ? handle : IntPtr.Zero;
        }
    }
}
#endif
