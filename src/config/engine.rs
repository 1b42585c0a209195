//! The configuration of a balancer without a gateway.

use super::balancer_tables::BalancerTables;
use super::document::{ConfigError, Document};
use super::tables::{FailoverTable, OutlierTable, SlowStartTable};
use super::{Affinity, Drain, Policy, Rebalance, Upstream, check, value};
use crate::KeyRing;
use crate::affinity::LifetimeError;
use crate::balancer::BalancerBuilder;
use crate::health::{Failover, Outlier, Probes, Silence, SlowStart};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// The part of a gateway's configuration from which a [`Balancer`](crate::Balancer) is built, for hosts that do their
/// own I/O. Tables and keys that only the gateway has are refused as unknown.
///
/// ```
/// use homing::KeyRing;
/// use homing::config::Engine;
/// use std::path::Path;
///
/// let text = r#"
/// [policy]
/// name = "least_sessions"
///
/// [[upstream]]
/// name = "app-1"
/// address = "127.0.0.1:9001"
/// "#;
/// let engine = Engine::parse(text, Path::new("homing.toml"))?;
/// let balancer = engine.balancer(|_file| Ok::<_, Box<dyn std::error::Error>>(KeyRing::generate("shop")?))?.build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// `[affinity]`: how sessions are pinned.
    pub affinity: Affinity,
    /// How new sessions are placed.
    pub policy: Policy,
    /// `[health]`: thresholds of probes and silence.
    pub health: Health,
    /// `[outlier]`: outlier ejection; counts up to 1,000,000.
    #[serde(with = "OutlierTable")]
    pub outlier: Outlier,
    /// `[slow_start]`: the ramp of new and returned upstreams.
    #[serde(with = "SlowStartTable")]
    pub slow_start: SlowStart,
    /// `[drain]`: over which time sessions leave.
    pub drain: Drain,
    /// `[failover]`: how the sessions of an upstream that is down move; a rate of up to 1,000,000.
    #[serde(with = "FailoverTable")]
    pub failover: Failover,
    /// `[rebalance]`: how sessions move to upstreams with room.
    pub rebalance: Rebalance,
    /// `[[upstream]]`, in order: up to [`MAX_UPSTREAMS`](crate::cluster::MAX_UPSTREAMS), each with its own name.
    #[serde(rename = "upstream")]
    pub upstreams: Vec<Upstream>,
}

/// `[health]`, as far as it concerns the balancer; the host sends the probes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Consecutive failed probes after which an upstream is down, 1 to 1000. Default: 2.
    #[serde(deserialize_with = "value::integer::<1, 1000, _, _>")]
    pub fall: u32,
    /// Consecutive passed probes after which it returns, 1 to 1000. Default: 2.
    #[serde(deserialize_with = "value::integer::<1, 1000, _, _>")]
    pub rise: u32,
    /// An upstream that responds to no request for this time takes no new sessions; zero turns this off. Default: 5
    /// seconds.
    #[serde(deserialize_with = "value::duration_or_zero")]
    pub silence: Duration,
}

impl Default for Health {
    fn default() -> Self {
        let Probes { fall, rise } = Probes::default();
        Self { fall, rise, silence: Silence::default().after }
    }
}

