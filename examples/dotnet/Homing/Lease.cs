using System;
using System.Threading;

namespace Homing
{
    /// <summary>
    /// A request's place on an upstream: it counts as in flight there until it is finished or disposed of, once. Thread-safe.
    /// One that is forgotten is finished when it is collected.
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

        /// <summary>Finishes the lease if nobody did.</summary>
        ~Lease()
        {
            End(Outcome.None, TimeSpan.Zero);
        }

        internal Balancer Balancer { get; }

        /// <summary>What the upstream is called by, for as long as its name stays.</summary>
        public ulong UpstreamId { get; }

        /// <summary>
        /// Reports how the request fares, while the lease goes on: at the head of a response whose body, or tunnel, is still to come.
        /// Finish it with <see cref="Outcome.None"/> then, or with <see cref="Outcome.Broken"/>.
        /// </summary>
        /// <param name="outcome">How it fared.</param>
        /// <param name="latency">From sending the request to the head of the response; zero: unknown.</param>
        /// <exception cref="HomingException">The lease is finished, or there is no such outcome.</exception>
        /// <exception cref="ObjectDisposedException">The balancer is disposed of.</exception>
        public void Report(Outcome outcome, TimeSpan latency = default(TimeSpan))
        {
            Balancer.Report((ulong)Interlocked.Read(ref handle), outcome, latency);
        }

        /// <summary>Ends the request's place on the upstream and reports how it fared. Only the first end counts.</summary>
        /// <param name="outcome">How it fared.</param>
        /// <param name="latency">From sending the request to the head of the response; zero: unknown.
        /// With <see cref="Outcome.TimedOut"/>, how long it was waited for.</param>
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

        /// <summary>Finishes the lease with nothing to report, if it was not finished before.</summary>
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
