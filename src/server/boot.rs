//! The start: everything that can fail fails here, before the first request is taken.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::exchange::Name;
use crate::listener::connections::ConnectionCounts;
use crate::pipeline::shed::Shed;
use crate::runtime::{clock, task};
use crate::snapshot::compile::Environment;
use crate::snapshot::{Live, Snapshot};
use crate::store::SystemClock;
use crate::store::registry::Registry;
use crate::telemetry::OperatorLog;
use crate::upstream::Tools;

use super::access;
use super::background;
use super::certificates;
use super::control::{Control, Inner};
use super::cores::{Cores, Shared};
use super::fault::Fault;
use super::files;
use super::helpers;
use super::options::{Admin, Options, Ready};
use super::report::{Request, tell};
use super::sockets::{self, Listening, cannot_bind};
use super::source::{Compiled, Source};
use super::watch::{self, Before, Seen};

/// How long the start waits for the first answers about where the services are.
const FIRST_ANSWERS: Duration = Duration::from_secs(10);

/// A gate that serves.
pub(super) struct Gate {
    pub(super) control: Control,
    /// Names a core that broke down.
    pub(super) crashed: mpsc::UnboundedReceiver<usize>,
    /// The reloads that are asked for.
    pub(super) reloads: mpsc::UnboundedReceiver<Request>,
    /// What is left to do until it is ready.
    pub(super) opening: Opening,
}

/// A gate that takes requests but may not know yet where its services are.
pub(super) struct Opening {
    reached: Ready,
    ready: Box<dyn FnOnce(&Ready)>,
}

impl Opening {
    /// Waits until the endpoints of every upstream are known, at most [`FIRST_ANSWERS`], and says that the gate is
    /// ready.
    pub(super) async fn finish(self, control: Control) {
        let log = Arc::clone(control.log());
        helpers::first_answers(&control.snapshot(), clock::now() + FIRST_ANSWERS, &log).await;
        control.set_ready();
        log.info("ready");
        (self.ready)(&self.reached);
    }
}

/// Starts a gate. Called on the control runtime; the background work of upstreams runs where `tools` say.
pub(super) fn boot(options: Options, tools: Tools) -> Result<Gate, Fault> {
    let Options { source, log, stdout, admin, ready, .. } = options;
    let connections = ConnectionCounts::new(files::raise_open_files(&log));
    let count = std::thread::available_parallelism().map_or(1, NonZero::get);
    let counters = Registry::connecting(Arc::new(SystemClock), Arc::new(helpers::Told(Arc::clone(&log))));
    let environment = Arc::new(Environment {
        log: Some(Arc::clone(&log)),
        counters: Arc::new(counters),
        tools: Some(tools),
        ..Environment::serving(count)
    });
    let metrics = Arc::clone(&environment.metrics);
    let before = Before::of(&[source.path().to_owned()]);
    let Compiled { snapshot, diagnostics, watch, unreadable, begun, .. } = source.compile(None, &environment);
    let Some(snapshot) = snapshot.map(Arc::new) else {
        let diagnostics = Box::new(diagnostics);
        return Err(if unreadable {
            Fault::Unreadable(diagnostics)
        } else {
            Fault::Configuration(diagnostics)
        });
    };
    tell(&log, &diagnostics);
    environment.cache.resize(snapshot.sources.config.cache);

    let opened = sockets::open(&wanted(&snapshot), count, &[], 0).map_err(Fault::Environment)?;
    let admin_socket = snapshot.admin.map(bind_admin).transpose()?;
    let access = access::start(snapshot.sources.config.access_log.as_ref(), stdout, &metrics, &log, count)?;
    files::check_max_connections(&snapshot.sources.config.overload, &connections, &log);
    metrics.loaded(snapshot.version, snapshot.made);
    certificates::note(&snapshot, &metrics);
    background::begin(environment.tools.as_ref(), None, &snapshot).map_err(Fault::Environment)?;
    let live = Arc::new(Live::new(snapshot));
    let shed = Arc::new(Shed::default());
    task::spawn_local(helpers::watch_memory(Arc::clone(&live), Arc::clone(&shed)));
    task::spawn_local(certificates::watch(Arc::clone(&live), Arc::clone(&log)));
    let shared = Shared {
        live: Arc::clone(&live),
        metrics: Arc::clone(&metrics),
        shed: Arc::clone(&shed),
        connections: Arc::clone(&connections),
        handshakes: Arc::default(),
        access: access.clone(),
        log: Arc::clone(&log),
    };
    let (cores, crashed) = Cores::start(count, &shared)
        .map_err(|error| Fault::environment("the threads of the gate could not be started", &error))?;
    let (ask, reloads) = mpsc::unbounded_channel();
    let watching =
        start_watch(&source, Seen { paths: watch.clone(), begun, before, failed: false }, ask.clone())?;

    let bound: Vec<_> = opened.iter().map(|opened| opened.bound.clone()).collect();
    let control = Control::new(Inner {
        source: Arc::new(source),
        live,
        environment,
        access,
        log: Arc::clone(&log),
        cores,
        connections,
        next_number: Cell::new(bound.len()),
        listening: RefCell::new(Listening::new(bound)),
        reloads: ask,
        watch: watching,
        watched: RefCell::new(watch),
        last: RefCell::new(None),
        ready: Cell::new(false),
        draining: Cell::new(false),
        started: clock::wall(),
    });
    let admin_address = admin_socket.map(|socket| serve_admin(socket, admin, &control)).transpose()?;
    task::spawn_local(helpers::tidy(Arc::clone(&control.inner().environment)));
    let listeners = open(&control, opened, &log);
    if let Some(address) = admin_address {
        log.info(format_args!("admin on {address}"));
    }
    let opening = Opening { reached: Ready { listeners, admin: admin_address }, ready };
    Ok(Gate { control, crashed, reloads, opening })
}

