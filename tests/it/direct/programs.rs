//! Programs for the interpreter.

use super::interpreter::{ARGUMENTS, ENDS, OPS, step};
use crate::harness::Seeded;

/// What can be done with what the interpreter has kept: `acg` is a call and its arguments.
type Steps = &'static [&'static str];

const REQUEST: Steps = &[
    "eafa", "fage", "fahk", "gaaa", "kafa", "lafa", "mafa", "pgef", "rihk", "9aaa", ">aaa", "Eaaa", "Yaaa",
    "Zaib", "Zalb", "[ayj", "[azm", "[aab", "\\aee", "\\abe", "\\aie", "\\aab", "]ayj", "]ahk", "]aab",
    "%afa", "_eyj", "_ehk", "_ehm", "&aaa", "'aaa", "(aaa", ")aaa", "*aaa", "+aaa", "sgel", "sgeb", "shnl",
    "qfaa", "waaa", "zaaa", "{#ba", "{#ea", "{>ea", "{$ba", "{$ea", "{%aa",
];
const FIELDS: Steps = &[
    "dbaa", "ibge", "jbge", "obfa", "qfaa", "sgel", "ibhk", "zbaa", "xbhk", "ybhk", "xbge", "`bhk", "!bhk",
    "!bge", "ybhm", "`bhm", "!bhm",
];
const RESPONSE: Steps = &["hbaa", "nbna", "nbma", "qfaa", "rihk", "\"baa", "#bfb", "#bfl", "$bhk", "cbaa"];
/// The reading end is kept last, the writing one before.
const STREAM: Steps = &[
    "7chm", "7chk", "7chb", "8bvk", "8bvm", "8bvm", ":caa", ";baa", "<caa", "=baa", "3aaa", "7che", "8bve",
    "{/ca", "{0ba",
];
/// The same of a stream of nothing.
const UNITS: Steps = &[
    "{6ci", "{6cb", "{6ck", "{7bi", "{7bi", "{7bb", "{7bs", "{8ca", "{9ba", "{:ca", "{;ba", "{<ca", "{=ba",
    "3aaa", "{6be", "{7ce", "8bvk",
];
/// A set, and those.
const SET_OF_UNITS: Steps =
    &["6cba", "6wba", "{6wi", "{6wb", "{7ci", "4bva", "4bva", "5baa", "{=ca", "{<wa", "{:wa", "{;ca"];
/// A set, and these.
const SET: Steps = &[
    "6cba", "6wba", "6caa", "4bva", "4bva", "4bva", "7whm", "7whe", "8cvk", "5baa", "=caa", "<waa", ":waa",
    "{/wa", "{0ca",
];
const BEHIND: Steps = &[
    "Ccua", "Ccua", "Dbva", "?caa", "@baa", "Acaa", "Bbaa", "waaa", "waaa", "Ccxa", "Vlhm", "Vghn", "{1ca",
    "{2ba",
];
/// New fields, and the ends of a future of trailers.
const MAKING: Steps =
    &["xbhk", "Cwua", "2bkc", "2bkc", "2bkc", "ybhk", "Wbaa", "Cwxa", "_eyj", "xbzb", "`bhk"];
/// A response that was made, and what becomes of it.
const MADE: Steps =
    &["Laaa", "Lbaa", "Lbaa", "Kcva", "Gcaa", "Icaa", "nbna", "hbaa", "cbaa", "\"baa", "#bfb", "$bhk"];
const RECEIVED: Steps = &[
    "0aba", "0aba", "0aba", "Jcua", "Kbva", "Fcaa", "Gbaa", "Hcaa", "Ibaa", "Jcxa", "Vlhm", "Xwba", "{3ca",
    "{4ba",
];
/// The stream of a body, and its trailers.
const OPENED: Steps =
    &["8bvk", "8bvm", "Dcva", "=baa", "Bcaa", "waaa", "waaa", "@caa", ";baa", "{0ba", "{2ca"];
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
const OPTIONS: Steps = &[
    "^baa", "gaaa", "aada", "{%aa", "{&ba", "{&ba", "{'bf", "{(bf", "{)bf", "{*be", "{*bi", "{+be", "{+bb",
    "{,be", "{,bs", "{'bq", "{(be",
];
/// Options, and the trailers of a request that has them.
const WITH_OPTIONS: Steps = &["{-cb", "{-cb", "{*be", "{+be", "{,be"];

