//! Which file a path names, and which it never does.

use super::{Case, get};
use crate::ensure;
use crate::failure::{During, Outcome};
use crate::reply::Asked;
use crate::site_fixture::{DIR_INDEX, INDEX, ODD_NAMES, PLAIN, SECRET, TYPES};
use crate::target::{Features, Target};
use std::time::{Duration, Instant};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "index_files",
        needs: Features::SITE,
        run: index,
    },
    Case {
        name: "media_types",
        needs: Features::SITE,
        run: types,
    },
    Case {
        name: "encoded_and_normalised_paths",
        needs: Features::SITE,
        run: normalised,
    },
    Case {
        name: "names_of_any_bytes_but_nul",
        needs: Features::LIVE,
        run: unusual_bytes,
    },
    Case {
        name: "odd_names",
        needs: Features::LIVE,
        run: odd_names,
    },
    Case {
        name: "nothing_outside_the_root",
        needs: Features::LIVE,
        run: outside,
    },
    Case {
        name: "links_that_stay_inside",
        needs: Features::LIVE,
        run: inside_link,
    },
    Case {
        name: "directories_without_slash_are_redirected",
        needs: Features::SITE,
        run: redirects,
    },
    Case {
        name: "directory_without_index",
        needs: Features::SITE,
        run: bare,
    },
    Case {
        name: "slash_after_a_file",
        needs: Features::SITE,
        run: slash_after_file,
    },
    Case {
        name: "missing_files",
        needs: Features::SITE,
        run: missing,
    },
    Case {
        name: "other_methods",
        needs: Features::SITE,
        run: methods,
    },
    Case {
        name: "bad_encodings",
        needs: Features::SITE,
        run: bad_encodings,
    },
    Case {
        name: "long_paths",
        needs: Features::SITE,
        run: long,
    },
    Case {
        name: "special_files_do_not_block",
        needs: Features::LIVE,
        run: special,
    },
    Case {
        name: "hidden_files",
        needs: Features::LIVE,
        run: hidden,
    },
];

fn index(target: &Target) -> Outcome {
    for (path, content) in [
        ("/", INDEX),
        ("/index.html", INDEX),
        ("/?q", INDEX),
        ("/dir/", DIR_INDEX),
        ("/dir/index.html?x", DIR_INDEX),
    ] {
        let reply = target.get(path)?.expect_body(200, content).during(path)?;
        let kind = reply.field("Content-Type").unwrap_or_default();
        ensure!(kind.starts_with("text/html"), "{path} is {kind:?}");
        let head = target.ask("HEAD", path, "")?.expect_body(200, b"")?;
        ensure!(
            head.field("Content-Length") == reply.field("Content-Length"),
            "{path}: HEAD tells another length"
        );
    }
    Ok(())
}

fn types(target: &Target) -> Outcome {
    for (suffix, expected) in TYPES {
        let name = format!("a.{suffix}");
        let reply = target
            .get(&format!("/types/{name}"))?
            .expect_body(200, name.as_bytes())?;
        let told = reply.field("Content-Type").unwrap_or_default();
        let essence = told.split(';').next().unwrap_or_default().trim();
        ensure!(expected.contains(&essence), "{name} is {told:?}");
    }
    Ok(())
}

fn normalised(target: &Target) -> Outcome {
    for path in [
        "/plain.txt",
        "/%70lain.txt",
        "/plain%2Etxt",
        "/plain%2etxt",
        "/./plain.txt",
        "/dir/../plain.txt",
        "/dir/%2e%2E/plain.txt",
        "/dir/.%2e/plain.txt",
        "/%2e/plain.txt",
        "/missing/../plain.txt",
        "//plain.txt",
        // `..` removes the empty segment before it.
        "//../plain.txt",
        "/dir//../../plain.txt",
        "/dir/..//./plain.txt",
        "/plain.txt?a=/../b%00",
        "http://test/plain.txt",
        // A fragment is the client's own.
        "/plain.txt#part",
        "/plain.txt#part/../x?y",
        "/plain.txt?a#b?c",
        "http://test/plain.txt#part",
        "/plain.txt?gr\u{fc}n",
    ] {
        target.get(path)?.expect_body(200, PLAIN).during(path)?;
    }
    target.get("/dir/../dir/./")?.expect_body(200, DIR_INDEX)?;
    // An encoded slash is a slash, as nginx and lighttpd have it.
    for path in ["/dir%2ffile.txt", "/dir%2F%2Ffile.txt", "/%2Fdir/file.txt"] {
        target
            .get(path)?
            .expect_body(200, b"in dir\n")
            .during(path)?;
    }
    // Together with dot segments it could be read in two ways.
    for path in [
        "/dir/..%2fplain.txt",
        "/dir%2f../plain.txt",
        "/x/dir%2fy/../file.txt",
        "/dir%2f./file.txt",
    ] {
        target.get(path)?.expect(400).during(path)?;
    }
    Ok(())
}

