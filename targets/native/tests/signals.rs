//! What a server does to the signals of its process; alone, for they are the whole process's.

use capuchin::Server;

#[test]
fn broken_pipes_do_not_end_a_process_whose_main_is_not_rusts() {
    // SAFETY: the default action runs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let address = "127.0.0.1:0".parse().expect("an address");
    let running = Server::new(()).listen(address).start().expect("it starts");
    // SAFETY: zeros are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: nothing is changed, and `action` is valid for writing.
    let result = unsafe { libc::sigaction(libc::SIGPIPE, core::ptr::null(), &raw mut action) };
    assert_eq!((result, action.sa_sigaction), (0, libc::SIG_IGN));
    running.stop();
    running.join();
}
