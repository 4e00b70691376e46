//! Programs for the interpreter.

use super::interpreter::{ARGUMENTS, ENDS, OPS, letter};
use crate::harness::Seeded;

/// What can be done with what the interpreter has kept: `acg` is a call and its arguments.
type Steps = &'static [&'static str];

const REQUEST: Steps = &[
    "eafa", "fage", "fahk", "gaaa", "kafa", "lafa", "mafa", "pgef", "rihk", "9aaa", ">aaa", "Eaaa", "Yaaa",
    "Zaib", "Zalb", "[ayj", "[azm", "[aab", "\\aee", "\\abe", "\\aie", "\\aab", "]ayj", "]ahk", "]aab",
    "%afa", "_eyj", "_ehk", "_ehm", "&aaa", "'aaa", "(aaa", ")aaa", "*aaa", "+aaa", "sgel", "sgeb", "shnl",
    "qfaa", "waaa", "zaaa",
];
const FIELDS: Steps = &[
    "dbaa", "ibge", "jbge", "obfa", "qfaa", "sgel", "ibhk", "zbaa", "xbhk", "ybhk", "xbge", "`bhk", "!bhk",
    "!bge", "ybhm", "`bhm", "!bhm",
];
const RESPONSE: Steps = &["hbaa", "nbna", "nbma", "qfaa", "rihk", "\"baa", "#bfb", "#bfl", "$bhk", "cbaa"];
/// The reading end is kept last, the writing one before.
const STREAM: Steps =
    &["7chm", "7chk", "7chb", "8bvk", "8bvm", "8bvm", ":caa", ";baa", "<caa", "=baa", "3aaa", "7che", "8bve"];
/// A set, and these.
const SET: Steps =
    &["6cba", "6wba", "6caa", "4bva", "4bva", "4bva", "7whm", "7whe", "8cvk", "5baa", "=caa", "<waa", ":waa"];
const BEHIND: Steps =
    &["Ccua", "Ccua", "Dbva", "?caa", "@baa", "Acaa", "Bbaa", "waaa", "waaa", "Ccxa", "Vlhm", "Vghn"];
/// New fields, and the ends of a future of trailers.
const MAKING: Steps =
    &["xbhk", "Cwua", "2bkc", "2bkc", "2bkc", "ybhk", "Wbaa", "Cwxa", "_eyj", "xbzb", "`bhk"];
/// A response that was made, and what becomes of it.
const MADE: Steps =
    &["Laaa", "Lbaa", "Lbaa", "Kcva", "Gcaa", "Icaa", "nbna", "hbaa", "cbaa", "\"baa", "#bfb", "$bhk"];
const RECEIVED: Steps =
    &["0aba", "0aba", "0aba", "Jcua", "Kbva", "Fcaa", "Gbaa", "Hcaa", "Ibaa", "Jcxa", "Vlhm", "Xwba"];
/// The stream of a body, and its trailers.
const OPENED: Steps = &["8bvk", "8bvm", "Dcva", "=baa", "Bcaa", "waaa", "waaa", "@caa", ";baa"];
/// The same of a response.
const READ: Steps = &["8bvk", "8bvm", "Dcva", "=baa", "Bcaa", "@caa", ";baa"];
/// New fields, and these.
const READY: Steps = &["xbhk", "1bcw", "1bcw", "1bcw"];
/// A request that was made, and what becomes of it.
const PASSING: Steps =
    &["abda", "abda", "abda", "Icaa", "kbfa", "lbfa", "Kcva", "Zbib", "[byj", "\\bee", "]byj"];
/// A response that came, whose body is opened: a future, and the response.
const CAME: Steps = &["Eaaa", "Eaaa", "hbaa", "cbaa", "\"baa"];
const OPENING: Steps = &["Xwba", "Xwba", "Xwba", "Jcua", "Fcaa"];
/// Options of a request, if it has them.
const OPTIONS: Steps = &["^baa", "gaaa", "aada"];

