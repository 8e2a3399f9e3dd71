//! Content codings: which one `Accept-Encoding` wants (RFC 9110 section 12.5.3).
//!
//! Chooses among the codings that exist already; nothing here compresses.

use super::scan;

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// LZ77 with a checksum (RFC 1952).
    Gzip,
    /// Brotli (RFC 7932).
    Br,
}

impl Coding {
    /// All, the smallest result first.
    const BY_SIZE: [Self; 3] = [Self::Br, Self::Gzip, Self::Identity];

    /// The value of `Content-Encoding`; none for [`Coding::Identity`], which is not named there.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Br => Some("br"),
        }
    }
}

/// A set of [`Coding`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codings(u8);

impl Codings {
    /// None.
    pub const NONE: Self = Self(0);
    /// Only [`Coding::Identity`].
    pub const IDENTITY: Self = Self::NONE.with(Coding::Identity);
    /// Every coding there is here.
    pub const ALL: Self = Self::IDENTITY.with(Coding::Gzip).with(Coding::Br);

    /// The set with `coding` in it.
    #[must_use]
    pub const fn with(self, coding: Coding) -> Self {
        Self(self.0 | 1 << coding as u8)
    }

    /// Whether `coding` is in the set.
    #[must_use]
    pub const fn contains(self, coding: Coding) -> bool {
        self.0 & 1 << coding as u8 != 0
    }
}

/// The best of the `available` codings for a request with these `Accept-Encoding` lines.
///
/// The highest weight wins; of equal ones the smaller result: br, then gzip, then identity. What
/// the client lists is better than identity that it does not mention. `None` when nothing that is
/// available is acceptable; a server may then ignore the field all the same (section 12.5.3).
///
/// Without any line every coding is acceptable; the answer is identity, or else the most widely
/// known. A malformed line makes the whole field count as absent. A coding listed more than once
/// has the lowest of its weights.
///
/// ```
/// use capuchin_core::http::encoding::{Coding, Codings, choose};
///
/// let field: [&[u8]; 1] = [b"gzip, deflate, br;q=0.9"];
/// assert_eq!(choose(field.into_iter(), Codings::ALL), Some(Coding::Gzip));
/// assert_eq!(choose(field.into_iter(), Codings::IDENTITY), Some(Coding::Identity));
/// assert_eq!(choose([].into_iter(), Codings::ALL), Some(Coding::Identity));
/// ```
pub fn choose<'a>(lines: impl Iterator<Item = &'a [u8]>, available: Codings) -> Option<Coding> {
    let mut weights = Weights::default();
    let mut present = false;
    for line in lines {
        present = true;
        if weights.read(line).is_none() {
            present = false;
            break;
        }
    }
    if present {
        weights.best(available)
    } else {
        [Coding::Identity, Coding::Gzip, Coding::Br]
            .into_iter()
            .find(|&coding| available.contains(coding))
    }
}

/// A weight in thousandths, 0 to 1000 (RFC 9110 section 12.4.2).
type Weight = u16;

const FULL_WEIGHT: Weight = 1000;

/// What a field says about each coding; nothing for those it does not list.
#[derive(Default)]
struct Weights {
    identity: Option<Weight>,
    gzip: Option<Weight>,
    br: Option<Weight>,
    /// `*`: every coding that is not listed.
    others: Option<Weight>,
}

impl Weights {
    /// Reads one line; `None` when it is malformed.
    fn read(&mut self, line: &[u8]) -> Option<()> {
        for element in line.split(|&byte| byte == b',') {
            let element = element.trim_ascii();
            if element.is_empty() {
                continue;
            }
            let end = element
                .iter()
                .position(|&byte| matches!(byte, b';' | b' ' | b'\t'));
            let (name, parameter) = element.split_at(end.unwrap_or(element.len()));
            let weight = weight(parameter.trim_ascii())?;
            let entry = match name {
                b"*" => &mut self.others,
                _ if name.eq_ignore_ascii_case(b"br") => &mut self.br,
                // Section 8.4.1.3: x-gzip is an old name of gzip.
                _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                    &mut self.gzip
                }
                _ if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
                _ if scan::is_token(name) => continue,
                _ => return None,
            };
            *entry = Some(entry.map_or(weight, |earlier| earlier.min(weight)));
        }
        Some(())
    }

    fn best(&self, available: Codings) -> Option<Coding> {
        // A weight of 0 excludes, so rank 0 is free for identity that nobody mentioned: it is
        // acceptable, but anything that was asked for is better.
        let rank = |coding| {
            let listed = match coding {
                Coding::Identity => self.identity,
                Coding::Gzip => self.gzip,
                Coding::Br => self.br,
            };
            match (listed.or(self.others), coding) {
                (Some(0), _) => None,
                (Some(weight), _) => Some(weight),
                (None, Coding::Identity) => Some(0),
                (None, _) => None,
            }
        };
        let mut best: Option<(Weight, Coding)> = None;
        for coding in Coding::BY_SIZE {
            if !available.contains(coding) {
                continue;
            }
            if let Some(rank) = rank(coding)
                && best.is_none_or(|(highest, _)| rank > highest)
            {
                best = Some((rank, coding));
            }
        }
        best.map(|(_, coding)| coding)
    }
}

