using System.Collections.Generic;
using System.Linq;
using Microsoft.AspNetCore.Http;
using Yarp.ReverseProxy.LoadBalancing;
using Yarp.ReverseProxy.Model;

namespace Homing.Yarp;

/// <summary>Places sessions by Homing's policies: <c>"LoadBalancingPolicy": "Homing"</c>.</summary>
/// <param name="clusters">The balancers.</param>
public sealed class HomingLoadBalancingPolicy(HomingClusters clusters) : ILoadBalancingPolicy
{
    /// <inheritdoc/>
    public string Name => "Homing";

    /// <inheritdoc/>
    public DestinationState? PickDestination(HttpContext context, ClusterState cluster, IReadOnlyList<DestinationState> availableDestinations)
    {
        var homing = clusters.Of(cluster);
        var request = Placement.RequestOf(context);
        while (true)
        {
            var members = homing.Current(cluster);
            request.Generation = members.Generation;
            request.Eligible = Eligible(members, availableDestinations);
            if (request.Eligible is null)
            {
                return null;
            }
            switch (homing.Balancer.TryPick(request, out var pick, out _))
            {
                case Status.Ok:
                    Placement.Put(context, pick, pick.SetCookie);
                    return availableDestinations.First(destination => destination.DestinationId == pick.Upstream);
                case Status.Generation:
                    continue;
                default:
                    return null;
            }
        }
    }

    /// <summary>A bit for each destination that YARP allows for the request; null where the cluster has none of
    /// them.</summary>
    private static byte[]? Eligible(HomingCluster.Members members, IReadOnlyList<DestinationState> available)
    {
        var bits = new byte[(members.ByName.Count + 7) / 8];
        var some = false;
        foreach (var destination in available)
        {
            // A destination that was removed since YARP listed it is skipped.
            if (members.ByName.TryGetValue(destination.DestinationId, out var member))
            {
                bits[member.Index / 8] |= (byte)(1 << (member.Index % 8));
                some = true;
            }
        }
        return some ? bits : null;
    }
}
