using System;
using System.Net;
using System.Text;
using Homing;

namespace Tests
{
    // The same requests as in capi/tests/dotnet/agreement.rs: same keys, same seed, same times.
    internal static class Sessions
    {
        private const int Visitors = 1000;
        private const int Upstreams = 7;

        private static BalancerConfig Config()
        {
            var config = new BalancerConfig();
            for (var i = 0; i < Upstreams; i++)
            {
                config.Upstream("app-" + i, "10.0.0." + i + ":8080", weight: i % 3 + 1);
            }
            return config.Policy("p2c").Affinity(new AffinityOptions { MaxAge = TimeSpan.FromMinutes(20), Idle = TimeSpan.FromMinutes(4) });
        }

        /// Prints a line for each pick: index, session id, decision, and token or "-".
        internal static int Picks(string keys, ulong seed, int count)
        {
            var tokens = new string[Visitors];
            var output = new StringBuilder();
            using (var ring = KeyRing.Load(keys))
            using (var config = Config().Seed(seed))
            using (var balancer = config.Build(ring))
            {
                for (var i = 0; i < count; i++)
                {
                    // Some visitors make many requests, others few.
                    var drawn = i * 7919 % Visitors;
                    var visitor = drawn * drawn / Visitors;
                    var now = Fleet.Start.AddMilliseconds(i * 300L);
                    using (var pick = balancer.Pick(new Request
                    {
                        Now = now,
                        Client = new IPAddress(new byte[] { 10, (byte)(visitor / 250), (byte)(visitor % 250), 1 }),
                        Cookie = tokens[visitor] == null ? "theme=dark" : "theme=dark; homing=" + tokens[visitor],
                    }))
                    {
                        tokens[visitor] = pick.Token ?? tokens[visitor];
                        output.Append(pick.Index).Append(' ').Append(pick.Session.ToString("x16")).Append(' ')
                            .Append(Library.NameOf(pick.Decision)).Append(' ').Append(pick.Token ?? "-").Append('\n');
                    }
                }
            }
            Console.Write(output);
            return 0;
        }

        /// Prints for each token in the input its upstream's index, session id and decision, at the time with which the
        /// line begins.
        internal static int Open(string keys)
        {
            var output = new StringBuilder();
            using (var ring = KeyRing.Load(keys))
            using (var config = Config())
            using (var balancer = config.Build(ring))
            {
                for (var line = Console.ReadLine(); line != null; line = Console.ReadLine())
                {
                    var parts = line.Split(' ');
                    var now = DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(parts[0]));
                    var opened = balancer.Open(new Request { Now = now, Token = parts[1] });
                    output.Append(opened.Index).Append(' ').Append(opened.Session.ToString("x16")).Append(' ')
                        .Append(Library.NameOf(opened.Decision)).Append('\n');
                }
            }
            Console.Write(output);
            return 0;
        }
    }
}
