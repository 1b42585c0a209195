using System;
using System.Threading;

namespace Homing
{
    /// <summary>
    /// A lease: a request that counts as in flight on an upstream until the lease is finished or disposed. Thread-safe.
    /// A lease that is never finished ends when it is garbage-collected.
    /// </summary>
    public class Lease : IDisposable
    {
        private long handle;

        internal Lease(Balancer balancer, ulong handle, ulong upstreamId)
        {
            Balancer = balancer;
            this.handle = (long)handle;
            UpstreamId = upstreamId;
        }

        /// <summary>Finishes the lease if that was not done before.</summary>
        ~Lease()
        {
            End(Outcome.None, TimeSpan.Zero);
        }

        internal Balancer Balancer { get; }

        /// <summary>The upstream's id, which stays the same while its name does.</summary>
        public ulong UpstreamId { get; }

        /// <summary>Reports the outcome of the request while the lease goes on: at the head of a response whose body,
        /// or tunnel, is still to come. Finish it with <see cref="Outcome.None"/> then, or with
        /// <see cref="Outcome.Broken"/>.
        /// </summary>
        /// <param name="outcome">The outcome.</param>
        /// <param name="latency">From sending the request to the head of the response; zero: unknown.</param>
        /// <exception cref="HomingException">The lease is finished, or there is no such outcome.</exception>
        /// <exception cref="ObjectDisposedException">The balancer is disposed.</exception>
        public void Report(Outcome outcome, TimeSpan latency = default(TimeSpan))
        {
            Balancer.Report((ulong)Interlocked.Read(ref handle), outcome, latency);
        }

        /// <summary>Ends the lease and reports the outcome. Only the first call counts.</summary>
        /// <param name="outcome">The outcome.</param>
        /// <param name="latency">From sending the request to the head of the response; zero: unknown.
        /// With <see cref="Outcome.TimedOut"/>, how long the request waited.</param>
        /// <exception cref="ArgumentOutOfRangeException">There is no such outcome. The lease goes on.</exception>
        public void Finish(Outcome outcome, TimeSpan latency = default(TimeSpan))
        {
            if (outcome < Outcome.None || outcome > Outcome.ConnectTimedOut)
            {
                throw new ArgumentOutOfRangeException(nameof(outcome), outcome, "is no outcome");
            }
            HomingException.Check(End(outcome, latency));
            GC.SuppressFinalize(this);
        }

        /// <summary>Finishes the lease without an outcome, if it was not finished before.</summary>
        public void Dispose()
        {
            End(Outcome.None, TimeSpan.Zero);
            GC.SuppressFinalize(this);
        }

        private int End(Outcome outcome, TimeSpan latency)
        {
            var ended = (ulong)Interlocked.Exchange(ref handle, 0);
            return ended == 0 ? 0 : Native.homing_finish(Balancer.HandleOrNone, ended, (int)outcome, Times.Microseconds(latency), 0);
        }
    }
}
