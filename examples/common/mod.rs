//! What the examples share: they print their URL, and end after `--seconds N` if asked to.

use capuchin::Running;
use std::time::Duration;

/// Port 8080, unless it is in use: then any.
pub fn serve(
    start: impl Fn(std::net::SocketAddr) -> Result<Running, capuchin::StartError>,
) -> Result<(), Box<dyn std::error::Error>> {
    let running = match start("127.0.0.1:8080".parse()?) {
        Ok(running) => running,
        Err(_) => start("127.0.0.1:0".parse()?)?,
    };
    println!("http://{}/", running.addresses()[0]);
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
