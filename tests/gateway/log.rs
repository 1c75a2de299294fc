//! The access log: one line for each exchange, when it has ended, and nothing that would pass for another line. Ids in
//! comments are cases (s) of the catalogue of behaviour.

use std::io::Read;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::process::{Folder, Process, command};
use crate::support::token::{self, SECRET};
use crate::support::{Client, Gate, Gateway, Origin, until};

const OPEN: &str = "
    upstreams: { users: { url: ORIGIN1 } }
    routes: { /api/*: { upstream: users } }
    ";

#[test]
fn a_line_tells_the_exchange() {
    let origin = Origin::text("hello");
    let config = "
        auth: { user: { jwt: { secret: '${SECRET}' } } }
        upstreams: { users: { url: ORIGIN1 } }
        routes: { /api/*: { upstream: users, policies: { auth: user } } }
        ";
    let gateway = Gateway::prepare(&[&origin]).env("SECRET", SECRET).start(config);
    let credentials = format!("Bearer {}", token::for_subject("alice"));
    let mut client = gateway.client();
    let headers = [("Authorization", credentials.as_str()), ("Cookie", "c=secret-cookie")];
    let answer = client.request("POST", "/api/x%41?token=secret-query", &headers, b"four");
    assert_eq!(answer.status, 200);
    let line = gateway.log(1).remove(0);
    for (name, value) in [
        ("id", json!(answer.header("x-request-id"))),
        ("client", json!("127.0.0.1")),
        ("listener", json!("default")),
        ("route", json!("/api/*")),
        ("method", json!("POST")),
        ("host", json!("gw.test")),
        ("path", json!("/api/xA")),
        ("version", json!("HTTP/1.1")),
        ("status", json!(200)),
        ("bytes_in", json!(4)),
        ("bytes_out", json!(5)),
        ("upstream", json!("users")),
        ("endpoint", json!(origin.address().to_string())),
        ("attempts", json!(1)),
        ("identity", json!("alice")),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert!(line["duration_ms"].as_f64() >= line["upstream_ms"].as_f64(), "{line}");
    assert!(line["time"].as_str().is_some_and(|at| at.len() == 24 && at.ends_with('Z')), "{line}");
    assert!(line.get("error").is_none() && line.get("peer").is_none(), "{line}");
    assert!(!gateway.log_lines()[0].contains("secret-"), "no query, no credential");
}

#[test]
fn errors_are_told_by_the_phrase_of_their_answer() {
    let origin = Origin::serve(crate::support::Turn::close);
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut told = Vec::new();
    for target in ["/api/x", "/none", "/api/%zz"] {
        let answer = gateway.get(target);
        told.push((
            json!(answer.header("x-request-id")),
            json!(answer.status),
            answer.json()["error"].clone(),
        ));
    }
    let log = gateway.log(3);
    for (id, status, phrase) in told {
        let line = log.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("{id} in {log:#?}"));
        assert_eq!((&line["status"], &line["error"]), (&status, &phrase));
    }
}

#[test]
fn the_line_comes_when_the_body_has_ended() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::serve(move |turn| {
        if turn.request().target() == "/api/quick" {
            return turn.answer(200, &[], "quick");
        }
        turn.chunked(200, &[]);
        turn.chunk("first,");
        turn.wait(&held);
        turn.chunk("last");
        turn.last_chunk(&[]);
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.send("GET /api/slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    assert!(client.has_bytes(crate::support::PATIENCE), "the head is there");
    assert_eq!(gateway.get("/api/quick").text(), "quick");
    assert_eq!(gateway.log(1)[0]["path"], "/api/quick");
    assert_eq!(gateway.log_lines().len(), 1);
    gate.open();
    assert_eq!(client.read().text(), "first,last");
    let log = gateway.log(2);
    assert_eq!((&log[1]["path"], &log[1]["bytes_out"]), (&json!("/api/slow"), &json!(10)));
}

#[test]
fn a_client_that_left_is_499() {
    let origin = Origin::serve(|turn| {
        if turn.request().target() == "/api/body" {
            turn.chunked(200, &[]);
            turn.chunk("first");
        }
        turn.wait_closed();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    for (number, target) in ["/api/never", "/api/body"].into_iter().enumerate() {
        let mut client = gateway.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: gw.test\r\n\r\n"));
        origin.wait_count(number + 1);
        if target == "/api/body" {
            assert!(client.has_bytes(crate::support::PATIENCE));
        }
        socket2::SockRef::from(client.stream()).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        let line = gateway.log(number + 1).remove(number);
        assert_eq!(line["path"], target);
        // What was sent is told; where nothing was, 499 stands for it.
        let status = if target == "/api/body" { 200 } else { 499 };
        assert_eq!((&line["status"], &line["error"]), (&json!(status), &json!("client closed")), "{line}");
        origin.wait_closed(number);
    }
}

#[test]
fn a_service_that_breaks_off_is_told() {
    let origin = Origin::serve(|turn| {
        turn.raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        turn.close();
    });
    let gateway = Gateway::start(&[&origin], OPEN);
    assert!(!gateway.get("/api/x").complete);
    let line = gateway.log(1).remove(0);
    assert_eq!((&line["status"], &line["error"]), (&json!(200), &json!("upstream failure")), "{line}");
}

#[test]
fn no_bytes_of_a_client_make_a_line() {
    // s-130
    for format in ["json", "text"] {
        let origin = Origin::text("ok");
        let folder = Folder::new();
        let config = format!(
            "listen: 127.0.0.1:0\ntelemetry: {{ access_log: {{ file: access.log, format: {format} }} }}\n\
             auth: {{ user: {{ jwt: {{ secret: '{SECRET}' }} }} }}\nroutes:\n  /api/*: {{ upstream: '{url}' }}\n  \
             /user/*: {{ upstream: '{url}', policies: {{ auth: user }} }}\n",
            url = origin.url()
        );
        let process = Process::serve(&folder, &config, &[]);
        let subject = format!("Bearer {}", token::for_subject("Zoë \u{2028}FAKE \u{202e}"));
        let asked: [(&str, &[(&str, &str)]); 7] = [
            ("/api/%0d%0aFAKE:%20GET%20/admin%20200", &[]),
            ("/api/%0AFAKE", &[]),
            ("/api/%1b[31mFAKE", &[]),
            ("/api/%22,%22status%22:500,%22x%22:%22", &[]),
            ("/api/%C2%85FAKE%E2%80%A8FAKE%E2%80%AE", &[]),
            ("/api/x", &[("Host", "a\"b")]),
            ("/user/x", &[("Authorization", &subject)]),
        ];
        for (target, headers) in asked {
            let answer = process.client().request("GET", target, headers, b"");
            assert!([200, 400].contains(&answer.status), "{target}: {}", answer.status);
        }
        let path = folder.path().join("access.log");
        let read = || std::fs::read(&path).unwrap_or_default();
        let lines = || read().iter().filter(|byte| **byte == b'\n').count();
        until("the lines are there", || lines() >= asked.len());
        assert_eq!(lines(), asked.len());
        let text = String::from_utf8(read()).unwrap();
        for line in text.lines() {
            assert!(!line.starts_with("FAKE"), "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
            assert!(!line.contains(['\u{2028}', '\u{2029}', '\u{202e}', '\u{85}']), "{line:?}");
            if format == "json" {
                let line: Value = serde_json::from_str(line).unwrap();
                assert_ne!(line["status"], 500, "{line}");
            }
        }
    }
}

#[test]
fn text_is_for_people() {
    let origin = Origin::text("hello");
    let folder = Folder::new();
    let config = format!(
        "listen: 127.0.0.1:0\ntelemetry: {{ access_log: {{ format: text }} }}\n\
         upstreams: {{ users: {{ url: '{}' }} }}\nroutes: {{ /api/*: {{ upstream: users }} }}\n",
        origin.url()
    );
    let process = Process::serve(&folder, &config, &[]);
    let mut client = process.client();
    let ok = client.get("/api/x?secret=1");
    let missed = client.get("/none");
    until("two lines on stdout", || process.stdout().lines().count() >= 2);
    let told = process.stdout();
    let lines: Vec<&str> = told.lines().collect();
    for part in [
        " 200 GET ",
        " ms 127.0.0.1 ",
        "gw.test/api/x",
        "-> users 127.0.0.1:",
        ok.header("x-request-id").unwrap(),
    ] {
        assert!(lines[0].contains(part), "{part:?} in {}", lines[0]);
    }
    for part in [" 404 GET ", "gw.test/none", "! no route", missed.header("x-request-id").unwrap()] {
        assert!(lines[1].contains(part), "{part:?} in {}", lines[1]);
    }
    assert!(!told.contains("secret") && !told.contains('\u{1b}'), "no colour in a pipe: {told:?}");
}

#[test]
fn json_is_the_default_where_nobody_reads_along() {
    let folder = Folder::new();
    let config = "listen: 127.0.0.1:0\nroutes: { /x: { respond: { status: 204 } } }\n";
    let process = Process::serve(&folder, config, &[]);
    assert_eq!(process.client().get("/x").status, 204);
    until("a line on stdout", || !process.stdout().is_empty());
    let line: Value = serde_json::from_str(&process.stdout()).unwrap();
    assert_eq!((&line["status"], &line["route"]), (&json!(204), &json!("/x")));
    assert!(line.get("upstream").is_none(), "{line}");
    // And it can be turned off.
    let off = "telemetry: { access_log: none }\n".to_owned() + config;
    let folder = Folder::new();
    let process = Process::serve(&folder, &off, &[]);
    assert_eq!(process.client().get("/x").status, 204);
    process.signal("TERM");
    assert!(process.wait_exit().success());
    assert_eq!(process.stdout(), "");
}

#[test]
fn a_rotated_file_is_opened_anew() {
    let origin = Origin::text("ok");
    let gateway = Gateway::start(&[&origin], OPEN);
    let mut client = gateway.client();
    client.get("/api/before");
    assert_eq!(gateway.log(1)[0]["path"], "/api/before");
    let rotated = gateway.folder().join("access.log.1");
    std::fs::rename(gateway.folder().join("access.log"), &rotated).unwrap();
    client.get("/api/between");
    let old = || std::fs::read_to_string(&rotated).unwrap();
    until("the old file is written on", || old().lines().count() == 2);
    gateway.signal("HUP");
    gateway.wait_stderr("reloaded: version 2");
    until("a new file", || gateway.folder().join("access.log").exists());
    client.get("/api/after");
    let log = gateway.log(1);
    assert_eq!((log.len(), &log[0]["path"]), (1, &json!("/api/after")));
    assert_eq!(old().lines().count(), 2, "each line once");
}

#[test]
fn a_reader_that_stalls_holds_nobody_up() {
    let folder = Folder::new();
    folder.write(
        "portcullis.yaml",
        "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\ntelemetry: { access_log: { format: json } }\n\
         routes: { /x/*: { respond: { status: 204 } } }\n",
    );
    let mut run = command(folder.path(), &["run"]);
    let stderr = folder.path().join("stderr");
    let mut child =
        run.stdout(Stdio::piped()).stderr(std::fs::File::create(&stderr).unwrap()).spawn().unwrap();
    let told = || std::fs::read_to_string(&stderr).unwrap();
    until("it is ready", || told().contains(" ready"));
    let address = |text: &str| -> std::net::SocketAddr {
        let told = told();
        told.lines().find_map(|line| line.split_once(text)).unwrap().1.trim().parse().unwrap()
    };
    let (gateway, admin) = (address("listener default on "), address("admin on "));
    let dropped = || {
        let page = Client::connect(admin).request("GET", "/metrics", &[("Host", "localhost")], b"").text();
        let line =
            page.lines().find(|line| line.starts_with("portcullis_access_log_dropped_lines_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    // Nobody reads its stdout. Long paths fill the pipe and the queue behind it.
    let target = format!("/x/{}", "p".repeat(7000));
    let mut client = Client::connect(gateway);
    let mut asked = 0_u64;
    until("lines are dropped", || {
        for _ in 0..50 {
            assert_eq!(client.get(&target).status, 204);
            asked += 1;
        }
        dropped() > 0
    });
    let lost = dropped();
    assert!(lost < asked, "only what did not fit");
    let peak = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = peak.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    assert!(peak.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() < 96 * 1024, "{peak}");
    // The reader comes back: what waited is whole lines, and so is what follows.
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        stdout.read_to_string(&mut all).unwrap();
        all
    });
    assert_eq!(client.get("/x/last").status, 204);
    asked += 1;
    let kill = format!("kill -TERM {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let mut status = None;
    until("it ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let all = reader.join().unwrap();
    assert!(all.ends_with('\n'));
    let lines: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() as u64 <= asked - lost, "{} of {asked}, {lost} dropped", lines.len());
    assert!(lines.iter().any(|line| line["path"] == "/x/last"));
    assert!(told().contains("dropped"), "it says so once it can: {}", told());
}

#[test]
fn what_cannot_be_evaluated_is_told_with_its_place() {
    let origin = Origin::text("hello");
    let config = "
        routes:
          /limited: { upstream: ORIGIN1, policies: { rate_limit: {
              limit: 5, window: 60s, algorithm: fixed_window, headers: [draft-7],
              key: 'request.headers[\"x-key\"]' } } }
          /denied: { upstream: ORIGIN1, policies: { authorize: 'request.query.a == \"1\"' } }
          /moved/*: { redirect: { to: '/{request.query.b}' } }
          /json: { respond: { body: { a: [plain, 'as {request.query.c}'] } } }
          /known: { upstream: ORIGIN1, policies: { authorize: 'request.method == \"GET\"' } }
        ";
    let gateway = Gateway::start(&[&origin], config);
    for (target, status) in
        [("/limited", 200), ("/denied", 403), ("/moved/x", 400), ("/json", 400), ("/known", 200)]
    {
        assert_eq!(gateway.get(target).status, status, "{target}");
    }
    // Lines of several cores come in any order.
    let mut lines = gateway.log(5);
    lines.sort_by_key(|line| {
        ["/limited", "/denied", "/moved/*", "/json"].iter().position(|route| line["route"] == *route)
    });
    lines.rotate_left(1);
    let written = std::fs::read_to_string(gateway.config_file()).unwrap();
    // Where a text stands in the file.
    let place = |text: &str| {
        let at = written.find(text).unwrap();
        let line = written[..at].matches('\n').count() + 1;
        let column = at - written[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
        format!("portcullis.yaml:{line}:{column}) is absent")
    };
    let told = |line: &Value, member: &str, text: &str| {
        let told = line[member].as_str().unwrap_or_else(|| panic!("no {member}: {line}"));
        let place = place(text);
        assert!(told.contains(text) && told.ends_with(&place), "{told} at {place}");
    };
    told(&lines[0], "note", "request.headers");
    assert!(lines[0].get("error").is_none(), "{}", lines[0]);
    told(&lines[1], "source", "request.query.a");
    told(&lines[2], "source", "request.query.b");
    told(&lines[3], "source", "request.query.c");
    assert!(lines[4].get("note").is_none(), "{}", lines[4]);
}

#[test]
fn why_a_match_cannot_be_evaluated_is_told_to_who_asks() {
    let config = "
listen: 127.0.0.1:0
telemetry: { access_log: none }
routes:
  /a:
    - match: { when: 'request.headers[\"x-a\"] == \"1\"' }
      respond: { body: one }
    - respond: { body: other }
";
    for debug in [&["--debug"][..], &[]] {
        let folder = Folder::new();
        let process = Process::serve(&folder, config, debug);
        for _ in 0..3 {
            assert_eq!(process.client().get("/a").text(), "other");
        }
        process.signal("TERM");
        process.wait_exit();
        let told: Vec<String> =
            process.stderr().lines().filter(|line| line.contains(" DEBUG ")).map(str::to_owned).collect();
        assert_eq!(told.len(), debug.len(), "{told:?}");
        assert!(told.iter().all(|line| line.contains("(at portcullis.yaml:6:23) is absent")), "{told:?}");
    }
}
