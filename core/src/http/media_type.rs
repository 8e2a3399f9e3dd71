//! Media types of files, told by the ends of their names (RFC 9110 section 8.3.1).
//!
//! The table holds what sites and devices serve. It promises UTF-8 for text; a site whose text is
//! coded otherwise needs a table of its own. Content is looked at only where the name tells nothing,
//! and only to tell text from other bytes ([`is_text`]): guessing more by content is how a text
//! upload becomes a script.

/// Sent for everything that is not in the table: some bytes.
pub const DEFAULT: &str = "application/octet-stream";

/// Text of no other type: what a browser shows as it is.
pub const TEXT: &str = "text/plain; charset=utf-8";

/// Bytes of a file's beginning that tell whether it is text.
pub const BEGINNING: usize = 1_024;

/// Bytes of the longest extension in the table.
const LONGEST_EXTENSION: usize = 11;

/// The `Content-Type` of the file at `path`, by what follows the last dot of its last segment, in
/// capital or small letters.
///
/// A name that only begins with a dot has no extension. Firmware images and other bytes without a
/// registered type are [`DEFAULT`], which browsers offer to save.
///
/// ```
/// use capuchin_core::http::media_type::for_path;
///
/// assert_eq!(for_path(b"/docs/Index.HTML"), "text/html; charset=utf-8");
/// assert_eq!(for_path(b"/firmware.bin"), "application/octet-stream");
/// ```
#[must_use]
pub fn for_path(path: &[u8]) -> &'static str {
    by_name(path).unwrap_or(DEFAULT)
}

/// The same for a file whose content is at hand: if its name tells nothing, as `README` and
/// `notes.unknown` do not, it is [`TEXT`] if it begins like text. `beginning` fills the memory that
/// it is given from the beginning of the content, and tells how many bytes it put there: fewer than
/// there was room for only if that is all of the content; `None` if it cannot be read.
#[must_use]
pub fn for_file(path: &[u8], beginning: impl FnOnce(&mut [u8]) -> Option<usize>) -> &'static str {
    by_name(path).unwrap_or_else(|| {
        let mut memory = [0; BEGINNING];
        let count = beginning(&mut memory);
        match count.and_then(|count| memory.get(..count)) {
            Some(beginning) if is_text(beginning) => TEXT,
            _ => DEFAULT,
        }
    })
}

/// Whether content that begins with these bytes, or that is these bytes, is text: UTF-8 without the
/// control characters that no text has (the "binary data bytes" of WHATWG's MIME Sniffing). As a
/// character may lie on the end of [`BEGINNING`] bytes, it need not be whole there.
#[must_use]
pub fn is_text(beginning: &[u8]) -> bool {
    let is_binary = |byte: &u8| matches!(byte, 0..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    let is_utf8 = match core::str::from_utf8(beginning) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && beginning.len() >= BEGINNING,
    };
    is_utf8 && !beginning.iter().any(is_binary)
}

/// The type that a name tells, if it tells one.
fn by_name(path: &[u8]) -> Option<&'static str> {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let extension = match name.rsplit(|&byte| byte == b'.').next() {
        Some(last) if last.len() + 1 < name.len() => last,
        _ => return None,
    };
    let mut memory = [0; LONGEST_EXTENSION];
    let lower = memory.get_mut(..extension.len())?;
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    for_extension(lower)
}

