using System;

namespace Homing
{
    /// <summary>A change of membership: all of it happens at once, or nothing. Sessions on upstreams that stay are not touched.</summary>
    public sealed unsafe class Plan : IDisposable
    {
        private readonly Handle handle;

        internal Plan(ulong plan)
        {
            handle = new Handle(plan, Native.homing_plan_free, nameof(Plan));
        }

        /// <summary>Adds an upstream, or changes the one of this name.</summary>
        /// <param name="name">Its name, up to 255 bytes.</param>
        /// <param name="address">Where it is.</param>
        /// <param name="weight">Its share, 1 to 65,535.</param>
        /// <param name="maxInFlight">How many requests it takes at a time; 0: any number.</param>
        /// <returns>This plan.</returns>
        /// <exception cref="HomingException">The name is empty or too long.</exception>
        public Plan Put(string name, string address, int weight = 1, int maxInFlight = 0)
        {
            UpstreamCall call = upstream => Native.homing_plan_put(handle.Value, upstream);
            call.With(name, address, weight, maxInFlight);
            return this;
        }

        /// <summary>Removes an upstream. Its sessions are placed anew; drain it before, and there are none.</summary>
        /// <param name="name">Its name.</param>
        /// <returns>This plan.</returns>
        /// <exception cref="HomingException">There is none of this name.</exception>
        public Plan Remove(string name)
        {
            var bytes = Utf8.Bytes(name, nameof(name));
            fixed (byte* text = bytes)
            {
                HomingException.Check(Native.homing_plan_remove(handle.Value, text, (UIntPtr)(uint)bytes.Length));
            }
            return this;
        }

        /// <summary>Removes all upstreams that the plan does not put, before or after: for hosts that are told the whole cluster at a time.</summary>
        /// <returns>This plan.</returns>
        /// <exception cref="HomingException">The library refused.</exception>
        public Plan Clear()
        {
            HomingException.Check(Native.homing_plan_clear(handle.Value));
            return this;
        }

        /// <summary>Says what the change would do: which keys move, which sessions break, what capacity is left.</summary>
        /// <param name="now">The time; null: now.</param>
        /// <returns>Text for people.</returns>
        /// <exception cref="HomingException">The plan is no longer of the present cluster.</exception>
        public string Explain(DateTimeOffset? now = null)
        {
            return Utf8.Read((buffer, capacity, length) =>
                Native.homing_plan_explain(handle.Value, Times.Moment(now), buffer, capacity, length));
        }

        /// <summary>Makes the change.</summary>
        /// <returns>The generation of the cluster since.</returns>
        /// <exception cref="HomingException">Another change came first (<see cref="Status.Generation"/>): plan again.</exception>
        public ulong Apply()
        {
            ulong generation;
            HomingException.Check(Native.homing_plan_apply(handle.Value, &generation));
            GC.KeepAlive(this);
            return generation;
        }

        /// <summary>Frees the plan. What was applied stays.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }
    }
}
