//! Starting QEMU so that it does not outlive whoever started it.

use crate::console::Console;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// Keeps the thread that a child depends on: to be dropped when the child has ended.
#[derive(Debug)]
pub(crate) struct Starter {
    _end: mpsc::Sender<()>,
}

/// Starts `command` and a thread that collects its standard output as the console. The file gets a
/// copy. When it is `interactive`, standard output gets one, too, and the child has an input.
pub(crate) fn start(
    mut command: Command,
    console: Console,
    file: Option<File>,
    interactive: bool,
) -> io::Result<(Child, Starter)> {
    let input = if interactive {
        Stdio::piped()
    } else {
        Stdio::null()
    };
    command.stdin(input).stdout(Stdio::piped());
    // Ctrl-C in a terminal goes to all of a group: whoever started QEMU decides when it ends.
    command.process_group(0);
    end_with_parent(&mut command);
    let (sender, receiver) = mpsc::sync_channel(1);
    let (end, ended) = mpsc::channel();
    // On Linux "the parent" is the thread that started the child. This one stays as long as that:
    // longer than the console, which QEMU closes before it has ended.
    thread::Builder::new()
        .name("console".into())
        .spawn(move || match command.spawn() {
            Ok(mut child) => {
                let output = child.stdout.take();
                // Nobody waits for it only when this process is ending.
                let _ = sender.send(Ok(child));
                if let Some(output) = output {
                    console.collect(output, file, interactive);
                }
                // An error is what comes: the other side was dropped.
                let _ = ended.recv();
            }
            Err(error) => {
                let _ = sender.send(Err(error));
            }
        })?;
    let started: io::Result<Child> = receiver
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it ended")));
    Ok((started?, Starter { _end: end }))
}

/// Has the system kill the child when the thread that started it is gone, where it can.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    let set = || {
        // SAFETY: the call takes numbers only, and may be made between fork and exec.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    // SAFETY: the closure only makes one system call; it neither allocates nor takes locks.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}
