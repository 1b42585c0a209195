using System;
using System.Threading;
using Homing;

namespace Tests
{
    public static class ConfigTests
    {
        public static void Cookies_are_as_configured()
        {
            var options = new AffinityOptions
            {
                Cookie = "sticky",
                Domain = "example.org",
                Path = "/app",
                SameSite = SameSite.None,
                Secure = Secure.Always,
                Partitioned = true,
                MaxAge = TimeSpan.FromHours(2),
                Idle = TimeSpan.FromMinutes(5),
                LiveWindow = TimeSpan.FromMinutes(1),
                OnUnavailable = OnUnavailable.Repin,
                OnFull = OnFull.Move,
                OnRestart = OnRestart.Keep,
            };
            using (var ring = KeyRing.Generate("tests"))
            using (var config = Fleet.Config(2).Affinity(options))
            using (var balancer = config.Build(ring))
            using (var pick = balancer.Pick(new Request { Now = Fleet.Start }))
            {
                foreach (var part in new[] { "sticky=" + pick.Token, "Domain=example.org", "Path=/app", "SameSite=None", "Secure", "Partitioned" })
                {
                    Check.Contains(part, pick.SetCookie);
                }
                var cookie = "sticky=" + pick.Token;
                Check.Equal(Decision.Pinned, Decide(balancer, cookie, TimeSpan.FromMinutes(4)));
                Check.Equal(Decision.Idle, Decide(balancer, cookie, TimeSpan.FromMinutes(20)));
                Check.Equal(Decision.Expired, Decide(balancer, cookie, TimeSpan.FromHours(3)));
                balancer.SetIncarnation(pick.UpstreamId, 77, Fleet.Start);
                Check.Equal(Decision.Pinned, Decide(balancer, cookie, TimeSpan.FromMinutes(1)));
            }
        }

        public static void Sessions_of_lost_upstreams_are_refused_where_that_is_wanted()
        {
            using (var ring = KeyRing.Generate("tests"))
            using (var config = Fleet.Config(2).Affinity(new AffinityOptions { OnUnavailable = OnUnavailable.Reject, OnRestart = OnRestart.Replace }))
            using (var balancer = config.Build(ring))
            {
                foreach (var upstream in balancer.Upstreams())
                {
                    balancer.SetIncarnation(upstream.Id, 76);
                }
                using (var pick = balancer.Pick(new Request()))
                {
                    balancer.SetIncarnation(pick.UpstreamId, 77);
                    Check.Equal(Decision.OtherIncarnation, balancer.Open(new Request { Token = pick.Token }).Decision);
                    balancer.SetIncarnation(pick.UpstreamId, 76);
                    balancer.SetHealth(pick.UpstreamId, false, false);
                    Check.Fails(Status.Rejected, "unavailable", () => balancer.Pick(new Request { Token = pick.Token }));
                }
            }
        }

        public static void Health_is_judged_as_configured()
        {
            var options = new HealthOptions
            {
                Fall = 4,
                Rise = 1,
                Consecutive = 2,
                FailoverRate = 0,
                Base = TimeSpan.FromSeconds(1),
                Max = TimeSpan.FromSeconds(2),
                Silence = Timeout.InfiniteTimeSpan,
                SlowStart = Timeout.InfiniteTimeSpan,
                Hold = TimeSpan.FromSeconds(1),
                DrainSpread = Timeout.InfiniteTimeSpan,
            };
            using (var config = Fleet.Config(3).Health(options))
            using (var balancer = config.Build())
            {
                using (var pick = balancer.Pick(new Request()))
                {
                    pick.Report(Outcome.Broken);
                    Check.Equal(UpstreamState.Active, balancer.Upstreams()[pick.Index].State);
                    pick.Report(Outcome.Broken);
                    Check.Equal(UpstreamState.Suspect, balancer.Upstreams()[pick.Index].State);
                    balancer.Tick(DateTimeOffset.UtcNow.AddSeconds(10));
                    Check.Equal(UpstreamState.Active, balancer.Upstreams(DateTimeOffset.UtcNow.AddSeconds(10))[pick.Index].State);
                }
            }
        }

