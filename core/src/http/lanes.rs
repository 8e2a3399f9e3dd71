//! Sixteen bytes looked at together, where the target has registers for them.

use core::ops::{BitOr, Not};
use wide::u8x16;

/// Whether looking at sixteen bytes at a time pays: without registers of that size it is large code
/// that gains nothing.
pub(super) const BY_LANES: bool = cfg!(any(
    target_feature = "sse2",
    all(target_feature = "neon", target_arch = "aarch64"),
));

/// Sixteen bytes.
#[derive(Clone, Copy)]
pub(super) struct Lanes(u8x16);

impl Lanes {
    pub const COUNT: usize = 16;

    #[inline(always)]
    pub fn of(bytes: &[u8; Self::COUNT]) -> Self {
        Self(u8x16::new(*bytes))
    }

    /// Which of them are `byte`.
    #[inline(always)]
    pub fn are(self, byte: u8) -> Answers {
        Answers(self.0.simd_eq(u8x16::splat(byte)))
    }

    /// Which of them are from `first` to `last`.
    #[inline(always)]
    pub fn within(self, first: u8, last: u8) -> Answers {
        let above = self.0 - u8x16::splat(first);
        Answers(above.min(u8x16::splat(last - first)).simd_eq(above))
    }

    /// Whether all of them are those of `other`.
    #[inline(always)]
    pub fn equal(self, other: Self) -> bool {
        self.0.simd_eq(other.0).to_bitmask() == (1 << Self::COUNT) - 1
    }

    /// With the bit in which small letters differ from capitals.
    #[inline(always)]
    pub fn with_case_bit(self) -> Self {
        Self(self.0 | u8x16::splat(0x20))
    }
}

impl BitOr for Lanes {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An answer for each of sixteen bytes.
#[derive(Clone, Copy)]
pub(super) struct Answers(u8x16);

impl Answers {
    /// A bit for each, that of the first byte the lowest.
    #[inline(always)]
    pub fn bits(self) -> u32 {
        self.0.to_bitmask()
    }
}

impl BitOr for Answers {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for Answers {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        Self(!self.0)
    }
}
