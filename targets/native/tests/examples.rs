//! Every example starts, answers, and ends by itself.

mod common;

use common::Running;
use std::path::PathBuf;

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
            "HTTP/1.1 405",
            "405 Method Not Allowed\nthis path has other methods, see Allow\n",
        ),
        ("deferred", "/measure", "HTTP/1.1 200", "{\"measured\":1}\n"),
        ("streaming", "/count/3", "HTTP/1.1 200", "1\n2\n3\n"),
        (
            "baked_site",
            "/style.css",
            "HTTP/1.1 200",
            "h1{font:2rem system-ui;color:#264}",
        ),
    ];
    for (name, path, status, body) in cases {
        let program = example(name);
        assert!(
            program.exists(),
            "{} is built by cargo test",
            program.display()
        );
        let mut running = Running::start(program.to_str().expect("UTF-8"), &["--seconds", "2"]);
        let (head, content) = running.get(path);
        assert!(head.starts_with(status), "{name}: {head}");
        let streamed = name == "streaming" && content.contains("1\n2\n3\n");
        assert!(content == body || streamed, "{name}: {content:?}");
        assert_eq!(running.end().code(), Some(0), "{name}");
    }
}
