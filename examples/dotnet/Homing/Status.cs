namespace Homing
{
    /// <summary>The status of a call of the library. Negative numbers are errors.</summary>
    public enum Status
    {
        /// <summary>Success.</summary>
        Ok = 0,

        /// <summary>The session waits: pick again later. Only for requests with
        /// <see cref="Request.CanWait"/>.</summary>
        Later = 1,

        /// <summary>There is nothing to return: no event is queued, no token is due.</summary>
        Nothing = 2,

        /// <summary>A pointer is null that must not be. The binding never causes it.</summary>
        Null = -1,

        /// <summary>The object was disposed by another thread.</summary>
        Handle = -2,

        /// <summary>A struct has a size that the library does not expect: binding and library are of incompatible
        /// versions.</summary>
        Size = -3,

        /// <summary>An input exceeds its limit: 65,536 bytes for cookies, keys and tokens, 255 for names.</summary>
        Length = -4,

        /// <summary>A buffer is too small. The binding never causes it.</summary>
        Buffer = -5,

        /// <summary>An invalid number or text.</summary>
        Value = -6,

        /// <summary>The configuration is invalid; the message says where, and what to do.</summary>
        Config = -7,

        /// <summary>The key file or the key ring is invalid.</summary>
        Keys = -8,

        /// <summary>There is no such upstream.</summary>
        Unknown = -9,

        /// <summary>The cluster has changed since then: look upstreams up again, or create a new plan.</summary>
        Generation = -10,

        /// <summary>No upstream accepts sessions. Answer with 503.</summary>
        Unavailable = -11,

        /// <summary>Every upstream that could take the request is at its limit. Answer with 503, or pick again when a
        /// request has ended.</summary>
        Full = -12,

        /// <summary>The session's upstream cannot take the request, and by configuration sessions do not move. Answer
        /// with 503.</summary>
        Rejected = -13,

        /// <summary>There are too many handles. Dispose those that are no longer used.</summary>
        Limit = -14,

        /// <summary>The operating system provided no random numbers.</summary>
        System = -15,

        /// <summary>A bug in the library. Please report it; the next call works.</summary>
        Panic = -16,
    }
}
