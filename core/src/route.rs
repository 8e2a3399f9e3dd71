//! Routing: method and path pattern to handler.
//!
//! A pattern is a path whose segments may be parameters: `/led/:id` matches one segment by name,
//! `/files/*` matches the rest, however deep. Patterns are tried in the order of the table and
//! the first that fits answers. HEAD is answered by the first route of its own, or else by the GET
//! route, without content. A path that only routes of other methods match is 405 with `Allow`;
//! OPTIONS is answered from the table.

use crate::event::Ticket;
use crate::http::method::Method;
use crate::http::path;
use crate::http::status::Status;
use crate::http::write::Writer;
use crate::reply::{Draft, Next, Opening, Reply};
use crate::service::{BodyProgress, Exchange, Progress, Refusal, Request, Service};
use crate::site::{self, Content, ContentId, Site};
use core::ops::Range;

/// The values that a pattern's parameters took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parameters<'r> {
    /// From the first parameter on.
    pattern: &'static [u8],
    /// What stands for that.
    path: &'r [u8],
}

impl<'r> Parameters<'r> {
    /// The value of `:name`, or of `*` for the rest of the path: decoded bytes without a slash at
    /// the front, without control bytes and backslashes.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'r [u8]> {
        self.value_of(name.as_bytes())
    }

    /// As [`Parameters::value`], for a name that is not known to be text.
    #[must_use]
    pub fn value_of(&self, name: &[u8]) -> Option<&'r [u8]> {
        let mut found = None;
        walk(self.pattern, self.path, &mut |parameter, value| {
            if parameter == name && found.is_none() {
                found = Some(value);
            }
        });
        found
    }

    /// The value of `:name` as text; `None` when it is no UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&'r str> {
        core::str::from_utf8(self.value(name)?).ok()
    }

    /// The value of `:name` as a number or whatever else can be parsed.
    #[must_use]
    pub fn parse<V: core::str::FromStr>(&self, name: &str) -> Option<V> {
        self.text(name)?.parse().ok()
    }
}

/// Whether `path` fits `pattern`, telling each parameter on the way. Both begin where a segment
/// does, or at their ends.
#[cfg_attr(target_os = "rtems", optimize(speed))]
fn walk<'r>(pattern: &[u8], path: &'r [u8], tell: &mut dyn FnMut(&[u8], &'r [u8])) -> bool {
    let (mut pattern, mut path) = (pattern, path);
    let mut at_segment = true;
    while let [expected, rest @ ..] = pattern {
        match expected {
            b'*' if at_segment => {
                tell(b"*", path);
                return true;
            }
            b':' if at_segment => {
                let ((name, rest), (value, left)) = (split_segment(rest), split_segment(path));
                if value.is_empty() {
                    return false;
                }
                tell(name, value);
                (pattern, path) = (rest, left);
            }
            _ => {
                let [byte, left @ ..] = path else {
                    return false;
                };
                if byte != expected {
                    return false;
                }
                at_segment = *byte == b'/';
                (pattern, path) = (rest, left);
            }
        }
    }
    path.is_empty()
}

/// What comes before the next slash, and the rest from that on.
#[inline(always)]
fn split_segment(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'/');
    bytes.split_at(end.unwrap_or(bytes.len()))
}

/// What a handler works with besides the request and the reply.
pub struct Context<'c, A: ?Sized> {
    /// The application's shared state.
    pub app: &'c A,
    /// The handler's own memory for this request; zero at its beginning.
    pub state: &'c mut [u64; 2],
    /// The claim check of this request, for a deferred reply.
    pub ticket: Ticket,
    /// Milliseconds of the worker's monotonic clock.
    pub now: u64,
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub unix_time: u64,
    /// The values of the pattern's parameters, while the request's head is at hand: in
    /// [`Handle::request`], [`Handle::body`], [`Handle::received`] and [`Handle::collected`]. Empty
    /// elsewhere.
    pub parameters: Parameters<'c>,
}

