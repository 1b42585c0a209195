namespace Homing
{
    /// <summary>How a request fared on its upstream. Who fails often takes no new sessions.</summary>
    public enum Outcome
    {
        /// <summary>Nothing to report: the client left, or it was reported before.</summary>
        None = 0,

        /// <summary>A response with a status below 500.</summary>
        Answered = 1,

        /// <summary>A response with a status of 500 or above.</summary>
        ServerError = 2,

        /// <summary>The connection broke, or what came was no HTTP.</summary>
        Broken = 3,

        /// <summary>No response in time. The latency says how long it was waited for.</summary>
        TimedOut = 4,

        /// <summary>Nobody listens at the upstream's address.</summary>
        ConnectRefused = 5,

        /// <summary>No connection in time.</summary>
        ConnectTimedOut = 6,
    }

    /// <summary>What a probe of an upstream came to.</summary>
    public enum ProbeResult
    {
        /// <summary>It is well.</summary>
        Passed = 0,

        /// <summary>It serves its sessions and takes no more.</summary>
        Full = 1,

        /// <summary>It answered with a status that is not good.</summary>
        Status = 2,

        /// <summary>Nobody listens at its address.</summary>
        Refused = 3,

        /// <summary>It did not answer in time.</summary>
        TimedOut = 4,
    }
}
