//! The directory site as the engine meets it. Time is what a test says, so nothing here waits.

mod common;

use capuchin::{Directory, DirectoryOptions};
use capuchin_core::http::head::{Field, Head, HeadParser, Progress};
use capuchin_core::reply::Opening;
use capuchin_core::service::Request;
use capuchin_core::site::{Accepts, Content, ContentId, Found, Site, SiteError};
use common::Place;
use std::fs;
use std::time::{Duration, SystemTime};

/// Bytes beyond what is kept in memory here.
const LARGE: usize = 300_000;

/// A second, for which the cache believes what it knows.
const SECOND: u64 = 1_000;

fn open(place: &Place, change: impl FnOnce(&mut DirectoryOptions)) -> Directory {
    let mut options = DirectoryOptions::default();
    change(&mut options);
    Directory::open(&place.0, options).expect("a directory")
}

/// Finds content and keeps hold of it; its length with it.
fn hold(site: &mut Directory, path: &str, now: u64) -> Result<(ContentId, u64), SiteError> {
    match site.find(path.as_bytes(), Accepts::identity(), now)? {
        Found::Content(id, representation) => Ok((id, representation.length)),
        Found::Directory => panic!("{path} is a directory"),
    }
}

/// The held content, piece by piece; `None` when it is gone.
fn read(site: &mut Directory, (id, length): (ContentId, u64)) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while (all.len() as u64) < length {
        match site.content(id, all.len() as u64..length) {
            Content::Bytes(piece) => all.extend_from_slice(piece),
            Content::File(_) => panic!("not without sendfile"),
            Content::Gone => return None,
        }
    }
    Some(all)
}

/// One whole reply.
fn get(site: &mut Directory, path: &str, now: u64) -> Result<String, SiteError> {
    let held = hold(site, path, now)?;
    let content = read(site, held).expect("content that nobody changes");
    site.release(held.0);
    Ok(String::from_utf8(content).expect("UTF-8"))
}

/// Puts another file in the place of one, as careful programs do.
fn replace(place: &Place, name: &str, content: &str) {
    place.write("new", content);
    fs::rename(place.0.join("new"), place.0.join(name)).expect("renamed");
}

/// As if it had been written long ago, so that its time tells whether it was changed.
fn settle(place: &Place, name: &str, seconds_ago: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds_ago);
    fs::File::options()
        .write(true)
        .open(place.0.join(name))
        .and_then(|file| file.set_modified(time))
        .expect("a time");
}

#[test]
fn what_is_known_is_believed_for_a_second_and_no_longer() {
    let place = Place::new("believed");
    place.write("a", "old");
    let mut site = open(&place, |_| {});
    assert_eq!(get(&mut site, "/a", 0).as_deref(), Ok("old"));
    replace(&place, "a", "new!");
    assert_eq!(get(&mut site, "/a", SECOND - 1).as_deref(), Ok("old"));
    assert_eq!(get(&mut site, "/a", SECOND).as_deref(), Ok("new!"));
    fs::remove_file(place.0.join("a")).expect("removed");
    assert_eq!(get(&mut site, "/a", 2 * SECOND - 1).as_deref(), Ok("new!"));
    assert_eq!(get(&mut site, "/a", 2 * SECOND), Err(SiteError::NotFound));
}

#[test]
fn file_that_appears_is_found_at_once() {
    let place = Place::new("appears");
    let mut site = open(&place, |_| {});
    assert_eq!(get(&mut site, "/a", 0), Err(SiteError::NotFound));
    place.write("a", "here");
    assert_eq!(get(&mut site, "/a", 0).as_deref(), Ok("here"));
}

#[test]
fn settled_file_is_seen_to_change_with_the_same_length() {
    let place = Place::new("same-length");
    place.write("a", "one");
    settle(&place, "a", 100);
    let mut site = open(&place, |_| {});
    assert_eq!(get(&mut site, "/a", 0).as_deref(), Ok("one"));
    place.write("a", "two");
    settle(&place, "a", 50);
    assert_eq!(get(&mut site, "/a", SECOND).as_deref(), Ok("two"));
}

#[test]
fn replies_go_on_with_the_file_that_they_began_with() {
    let place = Place::new("went-on");
    for (small, length) in [(true, 10), (false, LARGE)] {
        let (old, new) = ("o".repeat(length), "n".repeat(length + 1));
        place.write("a", &old);
        let mut site = open(&place, |_| {});
        let held = hold(&mut site, "/a", 0).expect("found");
        replace(&place, "a", &new);
        assert_eq!(
            get(&mut site, "/a", SECOND).as_deref(),
            Ok(&*new),
            "small: {small}"
        );
        assert_eq!(
            read(&mut site, held),
            Some(old.into_bytes()),
            "small: {small}"
        );
        site.release(held.0);
    }
}

