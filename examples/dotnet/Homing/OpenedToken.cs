namespace Homing
{
    /// <summary>What the token of a request says.</summary>
    public struct OpenedToken
    {
        internal OpenedToken(ref NativeOpened native)
        {
            UpstreamId = native.Id;
            Index = native.Index == Native.NoIndex ? -1 : (int)native.Index;
            Generation = native.Generation;
            Session = native.Session;
            Decision = (Decision)native.Decision;
        }

        /// <summary>The upstream that the token names; 0 without a valid token.</summary>
        public ulong UpstreamId { get; }

        /// <summary>The upstream's index in <see cref="Generation"/>, or -1 where the cluster does not have
        /// it.</summary>
        public int Index { get; }

        /// <summary>The generation of the cluster that <see cref="Index"/> is of.</summary>
        public ulong Generation { get; }

        /// <summary>The session id; without a valid token a new one, for <see cref="Balancer.Take"/> and
        /// <see cref="Balancer.TokenFor"/>.</summary>
        public ulong Session { get; }

        /// <summary><see cref="Homing.Decision.Pinned"/> where the session goes there,
        /// <see cref="Homing.Decision.New"/> without a token; otherwise why it does not.</summary>
        public Decision Decision { get; }
    }
}
