//! The site of known files that static suites ask for; the tables of `FIXTURE.md` in code.

use crate::failure::{During, Outcome};
use crate::pattern;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `plain.txt`.
pub const PLAIN: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// `index.html`.
pub const INDEX: &[u8] = b"<!doctype html><title>root</title>\n";

/// `dir/index.html`.
pub const DIR_INDEX: &[u8] = b"<!doctype html><title>dir</title>\n";

/// `pattern.bin`: its length and its seed.
pub const PATTERN: (usize, u64) = (70_000, 7);

/// `big.bin`: its length and its seed.
pub const BIG: (u64, u64) = (64 << 20, 3);

/// What lies outside the root: no reply may ever hold it.
pub const SECRET: &[u8] = b"secret, outside of the root\n";

/// Suffixes under `types/`, with the essence of the media type each should get. The last may get
/// any that makes a browser keep its hands off.
pub const TYPES: &[(&str, &[&str])] = &[
    ("html", &["text/html"]),
    ("css", &["text/css"]),
    ("js", &["text/javascript", "application/javascript"]),
    ("json", &["application/json"]),
    ("svg", &["image/svg+xml"]),
    ("png", &["image/png"]),
    ("jpg", &["image/jpeg"]),
    ("txt", &["text/plain"]),
    ("wasm", &["application/wasm"]),
    ("pdf", &["application/pdf"]),
    ("woff2", &["font/woff2"]),
    // A server may look at the content, which is text.
    ("unknownsuffix", &["application/octet-stream", "text/plain"]),
];

/// Names with characters that have to be encoded in a path, and how they are.
pub const ODD_NAMES: &[(&str, &str)] = &[
    ("name with space.txt", "/name%20with%20space.txt"),
    ("per%41cent.txt", "/per%2541cent.txt"),
    ("plus+sign.txt", "/plus+sign.txt"),
    ("grüße.txt", "/gr%C3%BC%C3%9fe.txt"),
];

/// A site in a directory of its own, removed when dropped.
#[derive(Debug)]
pub struct SiteFixture {
    base: PathBuf,
}

impl SiteFixture {
    /// Makes one in the system's directory for temporary files.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn new() -> Outcome<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!(
            "capuchin-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let fixture = Self {
            base: std::env::temp_dir().join(unique),
        };
        write(&fixture.base).during("making the test site")?;
        Ok(fixture)
    }

    /// The directory to serve.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.base.join("root")
    }
}

impl Drop for SiteFixture {
    fn drop(&mut self) {
        // Best effort: what is left over is in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.base);
    }
}

/// Writes the site to `base/root`, and what must not be reached to `base/outside`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(base: &Path) -> Outcome {
    let root = base.join("root");
    for folder in [
        "root/dir",
        "root/bare",
        "root/types",
        "root/live",
        "outside",
    ] {
        fs::create_dir_all(base.join(folder)).during(folder)?;
    }
    let put = |name: &str, bytes: &[u8]| fs::write(root.join(name), bytes).during(name);
    put("index.html", INDEX)?;
    put("plain.txt", PLAIN)?;
    put("empty.txt", b"")?;
    put("pattern.bin", &pattern::bytes(PATTERN.0, PATTERN.1))?;
    put("dir/index.html", DIR_INDEX)?;
    put("dir/file.txt", b"in dir\n")?;
    put("bare/file.txt", b"in bare\n")?;
    put(".hidden", b"hidden\n")?;
    for (suffix, _) in TYPES {
        put(
            &format!("types/a.{suffix}"),
            format!("a.{suffix}").as_bytes(),
        )?;
    }
    for (name, _) in ODD_NAMES {
        put(name, name.as_bytes())?;
    }
    big(&root.join("big.bin"))?;
    fs::write(base.join("outside/secret.txt"), SECRET)?;
    links(&root)
}

fn big(path: &Path) -> Outcome {
    let mut file = fs::File::create(path)?;
    let mut piece = vec![0; 1 << 20];
    for offset in (0..BIG.0).step_by(piece.len()) {
        pattern::fill(&mut piece, offset, BIG.1);
        file.write_all(&piece)?;
    }
    Ok(())
}

#[cfg(unix)]
fn links(root: &Path) -> Outcome {
    use std::os::unix::fs::symlink;
    for (target, name) in [
        ("../outside/secret.txt", "escape.txt"),
        ("../outside", "escape"),
        ("plain.txt", "inside.txt"),
        ("loop", "loop"),
    ] {
        if !root.join(name).is_symlink() {
            symlink(target, root.join(name)).during(name)?;
        }
    }
    let pipe = root.join("pipe");
    if !pipe.exists() {
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .during("mkfifo")?;
        crate::ensure!(made.success(), "mkfifo failed");
    }
    Ok(())
}

#[cfg(not(unix))]
fn links(_: &Path) -> Outcome {
    Ok(())
}

/// A folder under `live/` for one case, removed when dropped.
#[derive(Debug)]
pub struct LiveFolder {
    /// Where it is on disk.
    pub path: PathBuf,
    /// Its path in requests, without a slash at its end.
    pub url: String,
}

impl Drop for LiveFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a folder that no other case uses.
///
/// # Errors
/// When it cannot be made.
pub fn live_folder(site: &Path, theme: &str) -> Outcome<LiveFolder> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "{theme}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let path = site.join("live").join(&name);
    fs::create_dir_all(&path).during("making a folder under live/")?;
    Ok(LiveFolder {
        path,
        url: format!("/live/{name}"),
    })
}

/// Puts `bytes` in the place of the file at once: readers see the old content or the new.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Outcome {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    fs::write(&fresh, bytes)?;
    Ok(fs::rename(&fresh, path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_is_made_and_removed() {
        let fixture = SiteFixture::new().unwrap();
        let root = fixture.root();
        assert_eq!(fs::read(root.join("plain.txt")).unwrap(), PLAIN);
        assert_eq!(fs::metadata(root.join("big.bin")).unwrap().len(), BIG.0);
        assert_eq!(fs::read(root.join("escape.txt")).unwrap(), SECRET);
        let folder = live_folder(&root, "own").unwrap();
        let file = folder.path.join("a");
        replace(&file, b"1").unwrap();
        replace(&file, b"2").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"2");
        drop((folder, fixture));
        assert!(!root.exists());
    }
}
