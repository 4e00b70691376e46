//! The operator's ways to change a gateway that serves: signals, changed files, the admin listener. All of them end in
//! [`Control`], one after the other.

use super::Error;
use super::desk::{Commands, Desk, ROUND, TakenOver};
use super::worker::Start;
use crate::admin::{self, AdminConfig, AdminHandle};
use crate::gateway::Control;
use crate::net::{Shutdown, Signals, Trigger, shutdown};
use crate::plan::{Admin, Plan};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The threads that wait for the operator.
pub(super) struct Operator {
    progress: Receiver<()>,
    thread: JoinHandle<std::io::Result<()>>,
    commands: Commands,
}

impl Operator {
    /// Takes over the signals: SIGINT and SIGTERM stop, SIGHUP reloads, SIGUSR1 opens the access log anew. The thread
    /// that calls this is the one that calls [`Operator::serve`].
    pub(super) fn start(trigger: Trigger, mut stop: Shutdown, drain_delay: Duration) -> Result<Self, Error> {
        let (report, progress) = sync_channel(1);
        let (commands, operator) = (Commands::default(), std::thread::current());
        let asked = Arc::clone(&commands.0);
        let wait = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let signals = Signals::install()?;
                let mut reload = signal(SignalKind::hangup())?;
                let mut reopen = signal(SignalKind::user_defined1())?;
                let _ = report.send(());
                let signals = shutdown::signals(signals, trigger, drain_delay);
                let ask = async {
                    let mut stops = false;
                    loop {
                        tokio::select! {
                            Some(()) = reload.recv() => asked.reload.store(true, Ordering::Relaxed),
                            Some(()) = reopen.recv() => asked.reopen.store(true, Ordering::Relaxed),
                            () = stop.draining(), if !stops => stops = true,
                            else => std::future::pending().await,
                        }
                        operator.unpark();
                    }
                };
                tokio::select! {
                    () = signals => {}
                    () = ask => {}
                }
                Ok::<_, std::io::Error>(())
            })
        };
        let thread = std::thread::Builder::new()
            .name("linkspan-signals".to_owned())
            .spawn(wait)
            .map_err(|error| signal_error(&error))?;
        let operator = Self { progress, thread, commands };
        match operator.progress.recv() {
            Ok(()) => Ok(operator),
            // The thread ended without a result, so it must have failed.
            Err(_) => match operator.thread.join() {
                Ok(Err(error)) => Err(signal_error(&error)),
                _ => Err(Error::system("cannot wait for signals")),
            },
        }
    }

    /// Does what is requested, until the stop begins. The admin listener continues for as long as the result is kept.
    pub(super) fn serve(
        self,
        control: Arc<Control>,
        start: &Start,
        stop: Shutdown,
        taken_over: TakenOver,
    ) -> Result<Option<AdminHandle>, Error> {
        let (metrics, tracer) = (Arc::clone(&start.metrics), Arc::clone(&start.tracer));
        let desk =
            Arc::new(Desk { control, metrics, tracer, stop, taken_over, thread: std::thread::current() });
        let plan = desk.control.live().plan.clone();
        let admin = match &plan.admin {
            None => None,
            Some(admin) => {
                let handle = start_admin(&desk, &plan, admin)?;
                tracing::info!(address = %handle.local_addr(), "admin listening");
                Some(handle)
            }
        };
        desk.run(&self.commands, start.access.as_deref());
        // The address now belongs to the other process, which waits for it.
        Ok(admin.filter(|_| !desk.taken_over.is_set()))
    }
}

/// Starts the admin listener. An earlier process that was taken over releases its address a moment later; this function
/// waits for that.
fn start_admin(desk: &Arc<Desk>, plan: &Plan, admin: &Admin) -> Result<AdminHandle, Error> {
    let patience = match plan.gateway.handover {
        Some(_) => plan.limits.shutdown_timeout + Duration::from_secs(5),
        None => Duration::ZERO,
    };
    let since = Instant::now();
    loop {
        let control = Arc::clone(desk) as Arc<dyn admin::Control>;
        match admin::start(AdminConfig::from(admin), control, Arc::clone(&desk.metrics)) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && since.elapsed() < patience
                    && !desk.stop.is_draining() =>
            {
                std::thread::sleep(ROUND);
            }
            started => {
                return started.map_err(|error| {
                    Error::system(format!("cannot start the admin listener on {}: {error}", admin.address))
                });
            }
        }
    }
}

