//! What Rust code takes for granted of an SDK's C headers, written down for a C compiler to check.
//!
//! Each line of [`assume!`](crate::assume!) leaves a C expression and the number that Rust has for it
//! in the library, as text; `targets/rtems/check/run` collects them and has the SDK's compiler judge, and
//! `targets/native/freebsd/link` one that has FreeBSD's headers. So there is one list, and it stands where
//! the number is used. Only with the feature `assumptions`, and never part of a server.

/// States assumptions, in three forms; the last is size, and each field's place and size.
///
/// ```ignore
/// assume! {
///     value "SO_RCVWAKEUP" = RECEIVE_WAKEUP; // a C expression and a number
///     names libc { EAGAIN, EINTR }           // constants that have their C names
///     layout "struct linger" = libc::linger { l_onoff, l_linger }
///     layout "struct iovec" = Part { iov_base: base, iov_len: length } // C's name: Rust's
/// }
/// ```
#[macro_export]
macro_rules! assume {
    () => {};
    (value $c:literal = $rust:expr; $($rest:tt)*) => {
        $crate::assume_line!($c, $rust);
        $crate::assume!($($rest)*);
    };
    (names $path:ident { $($name:ident),+ $(,)? } $($rest:tt)*) => {
        $($crate::assume_line!(stringify!($name), $path::$name);)+
        $crate::assume!($($rest)*);
    };
    (layout $c:literal = $rust:ty { $($field:ident),+ $(,)? } $($rest:tt)*) => {
        $crate::assume! { layout $c = $rust { $($field: $field),+ } $($rest)* }
    };
    (layout $c:literal = $rust:ty { $($c_field:ident: $field:ident),+ $(,)? } $($rest:tt)*) => {
        $crate::assume_line!(concat!("sizeof(", $c, ")"), size_of::<$rust>());
        $(
            $crate::assume_line!(
                concat!("offsetof(", $c, ", ", stringify!($c_field), ")"),
                core::mem::offset_of!($rust, $field)
            );
            $crate::assume_line!(
                concat!("sizeof(((", $c, " *)0)->", stringify!($c_field), ")"),
                $crate::assume::size_of_field(|whole: &$rust| &whole.$field)
            );
        )+
        $crate::assume!($($rest)*);
    };
}

/// One line in the library.
#[doc(hidden)]
#[macro_export]
macro_rules! assume_line {
    ($c:expr, $rust:expr) => {
        const _: () = {
            #[used]
            static LINE: $crate::assume::Line = $crate::assume::Line::new($c, $rust as i64);
        };
    };
}

/// The size of what a function borrows of a whole.
#[must_use]
pub const fn size_of_field<Whole, Field>(_: fn(&Whole) -> &Field) -> usize {
    size_of::<Field>()
}

/// Text of a fixed size: `@assume EXPRESSION == NUMBER@`, then zeros.
#[derive(Debug)]
#[repr(transparent)]
pub struct Line([u8; Self::SIZE]);

impl Line {
    const SIZE: usize = 128;

    /// # Panics
    /// While compiling, when the expression is too long.
    #[must_use]
    pub const fn new(c: &str, number: i64) -> Self {
        let mut line = Self([0; Self::SIZE]);
        let at = line.put(0, b"@assume ");
        let at = line.put(at, c.as_bytes());
        let at = line.put(at, if number < 0 { b" == -" } else { b" == " });
        let mut digits = [0; 20];
        let (mut first, mut rest) = (digits.len(), number.unsigned_abs());
        while first == digits.len() || rest > 0 {
            first -= 1;
            digits[first] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let at = line.put(at, digits.split_at(first).1);
        line.put(at, b"@");
        line
    }

    const fn put(&mut self, at: usize, text: &[u8]) -> usize {
        let mut index = 0;
        while index < text.len() {
            self.0[at + index] = text[index];
            index += 1;
        }
        at + index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_the_expression_and_its_number() {
        let cases = [
            (0, "@assume x == 0@"),
            (104, "@assume x == 104@"),
            (-2, "@assume x == -2@"),
            (0x8004_667e, "@assume x == 2147772030@"),
        ];
        for (number, expected) in cases {
            let Line(bytes) = Line::new("x", number);
            let length = bytes.iter().position(|&byte| byte == 0).unwrap();
            assert_eq!(&bytes[..length], expected.as_bytes());
        }
    }
}
