using System;
using System.Collections.Generic;
using System.Net;
using System.Runtime.InteropServices;

namespace Homing
{
    /// <summary>What the host knows of a request. Nothing of it must be set.</summary>
    public struct Request
    {
        private const int AddressLength = 16;

        /// <summary>The client's address. IPv6 addresses that map IPv4 ones are taken for those.</summary>
        public IPAddress Client { get; set; }

        /// <summary>What policies hash that go by a key, in place of the client's address. Up to 65,536 bytes.</summary>
        public byte[] Key { get; set; }

        /// <summary>The value of the request's <c>Cookie</c> header, whole; several are joined by <c>"; "</c>. Up to 65,536 bytes.</summary>
        public string Cookie { get; set; }

        /// <summary>A token by itself, in place of a cookie.</summary>
        public string Token { get; set; }

        /// <summary>The ids of upstreams that have already failed this request. A session that is on one of them moves.</summary>
        public IReadOnlyList<ulong> Tried { get; set; }

        /// <summary>Which upstreams may have the request: bit <c>i % 8</c> of byte <c>i / 8</c> is that of the upstream with index <c>i</c> in
        /// <see cref="Generation"/>, and those beyond the end may not. Null or empty: all may.</summary>
        public byte[] Eligible { get; set; }

        /// <summary>The generation of the indices in <see cref="Eligible"/>; nothing without them.</summary>
        public ulong Generation { get; set; }

        /// <summary>Whether it came over HTTPS, so that the cookie says <c>Secure</c>.</summary>
        public bool Https { get; set; }

        /// <summary>Whether the host can pick again later. Only <c>TryPick</c> looks at it.</summary>
        public bool CanWait { get; set; }

        /// <summary>The time. Null: now.</summary>
        public DateTimeOffset? Now { get; set; }

        /// How much room <see cref="Lay"/> needs at most.
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

        /// Copies all that the library is to read to <paramref name="buffer"/>, which is pinned and aligned to numbers.
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
