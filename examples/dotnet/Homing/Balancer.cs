using System;
using System.Net;

namespace Homing
{
    /// <summary>Decides for each request which upstream it goes to: the one that its token names, if that can take it,
    /// otherwise the one that the policy picks. Thread-safe: one balancer serves all threads, and picks take no lock.
    /// This file is about requests, the other one about upstreams.
    /// </summary>
    public sealed unsafe partial class Balancer : IDisposable
    {
        // Multiples of 8, so that what follows them in the scratch buffer is aligned.
        private const int NameRoom = 256;

        private readonly Handle handle;
        private readonly UpstreamNames names = new UpstreamNames();
        private readonly int cookieRoom;

        internal Balancer(ulong balancer)
        {
            handle = new Handle(balancer, Native.homing_balancer_free, nameof(Balancer));
            UIntPtr longest;
            HomingException.Check(Native.homing_set_cookie_max(balancer, &longest));
            cookieRoom = ((int)longest + 7) & ~7;
        }

        internal ulong HandleOrNone
        {
            get { return handle.ValueOrNone; }
        }

        /// <summary>Decides where a request goes, and takes a lease there.</summary>
        /// <param name="request">What is known about it.</param>
        /// <returns>Where it goes. Finish or dispose it when the response has ended.</returns>
        /// <exception cref="HomingException">No upstream can take it (<see cref="Status.Unavailable"/>,
        /// <see cref="Status.Full"/>, <see cref="Status.Rejected"/>), or the cluster has changed since
        /// <see cref="Request.Eligible"/> was made.</exception>
        public Pick Pick(Request request)
        {
            request.CanWait = false;
            Pick pick;
            DateTimeOffset retryAt;
            HomingException.Check((int)Decide(request, out pick, out retryAt));
            return pick;
        }

        /// <summary>As <c>Pick</c>, but with a status instead of an exception where no upstream can take the
        /// request.</summary>
        /// <param name="request">What is known about it.</param>
        /// <param name="pick">Where it goes, or null.</param>
        /// <param name="retryAt">With <see cref="Status.Later"/>: when to pick again. Picking earlier does no
        /// harm.</param>
        /// <returns><see cref="Status.Ok"/>, <see cref="Status.Later"/>, <see cref="Status.Unavailable"/>,
        /// <see cref="Status.Full"/>, <see cref="Status.Rejected"/> or <see cref="Status.Generation"/>.</returns>
        /// <exception cref="HomingException">Anything else.</exception>
        public Status TryPick(Request request, out Pick pick, out DateTimeOffset retryAt)
        {
            var status = Decide(request, out pick, out retryAt);
            switch (status)
            {
                case Status.Ok:
                case Status.Later:
                case Status.Unavailable:
                case Status.Full:
                case Status.Rejected:
                case Status.Generation:
                    return status;
                default:
                    throw HomingException.Of((int)status);
            }
        }

#if NET
        /// <summary>Decides where a request goes, and takes a lease there, from bytes, as servers have them.</summary>
        /// <param name="cookie">The value of the <c>Cookie</c> header, or none.</param>
        /// <param name="client">The client's address, 4 or 16 bytes, or none.</param>
        /// <param name="https">Whether the request came over HTTPS.</param>
        /// <returns>Where it goes. Finish or dispose it when the response has ended.</returns>
        /// <exception cref="HomingException">No upstream can take it.</exception>
        public Pick Pick(ReadOnlySpan<byte> cookie, ReadOnlySpan<byte> client = default, bool https = false)
        {
            fixed (byte* cookieBytes = cookie, clientBytes = client)
            {
                return Pick(cookieBytes, cookie.Length, clientBytes, client.Length, https);
            }
        }
#endif

        /// <summary>Decides where a request goes, and takes a lease there, from bytes, as servers have them.</summary>
        /// <param name="cookie">The value of the <c>Cookie</c> header, or null.</param>
        /// <param name="client">The client's address, 4 or 16 bytes, or null.</param>
        /// <param name="https">Whether the request came over HTTPS.</param>
        /// <returns>Where it goes. Finish or dispose it when the response has ended.</returns>
        /// <exception cref="HomingException">No upstream can take it.</exception>
        public Pick Pick(byte[] cookie, byte[] client = null, bool https = false)
        {
            fixed (byte* cookieBytes = cookie, clientBytes = client)
            {
                return Pick(cookieBytes, cookie == null ? 0 : cookie.Length, clientBytes, client == null ? 0 : client.Length, https);
            }
        }

