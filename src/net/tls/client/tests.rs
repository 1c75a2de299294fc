use super::*;

/// The certificate of a CA.
const CA: &[u8] = include_bytes!("../../../../tests/config/pem/ca.pem");

fn settings() -> ClientSettings<'static> {
    ClientSettings { ca: Some(CA), ..ClientSettings::default() }
}

fn new(settings: ClientSettings<'_>) -> Result<ClientTls, Vec<Unusable>> {
    ClientTls::new(settings, &SystemRoots::default())
}

fn wrong(settings: ClientSettings<'_>) -> Vec<(Part, String)> {
    let wrong = new(settings).map(drop).unwrap_err();
    wrong.into_iter().map(|one| (one.part, one.what)).collect()
}

#[test]
fn one_is_equal_to_itself_alone() {
    let (one, other) = (Arc::new(new(settings()).unwrap()), Arc::new(new(settings()).unwrap()));
    assert_eq!(one, Arc::clone(&one));
    assert_ne!(one, other, "sessions of one are not resumed by another");
}

#[test]
fn everything_that_cannot_be_used_is_named_at_once() {
    let nothing = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let all = ClientSettings {
        ca: Some(nothing),
        identity: Some((nothing, nothing)),
        server_name: Some("a_b..c"),
        unverified: false,
    };
    let parts: Vec<Part> = wrong(all).into_iter().map(|(part, _)| part).collect();
    assert_eq!(parts, [Part::ServerName, Part::Ca, Part::Certificate]);
    let locked =
        b"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    let identity = ClientSettings { identity: Some((CA, locked)), ..settings() };
    assert_eq!(wrong(identity), [(Part::Key, "this key is encrypted".to_owned())]);
}

#[test]
fn a_host_is_a_name_or_an_address() {
    let tls = new(settings()).unwrap();
    for host in ["users", "users.internal", "my_service", "10.0.0.1", "::1"] {
        assert!(tls.can_verify(host), "{host}");
    }
    for host in ["", "a..b", "a b", "[::1]"] {
        assert!(!tls.can_verify(host), "{host}");
    }
    let named = new(ClientSettings { server_name: Some("::1"), ..settings() }).unwrap();
    assert!(named.can_verify("a..b"), "the name that is written counts");
}

#[test]
fn nothing_is_sent_to_a_host_that_can_prove_nothing() {
    let secure = Arc::new(new(settings()).unwrap()).to("a..b");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(async {
        let stream = crate::net::Network::default().connect(address).await.unwrap();
        secure.over(stream, Protocol::Http1).await.map(drop)
    });
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn the_authorities_of_the_system_are_read_once() {
    let system = SystemRoots::default();
    match (system.get(), system.get()) {
        (Ok(first), Ok(second)) => assert!(Arc::ptr_eq(&first, &second)),
        (first, second) => assert_eq!(first.unwrap_err(), second.unwrap_err(), "a system without any"),
    }
}
