//! What a server does, in one line for a service manager.

use super::Ready;

/// For example `serves /srv/www, at 127.0.0.1:8080, https at 127.0.0.1:8443`.
pub(super) fn status(ready: &Ready) -> String {
    let mut parts = Vec::new();
    if let Some(root) = &ready.root {
        parts.push(format!("serves {}", root.display()));
    }
    for (name, endpoints) in [
        ("at", &ready.endpoints),
        ("https at", &ready.https),
        ("keys and values at", &ready.kv),
        ("mail at", &ready.mail),
        ("mail over TLS at", &ready.mails),
        ("for operators at", &ready.admin),
    ] {
        if !endpoints.is_empty() {
            let shown: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            parts.push(format!("{name} {}", shown.join(" ")));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Endpoint;

    #[test]
    fn the_status_names_what_is_served_and_where() {
        let at = |port| Endpoint::Tcp(([127, 0, 0, 1], port).into());
        let ready = Ready {
            root: Some("/srv".into()),
            endpoints: vec![at(80), Endpoint::Unix("/s".into())],
            https: vec![at(443)],
            ..Ready::default()
        };
        assert_eq!(status(&ready), "serves /srv, at 127.0.0.1:80 unix:/s, https at 127.0.0.1:443");
        assert_eq!(status(&Ready { kv: vec![at(1)], ..Ready::default() }), "keys and values at 127.0.0.1:1");
    }
}
