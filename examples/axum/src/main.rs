//! Serves the application on port 3000; the first argument is the folder with the components.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("components/dist"), PathBuf::from);
    let key = std::env::var("APP_KEY").unwrap_or_else(|_| "demo-key".to_owned());
    // Compiling takes a moment, and nothing is served yet.
    let plugins = axum_example::plugins(&folder, &key)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
        println!("serving on http://{}", listener.local_addr()?);
        axum::serve(listener, axum_example::app(&plugins)).await?;
        Ok(())
    })
}
