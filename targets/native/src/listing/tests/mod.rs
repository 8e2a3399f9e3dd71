mod limits;
mod names;
mod pages;
mod units;

use super::order::{Begin, by_name};
use super::*;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// A directory of its own; gone when dropped.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("capuchin-listing-{id}-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &[u8], bytes: usize) {
        fs::write(self.0.join(OsStr::from_bytes(name)), "x".repeat(bytes)).unwrap();
    }

    fn try_make(&self, options: &DirectoryOptions, query: &str) -> Result<Listing, OpenError> {
        let path = CString::new(self.0.as_os_str().as_bytes()).unwrap();
        let root = Root::open(&path, options.links).unwrap();
        let directory = root.open_beneath(b"/").unwrap();
        let view = View::of_query(query.as_bytes());
        make(&root, b"/", directory, options, view.as_ref())
    }

    fn html(&self, options: &DirectoryOptions, query: &str) -> String {
        String::from_utf8(self.try_make(options, query).unwrap().html).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pages_of(length: usize) -> DirectoryOptions {
    DirectoryOptions {
        listing_page: length,
        ..DirectoryOptions::default()
    }
}

/// The targets of the rows' links, still encoded.
fn rows(html: &str) -> Vec<&str> {
    html.split("<td><a href=\"./")
        .skip(1)
        .map(|row| row.split('"').next().unwrap())
        .collect()
}

/// The query behind a link of the page, such as `Next`.
fn link(html: &str, text: &str) -> Option<String> {
    let before = html
        .split(&format!(">{text}"))
        .next()
        .filter(|before| before.len() < html.len())?;
    let target = before
        .rsplit("href=\"")
        .next()
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let query = target.strip_prefix('?').unwrap_or_else(|| {
        assert_eq!(target, "./");
        ""
    });
    Some(query.replace("&amp;", "&"))
}

/// All pages, followed by the links with this text.
fn follow(place: &Place, options: &DirectoryOptions, first: &str, text: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut query = Some(first.to_owned());
    while let Some(this) = query {
        assert!(pages.len() < 1_000, "the links go round in a circle");
        let html = place.html(options, &this);
        pages.push(rows(&html).into_iter().map(str::to_owned).collect());
        query = link(&html, text);
    }
    pages
}
