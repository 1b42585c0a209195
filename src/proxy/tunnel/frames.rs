//! Finds where the frames of a WebSocket end (RFC 6455, section 5.2), without holding any of them.

/// A header up to its mask, which counts as payload here: neither is looked at.
const MAX_HEADER: usize = 10;

const MASKED: u8 = 0x80;
const MASK: u64 = 4;
const MAX_CONTROL: u64 = 125;

/// Close with status 1012, "Service Restart", as a server sends it.
const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xf4];
/// The same as a client sends it. Masks are there to keep a script in a browser from choosing the bytes on the wire
/// (section 10.3); these are chosen here, so a mask of zeros does.
const MASKED_CLOSE: &[u8] = &[0x88, 0x80 | 2, 0, 0, 0, 0, 0x03, 0xf4];

/// Follows what one end sends from frame to frame.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes to come of the frame whose header is read.
    left: u64,
    header: [u8; MAX_HEADER],
    /// Bytes read of the next header.
    held: u8,
    masked: bool,
    opaque: bool,
    closed: bool,
}

impl Frames {
    /// The stream of a client: all its frames are masked.
    pub(super) fn of_client() -> Self {
        Self { left: 0, header: [0; MAX_HEADER], held: 0, masked: true, opaque: false, closed: false }
    }

    /// The stream of a server: none of its frames is masked.
    pub(super) fn of_server() -> Self {
        Self { masked: false, ..Self::of_client() }
    }

    /// A stream that does not consist of frames.
    pub(super) fn opaque() -> Self {
        Self { opaque: true, ..Self::of_client() }
    }

    /// Whether there are no known frames, or no longer: a stream that breaks the protocol's rules might be anything.
    pub(super) fn are_opaque(&self) -> bool {
        self.opaque
    }

    /// Whether the header of a Close has come. No frame may follow it.
    pub(super) fn have_closed(&self) -> bool {
        self.closed
    }

    /// How many bytes the frame under way needs at least: 0 between two frames, and in an opaque stream.
    pub(super) fn owed(&self) -> u64 {
        match (self.left, self.held) {
            (0, 0) => 0,
            (0, held) => (self.header_length() - usize::from(held)) as u64,
            (left, _) => left,
        }
    }