/// How a program begins, and what it goes on with.
const BEGINNINGS: &[(&str, Steps)] = &[
    ("9aaa", STREAM),
    ("9aaa3aaa", SET),
    ("9aaa3aaa6wba7whm8cvk4bva", SET),
    ("9aaa3aaa6cba8cvk7whm4bva", SET),
    ("9aaa3aaa6wba=caa4bva", SET),
    ("9aaa7chm:caa", STREAM),
    ("9aaa8bvm;baa", STREAM),
    ("9aaa8bvm7chk;baa", STREAM),
    (">aaa", BEHIND),
    (">aaaCcua?caa", BEHIND),
    (">aaaDbva@baa", BEHIND),
    (">aaa3aaa6wba", BEHIND),
    (">aaawaaa", MAKING),
    (">aaawaaaxbhkWbaaCwxawaaa2bkw", MADE),
    ("Eaaa0aba", OPENED),
    ("Eaaa0aba8bvm8bvm", OPENED),
    ("Eaaa0aba=baaDcva", OPENED),
    ("Eaaa0abawaaa1bcw", PASSING),
    ("Eaaa0aba3aaa6cba8cvk", SET),
    ("EaaaKbvaGbaa", RECEIVED),
    ("EaaaJcuaFcaa", RECEIVED),
    ("gaaa", FIELDS),
    ("gaaazbaa", FIELDS),
    ("waaa", FIELDS),
];
/// The same where there is a next stage, whose response it has.
const BEHIND_THE_NEXT: &[(&str, Steps)] = &[
    ("aada", RESPONSE),
    ("aada\"baa", FIELDS),
    ("aadaEaaaXwba", READ),
    ("aadaEaaaXwba8bvm8bvm8bvm", READ),
    ("aadaEaaaXwbaDcva=baa", READ),
    ("aadaEaaaXwbawaaa2bec", MADE),
];

/// What waits for the request's body if that comes slowly, and for the trailers of an answer.
const WAITS: &[&str] =
    &["Eaaa0aba3aaa6cba8cvkObaa", "Eaaa0aba=baa3aaaDwva6wbaObaa", "Eaaa0aba3aaa6wbaDwvaObaa"];

/// How a service answers: with a number, with a text, without a body, with a body that it writes, and with trailers.
const ANSWERS: &[&str] = &[
    "taaa",
    "vhaa",
    ">aaawaaaxbhk2bkcLbaa",
    ">aaawaaaxbhkCwua2bkcLbaaNaaa",
    ">aaawaaaxbhkWbaaCwxawaaa2bkwLbaa",
    "Raaa7bhmSaaa<baaCcua",
    "Raaa7bhmSaaa<baaCcuaBcaa",
    "Raaa7bhkSaaa7bhmSaaa<baaCcua",
    "Raaa7bhkSaaa7bhkSaaaNaaa<baa",
    "RaaaNaaa7bhm<baa",
    "Raaa7bhmCcua",
    "Raaa7bhmSaaa<baaCcxa",
    "Raaa6cwa7bhmSaaa<caaCwuaSaaa",
    "Raaa6cwaCcuaSaaa<caa",
    "Raaa7bhmSaaawaaaxbhkWbaa<caaCwxa",
];

/// Numbers whose bits say which parts of an error there are.
const MIXED: &str = "bnpqrstm";

/// The step that keeps a number of two digits.
fn number(number: usize) -> String {
    let digit = |number: usize| char::from(u8::try_from(33 + number).unwrap());
    format!("T{}{}!", digit(number / 94), digit(number % 94))
}

/// One of `list`.
fn one_of(seeded: &mut Seeded, list: &str) -> char {
    char::from(list.as_bytes()[seeded.below(list.len())])
}

/// An error of any case, and sometimes of none, is prepared or returned, as `step` says.
fn error(seeded: &mut Seeded, step: char) -> String {
    let cases = if seeded.below(30) == 0 { 45 } else { 39 };
    let case = number(seeded.below(cases));
    let text = if seeded.below(12) == 0 { 'g' } else { 'h' };
    format!("{case}{step}b{text}{}", one_of(seeded, MIXED))
}

/// In the component form, what cancels may wait for the host; an answer that was given is out then, before what comes behind
/// it.
const CANCELS: &[u8] = b":;?@FG";

/// Steps with which a stage lets others have their turns.
const TURNS: &[u8] = b"NOPS,";

/// A program of a stage that another one has called, without what cancels and waits for the host before its first turn is over: in
/// the component form, who called is first then (docs/direct.md).
pub fn called(program: &str) -> String {
    let mut is_first = true;
    let steps = program.as_bytes().chunks_exact(4).filter(|step| {
        is_first &= !TURNS.contains(&step[0]);
        !is_first || !(CANCELS.contains(&step[0]) || step[0] == b'.')
    });
    steps.flatten().map(|byte| char::from(*byte)).collect()
}

