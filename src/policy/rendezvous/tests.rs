use super::score::{Bid, Contender};
use super::*;
use crate::Availability;
use crate::hash::mix64;
use crate::policy::conformance::{cluster, conforms, session};
use ranking::{NO_UPSTREAM, RANKS};
use std::collections::{BTreeMap, HashSet};

conforms!(Rendezvous);

/// A field of upstreams with these numbers and weights.
fn field(upstreams: &BTreeMap<u64, u16>) -> Field {
    let mut contenders: Vec<Contender> = upstreams.iter().map(|(n, w)| Contender::new(mix64(*n), *w)).collect();
    contenders.sort_by_key(|contender| contender.id);
    let total_weight = upstreams.values().map(|w| u64::from(*w)).sum();
    Field { contenders: contenders.into(), total_weight }
}

fn equal(n: u64) -> BTreeMap<u64, u16> {
    (0..n).map(|n| (n, 1)).collect()
}

/// Weights by `seed`: all equal, of a few kinds, or as different as possible.
fn random(n: u64, seed: u64) -> BTreeMap<u64, u16> {
    let weight = |n: u64| match (seed % 3, mix64(n ^ seed << 32)) {
        (0, _) => 1,
        (1, random) => [1, 2, 10][(random % 3) as usize],
        (_, random) => 1 << (random % 16),
    };
    (0..n).map(|n| (n, weight(n))).collect()
}

fn table(upstreams: &BTreeMap<u64, u16>, mode: Mode) -> Arc<Table> {
    Table::new(RendezvousConfig { mode, ..RendezvousConfig::DEFAULT }, field(upstreams), None)
}

/// By slot, the id of its holder.
fn ids(table: &Table) -> Vec<u64> {
    table.holders.iter().map(|place| table.ranking.field.contenders[usize::from(*place)].id).collect()
}

/// The number of slots with another holder in `b`, as a share of an average upstream's slots.
fn moved(a: &Table, b: &Table) -> f64 {
    let moved = ids(a).iter().zip(ids(b)).filter(|(a, b)| **a != *b).count();
    moved as f64 * a.ranking.field.len() as f64 / a.holders.len() as f64
}

/// All bids for all slots: the definition.
fn all_bids(field: &Field, slots: usize) -> Vec<Vec<Bid>> {
    let places = 0..field.len() as u16;
    (0..slots).map(|slot| places.clone().map(|place| field.bid(place, slot)).collect()).collect()
}

#[test]
fn hands_deal_every_slot_once_and_know_as_what() {
    for (seed, block) in [(1, 0), (2, 0), (2, 255)] {
        let hand = Contender::new(mix64(seed), 1).hand(block);
        let mut seen = HashSet::new();
        for (stratum, slot) in hand.dealt(0..BLOCK as u16) {
            assert_eq!(hand.strata()(slot), stratum);
            assert!(slot < BLOCK && seen.insert(slot));
        }
        assert_eq!(seen.len(), BLOCK);
    }
}

#[test]
fn bids_in_the_order_of_strata_grow() {
    let hand = Contender::new(mix64(3), 7).hand(1);
    let bids: Vec<Bid> = hand.dealt(0..BLOCK as u16).map(|(stratum, slot)| hand.bid(stratum, slot, 5)).collect();
    assert!(bids.is_sorted());
    assert!(bids.iter().all(|bid| bid.index() == 5 && *bid < Bid::NONE));
}

/// By scan, by windows and by windows with late slots, all ranks are those of the definition.
#[test]
fn ranks_are_those_of_all_bids_sorted() {
    for (seed, n) in (0..).zip([1, 2, 3, 4, 5, 12, 13, 20, 60, 61, 62, 150, 151, 152]) {
        let field = field(&random(n, seed));
        let slots = 2 * BLOCK;
        let ranking = Ranking::new(field.clone(), slots / BLOCK);
        for (slot, mut bids) in all_bids(&field, slots).into_iter().enumerate() {
            bids.sort();
            let mut expected = [NO_UPSTREAM; RANKS];
            expected.iter_mut().zip(&bids).for_each(|(rank, bid)| *rank = bid.index());
            assert_eq!(ranking.ranks[slot], expected, "seed {seed}, {n} upstreams, slot {slot}");
        }
    }
}