#[test]
fn large_file_changed_in_place_ends_its_replies() {
    let place = Place::new("in-place");
    let changes: [(&str, &dyn Fn()); 4] = [
        ("cut", &|| place.write("a", "short")),
        ("overwritten", &|| place.write("a", &"n".repeat(LARGE))),
        // The one that lengths alone do not tell: its beginning is of another version, too.
        ("overwritten by more", &|| {
            place.write("a", &"n".repeat(LARGE + 1))
        }),
        ("empty", &|| place.write("a", "")),
    ];
    for (name, change) in changes {
        for sendfile in [false, true] {
            place.write("a", &"o".repeat(LARGE));
            settle(&place, "a", 100);
            let mut site = open(&place, |options| options.sendfile = sendfile);
            let (id, length) = hold(&mut site, "/a", 0).expect("found");
            let first = site.content(id, 0..length);
            assert!(!matches!(first, Content::Gone), "{name}");
            change();
            let next = site.content(id, 1_000..length);
            assert!(
                matches!(next, Content::Gone),
                "{name}, sendfile {sendfile}: {next:?}"
            );
            site.release(id);
        }
    }
}

#[test]
fn small_file_changed_in_place_is_sent_as_it_was() {
    let place = Place::new("in-place-small");
    place.write("a", "the whole old text");
    let mut site = open(&place, |_| {});
    let held = hold(&mut site, "/a", 0).expect("found");
    place.write("a", "x");
    assert_eq!(
        read(&mut site, held).as_deref(),
        Some(&b"the whole old text"[..])
    );
    site.release(held.0);
}

#[test]
fn full_cache_evicts_what_no_reply_holds_and_nothing_else() {
    let place = Place::new("evicts");
    for n in 0..40 {
        place.write(&format!("f{n}"), &format!("content of {n}"));
    }
    let mut site = open(&place, |options| options.cache_files = 2);
    let held: Vec<_> = (0..5)
        .map(|n| (n, hold(&mut site, &format!("/f{n}"), 0).expect("found")))
        .collect();
    for n in 5..40 {
        assert_eq!(
            get(&mut site, &format!("/f{n}"), 0),
            Ok(format!("content of {n}"))
        );
    }
    for (n, held) in held {
        let expected = format!("content of {n}").into_bytes();
        assert_eq!(read(&mut site, held), Some(expected));
        site.release(held.0);
    }
    assert_eq!(get(&mut site, "/f0", 0).as_deref(), Ok("content of 0"));
}

#[test]
fn file_in_use_stays_while_others_pass_through() {
    let place = Place::new("in-use-stays");
    for n in 0..20 {
        place.write(&format!("f{n}"), "x");
    }
    place.write("often", "old");
    let mut site = open(&place, |options| options.cache_files = 4);
    let _ = get(&mut site, "/often", 0);
    // Whether it is still known shows when it is replaced: what is known is believed.
    replace(&place, "often", "new");
    for n in 0..20 {
        assert_eq!(get(&mut site, "/often", 0).as_deref(), Ok("old"), "{n}");
        let _ = get(&mut site, &format!("/f{n}"), 0);
    }
}

#[test]
fn contents_beyond_the_memory_are_sent_from_their_files() {
    let place = Place::new("beyond");
    for name in ["a", "b", "c"] {
        place.write(name, &name.repeat(60));
    }
    let mut site = open(&place, |options| {
        (options.cache_bytes, options.sendfile) = (100, true);
    });
    let in_memory = |site: &mut Directory, (id, length): (ContentId, u64)| {
        matches!(site.content(id, 0..length), Content::Bytes(_))
    };
    let a = hold(&mut site, "/a", 0).expect("found");
    let b = hold(&mut site, "/b", 0).expect("found");
    assert!(in_memory(&mut site, a));
    assert!(!in_memory(&mut site, b), "120 bytes are held, 100 allowed");
    site.release(a.0);
    let c = hold(&mut site, "/c", 0).expect("found");
    assert!(in_memory(&mut site, c), "a made room");
    site.release(b.0);
    site.release(c.0);
    let mut none = open(&place, |options| {
        (options.cache_bytes, options.sendfile) = (0, true);
    });
    let a = hold(&mut none, "/a", 0).expect("found");
    assert!(!in_memory(&mut none, a));
}

