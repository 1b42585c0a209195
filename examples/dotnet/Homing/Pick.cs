namespace Homing
{
    /// <summary>Where a request goes and why, and its lease there, which ends when the pick is finished or
    /// disposed.</summary>
    public sealed class Pick : Lease
    {
        internal Pick(Balancer balancer, ref NativePick native, string upstream, string token, string setCookie)
            : base(balancer, native.Lease, native.Id)
        {
            Upstream = upstream;
            Index = (int)native.Index;
            Generation = native.Generation;
            Session = native.Session;
            Decision = (Decision)native.Decision;
            Token = token;
            SetCookie = setCookie;
        }

        /// <summary>The upstream's name.</summary>
        public string Upstream { get; }

        /// <summary>The upstream's address, as currently configured.</summary>
        /// <exception cref="HomingException">It is no longer in the cluster.</exception>
        /// <exception cref="System.ObjectDisposedException">The balancer is disposed.</exception>
        public string Address
        {
            get { return Balancer.AddressOf(UpstreamId); }
        }

        /// <summary>The upstream's index in <see cref="Generation"/>, for hosts that keep upstreams in
        /// arrays.</summary>
        public int Index { get; }

        /// <summary>The generation of the cluster that <see cref="Index"/> is of.</summary>
        public ulong Generation { get; }

        /// <summary>The session id, the same for each request of the session, for logs. Without affinity each request
        /// has its own.</summary>
        public ulong Session { get; }

        /// <summary>Why the request goes there.</summary>
        public Decision Decision { get; }

        /// <summary>The token to send to the client, 56 characters, or null where it keeps its token.</summary>
        public string Token { get; }

        /// <summary>The value of the <c>Set-Cookie</c> header to send to the client, or null where it keeps its
        /// token.</summary>
        public string SetCookie { get; }
    }
}