/// Expectations come from `tests/vectors/rendezvous.py`, and never change: proxies of two versions must agree.
#[test]
fn placements_are_frozen() {
    let text = include_str!("../../../tests/vectors/rendezvous.json");
    let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
    let cases = recorded["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let contender = |upstream: &serde_json::Value| {
            Contender::new(upstream[0].as_str().unwrap().parse().unwrap(), upstream[1].as_u64().unwrap() as u16)
        };
        let mut contenders: Vec<Contender> = case["upstreams"].as_array().unwrap().iter().map(contender).collect();
        contenders.sort_by_key(|contender| contender.id);
        let total_weight = contenders.iter().map(|contender| u64::from(contender.weight)).sum();
        let field = Field { contenders: contenders.into(), total_weight };
        let slots = case["slots"].as_u64().unwrap() as usize;
        for (name, mode) in [("strict", Mode::Strict), ("balanced", Mode::Balanced)] {
            let table = Table::new(RendezvousConfig { mode, slots, ..RendezvousConfig::DEFAULT }, field.clone(), None);
            let first: Vec<u16> = serde_json::from_value(case[name]["first"].clone()).unwrap();
            assert_eq!(table.holders[..16], first, "{} {name}", case["case"]);
            let bytes = table.holders.iter().flat_map(|holder| holder.to_le_bytes());
            let fnv = |state: u64, byte| (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            let digest = format!("{:016x}", bytes.fold(0xcbf2_9ce4_8422_2325, fnv));
            assert_eq!(case[name]["digest"], *digest, "{} {name}", case["case"]);
        }
    }
}

/// The greedy rule, word for word.
fn greedy(field: &Field, slots: usize, slack: u32) -> Vec<u16> {
    let bids = all_bids(field, slots);
    let mut pairs: Vec<(Bid, usize)> =
        bids.iter().enumerate().flat_map(|(slot, bids)| bids.iter().map(move |bid| (*bid, slot))).collect();
    pairs.sort();
    let mut room = assign::capacities(field, slots, slack);
    let mut holders = vec![NO_UPSTREAM; slots];
    for (bid, slot) in pairs {
        let room = &mut room[usize::from(bid.index())];
        if holders[slot] == NO_UPSTREAM && *room > 0 {
            *room -= 1;
            holders[slot] = bid.index();
        }
    }
    holders
}

#[test]
fn assignments_are_what_the_greedy_rule_takes() {
    for (seed, n) in (0..).zip([1, 2, 3, 7, 20, 64, 90, 150, 200]) {
        for slack in [10_000, 20_000, 300_000] {
            let field = field(&random(n, seed));
            let holders = assign::assign(&Ranking::new(field.clone(), 2), Some(slack));
            let expected = greedy(&field, 2 * BLOCK, slack);
            assert!(holders == expected, "seed {seed}, {n} upstreams, slack {slack}");
        }
    }
}

/// Where an upstream's share is a slot or a few, most slots are searched for past their ranks.
#[test]
fn assignments_with_hardly_any_room_are_greedy_too() {
    for n in [512, 1024] {
        let field = field(&equal(n));
        let ranking = Ranking::new(field.clone(), 1);
        let holders = assign::assign(&ranking, Some(10_000));
        let unranked = holders.iter().zip(&ranking.ranks).filter(|(holder, ranks)| !ranks.contains(holder)).count();
        assert!(unranked > 100, "{unranked}");
        assert!(holders == greedy(&field, BLOCK, 10_000), "{n} upstreams");
    }
}

#[test]
fn updates_equal_new_tables() {
    for seed in 0..24_u64 {
        for mode in [Mode::Balanced, Mode::Strict] {
            let config = RendezvousConfig { mode, slots: 8192, ..RendezvousConfig::DEFAULT };
            let mut upstreams = random(1 + mix64(seed) % 200, seed);
            let mut table = Table::new(config, field(&upstreams), None);
            for step in 0..6 {
                let dice = mix64(seed << 8 | step);
                for change in 0..=dice % 5 {
                    let dice = mix64(dice ^ change);
                    let known = upstreams.keys().nth((dice >> 8) as usize % upstreams.len()).copied().unwrap();
                    match dice % 3 {
                        0 if upstreams.len() > 1 => upstreams.remove(&known),
                        1 => upstreams.insert(known, 1 + (dice >> 32) as u16 % 300),
                        _ => upstreams.insert(dice, 1 + (dice >> 32) as u16 % 10),
                    };
                }
                table = Table::new(config, field(&upstreams), Some(&table));
                let anew = Table::new(config, field(&upstreams), None);
                assert!(table.ranking.ranks == anew.ranking.ranks, "seed {seed}, step {step}: ranks");
                assert!(table.holders == anew.holders, "seed {seed}, step {step}: holders");
            }
        }
    }
}