/// The entity tag of what is found, and whether that is in memory.
fn tag_and_memory(site: &mut Directory, path: &str, now: u64) -> (String, bool) {
    match site.find(path.as_bytes(), Accepts::identity(), now) {
        Ok(Found::Content(id, representation)) => {
            let found = (
                representation.tag.expect("a tag").to_string(),
                representation.content.is_some(),
            );
            site.release(id);
            found
        }
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn tag_does_not_depend_on_free_memory_and_a_file_returns_there_once_it_fits() {
    let place = Place::new("one-tag");
    for name in ["a", "b"] {
        place.write(name, &name.repeat(60));
    }
    // Known long enough for times to tell.
    std::thread::sleep(Duration::from_millis(2_100));
    let mut roomy = open(&place, |options| options.cache_bytes = 1_000);
    let expected = tag_and_memory(&mut roomy, "/b", 0);
    assert!(expected.1);
    let mut site = open(&place, |options| options.cache_bytes = 100);
    // Another worker with the same options, whose memory is free.
    let mut other = open(&place, |options| options.cache_bytes = 100);
    assert_eq!(tag_and_memory(&mut other, "/b", 0), expected);
    let held = hold(&mut site, "/a", 0).expect("found");
    let (tag, in_memory) = tag_and_memory(&mut site, "/b", 0);
    assert!(!in_memory, "120 bytes are held, 100 allowed");
    assert_eq!(tag, expected.0);
    assert_eq!(get(&mut site, "/b", 0), Ok("b".repeat(60)));
    // For as long as there is no room it stays the same file.
    assert_eq!(
        tag_and_memory(&mut site, "/b", SECOND),
        (tag.clone(), false)
    );
    site.release(held.0);
    assert_eq!(
        tag_and_memory(&mut site, "/b", 2 * SECOND - 1),
        (tag, false)
    );
    assert_eq!(tag_and_memory(&mut site, "/b", 2 * SECOND), expected);
    assert_eq!(get(&mut site, "/b", 2 * SECOND), Ok("b".repeat(60)));
}

#[test]
fn tag_is_of_the_content_up_to_the_longest_in_memory_and_of_the_file_beyond() {
    let place = Place::new("tag-limit");
    for (name, length) in [("at", 50), ("at-too", 50), ("past", 51), ("past-too", 51)] {
        place.write(name, &"x".repeat(length));
    }
    let mut site = open(&place, |options| options.cache_file_bytes = 50);
    let mut tag = |path| tag_and_memory(&mut site, path, 0).0;
    assert_eq!(tag("/at"), tag("/at-too"), "one content");
    assert_ne!(tag("/past"), tag("/past-too"), "two files");
}

#[test]
#[cfg(target_os = "linux")] // mmap(2) notes the first write to a page only
fn content_written_through_a_memory_map_is_seen_after_a_second() {
    use std::os::fd::AsRawFd;
    let place = Place::new("mapped");
    place.write("a", "old");
    let path = place.0.join("a");
    let file = fs::File::options().read(true).write(true).open(&path);
    let file = file.expect("a file");
    let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: the file is open and longer than what is mapped, at a place that the system chooses.
    let map = unsafe { libc::mmap(std::ptr::null_mut(), 3, access, shared, file.as_raw_fd(), 0) };
    assert_ne!(map, libc::MAP_FAILED);
    let write = |text: &[u8; 3]| {
        // SAFETY: three bytes are mapped for writing, and nobody here has a reference to them.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), map.cast(), 3) };
    };
    let times = || {
        use std::os::unix::fs::MetadataExt;
        let status = fs::metadata(&path).expect("a status");
        (
            status.mtime(),
            status.mtime_nsec(),
            status.ctime(),
            status.ctime_nsec(),
        )
    };
    write(b"one");
    let before = times();
    // Known long enough for times to tell.
    std::thread::sleep(Duration::from_millis(2_100));
    let mut site = open(&place, |_| {});
    assert_eq!(get(&mut site, "/a", 0).as_deref(), Ok("one"));
    let head = ask(&mut site, "/a", 0);
    let (tag, _) = tag_and_memory(&mut site, "/a", 0);
    write(b"two");
    if times() != before {
        println!(
            "NOT RUN: the file system has written the page back meanwhile, and noted the time"
        );
    }
    assert_eq!(get(&mut site, "/a", SECOND - 1).as_deref(), Ok("one"));
    assert_eq!(get(&mut site, "/a", SECOND).as_deref(), Ok("two"));
    assert_ne!(tag_and_memory(&mut site, "/a", SECOND).0, tag);
    assert_eq!(recall(&mut site, &head, SECOND), None);
    // SAFETY: it is mapped, and used no more.
    unsafe { libc::munmap(map, 3) };
}

/// Puts a link to `target` in the place of the link `name`, as deployments do: `ln -s`, `mv -T`.
fn replace_link(place: &Place, name: &str, target: &str) {
    let new = place.0.join("new-link");
    std::os::unix::fs::symlink(target, &new).expect("a link");
    fs::rename(new, place.0.join(name)).expect("renamed");
}

#[test]
fn directory_that_another_takes_the_place_of_is_left_within_a_second() {
    let place = Place::new("deployed");
    for version in ["one", "two"] {
        place.write(&format!("{version}/a"), version);
        place.write(&format!("{version}/large"), &version.repeat(LARGE / 3));
    }
    place.write("two/new", "new");
    replace_link(&place, "root", "one");
    let options = DirectoryOptions::default();
    let mut site = Directory::open(&place.0.join("root"), options).expect("a directory");
    assert_eq!(get(&mut site, "/a", 0).as_deref(), Ok("one"));
    let head = ask(&mut site, "/a", 0);
    assert!(recall(&mut site, &head, 0).is_some());
    let held = hold(&mut site, "/large", 0).expect("found");
    replace_link(&place, "root", "two");
    assert_eq!(get(&mut site, "/a", SECOND - 1).as_deref(), Ok("one"));
    // What is not known is looked up, and that shows it.
    assert_eq!(get(&mut site, "/new", SECOND - 1).as_deref(), Ok("new"));
    assert_eq!(recall(&mut site, &head, SECOND - 1), None);
    assert_eq!(get(&mut site, "/a", SECOND - 1).as_deref(), Ok("two"));
    replace_link(&place, "root", "one");
    assert_eq!(get(&mut site, "/a", 2 * SECOND).as_deref(), Ok("one"));
    // What began goes on, though its directory was left.
    let old = "one".repeat(LARGE / 3).into_bytes();
    assert_eq!(read(&mut site, held), Some(old));
    site.release(held.0);
}

#[test]
fn directory_that_is_gone_is_busy_until_it_is_there_again() {
    let place = Place::new("removed");
    place.write("root/a", "first");
    let root = place.0.join("root");
    let mut site = Directory::open(&root, DirectoryOptions::default()).expect("a directory");
    assert_eq!(get(&mut site, "/a", 0).as_deref(), Ok("first"));
    let held = hold(&mut site, "/a", 0).expect("found");
    // Made again under another inode number, for this one is open.
    fs::remove_dir_all(&root).expect("removed");
    assert_eq!(get(&mut site, "/a", SECOND), Err(SiteError::Busy));
    assert_eq!(get(&mut site, "/none", SECOND), Err(SiteError::Busy));
    fs::write(&root, "a file is no directory").expect("a file");
    assert_eq!(get(&mut site, "/a", SECOND), Err(SiteError::Busy));
    fs::remove_file(&root).expect("removed");
    place.write("root/a", "second");
    assert_eq!(get(&mut site, "/a", SECOND).as_deref(), Ok("second"));
    assert_eq!(read(&mut site, held).as_deref(), Some(&b"first"[..]));
    site.release(held.0);
    // Moved away and back.
    fs::rename(&root, place.0.join("away")).expect("moved");
    assert_eq!(get(&mut site, "/a", 2 * SECOND), Err(SiteError::Busy));
    fs::rename(place.0.join("away"), &root).expect("moved back");
    assert_eq!(get(&mut site, "/a", 2 * SECOND).as_deref(), Ok("second"));
}

/// Runs `test` as a user to whom no file belongs, without what the superuser may.
#[cfg(target_os = "linux")]
fn as_stranger<R: Send>(test: impl FnOnce() -> R + Send) -> R {
    const NOBODY: libc::uid_t = 65_534;
    std::thread::scope(|scope| {
        let stranger = scope.spawn(|| {
            // The file-system user is this thread's own (setfsuid(2)). Who is not the superuser cannot
            // change it, and need not: modes are in force then.
            // SAFETY: no memory is passed.
            unsafe { libc::setfsuid(NOBODY) };
            test()
        });
        stranger.join().expect("it ends")
    })
}

#[test]
#[cfg(target_os = "linux")]
fn directory_that_may_only_be_searched_serves_its_index_and_no_list() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("searched");
    place.write("index.html", "root");
    place.write("sub/index.html", "sub");
    place.write("bare/a", "a");
    for name in ["", "sub", "bare"] {
        let mode = fs::Permissions::from_mode(0o711);
        fs::set_permissions(place.0.join(name), mode).expect("its mode");
    }
    as_stranger(|| {
        let mut site = open(&place, |options| options.listing = true);
        assert_eq!(get(&mut site, "/", 0).as_deref(), Ok("root"));
        assert_eq!(get(&mut site, "/sub/", 0).as_deref(), Ok("sub"));
        let found = site.find(b"/sub", Accepts::identity(), 0);
        assert!(matches!(found, Ok(Found::Directory)), "{found:?}");
        assert_eq!(get(&mut site, "/bare/a", 0).as_deref(), Ok("a"));
        assert_eq!(get(&mut site, "/bare/", 0), Err(SiteError::Forbidden));
    });
}

#[test]
fn absolute_link_that_leads_into_the_directory_is_followed() {
    let place = Place::new("absolute-links");
    place.write("root/sub/a", "inside");
    place.write("secret", "outside");
    for (name, target) in [("in", "root/sub/a"), ("out", "secret")] {
        let target = place.0.join(target);
        std::os::unix::fs::symlink(target, place.0.join("root").join(name)).expect("a link");
    }
    let root = place.0.join("root");
    let mut site = Directory::open(&root, DirectoryOptions::default()).expect("a directory");
    assert_eq!(get(&mut site, "/in", 0).as_deref(), Ok("inside"));
    assert_eq!(get(&mut site, "/out", 0), Err(SiteError::Forbidden));
}

#[test]
fn listings_that_slow_clients_hold_are_bounded_and_leave_room_for_short_ones() {
    let place = Place::new("listings");
    // Names that take much more room in the page: 600 of them are a page of its longest.
    for n in 0..10 {
        for m in 0..600 {
            place.write(&format!("long{n}/{}{m}", "&".repeat(240)), "");
        }
        place.write(&format!("short{n}/a"), "");
    }
    let mut site = open(&place, |options| options.listing = true);
    let first = hold(&mut site, "/long0/", 0).expect("a list");
    assert!(first.1 > 1 << 20, "{}", first.1);
    let again = hold(&mut site, "/long0/", SECOND - 1).expect("a list");
    assert_eq!(again.0, first.0, "one list for all who ask in one second");
    let later = hold(&mut site, "/long0/", SECOND).expect("a list");
    assert_eq!(later.0, first.0, "and for all, as long as it says the same");
    let mut held = vec![first, again, later];
    let refused = (1..10).find_map(|n| {
        let long = hold(&mut site, &format!("/long{n}/"), SECOND);
        long.map(|long| held.push(long)).err()
    });
    assert_eq!(refused, Some(SiteError::Busy));
    assert!(held.len() > 5, "several fit");
    for n in 0..10 {
        let short = get(&mut site, &format!("/short{n}/"), SECOND).expect("a short list");
        assert!(short.contains("./a\""));
    }
    for (id, _) in held {
        site.release(id);
    }
    assert!(
        hold(&mut site, "/long9/", SECOND).is_ok(),
        "there is room again"
    );
    let name = format!("/long9/{}7", "&".repeat(240));
    assert_eq!(get(&mut site, &name, SECOND).as_deref(), Ok(""));
}

#[test]
fn file_written_in_place_with_its_time_set_back_is_seen_to_change() {
    let place = Place::new("set-back");
    for (name, length) in [("small", 10), ("large", LARGE)] {
        place.write(name, &"o".repeat(length));
        settle(&place, name, 100);
    }
    // Known long enough for times to tell.
    std::thread::sleep(Duration::from_millis(2_100));
    let mut site = open(&place, |_| {});
    let mut tags = Vec::new();
    for (now, byte) in [(0, "o"), (SECOND, "n")] {
        for (name, length) in [("small", 10), ("large", LARGE)] {
            let path = format!("/{name}");
            assert_eq!(
                get(&mut site, &path, now),
                Ok(byte.repeat(length)),
                "{name}"
            );
            let found = site.find(path.as_bytes(), Accepts::identity(), now);
            let Ok(Found::Content(id, representation)) = found else {
                panic!("{name} is not found");
            };
            tags.push(format!("{:?}", representation.tag));
            site.release(id);
            let place = place.0.join(name);
            let time = fs::metadata(&place).and_then(|status| status.modified());
            fs::write(&place, "n".repeat(length)).expect("written in place");
            let file = fs::File::options().write(true).open(&place);
            file.and_then(|file| file.set_modified(time.expect("a time")))
                .expect("set back");
        }
    }
    assert_ne!(tags[0], tags[2], "the small one's tag");
    assert_ne!(tags[1], tags[3], "the large one's tag");
}

/// Names in `/proc/self/fd` that lead into the place.
#[cfg(target_os = "linux")]
fn open_in(place: &Place) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").expect("Linux");
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|target| target.starts_with(&place.0) && *target != place.0)
        .count()
}

