using System;
using System.Runtime.InteropServices;

namespace Homing
{
    /// <summary>
    /// What a balancer is built of. Each method returns the configuration itself; mistakes are told by the call that makes them, or by
    /// <see cref="Build"/>. Thread-safe, and good for several balancers.
    /// </summary>
    public sealed unsafe class BalancerConfig : IDisposable
    {
        private readonly Handle handle;

        /// <summary>Begins an empty configuration: no upstreams, affinity with its defaults, policy <c>least_conn</c>.</summary>
        /// <exception cref="HomingException">There are too many handles.</exception>
        public BalancerConfig()
            : this(Begin())
        {
        }

        private BalancerConfig(ulong config)
        {
            handle = new Handle(config, Native.homing_config_free, nameof(BalancerConfig));
        }

        /// <summary>
        /// Reads the gateway's TOML: <c>[affinity]</c>, <c>[policy]</c>, <c>[[upstream]]</c>, <c>[health]</c>, <c>[outlier]</c>,
        /// <c>[slow_start]</c>, <c>[drain]</c>, <c>[failover]</c> and <c>[rebalance]</c>.
        /// </summary>
        /// <param name="toml">The text, up to 16 MiB.</param>
        /// <returns>The configuration.</returns>
        /// <exception cref="HomingException">It is wrong; the message says line, column and key.</exception>
        public static BalancerConfig Parse(string toml)
        {
            Library.Require();
            var bytes = Utf8.Bytes(toml, nameof(toml));
            ulong config;
            fixed (byte* text = bytes)
            {
                HomingException.Check(Native.homing_config_parse(text, (UIntPtr)(uint)bytes.Length, &config));
            }
            return new BalancerConfig(config);
        }

        /// <summary>Adds an upstream.</summary>
        /// <param name="name">Its name, up to 255 bytes. Tokens know it by its name, which should outlive its address.</param>
        /// <param name="address">Where it is; <c>host:port</c> by custom, since the library does not look at it.</param>
        /// <param name="weight">Its share, 1 to 65,535.</param>
        /// <param name="maxInFlight">How many requests it takes at a time; 0: any number.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The name is empty, too long or taken.</exception>
        public BalancerConfig Upstream(string name, string address, int weight = 1, int maxInFlight = 0)
        {
            UpstreamCall call = upstream => Native.homing_config_upstream(handle.Value, upstream);
            call.With(name, address, weight, maxInFlight);
            return this;
        }

        /// <summary>Chooses how new sessions are placed, and lets its parameters begin anew: <c>least_sessions</c>, <c>least_conn</c>, <c>p2c</c>, <c>peak_ewma</c>, <c>round_robin</c>,
        /// <c>random</c>, <c>rendezvous</c>, <c>ip_hash</c>, <c>hash</c>, <c>ketama</c>, <c>chash</c> or <c>maglev</c>.</summary>
        /// <param name="name">The policy's name.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">There is no such policy.</exception>
        public BalancerConfig Policy(string name)
        {
            var bytes = Utf8.Bytes(name, nameof(name));
            fixed (byte* text = bytes)
            {
                HomingException.Check(Native.homing_config_policy(handle.Value, text, (UIntPtr)(uint)bytes.Length));
            }
            return this;
        }

        /// <summary>Sets a parameter of the policy, such as <c>d</c> of <c>least_sessions</c>.</summary>
        /// <param name="name">The parameter's name.</param>
        /// <param name="value">Its value, as it would stand in TOML, without quotes.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The policy has no such parameter or does not take the value.</exception>
        public BalancerConfig PolicyParameter(string name, string value)
        {
            var nameBytes = Utf8.Bytes(name, nameof(name));
            var valueBytes = Utf8.Bytes(value, nameof(value));
            fixed (byte* nameText = nameBytes, valueText = valueBytes)
            {
                HomingException.Check(Native.homing_config_policy_param(
                    handle.Value, nameText, (UIntPtr)(uint)nameBytes.Length, valueText, (UIntPtr)(uint)valueBytes.Length));
            }
            return this;
        }

