using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace Homing
{
    /// <summary>How grave a line of the log is.</summary>
    public enum LogLevel
    {
        /// <summary>Something worth knowing happened.</summary>
        Info = 1,

        /// <summary>Something should be looked after.</summary>
        Warn = 2,

        /// <summary>Something failed.</summary>
        Error = 3,
    }

    /// <summary>The native library itself.</summary>
    public static unsafe class Library
    {
        private const int Decisions = 14;

        private static readonly string[] DecisionNames = new string[Decisions];
        private static readonly object LogLock = new object();

        // All that there ever were: a call of one that was replaced may be under way in another thread.
        private static readonly List<NativeLog> Logs = new List<NativeLog>();

        [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
        private delegate void NativeLog(int level, byte* text, UIntPtr length, IntPtr user);

        /// <summary>The library's version, such as <c>0.1.0</c>.</summary>
        public static string Version
        {
            get { return Utf8.Read(Native.homing_version); }
        }

        /// <summary>The version of the library's C interface. This binding is for version 1 and refuses others.</summary>
        public static int AbiVersion
        {
            get { return (int)Native.homing_abi_version(); }
        }

        /// <summary>What a decision is called in logs and metrics, the same in every host: <c>pinned</c>, <c>new</c>, <c>not_serving</c>.</summary>
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

        /// <summary>
        /// Takes the library's log lines, of which there are few: what an operator should know. Picks write none.
        /// They come on the thread that calls the library, during that call. What the delegate throws is dropped; it must not call the library.
        /// </summary>
        /// <param name="write">Takes a line, or null: nobody does.</param>
        /// <exception cref="HomingException">The library refused.</exception>
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
                            // No exception may travel through native frames.
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
