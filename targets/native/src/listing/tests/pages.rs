//! Pages and the links between them.

use super::*;

#[test]
fn every_page_of_a_directory_is_reached_in_order_forwards_and_backwards() {
    let place = Place::new("pages");
    for n in 0..23 {
        place.write(format!("file{n}").as_bytes(), 1);
    }
    for n in [3, 20, 100] {
        fs::create_dir(place.0.join(format!("dir{n}"))).unwrap();
    }
    let all: Vec<String> = ["dir3/", "dir20/", "dir100/"]
        .map(String::from)
        .into_iter()
        .chain((0..23).map(|n| format!("file{n}")))
        .collect();
    for length in [1, 2, 3, 5, 13, 25, 26, 27, 1_000] {
        let options = pages_of(length);
        let expected: Vec<Vec<String>> = all.chunks(length).map(<[_]>::to_vec).collect();
        assert_eq!(follow(&place, &options, "", "Next"), expected, "{length}");
        let mut backwards = follow(&place, &options, "page=last", "Previous");
        backwards.reverse();
        assert_eq!(backwards, expected, "{length}");
        let last = place.html(&options, "page=last");
        assert_eq!(rows(&last), *expected.last().unwrap(), "{length}");
        // The same entries the other way round, directories still first.
        let descending: Vec<String> = follow(&place, &options, "order=desc", "Next").concat();
        assert_eq!(descending[..3], ["dir100/", "dir20/", "dir3/"]);
        assert_eq!(
            descending[3..].iter().rev().cloned().collect::<Vec<_>>(),
            all[3..]
        );
    }
}

#[test]
fn page_says_which_entries_of_how_many_it_has() {
    let place = Place::new("counts");
    fs::create_dir(place.0.join("dir")).unwrap();
    for n in 0..1_233 {
        place.write(format!("file{n}").as_bytes(), 0);
    }
    let options = pages_of(1_000);
    let first = place.html(&options, "");
    assert!(
        first.contains("<span>1 to 1,000 of 1,234</span>"),
        "{first}"
    );
    assert!(first.contains("<footer>1 directory, 1,233 files</footer>"));
    assert_eq!(link(&first, "First"), None);
    let next = link(&first, "Next").unwrap();
    let second = place.html(&options, &next);
    assert!(second.contains("<span>1,001 to 1,234 of 1,234</span>"));
    assert_eq!(link(&second, "Next"), None);
    assert_eq!(link(&second, "First").as_deref(), Some(""));
    assert_eq!(place.html(&options, "page=last"), second);
    // One page needs no such links.
    assert!(!place.html(&pages_of(1_234), "").contains("<nav"));
    assert!(place.html(&pages_of(1_233), "").contains("<nav"));
}

#[test]
fn columns_sort_by_size_and_time_and_equal_ones_by_name() {
    let place = Place::new("columns");
    fs::create_dir(place.0.join("dir")).unwrap();
    for (name, bytes, time) in [("a10", 5, 30), ("a9", 5, 10), ("b", 7, 20), ("c", 0, 30)] {
        place.write(name.as_bytes(), bytes);
        let file = fs::File::options()
            .write(true)
            .open(place.0.join(name))
            .unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(time))
            .unwrap();
    }
    let cases = [
        ("", ["dir/", "a9", "a10", "b", "c"]),
        ("sort=size", ["dir/", "c", "a9", "a10", "b"]),
        ("sort=size&order=asc", ["dir/", "c", "a9", "a10", "b"]),
        ("sort=size&order=desc", ["dir/", "b", "a9", "a10", "c"]),
        ("sort=time&order=asc", ["dir/", "a9", "b", "a10", "c"]),
        ("order=desc&sort=time", ["dir/", "a10", "c", "b", "a9"]),
        // Unknown values and parameters do not count.
        (
            "sort=owner&order=up&x=y&sort",
            ["dir/", "a9", "a10", "b", "c"],
        ),
        ("C=S;O=D", ["dir/", "a9", "a10", "b", "c"]),
    ];
    for (query, expected) in cases {
        for length in 1..=6 {
            let pages = follow(&place, &pages_of(length), query, "Next");
            assert_eq!(pages.concat(), expected, "{query}, pages of {length}");
            let first = follow(
                &place,
                &pages_of(length),
                &format!("{query}&page=last"),
                "Previous",
            );
            assert_eq!(
                first.into_iter().rev().flatten().collect::<Vec<_>>(),
                expected,
                "{query}"
            );
        }
    }
    let html = place.html(&pages_of(10), "sort=size&order=desc");
    assert!(
        html.contains("aria-sort=\"descending\"><a href=\"?sort=size&amp;order=asc\">Size"),
        "{html}"
    );
    assert!(
        html.contains("<th scope=\"col\"><a href=\"./\">Name"),
        "{html}"
    );
    assert!(
        html.contains("<a href=\"?sort=time&amp;order=desc\">Modified"),
        "{html}"
    );
}

#[test]
fn page_begins_where_its_first_entry_would_be_though_the_one_before_is_gone() {
    let place = Place::new("gone");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), n);
    }
    for query in ["", "sort=size&order=asc"] {
        let options = pages_of(3);
        let next = link(&place.html(&options, query), "Next").unwrap();
        fs::remove_file(place.0.join("f2")).unwrap();
        let second = place.try_make(&options, &next).unwrap();
        assert!(!second.canonical, "no link leads there any more");
        assert_eq!(
            rows(&String::from_utf8(second.html).unwrap()),
            ["f3", "f4", "f5"]
        );
        place.write(b"f2", 2);
    }
    // Nothing follows the last: the last page is better than an empty one.
    let last = place.html(&pages_of(3), "after=z");
    assert_eq!(rows(&last), ["f9"]);
    assert!(last.contains("10 to 10 of 10"));
}

#[test]
fn only_pages_that_links_lead_to_are_canonical() {
    let place = Place::new("canonical");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), n);
    }
    let options = pages_of(4);
    let canonical = |query: &str| place.try_make(&options, query).unwrap().canonical;
    for query in [
        "",
        "page=last",
        "after=f3",
        "after=f7",
        "sort=size",
        "sort=size&after=f3&value=3",
        "sort=name&order=asc",
    ] {
        assert!(canonical(query), "{query}");
    }
    for query in [
        "after=f4",
        "after=f33",
        "after=a",
        "after=f9",
        "after=f3/",
        "sort=size&after=f3&value=4",
    ] {
        assert!(!canonical(query), "{query}");
    }
}
