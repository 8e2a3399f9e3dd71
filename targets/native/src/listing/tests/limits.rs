//! Limits, at each and one past it.

use super::*;

#[test]
fn entries_beyond_the_limit_are_said_to_be_there() {
    let place = Place::new("entries");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), n);
    }
    let html = |listing_entries| {
        let options = DirectoryOptions {
            listing_entries,
            ..DirectoryOptions::default()
        };
        place.html(&options, "")
    };
    assert!(!html(10).contains("not shown"), "at the limit");
    let cut = html(9);
    assert_eq!(rows(&cut).len(), 9, "one past it");
    assert!(
        cut.contains(
            "9 files, and more that are not shown: a listing has no more than the first 9 entries"
        ),
        "{cut}"
    );
}

#[test]
fn directory_beyond_the_limit_of_lookups_is_sorted_by_name_and_says_so() {
    let place = Place::new("lookups");
    for n in 0..10 {
        place.write(format!("f{n}").as_bytes(), 10 - n);
    }
    let make = |listing_lookups, query: &str| {
        let options = DirectoryOptions {
            listing_lookups,
            ..pages_of(4)
        };
        let made = place.try_make(&options, query).unwrap();
        (String::from_utf8(made.html).unwrap(), made.canonical)
    };
    let (at_limit, canonical) = make(10, "sort=size");
    assert!(
        canonical && rows(&at_limit) == ["f9", "f8", "f7", "f6"],
        "{at_limit}"
    );
    assert!(at_limit.contains("?sort=time") && !at_limit.contains("by name only"));
    let (past, canonical) = make(9, "sort=size");
    assert!(
        canonical && rows(&past) == ["f0", "f1", "f2", "f3"],
        "{past}"
    );
    assert!(
        past.contains("Sorted by name only: there are more than 9 entries"),
        "{past}"
    );
    assert!(
        !past.contains("?sort=size"),
        "no column promises what is not done: {past}"
    );
    // Nor are there links to invented pages of it.
    assert!(!make(9, "sort=size&after=f3&value=3").1);
    let next = link(&past, "Next").unwrap();
    assert_eq!(rows(&make(9, &next).0), ["f4", "f5", "f6", "f7"]);
}

#[test]
fn page_of_long_names_ends_at_its_limit_and_the_next_goes_on() {
    let place = Place::new("long-names");
    let names: Vec<String> = (0..1_000)
        .map(|n| format!("{n:04}{}", "&".repeat(251)))
        .collect();
    for name in &names {
        place.write(name.as_bytes(), 0);
    }
    let options = pages_of(1_000);
    let html = place.html(&options, "");
    let room = html::PAGE_BYTES..html::PAGE_BYTES + 16_384;
    assert!(room.contains(&html.len()), "{}", html.len());
    assert!(rows(&html).len() < 1_000);
    let all: BTreeSet<String> = follow(&place, &options, "", "Next")
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(all.len(), 1_000);
}

#[test]
fn columns_promise_only_the_orders_that_their_links_give() {
    let place = Place::new("promise");
    for n in 0..6 {
        place.write(format!("f{n}").as_bytes(), 10 - n);
        place.write(format!(".hidden{n}").as_bytes(), 1);
    }
    for listing_lookups in 0..15 {
        for listing_entries in 1..15 {
            let options = DirectoryOptions {
                listing_lookups,
                listing_entries,
                ..pages_of(100)
            };
            let by_name = place.html(&options, "");
            let is_offered = by_name.contains("?sort=size");
            let by_size = place.html(&options, "sort=size");
            let is_sorted = !by_size.contains("Sorted by name only");
            let limits = (listing_lookups, listing_entries);
            assert_eq!(is_offered, is_sorted, "{limits:?}");
            let expected = listing_lookups >= listing_entries.min(12);
            assert_eq!(is_sorted, expected, "{limits:?}");
        }
    }
}

#[test]
fn page_has_one_row_at_least_and_no_more_than_its_limit() {
    let place = Place::new("page-length");
    for n in 0..LISTING_PAGE_LIMIT + 1 {
        place.write(format!("f{n}").as_bytes(), 0);
    }
    for (length, expected) in [
        (0, 1),
        (1, 1),
        (LISTING_PAGE_LIMIT, LISTING_PAGE_LIMIT),
        (LISTING_PAGE_LIMIT + 1, LISTING_PAGE_LIMIT),
        (usize::MAX, LISTING_PAGE_LIMIT),
    ] {
        let html = place.html(&pages_of(length), "");
        assert_eq!(rows(&html).len(), expected, "{length}");
        assert!(link(&html, "Next").is_some(), "{length}");
    }
}
