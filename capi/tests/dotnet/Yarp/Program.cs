// The two policies in a pipeline that works like YARP's middlewares: affinity narrows the destinations, load balancing
// picks if several are left, the response is affinitized, and at its end the registered callbacks run.

using System;
using System.Collections.Generic;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;
using Homing;
using Homing.Yarp;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Yarp.ReverseProxy.Configuration;
using Yarp.ReverseProxy.Forwarder;
using Yarp.ReverseProxy.LoadBalancing;
using Yarp.ReverseProxy.Model;
using Yarp.ReverseProxy.SessionAffinity;

var passed = 0;
foreach (var (name, test) in YarpTests.All)
{
    test();
    passed++;
    Console.WriteLine("ok " + name);
}
Console.WriteLine(passed + " passed, 0 failed");

internal sealed class Context : HttpContext
{
    private readonly List<(Func<object, Task> Callback, object State)> completed = [];

    public Context(string? cookie = null, bool https = false)
    {
        Request = new RequestOf(https);
        Response = new ResponseOf(completed);
        if (cookie is not null)
        {
            Request.Headers.Cookie = cookie;
        }
    }

    public override IFeatureCollection Features { get; } = new FeatureCollection();

    public override HttpRequest Request { get; }

    public override HttpResponse Response { get; }

    public override ConnectionInfo Connection { get; } = new ConnectionOf();

    public override IDictionary<object, object?> Items { get; set; } = new Dictionary<object, object?>();

    public override CancellationToken RequestAborted { get; set; }

    public string? SetCookie => Response.Headers.TryGetValue("Set-Cookie", out var values) ? values.Single() : null;

    public void End(int status = 200, ForwarderError error = ForwarderError.None)
    {
        Response.StatusCode = status;
        Features.Set<IForwarderErrorFeature>(new Failure(error));
        foreach (var (callback, state) in completed)
        {
            callback(state).Wait();
        }
    }

    private sealed record Failure(ForwarderError Error) : IForwarderErrorFeature
    {
        public Exception? Exception => null;
    }

    private sealed class ConnectionOf : ConnectionInfo
    {
        public override IPAddress? RemoteIpAddress { get; set; } = IPAddress.Parse("192.0.2.1");
    }

    private sealed class RequestOf(bool https) : HttpRequest
    {
        public override bool IsHttps { get; set; } = https;

        public override IHeaderDictionary Headers { get; } = new HeaderDictionary();
    }

    private sealed class ResponseOf(List<(Func<object, Task>, object)> completed) : HttpResponse
    {
        public override int StatusCode { get; set; } = 200;

        public override IHeaderDictionary Headers { get; } = new HeaderDictionary();

        public override void OnCompleted(Func<object, Task> callback, object state) => completed.Add((callback, state));
    }
}

internal sealed class Proxy : IDisposable
{
    private readonly HomingClusters clusters;
    private readonly ISessionAffinityPolicy affinity;
    private readonly ILoadBalancingPolicy balancing;

    public Proxy(int destinations, HomingYarpOptions? options = null, SessionAffinityCookieConfig? cookie = null)
    {
        clusters = new HomingClusters(options ?? new HomingYarpOptions());
        affinity = new HomingSessionAffinityPolicy(clusters);
        balancing = new HomingLoadBalancingPolicy(clusters);
        Cluster = new ClusterState("shop", Model(cookie));
        Have(Enumerable.Range(0, destinations).Select(i => "app-" + i));
    }

    public ClusterState Cluster { get; }

    public AffinityStatus Found { get; private set; }

    public Homing.Balancer Balancer => clusters.Of(Cluster).Balancer;

    public static ClusterModel Model(SessionAffinityCookieConfig? cookie) => new(
        new ClusterConfig { ClusterId = "shop", SessionAffinity = new SessionAffinityConfig { Enabled = true, Policy = "Homing", AffinityKeyName = "sticky", Cookie = cookie } },
        new HttpMessageInvoker(new HttpClientHandler()));

    public void Have(IEnumerable<string> names, Func<string, bool>? isHealthy = null)
    {
        var all = names.Select(name => new DestinationState(name, new DestinationModel(new DestinationConfig { Address = "http://" + name + "/" }))).ToArray();
        Cluster.DestinationsState = new ClusterDestinationsState(all, all.Where(one => isHealthy?.Invoke(one.DestinationId) ?? true).ToArray());
    }

    public void Reconfigure(SessionAffinityCookieConfig? cookie)
    {
        Cluster.Model = Model(cookie);
        clusters.OnClusterChanged(Cluster);
    }

