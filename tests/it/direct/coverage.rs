//! How often each function on the list came to each outcome.

use super::interpreter::{counted, functions};
use linkspan::stores::Limiter;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Letters of outcomes, as the interpreter has them, and what they are.
const OUTCOMES: &[(char, &str)] = &[
    ('r', "returned"),
    ('c', "completed"),
    ('b', "blocked"),
    ('d', "dropped"),
    ('e', "cancelled"),
    ('n', "nothing"),
    ('0', "no event"),
    ('1', "event of a subtask"),
    ('2', "event of a stream that is read"),
    ('3', "event of a stream that is written"),
    ('4', "event of a future that is read"),
    ('5', "event of a future that is written"),
    ('6', "to end early"),
    ('A', "refused (0)"),
    ('B', "refused (1)"),
    ('C', "refused (2)"),
    ('D', "refused (3)"),
    ('E', "refused (4)"),
];

/// What the programs reach that are made at random, in a run of 100,000 exchanges or more: for those that are not
/// here, `r` and a trap.
const REACHED: &[(&str, &str)] = &[
    ("handle", "rAbt"),
    ("response.set-status-code", "rAt"),
    ("rate-limiter.take", "rAt"),
    ("fields.append", "rACt"),
    ("fields.delete", "rACt"),
    ("fields.set", "rACt"),
    ("fields.get-and-delete", "rACt"),
    ("fields.from-list", "rAt"),
    ("request.set-method", "rAt"),
    ("request.set-path-with-query", "rAt"),
    ("request.set-scheme", "rAt"),
    ("request.set-authority", "rAt"),
    ("waitable-set.poll", "n2345t"),
    ("waitable-set.new", "r"),
    ("stream.new", "r"),
    ("trailers.new", "r"),
    ("receipt.new", "r"),
    ("fields.new", "r"),
    ("stream.write", "cbdt"),
    ("stream.read", "cbdt"),
    ("stream.cancel-write", "et"),
    ("stream.cancel-read", "et"),
    ("trailers.write", "cbdt"),
    ("trailers.read", "cbt"),
    ("trailers.cancel-write", "et"),
    ("trailers.cancel-read", "et"),
    ("receipt.write", "cbt"),
    ("receipt.read", "cbt"),
    ("receipt.cancel-write", "et"),
    ("receipt.cancel-read", "et"),
    ("random.get-random-u64", "r"),
    ("monotonic-clock.now", "r"),
    ("monotonic-clock.get-resolution", "r"),
    ("system-clock.now", "r"),
    ("system-clock.get-resolution", "r"),
    ("context.get", "r"),
    ("context.set", "r"),
    ("callback event", "0123456"),
    ("callback EXIT", "t"),
    ("callback YIELD", "t"),
    ("callback WAIT", "t"),
    ("callback code", "t"),
    ("task.cancel", "t"),
    ("subtask.cancel", "ret"),
    ("subtask.cancel async", "rbet"),
    ("client.send", "rAbt"),
    ("handle by name", "rAbt"),
    ("wait-for", "rb"),
    ("wait-until", "rb"),
    ("request-options.new", "r"),
    ("request-options.set-connect-timeout", "rBt"),
    ("request-options.set-first-byte-timeout", "rBt"),
    ("request-options.set-between-bytes-timeout", "rBt"),
    ("stream.cancel-write async", "bet"),
    ("stream.cancel-read async", "bet"),
    ("trailers.cancel-write async", "et"),
    ("trailers.cancel-read async", "bet"),
    ("receipt.cancel-write async", "et"),
    ("receipt.cancel-read async", "bet"),
    ("units.new", "r"),
    ("units.write", "cbdt"),
    ("units.read", "cbdt"),
    ("units.cancel-write", "et"),
    ("units.cancel-read", "et"),
    ("units.cancel-write async", "et"),
    ("units.cancel-read async", "et"),
];

/// The letter of calls that were begun, and that of those that did not come back, which trapped.
const BEGUN: char = '!';
const TRAPPED: char = 't';

/// Function, outcome, and how often in the component form and in the direct one.
#[derive(Default)]
pub struct Coverage(Mutex<BTreeMap<(char, char), [u64; 2]>>);

impl Coverage {
    /// Adds what the stages of a chain have counted in the component form and in the direct one.
    ///
    /// # Errors
    /// Counts that differ by more than `traps`: where the place of a value breaks a rule, for which a stage has waited, one form
    /// may find it a call later than the other.
    pub fn add(&self, stages: [&[Arc<Limiter>]; 2], traps: u64) -> Result<(), String> {
        let mut rows = self.0.lock().unwrap();
        for (letter, name) in functions() {
            let count = |outcome| -> [u64; 2] {
                stages.map(|stages| stages.iter().map(|it| counted(it, letter, outcome)).sum())
            };
            let begun = count(BEGUN);
            // What the interpreter does around its steps is not begun as a step is.
            if begun == [0, 0] && (letter.is_ascii_alphanumeric() || letter.is_ascii_control()) {
                continue;
            }
            for outcome in OUTCOMES.iter().map(|(outcome, _)| *outcome).chain([BEGUN]) {
                let counts = if outcome == BEGUN { begun } else { count(outcome) };
                let [component, direct] = counts;
                if component.abs_diff(direct) > traps {
                    return Err(format!(
                        "{name} {outcome}: {component} times in the component form, {direct} in the direct one"
                    ));
                }
                let row = rows.entry((letter, outcome)).or_default();
                row[0] += component;
                row[1] += direct;
            }
        }
        Ok(())
    }

    /// A line for each function.
    ///
    /// # Errors
    /// With `all`, what was to be reached and was not.
    pub fn table(&self, all: bool) -> Result<String, String> {
        let rows = self.0.lock().unwrap();
        let mut by_name: BTreeMap<&str, BTreeMap<char, u64>> = BTreeMap::new();
        for (letter, name) in functions() {
            let counts = by_name.entry(name).or_default();
            let mut back = 0;
            for (outcome, _) in OUTCOMES {
                let count = rows.get(&(letter, *outcome)).map_or(0, |row| row[1]);
                back += count;
                *counts.entry(*outcome).or_default() += count;
            }
            let begun = rows.get(&(letter, BEGUN)).map_or(0, |row| row[1]);
            *counts.entry(TRAPPED).or_default() += begun.saturating_sub(back);
        }
        let (mut table, mut missing) = (String::new(), Vec::new());
        let names = OUTCOMES.iter().chain(&[(TRAPPED, "trapped")]);
        for (name, counts) in &by_name {
            let reached =
                REACHED.iter().find(|(known, _)| known == name).map_or("rt", |(_, reached)| *reached);
            missing.extend(reached.chars().filter(|it| counts[it] == 0).map(|it| format!("{name} {it}")));
            let counts = names.clone().filter(|(letter, _)| counts[letter] > 0);
            // Where a callback's code is told, the call ends with it.
            let ends = name.starts_with("callback ");
            let counts = counts.map(|(letter, what)| {
                let what = if ends && *letter == TRAPPED { "told" } else { what };
                format!("{what} {}", by_name[name][letter])
            });
            table.push_str(&format!("{name:<44}{}\n", counts.collect::<Vec<_>>().join(", ")));
        }
        if all && !missing.is_empty() {
            return Err(format!("{table}never reached: {}", missing.join(", ")));
        }
        Ok(table)
    }
}
