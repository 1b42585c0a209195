// Stand-ins for the types of YARP that the policies use, with the public names and signatures of version 2.2.0.

using System;
using System.Collections;
using System.Collections.Generic;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.AspNetCore.Http;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.Model;

namespace Yarp.ReverseProxy.Configuration
{
    public sealed record SessionAffinityCookieConfig
    {
        public string? Path { get; init; }

        public string? Domain { get; init; }

        public bool? HttpOnly { get; init; }

        public CookieSecurePolicy? SecurePolicy { get; init; }

        public SameSiteMode? SameSite { get; init; }

        public TimeSpan? Expiration { get; init; }

        public TimeSpan? MaxAge { get; init; }

        public bool? IsEssential { get; init; }
    }

    public sealed record SessionAffinityConfig
    {
        public bool? Enabled { get; init; }

        public string? Policy { get; init; }

        public string? FailurePolicy { get; init; }

        public string AffinityKeyName { get; init; } = default!;

        public SessionAffinityCookieConfig? Cookie { get; init; }
    }

    public sealed record DestinationConfig
    {
        public string Address { get; init; } = default!;
    }

    public sealed record ClusterConfig
    {
        public string ClusterId { get; init; } = default!;

        public string? LoadBalancingPolicy { get; init; }

        public SessionAffinityConfig? SessionAffinity { get; init; }
    }
}

namespace Yarp.ReverseProxy.Forwarder
{
    public enum ForwarderError : int
    {
        None,
        Request,
        RequestTimedOut,
        RequestCanceled,
        RequestBodyCanceled,
        RequestBodyClient,
        RequestBodyDestination,
        ResponseHeaders,
        ResponseBodyCanceled,
        ResponseBodyClient,
        ResponseBodyDestination,
    }

    public interface IForwarderErrorFeature
    {
        ForwarderError Error { get; }

        Exception? Exception { get; }
    }
}

namespace Yarp.ReverseProxy.Model
{
    public sealed class DestinationModel(DestinationConfig destination)
    {
        public DestinationConfig Config { get; } = destination;
    }

    public sealed class DestinationState(string destinationId, DestinationModel model) : IReadOnlyList<DestinationState>
    {
        public string DestinationId { get; } = destinationId;

        public DestinationModel Model { get; } = model;

        DestinationState IReadOnlyList<DestinationState>.this[int index] => index == 0 ? this : throw new IndexOutOfRangeException();

        int IReadOnlyCollection<DestinationState>.Count => 1;

        IEnumerator<DestinationState> IEnumerable<DestinationState>.GetEnumerator()
        {
            yield return this;
        }

        IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<DestinationState>)this).GetEnumerator();
    }

    public sealed class ClusterModel(ClusterConfig config, HttpMessageInvoker httpClient)
    {
        public ClusterConfig Config { get; } = config;

        public HttpMessageInvoker HttpClient { get; } = httpClient;
    }

    public sealed class ClusterDestinationsState(
        IReadOnlyList<DestinationState> allDestinations, IReadOnlyList<DestinationState> availableDestinations)
    {
        public IReadOnlyList<DestinationState> AllDestinations { get; } = allDestinations;

        public IReadOnlyList<DestinationState> AvailableDestinations { get; } = availableDestinations;
    }

    public sealed class ClusterState(string clusterId)
    {
        public ClusterState(string clusterId, ClusterModel model)
            : this(clusterId) => Model = model;

        public string ClusterId { get; } = clusterId;

        public ClusterModel Model { get; internal set; } = default!;

        public ClusterDestinationsState DestinationsState { get; set; } = new([], []);
    }

    public interface IClusterChangeListener
    {
        void OnClusterAdded(ClusterState cluster);

        void OnClusterChanged(ClusterState cluster);

        void OnClusterRemoved(ClusterState cluster);
    }
}

namespace Yarp.ReverseProxy.LoadBalancing
{
    public interface ILoadBalancingPolicy
    {
        string Name { get; }

        DestinationState? PickDestination(HttpContext context, ClusterState cluster, IReadOnlyList<DestinationState> availableDestinations);
    }
}

namespace Yarp.ReverseProxy.SessionAffinity
{
    public enum AffinityStatus
    {
        OK,
        AffinityKeyNotSet,
        AffinityKeyExtractionFailed,
        DestinationNotFound,
    }

    public readonly struct AffinityResult(IReadOnlyList<DestinationState>? destinations, AffinityStatus status)
    {
        public IReadOnlyList<DestinationState>? Destinations { get; } = destinations;

        public AffinityStatus Status { get; } = status;
    }

    public interface ISessionAffinityPolicy
    {
        string Name { get; }

        AffinityResult FindAffinitizedDestinations(
            HttpContext context, ClusterState cluster, SessionAffinityConfig config, IReadOnlyList<DestinationState> destinations);

        ValueTask<AffinityResult> FindAffinitizedDestinationsAsync(
            HttpContext context, ClusterState cluster, SessionAffinityConfig config, IReadOnlyList<DestinationState> destinations, CancellationToken cancellationToken)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return new ValueTask<AffinityResult>(FindAffinitizedDestinations(context, cluster, config, destinations));
        }

        void AffinitizeResponse(HttpContext context, ClusterState cluster, SessionAffinityConfig config, DestinationState destination);

        ValueTask AffinitizeResponseAsync(
            HttpContext context, ClusterState cluster, SessionAffinityConfig config, DestinationState destination, CancellationToken cancellationToken)
        {
            AffinitizeResponse(context, cluster, config, destination);
            return default;
        }
    }
}

namespace Microsoft.AspNetCore.Http
{
    public static class HttpContextFeaturesExtensions
    {
        public static IForwarderErrorFeature? GetForwarderErrorFeature(this HttpContext context) => context.Features.Get<IForwarderErrorFeature>();
    }
}