/// Bytes that a POSIX file name may have and that mean something elsewhere.
fn unusual_bytes(target: &Target) -> Outcome {
    let Some(site) = &target.site else {
        crate::fail!("no site directory")
    };
    let folder = crate::site_fixture::live_folder(site, "bytes")?;
    for (name, path) in [
        (&b"back\\slash"[..], "/back%5Cslash"),
        (b"back\\slash", "/back\\slash"),
        (b"x\\..\\y", "/x%5C..%5Cy"),
        (b"line\nend", "/line%0Aend"),
        (b"\x01\x1b[2J\x7f", "/%01%1B[2J%7F"),
        (b"quote\"<>", "/quote\"<>"),
        (b"no utf-8 \xff", "/no%20utf-8%20%FF"),
        (b"hash#mark", "/hash%23mark"),
        (b"question?mark", "/question%3Fmark"),
    ] {
        use std::os::unix::ffi::OsStrExt;
        std::fs::write(folder.path.join(std::ffi::OsStr::from_bytes(name)), name)?;
        let path = format!("{}{path}", folder.url);
        target.get(&path)?.expect_body(200, name).during(&path)?;
    }
    // One that is a directory: the redirect neither ends the field's line nor leads to another host.
    std::fs::create_dir_all(folder.path.join("a\r\nX: y\\b"))?;
    let path = format!("{}/a%0D%0AX:%20y%5Cb", folder.url);
    let reply = target.get(&path)?.expect(301)?;
    let told = reply.field("Location");
    ensure!(told == Some("./a%0D%0AX:%20y%5Cb/"), "Location is {told:?}");
    Ok(())
}

fn odd_names(target: &Target) -> Outcome {
    for (name, path) in ODD_NAMES {
        target
            .get(path)?
            .expect_body(200, name.as_bytes())
            .during(name)?;
    }
    // As it is typed, without an escape.
    target
        .get("/gr\u{fc}\u{df}e.txt")?
        .expect_body(200, "gr\u{fc}\u{df}e.txt".as_bytes())?;
    // Decoded once, not twice.
    target.get("/per%41cent.txt")?.expect(404)?;
    target.get("/%2570lain.txt")?.expect(404)?;
    // A plus is a plus in a path.
    target.get("/name+with+space.txt")?.expect(404)?;
    Ok(())
}

fn outside(target: &Target) -> Outcome {
    for path in [
        "/../outside/secret.txt",
        "/../../../../../../etc/passwd",
        "/dir/../../outside/secret.txt",
        "/%2e%2e/outside/secret.txt",
        "/%2e./outside/secret.txt",
        "/.%2E/outside/secret.txt",
        "/..%2foutside/secret.txt",
        "/%2e%2e%2foutside%2fsecret.txt",
        "/..%5coutside%5csecret.txt",
        "/..\\outside\\secret.txt",
        "/%252e%252e/outside/secret.txt",
        "/dir/..%2f..%2foutside/secret.txt",
        "/....//outside/secret.txt",
        "/..;/outside/secret.txt",
        "/.../outside/secret.txt",
        "/%c0%ae%c0%ae/outside/secret.txt",
        "/..%00/outside/secret.txt",
        "/escape.txt",
        "/escape/secret.txt",
        "/escape/",
        "/escape",
        "/dir/../escape.txt",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/outside/secret.txt",
        "http://test/../outside/secret.txt",
        "/loop",
        "/loop/x",
    ] {
        let reply = target.get(path).during(path)?;
        ensure!(
            [400, 403, 404].contains(&reply.status()),
            "{path} was answered with {}",
            reply.status()
        );
        let leaked = reply.body.windows(6).any(|window| window == &SECRET[..6]);
        ensure!(
            !leaked && !reply.text().contains("root:"),
            "{path} leaked {}",
            reply.text()
        );
    }
    Ok(())
}

