using System.Collections.Generic;
using Microsoft.AspNetCore.Http;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Model;
using Yarp.ReverseProxy.SessionAffinity;

namespace Homing.Yarp;

/// <summary>Affinity by Homing's signed cookie: <c>"SessionAffinity": { "Policy": "Homing", "AffinityKeyName": "homing"
/// }</c>.</summary>
/// <param name="clusters">The balancers.</param>
public sealed class HomingSessionAffinityPolicy(HomingClusters clusters) : ISessionAffinityPolicy
{
    /// <inheritdoc/>
    public string Name => "Homing";

    /// <inheritdoc/>
    public AffinityResult FindAffinitizedDestinations(
        HttpContext context, ClusterState cluster, SessionAffinityConfig config, IReadOnlyList<DestinationState> destinations)
    {
        var homing = clusters.Of(cluster);
        var members = homing.Current(cluster);
        var opened = homing.Balancer.Open(Placement.RequestOf(context));
        switch (opened.Decision)
        {
            case Decision.Pinned:
                break;
            case Decision.New:
                return new AffinityResult(null, AffinityStatus.AffinityKeyNotSet);
            case Decision.Expired:
            case Decision.Idle:
            case Decision.BadTag:
            case Decision.UnknownKey:
            case Decision.Malformed:
            case Decision.OtherVersion:
                return new AffinityResult(null, AffinityStatus.AffinityKeyExtractionFailed);
            default:
                return new AffinityResult(null, AffinityStatus.DestinationNotFound);
        }
        foreach (var destination in destinations)
        {
            if (members.ByName.TryGetValue(destination.DestinationId, out var member) && member.Id == opened.UpstreamId)
            {
                return Take(context, homing.Balancer, opened)
                    ? new AffinityResult(destination, AffinityStatus.OK)
                    : new AffinityResult(null, AffinityStatus.DestinationNotFound);
            }
        }
        return new AffinityResult(null, AffinityStatus.DestinationNotFound);
    }

    /// <inheritdoc/>
    public void AffinitizeResponse(HttpContext context, ClusterState cluster, SessionAffinityConfig config, DestinationState destination)
    {
        var homing = clusters.Of(cluster);
        if (!homing.Current(cluster).ByName.TryGetValue(destination.DestinationId, out var member))
        {
            return;
        }
        var placement = Placement.Of(context);
        var setCookie = placement?.UpstreamId == member.Id && placement.SetCookie is not null ? placement.SetCookie : Due(context, homing.Balancer, member.Id);
        if (setCookie is not null)
        {
            context.Response.Headers.Append("Set-Cookie", setCookie);
        }
    }

    // For a session that another policy placed, and for one whose token has to be renewed.
    private static string? Due(HttpContext context, Balancer balancer, ulong upstreamId)
    {
        var request = Placement.RequestOf(context);
        var token = balancer.TokenFor(upstreamId, balancer.Open(request).Session, request);
        return token is null ? null : balancer.SetCookieFor(token, context.Request.IsHttps);
    }

    // YARP does not ask the load balancing policy if one destination is left, so the request is counted here.
    private static bool Take(HttpContext context, Balancer balancer, OpenedToken opened)
    {
        try
        {
            Placement.Put(context, balancer.Take(opened.UpstreamId, opened.Session, Decision.Pinned), null);
            return true;
        }
        catch (HomingException error) when (error.Status is Status.Full or Status.Unknown)
        {
            return false;
        }
    }
}
