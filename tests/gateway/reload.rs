//! A new configuration takes over whole, at once, and without a lost request; a bad one not at all. Ids in comments
//! are cases (s) of the catalogue of behaviour.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::process::{Folder, Process, command};
use crate::support::h2::{Session, block_on};
use crate::support::{Answer, Client, Gate, Gateway, Origin, until};

/// A gateway whose every answer tells its version in a header and in its body.
fn version(word: &str) -> String {
    format!(
        "admin: {{ listen: 127.0.0.1:0 }}\n\
         routes:\n  /version: {{ respond: {{ status: 200, body: {word}, headers: {{ x-version: {word} }} }} }}\n"
    )
}

#[track_caller]
fn reload(gateway: &Gateway) -> Answer {
    Client::connect(gateway.admin()).request("POST", "/reload", &[("Host", "localhost")], b"")
}

/// Waits until a new exchange sees that version.
#[track_caller]
fn serves(gateway: &Gateway, word: &str) {
    until(&format!("{word} is served"), || gateway.get("/version").text() == word);
}

#[test]
fn a_file_written_in_place_is_noticed() {
    let gateway = Gateway::start(&[], &version("one"));
    serves(&gateway, "one");
    for word in ["two", "three"] {
        gateway.overwrite_config(&version(word));
        serves(&gateway, word);
    }
}

#[test]
fn a_file_renamed_over_it_is_noticed() {
    let gateway = Gateway::start(&[], &version("one"));
    for word in ["two", "three"] {
        gateway.replace_config(&version(word));
        serves(&gateway, word);
    }
    // Removed and made again.
    std::fs::remove_file(gateway.config_file()).unwrap();
    gateway.wait_stderr("reload failed");
    assert_eq!(gateway.get("/version").text(), "three", "the running one stays");
    gateway.replace_config(&version("four"));
    serves(&gateway, "four");
}

/// A folder as Kubernetes mounts it: the files are links through `..data`, which is swapped by a rename.
struct Mounted(Folder);

impl Mounted {
    fn new(word: &str) -> Self {
        let mounted = Self(Folder::new());
        mounted.swap(word);
        std::os::unix::fs::symlink("..data/portcullis.yaml", mounted.0.path().join("portcullis.yaml"))
            .unwrap();
        mounted
    }

