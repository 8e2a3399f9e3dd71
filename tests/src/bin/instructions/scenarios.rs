//! What is counted: who asks for what, by which head, on how many connections.

#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    path: &'static str,
    /// More than one are asked for in turn instead of the path, each by a head of its own.
    pub files: usize,
    numbers: Numbers,
    /// Clients take them in turn.
    fields: &'static [&'static str],
    version: &'static str,
    /// Connections that are open, and how many of them send.
    pub connections: usize,
    pub busy: usize,
    /// Requests that a client sends at once.
    pub pipelined: usize,
    /// A connection for each request.
    pub closes: bool,
    /// Requests of the two runs.
    pub few: usize,
    pub many: usize,
}

/// The number in a browser's head.
#[derive(Clone, Copy)]
enum Numbers {
    /// Each client has one of its own.
    PerClient,
    /// The clients are the same program.
    Same,
    /// Each request has one of its own: no head comes twice.
    Fresh,
}

/// Files that are asked for in turn.
pub const IN_TURN: usize = 16;

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "keep-alive-64-connections",
        connections: 64,
        busy: 64,
        ..ALONE
    },
    Scenario {
        name: "browser-64-connections",
        fields: &[BROWSER],
        connections: 64,
        busy: 64,
        ..ALONE
    },
    Scenario {
        name: "two-browsers-in-turn",
        fields: &[BROWSER, OTHER_BROWSER],
        connections: 64,
        busy: 64,
        ..ALONE
    },
    // What is learnt from a head is of no use: none comes twice. Its few requests are enough to find that out.
    Scenario {
        name: "browser-16-paths-in-turn",
        files: IN_TURN,
        numbers: Numbers::Fresh,
        fields: &[RESOURCE],
        connections: 64,
        busy: 64,
        few: 8_192,
        many: 24_576,
        ..ALONE
    },
    // The clients are the same program: 16 heads, though never one twice running.
    Scenario {
        name: "browser-16-heads-in-turn",
        files: IN_TURN,
        numbers: Numbers::Same,
        fields: &[RESOURCE],
        connections: 64,
        busy: 64,
        ..ALONE
    },
    Scenario {
        name: "browser-1-connection",
        fields: &[BROWSER],
        ..ALONE
    },
    Scenario {
        name: "browser-1-of-10000-connections",
        fields: &[BROWSER],
        connections: 10_000,
        many: 40_320,
        ..ALONE
    },
    Scenario {
        name: "pipelined-16",
        path: "/128.bin",
        connections: 16,
        busy: 16,
        pipelined: 16,
        ..ALONE
    },
    Scenario {
        name: "connection-per-request",
        connections: 16,
        busy: 16,
        closes: true,
        ..ALONE
    },
    Scenario {
        name: "http-1.0",
        version: "1.0",
        connections: 16,
        busy: 16,
        closes: true,
        ..ALONE
    },
    Scenario {
        name: "file-of-100-kb",
        path: "/102400.bin",
        ..ALONE
    },
    Scenario {
        name: "file-of-10-mb",
        path: "/10485760.bin",
        few: 2,
        many: 42,
        ..ALONE
    },
];

/// A client that sends one request after another.
const ALONE: Scenario = Scenario {
    name: "keep-alive",
    path: "/4096.bin",
    files: 1,
    numbers: Numbers::PerClient,
    fields: &[SHORT],
    version: "1.1",
    connections: 1,
    busy: 1,
    pipelined: 1,
    closes: false,
    few: 320,
    many: 9_920,
};

impl Scenario {
    /// What a client asks for: another file than its neighbours, and than in the turn before.
    pub fn file(&self, client: usize, turn: usize) -> usize {
        (client + turn) % self.files
    }

