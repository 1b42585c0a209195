//! The policies for YARP, with stand-ins for its types: see examples/dotnet/Yarp/README.md.

use super::runtime::{Runtime, finish, runtimes};
use crate::support::test;

#[test]
fn policies_do_what_yarp_expects() {
    for compiled in runtimes().filter(|compiled| compiled.runtime == Runtime::Net) {
        let report = finish(&mut compiled.program("Yarp"), "").unwrap_or_else(|failed| panic!("{failed}"));
        assert!(report.ends_with("10 passed, 0 failed\n"), "{report}");
    }
}
