namespace Homing
{
    /// <summary>Why a request goes where it goes.</summary>
    public enum Decision
    {
        /// <summary>The session came home.</summary>
        Pinned = 0,

        /// <summary>No token: a first visit, or a client without cookies.</summary>
        New = 1,

        /// <summary>The cluster does not have the token's upstream any more.</summary>
        NoSuchUpstream = 2,

        /// <summary>The session's upstream does not serve, or has just failed this request.</summary>
        NotServing = 3,

        /// <summary>The session's upstream is at its limit.</summary>
        Full = 4,

        /// <summary>The session's upstream is another process than the one that held the session.</summary>
        OtherIncarnation = 5,

        /// <summary>The session is older than its greatest age.</summary>
        Expired = 6,

        /// <summary>The session was away for too long.</summary>
        Idle = 7,

        /// <summary>The token was altered, made up, or is of another pool.</summary>
        BadTag = 8,

        /// <summary>The token was signed with a key that the ring does not have.</summary>
        UnknownKey = 9,

        /// <summary>What came is no token.</summary>
        Malformed = 10,

        /// <summary>The token is of another version.</summary>
        OtherVersion = 11,

        /// <summary>The session's upstream is drained, and the session's moment to leave has come.</summary>
        Drained = 12,

        /// <summary>The session was moved to an upstream with room.</summary>
        Rebalanced = 13,
    }
}