#[test]
#[cfg(target_os = "linux")] // it looks at /proc
fn files_beyond_the_budget_make_way_and_held_ones_are_within_it() {
    let place = Place::new("budget");
    for n in 0..20 {
        place.write(&format!("f{n}"), &"x".repeat(LARGE));
        place.write(&format!("f{n}.gz"), &"z".repeat(LARGE));
    }
    let mut site = open(&place, |options| {
        (options.open_files, options.precompressed) = (6, true);
    });
    for n in 0..20 {
        assert!(get(&mut site, &format!("/f{n}"), 0).is_ok());
        assert!(open_in(&place) <= 6, "{n}: {}", open_in(&place));
    }
    let held: Vec<_> = (0..3)
        .map(|n| hold(&mut site, &format!("/f{n}"), 0).expect("within the budget"))
        .collect();
    assert_eq!(hold(&mut site, "/f3", 0), Err(SiteError::Busy));
    assert_eq!(open_in(&place), 6);
    for (id, _) in held {
        site.release(id);
    }
    assert!(hold(&mut site, "/f3", 0).is_ok());
}

#[test]
#[cfg(target_os = "linux")] // it looks at /proc
fn deleted_files_are_closed_though_nobody_asks_for_them() {
    let place = Place::new("deleted");
    for name in ["gone", "stays", "held"] {
        place.write(name, &"x".repeat(LARGE));
    }
    let mut site = open(&place, |_| {});
    assert_eq!(site.tidy(0), None, "nothing is open");
    let _ = get(&mut site, "/gone", 0);
    let _ = get(&mut site, "/stays", 0);
    let held = hold(&mut site, "/held", 0).expect("found");
    fs::remove_file(place.0.join("gone")).expect("removed");
    fs::remove_file(place.0.join("held")).expect("removed");
    assert_eq!(site.tidy(SECOND), Some(1_000));
    assert_eq!(open_in(&place), 2);
    assert!(read(&mut site, held).is_some(), "what began goes on");
    site.release(held.0);
    assert_eq!(open_in(&place), 1);
    assert!(get(&mut site, "/stays", SECOND).is_ok());
}

