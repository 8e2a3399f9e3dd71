//! The double does what FreeBSD's kqueue(2) says: a test for each sentence that the backend relies on.

use super::*;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

const NOW: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_secs(5));

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, client)
}

fn read(socket: &impl AsRawFd, flags: u16) -> Kevent {
    Kevent::new(socket.as_raw_fd(), EVFILT_READ, flags)
}

fn write(socket: &impl AsRawFd, flags: u16) -> Kevent {
    Kevent::new(socket.as_raw_fd(), EVFILT_WRITE, flags)
}

fn make(queue: &Kqueue, change: Kevent) -> Result<(), i32> {
    queue.kevent(&[change], &mut [], NOW).map(drop)
}

fn events(queue: &Kqueue, timeout: Option<Duration>) -> Vec<Kevent> {
    let mut events = [Kevent::new(0, 0, 0); 8];
    let count = queue.kevent(&[], &mut events, timeout).unwrap();
    events[..count].to_vec()
}

#[test]
fn readable_is_told_again_until_it_is_read_with_the_number_of_bytes() {
    let (mut socket, mut peer) = pair();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD)).unwrap();
    assert!(events(&queue, NOW).is_empty());
    peer.write_all(b"abc").unwrap();
    for _ in 0..3 {
        let told = events(&queue, SOON);
        assert_eq!(
            (told.len(), told[0].data, told[0].flags & EV_EOF),
            (1, 3, 0)
        );
    }
    socket.read_exact(&mut [0; 3]).unwrap();
    assert!(events(&queue, NOW).is_empty());
}

#[test]
fn clear_tells_changes_only() {
    let (socket, mut peer) = pair();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD | EV_CLEAR)).unwrap();
    for bytes in 1..3 {
        peer.write_all(b"a").unwrap();
        let told = events(&queue, SOON);
        assert_eq!((told.len(), told[0].data), (1, bytes));
        assert!(events(&queue, NOW).is_empty(), "told once");
    }
    // To change it is to have it looked at.
    make(&queue, read(&socket, EV_ADD)).unwrap();
    assert_eq!(events(&queue, NOW).len(), 1);
    assert!(events(&queue, NOW).is_empty(), "EV_CLEAR stays");
}

#[test]
fn one_shot_is_deleted_and_dispatch_is_disabled_once_told() {
    let (socket, mut peer) = pair();
    peer.write_all(b"a").unwrap();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD | EV_ONESHOT)).unwrap();
    assert_eq!(events(&queue, SOON).len(), 1);
    assert!(events(&queue, NOW).is_empty());
    assert_eq!(make(&queue, read(&socket, EV_DELETE)), Err(libc::ENOENT));
    make(&queue, read(&socket, EV_ADD | EV_DISPATCH)).unwrap();
    for _ in 0..2 {
        assert_eq!(events(&queue, SOON).len(), 1);
        assert!(events(&queue, NOW).is_empty());
        make(&queue, read(&socket, EV_ENABLE)).unwrap();
    }
}

#[test]
fn disabled_tells_nothing_and_enabled_tells_what_came_meanwhile() {
    let (socket, mut peer) = pair();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD | EV_DISABLE)).unwrap();
    peer.write_all(b"a").unwrap();
    assert!(events(&queue, Some(Duration::from_millis(50))).is_empty());
    make(&queue, read(&socket, EV_ENABLE)).unwrap();
    assert_eq!(events(&queue, SOON).len(), 1);
    let both = make(&queue, read(&socket, EV_ENABLE | EV_DISABLE));
    assert_eq!(both, Err(libc::EINVAL));
}

#[test]
fn end_of_stream_is_told_with_the_bytes_before_it() {
    let (socket, mut peer) = pair();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD)).unwrap();
    make(&queue, write(&socket, EV_ADD)).unwrap();
    peer.write_all(b"ab").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let told = (0..100)
        .map(|_| {
            let told = events(&queue, SOON);
            [EVFILT_READ, EVFILT_WRITE]
                .map(|filter| told.iter().find(|event| event.filter == filter).copied())
        })
        .find_map(|told| match told {
            [Some(read), Some(write)] if read.flags & EV_EOF != 0 => Some((read, write)),
            _ => None,
        })
        .expect("the end is told");
    assert_eq!((told.0.data, told.0.fflags), (2, 0));
    assert_eq!(
        told.1.flags & EV_EOF,
        0,
        "there is still somebody to send to"
    );
}

#[test]
fn own_end_is_told_by_the_filter_of_sending() {
    let (socket, _peer) = pair();
    let queue = Kqueue::new().unwrap();
    let never = Kevent {
        fflags: NOTE_LOWAT,
        data: i64::MAX,
        ..write(&socket, EV_ADD)
    };
    make(&queue, never).unwrap();
    assert!(
        events(&queue, NOW).is_empty(),
        "so much room there is never"
    );
    socket.shutdown(Shutdown::Write).unwrap();
    for _ in 0..2 {
        let told = events(&queue, SOON);
        assert_eq!(
            (told.len(), told[0].flags & EV_EOF, told[0].fflags),
            (1, EV_EOF, 0)
        );
    }
}