#[test]
fn strict_shares_are_the_weights() {
    let upstreams = BTreeMap::from([(1, 1), (2, 2), (3, 3), (4, 10), (5, 100)]);
    let slots = 1 << 18;
    let table = Table::new(
        RendezvousConfig { mode: Mode::Strict, slots, ..RendezvousConfig::DEFAULT },
        field(&upstreams),
        None,
    );
    for (place, contender) in table.ranking.field.contenders.iter().enumerate() {
        let count = table.holders.iter().filter(|holder| usize::from(**holder) == place).count() as f64;
        let expected = slots as f64 * f64::from(contender.weight) / 116.0;
        assert!((count - expected).abs() < 4.0 * expected.sqrt(), "{count} for {expected}");
    }
}

#[test]
fn balanced_shares_are_capped_and_few_keys_move() {
    for (n, most, limit) in [(10, 1.02, 1.05), (100, 1.02, 1.15), (1000, 1.05, 1.6)] {
        let whole = table(&equal(n), Mode::Balanced);
        let mut counts = vec![0.0; n as usize];
        whole.holders.iter().for_each(|holder| counts[usize::from(*holder)] += 1.0);
        let average = whole.holders.len() as f64 / n as f64;
        let max = counts.iter().fold(0.0, |max, count| count / average + 0.0_f64.max(max - count / average));
        assert!(max <= most, "{n} upstreams: {max} times the average");
        let trials = 10;
        let mut sum = 0.0;
        for trial in 0..trials {
            let mut less = equal(n);
            less.remove(&(trial * n / trials));
            let config = RendezvousConfig { slots: whole.holders.len(), ..RendezvousConfig::DEFAULT };
            sum += moved(&whole, &Table::new(config, field(&less), Some(&whole)));
        }
        let average = sum / trials as f64;
        println!("{n} upstreams: at most {max:.3} times the average, {average:.3} of a share moves");
        assert!(average <= limit, "{n} upstreams: {average} of a share moves");
    }
}

#[test]
fn strict_moves_what_must() {
    for n in [10, 100, 1000] {
        let whole = table(&equal(n), Mode::Strict);
        let gone = mix64(n / 3);
        let mut less = equal(n);
        less.remove(&(n / 3));
        let config = RendezvousConfig { mode: Mode::Strict, slots: whole.holders.len(), ..RendezvousConfig::DEFAULT };
        let less = Table::new(config, field(&less), Some(&whole));
        let mut moved = 0;
        for (before, after) in ids(&whole).into_iter().zip(ids(&less)) {
            assert!(before == after || before == gone, "a slot moved though its upstream is there");
            assert_ne!(after, gone);
            moved += u32::from(before == gone);
        }
        assert!(moved > 100);
    }
}

#[test]
fn a_table_that_doubles_keeps_half_of_its_slots() {
    let strict = |slots| {
        Table::new(RendezvousConfig { mode: Mode::Strict, slots, ..RendezvousConfig::DEFAULT }, field(&equal(20)), None)
    };
    assert!(ids(&strict(8192))[..4096] == ids(&strict(4096)));
    assert_eq!(
        [1, 16, 17, 64, 100, 1000, 10_000].map(|n| RendezvousConfig::DEFAULT.slots(n)),
        [4096, 4096, 16_384, 16_384, 65_536, 262_144, 1_048_576]
    );
}

fn keyed(key: &[u8]) -> Session<'_> {
    Session { key: Some(key), ..session(0) }
}

#[test]
fn the_order_of_the_configuration_does_not_matter() {
    let configs: Vec<crate::UpstreamConfig> =
        (1..=30).map(|i| crate::UpstreamConfig::new(format!("app-{i}"), "10.0.0.1:80").weight(1 + i % 4)).collect();
    let build = |configs: &[_]| Cluster::build(configs, crate::cluster::UpstreamId::unkeyed, None, None).unwrap();
    let (one, other) = (build(&configs), build(&configs.iter().rev().cloned().collect::<Vec<_>>()));
    let (here, there) = (Rendezvous::new(&one), Rendezvous::new(&other));
    for i in 0..5000 {
        let key = format!("user-{i}");
        let name = |policy: &Rendezvous, cluster: &Cluster| {
            cluster.members()[policy.place(cluster, &keyed(key.as_bytes())).unwrap()].upstream().name().to_owned()
        };
        assert_eq!(name(&here, &one), name(&there, &other));
    }
}