/// Answers the requests of a route. A plain function with the signature of [`Handle::request`]
/// is a handler; one that takes bodies, streams or defers implements more of the trait.
///
/// ```
/// use capuchin_core::reply::{Next, Reply};
/// use capuchin_core::route::{Context, Route};
/// use capuchin_core::http::method::Method;
/// use capuchin_core::service::Request;
///
/// struct Board { name: &'static str }
///
/// fn name(context: &mut Context<'_, Board>, _: &Request<'_>, reply: Reply<'_>) -> Next {
///     reply.text(context.app.name)
/// }
///
/// let routes = [Route::new(Method::Get, "/name", &name)];
/// # assert_eq!(routes[0].pattern(), "/name");
/// ```
pub trait Handle<A: ?Sized>: Sync {
    /// The head of a request is there.
    fn request(
        &self,
        context: &mut Context<'_, A>,
        request: &Request<'_>,
        reply: Reply<'_>,
    ) -> Next;

    /// A piece of the body, never empty, after [`Reply::receive_body`].
    ///
    /// # Errors
    /// The error response that ends the request; the rest of the body is not read.
    fn body(
        &self,
        context: &mut Context<'_, A>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        let _ = (context, request, piece);
        Ok(BodyProgress::Taken)
    }

    /// The body has been received to its end, after [`Reply::receive_body`].
    fn received(
        &self,
        context: &mut Context<'_, A>,
        request: &Request<'_>,
        reply: Reply<'_>,
    ) -> Next {
        let _ = (context, request);
        reply.status(Status::NO_CONTENT).empty()
    }

    /// The whole body is there, after [`Reply::collect_body`].
    fn collected(
        &self,
        context: &mut Context<'_, A>,
        request: &Request<'_>,
        body: &[u8],
        reply: Reply<'_>,
    ) -> Next {
        let _ = (context, request, body);
        reply.status(Status::NO_CONTENT).empty()
    }

    /// A deferred reply was completed with `value`.
    fn resume(&self, context: &mut Context<'_, A>, value: u64, reply: Reply<'_>) -> Next {
        let _ = (context, value);
        reply.status(Status::NO_CONTENT).empty()
    }

    /// Room for more of a streamed reply.
    fn stream(&self, context: &mut Context<'_, A>, out: &mut Writer<'_>) -> Progress {
        let _ = (context, out);
        Progress::Done
    }

    /// The request ends without the handler: the client is gone or a deadline passed.
    fn abandoned(&self, context: &mut Context<'_, A>) {
        let _ = context;
    }
}

impl<A: ?Sized, F> Handle<A> for F
where
    F: Fn(&mut Context<'_, A>, &Request<'_>, Reply<'_>) -> Next + Sync,
{
    fn request(
        &self,
        context: &mut Context<'_, A>,
        request: &Request<'_>,
        reply: Reply<'_>,
    ) -> Next {
        self(context, request, reply)
    }
}

/// A row of the routing table.
pub struct Route<'t, A: ?Sized> {
    method: Method,
    /// Bytes of the pattern before its first parameter; all of it when there is none.
    literal: u16,
    pattern: &'static str,
    handler: &'t dyn Handle<A>,
}

impl<A: ?Sized> Clone for Route<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: ?Sized> Copy for Route<'_, A> {}

impl<'t, A: ?Sized> Route<'t, A> {
    /// Requests of `method` for paths that fit `pattern` go to `handler`.
    ///
    /// # Panics
    /// When no request could come here: the engine answers CONNECT and methods that it does not know
    /// by itself; no path has an empty or a dot segment inside or an escape that is not decoded, and no
    /// path with a control byte or a backslash gets to a route; a query or a fragment is no part of a path.
    /// When `*` is not a segment of its own at the end, or a `:` has no name behind it. In a
    /// `const` table that is a compile error.
    #[must_use]
    pub const fn new(method: Method, pattern: &'static str, handler: &'t dyn Handle<A>) -> Self {
        match Self::try_new(method, pattern, handler) {
            Ok(route) => route,
            Err(fault) => panic!("{}", fault),
        }
    }