#[test]
fn reset_is_told_by_both_filters_with_an_error() {
    let (socket, peer) = pair();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD)).unwrap();
    make(&queue, write(&socket, EV_ADD)).unwrap();
    let at_once = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the value lives through the call and has the length that is passed.
    let set = unsafe {
        libc::setsockopt(
            peer.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const at_once).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0);
    drop(peer);
    let told = (0..100)
        .map(|_| events(&queue, SOON))
        .find(|told| told.len() == 2 && told.iter().all(|event| event.flags & EV_EOF != 0))
        .expect("both filters tell the end");
    assert!(
        told.iter()
            .all(|event| event.fflags == libc::ECONNRESET as u32)
    );
    // Whoever receives next meets it.
    let met = (&socket).read(&mut [0]).unwrap_err();
    assert_eq!(met.raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn listener_tells_how_many_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&listener, EV_ADD)).unwrap();
    make(&queue, write(&listener, EV_ADD)).unwrap();
    assert!(events(&queue, NOW).is_empty());
    let clients = [0, 1].map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let told = events(&queue, SOON);
    assert_eq!((told.len(), told[0].data), (1, clients.len() as i64));
}

#[test]
fn receipts_answer_every_change_and_take_no_events() {
    let (socket, mut peer) = pair();
    let (other, _other_peer) = pair();
    peer.write_all(b"a").unwrap();
    let queue = Kqueue::new().unwrap();
    let changes = [
        read(&socket, EV_ADD | EV_RECEIPT),
        read(&other, EV_DELETE | EV_RECEIPT),
        write(&other, EV_ADD | EV_RECEIPT),
    ];
    let mut receipts = [Kevent::new(0, 0, 0); 8];
    assert_eq!(queue.kevent(&changes, &mut receipts, None), Ok(3));
    let told: Vec<_> = receipts[..3]
        .iter()
        .map(|receipt| (receipt.flags, receipt.data))
        .collect();
    let missing = libc::ENOENT.into();
    assert_eq!(told, [(EV_ERROR, 0), (EV_ERROR, missing), (EV_ERROR, 0)]);
    assert_eq!(events(&queue, NOW).len(), 2);
}

#[test]
fn error_without_room_for_it_ends_the_changes() {
    let (socket, _peer) = pair();
    let queue = Kqueue::new().unwrap();
    let changes = [read(&socket, EV_DELETE), write(&socket, EV_ADD)];
    assert_eq!(queue.kevent(&changes, &mut [], NOW), Err(libc::ENOENT));
    assert_eq!(
        make(&queue, write(&socket, EV_DELETE)),
        Err(libc::ENOENT),
        "was not added"
    );
}

#[test]
fn what_comes_back_is_what_was_given_last_unless_it_is_kept() {
    let (socket, mut peer) = pair();
    peer.write_all(b"a").unwrap();
    let queue = Kqueue::new().unwrap();
    let marked = |flags, mark: usize| Kevent {
        udata: mark as *mut _,
        ..read(&socket, flags)
    };
    make(&queue, marked(EV_ADD, 1)).unwrap();
    make(&queue, marked(EV_ENABLE, 2)).unwrap();
    assert_eq!(events(&queue, SOON)[0].udata as usize, 2);
    make(&queue, marked(EV_KEEPUDATA, 3)).unwrap();
    assert_eq!(events(&queue, SOON)[0].udata as usize, 2);
    let added = make(&queue, marked(EV_ADD | EV_KEEPUDATA, 4));
    assert_eq!(added, Err(libc::EINVAL));
}

#[test]
fn closed_descriptor_is_watched_no_more() {
    let (socket, mut peer) = pair();
    let queue = Kqueue::new().unwrap();
    make(&queue, read(&socket, EV_ADD)).unwrap();
    peer.write_all(b"a").unwrap();
    assert_eq!(events(&queue, SOON).len(), 1);
    let change = read(&socket, EV_ENABLE);
    drop(socket);
    assert!(events(&queue, NOW).is_empty());
    // By now the number may be that of another test's.
    let refused = make(&queue, change);
    assert!(
        [Err(libc::EBADF), Err(libc::ENOENT)].contains(&refused),
        "{refused:?}"
    );
}

#[test]
fn more_events_than_there_is_room_for_take_turns() {
    let pairs: Vec<_> = (0..20).map(|_| pair()).collect();
    let queue = Kqueue::new().unwrap();
    for (socket, _) in &pairs {
        make(&queue, write(socket, EV_ADD)).unwrap();
    }
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        seen.extend(events(&queue, SOON).iter().map(|event| event.ident));
    }
    assert_eq!(seen.len(), pairs.len());
}

#[test]
fn signal_ends_a_wait_and_the_changes_were_made() {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: the handler does nothing, so it may run at any time.
    let main = unsafe {
        libc::signal(libc::SIGUSR1, nothing as *const () as libc::sighandler_t);
        libc::pthread_self()
    };
    let (socket, mut peer) = pair();
    let queue = Kqueue::new().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
                // SAFETY: the thread waits for this one to end, so it lives.
                unsafe { libc::pthread_kill(main, libc::SIGUSR1) };
            }
        });
        let mut events = [Kevent::new(0, 0, 0)];
        let found = queue.kevent(&[read(&socket, EV_ADD)], &mut events, SOON);
        over.store(true, SeqCst);
        assert_eq!(found, Err(libc::EINTR));
    });
    peer.write_all(b"a").unwrap();
    assert_eq!(events(&queue, SOON).len(), 1);
}
