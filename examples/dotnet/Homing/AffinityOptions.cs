using System;

namespace Homing
{
    /// <summary>What happens to a session whose upstream is down.</summary>
    public enum OnUnavailable
    {
        /// <summary>It moves to another upstream, once.</summary>
        Repin = 0,

        /// <summary>Its requests are refused with <see cref="Status.Rejected"/> until the upstream returns.</summary>
        Reject = 1,
    }

    /// <summary>What happens to a session whose upstream is at its limit of requests in flight.</summary>
    public enum OnFull
    {
        /// <summary>It stays, and its requests get <see cref="Status.Full"/> until there is room.</summary>
        Wait = 0,

        /// <summary>It moves.</summary>
        Move = 1,
    }

    /// <summary>What happens to a session whose upstream is another process now.</summary>
    public enum OnRestart
    {
        /// <summary>It is placed again, because its state is gone.</summary>
        Replace = 0,

        /// <summary>It stays.</summary>
        Keep = 1,
    }

    /// <summary>The cookie's <c>SameSite</c>.</summary>
    public enum SameSite
    {
        /// <summary>Sent with links from other sites.</summary>
        Lax = 0,

        /// <summary>Never sent from other sites.</summary>
        Strict = 1,

        /// <summary>Always sent; browsers demand <c>Secure</c> with it.</summary>
        None = 2,
    }

    /// <summary>When the cookie has the attribute <c>Secure</c>.</summary>
    public enum Secure
    {
        /// <summary>If the request came over HTTPS.</summary>
        Auto = 0,

        /// <summary>Always.</summary>
        Always = 1,

        /// <summary>Never.</summary>
        Never = 2,
    }

    /// <summary>Options of affinity and its cookie. What is not set has its default.</summary>
    public sealed class AffinityOptions
    {
        /// <summary>The maximum age of a session. Default: 12 hours.</summary>
        public TimeSpan? MaxAge { get; set; }

        /// <summary>The maximum time between two requests of a session. Default: its maximum age.</summary>
        public TimeSpan? Idle { get; set; }

        /// <summary>How long a session counts as live for <c>least_sessions</c> after its last request. Default: 128
        /// s.</summary>
        public TimeSpan? LiveWindow { get; set; }

        /// <summary>What happens to a session whose upstream is down. Default: it moves.</summary>
        public OnUnavailable OnUnavailable { get; set; }

        /// <summary>What happens to a session whose upstream is at its limit. Default: it waits.</summary>
        public OnFull OnFull { get; set; }

        /// <summary>What happens to a session whose upstream is another process now. Default: it is placed
        /// again.</summary>
        public OnRestart OnRestart { get; set; }

        /// <summary>The cookie's <c>SameSite</c>. Default: <c>Lax</c>.</summary>
        public SameSite SameSite { get; set; }

        /// <summary>When the cookie has the attribute <c>Secure</c>. Default: over HTTPS.</summary>
        public Secure Secure { get; set; }

        /// <summary>Whether the cookie has the attribute <c>Partitioned</c>, for pages in frames of other
        /// sites.</summary>
        public bool Partitioned { get; set; }

        /// <summary>The cookie's name. Default: <c>homing</c>.</summary>
        public string Cookie { get; set; }

        /// <summary>The cookie's <c>Domain</c>. Default: none, so that browsers send it to this host only.</summary>
        public string Domain { get; set; }

        /// <summary>The cookie's <c>Path</c>. Default: <c>/</c>.</summary>
        public string Path { get; set; }
    }
}
