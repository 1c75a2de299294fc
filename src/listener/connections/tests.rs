use super::*;

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn bounds(process: Option<u64>, client: Option<u32>) -> ConnectionBounds {
    ConnectionBounds { process, client }
}

#[test]
fn the_bound_of_the_process_counts_all_listeners() {
    let counts = ConnectionCounts::new(100);
    let two = bounds(Some(2), None);
    let one = counts.take(two, 0, ip("192.0.2.1")).unwrap();
    let other = counts.take(two, 1, None).unwrap();
    assert_eq!(counts.take(two, 2, ip("192.0.2.2")).unwrap_err(), BoundReached::Process(2));
    assert_eq!((counts.open(), counts.clients()), (2, 1), "what was refused is not counted");
    drop(one);
    let again = counts.take(two, 0, ip("192.0.2.3")).unwrap();
    drop((other, again));
    assert_eq!((counts.open(), counts.clients()), (0, 0));
}

#[test]
fn open_files_bound_what_the_configuration_does_not() {
    let counts = ConnectionCounts::new(1);
    let _open = counts.take(bounds(None, None), 0, None).unwrap();
    for process in [None, Some(5)] {
        let refused = counts.take(bounds(process, None), 0, None).unwrap_err();
        assert_eq!(refused, BoundReached::OpenFiles(1), "{process:?}");
    }
    assert_eq!(counts.take(bounds(Some(1), None), 0, None).unwrap_err(), BoundReached::Process(1));
}

#[test]
fn each_client_of_each_listener_is_counted_on_its_own() {
    let counts = ConnectionCounts::new(100);
    let one = bounds(None, Some(1));
    let first = counts.take(one, 0, ip("192.0.2.1")).unwrap();
    // The same client by an IPv6 socket.
    for same in ["192.0.2.1", "::ffff:192.0.2.1"] {
        assert_eq!(counts.take(one, 0, ip(same)).unwrap_err(), BoundReached::Client(1), "{same}");
    }
    let others = [(0, "192.0.2.2"), (1, "192.0.2.1"), (0, "2001:db8:0:1::1"), (0, "2001:db8:0:2::1")];
    let others = others.map(|(listener, client)| counts.take(one, listener, ip(client)).unwrap());
    assert_eq!(counts.take(one, 0, ip("2001:db8:0:1:ffff::9")).unwrap_err(), BoundReached::Client(1));
    let unbounded = counts.take(bounds(None, None), 0, ip("192.0.2.1")).unwrap();
    assert_eq!((counts.open(), counts.clients()), (6, 5));
    // A bound that was lowered meanwhile counts what is open already.
    drop(first);
    assert_eq!(counts.take(one, 0, ip("192.0.2.1")).unwrap_err(), BoundReached::Client(1));
    drop((others, unbounded));
    assert_eq!((counts.open(), counts.clients()), (0, 0));
}

#[test]
fn many_threads_take_exactly_what_there_is() {
    let counts = ConnectionCounts::new(u64::MAX);
    let bounds = bounds(Some(100), Some(30));
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let counts = Arc::clone(&counts);
            std::thread::spawn(move || {
                let client = Some(IpAddr::from([192, 0, 2, thread % 2]));
                for _ in 0..200 {
                    let held: Vec<_> = (0..40).filter_map(|_| counts.take(bounds, 0, client).ok()).collect();
                    assert!(held.len() <= 30 && counts.open() <= 60);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((counts.open(), counts.clients()), (0, 0));
}

#[test]
fn the_table_gives_its_memory_back() {
    let counts = ConnectionCounts::new(u64::MAX);
    let client = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
    let held: Vec<_> = (0..5000).map(|n| counts.take(bounds(None, None), 0, client(n)).unwrap()).collect();
    assert_eq!(counts.clients(), 5000);
    drop(held);
    assert!(counts.lock().clients.capacity() < SHRINK_FROM);
}
