//! Methods, routes and what handlers may write.

use super::{Case, get};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::reply::Asked;
use crate::target::{Features, Target};
use std::time::Duration;

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "head_is_answered_from_get",
        needs: Features::ROUTES,
        run: head,
    },
    Case {
        name: "wrong_method_gets_405_with_allow",
        needs: Features::ROUTES,
        run: not_allowed,
    },
    Case {
        name: "options_is_answered_with_allow",
        needs: Features::ROUTES,
        run: options,
    },
    Case {
        name: "unknown_methods_get_501",
        needs: Features::ROUTES,
        run: unknown_methods,
    },
    Case {
        name: "parameters_are_decoded",
        needs: Features::ROUTES,
        run: parameters,
    },
    Case {
        name: "handler_cannot_split_a_reply",
        needs: Features::ROUTES,
        run: splitting,
    },
    Case {
        name: "empty_content",
        needs: Features::ROUTES,
        run: empty,
    },
    Case {
        name: "no_content",
        needs: Features::ROUTES,
        run: no_content,
    },
    Case {
        name: "panic_costs_its_own_connection_500",
        needs: Features::PANIC.and(Features::ROUTES),
        run: panics,
    },
    Case {
        name: "close_is_told_only_when_it_happens",
        needs: Features::ROUTES,
        run: close_is_told,
    },
];

fn head(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for path in ["/hello", "/empty", "/echo/word", "/led/1"] {
        let plain = client.exchange(Asked::Get, get(path))?.expect(200)?;
        let reply = client
            .exchange(Asked::Head, get(path).replacen("GET", "HEAD", 1))?
            .expect_body(200, b"")?;
        for name in ["Content-Length", "Content-Type"] {
            ensure!(
                reply.field(name) == plain.field(name),
                "{path}: {name} is {:?}",
                reply.field(name)
            );
        }
    }
    Ok(())
}

fn not_allowed(target: &Target) -> Outcome {
    for (method, path, allowed) in [
        ("POST", "/hello", &["GET", "HEAD"][..]),
        ("DELETE", "/led/7", &["GET", "HEAD", "PUT"]),
        ("POST", "/led/7", &["GET", "HEAD", "PUT"]),
        ("GET", "/echo", &["POST"]),
        ("HEAD", "/echo", &["POST"]),
    ] {
        let reply = target
            .ask(method, path, "")?
            .expect(405)
            .during(format!("{method} {path}"))?;
        for one in allowed {
            ensure!(
                reply.head.lists("Allow", one),
                "{method} {path}: Allow is {:?}, without {one}",
                reply.field("Allow")
            );
        }
        ensure!(
            !reply.head.lists("Allow", method),
            "{method} {path}: Allow is {:?}",
            reply.field("Allow")
        );
    }
    Ok(())
}

fn options(target: &Target) -> Outcome {
    for path in ["/hello", "/led/7", "*"] {
        let reply = target.ask("OPTIONS", path, "").during(path)?;
        ensure!(
            [200, 204].contains(&reply.status()),
            "OPTIONS {path} was answered with {}",
            reply.status()
        );
        if path != "*" {
            ensure!(
                reply.head.lists("Allow", "GET"),
                "OPTIONS {path}: Allow is {:?}",
                reply.field("Allow")
            );
        }
    }
    Ok(())
}

/// Methods are case-sensitive, so `get` is one more unknown.
fn unknown_methods(target: &Target) -> Outcome {
    for method in ["BREW", "get", "GETX", "X-METHOD", "PROPFIND"] {
        target
            .ask(method, "/hello", "")?
            .expect(501)
            .during(method)?;
    }
    for request in [
        "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n",
        "TRACE /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = target.connect()?;
        client.send(request)?;
        let reply = client.reply(Asked::Get).during(request)?;
        ensure!(
            [405, 501].contains(&reply.status()),
            "{request:?} was answered with {}",
            reply.status()
        );
    }
    Ok(())
}

