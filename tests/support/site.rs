//! A site that is served by http and by https, with an authority of its own.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Client, Outcome, Root, Server, miod, pattern, run_to_end};

/// The site with its server. The server's state is below the root too.
pub struct Site {
    pub root: Root,
    pub server: Server,
}

impl Site {
    /// A site with a small page and a large file, and a server with these arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let root = Root::new();
        root.file("site/index.html", "hello").file("site/large", pattern(3_000_000));
        Self::over(root, arguments)
    }

    /// A server with these arguments for the directory `site` of this root.
    pub fn over(root: Root, arguments: &[&str]) -> Self {
        let server = Server::run(Self::command(&root, arguments));
        Self { root, server }
    }

    /// The command that starts such a server.
    pub fn command(root: &Root, arguments: &[&str]) -> Command {
        let mut command = miod();
        command.env("XDG_STATE_HOME", root.at("state"));
        command.arg("serve").arg(root.at("site")).args(["-b", "127.0.0.1:0", "--tls-bind", "127.0.0.1:0"]);
        command.args(arguments);
        command
    }

    pub fn port(&self) -> u16 {
        let url = self.server.banner.split_whitespace().find_map(|word| word.strip_prefix("https://127.0.0.1:"));
        url.expect("an https URL").trim_end_matches(['/', ',']).parse().unwrap()
    }

    /// The https URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port())
    }

    /// The file of the authority that `--tls auto` has made.
    pub fn authority(&self) -> String {
        self.root.at("state/miod/tls/ca.pem").display().to_string()
    }

    /// `miod get` with these arguments and the URL of a path.
    pub fn get(&self, arguments: &[&str], path: &str) -> Outcome {
        run_to_end(miod().arg("get").args(arguments).arg(self.url(path)), b"")
    }

    /// A connection to the port for HTTPS, without TLS.
    pub fn connect(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port()).into())
    }
}

/// A certificate for a server, with an authority of its own.
pub struct Certificate {
    /// The value of `--tls`.
    pub pair: String,
    /// The file of the authority's certificate.
    pub authority: String,
}

/// Makes a certificate for these names, in a directory below the root.
pub fn certificate(root: &Root, directory: &str, names: &[&str]) -> Certificate {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    miod::certificates::prepare(&root.at(directory), &names, &[], now.try_into().unwrap()).unwrap();
    let file = |name: &str| root.at(&format!("{directory}/{name}")).display().to_string();
    Certificate { pair: format!("{},{}", file("server.pem"), file("server-key.pem")), authority: file("ca.pem") }
}