    /// As [`Route::new`], for tables that are made while the program runs.
    ///
    /// # Errors
    /// What [`Route::new`] panics over, as a sentence.
    pub const fn try_new(
        method: Method,
        pattern: &'static str,
        handler: &'t dyn Handle<A>,
    ) -> Result<Self, &'static str> {
        if matches!(method, Method::Other | Method::Connect) {
            return Err("the engine answers CONNECT and unknown methods by itself");
        }
        if let Some(fault) = pattern_fault(pattern.as_bytes()) {
            return Err(fault);
        }
        let literal = literal_length(pattern.as_bytes());
        if literal > u16::MAX as usize {
            return Err("a route's pattern is longer than any path");
        }
        Ok(Self {
            method,
            literal: literal as u16,
            pattern,
            handler,
        })
    }

    /// The parameters' values in a request of this route.
    fn parameters<'r>(&self, request: &Request<'r>) -> Parameters<'r> {
        self.fit(request.path()).unwrap_or_default()
    }

    /// The parameters' values, if `path` fits.
    fn fit<'r>(&self, path: &'r [u8]) -> Option<Parameters<'r>> {
        let literal = usize::from(self.literal);
        let (expected, pattern) = self.pattern.as_bytes().split_at_checked(literal)?;
        let (found, path) = path.split_at_checked(literal)?;
        let fits = found == expected && walk(pattern, path, &mut |_, _| {});
        fits.then_some(Parameters { pattern, path })
    }

    /// Whether every request that `later` is for comes here.
    fn covers(&self, later: &Route<'_, A>) -> bool {
        // Taken as a path, a pattern has its parameters' names as their values.
        let open = |pattern: &str| pattern.ends_with("/*");
        self.method == later.method
            && self.fit(later.pattern.as_bytes()).is_some()
            && (open(self.pattern) || !open(later.pattern))
    }

    /// The path pattern.
    #[must_use]
    pub const fn pattern(&self) -> &'static str {
        self.pattern
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }
}

/// The first two routes, by their numbers in the table, of which the first takes all requests that the
/// second is for, so that the second never answers one.
#[must_use]
pub fn shadowed<A: ?Sized>(routes: &[Route<'_, A>]) -> Option<(usize, usize)> {
    routes.iter().enumerate().find_map(|(later, route)| {
        let earlier = routes[..later].iter();
        let first = earlier.into_iter().position(|first| first.covers(route))?;
        Some((first, later))
    })
}

/// Bytes of a pattern without fault before its first parameter.
const fn literal_length(pattern: &[u8]) -> usize {
    let mut at = 1;
    while at < pattern.len() {
        if pattern[at - 1] == b'/' && (pattern[at] == b':' || pattern[at] == b'*') {
            break;
        }
        at += 1;
    }
    at
}

/// What is wrong with a pattern, if anything.
const fn pattern_fault(pattern: &[u8]) -> Option<&'static str> {
    if pattern.is_empty() || pattern[0] != b'/' {
        return Some("a route's pattern begins with '/'");
    }
    // Each round is one segment, from `begin` up to `end`.
    let mut begin = 1;
    loop {
        let mut end = begin;
        while end < pattern.len() && pattern[end] != b'/' {
            match pattern[end] {
                b'?' | b'#' => {
                    return Some("a route's pattern is a path, without a query or a fragment");
                }
                b'%' => return Some("a route's pattern is decoded"),
                b'\\' | 0..=31 | 127 => {
                    return Some("a route's pattern has no backslash and no control byte");
                }
                b'*' if end != begin || end + 1 != pattern.len() => {
                    return Some(
                        "'*' stands for the rest of the path: a segment of its own, the last",
                    );
                }
                _ => {}
            }
            end += 1;
        }
        let last = end == pattern.len();
        let (first, length) = (if end > begin { pattern[begin] } else { 0 }, end - begin);
        if length == 0 && !last {
            return Some("a route's pattern has an empty segment, which no path has");
        }
        if length == 1 && first == b':' {
            return Some("':' in a route's pattern is followed by the parameter's name");
        }
        if first == b'.' && (length == 1 || length == 2 && pattern[begin + 1] == b'.') {
            return Some("a route's pattern has a dot segment, which no path has");
        }
        if last {
            return None;
        }
        begin = end + 1;
    }
}

/// A service made of a routing table over shared state, and a site for the paths that no route
/// matches.
pub struct Routed<'t, A: ?Sized, S> {
    routes: &'t [Route<'t, A>],
    app: &'t A,
    site: S,
}

/// Why a path that fits a route is refused.
const NOT_PORTABLE: &str = "the path has a control byte or a backslash";

/// In [`Exchange::route`]: no route, that is, the site. Routes count from one.
const NO_ROUTE: u16 = 0;

