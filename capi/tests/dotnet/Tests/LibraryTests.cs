using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Homing;

namespace Tests
{
    public static class LibraryTests
    {
        public static void Versions_are_known()
        {
            Check.Equal(1, Library.AbiVersion);
            Check.Equal(3, Library.Version.Split('.').Length);
        }

        public static void Log_lines_come_and_what_is_thrown_is_dropped()
        {
            var lines = new List<string>();
            Library.SetLog((level, text) =>
            {
                lines.Add(level + ": " + text);
                throw new InvalidOperationException("not to be seen");
            });
            try
            {
                using (var ring = new KeyRing("tests", Fleet.Identity).Add(3, Fleet.Secret, true))
                using (var config = Fleet.Config(1))
                using (var balancer = config.Build(ring))
                {
                    GC.Collect();
                    balancer.SetKeys(ring);
                }
                Check.That(lines.Any(line => line.StartsWith("Info: ", StringComparison.Ordinal) && line.Contains("3")), string.Join("\n", lines));
            }
            finally
            {
                Library.SetLog(null);
            }
            var before = lines.Count;
            using (var ring = new KeyRing("tests", Fleet.Identity).Add(3, Fleet.Secret, true))
            using (var config = Fleet.Config(1))
            using (var balancer = config.Build(ring))
            {
                balancer.SetKeys(ring);
            }
            Check.Equal(before, lines.Count);
        }

        public static void What_is_disposed_of_says_so()
        {
            var ring = KeyRing.Generate("tests");
            var config = Fleet.Config(2);
            var balancer = config.Build(ring);
            var plan = balancer.Plan();
            var events = balancer.Events();
            foreach (var disposable in new IDisposable[] { ring, config, balancer, plan, events })
            {
                disposable.Dispose();
                disposable.Dispose();
            }
            HomingEvent next;
            Pick pick;
            DateTimeOffset retryAt;
            ulong id;
            int index;
            var calls = new Action[]
            {
                () => ring.Add(0, Fleet.Secret, true),
                () => config.Upstream("a", "a:1"),
                () => config.Policy("p2c"),
                () => config.PolicyParameter("d", "2"),
                () => config.Affinity(new AffinityOptions()),
                () => config.Health(new HealthOptions()),
                () => config.Seed(1),
                () => config.Build(),
                () => balancer.Pick(new Request()),
                () => balancer.Pick((byte[])null),
                () => balancer.TryPick(new Request(), out pick, out retryAt),
                () => balancer.Open(new Request()),
                () => balancer.Take(1, 1, Decision.New),
                () => balancer.TokenFor(1, 1, new Request()),
                () => balancer.SetCookieFor("x"),
                () => balancer.Explain(new Request()),
                () => Check.Equal(0UL, balancer.Generation),
                () => balancer.Upstreams(),
                () => balancer.StatusJson(),
                () => balancer.TryFind("app-0", out id, out index),
                () => balancer.AddressOf(1),
                () => balancer.StripCookie("a=1"),
                () => balancer.Probe(1, ProbeResult.Passed),
                () => balancer.Tick(),
                () => balancer.Drain(1),
                () => balancer.Resume(1),
                () => balancer.Departure(1, 1),
                () => balancer.SetIncarnation(1, 1),
                () => balancer.SetHealth(1, true, true),
                () => balancer.Plan(),
                () => balancer.Events(),
                () => plan.Put("a", "a:1"),
                () => plan.Remove("a"),
                () => plan.Clear(),
                () => plan.Explain(),
                () => plan.Apply(),
                () => events.TryRead(out next),
            };
            foreach (var call in calls)
            {
                Check.Throws<ObjectDisposedException>(call);
            }
            using (var fresh = Fleet.Config(1))
            {
                Check.Throws<ObjectDisposedException>(() => fresh.Build(ring));
            }
            using (var other = Fleet.Of(1))
            {
                Check.Throws<ObjectDisposedException>(() => other.SetKeys(ring));
            }
        }

        public static void Errors_of_threads_are_their_own()
        {
            var messages = new string[4];
            var threads = Enumerable.Range(0, messages.Length).Select(number => new Thread(() =>
            {
                for (var i = 0; i < 500; i++)
                {
                    var error = Check.Throws<HomingException>(() => KeyRing.Load("/nowhere-" + number + "/keys"));
                    if (!error.Message.Contains("/nowhere-" + number + "/keys"))
                    {
                        messages[number] = error.Message;
                    }
                }
            })).ToArray();
            foreach (var thread in threads)
            {
                thread.Start();
            }
            foreach (var thread in threads)
            {
                thread.Join();
            }
            Check.That(messages.All(message => message == null), string.Join("\n", messages));
        }

        public static void Failing_tests_would_be_seen()
        {
            Check.Throws<CheckException>(() => Check.Equal(1, 2));
            Check.Throws<CheckException>(() => Check.Fails(Status.Keys, "no such words", () => KeyRing.Load("/nowhere/keys")));
            Check.Throws<CheckException>(() => Check.Throws<IOException>(() => { }));
        }
    }
}
