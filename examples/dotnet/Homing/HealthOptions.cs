using System;

namespace Homing
{
    /// <summary>Thresholds and times of health checking and outlier ejection. What is not set has its
    /// default.</summary>
    public sealed class HealthOptions
    {
        /// <summary>How many probes in a row have to fail before an upstream is down; one that is refused is enough.
        /// Default: 2.</summary>
        public int? Fall { get; set; }

        /// <summary>How many probes in a row have to pass before it is up again. Default: 2.</summary>
        public int? Rise { get; set; }

        /// <summary>How many requests in a row have to fail before an upstream takes no new sessions. Default: 5; 0:
        /// this rule is off.</summary>
        public int? Consecutive { get; set; }

        /// <summary>How many displaced sessions a failover target takes in a second. Default: 500; 0: no
        /// limit.</summary>
        public int? FailoverRate { get; set; }

        /// <summary>The time of the first ejection. Default: 10 s.</summary>
        public TimeSpan? Base { get; set; }

        /// <summary>The maximum time of an ejection; repeated ejections are longer. Default: 5 minutes.</summary>
        public TimeSpan? Max { get; set; }

        /// <summary>An upstream that responds to no request for this time takes no new sessions. Default: 5 s;
        /// <c>Timeout.InfiniteTimeSpan</c>: this rule is off.</summary>
        public TimeSpan? Silence { get; set; }

        /// <summary>The time of the slow start of new and returned upstreams. Default: 10 s;
        /// <c>Timeout.InfiniteTimeSpan</c>: no slow start.</summary>
        public TimeSpan? SlowStart { get; set; }

        /// <summary>How long sessions wait for an upstream that is down to return, before they move. Default: they move
        /// at once.</summary>
        public TimeSpan? Hold { get; set; }

        /// <summary>The time after the deadline of a drain over which its sessions leave. Default: 30 s;
        /// <c>Timeout.InfiniteTimeSpan</c>: all at once.</summary>
        public TimeSpan? DrainSpread { get; set; }
    }
}
