//! Chromium without a window: what it makes of a page, as a document and as a picture.
//!
//! It gets a folder of its own, reaches no address but 127.0.0.1, and ends by itself.

use capuchin_tests::fail;
use capuchin_tests::failure::{During, Outcome};
use capuchin_tests::process::run_within;
use capuchin_tests::runner::Absent;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What it is called, by Debian and others.
const NAMES: [&str; 2] = ["chromium", "chromium-browser"];

/// On a machine that has much else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// A look at a page.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The picture's name.
    pub name: &'static str,
    /// The window's size, in pixels.
    pub width: usize,
    pub height: usize,
    pub is_dark: bool,
    /// How long the page is looked at, by its own clock, which stands still while it waits for a reply.
    pub milliseconds: u32,
}

/// What came of it.
pub struct Seen {
    /// The document as it was at the end.
    pub document: String,
    /// The file with the picture.
    pub picture: PathBuf,
}

/// Whether there is a browser.
pub fn is_there() -> Result<(), Absent> {
    match program() {
        Some(_) => Ok(()),
        None => Err(Absent::Missing(
            "no chromium on the PATH: apt-get install chromium".into(),
        )),
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let mut places = NAMES
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.find(|place| place.is_file())
}

/// Opens `/` of this address. The picture is left in `folder`.
pub fn look(look: Look, address: SocketAddr, folder: &Path) -> Outcome<Seen> {
    let Some(program) = program() else {
        fail!("the browser is gone")
    };
    let home = folder.join(format!("browser-{}", std::process::id()));
    let picture = folder.join(format!("{}.png", look.name));
    fs::create_dir_all(&home).during("a folder for the browser")?;
    // One of a run before must not be taken for this one's.
    let _ = fs::remove_file(&picture);
    let mut command = Command::new(program);
    command.env("HOME", &home);
    for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
        command.env(name, &home);
    }
    command
        .args(["--headless=new", "--disable-gpu", "--hide-scrollbars"])
        // The sandbox is not to be had by root, nor in most containers; the page is our own.
        .args(["--no-sandbox", "--disable-dev-shm-usage"])
        .args([
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-sync",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args(["--disable-breakpad", "--disable-extensions", "--mute-audio"])
        .args([
            "--no-proxy-server",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .arg(format!("--window-size={},{}", look.width, look.height))
        .arg(format!("--virtual-time-budget={}", look.milliseconds))
        // Blink's numbers for what the user prefers.
        .arg(format!(
            "--blink-settings=preferredColorScheme={}",
            if look.is_dark { 0 } else { 1 }
        ))
        .arg(format!("--screenshot={}", picture.display()))
        .arg("--dump-dom")
        .arg(format!("http://{address}/"));
    let ran = run_within(command, LIMIT);
    // What is left of it harms nobody.
    let _ = fs::remove_dir_all(&home);
    let (status, document) = ran?;
    if !status.success() || !picture.is_file() {
        fail!("the browser: {status}\n{document}");
    }
    Ok(Seen { document, picture })
}
