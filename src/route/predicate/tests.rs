use super::*;

#[derive(Default)]
struct Fake {
    headers: Vec<(&'static str, &'static str)>,
    query: Option<&'static str>,
    host: Option<&'static str>,
    ip: Option<IpAddr>,
}

impl Subject for Fake {
    fn any_header(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.iter().filter(|(known, _)| *known == name).any(|(_, value)| visit(value.as_bytes()))
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn host(&self) -> Option<&str> {
        self.host
    }

    fn client_ip(&self) -> IpAddr {
        self.ip.unwrap_or(IpAddr::from([127, 0, 0, 1]))
    }
}

fn value(text: &str) -> Expect {
    Expect::Value(text.into())
}

fn regex(text: &str) -> Expect {
    Expect::Regex(Regex::new(text).unwrap())
}

fn all() -> Predicate<Fake> {
    Predicate::default()
}

#[test]
fn an_empty_match_always_holds() {
    assert!(all().holds(&Fake::default()));
}

#[test]
fn headers_are_compared_line_by_line() {
    let request = Fake { headers: vec![("x-api-version", "1"), ("x-api-version", "2")], ..Fake::default() };
    assert!(all().header("X-Api-Version", value("2")).holds(&request));
    assert!(!all().header("x-api-version", value("3")).holds(&request));
    assert!(all().header("x-api-version", Expect::Present).holds(&request));
    assert!(!all().header("x-other", Expect::Present).holds(&request));
    assert!(all().header("x-api-version", regex("^[2-9]$")).holds(&request));
    assert!(!all().header("x-other", regex("")).holds(&request));
}

#[test]
fn query_parameters_are_compared_decoded() {
    let request = Fake { query: Some("a=1&a=2&flag&b%20c=x+y%2B&&=v"), ..Fake::default() };
    assert!(all().query("a", value("2")).holds(&request));
    assert!(all().query("flag", Expect::Present).holds(&request));
    assert!(all().query("flag", value("")).holds(&request));
    assert!(all().query("b c", value("x y+")).holds(&request));
    assert!(!all().query("A", Expect::Present).holds(&request));
    assert!(all().query("", value("v")).holds(&request));
    assert!(all().query("a", regex("^1$")).query("a", regex("^2$")).holds(&request));
    assert!(!all().query("a", Expect::Present).holds(&Fake::default()));
}

#[test]
fn cookies_are_found_in_every_line() {
    let request =
        Fake { headers: vec![("cookie", "a=1; beta=\"yes\";c"), ("cookie", "d=x=y")], ..Fake::default() };
    assert!(all().cookie("beta", value("yes")).holds(&request));
    assert!(all().cookie("d", value("x=y")).holds(&request));
    assert!(!all().cookie("c", Expect::Present).holds(&request));
    assert!(!all().cookie("Beta", Expect::Present).holds(&request));
}

#[test]
fn host_and_client_are_any_of_a_list() {
    let hosts = HostList::parse(&["a.example", "*.b.example"]).unwrap();
    let predicate = all().hosts(hosts);
    assert!(predicate.holds(&Fake { host: Some("x.b.example:80"), ..Fake::default() }));
    assert!(!predicate.holds(&Fake { host: Some("c.example"), ..Fake::default() }));
    assert!(!predicate.holds(&Fake::default()));

    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let predicate = all().client_ip(networks);
    assert!(predicate.holds(&Fake { ip: Some(IpAddr::from([10, 1, 1, 1])), ..Fake::default() }));
    assert!(!predicate.holds(&Fake::default()));
}

#[test]
fn everything_asked_for_must_hold() {
    struct Fixed(bool);
    impl Condition<Fake> for Fixed {
        fn holds(&self, _: &Fake) -> bool {
            self.0
        }
    }
    let request = Fake { headers: vec![("x-a", "1")], query: Some("b=2"), ..Fake::default() };
    let both = || all().header("x-a", value("1")).query("b", value("2"));
    assert!(both().holds(&request));
    assert!(both().when(Box::new(Fixed(true))).holds(&request));
    assert!(!both().when(Box::new(Fixed(false))).holds(&request));
    assert!(!both().header("x-b", Expect::Present).holds(&request));
}
