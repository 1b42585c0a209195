using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace Homing
{
    /// <summary>The level of a log line.</summary>
    public enum LogLevel
    {
        /// <summary>Something happened on purpose, such as a change of keys.</summary>
        Info = 1,

        /// <summary>Something an operator should correct.</summary>
        Warn = 2,

        /// <summary>A bug in the library.</summary>
        Error = 3,
    }

    /// <summary>The native library itself.</summary>
    public static unsafe class Library
    {
        private const int Decisions = 14;

        private static readonly string[] DecisionNames = new string[Decisions];
        private static readonly object LogLock = new object();

        // All that were ever set: a call of one that was replaced may be under way on another thread.
        private static readonly List<NativeLog> Logs = new List<NativeLog>();

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void NativeLog(int level, byte* text, UIntPtr length, IntPtr user);

        /// <summary>The library's version, such as <c>0.1.0</c>.</summary>
        public static string Version
        {
            get { return Utf8.Read(Native.homing_version); }
        }

        /// <summary>The version of the library's C interface. This binding is for version 1 and refuses
        /// others.</summary>
        public static int AbiVersion
        {
            get { return (int)Native.homing_abi_version(); }
        }

        /// <summary>The name of a decision in logs and metrics, the same in every host: <c>pinned</c>, <c>new</c>,
        /// <c>not_serving</c>.</summary>
        /// <param name="decision">The decision.</param>
        /// <returns>Its name.</returns>
        /// <exception cref="HomingException">There is no such decision.</exception>
        public static string NameOf(Decision decision)
        {
            var number = (int)decision;
            var known = number >= 0 && number < Decisions;
            var name = known ? DecisionNames[number] : null;
            if (name == null)
            {
                name = Utf8.Read((buffer, capacity, length) => Native.homing_decision_name(number, buffer, capacity, length));
                DecisionNames[number] = name;
            }
            return name;
        }

        /// <summary>Receives the library's few log lines, for operators. Picks log nothing. The delegate is called on
        /// the thread that calls the library, during that call. Its exceptions are dropped; it must not call the
        /// library.
        /// </summary>
        /// <param name="write">The delegate; null: none.</param>
        /// <exception cref="HomingException">The call failed.</exception>
        public static void SetLog(Action<LogLevel, string> write)
        {
            lock (LogLock)
            {
                NativeLog next = null;
                if (write != null)
                {
                    next = (level, text, length, user) =>
                    {
                        try
                        {
                            write((LogLevel)level, Utf8.Text(text, (int)length));
                        }
                        catch (Exception)
                        {
                            // No exception may cross native frames.
                        }
                    };
                }
                Logs.Add(next);
                var pointer = next == null ? IntPtr.Zero : Marshal.GetFunctionPointerForDelegate(next);
                HomingException.Check(Native.homing_set_log(pointer, IntPtr.Zero));
            }
        }

        internal static void Require()
        {
            var found = Native.homing_abi_version();
            if (found != Native.AbiVersion)
            {
                throw new HomingException(
                    Status.Size,
                    "libhoming has version " + found + " of its C interface and this binding is for " + Native.AbiVersion + ": install those that belong together");
            }
        }
    }
}