fn signal_error(error: &std::io::Error) -> Error {
    Error::system(format!("cannot wait for signals: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::prepare::{gather, prepare};
    use super::super::tls::TlsSettings;
    use super::*;
    use crate::gateway::{Live, Workshop};
    use crate::telemetry::Metrics;
    use crate::telemetry::trace::Tracer;
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Mutex;

    const CONFIGURATION: &str = "
        admin = { address = \"127.0.0.1:0\" }
        [[listeners]]
        address = \"127.0.0.1:0\"
        [upstreams.backend]
        servers = [\"http://127.0.0.1:9\"]
        [pipelines.main]
        upstream = \"backend\"
        [[routes]]
        pipeline = \"main\"
    ";

    fn send(address: SocketAddr, method: &str, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        stream
    }

    fn read(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// The gateway's control, whose reloads report their beginning, and then wait for the gate.
    fn gated(
        file: &std::path::Path,
        begun: std::sync::mpsc::SyncSender<()>,
        gate: Receiver<()>,
    ) -> (Arc<Control>, Arc<Plan>) {
        let (settings, workshop) = (TlsSettings::default(), Workshop::default());
        let (inputs, generation, _) = prepare(file, &workshop, &settings).unwrap();
        let plan = Arc::new(inputs.plan.clone());
        let gate = Mutex::new(gate);
        let gated = move |file: &std::path::Path, workshop: &Workshop| {
            begun.send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
            gather(file, workshop, &settings)
        };
        let live = Arc::new(Live::new(generation));
        let prepare =
            Box::new(|_: &Plan, _: &mut _| -> Option<Box<dyn FnOnce() + Send>> { Some(Box::new(|| ())) });
        let control = Control::new(live, Arc::new(workshop), inputs, Box::new(gated), prepare);
        (Arc::new(control), plan)
    }

    #[test]
    fn the_admin_listener_answers_while_a_reload_is_under_way() {
        let folder = std::env::temp_dir().join(format!("linkspan-operate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("linkspan.toml");
        std::fs::write(&file, CONFIGURATION).unwrap();
        let ((begun, has_begun), (open, gate)) = (sync_channel(8), sync_channel(8));
        let (control, plan) = gated(&file, begun, gate);
        let (_trigger, stop) = shutdown::channel();
        let desk = Arc::new(Desk {
            control: Arc::clone(&control),
            metrics: Metrics::new(),
            tracer: Tracer::new(None, Arc::default()),
            stop,
            taken_over: TakenOver::default(),
            thread: std::thread::current(),
        });
        let admin = start_admin(&desk, &plan, plan.admin.as_ref().unwrap()).unwrap();
        let address = admin.local_addr();

        std::fs::write(&file, format!("{CONFIGURATION}# another\n")).unwrap();
        let reload = send(address, "POST", "/-/reload");
        has_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        for path in
            ["/healthz", "/readyz", "/metrics", "/config", "/version", "/generations", "/overview", "/traces"]
        {
            let answer = read(send(address, "GET", path));
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
        }
        let shown = control.generations();
        let first = shown["live"]["generation"].as_u64().unwrap();
        assert_eq!(shown["under-way"]["trigger"], "admin");
        assert_eq!(shown["reloads"], serde_json::json!([]));
        // The thread that looks after generations does not wait either.
        assert_eq!((control.look_after_retired(), control.files().len()), (0, 1));

        open.send(()).unwrap();
        let answer = read(reload);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        let shown = control.generations();
        assert!(shown["live"]["generation"].as_u64().unwrap() > first, "{shown}");
        assert_eq!((&shown["under-way"], &shown["history"]), (&serde_json::Value::Null, &1.into()));
        assert_eq!(shown["reloads"][0]["result"], "swapped");
        admin.stop();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
