//! Programs for the interpreter.

use super::guests::{ARGUMENTS, CALLS};
use crate::harness::Seeded;

/// What can be done with what the interpreter has kept: `acg` is a call and its arguments.
type Steps = &'static [&'static str];

const REQUEST: Steps =
    &["eafa", "fage", "fahk", "gaaa", "kafa", "lafa", "mafa", "pgef", "rihk", "9aaa", ">aaa", "Eaaa"];
const FIELDS: Steps =
    &["dbaa", "ibge", "jbge", "obfa", "qfaa", "sgel", "ibhk", "zbaa", "xbhk", "ybhk", "xbge"];
const RESPONSE: Steps = &["hbaa", "nbna", "nbma", "qfaa", "rihk"];
/// The reading end is kept last, the writing one before.
const STREAM: Steps =
    &["7chm", "7chk", "7chb", "8bvk", "8bvm", "8bvm", ":caa", ";baa", "<caa", "=baa", "3aaa", "7che", "8bve"];
/// A set, and these.
const SET: Steps =
    &["6cba", "6wba", "6caa", "4bva", "4bva", "4bva", "7whm", "7whe", "8cvk", "5baa", "=caa", "<waa", ":waa"];
const BEHIND: Steps = &["Ccua", "Ccua", "Dbva", "?caa", "@baa", "Acaa", "Bbaa", "waaa", "waaa"];
/// New fields, and the ends of a future of trailers.
const MAKING: Steps = &["xbhk", "Cwua", "2bkc", "2bkc", "2bkc", "ybhk"];
/// A response that was made, and what becomes of it.
const MADE: Steps = &["Laaa", "Lbaa", "Lbaa", "Kcva", "Gcaa", "Icaa", "nbna", "hbaa", "cbaa"];
const RECEIVED: Steps = &["0aba", "0aba", "0aba", "Jcua", "Kbva", "Fcaa", "Gbaa", "Hcaa", "Ibaa"];
/// The stream of a body, and its trailers.
const OPENED: Steps = &["8bvk", "8bvm", "Dcva", "=baa", "Bcaa", "waaa", "waaa", "@caa", ";baa"];
/// New fields, and these.
const READY: Steps = &["xbhk", "1bcw", "1bcw", "1bcw"];
/// A request that was made, and what becomes of it.
const PASSING: Steps = &["abda", "abda", "abda", "Icaa", "kbfa", "lbfa", "Kcva"];

fn letter(number: usize) -> char {
    char::from(if number < 26 { b'a' + number as u8 } else { b'0' + (number - 26) as u8 })
}

/// How a service answers: with a number, with a text, without a body, with a body that it writes.
const ANSWERS: &[&str] = &[
    "taaa",
    "vhaa",
    ">aaawaaaxbhk2bkcLbaa",
    ">aaawaaaxbhkCwua2bkcLbaaNaaa",
    "Raaa7bhmSaaa<baaCcua",
    "Raaa7bhmSaaa<baaCcuaBcaa",
    "Raaa7bhkSaaa7bhmSaaa<baaCcua",
    "Raaa7bhkSaaa7bhkSaaaNaaa<baa",
    "RaaaNaaa7bhm<baa",
    "Raaa7bhmCcua",
];

/// A program for a service: in no order, but that it mostly answers once.
pub fn of_service(seeded: &mut Seeded) -> String {
    let mut program = String::new();
    let answers = if seeded.below(12) == 0 { seeded.below(3) } else { 1 };
    for at in 0..=answers {
        let steps = self::program(seeded);
        let steps: Vec<_> = steps.as_bytes().chunks_exact(4).collect();
        // There is no next stage to be called, and what ends the program of a middleware is an answer. In the component
        // form, what cancels may wait for the host; an answer that was given is out then, before what comes behind it.
        let not_here: &[u8] = if at == 0 { b"atuvL" } else { b"atuvL:;?@FG" };
        for step in steps.iter().filter(|step| !not_here.contains(&step[0])) {
            program.extend(step.iter().map(|byte| char::from(*byte)));
        }
        // It yields; it waits for a set, or for a body that is written; its code is any number; it cancels itself.
        let waits = ["Naaa", "Obaa", "Oaaa", "Saaa", "Pkaa", "Pbaa", "Qaaa"];
        if seeded.below(3) == 0 {
            program += waits[if seeded.below(3) == 0 { seeded.below(waits.len()) } else { 0 }];
        }
        if at < answers {
            program += ANSWERS[seeded.below(ANSWERS.len())];
        }
    }
    program + "Maaa"
}

/// A program for a middleware that does not wait for the next stage: beside what a service does, it calls that one.
pub fn of_middleware(seeded: &mut Seeded) -> String {
    // Calls and waits; calls; drops; cancels; waits; takes out of its set; gives the answer on.
    let calls = [
        "Taaa[aaa",
        "Taaa[aaa",
        "UaaaYaaa[aaa",
        "Uaaa",
        "UaaaVbaa",
        "UaaaZaaaWbaa",
        "UaaaWbaa",
        "UaaaNaaaNaaaYaaa[aaa",
        "UaaaXbaaYaaa[aaa",
    ];
    let service = of_service(seeded);
    let steps: Vec<_> = service.as_bytes().chunks_exact(4).collect();
    let at = seeded.below(steps.len());
    let call = calls[seeded.below(calls.len())];
    let whole = |steps: &[&[u8]]| -> String {
        steps.iter().flat_map(|step| step.iter()).map(|byte| char::from(*byte)).collect()
    };
    match seeded.below(2) {
        // Nothing else.
        0 => format!("{}{call}Maaa", whole(&steps[..at.min(3)])),
        _ => format!("{}{call}{}", whole(&steps[..at]), whole(&steps[at..])),
    }
}

/// Steps that are in order there, among them now and then one that is in order nowhere.
pub fn program(seeded: &mut Seeded) -> String {
    let (mut program, mut holds) = (String::new(), REQUEST);
    for _ in 0..seeded.below(12) {
        if seeded.below(20) == 0 {
            program.push(letter(seeded.below(CALLS)));
            program.extend((0..3).map(|_| letter(seeded.below(ARGUMENTS.len()))));
            continue;
        }
        let step = if seeded.below(10) == 0 { "aada" } else { holds[seeded.below(holds.len())] };
        program += step;
        holds = match step {
            "gaaa" => FIELDS,
            "aada" | "abda" => RESPONSE,
            "dbaa" => REQUEST,
            "9aaa" => STREAM,
            "3aaa" => SET,
            ">aaa" => BEHIND,
            "Eaaa" => RECEIVED,
            "0aba" => OPENED,
            "1bcw" => PASSING,
            "2bkc" => MADE,
            "waaa" if holds.len() == BEHIND.len() && holds[0] == BEHIND[0] => MAKING,
            "waaa" => READY,
            _ => holds,
        };
    }
    let ends = ["aadaudaa", "udaa", "taaa", "vhaa"];
    program + ends[seeded.below(ends.len())]
}
