//! Known content and checksums, shared by the suites and the fixture server.

/// The period of the pattern: a prime, so that no power of two hides a shift.
pub const PERIOD: u64 = 251;

/// Bytes of 0 to 250 twice: any stretch of the pattern of up to 251 bytes lies within.
const TABLE: [u8; 502] = {
    let mut table = [0; 502];
    let mut i = 0;
    while i < table.len() {
        table[i] = (i % PERIOD as usize) as u8;
        i += 1;
    }
    table
};

/// Fills `out` with the pattern of `seed` from position `offset` on.
pub fn fill(out: &mut [u8], offset: u64, seed: u64) {
    let mut phase = ((offset + seed) % PERIOD) as usize;
    for piece in out.chunks_mut(PERIOD as usize) {
        piece.copy_from_slice(&TABLE[phase..phase + piece.len()]);
        phase = (phase + piece.len()) % PERIOD as usize;
    }
}

/// The pattern of `seed` from position 0, `length` bytes long.
#[must_use]
pub fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; length];
    fill(&mut out, 0, seed);
    out
}

/// The first position at which `piece`, which lies at `offset`, is not the pattern of `seed`.
#[must_use]
pub fn first_difference(piece: &[u8], offset: u64, seed: u64) -> Option<u64> {
    let mut phase = ((offset + seed) % PERIOD) as usize;
    let mut at = offset;
    for part in piece.chunks(PERIOD as usize) {
        let expected = &TABLE[phase..phase + part.len()];
        if part != expected {
            let within = part.iter().zip(expected).position(|(a, b)| a != b)?;
            return Some(at + within as u64);
        }
        phase = (phase + part.len()) % PERIOD as usize;
        at += part.len() as u64;
    }
    None
}

/// FNV-1a with 64 bits (Fowler, Noll, Vo; RFC 9923).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Takes in more bytes.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let mut state = self.0;
        for &byte in bytes {
            state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        self.0 = state;
    }

    /// The checksum of these bytes alone.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::default();
        sum.add(bytes);
        sum
    }
}

/// A small random generator (xorshift64*), for reproducible abuse: the seed is the whole state.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; equal seeds give equal numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        ((self.bits() >> 33) % limit as u64) as usize
    }

    /// One of `choices`, which are not empty.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_has_the_published_values() {
        assert_eq!(Fnv::of(b"").0, 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fnv::of(b"a").0, 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Fnv::of(b"hello").0, 0xa430_d846_80aa_bd0b);
        let mut pieces = Fnv::default();
        pieces.add(b"hel");
        pieces.add(b"lo");
        assert_eq!(pieces, Fnv::of(b"hello"));
    }

    #[test]
    fn pattern_is_position_plus_seed_modulo_251() {
        for (offset, seed) in [(0, 0), (1, 250), (5_000_000_000, 7)] {
            let mut out = vec![0; 1000];
            fill(&mut out, offset, seed);
            for (i, &byte) in out.iter().enumerate() {
                assert_eq!(u64::from(byte), (offset + i as u64 + seed) % 251);
            }
            assert_eq!(first_difference(&out, offset, seed), None);
            out[700] ^= 1;
            assert_eq!(first_difference(&out, offset, seed), Some(offset + 700));
        }
    }
}
