using System;
using System.Collections.Generic;
using System.Net;
using System.Runtime.InteropServices;

namespace Homing
{
    /// <summary>What the host knows about a request. Every property is optional.</summary>
    public struct Request
    {
        private const int AddressLength = 16;

        /// <summary>The client's address. An IPv4-mapped IPv6 address is treated as the IPv4 address.</summary>
        public IPAddress Client { get; set; }

        /// <summary>The key that hash policies hash, instead of the client's address. Up to 65,536 bytes.</summary>
        public byte[] Key { get; set; }

        /// <summary>The complete value of the request's <c>Cookie</c> header; several headers are joined by <c>";
        /// "</c>. Up to 65,536 bytes.</summary>
        public string Cookie { get; set; }

        /// <summary>A token that did not come in a cookie. It is used instead of those in the cookie.</summary>
        public string Token { get; set; }

        /// <summary>The ids of upstreams to which this request was sent and failed. A session on one of them
        /// moves.</summary>
        public IReadOnlyList<ulong> Tried { get; set; }

        /// <summary>The upstreams that the host allows for the request: bit <c>i % 8</c> of byte <c>i / 8</c> stands
        /// for the upstream with index <c>i</c> in <see cref="Generation"/>, and indices beyond the end are not
        /// allowed. Null or empty: all are.</summary>
        public byte[] Eligible { get; set; }

        /// <summary>The generation of the indices in <see cref="Eligible"/>; unused without them.</summary>
        public ulong Generation { get; set; }

        /// <summary>Whether the request came over HTTPS, so that the cookie has the attribute <c>Secure</c>.</summary>
        public bool Https { get; set; }

        /// <summary>Whether the host can pick again later. Only <c>TryPick</c> uses it.</summary>
        public bool CanWait { get; set; }

        /// <summary>The time. Null: now.</summary>
        public DateTimeOffset? Now { get; set; }

        /// The maximum size that <see cref="Lay"/> needs.
        internal int Space
        {
            get
            {
                return (Tried == null ? 0 : Tried.Count * sizeof(ulong))
                    + AddressLength
                    + (Cookie == null ? 0 : Cookie.Length * 3)
                    + (Token == null ? 0 : Token.Length * 3)
                    + (Key == null ? 0 : Key.Length)
                    + (Eligible == null ? 0 : Eligible.Length);
            }
        }

        /// Copies all that the library reads to <paramref name="buffer"/>, which is pinned and aligned to 8 bytes.
        internal unsafe NativeRequest Lay(byte* buffer, int capacity)
        {
            var native = default(NativeRequest);
            native.Size = (UIntPtr)(uint)sizeof(NativeRequest);
            native.Now = Times.Moment(Now);
            native.Generation = Generation;
            native.Flags = (Https ? Native.RequestHttps : 0) | (CanWait ? Native.RequestCanWait : 0);
            var end = buffer + capacity;
            if (Tried != null && Tried.Count > 0)
            {
                native.Tried = (ulong*)buffer;
                native.TriedLength = (UIntPtr)(uint)Tried.Count;
                for (var i = 0; i < Tried.Count; i++)
                {
                    native.Tried[i] = Tried[i];
                }
                buffer += Tried.Count * sizeof(ulong);
            }
            if (Client != null)
            {
                native.Client = buffer;
                native.ClientLength = (UIntPtr)(uint)Put(Client, buffer);
                buffer += AddressLength;
            }
            if (Cookie != null)
            {
                native.Cookie = buffer;
                buffer += Utf8.Copy(Cookie, buffer, (int)(end - buffer));
                native.CookieLength = (UIntPtr)(uint)(buffer - native.Cookie);
            }
            if (Token != null)
            {
                native.Token = buffer;
                buffer += Utf8.Copy(Token, buffer, (int)(end - buffer));
                native.TokenLength = (UIntPtr)(uint)(buffer - native.Token);
            }
            native.KeyLength = Put(Key, ref native.Key, ref buffer);
            native.EligibleLength = Put(Eligible, ref native.Eligible, ref buffer);
            return native;
        }

        private static unsafe UIntPtr Put(byte[] bytes, ref byte* at, ref byte* buffer)
        {
            if (bytes == null || bytes.Length == 0)
            {
                return UIntPtr.Zero;
            }
            at = buffer;
            Marshal.Copy(bytes, 0, (IntPtr)buffer, bytes.Length);
            buffer += bytes.Length;
            return (UIntPtr)(uint)bytes.Length;
        }

        private static unsafe int Put(IPAddress address, byte* to)
        {
#if NET
            address.TryWriteBytes(new Span<byte>(to, AddressLength), out var written);
            return written;
#else
            var bytes = address.GetAddressBytes();
            Marshal.Copy(bytes, 0, (IntPtr)to, bytes.Length);
            return bytes.Length;
#endif
        }
    }
}
