using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using Homing;

namespace Tests
{
    // Prints what remains after that many picks (planted: with a leak) and other objects: requests in flight, and
    // resident KiB before and after.
    internal static class Leak
    {
        private static readonly List<object> Kept = new List<object>();

        internal static int Run(int count, bool planted)
        {
            using (var balancer = Fleet.Of(5))
            {
                var cookie = Rounds(balancer, count / 2, null, false);
                Objects(1000);
                var before = Resident();
                Rounds(balancer, count, cookie, planted);
                Objects(1000);
                var after = Resident();
                Console.WriteLine("in flight {0}, resident before {1} KiB, after {2} KiB", balancer.Upstreams().Sum(u => u.InFlight), before, after);
            }
            return 0;
        }

        private static string Rounds(Balancer balancer, int count, string cookie, bool planted)
        {
            var ids = new[] { Fleet.Id(balancer, "app-1") };
            var client = IPAddress.Parse("2001:db8::1");
            for (var i = 0; i < count; i++)
            {
                // Every tenth is a new session, every third is left to Dispose.
                using (var pick = balancer.Pick(new Request { Cookie = i % 10 == 0 ? null : cookie, Client = client, Tried = ids }))
                {
                    cookie = pick.Token == null ? cookie : "homing=" + pick.Token;
                    if (i % 3 != 0)
                    {
                        pick.Finish(Outcome.Answered, TimeSpan.FromMilliseconds(1));
                    }
                }
                if (planted)
                {
                    // A leak on purpose, which finalizers must not repair.
                    Kept.Add(i % 100 == 0 ? (object)balancer.Pick(new Request { Cookie = cookie }) : new byte[128]);
                }
                if (i % 50 == 0)
                {
                    balancer.Explain(new Request { Cookie = cookie });
                    balancer.Upstreams();
                    try
                    {
                        balancer.Pick(new Request { Client = IPAddress.Any, Eligible = new byte[] { 1 }, Generation = 77 });
                    }
                    catch (HomingException)
                    {
                    }
                }
            }
            return cookie;
        }

        // The library allows 4096 of them at a time, so a leak soon causes an error.
        private static void Objects(int count)
        {
            for (var i = 0; i < count; i++)
            {
                using (var balancer = Fleet.Of(2))
                using (balancer.Plan())
                using (balancer.Events())
                {
                    balancer.Pick(new Request()).Dispose();
                }
            }
        }

        private static long Resident()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
            var line = File.ReadAllLines("/proc/self/status").First(text => text.StartsWith("VmRSS:", StringComparison.Ordinal));
            return long.Parse(line.Split(new[] { ' ', '\t' }, StringSplitOptions.RemoveEmptyEntries)[1]);
        }
    }
}
