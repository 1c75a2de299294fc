//! One gate for several kinds of client: the configuration `bff.yaml` beside this file as it stands, but for its ports,
//! and `examples/bff.yaml`, which bounds more.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::token::{self, SECRET};
use crate::support::{Answer, Client, Gateway, Origin, until};

/// The services behind it.
struct Services {
    users: Origin,
    orders: Origin,
    catalog: Origin,
}

fn answering(status: u16, body: &'static str) -> Origin {
    Origin::serve(move |turn| turn.answer(status, &[("Content-Type", "application/json")], body))
}

impl Services {
    /// All there, with more in their answers than a phone wants. `catalog` answers with this status.
    fn new(catalog: u16) -> Services {
        Services {
            users: answering(200, r#"{"id":"42","name":"Ada","street":"Long"}"#),
            orders: answering(200, r#"[{"id":1,"total":9.50},{"id":2,"total":1e2}]"#),
            catalog: answering(catalog, r#"[{"sku":"a","text":"many words"}]"#),
        }
    }

    /// The gate in front of them. What may be slow on a busy machine may take longer: no test is of time.
    fn bff(&self) -> String {
        self.before(include_str!("bff.yaml"))
    }

    fn before(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (port, origin) in [("3001", &self.users), ("3002", &self.orders), ("3003", &self.catalog)] {
            text = text.replace(&format!("127.0.0.1:{port}"), &origin.address().to_string());
        }
        for port in ["8081", "8082", "9901"] {
            text = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
        }
        for time in ["timeout: 2s", "timeout: 300ms", "timeout: 200ms"] {
            assert!(text.contains(time), "{time} in it");
            text = text.replace(time, "timeout: 20s");
        }
        text
    }

    fn gateway(&self) -> Gateway {
        Gateway::prepare(&[]).env("JWT_SECRET", SECRET).start(&self.bff())
    }
}

/// A client with a token.
struct User {
    client: Client,
    credentials: String,
}

impl User {
    fn new(gateway: &Gateway, listener: &str, subject: &str) -> User {
        let claims = json!({ "sub": subject, "aud": "shop", "exp": token::now() + 300, "roles": [] });
        let credentials = format!("Bearer {}", token::with_claims(&claims));
        User { client: Client::connect(gateway.listener(listener)), credentials }
    }

    fn get(&mut self, target: &str) -> Answer {
        self.client.request("GET", target, &[("Authorization", &self.credentials)], b"")
    }
}

#[test]
fn the_example_gives_the_same_and_bounds_addresses_too() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bff.yaml");
    let services = Services::new(500);
    let text = services.before(&std::fs::read_to_string(path).unwrap());
    let example = Gateway::prepare(&[]).env("JWT_SECRET", SECRET).start(&text);
    let (plain, limits) = (services.gateway(), [("mobile", "phone"), ("web", "page")]);
    for (listener, limit) in limits {
        let answer = User::new(&example, listener, "42").get("/home/42");
        let same = User::new(&plain, listener, "42").get("/home/42");
        let said = |answer: &Answer| {
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("request_id");
            (answer.status, body)
        };
        assert_eq!(said(&answer), said(&same), "{listener}");
        let policy = answer.header("ratelimit-policy").unwrap();
        assert!(policy.contains(limit) || policy.contains("address"), "{policy}");
        assert_eq!(
            Client::connect(example.listener(listener)).get("/api/orders/7").problem(401),
            "missing token"
        );
        let refused = Client::connect(example.listener(listener)).get("/api/catalog/7");
        assert_eq!(refused.problem(401), "missing token");
        assert!(refused.header("ratelimit-policy").unwrap().starts_with("\"address\"; q=3000; w=60"));
    }
}

#[test]
fn the_phone_gets_a_small_answer_and_the_page_everything() {
    let services = Services::new(200);
    let gateway = services.gateway();
    let phone = User::new(&gateway, "mobile", "42").get("/home/42");
    let small =
        r#"{"user":{"id":"42","name":"Ada"},"orders":[{"id":1},{"id":2}],"recommendations":[{"sku":"a"}]}"#;
    assert_eq!((phone.status, phone.text().as_str()), (200, small));
    assert_eq!(phone.header("access-control-allow-origin"), None);
    let page = User::new(&gateway, "web", "42").get("/home/42");
    let all = r#"{"user":{"id":"42","name":"Ada","street":"Long"},"orders":[{"id":1,"total":9.50},{"id":2,"total":1e2}],"recommendedProducts":[{"sku":"a","text":"many words"}]}"#;
    assert_eq!((page.status, page.text().as_str()), (200, all));
    let lines: Vec<String> = services.users.requests().iter().map(|seen| seen.line.clone()).collect();
    assert_eq!(lines, ["GET /42 HTTP/1.1"; 2]);
    assert_eq!(services.users.last().header("x-user-id"), Some("42"));
    // Whose home it is counts at both.
    for listener in ["mobile", "web"] {
        let mut other = User::new(&gateway, listener, "7");
        assert_eq!(other.get("/home/42").problem(403), "forbidden", "{listener}");
        assert_eq!(Client::connect(gateway.listener(listener)).get("/home/42").problem(401), "missing token");
    }
}

#[test]
fn a_missing_section_costs_the_phone_that_section_and_the_page_the_whole() {
    let services = Services::new(500);
    let gateway = services.gateway();
    let phone = User::new(&gateway, "mobile", "42").get("/home/42");
    let small = r#"{"user":{"id":"42","name":"Ada"},"orders":[{"id":1},{"id":2}],"recommendations":null,"_errors":{"recommendations":{"error":"status","status":500}}}"#;
    assert_eq!((phone.status, phone.text().as_str()), (200, small));
    assert_eq!(phone.header("cache-control"), Some("no-store"));
    let told = phone.header("aggregate-status").unwrap();
    for part in ["user;s=ok;", "orders;s=ok;", "recommendations;s=status;"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let page = User::new(&gateway, "web", "42").get("/home/42");
    assert_eq!(page.problem(502), "upstream failure");
    assert_eq!(page.json()["detail"], "recommendations: status");
}

#[test]
fn without_its_user_the_phone_gets_nothing_either() {
    let services = Services { users: answering(404, "{}"), ..Services::new(200) };
    let gateway = services.gateway();
    let phone = User::new(&gateway, "mobile", "42").get("/home/42");
    assert_eq!(phone.problem(502), "upstream failure");
    assert_eq!(phone.json()["detail"], "user: status");
}

#[test]
fn each_has_a_limit_of_its_own_and_pages_of_others_may_ask_at_the_web_alone() {
    let services = Services::new(200);
    let gateway = services.gateway();
    let (mut phone, mut page) = (User::new(&gateway, "mobile", "42"), User::new(&gateway, "web", "42"));
    for turn in 0..60 {
        let answer = phone.get("/api/orders/1");
        assert_eq!(answer.status, 200, "{turn}");
        assert!(answer.header("ratelimit-policy").unwrap().starts_with("\"phone\"; q=60; w=60"));
    }
    assert_eq!(phone.get("/home/42").problem(429), "rate limited");
    let answer = page.get("/home/42");
    assert_eq!(answer.status, 200);
    assert!(answer.header("ratelimit-policy").unwrap().starts_with("\"page\"; q=600; w=60"));
    assert_eq!(User::new(&gateway, "mobile", "7").get("/api/orders/1").status, 200, "another user");

    let preflight = |listener: &str| {
        let headers = [("Origin", "https://shop.example.com"), ("Access-Control-Request-Method", "GET")];
        Client::connect(gateway.listener(listener)).request("OPTIONS", "/home/42", &headers, b"")
    };
    assert_eq!(preflight("web").header("access-control-allow-origin"), Some("https://shop.example.com"));
    assert_eq!(preflight("mobile").header("access-control-allow-origin"), None);
}

#[test]
fn shared_routes_are_at_both() {
    let services = Services::new(200);
    let gateway = services.gateway();
    for listener in ["mobile", "web"] {
        let mut user = User::new(&gateway, listener, "42");
        assert_eq!(user.get("/api/orders/7?x=1").status, 200);
        assert_eq!(services.orders.last().line, "GET /7?x=1 HTTP/1.1");
        assert_eq!(Client::connect(gateway.listener(listener)).get("/api/catalog/7").status, 200, "public");
        assert_eq!(
            Client::connect(gateway.listener(listener)).get("/api/orders/7").problem(401),
            "missing token"
        );
        assert_eq!(user.get("/api/users/7").problem(404), "no route");
    }
    let lines = gateway.log(8);
    let at = |name: &str| lines.iter().filter(|line| line["listener"] == name).count();
    assert_eq!((at("mobile"), at("web")), (4, 4));
}

#[test]
fn a_reload_of_one_listener_leaves_the_other_as_it_is() {
    let services = Services::new(200);
    let gateway = services.gateway();
    let (mut phone, mut page) = (User::new(&gateway, "mobile", "42"), User::new(&gateway, "web", "42"));
    let remaining = |answer: &Answer| answer.header("ratelimit").map(str::to_owned);
    let before = phone.get("/home/42");
    assert!(page.get("/home/42").json()["recommendedProducts"].is_array());
    let changed = services.bff().replace("recommendations: recommendedProducts", "recommendations: tips");
    gateway.replace_config(&changed);
    gateway.signal("HUP");
    until("the page has changed", || page.get("/home/42").json()["tips"].is_array());
    // The same connection, the same answer, and the budget goes on where it was.
    let after = phone.get("/home/42");
    assert_eq!((after.status, after.text()), (200, before.text()));
    assert_ne!(remaining(&after), remaining(&before));
    assert!(remaining(&after).unwrap().contains("r=58"), "{:?}", remaining(&after));
    // What one listener gets wrong puts nothing in force, at neither.
    gateway.replace_config(&changed.replace("recommendations: tips", "nobody: tips"));
    gateway.signal("HUP");
    gateway.wait_stderr("reload failed");
    assert!(page.get("/home/42").json()["tips"].is_array());
    assert_eq!(phone.get("/home/42").status, 200);
}

#[test]
fn routes_of_one_listener_are_its_own_and_what_is_left_of_the_shared_ones() {
    let config = "
        listeners:
          web:
            listen: 127.0.0.1:8081
            routes: { '/api/*': { respond: { status: 202 } }, /own: { respond: { status: 204 } } }
          phone: { listen: 127.0.0.1:8082 }
        routes: { GET /api/*: { respond: { status: 200 } }, /all: { respond: { status: 200 } } }";
    let list = |name: &str| {
        let out = Gateway::prepare(&[]).run(&["routes", "-c", "CONFIG", "--listener", name], config);
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    let web = "listener web on 127.0.0.1:8081\n\
               \x20 /api/*  listener over file  respond\n\
               \x20 /own    listener            respond\n\
               \x20 /all    file                respond\n";
    assert_eq!(list("web"), web);
    let phone = "listener phone on 127.0.0.1:8082\n  GET /api/*  respond\n  /all        respond\n";
    assert_eq!(list("phone"), phone);
    let out = Gateway::prepare(&[])
        .run(&["routes", "-c", "CONFIG", "--listener", "web", "--output", "json"], config);
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    let listeners = told["listeners"].as_array().unwrap();
    let of = |at: usize| (&listeners[0]["routes"][at]["route"], &listeners[0]["routes"][at]["of"]);
    assert_eq!((listeners.len(), &listeners[0]["name"]), (1, &json!("web")));
    assert_eq!(of(0), (&json!("/api/*"), &json!("listener over file")));
    assert_eq!(of(2), (&json!("/all"), &json!("file")));
}
