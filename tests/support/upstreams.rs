//! Real servers to be proxied, with a log of the requests that each of them saw.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::sockets::{free_port, listens};
use super::{Ended, Root, eventually, kill};

/// Servers that the machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Nginx,
    Apache,
    Lighttpd,
    Gunicorn,
    Node,
    Python,
}

/// A running server. Those for files serve [`files`](Self::files).
pub struct Upstream {
    process: Ended,
    root: Root,
    pub address: SocketAddr,
}

impl Upstream {
    /// Starts a server, and waits until it listens.
    pub fn start(kind: Kind) -> Self {
        Self::start_at(kind, ([127, 0, 0, 1], free_port()).into())
    }

    /// As [`start`](Self::start), at an address that is free.
    pub fn start_at(kind: Kind, address: SocketAddr) -> Self {
        let root = Root::new();
        root.directory("www").file("log", "");
        assert!(!listens(address));
        let process = Ended(spawn(kind, root.path(), address));
        let upstream = Self { process, root, address };
        assert!(eventually(|| listens(address)), "{kind:?} doesn't listen: {}", upstream.text("errors"));
        upstream
    }

    /// Where its files are.
    pub fn files(&self) -> std::path::PathBuf {
        self.root.at("www")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it. Returns a line for each request that it has logged.
    pub fn end(mut self) -> Vec<String> {
        assert!(self.stop(), "it doesn't end");
        // Connections without a request are lines with "-" or without a target.
        let is_request = |line: &&str| line.contains(" /") || line.starts_with('/');
        self.text("log").lines().filter(is_request).map(str::to_owned).collect()
    }

    /// Asks it to end, with the processes that it has started itself. Returns whether it has.
    fn stop(&mut self) -> bool {
        let process = &mut self.process.0;
        if matches!(process.try_wait(), Ok(Some(_))) {
            return true;
        }
        kill("TERM", process.id());
        eventually(|| matches!(process.try_wait(), Ok(Some(_))))
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.root.at(name)).unwrap_or_default()).into_owned()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(kind: Kind, root: &Path, address: SocketAddr) -> Child {
    let (port, at) = (address.port(), root.display());
    let file = |name: &str, text: String| {
        std::fs::write(root.join(name), text).unwrap();
        root.join(name)
    };
    let mut command = match kind {
        Kind::Nginx => {
            let config = file("config", nginx(root, port));
            run("nginx", &["-c", &config.display().to_string()])
        }
        Kind::Apache => {
            let config = file("config", apache(root, port));
            run("apache2", &["-D", "FOREGROUND", "-f", &config.display().to_string()])
        }
        Kind::Lighttpd => {
            let config = file("config", lighttpd(root, port));
            run("lighttpd", &["-D", "-f", &config.display().to_string()])
        }
        Kind::Gunicorn => {
            file("app.py", gunicorn(root));
            let mut command = run("gunicorn", &["-b", &address.to_string(), "-k", "gthread", "--threads", "8"]);
            command.args(["--graceful-timeout", "1", "--chdir"]).arg(root).arg("app:app");
            command
        }
        Kind::Node => {
            let script = file("server.js", node(root, port));
            run("node", &[&script.display().to_string()])
        }
        Kind::Python => run(
            "python3",
            &["-u", "-m", "http.server", &port.to_string(), "-b", "127.0.0.1", "-d", &format!("{at}/www")],
        ),
    };
    let errors = if kind == Kind::Python { "log" } else { "errors" };
    let errors = File::create(root.join(errors)).unwrap();
    command.stdin(Stdio::null()).stdout(errors.try_clone().unwrap()).stderr(errors);
    command.spawn().unwrap_or_else(|error| panic!("{kind:?}: {error}"))
}

fn run(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    // Debian has servers where only root looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin")).args(arguments);
    command
}

fn nginx(root: &Path, port: u16) -> String {
    let at = root.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {at}/{name};\n"))
        .concat();
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log {at}/errors;\nevents {{}}\nhttp {{\n{temporary}  \
         log_format target $request;\n  access_log {at}/log target;\n  client_max_body_size 0;\n  server {{ listen \
         127.0.0.1:{port}; root {at}/www; absolute_redirect off; }}\n}}\n"
    )
}

fn apache(root: &Path, port: u16) -> String {
    let at = root.display();
    format!(
        "ServerRoot {at}\nListen 127.0.0.1:{port}\nServerName localhost\nPidFile {at}/pid\nErrorLog {at}/errors\n\
         LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n\
         LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so\n\
         LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n\
         User www-data\nGroup www-data\nDefaultRuntimeDir {at}\nMutex file:{at}\n\
         LogFormat \"%r\" target\nCustomLog {at}/log target\nDocumentRoot {at}/www\nGracefulShutdownTimeout 1\n"
    )
}

fn lighttpd(root: &Path, port: u16) -> String {
    let at = root.display();
    format!(
        "server.modules = (\"mod_accesslog\")\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         server.document-root = \"{at}/www\"\nserver.errorlog = \"{at}/errors\"\naccesslog.filename = \"{at}/log\"\n\
         accesslog.format = \"%r\"\nmimetype.assign = (\"\" => \"application/octet-stream\")\nserver.pid-file = \"{at}/pid\"\n"
    )
}

/// It answers with what it got: the target, and the length of the content.
fn gunicorn(root: &Path) -> String {
    format!(
        "import os\nlog = os.open('{}/log', os.O_WRONLY | os.O_APPEND)\n\
         def app(environ, start_response):\n    os.write(log, (environ['RAW_URI'] + '\\n').encode('latin-1'))\n    \
         length = 0\n    while piece := environ['wsgi.input'].read(65536):\n        length += len(piece)\n    \
         body = f\"{{environ['RAW_URI']}} {{length}}\\n\".encode('latin-1')\n    \
         start_response('200 OK', [('Content-Length', str(len(body)))])\n    return [body]\n",
        root.display()
    )
}

/// As that of gunicorn; `/events` is a stream of events, each sent when the last one was seen
/// (`/seen`), and `/echo` sends the content back in pieces as it comes.
fn node(root: &Path, port: u16) -> String {
    format!(
        "const fs = require('fs')\nlet events\nrequire('http').createServer((request, response) => {{\n  \
         fs.appendFileSync('{}/log', request.url + '\\n')\n  \
         if (request.url == '/events') {{\n    events = response\n    \
         response.writeHead(200, {{ 'Content-Type': 'text/event-stream' }})\n    return response.write('data: 0\\n\\n')\n  }}\n  \
         if (request.url.startsWith('/seen/')) {{\n    events.write(`data: ${{request.url.slice(6)}}\\n\\n`)\n    \
         return response.end()\n  }}\n  \
         if (request.url == '/echo') return request.pipe(response)\n  \
         let length = 0\n  request.on('data', piece => length += piece.length)\n  \
         request.on('end', () => response.end(`${{request.url}} ${{length}}\\n`))\n\
         }}).listen({port}, '127.0.0.1')\n",
        root.display()
    )
}
