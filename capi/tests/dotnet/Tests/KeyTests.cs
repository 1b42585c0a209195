using System;
using System.IO;
using System.Linq;
using Homing;

namespace Tests
{
    public static class KeyTests
    {
        public static void Files_are_created_and_shared()
        {
            var directory = Directory.CreateDirectory(Path.Combine(Path.GetTempPath(), "homing-" + Guid.NewGuid()));
            try
            {
                var path = Path.Combine(directory.FullName, "schl\u00fcssel.keys");
                string token;
                using (var ring = KeyRing.Load(path))
                using (var config = Fleet.Config(3))
                using (var balancer = config.Build(ring))
                using (var pick = balancer.Pick(new Request()))
                {
                    token = pick.Token;
                }
                Check.That(File.Exists(path), "the file is there by its name");
                using (var ring = KeyRing.Load(path))
                using (var config = Fleet.Config(3))
                using (var balancer = config.Build(ring))
                {
                    Check.Equal(Decision.Pinned, balancer.Open(new Request { Token = token }).Decision);
                }
                File.WriteAllText(path, "nonsense");
                Check.Fails(Status.Keys, path, () => KeyRing.Load(path));
            }
            finally
            {
                directory.Delete(true);
            }
            Check.Fails(Status.Keys, "/nowhere", () => KeyRing.Load("/nowhere/at/all.keys"));
            Check.Throws<ArgumentNullException>(() => KeyRing.Load(null));
            Check.Throws<ArgumentNullException>(() => KeyRing.Generate(null));
        }

        public static void Keys_rotate()
        {
            var next = Enumerable.Repeat((byte)11, 32).ToArray();
            using (var old = new KeyRing("tests", Fleet.Identity).Add(0, Fleet.Secret, sign: true))
            using (var rotated = new KeyRing("tests", Fleet.Identity).Add(0, Fleet.Secret, sign: false).Add(1, next, sign: true))
            using (var retired = new KeyRing("tests", Fleet.Identity).Add(1, next, sign: true))
            using (var config = Fleet.Config(3))
            using (var balancer = config.Build(old))
            {
                var token = balancer.TokenFor(Fleet.Id(balancer, "app-1"), 4711, new Request());
                balancer.SetKeys(rotated);
                string changed;
                using (var pick = balancer.Pick(new Request { Token = token }))
                {
                    Check.Equal(Decision.Pinned, pick.Decision);
                    changed = pick.Token;
                }
                balancer.SetKeys(retired);
                Check.Equal(Decision.UnknownKey, balancer.Open(new Request { Token = token }).Decision);
                Check.Equal(Decision.Pinned, balancer.Open(new Request { Token = changed }).Decision);
                using (var foreign = KeyRing.Generate("tests"))
                {
                    Check.Fails(Status.Keys, "identity", () => balancer.SetKeys(foreign));
                }
                Check.Throws<ArgumentNullException>(() => balancer.SetKeys(null));
            }
        }

        public static void Bad_rings_are_refused()
        {
            Check.Throws<ArgumentNullException>(() => new KeyRing("tests", null));
            Check.Throws<ArgumentNullException>(() => new KeyRing(null, Fleet.Identity));
            Check.Fails(Status.Length, "pool", () => new KeyRing(new string('a', 256), Fleet.Identity));
            using (var ring = new KeyRing("tests", Fleet.Identity))
            using (var config = Fleet.Config(1))
            {
                Check.Throws<ArgumentNullException>(() => ring.Add(0, null, true));
                Check.Fails(Status.Length, "secret", () => ring.Add(0, new byte[1025], true));
                Check.Fails(Status.Keys, "key", () => config.Build(ring));
#if NET
                ring.Add(0, Fleet.Secret.AsSpan(), true);
                config.Build(ring).Dispose();
#endif
            }
            using (var ring = KeyRing.Generate("tests"))
            {
                Check.Fails(Status.Value, "ring", () => ring.Add(0, Fleet.Secret, true));
            }
        }
    }
}
