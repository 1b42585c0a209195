using System;

namespace Homing
{
    // A buffer for each thread, for inputs and outputs of calls, so that a pick allocates nothing for them.
    internal static class Scratch
    {
        private const int Least = 2048;

        [ThreadStatic]
        private static byte[] buffer;

        internal static byte[] OfAtLeast(int length)
        {
            var have = buffer;
            return have != null && have.Length >= length ? have : Grow(length);
        }

        private static byte[] Grow(int length)
        {
            return buffer = new byte[Math.Max(length, Least)];
        }
    }
}
