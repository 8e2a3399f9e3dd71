//! A directory's entries as a page that a person likes to read.
//!
//! No scripts, nothing from elsewhere. Names come from whoever can write to the directory, so every
//! byte of them is escaped: for HTML in texts, by percent-encoding in links, which begin with `./`
//! so that no name can be taken for a scheme.

use std::collections::BinaryHeap;
use std::fmt::Write;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub name: Vec<u8>,
    pub directory: bool,
    /// Bytes; not shown for directories.
    pub length: u64,
    /// Seconds since 1970.
    pub modified: u64,
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600}\
th,td{padding:.3rem .75rem .3rem 0;border-bottom:1px solid #8884}\
td:first-child{overflow-wrap:anywhere;width:100%}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
time{white-space:nowrap;font-variant-numeric:tabular-nums}\
a{text-decoration:none}a:hover{text-decoration:underline}\
footer{margin-top:1rem;opacity:.7;font-size:.875rem}";

/// Bytes of a page from which on it takes no further row: escaped names may be long.
const PAGE_LIMIT: usize = 1 << 20;

/// The page for the directory at `path`, which is decoded and ends with `/`. `more` says that not
/// all entries are among the rows.
pub(crate) fn page(path: &[u8], rows: Vec<Row>, more: bool) -> Vec<u8> {
    let rows = in_order(rows);
    let mut page = String::with_capacity(1_024 + rows.len() * 200);
    let title = text_of(path);
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<h1>{}</h1>\n<table>\n\
         <tr><th>Name</th><th class=\"n\">Size</th><th>Modified (UTC)</th></tr>\n",
        trail(path)
    );
    if path != b"/" {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    let mut shown = 0;
    for row in &rows {
        if page.len() >= PAGE_LIMIT {
            break;
        }
        shown += 1;
        let slash = if row.directory { "/" } else { "" };
        let (link, name) = (encoded(&row.name), text_of(&row.name));
        let _ = write!(
            page,
            "<tr><td><a href=\"./{link}{slash}\">{name}{slash}</a></td><td class=\"n\""
        );
        if row.directory {
            page.push_str(">—");
        } else {
            let _ = write!(page, " title=\"{} bytes\">{}", row.length, size(row.length));
        }
        let (date, time) = civil(row.modified);
        let _ = writeln!(
            page,
            "</td><td><time datetime=\"{date}T{time}Z\">{date} {time:.5}</time></td></tr>"
        );
    }
    let _ = write!(
        page,
        "</table>\n<footer>{}{}</footer>\n</html>\n",
        counted(&rows[..shown]),
        if more || shown < rows.len() {
            ", and more that are not shown"
        } else {
            ""
        }
    );
    page.into_bytes()
}

/// The path as links, one for each directory above.
fn trail(path: &[u8]) -> String {
    let names: Vec<&[u8]> = path
        .split(|&byte| byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let mut html = if names.is_empty() {
        "/".into()
    } else {
        format!("<a href=\"{}\">/</a>", "../".repeat(names.len()))
    };
    for (at, name) in names.iter().enumerate() {
        let above = names.len() - 1 - at;
        let _ = if above == 0 {
            write!(html, "{}/", text_of(name))
        } else {
            write!(
                html,
                "<a href=\"{}\">{}/</a>",
                "../".repeat(above),
                text_of(name)
            )
        };
    }
    html
}

fn counted(rows: &[Row]) -> String {
    let directories = rows.iter().filter(|row| row.directory).count();
    let files = rows.len() - directories;
    let plural = |count: usize, one: &str, many: &str| {
        format!("{count} {}", if count == 1 { one } else { many })
    };
    format!(
        "{}, {}",
        plural(directories, "directory", "directories"),
        plural(files, "file", "files")
    )
}

/// Text for HTML: markup escaped, control characters and what is no UTF-8 shown as U+FFFD.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            // Marks that turn the direction of writing could make a name look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => text.push('\u{fffd}'),
            character if character.is_control() => text.push('\u{fffd}'),
            character => text.push(character),
        }
    }
    text
}

/// Directories first, then by name, whatever its case. By a heap: the standard library's sorting is 8 KB of
/// code more.
fn in_order(rows: Vec<Row>) -> Vec<Row> {
    let keyed = rows
        .into_iter()
        .map(|row| (!row.directory, row.name.to_ascii_lowercase(), row));
    let heap: BinaryHeap<_> = keyed.collect();
    heap.into_sorted_vec()
        .into_iter()
        .map(|(_, _, row)| row)
        .collect()
}

