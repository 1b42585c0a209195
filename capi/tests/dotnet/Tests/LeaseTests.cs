using System;
using System.Linq;
using System.Runtime.CompilerServices;
using System.Threading;
using Homing;

namespace Tests
{
    public static class LeaseTests
    {
        public static void Places_are_counted_and_given_back_once()
        {
            using (var balancer = Fleet.Of(1))
            {
                var picks = Enumerable.Range(0, 5).Select(_ => balancer.Pick(new Request())).ToArray();
                Check.Equal(5, InFlight(balancer));
                picks[0].Dispose();
                picks[0].Dispose();
                picks[1].Finish(Outcome.Answered, TimeSpan.FromMilliseconds(3));
                picks[1].Finish(Outcome.ServerError);
                picks[1].Dispose();
                Check.Equal(3, InFlight(balancer));
                Check.Throws<ArgumentOutOfRangeException>(() => picks[2].Finish((Outcome)7));
                Check.Throws<ArgumentOutOfRangeException>(() => picks[2].Finish((Outcome)(-1)));
                Check.Equal(3, InFlight(balancer));
                foreach (var pick in picks)
                {
                    pick.Dispose();
                }
                Check.Equal(0, InFlight(balancer));
                Check.Equal(5L, balancer.Upstreams()[0].Requests);
            }
        }

        public static void Outcomes_are_judged()
        {
            using (var config = Fleet.Config(2).Policy("peak_ewma"))
            using (var balancer = config.Build())
            {
                using (var first = balancer.Pick(new Request { Tried = new[] { Fleet.Id(balancer, "app-1") } }))
                {
                    for (var i = 0; i < 5; i++)
                    {
                        first.Report(Outcome.ServerError);
                    }
                    first.Finish(Outcome.None);
                    Check.Fails(Status.Handle, "lease", () => first.Report(Outcome.Answered));
                }
                Check.Equal(UpstreamState.Suspect, balancer.Upstreams()[0].State);
                using (var pick = balancer.Pick(new Request()))
                {
                    Check.Equal("app-1", pick.Upstream);
                    pick.Report(Outcome.Answered, TimeSpan.FromMilliseconds(20));
                    Check.Equal(1, balancer.Upstreams()[1].InFlight);
                    Check.That(balancer.Upstreams()[1].Latency > TimeSpan.Zero, "its latency is known");
                    Check.Fails(Status.Value, "outcome", () => pick.Report((Outcome)99));
                    pick.Finish(Outcome.None);
                }
            }
        }

        public static void Hosts_that_place_sessions_themselves_take_places()
        {
            using (var balancer = Fleet.Of(2, maxInFlight: 1))
            {
                var id = Fleet.Id(balancer, "app-1");
                using (balancer.Take(id, 42, Decision.New))
                {
                    Check.Equal(1, balancer.Upstreams()[1].InFlight);
                    Check.Fails(Status.Full, "room", () => balancer.Take(id, 43, Decision.New));
                }
                Check.Equal(0, balancer.Upstreams()[1].InFlight);
                Check.Fails(Status.Unknown, "upstream", () => balancer.Take(1, 43, Decision.New));
                Check.Fails(Status.Value, "decision", () => balancer.Take(id, 43, (Decision)99));
            }
        }

        public static void Forgotten_picks_are_finished_when_they_are_collected()
        {
            using (var balancer = Fleet.Of(1))
            {
                // In a thread of its own, so that no conservatively scanned stack still refers to a pick.
                var thread = new Thread(() => Forget(balancer, 200));
                thread.Start();
                thread.Join();
                for (var i = 0; i < 10; i++)
                {
                    GC.Collect();
                    GC.WaitForPendingFinalizers();
                }
                // Mono scans stacks conservatively: a stray word may keep one alive.
                Check.That(InFlight(balancer) <= 2, InFlight(balancer) + " are left");
            }
        }

        public static void Picks_outlive_their_balancer()
        {
            Pick pick;
            using (var balancer = Fleet.Of(1))
            {
                pick = balancer.Pick(new Request());
            }
            Check.Throws<ObjectDisposedException>(() => pick.Report(Outcome.Answered));
            pick.Finish(Outcome.Answered);
            pick.Dispose();
            Abandon();
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        public static void Threads_pick_while_the_cluster_changes()
        {
            using (var balancer = Fleet.Of(4))
            {
                var failures = 0;
                var ready = new CountdownEvent(8);
                var threads = Enumerable.Range(0, 8).Select(number => new Thread(() =>
                {
                    ready.Signal();
                    string cookie = null;
                    for (var i = 0; i < 2000; i++)
                    {
                        using (var pick = balancer.Pick(new Request { Cookie = cookie }))
                        {
                            cookie = pick.Token == null ? cookie : "homing=" + pick.Token;
                            if (!pick.Upstream.StartsWith("app-", StringComparison.Ordinal))
                            {
                                Interlocked.Increment(ref failures);
                            }
                            pick.Finish(Outcome.Answered, TimeSpan.FromMilliseconds(1));
                        }
                    }
                })).ToArray();
                foreach (var thread in threads)
                {
                    thread.Start();
                }
                ready.Wait();
                for (var i = 0; i < 50; i++)
                {
                    using (var plan = balancer.Plan())
                    {
                        (i % 2 == 0 ? plan.Put("app-9", "10.0.0.9:8080") : plan.Remove("app-9")).Apply();
                    }
                }
                foreach (var thread in threads)
                {
                    thread.Join();
                }
                Check.Equal(0, failures);
                Check.Equal(0, balancer.Upstreams().Sum(upstream => upstream.InFlight));
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Forget(Balancer balancer, int count)
        {
            for (var i = 0; i < count; i++)
            {
                balancer.Pick(new Request());
            }
            Check.Equal(count, InFlight(balancer));
        }

        // Everything is left to finalizers, which run in any order.
        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Abandon()
        {
            for (var i = 0; i < 50; i++)
            {
                var balancer = Fleet.Of(2);
                balancer.Pick(new Request());
                balancer.Plan();
                balancer.Events();
            }
        }

        private static int InFlight(Balancer balancer)
        {
            return balancer.Upstreams().Sum(upstream => upstream.InFlight);
        }
    }
}
