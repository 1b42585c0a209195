use super::*;
use crate::policy::conformance::{cluster, conforms, session};
use std::time::Instant;

conforms!(Rendezvous);

fn field(n: usize, skip: Option<usize>) -> Field {
    let mut c: Vec<_> = (0..n).filter(|i| Some(*i) != skip).map(|i| (mix64(i as u64 + 77), 1u16)).collect();
    c.sort();
    Field { total_weight: c.len() as u64, contenders: c.iter().map(|(i, w)| score::Contender::new(*i, *w)).collect() }
}

#[test]
#[ignore]
fn timing() {
    for n in [10, 100, 1000, 10_000] {
        let blocks = Config::DEFAULT.blocks(n);
        for _ in 0..2 {
            let t = Instant::now();
            let f = field(n, None);
            let a = t.elapsed();
            let r = Ranking::new(f, blocks);
            let b = t.elapsed();
            print!("n={n} slots={} field {a:?} ranking {:?} ", blocks * BLOCK, b - a);
            for slack in [20_000, 50_000] {
                let t = Instant::now();
                let h = assign::assign(&r, Some(slack));
                let e = t.elapsed();
                let t = Instant::now();
                let r2 = r.updated(field(n, Some(n / 2)));
                let e2 = t.elapsed();
                let h2 = assign::assign(&r2, Some(slack));
                let id = |r: &Ranking, x: u16| r.field.contenders[x as usize].id;
                let moved = h.iter().zip(&h2).filter(|(a, b)| id(&r, **a) != id(&r2, **b)).count();
                let mut count = vec![0; n];
                h.iter().for_each(|x| count[*x as usize] += 1);
                let spilled = h.iter().zip(&r.ranks).filter(|(h, r)| **h != r[0]).count() as f64 / h.len() as f64;
                print!(
                    "| eps {slack}: assign {e:?} update {e2:?} moved {:.3} max {:.3} spilled {spilled:.4} ",
                    moved as f64 * n as f64 / h.len() as f64,
                    *count.iter().max().unwrap() as f64 * n as f64 / h.len() as f64
                );
            }
            println!();
        }
    }
}
