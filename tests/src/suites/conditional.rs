//! Validators and preconditions of static files (RFC 9110 section 13).

use super::Case;
use crate::client::Reply;
use crate::failure::{During, Outcome};
use crate::site_fixture::PLAIN;
use crate::target::{Features, Target};
use crate::{ensure, fail};

/// The cases.
pub const CASES: &[Case] = &[
    Case {
        name: "files_have_validators",
        needs: Features::SITE,
        run: validators,
    },
    Case {
        name: "if_none_match",
        needs: Features::SITE,
        run: if_none_match,
    },
    Case {
        name: "if_modified_since",
        needs: Features::SITE,
        run: if_modified_since,
    },
    Case {
        name: "if_match",
        needs: Features::SITE,
        run: if_match,
    },
    Case {
        name: "if_unmodified_since",
        needs: Features::SITE,
        run: if_unmodified_since,
    },
    Case {
        name: "order_of_several_conditions",
        needs: Features::SITE,
        run: order,
    },
    Case {
        name: "if_range",
        needs: Features::SITE,
        run: if_range,
    },
    Case {
        name: "fields_that_may_come_once_but_come_twice",
        needs: Features::SITE,
        run: repeated,
    },
    Case {
        name: "not_modified_has_the_fields_of_200",
        needs: Features::SITE,
        run: fields_of_304,
    },
    Case {
        name: "conditions_on_what_is_missing",
        needs: Features::SITE,
        run: missing,
    },
];

const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// Before what many clocks can count.
const ANCIENT: &str = "Thu, 01 Jan 1920 00:00:00 GMT";
const FUTURE: &str = "Fri, 31 Dec 2100 23:59:59 GMT";

/// The entity tag and the modification date of `plain.txt`.
fn known(target: &Target) -> Outcome<(String, String)> {
    let reply = target.get("/plain.txt")?.expect_body(200, PLAIN)?;
    match (reply.field("ETag"), reply.field("Last-Modified")) {
        (Some(tag), Some(date)) => Ok((tag.to_owned(), date.to_owned())),
        (tag, date) => fail!("ETag is {tag:?}, Last-Modified {date:?}"),
    }
}

fn check(target: &Target, fields: &str, status: u16) -> Outcome<Reply> {
    let get = target
        .ask("GET", "/plain.txt", fields)?
        .expect(status)
        .during(format!("GET with {fields:?}"))?;
    let head = target.ask("HEAD", "/plain.txt", fields)?;
    // Range is for GET only; all else is the same for HEAD.
    let expected = if status == 206 || status == 416 {
        200
    } else {
        status
    };
    head.expect(expected)
        .during(format!("HEAD with {fields:?}"))?;
    ensure!(
        status != 200 || get.body == PLAIN,
        "{fields:?}: not the whole file"
    );
    Ok(get)
}

fn validators(target: &Target) -> Outcome {
    let (tag, _) = known(target)?;
    let opaque = tag.strip_prefix("W/").unwrap_or(&tag);
    let quoted = opaque.len() >= 2 && opaque.starts_with('"') && opaque.ends_with('"');
    ensure!(
        quoted && !opaque[1..opaque.len() - 1].contains('"'),
        "ETag {tag} is no entity tag"
    );
    let (again, _) = known(target)?;
    ensure!(
        tag == again,
        "the ETag of an unchanged file changed from {tag} to {again}"
    );
    let other = target.get("/dir/file.txt")?.expect(200)?;
    ensure!(
        other.field("ETag") != Some(&tag),
        "two files have the same ETag"
    );
    let head = target.ask("HEAD", "/plain.txt", "")?.expect(200)?;
    ensure!(
        head.field("ETag") == Some(&tag),
        "HEAD tells another ETag: {:?}",
        head.field("ETag")
    );
    ensure!(
        head.field("Content-Length") == Some("36"),
        "HEAD tells length {:?}",
        head.field("Content-Length")
    );
    Ok(())
}

fn if_none_match(target: &Target) -> Outcome {
    let (tag, _) = known(target)?;
    let weak = tag
        .strip_prefix("W/")
        .map_or_else(|| format!("W/{tag}"), str::to_owned);
    for (fields, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        // The comparison is weak (section 13.1.2).
        (format!("If-None-Match: {weak}\r\n"), 304),
        ("If-None-Match: *\r\n".into(), 304),
        (format!("If-None-Match: \"a\", {tag} , \"b,c\"\r\n"), 304),
        (
            format!("If-None-Match: \"a\"\r\nIf-None-Match: {tag}\r\n"),
            304,
        ),
        ("If-None-Match: \"other\"\r\n".into(), 200),
        // `*` is no element of a list.
        ("If-None-Match: \"other\", *\r\n".into(), 200),
        ("If-None-Match: *\r\nIf-None-Match: *\r\n".into(), 200),
        ("If-None-Match: \"a,*\"\r\n".into(), 200),
    ] {
        check(target, &fields, status)?;
    }
    Ok(())
}

fn if_modified_since(target: &Target) -> Outcome {
    let (_, date) = known(target)?;
    for (value, status) in [
        (date.as_str(), 304),
        (OLD, 200),
        (ANCIENT, 200),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 200),
        ("Sun Nov  6 08:49:37 1994", 200),
        // No date at all: as if the field were not there.
        ("yesterday", 200),
        ("", 200),
        ("Sun, 06 Nov 1994 25:00:00 GMT", 200),
    ] {
        check(target, &format!("If-Modified-Since: {value}\r\n"), status)?;
    }
    Ok(())
}

