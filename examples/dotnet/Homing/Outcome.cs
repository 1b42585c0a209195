namespace Homing
{
    /// <summary>The outcome of a request. An upstream that fails often takes no new sessions.</summary>
    public enum Outcome
    {
        /// <summary>No outcome to report: the client left, or the outcome was reported before.</summary>
        None = 0,

        /// <summary>A response with a status below 500.</summary>
        Answered = 1,

        /// <summary>A response with a status of 500 or above.</summary>
        ServerError = 2,

        /// <summary>The connection broke, or the response was not valid HTTP.</summary>
        Broken = 3,

        /// <summary>No response in time. The latency says how long the request waited.</summary>
        TimedOut = 4,

        /// <summary>The connection was refused.</summary>
        ConnectRefused = 5,

        /// <summary>The connection was not established in time.</summary>
        ConnectTimedOut = 6,
    }

    /// <summary>The result of a probe of an upstream.</summary>
    public enum ProbeResult
    {
        /// <summary>The upstream serves, and takes new sessions.</summary>
        Passed = 0,

        /// <summary>It serves its sessions, and wants no new ones.</summary>
        Full = 1,

        /// <summary>It responded with a status that means neither.</summary>
        Status = 2,

        /// <summary>The connection was refused.</summary>
        Refused = 3,

        /// <summary>No response in time.</summary>
        TimedOut = 4,
    }
}