#[test]
fn only_the_keys_of_those_that_fail_move_and_strict_ones_stay_when_they_are_removed() {
    let whole = cluster(&[1; 40]);
    let config = RendezvousConfig { mode: Mode::Strict, ..RendezvousConfig::DEFAULT };
    for config in [config, RendezvousConfig::DEFAULT] {
        let policy = Rendezvous::with(config, &whole, None);
        let keys: Vec<String> = (0..20_000).map(|i| format!("user-{i}")).collect();
        let place = |key: &String| policy.place(&whole, &keyed(key.as_bytes())).unwrap();
        let before: Vec<usize> = keys.iter().map(place).collect();
        for down in [39, 38, 37] {
            let mut taken = HashSet::new();
            whole.members()[down].upstream().set_availability(Availability::DOWN);
            let rest = cluster(&vec![1; down]);
            let config = RendezvousConfig { slots: policy.holders.len(), ..config };
            let without = Rendezvous::with(config, &rest, Some(&policy.table));
            for (key, before) in keys.iter().zip(&before) {
                let now = place(key);
                assert!(now == *before || *before >= down, "a key moved though its upstream accepts");
                if *before >= down {
                    taken.insert(now);
                }
                if config.mode == Mode::Strict {
                    assert_eq!(without.place(&rest, &keyed(key.as_bytes())), Some(now), "it moved once more");
                }
            }
            assert_eq!(taken.len(), down, "all others took some");
        }
        whole.members().iter().for_each(|member| member.upstream().set_availability(Availability::ACTIVE));
    }
}

/// Requests in flight of the busiest upstream, divided by the average, with a few hot keys; and the number of upstreams
/// more than a tenth above the average.
fn busiest(load_factor: f64) -> (f64, usize) {
    let cluster = cluster(&[2; 20]);
    let policy = Rendezvous::with(RendezvousConfig { load_factor, ..RendezvousConfig::DEFAULT }, &cluster, None);
    let mut leases = Vec::new();
    for i in 0..2000_u64 {
        let key = if i % 2 == 0 { mix64(7).to_le_bytes() } else { mix64(i).to_le_bytes() };
        leases.extend(cluster.members()[policy.place(&cluster, &keyed(&key)).unwrap()].lease());
    }
    let loads = cluster.members().iter().map(|member| member.upstream().in_flight());
    (f64::from(loads.clone().max().unwrap()) / 100.0, loads.filter(|load| *load > 110).count())
}

#[test]
fn loads_are_bounded_and_spill_over_many() {
    let (unbounded, _) = busiest(0.0);
    assert!(unbounded > 10.0, "half of all have one key: {unbounded}");
    let (bounded, above) = busiest(1.25);
    // Requests in flight are counted at every third pick here.
    assert!((1.2..1.26).contains(&bounded), "{bounded}");
    assert!(above >= 7, "one hot key's requests fill one upstream after the other: {above}");
    let (tight, _) = busiest(1.0);
    assert!(tight <= 1.02, "{tight}");
}

#[test]
fn refusals_say_what_would_do() {
    let refusal = |name: &str, value: &str| {
        let entry = crate::policy::find("rendezvous").unwrap();
        entry.configure(Params::new().with(name, value)).err().map(|error| error.to_string())
    };
    assert_eq!(refusal("mode", "strict"), None);
    assert_eq!(refusal("epsilon", "0.05"), None);
    assert_eq!(refusal("load_factor", "1.25"), None);
    assert_eq!(refusal("slots", "65536"), None);
    let wrong = "the policy's parameter mode cannot be \"fair\": use balanced or strict";
    assert_eq!(refusal("mode", "fair").unwrap(), wrong);
    for (name, value) in [("epsilon", "0.001"), ("epsilon", "NaN"), ("slots", "5000"), ("load_factor", "0.5")] {
        assert!(refusal(name, value).unwrap().contains(value), "{name} {value}");
    }
}
