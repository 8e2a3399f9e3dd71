//! What a directory site does when no descriptor is left. Alone in its program, for the limit holds
//! for all of a process.

mod common;

use capuchin::{Directory, DirectoryOptions};
use capuchin_core::site::{Accepts, Content, ContentId, Found, Site, SiteError};
use common::Place;

/// Descriptors that the site may have besides those that are open already.
const SPARE: usize = 6;

/// Leaves room for `more` descriptors, whatever numbers are taken.
fn limit_descriptors(more: usize) {
    let open = |_| std::fs::File::open("/dev/null").expect("a descriptor");
    let free: Vec<_> = (0..=more).map(open).collect();
    // The first number that is one too many.
    let end = std::os::fd::AsRawFd::as_raw_fd(&free[more]) as libc::rlim_t;
    let limit = libc::rlimit {
        rlim_cur: end,
        rlim_max: end,
    };
    // SAFETY: `limit` is valid for reading.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0);
}

fn hold(site: &mut Directory, n: usize) -> Result<(ContentId, u64), SiteError> {
    find(site, &format!("/f{n}"), 0)
}

fn find(site: &mut Directory, path: &str, now: u64) -> Result<(ContentId, u64), SiteError> {
    match site.find(path.as_bytes(), Accepts::identity(), now)? {
        Found::Content(id, representation) => Ok((id, representation.length)),
        Found::Directory => panic!("a directory"),
    }
}

#[test]
fn idle_files_make_way_and_only_held_ones_make_it_busy() {
    let place = Place::new("descriptors");
    for n in 0..40 {
        place.write(&format!("f{n}"), &format!("{n}"));
    }
    let options = DirectoryOptions {
        // From their files, all of them.
        cache_file_bytes: 0,
        ..DirectoryOptions::default()
    };
    let mut site = Directory::open(&place.0, options).expect("a directory");
    let in_memory = DirectoryOptions {
        listing: true,
        ..DirectoryOptions::default()
    };
    let mut small = Directory::open(&place.0, in_memory).expect("a directory");
    let known = find(&mut small, "/f0", 0).expect("found");
    small.release(known.0);
    limit_descriptors(SPARE);
    for n in 0..40 {
        let (id, length) = hold(&mut site, n).expect("an idle file was closed for it");
        let content = site.content(id, 0..length);
        assert!(matches!(content, Content::Bytes(bytes) if bytes == n.to_string().as_bytes()));
        site.release(id);
    }
    let mut held = Vec::new();
    let refused = (0..40).find_map(|n| match hold(&mut site, n) {
        Ok(content) => {
            held.push(content);
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(refused, Some(SiteError::Busy));
    // A file is looked at by one descriptor before it is opened by another.
    assert_eq!(held.len(), SPARE - 1);
    // What is in memory can be sent without a descriptor, though nobody can see whether it is old.
    let again = find(&mut small, "/f0", 1_000).expect("as it was known");
    assert!(matches!(small.content(again.0, 0..1), Content::Bytes(b"0")));
    small.release(again.0);
    assert_eq!(find(&mut small, "/f1", 1_000), Err(SiteError::Busy));
    std::fs::remove_file(place.0.join("f0")).expect("removed");
    for (id, _) in held {
        site.release(id);
    }
    assert!(hold(&mut site, 39).is_ok());
    drop(site);
    assert_eq!(
        find(&mut small, "/f0", 1_000),
        Err(SiteError::NotFound),
        "looked at again as soon as it can be"
    );
}
