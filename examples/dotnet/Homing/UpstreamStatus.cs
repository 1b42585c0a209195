using System;

namespace Homing
{
    /// <summary>How an upstream is, in one word.</summary>
    public enum UpstreamState
    {
        /// <summary>Takes sessions.</summary>
        Active = 0,

        /// <summary>Is new or has returned, and takes sessions at less than its share yet.</summary>
        Warming = 1,

        /// <summary>Serves its sessions and says itself that it takes no more.</summary>
        Full = 2,

        /// <summary>Fails often, and takes no new sessions for a while.</summary>
        Suspect = 3,

        /// <summary>An operator lets it go.</summary>
        Draining = 4,

        /// <summary>Serves nobody.</summary>
        Down = 5,
    }

    /// <summary>How an upstream was at one moment.</summary>
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

        /// <summary>The generation of the cluster that this is of.</summary>
        public ulong Generation { get; }

        /// <summary>How many requests it was given since the start.</summary>
        public long Requests { get; }

        /// <summary>Since when it is in its state; null: from the start.</summary>
        public DateTimeOffset? Since { get; }

        /// <summary>Its recent latency; zero: unknown, since the policy does not go by it or nothing was reported.</summary>
        public TimeSpan Latency { get; }

        /// <summary>Its share.</summary>
        public int Weight { get; }

        /// <summary>How many requests it takes at a time; 0: any number.</summary>
        public int MaxInFlight { get; }

        /// <summary>How many it has now.</summary>
        public int InFlight { get; }

        /// <summary>About how many sessions live on it.</summary>
        public int LiveSessions { get; }

        /// <summary>How it is, in one word.</summary>
        public UpstreamState State { get; }

        /// <summary>Whether it takes new sessions.</summary>
        public bool IsAccepting { get; }

        /// <summary>Whether it serves those it has.</summary>
        public bool IsServing { get; }

        /// <summary>Which process it is.</summary>
        public int Incarnation { get; }

        /// <summary>How many requests came to it for a reason.</summary>
        /// <param name="decision">The reason.</param>
        /// <returns>The count since the start.</returns>
        public long Decided(Decision decision)
        {
            return (long)decided[(int)decision];
        }
    }
}
