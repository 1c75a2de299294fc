use super::super::testing::{A, AAAA, Record, Say, Server};
use super::*;

fn with_search(server: &Server, search: &[&str], ndots: usize) -> Resolver {
    let search = search.iter().map(|domain| Name::from_utf8(domain).unwrap()).collect();
    let servers = vec![name_server(server.address)];
    let config = ResolverConfig::from_parts(None, search, servers);
    let mut options = ResolverOpts::default();
    (options.ndots, options.attempts) = (ndots, 0);
    let current = build(config, options, Hosts::default(), Looks::default());
    Resolver::with(Source::Fixed, current)
}

fn last_octets(answer: &Answer<Ipv4Addr>) -> Vec<u8> {
    answer
        .as_ref()
        .map(|(all, _)| all.iter().map(|address| address.octets()[3]).collect())
        .unwrap_or_default()
}

#[tokio::test]
async fn search_domains_are_tried_in_their_order() {
    let server = Server::start();
    server.set("up.a.test", A, Say::addresses(9, &["127.0.0.2"]));
    server.set("up.b.test", A, Say::addresses(9, &["127.0.0.3"]));
    server.set("up", A, Say::addresses(9, &["127.0.0.4"]));
    let resolver = with_search(&server, &["none.test", "b.test", "a.test"], 1);
    let found = resolver.addresses("up").await;
    assert_eq!(last_octets(&found.v4), [3]);
    assert_eq!(found.v4.unwrap().1, Duration::from_secs(9));
    assert_eq!(last_octets(&resolver.addresses("up.").await.v4), [4], "a full name is asked for as it is");
    assert_eq!(last_octets(&with_search(&server, &["a.test"], 0).addresses("up").await.v4), [4]);
    assert_eq!(last_octets(&with_search(&server, &["test"], 1).addresses("up.a").await.v4), [2]);
}

#[tokio::test]
async fn a_name_that_may_be_there_hides_the_next() {
    let server = Server::start();
    server.set("up.a.test", A, Say::Code(2, None));
    server.set("up.a.test", AAAA, Say::Code(2, None));
    server.set("up.b.test", A, Say::addresses(9, &["127.0.0.3"]));
    let resolver = with_search(&server, &["a.test", "b.test"], 1);
    let found = resolver.addresses("up").await;
    assert_eq!(found.v4, Err(Failed::Broken("the name server answered SERVFAIL".to_owned())));
    server.set("up.a.test", A, Say::Records(9, Vec::new()));
    server.set("up.a.test", AAAA, Say::Records(9, Vec::new()));
    assert_eq!(last_octets(&resolver.addresses("up").await.v4), [3]);
}

#[tokio::test]
async fn absence_has_its_time() {
    let server = Server::start();
    server.set("gone.test", A, Say::Code(3, Some(77)));
    let resolver = Resolver::with_nameserver(server.address);
    let found = resolver.addresses("gone.test").await;
    assert_eq!(found.v4, Err(Failed::Absent { ttl: Some(Duration::from_secs(77)) }));
    assert_eq!(found.v6, Err(Failed::Absent { ttl: None }));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_long() {
    let server = Server::start();
    server.set("up.test", A, Say::addresses(9, &["127.0.0.2"]));
    server.set("up.test", AAAA, Say::Nothing);
    let resolver = Resolver::with_nameserver(server.address);
    let found = resolver.addresses("up.test").await;
    assert_eq!(last_octets(&found.v4), [2]);
    assert!(matches!(found.v6, Err(Failed::Broken(_))));
}

#[tokio::test]
async fn what_is_cut_off_is_asked_for_again_over_tcp() {
    let server = Server::start();
    let all = (1..=200).map(|n| Record::Address(Ipv4Addr::new(127, 0, 1, n).into())).collect();
    server.set("many.test", A, Say::Large(9, all));
    let resolver = Resolver::with_nameserver(server.address);
    assert_eq!(last_octets(&resolver.addresses("many.test").await.v4).len(), 200);
}