impl<'t, A: ?Sized, S: Site> Routed<'t, A, S> {
    /// A service of `routes` over `app`; `site` answers where no route's pattern fits.
    ///
    /// # Panics
    /// When a route would never be reached, for one before it takes all of its requests ([`shadowed`]).
    #[must_use]
    pub fn new(routes: &'t [Route<'t, A>], app: &'t A, site: S) -> Self {
        assert!(
            shadowed(routes).is_none(),
            "a route is never reached: one before it takes all of its requests"
        );
        Self { routes, app, site }
    }

    /// The site.
    pub fn site(&mut self) -> &mut S {
        &mut self.site
    }

    fn route(&self, exchange: &Exchange<'_>) -> Option<&'t Route<'t, A>> {
        self.routes
            .get(usize::from(*exchange.route).checked_sub(1)?)
    }

    fn handler(&self, exchange: &Exchange<'_>) -> Option<&'t dyn Handle<A>> {
        self.route(exchange).map(|route| route.handler)
    }

    /// The methods that `path` has, or none when no route fits it.
    fn allowed(&self, path: &[u8]) -> Allowed {
        let fits = |route: &&Route<'_, A>| route.fit(path).is_some();
        let mut allowed = Allowed::default();
        for route in self.routes.iter().filter(fits) {
            allowed.add(route.method);
        }
        allowed
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    fn not_allowed(
        &mut self,
        allowed: Allowed,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        let options = request.method() == Method::Options;
        let status = if options {
            Status::NO_CONTENT
        } else {
            Status::METHOD_NOT_ALLOWED
        };
        let head = draft
            .reply()
            .status(status)
            .trusted("Allow", allowed.list().as_slice());
        if options {
            head.empty()
        } else {
            head.explained("this path has other methods, see Allow")
        }
    }
}

/// The methods of a path, each once, in the order of the table.
#[derive(Default)]
struct Allowed {
    methods: heapless::Vec<Method, 12>,
}

impl Allowed {
    fn add(&mut self, method: Method) {
        if !self.methods.contains(&method) {
            // There are fewer methods than places: nothing is dropped.
            let _ = self.methods.push(method);
        }
    }

    #[cfg_attr(target_os = "rtems", inline(never))]
    fn list(&self) -> heapless::Vec<u8, 96> {
        let mut text = heapless::Vec::new();
        let implied = |method| match method {
            Method::Head => {
                self.methods.contains(&Method::Get) && !self.methods.contains(&Method::Head)
            }
            _ => !self.methods.contains(&method),
        };
        let extra = [Method::Head, Method::Options]
            .into_iter()
            .filter(|&method| implied(method));
        for method in self.methods.iter().copied().chain(extra) {
            if !text.is_empty() {
                let _ = text.extend_from_slice(b", ");
            }
            let _ = text.extend_from_slice(method.as_str().as_bytes());
        }
        text
    }
}

impl<A: ?Sized, S: Site> Service for Routed<'_, A, S> {
    type File = S::File;

    #[cfg_attr(target_os = "rtems", inline(never))]
    fn request(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        let (mut chosen, mut path_known) = (None, false);
        for (row, route) in self.routes.iter().enumerate() {
            let Some(parameters) = route.fit(request.path()) else {
                continue;
            };
            path_known = true;
            if route.method == request.method() {
                chosen = Some((row, route, parameters));
                break;
            }
            // Unless a route for HEAD follows.
            if request.method() == Method::Head && route.method == Method::Get && chosen.is_none() {
                chosen = Some((row, route, parameters));
            }
        }
        if let Some((row, route, parameters)) = chosen {
            // Handlers make names of files and lines of logs of parameters: none has a byte that means
            // something of its own there.
            if !path::is_portable(parameters.path) {
                return draft.reply().error(Status::BAD_REQUEST, NOT_PORTABLE);
            }
            *exchange.route = row as u16 + 1;
            return route.handler.request(
                &mut context(self.app, exchange, parameters),
                request,
                draft.reply(),
            );
        }
        *exchange.route = NO_ROUTE;
        if path_known {
            let allowed = self.allowed(request.path());
            return self.not_allowed(allowed, request, draft);
        }
        if request.path() == b"*" {
            return draft
                .reply()
                .status(Status::NO_CONTENT)
                .trusted("Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
                .empty();
        }
        site::respond(
            &mut self.site,
            request,
            draft,
            exchange.now,
            exchange.unix_time,
        )
    }

    fn body(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        piece: &[u8],
    ) -> Result<BodyProgress, Refusal> {
        match self.route(exchange) {
            Some(route) => route.handler.body(
                &mut context(self.app, exchange, route.parameters(request)),
                request,
                piece,
            ),
            None => Ok(BodyProgress::Taken),
        }
    }

    fn received(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        draft: &mut Draft<'_>,
    ) -> Next {
        match self.route(exchange) {
            Some(route) => route.handler.received(
                &mut context(self.app, exchange, route.parameters(request)),
                request,
                draft.reply(),
            ),
            None => draft.reply().error(Status::INTERNAL_SERVER_ERROR, ""),
        }
    }

    fn collected(
        &mut self,
        exchange: &mut Exchange<'_>,
        request: &Request<'_>,
        body: &[u8],
        draft: &mut Draft<'_>,
    ) -> Next {
        match self.route(exchange) {
            Some(route) => route.handler.collected(
                &mut context(self.app, exchange, route.parameters(request)),
                request,
                body,
                draft.reply(),
            ),
            None => draft.reply().error(Status::INTERNAL_SERVER_ERROR, ""),
        }
    }

    fn resume(&mut self, exchange: &mut Exchange<'_>, value: u64, draft: &mut Draft<'_>) -> Next {
        match self.handler(exchange) {
            Some(handler) => handler.resume(
                &mut context(self.app, exchange, Parameters::default()),
                value,
                draft.reply(),
            ),
            None => draft.reply().error(Status::INTERNAL_SERVER_ERROR, ""),
        }
    }

    fn stream(&mut self, exchange: &mut Exchange<'_>, out: &mut Writer<'_>) -> Progress {
        match self.handler(exchange) {
            Some(handler) => {
                handler.stream(&mut context(self.app, exchange, Parameters::default()), out)
            }
            None => Progress::Failed,
        }
    }

    fn abandoned(&mut self, exchange: &mut Exchange<'_>) {
        if let Some(handler) = self.handler(exchange) {
            handler.abandoned(&mut context(self.app, exchange, Parameters::default()));
        }
    }

    fn route_name(&self, route: u16) -> &str {
        let row = usize::from(route).wrapping_sub(1);
        self.routes.get(row).map_or("", Route::pattern)
    }

    fn message(&mut self, _value: u64) {}

    fn content(&mut self, id: ContentId, range: Range<u64>) -> Content<'_, S::File> {
        self.site.content(id, range)
    }

    fn release(&mut self, id: ContentId) {
        self.site.release(id);
    }

    fn prepared(&mut self, id: ContentId, opening: &Opening) -> Option<&[u8]> {
        self.site.prepared(id, opening)
    }

    // Which requests the routes leave to the site is decided by their heads alone.
    fn recall(
        &mut self,
        head: &[u8],
        place: &mut u16,
        now: u64,
        unix_time: u64,
    ) -> Option<ContentId> {
        self.site.recall(head, place, now, unix_time)
    }

    fn remember(&mut self, head: &[u8], id: ContentId) {
        self.site.remember(head, id);
    }
}

