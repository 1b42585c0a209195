using System;
using System.Runtime.InteropServices;

namespace Homing
{
    /// <summary>What a balancer is built from. Each method returns the configuration itself; an error is thrown by the
    /// call that causes it, or by <see cref="Build"/>. Thread-safe, and usable for several balancers.
    /// </summary>
    public sealed unsafe class BalancerConfig : IDisposable
    {
        private readonly Handle handle;

        /// <summary>Creates a configuration without upstreams: affinity has its defaults, the policy is
        /// <c>least_conn</c>.</summary>
        /// <exception cref="HomingException">There are too many handles.</exception>
        public BalancerConfig()
            : this(Begin())
        {
        }

        private BalancerConfig(ulong config)
        {
            handle = new Handle(config, Native.homing_config_free, nameof(BalancerConfig));
        }

        /// <summary>Reads the gateway's TOML: <c>[affinity]</c>, <c>[policy]</c>, <c>[[upstream]]</c>, <c>[health]</c>,
        /// <c>[outlier]</c>, <c>[slow_start]</c>, <c>[drain]</c>, <c>[failover]</c> and <c>[rebalance]</c>.
        /// </summary>
        /// <param name="toml">The text, up to 16 MiB.</param>
        /// <returns>The configuration.</returns>
        /// <exception cref="HomingException">It is invalid; the message names line, column and key.</exception>
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
        /// <param name="name">Its name, up to 255 bytes. Tokens follow the name, which should not change with the
        /// address.</param>
        /// <param name="address">Its address, which the host interprets; <c>host:port</c> by convention.</param>
        /// <param name="weight">Its share of new sessions, 1 to 65,535.</param>
        /// <param name="maxInFlight">Its limit of requests in flight; 0: no limit.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The name is empty, too long or taken.</exception>
        public BalancerConfig Upstream(string name, string address, int weight = 1, int maxInFlight = 0)
        {
            UpstreamCall call = upstream => Native.homing_config_upstream(handle.Value, upstream);
            call.With(name, address, weight, maxInFlight);
            return this;
        }

        /// <summary>Selects the policy that places new sessions, and drops parameters that were set before:
        /// <c>least_sessions</c>, <c>least_conn</c>, <c>p2c</c>, <c>peak_ewma</c>, <c>round_robin</c>, <c>random</c>,
        /// <c>rendezvous</c>, <c>ip_hash</c>, <c>hash</c>, <c>ketama</c>, <c>chash</c> or <c>maglev</c>.</summary>
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
        /// <param name="value">Its value, as in TOML, but without quotes.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The policy has no such parameter, or the value is invalid.</exception>
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

        /// <summary>Sets the options of affinity and its cookie.</summary>
        /// <param name="options">All options: what is not set gets its default.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The cookie's name, path or domain, or a time, is invalid.</exception>
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

        /// <summary>Sets the thresholds and times of health checking and outlier ejection.</summary>
        /// <param name="options">All options: what is not set gets its default.</param>
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

        /// <summary>For tests only: makes the balancer's random numbers, and so its session ids,
        /// reproducible.</summary>
        /// <param name="seed">The same seed gives the same decisions and tokens, in every language.</param>
        /// <returns>This configuration.</returns>
        /// <exception cref="HomingException">The call failed.</exception>
        public BalancerConfig Seed(ulong seed)
        {
            HomingException.Check(Native.homing_config_seed(handle.Value, seed));
            return this;
        }

        /// <summary>Builds a balancer from what is configured so far.</summary>
        /// <param name="keys">The keys of tokens. Null: the key file that the TOML names, or no affinity.</param>
        /// <returns>The balancer. The caller disposes it.</returns>
        /// <exception cref="HomingException">The configuration or the keys are invalid.</exception>
        public Balancer Build(KeyRing keys = null)
        {
            ulong balancer;
            HomingException.Check(Native.homing_balancer_new(handle.Value, keys == null ? 0 : keys.Handle.Value, &balancer));
            GC.KeepAlive(keys);
            GC.KeepAlive(this);
            return new Balancer(balancer);
        }

        /// <summary>Frees the configuration. Balancers that were built from it are not affected.</summary>
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
