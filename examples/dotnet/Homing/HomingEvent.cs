using System;

namespace Homing
{
    /// <summary>The kind of an event.</summary>
    public enum EventKind
    {
        /// <summary>An upstream's state changed, from <see cref="HomingEvent.From"/> to
        /// <see cref="HomingEvent.To"/>.</summary>
        Changed = 0,

        /// <summary>Another process is behind an upstream, with another incarnation.</summary>
        Restarted = 1,

        /// <summary>A draining upstream has no sessions and no requests left.</summary>
        Drained = 2,

        /// <summary>Panic mode: too many upstreams are ejected for that to be plausible, so ejections are
        /// ignored.</summary>
        PanicBegan = 3,

        /// <summary>Panic mode is over: ejections count again.</summary>
        PanicEnded = 4,
    }

    /// <summary>An event of an upstream, or of the cluster.</summary>
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

        /// <summary>The kind of event.</summary>
        public EventKind Kind { get; }

        /// <summary>The time.</summary>
        public DateTimeOffset At { get; }

        /// <summary>The name of the upstream; null: the event is about the cluster.</summary>
        public string Upstream { get; }

        /// <summary>The value before: an <see cref="UpstreamState"/> with <see cref="EventKind.Changed"/>, an
        /// incarnation with <see cref="EventKind.Restarted"/>.</summary>
        public int From { get; }

        /// <summary>The value now, in the same way.</summary>
        public int To { get; }

        /// <summary>How many events of this stream were dropped so far, because the queue was full.</summary>
        public long Missed { get; }

        /// <summary>The event as text, for people.</summary>
        public string Text { get; }
    }
}
