//! What a machine has of this system for itself: a private directory, and ports.

use crate::spec::Forward;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that only this user can look into, removed with this value.
#[derive(Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = folder(std::env::temp_dir());
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("capuchin-qemu-{}-{number}", std::process::id());
            let path = folder.join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                // Left by an earlier process of this number that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Self(path)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing depends on its being gone.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of a local socket's path on the systems that have least, without the NUL.
const SOCKET_PATH: usize = 103;

/// Bytes of what stands behind the folder: `/capuchin-qemu-PID-NUMBER/monitor`.
const BEHIND_FOLDER: usize = 48;

/// The folder for temporary files, or `/tmp` where sockets in that would have too long a path.
fn folder(usual: PathBuf) -> PathBuf {
    if usual.as_os_str().len() + BEHIND_FOLDER <= SOCKET_PATH {
        usual
    } else {
        PathBuf::from("/tmp")
    }
}

/// The same forwards, with a free port of the loopback address for each 0. It is free now; until
/// QEMU takes it another process may, so whoever asks must be ready to ask again.
pub(crate) fn choose_ports(forwards: &[Forward]) -> io::Result<Vec<Forward>> {
    // Held together, so that they differ.
    let mut held = Vec::new();
    let mut chosen = Vec::new();
    for &Forward { mut host, guest } in forwards {
        if host == 0 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            host = listener.local_addr()?.port();
            held.push(listener);
        }
        chosen.push(Forward { host, guest });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn directory_is_private_and_goes_with_its_value() {
        let (one, two) = (Place::new().unwrap(), Place::new().unwrap());
        assert_ne!(one.path(), two.path());
        let mode = fs::metadata(one.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = one.path().to_owned();
        fs::write(path.join("file"), "text").unwrap();
        drop(one);
        assert!(!path.exists());
    }

    #[test]
    fn folder_with_a_long_name_makes_way_for_one_that_sockets_take() {
        let longest = PathBuf::from("x".repeat(SOCKET_PATH - BEHIND_FOLDER));
        assert_eq!(folder(longest.clone()), longest);
        let longer = PathBuf::from("x".repeat(SOCKET_PATH - BEHIND_FOLDER + 1));
        assert_eq!(folder(longer), Path::new("/tmp"));
        let name = format!("/capuchin-qemu-{}-{}/monitor", u32::MAX, u32::MAX);
        assert!(name.len() <= BEHIND_FOLDER);
    }

    #[test]
    fn chosen_ports_differ_and_given_ones_stay() {
        let asked = [
            Forward::to(80),
            Forward {
                host: 8_080,
                guest: 81,
            },
            Forward::to(82),
        ];
        let chosen = choose_ports(&asked).unwrap();
        assert_eq!(chosen[1], asked[1]);
        assert!(chosen.iter().all(|forward| forward.host != 0));
        assert_ne!(chosen[0].host, chosen[2].host);
    }
}
