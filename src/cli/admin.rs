//! The client of a running gateway's admin listener, for the commands that ask one.
//!
//! One request per connection, as the listener has it; HTTP/1.1 without TLS. What comes back is bounded in time and size,
//! and no text of it reaches a terminal with its control characters.

use super::exchange::exchange;
use super::failed::Failed;
use crate::files;
use crate::telemetry::harmless;
use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Where docs/configuration.md has the listener.
pub(super) const USUAL_ADDRESS: &str = "http://127.0.0.1:9180";
/// The variable with the token, where no other one is named.
const USUAL_VARIABLE: &str = "LINKSPAN_ADMIN_TOKEN";
/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The longest time for an answer: a reload may take two minutes, and is all that does.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_FOR_CHANGES: Duration = Duration::from_secs(130);
/// The largest file with a token, in bytes.
const MAX_TOKEN: u64 = 16 << 10;
/// How much of a text from the other side is told, in characters.
const MAX_TOLD: usize = 2000;

/// Where a command has the admin listener's token from.
#[derive(Debug, Args)]
pub(super) struct TokenFrom {
    /// The variable with the admin listener's token; without it, LINKSPAN_ADMIN_TOKEN
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// The file with the admin listener's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenFrom {
    /// The token, if there is one.
    ///
    /// # Errors
    /// If what is named has none.
    pub(super) fn read(&self) -> Result<Option<String>, Failed> {
        if let Some(path) = &self.token_file {
            return token_of(path).map(Some);
        }
        let name = self.token_env.as_deref().unwrap_or(USUAL_VARIABLE);
        match std::env::var(name) {
            Ok(token) if !token.trim().is_empty() => Ok(Some(token.trim().to_owned())),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Failed::usage(format!("the variable {name} has no token: it is not UTF-8")))
            }
            _ if self.token_env.is_some() => {
                Err(Failed::usage(format!("the variable {name} has no token: it is not set, or empty")))
            }
            _ => Ok(None),
        }
    }
}

fn token_of(path: &Path) -> Result<String, Failed> {
    let wrong = |why: String| Failed::system(format!("no token in {}: {why}", path.display()));
    let content = files::read(path, MAX_TOKEN).map_err(|error| wrong(error.to_string()))?;
    let content = content.ok_or_else(|| wrong(format!("the file has more than {MAX_TOKEN} bytes")))?;
    let text = String::from_utf8(content).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    match text.trim() {
        "" => Err(wrong("the file is empty".to_owned())),
        token => Ok(token.to_owned()),
    }
}

