//! A service of WASI 0.2 as there are many: it greets whom the path names, with the
//! greeting that its environment gives it, and says what time it is.

use wasip2::cli::environment::get_environment;
use wasip2::clocks::wall_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Greeter;

impl Guest for Greeter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let name = path.split('?').next().unwrap_or_default().trim_matches('/');
        let name = if name.is_empty() { "world" } else { name };
        let text = format!("{}, {name}! It is {} s past 1970.\n", greeting(), wall_clock::now().seconds);

        let fields = Fields::new();
        let _ = fields.append("content-type", b"text/plain; charset=utf-8");
        let response = OutgoingResponse::new(fields);
        let Ok(body) = response.body() else { return };
        // The head goes out here; the body follows.
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            for chunk in text.as_bytes().chunks(4096) {
                // A client that is gone takes nothing more.
                let _ = stream.blocking_write_and_flush(chunk);
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}
wasip2::http::proxy::export!(Greeter);

fn greeting() -> String {
    let variables = get_environment();
    let found = variables.into_iter().find(|(name, _)| name == "GREETING");
    found.map_or_else(|| "Hello".to_owned(), |(_, greeting)| greeting)
}
