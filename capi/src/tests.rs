//! The calls, by the numbers and bytes that a host in any language sees.

use super::*;
use std::ptr;

fn zeroed<T: Copy>() -> T {
    // SAFETY: the structs of the ABI are numbers and addresses, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

pub(crate) fn last_error() -> String {
    let (mut buffer, mut len) = ([0; 512], 0);
    // SAFETY: the buffer takes so many bytes.
    let status = unsafe { homing_last_error(buffer.as_mut_ptr(), buffer.len(), &raw mut len) };
    assert_eq!(status, HOMING_OK);
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

fn parsed(toml: &str) -> homing_handle {
    let mut config = 0;
    // SAFETY: the text has so many bytes.
    let status = unsafe { homing_config_parse(toml.as_ptr(), toml.len(), &raw mut config) };
    assert_eq!(status, HOMING_OK, "{}", last_error());
    config
}

fn generated() -> homing_handle {
    let mut ring = 0;
    // SAFETY: the pool's name has so many bytes.
    assert_eq!(unsafe { homing_keyring_generate(b"pool".as_ptr(), 4, &raw mut ring) }, HOMING_OK);
    ring
}

const THREE: &str = "[policy]\nname = \"p2c\"\n\
    [[upstream]]\nname = \"app-1\"\naddress = \"127.0.0.1:1\"\n[[upstream]]\nname = \"app-2\"\naddress = \"127.0.0.1:2\"\n\
    [[upstream]]\nname = \"app-3\"\naddress = \"127.0.0.1:3\"\n";

fn balancer() -> homing_handle {
    let (config, ring, mut balancer) = (parsed(THREE), generated(), 0);
    // SAFETY: there is a place for the handle.
    let status = unsafe { homing_balancer_new(config, ring, &raw mut balancer) };
    assert_eq!(status, HOMING_OK, "{}", last_error());
    assert_eq!(homing_config_free(config), HOMING_OK);
    assert_eq!(homing_keyring_free(ring), HOMING_OK);
    balancer
}

struct Picked {
    result: homing_pick_result,
    name: String,
    set_cookie: String,
}

fn request(cookie: &str) -> homing_request {
    let mut request: homing_request = zeroed();
    request.size = size_of::<homing_request>();
    request.cookie = cookie.as_ptr();
    request.cookie_len = cookie.len();
    request
}

fn pick(balancer: homing_handle, request: &homing_request) -> Result<Picked, i32> {
    let mut result: homing_pick_result = zeroed();
    result.size = size_of::<homing_pick_result>();
    let (mut name, mut name_len) = ([0; HOMING_NAME_MAX], 0);
    let (mut cookie, mut cookie_len) = ([0; 512], 0);
    // SAFETY: all of these are places of their sizes.
    let status = unsafe {
        homing_pick(
            balancer,
            request,
            &raw mut result,
            name.as_mut_ptr(),
            name.len(),
            &raw mut name_len,
            cookie.as_mut_ptr(),
            cookie.len(),
            &raw mut cookie_len,
        )
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match status {
        HOMING_OK => Ok(Picked { result, name: text(&name[..name_len]), set_cookie: text(&cookie[..cookie_len]) }),
        _ => Err(status),
    }
}

#[test]
fn a_session_comes_back_by_its_cookie() {
    let balancer = balancer();
    let first = pick(balancer, &request("theme=dark")).unwrap();
    assert_eq!(first.result.decision, HOMING_DECISION_NEW);
    assert_eq!(first.result.token_len as usize, HOMING_TOKEN_LEN);
    let token = std::str::from_utf8(&first.result.token).unwrap();
    assert_eq!(first.set_cookie, format!("homing={token}; HttpOnly; SameSite=Lax; Path=/"));
    for _ in 0..20 {
        let again = pick(balancer, &request(&format!("theme=dark; homing={token}"))).unwrap();
        assert_eq!(again.result.decision, HOMING_DECISION_PINNED);
        assert_eq!((again.name.as_str(), again.result.index), (first.name.as_str(), first.result.index));
        assert_eq!((again.result.token_len, again.set_cookie.as_str()), (0, ""));
        assert_eq!(homing_finish(balancer, again.result.lease, HOMING_OUTCOME_ANSWERED, 0, 0), HOMING_OK);
        let twice = homing_finish(balancer, again.result.lease, HOMING_OUTCOME_ANSWERED, 0, 0);
        assert_eq!(twice, HOMING_ERR_HANDLE);
    }
    assert_eq!(homing_balancer_free(balancer), HOMING_OK);
    // A lease outlives its balancer.
    assert_eq!(homing_finish(balancer, first.result.lease, HOMING_OUTCOME_BROKEN, 0, 0), HOMING_OK);
    assert_eq!(pick(balancer, &request("")).err(), Some(HOMING_ERR_HANDLE));
    assert_eq!(homing_balancer_free(balancer), HOMING_ERR_HANDLE);
}

#[test]
fn a_balancer_may_begin_and_become_empty() {
    let (mut config, mut balancer) = (0, 0);
    // SAFETY: there are places for the handles.
    let built = unsafe { (homing_config_new(&raw mut config), homing_balancer_new(config, 0, &raw mut balancer)) };
    assert_eq!(built, (HOMING_OK, HOMING_OK), "{}", last_error());
    assert_eq!(pick(balancer, &request("")).err(), Some(HOMING_ERR_UNAVAILABLE));
    let change = |add: &dyn Fn(homing_handle) -> i32| {
        let mut plan = 0;
        // SAFETY: there is a place for the handle.
        assert_eq!(unsafe { homing_plan_new(balancer, &raw mut plan) }, HOMING_OK);
        assert_eq!(add(plan), HOMING_OK, "{}", last_error());
        let mut generation = 0;
        // SAFETY: there is a place for the number.
        let applied = unsafe { homing_plan_apply(plan, &raw mut generation) };
        assert_eq!(applied, HOMING_OK, "{}", last_error());
        assert_eq!(homing_plan_free(plan), HOMING_OK);
    };
    change(&|plan| {
        let mut upstream: homing_upstream_options = zeroed();
        upstream.size = size_of::<homing_upstream_options>();
        (upstream.name, upstream.name_len) = (b"app-1".as_ptr(), 5);
        (upstream.address, upstream.address_len) = (b"127.0.0.1:1".as_ptr(), 11);
        // SAFETY: all that it points to can be read.
        unsafe { homing_plan_put(plan, &raw const upstream) }
    });
    let picked = pick(balancer, &request("")).unwrap();
    assert_eq!(picked.name, "app-1");
    change(&|plan| homing_plan_clear(plan));
    assert_eq!(pick(balancer, &request("")).err(), Some(HOMING_ERR_UNAVAILABLE));
    assert_eq!(homing_finish(balancer, picked.result.lease, HOMING_OUTCOME_ANSWERED, 0, 0), HOMING_OK);
    assert_eq!(homing_balancer_free(balancer), HOMING_OK);
}

#[test]
fn only_eligible_upstreams_are_picked() {
    let balancer = balancer();
    let (mut count, mut generation) = (0, 0);
    // SAFETY: there are places for both.
    let status = unsafe { homing_balancer_upstreams(balancer, &raw mut count, &raw mut generation) };
    assert_eq!((status, count), (HOMING_OK, 3));
    let only_last = [0b100_u8];
    let mut asked = request("");
    asked.eligible = only_last.as_ptr();
    asked.eligible_len = 1;
    assert_eq!(pick(balancer, &asked).err(), Some(HOMING_ERR_GENERATION));
    asked.generation = generation;
    for _ in 0..20 {
        assert_eq!(pick(balancer, &asked).unwrap().name, "app-3");
    }
    let tried = [pick(balancer, &asked).unwrap().result.id];
    asked.tried = tried.as_ptr();
    asked.tried_len = 1;
    assert_eq!(pick(balancer, &asked).err(), Some(HOMING_ERR_UNAVAILABLE));
    assert_eq!(homing_balancer_free(balancer), HOMING_OK);
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_with_its_line() {
    let wrong = "[affinity]\nidel = \"5m\"\n";
    let mut config = 7;
    // SAFETY: the text has so many bytes.
    let status = unsafe { homing_config_parse(wrong.as_ptr(), wrong.len(), &raw mut config) };
    assert_eq!((status, config), (HOMING_ERR_CONFIG, 7));
    assert!(last_error().starts_with("configuration:2:1: affinity.idel: unknown field"), "{}", last_error());
    // SAFETY: NULL is an error, and nothing is written.
    assert_eq!(unsafe { homing_config_parse(ptr::null(), 5, &raw mut config) }, HOMING_ERR_NULL);
}

/// Hosts and libraries of different versions.
#[test]
fn a_struct_may_be_longer_where_it_ends_in_zeros() {
    #[repr(C)]
    struct Later {
        known: homing_request,
        unknown: u64,
    }
    let balancer = balancer();
    let mut later = Later { known: request(""), unknown: 0 };
    later.known.size = size_of::<Later>();
    assert!(pick(balancer, &later.known).is_ok());
    later.unknown = 1;
    assert_eq!(pick(balancer, &later.known).err(), Some(HOMING_ERR_SIZE));
    later.known.size = size_of::<homing_request>() - 1;
    assert_eq!(pick(balancer, &later.known).err(), Some(HOMING_ERR_SIZE));
    assert_eq!(homing_balancer_free(balancer), HOMING_OK);
}

/// A timeout of unknown duration must not be treated as longer than the silence threshold.
#[test]
fn a_timeout_of_unknown_length_is_a_failure_and_no_proof() {
    let balancer = balancer();
    const BEGAN: u64 = 1_700_000_000_000;
    const LATER: u64 = BEGAN + 10_000;
    let asked = homing_request { now_ms: BEGAN, ..request("") };
    let leases: Vec<_> = (0..30).map(|_| pick(balancer, &asked).unwrap().result.lease).collect();
    let down = || {
        let mut status: homing_upstream_status = zeroed();
        status.size = size_of::<homing_upstream_status>();
        (0..3)
            .filter(|&index| {
                // SAFETY: there is a place for the status, and no name is wanted.
                let asked =
                    unsafe { homing_status(balancer, index, 0, &raw mut status, ptr::null_mut(), 0, ptr::null_mut()) };
                assert_eq!(asked, HOMING_OK);
                status.state == HOMING_STATE_DOWN
            })
            .count()
    };
    // The silence rule needs the host's ticks.
    (BEGAN..LATER).step_by(500).for_each(|now| assert_eq!(homing_tick(balancer, now), HOMING_OK));
    assert_eq!(homing_report(balancer, leases[0], HOMING_OUTCOME_TIMED_OUT, 0, LATER), HOMING_OK);
    assert_eq!(down(), 0);
    // The control: a timeout that is known to be long is proof.
    assert_eq!(homing_report(balancer, leases[0], HOMING_OUTCOME_TIMED_OUT, 5_000_000, LATER), HOMING_OK);
    assert_eq!(down(), 1);
    assert_eq!(homing_balancer_free(balancer), HOMING_OK);
}
