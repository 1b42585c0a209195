//! Tokens: the balancer against an independent reader of the format, which uses the `hmac` crate and its own base64. A
//! token that the reader refuses never pins; one that it accepts pins as far as the upstream's state allows.
//!
//! An input is the state of the upstream `app-1`, the time, and then either lines that are tokens, or the claims of a
//! token to sign and the bytes of it to alter.

use super::input::Input;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use homing::balancer::Request;
use homing::cluster::UpstreamId;
use homing::{
    Affinity, Availability, Balancer, Decision, KeyRing, OnFull, OnUnavailable, PickError, PinLoss, Timestamp,
    UpstreamConfig,
};
use sha2::Sha256;
use std::time::Duration;

const POOL: &str = "fuzz";
const SIGNER: u8 = 5;
/// All keys of the ring: id and secret.
const SECRETS: [(u8, [u8; 32]); 2] = [(0, [2; 32]), (SIGNER, [3; 32])];
/// The absolute age of tokens, in seconds.
const MAX_AGE: u64 = 12 * 3600;
const IDLE: u64 = 30 * 60;
const SKEW: u64 = 60;
/// The most tokens of a request that are verified.
const LOOKED_AT: usize = 4;
const NAMES: [&str; 3] = ["app-1", "app-2", "app-3"];
/// The limit of `app-1` on requests in flight.
const LIMIT: u32 = 3;

/// The claims of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claims {
    key: u8,
    upstream: u64,
    session_id: u64,
    issued: u32,
    window: u16,
    incarnation: u16,
    flags: u8,
}

/// Reads a token at a time in seconds.
pub type Reader = fn(&[u8], u64) -> Result<Claims, PinLoss>;

/// Panics if a [`Balancer`] decides otherwise than [`read`] implies, or issues a token that does not pin the session.
pub fn check(data: &[u8]) {
    check_against(data, read);
}

/// As [`check`], with another reader.
pub fn check_against(data: &[u8], read: Reader) {
    let mut input = Input::new(data);
    let state = State::made_up(&mut input);
    let now = u64::from(u32::from_le_bytes(input.bytes())) + (u64::from(input.flag()) << 32);
    if input.flag() {
        let token = claims(&mut input, now).sign();
        let mut altered = token.clone();
        while !input.is_empty() {
            let at = input.below(altered.len());
            altered[at] ^= input.byte();
        }
        let opened = state.follow(&[&altered], now, read);
        assert!(altered == token || !opened, "an altered token was accepted: {:?}", altered.escape_ascii());
    } else {
        let tokens: Vec<&[u8]> = match input.rest() {
            [] => Vec::new(),
            lines => lines.split(|byte| *byte == b'\n').collect(),
        };
        state.follow(&tokens, now, read);
    }
}

/// The state of `app-1` that decides whether it can take its sessions.
#[derive(Debug)]
struct State {
    availability: Availability,
    incarnation: u16,
    full: bool,
    tried: bool,
    on_unavailable: OnUnavailable,
}

impl State {
    fn made_up(input: &mut Input<'_>) -> Self {
        Self {
            availability: [Availability::ACTIVE, Availability::DRAINING, Availability::DOWN][input.below(3)],
            incarnation: input.below(3) as u16,
            full: input.flag(),
            tried: input.flag(),
            on_unavailable: [OnUnavailable::Repin, OnUnavailable::Reject][input.below(2)],
        }
    }

