use std::future::pending;
use std::io::Read;
use std::net::TcpListener;
use std::sync::mpsc::{RecvError, channel};

use super::*;
use crate::server::boot::{Gate, boot};
use crate::server::{Options, Source, Stdout};
use crate::telemetry::log::Level;
use crate::upstream::background::discovery::testing::{A, Say, Server};

/// A longer wait would never end.
const PATIENCE: Duration = Duration::from_secs(20);

fn log() -> Arc<OperatorLog> {
    OperatorLog::start(false, Level::Warn, |_: &[u8]| {}).unwrap()
}

fn background(names: &Server, log: &Arc<OperatorLog>) -> Background {
    Background::start(Resolver::with_nameserver(names.address), log).unwrap()
}

fn options(text: String, log: Arc<OperatorLog>) -> Options {
    Options {
        source: Source::Text { path: "background.yaml".into(), text },
        drain_delay: Duration::ZERO,
        grace: Duration::ZERO,
        log,
        stdout: Stdout { terminal: false, colour: false },
        admin: |_, _| Box::pin(pending()),
        ready: Box::new(|_| {}),
    }
}

#[test]
fn names_are_followed_and_endpoints_probed_while_the_control_thread_is_busy() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let (tell, probed) = channel();
    std::thread::spawn(move || {
        let (mut probe, _) = service.accept().unwrap();
        let mut line = [0; 9];
        probe.read_exact(&mut line).unwrap();
        tell.send(line).unwrap();
    });
    let names = Server::start();
    names.set("service.test", A, Say::addresses(60, &["127.0.0.1"]));
    let text = format!(
        "
listen: 127.0.0.1:0
upstreams:
  service:
    url: 'http://service.test:{port}'
    health: {{ path: /well, every: 100ms, timeout: 50ms }}
routes: {{ /: {{ upstream: service }} }}
telemetry: {{ access_log: none }}
"
    );
    let log = log();
    let background = background(&names, &log);
    let control = Builder::new_current_thread().enable_all().build_local(Default::default()).unwrap();
    control.block_on(async {
        let Gate { control, .. } = boot(options(text, log), background.tools()).unwrap();
        // This is the control thread. It waits for the probe without giving any other task a turn.
        let line = probed.recv_timeout(PATIENCE).expect("a probe");
        assert_eq!(&line, b"GET /well");
        control.stop("core");
    });
}

#[test]
fn its_work_ends_with_it_and_what_blocks_holds_nobody_up() {
    let background = background(&Server::start(), &log());
    let runtime = background.tools().runtime;
    let (held, gone) = channel::<()>();
    task::spawn_on(&runtime, async move {
        let _held = held;
        pending::<()>().await;
    });
    let (begun, has_begun) = channel();
    let (release, released) = channel::<()>();
    task::spawn_on(&runtime, async move {
        let _ = task::spawn_blocking(move || {
            begun.send(()).unwrap();
            released.recv()
        })
        .await;
    });
    has_begun.recv().unwrap();
    drop(background);
    assert_eq!(gone.recv(), Err(RecvError));
    // The reader of a file that hangs is still there.
    release.send(()).unwrap();
}
