//! Keys that the configuration has.

use crate::key::{self, Algorithm, Key};
use crate::{Keys, Offered, Options, offered};
use linkspan_sdk::{Config, Error, Next, Request, Response, clock, middleware};

pub struct Source(Vec<Key>);

impl Source {
    pub fn of(own: &mut Keys, algorithms: &[Algorithm], config: &mut Config) -> Self {
        let mut keys = Vec::new();
        match own.jwks.as_deref().map(key::set) {
            Some(Ok(set)) => keys = set,
            Some(Err(reason)) => config.reject("jwks", &reason),
            None if own.secrets.is_empty() => {
                config.reject("jwks", "is missing, and so is `secrets`: there is no key to verify with");
            }
            None => {}
        }
        for (id, secret) in &own.secrets {
            match Key::secret(id.clone(), secret) {
                Ok(key) => keys.push(key),
                Err(reason) => config.reject(&format!("secrets.{id}"), &reason),
            }
        }
        if !keys.is_empty()
            && !keys.iter().any(|key| algorithms.iter().any(|algorithm| key.is_for(*algorithm)))
        {
            config.reject("algorithms", "has none that one of the keys is for");
        }
        Self(keys)
    }

    pub fn keys(&self) -> &[Key] {
        &self.0
    }
}

fn handle(options: &'static Options, mut request: Request, next: Next) -> Result<Response, Error> {
    let values = request.header_values("authorization");
    let offered = offered(&values);
    if let Some(answer) = options.without(&offered) {
        return Ok(answer);
    }
    let claims = match offered {
        Offered::One(token) => match options.judge(token, options.source.keys(), clock::now()) {
            Ok(claims) => Some(claims),
            Err(fault) => return Ok(options.refuse(&fault)),
        },
        _ => None,
    };
    options.tell(&mut request, claims.as_deref());
    next.call(request)
}
middleware!(handle, Options);