    /// The Close that may be written at the end of a frame, unless this end has sent one.
    pub(super) fn close(&self) -> Option<&'static [u8]> {
        let close = if self.masked { MASKED_CLOSE } else { CLOSE };
        (!self.opaque && !self.closed).then_some(close)
    }

    /// Consumes what comes next. Costs a few instructions a frame, whatever its length.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.opaque {
            if self.left > 0 {
                let taken = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= taken as u64;
                bytes = &bytes[taken..];
                continue;
            }
            let held = usize::from(self.held);
            let taken = bytes.len().min(self.header_length() - held);
            self.header[held..held + taken].copy_from_slice(&bytes[..taken]);
            self.held += taken as u8;
            bytes = &bytes[taken..];
            if usize::from(self.held) == self.header_length() {
                self.begin();
            }
        }
    }

    /// As far as it is known yet.
    fn header_length(&self) -> usize {
        match self.header[1] & !MASKED {
            _ if self.held < 2 => 2,
            126 => 4,
            127 => MAX_HEADER,
            _ => 2,
        }
    }

    /// The header is complete.
    fn begin(&mut self) {
        let [first, second, extended @ ..] = self.header;
        let [high, low, ..] = extended;
        let length = match second & !MASKED {
            126 => u64::from(u16::from_be_bytes([high, low])),
            127 => u64::from_be_bytes(extended),
            length => u64::from(length),
        };
        let is_final = first & 0x80 != 0;
        let opcode = first & 0x0f;
        let is_valid = match opcode {
            0x0..=0x2 => length < 1 << 63,
            0x8..=0xa => is_final && length <= MAX_CONTROL,
            _ => false,
        };
        self.held = 0;
        if is_valid && (second & MASKED != 0) == self.masked {
            self.left = length + if self.masked { MASK } else { 0 };
            self.closed |= opcode == 0x8;
        } else {
            self.opaque = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader of the whole stream says of it.
    #[derive(Debug, Default, PartialEq)]
    struct Reading {
        /// Where headers are complete, and where frames end.
        frames: Vec<(usize, usize)>,
        /// The header of a Close is complete here.
        close: Option<usize>,
        /// A header that breaks the rules is complete here.
        fault: Option<usize>,
    }

    /// Reads `stream` by indices.
    fn read(stream: &[u8], masked: bool) -> Reading {
        let mut reading = Reading::default();
        let mut at = 0;
        while stream.len() - at >= 2 {
            let (first, second) = (stream[at], stream[at + 1]);
            let extended = match second % 128 {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let behind = at + 2 + extended;
            if behind > stream.len() {
                break;
            }
            let number = stream[at + 2..behind].iter().fold(0u128, |number, byte| number * 256 + u128::from(*byte));
            let length = if extended == 0 { u128::from(second % 128) } else { number };
            let control = first % 16 >= 8;
            if ![0, 1, 2, 8, 9, 10].contains(&(first % 16))
                || (second >= 128) != masked
                || length >= 1 << 63
                || (control && (length > 125 || first < 128))
            {
                reading.fault = Some(behind);
                break;
            }
            if first % 16 == 8 && reading.close.is_none() {
                reading.close = Some(behind);
            }
            let end = behind as u128 + length + if masked { 4 } else { 0 };
            reading.frames.push((behind, usize::try_from(end).unwrap_or(usize::MAX)));
            if end > stream.len() as u128 {
                break;
            }
            at = end as usize;
        }
        reading
    }

    /// What is wrong with how `frames` sees a stream of which it was shown the first `seen` bytes.
    fn fault(frames: &Frames, reading: &Reading, seen: usize) -> Option<String> {
        let opaque = reading.fault.is_some_and(|at| seen >= at);
        let closed = reading.close.is_some_and(|at| seen >= at);
        if (frames.are_opaque(), frames.have_closed()) != (opaque, closed) {
            return Some(format!("{frames:?} at {seen}, but opaque is {opaque} and closed {closed}"));
        }
        let between = seen == 0 || reading.frames.iter().any(|(_, end)| *end == seen);
        if (frames.owed() == 0) != (between || opaque) {
            return Some(format!("{frames:?} at {seen}, but between two frames is {between}"));
        }
        // A reader of as much as is owed must not read past the end, and soon reach it.
        let (behind, end) = *reading.frames.iter().find(|(_, end)| *end > seen)?;
        let owed = frames.owed();
        let exact = seen >= behind && !between;
        (owed > (end - seen) as u64 || (exact && owed != (end - seen) as u64))
            .then(|| format!("{frames:?} at {seen} owes other than {}", end - seen))
    }

    fn frames(masked: bool) -> Frames {
        if masked { Frames::of_client() } else { Frames::of_server() }
    }

    fn frame(first: u8, masked: bool, form: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first, if masked { 0x80 } else { 0 } | if form < 126 { length as u8 } else { form }];
        match form {
            126 => frame.extend((length as u16).to_be_bytes()),
            127 => frame.extend((length as u64).to_be_bytes()),
            _ => {}
        }
        // Bytes that a scanner that is out of step would take for headers.
        frame.resize(frame.len() + length + if masked { 4 } else { 0 }, 0x81);
        frame
    }

    /// Every form of a length, and both ends of it.
    fn every_form(masked: bool) -> Vec<u8> {
        let lengths =
            [(0, 0), (0, 1), (0, 125), (126, 126), (126, 700), (127, 5), (127, 65_536), (126, 65_535), (0, 0)];
        let data = lengths.into_iter().flat_map(|(form, length)| frame(0x82, masked, form, length));
        let fragments = [0x01, 0x89, 0x00, 0x8a, 0x80].map(|first| frame(first, masked, 0, 3));
        data.chain(fragments.concat()).chain(frame(0x88, masked, 0, 2)).collect()
    }

    #[test]
    fn wherever_reads_part_a_stream_its_frames_are_the_same() {
        for masked in [false, true] {
            let stream = every_form(masked);
            let reading = read(&stream, masked);
            assert_eq!((reading.frames.len(), reading.fault), (15, None));
            assert_eq!(reading.frames.last().map(|(_, end)| *end), Some(stream.len()));
            for split in 0..=stream.len() {
                let mut seen = frames(masked);
                seen.follow(&stream[..split]);
                assert_eq!(fault(&seen, &reading, split), None);
                seen.follow(&stream[split..]);
                assert_eq!(fault(&seen, &reading, stream.len()), None);
            }
            let mut seen = frames(masked);
            for (at, byte) in stream.iter().enumerate() {
                seen.follow(std::slice::from_ref(byte));
                assert_eq!(fault(&seen, &reading, at + 1), None);
            }
        }
    }

    /// The checker has something to say where a frame's end is missed by a byte.
    #[test]
    fn a_scanner_that_is_off_by_one_is_noticed() {
        let stream = every_form(false);
        let reading = read(&stream, false);
        let mut seen = frames(false);
        seen.follow(&stream[..10]);
        assert_eq!(fault(&seen, &reading, 10), None);
        assert!(fault(&seen, &reading, 11).is_some() && fault(&seen, &reading, 9).is_some());
    }

    #[test]
    fn what_breaks_the_rules_is_opaque_and_stays_so() {
        let long = |high| [vec![0x82, 127, high], vec![0; 7]].concat();
        for (what, stream) in [
            ("a length of 64 bits", long(0x80)),
            ("a masked frame from a server", vec![0x81, 0x80]),
            ("a long control frame", vec![0x89, 126, 0, 126]),
            ("a fragment of a control frame", vec![0x09, 0]),
            ("an opcode that means nothing", vec![0x83, 0]),
            ("another one", vec![0x8b, 0]),
        ] {
            let mut seen = frames(false);
            seen.follow(&[0x81, 1, b'a']);
            seen.follow(&stream[..stream.len() - 1]);
            assert!(!seen.are_opaque() && seen.owed() == 1, "{what}: {seen:?}");
            seen.follow(&stream[stream.len() - 1..]);
            seen.follow(&[0x81, 1, b'a', 0x88]);
            assert!(seen.are_opaque() && seen.owed() == 0 && seen.close().is_none(), "{what}: {seen:?}");
        }
        let mut longest = frames(false);
        longest.follow(&long(0x7f));
        assert_eq!((longest.are_opaque(), longest.owed()), (false, 0x7f << 56));
        let mut bare = frames(true);
        bare.follow(&[0x81, 0]);
        assert!(bare.are_opaque());
    }

    #[test]
    fn each_end_says_its_own_close_once() {
        for masked in [false, true] {
            let mut seen = frames(masked);
            let close = seen.close().expect("a Close");
            seen.follow(close);
            assert!(seen.have_closed() && seen.owed() == 0 && seen.close().is_none(), "{seen:?}");
            assert_eq!(close[close.len() - 2..], 1012u16.to_be_bytes());
        }
        assert_eq!(Frames::opaque().close(), None);
    }

    fn any_frame(masked: bool) -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![8 => Just(0x82u8), 2 => Just(0x01), 2 => Just(0xc1), 2 => Just(0x89), 1 => any::<u8>()];
        let sizes = prop_oneof![
            (Just(0u8), 0usize..126),
            (Just(126u8), 0usize..300),
            (Just(127u8), 0usize..300),
            (Just(126u8), 65_530usize..65_536),
            (Just(127u8), 65_530usize..65_540)
        ];
        (first, sizes).prop_map(move |(first, (form, length))| frame(first, masked, form, length))
    }

    proptest! {
        #[test]
        fn any_stream_in_any_pieces_is_as_a_reader_of_the_whole_sees_it(
            masked in any::<bool>(),
            seed in proptest::collection::vec((any_frame(false), any_frame(true)), 0..12),
            garbage in proptest::collection::vec(any::<u8>(), 0..24),
            pieces in proptest::collection::vec(prop_oneof![1usize..4, 1usize..200, 1usize..70_000], 1..60),
        ) {
            let whole = seed.into_iter().map(|(bare, covered)| if masked { covered } else { bare });
            let stream: Vec<u8> = whole.flatten().chain(garbage).collect();
            let reading = read(&stream, masked);
            let mut seen = frames(masked);
            let mut at = 0;
            for piece in pieces.into_iter().cycle() {
                if at == stream.len() {
                    break;
                }
                let end = stream.len().min(at + piece);
                seen.follow(&stream[at..end]);
                at = end;
                prop_assert_eq!(fault(&seen, &reading, at), None);
            }
        }

        /// So a reader of as much as is owed stops between two frames.
        #[test]
        fn reading_what_is_owed_ends_where_a_frame_does(
            stream in proptest::collection::vec(any_frame(true), 1..6).prop_map(|frames| frames.concat()),
            start in any::<proptest::sample::Index>(),
        ) {
            let reading = read(&stream, true);
            let mut at = start.index(stream.len());
            let mut seen = Frames::of_client();
            seen.follow(&stream[..at]);
            while seen.owed() > 0 && at < stream.len() {
                let end = at + seen.owed() as usize;
                seen.follow(&stream[at..end]);
                at = end;
            }
            let fault = reading.fault.is_some_and(|fault| at >= fault);
            prop_assert!(fault || at == 0 || reading.frames.iter().any(|(_, end)| *end == at));
        }
    }
}
