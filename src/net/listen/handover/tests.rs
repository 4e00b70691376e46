use super::*;

fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("linkspan-handover-{}-{name}", std::process::id()));
    // Left by an earlier run with the same process id.
    let _ = fs::remove_file(&path);
    path
}

fn sockets(count: usize) -> Vec<TcpListener> {
    (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect()
}

fn duplicate(socket: &TcpListener) -> io::Result<Duplicate> {
    socket.try_clone().map(|socket| Duplicate { socket, shared: Shared::default() })
}

fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}

#[test]
fn more_sockets_than_fit_into_a_message_come_through_in_order() {
    for count in [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3] {
        let path = path("many");
        let (held, taken) = (sockets(count), std::sync::mpsc::sync_channel(1));
        let expected = addresses(&held);
        let duplicates = move || held.iter().map(duplicate).collect();
        let _offer = offer(&path, duplicates, move || taken.0.send(()).unwrap()).unwrap();
        let received = receive(&path).unwrap().unwrap();
        assert_eq!(received.left().collect::<Vec<_>>(), expected);
        received.serving().unwrap();
        taken.1.recv().unwrap();
    }
}

#[test]
fn too_many_sockets_are_refused_by_who_has_them() {
    let path = path("too-many");
    let one = sockets(1).remove(0);
    // Duplicates of one: what counts is their number.
    let duplicates = move || (0..=MAX_SOCKETS).map(|_| duplicate(&one)).collect();
    let _offer = offer(&path, duplicates, || panic!("not taken")).unwrap();
    receive(&path).unwrap_err();
}

#[test]
fn a_name_that_another_has_taken_is_left_to_it() {
    let path = path("names");
    let first = Place::bind(&path).unwrap();
    let second = Place::bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_socket_of_whoever_started_the_first_process_stays_shared() {
    let path = path("always");
    let (held, (taken, wait)) = (sockets(2), std::sync::mpsc::sync_channel(1));
    let addresses = addresses(&held);
    let duplicates = move || {
        let shared = [Shared::always(), Shared::default()];
        let pairs = held.iter().zip(shared);
        pairs.map(|(socket, shared)| Ok(Duplicate { shared, ..duplicate(socket)? })).collect()
    };
    let _offer = offer(&path, duplicates, move || taken.send(()).unwrap()).unwrap();
    let mut received = receive(&path).unwrap().unwrap();
    let shared: Vec<_> = addresses.into_iter().map(|address| received.take(address).1).collect();
    assert!(shared.iter().all(Shared::get));
    received.serving().unwrap();
    wait.recv().unwrap();
    assert_eq!(shared.iter().map(Shared::get).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_process_that_has_no_sockets_any_more_says_so_and_is_asked_to_stop() {
    let path = path("none");
    let (taken, wait) = std::sync::mpsc::sync_channel(1);
    let gone = || Err(io::Error::other("a worker is gone"));
    let _offer = offer(&path, gone, move || taken.send(()).unwrap()).unwrap();
    let received = receive(&path).unwrap().unwrap();
    assert_eq!(received.left().count(), 0);
    received.serving().unwrap();
    wait.recv().unwrap();
}
