//! From the start of a process to the end of its first answer.

use super::{Chart, Line, Measure, Point, SYNC, Scale, head};
use crate::Result;
use crate::compare::configs::{self, Answer, Chain, Place, Stage, components};
use crate::compare::with_file;
use crate::drive::median;
use crate::server::{Server, free_address};
use crate::wire::Ask;
use std::process::Command;
use std::time::Instant;

/// The contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// linkspan, which compiles everything.
    Anew,
    /// linkspan with its compile cache.
    Cached,
    /// `wasmtime serve` with its cache.
    Wasmtime,
    /// nginx, which has nothing to compile.
    Nginx,
}

impl Scale {
    pub(super) async fn starts(&self) -> Result<Chart> {
        let mut chart = Chart::new("start", "A start, and the memory after the first answer", "middleware");
        chart.measure = Measure::Start;
        let kinds = [
            ("linkspan, compiled anew", Kind::Anew),
            ("linkspan, from the compile cache", Kind::Cached),
            ("wasmtime serve, from its cache", Kind::Wasmtime),
            ("nginx, return", Kind::Nginx),
        ];
        for (name, kind) in kinds {
            let numbers = if kind == Kind::Nginx { vec![0] } else { self.numbers([0, 1, 4, 8, 16]) };
            let mut points = Vec::new();
            for number in numbers {
                let place = Place { address: free_address()?, behind: None, tls: false };
                let Some(command) = self.command(kind, number, place)? else {
                    chart.notes.push(format!("{name}: it is not there"));
                    break;
                };
                let (mut found, mut resident) = (Vec::new(), 0);
                // With a cache, the first start fills it.
                for _ in 0..=self.rounds {
                    let start = Instant::now();
                    let server =
                        Server::start(&command, self.cores, place.address, &self.folder.join("start.log"))?;
                    let target = self.target(&server, Ask::get("/"))?;
                    target.open().await?.send(&target).await?;
                    found.push(start.elapsed().as_secs_f64() * 1e3);
                    resident = server.resident()?.0;
                }
                points.push(Point { number: number as f64, value: median(&found[1..]), resident });
            }
            chart.lines.push(Line { name: name.to_owned(), points });
        }
        Ok(chart)
    }

    /// A server with so many middleware; `None` if it is not installed.
    fn command(&self, kind: Kind, number: usize, place: Place) -> Result<Option<Command>> {
        let chain = Chain::new(Stage::times(SYNC, number), "empty");
        let folder = &self.folder;
        let linkspan = |gateway: &str| {
            let text = head(place.address, gateway)
                + &components([&chain], &self.components)
                + &chain.write("main")
                + "[[routes]]\npipeline = \"main\"\n";
            with_file(&self.binary, &text, folder, "start", &["serve"])
        };
        Ok(Some(match kind {
            Kind::Anew => linkspan("")?,
            Kind::Cached => linkspan("compile-cache = \"cache\"\n")?,
            Kind::Wasmtime => {
                let Some(peer) = &self.peers.wasmtime else { return Ok(None) };
                let output = folder.join("start.wasm");
                let text = configs::linkspan(&chain, &self.components, place);
                let mut compose = with_file(&self.binary, &text, folder, "start", &["compose"])?;
                configs::portable(&mut compose, &output)?;
                configs::wasmtime(&peer.program, place.address, &output, &[])
            }
            Kind::Nginx => {
                let Some(peer) = &self.peers.nginx else { return Ok(None) };
                let text = configs::nginx(Answer::Empty, place);
                with_file(&peer.program, &text, folder, "start", &["-p", ".", "-c"])?
            }
        }))
    }
}