/// A program for a service: in no order, but that it mostly answers once. The request's body may come slowly.
pub fn of_service(seeded: &mut Seeded, slow: bool) -> String {
    if seeded.below(20) == 0 {
        let steps = hostile(seeded);
        let steps = steps.as_bytes().chunks_exact(4).filter(|step| !CANCELS.contains(&step[0]));
        return steps.flatten().map(|byte| char::from(*byte)).chain("Maaa".chars()).collect();
    }
    let mut program = String::new();
    if slow && seeded.below(3) == 0 {
        program += WAITS[seeded.below(WAITS.len())];
    }
    let answers = if seeded.below(12) == 0 { seeded.below(3) } else { 1 };
    for at in 0..=answers {
        let steps = self::program(seeded);
        let steps: Vec<_> = steps.as_bytes().chunks_exact(4).collect();
        // There is no next stage to be called, and what ends the program of a middleware is an answer.
        let is_here = |step: &u8| !b"atuvLU".contains(step) && (at == 0 || !CANCELS.contains(step));
        for step in steps.iter().filter(|step| is_here(&step[0])) {
            program.extend(step.iter().map(|byte| char::from(*byte)));
        }
        // It yields; it waits for a set, or for a body that is written; its code is any number; it cancels itself.
        let waits = ["Naaa", "Obaa", "Oaaa", "Saaa", "Pkaa", "Pbaa", "Qaaa"];
        if seeded.below(3) == 0 {
            program += waits[if seeded.below(8) == 0 { seeded.below(waits.len()) } else { 0 }];
        }
        if at < answers {
            program += &match seeded.below(4) {
                0 => error(seeded, 'U'),
                // What is behind its body is an error.
                1 if seeded.below(2) == 0 => {
                    let behind = error(seeded, 'V');
                    format!("{behind}>aaawaaaCwxa2bkcLbaa")
                }
                _ => ANSWERS[seeded.below(ANSWERS.len())].to_owned(),
            };
        }
    }
    program + "Maaa"
}

/// A program for a middleware that does not wait for the next stage: beside what a service does, it calls that one.
pub fn of_middleware(seeded: &mut Seeded, slow: bool) -> String {
    // Calls; waits if it must, or in any case; drops; takes out of its set; cancels; gives the answer on.
    let calls = [
        "aaaa,aaaudaa",
        "aaaa,aaaudaa",
        "aaaaSaaaudaa",
        "aaaa",
        "aaaa-baa",
        "aaaaT!!!6cba.caa",
        "aaaa.baa",
        "aaaaNaaaNaaaSaaaudaa",
        "aaaa/baaSaaaudaa",
    ];
    let service = of_service(seeded, slow);
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

/// Whether a program reads a stream or a future.
pub fn reads(program: &str) -> bool {
    program.bytes().step_by(4).any(|step| b"8DK".contains(&step))
}

/// Whether a program for a middleware answers, and calls the next stage after that.
pub fn answers_first(program: &str) -> bool {
    let place = |steps: &[u8]| program.bytes().step_by(4).position(|step| steps.contains(&step));
    let answers = place(b"tuvLUR");
    answers.is_some_and(|answers| program.bytes().step_by(4).skip(answers).any(|step| step == b'a'))
}

/// Calls with any numbers.
fn hostile(seeded: &mut Seeded) -> String {
    let visible = |seeded: &mut Seeded| char::from(u8::try_from(33 + seeded.below(94)).unwrap());
    let mut program = String::new();
    for _ in 0..=seeded.below(10) {
        if seeded.below(3) == 0 {
            program.push('T');
            program.extend((0..3).map(|_| visible(seeded)));
            continue;
        }
        let step = letter(seeded.below(OPS));
        if ENDS.contains(step) && seeded.below(4) > 0 {
            continue;
        }
        program.push(step);
        for _ in 0..3 {
            program.push(match seeded.below(4) {
                0 => visible(seeded),
                1 => char::from(b'a' + u8::try_from(seeded.below(ARGUMENTS.len())).unwrap()),
                _ => one_of(seeded, "abcw"),
            });
        }
    }
    program
}

/// Steps that are in order there, among them now and then one that is in order nowhere; or only such.
pub fn program(seeded: &mut Seeded) -> String {
    // The first of them hands the request on, which it can do once.
    let ends = ["aadaudaa", "udaa", "taaa", "vhaa"];
    if seeded.below(16) == 0 {
        return hostile(seeded) + ends[seeded.below(ends.len())];
    }
    let (mut program, mut holds) = (String::new(), REQUEST);
    if seeded.below(2) == 0 {
        let beginnings = if seeded.below(3) == 0 { BEHIND_THE_NEXT } else { BEGINNINGS };
        let (begins, then) = beginnings[seeded.below(beginnings.len())];
        (program, holds) = (begins.to_owned(), then);
    }
    for _ in 0..seeded.below(12) {
        if seeded.below(50) == 0 {
            program.push(letter(seeded.below(OPS)));
            program.extend((0..3).map(|_| letter(seeded.below(26))));
            continue;
        }
        let step = if seeded.below(25) == 0 { "aada" } else { holds[seeded.below(holds.len())] };
        program += step;
        holds = match step {
            "gaaa" | "zaaa" => FIELDS,
            "aada" | "abda" => [RESPONSE, CAME][seeded.below(2)],
            "Eaaa" if holds[0] == CAME[0] => OPENING,
            "Xwba" => READ,
            "\"baa" => FIELDS,
            "Yaaa" => OPTIONS,
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
    if seeded.below(8) == 0 {
        return program + &error(seeded, 'U');
    }
    let from = usize::from(program.contains("aada"));
    program + ends[from + seeded.below(ends.len() - from)]
}