    /// What a client sends at once in a turn.
    pub fn batch(&self, client: usize, turn: usize) -> String {
        let file = self.file(client, turn);
        let number = match self.numbers {
            Numbers::PerClient => client,
            Numbers::Same => 0,
            Numbers::Fresh => turn * self.busy + client,
        };
        let (_, accept) = resource(file);
        let path = match self.files {
            1 => self.path.to_owned(),
            _ => format!("/{}", file_name(file)),
        };
        let fields = self.fields[client % self.fields.len()]
            .replace("NUMBER", &number.to_string())
            .replace("ACCEPT", accept)
            .replace("FILE", &file.to_string());
        let ending = if self.closes {
            "Connection: close\r\n"
        } else {
            ""
        };
        let version = self.version;
        format!("GET {path} HTTP/{version}\r\n{fields}{ending}\r\n").repeat(self.pipelined)
    }
}

/// Of a file that is asked for in turn.
pub fn file_name(file: usize) -> String {
    format!("file-{file:02}.{}", resource(file).0)
}

fn resource(file: usize) -> (&'static str, &'static str) {
    RESOURCES[file % RESOURCES.len()]
}

/// A browser's head: 12 fields, some 600 bytes. There is a number in it.
const BROWSER: &str = "Host: 127.0.0.1:8080\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/NUMBER.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n";

/// Another browser's, with other fields in another order.
const OTHER_BROWSER: &str = "Host: 127.0.0.1:8080\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:NUMBER.0) Gecko/20100101 Firefox/NUMBER.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    DNT: 1\r\n\
    Connection: keep-alive\r\n\
    Referer: http://127.0.0.1:8080/contents/index.html\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n";

/// The first one's for what a page needs: its first line, its `Accept` and its `Referer` are other ones each time.
const RESOURCE: &str = "Host: 127.0.0.1:8080\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/NUMBER.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"130\", \"Google Chrome\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Accept: ACCEPT\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: no-cors\r\n\
    Referer: http://127.0.0.1:8080/contents/chapter-FILE/index.html\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n";

/// What such a browser accepts, by what it asks for: these in turn.
const RESOURCES: [(&str, &str); 4] = [
    (
        "html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    ),
    ("css", "text/css,*/*;q=0.1"),
    ("js", "*/*"),
    (
        "png",
        "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    ),
];

/// A load generator's.
const SHORT: &str = "Host: 127.0.0.1:8080\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn named(name: &str) -> &'static Scenario {
        let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
        found.expect("a scenario")
    }

    #[test]
    fn heads_of_browsers_have_twelve_fields_and_some_600_bytes() {
        for scenario in SCENARIOS
            .iter()
            .filter(|scenario| scenario.name.contains("browser"))
        {
            let heads: Vec<String> = (0..IN_TURN).map(|turn| scenario.batch(10, turn)).collect();
            for head in &heads {
                // The first line, and the empty one.
                assert_eq!(head.lines().count(), 1 + 12 + 1, "{head}");
            }
            let length = heads.concat().len() / heads.len();
            assert!((540..640).contains(&length), "{}: {length}", scenario.name);
        }
    }

    #[test]
    fn heads_come_again_or_not() {
        for (name, expected) in [
            ("browser-64-connections", 64),
            ("browser-16-heads-in-turn", IN_TURN),
            ("browser-16-paths-in-turn", 64 * 2 * IN_TURN),
        ] {
            let clients =
                (0..2 * IN_TURN).flat_map(|turn| (0..64).map(move |client| (client, turn)));
            let heads = clients.map(|(client, turn)| named(name).batch(client, turn));
            assert_eq!(heads.collect::<HashSet<String>>().len(), expected, "{name}");
        }
    }

    #[test]
    fn client_s_next_file_differs_by_path_accept_and_referer() {
        for turn in 0..IN_TURN {
            let scenario = named("browser-16-heads-in-turn");
            let (one, next) = (scenario.batch(0, turn), scenario.batch(0, turn + 1));
            let differ = one.lines().zip(next.lines()).filter(|(a, b)| a != b);
            let names = differ.map(|(line, _)| line.split([':', ' ']).next().unwrap_or_default());
            assert_eq!(names.collect::<Vec<_>>(), ["GET", "Accept", "Referer"]);
        }
    }
}