    /// Picks with these tokens and checks the decision. Returns whether a token was accepted.
    fn follow(&self, tokens: &[&[u8]], now: u64, read: Reader) -> bool {
        let (balancer, ids) = self.balancer();
        let at = Timestamp::from_secs(now);
        let tried = if self.tried { &ids[..1] } else { &[] };
        let leases: Vec<_> = (0..if self.full { LIMIT } else { 0 })
            .map(|_| balancer.pick(&Request::new(at).tried(&ids[1..])).unwrap())
            .collect();
        balancer.cluster().members()[0].upstream().set_availability(self.availability);

        let read_all: Vec<_> = tokens.iter().take(LOOKED_AT).map(|token| read(token, now)).collect();
        let known = read_all.iter().find_map(|read| read.ok());
        let expected = match (&known, read_all.first()) {
            (Some(claims), _) => self.pinned(claims, &ids).map_or_else(Decision::PinLost, |()| Decision::Pinned),
            (None, Some(Err(loss))) => Decision::PinLost(*loss),
            _ => Decision::New,
        };
        let shown = || tokens.iter().map(|token| token.escape_ascii().to_string()).collect::<Vec<_>>();

        let request = Request::new(at).tokens(tokens).tried(tried);
        let told = balancer.explain(&request);
        let pick = match balancer.pick(&request) {
            Ok(pick) => pick,
            Err(PickError::Rejected(loss)) => {
                assert_eq!(self.on_unavailable, OnUnavailable::Reject);
                assert!(matches!(loss, PinLoss::NotServing | PinLoss::Full));
                assert_eq!((Decision::PinLost(loss), told.decision), (expected, None), "at {now}: {:?}", shown());
                return known.is_some();
            }
            Err(error) => panic!("{error} at {now}: {:?}", shown()),
        };
        assert_eq!(pick.decision, expected, "at {now}: {:?}", shown());
        assert_eq!(told.decision, Some(expected), "{told}");
        let id = pick.upstream().id();
        if let Some(known) = known {
            assert_eq!(told.upstream.as_deref(), Some(pick.upstream().name()), "{told}");
            assert!(expected != Decision::Pinned || id.as_u64() == known.upstream, "{told}");
        }

        // From 2106 on, issued-at overflows its 32 bits, and sessions last for one request.
        let Some(token) = pick.token.filter(|_| now <= u64::from(u32::MAX)) else {
            assert!(pick.token.is_some() || expected == Decision::Pinned, "nothing pins the session");
            return known.is_some();
        };
        let said = self::read(token.as_bytes(), now).expect("what is issued is good");
        let (session_id, issued) =
            known.map_or((said.session_id, now as u32), |known| (known.session_id, known.issued));
        assert_eq!((said.upstream, said.key), (id.as_u64(), SIGNER));
        assert_eq!((said.session_id, said.issued), (session_id, issued), "another session");
        let again = balancer.pick(&Request::new(at).tokens(&[token.as_bytes()])).unwrap();
        assert_eq!((again.decision, again.upstream().id(), again.token), (Decision::Pinned, id, None));
        drop(leases);
        known.is_some()
    }

    fn balancer(&self) -> (Balancer, [UpstreamId; 3]) {
        let ring = SECRETS.iter().fold(KeyRing::builder(POOL, [1; 32]), |ring, (id, secret)| match *id {
            SIGNER => ring.sign_with(*id, *secret),
            _ => ring.verify_with(*id, *secret),
        });
        let ring = ring.build().unwrap();
        let ids = NAMES.map(|name| ring.upstream_id(name));
        let affinity =
            Affinity::builder(ring).idle(Some(Duration::from_secs(IDLE))).on_unavailable(self.on_unavailable);
        let affinity = affinity.on_full(OnFull::Move).build().unwrap();
        let limit = |name| if name == NAMES[0] { LIMIT } else { 0 };
        let balancer = Balancer::builder()
            .upstreams(NAMES.map(|name| UpstreamConfig::new(name, name).max_in_flight(limit(name))))
            .policy("round_robin")
            .affinity(affinity)
            .entropy(homing::rng::SeededEntropy::new(1))
            .build()
            .unwrap();
        balancer.cluster().members()[0].upstream().set_incarnation(self.incarnation);
        (balancer, ids)
    }

    /// Whether the upstream of a valid token takes the session, or the expected pin loss.
    fn pinned(&self, claims: &Claims, ids: &[UpstreamId]) -> Result<(), PinLoss> {
        match ids.iter().position(|id| id.as_u64() == claims.upstream) {
            None => Err(PinLoss::NoSuchUpstream),
            Some(1..) => Ok(()),
            Some(0) if self.incarnation != 0 && ![0, self.incarnation].contains(&claims.incarnation) => {
                Err(PinLoss::OtherIncarnation)
            }
            Some(0) if self.tried || !self.availability.serving => Err(PinLoss::NotServing),
            Some(0) if self.full => Err(PinLoss::Full),
            Some(0) => Ok(()),
        }
    }
}

