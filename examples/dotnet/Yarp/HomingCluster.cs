using System.Collections.Generic;
using System.Linq;
using System;
using Microsoft.AspNetCore.Http;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Model;

namespace Homing.Yarp;

/// <summary>One of YARP's clusters and its balancer, which is kept equal to YARP's destinations.</summary>
internal sealed class HomingCluster
{
    /// <summary>YARP's destinations by their index in one generation of the balancer.</summary>
    internal sealed record Members(IReadOnlyList<DestinationState> Destinations, ulong Generation, Dictionary<string, Member> ByName);

    internal readonly record struct Member(ulong Id, int Index);

    private readonly object change = new();
    private readonly SessionAffinityConfig? affinity;
    private volatile Members members;

    internal HomingCluster(ClusterState cluster, HomingYarpOptions options, KeyRing keys)
    {
        var destinations = cluster.DestinationsState.AllDestinations;
        affinity = cluster.Model.Config.SessionAffinity;
        using var config = new BalancerConfig().Policy(options.Policy).Affinity(AffinityOf(affinity, options));
        foreach (var destination in destinations)
        {
            config.Upstream(destination.DestinationId, destination.Model.Config.Address);
        }
        Balancer = config.Build(keys);
        members = MembersOf(destinations);
    }

    internal Balancer Balancer { get; }

    /// <summary>Whether YARP's configuration is still the one it was built from.</summary>
    internal bool IsOf(ClusterState cluster) => Equals(affinity, cluster.Model.Config.SessionAffinity);

    /// <summary>The cluster as YARP has it now. YARP replaces the list as a whole, so one comparison of references
    /// detects a change.</summary>
    internal Members Current(ClusterState cluster)
    {
        var known = members;
        return ReferenceEquals(known.Destinations, cluster.DestinationsState.AllDestinations) ? known : Follow(cluster);
    }

    private Members Follow(ClusterState cluster)
    {
        lock (change)
        {
            var destinations = cluster.DestinationsState.AllDestinations;
            if (ReferenceEquals(members.Destinations, destinations))
            {
                return members;
            }
            using var plan = Balancer.Plan();
            plan.Clear();
            foreach (var destination in destinations)
            {
                plan.Put(destination.DestinationId, destination.Model.Config.Address);
            }
            plan.Apply();
            return members = MembersOf(destinations);
        }
    }

    private Members MembersOf(IReadOnlyList<DestinationState> destinations)
    {
        var upstreams = Balancer.Upstreams();
        var byName = new Dictionary<string, Member>();
        foreach (var upstream in upstreams)
        {
            byName.Add(upstream.Name, new Member(upstream.Id, byName.Count));
        }
        return new Members(destinations, upstreams[0].Generation, byName);
    }

    private static AffinityOptions AffinityOf(SessionAffinityConfig? config, HomingYarpOptions options)
    {
        var cookie = config?.Cookie;
        return new AffinityOptions
        {
            Cookie = config?.AffinityKeyName,
            Domain = cookie?.Domain,
            Path = cookie?.Path,
            Idle = options.Idle,
            SameSite = cookie?.SameSite switch
            {
                SameSiteMode.Strict => SameSite.Strict,
                SameSiteMode.None => SameSite.None,
                _ => SameSite.Lax,
            },
            Secure = cookie?.SecurePolicy switch
            {
                CookieSecurePolicy.Always => Secure.Always,
                CookieSecurePolicy.None => Secure.Never,
                _ => Secure.Auto,
            },
        };
    }
}