        /// <summary>Reads and verifies the token of a request, and takes no lease: for hosts that choose the upstream
        /// themselves. Whether the upstream has room is not checked, and the session is not rebalanced.
        /// </summary>
        /// <param name="request">What is known about it.</param>
        /// <returns>What the token says.</returns>
        /// <exception cref="HomingException">An argument is too long.</exception>
        public OpenedToken Open(Request request)
        {
            var space = request.Space;
            fixed (byte* scratch = Scratch.OfAtLeast(space))
            {
                var native = request.Lay(scratch, space);
                var opened = new NativeOpened { Size = (UIntPtr)(uint)sizeof(NativeOpened) };
                HomingException.Check(Native.homing_open(handle.Value, &native, &opened));
                GC.KeepAlive(this);
                return new OpenedToken(ref opened);
            }
        }

        /// <summary>Takes a lease on an upstream that the host has chosen, so that policies, limits and statistics
        /// count the request.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="session">The session id, from <see cref="Open"/>.</param>
        /// <param name="decision">Why the request goes there, as <see cref="Open"/> said.</param>
        /// <returns>The lease. Finish or dispose it when the response has ended.</returns>
        /// <exception cref="HomingException">There is no such upstream, or it is at its limit
        /// (<see cref="Status.Full"/>).</exception>
        public Lease Take(ulong upstreamId, ulong session, Decision decision)
        {
            ulong lease;
            HomingException.Check(Native.homing_lease(handle.Value, upstreamId, session, (int)decision, 0, &lease));
            GC.KeepAlive(this);
            return new Lease(this, lease, upstreamId);
        }

        /// <summary>The token to send to the client of a session that is now on an upstream. Changes nothing.</summary>
        /// <param name="upstreamId">The upstream's id.</param>
        /// <param name="session">The session id, from <see cref="Open"/>; a new session begins with it.</param>
        /// <param name="request">What is known about the request; the session of its token goes on.</param>
        /// <returns>The token, or null where the request's token says the same already, or there is no
        /// affinity.</returns>
        /// <exception cref="HomingException">There is no such upstream.</exception>
        public string TokenFor(ulong upstreamId, ulong session, Request request)
        {
            var space = request.Space;
            fixed (byte* scratch = Scratch.OfAtLeast(space))
            {
                var native = request.Lay(scratch, space);
                var token = stackalloc byte[Native.TokenLength];
                UIntPtr length;
                var status = HomingException.Check(
                    Native.homing_token_for(handle.Value, upstreamId, session, &native, token, (UIntPtr)Native.TokenLength, &length));
                GC.KeepAlive(this);
                return status == (int)Status.Nothing ? null : Utf8.Text(token, (int)length);
            }
        }

        /// <summary>The value of the <c>Set-Cookie</c> header that sends a token to a client: name, token, and
        /// attributes as configured.</summary>
        /// <param name="token">The token.</param>
        /// <param name="https">Whether the request came over HTTPS.</param>
        /// <returns>The header's value.</returns>
        /// <exception cref="HomingException">The text is not a token.</exception>
        public string SetCookieFor(string token, bool https = false)
        {
            var bytes = Utf8.Bytes(token, nameof(token));
            return Utf8.Read((buffer, capacity, length) =>
            {
                fixed (byte* text = bytes)
                {
                    return Native.homing_set_cookie(
                        handle.Value, text, (UIntPtr)(uint)bytes.Length, https ? Native.RequestHttps : 0, buffer, capacity, length);
                }
            });
        }

