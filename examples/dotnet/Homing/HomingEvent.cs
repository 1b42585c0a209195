using System;

namespace Homing
{
    /// <summary>What happened.</summary>
    public enum EventKind
    {
        /// <summary>An upstream's state changed, from <see cref="HomingEvent.From"/> to <see cref="HomingEvent.To"/>.</summary>
        Changed = 0,

        /// <summary>An upstream is another process, of another incarnation.</summary>
        Restarted = 1,

        /// <summary>An upstream that was drained has let its last session go.</summary>
        Drained = 2,

        /// <summary>So many upstreams look bad that none is believed to be.</summary>
        PanicBegan = 3,

        /// <summary>Upstreams are believed again.</summary>
        PanicEnded = 4,
    }

    /// <summary>Something that happened to an upstream, or to the cluster.</summary>
    public sealed class HomingEvent
    {
        internal HomingEvent(ref NativeEvent native, string upstream, string text)
        {
            Kind = (EventKind)native.Kind;
            At = Times.Moment(native.At);
            Upstream = upstream.Length == 0 ? null : upstream;
            From = native.From;
            To = native.To;
            Missed = (long)native.Missed;
            Text = text;
        }

        /// <summary>What happened.</summary>
        public EventKind Kind { get; }

        /// <summary>When.</summary>
        public DateTimeOffset At { get; }

        /// <summary>To which upstream, by its name; null: to the cluster.</summary>
        public string Upstream { get; }

        /// <summary>What was before: an <see cref="UpstreamState"/> with <see cref="EventKind.Changed"/>, an incarnation with
        /// <see cref="EventKind.Restarted"/>.</summary>
        public int From { get; }

        /// <summary>What is now, likewise.</summary>
        public int To { get; }

        /// <summary>How many events of this stream were missed so far, for want of reading.</summary>
        public long Missed { get; }

        /// <summary>All of it, for people.</summary>
        public string Text { get; }
    }
}
