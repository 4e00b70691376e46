//! The memory of things that do nothing: idle connections, requests that wait, warm instances, pipelines that nobody
//! calls.

use super::{ASYNC, Chart, Line, Point, SYNC, Scale};
use crate::Result;
use crate::compare::configs::{Chain, Stage, components};
use crate::server::Server;
use crate::wire::{Ask, Connection};
use std::time::Duration;

impl Scale {
    /// Connections that were used once and wait, while 32 others work.
    pub(super) async fn idle(&self) -> Result<Chart> {
        let mut chart = Chart::new("idle", "Idle connections beside 32 busy ones", "idle connections");
        let chain = Chain::new(Stage::times(SYNC, 1), "empty");
        let text = components([&chain], &self.components) + &chain.write("main");
        let server = self.start("idle", &(text + "[[routes]]\npipeline = \"main\"\n"))?;
        // The first point has used everything, so that later ones differ only by the connections.
        self.cpu(&server, Ask::get("/")).await?;
        let (mut points, mut idle) = (Vec::new(), Vec::<Connection>::new());
        let target = self.target(&server, Ask::get("/"))?;
        for number in self.numbers([1, 10, 100, 1000, 3000, 10_000]) {
            while idle.len() < number {
                let mut connection = match target.open().await {
                    Ok(connection) => connection,
                    Err(error) => {
                        chart.notes.push(format!(
                            "{number} connections could not be had ({error}): raise `ulimit -n`."
                        ));
                        break;
                    }
                };
                connection.send(&target).await?;
                connection.rest();
                idle.push(connection);
            }
            if idle.len() < number {
                break;
            }
            points.push(self.point(number, &server, "/").await?);
        }
        if let [first, .., last] = points.as_slice() {
            let each = last.resident.saturating_sub(first.resident) as f64 / (last.number - first.number);
            chart.notes.push(format!("An idle connection keeps {each:.0} bytes resident."));
        }
        chart.lines.push(Line { name: "HTTP/1.1".to_owned(), points });
        Ok(chart)
    }

    /// Requests that are in a pipeline and wait, as for a slow service behind it, while 32 connections work.
    pub(super) async fn waiting(&self) -> Result<Chart> {
        let mut chart = Chart::new("waiting", "Requests that wait inside of a pipeline", "waiting requests");
        chart.notes.push(
            "Of a sync chain, 1000 wait in an instance each, and the others for an instance.".to_owned(),
        );
        for (name, middleware) in [("sync", SYNC), ("async", ASYNC)] {
            let mut points = Vec::new();
            for number in self.numbers([1, 10, 100, 1000, 3000, 10_000]) {
                match self.wait(middleware, number).await {
                    Ok(point) => points.push(point),
                    Err(error) => {
                        chart.notes.push(format!("{number} waiting in {name} chains: {error}"));
                        break;
                    }
                }
            }
            if let [first, .., last] = points.as_slice() {
                let each = first.kib_each_to(last);
                chart.notes.push(format!(
                    "A request that waits in a chain of 3 {name} middleware keeps {each:.1} KiB resident."
                ));
            }
            chart.lines.push(Line { name: format!("3 {name} middleware"), points });
        }
        Ok(chart)
    }

    /// A pipeline of `middleware` in front of a slow service, and one without middleware, at `/`.
    fn slow(&self, middleware: &'static str, count: usize, keys: &str) -> Result<Server> {
        let slow = Chain::new(Stage::times(middleware, count), "fault-service")
            .with(keys)
            .with(
                "limits = { instances = 1000, queue = 100000, queue-timeout = \"10m\", deadline = \"10m\" }",
            )
            .service_with(", grant = { clocks = true }");
        let fast = Chain::new(Stage::times(middleware, count), "empty");
        let text = components([&slow, &fast], &self.components)
            + &slow.write("slow")
            + &fast.write("fast")
            + "[[routes]]\npipeline = \"fast\"\n[[routes]]\npath = \"/slow\"\npipeline = \"slow\"\n";
        self.start("slow", &text)
    }

    /// So many requests to the slow service, which answers after some milliseconds.
    async fn sent(&self, server: &Server, number: usize, millis: u64) -> Result<Vec<Connection>> {
        let mut ask = Ask::get("/slow");
        ask.fields = vec![("x-fault", "slow".to_owned()), ("x-delay-ms", millis.to_string())];
        let target = self.target(server, ask)?;
        let mut sent = Vec::new();
        for _ in 0..number {
            let mut connection = target.open().await?;
            connection.begin(&target).await?;
            connection.rest();
            sent.push(connection);
        }
        // Waits until all requests are waiting.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(sent)
    }

