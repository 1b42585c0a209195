using System.Threading.Tasks;
using Microsoft.AspNetCore.Http;
using Yarp.ReverseProxy.Forwarder;

namespace Homing.Yarp;

/// <summary>What both policies share about a request: its lease, and the cookie that is due.</summary>
internal sealed class Placement
{
    private static readonly object Key = new();

    private readonly Lease lease;

    private Placement(Lease lease, string? setCookie)
    {
        this.lease = lease;
        SetCookie = setCookie;
    }

    internal ulong UpstreamId => lease.UpstreamId;

    /// <summary>The cookie that is due; null: none.</summary>
    internal string? SetCookie { get; }

    internal static Placement? Of(HttpContext context) => context.Items.TryGetValue(Key, out var placement) ? placement as Placement : null;

    /// <summary>Keeps the lease until the response has ended.</summary>
    internal static void Put(HttpContext context, Lease lease, string? setCookie)
    {
        var placement = new Placement(lease, setCookie);
        // A request that is placed again, by a retry for example, is counted where it is now.
        Of(context)?.lease.Dispose();
        context.Items[Key] = placement;
        context.Response.OnCompleted(
            static state =>
            {
                var (ended, of) = ((Placement, HttpContext))state;
                ended.lease.Finish(OutcomeOf(of));
                return Task.CompletedTask;
            },
            (placement, context));
    }

    internal static Request RequestOf(HttpContext context) => new()
    {
        Client = context.Connection.RemoteIpAddress,
        Cookie = string.Join("; ", context.Request.Headers.Cookie.ToArray()),
        Https = context.Request.IsHttps,
    };

    private static Outcome OutcomeOf(HttpContext context)
    {
        switch (context.GetForwarderErrorFeature()?.Error ?? ForwarderError.None)
        {
            case ForwarderError.None:
                return context.Response.StatusCode < 500 ? Outcome.Answered : Outcome.ServerError;
            case ForwarderError.Request:
            case ForwarderError.ResponseBodyDestination:
            case ForwarderError.RequestBodyDestination:
                return Outcome.Broken;
            case ForwarderError.RequestTimedOut:
                return Outcome.TimedOut;
            default:
                // Caused by the client or by this proxy, so no outcome of the upstream.
                return Outcome.None;
        }
    }
}
