namespace Homing
{
    /// <summary>Why a request goes where it goes.</summary>
    public enum Decision
    {
        /// <summary>The request goes to its session's upstream.</summary>
        Pinned = 0,

        /// <summary>No token: a first request, or a client without cookies.</summary>
        New = 1,

        /// <summary>The token's upstream is not in the cluster any more.</summary>
        NoSuchUpstream = 2,

        /// <summary>The session's upstream does not serve, or this request was tried there and failed.</summary>
        NotServing = 3,

        /// <summary>The session's upstream is at its limit of requests in flight.</summary>
        Full = 4,

        /// <summary>Another process is behind the session's upstream than the one that held the session.</summary>
        OtherIncarnation = 5,

        /// <summary>The session has reached its maximum age.</summary>
        Expired = 6,

        /// <summary>The session made no request for longer than the idle time.</summary>
        Idle = 7,

        /// <summary>The token was altered or forged, or is of another pool.</summary>
        BadTag = 8,

        /// <summary>The token was signed with a key that the ring does not have.</summary>
        UnknownKey = 9,

        /// <summary>The text is not a token.</summary>
        Malformed = 10,

        /// <summary>The token has another version.</summary>
        OtherVersion = 11,

        /// <summary>The session's upstream is draining, and the session's drain deadline has passed.</summary>
        Drained = 12,

        /// <summary>Rebalancing moved the session to an upstream with room.</summary>
        Rebalanced = 13,
    }
}