fn if_match(target: &Target) -> Outcome {
    let (tag, _) = known(target)?;
    for (fields, status) in [
        ("If-Match: *\r\n".to_owned(), 200),
        ("If-Match: \"other\"\r\n".into(), 412),
        // Weak tags never match here (section 13.1.1: strong comparison).
        (
            format!("If-Match: W/{}\r\n", tag.trim_start_matches("W/")),
            412,
        ),
    ] {
        check(target, &fields, status)?;
    }
    if !tag.starts_with("W/") {
        check(target, &format!("If-Match: \"x\", {tag}\r\n"), 200)?;
    }
    Ok(())
}

fn if_unmodified_since(target: &Target) -> Outcome {
    let (_, date) = known(target)?;
    for (value, status) in [
        (date.as_str(), 200),
        (FUTURE, 200),
        (OLD, 412),
        (ANCIENT, 412),
        ("yesterday", 200),
    ] {
        check(target, &format!("If-Unmodified-Since: {value}\r\n"), status)?;
    }
    Ok(())
}

/// Section 13.2.2: If-Match, else If-Unmodified-Since; If-None-Match, else If-Modified-Since.
fn order(target: &Target) -> Outcome {
    let (tag, date) = known(target)?;
    for (fields, status) in [
        (
            format!("If-Match: *\r\nIf-Unmodified-Since: {OLD}\r\n"),
            200,
        ),
        (
            format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {date}\r\n"),
            200,
        ),
        (
            format!("If-None-Match: {tag}\r\nIf-Modified-Since: {OLD}\r\n"),
            304,
        ),
        (
            format!("If-None-Match: {tag}\r\nIf-Match: \"other\"\r\n"),
            412,
        ),
        (format!("If-Match: *\r\nIf-None-Match: {tag}\r\n"), 304),
        (
            format!("If-Unmodified-Since: {OLD}\r\nIf-Modified-Since: {date}\r\n"),
            412,
        ),
        (format!("If-None-Match: {tag}\r\nRange: bytes=0-4\r\n"), 304),
        ("If-Match: \"other\"\r\nRange: bytes=0-4\r\n".into(), 412),
        ("If-Match: \"other\"\r\nRange: bytes=99-\r\n".into(), 412),
    ] {
        check(target, &fields, status)?;
    }
    Ok(())
}

fn if_range(target: &Target) -> Outcome {
    let (tag, _) = known(target)?;
    if !tag.starts_with("W/") {
        check(
            target,
            &format!("If-Range: {tag}\r\nRange: bytes=0-4\r\n"),
            206,
        )?
        .expect_body(206, b"01234")?;
        check(
            target,
            &format!("If-Range: {tag}\r\nRange: bytes=99-\r\n"),
            416,
        )?;
    }
    for value in [
        "\"other\"",
        OLD,
        FUTURE,
        &format!("W/{}", tag.trim_start_matches("W/")),
        "nonsense",
    ] {
        check(
            target,
            &format!("If-Range: {value}\r\nRange: bytes=0-4\r\n"),
            200,
        )?;
        // What does not apply cannot be unsatisfiable either.
        check(
            target,
            &format!("If-Range: {value}\r\nRange: bytes=99-\r\n"),
            200,
        )?;
    }
    // A date is a weak validator unless the file is a minute older than Date (section 8.8.2.2), so
    // 206 and 200 are both right for the file's own.
    Ok(())
}

/// Such a field is malformed (section 5.3): it does not count, and all of the file is sent.
fn repeated(target: &Target) -> Outcome {
    let (tag, date) = known(target)?;
    for fields in [
        "Range: bytes=0-4\r\nRange: bytes=0-4\r\n".to_owned(),
        "Range: bytes=99-\r\nRange: bytes=0-4\r\n".into(),
        format!("Range: bytes=0-4\r\nIf-Range: {tag}\r\nIf-Range: {tag}\r\n"),
        format!("If-Modified-Since: {date}\r\nIf-Modified-Since: {date}\r\n"),
        format!("If-Unmodified-Since: {OLD}\r\nIf-Unmodified-Since: {OLD}\r\n"),
    ] {
        check(target, &fields, 200)?;
    }
    Ok(())
}

fn fields_of_304(target: &Target) -> Outcome {
    let (tag, _) = known(target)?;
    let whole = target.get("/plain.txt")?;
    let reply = check(target, &format!("If-None-Match: {tag}\r\n"), 304)?;
    for name in [
        "ETag",
        "Vary",
        "Cache-Control",
        "Content-Location",
        "Expires",
    ] {
        ensure!(
            reply.field(name) == whole.field(name),
            "{name}: {:?} in 304, {:?} in 200",
            reply.field(name),
            whole.field(name)
        );
    }
    Ok(())
}

fn missing(target: &Target) -> Outcome {
    target
        .ask("GET", "/missing.txt", "If-None-Match: *\r\n")?
        .expect(404)?;
    // Preconditions are ignored where the reply without them is no success (section 13.2.1).
    target
        .ask("GET", "/missing.txt", "If-Match: *\r\n")?
        .expect(404)?;
    target
        .ask("GET", "/dir", "If-None-Match: *\r\n")?
        .expect(301)?;
    Ok(())
}
