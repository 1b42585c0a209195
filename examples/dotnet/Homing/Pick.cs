namespace Homing
{
    /// <summary>Where a request goes and why, and its place there, which ends when the pick is finished or disposed of.</summary>
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

        /// <summary>Where the upstream is, as configured now.</summary>
        /// <exception cref="HomingException">It is no longer in the cluster.</exception>
        /// <exception cref="System.ObjectDisposedException">The balancer is disposed of.</exception>
        public string Address
        {
            get { return Balancer.AddressOf(UpstreamId); }
        }

        /// <summary>The upstream's index in <see cref="Generation"/>, for hosts that keep upstreams in arrays.</summary>
        public int Index { get; }

        /// <summary>The generation of the cluster that <see cref="Index"/> is of.</summary>
        public ulong Generation { get; }

        /// <summary>The session's number, the same at each request of it, for logs. Without affinity, of this request alone.</summary>
        public ulong Session { get; }

        /// <summary>Why the request goes there.</summary>
        public Decision Decision { get; }

        /// <summary>The token to send to the client, 56 characters, or null where it keeps what it has.</summary>
        public string Token { get; }

        /// <summary>The value of the <c>Set-Cookie</c> header to send to the client, or null where it keeps what it has.</summary>
        public string SetCookie { get; }
    }
}