        public static void Policies_take_parameters()
        {
            using (var config = Fleet.Config(3).Policy("least_sessions").PolicyParameter("d", "all"))
            using (var balancer = config.Build())
            using (var pick = balancer.Pick(new Request()))
            {
                Check.Equal(null, pick.SetCookie);
            }
        }

        public static void Upstreams_have_weights_and_limits()
        {
            using (var config = new BalancerConfig().Upstream("big", "10.0.0.1:80", weight: 3, maxInFlight: 7).Upstream("small", "10.0.0.2:80").Policy("round_robin"))
            using (var balancer = config.Build())
            {
                for (var i = 0; i < 40; i++)
                {
                    balancer.Pick(new Request()).Dispose();
                }
                var upstreams = balancer.Upstreams();
                Check.Equal("big", upstreams[0].Name);
                Check.Equal(3, upstreams[0].Weight);
                Check.Equal(7, upstreams[0].MaxInFlight);
                Check.Equal(30L, upstreams[0].Requests);
                Check.Equal(10L, upstreams[1].Requests);
            }
        }

        public static void The_gateways_tables_are_read()
        {
            const string Toml =
                "[affinity]\ncookie = \"sticky\"\n[policy]\nname = \"round_robin\"\n" +
                "[[upstream]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n[[upstream]]\nname = \"b\"\naddress = \"127.0.0.1:2\"\nweight = 2\n";
            using (var ring = KeyRing.Generate("tests"))
            using (var config = BalancerConfig.Parse(Toml))
            using (var balancer = config.Build(ring))
            using (var pick = balancer.Pick(new Request()))
            {
                Check.Contains("sticky=", pick.SetCookie);
                Check.Equal(2, balancer.Upstreams()[1].Weight);
            }
            Check.Fails(Status.Config, "polcy", () => BalancerConfig.Parse("[polcy]\n"));
        }

        public static void Mistakes_are_told()
        {
            using (var config = new BalancerConfig())
            {
                Check.Throws<ArgumentNullException>(() => config.Upstream(null, "a:1"));
                Check.Throws<ArgumentNullException>(() => config.Upstream("a", null));
                Check.Throws<ArgumentOutOfRangeException>(() => config.Upstream("a", "a:1", weight: 0));
                Check.Throws<ArgumentOutOfRangeException>(() => config.Upstream("a", "a:1", maxInFlight: -1));
                Check.Throws<ArgumentNullException>(() => config.Policy(null));
                Check.Throws<ArgumentNullException>(() => config.PolicyParameter("d", null));
                Check.Throws<ArgumentNullException>(() => config.Affinity(null));
                Check.Throws<ArgumentNullException>(() => config.Health(null));
                Check.Throws<ArgumentNullException>(() => BalancerConfig.Parse(null));
                Check.Throws<ArgumentOutOfRangeException>(() => config.Affinity(new AffinityOptions { MaxAge = TimeSpan.Zero }));
                Check.Throws<ArgumentOutOfRangeException>(() => config.Health(new HealthOptions { Fall = 0 }));
                Check.Throws<ArgumentException>(() => config.Upstream("\uD800", "a:1"));
                Check.Fails(Status.Length, "name", () => config.Upstream(new string('a', 256), "a:1"));
            }
            Refused(config => config.Upstream("a", "a:1").Upstream("a", "a:2"));
            Refused(config => config.Upstream("a", "a:1").Policy("nearest"));
            Refused(config => config.Upstream("a", "a:1").Affinity(new AffinityOptions { Cookie = "no good" }));
            Refused(config => config.Upstream("a", "a:1").Affinity(new AffinityOptions { SameSite = (SameSite)9 }));
        }

        // Some errors are found at once, others when the whole configuration is validated.
        private static void Refused(Action<BalancerConfig> configure)
        {
            using (var ring = KeyRing.Generate("tests"))
            using (var config = new BalancerConfig())
            {
                var error = Check.Throws<HomingException>(() =>
                {
                    configure(config);
                    config.Build(ring);
                });
                Check.That(error.Status == Status.Config || error.Status == Status.Value, error.Status + ": " + error.Message);
                Check.That(error.Message.Length > 10, "it is told: " + error.Message);
            }
        }

        private static Decision Decide(Balancer balancer, string cookie, TimeSpan after)
        {
            return balancer.Open(new Request { Cookie = cookie, Now = Fleet.Start + after }).Decision;
        }
    }
}