#[test]
fn listing_shows_what_came_after_a_second() {
    let place = Place::new("listing-fresh");
    place.write("a", "");
    let mut site = open(&place, |options| options.listing = true);
    let shows_b = |site: &mut Directory, now| get(site, "/", now).unwrap().contains("./b\"");
    assert!(!shows_b(&mut site, 0));
    place.write("b", "");
    assert!(shows_b(&mut site, SECOND));
    place.write("index.html", "index");
    assert_eq!(get(&mut site, "/", 2 * SECOND).as_deref(), Ok("index"));
}

#[test]
fn slash_at_the_end_means_a_directory() {
    let place = Place::new("slash");
    place.write("file", "x");
    place.write("dir/a.html", "first");
    place.write("dir/b.html", "second");
    place.write("bare/x", "x");
    let mut site = open(&place, |options| {
        options.index = vec!["missing".into(), "a.html".into(), "b.html".into()];
    });
    let found = site.find(b"/dir", Accepts::identity(), 0);
    assert!(matches!(found, Ok(Found::Directory)));
    assert_eq!(get(&mut site, "/dir/", 0).as_deref(), Ok("first"));
    assert_eq!(get(&mut site, "/file/", 0), Err(SiteError::NotFound));
    assert_eq!(get(&mut site, "/bare/", 0), Err(SiteError::Forbidden));
    assert_eq!(get(&mut site, "/none/", 0), Err(SiteError::NotFound));
}