    public string? Serve(Context context)
    {
        var config = Cluster.Model.Config.SessionAffinity!;
        var destinations = Cluster.DestinationsState.AvailableDestinations;
        var result = affinity.FindAffinitizedDestinationsAsync(context, Cluster, config, destinations, default).Result;
        Found = result.Status;
        if (result.Status == AffinityStatus.OK)
        {
            destinations = result.Destinations!;
        }
        var chosen = destinations.Count switch
        {
            0 => null,
            1 => destinations[0],
            _ => balancing.PickDestination(context, Cluster, destinations),
        };
        if (chosen is not null)
        {
            affinity.AffinitizeResponseAsync(context, Cluster, config, chosen, default).AsTask().Wait();
        }
        return chosen?.DestinationId;
    }

    public string? Serve(string? cookie, out string? setCookie)
    {
        var context = new Context(cookie);
        var destination = Serve(context);
        context.End();
        setCookie = context.SetCookie;
        return destination;
    }

    public void Dispose() => clusters.Dispose();
}

internal static class YarpTests
{
    public static readonly (string, Action)[] All =
    [
        (nameof(Sessions_come_home), Sessions_come_home),
        (nameof(What_is_no_token_is_replaced), What_is_no_token_is_replaced),
        (nameof(Sessions_of_unhealthy_destinations_move_once), Sessions_of_unhealthy_destinations_move_once),
        (nameof(Destinations_are_followed), Destinations_are_followed),
        (nameof(Requests_are_counted_until_their_end), Requests_are_counted_until_their_end),
        (nameof(Failures_are_reported), Failures_are_reported),
        (nameof(Cookies_are_as_YARP_is_configured), Cookies_are_as_YARP_is_configured),
        (nameof(Proxies_with_one_key_file_share_sessions), Proxies_with_one_key_file_share_sessions),
        (nameof(Nobody_available_is_no_destination), Nobody_available_is_no_destination),
        (nameof(A_request_that_is_placed_again_is_counted_once), A_request_that_is_placed_again_is_counted_once),
    ];

    private static void Sessions_come_home()
    {
        using var proxy = new Proxy(5);
        var allPinned = new HashSet<string?>();
        for (var visitor = 0; visitor < 50; visitor++)
        {
            var pinned = proxy.Serve(null, out var setCookie);
            Equal(AffinityStatus.AffinityKeyNotSet, proxy.Found);
            var cookie = "theme=dark; " + setCookie!.Split(';')[0];
            for (var i = 0; i < 5; i++)
            {
                Equal(pinned, proxy.Serve(cookie, out var again));
                Equal(AffinityStatus.OK, proxy.Found);
                Equal(null, again);
            }
            allPinned.Add(pinned);
        }
        Equal(5, allPinned.Count);
    }

    private static void What_is_no_token_is_replaced()
    {
        using var proxy = new Proxy(3);
        proxy.Serve("sticky=app-1", out var setCookie);
        Equal(AffinityStatus.AffinityKeyExtractionFailed, proxy.Found);
        That(setCookie!.StartsWith("sticky="), setCookie);
    }

    private static void Sessions_of_unhealthy_destinations_move_once()
    {
        using var proxy = new Proxy(4);
        var pinned = proxy.Serve(null, out var setCookie);
        var names = Enumerable.Range(0, 4).Select(i => "app-" + i);
        proxy.Have(names, name => name != pinned);
        var next = proxy.Serve(setCookie!.Split(';')[0], out var moved);
        Equal(AffinityStatus.DestinationNotFound, proxy.Found);
        That(next != null && next != pinned, next + " is another");
        That(moved != null, "it is told");
        proxy.Have(names);
        Equal(next, proxy.Serve(moved!.Split(';')[0], out var stays));
        Equal(null, stays);
    }

    private static void Destinations_are_followed()
    {
        using var proxy = new Proxy(2);
        var pinned = proxy.Serve(null, out var setCookie);
        proxy.Have(["app-2", "app-1", "app-0", "app-9"]);
        Equal(pinned, proxy.Serve(setCookie!.Split(';')[0], out _));
        var allPinned = Enumerable.Range(0, 200).Select(_ => proxy.Serve(null, out var _)).ToHashSet();
        Equal(4, allPinned.Count);
        Equal("app-0 app-1 app-2 app-9", string.Join(" ", proxy.Balancer.Upstreams().Select(upstream => upstream.Name).Order()));
        proxy.Have(["app-2", "app-9"]);
        That(proxy.Serve(setCookie.Split(';')[0], out var moved) is "app-2" or "app-9", "it moved");
        That(moved != null, "it is told");
        Equal(2, proxy.Balancer.Upstreams().Count);
    }

