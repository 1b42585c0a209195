//! The metrics, for Prometheus. A scrape reads counters that exist anyway; nothing is counted for the metrics alone.

use crate::admin::api::problem::Problem;
use crate::admin::views::exposition::to_prometheus;
use crate::admin::views::reloads::Reloads;
use crate::roster::{InstanceReport, Roster};
use homing::cluster::{Decision, Member, Upstream};
use homing::health::State;
use homing::proxy::{LocalReply, Proxy};
use homing::time::Clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Metrics(Registry);

impl Metrics {
    pub(crate) fn new(figures: MetricsCollector) -> Self {
        let mut registry = Registry::with_prefix("homing");
        registry.register_collector(Box::new(figures));
        Self(registry)
    }

    /// The exposition as it is now.
    pub(crate) fn text(&self) -> Result<String, Problem> {
        let mut text = String::new();
        encode(&mut text, &self.0).map_err(|_| Problem::internal())?;
        Ok(to_prometheus(&text))
    }
}

#[derive(Debug)]
pub(crate) struct MetricsCollector {
    pub(crate) roster: Arc<Roster>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reloads: Arc<Reloads>,
    /// Whether the discovery source responds, where there is one.
    pub(crate) discovery: Option<Arc<AtomicBool>>,
}

impl Collector for MetricsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = MetricsPage(&mut encoder);
        let now = self.clock.now();
        let balancer = self.roster.balancer();
        let cluster = balancer.cluster();
        let members = cluster.members();
        page.gauge("generation", "Generation of the cluster in force", balancer.generation().as_u64())?;
        page.gauge(
            "panic",
            "1 while more upstreams look bad than may be ejected, so that none is",
            u64::from(balancer.panics()),
        )?;

        if let Some(is_up) = &self.discovery {
            let help = "1 while the discovery source responds";
            page.gauge("discovery_up", help, u64::from(is_up.load(Ordering::Relaxed)))?;
        }
        if let Some(last) = self.reloads.last() {
            let help = "1 where the last reload of the configuration succeeded";
            page.gauge("config_last_reload_successful", help, u64::from(last.succeeded))?;
            let help = "Time of the last successful reload of the configuration, in seconds since the Unix epoch";
            let mut time =
                page.family("config_last_reload_success_timestamp", help, Some(&Unit::Seconds), MetricType::Gauge)?;
            time.encode_gauge(&(last.success.as_millis() as f64 / 1000.0))?;
        }

        page.gauges("upstream_weight", "Weight, its relative share of new sessions", members, |m| {
            u64::from(m.weight())
        })?;
        let help = "Limit of requests and tunnels in flight; 0 is no limit";
        page.gauges("upstream_max_requests_in_flight", help, members, |m| u64::from(m.max_in_flight()))?;
        let help = "Requests and tunnels in flight";
        page.gauges("upstream_requests_in_flight", help, members, |m| u64::from(m.upstream().in_flight()))?;
        let help = "Sessions with a request in the current or the last live window, as far as this proxy knows";
        page.gauges("upstream_live_sessions", help, members, |m| u64::from(m.upstream().live_sessions(now)))?;
        let help = "1 if it accepts new sessions";
        page.gauges("upstream_accepting", help, members, |m| u64::from(m.upstream().availability().accepting))?;
        let help = "1 if it serves the sessions it has";
        page.gauges("upstream_serving", help, members, |m| u64::from(m.upstream().availability().serving))?;
        self.states(&mut page)?;
        self.reports(&mut page, members)?;

        let help = "Requests and tunnels that were placed on it";
        page.counters("upstream_requests", help, None, members, |m| m.upstream().total())?;
        let mut decisions = page.family(
            "upstream_decisions",
            "Requests by the reason why they were placed on it",
            None,
            MetricType::Counter,
        )?;
        for member in members {
            for decision in Decision::all() {
                let labels = [("upstream", member.upstream().name()), ("decision", decision.as_str())];
                count(&mut decisions, &labels, member.upstream().decided(decision))?;
            }
        }
        match &self.proxy {
            Some(proxy) => proxy_families(&mut page, proxy, members),
            None => Ok(()),
        }
    }
}

impl MetricsCollector {
    fn states(&self, page: &mut MetricsPage<'_, '_>) -> fmt::Result {
        let mut family = page.family(
            "upstream_state",
            "1 for the state of the upstream, 0 for the others",
            None,
            MetricType::Gauge,
        )?;
        for status in self.roster.balancer().status() {
            for state in State::ALL {
                let labels = [("upstream", &*status.name), ("state", state.as_str())];
                family.encode_family(&labels)?.encode_gauge(&u64::from(status.state == state))?;
            }
        }
        Ok(())
    }
}