#[test]
fn hidden_names_are_not_there_unless_allowed() {
    let place = Place::new("hidden");
    for name in [".env", ".git/config", ".well-known/x", ".well-known/.x"] {
        place.write(name, "x");
    }
    let (mut site, mut open_site) = (
        open(&place, |_| {}),
        open(&place, |options| options.hidden = true),
    );
    for (path, visible) in [
        ("/.env", false),
        ("/.git/config", false),
        ("/.well-known/x", true),
        ("/.well-known/.x", false),
    ] {
        assert_eq!(get(&mut site, path, 0).is_ok(), visible, "{path}");
        assert!(get(&mut open_site, path, 0).is_ok(), "{path}");
    }
}

#[test]
fn compressed_neighbour_that_is_older_by_a_second_is_not_sent() {
    let place = Place::new("older");
    place.write("a.js", "plain");
    place.write("a.js.gz", "zipped");
    let set = |name: &str, time: Duration| {
        let file = fs::File::options().write(true).open(place.0.join(name));
        file.and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH + time))
            .expect("a time");
    };
    const SECONDS: u64 = 1_700_000_000;
    for (plain, zipped, offered) in [
        // Its time was cut to the second, as by `brotli -k` and `pigz`.
        ((SECONDS, 999_999_999), (SECONDS, 0), true),
        ((SECONDS, 100), (SECONDS - 1, 101), true),
        ((SECONDS, 100), (SECONDS - 1, 100), false),
        ((SECONDS, 0), (SECONDS - 1, 0), false),
        ((SECONDS, 0), (SECONDS, 0), true),
        ((SECONDS, 0), (SECONDS + 1_000, 0), true),
    ] {
        set("a.js", Duration::new(plain.0, plain.1));
        set("a.js.gz", Duration::new(zipped.0, zipped.1));
        let mut site = open(&place, |options| options.precompressed = true);
        let found = site.find(b"/a.js", Accepts::identity(), 0);
        let Ok(Found::Content(_, representation)) = found else {
            panic!("not found");
        };
        assert_eq!(representation.varies, offered, "{plain:?} {zipped:?}");
    }
    for (seconds_ago, offered) in [(100, true), (50, true), (200, false)] {
        settle(&place, "a.js", 100);
        settle(&place, "a.js.gz", seconds_ago);
        let mut site = open(&place, |options| options.precompressed = true);
        let Ok(Found::Content(_, representation)) = site.find(b"/a.js", Accepts::identity(), 0)
        else {
            panic!("not found");
        };
        // A hundred seconds ago is computed twice: the neighbour is the younger by a moment.
        assert_eq!(representation.varies, offered, "{seconds_ago}");
    }
}

