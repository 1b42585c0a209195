using System;
using System.Collections.Generic;

namespace Homing
{
    public sealed unsafe partial class Balancer
    {
        /// <summary>The generation of the cluster: it changes with each change of membership, and indices with it.</summary>
        /// <exception cref="HomingException">The library refused.</exception>
        public ulong Generation
        {
            get
            {
                ulong generation;
                Count(out generation);
                return generation;
            }
        }

        /// <summary>How each upstream is, in the order of their indices.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <returns>One for each upstream, all of one generation.</returns>
        /// <exception cref="HomingException">The library refused.</exception>
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

        /// <summary>How everything is, as the JSON that the gateway's dashboard shows.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <returns>A JSON object.</returns>
        /// <exception cref="HomingException">The library refused.</exception>
        public string StatusJson(DateTimeOffset? now = null)
        {
            return Utf8.Read((buffer, capacity, length) =>
                Native.homing_status_json(handle.Value, Times.Moment(now), buffer, capacity, length));
        }

        /// <summary>Finds an upstream by its name.</summary>
        /// <param name="name">The name.</param>
        /// <param name="id">Its id, which stays for as long as the name does.</param>
        /// <param name="index">Its index in the cluster's present generation.</param>
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

        /// <summary>Where an upstream is, as configured.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <returns>Its address.</returns>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public string AddressOf(ulong upstreamId)
        {
            return Utf8.Read((buffer, capacity, length) => Native.homing_address(handle.Value, upstreamId, buffer, capacity, length));
        }

        /// <summary>Tells what a probe of an upstream came to, for hosts that probe.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="result">What it came to.</param>
        /// <param name="httpStatus">With <see cref="ProbeResult.Status"/>: which.</param>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">There is no such upstream or result.</exception>
        public void Probe(ulong upstreamId, ProbeResult result, int httpStatus = 0, DateTimeOffset? now = null)
        {
            Check(Native.homing_probe(handle.Value, upstreamId, (int)result, checked((ushort)httpStatus), Times.Moment(now)));
        }

        /// <summary>Lets time pass: ejections end, drains go on. Call it some ten times a second.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">The library refused.</exception>
        public void Tick(DateTimeOffset? now = null)
        {
            Check(Native.homing_tick(handle.Value, Times.Moment(now)));
        }

        /// <summary>Drains an upstream: it serves its sessions and takes no others.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="deadline">After so long, the sessions that are left leave as well. Null: they stay.</param>
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

        /// <summary>When a session has to leave its upstream, which is drained with a deadline: a host closes its WebSockets then.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="session">The session's number, from its pick.</param>
        /// <returns>The moment, or null where it may stay.</returns>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public DateTimeOffset? Departure(ulong upstreamId, ulong session)
        {
            ulong at;
            var status = HomingException.Check(Native.homing_departure(handle.Value, upstreamId, session, &at));
            GC.KeepAlive(this);
            return status == (int)Status.Nothing ? (DateTimeOffset?)null : Times.Moment(at);
        }

        /// <summary>Tells which process an upstream is now, so that sessions whose state went with the one before are placed anew.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="incarnation">1 to 65,535, constant for the process' life and most likely another for the next.</param>
        /// <param name="now">The time; null: now.</param>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public void SetIncarnation(ulong upstreamId, int incarnation, DateTimeOffset? now = null)
        {
            Check(Native.homing_set_incarnation(handle.Value, upstreamId, checked((ushort)incarnation), Times.Moment(now)));
        }

        /// <summary>Sets the verdicts on an upstream, for hosts that judge themselves: they set <see cref="HealthOptions.Silence"/> to
        /// <c>Timeout.InfiniteTimeSpan</c> and report no outcomes and no probes, or the library's own verdict comes on top.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="accepting">Whether it takes new sessions.</param>
        /// <param name="serving">Whether it serves those it has.</param>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public void SetHealth(ulong upstreamId, bool accepting, bool serving)
        {
            Check(Native.homing_set_health(handle.Value, upstreamId, accepting ? 1 : 0, serving ? 1 : 0));
        }

        /// <summary>Begins a change of membership.</summary>
        /// <returns>The plan, of the cluster as it is now.</returns>
        /// <exception cref="HomingException">There are too many handles.</exception>
        public Plan Plan()
        {
            ulong plan;
            Check(Native.homing_plan_new(handle.Value, &plan));
            return new Plan(plan);
        }

        /// <summary>Begins to watch what happens to the cluster.</summary>
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

        // Null where the cluster has shrunk meanwhile.
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