fn parameters(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for (path, word) in [
        ("/echo/abc", "abc"),
        ("/echo/%61b%63", "abc"),
        ("/%65cho/abc", "abc"),
        ("/x/../echo/abc", "abc"),
        ("/echo/./abc", "abc"),
        ("//echo//abc", "abc"),
        ("/echo/abc?word=other", "abc"),
        ("/echo%2Fabc", "abc"),
        ("/echo/abc#part", "abc"),
    ] {
        let reply = client.exchange(Asked::Get, get(path))?;
        reply
            .expect_body(200, format!("{word}\n").as_bytes())
            .during(path)?;
    }
    for (path, status) in [
        ("/echo/", 404),
        ("/echo/a/b", 404),
        ("/echo/a%2Fb", 404),
        ("/echo/a%5Cb", 400),
        ("/echo/a%0Ab", 400),
        ("/echo/a\\b", 400),
        ("/echo/%zz", 400),
        ("/Hello", 404),
        ("/hello/", 404),
    ] {
        // GET /echo/ may be taken for /echo, which has only POST.
        let reply = target.get(path)?;
        ensure!(
            reply.status() == status || (path == "/echo/" && reply.status() == 405),
            "{path} was answered with {}",
            reply.status()
        );
    }
    Ok(())
}

fn splitting(target: &Target) -> Outcome {
    let reply = target
        .get("/field/plain%20value")?
        .expect_body(200, b"field\n")?;
    ensure!(
        reply.field("X-Value") == Some("plain value"),
        "X-Value is {:?}",
        reply.field("X-Value")
    );
    for value in [
        "a%0d%0aX-Injected:%20yes",
        "a%0aX-Injected:%20yes",
        "a%0dX-Injected:%20yes",
        "a%0d%0a%0d%0aHTTP/1.1%20200%20OK",
        "a%01b",
        "a%7fb",
    ] {
        let reply = target.get(&format!("/field/{value}")).during(value)?;
        // `/` in the value makes it another path, which may be missing.
        ensure!(
            [400, 404, 500].contains(&reply.status()),
            "{value} was answered with {}",
            reply.status()
        );
        ensure!(reply.field("X-Injected").is_none(), "{value} added a field");
    }
    target.is_alive()
}

fn empty(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for _ in 0..3 {
        let reply = client
            .exchange(Asked::Get, get("/empty"))?
            .expect_body(200, b"")?;
        ensure!(
            reply.field("Content-Length") == Some("0"),
            "Content-Length is {:?}",
            reply.field("Content-Length")
        );
    }
    Ok(())
}

fn no_content(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for body in [&b""[..], b"x", b"a longer body"] {
        client
            .exchange(Asked::Get, super::with_body("PUT", "/led/3", body))?
            .expect_body(204, b"")?;
    }
    client
        .exchange(Asked::Get, get("/led/3"))?
        .expect_body(200, b"led 3\n")?;
    Ok(())
}

fn panics(target: &Target) -> Outcome {
    let mut neighbour = target.connect()?;
    neighbour.exchange(Asked::Get, get("/hello"))?.expect(200)?;
    for _ in 0..5 {
        let mut client = target.connect()?;
        client.send(get("/hello") + &get("/panic") + &get("/echo/never"))?;
        client.reply(Asked::Get)?.expect_body(200, b"hello\n")?;
        let reply = client.reply(Asked::Get)?.expect(500)?;
        ensure!(
            reply.head.close,
            "the connection of a handler that panicked lives on"
        );
        client.expect_fin()?;
        neighbour
            .exchange(Asked::Get, get("/hello"))?
            .expect_body(200, b"hello\n")?;
    }
    target.is_alive()
}

/// An error of the application leaves the connection usable; what the reply says is what happens.
fn close_is_told(target: &Target) -> Outcome {
    let mut client = target.connect()?;
    for path in ["/hello", "/missing", "/echo/b%21d", "/hello"] {
        let reply = client.exchange(Asked::Get, get(path))?;
        ensure!(
            !reply.head.close,
            "{path} ({}) closes the connection without need",
            reply.status()
        );
    }
    client.expect_silence(Duration::from_millis(50))
}
