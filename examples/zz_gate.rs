use portcullis::*;
use std::rc::Rc;
use std::sync::Arc;
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let env = |name: &str| std::env::var(name).ok();
    let loaded = config::load(path.as_ref(), &env, snapshot::compile::vocabulary());
    let cores = 2;
    let environment = snapshot::compile::Environment::new(cores);
    let config = Arc::new(loaded.config.unwrap());
    let snap = snapshot::compile::compile(&config, None, &environment, &loaded.diagnostics);
    eprint!("{}", loaded.diagnostics.render(false));
    let snap = Arc::new(snap.unwrap());
    let live = Arc::new(snapshot::Live::new(snap.clone()));
    let log = config.access_log.as_ref().and_then(|l| l.file.clone()).map(|file| {
        telemetry::AccessLog::start(
            telemetry::AccessLogSettings {
                target: telemetry::access_log::Target::File(file),
                format: telemetry::Format::Json,
                prompt: false,
                dropped: environment.metrics.access_log_dropped(),
                report: Box::new(|t| eprintln!("{t}")),
            },
            cores,
        )
        .unwrap()
    });
    let (handoff, doors) = listener::handoff::Handoff::new(cores);
    let mut socks: Vec<Vec<std::net::TcpListener>> =
        snap.listeners.iter().map(|l| listener::bind::bind(l.address, cores).unwrap()).collect();
    let mut threads = vec![];
    for (core_id, mut door) in doors.into_iter().enumerate() {
        let sockets: Vec<_> = socks.iter_mut().map(|s| s.pop().unwrap()).collect();
        let (live, handoff, metrics, snap, log) = (
            live.clone(),
            handoff.clone(),
            environment.metrics.clone(),
            snap.clone(),
            log.as_ref().map(|l| l.core()),
        );
        threads.push(std::thread::spawn(move || {
            let rt = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default())
                .unwrap();
            rt.block_on(async move {
                let core = Rc::new(pipeline::Core::new(exchange::CoreId(core_id), log, metrics));
                let doors: Vec<_> = snap
                    .listeners
                    .iter()
                    .enumerate()
                    .map(|(i, l)| {
                        Rc::new(listener::accept::Door {
                            listener: i,
                            core: core.clone(),
                            watcher: Rc::new(snapshot::Watcher::new(live.clone(), &l.name)),
                            handoff: handoff.clone(),
                        })
                    })
                    .collect();
                for (d, s) in doors.iter().zip(sockets) {
                    let d = d.clone();
                    let s = tokio::net::TcpListener::from_std(s).unwrap();
                    tokio::task::spawn_local(async move { d.accept(s, |e| eprintln!("{e}")).await });
                }
                let c = core.clone();
                tokio::task::spawn_local(async move {
                    loop {
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                        if let Some(l) = &c.log {
                            l.flush()
                        }
                    }
                });
                while let Some(m) = door.recv().await {
                    doors[m.listener].take(m);
                }
            });
        }));
    }
    eprintln!("ready");
    for t in threads {
        t.join().unwrap();
    }
}