/// Hands the sockets to the cores, and tells which listener is where.
fn open(control: &Control, opened: Vec<sockets::Opened>, log: &OperatorLog) -> Vec<(Name, SocketAddr)> {
    let mut listeners = Vec::new();
    for sharer in control.snapshot().sharers() {
        log.info(format_args!("listener {} on {} by its hosts", sharer.name, sharer.address));
        listeners.push((Name::clone(&sharer.name), sharer.address));
    }
    for sockets::Opened { bound, sockets } in opened {
        control.cores().open(bound.number, &bound.name, sockets);
        log.info(format_args!("listener {} on {}", bound.name, bound.local));
        listeners.push((bound.name, bound.local));
    }
    listeners
}

/// The addresses that a snapshot wants open, and for which listener.
pub(super) fn wanted(snapshot: &Snapshot) -> Vec<(Name, SocketAddr)> {
    snapshot.addresses().map(|listener| (Name::clone(&listener.name), listener.address)).collect()
}

/// Serves the admin listener. Gives its address.
fn serve_admin(
    (socket, address): (TcpListener, SocketAddr),
    admin: Admin,
    control: &Control,
) -> Result<SocketAddr, Fault> {
    let socket = crate::net::Listener::new(socket)
        .map_err(|error| Fault::environment("the admin listener could not be started", &error))?;
    task::spawn_local(admin(socket, control.clone()));
    Ok(address)
}

fn bind_admin(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Fault> {
    let open = || {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    open().map_err(|error| Fault::Environment(format!("the admin listener {}", cannot_bind(address, &error))))
}

/// Watches the files of a configuration that comes from files.
fn start_watch(
    source: &Source,
    seen: Seen,
    ask: mpsc::UnboundedSender<Request>,
) -> Result<Option<std::sync::mpsc::Sender<Seen>>, Fault> {
    if matches!(source, Source::Text { .. }) {
        return Ok(None);
    }
    let (tell, told) = std::sync::mpsc::channel();
    watch::start(seen, told, ask).map_err(|error| Fault::environment("files cannot be watched", &error))?;
    Ok(Some(tell))
}
