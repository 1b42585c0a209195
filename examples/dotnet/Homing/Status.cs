namespace Homing
{
    /// <summary>What a call of the library comes to. Negative numbers are errors.</summary>
    public enum Status
    {
        /// <summary>It worked.</summary>
        Ok = 0,

        /// <summary>The session is to wait and be picked again later. Only for requests with <see cref="Request.CanWait"/>.</summary>
        Later = 1,

        /// <summary>There is nothing: no event waits, no token is due.</summary>
        Nothing = 2,

        /// <summary>A pointer that must not be null is. The binding never causes it.</summary>
        Null = -1,

        /// <summary>What the call is about was disposed of meanwhile, by another thread.</summary>
        Handle = -2,

        /// <summary>A struct has another size than the library expects: binding and library do not fit together.</summary>
        Size = -3,

        /// <summary>Something is longer than the library takes: cookies, keys and tokens 65,536 bytes, names 255.</summary>
        Length = -4,

        /// <summary>A buffer is too small. The binding never causes it.</summary>
        Buffer = -5,

        /// <summary>A number or a text that means nothing where it was given.</summary>
        Value = -6,

        /// <summary>The configuration is wrong; the message says where and what to do.</summary>
        Config = -7,

        /// <summary>The key file or the key ring is wrong.</summary>
        Keys = -8,

        /// <summary>There is no such upstream.</summary>
        Unknown = -9,

        /// <summary>The cluster has changed since: look the upstreams up, or plan, again.</summary>
        Generation = -10,

        /// <summary>No upstream takes sessions. Answer 503.</summary>
        Unavailable = -11,

        /// <summary>Those that could take the request are at their limits. Answer 503, or try again when a request has ended.</summary>
        Full = -12,

        /// <summary>The session's own upstream cannot take the request, and sessions are not to be moved. Answer 503.</summary>
        Rejected = -13,

        /// <summary>There are too many handles. Dispose of what is no longer used.</summary>
        Limit = -14,

        /// <summary>The operating system gave no randomness.</summary>
        System = -15,

        /// <summary>A bug in the library. Please report it; the next call works.</summary>
        Panic = -16,
    }
}