/// What follows the coding's name: nothing, or `;q=` and a number of at most three decimals.
fn weight(parameter: &[u8]) -> Option<Weight> {
    if parameter.is_empty() {
        return Some(FULL_WEIGHT);
    }
    let text = parameter.strip_prefix(b";")?.trim_ascii_start();
    let (integer, decimals) = match text {
        [b'q' | b'Q', b'=', integer @ (b'0' | b'1')] => (integer, &[][..]),
        [
            b'q' | b'Q',
            b'=',
            integer @ (b'0' | b'1'),
            b'.',
            decimals @ ..,
        ] => (integer, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = (0..3).fold(Weight::from(integer - b'0'), |value, place| {
        let digit = decimals.get(place).map_or(0, |digit| digit - b'0');
        value * 10 + Weight::from(digit)
    });
    (thousandths <= FULL_WEIGHT).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::{Br, Gzip, Identity};
    use std::vec::Vec;

    fn chosen(lines: &[&str], available: Codings) -> Option<Coding> {
        choose(lines.iter().map(|line| line.as_bytes()), available)
    }

    fn check(table: &[(&[&str], Option<Coding>)]) {
        for (lines, expected) in table {
            assert_eq!(chosen(lines, Codings::ALL), *expected, "{lines:?}");
        }
    }

    #[test]
    fn highest_weight_wins_and_the_smaller_of_equals() {
        check(&[
            (&["gzip"], Some(Gzip)),
            (&["br"], Some(Br)),
            (&["gzip, deflate, br, zstd"], Some(Br)),
            (&["gzip,br"], Some(Br)),
            (&["br;q=0.5, gzip"], Some(Gzip)),
            (&["br;q=0.5, gzip;q=0.5"], Some(Br)),
            (&["br;q=0.500, gzip;q=0.501"], Some(Gzip)),
            (&["gzip;q=0.001"], Some(Gzip)),
            (&["identity, gzip, br"], Some(Br)),
            (&["identity, gzip;q=0.9"], Some(Identity)),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip)),
            (&["GZip"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["deflate"], Some(Identity)),
        ]);
    }

    #[test]
    fn star_stands_for_what_is_not_listed() {
        check(&[
            (&["*"], Some(Br)),
            (&["br;q=0, *"], Some(Gzip)),
            (&["gzip;q=0.3, *;q=0.5"], Some(Br)),
            (&["br;q=0, gzip;q=0.3, *;q=0.5"], Some(Identity)),
            (&["*;q=0.5, gzip"], Some(Gzip)),
            (&["*;q=0, gzip"], Some(Gzip)),
            (&["*;q=0, identity"], Some(Identity)),
            (&["*;q=0"], None),
        ]);
    }

    #[test]
    fn weight_zero_excludes() {
        check(&[
            (&["gzip;q=0"], Some(Identity)),
            (&["gzip;q=0.000, br;q=0"], Some(Identity)),
            (&["identity;q=0"], None),
            (&["identity;q=0, gzip;q=0.1"], Some(Gzip)),
            (&["gzip, gzip;q=0"], Some(Identity)),
        ]);
    }

    #[test]
    fn absent_field_means_identity_and_so_does_an_empty_one() {
        check(&[(&[], Some(Identity)), (&[""], Some(Identity))]);
        let coded = Codings::NONE.with(Gzip).with(Br);
        assert_eq!(chosen(&[], coded), Some(Gzip));
        assert_eq!(chosen(&[""], coded), None);
        assert_eq!(chosen(&[], Codings::NONE), None);
        assert_eq!(chosen(&["*"], Codings::NONE), None);
    }

    #[test]
    fn several_lines_are_one_list() {
        check(&[
            (&["gzip;q=0.5", "br;q=0.4"], Some(Gzip)),
            (&["gzip", "", "br"], Some(Br)),
            (&["gzip", "identity;q=2"], Some(Identity)),
        ]);
    }

    #[test]
    fn white_space_and_empty_elements_are_allowed_where_the_grammar_has_them() {
        check(&[
            (&[" , gzip\t;\tq=0.5 ,, br ; Q=0.4,"], Some(Gzip)),
            (&["br;q=1.000,gzip;q=1."], Some(Br)),
            (&["br;q=0."], Some(Identity)),
        ]);
    }

    #[test]
    fn malformed_field_is_ignored_as_a_whole() {
        for bad in [
            "br;q=1.001",
            "br;q=2",
            "br;q=0.1234",
            "br;q=.5",
            "br;q=-1",
            "br;q=",
            "br;q",
            "br;q =1",
            "br;q= 1",
            "br;x=1",
            "br;q=1;x=1",
            "br;",
            ";q=1",
            "br gzip",
            "b(r",
            "\"br\"",
            "br;q=1x",
            "br;q=0x5",
        ] {
            let lines: Vec<&str> = Vec::from(["gzip", bad]);
            assert_eq!(chosen(&lines, Codings::ALL), Some(Identity), "{bad}");
        }
    }

    #[test]
    fn only_what_is_available_is_chosen() {
        let table = [
            ("br, gzip", Codings::IDENTITY.with(Gzip), Some(Gzip)),
            ("br", Codings::IDENTITY.with(Gzip), Some(Identity)),
            ("br", Codings::NONE.with(Gzip), None),
            ("br, gzip;q=0.1", Codings::NONE.with(Gzip), Some(Gzip)),
        ];
        for (line, available, expected) in table {
            assert_eq!(chosen(&[line], available), expected, "{line}");
        }
    }

    #[test]
    fn names_are_those_of_the_field() {
        assert_eq!(Identity.name(), None);
        assert_eq!(Gzip.name(), Some("gzip"));
        assert_eq!(Br.name(), Some("br"));
    }
}
