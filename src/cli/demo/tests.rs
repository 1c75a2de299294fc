use super::*;
use crate::snapshot::compile::Environment;

#[test]
fn the_configuration_is_good_and_means_what_the_example_means() {
    let address = "127.0.0.1:1".parse().unwrap();
    let services = Services { users: address, orders: address, catalog: address };
    let text = configuration(8080, 9901, &"s".repeat(43), &services);
    let compiled =
        Source::Text { path: PathBuf::from("demo.yaml"), text }.compile(None, &Environment::new(1));
    assert_eq!(compiled.diagnostics.render(false), "");
    let mut demo = crate::admin::routes::listing(&compiled.snapshot.unwrap());
    let routes = demo["listeners"][0]["routes"].as_array_mut().unwrap();
    assert_eq!(routes.pop().unwrap()["route"], "GET /api/home/{userId}");

    let example = include_str!("../../../examples/edge.yaml").replace("${JWT_SECRET}", &"s".repeat(43));
    let example =
        Source::Text { path: PathBuf::from("edge.yaml"), text: example }.compile(None, &Environment::new(1));
    assert_eq!(demo, crate::admin::routes::listing(&example.snapshot.unwrap()));
}

#[test]
fn the_next_free_port_is_found() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = taken.local_addr().unwrap().port();
    let Ok(found) = free_port(wanted, None) else { panic!("some port is free") };
    assert!(found > wanted);
}

#[test]
fn every_line_to_try_is_whole() {
    let ready =
        server::Ready { listeners: vec![("default".into(), "127.0.0.1:8081".parse().unwrap())], admin: None };
    let text = intro::intro(&ready, "a.b.c", USER);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 8);
    assert!(lines.iter().all(|line| line.contains("http://127.0.0.1:8081/api/")), "{text}");
}
