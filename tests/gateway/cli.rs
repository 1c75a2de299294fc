//! The commands: what they print where, and what they end with. Ids in comments are cases (s) of the catalogue.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::process::{Folder, Process, command};
use crate::support::token::SECRET;
use crate::support::{Client, Gateway, Origin, until};

const GOOD: &str = "
    upstreams: { users: { url: 'http://127.0.0.1:3001' } }
    policies: { rate_limit: none }
    routes:
      /api/users/*: { upstream: users, rewrite: / }
      GET /health: { respond: { status: 200, body: fine } }
    ";

const BAD: &str = "
    upstreams: { users: { url: 'http://127.0.0.1:3001' } }
    routes:
      /api/users/*: { upstream: usres, rewrit: / }
      /api/orders/*: { upstream: orders }
    ";

fn run(arguments: &[&str], config: &str) -> Output {
    Gateway::prepare(&[]).run(arguments, config)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_tells_everything_and_its_exit_code_the_rest() {
    let good = run(&["check", "-c", "CONFIG"], GOOD);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("good") && text(&good.stdout).contains("routes: 2"));

    let bad = run(&["check", "-c", "CONFIG"], BAD);
    let told = text(&bad.stderr);
    assert_eq!((bad.status.code(), text(&bad.stdout).as_str()), (Some(1), ""), "errors go to stderr");
    for part in [
        "usres",
        "did you mean `users`",
        "rewrit",
        "did you mean `rewrite`",
        "orders",
        "portcullis.yaml:",
        "^",
    ] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "no colour in a pipe");

    let missing = run(&["check", "-c", "/no/such/file.yaml"], GOOD);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("/no/such/file.yaml"));
    assert!(text(&missing.stderr).contains("-c PATH"), "{}", text(&missing.stderr));
    for slip in [&["check", "--nonsense"][..], &["chek"], &[], &["check", "--output", "xml"]] {
        let out = run(slip, GOOD);
        assert_eq!((out.status.code(), text(&out.stdout).as_str()), (Some(2), ""), "{slip:?}");
        assert!(!out.stderr.is_empty());
    }
}

#[test]
fn check_speaks_json() {
    let bad = run(&["check", "-c", "CONFIG", "--output", "json"], BAD);
    assert_eq!((bad.status.code(), text(&bad.stderr).as_str()), (Some(1), ""));
    let told: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!(told["errors"], 3, "{told:#}");
    for diagnostic in told["diagnostics"].as_array().unwrap() {
        assert_eq!(diagnostic["severity"], "error");
        assert!(
            diagnostic["line"].as_u64() > Some(0) && diagnostic["column"].as_u64() > Some(0),
            "{diagnostic}"
        );
        assert!(
            diagnostic["file"].as_str().is_some_and(|file| file.ends_with("portcullis.yaml")),
            "{diagnostic}"
        );
    }
    let good = run(&["check", "-c", "CONFIG", "--output", "json"], GOOD);
    let told: Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!((good.status.code(), &told["errors"]), (Some(0), &json!(0)));
    let missing = run(&["check", "-c", "/no/such/file.yaml", "--output", "json"], GOOD);
    assert_eq!(missing.status.code(), Some(2));
    let told: Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!(told["errors"], 1);
}

#[test]
fn routes_lists_what_is_served() {
    let out = run(&["routes", "-c", "CONFIG"], GOOD);
    let told = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    for part in ["/api/users/*", "-> users", "GET /health", "respond"] {
        assert!(told.contains(part), "{part:?} in\n{told}");
    }
    let out = run(&["routes", "-c", "CONFIG", "--output", "json"], GOOD);
    let told: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(told["listeners"][0]["routes"].as_array().map(Vec::len), Some(2));
    assert_eq!(run(&["routes", "-c", "CONFIG"], BAD).status.code(), Some(1));
    let out = run(&["routes", "-c", "CONFIG", "--listener", "defualt"], GOOD);
    assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0));
    assert!(text(&out.stderr).contains("did you mean `default`?"), "{}", text(&out.stderr));
}

/// The parts of JSON Schema that the generated schema uses; another word fails the test.
struct Schema(Value);

impl Schema {
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => {
                self.0.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"))
            }
            None => schema,
        }
    }

    /// What is wrong with `value`, where a schema of this kind would see it.
    fn judge(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        if let Some(any) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            let all: Vec<String> = any.iter().filter_map(|one| self.judge(one, value, at).err()).collect();
            return if all.len() < any.len() { Ok(()) } else { Err(all.join(" | ")) };
        }
        if let Some(kind) = schema["type"].as_str() {
            let is = match value {
                Value::Object(_) => "object",
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_u64() => "integer",
                Value::Number(_) => "number",
                Value::Null => "null",
            };
            if kind != is && !(kind == "number" && is == "integer") {
                return Err(format!("{at}: {is} where {kind} is wanted"));
            }
        }
        if let Some(choices) = schema["enum"].as_array()
            && !choices.contains(value)
        {
            return Err(format!("{at}: {value} is none of {choices:?}"));
        }
        if let Some(constant) = schema.get("const")
            && constant != value
        {
            return Err(format!("{at}: {value} is not {constant}"));
        }
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
            let pattern = regex::Regex::new(pattern).unwrap_or_else(|e| panic!("{at}: {e}"));
            if !pattern.is_match(text) {
                return Err(format!("{at}: {text} does not match {pattern}"));
            }
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(items) = schema.get("items") {
                self.judge(items, item, &format!("{at}[{index}]"))?;
            }
        }
        for (name, member) in value.as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            match (schema["properties"].get(name), schema.get("additionalProperties")) {
                (Some(property), _) => self.judge(property, member, &at)?,
                (None, Some(Value::Bool(false))) => return Err(format!("{at}: unknown")),
                (None, Some(rest)) if rest.is_object() => self.judge(rest, member, &at)?,
                (None, _) => {}
            }
        }
        for needed in schema["required"].as_array().into_iter().flatten() {
            if value.get(needed.as_str().unwrap()).is_none() {
                return Err(format!("{at}: {needed} is missing"));
            }
        }
        Ok(())
    }

    fn judges(&self, value: &Value) -> Result<(), String> {
        self.judge(&self.0, value, "$")
    }
}

#[test]
fn schema_is_a_schema_and_accepts_what_runs() {
    let out = run(&["schema"], GOOD);
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""));
    let schema = Schema(serde_json::from_slice(&out.stdout).unwrap());
    assert!(
        schema.0["$schema"].as_str().is_some_and(|uri| uri.contains("json-schema.org")),
        "{}",
        schema.0["$schema"]
    );
    references(&schema, &schema.0);
    for (what, good) in [
        (
            "quickstart",
            json!({
                "listen": "127.0.0.1:8080",
                "routes": { "/api/users/*": { "upstream": "http://127.0.0.1:3001", "rewrite": "/" } },
            }),
        ),
        (
            "edge",
            json!({
                "listen": "127.0.0.1:8080",
                "admin": { "listen": "127.0.0.1:9901" },
                "upstreams": { "users": { "url": "http://127.0.0.1:3001" } },
                "auth": { "user": {
                    "jwt": { "secret": "${JWT_SECRET}", "algorithms": ["HS256"] }, "identity": { "x-user-id": "sub" },
                } },
                "rate_limits": { "edge": {
                    "limit": 100, "window": "60s", "key": "client.ip", "algorithm": "fixed_window", "headers": ["draft-7"],
                } },
                "policies": { "rate_limit": "edge", "auth": "user" },
                "routes": {
                    "/api/catalog/*": { "upstream": "catalog", "rewrite": "/", "policies": { "auth": "none" } },
                    "GET /api/dashboard/{userId}": {
                        "policies": { "authorize": "identity.id == params.userId" },
                        "aggregate": { "mode": "all", "sources": { "user": { "upstream": "users", "path": "/{userId}" } } },
                    },
                },
            }),
        ),
    ] {
        assert_eq!(schema.judges(&good), Ok(()), "{what}");
    }
    for bad in [
        json!({ "listen": "127.0.0.1:8080", "rotes": {} }),
        json!({ "listen": 8080, "routes": {} }),
        json!({ "listen": "127.0.0.1:1", "routes": { "/x": { "upstream": "a", "rewrit": "/" } } }),
        json!({ "listen": "127.0.0.1:1", "rate_limits": { "a": { "limit": "many" } }, "routes": {} }),
        json!({ "listen": "127.0.0.1:1", "routes": { "/x": { "aggregate": { "mode": "some" } } } }),
    ] {
        assert!(schema.judges(&bad).is_err(), "{bad}");
    }
}

/// Every reference in a schema leads somewhere.
fn references(schema: &Schema, part: &Value) {
    schema.resolve(part);
    match part {
        Value::Array(items) => items.iter().for_each(|item| references(schema, item)),
        Value::Object(members) => members.values().for_each(|member| references(schema, member)),
        _ => {}
    }
}

#[test]
fn the_path_may_stand_without_an_option() {
    for command in ["check", "routes"] {
        let good = run(&[command, "CONFIG"], GOOD);
        assert_eq!(good.status.code(), Some(0), "{command}: {}", text(&good.stderr));
        let bad = run(&[command, "CONFIG"], BAD);
        assert_eq!(bad.status.code(), Some(1), "{command}");
        assert_eq!(run(&[command, "CONFIG", "-c", "CONFIG"], GOOD).status.code(), Some(2), "one of both");
    }
    let missing = run(&["run", "/no/such/file.yaml"], GOOD);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("/no/such/file.yaml"));
}

#[test]
fn strict_fails_on_warnings() {
    let warned = "
        upstreams: { users: { url: 'http://127.0.0.1:3001' }, spare: { url: 'http://127.0.0.1:3002' } }
        policies: { rate_limit: none }
        routes: { /x: { upstream: users } }
        ";
    let lax = run(&["check", "CONFIG"], warned);
    assert_eq!(lax.status.code(), Some(0));
    assert!(text(&lax.stderr).contains("warning"), "{}", text(&lax.stderr));
    let strict = run(&["check", "--strict", "CONFIG"], warned);
    assert_eq!((strict.status.code(), text(&strict.stdout).as_str()), (Some(1), ""));
    assert!(text(&strict.stderr).contains("--strict"), "{}", text(&strict.stderr));
    assert_eq!(run(&["check", "--strict", "--output", "json", "CONFIG"], warned).status.code(), Some(1));
    assert_eq!(run(&["check", "--strict", "CONFIG"], GOOD).status.code(), Some(0));
}

#[test]
fn demo_saves_its_configuration() {
    let folder = Folder::new();
    let arguments = ["demo", "--port", "0", "--admin-port", "0", "--save", "demo.yaml"];
    let process = Process::spawn(command(folder.path(), &arguments));
    until("it is ready, or ends", || process.stdout().contains("Ctrl-C ends it") || process.exited());
    assert!(!process.exited(), "{}", process.stderr());
    let checked = command(folder.path(), &["check", "--strict", "demo.yaml"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    process.signal("INT");
    assert_eq!(process.wait_exit().code(), Some(0), "{}", process.stderr());
    // A file that exists is not overwritten.
    let again = command(folder.path(), &arguments).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("demo.yaml"), "{}", text(&again.stderr));
}

#[test]
fn token_signs_what_the_gateway_takes() {
    let origin = Origin::echo();
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(
        "
        auth: { user: { jwt: { secret: '${SECRET}' }, identity: { x-user-id: sub, x-roles: roles } } }
        routes: { /api/*: { upstream: ORIGIN1, policies: { auth: user } } }
        ",
    );
    let sign = |more: &[&str]| {
        let arguments: Vec<&str> = ["token", "--secret-env", "SECRET"].iter().chain(more).copied().collect();
        let out = Gateway::prepare(&[]).env("SECRET", SECRET).run(&arguments, GOOD);
        assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""), "{arguments:?}");
        text(&out.stdout).trim_end().to_owned()
    };
    let ask =
        |token: &str| gateway.request("GET", "/api/x", &[("Authorization", &format!("Bearer {token}"))], b"");
    assert_eq!(ask(&sign(&["--sub", "alice", "--claim", "roles=[\"a\",\"b\"]"])).status, 200);
    assert_eq!(origin.last().header("x-user-id"), Some("alice"));
    assert_eq!(origin.last().header("x-roles"), Some("a,b"));
    assert_eq!(ask(&sign(&["--sub", "alice", "--ttl", "10m"])).status, 200);
    let named = sign(&["--sub", "alice", "--aud", "shop", "--aud", "bank", "--iss", "https://id.test"]);
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(named.split('.').nth(1).unwrap()).unwrap()).unwrap();
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!(["shop", "bank"]), &json!("https://id.test")));
    assert_eq!(ask(&sign(&["--sub", "alice", "--claim", "exp=1"])).problem(401), "invalid token");
    assert_eq!(ask(&sign(&[])).problem(401), "invalid token", "no subject, no identity");
    let out = Gateway::prepare(&[])
        .env("OTHER", "short")
        .run(&["token", "--secret-env", "OTHER", "--sub", "a"], GOOD);
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stderr).contains("32 bytes") && !text(&out.stderr).contains(": short"));
    assert_eq!(ask(text(&out.stdout).trim_end()).problem(401), "invalid token");
    let out = run(&["token", "--secret-env", "NOT_SET_ANYWHERE"], GOOD);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("NOT_SET_ANYWHERE"));
}

#[test]
fn run_does_not_start_without_its_file() {
    // s-125
    for path in ["missing.yaml", "no/such/folder"] {
        let out = run(&["run", "-c", path], GOOD);
        assert_eq!(out.status.code(), Some(2));
        assert!(text(&out.stderr).contains(path), "{}", text(&out.stderr));
    }
    let out = run(&["run", "-c", "CONFIG"], BAD);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("did you mean `users`"), "{}", text(&out.stderr));
    // The default is the file in this folder.
    let folder = Folder::new();
    let out = command(folder.path(), &["run"]).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("portcullis.yaml"));
}

#[test]
fn a_taken_port_is_said_and_ends_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for config in [
        format!("listen: {address}\nroutes: {{ /x: {{ respond: {{ status: 204 }} }} }}\n"),
        format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: '{address}' }}\nroutes: {{ /x: {{ respond: {{ status: 204 }} }} }}\n"
        ),
    ] {
        let out = run(&["run", "-c", "CONFIG"], &config);
        let told = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{told}");
        for part in [address.to_string().as_str(), "the port is taken", "choose another port"] {
            assert!(told.contains(part), "{part:?} in {told}");
        }
    }
    // Another gateway has it, with its own SO_REUSEPORT.
    let gateway = Gateway::start(&[], "routes: { /x: { respond: { status: 204 } } }");
    let config =
        format!("listen: {}\nroutes: {{ /x: {{ respond: {{ status: 200 }} }} }}\n", gateway.address());
    let out = run(&["run", "-c", "CONFIG"], &config);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    for _ in 0..20 {
        assert_eq!(gateway.get("/x").status, 204);
    }
}

/// What `curl` prints for a line of the demonstration; `None` where there is no curl.
fn curl(line: &str) -> Option<String> {
    let have = Command::new("sh").args(["-c", "command -v curl"]).output().unwrap().status.success();
    have.then(|| {
        text(&Command::new("sh").args(["-c", &format!("{line} --max-time 20 -sS")]).output().unwrap().stdout)
    })
}

#[test]
fn demo_shows_what_it_says() {
    let folder = Folder::new();
    let process = Process::spawn(command(folder.path(), &["demo", "--port", "0"]));
    until("it is ready, or ends", || process.stdout().contains("Ctrl-C ends it") || process.exited());
    assert!(!process.exited(), "{}", process.stderr());
    let told = process.stdout();
    let lines: Vec<(&str, &str)> = {
        let all: Vec<&str> = told.lines().collect();
        all.windows(2)
            .filter(|two| two[0].starts_with("# ") && two[1].starts_with("curl "))
            .map(|two| (two[0], two[1]))
            .collect()
    };
    assert!(lines.len() >= 8, "{told}");
    let mut statuses = Vec::new();
    for (what, line) in &lines {
        let Some(answer) = curl(line) else { continue };
        if line.contains("/api/") {
            let status: u16 = answer
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .unwrap_or_else(|| panic!("{line}: {answer}"));
            let expected =
                what.trim_start_matches("# ").split(':').next().and_then(|s| s.parse().ok()).unwrap_or(200);
            assert_eq!(status, expected, "{what}\n{line}\n{answer}");
            statuses.push(status);
        } else {
            assert!(
                answer.contains("portcullis_build_info") || answer.contains("listeners"),
                "{line}: {answer}"
            );
        }
    }
    if !statuses.is_empty() {
        statuses.sort_unstable();
        statuses.dedup();
        assert_eq!(statuses, [200, 401, 403, 404]);
    }
    // Without curl: the address and the token alone.
    let address = told.split("http://").nth(1).unwrap().split_whitespace().next().unwrap();
    let token = told.lines().skip_while(|line| !line.starts_with("A token for")).nth(1).unwrap();
    let credentials = format!("Bearer {token}");
    let mut client = Client::connect(address.parse().unwrap());
    let answer = client.request("GET", "/api/dashboard/42", &[("Authorization", &credentials)], b"");
    let (board, names) = (answer.json(), ["user", "orders", "recommendations"]);
    assert_eq!((answer.status, names.map(|name| board.get(name).is_some())), (200, [true; 3]));
    assert!(answer.text().contains("Ada"), "{board}");
    assert_eq!(answer.header("ratelimit-policy"), Some("100;w=60"));
    until("the request is shown", || process.stdout().contains("/api/dashboard/42 as 42 "));
    process.signal("INT");
    assert_eq!(process.wait_exit().code(), Some(0), "{}", process.stderr());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing behind");
}

/// An example as it stands, but for its ports.
fn example(name: &str, services: &[(&str, &Origin)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let mut text = std::fs::read_to_string(path).unwrap();
    for (port, origin) in services {
        text = text.replace(&format!("127.0.0.1:{port}"), &origin.address().to_string());
    }
    text.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0")
}

#[test]
fn the_quickstart_example_serves() {
    let services = [Origin::text("users"), Origin::text("orders"), Origin::text("catalog")];
    let named = [("3001", &services[0]), ("3002", &services[1]), ("3003", &services[2])];
    let gateway = Gateway::start(&[], &example("quickstart.yaml", &named));
    for (name, service) in ["users", "orders", "catalog"].into_iter().zip(&services) {
        let answer = gateway.get(&format!("/api/{name}/7?x=1"));
        assert_eq!((answer.status, answer.text().as_str()), (200, name));
        assert_eq!(service.only().line, "GET /7?x=1 HTTP/1.1");
    }
    assert_eq!(gateway.get("/api/other").problem(404), "no route");
}

#[test]
fn the_edge_example_serves() {
    let json = |body: &'static str| {
        Origin::serve(move |turn| turn.answer(200, &[("Content-Type", "application/json")], body))
    };
    let services = [json("{\"name\":\"Ada\"}"), json("[1]"), json("[2]")];
    let named = [("3001", &services[0]), ("3002", &services[1]), ("3003", &services[2])];
    let text = example("edge.yaml", &named);
    let out = Gateway::prepare(&[]).env("JWT_SECRET", SECRET).run(&["check", "-c", "CONFIG"], &text);
    assert_eq!(out.status.code(), Some(0), "{}", crate::cli::text(&out.stderr));
    assert_eq!(crate::cli::text(&out.stderr), "", "an example has no warnings");
    let unset = run(&["check", "-c", "CONFIG"], &text);
    assert_eq!(unset.status.code(), Some(1));
    assert!(crate::cli::text(&unset.stderr).contains("JWT_SECRET"));

    let gateway = Gateway::prepare(&[]).env("JWT_SECRET", SECRET).start(&text);
    let signed = Gateway::prepare(&[])
        .env("JWT_SECRET", SECRET)
        .run(&["token", "--secret-env", "JWT_SECRET", "--sub", "42"], GOOD);
    let credentials = format!("Bearer {}", crate::cli::text(&signed.stdout).trim_end());
    let headers = [("Authorization", credentials.as_str())];
    let mut client = gateway.client();
    assert_eq!(client.get("/api/users/42").problem(401), "missing token");
    assert_eq!(client.get("/api/catalog/1").status, 200, "public");
    let answer = client.request("GET", "/api/users/42", &headers, b"");
    assert_eq!((answer.status, answer.header("ratelimit-policy")), (200, Some("100;w=60")));
    assert_eq!(services[0].last().header("x-user-id"), Some("42"));
    let board = client.request("GET", "/api/dashboard/42", &headers, b"");
    assert_eq!(board.text(), r#"{"user":{"name":"Ada"},"orders":[1],"recommendations":[2]}"#);
    assert_eq!(client.request("GET", "/api/dashboard/7", &headers, b"").problem(403), "forbidden");
    for _ in 0..95 {
        assert_ne!(client.get("/api/catalog/1").status, 429);
    }
    assert_eq!(client.get("/api/catalog/1").problem(429), "rate limited");
    assert_eq!(
        Client::connect(gateway.admin()).request("GET", "/healthz", &[("Host", "localhost")], b"").status,
        200
    );
}
