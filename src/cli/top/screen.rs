//! The terminal: taken when the live view begins, and given back however it ends.

use super::cells::Cells;
use super::draw::{Theme, draw};
use super::state::State;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, Write as _, stdin, stdout};

/// Another screen than that of the shell, without a cursor; and back.
const TAKE: &str = "\u{1b}[?1049h\u{1b}[?25l";
const GIVE_BACK: &str = "\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l";

/// The size of a terminal that does not say it.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The terminal of this process, as the live view needs it. Dropped, it is as it was before: at the end, after an error,
/// and while a panic unwinds, whose message is printed later.
pub(super) struct Screen {
    /// Its modes before.
    modes: Termios,
    theme: Theme,
    /// What it shows.
    shown: Option<Cells>,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn open() -> io::Result<Self> {
        let modes = tcgetattr(stdin())?;
        let mut raw = modes.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Flush, &raw)?;
        // https://no-color.org
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        // From here on, whatever fails, the terminal is given back.
        let screen = Self { modes, theme: Theme { colours }, shown: None };
        write(TAKE)?;
        Ok(screen)
    }

    /// Shows `state`. The size is looked up each time.
    pub(super) fn show(&mut self, state: &State, address: &str) -> io::Result<()> {
        let size = tcgetwinsize(stdout())?;
        let size = match (usize::from(size.ws_col), usize::from(size.ws_row)) {
            (0, _) | (_, 0) => USUAL_SIZE,
            size => size,
        };
        let cells = draw(state, address, self.theme, size);
        write(&cells.changes(self.shown.as_ref()))?;
        self.shown = Some(cells);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = write(GIVE_BACK);
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.modes);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::panics;
    use rustix::termios::LocalModes;
    use std::path::Path;
    use std::process::{Command, Stdio};

    /// What the other test runs in a terminal.
    #[test]
    #[ignore = "it needs a terminal, in which the other test runs it"]
    fn panics_with_the_terminal_taken() {
        panics::tell_instead_of_printing();
        let panicked = panics::caught(|| {
            let mut screen = Screen::open().unwrap();
            screen.show(&State::default(), "nowhere").unwrap();
            let modes = tcgetattr(stdin()).unwrap().local_modes;
            assert!(!modes.contains(LocalModes::ICANON), "the terminal was not taken");
            panic!("on purpose");
        });
        assert!(panicked.unwrap_err().to_string().contains("on purpose"));
    }

    #[test]
    fn a_panic_gives_the_terminal_back() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/top/terminal.py");
        let terminal = Command::new("python3")
            .args([script.as_os_str(), std::env::current_exe().unwrap().as_os_str()])
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "cli::top::screen::tests::panics_with_the_terminal_taken",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(terminal) = terminal else {
            eprintln!("SKIPPED: there is no python3");
            return;
        };
        let output = terminal.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), "ended 0 restored", "{told}");
        assert!(told.contains("1 passed"), "{told}");
        let (taken, left) = (told.find(TAKE).unwrap(), told.find(GIVE_BACK).unwrap());
        assert!(taken < left, "{told}");
    }
}
