using System;

namespace Homing
{
    /// <summary>The keys that sign and verify session tokens. Hosts with the same keys share sessions, whatever
    /// language they are written in. Thread-safe.
    /// </summary>
    public sealed unsafe class KeyRing : IDisposable
    {
        private readonly Handle handle;

        /// <summary>Creates a ring for secrets that the application stores itself. Add one key that signs, and up to
        /// fifteen that only verify, with <c>Add</c>.
        /// </summary>
        /// <param name="pool">Any name, up to 255 bytes: tokens of one pool are not valid in another.</param>
        /// <param name="identity">32 to 1024 random bytes, from which the ids of upstreams in tokens are derived. They
        /// never change.</param>
        /// <exception cref="HomingException">An argument is too long.</exception>
        public KeyRing(string pool, byte[] identity)
            : this(Begin(pool, identity ?? throw new ArgumentNullException(nameof(identity))))
        {
        }

        private KeyRing(ulong ring)
        {
            handle = new Handle(ring, Native.homing_keyring_free, nameof(KeyRing));
        }

        internal Handle Handle
        {
            get { return handle; }
        }

        /// <summary>Creates a ring with new random secrets, for tokens that need not outlive the process.</summary>
        /// <param name="pool">Any name, up to 255 bytes: tokens of one pool are not valid in another.</param>
        /// <returns>The ring.</returns>
        /// <exception cref="HomingException">The name is too long, or the operating system provides no random
        /// numbers.</exception>
        public static KeyRing Generate(string pool)
        {
            Library.Require();
            var bytes = Utf8.Bytes(pool, nameof(pool));
            ulong ring;
            fixed (byte* text = bytes)
            {
                HomingException.Check(Native.homing_keyring_generate(text, (UIntPtr)(uint)bytes.Length, &ring));
            }
            return new KeyRing(ring);
        }

        /// <summary>Reads a key file. If it does not exist it is created, readable by its owner only, with an
        /// explanation in it. Gateways can share it. To rotate keys, edit the file as it explains, load it again, and
        /// pass the new ring to <see cref="Balancer.SetKeys"/>.
        /// </summary>
        /// <param name="path">The path of the file.</param>
        /// <returns>The ring.</returns>
        /// <exception cref="HomingException">The file cannot be read or created, or is invalid; the message says
        /// where.</exception>
        public static KeyRing Load(string path)
        {
            Library.Require();
            var bytes = Utf8.Bytes(path, nameof(path));
            ulong ring;
            fixed (byte* text = bytes)
            {
                HomingException.Check(Native.homing_keyring_load(text, (UIntPtr)(uint)bytes.Length, &ring));
            }
            return new KeyRing(ring);
        }

        /// <summary>Adds a key to a ring that was created with an identity. A balancer takes the keys that the ring has
        /// when it gets the ring.</summary>
        /// <param name="id">0 to 15; no two keys have the same.</param>
        /// <param name="secret">32 to 1024 random bytes.</param>
        /// <param name="sign">Whether this is the one key that signs; the others verify.</param>
        /// <returns>This ring.</returns>
        /// <exception cref="HomingException">The secret is too long, or the ring was not created with an
        /// identity.</exception>
        public KeyRing Add(byte id, byte[] secret, bool sign)
        {
            if (secret == null)
            {
                throw new ArgumentNullException(nameof(secret));
            }
            fixed (byte* bytes = secret)
            {
                return Add(id, bytes, secret.Length, sign);
            }
        }

#if NET
        /// <summary>Adds a key to a ring that was created with an identity. A balancer takes the keys that the ring has
        /// when it gets the ring.</summary>
        /// <param name="id">0 to 15; no two keys have the same.</param>
        /// <param name="secret">32 to 1024 random bytes.</param>
        /// <param name="sign">Whether this is the one key that signs; the others verify.</param>
        /// <returns>This ring.</returns>
        /// <exception cref="HomingException">The secret is too long, or the ring was not created with an
        /// identity.</exception>
        public KeyRing Add(byte id, ReadOnlySpan<byte> secret, bool sign)
        {
            fixed (byte* bytes = secret)
            {
                return Add(id, bytes, secret.Length, sign);
            }
        }
#endif

        /// <summary>Frees the ring. Balancers that use it keep its keys.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        private static ulong Begin(string pool, byte[] identity)
        {
            Library.Require();
            var bytes = Utf8.Bytes(pool, nameof(pool));
            ulong ring;
            fixed (byte* text = bytes, secret = identity)
            {
                HomingException.Check(
                    Native.homing_keyring_new(text, (UIntPtr)(uint)bytes.Length, secret, (UIntPtr)(uint)identity.Length, &ring));
            }
            return ring;
        }

        private KeyRing Add(byte id, byte* secret, int length, bool sign)
        {
            HomingException.Check(Native.homing_keyring_add(handle.Value, id, secret, (UIntPtr)(uint)length, sign ? 1 : 0));
            GC.KeepAlive(this);
            return this;
        }
    }
}
