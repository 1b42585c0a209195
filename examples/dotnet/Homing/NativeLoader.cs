#if NET
using System;
using System.IO;
using System.Reflection;
using System.Runtime.InteropServices;

namespace Homing
{
    // Where the runtime lets a library find its native half: the file that HOMING_LIBRARY names, then beside the assembly as NuGet lays it
    // out, then wherever the system looks. Mono and .NET Framework look beside the assembly and where the system does.
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
