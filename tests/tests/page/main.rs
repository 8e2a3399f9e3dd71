//! The page that shows the state of the running image (`targets/standalone/page.html`), seen by a browser.
//!
//! Where there is no Chromium, QEMU or toolchain for the image all is reported as ignored. The pictures are
//! left in the target folder for people to look at.

mod browser;
mod picture;

use browser::{Look, look};
use capuchin_qemu::Machine;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::standalone::{self, boot, connect, state};
use capuchin_tests::{ensure, fail};
use picture::Picture;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;

const CARGO_FOLDER: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/..");
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/standalone-page");

/// Long enough for the page to ask for figures at 0, 1, 2, 3 and 4 seconds.
const LOOKS: u64 = 5;
const MILLISECONDS: u32 = 4_500;

const DESKTOP: Look = Look {
    name: "desktop",
    width: 1_000,
    height: 720,
    is_dark: false,
    milliseconds: MILLISECONDS,
};

const DARK: Look = Look {
    name: "dark",
    is_dark: true,
    ..DESKTOP
};

const PHONE: Look = Look {
    name: "phone",
    width: 390,
    height: 844,
    ..DESKTOP
};

/// The edge of a window on each side that a page leaves free: what is there is cut off.
const EDGE: usize = 8;

/// Ink of a text, of a thousand pixels of the region that it is in.
const TEXT: Range<usize> = 10..400;

fn main() -> ExitCode {
    standalone::run_with(
        CARGO_FOLDER,
        browser::is_there,
        &[
            ("page", "shows_figures_that_go_on_by_themselves", figures),
            ("page", "is_seen_on_a_desktop", |image| {
                // The heading, the sentence below it, the four values, and the two columns of the list.
                let mut regions = vec![
                    ("heading", 132..300, 40..80),
                    ("sentence", 132..868, 82..110),
                ];
                let values = [0, 1, 2, 3].map(|n| 140 + n * 187..300 + n * 187);
                regions.extend(values.map(|across| ("value", across, 142..176)));
                regions.extend([("list", 132..484, 235..665), ("list", 516..868, 235..635)]);
                is_seen(image, DESKTOP, &regions)?;
                is_seen(image, DARK, &regions)
            }),
            ("page", "is_seen_on_a_phone", |image| {
                let mut regions = vec![("heading", 16..190, 40..80)];
                for down in [166..200, 255..290] {
                    regions.extend([("value", 24..180, down.clone()), ("value", 209..365, down)]);
                }
                regions.push(("list", 16..374, 350..840));
                is_seen(image, PHONE, &regions)
            }),
        ],
    )
}

/// What the page shows is what `/state` tells, all of it, and it is asked for again and again.
fn figures(image: &Path) -> Outcome {
    let (machine, _) = boot(image)?;
    let before = ask(&machine)?;
    let seen = look(DESKTOP, machine.address(), &folder()?)?;
    let after = ask(&machine)?;
    let shown = shown(&seen.document)?;
    for (name, &least) in &before {
        let Some(value) = shown.get(name.as_str()) else {
            fail!("the page does not show {name}:\n{}", seen.document)
        };
        let most = after.get(name).copied().unwrap_or(0);
        let (value, least, most) = match name.as_str() {
            "uptime_ms" => (seconds(value)?, least / 1_000, most / 1_000),
            "memory_bytes" => {
                let expected = format!("{} KB", (least + 512) / 1_024);
                ensure!(*value == expected, "{name} is {expected}, not {value}");
                continue;
            }
            // The only one that goes down: the browser's own are open.
            "connections_open" => (number(value)?, 1, least + 6),
            _ => (number(value)?, least, most),
        };
        ensure!(
            (least..=most).contains(&value),
            "{name} is from {least} to {most}, the page shows {value}"
        );
    }
    ensure!(
        shown.len() == before.len(),
        "the page shows more: {shown:?}"
    );
    // The page itself, and each time that it looked: the last one's figure is shown.
    let requests = number(shown["requests"])? - before["requests"];
    ensure!(
        requests > LOOKS,
        "after {requests} requests the page went on with what it had; it was to look {LOOKS} times"
    );
    ensure!(
        !seen.document.contains("class=\"gone\""),
        "the page says that nobody answers"
    );
    Ok(())
}

fn ask(machine: &Machine) -> Outcome<HashMap<String, u64>> {
    state(&mut connect(machine)?)
}

/// The figures of a document by their names: `<div title="NAME"><span>what</span><b>VALUE</b></div>`.
fn shown(document: &str) -> Outcome<HashMap<&str, &str>> {
    let mut shown = HashMap::new();
    for piece in document.split("<div title=\"").skip(1) {
        let name = piece.split('"').next();
        let value = piece
            .split_once("<b>")
            .and_then(|(_, rest)| rest.split_once("</b>"));
        match name.zip(value) {
            Some((name, (value, _))) => shown.insert(name, value),
            None => fail!("a figure without a value: {piece}"),
        };
    }
    Ok(shown)
}

/// A number with commas.
fn number(value: &str) -> Outcome<u64> {
    value.replace(',', "").parse().during(format!("{value:?}"))
}

/// Hours, minutes and seconds.
fn seconds(value: &str) -> Outcome<u64> {
    value.split(':').try_fold(0, |sum, part| {
        Ok(sum * 60 + part.parse::<u64>().during(format!("{value:?}"))?)
    })
}

type Region = (&'static str, Range<usize>, Range<usize>);

/// There is something to read where it belongs, and nothing beyond.
fn is_seen(image: &Path, wanted: Look, regions: &[Region]) -> Outcome {
    let (machine, _) = boot(image)?;
    let seen = look(wanted, machine.address(), &folder()?)?;
    println!("standalone: {}", seen.picture.display());
    let picture = Picture::read(&seen.picture)?;
    let Look { width, height, .. } = wanted;
    ensure!(
        (picture.width, picture.height) == (width, height),
        "the picture has {} by {} pixels, not {width} by {height}",
        picture.width,
        picture.height
    );
    ensure!(
        (picture.ground() < 128) == wanted.is_dark,
        "the ground has the brightness {}",
        picture.ground()
    );
    for (what, across, down) in regions {
        let ink = picture.ink(across.clone(), down.clone())?;
        ensure!(
            TEXT.contains(&ink),
            "{}: {ink} of 1,000 pixels of {across:?} by {down:?} are ink, that is no {what}",
            wanted.name
        );
    }
    for edge in [0..EDGE, width - EDGE..width] {
        let ink = picture.ink(edge.clone(), 0..height)?;
        ensure!(
            ink == 0,
            "{}: something is cut off at {edge:?}",
            wanted.name
        );
    }
    Ok(())
}

fn folder() -> Outcome<std::path::PathBuf> {
    std::fs::create_dir_all(PICTURES).during(PICTURES)?;
    Path::new(PICTURES).canonicalize().during(PICTURES)
}
