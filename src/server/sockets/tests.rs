use super::*;

fn bound(number: usize, name: &str, asked: &str) -> Bound {
    let asked: SocketAddr = asked.parse().unwrap();
    let local = if asked.port() == 0 { SocketAddr::new(asked.ip(), 40_000) } else { asked };
    Bound { number, name: name.into(), asked, local, own: Vec::new() }
}

fn wanted(list: &[(&str, &str)]) -> Vec<(Name, SocketAddr)> {
    list.iter().map(|(name, address)| (Name::from(*name), address.parse().unwrap())).collect()
}

#[test]
fn what_stays_the_same_is_kept_in_any_order() {
    let open = [bound(0, "a", "127.0.0.1:81"), bound(1, "b", "127.0.0.1:82")];
    let changes = changes(&open, &wanted(&[("b", "127.0.0.1:82"), ("a", "127.0.0.1:81")]));
    assert_eq!(changes, Changes { kept: vec![1, 0], ..Changes::default() });
}

#[test]
fn a_new_address_is_opened_and_the_old_one_closed() {
    let open = [bound(0, "a", "127.0.0.1:81"), bound(1, "b", "127.0.0.1:82")];
    let changes = changes(&open, &wanted(&[("a", "127.0.0.1:83"), ("b", "127.0.0.1:82")]));
    let opened = wanted(&[("a", "127.0.0.1:83")]);
    assert_eq!(changes, Changes { kept: vec![1], opened, closed: vec![0], ..Changes::default() });
}

#[test]
fn sockets_follow_their_address_to_another_name() {
    let open = [bound(0, "a", "127.0.0.1:81"), bound(1, "b", "127.0.0.1:82")];
    let swapped = changes(&open, &wanted(&[("a", "127.0.0.1:82"), ("b", "127.0.0.1:81")]));
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let renamed = vec![(1, Name::from("a"), at(82)), (0, Name::from("b"), at(81))];
    assert_eq!(swapped, Changes { renamed, ..Changes::default() });
}

#[test]
fn a_port_of_the_systems_choice_stays_with_its_name_alone() {
    let open = [bound(0, "a", "127.0.0.1:0")];
    assert_eq!(changes(&open, &wanted(&[("a", "127.0.0.1:0")])).kept, vec![0]);
    let other = changes(&open, &wanted(&[("b", "127.0.0.1:0")]));
    assert_eq!((other.opened.len(), other.closed), (1, vec![0]));
}

#[test]
fn a_wider_address_takes_in_what_is_open_and_a_narrower_one_closes_the_wide() {
    for (wide, narrow) in [
        ("0.0.0.0:81", "127.0.0.1:81"),
        ("[::]:81", "127.0.0.1:81"),
        ("[::]:81", "0.0.0.0:81"),
        ("[::]:81", "[::1]:81"),
    ] {
        let before = [bound(0, "a", narrow)];
        let wider = changes(&before, &wanted(&[("a", wide)]));
        let opened = wanted(&[("a", wide)]);
        assert_eq!(wider, Changes { kept: vec![0], opened, ..Changes::default() }, "{narrow} to {wide}");
        let both = [bound(0, "a", narrow), bound(1, "a", wide)];
        assert_eq!(changes(&both, &wanted(&[("a", wide)])).kept, [1, 0], "it stays that way");
        let back = changes(&both, &wanted(&[("a", narrow)]));
        assert_eq!(back, Changes { kept: vec![0], closed: vec![1], ..Changes::default() }, "and back");
        let narrowed = changes(&both[1..], &wanted(&[("a", narrow)]));
        let opened = wanted(&[("a", narrow)]);
        assert_eq!(narrowed, Changes { opened, closed: vec![1], ..Changes::default() }, "{wide} to {narrow}");
        let other = changes(&before, &wanted(&[("b", wide)]));
        assert_eq!(
            other.renamed,
            [(0, Name::from("b"), narrow.parse().unwrap())],
            "under the wide one's name"
        );
    }
}

#[test]
fn of_two_wide_addresses_the_one_of_the_same_family_takes_in() {
    let open = [bound(0, "a", "127.0.0.1:81")];
    let both = changes(&open, &wanted(&[("six", "[::]:81"), ("four", "0.0.0.0:81")]));
    assert_eq!(both.renamed[0].1, Name::from("four"));
}

#[test]
fn a_port_that_the_system_chose_may_be_asked_for() {
    let open = [bound(0, "a", "127.0.0.1:0")];
    let named = changes(&open, &wanted(&[("a", "127.0.0.1:40000")]));
    assert_eq!(named.renamed, [(0, Name::from("a"), open[0].local)]);
    assert!(named.opened.is_empty() && named.closed.is_empty());
}

#[test]
fn all_or_nothing_is_bound_and_the_fault_names_listener_address_and_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let list = [(Name::from("good"), "127.0.0.1:0".parse().unwrap()), (Name::from("public"), address)];
    let Err(refused) = open(&list, 2, &[], 0) else { panic!("the port is taken") };
    assert!(refused.contains("`public`") && refused.contains(&address.to_string()), "{refused}");
    assert!(refused.contains("taken") && refused.contains("choose another port"), "{refused}");
}

#[test]
fn every_core_gets_a_socket_of_one_port() {
    let list = [(Name::from("a"), "127.0.0.1:0".parse().unwrap())];
    let opened = open(&list, 3, &[], 7).unwrap();
    let ports: Vec<u16> = opened[0].sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
    assert_eq!(ports, vec![opened[0].bound.local.port(); 3]);
    assert_eq!(opened[0].bound.number, 7);
}

#[test]
fn a_listener_that_is_given_up_is_known_until_its_sockets_are_closed() {
    let open = || Listening::new(vec![bound(0, "a", "127.0.0.1:80"), bound(1, "b", "127.0.0.1:81")]);
    let mut listening = open();
    listening.give_up(&[0]);
    assert_eq!(listening.bound.len(), 1);
    // A reload that is broken off here leaves nobody behind.
    assert_eq!(listening.take_all(), [0, 1]);
    assert!(listening.take_all().is_empty());
    let mut listening = open();
    listening.give_up(&[0]);
    listening.closed(&[0]);
    assert_eq!(listening.take_all(), [1]);
}
