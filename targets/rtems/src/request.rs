//! Requests, as C handlers see them.

use crate::config::{number_of, text};
use crate::exchange::CText;
use crate::reply::bytes;
use capuchin_core::http::path::{QueryError, query_value};
use capuchin_core::service::Request;
use core::ffi::{CStr, c_char, c_int, c_void};

/// # Safety
/// `request` is what a handler was given, within its call.
unsafe fn of<'r>(request: *const c_void) -> &'r Request<'r> {
    // SAFETY: handlers are given a `Request` that lives through their call.
    unsafe { &*request.cast::<Request<'r>>() }
}

/// `capuchin_request_method`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_method(request: *const c_void) -> i32 {
    // SAFETY: the caller's word.
    number_of(unsafe { of(request) }.method())
}

/// `capuchin_request_path`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_path(request: *const c_void) -> CText {
    // SAFETY: the caller's word.
    CText::of(Some(unsafe { of(request) }.path()))
}

/// `capuchin_request_query`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_query(request: *const c_void) -> CText {
    // SAFETY: the caller's word.
    CText::of(unsafe { of(request) }.query())
}

/// `capuchin_request_field`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_field(
    request: *const c_void,
    name: *const c_char,
) -> CText {
    // SAFETY: the caller's word.
    let request = unsafe { of(request) };
    CText::of(text(name).flatten().and_then(|name| request.field(name)))
}

/// `capuchin_request_field_at`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_field_at(
    request: *const c_void,
    index: usize,
    name: *mut CText,
    value: *mut CText,
) -> bool {
    // SAFETY: the caller's word.
    let found = unsafe { of(request) }.head().fields().nth(index);
    let (its_name, its_value) = found.unzip();
    for (place, text) in [(name, its_name), (value, its_value)] {
        if !place.is_null() {
            // SAFETY: the caller passes room for a text, or NULL.
            unsafe { place.write(CText::of(text)) };
        }
    }
    found.is_some()
}

/// `capuchin_request_body_length`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_body_length(
    request: *const c_void,
    length: *mut u64,
) -> bool {
    // SAFETY: the caller's word.
    let announced = unsafe { of(request) }.body_length();
    if let Some(announced) = announced
        && !length.is_null()
    {
        // SAFETY: the caller passes room for a number, or NULL.
        unsafe { length.write(announced) };
    }
    announced.is_some()
}

/// `CAPUCHIN_NO_VALUE`, `CAPUCHIN_BAD_VALUE` and `CAPUCHIN_LONG_VALUE`.
const NO_VALUE: c_int = -1;
const BAD_VALUE: c_int = -2;
const LONG_VALUE: c_int = -3;

/// `capuchin_request_query_value`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_request_query_value(
    request: *const c_void,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    // SAFETY: the caller's word.
    let query = unsafe { of(request) }.query().unwrap_or_default();
    // SAFETY: as above, and the query lives through the call.
    unsafe { capuchin_form_value(query.as_ptr().cast(), query.len(), name, buffer, size) }
}

/// `capuchin_form_value`.
///
/// # Safety
/// As `capuchin.h` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn capuchin_form_value(
    form: *const c_void,
    length: usize,
    name: *const c_char,
    buffer: *mut c_char,
    size: usize,
) -> c_int {
    if name.is_null() || buffer.is_null() || size == 0 {
        return LONG_VALUE;
    }
    // SAFETY: the caller passes `length` bytes, a string that ends with NUL, and room for `size` bytes, of
    // which one is left for the NUL.
    let (form, name, room) = unsafe {
        (
            bytes(form, length),
            CStr::from_ptr(name).to_bytes(),
            core::slice::from_raw_parts_mut(buffer.cast::<u8>(), size - 1),
        )
    };
    let result = match query_value(form, name, room) {
        None => NO_VALUE,
        Some(Ok(value)) => c_int::try_from(value.len()).unwrap_or(LONG_VALUE),
        Some(Err(QueryError::TooLong)) => LONG_VALUE,
        Some(Err(_)) => BAD_VALUE,
    };
    // SAFETY: a value is no longer than its room, behind which there is one byte more.
    unsafe { *buffer.add(usize::try_from(result).unwrap_or(0)) = 0 };
    result
}

#[cfg(all(target_os = "rtems", feature = "assumptions"))]
capuchin_posix::assume! {
    value "CAPUCHIN_NO_VALUE" = NO_VALUE;
    value "CAPUCHIN_BAD_VALUE" = BAD_VALUE;
    value "CAPUCHIN_LONG_VALUE" = LONG_VALUE;
}