/// Links may be refused altogether; when they are followed, to the right file.
fn inside_link(target: &Target) -> Outcome {
    let reply = target.get("/inside.txt")?;
    match reply.status() {
        200 => drop(reply.expect_body(200, PLAIN)?),
        status => ensure!(
            [403, 404].contains(&status),
            "a link inside the root was answered with {status}"
        ),
    }
    Ok(())
}

fn redirects(target: &Target) -> Outcome {
    for (path, location) in [
        ("/dir", "/dir/"),
        ("/dir?a=b", "/dir/?a=b"),
        ("/dir?", "/dir/?"),
        ("/bare", "/bare/"),
        ("/%64ir?x=%20", "/%64ir/?x=%20"),
        ("/x/..//bare/../dir", "/x/..//bare/../dir/"),
        ("//./dir?/..", "//./dir/?/.."),
        ("//dir", "//dir/"),
        ("/dir#part", "/dir/"),
        ("/dir?a#b", "/dir/?a"),
        ("http://test/dir?a", "http://test/dir/?a"),
        // What may not stand in a URI is encoded.
        ("/dir?\"<>", "/dir/?%22%3C%3E"),
        ("/dir?100%", "/dir/?100%25"),
        ("/dir?\u{fc}", "/dir/?%C3%BC"),
    ] {
        let reply = target.get(path)?.expect(301).during(path)?;
        let told = reply.field("Location").unwrap_or_default();
        // Relative, so that a prefix that a proxy stripped stays, and the host whatever it was.
        ensure!(
            !told.starts_with('/') && !told.contains("://") && !told.contains(':'),
            "{path}: Location is {told:?}"
        );
        // RFC 3986 section 5.2.3, dot segments left alone.
        let base = path.split(['?', '#']).next().unwrap_or_default();
        let resolved = format!("{}{told}", &base[..=base.rfind('/').unwrap_or(0)]);
        ensure!(resolved == location, "{path}: Location is {told:?}");
        let there = target.get(&resolved)?;
        ensure!(
            there.status() != 301,
            "{path}: {resolved} is answered with {} again",
            there.status()
        );
    }
    let head = target.ask("HEAD", "/dir", "")?.expect(301)?;
    ensure!(
        head.field("Location")
            .is_some_and(|told| told.ends_with("dir/")),
        "HEAD is sent elsewhere"
    );
    Ok(())
}

/// Without an index and without listings: 403 or 404, as the server likes; with listings a page.
fn bare(target: &Target) -> Outcome {
    let reply = target.get("/bare/")?;
    match reply.status() {
        200 => ensure!(
            reply.text().contains("file.txt"),
            "a listing without the file: {}",
            reply.text()
        ),
        status => ensure!(
            [403, 404].contains(&status),
            "a directory without index was answered with {status}"
        ),
    }
    target
        .get("/bare/file.txt")?
        .expect_body(200, b"in bare\n")?;
    Ok(())
}

fn slash_after_file(target: &Target) -> Outcome {
    for path in [
        "/plain.txt/",
        "/plain.txt/x",
        "/plain.txt/../plain.txt/",
        "/dir/file.txt/",
    ] {
        target.get(path)?.expect(404).during(path)?;
    }
    Ok(())
}

fn missing(target: &Target) -> Outcome {
    for path in [
        "/missing.txt",
        "/missing/",
        "/dir/missing",
        "/PLAIN.TXT",
        "/plain.tx",
        "/plain.txtt",
        "/types/a.",
        "/plain.txt%20",
    ] {
        let reply = target.get(path)?.expect(404).during(path)?;
        ensure!(
            !reply.body.is_empty(),
            "{path}: 404 has no text for a person"
        );
        ensure!(!reply.text().contains("<script"), "{path}: markup");
    }
    Ok(())
}