/// Rows of a media type and its extensions in small letters, between bars. One text, for a match over
/// them is three times as large in an image, and they are looked for but once for each file.
const TYPES: &str = concat!(
    // The web
    "text/html; charset=utf-8|html|htm\n",
    "text/css; charset=utf-8|css\n",
    "text/javascript; charset=utf-8|js|mjs|cjs\n",
    "application/json|json|map\n",
    "application/ld+json|jsonld\n",
    "application/geo+json|geojson\n",
    "application/manifest+json|webmanifest\n",
    "application/wasm|wasm\n",
    "application/xhtml+xml|xhtml|xht\n",
    "application/xml|xml|xsl|xsd\n",
    "application/xslt+xml|xslt\n",
    "application/xml-dtd|dtd\n",
    "application/rss+xml|rss\n",
    "application/atom+xml|atom\n",
    "application/x-bittorrent|torrent\n",
    // Text
    "text/plain; charset=utf-8|txt|text|log|conf|cfg|ini|diff|patch|c|cc|cpp|h|hpp|rs|py|sh|lua|asc\n",
    "text/markdown; charset=utf-8|md|markdown\n",
    "text/csv; charset=utf-8|csv\n",
    "text/tab-separated-values; charset=utf-8|tsv\n",
    "text/calendar; charset=utf-8|ics\n",
    "text/vcard; charset=utf-8|vcf\n",
    "text/vtt; charset=utf-8|vtt\n",
    "application/yaml|yaml|yml\n",
    "application/toml|toml\n",
    "application/sql|sql\n",
    "application/x-tex|tex\n",
    // Images
    "image/png|png\n",
    "image/apng|apng\n",
    "image/jpeg|jpg|jpeg|jpe|jfif\n",
    "image/gif|gif\n",
    "image/svg+xml|svg\n",
    "image/webp|webp\n",
    "image/avif|avif\n",
    "image/jxl|jxl\n",
    "image/heic|heic\n",
    "image/heif|heif\n",
    "image/vnd.microsoft.icon|ico|cur\n",
    "image/bmp|bmp\n",
    "image/tiff|tif|tiff\n",
    // Fonts
    "font/woff|woff\n",
    "font/woff2|woff2\n",
    "font/ttf|ttf\n",
    "font/otf|otf\n",
    "font/collection|ttc|otc\n",
    "application/vnd.ms-fontobject|eot\n",
    // Sound and film
    "audio/mpeg|mp3\n",
    "audio/mp4|m4a\n",
    "audio/aac|aac\n",
    "audio/ogg|oga|ogg|opus\n",
    "audio/flac|flac\n",
    "audio/wav|wav\n",
    "audio/webm|weba\n",
    "audio/midi|mid|midi\n",
    "video/mp4|mp4|m4v\n",
    "video/webm|webm\n",
    "video/ogg|ogv\n",
    "video/mpeg|mpeg|mpg\n",
    "video/quicktime|mov|qt\n",
    "video/matroska|mkv\n",
    "video/vnd.avi|avi\n",
    "video/3gpp|3gp\n",
    "video/mp2t|ts|m2ts\n",
    "application/vnd.apple.mpegurl|m3u8\n",
    "application/dash+xml|mpd\n",
    // Documents
    "application/pdf|pdf\n",
    "application/postscript|ps|eps\n",
    "application/rtf|rtf\n",
    "application/epub+zip|epub\n",
    "application/msword|doc\n",
    "application/vnd.ms-excel|xls\n",
    "application/vnd.ms-powerpoint|ppt\n",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document|docx\n",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet|xlsx\n",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation|pptx\n",
    "application/vnd.oasis.opendocument.text|odt\n",
    "application/vnd.oasis.opendocument.spreadsheet|ods\n",
    "application/vnd.oasis.opendocument.presentation|odp\n",
    // Three dimensions
    "model/gltf+json|gltf\n",
    "model/gltf-binary|glb\n",
    "model/stl|stl\n",
    "model/obj|obj\n",
    // Archives and packages
    "application/zip|zip\n",
    "application/gzip|gz|tgz\n",
    "application/zstd|zst\n",
    "application/x-bzip2|bz2\n",
    "application/x-xz|xz\n",
    "application/x-7z-compressed|7z\n",
    "application/vnd.rar|rar\n",
    "application/x-tar|tar\n",
    "application/java-archive|jar\n",
    "application/vnd.debian.binary-package|deb\n",
    "application/x-rpm|rpm\n",
    "application/vnd.android.package-archive|apk\n",
    "application/vnd.efi.iso|iso\n",
    // Devices: firmware and dumps have no registered types. Listed, so that nobody gives one
    // of them a type that a browser shows instead of saving.
    "application/octet-stream|bin|img|fw|rom|elf|hex|srec|uf2|dfu|dtb\n",
    "application/cbor|cbor\n",
    "application/vnd.tcpdump.pcap|pcap\n",
    // Keys and signatures
    "application/pem-certificate-chain|pem\n",
    "application/pkix-cert|crt|cer|der\n",
    "application/pgp-signature|sig\n",
);

