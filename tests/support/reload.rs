//! A server whose configuration file a test changes.

use super::{Root, Server, eventually, miod};

/// A server with this configuration file below the root.
pub fn serve(root: &Root, config: &str) -> Server {
    root.file("miod.toml", config);
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    Server::run(command)
}

/// Reloads with another configuration. Returns whether it is in use.
pub fn reload(server: &Server, root: &Root, config: &str) -> bool {
    root.file("miod.toml", config);
    let count = |text: &str| server.errors().matches(text).count();
    let before = (count("the new configuration is in use"), count("the old configuration stays in use"));
    server.signal("HUP");
    assert!(
        eventually(|| {
            let now = (count("the new configuration is in use"), count("the old configuration stays in use"));
            now != before
        }),
        "{}",
        server.errors()
    );
    count("the new configuration is in use") > before.0
}
