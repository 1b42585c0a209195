using System;
using Homing;

namespace Tests
{
    public static class PartsTests
    {
        public static void Tokens_are_opened_without_a_place()
        {
            using (var balancer = Fleet.Of(3))
            using (var pick = balancer.Pick(new Request()))
            {
                var opened = balancer.Open(new Request { Token = pick.Token });
                Check.Equal(Decision.Pinned, opened.Decision);
                Check.Equal(pick.UpstreamId, opened.UpstreamId);
                Check.Equal(pick.Session, opened.Session);
                Check.Equal(pick.Index, opened.Index);
                Check.Equal(balancer.Generation, opened.Generation);
                Check.Equal(0L, balancer.Upstreams()[pick.Index].Decided(Decision.Pinned));

                var nothing = balancer.Open(new Request());
                Check.Equal(Decision.New, nothing.Decision);
                Check.Equal(-1, nothing.Index);
                Check.Equal(0UL, nothing.UpstreamId);
                Check.That(nothing.Session != 0 && nothing.Session != balancer.Open(new Request()).Session, "a new session");

                using (var plan = balancer.Plan())
                {
                    plan.Remove(pick.Upstream).Apply();
                }
                var gone = balancer.Open(new Request { Token = pick.Token });
                Check.Equal(Decision.NoSuchUpstream, gone.Decision);
                Check.Equal(pick.UpstreamId, gone.UpstreamId);
                Check.Equal(-1, gone.Index);
            }
        }

        public static void Tokens_are_made_for_where_a_session_is()
        {
            using (var balancer = Fleet.Of(3))
            {
                var id = Fleet.Id(balancer, "app-2");
                var token = balancer.TokenFor(id, 4711, new Request());
                Check.Equal(4711UL, balancer.Open(new Request { Token = token }).Session);
                Check.Equal(id, balancer.Open(new Request { Token = token }).UpstreamId);
                Check.Equal(null, balancer.TokenFor(id, 4712, new Request { Token = token }));

                var other = Fleet.Id(balancer, "app-0");
                var moved = balancer.TokenFor(other, 4712, new Request { Cookie = "homing=" + token });
                Check.Equal(other, balancer.Open(new Request { Token = moved }).UpstreamId);
                Check.Equal(balancer.Open(new Request { Token = token }).Session, balancer.Open(new Request { Token = moved }).Session);
                Check.Fails(Status.Unknown, "upstream", () => balancer.TokenFor(1, 1, new Request()));
            }
        }

        public static void Cookies_are_made_of_tokens()
        {
            using (var balancer = Fleet.Of(1))
            using (var pick = balancer.Pick(new Request()))
            {
                Check.Equal(pick.SetCookie, balancer.SetCookieFor(pick.Token));
                Check.Contains("; Secure", balancer.SetCookieFor(pick.Token, https: true));
                Check.Fails(Status.Value, "token", () => balancer.SetCookieFor("x; Domain=example.org"));
                Check.Throws<ArgumentNullException>(() => balancer.SetCookieFor(null));
                Check.Equal("a=1; b=2", balancer.StripCookie("a=1; homing=" + pick.Token + "; b=2"));
                Check.Equal("", balancer.StripCookie("homing=x"));
                Check.Throws<ArgumentNullException>(() => balancer.StripCookie(null));
            }
        }

        public static void Picks_are_explained()
        {
            using (var balancer = Fleet.Of(40))
            using (var pick = balancer.Pick(new Request()))
            {
                Check.Contains(pick.Upstream, balancer.Explain(new Request { Token = pick.Token }));
                Check.Fails(Status.Length, "key", () => balancer.Explain(new Request { Key = new byte[65537] }));
            }
        }
    }
}