/// The type of an extension in small letters.
fn for_extension(extension: &[u8]) -> Option<&'static str> {
    let row = rows().find(|row| {
        row.as_bytes()
            .split(is_bar)
            .skip(1)
            .any(|known| known == extension)
    });
    row.map(type_of)
}

fn rows() -> impl Iterator<Item = &'static str> {
    let mut rest = TYPES;
    core::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest.as_bytes())?;
        let row = rest.get(..end)?;
        rest = rest.get(end + 1..)?;
        Some(row)
    })
}

fn is_bar(byte: &u8) -> bool {
    *byte == b'|'
}

/// What a row begins with.
fn type_of(row: &'static str) -> &'static str {
    memchr::memchr(b'|', row.as_bytes())
        .and_then(|bar| row.get(..bar))
        .unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_files_have_their_types() {
        let table: [(&[u8], &str); 20] = [
            (b"/index.html", "text/html; charset=utf-8"),
            (b"/a/style.css", "text/css; charset=utf-8"),
            (b"/app.js", "text/javascript; charset=utf-8"),
            (b"/app.mjs", "text/javascript; charset=utf-8"),
            (b"/data.json", "application/json"),
            (b"/site.webmanifest", "application/manifest+json"),
            (b"/module.wasm", "application/wasm"),
            (b"/notes.txt", "text/plain; charset=utf-8"),
            (b"/logo.svg", "image/svg+xml"),
            (b"/photo.jpeg", "image/jpeg"),
            (b"/photo.png", "image/png"),
            (b"/favicon.ico", "image/vnd.microsoft.icon"),
            (b"/font.woff2", "font/woff2"),
            (b"/song.mp3", "audio/mpeg"),
            (b"/film.mp4", "video/mp4"),
            (b"/paper.pdf", "application/pdf"),
            (b"/backup.tar.gz", "application/gzip"),
            (b"/table.csv", "text/csv; charset=utf-8"),
            (b"/firmware.bin", DEFAULT),
            (b"/firmware.uf2", DEFAULT),
        ];
        for (path, expected) in table {
            assert_eq!(for_path(path), expected, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn capital_letters_make_no_difference() {
        assert_eq!(for_path(b"/PHOTO.JPG"), "image/jpeg");
        assert_eq!(for_path(b"/Site.WebManifest"), "application/manifest+json");
    }

    #[test]
    fn only_the_end_of_the_last_segment_counts() {
        let table: [&[u8]; 12] = [
            b"",
            b"/",
            b"/README",
            b"/html",
            b"/.html",
            b"/a/.html",
            b"/page.html/",
            b"/page.html/raw",
            b"/page.",
            b"/page.html.unknown",
            b"/page.html\xff",
            b"/page.an-extension-longer-than-any-in-the-table",
        ];
        for path in table {
            assert_eq!(for_path(path), DEFAULT, "{}", path.escape_ascii());
        }
        assert_eq!(for_path(b"page.html"), "text/html; charset=utf-8");
        assert_eq!(for_path(b"/.hidden.html"), "text/html; charset=utf-8");
    }

    #[test]
    fn every_text_type_names_its_charset() {
        for row in rows() {
            let media_type = type_of(row);
            assert_eq!(
                media_type.starts_with("text/"),
                media_type.ends_with("; charset=utf-8"),
                "{media_type}"
            );
        }
    }

    #[test]
    fn every_extension_has_one_type_and_is_found() {
        let mut seen = std::collections::BTreeSet::new();
        for row in rows() {
            for extension in row.split('|').skip(1) {
                assert!(!extension.is_empty() && extension.len() <= LONGEST_EXTENSION);
                assert_eq!(extension, extension.to_ascii_lowercase());
                assert!(seen.insert(extension), "{extension} is there twice");
                assert_eq!(for_extension(extension.as_bytes()), Some(type_of(row)));
            }
        }
        assert_eq!(seen.len(), 152);
        assert_eq!(for_extension(b""), None);
        assert_eq!(for_extension(b"html|htm"), None);
        assert_eq!(for_extension(b"image/png"), None);
    }

    #[test]
    fn longest_extension_is_within_the_limit() {
        assert_eq!(b"webmanifest".len(), LONGEST_EXTENSION);
        assert!(for_extension(b"webmanifest").is_some());
    }

    /// As a file is read: no more than there is room for.
    fn of(path: &str, content: &[u8]) -> &'static str {
        for_file(path.as_bytes(), |memory| {
            let count = content.len().min(memory.len());
            memory[..count].copy_from_slice(&content[..count]);
            Some(count)
        })
    }

    #[test]
    fn file_whose_name_tells_nothing_is_text_if_it_begins_like_text() {
        for name in [
            "/README",
            "/usr/share/doc/x/copyright",
            "/Makefile",
            "/LICENSE",
            "/.gitignore",
            "/changelog.Debian",
            "/page.",
        ] {
            assert_eq!(of(name, b"all:\n\tcc x.c\r\n\x1b[1m\x0c"), TEXT, "{name}");
            assert_eq!(
                of(name, "\u{feff}gr\u{fc}n \u{1f980}".as_bytes()),
                TEXT,
                "{name}"
            );
            assert_eq!(of(name, b""), TEXT, "{name}");
            assert_eq!(of(name, b"\x7fELF\x02\x01\x01\0"), DEFAULT, "{name}");
            assert_eq!(of(name, b"gr\xfcn in ISO 8859-1"), DEFAULT, "{name}");
        }
        // Markup and scripts are shown as text, not taken for what they are.
        assert_eq!(
            of("/page", b"<!doctype html><script>alert(1)</script>"),
            TEXT
        );
        assert_eq!(of("/script", b"#!/bin/sh\n"), TEXT);
    }

    #[test]
    fn file_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        assert_eq!(for_file(b"/README", |_| None), DEFAULT);
    }

    #[test]
    fn content_does_not_change_what_a_name_tells() {
        for (name, expected) in [
            ("/a.html", "text/html; charset=utf-8"),
            ("/firmware.bin", DEFAULT),
            ("/disk.img", DEFAULT),
            ("/a.png", "image/png"),
        ] {
            assert_eq!(for_file(name.as_bytes(), |_| panic!("{name}")), expected);
        }
    }

    #[test]
    fn text_is_told_by_the_bytes_that_it_begins_with_and_no_others() {
        for (at, expected) in [(BEGINNING - 1, DEFAULT), (BEGINNING, TEXT)] {
            let mut long = std::vec![b'x'; BEGINNING + 10];
            long[at] = 0;
            assert_eq!(of("/file", &long), expected, "NUL at {at}");
        }
        // A character that the limit cuts is no reason; one that the file's end cuts is.
        for missing in 1..=3 {
            let mut content = std::vec![b'x'; BEGINNING - 4 + missing];
            content.extend_from_slice("\u{1f980}".as_bytes());
            assert_eq!(of("/file", &content), TEXT);
            assert_eq!(of("/file", &content[1..BEGINNING]), DEFAULT, "{missing}");
        }
    }

    #[test]
    fn control_bytes_of_no_text_make_a_file_other_bytes() {
        for byte in 0..=0x7f_u8 {
            let is_of_text = matches!(byte, b'\t' | b'\n' | 0x0c | b'\r' | 0x1b | 0x20..);
            let expected = if is_of_text { TEXT } else { DEFAULT };
            assert_eq!(of("/file", &[b'a', byte]), expected, "{byte:02x}");
        }
    }
}
