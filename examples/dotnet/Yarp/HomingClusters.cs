using System.Collections.Concurrent;
using Yarp.ReverseProxy.Model;

namespace Homing.Yarp;

/// <summary>
/// A balancer for each of YARP's clusters, for both policies. Register it as a singleton and as <see cref="IClusterChangeListener"/>.
/// </summary>
public sealed class HomingClusters : IClusterChangeListener, IDisposable
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    private readonly HomingYarpOptions options;
    private readonly KeyRing keys;
    private readonly ConcurrentDictionary<string, Lazy<HomingCluster>> clusters = new(StringComparer.OrdinalIgnoreCase);
    private readonly Timer timer;

    /// <summary>Loads the keys.</summary>
    /// <param name="options">What is to be done.</param>
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

    /// <summary>Begins anew with the cluster's cookie as it is configured now. Sessions stay, since tokens know upstreams by name.</summary>
    /// <param name="cluster">The cluster.</param>
    public void OnClusterChanged(ClusterState cluster) => Forget(cluster);

    /// <inheritdoc/>
    public void OnClusterRemoved(ClusterState cluster) => Forget(cluster);

    /// <summary>Frees the balancers and the keys.</summary>
    public void Dispose()
    {
        timer.Dispose();
        foreach (var cluster in clusters.Values)
        {
            cluster.Value.Dispose();
        }
        keys.Dispose();
    }

    internal HomingCluster Of(ClusterState cluster)
    {
        return clusters.GetOrAdd(cluster.ClusterId, _ => new Lazy<HomingCluster>(() => new HomingCluster(cluster, options, keys))).Value;
    }

    // Requests that still hold the old balancer finish there: leases outlive it, and what else they ask is answered by an exception.
    private void Forget(ClusterState cluster)
    {
        if (clusters.TryRemove(cluster.ClusterId, out var removed) && removed.IsValueCreated)
        {
            removed.Value.Dispose();
        }
    }

    private void LetTimePass()
    {
        foreach (var cluster in clusters.Values.Where(cluster => cluster.IsValueCreated))
        {
            try
            {
                cluster.Value.Balancer.Tick();
            }
            catch (ObjectDisposedException)
            {
                // It was removed meanwhile.
            }
        }
    }
}
