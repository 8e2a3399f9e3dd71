//! Every example starts, answers, and ends by itself.

mod common;

use common::Running;
use std::path::PathBuf;

/// `main` returns this error: what it prints is for a person.
#[test]
fn start_error_is_printed_as_a_sentence_where_main_returns_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound");
    let error = capuchin::Server::new(()).listen(address).start().map(drop);
    let error: Box<dyn std::error::Error> = error.expect_err("the port is in use").into();
    let printed = format!("{error:?}");
    assert_eq!(printed, error.to_string());
    assert!(printed.contains("is in use"), "{printed}");
}

/// Cargo builds the examples together with the tests, beside their directory.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("we run");
    path.pop();
    path.pop();
    path.join("examples").join(name)
}

#[test]
fn examples_answer_and_end() {
    let cases = [
        ("hello", "/", "HTTP/1.1 200", "Hello from Capuchin.\n"),
        (
            "json_api",
            "/lamps/3",
            "HTTP/1.1 200",
            "{\"id\":3,\"on\":false}\n",
        ),
        (
            "json_api",
            "/lamps/9",
            "HTTP/1.1 404",
            "404 Not Found\nthere is no such lamp\n",
        ),
        (
            "upload",
            "/upload",
            "HTTP/1.1 200",
            "Send a file to this URL: curl -T FILE URL\n",
        ),
        ("deferred", "/measure", "HTTP/1.1 200", "{\"measured\":"),
        ("streaming", "/count/3", "HTTP/1.1 200", "1\n2\n3\n"),
        (
            "baked_site",
            "/style.css",
            "HTTP/1.1 200",
            "h1{font:2rem system-ui;color:#264}",
        ),
    ];
    // Each runs for its seconds, all at the same time.
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || answers_and_ends(case));
        }
    });
}

fn answers_and_ends((name, path, status, body): (&str, &str, &str, &str)) {
    let program = example(name);
    assert!(
        program.exists(),
        "{} is built by cargo test",
        program.display()
    );
    let mut running = Running::start(program.to_str().expect("UTF-8"), &["--seconds", "5"]);
    let (head, content) = running.get(&running.path);
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "{name} prints the URL of {}:\n{head}\n\n{content}",
        running.path
    );
    let (head, content) = running.get(path);
    assert!(head.starts_with(status), "{name}: {head}");
    // Streamed content comes with its chunks; a measurement may be that of the request before.
    let is_right = match name {
        "streaming" => content.contains(body),
        "deferred" => content.starts_with(body),
        _ => content == body,
    };
    assert!(is_right, "{name}: {content:?}");
    assert_eq!(running.end().code(), Some(0), "{name}");
}
