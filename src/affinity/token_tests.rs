use super::*;
use crate::hash::mix64;

fn ring() -> KeyRing {
    KeyRing::builder("golden", [0x11; 32]).verify_with(0, [0x22; 32]).sign_with(5, [0x33; 32]).build().unwrap()
}

fn claims(seed: u64) -> Claims {
    Claims {
        key: [0, 5][(seed % 2) as usize],
        upstream: UpstreamId(mix64(seed)),
        session_id: mix64(seed + 1),
        issued: mix64(seed + 2) as u32,
        window: mix64(seed + 3) as u16,
        incarnation: mix64(seed + 4) as u16,
        scale: mix64(seed + 5) as u8 % 32,
    }
}

#[test]
fn golden_bytes() {
    // Frozen: tokens cross processes, machines and releases. These were computed apart, by Python's hmac and
    // hashlib from the format's description; see `golden_token.py` beside this file.
    let ring = ring();
    let claims = Claims {
        key: 5,
        upstream: ring.upstream_id("app-1"),
        session_id: 0x0123_4567_89ab_cdef,
        issued: 1_700_000_000,
        window: 258,
        incarnation: 7,
        scale: 7,
    };
    assert_eq!(format!("{:?}", claims.upstream), GOLDEN_ID);
    assert_eq!(claims.sign(&ring).unwrap().as_str(), GOLDEN_TOKEN);
    assert_eq!(Claims::verify(GOLDEN_TOKEN.as_bytes(), &ring), Ok(claims));
}

const GOLDEN_ID: &str = "cd803605731908fd";
const GOLDEN_TOKEN: &str = "Fc2ANgVzGQj9ASNFZ4mrze9lU_EAAQIABwfmlDNZ3eBk9UN2G7_ASq1s";

#[test]
fn what_is_signed_is_what_is_read() {
    let ring = ring();
    for seed in 0..10_000 {
        let token = claims(seed).sign(&ring).unwrap();
        assert_eq!(Claims::verify(token.as_bytes(), &ring), Ok(claims(seed)));
    }
}

#[test]
fn every_flipped_bit_of_a_thousand_tokens_is_refused() {
    let ring = ring();
    for seed in 0..1000 {
        let token = claims(seed).sign(&ring).unwrap();
        let mut bytes = [0; BYTES];
        URL_SAFE_NO_PAD.decode_slice(token.as_bytes(), &mut bytes).unwrap();
        for bit in 0..BYTES * 8 {
            let mut altered = bytes;
            altered[bit / 8] ^= 1 << (bit % 8);
            let text = URL_SAFE_NO_PAD.encode(altered);
            let refused = Claims::verify(text.as_bytes(), &ring).unwrap_err();
            let expected: &[PinLoss] = match bit {
                0..4 => &[PinLoss::UnknownKey, PinLoss::BadTag],
                4..8 => &[PinLoss::OtherVersion],
                _ => &[PinLoss::BadTag],
            };
            assert!(expected.contains(&refused), "seed {seed} bit {bit}: {refused}");
        }
        // The same on the text itself: no character can be changed in any bit.
        for bit in 0..TOKEN_LEN * 8 {
            let mut altered = token.0;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(Claims::verify(&altered, &ring).is_err(), "seed {seed} text bit {bit}");
        }
    }
}

#[test]
fn each_kind_of_bad_token_has_its_reason() {
    let ring = ring();
    let good = claims(1).sign(&ring).unwrap();
    let verify = |text: &[u8]| Claims::verify(text, &ring).unwrap_err();
    assert_eq!(verify(b""), PinLoss::Malformed);
    assert_eq!(verify(&good.0[..55]), PinLoss::Malformed);
    assert_eq!(verify(&[good.0.as_slice(), b"A"].concat()), PinLoss::Malformed);
    assert_eq!(verify(&[b'='; TOKEN_LEN]), PinLoss::Malformed);
    assert_eq!(verify(&[0xff; TOKEN_LEN]), PinLoss::Malformed);
    assert_eq!(verify(&[b'A'; TOKEN_LEN]), PinLoss::OtherVersion);
    assert_eq!(verify([b"F".as_slice(), &[b'A'; 55]].concat().as_slice()), PinLoss::UnknownKey);

    let other_pool = KeyRing::builder("other", [0x11; 32]).sign_with(5, [0x33; 32]).build().unwrap();
    assert_eq!(verify(&claims(1).sign(&other_pool).unwrap().0), PinLoss::BadTag);

    // Signed by us, with a flag that this version does not know.
    let newer = Claims { scale: 32, ..claims(1) }.sign(&ring).unwrap();
    assert_eq!(verify(&newer.0), PinLoss::OtherVersion);
}

#[test]
fn debug_does_not_show_the_token() {
    assert_eq!(format!("{:?}", claims(1).sign(&ring()).unwrap()), "Token(..)");
}

#[test]
fn texts_are_decoded_as_the_base64_crate_does() {
    let good = [b'A'; TOKEN_LEN];
    for at in 0..TOKEN_LEN {
        for byte in 0..=u8::MAX {
            let mut text = good;
            text[at] = byte;
            let mut bytes = [0; BYTES];
            let known = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok().map(|_| bytes);
            assert_eq!(decode(&text), known, "{}", text.escape_ascii());
        }
    }
}