        /// <summary>Removes the affinity cookie from a <c>Cookie</c> header, for the request to the upstream, which has
        /// no use for it.</summary>
        /// <param name="cookie">The header's value.</param>
        /// <returns>What is left; empty: send no such header.</returns>
        /// <exception cref="HomingException">It is too long.</exception>
        public string StripCookie(string cookie)
        {
            var bytes = Utf8.Bytes(cookie, nameof(cookie));
            return Utf8.Read((buffer, capacity, length) =>
            {
                fixed (byte* text = bytes)
                {
                    return Native.homing_strip_cookie(handle.Value, text, (UIntPtr)(uint)bytes.Length, buffer, capacity, length);
                }
            });
        }

        /// <summary>Explains, line by line, what <c>Pick</c> would do with the request now, and why. Changes
        /// nothing.</summary>
        /// <param name="request">What is known about it.</param>
        /// <returns>Text for people.</returns>
        /// <exception cref="HomingException">An argument is too long.</exception>
        public string Explain(Request request)
        {
            var space = request.Space;
            return Utf8.Read((buffer, capacity, length) =>
            {
                fixed (byte* scratch = Scratch.OfAtLeast(space))
                {
                    var native = request.Lay(scratch, space);
                    return Native.homing_explain(handle.Value, &native, buffer, capacity, length);
                }
            });
        }

        /// <summary>Replaces the keys, for rotation. Each client gets a token of the new key with its next request.
        /// Does nothing without affinity.</summary>
        /// <param name="keys">A ring of the same pool and identity.</param>
        /// <exception cref="HomingException">It is of another pool or identity.</exception>
        public void SetKeys(KeyRing keys)
        {
            if (keys == null)
            {
                throw new ArgumentNullException(nameof(keys));
            }
            HomingException.Check(Native.homing_balancer_set_keys(handle.Value, keys.Handle.Value));
            GC.KeepAlive(keys);
            GC.KeepAlive(this);
        }

        /// <summary>Frees the balancer. Its picks, leases, plans and streams of events stay valid and are disposed on
        /// their own.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        private Status Decide(Request request, out Pick pick, out DateTimeOffset retryAt)
        {
            var space = request.Space;
            fixed (byte* scratch = Scratch.OfAtLeast(NameRoom + cookieRoom + space))
            {
                var native = request.Lay(scratch + NameRoom + cookieRoom, space);
                return Decide(&native, scratch, out pick, out retryAt);
            }
        }

        private Pick Pick(byte* cookie, int cookieLength, byte* client, int clientLength, bool https)
        {
            var native = default(NativeRequest);
            native.Size = (UIntPtr)(uint)sizeof(NativeRequest);
            native.Cookie = cookie;
            native.CookieLength = (UIntPtr)(uint)cookieLength;
            native.Client = client;
            native.ClientLength = (UIntPtr)(uint)clientLength;
            native.Flags = https ? Native.RequestHttps : 0;
            fixed (byte* scratch = Scratch.OfAtLeast(NameRoom + cookieRoom))
            {
                Pick pick;
                DateTimeOffset retryAt;
                HomingException.Check((int)Decide(&native, scratch, out pick, out retryAt));
                return pick;
            }
        }

        private Status Decide(NativeRequest* request, byte* scratch, out Pick pick, out DateTimeOffset retryAt)
        {
            var setCookie = scratch + NameRoom;
            NativePick result;
            result.Size = (UIntPtr)(uint)sizeof(NativePick);
            UIntPtr nameLength;
            UIntPtr setCookieLength;
            var status = (Status)Native.homing_pick(
                handle.Value, request, &result,
                scratch, (UIntPtr)NameRoom, &nameLength,
                setCookie, (UIntPtr)(uint)cookieRoom, &setCookieLength);
            GC.KeepAlive(this);
            pick = null;
            retryAt = status == Status.Later ? Times.Moment(result.RetryAt) : default(DateTimeOffset);
            if (status == Status.Ok)
            {
                var upstream = names.Of(result.Index, result.Id, scratch, (int)nameLength);
                var due = result.TokenLength > 0;
                pick = new Pick(
                    this, ref result, upstream,
                    due ? Utf8.Text(result.Token, (int)result.TokenLength) : null,
                    due ? Utf8.Text(setCookie, (int)setCookieLength) : null);
            }
            return status;
        }
    }
}