/// Why the listener gave no answer that helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("`{0}` is not the address of an admin listener: {1}")]
    Address(String, &'static str),
    #[error("the token has characters that can't be sent")]
    Token,
    #[error("no connection: {0}")]
    Connect(#[source] std::io::Error),
    #[error("no answer: {}", innermost(.0))]
    Exchange(#[source] hyper::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("the answer is larger than {} MiB", MAX_ANSWER >> 20)]
    Large,
    #[error("the answer broke off")]
    BrokeOff,
    /// A status other than a success, and what the answer says of it.
    #[error("{}", refusal(*.0, .1))]
    Refused(StatusCode, String),
    #[error("the answer is not what a linkspan gateway answers: {0}")]
    NotOurs(String),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        match error {
            Error::Address(..) | Error::Token => Self::usage(error),
            _ => Self::system(error),
        }
    }
}

fn innermost(error: &hyper::Error) -> String {
    let mut told: &dyn std::error::Error = error;
    while let Some(source) = told.source() {
        told = source;
    }
    told.to_string()
}

fn refusal(status: StatusCode, detail: &str) -> String {
    let told = match status {
        StatusCode::UNAUTHORIZED => {
            "it needs its token: set LINKSPAN_ADMIN_TOKEN, or name a variable with `--token-env`, or a file with \
             `--token-file`"
        }
        StatusCode::NOT_FOUND if detail.is_empty() => "there is nothing at this path",
        _ => detail,
    };
    match told {
        "" => format!("it answered {}", status.as_u16()),
        told => format!("it answered {}: {told}", status.as_u16()),
    }
}

/// An admin listener that can be asked.
#[derive(Debug)]
pub(super) struct AdminClient {
    authority: Authority,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl AdminClient {
    /// The listener at `address`, `http://HOST:PORT` or `HOST:PORT`.
    ///
    /// # Errors
    /// If that is no address, or the token can't be sent.
    pub(super) fn new(address: &str, token: Option<&str>) -> Result<Self, Error> {
        let wrong = |why| Error::Address(harmless(address, MAX_TOLD), why);
        let rest = match address.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err(wrong("it has no TLS; forward its port, for example with `ssh -L`"));
            }
            Some(_) => return Err(wrong("write http://HOST:PORT")),
            None => address,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: Authority = rest.parse().map_err(|_| wrong("write http://HOST:PORT"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a name and a password have no meaning there"));
        }
        if authority.port_u16().is_none_or(|port| port == 0) {
            return Err(wrong("the port is missing"));
        }
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("write http://HOST:PORT"))?;
        let authorization = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { authority, host, authorization: authorization.transpose()? })
    }

    /// Its address, as it was understood.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// What it answers at `path`.
    ///
    /// # Errors
    /// If it doesn't, or answers something else than a `T`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let answer = self.ask(Method::GET, path, None).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| Error::NotOurs(harmless(&error.to_string(), MAX_TOLD)))
    }

    /// The body of its answer, which is a success.
    ///
    /// # Errors
    /// If there is none, or it comes too slowly, or is too large.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Bytes, Error> {
        let patience = if method == Method::GET { PATIENCE } else { PATIENCE_FOR_CHANGES };
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        request = request.header(ACCEPT, "application/json, application/problem+json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::new(Bytes::from(body)));
        let request =
            request.map_err(|_| Error::NotOurs(format!("`{}` is no path", harmless(path, MAX_TOLD))))?;
        let (status, answer) =
            timeout(patience, self.exchange(request)).await.map_err(|_| Error::Slow(patience))??;
        if status.is_success() { Ok(answer) } else { Err(Error::Refused(status, problem(&answer))) }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Error> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = self.authority.port_u16().unwrap_or_default();
        let stream = TcpStream::connect((host, port)).await.map_err(Error::Connect)?;
        exchange(stream, request, Error::Exchange, async |response| {
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => Error::Large,
                false => Error::BrokeOff,
            })?;
            Ok((status, body.to_bytes()))
        })
        .await
    }
}

/// What an answer in the form of RFC 9457 says, for people.
fn problem(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let text = |key: &str| answer[key].as_str().unwrap_or_default().trim().to_owned();
    let told = match (text("detail"), text("text")) {
        (detail, findings) if findings.is_empty() => detail,
        (detail, findings) => format!("{detail}\n{findings}"),
    };
    let told = if told.is_empty() { text("title") } else { told };
    // Findings have lines.
    told.lines().map(|line| harmless(line, MAX_TOLD)).take(100).collect::<Vec<_>>().join("\n")
}

