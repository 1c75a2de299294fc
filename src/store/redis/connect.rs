//! The way to the server: one connection, the primary among several nodes, or a cluster.

use std::time::Duration;

use crate::runtime::task::JoinSet;
use crate::runtime::time;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
};

use crate::config::{Redis, RedisNode, RedisTls};
use crate::net;

/// How long connecting may take, the greeting included.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an answer may stay away before it is given up for lost; whoever waits for it has gone long before.
const LOST: Duration = Duration::from_secs(2);

/// A connection that many commands share.
#[derive(Clone)]
pub(super) enum Wire {
    /// To one server.
    One(MultiplexedConnection),
    /// To the nodes of a cluster. It finds its way by itself when nodes come and go.
    Cluster(ClusterConnection),
}

impl Wire {
    /// Sends a command; the answer is never an error of the server.
    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Wire::One(connection) => command.query_async(connection).await,
            Wire::Cluster(connection) => command.query_async(connection).await,
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Wire::Cluster(_))
    }
}

/// Connects and finds out whom to ask.
///
/// # Errors
/// Why nobody could be reached, in words without secrets.
pub(super) async fn connect(settings: &Redis) -> Result<Wire, String> {
    if settings.tls.is_some() {
        // What it needs at its first use does not count into the time for connecting.
        let _ = net::tls::provider();
    }
    match time::timeout(CONNECT + CONNECT, find(settings)).await {
        Ok(found) => found,
        Err(_) => Err("connecting took too long".to_owned()),
    }
}

async fn find(settings: &Redis) -> Result<Wire, String> {
    // All nodes at once: one that is silent must not delay the others.
    let mut nodes = JoinSet::new();
    for node in &settings.nodes {
        let info = info(settings, node).map_err(|error| words(&error))?;
        let client = client(settings.tls.as_ref(), info).map_err(|error| words(&error))?;
        let (name, several) = (format!("{}:{}", node.host, node.port), settings.several);
        nodes.spawn(async move { (look(&client, several).await, name) });
    }
    let mut problem = "no node".to_owned();
    while let Some(found) = nodes.join_next().await {
        match found {
            Ok((Ok(Node::Usable(wire)), _)) => return Ok(wire),
            Ok((Ok(Node::OfCluster), _)) => return cluster(settings).await.map_err(|error| words(&error)),
            Ok((Ok(Node::Replica), name)) => {
                problem = format!("{name} is a replica, and no primary was found")
            }
            Ok((Err(error), name)) => problem = format!("{name}: {}", words(&error)),
            Err(error) => problem = error.to_string(),
        }
    }
    Err(problem)
}

/// What a node turned out to be.
enum Node {
    Usable(Wire),
    OfCluster,
    Replica,
}

async fn look(client: &Client, several: bool) -> RedisResult<Node> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(LOST));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    // A user that may not ask this is no user of a cluster's: its rights would have to be wide there.
    let about: RedisResult<String> = redis::cmd("INFO").arg("cluster").query_async(&mut connection).await;
    match about {
        Ok(about) if about.contains("cluster_enabled:1") => return Ok(Node::OfCluster),
        Err(error) if error.is_io_error() => return Err(error),
        _ => {}
    }
    if several {
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        let primary = match role.first() {
            Some(Value::BulkString(role)) => role == b"master",
            Some(Value::SimpleString(role)) => role == "master",
            _ => false,
        };
        if !primary {
            return Ok(Node::Replica);
        }
    }
    Ok(Node::Usable(Wire::One(connection)))
}

async fn cluster(settings: &Redis) -> RedisResult<Wire> {
    let nodes = settings.nodes.iter().map(|node| info(settings, node)).collect::<RedisResult<Vec<_>>>()?;
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(CONNECT)
        .response_timeout(LOST)
        .overall_response_timeout(Some(LOST))
        .retries(2);
    if let Some(tls) = &settings.tls {
        builder = builder.certs(certificates(tls));
    }
    Ok(Wire::Cluster(builder.build()?.get_async_connection().await?))
}

fn client(tls: Option<&RedisTls>, info: ConnectionInfo) -> RedisResult<Client> {
    match tls {
        Some(tls) => Client::build_with_tls(info, certificates(tls)),
        None => Client::open(info),
    }
}

fn certificates(tls: &RedisTls) -> TlsCertificates {
    let identity = tls.identity.as_ref();
    let client_tls = identity.map(|(certificate, key)| ClientTlsConfig {
        client_cert: certificate.clone(),
        client_key: key.as_bytes().to_vec(),
    });
    TlsCertificates { client_tls, root_cert: tls.ca.clone() }
}

fn info(settings: &Redis, node: &RedisNode) -> RedisResult<ConnectionInfo> {
    let host = node.host.bare();
    let address = match settings.tls {
        Some(_) => ConnectionAddr::TcpTls { host, port: node.port, insecure: false, tls_params: None },
        None => ConnectionAddr::Tcp(host, node.port),
    };
    let mut login =
        RedisConnectionInfo::default().set_db(i64::from(settings.database)).set_skip_set_lib_name();
    if let Some(username) = &settings.username {
        login = login.set_username(username);
    }
    if let Some(password) = &settings.password {
        login = login.set_password(String::from_utf8_lossy(password.as_bytes()));
    }
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(address.into_connection_info()?.set_redis_settings(login).set_tcp_settings(tcp))
}

/// An error for the log: one line, and no longer than a line should be.
pub(super) fn words(error: &RedisError) -> String {
    const LONGEST: usize = 200;
    let text = error.to_string();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