    fn swap(&self, word: &str) {
        let folder = self.0.path();
        std::fs::create_dir(folder.join(format!("..{word}"))).unwrap();
        let config = "listen: 127.0.0.1:0\n".to_owned() + &version(word);
        self.0.write(&format!("..{word}/portcullis.yaml"), &config);
        std::os::unix::fs::symlink(format!("..{word}"), folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    }
}

#[test]
fn a_mounted_folder_that_is_swapped_is_noticed() {
    for path in ["portcullis.yaml", "."] {
        let mounted = Mounted::new("one");
        let process = Process::spawn(command(mounted.0.path(), &["run", "-c", path]));
        process.wait_ready();
        assert_eq!(process.client().get("/version").text(), "one");
        for (word, old) in [("two", "one"), ("three", "two")] {
            mounted.swap(word);
            std::fs::remove_dir_all(mounted.0.path().join(format!("..{old}"))).unwrap();
            until(word, || process.client().get("/version").text() == word);
        }
    }
}

#[test]
fn a_half_written_file_waits_for_its_other_half() {
    let gateway = Gateway::start(&[], &version("one"));
    gateway.overwrite_config(&(version("two") + "  /more: { respond: { status: "));
    gateway.wait_stderr("reload failed");
    assert_eq!(gateway.get("/version").text(), "one");
    assert_eq!(gateway.get("/more").status, 404, "nothing half-applies");
    gateway.overwrite_config(&(version("two") + "  /more: { respond: { status: 204 } }\n"));
    serves(&gateway, "two");
    assert_eq!(gateway.get("/more").status, 204);
    // An empty file is half a file too.
    std::fs::write(gateway.config_file(), "").unwrap();
    until("a second failure", || gateway.stderr().matches("reload failed").count() >= 2);
    assert_eq!(gateway.get("/version").text(), "two");
}

#[test]
fn a_file_that_is_only_touched_changes_nothing() {
    let gateway = Gateway::start(&[], &version("one"));
    gateway.replace_config(&version("one"));
    gateway.replace_config(&version("two"));
    serves(&gateway, "two");
    gateway.wait_stderr("reloaded: version 2 (file change");
    gateway.wait_stderr(": changed routes./version");
    assert_eq!(gateway.stderr().matches("reloaded: version").count(), 1, "{}", gateway.stderr());
}

#[test]
fn a_signal_and_the_admin_listener_reload() {
    let gateway = Gateway::start(&[], &version("one"));
    gateway.signal("HUP");
    gateway.wait_stderr("reloaded: version 2 (signal");
    let told = reload(&gateway).json();
    assert_eq!((&told["version"], &told["cause"]), (&json!(3), &json!("admin request")));
    gateway.replace_config(&version("two"));
    assert_eq!(reload(&gateway).status, 200);
    assert_eq!(gateway.get("/version").text(), "two", "as soon as it is answered");
}

#[test]
fn a_bad_file_leaves_everything_as_it_was_and_says_why() {
    // s-112
    let (old, new) = (Origin::text("old"), Origin::text("new"));
    let good = "
        admin: { listen: 127.0.0.1:0 }
        upstreams: { a: { url: ORIGIN1 }, b: { url: ORIGIN1 } }
        routes:
          /a/*: { upstream: a }
          /b/*: { upstream: b }
        ";
    let gateway = Gateway::start(&[&old, &new], good);
    let bad = good
        .replace("a: { url: ORIGIN1 }", "a: { url: ORIGIN2 }")
        .replace("{ upstream: b }", "{ upstream: gone }");
    gateway.replace_config(&bad);
    let answer = reload(&gateway);
    assert_eq!(answer.status, 422);
    let told = answer.json();
    let what = told["diagnostics"].to_string();
    assert!(what.contains("gone"), "{what}");
    let mut client = gateway.client();
    assert_eq!((client.get("/a/x").text(), client.get("/b/x").text()), ("old".to_owned(), "old".to_owned()));
    assert_eq!(new.count(), 0);
    gateway
        .wait_stderr("reload failed (admin request): the configuration is wrong; version 1 stays in force");
    let errors: Vec<String> =
        gateway.stderr_lines().into_iter().filter(|line| line.contains("gone")).collect();
    assert!(errors[0].contains(" ERROR ") && errors[0].contains("portcullis.yaml:"), "{errors:?}");
    gateway.replace_config(&good.replace("a: { url: ORIGIN1 }", "a: { url: ORIGIN2 }"));
    assert_eq!(reload(&gateway).status, 200);
    assert_eq!((client.get("/a/x").text(), client.get("/b/x").text()), ("new".to_owned(), "old".to_owned()));
}

#[test]
fn every_answer_is_of_one_version_and_none_is_lost() {
    // s-114 for new connections; kept ones and HTTP/2 beside them.
    let origin = Origin::serve(|turn| {
        let seen = turn.request();
        turn.answer(
            200,
            &[("X-Version", seen.header("x-word").unwrap_or_default())],
            seen.target().trim_start_matches('/'),
        );
    });
    let config = |word: &str| {
        version(word)
            + &format!(
                "  /through:\n    upstream: ORIGIN1\n    rewrite: /{word}\n    policies: \
                 {{ authorize: 'request.method == \"GET\"' }}\n  /only-{word}: {{ upstream: ORIGIN1 }}\n"
            )
    };
    let gateway = Gateway::start(&[&origin], &config("one"));
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let judge = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.complete);
        assert!(["one", "two"].contains(&answer.text().as_str()), "{}", answer.text());
        asked.fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        for worker in 0..6 {
            let (gateway, over, judge) = (&gateway, &over, &judge);
            scope.spawn(move || {
                let mut kept = gateway.client();
                while !over.load(Ordering::Relaxed) {
                    if worker % 2 == 0 {
                        kept = gateway.client();
                    }
                    let answer = kept.get("/version");
                    judge(&answer);
                    assert_eq!(answer.header("x-version"), Some(answer.text().as_str()));
                    judge(&kept.get("/through"));
                }
            });
        }
        for (number, word) in (2_u64..).zip(["two", "one"].into_iter().cycle().take(40)) {
            gateway.replace_config(&config(word));
            let told = reload(&gateway);
            assert_eq!(told.status, 200, "{}", told.text());
            assert!(told.json()["version"].as_u64() >= Some(number));
            let before = asked.load(Ordering::Relaxed);
            until("traffic goes on", || {
                asked.load(Ordering::Relaxed) > before + 20 || over.load(Ordering::Relaxed)
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(gateway.stderr_lines().iter().all(|line| !line.contains("ERROR")), "{}", gateway.stderr());
}

#[test]
fn a_kept_connection_sees_the_new_version_and_a_running_exchange_keeps_its_own() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Origin::serve(move |turn| {
        turn.wait(&held);
        turn.answer(200, &[], "slow");
    });
    let plain = |word: &str| version(word) + "  /slow: { upstream: ORIGIN1 }\n";
    let gateway = Gateway::start(&[&slow], &plain("one"));
    let mut kept = gateway.client();
    assert_eq!(kept.get("/version").text(), "one");
    let mut running = gateway.client();
    running.send("GET /slow HTTP/1.1\r\nHost: gw.test\r\n\r\n");
    slow.wait_count(1);
    gateway.replace_config(&version("two"));
    assert_eq!(reload(&gateway).status, 200);
    assert_eq!(kept.get("/version").text(), "two", "the same connection, a new exchange");
    assert_eq!(kept.get("/slow").status, 404);
    gate.open();
    assert_eq!(running.read().text(), "slow", "its route is gone, its exchange is not");
    assert_eq!(running.get("/slow").status, 404);

    block_on(async {
        let session = Session::connect(gateway.address()).await;
        assert_eq!(session.fetch("GET", "/version").await.unwrap().body, b"two");
        gateway.replace_config(&version("three"));
        assert_eq!(reload(&gateway).status, 200);
        assert_eq!(session.fetch("GET", "/version").await.unwrap().body, b"three");
    });
}

#[test]
fn listeners_come_and_go() {
    let listener = |name: &str| format!("  {name}: {{ listen: '127.0.0.1:0' }}\n");
    let rest =
        "admin: { listen: 127.0.0.1:0 }\nroutes: { /version: { respond: { status: 200, body: here } } }\n";
    let config = |names: &[&str]| {
        "listeners:\n".to_owned() + &names.iter().map(|name| listener(name)).collect::<String>() + rest
    };
    let gateway = Gateway::start(&[], &config(&["first"]));
    let first = gateway.listener("first");
    let mut kept = Client::connect(first);
    assert_eq!(kept.get("/version").text(), "here");
    gateway.replace_config(&config(&["first", "second"]));
    assert_eq!(reload(&gateway).status, 200);
    gateway.wait_stderr("listener second on");
    let second = gateway.listener("second");
    assert_eq!(gateway.listener("first"), first, "kept, not opened anew");
    assert_eq!(Client::connect(second).get("/version").text(), "here");
    assert_eq!(kept.get("/version").text(), "here");
    // A request, and the beginning of the next one.
    let mut begun = Client::connect(first);
    begun.send("GET /version HTTP/1.1\r\nHost: gw.test\r\n\r\nGET /version HTTP/1.1\r\nHo");
    assert_eq!(begun.read().text(), "here");
    gateway.replace_config(&config(&["second"]));
    assert_eq!(reload(&gateway).status, 200);
    until("the first refuses connections", || std::net::TcpStream::connect(first).is_err());
    assert!(kept.closed(), "its idle connections end");
    begun.send("st: gw.test\r\n\r\n");
    let last = begun.read();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")), "what was begun is served");
    assert!(begun.closed());
    assert_eq!(Client::connect(second).get("/version").text(), "here");
}

#[test]
fn an_address_that_cannot_be_had_changes_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = Gateway::start(&[], &version("one"));
    let address = gateway.address();
    let two = format!(
        "listeners: {{ default: {{ listen: '127.0.0.1:0' }}, more: {{ listen: '{}' }} }}\n{}",
        taken.local_addr().unwrap(),
        version("two")
    );
    gateway.replace_config(&two);
    let answer = reload(&gateway);
    assert_eq!(answer.status, 422);
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("more") && detail.contains("the port is taken"), "{detail}");
    assert_eq!(gateway.address(), address);
    assert_eq!(gateway.get("/version").text(), "one");
    drop(taken);
    assert_eq!(reload(&gateway).status, 200);
    assert_eq!(gateway.get("/version").text(), "two");
}

#[test]
fn connections_are_kept_as_long_as_the_endpoint_is() {
    let (kept, changed) = (Origin::text("kept"), Origin::text("changed"));
    let config = |origin: &str, response: &str| {
        format!(
            "
            admin: {{ listen: 127.0.0.1:0 }}
            upstreams:
              kept: {{ url: ORIGIN1 }}
              changed: {{ url: {origin}, timeouts: {{ response: {response} }} }}
            routes:
              /kept: {{ upstream: kept }}
              /changed: {{ upstream: changed }}
            "
        )
    };
    let gateway = Gateway::start(&[&kept, &changed], &config("ORIGIN2", "5s"));
    let mut client = gateway.client();
    for round in 0..4 {
        assert_eq!(client.get("/kept").text(), "kept");
        assert_eq!(client.get("/changed").text(), "changed");
        gateway.replace_config(&config("ORIGIN2", &format!("{}s", 6 + round)));
        assert_eq!(reload(&gateway).status, 200);
    }
    assert_eq!((kept.count(), kept.connections()), (4, 1));
    assert_eq!((changed.count(), changed.connections()), (4, 1));
    // What is not used any more is closed.
    gateway.replace_config(&config("ORIGIN1", "5s"));
    assert_eq!(reload(&gateway).status, 200);
    assert_eq!(client.get("/changed").text(), "kept");
    changed.wait_closed(0);
}

#[test]
fn what_takes_a_restart_is_said() {
    let gateway = Gateway::start(&[], &version("one"));
    let other = "telemetry: { access_log: none }\n".to_owned() + &version("two");
    gateway.replace_config(&other);
    let told = reload(&gateway).json();
    assert_eq!(told["needs_restart"], json!(["telemetry.access_log"]));
    gateway.wait_stderr("takes a restart");
    assert_eq!(gateway.get("/version").text(), "two", "everything else is in force");
    // It is measured by what is in force, not by the file before.
    gateway.replace_config(&("telemetry: { access_log: none }\n".to_owned() + &version("three")));
    assert_eq!(reload(&gateway).json()["needs_restart"], json!(["telemetry.access_log"]), "still");
    gateway.replace_config(&version("four"));
    assert_eq!(reload(&gateway).json()["needs_restart"], json!([]), "the file says what is in force again");
    let moved = version("five").replace("admin: { listen: 127.0.0.1:0 }", "admin: { listen: '127.0.0.1:1' }");
    gateway.replace_config(&moved);
    assert_eq!(reload(&gateway).json()["needs_restart"], json!(["admin"]));
    assert_eq!(gateway.get("/version").text(), "five");
}