/// Runs `future` on this thread.
///
/// # Errors
/// If the system has nothing left to run it with.
pub(super) fn run<T>(future: impl Future<Output = T>) -> Result<T, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failed::system(format!("cannot start: {error}")))?;
    let result = runtime.block_on(future);
    // A look-up of a name may take longer than anybody wants to wait.
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// A server that answers one request with `answer`; what it was asked is returned with what was made of the answer.
    fn asked(
        token: Option<&str>,
        method: Method,
        body: Option<&Value>,
        answer: &str,
    ) -> (String, Result<Bytes, Error>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer = answer.to_owned();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"}") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
                if head.ends_with(b"\r\n\r\n") && !head.starts_with(b"GET") && !head.ends_with(b"}") {
                    // A body follows.
                    let mut rest = [0; 64];
                    let count = stream.read(&mut rest).unwrap();
                    head.extend_from_slice(&rest[..count]);
                    break;
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        let client = AdminClient::new(&address, token).unwrap();
        let result = run(async { client.ask(method, "/some?a=b", body).await }).unwrap();
        (server.join().unwrap(), result)
    }

    #[test]
    fn a_request_and_its_answer() {
        let (head, answer) = asked(
            Some("the-token"),
            Method::GET,
            None,
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"a\": 1}",
        );
        assert!(head.starts_with("GET /some?a=b HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
        assert!(head.contains("\r\nauthorization: Bearer the-token\r\n"), "{head}");
        assert_eq!(answer.unwrap(), "{\"a\": 1}");
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        let (head, answer) = asked(None, Method::GET, None, chunked);
        assert!(!head.contains("authorization"), "{head}");
        assert_eq!(answer.unwrap(), "{}");
        let body = serde_json::json!({ "reveal": false });
        let (head, answer) =
            asked(None, Method::POST, Some(&body), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert!(
            head.contains("content-type: application/json\r\n") && head.ends_with("{\"reveal\":false}"),
            "{head}"
        );
        assert_eq!(answer.unwrap(), "{}");
    }

    #[test]
    fn what_is_no_success_is_told_plainly() {
        let told = |answer: &str| asked(None, Method::GET, None, answer).1.unwrap_err().to_string();
        let problem = |status: &str, body: &str| {
            format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        assert_eq!(
            told(&problem(
                "403 Forbidden",
                r#"{"title": "Forbidden", "detail": "The read token changes nothing."}"#
            )),
            "it answered 403: The read token changes nothing."
        );
        assert!(told(&problem("401 Unauthorized", "{}")).contains("`--token-file`"));
        assert_eq!(
            told(&problem("404 Not Found", "nothing")),
            "it answered 404: there is nothing at this path"
        );
        assert_eq!(told(&problem("502 Bad Gateway", "<html>")), "it answered 502");
        let hostile = r#"{"detail": "a\u001b[2Jb", "text": "one\ntwo\u202e"}"#;
        assert_eq!(
            told(&problem("422 Unprocessable", hostile)),
            "it answered 422: a\\u{1b}[2Jb\none\ntwo\\u{202e}"
        );
        assert_eq!(told("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), "the answer broke off");
        let large = format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(MAX_ANSWER + 1));
        assert_eq!(large_told(&large), "the answer is larger than 16 MiB");
        assert!(told("SSH-2.0-x\r\n\r\n").starts_with("no answer: "));
    }

    /// The server may find that nobody reads on.
    fn large_told(answer: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answer = answer.to_owned();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        });
        let client = AdminClient::new(&address, None).unwrap();
        let error = run(async { client.ask(Method::GET, "/", None).await }).unwrap().unwrap_err();
        server.join().unwrap();
        error.to_string()
    }

    #[test]
    fn addresses() {
        for (address, expected) in [
            ("127.0.0.1:9180", "http://127.0.0.1:9180"),
            ("http://localhost:9180/", "http://localhost:9180"),
            ("HTTP://[::1]:9180", "http://[::1]:9180"),
        ] {
            assert_eq!(AdminClient::new(address, None).unwrap().address(), expected);
        }
        for address in [
            "",
            "localhost",
            "http://localhost",
            "https://localhost:1",
            "ftp://a:1",
            "a:1/path",
            "u:p@a:1",
            "a:0",
            "a:99999",
        ] {
            let error = AdminClient::new(address, None).unwrap_err();
            assert_eq!(Failed::from(error).code, 2, "{address}");
        }
        assert!(matches!(AdminClient::new("a:1", Some("a\nb")), Err(Error::Token)));
        assert!(!format!("{:?}", AdminClient::new("a:1", Some("hunter2")).unwrap()).contains("hunter2"));
        let nobody =
            run(async { AdminClient::new("127.0.0.1:1", None).unwrap().get::<Value>("/").await }).unwrap();
        assert!(matches!(nobody, Err(Error::Connect(_))), "{nobody:?}");
    }

    #[test]
    fn tokens() {
        let folder = std::env::temp_dir().join(format!("linkspan-token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("token");
        let of_file = || TokenFrom { token_env: None, token_file: Some(file.clone()) };
        assert!(of_file().read().unwrap_err().message.contains("no token in"));
        for (content, expected) in [("abc\n", Some("abc")), ("\n", None)] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(of_file().read().ok().flatten().as_deref(), expected);
        }
        std::fs::write(&file, vec![b'a'; 17 << 10]).unwrap();
        assert!(of_file().read().unwrap_err().message.contains("16384 bytes"));
        std::fs::remove_dir_all(&folder).unwrap();
        let of_variable =
            |name: &str| TokenFrom { token_env: Some(name.to_owned()), token_file: None }.read();
        assert_eq!(of_variable("LINKSPAN_NO_SUCH_VARIABLE").unwrap_err().code, 2);
        assert_eq!(of_variable("PATH").unwrap(), Some(std::env::var("PATH").unwrap().trim().to_owned()));
    }
}
