using System;

namespace Homing
{
    /// <summary>A change of membership, which is made as a whole or not at all. Sessions on upstreams that stay do not
    /// move.</summary>
    public sealed unsafe class Plan : IDisposable
    {
        private readonly Handle handle;

        internal Plan(ulong plan)
        {
            handle = new Handle(plan, Native.homing_plan_free, nameof(Plan));
        }

        /// <summary>Adds an upstream, or changes the one of this name.</summary>
        /// <param name="name">Its name, up to 255 bytes.</param>
        /// <param name="address">Its address.</param>
        /// <param name="weight">Its share of new sessions, 1 to 65,535.</param>
        /// <param name="maxInFlight">Its limit of requests in flight; 0: no limit.</param>
        /// <returns>This plan.</returns>
        /// <exception cref="HomingException">The name is empty or too long.</exception>
        public Plan Put(string name, string address, int weight = 1, int maxInFlight = 0)
        {
            UpstreamCall call = upstream => Native.homing_plan_put(handle.Value, upstream);
            call.With(name, address, weight, maxInFlight);
            return this;
        }

        /// <summary>Removes an upstream. Its sessions are placed again; drain it first, so that there are
        /// none.</summary>
        /// <param name="name">Its name.</param>
        /// <returns>This plan.</returns>
        /// <exception cref="HomingException">There is no upstream of this name.</exception>
        public Plan Remove(string name)
        {
            var bytes = Utf8.Bytes(name, nameof(name));
            fixed (byte* text = bytes)
            {
                HomingException.Check(Native.homing_plan_remove(handle.Value, text, (UIntPtr)(uint)bytes.Length));
            }
            return this;
        }

        /// <summary>Removes all upstreams that the plan does not put, before or after: for hosts that get complete
        /// lists of upstreams.</summary>
        /// <returns>This plan.</returns>
        /// <exception cref="HomingException">The call failed.</exception>
        public Plan Clear()
        {
            HomingException.Check(Native.homing_plan_clear(handle.Value));
            return this;
        }

        /// <summary>Explains what the change would do: which keys and sessions move, and what capacity is
        /// left.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <returns>Text for people.</returns>
        /// <exception cref="HomingException">The cluster has changed since the plan was created.</exception>
        public string Explain(DateTimeOffset? now = null)
        {
            return Utf8.Read((buffer, capacity, length) =>
                Native.homing_plan_explain(handle.Value, Times.Moment(now), buffer, capacity, length));
        }

        /// <summary>Applies the plan.</summary>
        /// <returns>The generation that begins with it.</returns>
        /// <exception cref="HomingException">Another change came first (<see cref="Status.Generation"/>): create a new
        /// plan.</exception>
        public ulong Apply()
        {
            ulong generation;
            HomingException.Check(Native.homing_plan_apply(handle.Value, &generation));
            GC.KeepAlive(this);
            return generation;
        }

        /// <summary>Frees the plan. This does not undo it.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }
    }
}
