using System;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Sockets;
using System.Threading;
using System.Threading.Tasks;
using Homing;

namespace Gateway
{
    /// <summary>The upstream ended its response early.</summary>
    internal sealed class UpstreamBrokeException : IOException
    {
        internal UpstreamBrokeException(string message, Exception cause)
            : base(message, cause)
        {
        }
    }

    /// <summary>Forwards requests and responses, streaming their bodies.</summary>
    internal sealed class Forwarder
    {
        private static readonly TimeSpan HeadTimeout = TimeSpan.FromSeconds(60);

        private readonly Balancer balancer;
        private readonly HttpClient client;

        internal Forwarder(Balancer balancer)
        {
            this.balancer = balancer;
            var handler = new HttpClientHandler { AllowAutoRedirect = false, UseCookies = false, UseProxy = false };
            handler.MaxConnectionsPerServer = 1024;
            client = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        }

        /// The head of the upstream's response.
        internal async Task<HttpResponseMessage> Send(HttpListenerRequest request, string address)
        {
            var message = new HttpRequestMessage(new HttpMethod(request.HttpMethod), new Uri("http://" + address + request.RawUrl));
            if (request.HasEntityBody)
            {
                message.Content = new StreamContent(request.InputStream);
            }
            Fields.Copy(request, message, balancer);
            using (var deadline = new CancellationTokenSource(HeadTimeout))
            {
                return await client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, deadline.Token).ConfigureAwait(false);
            }
        }

        /// What a failed <see cref="Send"/> says about the upstream; <see cref="Outcome.None"/> where it says nothing.
        internal static Outcome OutcomeOf(Exception error)
        {
            for (var cause = error; cause != null; cause = cause.InnerException)
            {
                if (cause is HttpListenerException)
                {
                    // The client disconnected while its request was read.
                    return Outcome.None;
                }
                var socket = cause as SocketException;
                if (socket != null)
                {
                    switch (socket.SocketErrorCode)
                    {
                        case SocketError.ConnectionRefused:
                        case SocketError.HostUnreachable:
                        case SocketError.HostNotFound:
                            return Outcome.ConnectRefused;
                        case SocketError.TimedOut:
                            return Outcome.ConnectTimedOut;
                    }
                }
                var web = cause as WebException;
                if (web != null && web.Status == WebExceptionStatus.ConnectFailure)
                {
                    return Outcome.ConnectRefused;
                }
                if (cause is OperationCanceledException)
                {
                    return Outcome.TimedOut;
                }
            }
            return error is HttpRequestException || error is WebException ? Outcome.Broken : Outcome.None;
        }

        internal async Task Answer(HttpResponseMessage from, HttpListenerContext exchange)
        {
            var to = exchange.Response;
            Fields.Copy(from, to);
            var length = from.Content.Headers.ContentLength;
            var hasBody = exchange.Request.HttpMethod != "HEAD" && to.StatusCode != 204 && to.StatusCode != 304;
            if (!hasBody)
            {
                to.Close();
                return;
            }
            if (length.HasValue)
            {
                to.ContentLength64 = length.Value;
            }
            else
            {
                to.SendChunked = true;
            }
            await CopyBody(from, to.OutputStream, length).ConfigureAwait(false);
            to.Close();
        }

        // Stream.CopyToAsync does not tell which side failed, and Mono treats a body that ends early as complete.
        private static async Task CopyBody(HttpResponseMessage from, Stream to, long? length)
        {
            var buffer = new byte[16 * 1024];
            long copied = 0;
            using (var body = await from.Content.ReadAsStreamAsync().ConfigureAwait(false))
            {
                while (true)
                {
                    int read;
                    try
                    {
                        read = await body.ReadAsync(buffer, 0, buffer.Length).ConfigureAwait(false);
                    }
                    catch (Exception error) when (error is IOException || error is WebException || error is HttpRequestException)
                    {
                        throw new UpstreamBrokeException("the upstream's response broke off", error);
                    }
                    if (read == 0)
                    {
                        break;
                    }
                    copied += read;
                    await to.WriteAsync(buffer, 0, read).ConfigureAwait(false);
                    await to.FlushAsync().ConfigureAwait(false);
                }
            }
            if (length.HasValue && copied < length.Value)
            {
                throw new UpstreamBrokeException("the upstream's response ended after " + copied + " of " + length + " bytes", null);
            }
        }
    }
}
