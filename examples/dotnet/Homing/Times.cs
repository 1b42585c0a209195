using System;
using System.Threading;

namespace Homing
{
    // Converts .NET's times to the library's: milliseconds since 1970, and durations in milliseconds, where 0 is the
    // default.
    internal static class Times
    {
        private const ulong Forever = ulong.MaxValue;
        private const int TicksAMicrosecond = 10;

        internal static ulong Moment(DateTimeOffset? now)
        {
            return now.HasValue ? (ulong)Math.Max(now.Value.ToUnixTimeMilliseconds(), 1) : 0;
        }

        internal static DateTimeOffset Moment(ulong milliseconds)
        {
            return DateTimeOffset.FromUnixTimeMilliseconds((long)milliseconds);
        }

        internal static ulong Option(TimeSpan? time, string parameter)
        {
            if (!time.HasValue)
            {
                return 0;
            }
            if (time.Value == Timeout.InfiniteTimeSpan)
            {
                return Forever;
            }
            if (time.Value < TimeSpan.FromMilliseconds(1))
            {
                throw new ArgumentOutOfRangeException(parameter, time, "use a millisecond or more, null for the default, or Timeout.InfiniteTimeSpan for none");
            }
            return (ulong)(time.Value.Ticks / TimeSpan.TicksPerMillisecond);
        }

        internal static ulong Deadline(TimeSpan? time)
        {
            return time.HasValue && time.Value != Timeout.InfiniteTimeSpan
                ? (ulong)(Math.Max(time.Value.Ticks, 0) / TimeSpan.TicksPerMillisecond)
                : Forever;
        }

        internal static ulong Microseconds(TimeSpan latency)
        {
            return (ulong)(Math.Max(latency.Ticks, 0) / TicksAMicrosecond);
        }
    }
}