impl MetricsCollector {
    /// The reports of instances, where there are any.
    fn reports(&self, page: &mut MetricsPage<'_, '_>, members: &[Member]) -> fmt::Result {
        let reports: Vec<_> = members
            .iter()
            .filter_map(|member| Some((member.upstream(), self.roster.upstream(member.upstream().name())?.report?)))
            .collect();
        let mut family =
            |name: &str, help: &str, unit: Option<&Unit>, value: &dyn Fn(&InstanceReport) -> Option<f64>| {
                let mut family = page.family(name, help, unit, MetricType::Gauge)?;
                for (upstream, (report, _)) in &reports {
                    if let Some(value) = value(report) {
                        family.encode_family(&label(upstream))?.encode_gauge(&value)?;
                    }
                }
                Ok::<_, fmt::Error>(())
            };
        let help = "Sessions, as the instance reports";
        family("upstream_reported_sessions", help, None, &|it| it.sessions.map(|count| count as f64))?;
        let help = "Memory in use, as the instance reports";
        family("upstream_reported_memory", help, Some(&Unit::Bytes), &|it| it.memory_bytes.map(|bytes| bytes as f64))?;
        let help = "Threads, as the instance reports";
        family("upstream_reported_threads", help, None, &|it| it.threads.map(|count| count as f64))?;
        let help = "Processor cores in use, as the instance reports";
        family("upstream_reported_cpu_cores", help, None, &|it| it.cpu)?;
        let help = "Time of the last report, in seconds since the Unix epoch";
        let mut family = page.family("upstream_report_timestamp", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (upstream, (_, at)) in &reports {
            family.encode_family(&label(upstream))?.encode_gauge(&(at.as_millis() as f64 / 1e3))?;
        }
        Ok(())
    }
}

/// The counters of the proxy.
fn proxy_families(page: &mut MetricsPage<'_, '_>, proxy: &Proxy, members: &[Member]) -> fmt::Result {
    let traffic = |member: &Member| proxy.traffic(member.upstream());
    let help = "Open tunnels: WebSockets and other upgraded connections";
    page.gauges("upstream_tunnels", help, members, |m| traffic(m).tunnels())?;
    let help = "Bytes received from it: heads, bodies and tunnels";
    page.counters("upstream_received", help, Some(&Unit::Bytes), members, |m| traffic(m).received_bytes())?;
    let help = "Bytes sent to it: heads, bodies and tunnels";
    page.counters("upstream_sent", help, Some(&Unit::Bytes), members, |m| traffic(m).sent_bytes())?;
    let help = "Time from sending a request to the head of its response";
    let mut family = page.family("upstream_response", help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for member in members {
        let traffic = traffic(member);
        let sum = traffic.response_time().as_secs_f64();
        let buckets: Vec<(f64, u64)> = traffic.response_buckets().collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let labels = label(member.upstream());
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    page.gauge(
        "requests_waiting",
        "Requests that wait because all upstreams are at their limit",
        proxy.waiting() as u64,
    )?;
    let help = "Local replies: requests that the proxy answered itself";
    let mut replies = page.family("refusals", help, None, MetricType::Counter)?;
    for reply in LocalReply::ALL {
        count(&mut replies, &[("reason", reply.as_str())], proxy.local_replies().get(*reply))?;
    }
    page.counter("retries", "Retries: requests that were sent again", proxy.retries().granted())?;
    page.counter("retries_denied", "Retries that the retry budget did not allow", proxy.retries().denied())
}

fn label(upstream: &Upstream) -> [(&'static str, &str); 1] {
    [("upstream", upstream.name())]
}

fn count(family: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    family.encode_family(labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

/// An exposition that grows family by family.
struct MetricsPage<'p, 'e>(&'p mut DescriptorEncoder<'e>);

impl MetricsPage<'_, '_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, None, MetricType::Counter)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
    }

    fn gauges(&mut self, name: &str, help: &str, members: &[Member], value: impl Fn(&Member) -> u64) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Gauge)?;
        members.iter().try_for_each(|m| family.encode_family(&label(m.upstream()))?.encode_gauge(&value(m)))
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        members: &[Member],
        value: impl Fn(&Member) -> u64,
    ) -> fmt::Result {
        let mut family = self.family(name, help, unit, MetricType::Counter)?;
        members.iter().try_for_each(|m| count(&mut family, &label(m.upstream()), value(m)))
    }
}