#[test]
fn pipes_and_devices_are_refused_without_waiting_for_them() {
    let place = Place::new("pipe");
    let name =
        std::ffi::CString::new(place.0.join("pipe").to_str().expect("UTF-8")).expect("no NUL");
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let mut site = open(&place, |_| {});
    assert_eq!(get(&mut site, "/pipe", 0), Err(SiteError::Forbidden));
}

#[test]
fn paths_that_no_file_system_takes_are_not_found() {
    let place = Place::new("odd");
    place.write("a", "x");
    let mut site = open(&place, |_| {});
    let long = format!("/{}", "x".repeat(300));
    let longer = format!("/{}", "x/".repeat(4_000));
    for path in ["/a\0", "/\0", "/a\0.html", &long, &longer] {
        assert_eq!(
            get(&mut site, path, 0),
            Err(SiteError::NotFound),
            "{path:?}"
        );
    }
    let mut bytes = [b'/', 0xff, 0xfe];
    assert!(matches!(
        site.find(&bytes, Accepts::identity(), 0),
        Err(SiteError::NotFound)
    ));
    use std::os::unix::ffi::OsStrExt;
    bytes[1] = 0xfd;
    fs::write(place.0.join(std::ffi::OsStr::from_bytes(&bytes[1..])), "y").expect("a file");
    assert!(site.find(&bytes, Accepts::identity(), 0).is_ok());
}

const OPENING: Opening = *b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\n";

/// A request that was answered, and is remembered.
fn ask(site: &mut Directory, path: &str, now: u64) -> Vec<u8> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let (id, _) = hold(site, path, now).expect("found");
    site.release(id);
    site.remember(&head, id);
    head
}

/// The reply to a head, without its opening, if it is known.
fn recall(site: &mut Directory, head: &[u8], now: u64) -> Option<String> {
    let id = site.recall(head, &mut 0, now, unix_time())?;
    let reply = site.prepared(id, &OPENING).expect("in one piece");
    let rest = reply.strip_prefix(&OPENING).expect("its opening");
    Some(String::from_utf8(rest.to_vec()).expect("UTF-8"))
}

/// A request for what its client takes best.
fn request<'r>(head: &'r [u8], fields: &'r mut [Field]) -> Request<'r> {
    let mut parser = HeadParser::default();
    let complete = parser.advance(head, fields);
    assert!(matches!(complete, Ok(Progress::Complete { .. })));
    let head = Head::new(&parser, head, fields);
    Request::new(head, head.path())
}