    async fn wait(&self, middleware: &'static str, number: usize) -> Result<Point> {
        let server = self.slow(middleware, 3, "")?;
        self.cpu(&server, Ask::get("/")).await?;
        let _waiting = self.sent(&server, number, 600_000).await?;
        self.point(number, &server, "/").await
    }

    /// Instances that were used and have nothing to do. Those of sync-lifted stages take one request each.
    pub(super) async fn warm(&self) -> Result<Chart> {
        let mut chart = Chart::new("warm", "Warm instances that have nothing to do", "instances");
        // A middleware that is linked dynamically has instances of its own, of one stage; the service behind it waits
        // for all of its requests in one.
        let kinds = [("one stage", 1, "link = \"dynamic\""), ("3 stages", 2, ""), ("5 stages", 4, "")];
        for (name, count, keys) in kinds {
            let mut points = Vec::new();
            for number in self.numbers([1, 10, 100, 300, 1000]) {
                let server = self.slow(SYNC, count, keys)?;
                self.cpu(&server, Ask::get("/")).await?;
                // Long enough for the last request to arrive while the first one waits.
                for mut connection in self.sent(&server, number, 2_000).await? {
                    match connection.finish().await? {
                        200 => {}
                        status => return Err(format!("answered {status}\n{}", server.last_words()).into()),
                    }
                }
                points.push(Point { number: number as f64, value: f64::NAN, resident: server.resident()?.0 });
            }
            if let [first, .., last] = points.as_slice() {
                let each = first.kib_each_to(last);
                chart.notes.push(format!("A warm instance of {name} keeps {each:.1} KiB resident."));
            }
            chart.lines.push(Line { name: name.to_owned(), points });
        }
        Ok(chart)
    }

    /// Idle connections beside many pipelines, each of which was used and has a warm instance.
    pub(super) async fn mix(&self) -> Result<Chart> {
        let (pipelines, connections) = if self.quick { (20, 200) } else { (1000, 10_000) };
        let mut chart = Chart::new("mix", "Idle connections beside idle pipelines", "idle connections");
        let chain = Chain::new(Stage::times(SYNC, 1), "empty").with("limits = { instances = 4 }");
        let text = |number: usize| {
            let routed = |at| {
                chain.write(&format!("p{at}"))
                    + &format!("[[routes]]\npath = \"/p{at}\"\npipeline = \"p{at}\"\n\n")
            };
            components([&chain], &self.components) + &(0..number).map(routed).collect::<String>()
        };
        let alone = self.start("alone", &text(1))?.resident()?.0;
        let server = self.start("mix", &text(pipelines))?;
        let loaded = server.resident()?.0;
        // One request has used everything that requests need once.
        self.cpu(&server, Ask::get("/p0")).await?;
        let before = server.resident()?.0;
        let targets = (0..pipelines).map(|at| self.target(&server, Ask::get(&format!("/p{at}"))));
        let targets = targets.collect::<Result<Vec<_>>>()?;
        let mut connection = targets[0].open().await?;
        for target in &targets {
            connection.send(target).await?;
        }
        let used = server.resident()?.0;
        let kib_each =
            |from: u64, to: u64, count: usize| to.saturating_sub(from) as f64 / count as f64 / 1024.0;
        chart.notes.push(format!(
            "A pipeline of a sync middleware and a service keeps {:.1} KiB resident, of {pipelines}; with a warm instance \
             {:.1} KiB more.",
            kib_each(alone, loaded, pipelines - 1),
            kib_each(before, used, pipelines - 1),
        ));
        let (mut points, mut idle) = (Vec::new(), Vec::<Connection>::new());
        for number in [0, connections / 100, connections / 10, connections] {
            while idle.len() < number {
                let target = &targets[idle.len() % pipelines];
                let mut connection = target.open().await.map_err(|error| {
                    format!("{number} connections could not be had ({error}): raise `ulimit -n`")
                })?;
                connection.send(target).await?;
                connection.rest();
                idle.push(connection);
            }
            points.push(self.point(number, &server, "/p0").await?);
        }
        if let [first, .., last] = points.as_slice() {
            let each = first.kib_each_to(last);
            chart.notes.push(format!("An idle connection beside them keeps {each:.1} KiB resident."));
        }
        chart.lines.push(Line { name: format!("{pipelines} pipelines"), points });
        Ok(chart)
    }
}
