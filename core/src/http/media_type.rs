//! Media types of files, told by the ends of their names (RFC 9110 section 8.3.1).
//!
//! The table holds what sites and devices serve. It promises UTF-8 for text; a site whose text is
//! coded otherwise needs a table of its own. It must not look into files: guessing by content is
//! how a text upload becomes a script.

/// Sent for everything that is not in the table: some bytes.
pub const DEFAULT: &str = "application/octet-stream";

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
    let start = memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1);
    let name = &path[start..];
    let extension = match memchr::memrchr(b'.', name) {
        None | Some(0) => return DEFAULT,
        Some(dot) => &name[dot + 1..],
    };
    let mut memory = [0; LONGEST_EXTENSION];
    let Some(lower) = memory.get_mut(..extension.len()) else {
        return DEFAULT;
    };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    for_extension(lower)
}

/// The type of an extension in small letters.
fn for_extension(extension: &[u8]) -> &'static str {
    match extension {
        // The web
        b"html" | b"htm" => "text/html; charset=utf-8",
        b"css" => "text/css; charset=utf-8",
        b"js" | b"mjs" | b"cjs" => "text/javascript; charset=utf-8",
        b"json" | b"map" => "application/json",
        b"jsonld" => "application/ld+json",
        b"geojson" => "application/geo+json",
        b"webmanifest" => "application/manifest+json",
        b"wasm" => "application/wasm",
        b"xhtml" | b"xht" => "application/xhtml+xml",
        b"xml" | b"xsl" | b"xsd" => "application/xml",
        b"xslt" => "application/xslt+xml",
        b"dtd" => "application/xml-dtd",
        b"rss" => "application/rss+xml",
        b"atom" => "application/atom+xml",
        b"torrent" => "application/x-bittorrent",

        // Text
        b"txt" | b"text" | b"log" | b"conf" | b"cfg" | b"ini" | b"diff" | b"patch" | b"c"
        | b"cc" | b"cpp" | b"h" | b"hpp" | b"rs" | b"py" | b"sh" | b"lua" | b"asc" => {
            "text/plain; charset=utf-8"
        }
        b"md" | b"markdown" => "text/markdown; charset=utf-8",
        b"csv" => "text/csv; charset=utf-8",
        b"tsv" => "text/tab-separated-values; charset=utf-8",
        b"ics" => "text/calendar; charset=utf-8",
        b"vcf" => "text/vcard; charset=utf-8",
        b"vtt" => "text/vtt; charset=utf-8",
        b"yaml" | b"yml" => "application/yaml",
        b"toml" => "application/toml",
        b"sql" => "application/sql",
        b"tex" => "application/x-tex",

        // Images
        b"png" => "image/png",
        b"apng" => "image/apng",
        b"jpg" | b"jpeg" | b"jpe" | b"jfif" => "image/jpeg",
        b"gif" => "image/gif",
        b"svg" => "image/svg+xml",
        b"webp" => "image/webp",
        b"avif" => "image/avif",
        b"jxl" => "image/jxl",
        b"heic" => "image/heic",
        b"heif" => "image/heif",
        b"ico" | b"cur" => "image/vnd.microsoft.icon",
        b"bmp" => "image/bmp",
        b"tif" | b"tiff" => "image/tiff",

        // Fonts
        b"woff" => "font/woff",
        b"woff2" => "font/woff2",
        b"ttf" => "font/ttf",
        b"otf" => "font/otf",
        b"ttc" | b"otc" => "font/collection",
        b"eot" => "application/vnd.ms-fontobject",

        // Sound and film
        b"mp3" => "audio/mpeg",
        b"m4a" => "audio/mp4",
        b"aac" => "audio/aac",
        b"oga" | b"ogg" | b"opus" => "audio/ogg",
        b"flac" => "audio/flac",
        b"wav" => "audio/wav",
        b"weba" => "audio/webm",
        b"mid" | b"midi" => "audio/midi",
        b"mp4" | b"m4v" => "video/mp4",
        b"webm" => "video/webm",
        b"ogv" => "video/ogg",
        b"mpeg" | b"mpg" => "video/mpeg",
        b"mov" | b"qt" => "video/quicktime",
        b"mkv" => "video/matroska",
        b"avi" => "video/vnd.avi",
        b"3gp" => "video/3gpp",
        b"ts" | b"m2ts" => "video/mp2t",
        b"m3u8" => "application/vnd.apple.mpegurl",
        b"mpd" => "application/dash+xml",

        // Documents
        b"pdf" => "application/pdf",
        b"ps" | b"eps" => "application/postscript",
        b"rtf" => "application/rtf",
        b"epub" => "application/epub+zip",
        b"doc" => "application/msword",
        b"xls" => "application/vnd.ms-excel",
        b"ppt" => "application/vnd.ms-powerpoint",
        b"docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        b"xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        b"pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        b"odt" => "application/vnd.oasis.opendocument.text",
        b"ods" => "application/vnd.oasis.opendocument.spreadsheet",
        b"odp" => "application/vnd.oasis.opendocument.presentation",

        // Three dimensions
        b"gltf" => "model/gltf+json",
        b"glb" => "model/gltf-binary",
        b"stl" => "model/stl",
        b"obj" => "model/obj",

        // Archives and packages
        b"zip" => "application/zip",
        b"gz" | b"tgz" => "application/gzip",
        b"zst" => "application/zstd",
        b"bz2" => "application/x-bzip2",
        b"xz" => "application/x-xz",
        b"7z" => "application/x-7z-compressed",
        b"rar" => "application/vnd.rar",
        b"tar" => "application/x-tar",
        b"jar" => "application/java-archive",
        b"deb" => "application/vnd.debian.binary-package",
        b"rpm" => "application/x-rpm",
        b"apk" => "application/vnd.android.package-archive",
        b"iso" => "application/vnd.efi.iso",

        // Devices: firmware and dumps have no registered types. Listed, so that nobody gives one
        // of them a type that a browser shows instead of saving.
        b"bin" | b"img" | b"fw" | b"rom" | b"elf" | b"hex" | b"srec" | b"uf2" | b"dfu" | b"dtb" => {
            DEFAULT
        }
        b"cbor" => "application/cbor",
        b"pcap" => "application/vnd.tcpdump.pcap",

        // Keys and signatures
        b"pem" => "application/pem-certificate-chain",
        b"crt" | b"cer" | b"der" => "application/pkix-cert",
        b"sig" => "application/pgp-signature",

        _ => DEFAULT,
    }
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
        // Over all extensions of one to three letters and digits, and the longer ones by name.
        let letters = || (b'a'..=b'z').chain(b'0'..=b'9');
        let check = |extension: &[u8]| {
            let media_type = for_extension(extension);
            assert_eq!(
                media_type.starts_with("text/"),
                media_type.ends_with("; charset=utf-8"),
                "{media_type}"
            );
        };
        for a in letters() {
            check(&[a]);
            for b in letters() {
                check(&[a, b]);
                for c in letters() {
                    check(&[a, b, c]);
                }
            }
        }
        for long in [
            "html", "text", "conf", "diff", "patch", "markdown", "json", "yaml",
        ] {
            check(long.as_bytes());
        }
    }

    #[test]
    fn longest_extension_is_within_the_limit() {
        assert_eq!(b"webmanifest".len(), LONGEST_EXTENSION);
        assert_ne!(for_extension(b"webmanifest"), DEFAULT);
    }
}
