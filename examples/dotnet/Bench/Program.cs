using System;
using System.Diagnostics;
using System.Linq;
using System.Net;
using System.Text;
using Homing;

namespace Bench
{
    // The cost of a pick and its finish, in ns: minimum and median of samples that are shorter than a time slice of
    // a busy machine, after a warm-up in which everything is compiled.
    internal static class Program
    {
        private const int Upstreams = 10;
        private const int Batch = 500;
        private const int Samples = 1001;
        private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);

        private static void Main()
        {
            Console.WriteLine("{0}, homing {1}, {2} upstreams, least_sessions", Environment.Version, Library.Version, Upstreams);
            using (var ring = KeyRing.Generate("bench"))
            using (var config = new BalancerConfig().Policy("least_sessions"))
            {
                for (var i = 0; i < Upstreams; i++)
                {
                    config.Upstream("app-" + i, "10.0.0." + i + ":8080");
                }
                using (var balancer = config.Build(ring))
                using (var first = balancer.Pick(new Request()))
                {
                    var cookie = "theme=dark; homing=" + first.Token + "; _ga=GA1.2.1234567890.1234567890";
                    var bytes = Encoding.ASCII.GetBytes(cookie);
                    var client = IPAddress.Parse("192.0.2.1");
                    Measure("pinned, Cookie header as a string", () => Finish(balancer.Pick(new Request { Cookie = cookie })));
                    Measure("pinned, Cookie header as bytes", () => Finish(balancer.Pick(bytes)));
                    Measure("new session, with its Set-Cookie", () => Finish(balancer.Pick(new Request { Client = client })));
                    Measure("open, without a token", () => balancer.Open(new Request()));
                    Measure("a call that does nothing", () => Library.AbiVersion.GetHashCode());
                }
            }
        }

        private static void Finish(Pick pick)
        {
            pick.Finish(Outcome.Answered);
        }

        private static void Measure(string name, Action action)
        {
            for (var watch = Stopwatch.StartNew(); watch.Elapsed < WarmUp;)
            {
                Run(action);
            }
            var collections = GC.CollectionCount(0);
            var samples = Enumerable.Range(0, Samples).Select(_ => Run(action)).OrderBy(ns => ns).ToArray();
            Console.WriteLine("{0,-36} {1,8:F0} ns least {2,8:F0} ns median {3,4} collections",
                name, samples[0], samples[Samples / 2], GC.CollectionCount(0) - collections);
        }

        private static double Run(Action action)
        {
            var watch = Stopwatch.StartNew();
            for (var i = 0; i < Batch; i++)
            {
                action();
            }
            return watch.Elapsed.TotalMilliseconds * 1e6 / Batch;
        }
    }
}
