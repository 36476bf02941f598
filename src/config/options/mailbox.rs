//! Options of a mailbox.

use super::super::value_text::size;
use super::super::values;
use super::{Opt, SERVER, ServerCommand, ServerDraft, Setter, Value, paths};
use crate::smtp::address::{is_domain, is_literal};
use crate::smtp::server::Fault;

const MAIL: Opt<ServerDraft> = Opt { group: "Mail", commands: &[ServerCommand::Mailbox], ..SERVER };

pub(super) static OPTIONS: &[Opt<ServerDraft>] = &[
    Opt {
        long: "http",
        value: Value::Required("ADDR[:PORT]"),
        help: "show the messages here (default: 127.0.0.1 and [::1], port 8025); all who can connect read them",
        repeatable: true,
        relative: paths::endpoint,
        set: Setter::Command(|draft, text| {
            values::endpoints(text, 0)?;
            draft.http.push(text.to_owned());
            Ok(())
        }),
        ..MAIL
    },
    Opt {
        long: "smtps",
        value: Value::Required("ADDR[:PORT]"),
        help: "receive mail here over TLS from the beginning (default port: 2465); with --tls there is STARTTLS, too",
        repeatable: true,
        relative: paths::endpoint,
        set: Setter::Command(|draft, text| {
            values::endpoints(text, 0)?;
            draft.smtps.push(text.to_owned());
            Ok(())
        }),
        ..MAIL
    },
    Opt {
        long: "name",
        value: Value::Required("HOST"),
        help: "what the server calls itself (default: the name of this machine)",
        set: Setter::Command(|draft, text| {
            if !(text.is_ascii() && is_domain(text) || is_literal(text)) {
                return Err("give a domain, like mail.example, or an address, like [192.0.2.1]".to_owned());
            }
            draft.mailbox.name = Some(text.to_owned());
            Ok(())
        }),
        ..MAIL
    },
    Opt {
        long: "any-login",
        help: "let clients log in with any name and password",
        set: assign!(Command.mailbox.any_login = true),
        ..MAIL
    },
    Opt {
        long: "fail",
        value: Value::Required("STEP=CODE"),
        help: "reply to this step with this code, 400 to 599, to test a client: GREETING, EHLO, STARTTLS, AUTH, MAIL, \
               RCPT, DATA or BODY",
        repeatable: true,
        set: Setter::Command(|draft, text| {
            let fault = Fault::parse(text)?;
            draft.mailbox.faults.retain(|other| other.step != fault.step);
            draft.mailbox.faults.push(fault);
            Ok(())
        }),
        ..MAIL
    },
    Opt {
        long: "size-limit",
        value: Value::Required("SIZE"),
        group: "Limits",
        help: "largest message",
        default: |draft| size(draft.command.mailbox.size_limit),
        set: Setter::Command(|draft, text| {
            let most = Some(values::size(text)?).filter(|size| *size > 0);
            draft.mailbox.size_limit = most.ok_or("give at least 1")?;
            Ok(())
        }),
        ..MAIL
    },
];
