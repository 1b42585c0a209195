using System;
using System.Linq;
using System.Net;
using System.Text;
using Homing;

namespace Tests
{
    public static class PickTests
    {
        public static void First_visit_is_given_a_cookie_and_the_next_comes_home()
        {
            using (var balancer = Fleet.Of(3))
            using (var first = balancer.Pick(new Request { Client = IPAddress.Parse("192.0.2.1"), Https = true }))
            {
                Check.Equal(Decision.New, first.Decision);
                Check.Equal(56, first.Token.Length);
                Check.Equal("homing=" + first.Token + "; Path=/; HttpOnly; SameSite=Lax; Secure", Sorted(first.SetCookie));
                using (var again = balancer.Pick(new Request { Cookie = "theme=dark; homing=" + first.Token + "; other=1" }))
                {
                    Check.Equal(Decision.Pinned, again.Decision);
                    Check.Equal(first.Upstream, again.Upstream);
                    Check.Equal(first.Index, again.Index);
                    Check.Equal(first.UpstreamId, again.UpstreamId);
                    Check.Equal(first.Session, again.Session);
                    Check.Equal(first.Generation, again.Generation);
                    Check.Equal("10.0.0." + first.Index + ":8080", again.Address);
                    Check.Equal(null, again.Token);
                    Check.Equal(null, again.SetCookie);
                }
            }
        }

        public static void Bare_tokens_and_bytes_do_as_well()
        {
            using (var balancer = Fleet.Of(3))
            using (var first = balancer.Pick(new Request()))
            {
                using (var again = balancer.Pick(new Request { Token = first.Token }))
                {
                    Check.Equal(first.Upstream, again.Upstream);
                    Check.Equal(Decision.Pinned, again.Decision);
                }
                var header = Encoding.ASCII.GetBytes("homing=" + first.Token);
                using (var again = balancer.Pick(header, new byte[] { 192, 0, 2, 1 }, true))
                {
                    Check.Equal(Decision.Pinned, again.Decision);
                }
#if NET
                using (var again = balancer.Pick(header.AsSpan(), IPAddress.IPv6Loopback.GetAddressBytes().AsSpan()))
                {
                    Check.Equal(Decision.Pinned, again.Decision);
                }
                using (var blank = balancer.Pick(ReadOnlySpan<byte>.Empty))
                {
                    Check.Equal(Decision.New, blank.Decision);
                }
#endif
                using (var blank = balancer.Pick((byte[])null))
                {
                    Check.Equal(Decision.New, blank.Decision);
                }
            }
        }

        public static void Altered_token_is_replaced()
        {
            using (var balancer = Fleet.Of(3))
            using (var first = balancer.Pick(new Request()))
            {
                var altered = (first.Token[20] == 'A' ? 'B' : 'A');
                var token = first.Token.Substring(0, 20) + altered + first.Token.Substring(21);
                using (var again = balancer.Pick(new Request { Cookie = "homing=" + token }))
                {
                    Check.Equal(Decision.BadTag, again.Decision);
                    Check.That(again.Token != null && again.Token != token, "another token is due");
                }
                using (var again = balancer.Pick(new Request { Cookie = "homing=\uD800\u4e2d" }))
                {
                    Check.Equal(Decision.Malformed, again.Decision);
                }
            }
        }

        public static void Keys_decide_where_the_policy_goes_by_them()
        {
            using (var config = Fleet.Config(16).Policy("rendezvous"))
            using (var balancer = config.Build())
            {
                var places = Enumerable.Range(0, 64).Select(key => Place(balancer, new Request { Key = BitConverter.GetBytes(key) })).ToArray();
                Check.That(places.Distinct().Count() > 8, "keys spread");
                for (var key = 0; key < places.Length; key++)
                {
                    Check.Equal(places[key], Place(balancer, new Request { Key = BitConverter.GetBytes(key) }));
                }
            }
        }

        public static void Addresses_decide_where_the_policy_goes_by_them()
        {
            using (var config = Fleet.Config(16).Policy("ip_hash"))
            using (var balancer = config.Build())
            {
                var places = Enumerable.Range(1, 64).Select(i => Place(balancer, new Request { Client = IPAddress.Parse("10." + i + ".3.4") })).ToArray();
                Check.That(places.Distinct().Count() > 4, "addresses spread");
                for (var i = 0; i < places.Length; i++)
                {
                    Check.Equal(places[i], Place(balancer, new Request { Client = IPAddress.Parse("10." + (i + 1) + ".3.99") }));
                    Check.Equal(places[i], Place(balancer, new Request { Client = IPAddress.Parse("::ffff:10." + (i + 1) + ".3.4") }));
                }
            }
        }

