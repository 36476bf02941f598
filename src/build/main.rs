//! Run by Cargo before the compiler, and no part of the program: in a release for Linux
//! it has the linker put side by side what runs between the start and an answer. What
//! that is and why it matters is said in `near.ld`.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=src/build");
    let is = |name, value| env::var(name).is_ok_and(|said| said == value);
    let script = concat!("-Wl,-T,", env!("CARGO_MANIFEST_DIR"), "/src/build/near.ld");
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && links_with(script) {
        println!("cargo::rustc-link-arg-bins={script}");
    }
}

/// Whether the linker that will be used understands an argument, found out by trying:
/// the order is a matter of memory alone, and no reason to fail.
fn links_with(argument: &str) -> bool {
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo says where"));
    let source = directory.join("trial.rs");
    if fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let told = |name| env::var(name).unwrap_or_default();
    let mut rustc = Command::new(told("RUSTC"));
    rustc.arg(source).arg("--out-dir").arg(directory).args(["--target", &told("TARGET")]);
    rustc.args(told("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={linker}"));
    }
    rustc.arg("-C").arg(format!("link-arg={argument}"));
    rustc.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    rustc.status().is_ok_and(|status| status.success())
}