#[test]
fn head_is_answered_by_the_coding_that_its_client_takes() {
    let place = Place::new("recalled-coded");
    for (name, content) in [("a", "plain"), ("a.gz", "zipped"), ("a.br", "br")] {
        place.write(name, content);
    }
    let mut site = open(&place, |options| options.precompressed = true);
    let wanted = [("gzip", "zipped"), ("br", "br"), ("identity", "plain")];
    let heads = wanted.map(|(coding, _)| {
        format!("GET /a HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n")
    });
    for head in &heads {
        let mut fields = [Field::EMPTY; 8];
        let request = request(head.as_bytes(), &mut fields);
        let found = site.find(b"/a", Accepts::of(&request), 0);
        let Ok(Found::Content(id, _)) = found else {
            panic!("{found:?}");
        };
        site.release(id);
        site.remember(head.as_bytes(), id);
    }
    for (head, (coding, content)) in heads.iter().zip(wanted) {
        let reply = recall(&mut site, head.as_bytes(), 0).expect("known");
        let (fields, rest) = reply.split_once("\r\n\r\n").expect("a whole reply");
        assert_eq!(rest, content);
        let told = format!("Content-Encoding: {coding}");
        assert_eq!(fields.contains(&told), coding != "identity", "{fields}");
        assert!(fields.contains("Vary: Accept-Encoding"), "{fields}");
    }
}

fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

#[test]
fn head_that_came_before_is_answered_by_what_would_be_found() {
    let place = Place::new("recalled");
    place.write("a", "old");
    settle(&place, "a", 100);
    let mut site = open(&place, |_| {});
    let head = ask(&mut site, "/a", 0);
    let reply = recall(&mut site, &head, SECOND - 1).expect("known");
    let (fields, content) = reply.split_once("\r\n\r\n").expect("a whole reply");
    assert_eq!(content, "old");
    assert!(fields.starts_with("Content-Type: "), "{fields}");
    assert!(fields.ends_with("Content-Length: 3"), "{fields}");
    assert_eq!(recall(&mut site, &head[1..], 0), None);
    // It has to be looked at anew, and is the same.
    assert_eq!(recall(&mut site, &head, SECOND), None);
    ask(&mut site, "/a", SECOND);
    assert_eq!(recall(&mut site, &head, SECOND), Some(reply));
    // It is another.
    replace(&place, "a", "new!");
    assert_eq!(get(&mut site, "/a", 2 * SECOND).as_deref(), Ok("new!"));
    assert_eq!(recall(&mut site, &head, 2 * SECOND), None);
    ask(&mut site, "/a", 2 * SECOND);
    let reply = recall(&mut site, &head, 2 * SECOND).expect("known");
    assert!(reply.ends_with("\r\n\r\nnew!"), "{reply}");
    fs::remove_file(place.0.join("a")).expect("removed");
    assert_eq!(get(&mut site, "/a", 3 * SECOND), Err(SiteError::NotFound));
    assert_eq!(recall(&mut site, &head, 3 * SECOND), None);
}

#[test]
fn head_is_not_answered_by_another_file_that_took_the_place_in_the_cache() {
    let place = Place::new("recalled-place");
    place.write("a", "of a");
    place.write("b", "of b");
    let mut site = open(&place, |options| options.cache_files = 1);
    let head = ask(&mut site, "/a", 0);
    assert!(recall(&mut site, &head, 0).is_some());
    assert_eq!(get(&mut site, "/b", 0).as_deref(), Ok("of b"));
    assert_eq!(get(&mut site, "/b", 0).as_deref(), Ok("of b"));
    assert_eq!(recall(&mut site, &head, 0), None);
}

#[test]
fn only_what_is_in_memory_with_its_fields_is_recalled() {
    let place = Place::new("recalled-not");
    place.write("large", &"l".repeat(LARGE));
    place.write("small", "s");
    fs::create_dir(place.0.join("d")).expect("a directory");
    let mut site = open(&place, |options| options.listing = true);
    // An open file is looked at for each request, and a list has no fields ready.
    for path in ["/large", "/d/"] {
        let head = ask(&mut site, path, 0);
        let id = site.recall(&head, &mut 0, 0, unix_time());
        assert!(
            id.is_none_or(|id| site.prepared(id, &OPENING).is_none()),
            "{path}"
        );
    }
    // Nor what one of two representations is an open file of.
    place.write("small.gz", &"z".repeat(LARGE));
    let mut site = open(&place, |options| options.precompressed = true);
    let head = ask(&mut site, "/small", 0);
    assert_eq!(recall(&mut site, &head, 0), None);
}

#[test]
fn time_of_modification_that_has_not_come_is_not_recalled() {
    let place = Place::new("recalled-future");
    place.write("a", "x");
    settle(&place, "a", 100);
    let mut site = open(&place, |_| {});
    let head = ask(&mut site, "/a", 0);
    let modified = unix_time() - 100;
    assert!(site.recall(&head, &mut 0, 0, modified + 2).is_some());
    // The clock was set back.
    assert!(site.recall(&head, &mut 0, 0, modified - 2).is_none());
}