        public static void Tried_and_not_eligible_upstreams_are_passed_over()
        {
            using (var balancer = Fleet.Of(3))
            {
                for (var i = 0; i < 50; i++)
                {
                    Check.Equal(1, Index(balancer, new Request { Tried = new[] { Fleet.Id(balancer, "app-0"), Fleet.Id(balancer, "app-2") } }));
                    Check.Equal(2, Index(balancer, new Request { Eligible = new byte[] { 4 }, Generation = balancer.Generation }));
                }
                Check.Fails(Status.Generation, "generation", () => balancer.Pick(new Request { Eligible = new byte[] { 1 }, Generation = 99 }));
                Check.Fails(Status.Length, "eligible", () => balancer.Pick(new Request { Eligible = new byte[1251], Generation = balancer.Generation }));
                balancer.Pick(new Request { Tried = new[] { 1UL } }).Dispose();
            }
        }

        public static void Nobody_there_is_a_status_and_an_exception()
        {
            using (var balancer = Fleet.Of(1, maxInFlight: 1))
            {
                Pick pick;
                DateTimeOffset retryAt;
                using (var only = balancer.Pick(new Request()))
                {
                    Check.Fails(Status.Full, "room", () => balancer.Pick(new Request()));
                    Check.Equal(Status.Full, balancer.TryPick(new Request(), out pick, out retryAt));
                    Check.Equal(null, pick);
                }
                Check.Equal(Status.Ok, balancer.TryPick(new Request(), out pick, out retryAt));
                pick.Dispose();
                balancer.SetHealth(pick.UpstreamId, false, false);
                Check.Equal(Status.Unavailable, balancer.TryPick(new Request(), out pick, out retryAt));
                Check.Equal(Status.Generation, balancer.TryPick(new Request { Eligible = new byte[] { 1 } }, out pick, out retryAt));
                Check.Fails(Status.Length, "cookie", () => balancer.TryPick(new Request { Cookie = new string('a', 65537) }, out pick, out retryAt));
            }
        }

        public static void Sessions_wait_for_an_upstream_that_was_just_lost()
        {
            using (var config = Fleet.Config(2).Health(new HealthOptions { Hold = TimeSpan.FromSeconds(5) }))
            using (var ring = KeyRing.Generate("tests"))
            using (var balancer = config.Build(ring))
            {
                string token;
                using (var first = balancer.Pick(new Request { Now = Fleet.Start }))
                {
                    token = first.Token;
                    balancer.Probe(first.UpstreamId, ProbeResult.Refused, now: Fleet.Start.AddSeconds(1));
                }
                var later = new Request { Token = token, Now = Fleet.Start.AddSeconds(2), CanWait = true };
                Pick pick;
                DateTimeOffset retryAt;
                Check.Equal(Status.Later, balancer.TryPick(later, out pick, out retryAt));
                Check.Equal(null, pick);
                Check.That(retryAt > later.Now && retryAt < Fleet.Start.AddSeconds(60), "to be tried again soon, not at " + retryAt);
                using (var moved = balancer.Pick(later))
                {
                    Check.Equal(Decision.NotServing, moved.Decision);
                }
            }
        }

        public static void Decisions_have_names()
        {
            Check.Equal("pinned", Library.NameOf(Decision.Pinned));
            Check.Equal("not_serving", Library.NameOf(Decision.NotServing));
            Check.Equal(14, Enum.GetValues(typeof(Decision)).Cast<Decision>().Select(Library.NameOf).Distinct().Count());
            Check.Equal("pinned", Library.NameOf(Decision.Pinned));
            Check.Fails(Status.Value, "decision", () => Library.NameOf((Decision)14));
            Check.Fails(Status.Value, "decision", () => Library.NameOf((Decision)(-1)));
        }

        private static string Sorted(string setCookie)
        {
            var parts = setCookie.Split(new[] { "; " }, StringSplitOptions.None);
            var order = new[] { "Path", "HttpOnly", "SameSite", "Secure" };
            return string.Join("; ", parts.Take(1).Concat(parts.Skip(1).OrderBy(part => Array.IndexOf(order, part.Split('=')[0]))));
        }

        private static string Place(Balancer balancer, Request request)
        {
            using (var pick = balancer.Pick(request))
            {
                return pick.Upstream;
            }
        }

        private static int Index(Balancer balancer, Request request)
        {
            using (var pick = balancer.Pick(request))
            {
                return pick.Index;
            }
        }
    }
}
