using System;

namespace Homing
{
    /// <summary>How outcomes and probes are judged. What is not set is the default.</summary>
    public sealed class HealthOptions
    {
        /// <summary>Bad probes in a row until an upstream is down; a refused one is enough. Default: 2.</summary>
        public int? Fall { get; set; }

        /// <summary>Good probes in a row until it returns. Default: 2.</summary>
        public int? Rise { get; set; }

        /// <summary>Failures in a row until an upstream takes no new sessions. Default: 5; 0: no such rule.</summary>
        public int? Consecutive { get; set; }

        /// <summary>Displaced sessions a second that one upstream takes. Default: 500; 0: no limit.</summary>
        public int? FailoverRate { get; set; }

        /// <summary>For how long an upstream that fails takes no new sessions, at first. Default: 10 s.</summary>
        public TimeSpan? Base { get; set; }

        /// <summary>And at most, since it doubles. Default: 5 minutes.</summary>
        public TimeSpan? Max { get; set; }

        /// <summary>Who answers nobody for so long takes no new sessions. Default: 5 s; <c>Timeout.InfiniteTimeSpan</c>: no such rule.</summary>
        public TimeSpan? Silence { get; set; }

        /// <summary>Over how long an upstream that returned gets its full share. Default: 10 s; <c>Timeout.InfiniteTimeSpan</c>: at once.</summary>
        public TimeSpan? SlowStart { get; set; }

        /// <summary>How long sessions wait for an upstream that is down before they move. Default: not at all.</summary>
        public TimeSpan? Hold { get; set; }

        /// <summary>Over how long sessions leave after a drain's deadline. Default: 30 s; <c>Timeout.InfiniteTimeSpan</c>: at once.</summary>
        public TimeSpan? DrainSpread { get; set; }
    }
}
