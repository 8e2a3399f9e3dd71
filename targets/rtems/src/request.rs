//! Requests, as C handlers see them.

use crate::config::{number_of, text};
use crate::exchange::CText;
use capuchin_core::service::Request;
use core::ffi::{c_char, c_int, c_void};

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
pub unsafe extern "C" fn capuchin_request_method(request: *const c_void) -> c_int {
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
