using System;
using System.Runtime.InteropServices;

namespace Homing
{
    // The library's handles are 64-bit numbers on every system, so they are not stored in SafeHandle's pointer. As with
    // SafeHandle, each is freed exactly once, by Dispose or a finalizer that runs even when a thread is aborted.
    internal sealed class Handle : SafeHandle
    {
        internal delegate int Free(ulong handle);

        private readonly ulong value;
        private readonly Free free;
        private readonly string owner;

        internal Handle(ulong value, Free free, string owner)
            : base(IntPtr.Zero, true)
        {
            this.value = value;
            this.free = free;
            this.owner = owner;
        }

        public override bool IsInvalid
        {
            get { return value == 0; }
        }

        /// The number, for a call. The library checks it too, so that a concurrent Dispose on another thread causes an
        /// error and no crash.
        internal ulong Value
        {
            get
            {
                if (IsClosed)
                {
                    throw new ObjectDisposedException(owner);
                }
                return value;
            }
        }

        /// The number, or 0 once it was freed.
        internal ulong ValueOrNone
        {
            get { return IsClosed ? 0 : value; }
        }

        protected override bool ReleaseHandle()
        {
            return free(value) >= 0;
        }
    }
}
