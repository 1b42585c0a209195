using System;

namespace Homing
{
    /// <summary>The state of an upstream.</summary>
    public enum UpstreamState
    {
        /// <summary>It serves, and takes new sessions.</summary>
        Active = 0,

        /// <summary>Slow start: it is new or has returned, and takes a growing share of new sessions.</summary>
        Warming = 1,

        /// <summary>It says itself that it wants no new sessions.</summary>
        Full = 2,

        /// <summary>It is ejected or silent: it serves its sessions, and takes no new ones for now.</summary>
        Suspect = 3,

        /// <summary>It is draining.</summary>
        Draining = 4,

        /// <summary>It is proven not to serve.</summary>
        Down = 5,
    }

    /// <summary>The status of an upstream at one moment.</summary>
    public sealed unsafe class UpstreamStatus
    {
        private const int Decisions = 14;

        private readonly ulong[] decided = new ulong[Decisions];

        internal UpstreamStatus(NativeStatus* native, string name)
        {
            Name = name;
            Id = native->Id;
            Generation = native->Generation;
            Requests = (long)native->Requests;
            Since = native->Since == 0 ? (DateTimeOffset?)null : Times.Moment(native->Since);
            Latency = TimeSpan.FromTicks((long)native->Latency * 10);
            Weight = (int)native->Weight;
            MaxInFlight = (int)native->MaxInFlight;
            InFlight = (int)native->InFlight;
            LiveSessions = (int)native->LiveSessions;
            State = (UpstreamState)native->State;
            IsAccepting = native->Accepting != 0;
            IsServing = native->Serving != 0;
            Incarnation = (int)native->Incarnation;
            for (var i = 0; i < Decisions; i++)
            {
                decided[i] = native->Decided[i];
            }
        }

        /// <summary>Its name.</summary>
        public string Name { get; }

        /// <summary>What it is called by, for as long as its name stays.</summary>
        public ulong Id { get; }

        /// <summary>The generation of the cluster that its index is of.</summary>
        public ulong Generation { get; }

        /// <summary>The number of requests since the start.</summary>
        public long Requests { get; }

        /// <summary>When it entered its state; null: at the start.</summary>
        public DateTimeOffset? Since { get; }

        /// <summary>Its expected latency; zero where it is unknown: the policy does not use latencies, or none was
        /// reported.</summary>
        public TimeSpan Latency { get; }

        /// <summary>Its weight: its share of new sessions.</summary>
        public int Weight { get; }

        /// <summary>Its limit of requests in flight; 0: no limit.</summary>
        public int MaxInFlight { get; }

        /// <summary>The number of requests in flight.</summary>
        public int InFlight { get; }

        /// <summary>The estimated number of live sessions.</summary>
        public int LiveSessions { get; }

        /// <summary>Its state.</summary>
        public UpstreamState State { get; }

        /// <summary>Whether it takes new sessions.</summary>
        public bool IsAccepting { get; }

        /// <summary>Whether it serves the sessions it has.</summary>
        public bool IsServing { get; }

        /// <summary>The incarnation of its process; 0: unknown.</summary>
        public int Incarnation { get; }

        /// <summary>The number of its requests with a decision.</summary>
        /// <param name="decision">The decision.</param>
        /// <returns>The number since the start.</returns>
        public long Decided(Decision decision)
        {
            return (long)decided[(int)decision];
        }
    }
}
