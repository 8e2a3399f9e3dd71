//! What of an entry is shown.

use super::*;

#[test]
fn links_stand_with_what_they_lead_to_and_dead_ones_are_not_shown() {
    let place = Place::new("links");
    fs::create_dir(place.0.join("zoo")).unwrap();
    place.write(b"m", 3);
    symlink("zoo", place.0.join("to-dir")).unwrap();
    symlink("m", place.0.join("a-to-file")).unwrap();
    symlink("/etc/passwd", place.0.join("out")).unwrap();
    for n in 0..50 {
        symlink("nothing", place.0.join(format!("dead{n}"))).unwrap();
    }
    let html = |links, listing_lookups| {
        place.html(
            &DirectoryOptions {
                links,
                listing_lookups,
                ..DirectoryOptions::default()
            },
            "",
        )
    };
    let all = html(Links::Beneath, 53);
    assert_eq!(rows(&all), ["to-dir/", "zoo/", "a-to-file", "m"]);
    assert!(all.contains("2 directories, 2 files"));
    assert_eq!(rows(&html(Links::None, 53)), ["zoo/", "m"]);
    // Without lookups they are among the files; only those that can be shown have a row.
    let names = html(Links::Beneath, 0);
    assert_eq!(rows(&names), ["zoo/", "a-to-file", "m", "to-dir/"]);
}

#[test]
fn hidden_names_and_what_is_no_file_are_not_listed() {
    let place = Place::new("hidden");
    place.write(b".secret", 1);
    place.write(b"shown", 1);
    let pipe = CString::new(place.0.join("pipe").as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with NUL.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    assert_eq!(rows(&place.html(&pages_of(10), "")), ["shown"]);
    let hidden = DirectoryOptions {
        hidden: true,
        ..DirectoryOptions::default()
    };
    assert_eq!(rows(&place.html(&hidden, "")), [".secret", "shown"]);
}

#[test]
fn every_byte_of_a_name_is_only_text_and_its_link_names_it() {
    let place = Place::new("bytes");
    let mut expected = BTreeSet::new();
    for byte in 1..=255_u8 {
        if byte == b'/' {
            continue;
        }
        let name = [b'n', byte, b'm'];
        place.write(&name, 0);
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        expected.insert(match is_plain {
            true => format!("n{}m", char::from(byte)),
            false => format!("n%{byte:02X}m"),
        });
    }
    let html = place.html(&pages_of(1_000), "");
    let links: BTreeSet<String> = rows(&html).into_iter().map(str::to_owned).collect();
    assert_eq!(links, expected);
    for byte in 1..=255_u8 {
        let text = match byte {
            b'/' => continue,
            b'&' => "n&amp;m".into(),
            b'<' => "n&lt;m".into(),
            b'>' => "n&gt;m".into(),
            b'"' => "n&quot;m".into(),
            b'\'' => "n&#39;m".into(),
            0x20..=0x7e => format!("n{}m", char::from(byte)),
            _ => format!("n\\x{byte:02X}m"),
        };
        assert!(html.contains(&format!("<bdi>{text}</bdi>")), "{byte:02x}");
    }
    assert!(html.bytes().all(|byte| byte == b'\n' || byte >= b' '));
    // Nor do names get out of the links of the pages.
    let pages = follow(&place, &pages_of(1), "", "Next");
    assert_eq!(pages.len(), 254);
}

#[test]
fn names_like_markup_and_schemes_are_only_text() {
    let place = Place::new("hostile");
    let names: [&[u8]; 8] = [
        b"<script>alert(1)",
        b"\"onmouseover=x",
        b"'x",
        b"&amp;",
        b"javascript:alert(1)",
        b"50%41",
        b" lead",
        "a\u{202e}b\u{85}\u{feff}c".as_bytes(),
    ];
    for name in names {
        place.write(name, 0);
    }
    let html = place.html(&pages_of(10), "");
    assert!(
        !html.contains("<script") && !html.contains("\"onmouseover"),
        "{html}"
    );
    assert!(html.contains("href=\"./javascript%3Aalert%281%29\""));
    assert!(html.contains("href=\"./50%2541\"><bdi>50%41</bdi></a>"));
    assert!(html.contains("<bdi>&amp;amp;</bdi>"));
    assert!(html.contains("<bdi>a\u{fffd}b\u{fffd}\u{feff}c</bdi>"));
}

#[test]
fn path_is_only_text_and_leads_to_the_directories_above() {
    let place = Place::new("path");
    let name = "<b>/\"x\n";
    fs::create_dir_all(place.0.join(name)).unwrap();
    let path = CString::new(place.0.as_os_str().as_bytes()).unwrap();
    let root = Root::open(&path, Links::Beneath).unwrap();
    let path = format!("/{name}/");
    let directory = root.open_beneath(path.as_bytes()).unwrap();
    let made = make(&root, path.as_bytes(), directory, &pages_of(10), None).unwrap();
    let html = String::from_utf8(made.html).unwrap();
    assert!(
        html.contains("<title>/&lt;b&gt;/&quot;x\\x0A/</title>"),
        "{html}"
    );
    assert!(html.contains("<h1><a href=\"../../\">/</a><a href=\"../\"><bdi>&lt;b&gt;</bdi>/</a><bdi>&quot;x\\x0A</bdi>/</h1>"), "{html}");
    assert!(html.contains("<td><a href=\"../\">../</a></td>"));
    assert!(
        !place.html(&pages_of(10), "").contains("\"../\""),
        "nothing is above the root"
    );
}
