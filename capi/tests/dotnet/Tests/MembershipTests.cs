using System;
using System.Collections.Generic;
using System.Linq;
using Homing;

namespace Tests
{
    public static class MembershipTests
    {
        public static void Plans_change_the_cluster_whole()
        {
            using (var balancer = Fleet.Of(2))
            using (var plan = balancer.Plan())
            using (var rival = balancer.Plan())
            {
                var before = balancer.Generation;
                plan.Put("app-2", "10.0.0.2:8080", weight: 5, maxInFlight: 9).Put("app-1", "10.0.0.1:8080", weight: 4).Remove("app-0");
                Check.Contains("app-2", plan.Explain());
                Check.Equal(before, balancer.Generation);
                var after = plan.Apply();
                Check.Equal(after, balancer.Generation);
                Check.That(after != before, "the generation has changed");
                Check.Equal("app-1:4:0 app-2:5:9", string.Join(" ", balancer.Upstreams().Select(u => u.Name + ":" + u.Weight + ":" + u.MaxInFlight)));
                Check.Fails(Status.Generation, "plan", () => rival.Put("app-3", "10.0.0.3:8080").Apply());
                using (var whole = balancer.Plan())
                {
                    whole.Put("app-8", "10.0.0.8:8080").Clear().Put("app-2", "10.0.0.22:8080").Apply();
                }
                Check.Equal("app-2 app-8", string.Join(" ", balancer.Upstreams().Select(u => u.Name).OrderBy(name => name)));
                Check.Equal("10.0.0.22:8080", balancer.AddressOf(Fleet.Id(balancer, "app-2")));
            }
        }

        public static void Plans_that_make_no_sense_are_refused()
        {
            using (var balancer = Fleet.Of(1))
            using (var plan = balancer.Plan())
            {
                Check.Throws<ArgumentNullException>(() => plan.Put(null, "a"));
                Check.Throws<ArgumentNullException>(() => plan.Remove(null));
                Check.Throws<HomingException>(() => plan.Remove("app-7").Apply());
                Check.Equal(1, balancer.Upstreams().Count);
            }
        }

        public static void Upstreams_are_found_by_name()
        {
            using (var balancer = Fleet.Of(3))
            {
                ulong id;
                int index;
                Check.That(balancer.TryFind("app-2", out id, out index), "it is there");
                Check.Equal(2, index);
                Check.Equal(id, balancer.Upstreams()[2].Id);
                Check.That(!balancer.TryFind("app-7", out id, out index), "it is not there");
                Check.Throws<ArgumentNullException>(() => balancer.TryFind(null, out id, out index));
                Check.Fails(Status.Length, "name", () => balancer.TryFind(new string('a', 256), out id, out index));
            }
        }

        public static void Drained_upstreams_keep_their_sessions_until_the_deadline()
        {
            using (var balancer = Fleet.Of(2))
            using (var pick = balancer.Pick(new Request { Now = Fleet.Start }))
            {
                var id = pick.UpstreamId;
                Check.Equal(null, balancer.Departure(id, pick.Session));
                balancer.Drain(id, TimeSpan.FromMinutes(1), Fleet.Start);
                Check.Equal(UpstreamState.Draining, balancer.Upstreams(Fleet.Start)[pick.Index].State);
                Check.Equal(Decision.Pinned, balancer.Open(new Request { Token = pick.Token, Now = Fleet.Start.AddSeconds(30) }).Decision);
                var departure = balancer.Departure(id, pick.Session);
                Check.That(departure >= Fleet.Start.AddMinutes(1) && departure <= Fleet.Start.AddSeconds(90), "it leaves at " + departure);
                for (var i = 0; i < 20; i++)
                {
                    using (var other = balancer.Pick(new Request { Now = Fleet.Start.AddSeconds(1) }))
                    {
                        Check.That(other.UpstreamId != id, "it takes no new sessions");
                    }
                }
                using (var moved = balancer.Pick(new Request { Token = pick.Token, Now = Fleet.Start.AddMinutes(2) }))
                {
                    Check.Equal(Decision.Drained, moved.Decision);
                }
                balancer.Resume(id, Fleet.Start.AddMinutes(3));
                Check.That(balancer.Upstreams(Fleet.Start.AddMinutes(3))[pick.Index].State != UpstreamState.Draining, "it is back");
                balancer.Drain(id);
                Check.Equal(null, balancer.Departure(id, pick.Session));
            }
        }

