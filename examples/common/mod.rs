//! What the examples share: they print a URL to open, and end after `--seconds N` if asked to.

use capuchin::{Running, StartError};
use std::net::SocketAddr;
use std::time::Duration;

/// Serves on port 8080, or on any free port while another program has that one, and prints the URL of `path`, which
/// is one that the example answers.
///
/// # Errors
/// Why the server does not start. `main` prints it as one sentence.
pub fn serve(
    path: &str,
    start: impl Fn(SocketAddr) -> Result<Running, StartError>,
) -> Result<(), Box<dyn std::error::Error>> {
    let running = match start("127.0.0.1:8080".parse()?) {
        Err(StartError::Listen(error)) => {
            eprintln!("{error}: another port is used");
            start("127.0.0.1:0".parse()?)?
        }
        started => started?,
    };
    println!("http://{}{path}", running.addresses()[0]);
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "--seconds") {
        let seconds = words
            .get(at + 1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(1.0);
        std::thread::sleep(Duration::from_secs_f64(seconds));
        running.drain();
    }
    running.join();
    Ok(())
}
