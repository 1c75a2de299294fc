//! The three services of the demonstration. Each answers small JSON documents, and knows no other.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::admin::http::{Asked, Bounds, Reply, serve};
use crate::net::Listener;
use crate::runtime::task;

/// More connections than a gateway opens for a demonstration.
const BOUNDS: Bounds =
    Bounds { connections: 1024, wait: std::time::Duration::from_secs(120), ..Bounds::SMALL };

/// Where the services are.
pub(super) struct Services {
    pub(super) users: SocketAddr,
    pub(super) orders: SocketAddr,
    pub(super) catalog: SocketAddr,
}

impl Services {
    /// Starts the services on a thread of their own, for the life of the process: on the ports from `first` on where they
    /// are free.
    pub(super) fn start(first: u16) -> io::Result<Services> {
        let (users, orders, catalog) = (bind(first)?, bind(first + 1)?, bind(first + 2)?);
        let services = Services {
            users: users.local_addr()?,
            orders: orders.local_addr()?,
            catalog: catalog.local_addr()?,
        };
        let (up, started) = std::sync::mpsc::sync_channel(1);
        task::thread("services", move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(up.send(Err(error))),
            };
            runtime.block_on(async {
                let sockets = [users, orders, catalog].map(Listener::new);
                let [Ok(users), Ok(orders), Ok(catalog)] = sockets else {
                    return drop(up.send(Err(io::Error::other("a socket was refused"))));
                };
                let _ = up.send(Ok(()));
                tokio::join!(
                    serve(users, BOUNDS, async |asked: &Asked| answer(asked, user)),
                    serve(orders, BOUNDS, async |asked: &Asked| answer(asked, order)),
                    serve(catalog, BOUNDS, async |asked: &Asked| answer(asked, product)),
                );
            });
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok(services)
    }
}

fn bind(wanted: u16) -> io::Result<TcpListener> {
    let on = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let socket = on(wanted).or_else(|_| on(0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Answers with what a service finds at a path.
fn answer(asked: &Asked, find: fn(&Asked, &[&str]) -> Option<Value>) -> Reply {
    if asked.method != Method::GET && asked.method != Method::HEAD {
        let refused =
            Reply::problem(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method not allowed" }));
        return Reply { headers: vec![("allow", "GET, HEAD".to_owned())], ..refused };
    }
    let segments: Vec<&str> = asked.path.split('/').skip(1).collect();
    match find(asked, &segments) {
        Some(document) => Reply { body: document.to_string().into(), ..Reply::json(&document) },
        None => Reply::problem(StatusCode::NOT_FOUND, &json!({ "error": "not found" })),
    }
}

/// `GET /{id}`. Tells also who asked, as the gateway has said.
fn user(asked: &Asked, path: &[&str]) -> Option<Value> {
    let [id] = path else { return None };
    let name = match *id {
        "" => return None,
        "42" => "Ada Lindqvist",
        "7" => "Kofi Mensah",
        _ => "Someone Else",
    };
    let asked_by = asked.headers.get("x-user-id").map(String::from_utf8_lossy);
    Some(json!({ "id": id, "name": name, "asked_by": asked_by }))
}

/// `GET /{id}` and `GET /by-user/{id}`.
fn order(_: &Asked, path: &[&str]) -> Option<Value> {
    let one = |id: &str, user: &str, total: u32| json!({ "id": id, "userId": user, "total": total, "currency": "EUR" });
    match path {
        ["by-user", user] if !user.is_empty() => Some(json!([one("1001", user, 129), one("1002", user, 18)])),
        [id] if !id.is_empty() => Some(one(id, "42", 129)),
        _ => None,
    }
}

/// `GET /{sku}` and `GET /recommend/{id}`.
fn product(_: &Asked, path: &[&str]) -> Option<Value> {
    let one = |sku: &str, title: &str, price: u32| json!({ "sku": sku, "title": title, "price": price });
    match path {
        ["recommend", user] if !user.is_empty() => {
            Some(json!([one("DK-0042", "Desk lamp", 49), one("CH-0007", "Chair", 129)]))
        }
        [sku] if !sku.is_empty() => Some(one(sku, "Desk lamp", 49)),
        _ => None,
    }
}