/// How a program begins, and what it goes on with.
const BEGINNINGS: &[(&str, Steps)] = &[
    ("9aaa", STREAM),
    ("9aaa3aaa", SET),
    ("9aaa3aaa6wba7whm8cvk4bva", SET),
    ("9aaa3aaa6cba8cvk7whm4bva", SET),
    ("9aaa3aaa6wba=caa4bva", SET),
    ("{5aa", UNITS),
    ("{5aa{6ci", UNITS),
    ("{5aa{7bi", UNITS),
    ("{5aa3aaa6wba{6wi{7ci4bva", SET_OF_UNITS),
    ("{5aa3aaa6cba{7ci{6wk4bva", SET_OF_UNITS),
    // Something was read when the other end goes, and something written.
    ("9aaa8bvk7chj<caa;baataaa", STREAM),
    ("9aaa7chk8bvj=baa:caataaa", STREAM),
    ("9aaa3aaa6cba8cvk7whj<waa4bvataaa", SET),
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
    ("{%aa", OPTIONS),
    (">aaa{%aa", WITH_OPTIONS),
    (">aaa{%aa{+be{-cbYbaa", OPTIONS),
    ("9aaa8bvm{0ba", STREAM),
    ("9aaa7chm{/ca", STREAM),
    ("Eaaa0aba8bvm{0ba", OPENED),
    ("Eaaa0aba8bvm3aaa6cba{0ca", SET),
    ("Eaaa0abaDcva{2ca", OPENED),
    ("EaaaKbva{4ba", RECEIVED),
    ("EaaaJcua{3ca", RECEIVED),
    (">aaaDbva{2ba", BEHIND),
    (">aaaCcua{1ca", BEHIND),
    (">aaawaaaxbhk2bkcKcva{4ca", MADE),
];
/// The same where there is a next stage, whose response it has.
const BEHIND_THE_NEXT: &[(&str, Steps)] = &[
    ("aada", RESPONSE),
    ("aada\"baa", FIELDS),
    ("aadaEaaaXwba", READ),
    ("aadaEaaaXwba8bvm8bvm8bvm", READ),
    ("aadaEaaaXwbaDcva=baa", READ),
    ("aadaEaaaXwbawaaa2bec", MADE),
    ("{\"aw{!ad", RESPONSE),
    ("{\"aw{!adEaaaXwba", READ),
    ("{\"ai{!ad", RESPONSE),
    ("{.ad", RESPONSE),
    ("{.adEaaaXwbaDcva=baa", READ),
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
    "Raaa7bhk7bhj{/baSaaa<baaCcua",
    "Raaa7bhk7bhj{/baNaaa<baaCcua",
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

/// Steps by which a program answers.
const ANSWER: &[u8] = b"tuvLUR";

/// Steps with which a stage lets others have their turns in any case.
const TURNS: &[u8] = b"NOPS";

/// Timers as a service has them, which it waits for, or cancels; those that are cancelled are out of their set, or trap.
const TIMERS: &[&str] = &[
    "{#ea,aaa",
    "{#ba,aaa",
    "{$ea,aaa",
    "{$ba,aaa",
    "{#eaNaaa,aaa",
    "{#as-baa",
    "{#as.baa",
    "{#asT!!!6cba.caa",
    "{#asT!!!6cba/caa",
    "{#as/baaSaaa",
    "{$as/baaNaaa",
];
/// Requests of its own, whose answer it waits for.
const SENDS: &[&str] =
    &["{\"aw{!ad,aaa", "{\"ai{!ad,aaa", "{\"ae{!ad,aaa", "{\"al{!ad,aaa", "{.ad,aaa", "{.adNaaa,aaa"];

/// Whether a step begins what a task does not wait for.
fn begins(step: &[u8]) -> bool {
    step[0] == b'{' && b"!#$.".contains(&step[1])
}

/// A program of a stage that another one has called, without what cancels and waits for the host before its first turn is over: in
/// the component form, who called is first then (docs/direct.md). Its short timers are longer than those of who called: which of two
/// is first that end at once is not the same in both forms.
pub fn called(program: &str) -> String {
    let mut is_first = true;
    let steps = program.as_bytes().chunks_exact(4).filter(|step| {
        is_first &= !TURNS.contains(&step[0]);
        !is_first || !(CANCELS.contains(&step[0]) || step[0] == b'.')
    });
    let steps: String = steps.flatten().map(|byte| char::from(*byte)).collect();
    steps.replace("{#e", "{#j").replace("{$e", "{$j")
}

/// A program for a service: in no order, but that it mostly answers once. The request's body may come slowly.
pub fn of_service(seeded: &mut Seeded, slow: bool) -> String {
    if seeded.below(20) == 0 {
        let steps = hostile(seeded);
        let steps = steps.as_bytes().chunks_exact(4).filter(|step| !CANCELS.contains(&step[0]));
        return steps.flatten().map(|byte| char::from(*byte)).chain("Maaa".chars()).collect();
    }
    let mut program = String::new();
    if seeded.below(8) == 0 {
        let timer = if seeded.below(4) == 0 { TIMERS[seeded.below(TIMERS.len())] } else { "" };
        return format!("{timer}{}{}udaaMaaa", SENDS[seeded.below(SENDS.len())], of_response(seeded));
    }
    if seeded.below(8) == 0 {
        program += TIMERS[seeded.below(TIMERS.len())];
    }
    if slow && seeded.below(3) == 0 {
        program += WAITS[seeded.below(WAITS.len())];
    }
    let answers = if seeded.below(12) == 0 { seeded.below(3) } else { 1 };
    for at in 0..=answers {
        let steps = self::program(seeded);
        let steps: Vec<_> = steps.as_bytes().chunks_exact(4).collect();
        // There is no next stage to be called, and what ends the program of a middleware is an answer.
        let is_here = |step: &u8| !b"atuvLU".contains(step) && (at == 0 || !CANCELS.contains(step));
        for step in steps.iter().filter(|step| is_here(&step[0]) && !begins(step)) {
            program.extend(step.iter().map(|byte| char::from(*byte)));
        }
        // It yields; it waits for a set, or for a body that is written; its code is any number; it cancels itself.
        let waits = ["Naaa", "Obaa", "Oaaa", "Saaa", "Pkaa", "Pbaa", "Qaaa"];
        if seeded.below(3) == 0 {
            program += waits[if seeded.below(8) == 0 { seeded.below(waits.len()) } else { 0 }];
        }
        if at < answers {
            program += &match seeded.below(4) {
                _ if has_come(&program) && seeded.below(3) == 0 => "taaa".to_owned(),
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

/// Some steps with a response.
fn of_response(seeded: &mut Seeded) -> String {
    (0..seeded.below(4)).map(|_| RESPONSE[seeded.below(RESPONSE.len())]).collect()
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
        "{\"aw{!ad,aaaudaa",
        "{.ad,aaaudaa",
        "{#ea,aaaaaaa,aaaudaa",
        "aaaa{#ea,aaaudaa",
        "{%aa{*be{)bfaaaa,aaaudaa",
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

/// Whether a program has something to tell of reads and writes, of cancellations, and of events.
fn has_come(program: &str) -> bool {
    program
        .as_bytes()
        .chunks_exact(4)
        .any(|step| b"478CDJK:;?@FGO".contains(&step[0]) || step.starts_with(b"{5"))
}

/// Whether a program reads a future.
pub fn reads(program: &str) -> bool {
    program.bytes().step_by(4).any(|step| b"DK".contains(&step))
}

/// Whether a program for a middleware answers, and calls the next stage after that.
pub fn answers_first(program: &str) -> bool {
    answers_before(program, b"a")
}

/// Whether one may answer in its first turn, and is told of something after that.
pub fn lives_on(program: &str) -> bool {
    let first = place(program, TURNS).unwrap_or(usize::MAX);
    answers_before(program, b"a{NOPS,") && place(program, ANSWER).is_some_and(|answers| answers < first)
}

/// The same of any call that it need not wait for.
pub fn goes_on(program: &str) -> bool {
    answers_before(program, b"a{")
}

fn answers_before(program: &str, calls: &[u8]) -> bool {
    let behind = |answers| program.bytes().step_by(4).skip(answers).any(|step| calls.contains(&step));
    place(program, ANSWER).is_some_and(behind)
}

/// The place of the first of these steps.
fn place(program: &str, steps: &[u8]) -> Option<usize> {
    program.bytes().step_by(4).position(|step| steps.contains(&step))
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
        let step = step(seeded.below(OPS));
        if ENDS.contains(&step) && seeded.below(4) > 0 {
            continue;
        }
        program += &step;
        for _ in step.len()..4 {
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
            let step = step(seeded.below(OPS));
            program += &step;
            program.extend((step.len()..4).map(|_| one_of(seeded, "abcdefghijklmnopqrstuvwxyz")));
            continue;
        }
        let step = if seeded.below(25) == 0 { "aada" } else { holds[seeded.below(holds.len())] };
        program += step;
        holds = match step {
            "gaaa" | "zaaa" => FIELDS,
            "{%aa" => OPTIONS,
            "aada" | "abda" => [RESPONSE, CAME][seeded.below(2)],
            "Eaaa" if holds[0] == CAME[0] => OPENING,
            "Xwba" => READ,
            "\"baa" => FIELDS,
            "Yaaa" => OPTIONS,
            "dbaa" => REQUEST,
            "9aaa" => STREAM,
            "{5aa" => UNITS,
            "3aaa" if holds[0] == UNITS[0] => SET_OF_UNITS,
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
    if has_come(&program) && seeded.below(2) == 0 {
        return program + "taaa";
    }
    if seeded.below(8) == 0 {
        return program + &error(seeded, 'U');
    }
    let from = usize::from(["aada", "{!ad", "{.ad"].iter().any(|call| program.contains(call)));
    program + ends[from + seeded.below(ends.len() - from)]
}
