//! Replays the seeds of the fuzz targets, so that the stable toolchain runs the targets' bodies.

#[path = "../../tests/fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// Runs `target` on every seed, on every beginning of it, and with each byte changed.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fuzz/seeds")
        .join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("a folder of seeds") {
        let seed = std::fs::read(entry.expect("an entry").path()).expect("a seed");
        target(&seed);
        for end in 0..seed.len() {
            target(&seed[..end]);
            for byte in [b'\r', b'\n', b' ', b':', 0, 0xff] {
                let mut changed = seed.clone();
                changed[end] = byte;
                target(&changed);
            }
        }
        count += 1;
    }
    assert!(count > 5, "{count} seeds for {name}");
}

#[test]
fn head() {
    replay("head", targets::head);
}

#[test]
fn chunked() {
    replay("chunked", targets::chunked);
}

#[test]
fn date() {
    replay("date", targets::date);
}

#[test]
fn path() {
    replay("path", targets::path);
}

#[test]
fn range() {
    replay("range", targets::range);
}

#[test]
fn conditional() {
    replay("conditional", targets::conditional);
}

#[test]
fn encoding() {
    replay("encoding", targets::encoding);
}

#[test]
fn connection() {
    replay("connection", targets::connection::connection);
}
