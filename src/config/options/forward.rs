//! Options of the forward proxy.

use std::path::PathBuf;

use super::super::ForwardProxy;
use super::{Opt, SERVER, ServerCommand, ServerDraft, Setter, Value, paths};

const FORWARD: Opt<ServerDraft> = Opt { group: "Proxy", commands: &[ServerCommand::Proxy], ..SERVER };

pub(super) static OPTIONS: &[Opt<ServerDraft>] = &[
    Opt {
        long: "allow",
        value: Value::Required("CIDR"),
        help: "clients at these addresses may use the proxy, like 10.0.0.0/8 (default: only this machine)",
        repeatable: true,
        set: Setter::Host(|host, text| host.forward.get_or_insert_default().allow.add(text).map_err(str::to_owned)),
        ..FORWARD
    },
    Opt {
        long: "proxy-auth",
        value: Value::Required("FILE"),
        help: "only the users of this password file (see miod passwd) may use the proxy",
        relative: paths::whole,
        set: Setter::Host(|host, text| {
            host.route("/").auth = Some(PathBuf::from(text));
            Ok(())
        }),
        ..FORWARD
    },
    Opt {
        long: "connect-ports",
        value: Value::Required("PORT,..."),
        help: "the ports to which CONNECT makes tunnels",
        default: |_| ports(&ForwardProxy::default().connect_ports),
        set: Setter::Host(|host, text| {
            let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0);
            let ports: Option<Vec<u16>> = text.split(',').map(port).collect();
            host.forward.get_or_insert_default().connect_ports = ports.ok_or("give ports, like 443,8443")?;
            Ok(())
        }),
        ..FORWARD
    },
    Opt {
        long: "allow-private",
        help: "ask servers at private, local and other special addresses, too (default: only if no other machine can \
               use the proxy)",
        set: Setter::Host(|host, _| {
            host.forward.get_or_insert_default().allow_private = true;
            Ok(())
        }),
        ..FORWARD
    },
];

fn ports(ports: &[u16]) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}
