use super::*;

fn bound(number: usize, name: &str, asked: &str) -> Bound {
    let asked: SocketAddr = asked.parse().unwrap();
    let local = if asked.port() == 0 { SocketAddr::new(asked.ip(), 40_000) } else { asked };
    Bound { number, name: name.into(), asked, local }
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
    let renamed = vec![(1, Name::from("a")), (0, Name::from("b"))];
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
fn all_or_nothing_is_bound_and_the_fault_names_listener_address_and_mend() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let list = [(Name::from("good"), "127.0.0.1:0".parse().unwrap()), (Name::from("public"), address)];
    let Err(told) = open(&list, 2, 0) else { panic!("the port is taken") };
    assert!(told.contains("`public`") && told.contains(&address.to_string()), "{told}");
    assert!(told.contains("taken") && told.contains("choose another port"), "{told}");
}

#[test]
fn every_core_gets_a_socket_of_one_port() {
    let opened = open(&[(Name::from("a"), "127.0.0.1:0".parse().unwrap())], 3, 7).unwrap();
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
