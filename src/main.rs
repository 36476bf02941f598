//! The `miod` command.

fn main() {
    let config = miod::config::Config {
        root: std::env::args().nth(1).unwrap_or("public".into()).into(),
        port: std::env::args().nth(2).and_then(|p| p.parse().ok()).unwrap_or(8080),
        ..Default::default()
    };
    let log = miod::logging::init(&Default::default()).unwrap();
    miod::logging::install_panic_hook();
    if let Err(e) = miod::server::serve(&config, log, |r| println!("{r:?}")) {
        eprintln!("{e:?}");
    }
}