impl Engine {
    /// Parses and validates the configuration `text` of the file `path`.
    ///
    /// Errors name the file, and the path of the key file in the text is relative to its folder; neither file is
    /// opened. The text may have no upstreams, for a host that adds them; building the balancer checks that there is
    /// one.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with the first error.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document = Document::new(path, text);
        let mut engine: Self = document.parse()?;
        if let Some(key) = ["policy.key", "affinity.lost_header"].into_iter().find(|key| document.has(key)) {
            return Err(document.at_key(key, "is the gateway's alone: leave it out, and let the host do it").into());
        }
        check::tables(&engine.balancer_tables(), &document)?;
        if !engine.upstreams.is_empty() {
            check::upstreams(&engine.upstreams, &document)?;
        }
        if let Some(folder) = path.parent() {
            engine.affinity.keys = folder.join(&engine.affinity.keys);
        }
        Ok(engine)
    }

    /// A builder of the balancer with these settings. Only if affinity is enabled, `keys` is called with the path of
    /// the key file and returns its keys, as [`KeyFile::ring`](super::keyfile::KeyFile::ring) does.
    ///
    /// # Errors
    /// Those of `keys`, and [`LifetimeError`] where the lifetimes contradict each other; never for a configuration that
    /// was parsed.
    pub fn balancer<E: From<LifetimeError>>(
        &self,
        keys: impl FnOnce(&Path) -> Result<KeyRing, E>,
    ) -> Result<BalancerBuilder, E> {
        self.balancer_tables().balancer(keys)
    }

    fn balancer_tables(&self) -> BalancerTables<'_> {
        let Health { fall, rise, silence } = self.health;
        BalancerTables {
            affinity: &self.affinity,
            policy: &self.policy,
            probes: Probes { fall, rise },
            silence,
            outlier: self.outlier,
            slow_start: self.slow_start,
            drain: &self.drain,
            failover: self.failover,
            rebalance: &self.rebalance,
            upstreams: &self.upstreams,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Diagnostic;
    use crate::config::document::refusals::check_refusals;
    use crate::rng::SeededEntropy;
    use crate::{Balancer, Change, Decision, HealthSettings, OnFull, PinLoss, Request, Timestamp, UpstreamConfig};

    const UPSTREAM: &str = "[[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:9001\"\n";
    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn parse(text: &str) -> Result<Engine, ConfigError> {
        Engine::parse(text, Path::new("etc/homing.toml"))
    }

    fn refusal(text: &str) -> Diagnostic {
        match parse(text) {
            Err(ConfigError::Invalid(diagnostic)) => diagnostic,
            other => panic!("{text:?} should be refused, but: {other:?}"),
        }
    }

    fn balancer(text: &str) -> Balancer {
        let keys = |file: &Path| {
            assert_eq!(file, Path::new("etc/homing.keys"));
            Ok::<_, Box<dyn std::error::Error>>(KeyRing::generate("pool")?)
        };
        parse(text).unwrap().balancer(keys).unwrap().entropy(SeededEntropy::new(7)).build().unwrap()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let upstream = Upstream { name: "app-1".into(), address: "127.0.0.1:9001".into(), weight: 1, max_in_flight: 0 };
        let affinity = Affinity { keys: "etc/homing.keys".into(), ..Affinity::default() };
        let engine = parse(UPSTREAM).unwrap();
        assert_eq!(engine, Engine { upstreams: vec![upstream], affinity, ..Engine::default() });
        assert_eq!(engine.balancer_tables().health_settings(), HealthSettings::default());
    }

    #[test]
    fn every_table_is_read() {
        let text = r#"
[affinity]
max_age = "1h"
on_full = "move"
keys = "/var/lib/homing/keys"
[policy]
name = "ip_hash"
prefix_v4 = 20
[health]
fall = 3
rise = 4
silence = "0s"
[outlier]
consecutive = 6
[slow_start]
window = "7s"
[drain]
spread = "8s"
[failover]
rate = 9
[rebalance]
budget = 60
[[upstream]]
name = "a"
address = "app.internal:9001"
weight = 2
max_in_flight = 3
"#;
        let engine = parse(text).unwrap();
        assert_eq!(engine.affinity.max_age, Duration::from_secs(3600));
        assert_eq!(engine.affinity.on_full, OnFull::Move);
        assert_eq!(engine.affinity.keys, Path::new("/var/lib/homing/keys"));
        assert_eq!((engine.policy.name.as_str(), engine.policy.params.len()), ("ip_hash", 1));
        assert_eq!(engine.rebalance.budget, 60);
        let expected = HealthSettings {
            probes: Probes { fall: 3, rise: 4 },
            outlier: Outlier { consecutive: 6, ..Outlier::default() },
            silence: Silence { after: Duration::ZERO, ..Silence::default() },
            slow_start: SlowStart { window: Duration::from_secs(7), ..SlowStart::default() },
            failover: Failover { rate: 9, ..Failover::default() },
            drain_spread: Duration::from_secs(8),
        };
        assert_eq!(engine.balancer_tables().health_settings(), expected);
        let [upstream] = engine.upstreams.as_slice() else { panic!("{engine:?}") };
        assert_eq!((upstream.weight, upstream.max_in_flight), (2, 3));
    }

    #[test]
    fn what_is_the_gateways_alone_is_refused() {
        check_refusals(
            r##"

listen = ["127.0.0.1:8080"]
=> 2:1: listen: unknown field `listen`, expected one of `affinity`
[drain]
spread = "1s"
[tls]
certificate = "chain.pem"
=> 3:2: tls: unknown field `tls`
[policy]
name = "hash"
key = "path"
=> 3:1: policy.key: is the gateway's alone
[affinity]
lost_header = "x"
=> 2:1: affinity.lost_header: is the gateway's alone
[health]
fall = 2
path = "/"
=> 3:1: health.path: expected one of `fall`, `rise`, `silence`
"##,
            |text| refusal(&format!("{text}{UPSTREAM}")),
        );
    }

    #[test]
    fn what_the_gateway_refuses_is_refused_alike() {
        check_refusals(
            r##"
[affinity]
max_age = "1h"
idle = "2h"
=> 3:8: affinity.idle: which is longer than max_age
[affinity]
cookie = "__Host-a"
=> 2:10: affinity.cookie: secure = always
[policy]
name = "ip_hash"
prefix = 24
=> 3:1: policy.prefix: use one of prefix_v4, prefix_v6
[health]
rise = 0
=> 2:8: health.rise: from 1 to 1000
[outlier]
max = "1s"
=> 2:7: outlier.max: must be at least outlier.base
[[upstream]]
name = "app-1"
address = "b:1"
=> 5:8: upstream[1].name: already the name of the upstream on line 2
"##,
            |text| refusal(&format!("{text}{UPSTREAM}")),
        );
    }

    #[test]
    fn a_host_may_add_the_upstreams() {
        let mut engine = parse("[policy]\nname = \"p2c\"\n").unwrap();
        let build = |engine: &Engine| {
            let keys = |_: &Path| Ok::<_, Box<dyn std::error::Error>>(KeyRing::generate("pool")?);
            engine.balancer(keys).unwrap().build()
        };
        assert!(build(&engine).unwrap().cluster().is_empty());
        engine.upstreams = parse(UPSTREAM).unwrap().upstreams;
        assert_eq!(build(&engine).unwrap().cluster().members().len(), 1);
    }

    #[test]
    fn with_affinity_sessions_have_tokens() {
        let balancer = balancer(UPSTREAM);
        let token = balancer.pick(&Request::new(NOW)).unwrap().token.unwrap();
        let again = balancer.pick(&Request::new(NOW).tokens(&[token.as_bytes()])).unwrap();
        assert_eq!(again.decision, Decision::Pinned);
    }

    #[test]
    fn without_affinity_nobody_asks_for_keys() {
        #[derive(Debug)]
        struct Asked;
        impl From<LifetimeError> for Asked {
            fn from(error: LifetimeError) -> Self {
                panic!("{error}")
            }
        }
        let engine = |enabled: bool| parse(&format!("[affinity]\nenabled = {enabled}\n{UPSTREAM}")).unwrap();
        assert!(engine(true).balancer(|_| Err(Asked)).is_err());
        let balancer = engine(false).balancer(|_| Err(Asked)).unwrap().build().unwrap();
        assert!(balancer.pick(&Request::new(NOW)).unwrap().token.is_none());
    }

    /// A scale-out from one upstream to two, while every session keeps making requests.
    #[test]
    fn sessions_are_rebalanced_within_the_budget() {
        let moved_in_two_minutes = |budget: u32| {
            let balancer =
                balancer(&format!("[rebalance]\nbudget = {budget}\n[slow_start]\nwindow = \"0s\"\n{UPSTREAM}"));
            balancer.tick(NOW);
            let mut tokens: Vec<_> =
                (0..300).map(|_| balancer.pick(&Request::new(NOW)).unwrap().token.unwrap()).collect();
            let more = [Change::Put(UpstreamConfig::new("app-2", "127.0.0.1:9002"))];
            balancer.apply(balancer.plan(&more).unwrap()).unwrap();
            let mut moved = 0;
            for second in 1..=120 {
                let now = NOW.after(Duration::from_secs(second));
                balancer.tick(now);
                for token in &mut tokens {
                    let pick = balancer.pick(&Request::new(now).tokens(&[token.as_bytes()])).unwrap();
                    moved += u32::from(pick.decision == Decision::PinLost(PinLoss::Rebalanced));
                    *token = pick.token.unwrap_or(*token);
                }
            }
            moved
        };
        assert_eq!(moved_in_two_minutes(0), 0);
        let moved = moved_in_two_minutes(30);
        assert!((1..=2 * 30 + 32).contains(&moved), "{moved}");
    }
}
