//! The page itself: HTML that needs no scripts and nothing from elsewhere.
//!
//! Names are chosen by anyone who can write to the directory, so every byte of them is escaped: for HTML in
//! texts, by percent-encoding in links, which begin with `./` so that no name can be taken for a
//! scheme.

use super::order::{Entry, Page};
use super::view::{Order, Sort, View, encoded};
use super::{Summary, is_directory};
use capuchin_posix::{FileStatus, OpenError};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;white-space:nowrap}\
th,td{padding:.3rem .75rem .3rem 0;border-bottom:1px solid #8884}\
td:first-child{overflow-wrap:anywhere;width:100%}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
time{white-space:nowrap;font-variant-numeric:tabular-nums}\
a{text-decoration:none}a:hover{text-decoration:underline}\
nav{display:flex;flex-wrap:wrap;gap:0 1rem;margin:1rem 0}\
footer{margin-top:1rem;opacity:.7;font-size:.875rem}";

/// Bytes of a page from which on it takes no further row: escaped names may be long. The next page
/// goes on from there.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// The page for the directory at `path`, which is decoded and ends with `/`. `look_up` tells what an
/// entry leads to; it has no row if that is nothing that can be shown.
pub(super) fn page(
    path: &[u8],
    order: Order,
    page: &Page,
    summary: &Summary,
    look_up: impl Fn(&Entry) -> Result<Option<FileStatus>, OpenError>,
) -> Result<Vec<u8>, OpenError> {
    let (rows, taken) = rows(page, look_up)?;
    let more = page.more || taken < page.entries.len();
    let next = page.entries[..taken].last().filter(|_| more);
    let links = match page.before > 0 || next.is_some() {
        true => links_to_pages(order, page, taken as u64, next),
        false => String::new(),
    };
    let mut html = String::with_capacity(4_096 + rows.len());
    let title = text_of(path);
    // Writing to a string cannot fail.
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        trail(path)
    );
    put_links(&mut html, "Pages", &links);
    html.push_str("<table>\n<thead><tr>");
    for (by, heading) in [
        (Sort::Name, "Name"),
        (Sort::Size, "Size"),
        (Sort::Time, "Modified (UTC)"),
    ] {
        let can_sort = by == Sort::Name || summary.unsorted.is_none();
        put_heading(&mut html, by, heading, order, can_sort);
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    if path != b"/" {
        html.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    html.push_str(&rows);
    html.push_str("</tbody>\n</table>\n");
    put_links(&mut html, "Pages, below the list", &links);
    put_footer(&mut html, summary);
    html.push_str("</body>\n</html>\n");
    Ok(html.into_bytes())
}

/// The rows, and how many of the page's entries were taken for them.
fn rows(
    page: &Page,
    look_up: impl Fn(&Entry) -> Result<Option<FileStatus>, OpenError>,
) -> Result<(String, usize), OpenError> {
    let mut html = String::with_capacity(page.entries.len() * 200);
    let mut taken = 0;
    for entry in &page.entries {
        if html.len() >= PAGE_BYTES {
            break;
        }
        taken += 1;
        if let Some(status) = look_up(entry)? {
            put_row(&mut html, entry, status);
        }
    }
    Ok((html, taken))
}

/// A column's heading: a link that sorts by it, or, if it is sorted by already, the other way round.
fn put_heading(html: &mut String, by: Sort, heading: &str, order: Order, can_sort: bool) {
    let is_current = order.by == by;
    let (sort, arrow) = match (is_current, order.descending) {
        (false, _) => ("", ""),
        (true, false) => (
            " aria-sort=\"ascending\"",
            " <span aria-hidden=\"true\">▲</span>",
        ),
        (true, true) => (
            " aria-sort=\"descending\"",
            " <span aria-hidden=\"true\">▼</span>",
        ),
    };
    let class = if by == Sort::Size { " class=\"n\"" } else { "" };
    let _ = write!(html, "<th scope=\"col\"{class}{sort}>");
    if !can_sort {
        html.push_str(heading);
    } else {
        let other = Order {
            by,
            // The largest and the newest are what is looked for most.
            descending: match is_current {
                true => !order.descending,
                false => by != Sort::Name,
            },
        };
        let link = link_to(&View::first(other));
        let _ = write!(html, "<a href=\"{link}\">{heading}{arrow}</a>");
    }
    html.push_str("</th>");
}

fn put_row(html: &mut String, entry: &Entry, status: FileStatus) {
    let slash = if is_directory(status) { "/" } else { "" };
    let (link, name) = (encoded(&entry.name), text_of(&entry.name));
    let _ = write!(
        html,
        "<tr><td><a href=\"./{link}{slash}\"><bdi>{name}</bdi>{slash}</a></td><td class=\"n\""
    );
    if is_directory(status) {
        html.push_str(">—");
    } else {
        let _ = write!(
            html,
            " title=\"{} byte{}\">{}",
            status.length,
            if status.length == 1 { "" } else { "s" },
            size(status.length)
        );
    }
    let (date, time) = civil(status.modified);
    let _ = writeln!(
        html,
        "</td><td><time datetime=\"{date}T{time}Z\">{date} {time:.5}</time></td></tr>"
    );
}

/// Which part of the directory this is, and links to the others. `next` is the last entry here, if
/// any follow.
fn links_to_pages(order: Order, page: &Page, taken: u64, next: Option<&Entry>) -> String {
    let mut html = String::new();
    let mut put = |text: &str, relation: &str, view: View| {
        let link = link_to(&view);
        let _ = writeln!(html, "<a href=\"{link}\"{relation}>{text}</a>");
    };
    if let Some(previous) = &page.previous {
        put("First", "", View::first(order));
        let view = match previous {
            Some(entry) => View::after(order, entry.key()),
            None => View::first(order),
        };
        put("Previous", " rel=\"prev\"", view);
    }
    if let Some(entry) = next {
        put("Next", " rel=\"next\"", View::after(order, entry.key()));
        put("Last", "", View::last(order));
    }
    let _ = writeln!(
        html,
        "<span>{} to {} of {}</span>",
        grouped(page.before + 1),
        grouped(page.before + taken),
        grouped(page.directories + page.files)
    );
    html
}

/// Puts links where there are any, as a landmark of this name.
fn put_links(html: &mut String, name: &str, links: &str) {
    if !links.is_empty() {
        let _ = writeln!(html, "<nav aria-label=\"{name}\">\n{links}</nav>");
    }
}

fn put_footer(html: &mut String, summary: &Summary) {
    let counted = |count: u64, one: &str, many: &str| {
        format!("{} {}", grouped(count), if count == 1 { one } else { many })
    };
    let _ = write!(
        html,
        "<footer>{}, {}",
        counted(summary.directories, "directory", "directories"),
        counted(summary.files, "file", "files")
    );
    if let Some(limit) = summary.cut_at {
        let _ = write!(
            html,
            ", and more that are not shown: a listing has no more than the first {} entries that the file system gives",
            grouped(limit as u64)
        );
    }
    if let Some(limit) = summary.unsorted {
        let _ = write!(
            html,
            ". Sorted by name only: there are more than {} entries",
            grouped(limit as u64)
        );
    }
    html.push_str("</footer>\n");
}

/// A view of the same directory, for `href`.
fn link_to(view: &View) -> String {
    let query = view.query();
    match &*query {
        "" => "./".into(),
        query => format!("?{}", query.replace('&', "&amp;")),
    }
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
            write!(html, "<bdi>{}</bdi>/", text_of(name))
        } else {
            write!(
                html,
                "<a href=\"{}\"><bdi>{}</bdi>/</a>",
                "../".repeat(above),
                text_of(name)
            )
        };
    }
    html
}

/// Text for HTML. Markup is escaped; control bytes and what is no UTF-8 are shown as `\xHH`, other
/// characters that would not show, or would turn the direction of writing so that a name looks like
/// another, as U+FFFD.
fn text_of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '&' => text.push_str("&amp;"),
                '<' => text.push_str("&lt;"),
                '>' => text.push_str("&gt;"),
                '"' => text.push_str("&quot;"),
                '\'' => text.push_str("&#39;"),
                '\0'..='\x1f' | '\x7f' => {
                    let _ = write!(text, "\\x{:02X}", u32::from(character));
                }
                '\u{80}'..='\u{9f}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' => text.push('\u{fffd}'),
                character => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

/// A number with its digits in groups of three: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length in binary units.
pub(super) fn size(bytes: u64) -> String {
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