fn claims(input: &mut Input<'_>, now: u64) -> Claims {
    let ring = KeyRing::builder(POOL, [1; 32]).sign_with(0, [2; 32]).build().unwrap();
    Claims {
        key: [SIGNER, 0, 1][input.below(3)],
        upstream: [NAMES[0], NAMES[1], "gone"].map(|name| ring.upstream_id(name).as_u64())[input.below(3)],
        issued: now.wrapping_add_signed(i64::from(i32::from_le_bytes(input.bytes()))) as u32,
        window: u16::from_le_bytes(input.bytes()),
        incarnation: input.below(4) as u16,
        flags: input.byte(),
        session_id: u64::from_le_bytes(input.bytes()),
    }
}

impl Claims {
    fn sign(&self) -> Vec<u8> {
        let mut body = vec![1 << 4 | self.key];
        body.extend(self.upstream.to_be_bytes());
        body.extend(self.session_id.to_be_bytes());
        body.extend(self.issued.to_be_bytes());
        body.extend(self.window.to_be_bytes());
        body.extend(self.incarnation.to_be_bytes());
        body.push(self.flags);
        // The tag for a key that the ring does not have is arbitrary.
        let tag = tag(self.key, &body).unwrap_or([0; 16]);
        body.extend(tag);
        encode(&body)
    }
}

/// The format as `src/affinity/token.rs` and `src/affinity/lifetimes.rs` describe it.
pub fn read(text: &[u8], now: u64) -> Result<Claims, PinLoss> {
    let (claims, signed) = decode_claims(text)?;
    if !signed { Err(PinLoss::BadTag) } else { in_time(claims, now) }
}

/// A control: a wrong reader, which accepts every tag.
pub fn read_unsigned(text: &[u8], now: u64) -> Result<Claims, PinLoss> {
    in_time(decode_claims(text)?.0, now)
}

/// The claims, and whether their tag is valid.
fn decode_claims(text: &[u8]) -> Result<(Claims, bool), PinLoss> {
    let bytes = decode(text).filter(|_| text.len() == 56).ok_or(PinLoss::Malformed)?;
    let (body, found) = bytes.split_at(26);
    let number = |from: usize, to: usize| body[from..to].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if body[0] >> 4 != 1 {
        return Err(PinLoss::OtherVersion);
    }
    let key = body[0] & 15;
    let signed = tag(key, body).ok_or(PinLoss::UnknownKey)? == found;
    let claims = Claims {
        key,
        upstream: number(1, 9),
        session_id: number(9, 17),
        issued: number(17, 21) as u32,
        window: number(21, 23) as u16,
        incarnation: number(23, 25) as u16,
        flags: body[25],
    };
    Ok((claims, signed))
}

fn in_time(claims: Claims, now: u64) -> Result<Claims, PinLoss> {
    let (issued, scale) = (u64::from(claims.issued), claims.flags);
    if scale >= 32 {
        return Err(PinLoss::OtherVersion);
    }
    if issued > now + SKEW || issued + MAX_AGE <= now {
        return Err(PinLoss::Expired);
    }
    match issued + ((u64::from(claims.window) + 1) << scale) + IDLE <= now {
        true => Err(PinLoss::Idle),
        false => Ok(claims),
    }
}

fn tag(key: u8, body: &[u8]) -> Option<[u8; 16]> {
    let (_, secret) = SECRETS.iter().find(|(id, _)| *id == key)?;
    let mut derived = [0; 32];
    Hkdf::<Sha256>::new(None, secret).expand(format!("homing/1 sign {POOL}").as_bytes(), &mut derived).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&derived).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().first_chunk().copied()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8]) -> Vec<u8> {
    let group = |three: &[u8]| three.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let four = |bits: usize| [18, 12, 6, 0].map(|shift| ALPHABET[bits >> shift & 63]);
    bytes.chunks_exact(3).flat_map(|three| four(group(three))).collect()
}

/// Decodes base64url text whose length is a multiple of four.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<usize>> = text.iter().map(|c| ALPHABET.iter().position(|known| known == c)).collect();
    let group = |four: &[usize]| four.iter().fold(0, |sum, digit| sum << 6 | *digit);
    let three = |bits: usize| [16, 8, 0].map(|shift| (bits >> shift) as u8);
    Some(digits?.chunks_exact(4).flat_map(|four| three(group(four))).collect())
}