fn methods(target: &Target) -> Outcome {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let reply = target
            .ask(method, "/plain.txt", "Content-Length: 0\r\n")?
            .expect(405)
            .during(method)?;
        for allowed in ["GET", "HEAD"] {
            ensure!(
                reply.head.lists("Allow", allowed),
                "{method}: Allow is {:?}",
                reply.field("Allow")
            );
        }
    }
    let reply = target.ask("OPTIONS", "/plain.txt", "")?;
    ensure!(
        [200, 204].contains(&reply.status()),
        "OPTIONS was answered with {}",
        reply.status()
    );
    ensure!(
        reply.head.lists("Allow", "GET"),
        "OPTIONS: Allow is {:?}",
        reply.field("Allow")
    );
    target.ask("DELETE", "/missing.txt", "").and_then(|reply| {
        ensure!(
            [404, 405].contains(&reply.status()),
            "DELETE of nothing was answered with {}",
            reply.status()
        );
        Ok(())
    })?;
    target.get("/plain.txt")?.expect_body(200, PLAIN)?;
    Ok(())
}

fn bad_encodings(target: &Target) -> Outcome {
    for path in [
        "/%",
        "/%4",
        "/%zz",
        "/plain%",
        "/plain.txt%2",
        "/%g0",
        "/%00",
        "/a%0",
        "/plain.txt%00",
    ] {
        target.get(path)?.expect(400).during(path)?;
    }
    // A slash to some file systems, and to browsers that are sent to one; here a byte of a name that
    // no file has.
    for path in [
        "/dir%5cfile.txt",
        "/dir\\file.txt",
        "/..%5Cplain.txt",
        "/dir/..\\plain.txt",
        "/\\evil.example",
        "/\\dir",
    ] {
        let reply = target.get(path)?.expect(404).during(path)?;
        ensure!(reply.field("Location").is_none(), "{path} leads elsewhere");
    }
    // Bytes that are no UTF-8 name no file here, and do no harm.
    target.get("/%ff%fe")?.expect(404)?;
    for path in ["/%0d%0aX-Injected:%20yes", "/%0a", "/%7f", "/%1b%5b2J"] {
        let reply = target.get(path)?;
        ensure!(
            [400, 404].contains(&reply.status()),
            "{path} was answered with {}",
            reply.status()
        );
        ensure!(reply.field("X-Injected").is_none(), "{path} added a field");
    }
    Ok(())
}

fn long(target: &Target) -> Outcome {
    // A name longer than file systems have, and a path deeper than they go: still no server error.
    for path in [
        "/".to_owned() + &"n".repeat(300),
        "/d".repeat(1500),
        "/../".repeat(500) + "plain.txt",
        "/".repeat(1000),
    ] {
        let reply = target
            .get(&path)
            .during(format!("a path of {} bytes", path.len()))?;
        ensure!(
            reply.status() < 500,
            "a path of {} bytes was answered with {}",
            path.len(),
            reply.status()
        );
    }
    let mut client = target.connect()?;
    client.send_some(get(&("/".to_owned() + &"n".repeat(100_000))).as_bytes());
    client.reply(Asked::Get)?.expect(414)?;
    client.expect_fin()
}

/// Opening a pipe waits for its other end unless the server takes care.
fn special(target: &Target) -> Outcome {
    let start = Instant::now();
    let reply = target.get("/pipe")?;
    ensure!(
        [403, 404].contains(&reply.status()),
        "a pipe was answered with {}",
        reply.status()
    );
    ensure!(
        start.elapsed() < Duration::from_secs(10),
        "a pipe held the worker for {:?}",
        start.elapsed()
    );
    target.get("/plain.txt")?.expect_body(200, PLAIN)?;
    Ok(())
}

/// Whether names with a dot are served is the server's choice; nothing else may come.
fn hidden(target: &Target) -> Outcome {
    let reply = target.get("/.hidden")?;
    match reply.status() {
        200 => drop(reply.expect_body(200, b"hidden\n")?),
        status => ensure!(
            [403, 404].contains(&status),
            "a hidden file was answered with {status}"
        ),
    }
    Ok(())
}