fn context<'c, A: ?Sized>(
    app: &'c A,
    exchange: &'c mut Exchange<'_>,
    parameters: Parameters<'c>,
) -> Context<'c, A> {
    Context {
        app,
        state: exchange.state,
        ticket: exchange.ticket,
        now: exchange.now,
        unix_time: exchange.unix_time,
        parameters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_no_path_fits_are_refused() {
        for pattern in [
            "/", "/a", "/a/", "/:a", "/a/:b/c", "/:a/", "/*", "/a/*", "/:a/:b/*", "/.a", "/..a",
            "/a.b", "/...", "/a:", "/a b", "/\u{e9}",
        ] {
            assert_eq!(pattern_fault(pattern.as_bytes()), None, "{pattern}");
        }
        for (pattern, why) in [
            ("", "begins"),
            ("a", "begins"),
            ("*", "begins"),
            ("//", "empty"),
            ("/a//b", "empty"),
            ("//a", "empty"),
            ("/a//", "empty"),
            ("/:", "name"),
            ("/:/a", "name"),
            ("/a/:", "name"),
            ("/*/a", "last"),
            ("/a*", "last"),
            ("/*a", "last"),
            ("/**", "last"),
            ("/*/", "last"),
            ("/.", "dot"),
            ("/a/..", "dot"),
            ("/../a", "dot"),
            ("/a/./b", "dot"),
            ("/a%20b", "decoded"),
            ("/a\\b", "backslash"),
            ("/a?b=1", "query"),
            ("/a/:b?", "query"),
            ("/a#b", "fragment"),
            ("/a\tb", "control byte"),
        ] {
            let fault = pattern_fault(pattern.as_bytes());
            assert!(fault.is_some_and(|fault| fault.contains(why)), "{pattern}");
        }
    }

    #[test]
    fn paths_fit_patterns_segment_by_segment() {
        use std::string::String;
        // The parameters' values, with semicolons; `None` where the path does not fit.
        for (pattern, path, expected) in [
            ("/", "/", Some("")),
            ("/", "/a", None),
            ("/", "*", None),
            ("/a/b", "/a/b", Some("")),
            ("/a/b", "/a/", None),
            ("/a/b", "/a/b/", None),
            ("/a/", "/a", None),
            ("/led/:id", "/led/12", Some("id=12;")),
            ("/led/:id", "/led/", None),
            ("/led/:id", "/led", None),
            ("/led/:id", "/led/1/2", None),
            ("/:a/x/:b", "/1/x/2", Some("a=1;b=2;")),
            ("/:a/x/:b", "/1/y/2", None),
            ("/a:b", "/a:b", Some("")),
            ("/a:b", "/axb", None),
            ("/:a", "/:a*", Some("a=:a*;")),
            ("/file/*", "/file/a/b", Some("*=a/b;")),
            ("/file/*", "/file/", Some("*=;")),
            ("/file/*", "/file", None),
            ("/*", "/", Some("*=;")),
            ("/*", "*", None),
        ] {
            let mut told = String::new();
            let route = Route::new(Method::Get, pattern, &hello);
            let parameters = route.fit(path.as_bytes());
            if let Some(Parameters { pattern, path }) = parameters {
                walk(pattern, path, &mut |name, value| {
                    for (bytes, end) in [(name, '='), (value, ';')] {
                        told.push_str(core::str::from_utf8(bytes).unwrap());
                        told.push(end);
                    }
                });
            }
            let told = parameters.map(|_| told.as_str());
            assert_eq!(told, expected, "{path} for {pattern}");
        }
    }

    fn hello(_: &mut Context<'_, ()>, _: &Request<'_>, reply: Reply<'_>) -> Next {
        reply.text("hello")
    }

    #[test]
    fn route_that_an_earlier_one_leaves_nothing_to_is_found() {
        let find = |patterns: &[(Method, &'static str)]| {
            let made = patterns.iter();
            let routes: std::vec::Vec<_> = made
                .map(|&(method, pattern)| Route::new(method, pattern, &hello))
                .collect();
            shadowed(&routes)
        };
        let get = |earlier, later| find(&[(Method::Get, earlier), (Method::Get, later)]);
        for (earlier, later) in [
            ("/a", "/a"),
            ("/led/:id", "/led/:id"),
            ("/led/:id", "/led/:name"),
            ("/led/:id", "/led/1"),
            ("/:a/:b", "/led/:id"),
            ("/files/*", "/files/*"),
            ("/files/*", "/files/a/:b"),
            ("/*", "/files/*"),
            ("/*", "/"),
        ] {
            assert_eq!(get(earlier, later), Some((0, 1)), "{earlier} {later}");
        }
        for (earlier, later) in [
            ("/a", "/b"),
            ("/a", "/a/"),
            ("/led/1", "/led/:id"),
            ("/led/:id", "/led/:id/:x"),
            ("/led/:id", "/led/"),
            ("/led/:id", "/led/*"),
            ("/files/:a/*", "/files/*"),
            ("/files/*", "/files"),
        ] {
            assert_eq!(get(earlier, later), None, "{earlier} {later}");
        }
        let (get, put) = (Method::Get, Method::Put);
        assert_eq!(find(&[(get, "/a"), (put, "/a")]), None);
        assert_eq!(find(&[(put, "/a"), (get, "/b"), (put, "/a")]), Some((0, 2)));
    }

    #[test]
    fn pattern_longer_than_any_path_is_refused() {
        let pattern: &'static str = std::string::String::leak("/a".repeat(40_000));
        let fault = Route::try_new(Method::Get, pattern, &hello).err();
        assert_eq!(fault, Some("a route's pattern is longer than any path"));
    }

    #[test]
    #[should_panic = "unknown methods"]
    fn route_for_an_unknown_method_is_refused() {
        let _ = Route::new(Method::Other, "/", &hello);
    }

    #[test]
    #[should_panic = "CONNECT"]
    fn route_for_connect_is_refused() {
        let _ = Route::new(Method::Connect, "/", &hello);
    }

    #[test]
    #[should_panic = "empty segment"]
    fn route_with_a_faulty_pattern_is_refused() {
        let _ = Route::new(Method::Get, "/a//b", &hello);
    }
}
