//! WASI 0.2: components of 0.3 that import it beside 0.3, and services of it at the end of a pipeline.

mod services;
mod worlds;
