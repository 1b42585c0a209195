using System.Collections.Concurrent;
using System.Linq;
using System.Threading;
using System;
using Yarp.ReverseProxy.Model;

namespace Homing.Yarp;

/// <summary>A balancer for each of YARP's clusters, for both policies. Register it as a singleton and as
/// <see cref="IClusterChangeListener"/>.
/// </summary>
public sealed class HomingClusters : IClusterChangeListener, IDisposable
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    private readonly HomingYarpOptions options;
    private readonly KeyRing keys;
    private readonly ConcurrentDictionary<string, Lazy<HomingCluster>> clusters = new(StringComparer.OrdinalIgnoreCase);
    private readonly Timer timer;

    /// <summary>Loads the keys.</summary>
    /// <param name="options">The options.</param>
    /// <exception cref="HomingException">The key file cannot be read or created.</exception>
    public HomingClusters(HomingYarpOptions options)
    {
        this.options = options;
        keys = options.KeyFile is null ? KeyRing.Generate("yarp") : KeyRing.Load(options.KeyFile);
        timer = new Timer(_ => LetTimePass(), null, Tick, Tick);
    }

    /// <inheritdoc/>
    public void OnClusterAdded(ClusterState cluster)
    {
    }

    /// <summary>Builds a new balancer if the configuration of the cookie has changed. Sessions stay, because tokens
    /// name upstreams; destinations that are added or removed are applied with the next request.</summary>
    /// <param name="cluster">The cluster.</param>
    public void OnClusterChanged(ClusterState cluster)
    {
        if (clusters.TryGetValue(cluster.ClusterId, out var known) && known.IsValueCreated && !known.Value.IsOf(cluster))
        {
            OnClusterRemoved(cluster);
        }
    }

    /// <inheritdoc/>
    public void OnClusterRemoved(ClusterState cluster)
    {
        // Not disposed, because requests may be using it: it is collected when the last one has ended.
        clusters.TryRemove(cluster.ClusterId, out _);
    }

    /// <summary>Frees the balancers and the keys.</summary>
    public void Dispose()
    {
        using (var stopped = new ManualResetEvent(false))
        {
            timer.Dispose(stopped);
            stopped.WaitOne();
        }
        foreach (var cluster in clusters.Values.Where(cluster => cluster.IsValueCreated))
        {
            cluster.Value.Balancer.Dispose();
        }
        keys.Dispose();
    }

    internal HomingCluster Of(ClusterState cluster)
    {
        return clusters.GetOrAdd(cluster.ClusterId, _ => new Lazy<HomingCluster>(() => new HomingCluster(cluster, options, keys))).Value;
    }

    private void LetTimePass()
    {
        foreach (var cluster in clusters.Values.Where(cluster => cluster.IsValueCreated))
        {
            cluster.Value.Balancer.Tick();
        }
    }
}
