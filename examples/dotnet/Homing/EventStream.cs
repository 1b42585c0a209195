using System;

namespace Homing
{
    /// <summary>The events of a cluster since the stream was created. Up to 4096 events are queued, and
    /// <see cref="HomingEvent.Missed"/> counts those that were dropped because the queue was full. Thread-safe: each
    /// event is returned once.
    /// </summary>
    public sealed unsafe class EventStream : IDisposable
    {
        private const int Room = 1024;

        private readonly Handle handle;

        internal EventStream(ulong events)
        {
            handle = new Handle(events, Native.homing_events_free, nameof(EventStream));
        }

        /// <summary>Takes the next event from the queue, if there is one.</summary>
        /// <param name="next">The event, or null.</param>
        /// <returns>Whether there was one.</returns>
        /// <exception cref="HomingException">The call failed.</exception>
        public bool TryRead(out HomingEvent next)
        {
            for (var room = Room;;)
            {
                var native = new NativeEvent { Size = (UIntPtr)(uint)sizeof(NativeEvent) };
                UIntPtr length;
                fixed (byte* text = Scratch.OfAtLeast(room))
                {
                    var status = Native.homing_events_next(handle.Value, &native, text, (UIntPtr)(uint)room, &length);
                    if (status == (int)Status.Buffer)
                    {
                        room = (int)length + Room;
                        continue;
                    }
                    var waited = HomingException.Check(status) == (int)Status.Ok;
                    next = waited ? new HomingEvent(ref native, Utf8.Text(text, (int)native.NameLength), Utf8.Text(text, (int)length)) : null;
                    GC.KeepAlive(this);
                    return waited;
                }
            }
        }

        /// <summary>Frees the stream.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }
    }
}
