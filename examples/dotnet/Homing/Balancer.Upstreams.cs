using System;
using System.Collections.Generic;

namespace Homing
{
    public sealed unsafe partial class Balancer
    {
        /// <summary>The generation of the cluster: it changes with each change of membership, and indices with
        /// it.</summary>
        /// <exception cref="HomingException">The call failed.</exception>
        public ulong Generation
        {
            get
            {
                ulong generation;
                Count(out generation);
                return generation;
            }
        }

        /// <summary>The status of each upstream, in the order of their indices.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <returns>One status for each upstream, all of one generation.</returns>
        /// <exception cref="HomingException">The call failed.</exception>
        public IReadOnlyList<UpstreamStatus> Upstreams(DateTimeOffset? now = null)
        {
            while (true)
            {
                ulong generation;
                var statuses = new UpstreamStatus[Count(out generation)];
                var whole = true;
                for (var index = 0; whole && index < statuses.Length; index++)
                {
                    statuses[index] = StatusOf(index, now);
                    whole = statuses[index] != null && statuses[index].Generation == generation;
                }
                if (whole)
                {
                    return statuses;
                }
            }
        }

        /// <summary>The status of all upstreams as JSON.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <returns>A JSON object.</returns>
        /// <exception cref="HomingException">The call failed.</exception>
        public string StatusJson(DateTimeOffset? now = null)
        {
            return Utf8.Read((buffer, capacity, length) =>
                Native.homing_status_json(handle.Value, Times.Moment(now), buffer, capacity, length));
        }

        /// <summary>Finds an upstream by its name.</summary>
        /// <param name="name">The name.</param>
        /// <param name="id">Its id, which stays the same while the name does.</param>
        /// <param name="index">Its index in the current generation of the cluster.</param>
        /// <returns>Whether there is one.</returns>
        /// <exception cref="HomingException">The name is too long.</exception>
        public bool TryFind(string name, out ulong id, out int index)
        {
            var bytes = Utf8.Bytes(name, nameof(name));
            ulong foundId = 0;
            uint foundIndex = 0;
            int status;
            fixed (byte* text = bytes)
            {
                status = Native.homing_find(handle.Value, text, (UIntPtr)(uint)bytes.Length, &foundId, &foundIndex);
            }
            GC.KeepAlive(this);
            id = foundId;
            index = (int)foundIndex;
            return status != (int)Status.Unknown && HomingException.Check(status) >= 0;
        }

        /// <summary>The address of an upstream, as configured.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <returns>Its address.</returns>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public string AddressOf(ulong upstreamId)
        {
            return Utf8.Read((buffer, capacity, length) => Native.homing_address(handle.Value, upstreamId, buffer, capacity, length));
        }

        /// <summary>Reports the result of a probe of an upstream, for hosts that probe.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="result">The result.</param>
        /// <param name="httpStatus">With <see cref="ProbeResult.Status"/>: the status.</param>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">There is no such upstream or result.</exception>
        public void Probe(ulong upstreamId, ProbeResult result, int httpStatus = 0, DateTimeOffset? now = null)
        {
            Check(Native.homing_probe(handle.Value, upstreamId, (int)result, checked((ushort)httpStatus), Times.Moment(now)));
        }

        /// <summary>Advances the time: ejections end, drains go on. Call it about ten times a second.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">The call failed.</exception>
        public void Tick(DateTimeOffset? now = null)
        {
            Check(Native.homing_tick(handle.Value, Times.Moment(now)));
        }

        /// <summary>Drains an upstream: it serves its sessions and takes no new ones.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="deadline">The time after which the remaining sessions leave. Null: they stay.</param>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public void Drain(ulong upstreamId, TimeSpan? deadline = null, DateTimeOffset? now = null)
        {
            Check(Native.homing_drain(handle.Value, upstreamId, Times.Deadline(deadline), Times.Moment(now)));
        }

        /// <summary>Ends a drain.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public void Resume(ulong upstreamId, DateTimeOffset? now = null)
        {
            Check(Native.homing_resume(handle.Value, upstreamId, Times.Moment(now)));
        }

        /// <summary>The drain deadline of a session: when it has to leave its upstream. A host closes its WebSockets
        /// then.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="session">The session id, from its pick.</param>
        /// <returns>The time, or null where the upstream is not drained with a deadline.</returns>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public DateTimeOffset? Departure(ulong upstreamId, ulong session)
        {
            ulong at;
            var status = HomingException.Check(Native.homing_departure(handle.Value, upstreamId, session, &at));
            GC.KeepAlive(this);
            return status == (int)Status.Nothing ? (DateTimeOffset?)null : Times.Moment(at);
        }

        /// <summary>Says which process is behind an upstream now, so that sessions whose state ended with the previous
        /// one are placed again.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="incarnation">1 to 65,535, the same for the life of the process, and most likely different for
        /// the next one.</param>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public void SetIncarnation(ulong upstreamId, int incarnation, DateTimeOffset? now = null)
        {
            Check(Native.homing_set_incarnation(handle.Value, upstreamId, checked((ushort)incarnation), Times.Moment(now)));
        }

        /// <summary>Sets the availability of an upstream, for hosts with health checks of their own: they set
        /// <see cref="HealthOptions.Silence"/> to <c>Timeout.InfiniteTimeSpan</c> and report no outcomes and no probes,
        /// because the library's own judgement would be applied as well.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="accepting">Whether it takes new sessions.</param>
        /// <param name="serving">Whether it serves the sessions it has.</param>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public void SetHealth(ulong upstreamId, bool accepting, bool serving)
        {
            Check(Native.homing_set_health(handle.Value, upstreamId, accepting ? 1 : 0, serving ? 1 : 0));
        }

        /// <summary>Creates a plan: a change of membership.</summary>
        /// <returns>The plan, of the cluster as it is now.</returns>
        /// <exception cref="HomingException">There are too many handles.</exception>
        public Plan Plan()
        {
            ulong plan;
            Check(Native.homing_plan_new(handle.Value, &plan));
            return new Plan(plan);
        }

        /// <summary>Creates a stream of the cluster's events.</summary>
        /// <returns>The events from now on.</returns>
        /// <exception cref="HomingException">There are too many handles.</exception>
        public EventStream Events()
        {
            ulong events;
            Check(Native.homing_events_new(handle.Value, &events));
            return new EventStream(events);
        }

        internal void Report(ulong lease, Outcome outcome, TimeSpan latency)
        {
            Check(Native.homing_report(handle.Value, lease, (int)outcome, Times.Microseconds(latency), 0));
        }

        private int Count(out ulong generation)
        {
            UIntPtr count;
            ulong number;
            Check(Native.homing_balancer_upstreams(handle.Value, &count, &number));
            generation = number;
            return (int)count;
        }

        // Null where the cluster has become smaller in the meantime.
        private UpstreamStatus StatusOf(int index, DateTimeOffset? now)
        {
            var native = new NativeStatus { Size = (UIntPtr)(uint)sizeof(NativeStatus) };
            var name = stackalloc byte[Native.NameMax];
            UIntPtr length;
            var status = Native.homing_status(handle.Value, (uint)index, Times.Moment(now), &native, name, (UIntPtr)Native.NameMax, &length);
            if (status == (int)Status.Unknown)
            {
                return null;
            }
            Check(status);
            return new UpstreamStatus(&native, Utf8.Text(name, (int)length));
        }

        private void Check(int status)
        {
            GC.KeepAlive(this);
            HomingException.Check(status);
        }
    }
}