        public static void Probes_and_verdicts_count()
        {
            using (var balancer = Fleet.Of(6))
            {
                var ids = balancer.Upstreams().Select(upstream => upstream.Id).ToArray();
                balancer.Probe(ids[0], ProbeResult.Refused);
                balancer.Probe(ids[1], ProbeResult.Full);
                balancer.Probe(ids[2], ProbeResult.Passed);
                balancer.Probe(ids[3], ProbeResult.TimedOut);
                balancer.Probe(ids[3], ProbeResult.TimedOut);
                balancer.Probe(ids[4], ProbeResult.Status, 500);
                balancer.Probe(ids[4], ProbeResult.Status, 404);
                var states = balancer.Upstreams().Select(upstream => upstream.State).ToArray();
                Check.Equal(UpstreamState.Down, states[0]);
                Check.Equal(UpstreamState.Full, states[1]);
                Check.Equal(UpstreamState.Active, states[2]);
                Check.Equal(UpstreamState.Down, states[3]);
                Check.That(states[4] != UpstreamState.Active, "it answers badly");
                Check.Throws<OverflowException>(() => balancer.Probe(ids[3], ProbeResult.Status, 70000));
                Check.Fails(Status.Value, "result", () => balancer.Probe(ids[3], (ProbeResult)9));
                balancer.SetHealth(ids[2], false, true);
                var upstream2 = balancer.Upstreams()[2];
                Check.That(!upstream2.IsAccepting && upstream2.IsServing, "it serves and does not accept");
                balancer.SetIncarnation(ids[2], 4711);
                Check.Equal(4711, balancer.Upstreams()[2].Incarnation);
                Check.Throws<OverflowException>(() => balancer.SetIncarnation(ids[2], 65536));
                foreach (var call in new Action[]
                {
                    () => balancer.Probe(1, ProbeResult.Passed), () => balancer.Drain(1), () => balancer.Resume(1),
                    () => balancer.AddressOf(1), () => balancer.SetHealth(1, true, true), () => balancer.SetIncarnation(1, 1), () => balancer.Departure(1, 1),
                })
                {
                    Check.Fails(Status.Unknown, "upstream", call);
                }
            }
        }

        public static void Statuses_and_their_json_tell_the_same()
        {
            using (var balancer = Fleet.Of(30))
            {
                string token;
                using (var pick = balancer.Pick(new Request()))
                {
                    token = pick.Token;
                    pick.Finish(Outcome.Answered, TimeSpan.FromMilliseconds(2));
                    balancer.Pick(new Request { Token = token }).Dispose();
                    var status = balancer.Upstreams()[pick.Index];
                    Check.Equal(pick.Upstream, status.Name);
                    Check.Equal(pick.UpstreamId, status.Id);
                    Check.Equal(2L, status.Requests);
                    Check.Equal(1L, status.Decided(Decision.New));
                    Check.Equal(1L, status.Decided(Decision.Pinned));
                    Check.Equal(1, status.LiveSessions);
                    Check.That(status.IsAccepting && status.IsServing, "it is well");
                    Check.Equal(null, status.Since);
                    Check.Equal(TimeSpan.Zero, status.Latency);
                    balancer.Probe(status.Id, ProbeResult.Refused, now: Fleet.Start);
                    Check.Equal<DateTimeOffset?>(Fleet.Start, balancer.Upstreams(Fleet.Start)[pick.Index].Since);
                }
                var json = balancer.StatusJson();
                Check.Contains("\"app-29\"", json);
                Check.Contains("10.0.0.29:8080", json);
                Check.That(json.StartsWith("{", StringComparison.Ordinal) && json.EndsWith("}", StringComparison.Ordinal), "it is an object");
            }
        }

        public static void Events_come_in_their_order()
        {
            using (var balancer = Fleet.Of(3))
            using (var stream = balancer.Events())
            {
                HomingEvent next;
                Check.That(!stream.TryRead(out next), "nothing has happened");
                Check.Equal(null, next);
                var id = Fleet.Id(balancer, "app-1");
                balancer.Probe(id, ProbeResult.Refused, now: Fleet.Start);
                balancer.SetIncarnation(id, 4, Fleet.Start);
                balancer.SetIncarnation(id, 5, Fleet.Start.AddSeconds(1));
                var events = new List<HomingEvent>();
                while (stream.TryRead(out next))
                {
                    events.Add(next);
                }
                var down = events.First();
                Check.Equal(EventKind.Changed, down.Kind);
                Check.Equal("app-1", down.Upstream);
                Check.Equal((int)UpstreamState.Active, down.From);
                Check.Equal((int)UpstreamState.Down, down.To);
                Check.Equal(Fleet.Start, down.At);
                Check.Equal(0L, down.Missed);
                Check.Contains("app-1", down.Text);
                var restarted = events.Single(happened => happened.Kind == EventKind.Restarted);
                Check.Equal(4, restarted.From);
                Check.Equal(5, restarted.To);
                Check.That(events.IndexOf(restarted) > 0 && restarted.At == Fleet.Start.AddSeconds(1), "it came later");
            }
        }

        public static void Panics_of_the_cluster_are_events()
        {
            using (var balancer = Fleet.Of(2))
            using (var stream = balancer.Events())
            {
                foreach (var upstream in balancer.Upstreams())
                {
                    using (var lease = balancer.Take(upstream.Id, 1, Decision.New))
                    {
                        for (var i = 0; i < 5; i++)
                        {
                            lease.Report(Outcome.Broken);
                        }
                    }
                }
                HomingEvent next;
                var kinds = new List<EventKind>();
                while (stream.TryRead(out next))
                {
                    kinds.Add(next.Kind);
                    if (next.Kind == EventKind.PanicBegan)
                    {
                        Check.Equal(null, next.Upstream);
                    }
                }
                Check.That(kinds.Contains(EventKind.PanicBegan), string.Join(" ", kinds));
            }
        }
    }
}
