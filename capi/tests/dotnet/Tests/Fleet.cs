using System;
using System.Linq;
using Homing;

namespace Tests
{
    // Balancers to test with: app-0, app-1, ... in that order.
    internal static class Fleet
    {
        internal static readonly byte[] Identity = Enumerable.Repeat((byte)7, 32).ToArray();
        internal static readonly byte[] Secret = Enumerable.Repeat((byte)9, 32).ToArray();
        internal static readonly DateTimeOffset Start = DateTimeOffset.FromUnixTimeMilliseconds(1800000000000);

        internal static BalancerConfig Config(int upstreams, int maxInFlight = 0)
        {
            var config = new BalancerConfig();
            for (var i = 0; i < upstreams; i++)
            {
                config.Upstream("app-" + i, "10.0.0." + i + ":8080", maxInFlight: maxInFlight);
            }
            return config;
        }

        internal static Balancer Of(int upstreams, int maxInFlight = 0)
        {
            using (var ring = KeyRing.Generate("tests"))
            using (var config = Config(upstreams, maxInFlight))
            {
                return config.Build(ring);
            }
        }

        internal static ulong Id(Balancer balancer, string name)
        {
            ulong id;
            int index;
            Check.That(balancer.TryFind(name, out id, out index), name + " is there");
            return id;
        }
    }
}