    private static void Requests_are_counted_until_their_end()
    {
        using var proxy = new Proxy(3);
        var first = new Context();
        var pinned = proxy.Serve(first);
        Equal(1, InFlight(proxy));
        var second = new Context(first.SetCookie!.Split(';')[0]);
        Equal(pinned, proxy.Serve(second));
        Equal(2, InFlight(proxy));
        first.End();
        second.End();
        Equal(0, InFlight(proxy));
        Equal(2L, proxy.Balancer.Upstreams().Sum(upstream => upstream.Requests));
        Equal(1L, proxy.Balancer.Upstreams().Sum(upstream => upstream.Decided(Decision.Pinned)));
    }

    private static void Failures_are_reported()
    {
        using var proxy = new Proxy(3);
        var first = new Context();
        var pinned = proxy.Serve(first);
        first.End();
        var cookie = first.SetCookie!.Split(';')[0];
        for (var i = 0; i < 5; i++)
        {
            var context = new Context(cookie);
            proxy.Serve(context);
            context.End(502, ForwarderError.Request);
        }
        Equal(UpstreamState.Suspect, proxy.Balancer.Upstreams().Single(upstream => upstream.Name == pinned).State);
        // It is ejected: it takes no new sessions for a while.
        That(Enumerable.Range(0, 50).All(_ => proxy.Serve(null, out var _) != pinned), "others take new sessions");
    }

    private static void Cookies_are_as_YARP_is_configured()
    {
        var cookie = new SessionAffinityCookieConfig
        {
            Domain = "example.org", Path = "/app", SameSite = SameSiteMode.Strict, SecurePolicy = CookieSecurePolicy.SameAsRequest,
        };
        using var proxy = new Proxy(2, cookie: cookie);
        var context = new Context(https: true);
        proxy.Serve(context);
        foreach (var part in new[] { "sticky=", "Domain=example.org", "Path=/app", "SameSite=Strict", "Secure", "HttpOnly" })
        {
            That(context.SetCookie!.Contains(part), part + " in " + context.SetCookie);
        }
        context.End();
        var before = proxy.Balancer;
        proxy.Reconfigure(cookie with { });
        That(ReferenceEquals(before, proxy.Balancer), "nothing has changed");
        proxy.Reconfigure(cookie with { Path = "/" });
        proxy.Serve(context.SetCookie!.Split(';')[0], out var again);
        Equal(AffinityStatus.OK, proxy.Found);
        proxy.Serve(null, out var changed);
        That(changed!.Contains("Path=/;"), changed);
    }

    private static void Proxies_with_one_key_file_share_sessions()
    {
        var directory = System.IO.Directory.CreateTempSubdirectory();
        try
        {
            var options = new HomingYarpOptions { KeyFile = System.IO.Path.Combine(directory.FullName, "homing.keys") };
            using var one = new Proxy(4, options);
            using var other = new Proxy(4, options);
            using var stranger = new Proxy(4);
            var pinned = one.Serve(null, out var setCookie);
            Equal(pinned, other.Serve(setCookie!.Split(';')[0], out var again));
            Equal(null, again);
            stranger.Serve(setCookie.Split(';')[0], out var replaced);
            Equal(AffinityStatus.AffinityKeyExtractionFailed, stranger.Found);
            That(replaced != null, "it is replaced");
        }
        finally
        {
            directory.Delete(true);
        }
    }

    private static void Nobody_available_is_no_destination()
    {
        using var proxy = new Proxy(2);
        proxy.Serve(null, out var setCookie);
        proxy.Have(["app-0", "app-1"], _ => false);
        Equal(null, proxy.Serve(setCookie!.Split(';')[0], out _));
        Equal(AffinityStatus.DestinationNotFound, proxy.Found);
    }

    private static void A_request_that_is_placed_again_is_counted_once()
    {
        using var proxy = new Proxy(3);
        var context = new Context();
        proxy.Serve(context);
        proxy.Serve(context);
        Equal(1, InFlight(proxy));
        context.End();
        Equal(0, InFlight(proxy));
    }

    private static int InFlight(Proxy proxy) => proxy.Balancer.Upstreams().Sum(upstream => upstream.InFlight);

    private static void Equal<T>(T expected, T found) => That(Equals(expected, found), $"expected {expected}, found {found}");

    private static void That(bool holds, string? what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(what);
        }
    }
}
