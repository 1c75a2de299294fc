use super::super::testing::{A, QUICK, Say, Server, next_failure, next_set, sink};
use super::*;

const OFTEN: Duration = Duration::from_millis(10);

fn read(text: &str) -> Result<Vec<(String, u16, u16)>, String> {
    let all = entries((Path::new("list.yaml"), false), text)?;
    Ok(all.into_iter().map(|entry| (entry.host, entry.port, entry.weight)).collect())
}

#[test]
fn reads_yaml_and_json() {
    let wanted = vec![("10.0.0.1".to_owned(), 3001, 1), ("b.test".to_owned(), 80, 2)];
    let yaml = "# ours\n- http://10.0.0.1:3001\n- { url: http://B.test/, weight: 2 }\n";
    let json = r#"["http://10.0.0.1:3001", {"url": "http://b.test", "weight": 2}]"#;
    assert_eq!(read(yaml), Ok(wanted.clone()));
    assert_eq!(read(json), Ok(wanted));
    assert_eq!(read("[ 'http://[::1]:81' ]"), Ok(vec![("::1".to_owned(), 81, 1)]));
    assert_eq!(read("[]"), Ok(Vec::new()), "that there are none is said in so many words");
}

#[test]
fn says_what_is_wrong_and_where() {
    for (text, why) in [
        ("", "list.yaml: the file is empty"),
        ("- http://a\n- http://a/base", "list.yaml:2: an endpoint has no path"),
        ("- http://a\n- http://a:80", "list.yaml: a:80 stands there twice"),
        ("- http://a\n- nonsense", "list.yaml:2: "),
        ("- http://a\n- { url: http://b, weight: 0 }", "list.yaml:2: "),
        ("- { url: http://b, wieght: 1 }", "list.yaml:1: unknown key"),
        ("- { weight: 1 }", "list.yaml:1: "),
        ("endpoints: []", "list.yaml:1: "),
        ("- [", "list.yaml:1: "),
        ("- ${A}", "list.yaml:1: "),
    ] {
        let said = read(text).unwrap_err();
        assert!(said.starts_with(why), "{text:?} gives {said:?}");
    }
}

#[tokio::test]
async fn a_file_is_followed_and_a_broken_one_takes_nothing_away() {
    let server = Server::start();
    server.set("up.test", A, Say::addresses(1, &["127.0.0.5", "127.0.0.6"]));
    let path = std::env::temp_dir().join(format!("portcullis-endpoints-{}.yaml", std::process::id()));
    drop(std::fs::remove_file(&path));
    let (sink, mut news) = sink();
    let resolver = Resolver::with_nameserver(server.address);
    let (work, guard) = file(resolver, (&path, false), OFTEN, QUICK, sink);
    let task = tokio::spawn(work);
    assert!(next_failure(&mut news).await.contains("No such file"));
    std::fs::write(&path, "- http://127.0.0.1:81\n").unwrap();
    assert_eq!(next_set(&mut news).await, ["127.0.0.1:81*1"]);
    std::fs::write(&path, "- http://127.0.0.1:82\n").unwrap();
    assert_eq!(next_set(&mut news).await, ["127.0.0.1:82*1"], "as large, and in the same moment");
    std::fs::write(&path, "- nonsense\n").unwrap();
    assert!(next_failure(&mut news).await.contains(":1: "));
    std::fs::write(&path, "- { url: http://127.0.0.1:81, weight: 3 }\n- http://up.test:80\n").unwrap();
    assert_eq!(next_set(&mut news).await, ["127.0.0.1:81*6", "127.0.0.5:80*1", "127.0.0.6:80*1"]);
    server.set("up.test", A, Say::addresses(1, &["127.0.0.7"]));
    assert_eq!(next_set(&mut news).await, ["127.0.0.1:81*3", "127.0.0.7:80*1"]);
    std::fs::write(&path, "[]\n").unwrap();
    assert_eq!(next_set(&mut news).await, [""; 0], "an empty list is believed at once");
    std::fs::remove_file(&path).unwrap();
    assert!(next_failure(&mut news).await.contains("No such file"));
    std::fs::write(&path, "- http://127.0.0.1:83\n").unwrap();
    assert_eq!(next_set(&mut news).await, ["127.0.0.1:83*1"]);
    drop(guard);
    task.await.unwrap();
    drop(std::fs::remove_file(&path));
}