        /// <summary>Sets how sessions are held to their upstreams, and the cookie that does it.</summary>
        /// <param name="options">All of it: what is not set is the default.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The cookie's name, path or domain, or a time, is not one.</exception>
        public BalancerConfig Affinity(AffinityOptions options)
        {
            if (options == null)
            {
                throw new ArgumentNullException(nameof(options));
            }
            var cookie = Utf8.BytesOrNone(options.Cookie);
            var domain = Utf8.BytesOrNone(options.Domain);
            var path = Utf8.BytesOrNone(options.Path);
            fixed (byte* cookieText = cookie, domainText = domain, pathText = path)
            {
                var native = new NativeAffinity
                {
                    Size = (UIntPtr)(uint)sizeof(NativeAffinity),
                    MaxAge = Times.Option(options.MaxAge, nameof(options.MaxAge)),
                    Idle = Times.Option(options.Idle, nameof(options.Idle)),
                    LiveWindow = Times.Option(options.LiveWindow, nameof(options.LiveWindow)),
                    OnUnavailable = (int)options.OnUnavailable,
                    OnFull = (int)options.OnFull,
                    OnRestart = (int)options.OnRestart,
                    SameSite = (int)options.SameSite,
                    Secure = (int)options.Secure,
                    Partitioned = options.Partitioned ? 1 : 0,
                    Cookie = cookieText,
                    CookieLength = (UIntPtr)(uint)cookie.Length,
                    Domain = domainText,
                    DomainLength = (UIntPtr)(uint)domain.Length,
                    Path = pathText,
                    PathLength = (UIntPtr)(uint)path.Length,
                };
                HomingException.Check(Native.homing_config_affinity(handle.Value, &native));
            }
            return this;
        }

        /// <summary>Sets how outcomes and probes are judged.</summary>
        /// <param name="options">All of it: what is not set is the default.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">A number or a time is out of its range.</exception>
        public BalancerConfig Health(HealthOptions options)
        {
            if (options == null)
            {
                throw new ArgumentNullException(nameof(options));
            }
            var native = new NativeHealth
            {
                Size = (UIntPtr)(uint)sizeof(NativeHealth),
                Fall = Count(options.Fall, nameof(options.Fall)),
                Rise = Count(options.Rise, nameof(options.Rise)),
                Consecutive = CountOrNone(options.Consecutive, nameof(options.Consecutive)),
                FailoverRate = CountOrNone(options.FailoverRate, nameof(options.FailoverRate)),
                Base = Times.Option(options.Base, nameof(options.Base)),
                Max = Times.Option(options.Max, nameof(options.Max)),
                Silence = Times.Option(options.Silence, nameof(options.Silence)),
                SlowStart = Times.Option(options.SlowStart, nameof(options.SlowStart)),
                Hold = Times.Option(options.Hold, nameof(options.Hold)),
                DrainSpread = Times.Option(options.DrainSpread, nameof(options.DrainSpread)),
            };
            HomingException.Check(Native.homing_config_health(handle.Value, &native));
            return this;
        }

        /// <summary>For tests alone: makes the balancer's randomness, and so its sessions' numbers, repeat.</summary>
        /// <param name="seed">The same seed, the same decisions and tokens, in every language.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The library refused.</exception>
        public BalancerConfig Seed(ulong seed)
        {
            HomingException.Check(Native.homing_config_seed(handle.Value, seed));
            return this;
        }

        /// <summary>Builds a balancer of what is configured so far.</summary>
        /// <param name="keys">What signs tokens. Null: the key file that the TOML names, or no affinity.</param>
        /// <returns>The balancer, which is yours to dispose of.</returns>
        /// <exception cref="HomingException">Configuration or keys are wrong.</exception>
        public Balancer Build(KeyRing keys = null)
        {
            ulong balancer;
            HomingException.Check(Native.homing_balancer_new(handle.Value, keys == null ? 0 : keys.Handle.Value, &balancer));
            GC.KeepAlive(keys);
            GC.KeepAlive(this);
            return new Balancer(balancer);
        }

        /// <summary>Frees the configuration. Balancers that were built of it go on.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        private static ulong Begin()
        {
            Library.Require();
            ulong config;
            HomingException.Check(Native.homing_config_new(&config));
            return config;
        }

        private static uint Count(int? number, string parameter)
        {
            return number.HasValue && number.Value <= 0
                ? throw new ArgumentOutOfRangeException(parameter, number, "use 1 or more, or null for the default")
                : (uint)number.GetValueOrDefault();
        }

        private static uint CountOrNone(int? number, string parameter)
        {
            return number == 0 ? uint.MaxValue : Count(number, parameter);
        }
    }
}
