//! The live view: keys, answers and signals, one after the other, on one thread.

use super::super::admin::{AdminClient, Error};
use super::super::failed::Failed;
use super::answers::Answer;
use super::ask::ask;
use super::input;
use super::keys::{Key, Then, press};
use super::screen::Screen;
use super::state::{Ask, State};
use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How many keys may wait to be looked at.
const WAITING_KEYS: usize = 64;

type Answers = Result<Vec<(Ask, Answer)>, Error>;
type Asking<'a> = Pin<Box<dyn Future<Output = Answers> + 'a>>;

/// Shows the gateway until somebody has seen enough.
///
/// # Errors
/// If the gateway does not answer at the beginning, or the terminal fails. A gateway that goes away later is shown as
/// such, and asked on.
pub(super) async fn watch(client: &AdminClient, interval: Duration) -> Result<(), Failed> {
    let mut state = State::default();
    // Before the terminal is taken, so that a wrong address or token is told as any mistake is.
    let answers = ask(client, state.asks()).await;
    let answers =
        answers.map_err(|error| Failed::system(format!("cannot ask `{}`: {error}", client.address())))?;
    state.take(now(), answers);
    show(client, interval, state)
        .await
        .map_err(|error| Failed::system(format!("the terminal failed: {error}")))
}

async fn show(client: &AdminClient, interval: Duration, mut state: State) -> io::Result<()> {
    // Before the terminal is taken, so that no signal ends the process with the terminal taken.
    let mut signals = Signals::listen()?;
    let mut resized = signal(SignalKind::window_change())?;
    let address = client.address();
    let mut screen = Screen::open()?;
    let mut keys = keys()?;
    let mut asking: Option<Asking<'_>> = None;
    let mut next = Instant::now() + interval;
    loop {
        screen.show(&state, &address)?;
        tokio::select! {
            key = keys.recv() => match key.map(|key| press(&mut state, key)) {
                Some(Then::Quit) => return Ok(()),
                Some(Then::Ask) => asking = Some(Box::pin(ask(client, state.asks()))),
                Some(Then::Draw) => {}
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has no more keys")),
            },
            // It is drawn anew.
            _ = resized.recv() => {}
            answers = ended(&mut asking) => {
                asking = None;
                next = Instant::now() + interval;
                match answers {
                    Ok(answers) => state.take(now(), answers),
                    Err(error) => state.fail(&error.to_string()),
                }
            }
            () = sleep_until(next), if asking.is_none() && !state.paused => {
                asking = Some(Box::pin(ask(client, state.asks())));
            }
            () = signals.any() => return Ok(()),
        }
    }
}

/// What was asked is answered. Waits for ever while nothing is asked.
async fn ended(asking: &mut Option<Asking<'_>>) -> Answers {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// The signals that ask for an end.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// The keys that are pressed, read by a thread that ends with the process: reading them waits.
fn keys() -> io::Result<mpsc::Receiver<Key>> {
    let (sender, receiver) = mpsc::channel(WAITING_KEYS);
    let read = move || {
        while let Ok(Some(keys)) = input::next() {
            for key in keys {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("linkspan-keys".to_owned()).spawn(read)?;
    Ok(receiver)
}

/// Unix time, in seconds.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
