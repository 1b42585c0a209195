using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Net;
using System.Net.Http;
using System.Text;
using System.Threading;
using System.Threading.Tasks;
using Homing;

namespace Gateway
{
    /// <summary>Forwards each request to its session's upstream: pick, forward, set the cookie, report the
    /// outcome.</summary>
    internal sealed class StickyFront
    {
        private readonly Balancer balancer;
        private readonly Forwarder forwarder;

        internal StickyFront(Balancer balancer, Forwarder forwarder)
        {
            this.balancer = balancer;
            this.forwarder = forwarder;
        }

        internal async Task Run(HttpListener listener)
        {
            while (true)
            {
                var exchange = await listener.GetContextAsync().ConfigureAwait(false);
                ThreadPool.QueueUserWorkItem(async _ => await Answer(exchange).ConfigureAwait(false));
            }
        }

        private async Task Answer(HttpListenerContext exchange)
        {
            try
            {
                await Place(exchange).ConfigureAwait(false);
            }
            catch (Exception error)
            {
                // The client disconnected, or a part of the response was sent already: closing the connection shows
                // that it is incomplete.
                Console.Error.WriteLine(exchange.Request.RawUrl + ": " + error.Message);
                exchange.Response.Abort();
            }
        }

        private async Task Place(HttpListenerContext exchange)
        {
            var request = new Request
            {
                Client = exchange.Request.RemoteEndPoint.Address,
                Cookie = exchange.Request.Headers["Cookie"],
                Https = exchange.Request.IsSecureConnection,
            };
            var tried = new List<ulong>();
            while (true)
            {
                Pick pick;
                DateTimeOffset retryAt;
                var status = balancer.TryPick(request, out pick, out retryAt);
                if (status != Status.Ok)
                {
                    Refuse(exchange.Response, HttpStatusCode.ServiceUnavailable, "no upstream takes the request: " + status);
                    return;
                }
                using (pick)
                {
                    if (await Try(exchange, pick, tried).ConfigureAwait(false))
                    {
                        return;
                    }
                    request.Tried = tried;
                }
            }
        }

        /// False if the connection was refused and nothing of the request was sent, so that it can go to another
        /// upstream.
        private async Task<bool> Try(HttpListenerContext exchange, Pick pick, List<ulong> tried)
        {
            var watch = Stopwatch.StartNew();
            HttpResponseMessage response;
            try
            {
                response = await forwarder.Send(exchange.Request, pick.Address).ConfigureAwait(false);
            }
            catch (Exception error) when (Forwarder.OutcomeOf(error) != Outcome.None)
            {
                var outcome = Forwarder.OutcomeOf(error);
                pick.Finish(outcome, watch.Elapsed);
                tried.Add(pick.UpstreamId);
                if (outcome >= Outcome.ConnectRefused && !exchange.Request.HasEntityBody)
                {
                    return false;
                }
                var timedOut = outcome == Outcome.TimedOut || outcome == Outcome.ConnectTimedOut;
                Refuse(exchange.Response, timedOut ? HttpStatusCode.GatewayTimeout : HttpStatusCode.BadGateway, pick.Upstream + " did not answer");
                return true;
            }
            using (response)
            {
                // The outcome is known now; the lease is kept until the body has ended.
                pick.Report((int)response.StatusCode < 500 ? Outcome.Answered : Outcome.ServerError, watch.Elapsed);
                if (pick.SetCookie != null)
                {
                    exchange.Response.AppendHeader("Set-Cookie", pick.SetCookie);
                }
                try
                {
                    await forwarder.Answer(response, exchange).ConfigureAwait(false);
                }
                catch (UpstreamBrokeException)
                {
                    pick.Finish(Outcome.Broken);
                    throw;
                }
            }
            return true;
        }

        private static void Refuse(HttpListenerResponse response, HttpStatusCode status, string reason)
        {
            var text = Encoding.UTF8.GetBytes(reason + "\n");
            response.StatusCode = (int)status;
            response.ContentType = "text/plain; charset=utf-8";
            response.ContentLength64 = text.Length;
            response.Close(text, true);
        }
    }
}