/// A name in a link: every byte but the unreserved ones of RFC 3986 section 2.3.
fn encoded(name: &[u8]) -> String {
    let mut link = String::with_capacity(name.len());
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            link.push(char::from(byte));
        } else {
            let _ = write!(link, "%{byte:02X}");
        }
    }
    link
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    // In tenths, rounded.
    let tenths = |scale: u64| (bytes / scale) * 10 + ((bytes % scale) * 10 + scale / 2) / scale;
    let (mut scale, mut unit) = (1, 0);
    while (unit == 0 && bytes > 1_023) || (unit > 0 && tenths(scale) >= 10_240) {
        if unit + 1 == UNITS.len() {
            break;
        }
        scale *= 1_024;
        unit += 1;
    }
    match (unit, tenths(scale)) {
        (0, _) => format!("{bytes} B"),
        (_, tenths) => format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]),
    }
}

/// Date and time of day, `2026-11-20` and `22:17:05`.
pub(crate) fn civil(unix_time: u64) -> (String, String) {
    let (days, seconds) = (unix_time / 86_400, unix_time % 86_400);
    // Days since 0000-03-01, in eras of 400 years: the years then begin in March, so that the leap
    // day comes last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!(
            "{:02}:{:02}:{:02}",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8]) -> Row {
        Row {
            name: name.to_vec(),
            directory: false,
            length: 1_536,
            modified: 1_795_213_025,
        }
    }

    fn html(path: &str, rows: Vec<Row>) -> String {
        String::from_utf8(page(path.as_bytes(), rows, false)).unwrap()
    }

    #[test]
    fn hostile_names_are_only_text() {
        let names: [&[u8]; 9] = [
            b"<script>alert(1)</script>",
            b"\"onmouseover=x",
            b"'x",
            b"&amp;",
            b"javascript:alert(1)",
            b"a\nb",
            b"\xff\xfe",
            b"50%41",
            b" lead",
        ];
        let page = html("/", names.iter().map(|name| file(name)).collect());
        assert!(!page.contains("<script"), "{page}");
        assert!(!page.contains("\"onmouseover"), "{page}");
        assert!(page.contains("href=\"./javascript%3Aalert%281%29\""));
        assert!(page.contains("href=\"./%FF%FE\">\u{fffd}\u{fffd}</a>"));
        assert!(page.contains("href=\"./50%2541\">50%41</a>"));
        assert!(page.contains("href=\"./a%0Ab\">a\u{fffd}b</a>"));
        assert!(page.contains(">&amp;amp;</a>"));
    }

    #[test]
    fn hostile_paths_are_only_text() {
        let page = html("/<b>/\"x/", vec![]);
        assert!(
            !page.contains("<b>") && page.contains("&lt;b&gt;"),
            "{page}"
        );
        assert!(page.contains("<a href=\"../../\">/</a><a href=\"../\">&lt;b&gt;/</a>&quot;x/"));
    }

    #[test]
    fn directories_come_first_then_names_whatever_their_case() {
        let directory = Row {
            directory: true,
            ..file(b"zoo")
        };
        let page = html("/", vec![file(b"b"), file(b"C"), directory, file(b"a")]);
        let at = |name: &str| page.find(&format!("href=\"./{name}\"")).unwrap();
        assert!(at("zoo/") < at("a") && at("a") < at("b") && at("b") < at("C"));
        assert!(page.contains("1 directory, 3 files"));
    }

    #[test]
    fn page_that_leaves_entries_out_says_so() {
        let text = |more| String::from_utf8(page(b"/", vec![file(b"a")], more)).unwrap();
        assert!(text(true).contains("1 file, and more that are not shown"));
        assert!(!text(false).contains("not shown"));
    }

    #[test]
    fn page_of_long_names_ends_at_its_limit_and_says_so() {
        let rows: Vec<Row> = (0..2_000)
            .map(|n| file(format!("{n:04}{}", "&".repeat(240)).as_bytes()))
            .collect();
        let page = html("/", rows);
        assert!((PAGE_LIMIT..PAGE_LIMIT + 8_192).contains(&page.len()));
        let shown = page.matches("href=\"./").count();
        assert!(page.contains(&format!("{shown} files, and more that are not shown")));
        assert!(
            page.contains("./0000%26") && !page.contains("./1999%26"),
            "the first by name"
        );
    }

    #[test]
    fn only_directories_below_the_root_have_a_parent() {
        assert!(!html("/", vec![]).contains("../"));
        assert!(html("/a/", vec![]).contains("<a href=\"../\">../</a>"));
    }

    #[test]
    fn sizes_and_dates_are_readable() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            ((1 << 20) - 60, "1023.9 KiB"),
            (1 << 20, "1.0 MiB"),
            (5 << 40, "5.0 TiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (time, date, clock) in [
            (0, "1970-01-01", "00:00:00"),
            (951_782_400, "2000-02-29", "00:00:00"),
            (1_795_213_025, "2026-11-20", "22:17:05"),
            (4_107_542_399, "2100-02-28", "23:59:59"),
            (4_107_542_400, "2100-03-01", "00:00:00"),
        ] {
            assert_eq!(civil(time), (date.into(), clock.into()));
        }
    }
}
